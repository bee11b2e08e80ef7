"""A directory as a media server: links, growing files, and watching."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.media_servers.artwork import MAX_POSTER_BYTES
from adapters.media_servers.folder import FolderServer, FolderSettings
from adapters.media_servers.tree import Tree, plan_roots
from service.domain import Change, ItemRef, LocalFile, MediaKind, Order, Severity
from service.errors import BadPayloadError, ConfigurationError, NotFoundError, TransientError

DEADLINE_S = 60


@pytest.fixture
def library(tmp_path):
    directory = tmp_path / "library"
    directory.mkdir()
    return directory


def server_of(*directories, settle_s=0.0, allowed=(), polling=False):
    return FolderServer(
        FolderSettings.model_validate(
            {
                "media_dirs": list(directories),
                "allowed_roots": list(allowed),
                "settle_s": settle_s,
                "force_polling": polling,
                "polling_interval_s": 0.2,
            }
        )
    )


def put(directory, name, content=b"media"):
    """Put a file there at once and whole, so that no look can meet half of it."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content)
    return unfinished.rename(path)


async def refs_by_title(server):
    return {item.title: item.ref async for item in server.list_items()}


async def said(server, ref):
    """Language and first line of what is beside a file."""
    return [(track.language, track.lines[0].text) for track in await server.read_texts(ref)]


