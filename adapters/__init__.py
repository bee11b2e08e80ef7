"""The world at the rim: media, media servers, models, database and queue."""
