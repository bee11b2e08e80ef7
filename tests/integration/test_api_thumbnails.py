"""Small pictures: made once, one at a time, kept within bounds, and only of what is known."""

from __future__ import annotations

import asyncio
import io
import os

import pytest
from PIL import Image
from yarl import URL

from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from service.domain import ItemRef, LocalFile, MediaItem, MediaKind
from service.errors import NotFoundError, TransientError, UnreadableMediaError
from service.politeness import Politeness, PolitenessSettings
from service.web import thumbnails
from service.web.pictures import POSTER_POINTS_LIMIT, Pictures, open_poster, shrink
from tests.support.api import BEARER, FILM, FILM_PATH, SECRET_PATH, SONG, ServedApi
from tests.support.media import SceneSpec, write_film

FIRST = URL(f"{FILM_PATH}/scenes/0/thumbnail", encoded=True)
SECOND = URL(f"{FILM_PATH}/scenes/1/thumbnail", encoded=True)
POSTER = URL(f"{FILM_PATH}/thumbnail", encoded=True)


@pytest.fixture
async def api(tmp_path):
    async with ServedApi(tmp_path).serving() as api:
        yield api


def size_of(content):
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == "JPEG"
        return picture.size


# What is answered -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "size"),
    [("", (320, 180)), ("?width=160", (160, 90)), ("?width=640", (640, 360))],
)
async def test_a_scene_is_shown_at_its_keyframe_as_wide_as_somebody_asks(api, query, size):
    status, content, headers = await api.get(FIRST.join(URL(query)) if query else FIRST)

    assert (status, headers["Content-Type"], size_of(content)) == (200, "image/jpeg", size)
    assert api.source.made == [(FILM, 2.5)]
    assert headers["Cache-Control"].startswith("private")


@pytest.mark.parametrize("width", ["0", "1", "321", "100000", "-1", "x", ""])
async def test_no_other_width_is_made(api, width):
    status, answer, _ = await api.get(FIRST.update_query(width=width))

    assert (status, list(answer)) == (400, ["error"])
    assert api.source.made == []


async def test_an_item_is_shown_by_its_poster_and_so_is_sound(api):
    status, content, _ = await api.get(POSTER)
    assert (status, size_of(content)) == (200, (320, 480))

    status, _, _ = await api.get("/api/v1/items/jellyfin/song/scenes/0/thumbnail")
    assert status == 200
    assert api.source.made == [(FILM, None), (SONG, None)]


async def test_without_a_poster_an_item_is_shown_by_its_first_scene(api):
    api.source.has_poster = False
    status, content, _ = await api.get(POSTER)
    assert (status, size_of(content)) == (200, (320, 180))
    assert api.source.made == [(FILM, None), (FILM, 2.5)]

    assert (await api.get("/api/v1/items/jellyfin/song/thumbnail"))[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/items/jellyfin/unknown/thumbnail",
        "/api/v1/items/jellyfin/gone/thumbnail",
        "/api/v1/items/jellyfin/unknown/scenes/0/thumbnail",
        "/api/v1/items/jellyfin/song/scenes/7/thumbnail",
        "/api/v1/items/jellyfin/song/scenes/-1/thumbnail",
        "/api/v1/items/jellyfin/song/scenes/99999999999/thumbnail",
        "/api/v1/items/..%2f../x/thumbnail",
        "/api/v1/items/http:%2f%2f192.168.0.1/x/thumbnail",
    ],
)
async def test_of_what_is_not_known_nothing_is_made(api, path):
    status, _, _ = await api.get(URL(path, encoded=True))

    assert status == 404
    assert api.source.made == []
    assert not api.directory.exists()


# Load -------------------------------------------------------------------------------------------


async def test_a_picture_is_made_once_for_all_widths_and_for_ever(api):
    for width in (320, 160, 640, 320):
        assert (await api.get(FIRST.update_query(width=width)))[0] == 200
    assert len(api.source.made) == 1


async def test_another_content_has_another_picture(api):
    _, _, before = await api.get(FIRST)
    api.store.change(FILM, revision="2")
    _, _, after = await api.get(FIRST)

    assert len(api.source.made) == 2
    assert before["ETag"] != after["ETag"]


