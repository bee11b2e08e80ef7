"""What the documentation has a program ask: that it is answered, and as it is shown."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from PIL import Image

from service.domain import ItemRef
from tests.support.api import KEY, ServedApi, status_of
from tests.support.api_requests import DOCUMENT

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {"api": DOCS / "reference" / "api.md", "search": DOCS / "howto" / "search.md"}
DOCUMENTED = ItemRef(server="jellyfin", item_id="1af3ad54ae6d892360df4b2738d65893")
ADDRESS = "http://127.0.0.1:8686/"
STRICT = 'curl() { command curl --fail --silent --show-error --max-time 20 --noproxy "*" "$@"; }\n'


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGES[page].read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize("page", PAGES)
async def test_what_a_page_has_curl_ask_is_answered(tmp_path, page):
    Image.new("RGB", (32, 32), (0, 0, 200)).save(tmp_path / "beach.jpg")
    (script,) = [text for text in blocks(page, "sh") if "curl" in text]
    served = ServedApi(tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    served.store.known[DOCUMENTED] = status_of(DOCUMENTED)
    served.index.films.append(DOCUMENTED)

    async with served.serving() as api:
        assert ADDRESS in script
        running = await asyncio.create_subprocess_exec(
            "sh",
            "-euc",
            STRICT + script.replace(ADDRESS, f"http://127.0.0.1:{api.port}/"),
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "MOODREEL_API_KEY": KEY},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        told, failed = await running.communicate()

    assert (running.returncode, failed) == (0, b"")
    assert b'"hits":' in told
    pictures = [example for query in served.finder.asked for example in query.examples]
    assert (tmp_path / "beach.jpg").read_bytes() in [example.picture for example in pictures]
    if page == "api":
        with Image.open(tmp_path / "scene.jpg") as scene:
            assert scene.width == 320
        assert "items" in json.loads((tmp_path / "items.json").read_text())
        assert told.count(b'"items":') == 1  # the second time nothing had changed


def test_the_answer_that_is_shown_has_the_shape_of_one():
    (shown,) = blocks("api", "json")
    schema = {"$ref": "#/components/schemas/SearchResults", "components": DOCUMENT["components"]}
    answer = json.loads(shown)
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(answer)

    known = DOCUMENT["components"]["schemas"]
    assert set(answer) == set(known["SearchResults"]["properties"])
    assert set(answer["hits"][0]) == set(known["Hit"]["properties"])
