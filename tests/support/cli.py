"""The command ``moodreel`` inside this process: quicker than one of its own, and the same code."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

from typer.testing import CliRunner

from service.cli import app


def invoke(*arguments: str, env: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a command with these variables and no others: exit status, standard output and error."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        with patch.dict("os.environ", env, clear=True):
            result = CliRunner().invoke(app, arguments)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def invoke_json(*arguments: str, env: Mapping[str, str]) -> Any:
    """Run a command that must succeed, and read what it prints."""
    status, out, err = invoke(*arguments, "--json", env=env)
    assert status == 0, (arguments, status, out, err)
    return json.loads(out)
