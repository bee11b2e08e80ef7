"""Reads the vocabulary that comes with Moodreel, then what the user put on top of it."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import yaml

from service.errors import ConfigurationError
from service.vocabulary.words import HighlightCue, MoodWord, TagWord, Vocabulary

BUILT_IN = Path(__file__).parent
FILES = ("tags.yaml", "moods.yaml", "highlights.yaml", "templates.yaml")
HIGHLIGHT_SECTIONS = {"positive", "negative", "background", "sound_background"}

Sections = dict[str, dict[str, Any]]
"""Section, label, entry; a list section has one label, the empty one."""
Word = TypeVar("Word")


def load_vocabulary(directory: Path | None = None) -> Vocabulary:
    """Read the built-in vocabulary and merge a user's directory over it.

    Files of the same names there may add entries, replace those of the same label, and remove one
    with ``label: null``. Lists (``background``, templates) are replaced as a whole; templates for
    pictures or sounds also replace the built-in ones for families of models.

    Raises:
        ConfigurationError: The directory is missing, or something in it cannot be understood; the
            message names the file, and the line or the entry.
    """
    if directory is None:
        return _built_in()
    if not directory.is_dir():
        raise ConfigurationError(f"vocabulary: {directory} is not a directory")
    return _read(directory)


@cache
def _built_in() -> Vocabulary:
    """Three parts of a house want it, and it stays as it is."""
    return _read(None)


def _read(directory: Path | None) -> Vocabulary:
    tags, moods, highlights, templates = (_read_layers(name, directory) for name in FILES)
    _refuse_sections("highlights.yaml", highlights, HIGHLIGHT_SECTIONS)
    _refuse_sections("templates.yaml", _without_families(templates), {"picture", "sound"})
    parts: dict[str, Any] = {
        "tags": _tag_words(tags),
        "moods": _entries("moods.yaml", moods.get("", {}), _mood_word),
        "positive": _entries("highlights.yaml", highlights.get("positive", {}), _cue),
        "negative": _entries("highlights.yaml", highlights.get("negative", {}), _cue),
        "background": _list("highlights.yaml", "background", highlights),
        "sound_background": _list("highlights.yaml", "sound_background", highlights),
        "templates": {name: _templates(name, templates) for name in sorted(templates)},
    }
    fingerprint = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    return Vocabulary(**parts, fingerprint=fingerprint)


def _read_layers(name: str, directory: Path | None) -> Sections:
    """Merge a user's file over ours, label by label."""
    sections = _read_sections(BUILT_IN / name)
    if directory is not None and (directory / name).exists():
        changes = _read_sections(directory / name)
        for section in [ours for ours in sections if ours.partition("/")[0] in changes]:
            if "/" in section:  # a family's sentences are a finer choice of what the user replaced
                del sections[section]
        for section, entries in changes.items():
            if "" in entries or section not in sections:
                sections[section] = entries
            else:
                sections[section] |= entries
    return sections


def _read_sections(path: Path) -> Sections:
    document = read_yaml(path)
    if path.name == "moods.yaml":
        document = {"": document}  # one level less: moods have no kinds
    sections: Sections = {}
    for section, entries in document.items():
        if isinstance(entries, list):
            sections[section] = {"": entries}
        elif isinstance(entries, dict):
            sections[section] = entries
        else:
            raise ConfigurationError(f"{path}: {section}: expected entries, found {entries!r}")
    return sections


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a mapping; an empty file is an empty one.

    Raises:
        ConfigurationError: It cannot be read, or is no such YAML; the message names the line.
    """
    try:
        document = yaml.load(path.read_text("utf-8"), Loader=_StrictLoader)  # noqa: S506  it is safe
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ConfigurationError(f"{path}, line {line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: not YAML: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path}: expected sections, found {type(document).__name__}")
    return document


class _StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Refuses what YAML lets pass in silence: doubled labels, and labels that are not text.

    Parsed by libyaml where PyYAML was built with it: every start of the service reads these files.
    """


def _strict_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        problem = ""
        if not isinstance(key, str):
            problem = f"{key_node.value!r} must be text: put it in quotation marks"
        elif key in seen:
            problem = f"{key!r} is there twice"
        if problem:
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        seen[key] = loader.construct_object(value_node, deep=True)
    return seen


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _strict_mapping)


