"""What a log line is about, wherever it is written: the job, the item, the request.

Whoever takes a job or a request binds its ids once; all lines written meanwhile carry them, in
this task, its children and the threads that ``asyncio.to_thread`` starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_bound: ContextVar[Mapping[str, object]] = ContextVar("bound", default={})  # noqa: B039  never changed in place


@contextmanager
def bind(**fields: object) -> Iterator[None]:
    """Have all log lines within the block carry these fields, such as ``job_id=12``."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


def bound() -> Mapping[str, object]:
    """The fields of where we are."""
    return _bound.get()
