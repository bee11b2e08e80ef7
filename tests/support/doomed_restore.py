"""A restore that is killed: ``python -m tests.support.doomed_restore DSN FILE TABLES``.

It ends itself, as ``kill -9`` would, in the midst of the N-th table: each is one block.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from pathlib import Path

from adapters.database.archive import Archive
from adapters.database.restore import restore


def main(dsn: str, file: str, tables: str) -> None:
    calls = itertools.count(1)

    def die(done: int, total: int) -> None:
        if next(calls) == int(tables):
            os.kill(os.getpid(), signal.SIGKILL)

    with Archive(Path(file)) as archive:
        asyncio.run(restore(dsn, archive, die, may_replace=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
