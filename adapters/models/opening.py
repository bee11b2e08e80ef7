"""From a model's files to what runs them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from adapters.models.clap import ClapEncoder
from adapters.models.clip import ClipEncoder
from adapters.models.clipclap import ClipClapEncoder
from adapters.models.languagebind import LanguageBindEncoder
from adapters.models.sessions import SessionOptions
from adapters.models.spec import (
    JointFamily,
    JointSpec,
    Model,
    Role,
    SoundSpec,
    SoundTextSpec,
    VisualSpec,
)
from adapters.models.texts import TextMemory
from adapters.models.yamnet import YamnetTagger

JointEncoder = ClipClapEncoder | LanguageBindEncoder
PictureEncoder = ClipEncoder | JointEncoder
HearingEncoder = ClapEncoder | JointEncoder
Opened = PictureEncoder | HearingEncoder | YamnetTagger


def open_model(
    model: Model,
    paths: Mapping[Role, Path],
    options: SessionOptions,
    *,
    batch_size: int,
    memory: TextMemory | None,
) -> Opened:
    """What runs a model of any kind. Loads none of its graphs yet.

    Args:
        model: Its name, and how its graphs want to be fed.
        paths: Its files.
        options: Threads and providers.
        batch_size: Pictures that are encoded at once, at most.
        memory: Keeps text vectors; None encodes every text anew.
    """
    match model.spec:
        case SoundSpec() as spec:
            return YamnetTagger(model.name, spec, paths, options)
        case SoundTextSpec() as spec:
            return ClapEncoder(model.name, spec, paths, options, memory=memory)
        case VisualSpec() as spec:
            return ClipEncoder(
                model.name, spec, paths, options, batch_size=batch_size, memory=memory
            )
        case JointSpec(family=JointFamily.CLIPCLAP) as spec:
            return ClipClapEncoder(
                model.name, spec, paths, options, batch_size=batch_size, memory=memory
            )
        case JointSpec() as spec:
            return LanguageBindEncoder(model.name, spec, paths, options, memory=memory)
