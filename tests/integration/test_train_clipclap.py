"""A projection learns CLAP's way into CLIP, and the three become one model."""

from __future__ import annotations

import itertools
import json
import wave

import numpy as np
import pytest

WHY = "PyTorch is not installed: the extra `export` has it"
pytest.importorskip("torch", reason=WHY)
pytest.importorskip("transformers", reason=WHY)
onnx = pytest.importorskip("onnx", reason=WHY)
pytest.importorskip("onnxscript", reason=WHY)

import onnxruntime as ort  # noqa: E402

from adapters.exports.bridges import Bridge, BridgeKind  # noqa: E402
from adapters.exports.clip import TINY_DIMENSION  # noqa: E402
from adapters.exports.graph import compare, write_graph  # noqa: E402
from adapters.exports.projection import Recipe, projection_tower, train  # noqa: E402
from adapters.exports.quantize import quantize  # noqa: E402
from adapters.exports.surgery import POOLED, split_projection  # noqa: E402
from service.errors import ConfigurationError  # noqa: E402
from tests.support.exported import moodreel, open_directory, tiny  # noqa: E402

pytestmark = pytest.mark.timeout(600)
"""Ten seconds of CPU to trace a family are minutes on a machine with other things to do."""

CAPTIONS = [
    " ".join(words)
    for words in itertools.product(
        ("a small", "a big", "an old", "a loud", "a quiet"),
        ("dog", "train", "river", "bell", "crowd", "horse"),
        ("runs", "stops", "sings", "waits"),
        ("at night", "in the rain"),
    )
]


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def linear_bridge(
    kind: BridgeKind, *, count: int = 4000, dimension: int = 64, offset: float = 0.0
) -> Bridge:
    """CLAP's vectors are CLIP's, turned by a fixed rotation, plus noise of a third their size."""
    generator = np.random.default_rng(5)
    clip = unit(generator.normal(size=(count, dimension)))
    rotation = np.linalg.qr(generator.normal(size=(dimension, dimension)))[0]
    noise = generator.normal(size=clip.shape) / (3 * np.sqrt(dimension))
    apart = generator.normal(size=(2, dimension)) * offset / np.sqrt(dimension)
    return Bridge(
        kind=kind,
        clap=unit(clip @ rotation + noise + apart[0]),
        clip=unit(clip + apart[1]),
        groups=np.arange(count),
        data_sha256="",
    )


def quiet(_what: str, _done: int, _total: int) -> None: ...


def test_a_known_linear_relation_is_recovered():
    bridge = linear_bridge(BridgeKind.AUDIO)
    trained = train(bridge, quiet)
    assert (trained.trained_count, trained.held_out_count) == (3600, 400)
    for before, after in (
        (trained.before.clap_to_clip, trained.after.clap_to_clip),
        (trained.before.clip_to_clap, trained.after.clip_to_clap),
    ):
        assert before[1] < 0.05  # one of 400 by chance
        assert before[10] < 0.1
        assert after[1] > 0.9
        assert after[10] > 0.99
    assert trained.losses[-1] < 0.5 * trained.losses[0]
    projected = unit(bridge.clap @ trained.weight.T)
    assert float(np.mean(np.sum(projected * bridge.clip, axis=1))) > 0.5


def test_texts_that_lie_far_apart_as_a_whole_are_centred_first():
    trained = train(
        linear_bridge(BridgeKind.TEXT, offset=3.0, count=1200), quiet, Recipe(epochs=60)
    )
    assert trained.before.clap_to_clip[1] < 0.05
    assert trained.after.clap_to_clip[1] > 0.9


def test_the_same_seed_gives_the_same_projection():
    bridge = linear_bridge(BridgeKind.AUDIO, count=300)
    one, same, other = (
        train(bridge, quiet, Recipe(seed=seed, epochs=3)).weight for seed in (1, 1, 2)
    )
    assert (one == same).all()
    assert not np.allclose(one, other)


def test_captions_of_a_sound_are_held_out_together():
    """Sounds told apart by what their captions do not share cannot be learnt by heart."""
    sounds = linear_bridge(BridgeKind.AUDIO, count=60)
    generator = np.random.default_rng(0)
    bridge = Bridge(
        kind=BridgeKind.AUDIO,
        clap=np.repeat(sounds.clap, 5, axis=0),
        clip=unit(generator.normal(size=(300, 64))),  # nothing to do with the sounds
        groups=np.repeat(np.arange(60), 5),
        data_sha256="",
    )
    trained = train(bridge, quiet, Recipe(epochs=100))
    assert (trained.trained_count, trained.held_out_count) == (270, 30)
    assert trained.losses[-1] < 0.8 * trained.losses[0]  # by heart
    assert trained.after.clip_to_clap[1] < 0.5  # and of no use: one of six by chance


