"""Exported graphs compute what PyTorch computes, and the runtime loads them as they are."""

from __future__ import annotations

import json
import math
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

WHY = "PyTorch is not installed: the extra `export` has it"
torch = pytest.importorskip("torch", reason=WHY)
transformers = pytest.importorskip("transformers", reason=WHY)
onnx = pytest.importorskip("onnx", reason=WHY)
pytest.importorskip("onnxscript", reason=WHY)

from adapters.exports import languagebind, languagebind_weights  # noqa: E402
from adapters.exports.checkpoints import save_tokenizer  # noqa: E402
from adapters.exports.clip import TINY, TINY_DIMENSION, open_clip, random_config  # noqa: E402
from adapters.exports.graph import compare, least_cosine  # noqa: E402
from adapters.exports.quantize import quantize  # noqa: E402
from adapters.exports.sources import random_weights  # noqa: E402
from adapters.exports.spec import ExportError, Size  # noqa: E402
from adapters.exports.vocabularies import CLIP, write_tokenizer  # noqa: E402
from service.errors import ConfigurationError  # noqa: E402
from tests.support.exported import moodreel, open_directory, tiny  # noqa: E402

pytestmark = pytest.mark.timeout(600)
"""Ten seconds of CPU to trace a family are minutes on a machine with other things to do."""

FAMILIES = ["clip", "siglip", "clap", "languagebind"]


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_graph_is_held_against_pytorch(family):
    directory, report = tiny(family)
    graphs = {path.name for path in directory.glob("*.onnx")}
    compared = {row["file"] for row in report["comparisons"]}
    batches = {next(iter(row["inputs"].values()))[0] for row in report["comparisons"]}
    assert graphs == compared
    assert batches == {1, 3}
    assert 0 < report["max_abs_diff"] <= 1e-4
    # A difference of nothing to nothing would be small too.
    assert min(row["max_abs_value"] for row in report["comparisons"]) > 0.01
    assert (
        report["max_abs_diff"]
        == json.loads((directory / "parity.json").read_text())["max_abs_diff"]
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_graph_tells_nothing_of_the_machine_it_was_made_on(family):
    for path in tiny(family)[0].iterdir():
        content = path.read_bytes()
        assert b"site-packages" not in content, path.name
        assert str(Path.cwd()).encode() not in content, path.name


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_the_runtime_sees_and_reads_with_an_export(family, picture):
    encoder = open_directory(tiny(family)[0])
    told = tomllib.loads((tiny(family)[0] / "model.toml").read_text())
    texts = encoder.encode_texts(["a dog", "a dog", "a much longer text about something else"])
    pictures = encoder.encode_images([picture, 255 - picture])
    assert texts.shape == (3, told["dimension"]) == (3, pictures.shape[1])
    # Padding beside a longer text changes nothing.
    np.testing.assert_allclose(texts[0], encoder.encode_texts(["a dog"])[0], atol=1e-5)
    assert texts[0] @ texts[2] < 0.999
    assert pictures[0] @ pictures[1] < 0.9999
    assert encoder.calibration.logit_scale == pytest.approx(told["calibration"]["logit_scale"])


def test_the_runtime_hears_and_reads_with_an_exported_clap():
    encoder = open_directory(tiny("clap")[0])
    noise = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    sounds = encoder.encode_sounds([noise, np.zeros(48_000, dtype=np.float32)])
    assert sounds.shape == (2, TINY_DIMENSION)
    assert sounds[0] @ sounds[1] < 0.9999
    assert encoder.encode_texts(["rain"]).shape == (1, TINY_DIMENSION)
    assert encoder.sound_calibration.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)


