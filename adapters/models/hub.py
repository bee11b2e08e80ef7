"""Model files: where they are, whether they are whole, and how to get them.

``huggingface_hub`` downloads, resumes a broken connection and keeps the cache; what it raises is
translated here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import huggingface_hub
from huggingface_hub import constants

from adapters.models.checksums import Checksums
from adapters.models.spec import Model, ModelFile, Role
from service.errors import MissingModelError

if TYPE_CHECKING:
    from huggingface_hub.utils.tqdm import tqdm

logger = logging.getLogger(__name__)

CACHE_FOLDER = "hub"
DEFAULT_TIMEOUT_S = 10.0
"""For the first answer; the library's own limits hold for the download itself."""


CDN = ".hf.co"
"""Below it the library's default server keeps the files that it redirects to."""


class Progress(Protocol):
    """Hears how a download proceeds, from a worker thread."""

    def __call__(self, file: str, done_bytes: int, total_bytes: int | None) -> None: ...


class Verdict(StrEnum):
    """What is known of a file."""

    OK = "ok"
    NOT_PINNED = "not pinned"
    """It is here, but nobody published a checksum to hold against it."""
    WRONG = "wrong"
    """It is not the file that was published: truncated, damaged or another one."""
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCheck:
    """One file of a model, looked at."""

    file: ModelFile
    verdict: Verdict
    path: Path | None = None
    size_bytes: int | None = None
    sha256: str = ""
    """Computed; empty where it is missing."""


