"""The words for a model: what its files are and how its graphs want to be fed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from service.domain import Calibration

DEFAULT_BATCH_SIZE = 8
"""Pictures that are encoded at once. Beyond it a CPU gains nothing and memory grows: 8.1 ms and
151 MB at 8, 9.3 ms and 258 MB at 16 (the stand-in CLIP, 2 cores)."""


class Role(StrEnum):
    """What a file is for."""

    IMAGE_TOWER = "image_tower"
    TEXT_TOWER = "text_tower"
    TOKENIZER = "tokenizer"
    IMAGE_PROJECTION = "image_projection"
    TEXT_PROJECTION = "text_projection"
    """From a tower's own output into the common space, where an export keeps that apart."""
    AUDIO_TOWER = "audio_tower"
    AUDIO_PROJECTION = "audio_projection"
    TAGGER = "tagger"
    LABELS = "labels"


class Resize(StrEnum):
    """How a picture of any shape becomes a square."""

    CROP = "crop"
    """The shortest edge to the size, then the centre (CLIP)."""
    SQUASH = "squash"
    """Both edges to the size, whatever the shape was (SigLIP)."""


class Interpolation(StrEnum):
    """Pillow's filters; both antialias when they shrink, as the reference libraries do."""

    BICUBIC = "bicubic"
    BILINEAR = "bilinear"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """One file of a model's repository."""

    role: Role
    path: str
    """Inside the repository, with forward slashes."""
    size_bytes: int | None = None
    sha256: str | None = None
    """None where nobody has published one: then a download is taken as it comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInput:
    """What the picture tower wants."""

    size: int
    """Edge of the square in pixels."""
    resize: Resize
    interpolation: Interpolation
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextInput:
    """What the text tower wants."""

    context_length: int
    pad_id: int | None
    """None: the end token."""
    end_id: int | None
    """Closes every text, also a truncated one. None: whatever the tokenizer ends an empty text
    with."""
    pads_to_context: bool
    """True where the last position is what is pooled (SigLIP): shorter inputs are then wrong."""
    lower_case: bool = False
    canonicalize: bool = False
    """Without punctuation and doubled spaces, as SigLIP was trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisualSpec:
    """A model that puts pictures and texts into one space."""

    dimension: int | None
    """None for a directory that does not say: then the graph does."""
    image: ImageInput
    text: TextInput
    calibration: Calibration
    output: str = ""
    """The towers' output; empty: image_embeds, text_embeds, pooler_output, else rank 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundTextSpec:
    """A model that puts sounds and texts into one space (CLAP)."""

    dimension: int | None
    text: TextInput
    calibration: Calibration
    """Of cosines between sounds and texts."""


class JointFamily(StrEnum):
    """How a joint model sees and hears."""

    CLIPCLAP = "clipclap"
    """Single pictures as CLIP does; sounds as CLAP does, projected into CLIP's space."""
    LANGUAGEBIND = "languagebind"
    """Short clips; sounds as a picture of their filter bank energies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JointSpec:
    """A model that puts pictures, sounds and texts into one space."""

    family: JointFamily
    visual: VisualSpec
    sound_calibration: Calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundSpec:
    """A model that scores a waveform against a closed set of classes."""

    sample_rate_hz: int
    window_samples: int
    hop_samples: int


Spec = VisualSpec | SoundTextSpec | JointSpec | SoundSpec

KINDS: dict[type[Spec], str] = {
    VisualSpec: "picture-and-text model",
    SoundTextSpec: "sound-and-text model",
    JointSpec: "joint model",
    SoundSpec: "sound tagger",
}
"""What people call a model that is described so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One row of the catalog, or a directory read as one."""

    name: str
    summary: str
    files: tuple[ModelFile, ...]
    spec: Spec
    licence: str = ""
    is_research_only: bool = False
    """Never a default: whoever wants it names it, and thereby accepts its licence."""
    repository: str = ""
    revision: str = "main"
    directory: Path | None = None
    """Where its files lie, for a model that is no row of the catalog."""

    @property
    def kind(self) -> str:
        """In words, such as ``joint model``."""
        return KINDS[type(self.spec)]

    @property
    def size_bytes(self) -> int:
        """Of all files whose size is known."""
        return sum(file.size_bytes or 0 for file in self.files)

    def file(self, role: Role) -> ModelFile:
        """The file of a role.

        Raises:
            KeyError: The model has none.
        """
        for file in self.files:
            if file.role is role:
                return file
        raise KeyError(role)
