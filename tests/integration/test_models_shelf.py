"""The shelf gives a job the models that the owner configured, and says what is missing."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapters.models.families import CLIP
from adapters.models.hub import ModelHub
from adapters.models.inventory import State, list_models, pull, verify
from adapters.models.settings import ModelSettings
from adapters.models.shelf import RETRY_AFTER_S, Shelf
from adapters.models.spec import Model, ModelFile, Role, VisualSpec
from service.domain import Severity
from service.errors import ConfigurationError, MissingModelError
from service.ports import Encoder, ModelShelf, MotionEncoder, SoundEncoder, SoundTagger
from tests.support.model_hub import HubServer, serve_hub
from tests.support.models import colour_model, files_of, loudness_tagger, solid
from tests.support.sound_models import (
    LOW_HZ,
    clap_model,
    clipclap_model,
    languagebind_model,
    tone,
)


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def settings(tmp_path: Path) -> ModelSettings:
    return ModelSettings(
        visual_model=str(colour_model(tmp_path / "colours")),
        sound_model=str(loudness_tagger(tmp_path / "loudness")),
        sound_text_model=str(clap_model(tmp_path / "tones")),
        models_dir=tmp_path / "models",
        offline=True,
        threads=1,
    )


def change(settings: ModelSettings, **values: object) -> ModelSettings:
    return settings.model_copy(update=values)


async def test_directories_serve_as_models(settings):
    shelf: ModelShelf = Shelf(settings)
    encoder: Encoder = await shelf.open_encoder()
    tagger: SoundTagger = await shelf.open_tagger()
    assert encoder.name == "colours"
    assert encoder.encode_images([solid((255, 0, 0))]).shape == (1, 3)
    assert tagger.labels == ("Noise", "Silence")
    assert tagger.score_window(np.ones(16_000, dtype=np.float32)).shape == (2, 2)
    listener: SoundEncoder = await shelf.open_sound_encoder()
    low = tone(LOW_HZ, sample_rate_hz=listener.sample_rate_hz)
    np.testing.assert_allclose(listener.encode_sounds([low]), [[1, 0, 0]], atol=1e-6)
    await shelf.aclose()


async def test_a_model_is_opened_once_however_many_ask(settings):
    shelf = Shelf(settings)
    opened = await asyncio.gather(*(shelf.open_encoder() for _ in range(5)))
    assert len({id(encoder) for encoder in opened}) == 1
    await shelf.aclose()


async def test_what_is_turned_off_is_not_missing(settings):
    shelf = Shelf(
        change(settings, visual_model="none", sound_model="none", sound_text_model="none")
    )
    with pytest.raises(MissingModelError, match="MOODREEL_VISUAL_MODEL is none") as caught:
        await shelf.open_encoder()
    assert caught.value.model == ""
    assert {finding.severity for finding in await shelf.check()} == {Severity.OK}
    with pytest.raises(MissingModelError, match="MOODREEL_SOUND_TEXT_MODEL is none") as caught:
        await shelf.open_sound_encoder()
    assert caught.value.model == ""
    assert shelf.fingerprint == "none+none+none"


async def test_a_catalog_model_that_is_not_here_is_missing_with_the_way_out(settings):
    shelf = Shelf(change(settings, visual_model="siglip-b16-224"))
    with pytest.raises(MissingModelError, match="moodreel models pull siglip-b16-224") as caught:
        await shelf.open_encoder()
    assert caught.value.model == "siglip-b16-224"
    visual, sound, _ = await shelf.check()
    assert visual.subject == "models/siglip-b16-224"
    assert visual.severity is Severity.WARNING
    assert visual.fix == "moodreel models pull siglip-b16-224"
    assert sound.severity is Severity.OK


def test_an_unknown_name_is_a_mistake_in_the_settings(settings):
    with pytest.raises(ConfigurationError, match=r"'siglipp'.*known: .*siglip-b16-224"):
        Shelf(change(settings, visual_model="siglipp"))


def test_a_tagger_is_no_picture_model(settings):
    with pytest.raises(ConfigurationError, match="MOODREEL_VISUAL_MODEL: yamnet is a sound tagger"):
        Shelf(change(settings, visual_model="yamnet"))


async def test_a_directory_of_the_wrong_kind_is_told_when_it_is_opened(settings):
    shelf = Shelf(change(settings, visual_model=settings.sound_model))
    with pytest.raises(ConfigurationError, match="MOODREEL_VISUAL_MODEL: loudness is a sound"):
        await shelf.open_encoder()


async def test_a_directory_that_is_not_mounted_yet_is_missing_until_it_is(settings, tmp_path):
    shelf = Shelf(change(settings, visual_model=str(tmp_path / "later")))
    before = shelf.fingerprint
    with pytest.raises(MissingModelError, match="later is no directory"):
        await shelf.open_encoder()
    assert (await shelf.check())[0].severity is Severity.WARNING
    colour_model(tmp_path / "later")
    assert (await shelf.open_encoder()).name == "later"
    assert shelf.fingerprint != before
    await shelf.aclose()


async def test_a_directory_inside_the_models_directory_goes_by_its_name(settings):
    colour_model(settings.models_dir / "mine")
    shelf = Shelf(change(settings, visual_model="mine"))
    assert (await shelf.open_encoder()).name == "mine"
    await shelf.aclose()


async def test_after_closing_a_model_opens_again(settings):
    shelf = Shelf(settings)
    first = await shelf.open_encoder()
    await shelf.aclose()
    assert await shelf.open_encoder() is not first
    await shelf.aclose()


def test_the_fingerprint_names_models_and_changes_with_them(settings, tmp_path):
    rows = change(
        settings,
        visual_model="siglip-b16-224",
        sound_model="yamnet",
        sound_text_model="clap-htsat-unfused",
    )
    assert Shelf(rows).fingerprint == (
        "siglip-b16-224@46490526+yamnet@ac2ca3bd+clap-htsat-unfused@c28f2883"
    )
    before = Shelf(settings).fingerprint
    assert before.startswith("colours@")
    assert Shelf(settings).fingerprint == before
    (tmp_path / "colours" / "model.toml").write_text("dimension = 3\n", encoding="utf-8")
    assert Shelf(settings).fingerprint != before


async def test_files_that_are_replaced_under_an_open_model_count_after_a_restart(
    settings, tmp_path
):
    shelf = Shelf(settings)
    before = shelf.fingerprint
    await shelf.open_encoder()
    (tmp_path / "colours" / "model.toml").write_text("dimension = 3\n", encoding="utf-8")
    assert shelf.fingerprint == before, "what it finds is still found by the old files"
    await shelf.aclose()
    assert shelf.fingerprint != before


# Models that see and hear ------------------------------------------------------------------------


def joint_settings(tmp_path: Path, directory: Path, **values: object) -> ModelSettings:
    return ModelSettings.model_validate(
        {
            "visual_model": str(directory),
            "sound_model": "none",
            "models_dir": tmp_path / "models",
            "offline": True,
            "threads": 1,
            **values,
        }
    )


@pytest.mark.parametrize("make", [clipclap_model, languagebind_model])
async def test_a_joint_picture_model_is_the_sound_model_too(tmp_path, make):
    shelf = Shelf(joint_settings(tmp_path, make(tmp_path / "joint")))
    encoder, listener = await shelf.open_encoder(), await shelf.open_sound_encoder()
    assert encoder is listener
    low = tone(LOW_HZ, sample_rate_hz=listener.sample_rate_hz)
    red, heard = encoder.encode_images([solid((255, 0, 0))]), listener.encode_sounds([low])
    assert (red @ heard.T).item() == pytest.approx(1, abs=1e-6)
    assert [finding.severity for finding in await shelf.check()] == [Severity.OK] * 3
    visual, _, sound_text = shelf.fingerprint.split("+")
    assert visual == sound_text
    await shelf.aclose()


async def test_a_sound_model_that_is_asked_for_goes_before_joint_ears(tmp_path):
    joint = languagebind_model(tmp_path / "joint")
    tones = str(clap_model(tmp_path / "tones"))
    shelf = Shelf(joint_settings(tmp_path, joint, sound_text_model=tones))
    assert isinstance(await shelf.open_encoder(), MotionEncoder)
    assert (await shelf.open_sound_encoder()).name == "tones"
    off = Shelf(joint_settings(tmp_path, joint, sound_text_model="none"))
    with pytest.raises(MissingModelError) as caught:
        await off.open_sound_encoder()
    assert caught.value.model == ""
    await shelf.aclose()


async def test_joint_ears_may_serve_beside_another_picture_model(settings, tmp_path):
    joint = languagebind_model(tmp_path / "joint")
    shelf = Shelf(change(settings, sound_text_model=str(joint)))
    assert (await shelf.open_sound_encoder()).name == "joint"
    assert (await shelf.open_encoder()).name == "colours"
    await shelf.aclose()


async def test_two_models_of_one_name_are_not_taken_for_one_space(settings, tmp_path):
    other = clap_model(tmp_path / "elsewhere" / "colours")
    shelf = Shelf(change(settings, sound_text_model=str(other)))
    await shelf.open_encoder()
    with pytest.raises(ConfigurationError, match="two models are called colours"):
        await shelf.open_sound_encoder()
    await shelf.aclose()


async def test_a_joint_model_that_is_mounted_later_hears_from_then_on(tmp_path):
    shelf = Shelf(joint_settings(tmp_path, tmp_path / "later"))
    with pytest.raises(MissingModelError, match="clap-htsat-unfused"):
        await shelf.open_sound_encoder()
    languagebind_model(tmp_path / "later")
    assert await shelf.open_sound_encoder() is await shelf.open_encoder()
    await shelf.aclose()


async def test_a_missing_sound_model_is_told_with_the_way_out(settings):
    shelf = Shelf(change(settings, sound_text_model="clap-htsat-unfused"))
    with pytest.raises(MissingModelError) as caught:
        await shelf.open_sound_encoder()
    assert caught.value.model == "clap-htsat-unfused"
    assert (await shelf.check())[2].fix == "moodreel models pull clap-htsat-unfused"


async def test_a_picture_model_does_not_hear(settings):
    shelf = Shelf(change(settings, sound_text_model=settings.visual_model))
    await shelf.open_encoder()
    with pytest.raises(
        ConfigurationError, match="SOUND_TEXT_MODEL: colours is a picture-and-text model"
    ):
        await shelf.open_sound_encoder()
    assert (await shelf.check())[2].severity is Severity.ERROR
    await shelf.aclose()


# The Hub ----------------------------------------------------------------------------------------


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[tuple[Model, HubServer]]:
    """A row of the catalog that a local server has."""
    files = files_of(colour_model(tmp_path / "made"))
    roles = {
        "vision_model.onnx": Role.IMAGE_TOWER,
        "text_model.onnx": Role.TEXT_TOWER,
        "tokenizer.json": Role.TOKENIZER,
    }
    with serve_hub(files) as server:
        model = Model(
            name="toy",
            summary="a toy",
            spec=_toy_spec(),
            licence="MIT",
            repository="toys/toy",
            revision="0123456789abcdef0123456789abcdef01234567",
            files=tuple(
                ModelFile(
                    role=role,
                    path=path,
                    size_bytes=len(files[path]),
                    sha256=hashlib.sha256(files[path]).hexdigest(),
                )
                for path, role in roles.items()
            ),
        )
        yield model, server


def _toy_spec() -> VisualSpec:
    return replace(
        CLIP,
        dimension=3,
        image=replace(CLIP.image, size=8),
        text=replace(CLIP.text, pad_id=0, end_id=2),
    )


async def test_a_job_downloads_what_it_needs(settings, toy):
    model, server = toy
    hub = ModelHub(settings.models_dir, endpoint=server.url)
    shelf = Shelf(change(settings, visual_model="toy"), hub=hub, catalog={"toy": model})
    assert server.requests == []
    encoder = await shelf.open_encoder()
    assert encoder.encode_texts(["red"]).tolist() == [[1, 0, 0]]
    await shelf.aclose()


async def test_jobs_may_be_forbidden_to_download(settings, toy):
    model, server = toy
    hub = ModelHub(settings.models_dir, endpoint=server.url)
    shelf = Shelf(
        change(settings, visual_model="toy", download=False), hub=hub, catalog={"toy": model}
    )
    with pytest.raises(MissingModelError, match="moodreel models pull toy"):
        await shelf.open_encoder()
    assert server.requests == []


async def test_a_failed_download_is_not_tried_for_every_item(settings, toy):
    model, server = toy
    served = dict(server.files)
    server.files.clear()
    clock = Clock()
    hub = ModelHub(settings.models_dir, endpoint=server.url)
    shelf = Shelf(
        change(settings, visual_model="toy"), hub=hub, catalog={"toy": model}, clock=clock
    )
    with pytest.raises(MissingModelError, match="fetching vision_model"):
        await shelf.open_encoder()
    asked = len(server.requests)
    server.files.update(served)
    for _ in range(3):
        with pytest.raises(MissingModelError, match="fetching vision_model"):
            await shelf.open_encoder()
    assert len(server.requests) == asked
    clock.now_s = RETRY_AFTER_S
    assert (await shelf.open_encoder()).name == "toy"
    await shelf.aclose()


async def test_what_was_pulled_meanwhile_is_used_at_once(settings, toy):
    model, server = toy
    served = dict(server.files)
    server.files.clear()
    hub = ModelHub(settings.models_dir, endpoint=server.url)
    shelf = Shelf(
        change(settings, visual_model="toy"), hub=hub, catalog={"toy": model}, clock=Clock()
    )
    with pytest.raises(MissingModelError):
        await shelf.open_encoder()
    server.files.update(served)
    ModelHub(settings.models_dir, endpoint=server.url).fetch(model)
    assert (await shelf.open_encoder()).name == "toy"
    await shelf.aclose()


# What the command line shows --------------------------------------------------------------------


def test_listing_says_what_is_here(settings, tmp_path):
    (settings.models_dir / "yamnet").mkdir(parents=True)
    (settings.models_dir / "yamnet" / "yamnet.onnx").write_bytes(b"")
    listed = {listing.model.name: listing for listing in list_models(settings)}
    assert listed["siglip-b16-224"].state is State.NOT_HERE
    assert listed["yamnet"].state is State.PARTIAL
    assert listed["colours"].state is State.HERE
    assert listed["colours"].is_configured
    assert not listed["yamnet"].is_configured
    assert listed["tones"].model.kind == "sound-and-text model"
    assert listed["yamnet"].model.kind == "sound tagger"


def test_listing_goes_on_without_a_directory_that_is_not_mounted(settings, tmp_path):
    gone = tmp_path / "not-mounted"
    listed = {
        listing.model.name: listing
        for listing in list_models(settings.model_copy(update={"sound_model": str(gone)}))
    }
    assert listed["not-mounted"].state is State.NOT_HERE
    assert listed["not-mounted"].is_configured
    assert listed["not-mounted"].model.kind == "sound tagger"
    assert listed["colours"].state is State.HERE


def test_listing_does_not_ask_for_ears_that_a_joint_model_has(tmp_path):
    joint = joint_settings(tmp_path, languagebind_model(tmp_path / "joint"))
    listed = {listing.model.name: listing for listing in list_models(joint)}
    assert listed["joint"].model.kind == "joint model"
    assert not listed["clap-htsat-unfused"].is_configured
    without = {listing.model.name: listing for listing in list_models(ModelSettings())}
    assert without["clap-htsat-unfused"].is_configured


def test_verifying_reads_every_file(settings):
    checks = verify(settings, settings.visual_model)
    assert [check.verdict for check in checks] == ["not pinned"] * 3
    assert all(len(check.sha256) == 64 and check.size_bytes for check in checks)


def test_verifying_what_is_not_here_says_missing(settings):
    assert {check.verdict for check in verify(settings, "yamnet")} == {"missing"}


def test_pulling_offline_says_that_it_is_offline(settings):
    with pytest.raises(MissingModelError, match="MOODREEL_OFFLINE"):
        pull(settings, "yamnet")


def test_pulling_a_directory_that_is_whole_changes_nothing(settings):
    assert pull(settings, settings.visual_model).name == "colours"


def test_an_unknown_model_cannot_be_pulled(settings):
    with pytest.raises(ConfigurationError, match="no model is called 'toy'"):
        pull(settings, "toy")


def test_settings_come_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("MOODREEL_VISUAL_MODEL", "none")
    monkeypatch.setenv("MOODREEL_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("MOODREEL_MODEL_PROVIDERS", "CUDA, cpu")
    monkeypatch.setenv("MOODREEL_MODEL_THREADS", "3")
    settings = ModelSettings.read()
    assert settings.visual_model == "none"
    assert settings.models_dir == tmp_path
    assert settings.providers == ("cuda", "cpu")
    assert settings.threads == 3
    assert 1 <= ModelSettings.model_fields["threads"].get_default(call_default_factory=True) <= 4
