"""What a layout's placeholders stand for: the findings of an item or of a group, in words."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from publisher.layout import Counts, Look
from publisher.template import Value, Values
from publisher.text import clean, escape_markdown, shorten
from publisher.values import Listed, Match, Ready, Sound, Text
from publisher.words import Words, count
from service.domain import (
    Analysis,
    Announcement,
    ComfortWarning,
    Discomfort,
    Highlight,
    MediaItem,
    MediaKind,
    Mood,
    Tag,
)

LABEL_LIMIT = 60
"""UTF-16 units of a mood, a tag or a highlight's reason."""
MEMBER_LIMIT = 120
"""Of an episode's line: ten of them fit into a third of a description."""
TAG_WINDOW = 12
"""Labels that are looked at to find one that can be shown."""

BELL = "\N{BELL}"
"""Before a trigger's name: understood in every language."""

_LAST_YEAR = 9999
_LONGEST_S = 1e9
"""Thirty years: no medium is longer, and no number that is gets into a card."""


def describe(announcement: Announcement, look: Look) -> Values:
    """All that templates may name; what was not found is empty."""
    words, item = look.words, announcement.analysis.item
    labels = {
        f"say_{label}": Ready(getattr(words, label))
        for label in (
            "duration", "mood", "moods", "tags", "highlights", "sound", "match", "comfort",
            "contents",
        )
    }  # fmt: skip
    found = (
        _describe_group(announcement.members, look)
        if announcement.members
        else _describe_item(announcement.analysis, look)
    )
    shared: dict[str, Value] = {
        "server": Text(item.ref.server),
        "namespace": Text(announcement.namespace),
        "library": Text(item.library),
        "season": Ready(_season(item, words)),
        "album": Text(item.album),
        "genres": Listed(_labels(item.genres)),
    }
    return labels | shared | found | _describe_trigger(announcement)


def _describe_trigger(announcement: Announcement) -> dict[str, Value]:
    """Which standing query was answered, in place of what arrived; items may be of any kind."""
    trigger, members = announcement.trigger, announcement.members
    if not trigger:
        return {}
    event = Text(f"{BELL} {trigger}")
    if not members:
        return {"event": event}
    titles = Text(f"{trigger} ({len(members)})")
    nothing = Ready("")
    return {"event": event, "title": titles, "artist": nothing, "season": nothing}


