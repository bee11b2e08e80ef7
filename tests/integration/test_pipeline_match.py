"""An item's nearest other item, by what a model sees in both."""

import pytest

from service.domain import AnalyzeJob
from tests.support.media import BLUE, GREEN, RED, SceneSpec, write_film
from tests.support.models import colour_model


@pytest.fixture
def models(tmp_path):
    """A model that knows three colours."""
    return {"MOODREEL_VISUAL_MODEL": str(colour_model(tmp_path / "colour-model"))}


def film(house, name, *colours):
    scenes = [SceneSpec(duration_s=3, picture="moving_box", colour=colour) for colour in colours]
    write_film(house.library / f"{name} (2026).mp4", scenes, audio=False)


async def test_the_best_match_is_the_film_that_looks_alike_and_is_told(house):
    film(house, "Sea", BLUE, BLUE)
    film(house, "Forest", GREEN, GREEN)
    film(house, "Lake", BLUE, RED)
    refs = await house.refs()
    for title in ("Sea", "Forest", "Lake"):
        await house.moodreel.pipeline.analyze(AnalyzeJob(ref=refs[title]))
    await house.tell(refs["Lake"])

    assert (await house.moodreel.store.load(refs["Sea"])).best_match is None  # it was the first
    lake = await house.moodreel.store.load(refs["Lake"])
    assert lake.best_match.ref == refs["Sea"]
    assert lake.best_match.title == "Sea"
    assert lake.best_match.score > 0.95
    assert lake.embedding_model == "colour-model"
    (delivery,) = house.receiver.deliveries
    match = delivery.envelope["payload"]["meta"]["clip_best_match"]
    assert refs["Sea"].item_id in match["asset_id"]
    assert match["score"] == pytest.approx(lake.best_match.score, abs=0.01)
    (card,) = house.discord.messages.values()
    fields = {field["name"]: field["value"] for field in card["embeds"][0]["fields"]}
    assert "Sea" in fields["Best match"]


async def test_a_deleted_film_is_nobodys_match(house):
    film(house, "Sea", BLUE)
    film(house, "Lake", BLUE)
    refs = await house.refs()
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=refs["Sea"]))
    await house.moodreel.store.mark_deleted(refs["Sea"])
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=refs["Lake"]))
    assert (await house.moodreel.store.load(refs["Lake"])).best_match is None
