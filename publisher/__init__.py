"""Who is told of a new item, one file per channel."""
