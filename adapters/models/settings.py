"""Which models, where they lie, and what they may use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import platformdirs
import psutil
from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from adapters.models.catalog import DEFAULT_SOUND_MODEL, DEFAULT_VISUAL_MODEL
from adapters.models.catalog_sound import DEFAULT_SOUND_TEXT_MODEL
from adapters.models.spec import DEFAULT_BATCH_SIZE
from service.configuration import Configuration

OFF = "none"
"""The name of no model."""

MAX_DEFAULT_THREADS = 4
"""Beyond it the gain is small, and playback on the same machine wants its share."""


def default_thread_count() -> int:
    """Physical cores that this process may use, four at most."""
    logical = psutil.cpu_count() or 1
    physical = psutil.cpu_count(logical=False) or logical
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else logical
    return max(1, min(physical, allowed, MAX_DEFAULT_THREADS))


class ModelSettings(Configuration):
    """Settings of the models."""

    visual_model: str = Field(
        DEFAULT_VISUAL_MODEL,
        alias="MOODREEL_VISUAL_MODEL",
        description="The picture-and-text model: a name that `moodreel models list` shows, a "
        "directory, or `none`.",
    )
    sound_model: str = Field(
        DEFAULT_SOUND_MODEL,
        alias="MOODREEL_SOUND_MODEL",
        description="The sound tagger: a name, a directory, or `none`.",
    )
    sound_text_model: str = Field(
        DEFAULT_SOUND_TEXT_MODEL,
        alias="MOODREEL_SOUND_TEXT_MODEL",
        description="The sound-and-text model: a name, a directory, or `none`. Unless it is set, a "
        "picture model that hears as well (LanguageBind, clipclap) is this one too.",
    )
    models_dir: Path = Field(
        default_factory=lambda: platformdirs.user_cache_path("moodreel") / "models",
        alias="MOODREEL_MODELS_DIR",
        description="Where models are kept. Files put into `NAME/` inside it are used as they are. "
        "Default: `moodreel/models` where the user's applications keep their caches.",
    )
    download: bool = Field(
        default=True,
        alias="MOODREEL_MODEL_DOWNLOAD",
        description="Whether a job fetches a model that it needs; `moodreel models pull` always "
        "does.",
    )
    offline: bool = Field(
        default=False,
        alias="MOODREEL_OFFLINE",
        description="Never ask the network for a model (HF_HUB_OFFLINE does the same).",
    )
    threads: int = Field(
        default_factory=default_thread_count,
        alias="MOODREEL_MODEL_THREADS",
        ge=1,
        le=256,
        description="Threads that a running model may use. Default: the physical cores, at most 4.",
    )
    batch_size: int = Field(
        DEFAULT_BATCH_SIZE,
        alias="MOODREEL_MODEL_BATCH",
        ge=1,
        le=256,
        description="Pictures or texts that a model encodes at once.",
    )
    idle_s: float = Field(
        300.0,
        alias="MOODREEL_MODEL_IDLE_S",
        ge=0,
        description="Seconds without use after which a model leaves memory; 0 keeps it.",
    )
    providers: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        alias="MOODREEL_MODEL_PROVIDERS",
        description="What models may run on, separated by commas: cuda, migraphx, rocm, openvino, "
        "coreml, directml, cpu. Default: the best that this onnxruntime has.",
    )

    openvino_device: str = Field(
        "",
        alias="MOODREEL_OPENVINO_DEVICE",
        description="What OpenVINO runs models on: CPU, GPU (Intel's) or NPU. Default: its own "
        "choice, the CPU.",
    )

    @field_validator("providers", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().lower() for part in value.split(",") if part.strip())
        return value
