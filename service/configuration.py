"""Where settings come from: environment variables, then ``moodreel.toml``, then defaults.

Each adapter keeps its own settings beside it, as a subclass of ``Configuration``. A field's alias
is the variable's name (``JELLYFIN_URL``); in the file the same name is written in lower case. A
secret may also lie in a file of its own, named by the variable with ``_FILE`` behind it
(``JELLYFIN_API_KEY_FILE``), as container engines hand them out.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from service.errors import ConfigurationError

CONFIG_FILE_VARIABLE = "MOODREEL_CONFIG"
DEFAULT_CONFIG_FILE = "moodreel.toml"
SECRET_FILE_SUFFIX = "_FILE"  # noqa: S105  part of a name
SECRET_FILE_LIMIT = 64 * 1024
"""Bytes; whatever is larger is no key, and may be a film."""


class Configuration(BaseSettings):
    """The base of every settings class."""

    model_config = SettingsConfigDict(
        extra="ignore", frozen=True, populate_by_name=True, hide_input_in_errors=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003  pydantic-settings passes it
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  likewise
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read by alias alone: the library's own source would take ``PORT`` or ``USERNAME`` too."""
        return (
            init_settings,
            _ByAlias(settings_cls, {name: text for name, text in os.environ.items() if text}),
            _ByAlias(settings_cls, read_secret_files(settings_cls)),
            _ByAlias(settings_cls, {name.upper(): value for name, value in read_file().items()}),
        )

    @classmethod
    def read(cls) -> Self:
        """Read and validate.

        Raises:
            ConfigurationError: A value is wrong; the message names the setting, not its value.
        """
        try:
            return cls()
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, detail['loc']))}: "
                + detail["msg"].removeprefix("Value error, ")
                for detail in error.errors()
            )
            raise ConfigurationError(f"settings: {problems}") from error


class _ByAlias(PydanticBaseSettingsSource):
    def __init__(self, settings_cls: type[BaseSettings], values: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self._values = values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        alias = field.alias or field_name
        return self._values.get(alias), alias, False

    def __call__(self) -> dict[str, Any]:
        aliases = {field.alias or name for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in self._values.items() if name in aliases}


def secret_names(cls: type[BaseSettings]) -> set[str]:
    """The variables of a settings class that hold secrets."""
    return {
        field.alias or name
        for name, field in cls.model_fields.items()
        if "SecretStr" in str(field.annotation)
    }


def read_secret_files(cls: type[BaseSettings]) -> dict[str, str]:
    """The secrets of a settings class that lie in files of their own, by variable.

    Raises:
        ConfigurationError: A file cannot be read, or the secret is given twice.
    """
    secrets: dict[str, str] = {}
    for name in sorted(secret_names(cls)):
        if path := os.environ.get(name + SECRET_FILE_SUFFIX):
            if os.environ.get(name):
                raise ConfigurationError(
                    f"{name} and {name}{SECRET_FILE_SUFFIX} are both set: leave one out"
                )
            secrets[name] = _read_secret(name + SECRET_FILE_SUFFIX, Path(path))
    return secrets


def _read_secret(variable: str, path: Path) -> str:
    # Some write the secret itself there: it would stand in the log.
    place = f"{variable} names {path if path.is_absolute() else 'a relative path'}"
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigurationError(
                    f"{place}, which is no file that can be read more than once"
                )
            content = file.read(SECRET_FILE_LIMIT + 1)
        secret = content.decode("utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"{place}: {error.strerror}") from None  # it quotes the path
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{place}, which is no text") from error
    if len(content) > SECRET_FILE_LIMIT:
        raise ConfigurationError(f"{place}, which is too large for a secret")
    if not secret:
        raise ConfigurationError(f"{place}, which is empty")
    return secret


def _open_at_once(path: str, flags: int) -> int:
    """Without waiting for whoever might write into a pipe of that name."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_file() -> dict[str, Any]:
    """What ``moodreel.toml`` says, by names as it writes them; nothing where there is none.

    Raises:
        ConfigurationError: It cannot be read, or is no TOML.
    """
    path = Path(os.environ.get(CONFIG_FILE_VARIABLE) or DEFAULT_CONFIG_FILE)
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error


def check_names() -> None:
    """See that the file, and our own part of the environment, name settings that there are.

    Counts the settings classes that are imported by now.

    Raises:
        ConfigurationError: A name is unknown; the message says which are near it.
    """
    known = {
        (field.alias or name).lower()
        for cls in _subclasses(Configuration)
        for name, field in cls.model_fields.items()
    } | {CONFIG_FILE_VARIABLE.lower()}
    files = {
        (name + SECRET_FILE_SUFFIX).lower()
        for cls in _subclasses(Configuration)
        for name in secret_names(cls)
    }
    ours = {name.lower() for name, text in os.environ.items() if text and _is_ours(name)}
    for name in sorted((read_file().keys() - known) | (ours - known - files)):
        near = get_close_matches(name, known, n=3)
        if name in ours:  # as it is written there
            name, near = name.upper(), [neighbour.upper() for neighbour in near]  # noqa: PLW2901
        hint = f"did you mean {' or '.join(near)}?" if near else "see docs/reference/settings.md"
        raise ConfigurationError(f"no setting is called {name}; {hint}")


def _is_ours(variable: str) -> bool:
    return variable.startswith("MOODREEL_")


def _subclasses(cls: type[Configuration]) -> Iterator[type[Configuration]]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
