"""What made an analysis, as its version says it (``Examiner.version``)."""

from __future__ import annotations

from dataclasses import dataclass

from service.examiner import WITHOUT
from service.vocabulary import Vocabulary

FINGERPRINT_LENGTH = 12
"""Of a vocabulary's fingerprint in a version."""
PARTS = 3
"""Revision and models, vocabulary, manner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The version that made an analysis, in its parts."""

    models: str
    """And the revision of what an analysis is."""
    words: str
    """The vocabulary."""
    manner: str
    """And which models were missing."""

    @classmethod
    def read(cls, pipeline: str) -> Made | None:
        """Read a version; None where it is none of ours."""
        version, without, missing = pipeline.partition(WITHOUT)
        parts = version.rsplit(":", PARTS - 1)
        if len(parts) != PARTS or len(parts[1]) != FINGERPRINT_LENGTH:
            return None
        return cls(models=parts[0], words=parts[1], manner=parts[2] + without + missing)

    def in_words(self, vocabulary: Vocabulary) -> str:
        """The same version with another vocabulary."""
        return f"{self.models}:{short(vocabulary)}:{self.manner}"


def short(vocabulary: Vocabulary) -> str:
    """A vocabulary's fingerprint, as versions have it."""
    return vocabulary.fingerprint[:FINGERPRINT_LENGTH]
