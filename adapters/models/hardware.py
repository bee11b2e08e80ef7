"""What this machine could run models on, and what it does run them on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from adapters.models.inventory import session_options
from adapters.models.providers import available_providers, short_name
from adapters.models.settings import ModelSettings
from adapters.models.starting import start_graph
from service.domain import Finding, Severity

PACKAGES = {"cuda": "onnxruntime-gpu[cuda,cudnn]", "openvino": "onnxruntime-openvino"}
"""All of them, and ``onnxruntime``, install the same module: of two in one environment the last one
wins, and removing either breaks the other (tried with pip). So none is an extra of ours."""
INTEL_VENDOR = "0x8086"
"""PCI vendor id."""


PROBE = (
    b'\x08\x08:C\n\x11\n\x01x\n\x01x\x12\x01y"\x06MatMul\x12\x04tinyZ\x13\n\x01x\x12\x0e\n\x0c'
    b"\x08\x01\x12\x08\n\x02\x08\x02\n\x02\x08\x02b\x13\n\x01y\x12\x0e\n\x0c\x08\x01\x12\x08\n\x02"
    b"\x08\x02\n\x02\x08\x02B\x04\n\x00\x10\r"
)
"""An ONNX graph: two by two numbers, multiplied with themselves."""


def describe_providers(settings: ModelSettings, *, root: Path = Path("/")) -> Finding:
    """What models run on here, tried; and how to get something faster where a GPU lies idle.

    Args:
        settings: Which providers are wanted.
        root: Of the file system in which GPUs are looked for.

    Raises:
        ConfigurationError: A provider is unknown, or this onnxruntime was built without it.
    """
    options = session_options(settings)
    wanted = short_name(options.providers[0])
    device = start_graph(PROBE, options, options.providers).device
    notes = [f"models run on {device}; this onnxruntime can do {', '.join(available_providers())}"]
    if device != wanted:
        notes.append(f"{wanted} does not start: its libraries or its device are not here")
    idle = () if settings.providers else tuple(_idle_gpus(device, settings.openvino_device, root))
    notes += [f"{gpu} is not used" for gpu, _ in idle]
    return Finding(
        subject="models/providers",
        severity=Severity.WARNING if idle or device != wanted else Severity.OK,
        message="; ".join(notes),
        fix="; or: ".join(fix for _, fix in idle),
    )


def _idle_gpus(device: str, openvino_device: str, root: Path) -> Iterator[tuple[str, str]]:
    """GPUs that are to be seen and not used, and how to use them."""
    if device == "cuda":
        return
    if (root / "proc/driver/nvidia/version").exists():
        yield "an NVIDIA GPU", _replace_onnxruntime("cuda")
    if any(_are_intel(root)):
        if device != "openvino":
            fix = f"{_replace_onnxruntime('openvino')}, and MOODREEL_OPENVINO_DEVICE=GPU"
            yield "an Intel GPU", fix
        elif "GPU" not in openvino_device:
            yield "an Intel GPU", "MOODREEL_OPENVINO_DEVICE=GPU"


def _are_intel(root: Path) -> Iterator[bool]:
    for path in (root / "sys/class/drm").glob("card*/device/vendor"):
        with suppress(OSError):
            yield path.read_text().strip() == INTEL_VENDOR


def _replace_onnxruntime(name: str) -> str:
    package = PACKAGES[name]
    return f"pip uninstall -y onnxruntime {package.partition('[')[0]} && pip install '{package}'"
