"""Pictures of strangers: what they are, and what they would be."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from adapters.media.sheets import Layout, cut_sheet
from publisher.pictures import shrink_poster
from service.errors import UnreadableMediaError
from service.scans import SCANS_LIMIT
from service.search.examples import PICTURE_BYTES_LIMIT, decode_picture
from service.web import encode_pictures
from service.web.pictures import open_poster


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    kept = io.BytesIO()
    picture.save(kept, kind, **options)
    return kept.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes) -> bytes:
    """One that says how large it is, and has nothing of it: to decode it is another error."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", head), *more, chunk(b"IDAT", b"nothing"), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_a_picture_lies_as_its_camera_says():
    turned = Image.Exif()
    turned[0x0112] = 6
    left_half_red = Image.new("RGB", (64, 32))
    left_half_red.paste((255, 0, 0), (0, 0, 32, 32))

    seen = decode_picture(encoded(left_half_red, "JPEG", exif=turned, quality=95))

    assert seen.shape == (64, 32, 3)
    assert seen[8, 16, 0] > 200
    assert seen[56, 16, 0] < 50


def test_a_picture_for_print_has_the_colours_that_are_seen():
    printed = encoded(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG", quality=95)
    red, green, blue = decode_picture(printed).mean(axis=(0, 1))
    assert (red > 200, green < 60, blue < 60) == (True, True, True)


def test_greys_of_sixteen_bits_are_greys():
    steps = np.repeat(np.array([0, 0x4000, 0x8000, 0xFF00], np.uint16), 16 * 64).reshape(64, 64)
    seen = decode_picture(encoded(Image.fromarray(steps), "PNG"))
    assert [int(seen[row, 0, 0]) for row in (8, 24, 40, 56)] == [0, 0x40, 0x80, 0xFF]


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_its_first_picture_is_seen(kind):
    more = [Image.new("RGB", (32, 32), (0, 0, 250 - shade)) for shade in range(30)]
    moving = encoded(
        Image.new("RGB", (32, 32), (250, 0, 0)), kind, save_all=True, append_images=more
    )
    assert decode_picture(moving)[..., 0].min() > 200


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (png(10_000, 10_000), "pixel"),
        (png(6_000, 4_200), "pixels; at most 25000000"),
        (bytes(PICTURE_BYTES_LIMIT + 1), "bytes; at most"),
        (encoded(Image.effect_noise((256, 256), 50), "JPEG")[:4_000], "cannot be decoded"),
        (encoded(Image.new("RGB", (8, 8)), "GIF"), "none of JPEG, PNG, WEBP"),
        (b"#EXTM3U\nfile:///etc/passwd", "none of JPEG, PNG, WEBP"),
        (b"", "none of JPEG, PNG, WEBP"),
        (png(8, 8, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(20_000_000), 9))), "too large"),
        (png(8, 8), "cannot be decoded"),
    ],
    ids=[
        "100 megapixels",
        "25.2",
        "bytes",
        "half",
        "gif",
        "playlist",
        "nothing",
        "long text",
        "broken",
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_is_no_picture_or_a_bomb_is_refused_before_it_is_decoded(data, told):
    with pytest.raises(UnreadableMediaError, match=told) as refused:
        decode_picture(data)
    assert "object at" not in str(refused.value)


def read_sheet(data: bytes) -> None:
    list(cut_sheet(data, Layout(columns=1, rows=1, aspect=1.0), count=1, short_side_px=64))


def read_poster(data: bytes) -> None:
    """What is left out of a card raises nothing."""
    if not shrink_poster(data):
        raise UnreadableMediaError("of too many scans")


@pytest.mark.parametrize(
    "read",
    [decode_picture, encode_pictures.decode_picture, open_poster, read_sheet, read_poster],
)
def test_a_jpeg_that_is_drawn_over_and_over_is_not_decoded(read):
    """Of 25 million pixels, 10 MB of such scans cost a processor three quarters of an hour."""
    kept = io.BytesIO()
    Image.new("L", (64, 64), 90).save(kept, "JPEG", progressive=True)
    whole = kept.getvalue()
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    read(whole[:-2] + scan * 10 + whole[-2:])
    with pytest.raises((UnreadableMediaError, encode_pictures.PictureError), match="scans"):
        read(whole[:-2] + scan * (SCANS_LIMIT + 1) + whole[-2:])
