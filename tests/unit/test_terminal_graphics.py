"""Pictures in a terminal: which way it takes them, and what is sent."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from rich.style import Style

from service.cli.graphics import (
    COLUMNS,
    KITTY_PIECE,
    ROWS,
    Graphics,
    as_blocks,
    as_iterm,
    as_kitty,
    as_sixel,
    detect,
    show,
)


def terminal(**options) -> Console:
    chosen: dict[str, Any] = {"force_terminal": True, "color_system": "truecolor"} | options
    return Console(file=io.StringIO(), width=80, **chosen)


def printed_by(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TERM": "xterm-kitty"}, Graphics.KITTY),
        ({"TERM": "xterm-ghostty"}, Graphics.KITTY),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, Graphics.ITERM),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, Graphics.ITERM),
        ({"TERM": "foot"}, Graphics.SIXEL),
        ({"TERM": "xterm-256color"}, Graphics.BLOCKS),
        ({"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1"}, Graphics.BLOCKS),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux"}, Graphics.BLOCKS),
    ],
)
def test_a_terminal_says_by_its_name_what_it_can_show(environment, expected):
    assert detect(terminal(), environment) is expected


def test_nothing_is_shown_in_a_pipe_or_without_colours():
    environment = {"TERM": "xterm-kitty"}
    assert detect(terminal(force_terminal=False), environment) is Graphics.NONE
    assert detect(terminal(color_system=None), environment) is Graphics.NONE
    assert detect(terminal(no_color=True), environment) is Graphics.NONE
    assert detect(terminal(), environment) is Graphics.KITTY


def noise(width: int = 320, height: int = 180) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def decoded(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


def test_kitty_is_given_the_picture_in_pieces_of_which_the_last_is_marked():
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", as_kitty(noise()))
    assert len(pieces) > 1
    assert all(len(data) <= KITTY_PIECE for _, data in pieces)
    assert [control[-3:] for control, _ in pieces] == ["m=1"] * (len(pieces) - 1) + ["m=0"]
    assert decoded("".join(data for _, data in pieces)).size == (320, 180)


def test_iterm_is_given_the_picture_as_a_file():
    found = re.fullmatch(r"\x1b\]1337;File=inline=1;size=(\d+);[^:]*:(.*)\x07", as_iterm(noise()))
    assert found is not None
    assert len(base64.b64decode(found[2])) == int(found[1])
    assert decoded(found[2]).size == (320, 180)


def test_sixels_draw_every_pixel_once():
    drawn = as_sixel(Image.new("RGB", (40, 40), (255, 0, 0)))
    header = re.match(r'\x1bPq"1;1;(\d+);(\d+)', drawn)
    assert header is not None
    width, height = int(header[1]), int(header[2])
    assert "#0;2;100;0;0" in drawn
    stripes = re.findall(r"#0!(\d+)(.)-", drawn)
    assert len(stripes) == -(-height // 6)
    assert {int(count) for count, _ in stripes} == {width}
    assert sum((ord(sign) - ord("?")).bit_count() for _, sign in stripes) == height


def test_letters_show_two_pixels_each():
    picture = Image.new("RGB", (160, 90), (255, 0, 0))
    picture.paste((0, 0, 255), (0, 45, 160, 90))
    text = as_blocks(picture)
    rows = text.plain.splitlines()
    assert {len(row) for row in rows} == {COLUMNS}
    assert len(rows) == ROWS
    first, last = (Style.parse(str(text.spans[at].style)) for at in (0, -1))
    assert first.color is not None
    assert last.bgcolor is not None
    assert first.color.triplet == (255, 0, 0)
    assert last.bgcolor.triplet == (0, 0, 255)


def test_a_picture_is_printed_as_the_terminal_takes_it_and_none_where_it_cannot():
    kept = io.BytesIO()
    noise().save(kept, "JPEG")
    for graphics, sign in (
        (Graphics.KITTY, "\x1b_G"),
        (Graphics.ITERM, "\x1b]1337"),
        (Graphics.SIXEL, "\x1bPq"),
        (Graphics.BLOCKS, "▀"),
    ):
        console = terminal()
        show(console, kept.getvalue(), graphics)
        assert sign in printed_by(console)
    console = terminal()
    show(console, kept.getvalue(), Graphics.NONE)
    show(console, b"", Graphics.KITTY)
    assert printed_by(console) == ""
