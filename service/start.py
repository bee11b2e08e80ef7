"""Where the command begins: what it is made of takes seconds to load, and may be interrupted."""

from __future__ import annotations

import sys

INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""


def main() -> None:
    """The ``moodreel`` command."""
    try:
        from service.cli import main as run  # noqa: PLC0415  within reach of the handler
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    run()


if __name__ == "__main__":
    main()
