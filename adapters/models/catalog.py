"""The models Moodreel knows by name. A new model is a new row.

Revisions, sizes and checksums are those that public projects which download the same files have
pinned; most were found in two or more. They have not been held against the Hub itself, which could
not be reached: ``moodreel models verify`` does that on a machine that can. Where none was found,
``sha256`` is None and it says "not pinned". Preprocessing, tokenizer and calibration values are
those of the models' papers, cards and reference implementations.
"""

from __future__ import annotations

from dataclasses import replace

from adapters.models.catalog_sound import SOUND_TEXT_ROWS
from adapters.models.families import CLIP, MOBILECLIP, SIGLIP, SIGLIP2, YAMNET
from adapters.models.spec import Interpolation, Model, ModelFile, Role
from service.errors import ConfigurationError

DEFAULT_VISUAL_MODEL = "siglip-b16-224"
DEFAULT_SOUND_MODEL = "yamnet"


def _image(path: str, size_bytes: int | None, sha256: str | None) -> ModelFile:
    return ModelFile(role=Role.IMAGE_TOWER, path=path, size_bytes=size_bytes, sha256=sha256)


def _text(path: str, size_bytes: int | None, sha256: str | None) -> ModelFile:
    return ModelFile(role=Role.TEXT_TOWER, path=path, size_bytes=size_bytes, sha256=sha256)


def _tokenizer(path: str, size_bytes: int | None, sha256: str | None) -> ModelFile:
    return ModelFile(role=Role.TOKENIZER, path=path, size_bytes=size_bytes, sha256=sha256)


SIGLIP_TOKENIZER = _tokenizer(
    "tokenizer.json",
    2_398_744,
    "4a17c975210be5ab4c36b47d8dae4eefb866dbfb1e676e394aad85dc30a3ae08",
)
CLIP_TOKENIZER = _tokenizer(
    "tokenizer.json",
    2_224_119,
    "f7f3b7af117d467b58374797691a6438d3e6b9e9cef800dfd5dced7f697a90cd",
)
SIGLIP2_TOKENIZER = _tokenizer(
    "tokenizer.json",
    34_363_039,
    "cb9140fae3ac5122c972d37adf83e1248471a38147ad76f8215c8872c6fd8322",
)

SIGLIP_ROW = Model(
    name=DEFAULT_VISUAL_MODEL,
    summary="SigLIP B/16, 8 bit: the default",
    spec=SIGLIP,
    repository="Xenova/siglip-base-patch16-224",
    revision="4649052661e53c7000355844105f8a1792088239",
    licence="Apache-2.0",
    files=(
        _image(
            "onnx/vision_model_quantized.onnx",
            99_499_129,
            "ef14a954f3d57e1806666432bd9785004c1dc27100aa260eee0cb0f10a5de058",
        ),
        _text(
            "onnx/text_model_quantized.onnx",
            111_475_220,
            "ad0329b1f35acc66d8953ff2559ce358da8eb0a7011794cf951523d63a4dbce2",
        ),
        SIGLIP_TOKENIZER,
    ),
)
CLIP_ROW = Model(
    name="clip-vit-b-32",
    summary="CLIP B/32, 8 bit: for weak machines",
    spec=CLIP,
    repository="Xenova/clip-vit-base-patch32",
    revision="d15189d7028b43f1d3e65039190477f6af591c2a",
    licence="MIT",
    files=(
        _image(
            "onnx/vision_model_quantized.onnx",
            89_117_001,
            "583fd1110a514667812fee7d684952aaf82a99b959760c8d7dca7e0ab9839299",
        ),
        _text(
            "onnx/text_model_quantized.onnx",
            64_504_507,
            "73baab855d406190da9faa498cfedf65f15cf309f4cc7385b7b032e6d08e5c3a",
        ),
        CLIP_TOKENIZER,
    ),
)

