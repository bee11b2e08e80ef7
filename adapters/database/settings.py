"""Where results are kept: settings of the store."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from service.configuration import Configuration
from service.errors import ConfigurationError


def _check_key(key: SecretStr) -> SecretStr:
    text = key.get_secret_value().strip()
    if not re.fullmatch(r"[!-~]*", text):  # it travels in a header: an error there would quote it
        raise ValueError("has characters that no key has")
    return SecretStr(text)


Key = Annotated[SecretStr, AfterValidator(_check_key)]


class DatabaseSettings(Configuration):
    """Nothing set: the embedded Postgres. Both set: results go to Supabase, the queue stays."""

    database_url: SecretStr = Field(
        SecretStr(""),
        alias="DATABASE_URL",
        description="A Postgres 15 or newer with pgvector, for queue and results, instead of the "
        "embedded one: postgresql://user:password@host:5432/name. For Supabase take the direct "
        "connection or the session pooler.",
    )
    supabase_url: str = Field(
        "",
        alias="SUPABASE_URL",
        description="A Supabase project that keeps the results: https://project.supabase.co. "
        "Needs a key.",
    )
    supabase_service_role_key: Key = Field(
        SecretStr(""),
        alias="SUPABASE_SERVICE_ROLE_KEY",
        description="The project's service role key (a JWT), or its secret key (sb_secret_...).",
    )
    supabase_service_key: Key = Field(
        SecretStr(""),
        alias="SUPABASE_SERVICE_KEY",
        description="Another name of SUPABASE_SERVICE_ROLE_KEY.",
    )
    supabase_secret_key: Key = Field(
        SecretStr(""),
        alias="SUPABASE_SECRET_KEY",
        description="Another name of SUPABASE_SERVICE_ROLE_KEY.",
    )

    @property
    def dsn(self) -> str:
        """The operator's own Postgres; empty for the embedded one."""
        return self.database_url.get_secret_value()

    @property
    def supabase_key(self) -> str:
        """The first key that is set.

        Raises:
            ConfigurationError: There is none.
        """
        for key in (
            self.supabase_service_role_key,
            self.supabase_secret_key,
            self.supabase_service_key,
        ):
            if key.get_secret_value():
                return key.get_secret_value()
        raise ConfigurationError(
            "SUPABASE_URL is set without a key: set SUPABASE_SERVICE_ROLE_KEY (in Supabase under "
            "Project Settings, API Keys: the secret key or the service_role key)"
        )
