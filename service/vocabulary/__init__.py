"""Tags, moods and highlight prompts as data that users may edit."""
