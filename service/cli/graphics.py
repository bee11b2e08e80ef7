"""Pictures in a terminal, as far as it can show any."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from enum import StrEnum
from itertools import pairwise

import numpy as np
from PIL import Image
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from service.domain import UInt8

COLUMNS, ROWS = 32, 9
"""Of a picture, in letters: 16:9, as a letter is twice as high as wide."""
CELL_PX = 10
"""Wide; letters of a terminal are 8 to 12, and half as wide as high."""
KITTY_PIECE = 4096
"""Of base64 in one command (kitty's graphics protocol)."""
SIXEL_COLOURS = 256
"""As many registers as terminals have at least."""
SIXEL_ROWS = 6
HALF_BLOCK = "▀"


class Graphics(StrEnum):
    """How a terminal takes pictures."""

    KITTY = "kitty"
    ITERM = "iterm"
    SIXEL = "sixel"
    BLOCKS = "blocks"
    """Letters in two colours each."""
    NONE = "none"


def detect(console: Console, environment: Mapping[str, str]) -> Graphics:
    """How pictures can be shown, by what a terminal says of itself; nothing is asked of it.

    Multiplexers pass on none of the protocols unless they are told to.
    """
    if not console.is_terminal or console.color_system is None or console.no_color:
        return Graphics.NONE
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "").casefold()
    if "TMUX" in environment or term.startswith(("screen", "tmux")):
        return Graphics.BLOCKS
    if "KITTY_WINDOW_ID" in environment or "kitty" in term or "ghostty" in (program or term):
        return Graphics.KITTY
    is_iterm = environment.get("LC_TERMINAL") == "iTerm2" or program in {"iterm.app", "wezterm"}
    if is_iterm:
        return Graphics.ITERM
    if "sixel" in term or term.startswith(("foot", "mlterm", "contour")):
        return Graphics.SIXEL
    return Graphics.BLOCKS


def show(console: Console, jpeg: bytes, graphics: Graphics) -> None:
    """Print a picture that we made ourselves, below what stands there, and end the line."""
    if graphics is Graphics.NONE or not jpeg:
        return
    with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as opened:
        picture = opened.convert("RGB")
    if graphics is Graphics.BLOCKS:
        console.print(as_blocks(picture))
        return
    make = {Graphics.KITTY: as_kitty, Graphics.ITERM: as_iterm, Graphics.SIXEL: as_sixel}
    # Past rich, which counts letters and would break them into lines.
    console.file.write(make[graphics](picture) + "\n")
    console.file.flush()


def as_blocks(picture: Image.Image) -> Text:
    """Two pixels to a letter, one above the other."""
    pixels = np.asarray(_fitted(picture, (COLUMNS, 2 * ROWS)))
    text = Text(no_wrap=True, end="")
    for top in range(0, len(pixels) - len(pixels) % 2, 2):
        for upper, lower in zip(pixels[top].tolist(), pixels[top + 1].tolist(), strict=True):
            style = Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower))
            text.append(HALF_BLOCK, style)
        text.append("\n")
    return text


def as_kitty(picture: Image.Image) -> str:
    """A PNG in pieces; the terminal scales it to so many rows, and keeps its shape."""
    data = base64.b64encode(_png(picture)).decode()
    pieces = [data[start : start + KITTY_PIECE] for start in range(0, len(data), KITTY_PIECE)]
    commands = []
    for number, piece in enumerate(pieces):
        more = int(number + 1 < len(pieces))
        what = f"a=T,f=100,q=2,r={ROWS},m={more}" if number == 0 else f"m={more}"
        commands.append(f"\x1b_G{what};{piece}\x1b\\")
    return "".join(commands)


def as_iterm(picture: Image.Image) -> str:
    """One command with the whole file."""
    data = _png(picture)
    arguments = f"inline=1;size={len(data)};height={ROWS};preserveAspectRatio=1"
    return f"\x1b]1337;File={arguments}:{base64.b64encode(data).decode()}\x07"


def as_sixel(picture: Image.Image) -> str:
    """Stripes of six rows, colour after colour (DEC STD 070)."""
    small = _fitted(picture, (COLUMNS * CELL_PX, 2 * ROWS * CELL_PX))
    indexed = small.quantize(SIXEL_COLOURS)
    palette = np.array(indexed.getpalette(), np.int64).reshape(-1, 3) * 100 // 255
    pixels = np.asarray(indexed)
    height, width = pixels.shape
    parts = [f'\x1bPq"1;1;{width};{height}']
    parts += [f"#{index};2;{r};{g};{b}" for index, (r, g, b) in enumerate(palette.tolist())]
    parts += [_stripe(pixels[top : top + SIXEL_ROWS]) for top in range(0, height, SIXEL_ROWS)]
    return "".join(parts) + "\x1b\\"


def _stripe(rows: UInt8) -> str:
    bits = (1 << np.arange(len(rows)))[:, None]
    layers = []
    for colour in np.unique(rows).tolist():
        sixels = ((rows == colour) * bits).sum(axis=0) + ord("?")
        layers.append(f"#{colour}{_shortened(sixels.tolist())}")
    return "$".join(layers) + "-"


def _shortened(sixels: list[int]) -> str:
    """Runs of one sign as their number and the sign."""
    edges = [0, *(i for i in range(1, len(sixels)) if sixels[i] != sixels[i - 1]), len(sixels)]
    return "".join(f"!{end - start}{chr(sixels[start])}" for start, end in pairwise(edges))


def _fitted(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """At most so large, in its own shape."""
    scale = min(size[0] / picture.width, size[1] / picture.height)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _png(picture: Image.Image) -> bytes:
    kept = io.BytesIO()
    picture.save(kept, "PNG")
    return kept.getvalue()
