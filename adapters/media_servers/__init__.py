"""Where items come from, one file per server."""
