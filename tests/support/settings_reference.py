"""Writes docs/reference/settings.md from the settings classes, so that it cannot lie.

Run ``python -m tests.support.settings_reference`` after changing a setting.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from service.configuration import Configuration, secret_names

EXPORT_EXTRA = {"torch", "transformers", "onnx", "onnxscript"}
"""What the optional extra ``export`` brings: what needs it has no settings, and is not imported."""
PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "settings.md"

HEAD = """# Settings

Environment variables, or the same names in lower case in `moodreel.toml` (in the working directory,
or where `MOODREEL_CONFIG` says). The environment wins. An empty variable counts as absent. Nothing
here is required. Settings marked *secret* may also lie in a file of their own, which the variable
with `_FILE` behind its name points at (`JELLYFIN_API_KEY_FILE=/run/secrets/jellyfin`). This page is
made from the code.

"""


def settings_classes() -> list[type[Configuration]]:
    """Every settings class of the product, by module."""
    with _without_export_extra():
        for package in ("service", "adapters", "publisher"):
            root = importlib.import_module(package)
            for module in pkgutil.walk_packages(root.__path__, f"{package}."):
                if not module.name.endswith(("__main__", ".worker")):
                    _import_if_possible(module.name)
    found: list[type[Configuration]] = []
    waiting = [Configuration]
    while waiting:
        for subclass in waiting.pop().__subclasses__():
            found.append(subclass)
            waiting.append(subclass)
    ours = (c for c in found if c.__module__.split(".")[0] in {"service", "adapters", "publisher"})
    return sorted(ours, key=lambda c: (c.__module__ != "service.settings", c.__module__))


@contextmanager
def _without_export_extra() -> Iterator[None]:
    """Let imports of it fail: of 6.7 s of CPU for the page, 4.5 s were PyTorch's."""
    absent = EXPORT_EXTRA - sys.modules.keys()
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None forbids it
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def _import_if_possible(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in EXPORT_EXTRA:
            raise


def own_fields(cls: type[Configuration]) -> dict[str, FieldInfo]:
    """Fields that a class does not share with the one it extends."""
    return {name: field for name, field in cls.model_fields.items() if name in cls.__annotations__}


def render() -> str:
    """The whole page."""
    return HEAD + "\n".join(_section(cls) for cls in settings_classes())


def section_name(cls: type[Configuration]) -> str:
    """What the page calls the settings of a class."""
    return cls.__name__.removesuffix("Settings")


def _section(cls: type[Configuration]) -> str:
    secrets = secret_names(cls)
    rows = [
        _row(name, field, is_secret=(field.alias or name) in secrets)
        for name, field in own_fields(cls).items()
    ]
    summary = (cls.__doc__ or "").strip().splitlines()[0]
    return "\n".join(
        [
            f"## {section_name(cls)}",
            "",
            f"{summary} (`{cls.__module__}`)",
            "",
            "| variable | default | what it does |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def _row(name: str, field: FieldInfo, *, is_secret: bool) -> str:
    description = (field.description or "").replace("|", "\\|") + " *Secret.*" * is_secret
    return f"| `{field.alias or name}` | {describe_default(field)} | {description} |"


def describe_default(field: FieldInfo) -> str:
    """A default as a table shows it; empty where there is none."""
    if field.default_factory is not None:
        return "see text"
    value = field.default
    if value is PydanticUndefined:
        return "required"
    if value in (None, "", (), []) or isinstance(value, SecretStr):
        return ""
    if isinstance(value, (list, tuple)):
        return "`" + ",".join(map(str, value)) + "`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    PAGE.write_text(render())