def test_the_runtime_sees_movement_with_an_exported_languagebind(picture):
    encoder = open_directory(tiny("languagebind")[0])
    brighter = [(picture // (8 - step)).astype(np.uint8) for step in range(8)]
    forwards, backwards = encoder.encode_clips([brighter, brighter[::-1]])
    still = encoder.encode_images([picture])[0]
    assert forwards @ backwards < 0.99999  # time has a direction
    assert forwards @ still < 0.9999
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    assert encoder.encode_sounds([noise]).shape == (1, TINY_DIMENSION)
    assert encoder.encode_texts(["rain"]).shape == (1, TINY_DIMENSION)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A CLIP as transformers publishes it, and the model itself."""
    directory = tmp_path_factory.mktemp("published") / "some-clip"
    torch.manual_seed(3)
    config = random_config(Size.TINY)
    config.vision_config.image_size = 64
    model = transformers.CLIPModel(config).eval()
    with torch.no_grad():
        model.logit_scale.fill_(math.log(50))
    model.save_pretrained(directory)
    write_tokenizer(directory / "tokenizer.json", CLIP, config.text_config.vocab_size)
    told = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.2, 0.2], "do_center_crop": False}
    (directory / "preprocessor_config.json").write_text(json.dumps({**told, "resample": 2}))
    return directory, model


def test_published_weights_give_the_runtime_the_vectors_of_transformers(published, tmp_path):
    source, model = published
    answer = moodreel("models", "export", "clip", "--from", source, "-o", tmp_path / "mine")
    assert answer.status == 0, answer.err
    assert "difference" in answer.out
    encoder = open_directory(tmp_path / "mine")
    assert encoder.calibration.logit_scale == pytest.approx(50, rel=1e-5)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(source / "tokenizer.json"))
    picture = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    pixels = (picture / 255 - np.array([0.4, 0.5, 0.6])) / 0.2
    with torch.no_grad():
        ids = torch.tensor([tokenizer("A dog runs")["input_ids"]])
        text = model.get_text_features(input_ids=ids).pooler_output[0]
        seen = torch.tensor(pixels.transpose(2, 0, 1)[None], dtype=torch.float32)
        image = model.get_image_features(pixel_values=seen).pooler_output[0]
    for found, expected in (
        (encoder.encode_texts(["A dog runs"])[0], text),
        (encoder.encode_images([picture])[0], image),
    ):
        np.testing.assert_allclose(found, (expected / expected.norm()).numpy(), atol=1e-5)


def test_a_checkpoint_that_lacks_weights_is_named_with_them_and_leaves_nothing(published, tmp_path):
    source = shutil.copytree(published[0], tmp_path / "lacking")
    state = transformers.modeling_utils.load_state_dict(source / "model.safetensors")
    state.pop("visual_projection.weight")
    torch.save(state, source / "pytorch_model.bin")
    (source / "model.safetensors").unlink()
    answer = moodreel("models", "export", "clip", "--from", source, "-o", tmp_path / "mine")
    assert answer.status == 2
    assert "lacking misses visual_projection.weight" in " ".join(answer.err.split())
    assert [path.name for path in tmp_path.iterdir()] == ["lacking"]


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_broken_checkpoint_is_named(published, tmp_path, name):
    source = shutil.copytree(published[0], tmp_path / "broken")
    (source / "model.safetensors").unlink()
    (source / name).write_bytes(b"half of a fi")
    answer = moodreel("models", "export", "clip", "--from", source, "-o", tmp_path / "mine")
    assert answer.status == 2
    assert "broken cannot be read as a CLIPModel" in " ".join(answer.err.split())


def test_a_directory_that_is_there_is_not_replaced_unasked(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/precious.txt").write_text("mine")
    answer = moodreel("models", "export", "clip", "--random-weights", "-o", tmp_path / "mine")
    assert answer.status == 2
    assert "--force" in answer.err
    assert (tmp_path / "mine/precious.txt").read_text() == "mine"


def test_a_graph_of_other_weights_is_refused():
    other = open_clip(random_weights(Size.TINY, seed=1)).towers[1]
    with pytest.raises(ExportError, match=r"text_model\.onnx is .* off PyTorch's output"):
        compare(other, tiny("clip")[0] / "text_model.onnx")


def test_8_bit_graphs_are_smaller_and_point_the_same_way(tmp_path):
    tower = open_clip(random_weights(Size.TINY, seed=0)).towers[1]
    path = shutil.copyfile(tiny("clip")[0] / tower.file, tmp_path / tower.file)
    size_bytes = path.stat().st_size
    quantize(path)
    assert path.stat().st_size < 0.8 * size_bytes
    assert 0.99 < least_cosine(tower, path) < 1
    assert [file.name for file in tmp_path.iterdir()] == [tower.file]


# LanguageBind, whose code is ours


def tiny_vision():
    return transformers.CLIPVisionConfig(**(languagebind.LARGE_VISION | TINY))


def test_a_layer_attends_over_time_patch_by_patch_and_then_over_space():
    torch.manual_seed(0)
    layer = languagebind.TimedLayer(tiny_vision(), frames=8).eval()
    with torch.no_grad():
        layer.temporal_embedding.normal_()
        hidden = torch.randn(2 * 8, 5, TINY["hidden_size"])
        expected = hidden.clone()
        for clip in range(2):
            rows = slice(8 * clip, 8 * clip + 8)
            for patch in range(5):
                moments = (expected[rows, patch] + layer.temporal_embedding[0])[None]
                attended, _ = layer.temporal_attn(layer.temporal_layer_norm1(moments))
                expected[rows, patch] = (moments + attended)[0]
        attended, _ = layer.self_attn(layer.layer_norm1(expected))
        expected = expected + attended
        expected = expected + layer.mlp(layer.layer_norm2(expected))
        np.testing.assert_allclose(layer(hidden).numpy(), expected.numpy(), atol=1e-5)


def published_languagebind(directory: Path, *, is_audio: bool, rank: int = 0) -> None:
    """A checkpoint by the names of the published ones; with a rank, as peft writes low ranks."""
    torch.manual_seed(int(is_audio))
    kind = languagebind.Picture(
        height=28 if is_audio else 224, width=42 if is_audio else 224, frames=1 if is_audio else 8
    )
    text = random_config(Size.TINY).text_config
    model = languagebind.Modality(tiny_vision(), text, kind, TINY_DIMENSION)
    torch.manual_seed(9)  # the text tower is shared
    for value in (*model.text_model.parameters(), model.text_projection.weight):
        torch.nn.init.normal_(value, std=0.1)
    state = model.state_dict() | {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    if rank:
        state = with_low_ranks(state, rank)
    vision = tiny_vision().to_dict() | {"lora_r": rank, "lora_alpha": 16}
    told = {"num_mel_bins": 28, "target_length": 42} if is_audio else {"num_frames": 8}
    config = {
        "projection_dim": TINY_DIMENSION,
        "text_config": text.to_dict(),
        "vision_config": vision | told | {"add_time_attn": not is_audio},
    }
    directory.mkdir()
    torch.save(state, directory / "pytorch_model.bin")
    (directory / "config.json").write_text(json.dumps(config))
    write_tokenizer(directory / "tokenizer.json", CLIP, text.vocab_size)


def with_low_ranks(state, rank: int):
    wrapped = {}
    for name, value in state.items():
        name = name.replace("vision_model.encoder.", languagebind_weights.PEFT)  # noqa: PLW2901
        if name.endswith("self_attn.q_proj.weight") and "vision_model" in name:
            layer = name.removesuffix(".weight")
            wrapped[f"{layer}.base_layer.weight"] = value
            wrapped[f"{layer}.lora_A.default.weight"] = torch.ones(rank, value.shape[1])
            wrapped[f"{layer}.lora_B.default.weight"] = torch.ones(value.shape[0], rank)
        else:
            wrapped[name] = value
    return wrapped


def open_published(*directories: Path):
    weights = random_weights(Size.TINY, 0)
    return languagebind.open_languagebind(type(weights)(name="published", directories=directories))


def test_published_languagebind_is_read_by_its_names_and_its_low_ranks_are_added(tmp_path):
    published_languagebind(tmp_path / "video", is_audio=False)
    published_languagebind(tmp_path / "audio", is_audio=True)
    published_languagebind(tmp_path / "low", is_audio=True, rank=4)
    plain = open_published(tmp_path / "video", tmp_path / "audio")
    low = open_published(tmp_path / "video", tmp_path / "low")
    assert plain.towers[0].inputs.shape == (3, 8, 224, 224)
    assert plain.towers[1].inputs.shape == (3, 28, 42)
    name = "tower.encoder.layers.0.self_attn.q_proj.weight"
    added = low.towers[1].module.state_dict()[name] - plain.towers[1].module.state_dict()[name]
    # alpha / r * B @ A, all ones: 16 / 4 * 4
    np.testing.assert_allclose(added.numpy(), 16.0, atol=1e-4)
    assert "sound_calibration" in plain.tables


def test_a_tokenizer_of_older_days_is_converted(tmp_path):
    """LanguageBind's repositories have a vocabulary and merges; some have nothing else."""
    write_tokenizer(tmp_path / "new.json", CLIP, 320)
    vocabulary = json.loads((tmp_path / "new.json").read_text())["model"]["vocab"]
    endings = {f"{letter}</w>": 320 + place for place, letter in enumerate("dogacat")}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary | endings))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    save_tokenizer(tmp_path, tmp_path / "tokenizer.json", CLIP, 320)
    ids = Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode("A dog").ids
    assert (ids[0], ids[-1]) == (318, 319)
    assert len(ids) == 2 + len("adog")


def test_languagebind_of_two_text_towers_is_refused(tmp_path):
    published_languagebind(tmp_path / "video", is_audio=False)
    published_languagebind(tmp_path / "audio", is_audio=True)
    file = tmp_path / "audio/pytorch_model.bin"
    state = torch.load(file, weights_only=True)
    state["text_projection.weight"] += 0.1
    torch.save(state, file)
    with pytest.raises(ConfigurationError, match="different text towers"):
        open_published(tmp_path / "video", tmp_path / "audio")


def test_weights_that_are_no_languagebind_are_listed(tmp_path):
    published_languagebind(tmp_path / "video", is_audio=False)
    published_languagebind(tmp_path / "audio", is_audio=True)
    file = tmp_path / "video/pytorch_model.bin"
    state = torch.load(file, weights_only=True)
    state["vision_model.surprise"] = state.pop("vision_model.pre_layrnorm.bias")
    torch.save(state, file)
    wanted = r"misses vision_model\.pre_layrnorm\.bias.*unknown vision_model\.surprise"
    with pytest.raises(ConfigurationError, match=wanted):
        open_published(tmp_path / "video", tmp_path / "audio")
