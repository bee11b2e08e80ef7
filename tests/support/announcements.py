"""Announcements to send: a plain one, and any that a stranger's library could lead to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from service.domain import (
    Analysis,
    Announcement,
    Colour,
    ComfortWarning,
    Discomfort,
    Highlight,
    ItemMatch,
    ItemRef,
    LocalFile,
    MediaItem,
    MediaKind,
    Mood,
    PictureAnalysis,
    SoundAnalysis,
    Tag,
)

HIDDEN_FILE = Path("/srv/private-films/long-road.mkv")


def make_item(**changes: Any) -> MediaItem:
    item = MediaItem(
        ref=ItemRef(server="jellyfin", item_id="1af3ad54ae6d892360df4b2738d65893"),
        kind=MediaKind.MOVIE,
        title="The Long Road",
        location=LocalFile(path=HIDDEN_FILE),
        overview="A family drives across the country and back.",
        year=2019,
        genres=("Drama",),
        url="https://jf.example.org/web/#/details?id=1af3ad54ae6d892360df4b2738d65893",
    )
    return replace(item, **changes)


def make_picture(*palette: Colour) -> PictureAnalysis:
    return PictureAnalysis(
        luma=0.4,
        contrast=0.2,
        saturation=0.3,
        warmth=0.0,
        motion=0.1,
        sharpness=500.0,
        palette=palette,
    )


def make_announcement(
    item: MediaItem | None = None, *, event_id: str = "evt_1", **changes: Any
) -> Announcement:
    analysis = Analysis(
        item=item or make_item(),
        duration_s=6130.4,
        pipeline="0.1.0",
        models=("siglip-b16",),
        tags=(
            Tag(label="car", kind="subject", score=0.8),
            Tag(label="road", kind="place", score=0.7),
        ),
        moods=(
            Mood(label="calm", score=0.7, valence=0.4, arousal=-0.5),
            Mood(label="tender", score=0.5, valence=0.5, arousal=-0.3),
        ),
        highlights=(
            Highlight(
                start_s=3905, end_s=3921, peak_s=3910, score=0.7, reasons=("sunset over the sea",)
            ),
            Highlight(
                start_s=41,
                end_s=55.2,
                peak_s=48,
                score=0.9,
                reasons=("a car on the road", "horns"),
                caption="A car passes a lorry.",
            ),
        ),
        picture=make_picture(Colour(rgb="#102030", share=0.5), Colour(rgb="#e0d0b0", share=0.25)),
        comfort=(
            ComfortWarning(kind=Discomfort.FLASHING, start_s=61, end_s=63.5, amount=9.5),
            ComfortWarning(kind=Discomfort.SUDDEN_LOUDNESS, start_s=12, end_s=13, amount=21),
        ),
        audio=SoundAnalysis(
            loudness_dbfs=-20,
            dynamic_range_db=15,
            tempo_bpm=92.5,
            key="F#",
            mode="minor",
            tags=("rain", "acoustic guitar"),
            summary="Soft acoustic guitar over steady rain.",
            mood="wistful",
            confidence=0.72,
        ),
        best_match=ItemMatch(
            ref=ItemRef(server="jellyfin", item_id="ffee"), title="Paris, Texas", score=0.8731
        ),
    )
    return Announcement(
        event_id=event_id,
        created_at=datetime(2026, 9, 20, 19, 3, tzinfo=UTC),
        namespace="home",
        analysis=replace(analysis, **changes),
    )


def make_group(count: int, **changes: Any) -> Announcement:
    """Episodes of a season that are told together."""
    item = make_item(
        kind=MediaKind.EPISODE, series="Severance", season_number=1, year=None, series_id="sev"
    )
    members = tuple(
        make_announcement(replace(item, title=f"Part {number}", episode_number=number)).analysis
        for number in range(1, count + 1)
    )
    members = tuple(replace(each, item=replace(each.item, **changes)) for each in members)
    return replace(make_announcement(), analysis=members[0], members=members)


_NASTY = (
    "",
    " \t\n",
    "\x00\x1b[31m",
    "\ud800",
    "\u202etxt.exe",
    "@everyone <@123> <#4> <:e:5>",
    "[win](https://evil.example) `code` ||spoiler||",
    "# heading\n> quote\n- list",
    "👩‍👩‍👧‍👦" * 80,
    "\\" * 3000,
    "*" * 5000,
    "word " * 2000,
    "../../etc/passwd",
    "é" + "\u0301" * 500,
)
texts = st.one_of(st.text(st.characters(), max_size=40), st.sampled_from(_NASTY))
numbers = st.one_of(st.floats(), st.sampled_from((0.0, 0.5, 7200.0, -1.0)))
text_lists = st.lists(texts, max_size=20).map(tuple)
refs = st.builds(
    ItemRef, server=st.one_of(st.sampled_from(("jellyfin", "folder")), texts), item_id=texts
)
items = st.builds(
    MediaItem,
    ref=refs,
    kind=st.sampled_from(MediaKind),
    title=texts,
    overview=texts,
    year=st.one_of(st.none(), st.integers()),
    genres=text_lists,
    series=texts,
    season_number=st.one_of(st.none(), st.integers()),
    episode_number=st.one_of(st.none(), st.integers()),
    artist=texts,
    album=texts,
    duration_s=st.one_of(st.none(), numbers),
    url=st.one_of(texts, st.sampled_from(("https://x.example/?api_key=1", "https://[", "ftp://x"))),
)
sounds = st.builds(
    SoundAnalysis,
    loudness_dbfs=numbers,
    dynamic_range_db=numbers,
    tempo_bpm=st.one_of(st.none(), numbers),
    key=texts,
    mode=texts,
    tags=text_lists,
    summary=texts,
    mood=texts,
    confidence=st.one_of(st.none(), numbers),
)
colours = st.builds(
    Colour, rgb=st.one_of(texts, st.sampled_from(("#A0b1C2", "#abc", "red"))), share=numbers
)
analyses = st.builds(
    Analysis,
    item=items,
    duration_s=numbers,
    pipeline=texts,
    tags=st.lists(st.builds(Tag, label=texts, kind=texts, score=numbers), max_size=60).map(tuple),
    moods=st.lists(
        st.builds(Mood, label=texts, score=numbers, valence=numbers, arousal=numbers), max_size=12
    ).map(tuple),
    highlights=st.lists(
        st.builds(
            Highlight,
            start_s=numbers,
            end_s=numbers,
            peak_s=numbers,
            score=numbers,
            reasons=text_lists,
            caption=texts,
        ),
        max_size=8,
    ).map(tuple),
    picture=st.one_of(st.none(), st.lists(colours, max_size=9).map(lambda c: make_picture(*c))),
    comfort=st.lists(
        st.builds(
            ComfortWarning,
            kind=st.sampled_from(Discomfort),
            start_s=numbers,
            end_s=numbers,
            amount=numbers,
        ),
        max_size=8,
    ).map(tuple),
    audio=st.one_of(st.none(), sounds),
    best_match=st.one_of(st.none(), st.builds(ItemMatch, ref=refs, title=texts, score=numbers)),
    models=text_lists,
    missing_models=text_lists,
)
groups = st.builds(
    lambda news, members, count: replace(
        news, analysis=members[0], members=tuple(members * count)[:300]
    ),
    st.builds(
        Announcement,
        event_id=st.uuids().map(str),
        created_at=st.datetimes(timezones=st.just(UTC)),
        namespace=texts,
        analysis=analyses,
    ),
    st.lists(analyses, min_size=2, max_size=6),
    st.sampled_from((1, 1, 1, 2, 60)),
)
"""Up to 300 episodes or songs of a group, as wild."""
announcements = st.builds(
    Announcement,
    event_id=st.uuids().map(str),
    created_at=st.datetimes(timezones=st.just(UTC)),
    namespace=texts,
    analysis=analyses,
)
"""Any announcement: wild texts, NaN and infinity, empty and overlong everything."""
