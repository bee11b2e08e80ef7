"""The composition root: it alone knows adapters and channels, and puts the house together.

A file per thing that is put together; commands import the one they need, and no more is loaded.
"""
