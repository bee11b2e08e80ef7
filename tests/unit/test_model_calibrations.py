"""A calibration is data beside the models, for one version of one model."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from adapters.models import calibrations
from adapters.models.calibrations import Calibrations, Measured
from adapters.models.catalog import find_model
from adapters.models.families import CLAP, CLIP, CLIPCLAP, YAMNET
from adapters.models.fingerprints import SMALL_FILE_BYTES, fingerprint
from adapters.models.settings import ModelSettings
from adapters.models.shelf import Shelf
from adapters.models.spec import JointSpec, SoundTextSpec, VisualSpec
from tests.support.models import colour_model

EYES = Measured(centre=(0.1, 0.2, 0.3), flat_range=0.004, item_count=12, moment_count=300)
EARS = Measured(centre=(0.5, 0.0, 0.0), flat_range=0.01, item_count=9, moment_count=90)
CLIP_1 = "clip-vit-b-32@d15189d7"


def test_what_was_saved_is_there_for_that_version_alone(tmp_path):
    calibrations.save(tmp_path, CLIP_1, Calibrations(pictures=EYES))
    assert calibrations.load(tmp_path, CLIP_1) == Calibrations(pictures=EYES)
    assert calibrations.load(tmp_path, "clip-vit-b-32@00000000") == Calibrations()


def test_sounds_do_not_undo_pictures(tmp_path):
    calibrations.save(tmp_path, CLIP_1, Calibrations(pictures=EYES))
    calibrations.save(tmp_path, CLIP_1, Calibrations(sounds=EARS))
    assert calibrations.load(tmp_path, CLIP_1) == Calibrations(pictures=EYES, sounds=EARS)


def test_a_name_with_odd_characters_stays_inside_the_directory(tmp_path):
    path = calibrations.save(tmp_path, "../../odd name@1/2", Calibrations(pictures=EYES))
    assert path.parent == tmp_path / "calibrations"
    assert calibrations.load(tmp_path, "../../odd name@1/2").pictures == EYES


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1]",
        b"\xff\xfe",
        b'{"pictures": {"centre": []}}',
        b'{"pictures": {"centre": [1], "flat_range": NaN, "item_count": 1, "moment_count": 1}}',
    ],
)
def test_a_broken_file_is_left_out_with_a_warning(tmp_path, caplog, content: bytes):
    path = calibrations.save(tmp_path, CLIP_1, Calibrations(pictures=EYES))
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert calibrations.load(tmp_path, CLIP_1) == Calibrations()
    assert [record.__dict__["action"] for record in caplog.records] == ["calibration_lost"]


def test_it_goes_where_it_belongs():
    found = Calibrations(pictures=EYES, sounds=EARS)
    clip, clap, both = (calibrations.apply(spec, found) for spec in (CLIP, CLAP, CLIPCLAP))
    assert isinstance(clip, VisualSpec)
    assert (clip.calibration.centre, clip.calibration.flat_range) == (EYES.centre, EYES.flat_range)
    assert clip.calibration.logit_scale == CLIP.calibration.logit_scale
    assert isinstance(clap, SoundTextSpec)
    assert clap.calibration.centre == EARS.centre
    assert isinstance(both, JointSpec)
    assert both.visual.calibration.centre == EYES.centre
    assert both.sound_calibration.centre == EARS.centre
    assert calibrations.apply(YAMNET, found) is YAMNET
    assert calibrations.apply(CLIP, Calibrations()) == CLIP


async def test_an_analysis_of_another_calibration_is_outdated(tmp_path):
    model = colour_model(tmp_path / "colours")
    settings = ModelSettings(
        visual_model=str(model),
        sound_model="none",
        sound_text_model="none",
        models_dir=tmp_path / "models",
        offline=True,
        threads=1,
    )
    before = Shelf(settings).fingerprint
    running = Shelf(settings)
    await running.open_encoder()
    calibrations.save(tmp_path / "models", fingerprint(model), Calibrations(pictures=EYES))
    assert running.fingerprint == before, "what it has opened is what it uses"
    restarted = Shelf(settings)
    assert restarted.fingerprint != before
    assert (await restarted.open_encoder()).calibration.centre == EYES.centre
    calibrations.save(tmp_path / "models", fingerprint(model), Calibrations(pictures=EARS))
    assert Shelf(settings).fingerprint not in {before, restarted.fingerprint}
    for shelf in (running, restarted):
        await shelf.aclose()


def test_a_row_is_named_by_its_revision():
    assert fingerprint(find_model("clip-vit-b-32")) == CLIP_1
    assert fingerprint(None) == "none"


def test_weights_of_the_same_size_are_another_version(tmp_path):
    weights = np.random.default_rng(0).bytes(3 * SMALL_FILE_BYTES)
    path = tmp_path / "model" / "vision_model.onnx"
    path.parent.mkdir()
    path.write_bytes(weights)
    before = fingerprint(path.parent)
    assert fingerprint(path.parent) == before
    path.write_bytes(np.random.default_rng(1).bytes(3 * SMALL_FILE_BYTES))
    assert fingerprint(path.parent) != before
    path.write_bytes(weights)
    (path.parent / "model.toml").write_text("dimension = 3")
    assert fingerprint(path.parent) != before


def test_the_file_says_what_it_is_of(tmp_path):
    told = json.loads(calibrations.save(tmp_path, CLIP_1, Calibrations(pictures=EYES)).read_text())
    assert told["model"] == CLIP_1
    assert told["pictures"]["item_count"] == 12
