"""Watching and listening."""

from service.senses.ears import Ears, Heard
from service.senses.eyes import Eyes, Seen

__all__ = ["Ears", "Eyes", "Heard", "Seen"]
