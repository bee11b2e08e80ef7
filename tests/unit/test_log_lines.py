"""Log lines: one each, whatever is in them."""

from __future__ import annotations

import json
import logging

import pytest

from service.cli.logs import configure_logging
from service.settings import ServiceSettings

FORGED = "Heat\n2026-01-01 00:00:00,000 ERROR   forged\r\x1b[2J\u2028"


@pytest.fixture
def restored():
    """The logging of the tests, as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.usefixtures("restored")
def test_no_text_of_a_stranger_makes_a_line_of_its_own(capsys, log_format):
    settings = ServiceSettings.model_validate({"log_format": log_format, "log_level": "INFO"})
    configure_logging(settings)
    logging.getLogger("somebody").warning("took %s", FORGED, extra={"title": FORGED})
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    assert not any(char in written for char in "\r\x1b")
    if log_format == "json":
        assert json.loads(written)["title"].startswith("Heat\n2026")
    else:
        assert r"Heat\n2026" in written
