"""``moodreel doctor``: what is wrong, and the exact next step."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from service.cli.console import EXIT_FAILED, command, out, print_json, shown
from service.cli.logs import configure_logging
from service.domain import Severity
from service.settings import ServiceSettings
from service.wiring import diagnose

MARKS = {
    Severity.OK: "[green]ok[/]  ",
    Severity.WARNING: "[yellow]note[/]",
    Severity.ERROR: "[red]bad[/] ",
}


@command
async def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> int:
    """Say what is wrong, and how to mend it."""
    settings = ServiceSettings.read()
    configure_logging(settings.model_copy(update={"log_level": "ERROR"}))
    findings = await diagnose(settings)
    if as_json:
        print_json(
            [
                {
                    "subject": finding.subject,
                    "severity": finding.severity.value,
                    "message": finding.message,
                    "fix": finding.fix,
                }
                for finding in findings
            ]
        )
    else:
        for finding in findings:
            mark = MARKS[finding.severity]
            out.print(
                f"{mark} [bold]{escape(finding.subject)}[/]  {escape(shown(finding.message))}"
            )
            if finding.fix:
                out.print(f"       [cyan]{escape(shown(finding.fix))}[/]")
    worst = any(finding.severity is Severity.ERROR for finding in findings)
    return EXIT_FAILED if worst else 0
