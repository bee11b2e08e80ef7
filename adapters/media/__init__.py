"""Reads media in processes of their own."""
