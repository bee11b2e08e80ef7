"""The documentation as a site: built strictly, whole, and asking no other server for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
FETCHED = {
    ("link", "href"),
    ("script", "src"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
}
"""What a browser asks for by itself."""
NOT_FETCHED = {"canonical", "next", "prev"}
"""Relations of links that it does not follow."""


class Page(HTMLParser):
    """What a page links to, and where it may be linked to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = {""}
        self.scripts_and_styles: list[str] = []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        self._inside = tag
        self.anchors |= {known[name] for name in ("id", "name") if name in known}
        for name in ("href", "src"):
            if name in known:
                self.links.append(known[name])
                if (tag, name) in FETCHED and known.get("rel") not in NOT_FETCHED:
                    self.fetched.append(known[name])

    def handle_data(self, data: str) -> None:
        if self._inside in {"script", "style"}:
            self.scripts_and_styles.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", directory],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    # Not quietly: what is not logged is not counted, and so not strict.
    assert built.returncode == 0, built.stdout + built.stderr
    return directory


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text()) for path in site.rglob("*.html")}


def test_every_page_is_there_and_found_from_the_first(site, pages):
    written = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    assert {path.with_suffix(".html") for path in written} <= {
        path.relative_to(site) for path in pages
    }
    navigation = {link for link in pages[site / "index.html"].links if link.endswith(".html")}
    assert {str(path.with_suffix(".html")) for path in written} <= navigation


def test_every_link_leads_to_a_page_a_heading_or_a_file(site, pages):
    broken = [
        f"{path.relative_to(site)}: {link}"
        for path, page in pages.items()
        for link in page.links
        if not _leads_somewhere(link, path, site, pages)
    ]
    assert broken == []


def _leads_somewhere(link: str, path: Path, site: Path, pages: dict[Path, Page]) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc or path.name == "404.html":
        return True
    goal = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    goal = goal / "index.html" if goal.is_dir() else goal
    is_inside = goal.is_relative_to(site.resolve())
    anchor = unquote(parts.fragment)
    return is_inside and goal.is_file() and (goal not in pages or anchor in pages[goal].anchors)


def test_links_to_other_sites_are_whole_and_secure(pages):
    for page in pages.values():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                assert parts.scheme == "https", link
                assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", parts.netloc), link


def test_a_reader_without_a_network_misses_nothing(site, pages):
    for path, page in pages.items():
        assert [link for link in page.fetched if urlsplit(link).netloc] == [], path
        assert "@import" not in "".join(page.scripts_and_styles)
    for style in site.rglob("*.css"):
        assert list(_addresses(style.read_text())) == [], style
    for picture in site.rglob("*.svg"):
        drawn = re.sub(r'<!--.*?-->|xmlns(:\w+)?="[^"]*"', "", picture.read_text())
        assert re.search(r"https?://(?!127\.0\.0\.1)", drawn) is None, picture


def _addresses(style: str) -> Iterator[str]:
    """What a style sheet fetches from elsewhere."""
    for address in re.findall(r"url\(([^)]+)\)", style):
        if urlsplit(address.strip("\"'")).netloc:
            yield address
