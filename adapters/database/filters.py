"""What may be found, as the database reads it."""

from __future__ import annotations

from datetime import datetime

from adapters.database.records import dump_time, storable
from service.domain import Json
from service.query import Filters


def dump_filters(filters: Filters) -> Json:
    """What is empty is no filter."""
    wanted: Json = storable(
        {
            "servers": filters.servers,
            "kinds": [kind.value for kind in filters.kinds],
            "libraries": filters.libraries,
            "items": [[ref.server, ref.item_id] for ref in filters.items],
            "moods": filters.moods,
            "tags": filters.tags,
        }
    )
    return wanted | {
        "added_after": _dump_moment(filters.added_after),
        "added_before": _dump_moment(filters.added_before),
    }


def _dump_moment(moment: datetime | None) -> str | None:
    return None if moment is None else dump_time(moment)
