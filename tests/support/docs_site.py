"""A hook of MkDocs (``hooks`` in mkdocs.yml): what the repository's readers get besides the pages.

Links that leave docs/ for another file of the repository lead to a copy of it within the site, and
a diagram whose drawing is kept in docs/pictures/diagrams/ is shown drawn: mkdocs-material would
fetch Mermaid from another server. A diagram that was changed since is shown as its source, until
``python -m tests.support.diagrams`` has drawn it anew.
"""

from __future__ import annotations

import hashlib
import os.path
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

LEAVING = re.compile(r"\]\(((?:\.\./)+[^)#\s]+)\)")
DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DRAWN = "pictures/diagrams"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Called by MkDocs with each page's source."""
    here = posixpath.dirname(page.file.src_uri)
    root = Path(config.docs_dir).parent

    def copy(link: re.Match[str]) -> str:
        goal = posixpath.normpath(posixpath.join("docs", here, link[1]))
        if goal.startswith(("docs/", "..")) or not (root / goal).is_file():
            return link[0]
        place = f"files/{goal}"
        if place not in files.src_uris:
            files.append(File.generated(config, place, abs_src_path=str(root / goal)))
        return f"]({os.path.relpath(place, here or '.')})"

    def draw(diagram: re.Match[str]) -> str:
        picture = f"{DRAWN}/{diagram_name(diagram[1])}"
        if not (root / "docs" / picture).is_file():
            return diagram[0]
        path = os.path.relpath(picture, here or ".")
        return f"[![A diagram]({path})]({path})"  # which is larger than the page

    return DIAGRAM.sub(draw, LEAVING.sub(copy, markdown))


def diagram_name(source: str) -> str:
    """The file of a diagram's drawing, which is another one when the diagram is."""
    return hashlib.sha256(source.encode()).hexdigest()[:16] + ".svg"