class Watch:
    """What a watch has told so far."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    async def listen(self, server) -> None:
        async for event in server.watch():
            self.events.append((event.change.value, event.title))

    async def until(self, *expected) -> None:
        """Wait until exactly these events have come since the last look, in any order."""
        deadline = time.monotonic() + DEADLINE_S
        while sorted(self.events) != sorted(expected):
            assert time.monotonic() < deadline, f"{self.events} instead of {expected}"
            await asyncio.sleep(0.02)
        self.events.clear()


@asynccontextmanager
async def watching(server):
    watch = Watch()
    task = asyncio.create_task(watch.listen(server))
    try:
        yield watch
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# Listing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (Order.OLDEST_FIRST, ["early", "late", "later"]),
        (Order.NEWEST_FIRST, ["later", "late", "early"]),
    ],
)
async def test_items_come_in_the_order_of_their_arrival(library, order, expected):
    put(library, "z/early.mp3")
    in_the_future = time.time() + 1000  # later than its change time, which cannot be set
    for name, after_s in (("b/late.mp3", 1), ("a/later.mp3", 2)):
        os.utime(put(library, name), (in_the_future + after_s, in_the_future + after_s))

    titles = [item.title async for item in server_of(library).list_items(order=order)]

    assert titles == expected


async def test_hidden_and_partial_files_are_not_listed(library):
    for name in ("a.mkv.part", ".b.mkv", "~c.mkv", ".hidden/d.mkv", "e.mkv.!qB", "f.nfo"):
        put(library, name)
    (library / "folder.mkv").mkdir()
    os.mkfifo(library / "pipe.mkv")

    assert await refs_by_title(server_of(library)) == {}


async def test_an_id_depends_on_the_folders_name_but_not_on_where_it_lies(library, tmp_path):
    put(library, "Films/The Harbour (2019).mkv")
    before = await refs_by_title(server_of(library))
    moved = tmp_path / "elsewhere" / "library"
    moved.parent.mkdir()
    library.rename(moved)

    assert await refs_by_title(server_of(moved)) == before


async def test_two_folders_of_one_name_keep_their_items_apart(tmp_path):
    for disk in ("disk1", "disk2"):
        put(tmp_path / disk / "films", "The Harbour (2019).mkv")
    one = [item.ref async for item in server_of(tmp_path / "disk1/films").list_items()]

    both = [
        item.ref
        async for item in server_of(tmp_path / "disk1/films", tmp_path / "disk2/films").list_items()
    ]

    libraries = {
        item.library
        async for item in server_of(tmp_path / "disk1/films", tmp_path / "disk2/films").list_items()
    }
    assert libraries == {"films", "disk2/films"}
    assert len(set(both)) == 2
    assert both[0] == one[0]


def test_a_folder_inside_another_is_not_walked_twice(library):
    roots = plan_roots([library, library / "films", library])

    assert [root.path for root in roots] == [library]


async def test_a_link_out_of_the_library_is_followed_only_where_allowed(library, tmp_path):
    outside = put(tmp_path / "outside", "secret.mkv").parent
    (library / "folder").symlink_to(outside)
    (library / "file.mkv").symlink_to(outside / "secret.mkv")

    assert await refs_by_title(server_of(library)) == {}
    assert set(await refs_by_title(server_of(library, allowed=[outside]))) == {"secret", "file"}


async def test_a_link_into_the_library_shows_nothing_twice(library):
    film = put(library, "films/The Harbour (2019).mkv")
    (library / "latest").symlink_to(library / "films")
    (library / "newest.mkv").symlink_to(film)

    assert len(await refs_by_title(server_of(library))) == 1


async def test_links_in_a_circle_end(library, tmp_path):
    outside = tmp_path / "outside"
    put(outside, "film.mkv")
    (outside / "back").symlink_to(outside)
    (outside / "self").symlink_to(outside / "self")
    (library / "link").symlink_to(outside)

    assert set(await refs_by_title(server_of(library, allowed=[outside]))) == {"film"}


def test_a_tree_deeper_than_the_stack_is_walked(library):
    chain = [library]
    for _ in range(1100):
        chain.append(chain[-1] / "d")
        chain[-1].mkdir()
    film = put(chain[-1], "film.mkv")

    found = [found.path.name for found in Tree(plan_roots([library])).walk()]

    film.unlink()
    for directory in reversed(chain[1:]):  # pytest's own clean-up may be recursive
        directory.rmdir()
    assert found == ["film.mkv"]


async def test_a_name_that_is_no_utf8_can_be_listed_and_asked_for(library):
    (library / os.fsdecode(b"caf\xe9 (2019).mkv")).write_bytes(b"media")
    server = server_of(library)

    (item,) = [item async for item in server.list_items()]

    assert item.kind is MediaKind.MOVIE
    assert (await server.get_item(item.ref)).ref == item.ref


async def test_a_missing_directory_is_named_when_listing(library):
    with pytest.raises(ConfigurationError, match="nowhere"):
        [item async for item in server_of(library, library / ".." / "nowhere").list_items()]


async def test_doctor_names_missing_and_empty_directories(library, tmp_path):
    full = put(tmp_path / "full", "a.mp3").parent
    findings = await server_of(full, library, tmp_path / "nowhere").check()

    severities = [finding.severity for finding in findings]
    assert severities == [Severity.OK, Severity.WARNING, Severity.ERROR]
    assert "nowhere" in findings[2].message
    assert findings[2].fix


def test_a_folder_server_without_a_folder_cannot_be_made():
    with pytest.raises(ConfigurationError, match="MOODREEL_MEDIA_DIRS"):
        server_of()


def test_a_folder_takes_no_webhooks(library):
    with pytest.raises(BadPayloadError):
        server_of(library).parse_webhook(b"{}", "application/json")


# Asking for one item ----------------------------------------------------------------------------


async def test_an_item_is_found_without_a_listing_before(library):
    path = put(library, "The Harbour (2019).mkv")
    (ref,) = (await refs_by_title(server_of(library))).values()

    item = await server_of(library).get_item(ref)

    assert item.location == LocalFile(path=path)
    assert item.added_at is not None


async def test_a_file_that_still_grows_waits(library):
    put(library, "film.mkv")
    (ref,) = (await refs_by_title(server_of(library))).values()

    with pytest.raises(TransientError) as caught:
        await server_of(library, settle_s=60).get_item(ref)

    assert caught.value.retry_after_s is not None
    assert 50 < caught.value.retry_after_s <= 60


async def test_a_file_with_an_old_date_that_was_put_here_just_now_waits_too(library):
    path = put(library, "film.mkv")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    (ref,) = (await refs_by_title(server_of(library))).values()

    with pytest.raises(TransientError):
        await server_of(library, settle_s=60).get_item(ref)


async def test_a_file_that_became_a_link_to_the_outside_is_not_given_out(library, tmp_path):
    secret = put(tmp_path, "secret.mkv")
    path = put(library, "film.mkv")
    server = server_of(library)
    (ref,) = (await refs_by_title(server)).values()
    await server.get_item(ref)
    path.unlink()
    path.symlink_to(secret)

    put(library, "other.mkv")
    with pytest.raises(NotFoundError):
        await server.get_item(ref)


async def test_an_empty_mount_point_does_not_lose_its_items(library):
    path = put(library, "film.mkv")
    server = server_of(library)
    (ref,) = (await refs_by_title(server)).values()
    path.unlink()

    with pytest.raises(TransientError, match="mounted"):
        await server.get_item(ref)


async def test_many_who_ask_at_once_share_a_scan(library):
    for number in range(20):
        put(library, f"{number}.mp3")
    refs = [*(await refs_by_title(server_of(library))).values()]
    server = server_of(library)

    items = await asyncio.gather(*(server.get_item(ref) for ref in refs))

    assert [item.ref for item in items] == refs
    with pytest.raises(NotFoundError):
        await server.get_item(ItemRef(server="folder", item_id="0" * 32))


# What lies beside a file ------------------------------------------------------------------------

JPEG = b"\xff\xd8\xff picture"
SRT = b"1\n00:00:01,000 --> 00:00:02,000\n%s\n"


async def only_ref(server):
    (ref,) = (await refs_by_title(server)).values()
    return ref


@pytest.mark.parametrize(
    "picture",
    [
        "Shows/Night/Season 1/Night S01E01.jpg",
        "Shows/Night/Season 1/Night S01E01-poster.png",
        "Shows/Night/Season 1/Night S01E01-thumb.webp",
        "Shows/Night/Season 1/poster.jpg",
        "Shows/Night/Season 1/folder.jpg",
        "Shows/Night/poster.jpg",
    ],
)
async def test_a_picture_beside_a_file_is_its_poster(library, picture):
    put(library, "Shows/Night/Season 1/Night S01E01.mkv")
    put(library, picture, JPEG)
    server = server_of(library)

    assert await server.read_poster(await only_ref(server)) == JPEG


async def test_a_files_own_picture_goes_before_its_folders(library):
    put(library, "Harbour/Harbour (2019).mkv")
    put(library, "Harbour/poster.jpg", JPEG)
    put(library, "Harbour/Harbour (2019).jpg", JPEG + b" of its own")
    server = server_of(library)

    assert await server.read_poster(await only_ref(server)) == JPEG + b" of its own"


async def test_a_picture_that_is_none_or_is_not_the_librarys_is_no_poster(library, tmp_path):
    put(library, "Harbour/Harbour (2019).mkv")
    server = server_of(library)
    ref = await only_ref(server)
    put(library, "Harbour/poster.png", b"<svg/>")
    put(library, "Harbour/folder.jpg", JPEG + b" " * MAX_POSTER_BYTES)
    put(library, "poster.jpg", JPEG)  # of the library itself
    put(library, "Music/Album/Song.mp3")
    put(library, "Music/poster.jpg", JPEG)  # of all music
    (library / "Harbour/poster.jpg").symlink_to(put(tmp_path, "secret.jpg", JPEG))

    song = (await refs_by_title(server))["Song"]

    assert await server.read_poster(ref) == b""
    assert await server.read_poster(song) == b""


async def test_subtitles_beside_a_file_are_its_words(library, tmp_path):
    put(library, "Harbour (2019).mkv")
    put(library, "Harbour (2019).en.forced.srt", SRT % b"Sign")
    put(library, "Harbour (2019).en.sdh.srt", SRT % b"[gulls]")
    put(library, "Harbour (2019) 2.srt", SRT % b"Of another film")
    server = server_of(library)
    ref = await only_ref(server)
    assert await said(server, ref) == [("eng", "Sign")]

    put(library, "Harbour (2019).en.srt", SRT % b"They wait.")
    assert await said(server, ref) == [("eng", "They wait.")]

    (library / "Harbour (2019).srt").symlink_to(put(tmp_path, "s.srt", SRT % b"Secret"))
    assert await said(server, ref) == [("eng", "They wait.")]


async def test_each_language_beside_a_file_is_read_in_its_own_writing(library):
    put(library, "Harbour.mkv")
    put(library, "Harbour.pt-BR.srt", SRT % b"Eles esperam.")
    put(library, "Harbour.rus.srt", SRT % "Ждём".encode("cp1251"))
    put(library, "Harbour.de.ass", b"Dialogue: 0,0:00:01.00,0:00:02.00,,,0,0,0,,{\\i1}Wir warten.")
    server = server_of(library)

    assert sorted(await said(server, await only_ref(server))) == [
        ("deu", "Wir warten."),
        ("por", "Eles esperam."),
        ("rus", "Ждём"),
    ]


async def test_subtitles_in_a_folder_of_their_own_are_of_the_film_beside_it(library):
    put(library, "Harbour/Harbour.mkv")
    put(library, "Harbour/Subs/2_English.srt", SRT % b"They wait.")
    put(library, "Show/One.mkv")
    put(library, "Show/Two.mkv")
    put(library, "Show/Subs/2_English.srt", SRT % b"Of either")
    put(library, "Show/Subs/Two/2_English.srt", SRT % b"Of the second")
    server = server_of(library)

    refs = await refs_by_title(server)

    found = {title: await said(server, ref) for title, ref in refs.items()}
    assert found == {
        "Harbour": [("eng", "They wait.")],
        "One": [],
        "Two": [("eng", "Of the second")],
    }


async def test_lyrics_beside_a_song_are_its_words(library):
    put(library, "Gulls.mp3")
    put(library, "Gulls.lrc", b"[00:01.00]Salt\n[00:03.00]Wind\n")
    server = server_of(library)

    (found,) = await server.read_texts(await only_ref(server))

    assert [(line.start_s, line.text) for line in found.lines] == [(1.0, "Salt"), (3.0, "Wind")]


# Watching ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("polling", [False, True], ids=["notified", "polling"])
async def test_what_comes_changes_and_goes_is_told(library, polling):
    put(library, "there.mp3")
    async with watching(server_of(library, polling=polling)) as watch:
        await watch.until(("added", "there"))
        put(library, "new/deep/film.mkv")
        await watch.until(("added", "film"))
        put(library, "there.mp3", b"more media")
        await watch.until(("updated", "there"))
        (library / "there.mp3").unlink()
        await watch.until(("deleted", "there"))


async def test_a_directory_that_moves_takes_its_items_along(library, tmp_path):
    put(library, "season/1.mp3")
    put(library, "season/sub/2.mp3")
    # Else the library is empty then, which is taken for a share that is not mounted where nobody
    # listened yet when it moved.
    put(library, "3.mp3")
    async with watching(server_of(library)) as watch:
        await watch.until(("added", "1"), ("added", "2"), ("added", "3"))
        (library / "season").rename(tmp_path / "outside")
        await watch.until(("deleted", "1"), ("deleted", "2"))
        (tmp_path / "outside").rename(library / "back")
        await watch.until(("added", "1"), ("added", "2"))


async def test_a_download_is_told_of_when_it_gets_its_name(library):
    async with watching(server_of(library)) as watch:
        part = put(library, "film.mkv.part")
        put(library, "other.mp3")
        await watch.until(("added", "other"))
        part.rename(library / "film.mkv")
        await watch.until(("added", "film"))


async def test_a_growing_file_is_told_of_once_and_again_when_it_rests(library):
    async with watching(server_of(library, settle_s=1)) as watch:
        path = put(library, "film.mkv")
        await watch.until(("added", "film"))
        for _ in range(5):
            with path.open("ab") as file:
                file.write(b"more")
        await watch.until(("updated", "film"))
        assert time.time() - path.stat().st_mtime >= 1
        put(library, "after.mp3")
        await watch.until(("added", "after"))


async def test_a_directory_that_vanishes_and_comes_back_loses_nothing(library, tmp_path):
    put(library, "kept.mp3")
    put(library, "dropped.mp3")
    async with watching(server_of(library)) as watch:
        await watch.until(("added", "kept"), ("added", "dropped"))
        away = tmp_path / "away"
        library.rename(away)
        (away / "dropped.mp3").unlink()
        put(away, "new.mp3")
        await asyncio.sleep(0.5)  # long enough for several looks at the missing directory
        assert watch.events == []
        away.rename(library)
        await watch.until(("deleted", "dropped"), ("added", "new"))
        put(library, "after.mp3")
        await watch.until(("added", "after"))


async def test_an_unmounted_share_is_not_a_deletion(library, tmp_path):
    put(library, "kept.mp3")
    async with watching(server_of(library)) as watch:
        await watch.until(("added", "kept"))
        library.rename(tmp_path / "away")
        library.mkdir()  # the empty mount point
        await asyncio.sleep(0.5)  # long enough for several looks at it
        assert watch.events == []
        library.rmdir()
        (tmp_path / "away").rename(library)
        put(library, "after.mp3")
        await watch.until(("added", "after"))


async def test_a_directory_that_is_missing_at_the_start_is_waited_for(library):
    server = server_of(library / "later")
    async with watching(server) as watch:
        await asyncio.sleep(0.3)  # long enough for several looks at nothing
        put(library / "later", "a.mp3")
        await watch.until(("added", "a"))


async def test_a_linked_directory_outside_is_not_listened_to(library, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (library / "link").symlink_to(outside)
    async with watching(server_of(library)) as watch:
        put(outside, "secret.mkv")
        put(library / "link", "secret2.mkv")
        put(library, "a.mp3")
        await watch.until(("added", "a"))


async def test_a_watched_item_can_be_asked_for(library):
    put(library, "a.mp3")
    server = server_of(library)
    watch = server.watch()
    event = await anext(watch)
    await watch.aclose()

    assert event.change is Change.ADDED
    assert (await server.get_item(event.ref)).title == event.title


async def test_a_name_that_is_no_utf8_does_not_end_the_systems_notices(library):
    settings = {"media_dirs": [library], "settle_s": 0, "polling_interval_s": 3600}
    async with watching(FolderServer(FolderSettings.model_validate(settings))) as watch:
        put(library, "first.mp3")
        await watch.until(("added", "first"))
        (library / os.fsdecode(b"caf\xe9 (2019).mkv")).write_bytes(b"media")
        await watch.until(("added", "caf\ufffd"))
        put(library, "after.mp3")
        await watch.until(("added", "after"))


async def test_a_thousand_files_at_once_are_all_told_of(library):
    async with watching(server_of(library)) as watch:
        put(library, "first.mp3")
        await watch.until(("added", "first"))
        for number in range(1000):
            put(library, f"{number % 50}/{number}.mp3")
        await watch.until(*(("added", str(number)) for number in range(1000)))


FEW_WATCHES = "echo 10 > /proc/sys/user/max_inotify_watches"
CHILD = """
import asyncio, pathlib, sys
from tests.integration.test_folder_server import put, server_of

async def main(library):
    # Late: after the second look that follows the start in any case.
    asyncio.get_running_loop().call_later(1.5, put, library, "29/late.mp3")
    async with asyncio.timeout(15):
        async for event in server_of(library).watch():
            if event.title == "late":
                return

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


def test_too_few_inotify_watches_lose_nothing(library):
    unshare = shutil.which("unshare")
    in_own_namespace = [unshare or "unshare", "-Ur", "sh", "-c"]
    if unshare is None or subprocess.run([*in_own_namespace, FEW_WATCHES], check=False).returncode:
        pytest.skip("needs a user namespace whose limits may be lowered")
    for number in range(30):
        put(library, f"{number}/{number}.mp3")

    in_child = f'{FEW_WATCHES} && exec "$0" "$@"'
    child = subprocess.run(
        [*in_own_namespace, in_child, sys.executable, "-c", CHILD, str(library)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert child.returncode == 0, child.stderr
