"""Sessions load when needed, leave when idle, and say clearly what is wrong with a file."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime as ort
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from adapters.models.limits import RunLimit
from adapters.models.providers import choose_providers
from adapters.models.sessions import Session, SessionOptions
from service.errors import (
    ConfigurationError,
    MissingModelError,
    ModelTimeoutError,
    TransientError,
)
from tests.support.models import SIZE, image_tower, slow_graph

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
    before = set(threading.enumerate())
    session.run({"pixel_values": PICTURES}, "image_embeds")
    assert set(threading.enumerate()) <= before  # those of other tests may end meanwhile
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


LARGE, SMALL = np.ones((256, 256), dtype=np.float32), np.ones((1, 1), dtype=np.float32)
"""Seconds and no time at all, through a graph of thousands of products."""


def test_a_run_that_takes_too_long_is_stopped_inside_and_the_graph_stays_usable(tmp_path: Path):
    session = Session("toy", slow_graph(tmp_path / "slow.onnx"), SessionOptions())
    with pytest.raises(ModelTimeoutError, match=r"toy: slow\.onnx took longer than 0\.05 s"):
        session.run({"x": LARGE}, "y", timeout_s=0.05)
    assert session.run({"x": SMALL}, "y", timeout_s=60.0).tolist() == [[1.0]]


def test_no_time_left_is_a_timeout_at_once(session: Session):
    with pytest.raises(ModelTimeoutError, match=r"no time was left"):
        session.run({"pixel_values": PICTURES}, "image_embeds", timeout_s=0.0)
    assert not is_loaded(session)


def test_loading_is_no_part_of_the_limit(tmp_path: Path):
    path = image_tower(tmp_path / "vision_model.onnx")

    def start_slowly(*arguments: object, **options: object) -> ort.InferenceSession:
        threading.Event().wait(1.2)
        return ort.InferenceSession(*arguments, **options)

    session = Session("toy", path, SessionOptions(), start=start_slowly)
    result = session.run({"pixel_values": PICTURES}, "image_embeds", timeout_s=1.0)
    assert result.shape == (2, 3)


def test_many_limits_share_one_thread_and_those_that_are_over_end_in_their_order():
    def names() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "run-limits"]

    late, soon, never = RunLimit(30.0), RunLimit(0.02), RunLimit(None)
    with late, soon, never:
        for _ in range(200):
            with RunLimit(20.0):
                pass
        assert names() == ["run-limits"]
        assert wait_until(lambda: soon.is_over)
        assert not late.is_over
        assert not never.is_over


def test_a_run_that_is_done_is_not_ended_any_more():
    done = RunLimit(0.01)
    with done:
        pass
    with RunLimit(0.03) as later:
        assert wait_until(lambda: later.is_over)
    assert not done.is_over


def wait_until(is_so: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + 30
    while not is_so() and time.monotonic() < deadline_s:
        threading.Event().wait(0.005)
    return is_so()


GPU = ("CUDAExecutionProvider", "CPUExecutionProvider")


class Runtime:
    """Stands in for an onnxruntime with a GPU: starts everything on the CPU, says otherwise."""

    def __init__(
        self,
        *,
        starts: bool = True,
        runs: bool = True,
        takes: bool = True,
        shares: dict[str, int] | None = None,
    ) -> None:
        self.starts, self.runs, self.takes, self.shares = starts, runs, takes, shares
        self.started: list[str] = []

    def __call__(self, path: str, native: ort.SessionOptions, providers, **options: object):
        first = providers[0][0]
        self.started.append(first)
        on_gpu = first == GPU[0]
        if on_gpu and not self.starts:
            raise ort_errors.EPFail("no such device")
        real = ort.InferenceSession(path, native, [GPU[1]])
        return GpuSession(real, self) if on_gpu else real


class GpuSession:
    def __init__(self, real: ort.InferenceSession, runtime: Runtime) -> None:
        self.real, self.runtime = real, runtime
        self.get_inputs, self.get_outputs = real.get_inputs, real.get_outputs
        if runtime.shares is not None:
            self.get_provider_graph_assignment_info = self.tell_shares

    def tell_shares(self) -> list[SimpleNamespace]:
        """As newer versions of onnxruntime tell which provider took which operators."""
        assert self.runtime.shares is not None
        return [
            SimpleNamespace(ep_name=name, get_nodes=partial(list, range(count)))
            for name, count in self.runtime.shares.items()
        ]

    def get_providers(self) -> list[str]:
        return list(GPU) if self.runtime.takes else [GPU[1]]

    def run(self, *arguments: object):
        if not self.runtime.runs:
            raise ort_errors.RuntimeException("the device was lost")
        return self.real.run(*arguments)


def start_on_gpu(tmp_path: Path, runtime: Runtime) -> Session:
    path = image_tower(tmp_path / "vision_model.onnx")
    return Session("toy", path, SessionOptions(providers=GPU), start=runtime)


@pytest.mark.parametrize(
    ("shares", "device"),
    [
        pytest.param(None, "cuda", id="an older onnxruntime that does not tell"),
        pytest.param({GPU[0]: 500, GPU[1]: 16}, "cuda", id="most of it"),
        pytest.param({GPU[1]: 516}, "cpu", id="nothing of it"),
        pytest.param({}, "cuda", id="a graph without operators"),
    ],
)
def test_it_says_what_it_really_runs_on(tmp_path: Path, shares, device: str):
    assert start_on_gpu(tmp_path, Runtime(shares=shares)).device == device


@pytest.mark.parametrize(
    ("runtime", "action"),
    [
        pytest.param(Runtime(starts=False), "provider_unused", id="the provider does not start"),
        pytest.param(Runtime(takes=False), "provider_unused", id="it takes none of the graph"),
        pytest.param(Runtime(runs=False), "provider_failed", id="its first run fails"),
    ],
)
def test_the_cpu_takes_over_with_a_warning(tmp_path: Path, caplog, runtime: Runtime, action: str):
    session = start_on_gpu(tmp_path, runtime)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            result = session.run({"pixel_values": PICTURES}, "image_embeds")
    np.testing.assert_allclose(result, np.ones((2, 3)))
    assert session.device == "cpu"
    assert [record.__dict__["action"] for record in caplog.records] == [action]


def test_a_device_that_has_run_and_is_lost_later_is_tried_again_later(tmp_path: Path):
    runtime = Runtime()
    session = start_on_gpu(tmp_path, runtime)
    session.run({"pixel_values": PICTURES}, "image_embeds")
    runtime.runs = False
    with pytest.raises(TransientError, match="the device was lost"):
        session.run({"pixel_values": PICTURES}, "image_embeds")
    runtime.runs = True
    session.run({"pixel_values": PICTURES}, "image_embeds")
    assert (session.device, runtime.started) == ("cuda", [GPU[0]])


def test_a_broken_file_is_no_fault_of_the_provider(tmp_path: Path, caplog):
    path = tmp_path / "vision_model.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(MissingModelError, match="broken or incomplete"):
        Session("toy", path, SessionOptions(providers=GPU), start=Runtime()).inputs()
    assert not caplog.records