async def test_many_who_ask_at_once_wait_for_one_making(api):
    api.source.may_make.clear()
    asking = [asyncio.create_task(api.get(FIRST)) for _ in range(8)]
    await asyncio.wait(asking, timeout=0.2)
    api.source.may_make.set()

    assert [(await each)[0] for each in asking] == [200] * 8
    assert len(api.source.made) == 1


async def test_no_two_pictures_are_made_at_once(api):
    api.source.may_make.clear()
    asking = [asyncio.create_task(api.get(path)) for path in (FIRST, SECOND, POSTER)]
    await asyncio.wait(asking, timeout=0.3)
    api.source.may_make.set()
    assert [(await each)[0] for each in asking] == [200] * 3

    assert api.source.most_at_once == 1
    assert len(api.source.made) == 3


async def test_whoever_leaves_takes_the_picture_from_nobody(api):
    api.source.may_make.clear()
    leaver = asyncio.create_task(api.get(FIRST))
    stayer = asyncio.create_task(api.get(FIRST))
    await asyncio.wait([leaver, stayer], timeout=0.2)
    leaver.cancel()
    api.source.may_make.set()

    assert (await stayer)[0] == 200
    assert len(api.source.made) == 1


async def test_no_more_pictures_wait_than_may(api, monkeypatch):
    monkeypatch.setattr(thumbnails, "MAKING_LIMIT", 1)
    api.source.may_make.clear()
    first = asyncio.create_task(api.get(FIRST))
    await asyncio.wait([first], timeout=0.2)

    status, answer, headers = await api.get(SECOND)
    assert (status, list(answer), int(headers["Retry-After"]) > 0) == (503, ["error"], True)
    api.source.may_make.set()
    assert (await first)[0] == 200


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UnreadableMediaError(f"{SECRET_PATH}: moov atom not found"), 404),
        (NotFoundError(f"{SECRET_PATH} is outside of the allowed roots"), 404),
        (TransientError(f"{SECRET_PATH} is being written", retry_after_s=9), 503),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_cannot_be_shown_is_not_tried_again_at_each_look(api, error, expected):
    api.source.error = error
    answers = [await api.get(FIRST) for _ in range(3)]

    assert [status for status, _, _ in answers] == [expected] * 3
    assert str(SECRET_PATH.parent) not in str(answers)
    assert len(api.source.made) == 1


async def test_what_was_away_is_tried_again_after_a_while(tmp_path):
    served = ServedApi(tmp_path)
    now = [0.0]
    served.api._thumbnails._clock = lambda: now[0]
    async with served.serving() as api:
        api.source.error = TransientError("away")
        assert (await api.get(FIRST))[0] == 503
        api.source.error = None
        assert (await api.get(FIRST))[0] == 503
        now[0] += thumbnails.AWAY_FOR_S
        assert (await api.get(FIRST))[0] == 200


# The disk ---------------------------------------------------------------------------------------


async def test_the_directory_keeps_its_bound_and_what_was_looked_at_last(tmp_path):
    async with ServedApi(tmp_path, limit_bytes=20_000).serving() as api:
        sizes = []
        for revision in range(12):
            api.store.change(FILM, revision=str(revision))
            assert (await api.get(FIRST))[0] == 200
            sizes.append(sum(path.stat().st_size for path in api.directory.iterdir()))
            for age, path in enumerate(api.directory.iterdir()):
                os.utime(path, (revision * 100 + age, revision * 100 + age))

        assert max(sizes) <= 20_000
        assert len(api.source.made) == 12
        assert (await api.get(FIRST))[0] == 200
        assert len(api.source.made) == 12  # the last one is still there


async def test_pictures_are_the_owners_alone_and_leave_no_drafts(api):
    await api.get(FIRST)

    assert api.directory.stat().st_mode & 0o777 == 0o700
    names = sorted(path.name for path in api.directory.iterdir())
    assert len(names) == 3
    assert all(name.endswith(("-160.jpg", "-320.jpg", "-640.jpg")) for name in names)


