"""``moodreel models bench``: every model that is here, on everything it can run on."""

from __future__ import annotations

import onnxruntime as ort
import pytest

from adapters.models.benching import BATCHES, Bench, advise
from tests.support.cli import invoke, invoke_json
from tests.support.models import colour_model, loudness_tagger
from tests.support.service import environment
from tests.support.sound_models import clap_model


@pytest.fixture
def env(tmp_path):
    return environment(
        tmp_path / "data",
        MOODREEL_MODELS_DIR=str(tmp_path / "models"),
        MOODREEL_MODEL_THREADS="1",
        MOODREEL_MODEL_PROVIDERS="cpu",
    )


def test_it_measures_what_each_kind_of_model_can_do(tmp_path, env):
    eyes, ears = colour_model(tmp_path / "eyes"), clap_model(tmp_path / "ears")
    tagger = loudness_tagger(tmp_path / "tagger")
    found = invoke_json("models", "bench", str(eyes), str(ears), str(tagger), env=env)
    by_name = {row["model"]: row for row in found["models"]}
    assert set(by_name) == {"eyes", "ears", "tagger"}
    for row in by_name.values():
        assert (row["provider"], row["device"], row["threads"]) == ("cpu", "cpu", 1)
        assert row["error"] == ""
        assert row["load_s"] > 0
        assert row["peak_mb"] >= 0
    assert by_name["eyes"]["pictures_per_s"].keys() == {str(size) for size in BATCHES}
    assert all(rate > 0 for rate in by_name["eyes"]["pictures_per_s"].values())
    assert by_name["eyes"]["sounds_per_s"] is None
    for name in ("ears", "tagger"):
        assert by_name[name]["pictures_per_s"] == {}
        assert by_name[name]["sounds_per_s"] > 0
    assert by_name["ears"]["texts_per_s"] > 0
    assert by_name["tagger"]["texts_per_s"] is None
    assert f"MOODREEL_VISUAL_MODEL={eyes}" in found["advice"]


def test_without_names_it_takes_what_is_here(tmp_path, env):
    eyes = colour_model(tmp_path / "eyes")
    told = env | {"MOODREEL_VISUAL_MODEL": str(eyes), "MOODREEL_SOUND_TEXT_MODEL": "none"}
    status, out, err = invoke("models", "bench", env=told)
    assert (status, err) == (0, "")
    assert "eyes" in out
    assert "pictures/s" in out
    assert "fits this machine" in " ".join(out.split())


def test_a_model_that_does_not_run_is_named_and_the_others_are_measured(tmp_path, env):
    ears, broken = loudness_tagger(tmp_path / "ears"), colour_model(tmp_path / "broken")
    (broken / "model.toml").write_text('family = "clip"\ndimension = 512\n[image]\nsize = 8\n')
    status, out, err = invoke("models", "bench", str(ears), str(broken), env=env)
    assert status == 0
    assert "ears" in out
    assert "broken on cpu" in err
    assert "512" in err
    status, _, _ = invoke("models", "bench", str(broken), env=env)
    assert status == 1


def test_without_any_model_it_says_how_to_get_one(tmp_path, env):
    status, _, err = invoke("models", "bench", env=env)
    assert status == 1
    assert "moodreel models pull siglip-b16-224" in " ".join(err.split())


def test_every_provider_of_this_onnxruntime_is_tried(tmp_path, env):
    ears = loudness_tagger(tmp_path / "ears")
    found = invoke_json("models", "bench", str(ears), env=env | {"MOODREEL_MODEL_PROVIDERS": ""})
    providers = [row["provider"] for row in found["models"]]
    assert providers[-1] == "cpu"
    assert ("openvino" in providers) == (
        "OpenVINOExecutionProvider" in ort.get_available_providers()
    )


def bench(model: str, rate: float, *, device: str = "cpu", is_free: bool = True) -> Bench:
    return Bench(
        model=model,
        setting=model,
        provider=device,
        device=device,
        pictures_per_s={8: rate},
        is_research_only=not is_free,
    )


@pytest.mark.parametrize(
    ("benches", "said"),
    [
        pytest.param([], "", id="nothing"),
        pytest.param(
            [bench("clip-vit-b-32", 90.0), bench("siglip-b16-224", 30.0)],
            "siglip-b16-224 on cpu fits this machine: 4.0 minutes",
            id="the most accurate that is fast enough",
        ),
        pytest.param(
            [bench("clip-vit-b-32", 90.0), bench("siglip-b16-224", 10.0)],
            "clip-vit-b-32 on cpu fits this machine: 1.3 minutes",
            id="the fast one where the accurate one is slow",
        ),
        pytest.param(
            [bench("siglip-b16-224", 30.0), bench("siglip-b16-224", 300.0, device="cuda")],
            "siglip-b16-224 on cuda fits",
            id="the better device",
        ),
        pytest.param(
            [bench("clip-vit-b-32", 6.0), bench("siglip-b16-224", 2.0)],
            "clip-vit-b-32 on cpu is the fastest, and needs 20.0 minutes",
            id="none is fast enough",
        ),
        pytest.param(
            [bench("mobileclip-s2", 99.0, is_free=False)], "", id="never a research licence"
        ),
    ],
)
def test_the_advice_names_one_model(benches, said):
    assert advise(benches).startswith(said)
    assert bool(advise(benches)) == bool(said)
