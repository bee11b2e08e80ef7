"""Texts with placeholders, as a layout writes them: ``[$series ]$title[ ($year)]``.

``$name`` (or ``${name}``) stands for something that was found, and ``$$`` for a dollar sign. What
is in brackets shows only where everything that it names has something to say; so does the whole.
There is nothing else: no expression, no attribute and no call, so a template cannot execute. As
brackets are syntax, and markup that could undo an escape is refused, none can hold a masked link.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from publisher.text import clean, is_visible, units

_TOKEN = re.compile(r"\$(\$)|\$\{(\w+)\}|\$(\w+)|([\[\]])|([^$\[\]]+)", re.ASCII)
_FORBIDDEN = "<@`\\"
"""What begins a mention or a code span, or takes away an escape."""
TEMPLATE_LIMIT = 1000
"""Characters; the longest of ours has 60."""


class Value(Protocol):
    """Something that a placeholder stands for."""

    def __call__(self, limit: int, *, is_markdown: bool) -> str:
        """At most ``limit`` UTF-16 units of it; escaped, if it will be read as Markdown."""


Values = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Placeholder:
    name: str


@dataclass(frozen=True, slots=True)
class Passage:
    """Shows as a whole or not at all; a passage inside it is judged by itself."""

    nodes: tuple[str | Placeholder | Passage, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A text with placeholders, checked."""

    passage: Passage
    names: frozenset[str]
    literals: str
    """All that is no placeholder."""

    @classmethod
    def parse(cls, text: str, *, known: Collection[str]) -> Template:
        """Read a template.

        Raises:
            ValueError: It is no template, or names what nobody knows.
        """
        if len(text) > TEMPLATE_LIMIT:
            raise ValueError(f"a template of more than {TEMPLATE_LIMIT} characters")
        tokens = _tokens(text)
        passage = _parse_passage(tokens, is_nested=False)
        nodes = list(_all_nodes(passage))
        names = frozenset(node.name for node in nodes if isinstance(node, Placeholder))
        literals = "".join(node for node in nodes if isinstance(node, str))
        if unknown := sorted(names - set(known)):
            raise ValueError(f"nothing is called ${unknown[0]}; known: {', '.join(sorted(known))}")
        for char in literals:
            if char in _FORBIDDEN or not (is_visible(char) or char in " \n"):
                raise ValueError(f"a template may not contain {char!r}")
        return cls(passage=passage, names=names, literals=literals)

    def fill(self, values: Values, limit: int, *, is_markdown: bool = True) -> str:
        """At most ``limit`` UTF-16 units; empty where there is nothing to say.

        What is short stays whole, what is long shares the room that is left.
        """
        whole = {name: values[name](limit, is_markdown=is_markdown) for name in self.names}
        parts = list(_shown(self.passage, {name for name, text in whole.items() if text}))
        room = limit - sum(units(part) for part in parts if isinstance(part, str))
        if room < 0:
            return ""
        names = [part.name for part in parts if isinstance(part, Placeholder)]
        shares = iter(_share([units(whole[name]) for name in names], room))
        filled = "".join(
            part
            if isinstance(part, str)
            else _cut(whole[part.name], values[part.name], next(shares), is_markdown=is_markdown)
            for part in parts
        ).strip()
        return filled if clean(filled) else ""


def _cut(whole: str, value: Value, limit: int, *, is_markdown: bool) -> str:
    if units(whole) <= limit:
        return whole
    return value(limit, is_markdown=is_markdown) if limit > 0 else ""


def _share(lengths: Sequence[int], room: int) -> list[int]:
    """Room for each: all that the short ones want, and an equal part of the rest for the others."""
    shares = [0] * len(lengths)
    in_order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    for position, index in enumerate(in_order):
        shares[index] = min(lengths[index], room // (len(lengths) - position))
        room -= shares[index]
    return shares


def _shown(passage: Passage, told: Collection[str]) -> Iterator[str | Placeholder]:
    names = {node.name for node in passage.nodes if isinstance(node, Placeholder)}
    if not names <= set(told):
        return
    for node in passage.nodes:
        if isinstance(node, Passage):
            yield from _shown(node, told)
        else:
            yield node


def _all_nodes(passage: Passage) -> Iterator[str | Placeholder]:
    for node in passage.nodes:
        if isinstance(node, Passage):
            yield from _all_nodes(node)
        else:
            yield node


def _tokens(text: str) -> Iterator[re.Match[str]]:
    end = 0
    for token in _TOKEN.finditer(text):
        if token.start() != end:
            break
        end = token.end()
        yield token
    if end != len(text):
        raise ValueError("a $ that names nothing; a dollar sign is written $$")


def _parse_passage(tokens: Iterator[re.Match[str]], *, is_nested: bool) -> Passage:
    nodes: list[str | Placeholder | Passage] = []
    for token in tokens:
        dollar, braced, bare, bracket, literal = token.groups()
        if name := braced or bare:
            nodes.append(Placeholder(name))
        elif bracket == "[":
            nodes.append(_parse_passage(tokens, is_nested=True))
        elif bracket == "]":
            if not is_nested:
                raise ValueError("a ] that closes nothing")
            return Passage(tuple(nodes))
        else:
            nodes.append(dollar or literal)
    if is_nested:
        raise ValueError("a [ that is never closed")
    return Passage(tuple(nodes))
