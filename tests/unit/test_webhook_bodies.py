"""The one reader for webhook bodies: JSON wherever it is wrapped, and nothing beyond it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.media_servers.bodies import (
    MAX_FIELDS,
    MAX_TITLE_LENGTH,
    peek_object,
    read_object,
    read_title,
)
from service.errors import BadPayloadError
from tests.support.webhooks import BOUNDARY, THUMB, as_parts

BODY = b'{"event": "library.new"}'
OBJECT = {"event": "library.new"}
FORM = "application/x-www-form-urlencoded"


def read(body, content_type=""):
    return read_object(body, content_type, "Plex")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (BODY, "application/json"),
        (BODY, "text/plain; charset=utf-8"),
        (BODY, FORM),
        (b"\xef\xbb\xbf" + BODY, "text/plain"),
        (b" \r\n" + BODY + b"\r\n", ""),
        (b"data=%7B%22event%22%3A+%22library.new%22%7D", FORM),
        (b"payload=%7B%22event%22%3A+%22library.new%22%7D", FORM),
        (b"a=1&data=%EF%BB%BF%7B%22event%22%3A+%22library.new%22%7D&b=", "text/plain"),
        as_parts(BODY),
        as_parts(BODY, thumb=THUMB),
        as_parts(BODY, field="data"),
        as_parts(b"\xef\xbb\xbf" + BODY),
        (as_parts(BODY)[0], "multipart/form-data"),
        (as_parts(BODY)[0], f'multipart/form-data; boundary="{BOUNDARY}"'),
        (as_parts(BODY)[0].replace(b'"payload"', b"payload"), f"a; boundary={BOUNDARY}"),
        (b"\r\n" + as_parts(BODY)[0], ""),
    ],
    ids=range(16),
)
def test_the_object_is_found_wherever_it_is_wrapped(body, content_type):
    assert read(body, content_type) == OBJECT


@given(st.dictionaries(st.text(), st.text() | st.integers()), st.binary(max_size=64))
def test_what_is_wrapped_in_parts_comes_out_the_same(payload, thumb):
    body, content_type = as_parts(json.dumps(payload).encode(), thumb=thumb)

    assert read(body, content_type) == payload


def test_a_picture_that_comes_first_hides_nothing():
    with_thumb, content_type = as_parts(BODY, thumb=THUMB)
    line = f"--{BOUNDARY}\r\n".encode()
    _, payload, thumb = with_thumb.split(line)
    thumb = thumb.removesuffix(f"--{BOUNDARY}--\r\n".encode())

    assert read(line + thumb + line + payload + f"--{BOUNDARY}--".encode(), content_type) == OBJECT


def test_lines_inside_of_texts_may_be_broken():
    assert read(b'{"Overview": "First.\r\nSecond\tline."}') == {
        "Overview": "First.\r\nSecond\tline."
    }


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", ""),
        (b"{", ""),
        (b"[]", "application/json"),
        (b"\xff\xfe{}", ""),
        (b"data=", FORM),
        (b"x=1", FORM),
        (b"data=%FF", FORM),
        (b"data=\xff", FORM),
        (b"--", ""),
        (b"--\r\n--\r\n", ""),
        (as_parts(BODY, field="thumb")),
        (as_parts(BODY)[0], "multipart/form-data; boundary=other"),
        (b"[" * 100_000, ""),
        (b'{"a":' * 100_000, ""),
        (b"9" * 10_000, ""),
        (b"&".join([b"a=1"] * 10_000) + b"&data={}", FORM),
    ],
    ids=range(16),
)
def test_what_holds_no_object_is_a_bad_payload_and_no_secret(body, content_type):
    with pytest.raises(BadPayloadError, match="Plex"):
        read(body, content_type)
    assert peek_object(body, content_type) == {}


def test_a_form_of_many_parts_is_not_searched_through():
    parts = b"".join(as_parts(b"1", field=f"f{n}")[0][: -len(BOUNDARY) - 6] for n in range(999))
    body = parts + as_parts(BODY)[0]

    with pytest.raises(BadPayloadError):
        read(body, f"multipart/form-data; boundary={BOUNDARY}")
    assert MAX_FIELDS < 999


@pytest.mark.parametrize(
    ("value", "title"),
    [
        ("Harbour", "Harbour"),
        (" a\r\n\tb ", "a b"),
        ("Harbour\0\ud800", "Harbour?"),
        ("x" * 10_000, "x" * MAX_TITLE_LENGTH),
        (None, ""),
        (["a"], ""),
    ],
    ids=range(6),
)
def test_a_title_is_one_short_line_that_any_log_and_database_takes(value, title):
    assert read_title(value) == title
