"""How media are read: how large, how many threads, and how patiently."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from service.configuration import Configuration

Storyboards = Literal["remote", "always", "never"]
"""Of which media the coarse pass comes from the pictures that a server has made already."""


class ReaderSettings(Configuration):
    """Settings of the process that decodes."""

    short_side_px: int = Field(
        default=256,
        alias="MOODREEL_FRAME_SIZE",
        ge=32,
        le=2160,
        description=(
            "Short side, in pixels, of the pictures that are looked at. "
            "Smaller ones are never enlarged; models want 224 to 256."
        ),
    )
    threads: int = Field(
        default=2,
        alias="MOODREEL_DECODE_THREADS",
        ge=1,
        le=64,
        description="Threads that decode one film.",
    )
    niceness: int = Field(
        default=10,
        alias="MOODREEL_DECODE_NICE",
        ge=0,
        le=19,
        description=(
            "How far decoding and, on Linux, the models' threads stand back behind other "
            "programs (0 to 19), so that playback does not stutter."
        ),
    )
    stall_timeout_s: float = Field(
        default=120.0,
        alias="MOODREEL_DECODE_TIMEOUT",
        gt=0,
        description="Seconds without any progress after which a decoder counts as hung.",
    )
    memory_mb: int = Field(
        default=4096,
        alias="MOODREEL_DECODER_MEMORY_MB",
        ge=1024,
        le=1_048_576,
        description=(
            "Address space, in MB, that a decoder may take, and 96 more for each of its threads. "
            "A film in 4K takes 700, one in 8K 1,900; a decoder that wants more is ended."
        ),
    )
    cpu_ratio: float = Field(
        default=20.0,
        alias="MOODREEL_DECODER_CPU",
        gt=0,
        le=10_000,
        description=(
            "Seconds of processor time that one reading of a medium may take for each of its "
            "seconds, and 600 more. 8K takes 4 on a fast core; a decoder that wants more is ended."
        ),
    )
    sandbox: bool = Field(
        default=True,
        alias="MOODREEL_DECODER_SANDBOX",
        description=(
            "Whether decoders give up all files but their medium, and the network (Landlock; "
            "where the kernel has it)."
        ),
    )
    network_timeout_s: float = Field(
        default=20.0,
        alias="MOODREEL_STREAM_TIMEOUT",
        gt=0,
        description="Seconds that a media server may take to send the next bytes of a stream.",
    )
    storyboards: Storyboards = Field(
        default="remote",
        alias="MOODREEL_STORYBOARDS",
        description=(
            "Whether the small pictures that a media server has made (Jellyfin's trickplay) are "
            "looked at first, instead of the medium's own keyframes: `remote` of what is streamed, "
            "`always` of files too, or `never`."
        ),
    )
    text_languages: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        alias="MOODREEL_TEXT_LANGUAGES",
        description=(
            "Languages of the text tracks within media that can be searched besides that of the "
            "sound, separated by commas (`de,fr`). Default: any, four at most."
        ),
    )

    @field_validator("text_languages", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().lower() for part in value.split(",") if part.strip())
        return value
