"""What is noted of an examination beside its findings."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from service.errors import MissingModelError
from service.metrics import STAGE
from service.ports import Encoder, SoundEncoder, SoundTagger

logger = logging.getLogger(__name__)

Model = TypeVar("Model", Encoder, SoundTagger, SoundEncoder)


@dataclass(slots=True)
class Notes:
    """Which models were used or missing, what went wrong, and what took how long."""

    models: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add what the block takes to a stage."""
        began_at = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began_at

    def measure(self) -> None:
        """Let the monitors know how long the item was in each stage, however it ended."""
        for stage, seconds in self.seconds.items():
            STAGE.labels(stage).observe(seconds)

    async def open(self, open_model: Callable[[], Awaitable[Model]]) -> Model | None:
        """A model, or None and a note that it is missing; one that is turned off is not missed."""
        try:
            model = await open_model()
        except MissingModelError as error:
            if error.model:
                self._miss(error.model)
            return None
        if model.name not in self.models:  # a joint model sees and hears
            self.models.append(model.name)
        return model

    @contextmanager
    def losing(self) -> Iterator[None]:
        """Go on without a model that turns out to be broken at its first use."""
        try:
            yield
        except MissingModelError as error:
            self.lose(error)

    def lose(self, error: MissingModelError) -> None:
        """Note that a model's files are here, but broken."""
        logger.warning(
            "A model is broken",
            extra={"action": "model_broken", "model": error.model, "reason": str(error)},
        )
        self._miss(error.model)
        if str(error) not in self.warnings:
            self.warnings.append(str(error))

    def used(self, *certain: str) -> tuple[str, ...]:
        """The models that were not lost; of a joint one a half may have been."""
        return tuple(name for name in self.models if name not in self.missing or name in certain)

    def _miss(self, model: str) -> None:
        if model not in self.missing:
            self.missing.append(model)
