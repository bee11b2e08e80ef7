"""Whether the extra ``export`` is installed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from service.errors import ConfigurationError

PACKAGES = ("torch", "transformers", "onnx", "onnxscript")


def require_extra(packages: Sequence[str] = PACKAGES) -> None:
    """See that PyTorch and its company are there.

    Raises:
        ConfigurationError: They are not; the message says how to get them.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"making models needs {', '.join(missing)}: pip install 'moodreel[export]'"
        )
