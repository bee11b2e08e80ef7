"""What ``moodreel analyze`` shows, to people and to scripts."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace

from rich.console import Console

from service.cli.render import analysis_json, print_analysis
from service.domain import (
    ComfortWarning,
    Discomfort,
    EncodingNote,
    Highlight,
    MoodPoint,
    Scene,
    SoundAnalysis,
)
from tests.support.stores import make_analysis, make_full_analysis, make_item, without_vectors


def shown(analysis, *, width=80, **options):
    console = Console(width=width, record=True, file=io.StringIO(), **options)
    print_analysis(console, analysis)
    return console.export_text(styles="force_terminal" in options)


def test_a_person_sees_what_was_found_on_one_screen():
    text = shown(make_full_analysis())
    for line in (
        "Ein Fest für Augen und Ohren",
        "1:01-1:04  flashing  10 times a second",
        "1:30-1:31  suddenly loud  by 21 LU",
        "joyful 0.70, calm 0.30",
        "0:10-0:20  0.90  a goal, applause",
        "Two people embrace.",
        "0:20  Waves roll onto a beach.",
        "3 in 2 shots, 3 with vectors (36 frames on cpu, 12 ms each)",
        "3 with errors: one frame: no answer within 2 s",
        "█  #10a0ff #e0d0b0",
        "-24 LUFS, 120 bpm, F# minor, sea, speech",
        "Waves, and people who laugh.",
    ):
        assert line in text, line
    assert len(text.splitlines()) < 30


def test_a_palette_is_drawn_in_its_own_colours():
    text = shown(make_full_analysis(), force_terminal=True, color_system="truecolor")
    assert "\x1b[38;2;16;160;255m" + "█" * 16 in text
    assert "\x1b[38;2;224;208;176m" + "█" * 8 in text


def test_texts_of_strangers_are_neither_markup_nor_commands_to_the_terminal():
    wild = "[bold red]x[/] [/nothing] \x1b[2J\x9b2J\u202e\r\n\\"
    analysis = make_analysis(
        make_item(title=wild),
        scenes=(Scene(start_s=0, end_s=1, keyframe_s=0.5, quality=1, caption=wild),),
        highlights=(
            Highlight(start_s=0, end_s=1, peak_s=0.5, score=1, reasons=(wild,), caption=wild),
        ),
        audio=SoundAnalysis(loudness_dbfs=-20, dynamic_range_db=9, tags=(wild,), summary=wild),
        models=(wild,),
        missing_models=(wild,),
        warnings=(wild,),
    )
    text = shown(analysis, width=200)
    assert text.count("[bold red]x[/] [/nothing] [2J 2J \\") == 9
    assert not set("\x1b\x9b\u202e\r") & set(text)


def test_silence_is_called_so():
    silence = SoundAnalysis(loudness_dbfs=-100, dynamic_range_db=0, silence_ratio=1.0)
    text = shown(make_analysis(audio=silence))
    assert "silence" in text
    assert "dBFS" not in text


def test_a_mood_curve_of_any_length_stays_on_one_line():
    curve = tuple(MoodPoint(time_s=float(t), valence=0.0, arousal=1.0) for t in range(119))
    blocks = [line for line in shown(make_analysis(mood_curve=curve)).splitlines() if "█" in line]
    assert len(blocks) == 1


def test_long_texts_and_many_findings_stay_short():
    scene = Scene(start_s=0, end_s=1, keyframe_s=0.5, quality=1, caption="long " * 900)
    warning = ComfortWarning(kind=Discomfort.FLASHING, start_s=0, end_s=1, amount=5)
    text = shown(make_analysis(scenes=(scene,) * 400, comfort=(warning,) * 100))
    assert "and 395 more scenes" in text
    assert "and 94 more" in text
    assert len(text.splitlines()) < 45


def test_how_many_scenes_have_vectors_is_known_of_a_stored_analysis_too():
    analysis = make_full_analysis()
    lost = EncodingNote(model="m", dimension=8, device="cpu", error="not within 2 s")
    scenes = (*analysis.scenes[:2], replace(analysis.scenes[2], embedding=None, encoding=lost))
    analysis = replace(analysis, scenes=scenes)
    for known in (analysis, without_vectors(analysis)):
        assert "3 in 2 shots, 2 with vectors" in shown(known)


def test_what_was_not_found_is_not_shown():
    text = shown(make_analysis())
    for name in ("comfort", "captions", "colours", "sound", "highlights", "vectors"):
        assert name not in text


def test_scripts_get_every_finding_but_the_vectors():
    found = analysis_json(make_full_analysis(scene_count=1, dimension=512))
    line = json.dumps(found, allow_nan=False)
    assert len(line) < 10_000
    [scene] = found["scenes"]
    assert scene["frames"][0] == {"time_s": 5.0, "quality": 0.5}
    assert scene["caption"] == "Waves roll onto a beach."
    assert scene["encoding"]["inference_ms"] == 140.5
    assert (scene["has_embedding"], scene["has_sound_embedding"]) == (True, True)
    assert found["picture"]["palette"][0] == {"rgb": "#10a0ff", "share": 0.5}
    assert found["comfort"][0] == {
        "kind": "flashing", "start_s": 61.0, "end_s": 63.5, "amount": 9.5
    }  # fmt: skip
    assert (found["audio"]["key"], found["audio"]["loudness_lufs"]) == ("F#", -24.1)
    assert found["highlights"][0]["caption"] == "Two people embrace."
    assert found["sound_embedding_model"] == "clap"


def test_numbers_that_json_does_not_know_are_null():
    silence = SoundAnalysis(loudness_dbfs=-math.inf, dynamic_range_db=0.0)
    found = analysis_json(make_analysis(audio=silence))
    json.dumps(found, allow_nan=False)
    assert found["audio"]["loudness_dbfs"] is None
