"""The models of this machine, opened when a job needs them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from adapters.models import calibrations
from adapters.models.catalog import CATALOG
from adapters.models.directory import read_directory
from adapters.models.fingerprints import fingerprint
from adapters.models.health import LoadLog
from adapters.models.hub import FileCheck, ModelHub, Verdict
from adapters.models.inventory import hears_with_its_eyes, locate_model, open_hub, session_options
from adapters.models.opening import HearingEncoder, Opened, PictureEncoder, open_model
from adapters.models.settings import OFF, ModelSettings
from adapters.models.spec import (
    KINDS,
    JointSpec,
    Model,
    Role,
    SoundSpec,
    SoundTextSpec,
    Spec,
    VisualSpec,
)
from adapters.models.texts import TextMemory
from adapters.models.tokenizer import RULES_VERSION
from adapters.models.yamnet import YamnetTagger
from service.domain import Finding, Severity
from service.errors import ConfigurationError, MissingModelError
from service.metrics import LOAD_OUTCOMES, MODEL_LOADS, begin_at_zero

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 600.0
"""How long a failed download is not tried again: a library of 10,000 items asks 10,000 times."""

Located = Model | Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a setting puts a model to use for."""

    setting: str
    field: str
    """Of ``ModelSettings``."""
    kinds: tuple[type[Spec], ...]


