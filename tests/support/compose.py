"""Compose files as Docker reads them: interpolated, merged, and held against their specification.

The schema is ours: what we use of the Compose Specification and nothing else, so that a misspelt
name is found. The real `docker compose config` is asked by scripts/compose-check.sh.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.postgres import ROOT

COMPOSE_FILE = ROOT / "docker-compose.jellyfin-ai.yml"
OVERRIDES = [ROOT / "stack" / f"{name}.yml" for name in ("nvidia", "intel", "secrets")]
ENV_EXAMPLE = ROOT / ".env.example"

VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+):-(?P<default>[^{}]*)\})")
"""The one form that our files use: a name with its default."""

_TEXT = {"type": "string", "minLength": 1}
_TEXTS = {"type": "array", "items": _TEXT, "minItems": 1, "uniqueItems": True}
_COMMAND = {"anyOf": [_TEXT, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
_SPAN = {"type": "string", "pattern": r"^(\d+h)?(\d+m)?(\d+s)?$", "minLength": 2}
_SIZE = {"type": "string", "pattern": r"^\d+[bkmg]$"}
_PORT = r"(\d{1,3}(\.\d{1,3}){3}:)?\d{1,5}:\d{1,5}(/(tcp|udp))?"
_WORDS = {"type": "object", "additionalProperties": {"type": ["string", "number", "null"]}}


def _record(required: tuple[str, ...] = (), /, **properties: object) -> dict[str, object]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


_HEALTH = {
    "oneOf": [
        _record(("disable",), disable={"const": True}),
        _record(
            ("test",),
            test={
                "type": "array",
                "items": {"type": "string"},
                "minItems": 2,
                "prefixItems": [{"enum": ["CMD", "CMD-SHELL"]}],
            },
            interval=_SPAN,
            timeout=_SPAN,
            start_period=_SPAN,
            retries={"type": "integer", "minimum": 1},
        ),
    ]
}
_DEPENDENCY = _record(
    ("condition",),
    condition={"enum": ["service_started", "service_healthy", "service_completed_successfully"]},
    required={"type": "boolean"},
    restart={"type": "boolean"},
)
_DEVICES = {
    "type": "array",
    "items": _record(
        ("capabilities",),
        driver=_TEXT,
        count={"anyOf": [{"const": "all"}, {"type": "integer", "minimum": 1}]},
        capabilities=_TEXTS,
    ),
}
_BUILD = {
    "anyOf": [
        _TEXT,
        _record(
            ("context",), context=_TEXT, dockerfile=_TEXT, dockerfile_inline=_TEXT, args=_WORDS
        ),
    ]
}
_SERVICE = _record(
    image=_TEXT,
    build=_BUILD,
    profiles=_TEXTS,
    user={"type": "string", "pattern": r"^\w+(:\w+)?$"},
    hostname=_TEXT,
    command=_COMMAND,
    entrypoint=_COMMAND,
    env_file={
        "type": "array",
        "items": _record(("path",), path=_TEXT, required={"type": "boolean"}),
    },
    environment=_WORDS,
    ports={"type": "array", "items": {"type": "string", "pattern": f"^{_PORT}$"}},
    volumes={
        "type": "array",
        "items": {"type": "string", "pattern": r"^[^:\s]+:/[^:\s]+(:(ro|rw))?$"},
        "uniqueItems": True,
    },
    secrets=_TEXTS,
    extra_hosts=_TEXTS,
    depends_on={"type": "object", "additionalProperties": _DEPENDENCY},
    healthcheck=_HEALTH,
    restart={"enum": ["no", "always", "on-failure", "unless-stopped"]},
    stop_grace_period=_SPAN,
    read_only={"type": "boolean"},
    tmpfs={"type": "array", "items": {"type": "string", "pattern": "^/"}, "minItems": 1},
    shm_size=_SIZE,
    cap_add=_TEXTS,
    cap_drop=_TEXTS,
    security_opt=_TEXTS,
    pids_limit={"type": "integer", "minimum": 1},
    network_mode={"type": "string", "pattern": "^(none|host|bridge|service:.+)$"},
    devices=_TEXTS,
    group_add={"type": "array", "items": {"type": ["string", "integer"]}},
    logging=_record(("driver",), driver=_TEXT, options=_WORDS),
    deploy=_record(resources=_record(reservations=_record(devices=_DEVICES))),
)
SCHEMA: dict[str, object] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"},
        "services": {
            "type": "object",
            "minProperties": 1,
            "patternProperties": {"^[a-zA-Z0-9._-]+$": _SERVICE},
            "additionalProperties": False,
        },
        "volumes": {"type": "object", "additionalProperties": {"type": "null"}},
        "secrets": {"type": "object", "additionalProperties": _record(("file",), file=_TEXT)},
    },
    "patternProperties": {"^x-": {}},
    "required": ["services"],
    "additionalProperties": False,
}


def read_compose(path: Path, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A file as the engine sees it with these variables; YAML's merges are done."""
    content: dict[str, Any] = _interpolate(yaml.safe_load(path.read_text()), variables or {})
    return content


def variables_of(path: Path) -> dict[str, set[str]]:
    """The variables that a file interpolates, each with its defaults."""
    found: dict[str, set[str]] = {}
    for text in _texts(yaml.safe_load(path.read_text())):
        for match in VARIABLE.finditer(text):
            if match["name"]:
                found.setdefault(match["name"], set()).add(match["default"])
    return found


def stray_dollars(path: Path) -> list[str]:
    """Texts with a dollar that is neither escaped nor a variable with a default."""
    return [
        text for text in _texts(yaml.safe_load(path.read_text())) if "$" in VARIABLE.sub("", text)
    ]


def example_variables() -> dict[str, str]:
    """What .env.example sets, and what it shows as a comment."""
    lines = re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", ENV_EXAMPLE.read_text(), re.MULTILINE)
    return dict(lines)


def _interpolate(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _interpolate(inner, variables) for name, inner in value.items()}
    if isinstance(value, list):
        return [_interpolate(inner, variables) for inner in value]
    if not isinstance(value, str):
        return value
    return VARIABLE.sub(
        lambda match: "$" if match["escaped"] else variables.get(match["name"]) or match["default"],
        value,
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
