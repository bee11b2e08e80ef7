"""The service's own settings. Each adapter keeps its own beside it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import Field, SecretStr, field_validator

from service.configuration import Configuration
from service.errors import ConfigurationError
from service.query import SearchChannel, SearchMode


def _default_data_dir() -> Path:
    """Root's own home is closed to the unprivileged user that the embedded database runs as."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return Path("/var/lib/moodreel") if is_root else user_data_path("moodreel")


class ServiceSettings(Configuration):
    """How the service as a whole behaves."""

    data_dir: Path = Field(
        default_factory=_default_data_dir,
        alias="MOODREEL_DATA_DIR",
        description="Where the embedded database and the webhook token are kept. Default: "
        "/var/lib/moodreel for root, else where the user's applications keep their data.",
    )
    host: str = Field(
        default="127.0.0.1",
        alias="MOODREEL_HOST",
        description="Address to listen on. In a container: 0.0.0.0.",
    )
    port: int = Field(
        default=8686, alias="MOODREEL_PORT", ge=0, le=65535, description="Port to listen on."
    )
    public_url: str = Field(
        default="",
        alias="MOODREEL_PUBLIC_URL",
        pattern=r"^(https?://[^\s/?#]+(/[^\s?#]*)?)?$",
        description="How media servers and people reach this service, such as "
        "http://moodreel:8686. By default made of the host's name and the port.",
    )
    webhook_token: SecretStr | None = Field(
        default=None,
        alias="MOODREEL_WEBHOOK_TOKEN",
        description="What senders of webhooks must know. Made at the first start when not given.",
    )
    namespace: str = Field(
        default="moodreel",
        alias="MOODREEL_NAMESPACE",
        pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$",
        description="Namespace of published events and their artifact URIs.",
    )
    concurrency: int = Field(
        default=1,
        alias="MOODREEL_JOBS",
        ge=1,
        le=64,
        description="How many jobs this process does at once.",
    )
    reconcile_minutes: float = Field(
        default=15.0,
        alias="MOODREEL_RECONCILE_MINUTES",
        ge=0.0,
        description="How often media servers are asked what changed, since webhooks get lost. "
        "0: only when somebody says so.",
    )
    census_hours: float = Field(
        default=24.0,
        alias="MOODREEL_CENSUS_HOURS",
        gt=0.0,
        description="How often whole libraries are compared with what is stored, to notice what "
        "was deleted.",
    )
    log_format: Literal["text", "json"] = Field(
        default="text", alias="MOODREEL_LOG_FORMAT", description="How log lines are written."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", alias="MOODREEL_LOG_LEVEL", description="The least that is logged."
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _shout(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value


class DetectionSettings(Configuration):
    """How closely to look and listen, and what to make of it."""

    vocabulary_dir: Path | None = Field(
        default=None,
        alias="MOODREEL_VOCABULARY_DIR",
        description="A directory of YAML files that add to, change or remove from the vocabulary.",
    )
    guard_spoilers: bool = Field(
        default=True,
        alias="MOODREEL_SPOILER_GUARD",
        description="Films and episodes: no highlight in the last quarter.",
    )
    sample_rate_hz: float | None = Field(
        default=None,
        alias="MOODREEL_SAMPLE_RATE_HZ",
        gt=0.0,
        le=30.0,
        description="Look at this many pictures a second throughout, instead of adaptively.",
    )
    frames_per_hour: int = Field(
        default=1800,
        alias="MOODREEL_FRAMES_PER_HOUR",
        ge=60,
        description="How many pictures of an hour of film the fine pass may look at.",
    )
    scene_timeout_s: float = Field(
        default=120.0,
        alias="MOODREEL_SCENE_TIMEOUT_S",
        gt=0.0,
        description="Seconds that a model may spend on one scene, or on one stretch of sound; what "
        "is not encoded by then is left out, and the rest goes on.",
    )
    context_s: float = Field(
        default=3.0,
        alias="MOODREEL_CONTEXT_S",
        ge=0.0,
        le=60.0,
        description="Seconds in which pictures are judged together; 0 judges each alone.",
    )
    picture_weight: float = Field(
        default=0.5,
        alias="MOODREEL_PICTURE_WEIGHT",
        ge=0.0,
        description="How much a picture model has to say about highlights. Only the proportions "
        "of the three weights count, and what is absent drops out.",
    )
    sound_weight: float = Field(
        default=0.25,
        alias="MOODREEL_SOUND_WEIGHT",
        ge=0.0,
        description="How much the sound models have to say about highlights.",
    )
    signal_weight: float = Field(
        default=0.25,
        alias="MOODREEL_SIGNAL_WEIGHT",
        ge=0.0,
        description="How much movement, loudness and beats have to say about highlights.",
    )


class SearchSettings(Configuration):
    """How scenes are found, and put in order."""

    visual_mode: SearchMode = Field(
        default=SearchMode.AUTO,
        alias="VISUAL_MODE",
        description="What part the picture model takes where a query does not say: `recall` finds "
        "scenes by their pictures, `rerank` only reorders what words found, `skip` leaves it out, "
        "`auto` decides by the words of each query.",
    )
    rerank_provider: Literal["clip", "remote", "none"] = Field(
        default="clip",
        alias="RERANK_PROVIDER",
        description="Who turns a query into a vector of pictures: the picture model of this "
        "machine (`clip`) or another machine's (`remote`). Where one fails, the other takes over "
        "if there is one; `none`: nothing is reranked.",
    )
    rerank_pool_size: int = Field(
        default=500,
        alias="RERANK_CANDIDATE_POOL_SIZE",
        ge=1,
        le=2000,
        description=(
            "How many candidates are reranked at most, in one call of the database. Where the "
            "router chooses to, the best hundred of each channel are."
        ),
    )
    rerank_clip_weight: float = Field(
        default=0.3,
        alias="RERANK_CLIP_WEIGHT",
        ge=0.0,
        le=1.0,
        description="How much of a reranked score is the picture model's.",
    )
    rerank_min_score_range: float | None = Field(
        default=None,
        alias="RERANK_MIN_SCORE_RANGE",
        ge=0.0,
        description="Nothing is reranked where the picture model's cosines differ by less. By "
        "default as measured for the model, else 0.01.",
    )
    text_timeout_s: float = Field(
        default=1.5,
        alias="CLIP_TEXT_EMBEDDING_TIMEOUT_S",
        gt=0.0,
        le=60.0,
        description="Seconds that a search waits for its words' vectors before it goes on without.",
    )
    transcript_weight: float = Field(
        default=0.45,
        alias="WEIGHT_TRANSCRIPT",
        ge=0.0,
        description="How much it counts that words are said or sung. Only the proportions of the "
        "five weights count, and what finds nothing drops out.",
    )
    visual_weight: float = Field(
        default=0.25,
        alias="WEIGHT_VISUAL",
        ge=0.0,
        description="How much it counts what pictures look like.",
    )
    summary_weight: float = Field(
        default=0.10,
        alias="WEIGHT_SUMMARY",
        ge=0.0,
        description="How much it counts that words are in titles, overviews and captions.",
    )
    lexical_weight: float = Field(
        default=0.40,
        alias="WEIGHT_LEXICAL",
        ge=0.0,
        description="How much it counts that words are among names, tags and moods.",
    )
    audio_weight: float = Field(
        default=0.15,
        alias="WEIGHT_AUDIO",
        ge=0.0,
        description="How much it counts what a scene sounds like. 0: sounds are not searched.",
    )

    def weights(self) -> dict[SearchChannel, float]:
        """By channel."""
        return {channel: getattr(self, f"{channel}_weight") for channel in SearchChannel}


def prepare_data_dir(settings: ServiceSettings) -> Path:
    """Make the data directory.

    Raises:
        ConfigurationError: It cannot be made or written.
    """
    path = settings.data_dir.expanduser().resolve()
    try:
        if not path.exists():
            path.mkdir(parents=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot make the data directory {path}: {error.strerror}. "
            "Set MOODREEL_DATA_DIR to a place that may be written."
        ) from error
    if not path.is_dir():
        raise ConfigurationError(f"MOODREEL_DATA_DIR names {path}, which is no directory")
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"the data directory {path} may not be written by this user. "
            "Set MOODREEL_DATA_DIR to a place that may be written."
        )
    return path


def webhook_token(settings: ServiceSettings) -> str:
    """The configured token, or the one that was made at the first start."""
    if settings.webhook_token is not None:
        return settings.webhook_token.get_secret_value()
    return kept_secret(settings, "webhook-token")


def kept_secret(settings: ServiceSettings, name: str) -> str:
    """What was made at the first start, and lies in a file of this name in the data directory."""
    return _kept_once(prepare_data_dir(settings) / name, secrets.token_urlsafe(24))


def _kept_once(path: Path, value: str) -> str:
    """Write a value once, for the owner's eyes only; whoever comes later reads the first one."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        if not path.exists():
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(value)
            _publish(draft, path)
        return path.read_text().strip()
    except OSError as error:
        raise ConfigurationError(f"cannot keep {path}: {error.strerror}") from error


def _publish(draft: Path, path: Path) -> None:
    """Give a finished draft its name. Of two first starts one wins, whole."""
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        draft.replace(path)
    draft.unlink(missing_ok=True)
