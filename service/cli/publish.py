"""``moodreel publish``: tell a channel of an item, again or after all."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.console import command, out
from service.cli.logs import configure_logging
from service.domain import ItemRef
from service.errors import ConfigurationError
from service.settings import ServiceSettings
from service.wiring.house import open_moodreel


@command
async def publish(
    ref: Annotated[str, typer.Argument(help="The item, as `moodreel status` shows it.")],
    channel: Annotated[str, typer.Argument(help="The channel, such as discord.")],
) -> None:
    """Tell a channel of an analysed item now. Where a message of it exists, it is amended."""
    settings = ServiceSettings.read()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}))
    try:
        item_ref = ItemRef.parse(ref)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    async with open_moodreel(settings) as moodreel:
        receipt = await moodreel.announcer.tell_now(item_ref, channel)
    out.print(f"told {channel} of {ref}" + (f" ({receipt})" if receipt else ""))
