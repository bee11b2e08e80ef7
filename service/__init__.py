"""The main job: from a library event to stored findings and announcements."""
