"""A model's directory appears whole, with a description that the runtime reads."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib

import pytest
from tokenizers import Tokenizer

from adapters.exports import vocabularies
from adapters.exports.description import Table, image_table, write_description
from adapters.exports.directory import whole_directory
from adapters.exports.extra import require_extra
from adapters.exports.sources import published_weights
from adapters.exports.spec import Family
from service.errors import ConfigurationError, MissingModelError


def test_a_directory_that_fails_leaves_nothing(tmp_path):
    def fail_halfway():
        with whole_directory(tmp_path / "models/mine") as draft:
            (draft / "half.onnx").write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert list((tmp_path / "models").iterdir()) == []


def test_a_directory_appears_with_all_its_files_for_everyone(tmp_path):
    target = tmp_path / "mine"
    with whole_directory(target) as draft:
        (draft / "a").write_text("a")
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert target.stat().st_mode & 0o777 == 0o755


def test_a_directory_gives_way_only_when_asked_and_whole(tmp_path):
    target = tmp_path / "mine"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(ConfigurationError, match="there already"), whole_directory(target):
        pass
    with pytest.raises(RuntimeError), whole_directory(target, replace=True):
        raise RuntimeError
    assert (target / "old").read_text() == "old"
    with whole_directory(target, replace=True) as draft:
        (draft / "new").write_text("new")
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_description_is_toml_with_checksums(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"graph")
    write_description(
        tmp_path,
        {"name": 'my "clip" \\ ü', "dimension": 512},
        {"text": {"pads_to_context": True}, "calibration": {"logit_scale": 1e-7}},
        {"image_tower": "a.onnx"},
    )
    told = tomllib.loads((tmp_path / "model.toml").read_text(encoding="utf-8"))
    assert told == {
        "name": 'my "clip" \\ ü',
        "dimension": 512,
        "text": {"pads_to_context": True},
        "calibration": {"logit_scale": 1e-7},
        "files": {"image_tower": "a.onnx"},
        "sha256": {"image_tower": hashlib.sha256(b"graph").hexdigest()},
    }


def test_what_a_checkpoint_says_of_pictures_goes_before_the_familys_values():
    default: Table = {"size": 224, "resize": "crop", "interpolation": "bicubic", "mean": (0.5,) * 3}
    assert image_table({}, default) == default
    told = {
        "size": {"height": 256, "width": 256},
        "do_center_crop": False,
        "resample": 2,
        "image_mean": [0, 0.5, 1],
    }
    assert image_table(told, default) == {
        "size": 256,
        "resize": "squash",
        "interpolation": "bilinear",
        "mean": (0.0, 0.5, 1.0),
    }


@pytest.mark.parametrize(
    ("specials", "size", "ids"),
    [
        (vocabularies.CLIP, 49_408, [49_406, ..., 49_407]),
        (vocabularies.CLIP, 320, [318, ..., 319]),
        (vocabularies.SIGLIP, 32_000, [..., 1]),
        (vocabularies.SIGLIP2, 320, [..., 1]),
        (vocabularies.ROBERTA, 50_265, [0, ..., 2]),
    ],
)
def test_a_small_tokenizer_has_its_familys_special_tokens(tmp_path, specials, size, ids):
    vocabularies.write_tokenizer(tmp_path / "tokenizer.json", specials, size)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    found = tokenizer.encode("A dög").ids
    words = vocabularies.words_of(specials, size)
    inner = found[len(ids) - 2 : -1]
    assert tokenizer.get_vocab_size() == size
    assert found[-1] == ids[-1]
    assert len(ids) == 2 or found[0] == ids[0]
    assert all(index in words for index in inner)
    assert len(inner) == len("A dög".encode())
    assert tokenizer.encode("a cat").ids != tokenizer.encode("a dog").ids


def test_a_family_of_two_checkpoints_wants_two(tmp_path):
    with pytest.raises(ConfigurationError, match="from 2: --from LanguageBind/"):
        published_weights(Family.LANGUAGEBIND, [str(tmp_path)], offline=True)


def test_a_repository_that_cannot_be_had_is_named_with_a_way_out(tmp_path):
    with pytest.raises(
        MissingModelError, match=r"nobody/nothing is no directory.*--random-weights"
    ):
        published_weights(Family.CLIP, ["nobody/nothing"], offline=True)


def test_without_the_extra_it_is_said_what_to_install():
    with pytest.raises(ConfigurationError, match=r"needs no_such_package: pip install 'moodreel\["):
        require_extra(("tokenizers", "no_such_package"))


def test_no_command_imports_pytorch_before_it_is_needed():
    code = "import sys, service.cli; print({'torch', 'transformers', 'onnx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
