"""What ``moodreel doctor`` says of standing queries: which cannot do all that they are kept for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from adapters.models.inventory import hears_with_its_eyes, name_of
from adapters.models.settings import ModelSettings
from service.domain import Finding, Severity
from service.ports import MediaServer
from service.query import SearchChannel, Trigger
from service.wiring.house import collection_keepers

SUBJECT = "triggers"


def name_models(models: ModelSettings) -> Mapping[SearchChannel, str]:
    """Whose cosines triggers are compared by, as vectors name them; empty: none is configured.

    Raises:
        ConfigurationError: A configured name is no model's.
    """
    heard = models.visual_model if hears_with_its_eyes(models) else models.sound_text_model
    return {
        SearchChannel.VISUAL: name_of(models, models.visual_model),
        SearchChannel.AUDIO: name_of(models, heard),
    }


def judge_triggers(
    triggers: Sequence[Trigger],
    models: Mapping[SearchChannel, str],
    channels: Collection[str],
) -> Iterator[Finding]:
    """How many there are, and which of them tell nobody, or compare words alone."""
    if triggers:
        yield Finding(subject=SUBJECT, severity=Severity.OK, message=f"{len(triggers)} kept")
    for trigger in triggers:
        model = models.get(trigger.sense, "")
        if trigger.threshold is not None and trigger.model != model:
            meant = trigger.model or "no model"
            yield _note(
                f"the threshold of {trigger.name} is meant for {meant}, and {model or 'none'} is "
                "used now: only words count",
                f"Give it another one, with the same options: moodreel triggers add {trigger.name}",
            )
        if trigger.channel and trigger.channel not in channels:
            yield _note(
                f"{trigger.name} tells {trigger.channel}, which is not configured: nobody is told",
                f"Name another one: moodreel triggers add {trigger.name} ... --channel ...",
            )


async def judge_collections(
    triggers: Sequence[Trigger], servers: Mapping[str, MediaServer]
) -> Sequence[Finding]:
    """Whether what matches can be added to collections, where a trigger asks for that."""
    if not any(trigger.collection for trigger in triggers):
        return []
    keepers = collection_keepers(servers)
    if not keepers:
        return [
            _note(
                "some add to collections, and no media server is configured that has any",
                "Configure Jellyfin, Emby or Plex, or name channels instead; plain folders have "
                "no collections.",
            )
        ]
    return [await keeper.check_collections() for keeper in keepers.values()]


def _note(message: str, fix: str) -> Finding:
    return Finding(subject=SUBJECT, severity=Severity.WARNING, message=message, fix=fix)
