"""Where settings come from: environment variables, then ``moodreel.toml``, then defaults.

Each adapter keeps its own settings beside it, as a subclass of ``Configuration``. A field's alias
is the variable's name (``JELLYFIN_URL``); in the file the same name is written in lower case.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from service.errors import ConfigurationError

CONFIG_FILE_VARIABLE = "MOODREEL_CONFIG"
DEFAULT_CONFIG_FILE = "moodreel.toml"


def config_file() -> Path:
    """The settings file, whether or not it exists."""
    return Path(os.environ.get(CONFIG_FILE_VARIABLE) or DEFAULT_CONFIG_FILE)


class Configuration(BaseSettings):
    """The base of every settings class."""

    model_config = SettingsConfigDict(
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  pydantic-settings passes it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (
            init_settings,
            env_settings,
            TomlConfigSettingsSource(settings_cls, toml_file=config_file()),
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
                f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors()
            )
            raise ConfigurationError(f"settings: {problems}") from error
