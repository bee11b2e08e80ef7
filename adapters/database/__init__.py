"""Postgres: the embedded one, the transports, the store and its migrations."""
