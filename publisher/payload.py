"""The events, for machines: what was found in an item, or that something went wrong with it.

``content.published.v1`` and ``content.publish.failed.v1``. Pure: the same announcement gives the
same envelope, byte for byte, so that a repeated event is equal to the first. Nothing in it is a
file's path or a key, every text is cleaned and every list and text has a limit. The envelope and
the payloads' top level are those of PMOVES; an item of a media server is no object in S3, so
``artifact_uri`` and ``published_path`` are synthetic.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from publisher.links import artifact_uri, public_url, published_path, shown_id
from publisher.text import clean, first_lines, shorten
from service.domain import (
    Analysis,
    Announcement,
    Colour,
    ComfortWarning,
    Discomfort,
    Failure,
    Highlight,
    ItemMatch,
    Json,
    MediaItem,
    MediaKind,
    Mood,
    SoundAnalysis,
)

TOPIC = "content.published.v1"
FAILED_TOPIC = "content.publish.failed.v1"
SOURCE = "moodreel"
TITLE_LIMIT = 300
TEXT_LIMIT = 4000
REASON_TEXT_LIMIT = 500
"""Of why something failed."""
LABEL_LIMIT = 100
TAG_LIMIT = 50
MOOD_LIMIT = 10
HIGHLIGHT_LIMIT = 30
REASON_LIMIT = 5
CAPTION_LIMIT = 300
COLOUR_LIMIT = 6
COMFORT_LIMIT = 10
"""Warnings of each kind: the strongest."""
UNTITLED = "Untitled"
UNKNOWN = "unknown"

_RGB = re.compile(r"#[0-9a-fA-F]{6}")
_FOLDERS = re.compile(r"(?<![\w/\\.:<])(?:[A-Za-z]:)?[/\\]+(?:[^/\\\s]+(?: [^/\\\s]+){0,5}[/\\]+)+")
"""The folders of an absolute path, whose names may hold a few words each."""
_BEHIND_ADDRESS = re.compile(r"(?<=://)([^\s/?#@]*@)?([^\s/?#]*)[^\s:,;)\]'\"]*")
"""Credentials before an address' host, and all that stands behind it."""
_JELLYFIN_TYPES = {
    MediaKind.MOVIE: "Movie",
    MediaKind.EPISODE: "Episode",
    MediaKind.VIDEO: "Video",
    MediaKind.MUSIC_VIDEO: "MusicVideo",
    MediaKind.SONG: "Audio",
}


def topic_of(announcement: Announcement) -> str:
    """What kind of event an announcement becomes."""
    return FAILED_TOPIC if announcement.failure else TOPIC


def build_envelope(announcement: Announcement) -> Json:
    """Wrap what was found, or what failed, as an event whose id is the announcement's."""
    namespace, item = clean(announcement.namespace), announcement.analysis.item
    failure = announcement.failure
    return {
        "id": announcement.event_id,
        "topic": topic_of(announcement),
        "ts": format_timestamp(announcement.created_at),
        "version": "v1",
        "source": SOURCE,
        "payload": _build_failed_payload(item, failure, namespace)
        if failure
        else _build_payload(announcement.analysis, namespace),
    }


