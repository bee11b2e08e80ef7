"""The models that put sounds and texts into one space, by name.

The sizes to the byte are those that a public project has pinned; the rounded ones on the models'
pages are left out. No public project pins their checksums, so ``moodreel models verify`` calls
them "not pinned".
"""

from __future__ import annotations

from adapters.models.families import CLAP
from adapters.models.spec import Model, ModelFile, Role

DEFAULT_SOUND_TEXT_MODEL = "clap-htsat-unfused"
LICENCE = "Apache-2.0"


def _files(
    suffix: str, audio_bytes: int | None = None, text_bytes: int | None = None
) -> tuple[ModelFile, ...]:
    return (
        ModelFile(
            role=Role.AUDIO_TOWER, path=f"onnx/audio_model{suffix}.onnx", size_bytes=audio_bytes
        ),
        ModelFile(
            role=Role.TEXT_TOWER, path=f"onnx/text_model{suffix}.onnx", size_bytes=text_bytes
        ),
        ModelFile(role=Role.TOKENIZER, path="tokenizer.json"),
    )


SOUND_TEXT_ROWS = (
    Model(
        name=DEFAULT_SOUND_TEXT_MODEL,
        summary="CLAP, 8 bit: any sound in words; the default",
        spec=CLAP,
        repository="Xenova/clap-htsat-unfused",
        licence=LICENCE,
        files=_files("_quantized", 34_301_667, 126_603_263),
    ),
    Model(
        name="clap-htsat-unfused-fp32",
        summary="CLAP, full precision",
        spec=CLAP,
        repository="Xenova/clap-htsat-unfused",
        licence=LICENCE,
        files=_files("", 117_528_416, 501_513_769),
    ),
    Model(
        name="larger-clap-general",
        summary="CLAP with larger ears, 8 bit",
        spec=CLAP,
        repository="Xenova/larger_clap_general",
        licence=LICENCE,
        files=_files("_quantized"),
    ),
    Model(
        name="larger-clap-music-and-speech",
        summary="CLAP with larger ears that know music and speech best, 8 bit",
        spec=CLAP,
        repository="Xenova/larger_clap_music_and_speech",
        licence=LICENCE,
        files=_files("_quantized"),
    ),
)
