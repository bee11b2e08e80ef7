"""Doctor's words about what models run on, and about GPUs that lie idle."""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort
import pytest

from adapters.models.hardware import describe_providers
from adapters.models.providers import available_providers, short_name
from adapters.models.settings import ModelSettings
from service.domain import Severity
from service.errors import ConfigurationError

WITH_CPU_ONLY = pytest.mark.skipif(
    available_providers() != ["cpu"], reason="this onnxruntime can do more than the CPU"
)


def machine(root: Path, *, nvidia: bool = False, vendors: tuple[str, ...] = ()) -> Path:
    """A file system in which a machine's GPUs are to be seen."""
    if nvidia:
        (root / "proc/driver/nvidia").mkdir(parents=True)
        (root / "proc/driver/nvidia/version").touch()
    for index, vendor in enumerate(vendors):
        device = root / f"sys/class/drm/card{index}/device"
        device.mkdir(parents=True)
        (device / "vendor").write_text(f"{vendor}\n")
    return root


def test_a_machine_without_a_gpu_is_well(tmp_path):
    found = describe_providers(ModelSettings(providers=("cpu",)), root=machine(tmp_path))
    assert found.severity is Severity.OK
    assert found.subject == "models/providers"
    assert found.message.startswith("models run on cpu; this onnxruntime can do ")
    assert found.fix == ""


@WITH_CPU_ONLY
@pytest.mark.parametrize(
    ("gpus", "message", "fix"),
    [
        pytest.param(
            {"nvidia": True},
            "an NVIDIA GPU is not used",
            "pip uninstall -y onnxruntime onnxruntime-gpu && "
            "pip install 'onnxruntime-gpu[cuda,cudnn]'",
            id="NVIDIA",
        ),
        pytest.param(
            {"vendors": ("0x8086",)},
            "an Intel GPU is not used",
            "pip uninstall -y onnxruntime onnxruntime-openvino && "
            "pip install 'onnxruntime-openvino', "
            "and MOODREEL_OPENVINO_DEVICE=GPU",
            id="Intel",
        ),
        pytest.param(
            {"vendors": ("0x1002", "0x8086")}, "an Intel GPU", "openvino", id="AMD, Intel"
        ),
    ],
)
def test_an_idle_gpu_is_named_with_the_way_to_use_it(tmp_path, gpus, message, fix):
    found = describe_providers(ModelSettings(), root=machine(tmp_path, **gpus))
    assert found.severity is Severity.WARNING
    assert message in found.message
    assert fix in found.fix


def test_who_chose_the_cpu_is_not_told_of_gpus(tmp_path):
    root = machine(tmp_path, nvidia=True, vendors=("0x8086",))
    assert describe_providers(ModelSettings(providers=("cpu",)), root=root).fix == ""


def test_other_cards_say_nothing(tmp_path):
    root = machine(tmp_path, vendors=("0x1002", "0x1a03"))
    assert describe_providers(ModelSettings(), root=root).severity is Severity.OK


def test_a_provider_that_is_unknown_is_a_mistake_in_the_settings():
    with pytest.raises(ConfigurationError, match="'gpu' is unknown"):
        describe_providers(ModelSettings(providers=("gpu",)))


def test_names_are_short_and_unknown_ones_stay():
    assert short_name("CUDAExecutionProvider") == "cuda"
    assert short_name("AzureExecutionProvider") == "AzureExecutionProvider"


@pytest.mark.skipif(
    "OpenVINOExecutionProvider" not in ort.get_available_providers(),
    reason="needs onnxruntime-openvino",
)
@pytest.mark.parametrize(("device", "runs_on"), [("CPU", "openvino"), ("nonsense", "cpu")])
def test_openvino_is_believed_when_it_takes_a_graph(tmp_path, device, runs_on):
    settings = ModelSettings(providers=("openvino",), openvino_device=device)
    found = describe_providers(settings, root=machine(tmp_path))
    assert found.message.startswith(f"models run on {runs_on}")
    assert (found.severity is Severity.OK) == (runs_on == "openvino")
