"""What a card shows, by data: a layout read from YAML, checked strictly, that cannot execute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    ValidationError,
    model_validator,
)

from publisher.template import Template
from publisher.text import clean
from publisher.words import Words, read_words
from service.errors import ConfigurationError

TITLE_LIMIT = 256
DESCRIPTION_LIMIT = 4096
FIELD_COUNT_LIMIT = 25
VALUE_LIMIT = 1024
"""Discord's; see publisher/card.py for the rest of them."""
SIZE_LIMIT = 100_000
"""Of a layout file in characters; ours has 2000."""

_BUILT_IN = Path(__file__).parent / "layout.yaml"
_FINDINGS = (
    "event", "title", "year", "series", "season", "number", "artist", "album", "library", "genres",
    "overview", "duration", "mood", "moods", "tag", "tags", "highlights", "sound", "match",
    "comfort", "members", "count", "server", "namespace",
)  # fmt: skip
_LABELS = (
    "duration",
    "mood",
    "moods",
    "tags",
    "highlights",
    "sound",
    "match",
    "comfort",
    "contents",
)
PLACEHOLDERS = frozenset({*_FINDINGS, *(f"say_{label}" for label in _LABELS)})
"""What a template may name."""
MEMBER_PLACEHOLDERS = frozenset({"number", "title", "artist", "duration", "mood", "tag"})
"""What the line of one episode or song may name."""


def parse_line(text: object) -> Template:
    """A template of one line that nobody reads as Markdown, or that is too short for spoilers."""
    template = _parse(text)
    if "\n" in template.literals:
        raise ValueError("must be one line")
    if template.names & {"highlights", "members"}:
        raise ValueError("$highlights and $members may only stand in a description or a field")
    return template


def _parse(text: object) -> Template:
    if not isinstance(text, str):
        raise ValueError("must be a text")  # noqa: TRY004  pydantic collects ValueErrors
    template = Template.parse(text, known=PLACEHOLDERS)
    if "highlights" in template.names and "|" in template.literals:
        raise ValueError("'|' beside $highlights would lay them open")
    return template


def _parse_member(text: object) -> Template:
    if not isinstance(text, str) or "\n" in text:
        raise ValueError("must be a text of one line")
    return Template.parse(text, known=MEMBER_PLACEHOLDERS)


def _parse_colour(text: object) -> int:
    if not isinstance(text, str) or len(text) != len("#rrggbb") or not text.startswith("#"):
        raise ValueError('must be a colour such as "#22c55e" (in quotes)')
    return int(text[1:], 16)


Line = Annotated[InstanceOf[Template], BeforeValidator(parse_line)]
Text = Annotated[InstanceOf[Template], BeforeValidator(_parse)]
Member = Annotated[InstanceOf[Template], BeforeValidator(_parse_member)]
ColourValue = Annotated[int, BeforeValidator(_parse_colour)]
Count = Annotated[int, Field(ge=0, le=50, strict=True)]
Flag = Annotated[bool, Field(strict=True)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Colours(_Section):
    """0xRRGGBB by the quarters of Russell's circumplex; plain in its middle."""

    plain: ColourValue
    exciting: ColourValue
    calm: ColourValue
    tense: ColourValue
    sad: ColourValue


class Pictures(_Section):
    poster: Flag
    mood_curve: Flag


class Counts(_Section):
    moods: Count
    tags: Count
    highlights: Count
    comfort: Count


class FieldLayout(_Section):
    name: Line
    value: Text
    inline: Flag = False
    limit: Annotated[int, Field(ge=1, le=VALUE_LIMIT, strict=True)] = VALUE_LIMIT


class CardLayout(_Section):
    author: Line
    title: Line
    description: Text
    description_limit: Annotated[int, Field(ge=1, le=DESCRIPTION_LIMIT, strict=True)]
    fields_: Annotated[tuple[FieldLayout, ...], Field(alias="fields", max_length=FIELD_COUNT_LIMIT)]
    footer: Line


class GroupLayout(CardLayout):
    member: Member


class Layout(_Section):
    colours: Colours
    pictures: Pictures
    counts: Counts
    item: CardLayout
    group: GroupLayout

    @model_validator(mode="after")
    def _must_have_titles(self) -> Self:
        if not all(clean(t.literals) or t.names for t in (self.item.title, self.group.title)):
            raise ValueError("a card must have a title")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How cards look, and in which language they speak."""

    layout: Layout
    words: Words


@cache
def default_look() -> Look:
    return Look(layout=load_layout(None), words=read_words("en"))


def load_layout(path: Path | None) -> Layout:
    """The built-in layout, with what the owner's file says in its place.

    Raises:
        ConfigurationError: The file cannot be read, or something in it is unknown or wrong; the
            message names the line.
    """
    built_in = yaml.safe_load(_BUILT_IN.read_text(encoding="utf-8"))
    if path is None:
        return Layout.model_validate(built_in)
    root, own = _read(path)
    try:
        return Layout.model_validate(_merge(built_in, own))
    except ValidationError as error:
        problems = "; ".join(
            f"line {_line_of(root, detail['loc'])}: {'.'.join(map(str, detail['loc']))}: "
            f"{detail['msg'].removeprefix('Value error, ')}"
            for detail in error.errors(include_url=False, include_input=False)
        )
        raise ConfigurationError(f"DISCORD_LAYOUT: {path}: {problems}") from error


def _read(path: Path) -> tuple[yaml.Node | None, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > SIZE_LIMIT:
            raise ConfigurationError(f"DISCORD_LAYOUT: {path} has over {SIZE_LIMIT} characters")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        for key in _repeated_keys(root):
            raise ConfigurationError(
                f"DISCORD_LAYOUT: {path}: line {key.start_mark.line + 1}: "
                f"{key.value} is there twice"
            )
        own = yaml.safe_load(text) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"DISCORD_LAYOUT: {path}: {error}") from error
    if not isinstance(own, dict):
        raise ConfigurationError(f"DISCORD_LAYOUT: {path}: line 1: must consist of sections")
    return root, own


def _merge(ours: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Section by section, and in a section key by key."""
    return ours | {
        name: ours[name] | section
        if isinstance(section, dict) and isinstance(ours.get(name), dict)
        else section
        for name, section in own.items()
    }


def _repeated_keys(node: yaml.Node | None) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from _repeated_keys(child)
    if isinstance(node, yaml.MappingNode):
        seen: set[object] = set()
        for key, child in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else id(key)
            if name in seen:
                yield key
            seen.add(name)
            yield from _repeated_keys(child)


def _line_of(node: yaml.Node | None, place: Sequence[int | str]) -> int:
    """The line of what a place names, or of the nearest that is around it."""
    line = node.start_mark.line + 1 if node is not None else 1
    for step in place:
        if isinstance(node, yaml.MappingNode):
            pairs = {key.value: (key, child) for key, child in node.value}
            if step not in pairs:
                break
            key, node = pairs[step]
            line = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line
