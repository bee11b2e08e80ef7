"""Searches open the model whose vectors they compare with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from adapters.database.vector_indexes import CurrentModel, VectorIndexes
from adapters.models.settings import ModelSettings
from service.errors import ConfigurationError, MissingModelError
from service.query import VectorKind
from service.wiring.current_models import LOOK_EVERY_S, CurrentShelf, wanted_models
from tests.support.models import colour_model


class Named(str):
    """A model that is nothing but its name."""

    __slots__ = ()

    @property
    def name(self) -> str:
        return str(self)


class House:
    """A database that answers as it is told, shelves of one model each, and a clock."""

    def __init__(self, **models: str) -> None:
        self.current: dict[VectorKind, CurrentModel] = {}
        self.missing: set[str] = set()
        self.unknown: set[str] = set()
        self.now = 0.0
        self.looks = 0
        settings = ModelSettings.model_validate(
            {"visual_model": "new", "sound_text_model": "new ears", **models}
        )
        self.shelf = CurrentShelf(
            self.open(settings),
            settings,
            cast("VectorIndexes", self),
            self.open,
            clock=lambda: self.now,
        )

    def says(self, kind: VectorKind, model: str) -> None:
        self.current[kind] = CurrentModel(
            model=model, dimension=2, successor="new", waiting_count=1
        )

    async def current_models(self, _wanted):
        self.looks += 1
        return dict(self.current)

    def open(self, settings: ModelSettings):
        if settings.visual_model in self.unknown:
            raise ConfigurationError("unknown")

        async def see():
            if settings.visual_model in self.missing:
                raise MissingModelError(settings.visual_model, "not here")
            return Named(settings.visual_model)

        async def hear():
            return settings.sound_text_model

        return SimpleNamespace(open_encoder=see, open_sound_encoder=hear)


@pytest.fixture
def house() -> House:
    return House()


async def test_the_configured_model_is_opened_where_there_is_no_other(house):
    assert await house.shelf.open_encoder() == "new"
    house.says(VectorKind.SCENE, "new")
    house.now += LOOK_EVERY_S + 1
    assert await house.shelf.open_encoder() == "new"
    assert house.looks == 2


async def test_the_former_model_is_opened_until_its_successor_takes_over(house):
    house.says(VectorKind.SCENE, "old")
    house.says(VectorKind.SOUND, "old ears")
    assert await house.shelf.open_encoder() == "old"
    assert await house.shelf.open_sound_encoder() == "old ears"
    assert house.looks == 1
    house.says(VectorKind.SCENE, "new")
    house.now += LOOK_EVERY_S + 1
    assert await house.shelf.open_encoder() == "new"
    assert await house.shelf.open_sound_encoder() == "old ears"


async def test_without_the_former_model_the_new_one_is_opened(house):
    house.says(VectorKind.SCENE, "old")
    house.missing = {"old"}
    assert await house.shelf.open_encoder() == "new"


async def test_a_model_that_nobody_knows_any_more_holds_nothing_up(house):
    house.says(VectorKind.SCENE, "a directory of long ago")
    house.unknown = {"a directory of long ago"}
    assert await house.shelf.open_encoder() == "new"


async def test_a_directory_is_known_by_its_model_s_name(tmp_path):
    models = ModelSettings(
        visual_model=str(colour_model(tmp_path / "eyes")), sound_text_model="none"
    )
    assert wanted_models(models) == {
        VectorKind.SCENE: "eyes",
        VectorKind.KEYFRAME: "eyes",
        VectorKind.SOUND: "",
    }


async def test_a_former_directory_is_found_beside_the_present_one(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "old").mkdir()
    house = House(visual_model=str(tmp_path / "new"))
    house.says(VectorKind.SCENE, "new")
    assert (await house.shelf.open_encoder()).name == str(tmp_path / "new")
    house.says(VectorKind.SCENE, "old")
    house.now += LOOK_EVERY_S + 1
    assert (await house.shelf.open_encoder()).name == str(tmp_path / "old")


async def test_another_machine_s_model_is_asked_once_it_is_the_current_one(house):
    house.says(VectorKind.SCENE, "old")
    assert not await house.shelf.is_current("new")
    assert await house.shelf.is_current("old")
    house.says(VectorKind.SCENE, "new")
    house.now += LOOK_EVERY_S + 1
    assert await house.shelf.is_current("new")


async def test_where_the_former_model_is_gone_another_machine_s_successor_will_do(house):
    house.says(VectorKind.SCENE, "old")
    house.missing = {"old"}
    assert await house.shelf.is_current("new")


async def test_an_owner_who_turned_pictures_off_is_not_given_the_former_model():
    house = House(visual_model="none")
    house.says(VectorKind.SCENE, "old")
    assert cast("str", await house.shelf.open_encoder()) == "none"


async def test_a_picture_model_that_hears_as_well_is_no_former_model(house):
    house.says(VectorKind.SOUND, "new")
    assert await house.shelf.open_sound_encoder() == "new ears"
