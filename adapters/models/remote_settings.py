"""Where the model on another machine is, and what it takes to be answered there."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, SecretStr, model_validator
from yarl import URL

from service.configuration import Configuration
from service.errors import ConfigurationError


class RemoteFor(StrEnum):
    """What another machine's model is asked for."""

    QUERIES = "queries"
    ANALYSIS = "analysis"
    BOTH = "both"


class RemoteSettings(Configuration):
    """A picture-and-text model on another machine."""

    url: str = Field(
        "",
        alias="CLIP_RUNPOD_URL",
        description="Address of an encoder on another machine (`moodreel encode-server`, or a "
        "service that speaks Heimdex' protocol), such as `http://gpu-box:8687`. Empty: none.",
    )
    endpoint: str = Field(
        "",
        alias="CLIP_ENDPOINT",
        description="Another name for `CLIP_RUNPOD_URL`: the one that PMOVES uses.",
    )
    secret: SecretStr = Field(
        SecretStr(""),
        alias="CLIP_RUNPOD_SECRET",
        description="What requests to it are signed with, the same on both sides: "
        "`openssl rand -hex 32` makes one. `moodreel encode-server` reads it too.",
    )
    model: str = Field(
        "",
        alias="CLIP_MODEL",
        description="What the encoder calls the model, where that is not what "
        "`MOODREEL_VISUAL_MODEL` is called here: `ViT-B-32` or, stricter, `ViT-B-32/openai` for "
        "Heimdex' service beside `clip-vit-b-32`. You vouch that it is the same model.",
    )
    remote_for: RemoteFor = Field(
        RemoteFor.QUERIES,
        alias="CLIP_REMOTE_FOR",
        description="What it is asked for: `queries` (the words and pictures that somebody "
        "searches for), `analysis` (the pictures of what is analysed), or `both`.",
    )
    timeout_s: float = Field(
        10.0,
        alias="CLIP_TIMEOUT",
        gt=0,
        le=600,
        description="Seconds that a batch of pictures may take there, retries included; where it "
        "is not set, a batch of an analysis may take 60.",
    )
    max_retries: int = Field(
        1,
        alias="CLIP_TEXT_EMBEDDING_MAX_RETRIES",
        ge=0,
        le=10,
        description="Further attempts where the encoder cannot be reached, or is busy.",
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.url and self.endpoint and self.url.rstrip("/") != self.endpoint.rstrip("/"):
            raise ValueError("CLIP_RUNPOD_URL and CLIP_ENDPOINT name two addresses: leave one out")
        return self

    @property
    def address(self) -> str:
        """The encoder's; empty where there is none."""
        return (self.url or self.endpoint).strip()

    @property
    def serves_queries(self) -> bool:
        """Whether searches ask it."""
        return bool(self.address) and self.remote_for is not RemoteFor.ANALYSIS

    @property
    def serves_analysis(self) -> bool:
        """Whether what is analysed is shown to it."""
        return bool(self.address) and self.remote_for is not RemoteFor.QUERIES

    @property
    def setting(self) -> str:
        """What the address is called, for messages."""
        return "CLIP_RUNPOD_URL" if self.url else "CLIP_ENDPOINT"


def read_address(settings: RemoteSettings) -> URL:
    """The encoder's address, without a final slash.

    Raises:
        ConfigurationError: It is none, or holds a password. The message does not quote it.
    """
    name = settings.setting
    try:
        address = URL(settings.address)
        (address.host or "").encode("idna")  # as a connection will do: it refuses "a..b"
    except ValueError:  # UnicodeError among them
        # Not chained: the reason may spell out the address.
        raise ConfigurationError(f"{name} cannot be read as an address") from None
    if address.scheme not in {"http", "https"} or not address.host:
        raise ConfigurationError(f"{name} must begin with http:// or https:// and a host")
    if address.user or address.password or address.query_string or address.fragment:
        raise ConfigurationError(
            f"{name} holds more than an address: the secret goes into CLIP_RUNPOD_SECRET"
        )
    return address.with_path(address.path.rstrip("/"))


def read_secret(settings: RemoteSettings) -> str:
    """What requests are signed with.

    Raises:
        ConfigurationError: There is none.
    """
    secret = settings.secret.get_secret_value().strip()
    if not secret:
        raise ConfigurationError(
            f"{settings.setting} needs CLIP_RUNPOD_SECRET, the secret of that encoder"
        )
    return secret
