"""What the command gives up before it does anything."""

from __future__ import annotations

import ctypes
import os
import sys

from service.errors import ConfigurationError
from service.settings import ServiceSettings
from service.wiring.outbound import guard_outbound

if sys.platform != "win32":
    import resource

PR_SET_DUMPABLE = 4
"""From linux/prctl.h."""
WRITABLE_BY_OTHERS = 0o022


def harden() -> None:
    """Keep keys out of core dumps and from other programs of the same user; files from being
    changed by others; and connections to the hosts that settings name.

    A process that may not be dumped shows its environment and its memory to nobody but root: a
    decoder that was taken over runs as the same user.
    """
    os.umask(os.umask(WRITABLE_BY_OTHERS) | WRITABLE_BY_OTHERS)
    if sys.platform != "win32":
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    _keep_caches_at_home()
    guard_outbound()


def _keep_caches_at_home() -> None:
    """Have the library that draws curves list the machine's fonts in our directory, not in the
    user's; where an image's root is read-only it would do so anew at each start, for 3 s.
    """
    try:
        data_dir = ServiceSettings.read().data_dir.expanduser().resolve()
    except ConfigurationError:
        return  # the command says so
    os.environ.setdefault("MPLCONFIGDIR", str(data_dir / "cache" / "matplotlib"))
