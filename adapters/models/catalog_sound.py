"""The models that put sounds and texts into one space, by name.

Revisions, sizes and checksums are those that two public projects or more have pinned; where none
were found, ``moodreel models verify`` says "not pinned".
"""

from __future__ import annotations

from adapters.models.families import CLAP
from adapters.models.spec import Model, ModelFile, Role

DEFAULT_SOUND_TEXT_MODEL = "clap-htsat-unfused"
LICENCE = "Apache-2.0"


CLAP_REVISION = "c28f2883575e590e04d3146ff0713c2448d691ba"


def _audio(path: str, size_bytes: int | None = None, sha256: str | None = None) -> ModelFile:
    return ModelFile(role=Role.AUDIO_TOWER, path=path, size_bytes=size_bytes, sha256=sha256)


def _text(path: str, size_bytes: int | None = None, sha256: str | None = None) -> ModelFile:
    return ModelFile(role=Role.TEXT_TOWER, path=path, size_bytes=size_bytes, sha256=sha256)


TOKENIZER = ModelFile(role=Role.TOKENIZER, path="tokenizer.json")
CLAP_TOKENIZER = ModelFile(
    role=Role.TOKENIZER,
    path="tokenizer.json",
    size_bytes=2_108_774,
    sha256="dc239041d98de27ffc3975473a1a23e3db4c937b23c138c38bbc66588bd247e5",
)

SOUND_TEXT_ROWS = (
    Model(
        name=DEFAULT_SOUND_TEXT_MODEL,
        summary="CLAP, 8 bit: any sound in words; the default",
        spec=CLAP,
        repository="Xenova/clap-htsat-unfused",
        revision=CLAP_REVISION,
        licence=LICENCE,
        files=(
            _audio(
                "onnx/audio_model_quantized.onnx",
                34_301_667,
                "3fcff2c8824e7bcb83a983f2a49edab3b60cbcf4872ac70efee517355173bd1f",
            ),
            _text(
                "onnx/text_model_quantized.onnx",
                126_603_263,
                "1a3df8b197e249816e08415fd040434c44762b2eea7eb7bf8a48a0f0bf3c14e5",
            ),
            CLAP_TOKENIZER,
        ),
    ),
    Model(
        name="clap-htsat-unfused-fp32",
        summary="CLAP, full precision",
        spec=CLAP,
        repository="Xenova/clap-htsat-unfused",
        revision=CLAP_REVISION,
        licence=LICENCE,
        files=(
            _audio(
                "onnx/audio_model.onnx",
                117_528_416,
                "a1c2b43c44f71e0fa841a4b86700886c199bf87699ea45632c4d831bc6c88957",
            ),
            _text("onnx/text_model.onnx", 501_513_769),
            CLAP_TOKENIZER,
        ),
    ),
    Model(
        name="larger-clap-general",
        summary="CLAP with larger ears, 8 bit",
        spec=CLAP,
        repository="Xenova/larger_clap_general",
        licence=LICENCE,
        files=(
            _audio("onnx/audio_model_quantized.onnx"),
            _text("onnx/text_model_quantized.onnx"),
            TOKENIZER,
        ),
    ),
    Model(
        name="larger-clap-music-and-speech",
        summary="CLAP with larger ears that know music and speech best, 8 bit",
        spec=CLAP,
        repository="Xenova/larger_clap_music_and_speech",
        revision="e9fd5ac1dbf3280936a7fc3ec8a020453ff184db",
        licence=LICENCE,
        files=(
            _audio(
                "onnx/audio_model_quantized.onnx",
                78_155_433,
                "021dd4fb962b4ed20cc3a6730b09e0ccf9f9c49931047032118a3b64828513a6",
            ),
            _text(
                "onnx/text_model_quantized.onnx",
                None,
                "8f9f29c5f6adee917553d4b3a70729c731c0d18b88efca0ae67c1a1fc278f3b6",
            ),
            TOKENIZER,
        ),
    ),
)
