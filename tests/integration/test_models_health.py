"""What monitors are told of the models: nothing is loaded for it, and no path is said."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from adapters.models.settings import ModelSettings
from adapters.models.shelf import Shelf
from service.domain import Finding, Severity
from service.errors import MissingModelError
from tests.support.models import colour_model, solid

OFF = {"sound_model": "none", "sound_text_model": "none"}


def settings_of(place: Path, **values: object) -> ModelSettings:
    chosen = OFF | {"models_dir": place / "models", "offline": True, "threads": 1} | values
    return ModelSettings.model_validate(chosen)


async def health_of(shelf: Shelf) -> Finding:
    """Of the picture model."""
    return next(found for found in await shelf.health() if found.subject.startswith("models/"))


def loads_of(model: str, outcome: str) -> float:
    labels = {"model": model, "outcome": outcome}
    return REGISTRY.get_sample_value("moodreel_model_loads_total", labels) or 0.0


async def test_models_that_are_turned_off_are_well(tmp_path):
    shelf = Shelf(settings_of(tmp_path, visual_model="none"))

    assert {found.severity for found in await shelf.health()} == {Severity.OK}


async def test_a_model_that_nobody_needed_yet_is_named_and_no_trouble(tmp_path):
    named = await health_of(Shelf(settings_of(tmp_path, visual_model="clip-vit-b-32")))
    default = await health_of(Shelf(settings_of(tmp_path)))

    for found in (named, default):
        assert (found.severity, found.message) == (Severity.WARNING, "not here yet")
        assert found.fix == f"moodreel models pull {found.subject.removeprefix('models/')}"


@pytest.mark.parametrize(
    ("chosen", "severity"),
    [({"visual_model": "clip-vit-b-32"}, Severity.ERROR), ({}, Severity.WARNING)],
    ids=["asked for by name", "a default"],
)
async def test_a_model_that_a_job_could_not_get_is_trouble_if_it_was_named(
    tmp_path, chosen, severity
):
    shelf = Shelf(settings_of(tmp_path, **chosen))
    with pytest.raises(MissingModelError):
        await shelf.open_encoder()

    found = await health_of(shelf)

    assert found.severity is severity
    assert "not to be had" in found.message
    assert found.fix.startswith("moodreel models pull")
    assert loads_of(found.subject.removeprefix("models/"), "missing") >= 1


async def test_damaged_files_are_trouble_before_anybody_loads_them(tmp_path):
    shelf = Shelf(settings_of(tmp_path, visual_model="clip-vit-b-32"))
    place = tmp_path / "models" / "clip-vit-b-32"
    for file in shelf._catalog["clip-vit-b-32"].files:
        (place / file.path).parent.mkdir(parents=True, exist_ok=True)
        (place / file.path).write_bytes(b"half of it")

    found = await health_of(shelf)

    assert (found.severity, found.message) == (Severity.ERROR, "its files are damaged")
    assert str(tmp_path) not in str(found)


async def test_a_graph_that_cannot_be_loaded_is_trouble_until_its_file_is_another(tmp_path):
    directory = colour_model(tmp_path / "colours")
    shelf = Shelf(settings_of(tmp_path, visual_model=str(directory)))
    encoder = await shelf.open_encoder()
    graph = directory / "vision_model.onnx"
    whole = shutil.copy(graph, tmp_path / "whole.onnx")
    assert (await health_of(shelf)).severity is Severity.OK

    graph.write_bytes(b"half of it")
    broken = loads_of("colours", "broken")
    with pytest.raises(MissingModelError):
        encoder.encode_images([solid((255, 0, 0))])
    found = await health_of(shelf)
    assert (found.severity, found.message) == (Severity.ERROR, "it could not be loaded")
    assert str(tmp_path) not in str(found)
    assert loads_of("colours", "broken") == broken + 1

    shutil.copy(whole, graph)
    assert (await health_of(shelf)).severity is Severity.OK
    loaded = loads_of("colours", "loaded")
    encoder.encode_images([solid((255, 0, 0))])
    assert loads_of("colours", "loaded") == loaded + 1


async def test_a_directory_that_is_not_mounted_is_trouble_once_a_job_needed_it(tmp_path):
    directory = tmp_path / "later" / "colours"
    shelf = Shelf(settings_of(tmp_path, visual_model=str(directory)))
    assert (await health_of(shelf)).severity is Severity.WARNING
    with pytest.raises(MissingModelError):
        await shelf.open_encoder()
    assert (await health_of(shelf)).severity is Severity.ERROR

    directory.parent.mkdir()
    colour_model(directory)
    assert (await health_of(shelf)).severity is Severity.OK