def _refuse_sections(name: str, sections: Sections, known: set[str]) -> None:
    for section in sections.keys() - known:
        raise ConfigurationError(f"{name}: unknown section {section!r} (known: {_names(known)})")


def _without_families(templates: Sections) -> Sections:
    return {name.partition("/")[0]: entries for name, entries in templates.items()}


def _names(known: set[str]) -> str:
    return ", ".join(sorted(known))


def _tag_words(sections: Sections) -> tuple[TagWord, ...]:
    words: dict[str, TagWord] = {}
    for kind, entries in sections.items():
        for word in _entries(f"tags.yaml: {kind}", entries, partial(_tag_word, kind)):
            if word.label in words:
                first = words[word.label].kind
                raise ConfigurationError(
                    f"tags.yaml: {word.label!r} is a {first} and a {kind}: a tag has one kind"
                )
            words[word.label] = word
    return tuple(words.values())


def _entries(where: str, entries: Mapping[str, Any], make: Callable[..., Word]) -> tuple[Word, ...]:
    keys = inspect.signature(make).parameters
    return tuple(
        _entry(f"{where}: {label}", label, entry, make, keys)
        for label, entry in entries.items()
        if entry is not None
    )


def _entry(
    where: str,
    label: str,
    entry: object,
    make: Callable[..., Word],
    keys: Mapping[str, inspect.Parameter],
) -> Word:
    if not label.strip() or not isinstance(entry, dict):
        raise ConfigurationError(f"{where}: expected a label with keys under it, found {entry!r}")
    known = set(keys) - {"label"}
    missing = {key for key in known if keys[key].default is inspect.Parameter.empty} - set(entry)
    if unknown := set(entry) - known:
        raise ConfigurationError(f"{where}: unknown key {_names(unknown)} (known: {_names(known)})")
    if missing:
        raise ConfigurationError(f"{where}: {_names(missing)} is missing")
    try:
        return make(label=label, **entry)
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}") from error


def _tag_word(
    kind: str,
    *,
    label: str,
    prompts: object = (),
    sounds: object = (),
    hears: object = (),
    words: object = (),
    signals: object = (),
) -> TagWord:
    word = TagWord(
        label=label,
        kind=kind,
        prompts=_texts("prompts", prompts),
        sounds=_texts("sounds", sounds),
        hears=_texts("hears", hears),
        words=tuple(text.casefold() for text in _texts("words", words)),
        signals=_texts("signals", signals),
    )
    if not (word.prompts or word.sounds or word.hears or word.words or word.signals):
        raise ValueError("needs prompts, sounds, hears, words or signals: else it is never found")
    return word


def _mood_word(
    *,
    label: str,
    valence: object,
    arousal: object,
    prompts: object = (),
    sounds: object = (),
    hears: object = (),
) -> MoodWord:
    return MoodWord(
        label=label,
        valence=_coordinate("valence", valence),
        arousal=_coordinate("arousal", arousal),
        prompts=_texts("prompts", prompts),
        sounds=_texts("sounds", sounds),
        hears=_texts("hears", hears),
    )


def _cue(
    *, label: str, prompts: object = (), sounds: object = (), hears: object = ()
) -> HighlightCue:
    cue = HighlightCue(
        label=label,
        prompts=_texts("prompts", prompts),
        sounds=_texts("sounds", sounds),
        hears=_texts("hears", hears),
    )
    if not (cue.prompts or cue.sounds or cue.hears):
        raise ValueError("needs prompts, sounds or hears: else it is never found")
    return cue


def _texts(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(
        isinstance(text, str) and text.strip() for text in value
    ):
        raise ValueError(f"{name} must be a list of texts, found {value!r}")
    return tuple(value)


def _coordinate(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1 <= value <= 1:
        raise ValueError(f"{name} must be a number from -1 to 1, found {value!r}")
    return float(value)


def _list(name: str, section: str, sections: Sections) -> tuple[str, ...]:
    try:
        return _texts(section, sections.get(section, {}).get("", ()))
    except ValueError as error:
        raise ConfigurationError(f"{name}: {error}") from error


def _templates(section: str, sections: Sections) -> tuple[str, ...]:
    templates = _list("templates.yaml", section, sections)
    for template in templates:
        if template.count("{}") != 1:
            raise ConfigurationError(
                f"templates.yaml: {section}: {template!r} must hold {{}} exactly once"
            )
    return templates or ("{}",)