def encode_envelope(envelope: Json) -> bytes:
    """The envelope's one spelling, for transports that carry bytes."""
    return json.dumps(envelope, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def format_timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC with a final Z; a time without a zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _build_failed_payload(item: MediaItem, failure: Failure, namespace: str) -> Json:
    """What went wrong with which item. What kind of item it is nobody may know: it was not read."""
    return _without_empty(
        {
            "stage": shorten(failure.stage, LABEL_LIMIT) or UNKNOWN,
            "reason": shorten(_without_places(failure.reason[:TEXT_LIMIT]), REASON_TEXT_LIMIT)
            or UNKNOWN,
            "retryable": failure.is_retryable,
            "outcome": "partial" if failure.is_partial else "fatal",
            **_name_item(item, namespace),
        }
    )


def _without_places(text: str) -> str:
    """A reason without the folders of files, and without more of addresses than their host.

    Where it cannot be told what is a folder, a few words too many go.
    """
    return _FOLDERS.sub("", _BEHIND_ADDRESS.sub(r"\2", text))


def _name_item(item: MediaItem, namespace: str) -> Json:
    """What both events say of an item, so that they can be put together."""
    is_jellyfin = item.ref.server.startswith("jellyfin")
    # What never got a title is called by its id, and that may be a path.
    title = item.title if item.title != item.ref.item_id else shown_id(item.title)
    return {
        "artifact_uri": artifact_uri(namespace, item.ref),
        "published_path": published_path(namespace, item.ref),
        "title": shorten(title, TITLE_LIMIT) or UNTITLED,
        "jellyfin_item_id": clean(shown_id(item.ref.item_id)) if is_jellyfin else "",
        "namespace": shorten(namespace, LABEL_LIMIT),
    }


def _build_payload(analysis: Analysis, namespace: str) -> Json:
    item = analysis.item
    url = public_url(item.url)
    is_jellyfin = item.ref.server.startswith("jellyfin")
    return _without_empty(
        {
            **_name_item(item, namespace),
            "description": shorten(item.overview, TEXT_LIMIT),
            "tags": _labels((tag.label for tag in analysis.tags), TAG_LIMIT),
            "public_url": url,
            "jellyfin_public_url": url if is_jellyfin else "",
            "duration": _positive(analysis.duration_s or item.duration_s),
            "meta": _build_meta(analysis, is_jellyfin=is_jellyfin),
        }
    )


def _build_meta(analysis: Analysis, *, is_jellyfin: bool) -> Json:
    """Only what there is something to say about: no empty list, no empty text, no null."""
    return _without_empty(
        {
            **_describe_item(analysis.item),
            "jellyfin_item_type": _JELLYFIN_TYPES[analysis.item.kind] if is_jellyfin else "",
            "tags": _labels((tag.label for tag in analysis.tags), TAG_LIMIT),
            "moods": _describe_moods(analysis.moods),
            "highlights": _describe_highlights(analysis.highlights),
            "comfort_warnings": _describe_comfort(analysis.comfort),
            "palette": _describe_palette(analysis.picture.palette if analysis.picture else ()),
            **_describe_sound(analysis.audio),
            **_describe_match(analysis.best_match),
            "scene_count": len(analysis.scenes) or None,
            "pipeline": shorten(analysis.pipeline, LABEL_LIMIT),
            "models": _labels(analysis.models, TAG_LIMIT),
            "missing_models": _labels(analysis.missing_models, TAG_LIMIT),
        }
    )


def _describe_item(item: MediaItem) -> Json:
    return {
        "kind": item.kind.value,
        "year": item.year,
        "genres": _labels(item.genres, TAG_LIMIT),
        "series": shorten(item.series, TITLE_LIMIT),
        "season_number": item.season_number,
        "episode_number": item.episode_number,
        "artist": shorten(item.artist, TITLE_LIMIT),
        "album": shorten(item.album, TITLE_LIMIT),
    }


def _describe_moods(moods: Sequence[Mood]) -> list[Json]:
    named = [mood for mood in moods if clean(mood.label)]
    return [
        _without_empty(
            {
                "label": shorten(mood.label, LABEL_LIMIT),
                "score": _score(mood.score),
                "valence": _score(mood.valence),
                "arousal": _score(mood.arousal),
            }
        )
        for mood in named[:MOOD_LIMIT]
    ]


def _describe_highlights(highlights: Sequence[Highlight]) -> list[Json]:
    placed = [h for h in highlights if all(map(math.isfinite, (h.start_s, h.end_s, h.peak_s)))]
    return [
        _without_empty(
            {
                "start_s": _positive(highlight.start_s),
                "end_s": _positive(highlight.end_s),
                "peak_s": _positive(highlight.peak_s),
                "score": _score(highlight.score),
                "reasons": _labels(highlight.reasons, REASON_LIMIT),
                "caption": shorten(highlight.caption, CAPTION_LIMIT),
            }
        )
        for highlight in placed[:HIGHLIGHT_LIMIT]
    ]


def _describe_comfort(warnings: Sequence[ComfortWarning]) -> list[Json]:
    """The strongest of each kind, in order of time."""
    placed = [w for w in warnings if all(map(math.isfinite, (w.start_s, w.end_s, w.amount)))]
    placed.sort(key=lambda warning: -warning.amount)
    strongest = [
        warning
        for kind in Discomfort
        for warning in [other for other in placed if other.kind is kind][:COMFORT_LIMIT]
    ]
    return [
        {
            "kind": warning.kind.value,
            "start_s": _positive(warning.start_s),
            "end_s": _positive(warning.end_s),
            "amount": _positive(warning.amount),
        }
        for warning in sorted(strongest, key=lambda w: w.start_s)
    ]


def _describe_palette(colours: Sequence[Colour]) -> list[Json]:
    return [
        _without_empty({"rgb": colour.rgb.lower(), "share": _score(colour.share)})
        for colour in colours[:COLOUR_LIMIT]
        if _RGB.fullmatch(colour.rgb)
    ]


def _describe_sound(audio: SoundAnalysis | None) -> Json:
    if audio is None:
        return {}
    return {
        "audio_tags": _labels(audio.tags, TAG_LIMIT),
        "audio_summary": shorten(audio.summary, TEXT_LIMIT),
        "audio_mood": shorten(audio.mood, LABEL_LIMIT),
        "audio_key": shorten(f"{audio.key} {audio.mode}", LABEL_LIMIT) if audio.key else "",
        "audio_tempo_bpm": _positive(audio.tempo_bpm),
        "qwen_confidence": _score(audio.confidence),
    }


def _describe_match(match: ItemMatch | None) -> Json:
    score = _score(match.score) if match else None
    if match is None or score is None:
        return {}
    asset_id = shorten(f"{match.ref.server}/{shown_id(match.ref.item_id)}", TITLE_LIMIT * 2)
    named = {"asset_id": asset_id, "score": score, "title": shorten(match.title, TITLE_LIMIT)}
    return {"clip_best_match": _without_empty(named), "clip_similarity": score}


def _labels(texts: Iterable[str], count: int) -> list[str]:
    return first_lines(texts, count, LABEL_LIMIT)


def _positive(value: float | None) -> float | None:
    """Not below 0, to a thousandth; JSON knows no NaN."""
    return round(max(0.0, float(value)), 3) if value is not None and math.isfinite(value) else None


def _score(value: float | None) -> float | None:
    """Rounded to what means something, within [-1, 1]; JSON knows no NaN."""
    if value is None or not math.isfinite(value):
        return None
    return round(min(1.0, max(-1.0, float(value))), 4) + 0.0  # + 0.0: there is no minus zero


def _without_empty(values: Json) -> Json:
    return {key: value for key, value in values.items() if value not in (None, "", [], {})}
