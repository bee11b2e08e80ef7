"""While one model takes over from another, searches open the one that knows the most."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from adapters.database.vector_indexes import CurrentModel, VectorIndexes
from adapters.models.inventory import hears_with_its_eyes, name_of
from adapters.models.settings import OFF, ModelSettings
from service.domain import Finding
from service.errors import ConfigurationError, MissingModelError
from service.ports import Encoder, ModelShelf, SoundEncoder, SoundTagger
from service.query import VectorKind

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 60.0
"""Which model is current; a change takes a backfill, which is hours."""

Key = tuple[VectorKind, str]
"""A kind of vectors and a model."""
OpenShelf = Callable[[ModelSettings], ModelShelf]


def wanted_models(models: ModelSettings) -> dict[VectorKind, str]:
    """The configured models, by the kind of vectors that they make; empty: turned off."""
    seen = name_of(models, models.visual_model)
    return {
        VectorKind.SCENE: seen,
        VectorKind.KEYFRAME: seen,
        VectorKind.SOUND: seen
        if _hears_with_its_eyes(models)
        else name_of(models, models.sound_text_model),
    }


def _hears_with_its_eyes(models: ModelSettings) -> bool:
    try:
        return hears_with_its_eyes(models)
    except ConfigurationError:  # of a name that nobody knows, which the shelf tells
        return False


class CurrentShelf:
    """The port ``ModelShelf`` for whoever searches: the former model until its successor is ready.

    Args:
        shelf: The configured models.
        settings: Their names.
        indexes: Say which model's vectors are compared with.
        open_shelf: Opens another model's shelf.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        shelf: ModelShelf,
        settings: ModelSettings,
        indexes: VectorIndexes,
        open_shelf: OpenShelf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shelf = shelf
        self._settings = settings
        self._indexes = indexes
        self._open_shelf = open_shelf
        self._wanted = wanted_models(settings)
        self._clock = clock
        self._current: Mapping[VectorKind, CurrentModel] = {}
        self._looked_at: float | None = None
        self._formers: dict[Key, ModelShelf] = {}

    async def open_encoder(self) -> Encoder:
        key = await self._current_key(VectorKind.SCENE, "visual_model")
        try:
            return await self._formers.get(key, self._shelf).open_encoder()
        except MissingModelError as error:
            if key not in self._formers:
                raise
            self._go_without(key, error)
        return await self._shelf.open_encoder()

    async def open_sound_encoder(self) -> SoundEncoder:
        key = await self._current_key(VectorKind.SOUND, "sound_text_model")
        try:
            return await self._formers.get(key, self._shelf).open_sound_encoder()
        except MissingModelError as error:
            if key not in self._formers:
                raise
            self._go_without(key, error)
        return await self._shelf.open_sound_encoder()

    async def is_current(self, model: str) -> bool:
        """Whether searches compare with the vectors of this picture model now.

        Another machine may have the successor only: its vectors would find what that one has seen.
        """
        key = await self._current_key(VectorKind.SCENE, "visual_model")
        former = self._formers.get(key, self._shelf)
        if former is self._shelf:
            return True
        try:
            return (await former.open_encoder()).name == model
        except MissingModelError as error:
            self._go_without(key, error)
            return True

    async def open_tagger(self) -> SoundTagger:
        return await self._shelf.open_tagger()

    @property
    def fingerprint(self) -> str:
        return self._shelf.fingerprint

    async def check(self) -> Sequence[Finding]:
        return await self._shelf.check()

    async def aclose(self) -> None:
        """Let go of former models; the configured ones are their owner's."""
        for former in self._formers.values():
            if former is not self._shelf:
                await former.aclose()
        self._formers.clear()

    async def _current_key(self, kind: VectorKind, setting: str) -> Key:
        """Of the model to search by: among the former ones, unless it is the configured one."""
        now = self._clock()
        if self._looked_at is None or now - self._looked_at > LOOK_EVERY_S:
            self._wanted = wanted_models(self._settings)
            self._current = await self._indexes.current_models(self._wanted)
            self._looked_at = now
        current, wanted = self._current.get(kind), self._wanted[kind]
        # A joint picture model hears as well, by its own name.
        if (
            current is None
            or getattr(self._settings, setting) == OFF
            or current.model in (wanted, self._wanted[VectorKind.SCENE])
        ):
            return kind, wanted
        key = kind, current.model
        if key not in self._formers:
            try:
                self._formers[key] = self._open_shelf(self._settings_of(setting, current.model))
            except ConfigurationError as error:  # of a name that nobody knows any more
                self._go_without(key, error)
        return key

    def _settings_of(self, setting: str, former: str) -> ModelSettings:
        """A former model's: a name, or a directory beside the present one. It is not fetched."""
        present = Path(getattr(self._settings, setting)).expanduser()
        beside = present.parent / former
        if len(present.parts) > 1 and beside.is_dir():
            former = str(beside)
        return self._settings.model_copy(update={setting: former, "download": False})

    def _go_without(self, key: Key, error: Exception) -> None:
        self._formers[key] = self._shelf
        logger.info(
            "The former model cannot be opened: searches find what its successor has seen",
            extra={"action": "former_model_missing", "reason": str(error)},
        )
