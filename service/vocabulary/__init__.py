"""What to look and listen for: tags, moods, highlight prompts and templates, as editable YAML."""

from service.vocabulary.loader import load_vocabulary
from service.vocabulary.signals import Signals, load_signals
from service.vocabulary.words import HighlightCue, MoodWord, TagWord, Vocabulary, name_sounds

__all__ = [
    "HighlightCue",
    "MoodWord",
    "Signals",
    "TagWord",
    "Vocabulary",
    "load_signals",
    "load_vocabulary",
    "name_sounds",
]
