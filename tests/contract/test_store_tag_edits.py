"""What was written to one item's tags, and of it what was taken back."""

from __future__ import annotations

from service.domain import ItemRef, TagEdit
from tests.support.stores import make_item

REF = make_item().ref


async def test_an_items_tags_are_loaded_alone(store):
    for item in (make_item(), make_item("2")):
        await store.begin(item)
    edit = TagEdit(ref=REF, added=("ai:beach", 'odd "one", {x}'))
    await store.note_tag_edit(edit)
    await store.note_tag_edit(TagEdit(ref=make_item("2").ref, added=("ai:other",)))
    assert await store.load_tag_edit(REF) == edit
    unknown = ItemRef(server="jellyfin", item_id="nobody")
    assert await store.load_tag_edit(unknown) == TagEdit(ref=unknown, added=())


async def test_a_part_of_them_may_be_forgotten_and_the_rest_stays_in_order(store):
    await store.begin(make_item())
    await store.note_tag_edit(TagEdit(ref=REF, added=("c", "b", "a")))
    for _ in range(2):
        await store.forget_tag_edit(REF, ["b", "never there"])
        assert (await store.load_tag_edit(REF)).added == ("c", "a")
    await store.forget_tag_edit(REF, [])
    assert (await store.load_tag_edit(REF)).added == ("c", "a")
    await store.forget_tag_edit(REF, ["a", "c"])
    assert (await store.counts())["tag_edits"] == 0
