"""Whether the configured models can be used, as far as anybody knows: for ``/readyz``.

Nothing is loaded or fetched to find out, and nothing that is said names a path: anybody may ask.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapters.models.hub import ModelHub, Verdict
from adapters.models.spec import Model
from service.domain import Finding, Severity
from service.errors import MissingModelError
from service.metrics import MODEL_LOADS

Stamp = tuple[int, ...]


class LoadLog:
    """Counts loads, and remembers what the last one of each model came to. From any thread."""

    def __init__(self) -> None:
        self._broken: dict[Path, tuple[str, Stamp]] = {}
        self._missed: dict[Model | Path, Stamp] = {}

    def note(self, model: str, path: Path, problem: str) -> None:
        """Hear of a graph that was loaded; of one that could not be, with its problem."""
        MODEL_LOADS.labels(model, "broken" if problem else "loaded").inc()
        if problem:
            self._broken[path] = (model, _stamp(path))
        else:
            self._broken.pop(path, None)

    @contextmanager
    def opening(self, located: Model | Path) -> Iterator[None]:
        """Note whether a model's files are to be had."""
        try:
            yield
        except MissingModelError:
            MODEL_LOADS.labels(located.name, "missing").inc()
            self._missed[located] = _stamp(located)
            raise
        self._missed.pop(located, None)

    def judge(
        self, located: Model | Path, model: Model | None, hub: ModelHub, *, is_named: bool
    ) -> Finding:
        """Say what is wrong with a model.

        Args:
            located: What the setting means.
            model: What that turned out to be, once it was opened.
            hub: Its files.
            is_named: Whether the owner asked for it: only then is it an error.
        """
        subject = f"models/{located.name}"
        problem, fix = self._find_problem(located, model, hub)
        if problem:
            severity = Severity.ERROR if is_named else Severity.WARNING
            return Finding(subject=subject, severity=severity, message=problem, fix=fix)
        if not _is_here(located, hub):
            return Finding(
                subject=subject, severity=Severity.WARNING, message="not here yet", fix=fix
            )
        return Finding(subject=subject, severity=Severity.OK, message="here")

    def _find_problem(
        self, located: Model | Path, model: Model | None, hub: ModelHub
    ) -> tuple[str, str]:
        """What is known to be wrong, empty where nothing is, and the next step."""
        fetch, renew = _next_steps(located)
        model = located if isinstance(located, Model) else model
        checks = hub.check(model) if model else ()
        if any(check.verdict is Verdict.WRONG for check in checks):
            return "its files are damaged", renew
        if model and self._is_broken(model.name):
            return "it could not be loaded", renew
        is_same = self._missed.get(located) == _stamp(located)
        if is_same and not (checks and all(check.path for check in checks)):
            return "a job needed it, and its files were not to be had", fetch
        return "", fetch

    def _is_broken(self, model: str) -> bool:
        """Whether one of its files could not be loaded, and is still the same file."""
        return any(
            name == model and _stamp(path) == stamp
            for path, (name, stamp) in list(self._broken.items())
        )


def _next_steps(located: Model | Path) -> tuple[str, str]:
    """To have a model's files, and to have them anew."""
    if isinstance(located, Path):
        return "put its files into its directory, or correct the setting", "replace its files"
    pull = "moodreel models pull"
    return f"{pull} {located.name}", f"{pull} --force {located.name} (or replace your own files)"


def _is_here(located: Model | Path, hub: ModelHub) -> bool:
    if isinstance(located, Path):
        return located.is_dir()
    return all(hub.locate(located, file) for file in located.files)


def _stamp(located: Model | Path) -> Stamp:
    """Changes when a file is replaced, or one of a directory; a row of the catalog never does."""
    if isinstance(located, Model):
        return (0,)
    try:
        status = located.stat()
    except OSError:
        return (-1,)
    return status.st_ino, status.st_size, status.st_mtime_ns