ROWS: tuple[Model, ...] = (
    SIGLIP_ROW,
    replace(
        SIGLIP_ROW,
        name="siglip-b16-224-fp32",
        summary="SigLIP B/16, full precision",
        files=(
            _image(
                "onnx/vision_model.onnx",
                371_819_850,
                "f89d41bac7f4d4b87e010a467d93f98689d708916ed22f5a07f96fdfa26f475f",
            ),
            _text(
                "onnx/text_model.onnx",
                441_332_132,
                "3aa7fdbd20eaa8740cce17bf82913de641fcb632a768fed59f661cdcd0c32553",
            ),
            SIGLIP_TOKENIZER,
        ),
    ),
    CLIP_ROW,
    replace(
        CLIP_ROW,
        name="clip-vit-b-32-fp32",
        summary="CLIP B/32, full precision",
        files=(
            _image(
                "onnx/vision_model.onnx",
                351_685_709,
                "fd6e1402a588279d1723c7534d4bcba5bc0b14b47dfab0e46f8c47b8270d7d40",
            ),
            _text(
                "onnx/text_model.onnx",
                254_058_553,
                "3f6571f5bad13a97c469c1622e1cfc4d9aef78b79fdbfcff804ca357bfada8cc",
            ),
            CLIP_TOKENIZER,
        ),
    ),
    # SigLIP 2 has no rows of 8 bit: of its picture tower a public project measured cosines of 0.64
    # to 0.82 with full precision, and 0.76 of queries right at rank 1 instead of 0.96.
    Model(
        name="siglip2-b16-256",
        summary="SigLIP 2 B/16, full precision, many languages: for strong machines",
        spec=SIGLIP2,
        repository="onnx-community/siglip2-base-patch16-256-ONNX",
        revision="d1114256522a37ffa257a0a58017348ab0058db2",
        licence="Apache-2.0",
        files=(
            _image(
                "onnx/vision_model.onnx",
                371_992_072,
                "f5cb16728a704703f05516ded628397e11dbca4de2eb5db04b0c0bcee988aa7a",
            ),
            _text(
                "onnx/text_model.onnx",
                1_129_469_657,
                "d3de4a6bbbfcb429b6615ac496790353cf4a4fc0f19fbbe7179e523ae60daaef",
            ),
            SIGLIP2_TOKENIZER,
        ),
    ),
    Model(
        name="siglip2-b16-224",
        summary="SigLIP 2 B/16 for smaller pictures, full precision, many languages",
        spec=replace(SIGLIP2, image=replace(SIGLIP2.image, size=224)),
        repository="onnx-community/siglip2-base-patch16-224-ONNX",
        revision="ba1f3b0843f24bc5417d38e19c37b287d719b2f4",
        licence="Apache-2.0",
        files=(
            _image(
                "onnx/vision_model.onnx",
                371_807_752,
                "c0573e3f4140c3a7c4e9cc5912bd6b26a033b46a6a8e8af26cbea262b163bcad",
            ),
            _text(
                "onnx/text_model.onnx",
                1_129_469_657,
                "baf12d941beabafafb14f7b4adb38dc15be18681b964a84410ec53d9d65e6293",
            ),
            SIGLIP2_TOKENIZER,
        ),
    ),
    Model(
        name="siglip2-b32-256",
        summary="SigLIP 2 B/32, full precision, many languages: the fastest of them; from Immich",
        # Immich's exports carry open_clip's preprocessing, which is bicubic.
        spec=replace(SIGLIP2, image=replace(SIGLIP2.image, interpolation=Interpolation.BICUBIC)),
        repository="immich-app/ViT-B-32-SigLIP2-256__webli",
        revision="762c736d366fc253e9453021144f9fe71789b075",
        licence="Apache-2.0",
        files=(
            _image(
                "visual/model.onnx",
                378_359_772,
                "e96b8a3d32ab1b683aa12c45312342b4a10d4befef5f195f5cf84eadf1938696",
            ),
            _text(
                "textual/model.onnx",
                1_129_435_819,
                "ba6e09d2dbb3d7ac0f9e2935676db92dceebddfd06c1462b67019caa90eeea20",
            ),
            _tokenizer(
                "textual/tokenizer.json",
                34_362_885,
                "220c63d496e0c14e63eb656c91e0215e926202e4c74b1f089e09f1920d779b04",
            ),
        ),
    ),
    Model(
        name="clip-vit-b-32-laion",
        summary="CLIP B/32 trained on LAION-2B, as Immich exports it",
        spec=CLIP,
        repository="immich-app/ViT-B-32__laion2b-s34b-b79k",
        revision="19a057a0fb927cf239541300e74237cd56c7ffe2",
        licence="MIT",
        files=(
            _image(
                "visual/model.onnx",
                351_613_724,
                "b9ce24b91a8c62ef8d40ea786051709c93140104cbf2b6b4a2cc270df3838f9c",
            ),
            _text(
                "textual/model.onnx",
                254_193_396,
                "48c25be37b352398f2533c9426dab6f9340535e14e46f884cc894236a5060722",
            ),
            _tokenizer("textual/tokenizer.json", None, None),
        ),
    ),
    Model(
        name="mobileclip-s2",
        summary="MobileCLIP S2: fast and good, but for research only",
        spec=MOBILECLIP,
        repository="Xenova/mobileclip_s2",
        licence="Apple AMLR",
        is_research_only=True,
        files=(
            _image("onnx/vision_model.onnx", 143_020_962, None),
            _text("onnx/text_model.onnx", None, None),
            _tokenizer("tokenizer.json", None, None),
        ),
    ),
    *SOUND_TEXT_ROWS,
    Model(
        name=DEFAULT_SOUND_MODEL,
        summary="YAMNet: 521 AudioSet sounds",
        spec=YAMNET,
        repository="zeropointnine/yamnet-onnx",
        revision="ac2ca3bd45d12ec1f19f1144205ea529b4e9dedf",
        licence="Apache-2.0",
        files=(
            ModelFile(
                role=Role.TAGGER,
                path="yamnet.onnx",
                size_bytes=16_093_603,
                sha256="1510041dce24a2e9e84ec546807ac408ae496da6d1ed41bc3ccba649623f8e19",
            ),
            ModelFile(
                role=Role.LABELS,
                path="yamnet_class_map.csv",
                size_bytes=14_096,
                sha256="cdf24d193e196d9e95912a2667051ae203e92a2ba09449218ccb40ef787c6df2",
            ),
        ),
    ),
)

CATALOG = {model.name: model for model in ROWS}


def find_model(name: str) -> Model:
    """The row of a name.

    Raises:
        ConfigurationError: There is none; the message lists those there are.
    """
    try:
        return CATALOG[name]
    except KeyError as error:
        known = ", ".join(sorted(CATALOG))
        raise ConfigurationError(
            f"no model is called {name!r}, and no such directory exists; known: {known}"
        ) from error
