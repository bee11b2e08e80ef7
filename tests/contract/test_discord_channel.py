"""What Discord's channel does beyond the others: groups, pictures, threads, libraries, limits."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image

from publisher.discord import DiscordChannel, Receipt
from publisher.discord_settings import DiscordSettings, read_routes
from service.domain import Delivery, ItemRef, MediaKind, MoodPoint
from service.errors import ConfigurationError, PermanentError, TransientError
from tests.support.announcements import make_announcement, make_group, make_item
from tests.support.receivers import Answer, Bucket, StandInDiscord, serve

NOON = datetime(2026, 6, 10, 12, 0, tzinfo=UTC)
HOOK = "https://discord.com/api/webhooks/1/s3cret"
CURVE = tuple(MoodPoint(time_s=60.0 * n, valence=n / 50, arousal=-n / 50) for n in range(50))


def make_poster(colour="navy"):
    file = io.BytesIO()
    Image.new("RGB", (600, 900), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for field in DiscordSettings.model_fields.values():
        monkeypatch.delenv(str(field.alias), raising=False)
    monkeypatch.setenv("TZ", "UTC")


def read_channels(monkeypatch, **settings) -> dict[str, DiscordChannel]:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    read = DiscordSettings.read()
    return {route.name: DiscordChannel(read, route) for route in read_routes(read)}


@asynccontextmanager
async def told(
    monkeypatch, stand_in: StandInDiscord, query: str = "", **settings
) -> AsyncIterator[DiscordChannel]:
    """A channel to a stand-in."""
    async with serve(stand_in.app) as url:
        settings["DISCORD_WEBHOOK_URL"] = url + stand_in.PATH + query
        settings["MOODREEL_DISCORD_HOSTS"] = "127.0.0.1"
        channel = read_channels(monkeypatch, **settings)["discord"]
        yield channel
        await channel.aclose()


# What is told together ---------------------------------------------------------------------------


async def test_a_season_is_one_message_that_grows(monkeypatch):
    stand_in = StandInDiscord()
    async with told(monkeypatch, stand_in) as channel:
        receipt = await channel.send(make_announcement(make_group(1).analysis.item))
        for count in (2, 10):
            receipt = await channel.send(make_group(count), previous_receipt=receipt)
    (message,) = stand_in.messages.values()
    lines = message["embeds"][0]["description"].splitlines()
    assert [line.split(" ·")[0] for line in lines] == [f"**{n}** Part {n}" for n in range(1, 11)]
    assert stand_in.edit_count == 2


def plan(monkeypatch, now=NOON, item=None, **settings) -> Delivery | None:
    channel = read_channels(monkeypatch, DISCORD_WEBHOOK_URL=HOOK, **settings)["discord"]
    return channel.plan(item or make_item(), now)


def episode(**changes):
    return replace(make_group(1).analysis.item, **changes)


def test_a_film_is_told_at_once_and_an_episode_gathers(monkeypatch):
    assert plan(monkeypatch) == Delivery()
    gathered = plan(monkeypatch, item=episode())
    assert gathered == Delivery(group="jellyfin/sev/1", after_s=90.0)
    assert plan(monkeypatch, item=episode(title="Another", episode_number=9)) == gathered
    others = [
        episode(season_number=2),
        episode(season_number=None),
        episode(series_id="other"),
        episode(ref=ItemRef(server="emby", item_id="1")),
    ]
    groups = {delivery.group for item in others if (delivery := plan(monkeypatch, item=item))}
    assert len(groups | {gathered.group}) == 5


def test_songs_of_an_album_gather_and_single_ones_do_not(monkeypatch):
    song = make_item(kind=MediaKind.SONG, artist="Daft Punk", album="Homework")
    assert plan(monkeypatch, item=song) == Delivery(
        group="jellyfin/Daft%20Punk%20-%20Homework", after_s=90.0
    )
    assert plan(monkeypatch, item=replace(song, album="")) == Delivery()
    assert plan(monkeypatch, item=episode(series="", series_id="")) == Delivery()


def test_whoever_wants_single_cards_has_no_groups(monkeypatch):
    assert plan(monkeypatch, item=episode(), DISCORD_GATHER_S="0") == Delivery()


def test_at_night_nobody_is_told_before_its_end(monkeypatch):
    night = {"DISCORD_QUIET_HOURS": "23-8"}
    assert plan(monkeypatch, **night) == Delivery()
    assert plan(monkeypatch, NOON + timedelta(hours=11), **night) == Delivery(after_s=9 * 3600)
    late = NOON + timedelta(hours=10, minutes=59)
    gathered = plan(monkeypatch, late, episode(), **night)  # it would be told within the night
    assert gathered is not None
    assert gathered.after_s == 9 * 3600 + 60


def test_a_librarys_own_webhook_takes_its_items_and_the_default_the_rest(monkeypatch):
    def takers(**settings):
        channels = read_channels(monkeypatch, **settings)
        items = {name: make_item(library=name) for name in ("Anime", "Music", "Films", "Home", "")}
        return {
            library: [name for name, channel in channels.items() if channel.plan(item, NOON)]
            for library, item in items.items()
        }

    own = f"anime={HOOK}, Music ={HOOK}?thread_id=5,Home=none"
    assert takers(DISCORD_WEBHOOKS=own) == {
        "Anime": ["discord-anime"], "Music": ["discord-music"], "Films": [], "Home": [], "": [],
    }  # fmt: skip
    assert takers(DISCORD_WEBHOOK_URL=HOOK) == {
        "Anime": ["discord-anime"], "Music": ["discord-music"], "Films": ["discord"], "Home": [],
        "": ["discord"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("DISCORD_WEBHOOKS", "Anime=https://evil.example/s3cret", "not on discord.com"),
        ("DISCORD_WEBHOOKS", f"{HOOK}", "entry 1"),
        ("DISCORD_WEBHOOKS", f"A={HOOK},a={HOOK}", "twice"),
        ("DISCORD_WEBHOOKS", f"A b={HOOK},A-b={HOOK}", "too much alike"),
        ("DISCORD_QUIET_HOURS", "at night", "23-8"),
        ("DISCORD_GATHER_S", "-1", "greater than or equal to 0"),
        ("DISCORD_LANGUAGE", "tlh", "known: en, de"),
        ("DISCORD_THREAD_ID", "general", "Discord's own numbers"),
        ("DISCORD_THREAD_TAGS", "1,2,3,4,5,6", "at most five"),
        ("DISCORD_THREAD_NAME", "$seires", "nothing is called"),
        ("DISCORD_LAYOUT", "/nowhere/layout.yaml", "/nowhere/layout.yaml"),
    ],
)
def test_a_wrong_setting_is_named_without_its_secret(monkeypatch, name, value, reason):
    with pytest.raises(ConfigurationError, match=name) as caught:
        read_channels(monkeypatch, **{"DISCORD_WEBHOOK_URL": HOOK, name: value})
    assert reason in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_thread_is_either_there_or_begun(monkeypatch):
    with pytest.raises(ConfigurationError, match="either DISCORD_THREAD_ID"):
        plan(monkeypatch, DISCORD_THREAD_ID="5", DISCORD_THREAD_NAME="$title")


# Pictures ----------------------------------------------------------------------------------------


async def test_the_poster_and_the_mood_curve_travel_with_the_card(monkeypatch):
    stand_in = StandInDiscord()
    news = replace(make_announcement(mood_curve=CURVE), poster=make_poster())
    async with told(monkeypatch, stand_in) as channel:
        assert channel.takes_posters
        receipt = Receipt.parse(await channel.send(news))
    card = stand_in.messages[receipt.message_id]["embeds"][0]
    assert card["thumbnail"]["url"] == "attachment://poster.jpg"
    assert card["image"]["url"] == "attachment://moods.png"
    pictures = dict(stand_in.pictures[receipt.message_id].values())
    assert Image.open(io.BytesIO(pictures["poster.jpg"])).size == (320, 480)
    assert Image.open(io.BytesIO(pictures["moods.png"])).size == (640, 120)


async def test_an_edit_without_a_poster_keeps_the_one_that_is_there(monkeypatch):
    stand_in = StandInDiscord()
    async with told(monkeypatch, stand_in) as channel:
        news = make_announcement(mood_curve=CURVE)
        receipt = await channel.send(replace(news, poster=make_poster()))
        later = await channel.send(make_announcement(), previous_receipt=receipt)
        assert later == receipt
        ((name, _),) = stand_in.pictures[Receipt.parse(receipt).message_id].values()
        assert name == "poster.jpg"  # and the old curve is gone
        newer = await channel.send(
            replace(news, poster=make_poster("red")), previous_receipt=receipt
        )
        assert newer != receipt
        assert len(stand_in.pictures[Receipt.parse(receipt).message_id]) == 2
    assert len(stand_in.messages) == 1


async def test_a_bad_poster_costs_nothing_but_itself(monkeypatch):
    stand_in = StandInDiscord()
    async with told(monkeypatch, stand_in) as channel:
        await channel.send(replace(make_announcement(), poster=b"\xff\xd8\xff broken"))
    (message,) = stand_in.messages.values()
    assert "thumbnail" not in message["embeds"][0]


async def test_a_deleted_message_is_told_anew_with_no_picture_that_went_with_it(monkeypatch):
    stand_in = StandInDiscord()
    async with told(monkeypatch, stand_in) as channel:
        receipt = await channel.send(replace(make_announcement(), poster=make_poster()))
        stand_in.messages.clear()
        await channel.send(make_announcement(), previous_receipt=receipt)
    (message,) = stand_in.messages.values()
    assert "thumbnail" not in message["embeds"][0]


def test_a_receipt_reads_back_and_takes_nothing_but_numbers():
    receipt = Receipt(message_id="12", thread_id="34", poster_id="56")
    assert str(receipt) == "12?thread=34&poster=56"
    assert Receipt.parse(str(receipt)) == receipt
    assert str(Receipt.parse("12?thread=../x&poster=")) == "12"
    assert Receipt.parse("../12?thread=34") == Receipt()


# Threads -----------------------------------------------------------------------------------------


async def test_in_a_forum_each_card_begins_a_thread_and_is_edited_there(monkeypatch):
    stand_in = StandInDiscord(is_forum=True)
    settings = {
        "DISCORD_THREAD_NAME": "[$series - ]$title[ ($year)]",
        "DISCORD_THREAD_TAGS": "11, 22",
    }
    async with told(monkeypatch, stand_in, **settings) as channel:
        film = await channel.send(make_announcement())
        season = await channel.send(make_group(2))
        assert await channel.send(make_group(3), previous_receipt=season) == season
    assert list(stand_in.threads.values()) == ["The Long Road (2019)", "Severance - Severance"]
    posted = stand_in.messages[Receipt.parse(film).message_id]
    assert posted["applied_tags"] == ["11", "22"]
    assert stand_in.edit_count == 1


async def test_a_forum_without_a_thread_is_told_to_the_operator(monkeypatch):
    async with told(monkeypatch, StandInDiscord(is_forum=True)) as channel:
        with pytest.raises(ConfigurationError, match="DISCORD_THREAD_NAME"):
            await channel.send(make_announcement())


async def test_a_thread_in_a_channel_that_is_no_forum_is_told_to_the_operator(monkeypatch):
    settings = {"DISCORD_THREAD_NAME": "$title"}
    async with told(monkeypatch, StandInDiscord(), **settings) as channel:
        with pytest.raises(ConfigurationError, match="220003"):
            await channel.send(make_announcement())


async def test_all_cards_may_go_into_one_thread(monkeypatch):
    stand_in = StandInDiscord(is_forum=True)
    async with told(monkeypatch, stand_in, DISCORD_THREAD_ID="77") as channel:
        receipt = await channel.send(make_announcement())
        await channel.send(make_announcement(), previous_receipt=receipt)
    assert [query["thread_id"] for query in stand_in.queries] == ["77", "77"]
    assert stand_in.edit_count == 1


# Limits ------------------------------------------------------------------------------------------


async def test_a_crowd_of_cards_never_makes_discord_say_that_it_is_too_much(monkeypatch):
    stand_in = StandInDiscord(bucket=Bucket(limit=2, window_s=0.3))
    async with told(monkeypatch, stand_in) as channel:
        await asyncio.gather(*(channel.send(make_announcement()) for _ in range(7)))
    assert len(stand_in.messages) == 7
    assert stand_in.refusal_count == 0


async def test_whoever_comes_too_soon_is_told_when_to_come_back(monkeypatch):
    stand_in = StandInDiscord(bucket=Bucket(limit=1, window_s=60.0))
    async with told(monkeypatch, stand_in) as channel:
        assert await channel.send(make_announcement())
    async with told(monkeypatch, stand_in) as another:  # which knows of no limit yet
        with pytest.raises(TransientError) as caught:
            await another.send(make_announcement())
    assert stand_in.refusal_count == 1
    assert 50 < (caught.value.retry_after_s or 0.0) <= 60


async def test_whoever_is_stopped_while_waiting_has_told_nobody(monkeypatch):
    stand_in = StandInDiscord()
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "4"}
    stand_in.script.answers.append(Answer(body='{"id": "1"}', headers=headers))
    async with told(monkeypatch, stand_in) as channel:
        await channel.send(make_announcement())
        # The first waits for Discord, the second for the first.
        waiting = [asyncio.create_task(channel.send(make_announcement())) for _ in range(2)]
        await asyncio.wait(waiting, timeout=1.0)
        for task in waiting:
            task.cancel()
        errors = await asyncio.gather(*waiting, return_exceptions=True)
        for error in errors:
            assert isinstance(error, TransientError)
            assert not error.costs_attempt
    assert stand_in.script.request_count == 1


async def test_whoever_is_stopped_while_sending_leaves_it_in_doubt(monkeypatch):
    stand_in = StandInDiscord()
    stand_in.script.answers.append(Answer(hangs=True, after=True))
    async with told(monkeypatch, stand_in) as channel:
        sending = asyncio.create_task(channel.send(make_announcement()))
        while not stand_in.messages:
            await asyncio.wait([sending], timeout=0.02)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending


# The stand-in is strict --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("break_it", "problem"),
    [
        (lambda m: m["embeds"].append(m["embeds"][0]), "shown once only"),
        (lambda m: m["embeds"][0].update(image={"url": "attachment://x.png"}), "shows nothing"),
        (lambda m: m["embeds"][0].update(title="x" * 257), "title"),
        (lambda m: m.update(allowed_mentions={"parse": ["everyone"]}), "mentions"),
        (lambda m: m.update(attachments=[{"id": "99"}]), "does not exist"),
    ],
    ids=["twice", "no picture", "title", "mentions", "attachment"],
)
async def test_the_stand_in_refuses_what_discord_refuses(monkeypatch, break_it, problem):
    stand_in = StandInDiscord()
    async with told(monkeypatch, stand_in) as channel:
        message = channel._message(make_announcement(), {}, {})
        break_it(message)
        with pytest.raises(PermanentError, match=problem):
            await channel._line.post(message, {}, thread_id="")
    assert stand_in.messages == {}
