"""Where published weights are found: a directory, or a repository that is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from adapters.exports.spec import REPOSITORIES, Family, Size, Weights
from service.errors import ConfigurationError, MissingModelError

READABLE = ("*.json", "*.txt", "*.model", "*.safetensors")
PICKLED = ("pytorch_model*.bin",)
"""Only where there is no other: PyTorch reads them as data alone (``weights_only``)."""


def random_weights(size: Size, seed: int) -> Weights:
    """The true architecture, with nothing learnt."""
    return Weights(name=f"random weights, {size.value} size, seed {seed}", size=size, seed=seed)


def published_weights(family: Family, named: Sequence[str], *, offline: bool) -> Weights:
    """The weights of repositories or directories, here; fetched where they are not yet.

    Args:
        family: For the repositories to take where none is named.
        named: Repositories (``owner/name``, ``owner/name@revision``) or directories: one, or for
            LanguageBind a video and an audio one.
        offline: Whether only what was fetched before may be used.

    Raises:
        ConfigurationError: Too few or too many are named.
        MissingModelError: A repository cannot be reached.
    """
    usual = REPOSITORIES[family]
    chosen = tuple(named) or usual
    if len(chosen) != len(usual):
        raise ConfigurationError(
            f"{family.value} is made from {len(usual)}: --from {' --from '.join(usual)}"
        )
    directories = tuple(_find(name, offline=offline) for name in chosen)
    names = [
        directory.name if Path(name).is_dir() else f"{name.partition('@')[0]}@{directory.name[:12]}"
        for name, directory in zip(chosen, directories, strict=True)
    ]
    return Weights(name=", ".join(names), directories=directories)


def _find(name: str, *, offline: bool) -> Path:
    if Path(name).expanduser().is_dir():
        return Path(name).expanduser().resolve()
    repository, _, revision = name.partition("@")
    try:
        directory = _fetch(repository, revision, READABLE, offline=offline)
        if not any(directory.glob("*.safetensors")):
            directory = _fetch(repository, revision, READABLE + PICKLED, offline=offline)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise MissingModelError(
            name,
            f"{name} is no directory, and cannot be fetched as a repository: {error}; copy its "
            "files here and name the directory, or try --random-weights",
        ) from error
    return directory


def _fetch(repository: str, revision: str, patterns: tuple[str, ...], *, offline: bool) -> Path:
    return Path(
        huggingface_hub.snapshot_download(
            repository,
            revision=revision or None,
            allow_patterns=list(patterns),
            local_files_only=offline,
        )
    )