def test_spaces_of_other_dimensions_are_refused():
    bridge = linear_bridge(BridgeKind.AUDIO, count=100)
    narrow = Bridge(
        kind=bridge.kind,
        clap=bridge.clap[:, :32],
        clip=bridge.clip,
        groups=bridge.groups,
        data_sha256="",
    )
    with pytest.raises(ConfigurationError, match="CLAP has 32 dimensions and CLIP 64"):
        train(narrow, quiet)


def test_the_projection_is_linear_without_bias_from_input_to_output(tmp_path):
    weight = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    tower, path = projection_tower(weight), tmp_path / "audio_projection.onnx"
    write_graph(tower, path)
    compare(tower, path)
    vectors = np.eye(64, dtype=np.float32)[:5]
    (found,) = ort.InferenceSession(str(path)).run(["output"], {"input": vectors})
    np.testing.assert_allclose(found, weight[:, :5].T, atol=1e-6)


@pytest.fixture(scope="module")
def unified(tmp_path_factory):
    """A clipclap of a tiny CLIP and a tiny CLAP, trained on texts by the command; its report."""
    place = tmp_path_factory.mktemp("unified")
    (place / "captions.txt").write_text("\n".join(CAPTIONS), encoding="utf-8")
    answer = moodreel(
        *("models", "train-clipclap", "--bridge", "text", "--captions", place / "captions.txt"),
        *("--clip", tiny("clip")[0], "--clap", tiny("clap")[0], "--seed", 3),
        *("--output", place / "joint", "--json"),
    )
    assert answer.status == 0, answer.err
    return place / "joint", answer.json()


def test_text_image_and_sound_are_put_into_one_space(unified):
    directory, report = unified
    joint = open_directory(directory)
    clip, clap = open_directory(tiny("clip")[0]), open_directory(tiny("clap")[0])
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, 256, (60, 80, 3), dtype=np.uint8) for _ in range(2)]
    sounds = [generator.normal(0, 0.1, 24_000).astype(np.float32) for _ in range(2)]
    texts = ["a dog", "the sea at night"]
    found = (joint.encode_texts(texts), joint.encode_images(pictures), joint.encode_sounds(sounds))
    for vectors in found:
        assert vectors.shape == (2, TINY_DIMENSION)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    # Taken apart and put together again, CLIP sees and reads as before.
    np.testing.assert_allclose(found[0], clip.encode_texts(texts), atol=1e-5)
    np.testing.assert_allclose(found[1], clip.encode_images(pictures), atol=1e-5)
    # And CLAP's unit vectors go through the projection.
    projection = ort.InferenceSession(str(directory / "audio_projection.onnx"))
    (projected,) = projection.run(["output"], {"input": clap.encode_sounds(sounds)})
    np.testing.assert_allclose(found[2], unit(projected), atol=1e-5)
    assert joint.sound_calibration.logit_scale == pytest.approx(1 / 0.07)
    assert report["family"] == "clipclap"


def test_the_directory_has_termites_layout(unified):
    directory, report = unified
    graphs = {
        *("text_model", "visual_model", "text_projection", "visual_projection"),
        *("audio_model", "audio_projection"),
    }
    assert {path.stem for path in directory.glob("*.onnx")} == graphs
    config = json.loads((directory / "clip_config.json").read_text())
    assert config["model_type"] == "clipclap"
    assert config["projection_dim"] == TINY_DIMENSION
    assert config["vision_config"] == {
        "hidden_size": 32,
        "image_size": 224,
        "patch_size": 32,
        "projection_dim": TINY_DIMENSION,
    }
    assert config["text_config"]["max_position_embeddings"] == 77
    assert config["audio_config"]["sample_rate"] == 48_000
    for stem in ("text_model", "visual_model", "audio_model"):
        outputs = ort.InferenceSession(str(directory / f"{stem}.onnx")).get_outputs()
        assert POOLED in {output.name for output in outputs}
    assert json.loads((directory / "preprocessor_config.json").read_text())["do_center_crop"]
    metadata = json.loads((directory / "projection_training_metadata.json").read_text())
    assert metadata["recipe"]["seed"] == 3
    assert metadata["recipe"]["temperature"] == 0.07
    assert metadata["trained_pairs"] + metadata["held_out_pairs"] == len(CAPTIONS)
    assert metadata["held_out_after"] == report["training"]["held_out_after"]
    assert str(directory.parent) not in json.dumps(metadata)
    assert max(row["max_abs_diff"] for row in metadata["parity"]) <= 1e-4


