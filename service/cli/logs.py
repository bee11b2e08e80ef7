"""How log lines are written. The ``action`` of a line is what scripts may rely on."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from service.log_context import bound
from service.settings import ServiceSettings

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure_logging(settings: ServiceSettings) -> None:
    """Write log lines to standard error, as text or as JSON."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines() if settings.log_format == "json" else _TextLines())
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    # Libraries log what they do; we log what it was for. httpx even logs addresses.
    for name in (
        "procrastinate",
        "httpx",
        "httpx2",
        "aiohttp.access",
        "numba",
        "httpcore",
        "psycopg.pool",
        "watchfiles",
    ):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))


def _extras(record: logging.LogRecord) -> dict[str, object]:
    """What the line says of itself, then what it is about."""
    own = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    return {**own, **{key: value for key, value in bound().items() if key not in own}}


def _one_line(text: str) -> str:
    """What titles and servers say begins no line of its own, and moves no terminal's cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _TextLines(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's own name
        extras = " ".join(f"{key}={value}" for key, value in _extras(record).items())
        return _one_line(super().formatMessage(record) + (f"  {extras}" if extras else ""))


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extras(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
