"""Jobs that add to collections: of one server one at a time, and none of them lost."""

from __future__ import annotations

from dataclasses import replace

from adapters.queue.rows import to_job, to_row
from service.domain import ItemRef, PublishJob

JOB = PublishJob(
    ref=ItemRef(server="jellyfin", item_id="1"),
    channel="collection#trigger/sea",
    event_id="e",
    group="By the sea",
)
OTHER = replace(JOB, ref=ItemRef(server="jellyfin", item_id="2"))


def test_of_a_server_one_is_done_at_a_time_whatever_the_collection():
    elsewhere = replace(JOB, channel="collection#trigger/dogs", group="Dogs")
    assert to_row(JOB).lock == to_row(OTHER).lock == to_row(elsewhere).lock
    plex = replace(JOB, ref=ItemRef(server="plex", item_id="1"))
    assert to_row(plex).lock != to_row(JOB).lock


def test_each_item_and_each_collection_waits_for_itself():
    elsewhere = replace(JOB, group="Dogs")
    rows = [to_row(job).equality for job in (JOB, OTHER, elsewhere, JOB)]
    assert len(set(rows)) == 3


def test_they_come_back_as_they_were():
    row = to_row(JOB)
    assert to_job(row.kind, row.priority, row.args) == JOB
