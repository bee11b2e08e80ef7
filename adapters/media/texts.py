"""Text tracks and lyrics of a medium, taken along while it is read. In the decoding process.

Their packets are read as they are, without FFmpeg's decoders of subtitles: those refuse what is not
UTF-8, and four of the five kinds are text as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition, Stream

from adapters.media.container import Tick, read_packets, stream_time_s
from adapters.media.id3 import TimedLyrics, read_timed_lyrics
from adapters.media.sound import pick_audio
from adapters.media.source import open_source
from adapters.media.wire import Source
from service.domain import TextTrack
from service.subtitles import (
    MAX_LINES,
    choose_tracks,
    clean_text,
    decode_text,
    is_lesser,
    language_of,
    lines_until_next,
    make_lines,
    parse_dialogue,
    parse_lyrics,
    preference,
)

TEXT_CODECS = frozenset({"subrip", "srt", "text", "webvtt", "ass", "ssa", "mov_text"})
"""What Matroska, MP4 and WebM hold as text. PGS, VobSub and DVB are pictures."""
DIALOGUE_FIELDS = 9
"""Of SubStation within a container: ReadOrder stands for the two times (Matroska's codec
mappings)."""
MOST_STREAMS = 16
"""Text streams that are taken along; releases for many countries have up to forty."""
MOST_BYTES = 16 << 20
"""Of all of them together: a hundred times the text of a film."""
MOST_OF_A_LINE = 8_000
"""Bytes: as many characters as are looked at, in UTF-8 of the longest."""
LAST_LINE_S = 5.0
"""How long a line lasts of which the container says only when it begins."""
FAR_BYTES = 8 << 20
"""Between a text and the sound of its time, in what comes over a network: what was not interleaved
is jumped to and back for each line (measured: 85 requests for 31 lines instead of 6). What was lies
within a second, of which a disc has 5 MB."""
LYRICS_CHARS = 200_000
"""Of a tag; a long song has 5,000."""
_LYRICS = re.compile(
    r"^(?:un)?(?:sync\w*)?[ _]?lyrics(?:[-:](?P<language>[a-z]{2,3}))?\b", re.IGNORECASE
)
"""FFmpeg's names for USLT (``lyrics-eng``), Vorbis' ``LYRICS`` and ``UNSYNCEDLYRICS``, MP4's."""
_STAMP = re.compile(r"^\s*\[\d{1,3}:\d{1,2}", re.MULTILINE)


@dataclass(slots=True)
class Cues:
    """What was taken of one stream."""

    track: TextTrack
    codec: str
    rows: list[tuple[float, float, str]] = field(default_factory=list)


class TextTap:
    """Takes the packets of text streams out of a reading of a medium.

    Args:
        source: What is read.
        languages: Wanted besides that of the sound, the best first; any where none is named.
    """

    def __init__(self, source: Source, languages: Sequence[str] = ()) -> None:
        self.is_attached = False
        self._source = source
        self._languages = tuple(languages)
        self._spoken = ""
        self._cues: dict[int, Cues] = {}
        self._lyrics: list[tuple[str, str]] = []
        self._timed_lyrics: list[TimedLyrics] = []
        self._bytes_left = MOST_BYTES

    def attach(self, container: InputContainer) -> list[Stream]:
        """Choose the streams to be read along, and read the tags."""
        self.is_attached = True
        sound = pick_audio(container)
        self._spoken = (sound.language or "") if sound is not None else ""
        streams = [s for s in container.streams.subtitles if _codec(s) in TEXT_CODECS]
        if self._source.url and sound is not None:
            streams = [stream for stream in streams if not _is_far(stream, sound)]
        better = preference(spoken=self._spoken, wanted=self._languages)
        described = sorted(((s, _describe(s)) for s in streams), key=lambda each: better(each[1]))
        chosen = described[:MOST_STREAMS]
        self._cues = {s.index: Cues(track, _codec(s)) for s, track in chosen}
        tags = (container.metadata, *(stream.metadata for stream in container.streams.audio))
        self._lyrics = [*dict.fromkeys(chain.from_iterable(map(_lyrics_of, tags)))]
        if container.format.name == "mp3" and self._source.path:
            self._timed_lyrics = [*read_timed_lyrics(Path(self._source.path))]
        return [stream for stream, _ in chosen]

    def take(self, container: InputContainer, packet: Packet[Stream]) -> bool:
        """Keep what a packet says; whether it is of a text stream at all."""
        cues = self._cues.get(packet.stream.index)
        if cues is None:
            return False
        if packet.pts is not None and len(cues.rows) < MAX_LINES and self._bytes_left > 0:
            data = bytes(packet)[:MOST_OF_A_LINE]
            self._bytes_left -= len(data)
            start_s = max(0.0, stream_time_s(container, packet.stream, packet.pts))
            length_s = float((packet.duration or 0) * (packet.time_base or 0))
            language = language_of(cues.track.language)
            if words := clean_text(_text_of(data, cues.codec, language)):
                cues.rows.append((start_s, start_s + length_s, words))
        return True

    def found(self, duration_s: float) -> Sequence[TextTrack]:
        """The tracks, the best of each language.

        Args:
            duration_s: Of the medium: for so long lyrics without times count.
        """
        tracks = [
            replace(cues.track, lines=tuple(make_lines(_timed(cues.rows))))
            for cues in self._cues.values()
        ]
        for language, starts in self._timed_lyrics:
            tracks.append(TextTrack(lines=tuple(lines_until_next(starts)), language=language))
        for language, text in sorted(self._lyrics, key=lambda each: not _STAMP.search(each[1])):
            if _STAMP.search(text):
                lines = parse_lyrics(text)
            else:
                lines = make_lines((0.0, duration_s, row) for row in text.splitlines())
            tracks.append(TextTrack(lines=tuple(lines), language=language))
        return choose_tracks(tracks, spoken=self._spoken, wanted=self._languages)