class ModelHub:
    """The model files of this machine.

    Args:
        directory: Where they are kept: ``NAME/...`` as the owner put them there, else ``hub/...``
            as they were downloaded.
        offline: Never ask the network.
        endpoint: Another server than the library's default (``HF_ENDPOINT``).
        timeout_s: For the server's first answer.
    """

    def __init__(
        self,
        directory: Path,
        *,
        offline: bool = False,
        endpoint: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        self._directory = directory
        self._offline = offline or constants.HF_HUB_OFFLINE
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._checksums = Checksums(directory)

    def locate(self, model: Model, file: ModelFile) -> Path | None:
        """Where a file is; None when it is not on this machine. Does not look inside."""
        placed = (model.directory or self._directory / model.name) / file.path
        if placed.is_file():
            return placed
        if model.directory or not model.repository:
            return None
        cached = huggingface_hub.try_to_load_from_cache(
            model.repository, file.path, cache_dir=self._cache, revision=model.revision
        )
        return Path(cached) if isinstance(cached, str) else None

    def check(self, model: Model, *, fresh: bool = False) -> tuple[FileCheck, ...]:
        """Look at every file; ``fresh`` reads those again that have not changed."""
        return tuple(self._check_file(model, file, fresh=fresh) for file in model.files)

    def paths(self, model: Model) -> dict[Role, Path]:
        """The files of a model, whole.

        Raises:
            MissingModelError: One is not here, or is not what was published.
        """
        found: dict[Role, Path] = {}
        for check in self.check(model):
            if check.path is None:
                raise MissingModelError(
                    model.name,
                    f"{model.name}: {check.file.path} is not here; {self._advice(model)}",
                )
            if check.verdict is Verdict.WRONG:
                raise MissingModelError(model.name, self._describe_wrong(model, check))
            found[check.file.role] = check.path
        return found

    def fetch(self, model: Model, progress: Progress | None = None, *, force: bool = False) -> None:
        """Download what is missing or wrong, and hold it against the published checksums.

        ``force`` downloads again what was downloaded before. What the owner put there by hand is
        never touched.

        Raises:
            MissingModelError: It is not to be had: offline, no such file, no connection, no space,
                or what came is not what was published.
        """
        wanted = [
            check
            for check in self.check(model)
            if check.verdict in {Verdict.MISSING, Verdict.WRONG}
            or (force and check.path is not None and self._is_ours(check.path))
        ]
        if not wanted:
            return
        for check in wanted:
            if check.path is not None and not self._is_ours(check.path):
                raise MissingModelError(model.name, self._describe_wrong(model, check))
        self._ask_once(model, wanted[0].file)
        for check in wanted:
            self._download(model, check, progress)
            after = self._check_file(model, check.file)
            if after.verdict is Verdict.WRONG:
                raise MissingModelError(model.name, self._describe_wrong(model, after))

    @property
    def _cache(self) -> Path:
        return self._directory / CACHE_FOLDER

    def _is_ours(self, path: Path) -> bool:
        """Whether we downloaded a file, and may replace it."""
        return self._cache in path.parents

    def _check_file(self, model: Model, file: ModelFile, *, fresh: bool = False) -> FileCheck:
        path = self.locate(model, file)
        if path is None:
            return FileCheck(file=file, verdict=Verdict.MISSING)
        size_bytes = path.stat().st_size
        # A wrong size is proof enough, and spares reading the file.
        if not fresh and file.size_bytes not in {None, size_bytes}:
            return FileCheck(file=file, verdict=Verdict.WRONG, path=path, size_bytes=size_bytes)
        if not fresh and file.sha256 is None:
            return FileCheck(
                file=file, verdict=Verdict.NOT_PINNED, path=path, size_bytes=size_bytes
            )
        sha256 = self._checksums.of(path, fresh=fresh)
        return FileCheck(
            file=file,
            verdict=_judge(file, size_bytes, sha256),
            path=path,
            size_bytes=size_bytes,
            sha256=sha256,
        )

    def _ask_once(self, model: Model, file: ModelFile) -> None:
        """Learn at once that there is no way to the server: the library would retry for 25 s."""
        if model.directory or not model.repository:
            raise MissingModelError(
                model.name,
                f"{model.name}: {file.path} is not in {model.directory}, and a directory is never "
                "downloaded into",
            )
        if self._offline:
            raise MissingModelError(
                model.name,
                f"{model.name}: {file.path} is missing or damaged, and MOODREEL_OFFLINE (or "
                f"HF_HUB_OFFLINE) forbids to fetch it; put it into {self._directory / model.name}, "
                f"or allow it and run `moodreel models pull {model.name}`",
            )
        url = huggingface_hub.hf_hub_url(
            model.repository, file.path, revision=model.revision, endpoint=self._endpoint
        )
        try:
            huggingface_hub.get_hf_file_metadata(
                url, timeout=self._timeout_s, endpoint=self._endpoint
            )
        except Exception as error:
            raise self._translate(model, file, error) from error

    def _download(self, model: Model, check: FileCheck, progress: Progress | None) -> None:
        file = check.file
        if check.path is not None:
            # The library would keep its link to the old content where the name stays the same.
            check.path.resolve().unlink(missing_ok=True)
            check.path.unlink(missing_ok=True)
        logger.info(
            "Fetching a model file",
            extra={"action": "model_fetching", "model": model.name, "file": file.path},
        )
        try:
            huggingface_hub.hf_hub_download(
                model.repository,
                file.path,
                revision=model.revision,
                cache_dir=self._cache,
                endpoint=self._endpoint,
                etag_timeout=self._timeout_s,
                tqdm_class=_bar(file, progress),
            )
        except Exception as error:
            raise self._translate(model, file, error) from error

    def _translate(self, model: Model, file: ModelFile, error: Exception) -> MissingModelError:
        """The library raises its own errors, OSError, and those of an HTTP client that it has
        changed before: whatever it was, the file is not here.
        """
        reason = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
        return MissingModelError(
            model.name,
            f"{model.name}: fetching {file.path} of {model.repository} failed "
            f"({type(error).__name__}: {reason}); {self._advice(model)}",
        )

    def _advice(self, model: Model) -> str:
        if model.directory:
            return f"put it into {model.directory}"
        return (
            f"fetch it with `moodreel models pull {model.name}`, or put it into "
            f"{self._directory / model.name}"
        )

    def _describe_wrong(self, model: Model, check: FileCheck) -> str:
        found = _describe(check.size_bytes, check.sha256)
        wanted = _describe(check.file.size_bytes, check.file.sha256)
        way_out = (
            f"fetch it again: moodreel models pull {model.name}"
            if check.path is not None and self._is_ours(check.path)
            else "replace it, or remove it to have it downloaded"
        )
        return (
            f"{model.name}: {check.path} is not the published file "
            f"({found}; expected {wanted}); {way_out}"
        )


def download_hosts() -> tuple[str, ...]:
    """From where models are downloaded; none where ``HF_HUB_OFFLINE`` forbids it."""
    if constants.HF_HUB_OFFLINE:
        return ()
    host = urlsplit(constants.ENDPOINT).hostname or ""
    return (host, f".{host}", CDN)


def _describe(size_bytes: int | None, sha256: str | None) -> str:
    parts = [f"{size_bytes} bytes"] if size_bytes is not None else []
    return ", ".join([*parts, f"sha256 {sha256}"] if sha256 else parts)


def _judge(file: ModelFile, size_bytes: int, sha256: str) -> Verdict:
    if file.size_bytes not in {None, size_bytes}:
        return Verdict.WRONG
    if file.sha256 is None:
        return Verdict.NOT_PINNED
    return Verdict.OK if sha256 == file.sha256.lower() else Verdict.WRONG


def _bar(file: ModelFile, progress: Progress | None) -> type[tqdm]:
    """A progress bar that draws nothing and tells the callback.

    Where the Hub stores a file in chunks (Xet) the library opens two, for bytes received and bytes
    written; the one that is ahead is told.
    """
    # With it comes an HTTP client: a third of a second that every command would start later.
    from huggingface_hub.utils.tqdm import tqdm  # noqa: PLC0415

    furthest = 0

    class _ReportingBar(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  tqdm's own
            super().__init__(  # type: ignore[no-untyped-call]  # tqdm ships no types
                *arguments, **{**options, "disable": True}
            )
            self.total = self.total_bytes = options.get("total")
            self.n = options.get("initial", 0)

        def update(self, n: float | None = 1) -> bool | None:
            nonlocal furthest
            self.n += n or 0
            if progress is not None and self.n > furthest:
                furthest = int(self.n)
                progress(file.path, furthest, self.total_bytes)
            return None

    return _ReportingBar
