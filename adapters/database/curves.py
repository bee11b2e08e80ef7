"""Finds items by how their mood goes, and by their tags and moods."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping

import numpy as np

from adapters.database.filters import dump_filters
from adapters.database.records import storable
from adapters.database.transports import Transport
from service.domain import Float32, ItemRef
from service.query import Filters

PAGE = 2000
"""Curves of a page: 172 letters each and their item's name, half a megabyte together."""
AXES = 2
MIDDLE, EXTENT = 128.0, 127.0
"""A byte of 128 is 0, one of 255 is 1."""


class DatabaseCurves:
    """The part of the port ``SceneIndex`` that is about whole items."""

    _transport: Transport
    curves_per_page = PAGE

    async def load_curves(self, filters: Filters) -> Mapping[ItemRef, Float32]:
        curves: dict[ItemRef, Float32] = {}
        after, request = 0, {"filters": dump_filters(filters), "limit": self.curves_per_page}
        while True:
            rows = await self._transport.call("moodreel_load_curves", request | {"after": after})
            curves |= {
                ItemRef(server=server, item_id=item_id): _load_course(text)
                for _, server, item_id, text in rows
            }
            if len(rows) < self.curves_per_page:
                return curves
            after = rows[-1][0]

    async def find_labels(
        self, labels: Collection[str], filters: Filters, limit: int
    ) -> Mapping[str, Mapping[ItemRef, float]]:
        request = {
            "labels": storable(list(labels)),
            "filters": dump_filters(filters),
            "limit": limit,
        }
        found: dict[str, dict[ItemRef, float]] = {label: {} for label in labels}
        for server, item_id, label, score in await self._transport.call(
            "moodreel_find_labels", request
        ):
            found[label][ItemRef(server=server, item_id=item_id)] = float(score)
        return found


def _load_course(text: str) -> Float32:
    levels = np.frombuffer(base64.b64decode(text), np.uint8)
    return ((levels.reshape(-1, AXES) - MIDDLE) / EXTENT).astype(np.float32)
