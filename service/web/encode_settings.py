"""What an encoder for other machines is told, and what it tells of itself."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from service.configuration import Configuration
from service.domain import Calibration, Json
from service.web.encode_pictures import PictureHosts


class EncodeSettings(Configuration):
    """What `moodreel encode-server` does for other machines."""

    host: str = Field(
        default="127.0.0.1",
        alias="MOODREEL_ENCODE_HOST",
        description="Address at which `moodreel encode-server` listens. For other machines: "
        "0.0.0.0, or its address in your network.",
    )
    port: int = Field(
        default=8687,
        alias="MOODREEL_ENCODE_PORT",
        ge=0,
        le=65535,
        description="Port at which it listens; 0: any free one.",
    )
    jobs: int = Field(
        default=1,
        alias="MOODREEL_ENCODE_JOBS",
        ge=1,
        le=32,
        description="Batches of pictures that it encodes at once, and texts beside them.",
    )
    picture_hosts: str = Field(
        default="",
        alias="MOODREEL_ENCODE_PICTURE_HOSTS",
        description="Hosts that it may fetch pictures from, separated by commas: "
        "`cdn.example.org`, `.example.org` for all below it, `*` for any public one. Hosts at "
        "private addresses need their network as well, such as `nas.lan, 192.168.1.0/24`. Empty: "
        "none; Moodreel sends its pictures along.",
    )

    @property
    def hosts(self) -> PictureHosts:
        """Those that pictures may be fetched from.

        Raises:
            ConfigurationError: Something in the setting is no host.
        """
        return PictureHosts.parse(self.picture_hosts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What answers say of the model."""

    model: str
    dimension: int
    device: str
    pretrained: str = ""
    """Where its weights come from."""
    version: str = ""
    """Of its files."""
    calibration: Calibration | None = None
    """How its cosines become scores; what was measured on media is each machine's own."""

    def words(self) -> Json:
        """As answers have it."""
        return {
            "model_name": self.model,
            "pretrained": self.pretrained,
            "device": self.device,
        }

    def details(self) -> Json:
        """What ``/health`` adds, for whoever has its analyses made here."""
        found: Json = {"dim": self.dimension, "version": self.version}
        if self.calibration is not None:
            found["scale"] = {
                "kind": self.calibration.kind.value,
                "logit_scale": self.calibration.logit_scale,
                "logit_bias": self.calibration.logit_bias,
            }
        return found
