import json
import re
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from service.configuration import SECRET_FILE_SUFFIX, secret_names
from tests.support import card_picture, commands_reference, tooling_reference
from tests.support.settings_reference import PAGE, own_fields, render, settings_classes

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("service/**/*.md")]
SETTING = re.compile(
    r"\b(?:MOODREEL|DISCORD|LIBRARY|EVENT|NATS|JELLYFIN|EMBY|PLEX|QWEN|SUPABASE|DATABASE)_[A-Z_]+"
)
ELSEWHERE = {"MOODREEL_CONFIG"}
"""Says where the other settings are."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        goal = (page.parent / path).resolve() if path else page
        assert goal.exists(), link
        headings = re.findall(r"^#+ (.*)", goal.read_text(), re.MULTILINE) if anchor else []
        names = [re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings]
        assert not anchor or anchor in names, link


def test_every_setting_that_a_page_names_is_there():
    classes = settings_classes()
    known = {field.alias for cls in classes for field in own_fields(cls).values()}
    known |= {name + SECRET_FILE_SUFFIX for cls in classes for name in secret_names(cls)}
    for stack in ROOT.glob("docker-compose*.yml"):  # which has variables of its own
        known |= set(re.findall(r"\$\{(\w+)", stack.read_text()))
    for page in PAGES:
        named = set(SETTING.findall(page.read_text()))
        assert named <= known | ELSEWHERE, page


def test_the_architecture_names_the_layers_that_imports_are_held_to():
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    (layers,) = (found["layers"] for found in contracts if found.get("containers") == ["service"])
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    assert f"`{' > '.join(layers)}`" in " ".join(page.split())
    rooms = [*ROOT.glob("service/[!_]*.py"), *ROOT.glob("adapters/[!_]*/")]
    assert [room.name for room in rooms if room.name not in page] == []


def test_the_settings_page_says_what_the_code_does():
    assert PAGE.read_text() == render(), "run: python -m tests.support.settings_reference"


def test_the_commands_page_says_what_the_code_does():
    page = commands_reference.PAGE.read_text()
    assert page == commands_reference.render(), "run: python -m tests.support.commands_reference"


def test_the_tooling_page_says_what_the_code_does_and_leaves_no_toggle_out():
    page = tooling_reference.PAGE.read_text()
    assert page == tooling_reference.render(), "run: make references"
    known = {field.alias for cls in settings_classes() for field in own_fields(cls).values()}
    assert [name for name in known if f"[`{name}`]" not in page] == []


def test_the_pictures_of_cards_show_what_the_cards_say():
    evidence = json.loads(card_picture.EVIDENCE.read_text())
    pictures = {
        card_picture.CARD: card_picture.render(
            card_picture.example_card(), curve=b".", poster=b"."
        ),
        card_picture.SMOKE_CARD: card_picture.render(evidence),
    }
    for path, drawn in pictures.items():
        kept = path.read_text()
        assert _without_pixels(kept) == _without_pixels(drawn), "run: make references"
        ET.fromstring(kept)


def _without_pixels(svg: str) -> str:
    """Other versions of the libraries that draw give other bytes."""
    return re.sub(r"base64,[\w+/=]+", "", svg)


def test_every_setting_has_a_name_and_a_description():
    for cls in settings_classes():
        for name, field in cls.model_fields.items():
            assert field.alias, f"{cls.__name__}.{name} has no variable"
            assert field.description, f"{cls.__name__}.{name} has no description"


def test_no_two_settings_share_a_variable():
    seen: dict[str, str] = {}
    for cls in settings_classes():
        for field in own_fields(cls).values():
            assert field.alias is not None
            assert seen.setdefault(field.alias, cls.__name__) == cls.__name__
