"""The rows are complete enough to be downloaded and run."""

from __future__ import annotations

import re

import pytest

from adapters.models.catalog import (
    CATALOG,
    DEFAULT_SOUND_MODEL,
    DEFAULT_VISUAL_MODEL,
    ROWS,
    find_model,
)
from adapters.models.catalog_sound import DEFAULT_SOUND_TEXT_MODEL
from adapters.models.spec import Model, Role, SoundSpec, SoundTextSpec, VisualSpec
from service.domain import ScoreKind
from service.errors import ConfigurationError


@pytest.mark.parametrize("model", ROWS, ids=lambda model: model.name)
def test_a_row_has_its_files_its_licence_and_plausible_checksums(model: Model):
    roles = {file.role for file in model.files}
    if isinstance(model.spec, VisualSpec):
        assert roles == {Role.IMAGE_TOWER, Role.TEXT_TOWER, Role.TOKENIZER}
    elif isinstance(model.spec, SoundTextSpec):
        assert roles == {Role.AUDIO_TOWER, Role.TEXT_TOWER, Role.TOKENIZER}
    else:
        assert roles == {Role.TAGGER, Role.LABELS}
    assert model.licence
    assert model.repository.count("/") == 1
    for file in model.files:
        assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)


@pytest.mark.parametrize("model", ROWS, ids=lambda model: model.name)
def test_a_checksum_is_only_claimed_for_a_pinned_revision(model: Model):
    if any(file.sha256 for file in model.files):
        assert re.fullmatch(r"[0-9a-f]{40}", model.revision)


def test_names_are_unique():
    assert len(CATALOG) == len(ROWS)


@pytest.mark.parametrize(
    "name", [DEFAULT_VISUAL_MODEL, DEFAULT_SOUND_MODEL, DEFAULT_SOUND_TEXT_MODEL]
)
def test_a_default_is_fully_pinned_and_free_to_use(name: str):
    model = find_model(name)
    assert all(file.sha256 for file in model.files)
    assert not model.is_research_only
    assert all(file.size_bytes for file in model.files)


def test_the_default_visual_model_weighs_what_the_design_says():
    assert round(find_model(DEFAULT_VISUAL_MODEL).size_bytes / 1e6) == 213


def test_scores_of_siglip_are_sigmoids_with_a_bias_and_those_of_clip_are_not():
    siglip, clip = (find_model(name).spec for name in ("siglip-b16-224", "clip-vit-b-32"))
    assert isinstance(siglip, VisualSpec)
    assert isinstance(clip, VisualSpec)
    assert siglip.calibration.kind is ScoreKind.SIGMOID
    # facts: at this cosine SigLIP is undecided
    logit = siglip.calibration.logit_scale * 0.11023 + siglip.calibration.logit_bias
    assert abs(logit) < 0.01
    assert clip.calibration.kind is ScoreKind.SOFTMAX
    assert clip.calibration.logit_bias == 0


def test_research_licences_are_marked():
    assert find_model("mobileclip-s2").is_research_only


def test_the_default_sound_text_model_is_small_and_its_scores_a_softmax():
    model = find_model(DEFAULT_SOUND_TEXT_MODEL)
    assert round(model.size_bytes / 1e6) == 163
    assert isinstance(model.spec, SoundTextSpec)
    assert model.spec.calibration.kind is ScoreKind.SOFTMAX
    assert 14 < model.spec.calibration.logit_scale < 18


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"'clap'.*clip-vit-b-32.*yamnet"):
        find_model("clap")


def test_yamnet_listens_to_pieces_of_975_ms():
    spec = find_model("yamnet").spec
    assert isinstance(spec, SoundSpec)
    assert spec.window_samples / spec.sample_rate_hz == 0.975
