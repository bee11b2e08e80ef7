"""The models of this machine, opened when a job needs them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from adapters.models.catalog import CATALOG
from adapters.models.clip import ClipEncoder
from adapters.models.directory import read_directory
from adapters.models.hub import ModelHub, Verdict
from adapters.models.inventory import locate_model, open_hub
from adapters.models.sessions import SessionOptions, choose_providers
from adapters.models.settings import OFF, ModelSettings
from adapters.models.spec import Model, Role, SoundSpec, VisualSpec
from adapters.models.texts import TextMemory
from adapters.models.yamnet import YamnetTagger
from service.domain import Finding, Severity
from service.errors import ConfigurationError, MissingModelError
from service.ports import SoundEncoder

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 600.0
"""How long a failed download is not tried again: a library of 10,000 items asks 10,000 times."""
SMALL_FILE_BYTES = 1_000_000
"""Up to this size a file's content is part of a directory's fingerprint; beyond, its size is."""

Located = Model | Path


class Shelf:
    """The port ``ModelShelf``, on local files and the Hub.

    A model that is set to ``none`` raises ``MissingModelError`` with an empty ``model``: whoever
    opens it goes on without, and does not report it as missing, because nobody misses it.

    Args:
        settings: Which models, where, and what they may use.
        hub: The model files; by default those of the settings.
        catalog: The models that go by a name.
        clock: Monotonic seconds.

    Raises:
        ConfigurationError: A name is no model's, a model is of the wrong kind, or a provider is
            unknown.
    """

    def __init__(
        self,
        settings: ModelSettings,
        *,
        hub: ModelHub | None = None,
        catalog: Mapping[str, Model] = CATALOG,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._hub = hub or open_hub(settings)
        self._clock = clock
        self._options = SessionOptions(
            providers=choose_providers(settings.providers),
            threads=settings.threads,
            idle_s=settings.idle_s,
        )
        self._visual = _locate(settings, settings.visual_model, catalog)
        self._sound = _locate(settings, settings.sound_model, catalog)
        if isinstance(self._visual, Model) and not isinstance(self._visual.spec, VisualSpec):
            raise _wrong_kind("MOODREEL_VISUAL_MODEL", self._visual)
        if isinstance(self._sound, Model) and not isinstance(self._sound.spec, SoundSpec):
            raise _wrong_kind("MOODREEL_SOUND_MODEL", self._sound)
        self._encoder: ClipEncoder | None = None
        self._tagger: YamnetTagger | None = None
        self._encoder_lock = asyncio.Lock()
        self._tagger_lock = asyncio.Lock()
        self._failures: dict[str, tuple[float, str]] = {}

    async def open_encoder(self) -> ClipEncoder:
        """The configured picture-and-text model; always the same one.

        Raises:
            MissingModelError: Its files are neither here nor to be had; ``model`` is empty where
                the owner turned it off.
        """
        async with self._encoder_lock:
            if self._encoder is None:
                self._encoder = await asyncio.to_thread(self._make_encoder)
            return self._encoder

    async def open_tagger(self) -> YamnetTagger:
        """The configured sound tagger; always the same one. Raises as ``open_encoder`` does."""
        async with self._tagger_lock:
            if self._tagger is None:
                self._tagger = await asyncio.to_thread(self._make_tagger)
            return self._tagger

    async def open_sound_encoder(self) -> SoundEncoder:
        """The configured sound-and-text model. Raises as ``open_encoder`` does."""
        raise MissingModelError("", "no sound-and-text model is configured")

    @property
    def fingerprint(self) -> str:
        """Names and revisions of the configured models, whether or not their files are here."""
        return "+".join(_fingerprint(located) for located in (self._visual, self._sound))

    async def check(self) -> Sequence[Finding]:
        """Which models are here, which are not, and how to get them. Downloads nothing."""
        return [
            await asyncio.to_thread(self._check_one, located, setting)
            for located, setting in (
                (self._visual, "MOODREEL_VISUAL_MODEL"),
                (self._sound, "MOODREEL_SOUND_MODEL"),
            )
        ]

    async def aclose(self) -> None:
        """Free the models' memory. What is opened afterwards loads anew."""
        for opened in (self._encoder, self._tagger):
            if opened is not None:
                await asyncio.to_thread(opened.close)
        self._encoder = self._tagger = None

    def _make_encoder(self) -> ClipEncoder:
        model, paths = self._prepare(self._visual, "MOODREEL_VISUAL_MODEL")
        if not isinstance(model.spec, VisualSpec):
            raise _wrong_kind("MOODREEL_VISUAL_MODEL", model)
        return ClipEncoder(
            model.name,
            model.spec,
            paths,
            self._options,
            batch_size=self._settings.batch_size,
            memory=self._text_memory(model.name),
        )

    def _text_memory(self, name: str) -> TextMemory:
        """Named by the model's fingerprint: two directories may share a name."""
        digest = hashlib.sha256(_fingerprint(self._visual).encode()).hexdigest()[:16]
        return TextMemory(self._settings.models_dir / "texts" / f"{name}-{digest}.npz")

    def _make_tagger(self) -> YamnetTagger:
        model, paths = self._prepare(self._sound, "MOODREEL_SOUND_MODEL")
        if not isinstance(model.spec, SoundSpec):
            raise _wrong_kind("MOODREEL_SOUND_MODEL", model)
        return YamnetTagger(model.name, model.spec, paths, self._options)

    def _prepare(self, located: Located | None, setting: str) -> tuple[Model, dict[Role, Path]]:
        if located is None:
            raise MissingModelError("", f"{setting} is {OFF}")
        model = _read(located)
        try:
            return model, self._hub.paths(model)
        except MissingModelError:
            if not self._settings.download:
                raise
        self._fetch_once(model)
        return model, self._hub.paths(model)

    def _fetch_once(self, model: Model) -> None:
        """Fetch, unless that failed a moment ago."""
        until_s, reason = self._failures.get(model.name, (0.0, ""))
        if reason and self._clock() < until_s:
            raise MissingModelError(model.name, reason)
        try:
            self._hub.fetch(model)
        except MissingModelError as error:
            self._failures[model.name] = (self._clock() + RETRY_AFTER_S, str(error))
            logger.warning(
                "A model is missing",
                extra={"action": "model_missing", "model": model.name, "reason": str(error)},
            )
            raise
        self._failures.pop(model.name, None)

    def _check_one(self, located: Located | None, setting: str) -> Finding:
        if located is None:
            return Finding(subject=setting, severity=Severity.OK, message="turned off")
        subject = f"models/{located.name}"
        try:
            model = _read(located)
            checks = self._hub.check(model)
            self._hub.paths(model)
        except MissingModelError as error:
            fix = "" if isinstance(located, Path) else f"moodreel models pull {located.name}"
            return Finding(subject=subject, severity=Severity.WARNING, message=str(error), fix=fix)
        except ConfigurationError as error:
            return Finding(subject=subject, severity=Severity.ERROR, message=str(error))
        notes = ["here"]
        unpinned = sum(check.verdict is Verdict.NOT_PINNED for check in checks)
        if unpinned:
            notes.append(f"{unpinned} of {len(checks)} files have no published checksum")
        if model.is_research_only:
            notes.append(f"its licence ({model.licence}) is for research only")
        return Finding(subject=subject, severity=Severity.OK, message="; ".join(notes))


def _locate(settings: ModelSettings, name: str, catalog: Mapping[str, Model]) -> Located | None:
    return None if name == OFF else locate_model(settings, name, catalog=catalog)


def _read(located: Located) -> Model:
    return located if isinstance(located, Model) else read_directory(located)


def _wrong_kind(setting: str, model: Model) -> ConfigurationError:
    kind = "a sound tagger" if isinstance(model.spec, SoundSpec) else "a picture-and-text model"
    return ConfigurationError(f"{setting}: {model.name} is {kind}")


def _fingerprint(located: Located | None) -> str:
    if located is None:
        return OFF
    if isinstance(located, Model):
        return f"{located.name}@{located.revision[:8]}"
    digest = hashlib.sha256()
    for path in sorted(located.rglob("*")):
        if path.is_file():
            size_bytes = path.stat().st_size
            digest.update(f"{path.relative_to(located)}:{size_bytes};".encode())
            if size_bytes <= SMALL_FILE_BYTES:
                digest.update(path.read_bytes())
    return f"{located.name}@{digest.hexdigest()[:8]}"