def test_a_projection_that_is_trained_already_is_taken_over(unified, tmp_path):
    answer = moodreel(
        *("models", "export", "clipclap", "--clip", tiny("clip")[0], "--clap", tiny("clap")[0]),
        *("--projection", unified[0] / "audio_projection.onnx", "-o", tmp_path / "again"),
    )
    assert answer.status == 0, answer.err
    told = [
        json.loads((path / "projection_training_metadata.json").read_text())
        for path in (unified[0], tmp_path / "again")
    ]
    assert told[0]["held_out_after"] == told[1]["held_out_after"]
    vectors = [
        open_directory(path).encode_sounds([np.ones(4800, np.float32)])
        for path in (unified[0], tmp_path / "again")
    ]
    np.testing.assert_array_equal(*vectors)


def test_sounds_are_read_with_our_reader_and_tell_the_centre(tmp_path):
    table = ["audio,caption"]
    for number in range(20):
        tone = np.sin(np.arange(4_800) * (0.02 + 0.02 * number))
        with wave.open(str(tmp_path / f"{number}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes((8_000 * tone).astype("<i2").tobytes())
        table += [f"{number}.wav,{CAPTIONS[5 * number + each]}" for each in range(5)]
    (tmp_path / "captions.csv").write_text("\n".join(table), encoding="utf-8")
    answer = moodreel(
        *("models", "train-clipclap", "--bridge", "audio", "--pairs", tmp_path / "captions.csv"),
        *("--clip", tiny("clip")[0], "--clap", tiny("clap")[0], "-o", tmp_path / "joint", "--json"),
    )
    assert answer.status == 0, answer.err
    assert answer.json()["training"]["trained_pairs"] == 90
    assert answer.json()["training"]["held_out_pairs"] == 10
    joint = open_directory(tmp_path / "joint")
    centre = np.array(joint.sound_calibration.centre)
    assert centre.shape == (TINY_DIMENSION,)
    heard = joint.encode_sounds([np.sin(np.arange(14_400) * 0.1).astype(np.float32)])[0]
    assert heard @ centre / np.linalg.norm(centre) > 0.5


def test_an_8_bit_tower_stays_whole_beside_the_identity(tmp_path):
    source = tmp_path / "text_model.onnx"
    source.write_bytes((tiny("clip")[0] / source.name).read_bytes())
    quantize(source)
    split_projection(source, tmp_path / "tower.onnx", tmp_path / "projection.onnx")
    ids = np.array([[318, 5, 6, 319]])
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    (expected,) = ort.InferenceSession(str(source)).run(["text_embeds"], feeds)
    (pooled,) = ort.InferenceSession(str(tmp_path / "tower.onnx")).run([POOLED], feeds)
    projection = ort.InferenceSession(str(tmp_path / "projection.onnx"))
    (found,) = projection.run(["output"], {"input": pooled})
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--bridge", "audio"), "sounds with captions"),
        (("--bridge", "text", "--captions", "few.txt"), "2 captions that differ"),
    ],
)
def test_training_on_too_little_is_refused(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few.txt").write_text("a dog\na cat\n")
    models = ("--clip", tiny("clip")[0], "--clap", tiny("clap")[0])
    answer = moodreel("models", "train-clipclap", *words, *models, "-o", tmp_path / "joint")
    assert answer.status == 2
    assert message in " ".join(answer.err.replace("│", " ").split())
    assert not (tmp_path / "joint").exists()


def test_a_model_of_the_wrong_kind_is_refused(tmp_path):
    captions = tmp_path / "captions.txt"
    captions.write_text("\n".join(CAPTIONS), encoding="utf-8")
    answer = moodreel(
        *("models", "train-clipclap", "--bridge", "text", "--captions", captions),
        *("--clip", tiny("clap")[0], "--clap", tiny("clip")[0], "-o", tmp_path / "joint"),
    )
    assert answer.status == 2
    assert "wanted is a picture-and-text one" in " ".join(answer.err.split())