VISUAL = Place(setting="MOODREEL_VISUAL_MODEL", field="visual_model", kinds=(VisualSpec, JointSpec))
TAGGER = Place(setting="MOODREEL_SOUND_MODEL", field="sound_model", kinds=(SoundSpec,))
SOUND_TEXT = Place(
    setting="MOODREEL_SOUND_TEXT_MODEL",
    field="sound_text_model",
    kinds=(SoundTextSpec, JointSpec),
)
PLACES = (VISUAL, TAGGER, SOUND_TEXT)


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
        self._catalog = catalog
        self._clock = clock
        self._loads = LoadLog()
        self._options = replace(session_options(settings), note_load=self._loads.note)
        for place in PLACES:
            located = self._locate(place)
            if isinstance(located, Model) and not isinstance(located.spec, place.kinds):
                raise _wrong_kind(place, located)
            if located is not None:
                begin_at_zero(MODEL_LOADS, [located.name], LOAD_OUTCOMES)
        self._opened: dict[Located, tuple[Model, Opened]] = {}
        self._versions: dict[Located | None, str] = {}
        self._locks: defaultdict[Located, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._failures: dict[str, tuple[float, str]] = {}

    async def open_encoder(self) -> PictureEncoder:
        """The configured picture-and-text model; always the same one.

        Raises:
            MissingModelError: Its files are neither here nor to be had; ``model`` is empty where
                the owner turned it off.
        """
        return cast("PictureEncoder", await self._open(VISUAL))

    async def open_tagger(self) -> YamnetTagger:
        """The configured sound tagger; always the same one. Raises as ``open_encoder`` does."""
        return cast("YamnetTagger", await self._open(TAGGER))

    async def open_sound_encoder(self) -> HearingEncoder:
        """The configured sound-and-text model; always the same one, and the picture model itself
        where that one is joint and no other is asked for. Raises as ``open_encoder`` does.
        """
        return cast("HearingEncoder", await self._open(SOUND_TEXT))

    @property
    def fingerprint(self) -> str:
        """Names, revisions and calibrations of the configured models, here or not."""
        return "+".join(self._version_of(self._locate(place)) for place in PLACES)

    async def check(self) -> Sequence[Finding]:
        """Which models are here, which are not, and how to get them. Downloads nothing."""
        return [await asyncio.to_thread(self._check_one, place) for place in PLACES]

    async def health(self) -> Sequence[Finding]:
        """What is known to be wrong with them, without a path; loads and fetches nothing."""
        return await asyncio.to_thread(lambda: [self._judge(place) for place in PLACES])

    async def aclose(self) -> None:
        """Free the models' memory. What is opened afterwards loads anew."""
        opened = [model for _, model in self._opened.values()]
        self._opened.clear()
        self._versions.clear()
        for model in opened:
            await asyncio.to_thread(model.close)

    async def _open(self, place: Place) -> Opened:
        located = self._locate(place)
        if located is None:
            raise MissingModelError("", f"{place.setting} is {OFF}")
        async with self._locks[located]:
            if located not in self._opened:
                with self._loads.opening(located):
                    self._opened[located] = await asyncio.to_thread(self._make, located)
            model, opened = self._opened[located]
        if not isinstance(model.spec, place.kinds):
            raise _wrong_kind(place, model)
        self._refuse_namesakes(model, located)
        return opened

    def _refuse_namesakes(self, model: Model, located: Located) -> None:
        """Vectors of one name are compared: two models that share one would be taken for one."""
        for other, (known, _) in self._opened.items():
            if other != located and known.name == model.name:
                raise ConfigurationError(
                    f"two models are called {model.name}; give one of the directories another "
                    "name, or write one into its model.toml"
                )

    def _version_of(self, located: Located | None) -> str:
        """Of what is in use: files and calibrations that came since count after a restart."""
        if located in self._versions:
            return self._versions[located]
        name = fingerprint(located)
        if located is None:
            return name
        return name + calibrations.mark(self._settings.models_dir, name)

    def _make(self, located: Located) -> tuple[Model, Opened]:
        model = _describe(located)
        name, directory = fingerprint(located), self._settings.models_dir
        self._versions[located] = name + calibrations.mark(directory, name)
        spec = calibrations.apply(model.spec, calibrations.load(directory, name))
        model = replace(model, spec=spec)
        return model, open_model(
            model,
            self._prepare(model),
            self._options,
            batch_size=self._settings.batch_size,
            memory=self._text_memory(model, name),
        )

    def _text_memory(self, model: Model, version: str) -> TextMemory:
        """Named by all that makes a text's vector: the files, and how texts are fed to them."""
        what = f"{version} {text_rules(model.spec)} {RULES_VERSION}"
        digest = hashlib.sha256(what.encode()).hexdigest()[:16]
        name = re.sub(r"[^\w.-]", "-", model.name)
        return TextMemory(self._settings.models_dir / "texts" / f"{name}-{digest}.npz")

    def _locate(self, place: Place) -> Located | None:
        """Looks each time: a volume with a joint model may be mounted later."""
        name = getattr(self._settings, place.field)
        if place is SOUND_TEXT and hears_with_its_eyes(self._settings, catalog=self._catalog):
            name = self._settings.visual_model
        if name == OFF:
            return None
        return locate_model(self._settings, name, catalog=self._catalog)

    def _prepare(self, model: Model) -> dict[Role, Path]:
        try:
            return self._hub.paths(model)
        except MissingModelError:
            if not self._settings.download:
                raise
        self._fetch_once(model)
        return self._hub.paths(model)

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

    def _judge(self, place: Place) -> Finding:
        located = self._locate(place)
        if located is None:
            return Finding(subject=place.setting, severity=Severity.OK, message="turned off")
        opened = self._opened.get(located)
        is_named = place.field in self._settings.model_fields_set
        return self._loads.judge(
            located, opened[0] if opened else None, self._hub, is_named=is_named
        )

    def _check_one(self, place: Place) -> Finding:
        located = self._locate(place)
        if located is None:
            return Finding(subject=place.setting, severity=Severity.OK, message="turned off")
        subject = f"models/{located.name}"
        try:
            model = _describe(located)
            if not isinstance(model.spec, place.kinds):
                raise _wrong_kind(place, model)
            checks = self._hub.check(model)
            self._hub.paths(model)
        except MissingModelError as error:
            fix = "" if isinstance(located, Path) else f"moodreel models pull {located.name}"
            return Finding(subject=subject, severity=Severity.WARNING, message=str(error), fix=fix)
        except ConfigurationError as error:
            return Finding(subject=subject, severity=Severity.ERROR, message=str(error))
        return Finding(
            subject=subject, severity=Severity.OK, message=_describe_state(model, checks)
        )


def _describe(located: Located) -> Model:
    return located if isinstance(located, Model) else read_directory(located)


def _describe_state(model: Model, checks: Sequence[FileCheck]) -> str:
    notes = ["here"]
    if isinstance(model.spec, JointSpec):
        notes.append("sees and hears")
    unpinned = sum(check.verdict is Verdict.NOT_PINNED for check in checks)
    if unpinned:
        notes.append(f"{unpinned} of {len(checks)} files have no published checksum")
    if model.is_research_only:
        notes.append(f"its licence ({model.licence}) is for research only")
    return "; ".join(notes)


def text_rules(spec: Spec) -> str:
    """How a model's texts are fed to it, and which output is their vector; empty without texts."""
    match spec:
        case VisualSpec() | JointSpec(visual=VisualSpec()):
            visual = spec.visual if isinstance(spec, JointSpec) else spec
            return f"{visual.text} {visual.output}"
        case SoundTextSpec():
            return str(spec.text)
        case _:
            return ""


def _wrong_kind(place: Place, model: Model) -> ConfigurationError:
    wanted = " or ".join(KINDS[kind] for kind in place.kinds)
    return ConfigurationError(f"{place.setting}: {model.name} is a {model.kind} (wanted: {wanted})")
