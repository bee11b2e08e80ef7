"""``moodreel doctor``: what is wrong, and the exact next step."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from service.cli.console import EXIT_FAILED, command, err, out, print_json, shown
from service.cli.logs import configure_logging
from service.domain import Finding, Severity
from service.errors import ConfigurationError
from service.settings import ServiceSettings
from service.wiring.diagnosis import diagnose
from service.wiring.replaying import Replayed, rehearse, resend

MARKS = {
    Severity.OK: "[green]ok[/]  ",
    Severity.WARNING: "[yellow]note[/]",
    Severity.ERROR: "[red]bad[/] ",
}
BODY_LIMIT = 8_000_000
"""Of a recorded body; what the service takes is less."""

app = typer.Typer(
    help="Say what is wrong, and how to mend it.",
    invoke_without_command=True,
    no_args_is_help=False,
)
JsonOption = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


@app.callback()
def doctor(
    context: typer.Context,
    *,
    as_json: JsonOption = False,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix", help="Have Jellyfin send its webhooks here, through its webhook plugin."
        ),
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="How senders reach this service, such as http://moodreel:8686; by MOODREEL_HOST "
            "and MOODREEL_PORT when left out.",
        ),
    ] = None,
) -> None:
    """Say what is wrong, and how to mend it."""
    if context.invoked_subcommand is None:
        look(as_json=as_json, fix=fix, address=address)


@command
async def look(*, as_json: bool, fix: bool, address: str | None) -> int:
    """Ask every part; the exit status is 1 where one of them is in a bad way."""
    if address is not None and not address.startswith(("http://", "https://")):
        raise ConfigurationError("--address must begin with http:// or https://")
    findings = await diagnose(_quietly(), address=address, fix=fix)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            _show(finding)
    return EXIT_FAILED if any(found.severity is Severity.ERROR for found in findings) else 0


@app.command()
@command
async def replay(
    *,
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A webhook's recorded body.")
    ],
    server: Annotated[
        str | None,
        typer.Option(
            "--server", help="Whose it is: jellyfin, emby, plex, sonarr, radarr. Else found out."
        ),
    ] = None,
    content_type: Annotated[
        str, typer.Option(help="What its sender says of it; guessed when left out.")
    ] = "",
    send: Annotated[
        bool, typer.Option("--send", help="Send it to the service that runs: then it is done.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Say what a recorded webhook would do, or send it once more."""
    settings = _quietly()
    with file.open("rb") as recorded:
        body = recorded.read(BODY_LIMIT + 1)
    if len(body) > BODY_LIMIT:
        raise ConfigurationError(f"{file} is too long for a webhook's body")
    if send:
        replayed = await resend(settings, body, content_type, server)
    else:
        replayed = await rehearse(body, content_type, server)
    if as_json:
        print_json({**asdict(replayed), "sent": send})
    else:
        _tell(replayed, is_done=send)
    return 0 if replayed.is_taken else EXIT_FAILED


def _show(finding: Finding) -> None:
    """On lines that nothing breaks: there are addresses and commands to copy."""
    message = escape(shown(" ".join(finding.message.split())))
    line = f"{MARKS[finding.severity]} [bold]{escape(finding.subject)}[/]  {message}"
    out.print(line, soft_wrap=True, highlight=False)
    if finding.fix:
        out.print(f"       [cyan]{escape(shown(finding.fix))}[/]", soft_wrap=True, highlight=False)


def _tell(replayed: Replayed, *, is_done: bool) -> None:
    verb = "does" if is_done else "would"
    for job in replayed.jobs:
        out.print(f"{verb}  {escape(shown(job))}", highlight=False)
    for ref in replayed.deleted:
        out.print(f"{verb}  mark {escape(shown(ref))} as deleted", highlight=False)
    if not replayed.is_taken:
        message = f"refused (HTTP {replayed.status}): {escape(shown(replayed.error))}"
        err.print(message, style="red", highlight=False)
    elif not replayed.jobs and not replayed.deleted:
        out.print("understood, and of no interest: nothing is done about it")


def _quietly() -> ServiceSettings:
    settings = ServiceSettings.read()
    configure_logging(settings.model_copy(update={"log_level": "ERROR"}))
    return settings
