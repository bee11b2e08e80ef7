"""While one model takes over from another, searches open the one that knows the most."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from adapters.database.vector_indexes import CurrentModel, VectorIndexes
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
    """The configured models, by the kind of vectors that they make."""
    return {
        VectorKind.SCENE: models.visual_model,
        VectorKind.KEYFRAME: models.visual_model,
        VectorKind.SOUND: models.sound_text_model,
    }


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
            self._current = await self._indexes.current_models(wanted_models(self._settings))
            self._looked_at = now
        current, wanted = self._current.get(kind), getattr(self._settings, setting)
        # A joint picture model hears as well, by its own name.
        if (
            current is None
            or wanted == OFF
            or current.model in (wanted, self._settings.visual_model)
        ):
            return kind, wanted
        key = kind, current.model
        if key not in self._formers:
            try:
                settings = self._settings.model_copy(update={setting: current.model})
                self._formers[key] = self._open_shelf(settings)
            except ConfigurationError as error:  # of a name that nobody knows any more
                self._go_without(key, error)
        return key

    def _go_without(self, key: Key, error: Exception) -> None:
        self._formers[key] = self._shelf
        logger.info(
            "The former model cannot be opened: searches find what its successor has seen",
            extra={"action": "former_model_missing", "reason": str(error)},
        )
