"""Which items need to be analysed, by what the store knows of them."""

from __future__ import annotations

from enum import StrEnum

from service.domain import ItemState, ItemStatus, MediaItem


class Reprocess(StrEnum):
    """Which items of a library are enqueued."""

    MISSING = "missing"
    """Those whose present content was never analysed. What failed before is left alone."""
    OUTDATED = "outdated"
    """Those, and what another version, model or vocabulary analysed, and what failed."""
    ALL = "all"
    """Everything, even where the analysis is current."""


def is_current(item: MediaItem, status: ItemStatus | None, version: str) -> bool:
    """Whether the stored analysis is of this content, made by this version of the pipeline."""
    return (
        status is not None
        and status.state is ItemState.ANALYZED
        and status.revision == item.revision
        and status.pipeline == version
    )


def needs_analysis(
    item: MediaItem, status: ItemStatus | None, version: str, reprocess: Reprocess
) -> bool:
    """Decide for one item, by what the store knows of it."""
    if reprocess is Reprocess.ALL or status is None:
        return True
    if status.state is ItemState.FAILED and status.revision == item.revision:
        return reprocess is Reprocess.OUTDATED
    if reprocess is Reprocess.OUTDATED:
        return not is_current(item, status, version)
    return status.state is not ItemState.ANALYZED or status.revision != item.revision