def read_texts(source: Source, tap: TextTap, tick: Tick) -> None:
    """Read a medium for its text alone: what breaks off ends it, and what was found stays."""
    with open_source(source) as container:
        chosen = tap.attach(container)
        if not chosen:
            return
        discard_others(container, chosen)
        for packet in read_packets(container, tick, *chosen):
            tap.take(container, packet)


def discard_others(container: InputContainer, chosen: Sequence[Stream]) -> None:
    """Have the demuxer leave out, and jump over where it can, what nobody wants."""
    wanted = {stream.index for stream in chosen}
    for stream in container.streams:
        if stream.index not in wanted:
            stream.discard = Discard.all


def _is_far(stream: Stream, sound: Stream) -> bool:
    """Whether a text lies elsewhere in the medium than the sound of its time.

    By the middle one of its index (MP4 has one of each stream, Matroska none of texts).
    """
    texts, sounds = stream.index_entries, sound.index_entries
    if not len(texts) or not len(sounds) or not stream.time_base or not sound.time_base:
        return False
    middle = texts[len(texts) // 2]
    place = sounds.search_timestamp(round(middle.timestamp * stream.time_base / sound.time_base))
    return place >= 0 and abs(sounds[place].pos - middle.pos) > FAR_BYTES


def _codec(stream: Stream) -> str:
    context = stream.codec_context
    return context.codec.canonical_name if context is not None else ""


def _describe(stream: Stream) -> TextTrack:
    shown, title = stream.disposition, stream.metadata.get("title", "")[:200]
    lesser = Disposition.hearing_impaired | Disposition.comment | Disposition.descriptions
    return TextTrack(
        lines=(),
        language=(stream.language or "")[:16],
        is_default=bool(shown & Disposition.default),
        is_forced=bool(shown & Disposition.forced) or "forced" in title.lower(),
        is_lesser=bool(shown & lesser) or is_lesser(title),
    )


def _text_of(data: bytes, codec: str, language: str) -> str:
    if codec == "mov_text":  # its length, the text, boxes of its looks (3GPP TS 26.245)
        data = data[2 : 2 + int.from_bytes(data[:2], "big")]
    text = decode_text(data, language)
    is_dialogue = codec in {"ass", "ssa"}
    return parse_dialogue(text, count=DIALOGUE_FIELDS) if is_dialogue else text


def _timed(rows: Sequence[tuple[float, float, str]]) -> Iterator[tuple[float, float, str]]:
    """Lines without an end last until the next one begins, or for a few seconds."""
    ordered = sorted(rows)
    for place, (start_s, end_s, words) in enumerate(ordered):
        if end_s > start_s:
            yield start_s, end_s, words
            continue
        following = (row[0] for row in ordered[place + 1 : place + 2])
        yield start_s, min(start_s + LAST_LINE_S, next(following, start_s + LAST_LINE_S)), words


def _lyrics_of(tags: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, text in tags.items():
        if (match := _LYRICS.match(name)) is not None and text.strip():
            yield match["language"] or "", text[:LYRICS_CHARS]