async def test_a_disk_that_cannot_be_written_costs_the_picture_alone(tmp_path):
    served = ServedApi(tmp_path)
    served.directory.write_text("a file")
    async with served.serving() as api:
        status, answer, _ = await api.get(FIRST)
        assert (status, str(tmp_path) in str(answer)) == (503, False)
        assert (await api.get("/api/v1/status", headers=BEARER))[0] == 200


# Where they come from ---------------------------------------------------------------------------


class Server:
    """Has one film, and a poster."""

    def __init__(self, path=None, poster=b""):
        self.path, self.poster = path, poster
        self.who = ""

    async def get_item(self, ref):
        location = LocalFile(path=self.path) if self.path else None
        return MediaItem(ref=ref, kind=MediaKind.VIDEO, title="film", location=location)

    async def read_poster(self, ref):
        return self.poster

    async def who_plays(self):
        return self.who


def pictures_of(server, pause="backfill"):
    settings = PolitenessSettings(pause_while_transcoding=pause)
    servers = {"folder": server}
    return Pictures(
        servers=servers,
        reader=ProcessReader(ReaderSettings(short_side_px=360)),
        politeness=Politeness(servers, settings, patience_s=0.0),
    )


HERE = ItemRef(server="folder", item_id="film")


async def test_a_moment_is_read_by_the_decoder_process(tmp_path):
    write_film(tmp_path / "film.mp4", [SceneSpec(duration_s=4, picture="noise")])

    picture = await pictures_of(Server(tmp_path / "film.mp4")).of_scene(HERE, 2.0)

    assert picture.mode == "RGB"
    assert picture.width > 0


async def test_a_file_without_a_picture_there_says_so(tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"no film")
    with pytest.raises(UnreadableMediaError):
        await pictures_of(Server(tmp_path / "film.mp4")).of_scene(HERE, 2.0)


async def test_while_somebody_watches_the_machine_is_left_alone(tmp_path):
    server = Server(tmp_path / "film.mp4")
    server.who = "somebody transcodes"
    with pytest.raises(TransientError, match="transcodes"):
        await pictures_of(server, "always").of_scene(HERE, 2.0)


async def test_an_item_of_a_server_that_is_gone_has_no_picture():
    with pytest.raises(NotFoundError):
        await pictures_of(Server()).of_item(ItemRef(server="plex", item_id="film"))
    with pytest.raises(NotFoundError):
        await pictures_of(Server()).of_item(HERE)
    with pytest.raises(NotFoundError):
        await pictures_of(Server()).of_scene(HERE, 1.0)


def encoded(size, kind, **options):
    kept = io.BytesIO()
    Image.new("RGB", size, (10, 200, 30)).save(kept, kind, **options)
    return kept.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_poster_of_any_kind_becomes_small(kind):
    made = shrink(open_poster(encoded((900, 1350), kind)), (160, 640))
    assert [size_of(content) for content in made.values()] == [(160, 240), (640, 960)]


def test_a_small_picture_is_not_enlarged():
    made = shrink(open_poster(encoded((100, 50), "PNG")), (160,))
    assert size_of(made[160]) == (100, 50)


def test_a_very_tall_picture_stays_small():
    made = shrink(open_poster(encoded((20, 5000), "PNG")), (160,))
    assert size_of(made[160])[1] <= 320


def test_what_a_poster_tells_of_itself_stays_behind():
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    made = shrink(open_poster(encoded((200, 300), "JPEG", exif=exif)), (160,))
    assert b"secret" not in made[160]


@pytest.mark.parametrize("content", [b"", b"no picture", b"GIF89a", b"<svg/>", b"\xff\xd8\xff"])
def test_what_is_no_picture_is_refused(content):
    with pytest.raises(UnreadableMediaError):
        open_poster(content)


def test_a_poster_as_large_as_a_bomb_is_not_decoded():
    side = int(POSTER_POINTS_LIMIT**0.5) + 1
    kept = io.BytesIO()
    Image.new("1", (side, side)).save(kept, "PNG")
    with pytest.raises(UnreadableMediaError, match="points"):
        open_poster(kept.getvalue())
