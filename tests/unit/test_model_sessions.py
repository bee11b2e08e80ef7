"""Sessions load when needed, leave when idle, and say clearly what is wrong with a file."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from adapters.models.sessions import Session, SessionOptions, choose_providers
from service.errors import ConfigurationError, MissingModelError
from tests.support.models import SIZE, image_tower

PICTURES = np.ones((2, 3, SIZE, SIZE), dtype=np.float32)


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def is_loaded(session: Session) -> bool:
    return session.is_loaded


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def session(tmp_path: Path, clock: Clock):
    path = image_tower(tmp_path / "vision_model.onnx")
    session = Session("toy", path, SessionOptions(idle_s=60), clock=clock)
    yield session
    session.close()


def test_a_graph_is_loaded_at_its_first_use_only(session: Session):
    assert not is_loaded(session)
    result = session.run({"pixel_values": PICTURES}, "image_embeds")
    assert is_loaded(session)
    np.testing.assert_allclose(result, np.ones((2, 3)))


def test_it_describes_its_inputs_and_outputs(session: Session):
    (pixels,) = session.inputs()
    assert (pixels.name, pixels.dtype, pixels.shape) == (
        "pixel_values",
        np.dtype(np.float32),
        (None, 3, SIZE, SIZE),
    )
    assert [port.name for port in session.outputs()] == ["image_embeds"]


def test_it_leaves_memory_after_its_time_and_comes_back(session: Session, clock: Clock):
    session.run({"pixel_values": PICTURES}, "image_embeds")
    clock.now_s += 59
    session.unload_if_idle()
    assert is_loaded(session)
    clock.now_s += 1
    session.unload_if_idle()
    assert not is_loaded(session)
    session.run({"pixel_values": PICTURES}, "image_embeds")
    assert is_loaded(session)


def test_use_begins_its_time_anew(session: Session, clock: Clock):
    session.run({"pixel_values": PICTURES}, "image_embeds")
    clock.now_s += 50
    session.run({"pixel_values": PICTURES}, "image_embeds")
    clock.now_s += 50
    session.unload_if_idle()
    assert is_loaded(session)


def test_it_looks_by_itself_whether_it_is_idle(tmp_path: Path):
    path = image_tower(tmp_path / "vision_model.onnx")
    session = Session("toy", path, SessionOptions(idle_s=0.01))
    session.run({"pixel_values": PICTURES}, "image_embeds")
    unloaded = threading.Event()
    for _ in range(500):
        if not session.is_loaded:
            break
        unloaded.wait(0.01)
    assert not is_loaded(session)


def test_without_an_idle_time_it_stays(tmp_path: Path, clock: Clock):
    session = Session("toy", image_tower(tmp_path / "a.onnx"), SessionOptions(), clock=clock)
    before = threading.active_count()
    session.run({"pixel_values": PICTURES}, "image_embeds")
    assert threading.active_count() == before
    assert is_loaded(session)


def test_threads_share_one_session(session: Session):
    results: list[np.ndarray] = []

    def work() -> None:
        results.extend(session.run({"pixel_values": PICTURES}, "image_embeds") for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 80
    np.testing.assert_allclose(np.stack(results), 1.0)


@pytest.mark.parametrize("kept", [0, 10, 100], ids=lambda kept: f"{kept} bytes")
def test_a_truncated_file_says_how_to_get_it_again(tmp_path: Path, kept: int):
    path = image_tower(tmp_path / "vision_model.onnx")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(
        MissingModelError, match=r"broken or incomplete.*models pull --force toy"
    ) as caught:
        Session("toy", path, SessionOptions()).inputs()
    assert caught.value.model == "toy"


def test_a_file_that_is_gone_is_a_missing_model(tmp_path: Path):
    with pytest.raises(MissingModelError):
        Session("toy", tmp_path / "gone.onnx", SessionOptions()).inputs()


def test_inputs_that_the_graph_does_not_take_are_named(session: Session):
    with pytest.raises(
        ConfigurationError, match=r"vision_model\.onnx does not take .*\(2, 3, 5, 5\)"
    ):
        session.run({"pixel_values": np.ones((2, 3, 5, 5), dtype=np.float32)}, "image_embeds")


def test_the_cpu_is_always_among_the_providers_and_last():
    assert choose_providers()[-1] == "CPUExecutionProvider"
    assert choose_providers(["cpu"]) == ("CPUExecutionProvider",)
    assert set(choose_providers()) <= set(ort.get_available_providers())


def test_an_unknown_provider_lists_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"'gpu' is unknown; known: cuda, .*cpu"):
        choose_providers(["gpu"])


@pytest.mark.skipif(
    "CoreMLExecutionProvider" in ort.get_available_providers(), reason="this machine has it"
)
def test_a_provider_that_this_build_lacks_is_refused():
    with pytest.raises(ConfigurationError, match=r"cannot do 'coreml'; it can do: .*cpu"):
        choose_providers(["coreml"])
