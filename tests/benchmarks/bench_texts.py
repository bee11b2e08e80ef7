"""What text tracks within a film cost, beside the reading that is done anyway."""

from __future__ import annotations

import asyncio
import io
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from adapters.media.reader import ProcessMedia, ProcessReader
from adapters.media.settings import ReaderSettings
from service.domain import LocalFile

FILM = Path(__file__).resolve().parents[3] / "shared/media/video/bigbuckbunny.mp4"
ROUNDS_OF_FILM = 113
"""Ten minutes."""
LINE_EVERY_S = 4.8
"""1,500 lines of a film of two hours."""
LANGUAGES = ("eng", "ger", "fre", "spa")
ROUNDS = 3

Row = dict[str, Any]


def run() -> list[Row]:
    """Ten minutes of a real film, with four languages and without."""
    if not FILM.is_file():
        return []
    with tempfile.TemporaryDirectory() as directory:
        plain = lengthen(Path(directory) / "plain.mkv", ())
        titled = lengthen(Path(directory) / "titled.mkv", LANGUAGES)
        return asyncio.run(measure(plain, titled))


async def measure(plain: Path, titled: Path) -> list[Row]:
    """The best of some rounds, the two films in turn."""
    times: dict[str, list[float]] = {}
    found = 0
    for _ in range(ROUNDS):
        for name, path in (("plain", plain), ("titled", titled)):
            async with ProcessReader(ReaderSettings()).open_process(LocalFile(path=path)) as medium:
                if name == "titled":
                    times.setdefault("alone", []).append((await timed_texts(medium))[0])
                times.setdefault(f"heard {name}", []).append(await hear(medium))
                took_s, found = await timed_texts(medium)
                times.setdefault(f"after {name}", []).append(took_s)
                times.setdefault(f"seen {name}", []).append(await see(medium))
    best = {name: min(each) for name, each in times.items()}
    read_s = best["heard plain"] + best["seen plain"]
    return [
        {"name": "lines found in four languages", "value": found, "unit": "lines"},
        row("hear ten minutes with texts", best["heard titled"], "without", best["heard plain"]),
        row("then hand over the lines", best["after titled"], "hearing it", best["heard titled"]),
        row("read the texts alone", best["alone"], "hearing and keyframes", read_s),
    ]


async def hear(medium: ProcessMedia) -> float:
    begun = time.perf_counter()
    async for _ in medium.read_audio(sample_rate_hz=16_000, window_s=10, hop_s=10):
        pass
    return time.perf_counter() - begun


async def see(medium: ProcessMedia) -> float:
    begun = time.perf_counter()
    async for _ in medium.read_keyframes():
        pass
    return time.perf_counter() - begun


async def timed_texts(medium: ProcessMedia) -> tuple[float, int]:
    begun = time.perf_counter()
    tracks = await medium.read_texts()
    return time.perf_counter() - begun, sum(len(track.lines) for track in tracks)


def lengthen(path: Path, languages: tuple[str, ...]) -> Path:
    """The film again and again, as it is encoded, with a line every few seconds."""
    with av.open(str(FILM)) as film:
        packets = [packet for packet in film.demux() if packet.dts is not None]
        length_s = float((film.duration or 0) / av.time_base)
        with av.open(str(path), "w") as output:
            copies = {s.index: output.add_stream_from_template(s) for s in film.streams}
            texts = [*text_packets(output, languages, length_s * ROUNDS_OF_FILM)]
            due = iter(sorted(texts, key=lambda packet: packet.pts or 0))
            text = next(due, None)
            for turn in range(ROUNDS_OF_FILM):
                for packet in packets:
                    copy = again(packet, turn * length_s, copies[packet.stream.index])
                    while text is not None and time_s(text) <= time_s(copy):
                        output.mux(text)
                        text = next(due, None)
                    output.mux(copy)
    return path


def text_packets(
    output: OutputContainer, languages: tuple[str, ...], length_s: float
) -> Iterator[Packet[Stream]]:
    for language in languages:
        count = int(length_s / LINE_EVERY_S)
        script = "".join(
            f"{number}\n{clock(number * LINE_EVERY_S)} --> {clock(number * LINE_EVERY_S + 2)}\n"
            f"In {language} somebody says a line, the {number}th of them.\n\n"
            for number in range(count)
        )
        source = av.open(io.BytesIO(script.encode()), "r", format="srt")
        stream = output.add_stream_from_template(source.streams[0])
        stream.metadata["language"] = language
        for packet in source.demux():
            if packet.pts is not None:
                packet.stream = stream
                yield packet


def again(packet: Packet[Stream], by_s: float, stream: Stream) -> Packet[Stream]:
    copy: Packet[Stream] = Packet(bytes(packet))
    ticks = round(by_s / packet.time_base)
    copy.time_base, copy.is_keyframe = packet.time_base, packet.is_keyframe
    copy.dts = None if packet.dts is None else packet.dts + ticks
    copy.pts = None if packet.pts is None else packet.pts + ticks
    copy.duration = packet.duration
    copy.stream = stream
    return copy


def time_s(packet: Packet[Stream]) -> float:
    return float((packet.dts or 0) * packet.time_base)


def clock(at_s: float) -> str:
    milliseconds = round(at_s * 1000)
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02},{rest:03}"


def row(name: str, value_s: float, baseline: str, baseline_s: float) -> Row:
    return {
        "name": name,
        "value": value_s,
        "unit": "s",
        "baseline": baseline,
        "ratio": value_s / baseline_s,
    }
