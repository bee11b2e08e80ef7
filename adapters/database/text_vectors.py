"""Keeps the vectors of what people searched for."""

from __future__ import annotations

import hashlib

import numpy as np
from pydantic import Field

from adapters.database.records import storable
from adapters.database.transports import Transport
from service.configuration import Configuration
from service.domain import Float32, Json

DAY_S = 86_400.0
KEPT_COUNT = 20_000
"""About 50 MB at 512 dimensions: as many as a home asks in years."""


class TextVectorSettings(Configuration):
    """How long vectors of queries are kept in the database."""

    keep_days: float = Field(
        90.0,
        ge=0.0,
        alias="MOODREEL_KEEP_QUERIES_DAYS",
        description="Days for which the database keeps the vector of what somebody searched for, "
        "under a digest of the text. 0: not at all.",
    )


class DatabaseTextVectors:
    """The part of the port ``SceneIndex`` that is about texts.

    Args:
        transport: How the database is reached.
        settings: How long vectors are kept.
        kept_count: How many at most; the oldest go first.
    """

    def __init__(
        self,
        transport: Transport,
        settings: TextVectorSettings | None = None,
        *,
        kept_count: int = KEPT_COUNT,
    ) -> None:
        self._transport = transport
        self._kept_s = DAY_S * (settings or TextVectorSettings.read()).keep_days
        self._kept_count = kept_count
        self._has_former = True

    async def recall_text(self, model: str, text: str) -> Float32 | None:
        if not self._kept_s:
            await self._forget_former()
            return None
        vector = await self._transport.call("moodreel_recall_text", self._request(model, text))
        return None if vector is None else np.array(vector, np.float32)

    async def remember_text(self, model: str, text: str, vector: Float32) -> None:
        if self._kept_s:
            request = self._request(model, text) | {
                "vector": vector.tolist(),
                "kept_count": self._kept_count,
            }
            await self._transport.call("moodreel_remember_text", request)

    async def _forget_former(self) -> None:
        """What was kept while it might be; once, since nothing comes after it."""
        if self._has_former:
            request = {"kept_s": 0.0, "kept_count": 0}
            await self._transport.call("moodreel_remember_text", request)
            self._has_former = False

    def _request(self, model: str, text: str) -> Json:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return {"model": storable(model), "digest": digest, "kept_s": self._kept_s}