def format_time(time_s: float) -> str:
    """``H:MM:SS``."""
    minutes, seconds = divmod(round(time_s), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def top_moods(members: Sequence[Analysis]) -> Sequence[Mood]:
    """Of an item as they are; of a group those that are strongest over all of it."""
    if len(members) == 1:
        return members[0].moods
    by_label: dict[str, list[Mood]] = defaultdict(list)
    for member in members:
        for mood in member.moods:
            by_label[mood.label].append(mood)
    merged = [
        Mood(
            label=label,
            score=sum(_finite(mood.score) for mood in moods),
            valence=sum(mood.valence for mood in moods) / len(moods),
            arousal=sum(mood.arousal for mood in moods) / len(moods),
        )
        for label, moods in by_label.items()
    ]
    return sorted(merged, key=lambda mood: -mood.score)


def _describe_item(analysis: Analysis, look: Look) -> dict[str, Value]:
    item, counts, words = analysis.item, look.layout.counts, look.words
    is_episode = item.kind is MediaKind.EPISODE
    has_artist = item.kind in {MediaKind.SONG, MediaKind.MUSIC_VIDEO}
    return {
        "event": Ready(getattr(words, item.kind.value)),
        "title": Text(item.title if clean(item.title) else words.untitled),
        "year": Ready("" if is_episode else _year(item)),
        "series": Text(item.series if is_episode else ""),
        "number": Ready(_episode_number(item) if is_episode else _number(item)),
        "artist": Text(item.artist if has_artist else ""),
        "overview": Text(item.overview),
        "duration": Ready(_duration(analysis.duration_s)),
        "sound": Sound(analysis.audio),
        "match": Match(analysis.best_match),
        "highlights": _highlights([(analysis, h) for h in analysis.highlights], counts),
        "comfort": _comfort(analysis.comfort, look),
        "members": Ready(""),
        "count": Ready(""),
        **_feelings([analysis], counts),
    }


def _describe_group(members: Sequence[Analysis], look: Look) -> dict[str, Value]:
    first, counts, words = members[0].item, look.layout.counts, look.words
    is_series = first.kind is MediaKind.EPISODE
    artists = {member.item.artist for member in members}
    title = first.series if is_series else first.album
    event = words.episodes if is_series else words.songs
    found = [(member, h) for member in members for h in member.highlights]
    comfort = [warning for member in members for warning in member.comfort]
    nothing = Ready("")
    return {
        "event": Ready(count(event, len(members))),
        "title": Text(title if clean(title) else words.untitled),
        "year": Ready("" if is_series else _year(first)),
        "series": Text(first.series if is_series else ""),
        "number": nothing,
        "artist": Text(first.artist if not is_series and len(artists) == 1 else ""),
        "overview": nothing,
        "duration": Ready(_duration(sum(_finite(each.duration_s) for each in members))),
        "sound": nothing,
        "match": nothing,
        "highlights": _highlights(found, counts, is_group=True),
        "comfort": Listed(
            [getattr(words, kind.value) for kind in Discomfort if _has(comfort, kind)]
        ),
        "members": _members(members, look),
        "count": Ready(str(len(members))),
        **_feelings(members, counts),
    }


def _feelings(members: Sequence[Analysis], counts: Counts) -> dict[str, Value]:
    moods = _labels(mood.label for mood in top_moods(members))
    tags = _top_tags(members, max(1, counts.tags))
    return {
        "moods": Listed(moods[: counts.moods]),
        "mood": Listed(moods[:1]),
        "tags": Listed(tags[: counts.tags], _code, " "),
        "tag": Listed(tags[:1], _code),
    }


def _members(members: Sequence[Analysis], look: Look) -> Listed:
    """A line for each: escaped already, one by one, by the template that makes it."""
    template = look.layout.group.member
    lines = [template.fill(_describe_member(each, look), MEMBER_LIMIT) for each in members]
    return Listed([line for line in lines if line], str, "\n", look.words.more)


def _describe_member(analysis: Analysis, look: Look) -> Mapping[str, Value]:
    item = analysis.item
    tags = _labels((tag.label for tag in analysis.tags[:TAG_WINDOW]), 1)
    return {
        "number": Ready(_number(item)),
        "title": Text(item.title if clean(item.title) else look.words.untitled),
        "artist": Text(item.artist),
        "duration": Ready(_duration(analysis.duration_s)),
        "mood": Listed(_labels((mood.label for mood in analysis.moods[:TAG_WINDOW]), 1)),
        "tag": Listed(tags, _code),
    }


def _labels(labels: Iterable[str], limit: int = 50) -> list[str]:
    found: dict[str, None] = {}
    for label in labels:
        if len(found) == limit:
            break
        if shown := shorten(label, LABEL_LIMIT):
            found[shown] = None
    return list(found)


def _top_tags(members: Sequence[Analysis], limit: int) -> list[str]:
    if len(members) == 1:
        return _labels((tag.label for tag in members[0].tags), limit)
    scores: dict[str, float] = defaultdict(float)
    tags: Iterable[Tag] = (tag for member in members for tag in member.tags)
    for tag in tags:
        scores[tag.label] += _finite(tag.score)
    return _labels(sorted(scores, key=lambda label: -scores[label]), limit)


def _code(label: str) -> str:
    """In a code span nothing is markup but the backtick itself."""
    return f"`{label.replace('`', chr(39))}`"


def _highlights(
    found: Sequence[tuple[Analysis, Highlight]], counts: Counts, *, is_group: bool = False
) -> Listed:
    """The best few in order of time, a line each: when, and a word on why; as spoilers."""
    shown = [(a, h) for a, h in found if 0 <= h.start_s <= h.end_s < _LONGEST_S]
    places = {id(analysis): place for place, (analysis, _) in enumerate(found)}
    best = sorted(shown, key=lambda pair: -_finite(pair[1].score))[: counts.highlights]
    in_order = sorted(best, key=lambda pair: (places[id(pair[0])], pair[1].start_s))
    lines = [_highlight(h, _number(a.item) if is_group else "") for a, h in in_order]
    return Listed(lines, _spoiler, "\n")


def _highlight(highlight: Highlight, number: str) -> str:
    # Discord sees no escape within its spoiler marks.
    reason = shorten(next(iter(highlight.reasons), ""), LABEL_LIMIT).replace("|", "/")
    span = f"{format_time(highlight.start_s)}-{format_time(highlight.end_s)}"
    return " ".join(part for part in (number and f"{number}.", span, reason) if part)


def _spoiler(line: str) -> str:
    """The times stay as they are: their colons make no link and no emoji."""
    head, _, reason = line.partition("-")
    end, _, reason = reason.partition(" ")
    return f"||{head}-{end} {escape_markdown(reason)}".rstrip() + "||"


def _comfort(warnings: Sequence[ComfortWarning], look: Look) -> Listed:
    """The strongest few in order of time."""
    placed = [w for w in warnings if 0 <= w.start_s <= w.end_s < _LONGEST_S]
    strongest = sorted(placed, key=lambda w: -_finite(w.amount))[: look.layout.counts.comfort]
    lines = [
        f"{getattr(look.words, w.kind.value)} {format_time(w.start_s)}-{format_time(w.end_s)}"
        for w in sorted(strongest, key=lambda w: w.start_s)
    ]
    return Listed(lines, str, "\n")


def _has(warnings: Sequence[ComfortWarning], kind: Discomfort) -> bool:
    return any(warning.kind is kind for warning in warnings)


def _season(item: MediaItem, words: Words) -> str:
    number = item.season_number
    if item.kind is not MediaKind.EPISODE or number is None or not 0 <= number < 10**6:
        return ""
    return count(words.season, number) if number else words.specials


def _episode_number(item: MediaItem) -> str:
    numbers = (("S", item.season_number), ("E", item.episode_number))
    return "".join(f"{letter}{n:02}" for letter, n in numbers if n is not None and 0 <= n < 10**6)


def _number(item: MediaItem) -> str:
    number = item.episode_number
    return str(number) if number is not None and 0 <= number < 10**6 else ""


def _year(item: MediaItem) -> str:
    """Not where the title says it already."""
    if not item.year or not 0 < item.year <= _LAST_YEAR:
        return ""
    return "" if item.title.rstrip().endswith(f"({item.year})") else str(item.year)


def _duration(duration_s: float) -> str:
    if not 0 < duration_s < _LONGEST_S:  # also NaN
        return ""
    return format_time(max(1.0, duration_s))


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
