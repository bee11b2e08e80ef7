"""Opening a file or a stream with FFmpeg, and saying in plain words why it cannot be opened."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import av
import av.error
import av.logging
from av.container import InputContainer

from adapters.media.formats import FORMATS
from adapters.media.wire import Source
from service.errors import (
    MoodreelError,
    NotFoundError,
    PermanentError,
    TransientError,
    UnreadableMediaError,
)

LINK_SUFFIXES = frozenset({".strm", ".m3u", ".m3u8", ".pls", ".xspf", ".mpd", ".ffconcat", ".cue"})

REASONS = {
    "moov atom not found": (
        "its index is missing, as when a copy or a recording was interrupted before its end"
    ),
    "EBML header parsing failed": "its beginning is damaged",
    "Format not on whitelist": "it is a playlist or a format that may point elsewhere",
}
"""What FFmpeg says of a file, and what it means to its owner."""

BROKEN_OFF = "ends prematurely"
"""FFmpeg's words for a connection that closed before all bytes were there."""
NETWORK_ERRORS = (
    av.error.HTTPServerError,
    av.error.HTTPTooManyRequestsError,
    av.error.ExitError,
    av.error.EOFError,
    OSError,
)


def open_source(source: Source) -> InputContainer:
    """Open a container, restricted to one file or to HTTP without redirects.

    A redirect is refused because FFmpeg would send the headers, and with them the key, on to
    whatever host it names.

    Raises:
        NotFoundError: It is gone.
        UnreadableMediaError: It is empty, text, a link to something else, or damaged.
        PermanentError: It may not be read from here.
        TransientError: The server did not answer, or broke off.
    """
    if source.path:
        check_file(Path(source.path))
    else:
        check_address(source)
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as said:
            return _open(source)
    except MemoryError:
        raise
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if source.url:
            refuse_redirect(source)
        raise translate(error, source, [message for _, _, message in said]) from error
    finally:
        log_to_stderr()


def log_to_stderr() -> None:
    """Have FFmpeg write its errors to standard error by itself.

    Through PyAV's callback, decoder threads would wait for Python's lock while Python waits for
    them.
    """
    av.logging.restore_default_callback()
    av.logging.set_libav_level(av.logging.ERROR)


def _open(source: Source) -> InputContainer:
    if source.path:
        return av.open(
            f"file:{source.path}",
            "r",
            container_options={"protocol_whitelist": "file", "format_whitelist": FORMATS},
            metadata_errors="replace",
        )
    return av.open(
        source.url,
        "r",
        container_options={
            "protocol_whitelist": "http,https,tcp,tls",
            "format_whitelist": FORMATS,
            "headers": "".join(f"{name}: {value}\r\n" for name, value in source.headers.items()),
            "max_redirects": "0",
            "rw_timeout": str(round(source.network_timeout_s * 1e6)),
            "reconnect": "1",
            "reconnect_delay_max": "4",
        },
        metadata_errors="replace",
        timeout=3 * source.network_timeout_s,
    )


def check_address(source: Source) -> None:
    """Let nothing but HTTP through, and no header that smuggles in another.

    Raises:
        PermanentError: It is something else.
    """
    if urlsplit(source.url).scheme not in {"http", "https"}:
        raise PermanentError(f"{source.label} is no address that begins with http:// or https://")
    if any(sign in value for value in source.headers.values() for sign in "\r\n"):
        raise PermanentError(f"{source.label}: a header for the server has a line break in it")


def refuse_redirect(source: Source) -> None:
    """Say so if a server sends us elsewhere: FFmpeg only says "Input/output error".

    Raises:
        PermanentError: It redirects.
    """
    # At every start of a decoder this import would cost 20 ms, for a rare error's message.
    from adapters.media.redirect import redirect_host  # noqa: PLC0415

    if host := redirect_host(source.url, source.headers, timeout_s=source.network_timeout_s):
        raise PermanentError(
            f"{source.label}: the server redirects to {host}, which is not followed, for the key "
            "would go along: set the server's address to the final one"
        )


def check_file(path: Path) -> None:
    """Refuse what FFmpeg should not even touch.

    Raises:
        NotFoundError, PermanentError, UnreadableMediaError: As in ``open_source``.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise PermanentError(f"{path.name} is not a regular file")
        with path.open("rb") as file:
            beginning = file.read(512)
    except FileNotFoundError as error:
        raise NotFoundError(f"{path.name} is no longer there") from error
    except PermissionError as error:
        raise PermanentError(
            f"{path.name} may not be read: its permissions do not allow it to the user that "
            "Moodreel runs as"
        ) from error
    except OSError as error:
        raise TransientError(f"reading {path.name}: {error.strerror}") from error
    if not beginning:
        raise UnreadableMediaError(f"{path.name} is empty (0 bytes)")
    if path.suffix.lower() in LINK_SUFFIXES:
        raise UnreadableMediaError(
            f"{path.name} is a link or a playlist, not a medium: what it points to is not opened"
        )
    if _is_text(beginning):
        raise UnreadableMediaError(f"{path.name} holds text, neither picture nor sound")


def _is_text(beginning: bytes) -> bool:
    try:
        text = beginning.decode()
    except UnicodeDecodeError as error:
        if error.start < len(beginning) - 4:  # not just a character cut in two
            return False
        text = beginning[: error.start].decode()
    return all(character.isprintable() or character in "\r\n\t\f" for character in text)


def translate(error: Exception, source: Source, said: Sequence[str] = ()) -> MoodreelError:
    """Say what an error of FFmpeg, and what it said meanwhile, mean for whoever asked."""
    label, reason = source.label, _reason(error, said)
    if isinstance(error, FileNotFoundError | av.error.HTTPNotFoundError):
        return NotFoundError(f"{label} is no longer there")
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return PermanentError(f"{label}: the server does not let us read it ({error.strerror})")
    if source.url and (isinstance(error, NETWORK_ERRORS) or any(BROKEN_OFF in m for m in said)):
        return TransientError(f"reading {label}: the stream broke off ({reason})")
    if isinstance(error, PermissionError):
        return PermanentError(f"{label} may not be read ({error.strerror})")
    if isinstance(error, OSError):
        return TransientError(f"reading {label}: {error.strerror}")
    return UnreadableMediaError(f"{label} cannot be read: {reason}")


def _reason(error: Exception, said: Sequence[str]) -> str:
    for phrase, reason in REASONS.items():
        if any(phrase in message for message in said):
            return reason
    if isinstance(error, av.error.InvalidDataError):
        return "its content is no known film or sound, or its beginning is damaged"
    last = said[-1].strip() if said else ""
    return last or str(getattr(error, "strerror", "") or error)
