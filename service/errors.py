"""The error tree, named by what the caller should do next.

MoodreelError
├── TransientError      try again later: a server that restarts, a full disk, a decoder that died
├── PermanentError      give up on this one and keep the reason: it will not get better by itself
│   ├── UnreadableMediaError   the file is not what it claims to be
│   ├── NotFoundError          the item is no longer there
│   ├── BadPayloadError        a webhook's body has another shape than its sender's
│   └── UnknownOutcomeError    it may have happened: never repeat it unasked
├── MissingModelError   go on without: the weights are not on this machine
├── ModelTimeoutError   go on without these pictures or sounds: they took too long
├── StaleTokenError     drop the work: another worker has taken the item over
└── ConfigurationError  tell the operator: a setting is wrong or absent

Adapters translate what their libraries raise once, at the edge, with ``raise ... from error``.
Messages say what was tried, on what, and what came back. They never carry a secret.
"""

from __future__ import annotations


class MoodreelError(Exception):
    """Anything that Moodreel raises on purpose."""


class TransientError(MoodreelError):
    """The same call may succeed later.

    Args:
        message: What was tried, on what, and what came back.
        retry_after_s: The earliest useful next try, where the other side named one.
        max_attempts: How often at most it is worth trying, where that is fewer than usual.
        costs_attempt: False where nothing was tried yet: the source is away, or still being
            written. Such a call is worth repeating for as long as it takes.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        max_attempts: int | None = None,
        costs_attempt: bool = True,
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.max_attempts = max_attempts
        self.costs_attempt = costs_attempt


class CrowdedError(TransientError):
    """All is well, and too many ask at once."""


class PermanentError(MoodreelError):
    """The same call will fail again: the job ends, its reason is kept."""


class UnreadableMediaError(PermanentError):
    """The file cannot be decoded: truncated, empty, or no media at all."""


class NotFoundError(PermanentError):
    """The server, or the store, does not know this item (any more)."""


class BadPayloadError(PermanentError):
    """A webhook's body cannot be understood."""


class UnknownOutcomeError(PermanentError):
    """What was sent was not confirmed. It may have arrived, so it is not sent again unasked."""


class MissingModelError(MoodreelError):
    """A model's files are not on this machine and could not be fetched.

    Args:
        model: The catalog name, or the directory that was asked for.
        message: Why, and what would make it available.
    """

    def __init__(self, model: str, message: str) -> None:
        super().__init__(message)
        self.model = model


class ModelTimeoutError(MoodreelError):
    """A model was stopped because it took longer than it may."""


class StaleTokenError(MoodreelError):
    """A newer attempt owns the item; whatever this one found is dropped.

    Not the job: whoever owns the item may be lost in turn, so an analysis looks again later.
    """


class ConfigurationError(MoodreelError):
    """A setting is wrong or absent. The message names it and the way out."""
