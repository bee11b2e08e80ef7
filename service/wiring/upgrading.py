"""What ``moodreel database`` does: the embedded cluster's version of Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.database import embedded_upgrade
from adapters.database.archive import Archive
from adapters.database.backup import back_up, list_others
from adapters.database.embedded import EmbeddedSettings
from adapters.database.restore import Restored, restore
from adapters.database.settings import DatabaseSettings
from service.domain import Finding, Severity
from service.errors import ConfigurationError
from service.settings import ServiceSettings
from service.wiring.keeping import Show, draft, embedded_home, in_megabytes, prepare_queue


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradedDatabase:
    """What became of the embedded database."""

    former: int
    """Major version of Postgres."""
    present: int
    counts: Mapping[str, int]
    """Rows by table."""
    left_behind: tuple[str, ...]
    """What others had made in it; the kept cluster still has it."""
    kept: tuple[Path, ...]


async def upgrade_database(settings: ServiceSettings, show: Show) -> UpgradedDatabase | None:
    """Make the embedded cluster anew with the newest Postgres; None where it has that already.

    Raises:
        ConfigurationError: There is none, a service uses it, or its own programs are gone.
        TransientError: It failed; the old cluster is as it was.
    """
    if DatabaseSettings.read().dsn:
        raise ConfigurationError(
            "DATABASE_URL names a Postgres of yours: upgrade it as its makers say"
        )
    home, chosen = embedded_home(settings), EmbeddedSettings.read()
    with embedded_upgrade.hold(home, chosen) as old:
        majors = embedded_upgrade.look(home, chosen)
        if majors.present is None or (majors.can_run and majors.present >= majors.newest):
            return None
        source = old.start(may_attach=False)
        left_behind = await list_others(source)

        async def load(dsn: str, workshop: Path) -> Restored:
            path = workshop / "tables.zip"
            with draft(path, may_replace=True) as stream:
                await back_up(source, stream, {}, show("reading"))
            await prepare_queue(dsn)
            with Archive(path) as archive:
                archive.verify(in_megabytes(show("checking, MB")))
                return await restore(dsn, archive, in_megabytes(show("writing, MB")))

        restored = await embedded_upgrade.replace(old, home, chosen, load)
    return UpgradedDatabase(
        former=majors.present,
        present=majors.newest,
        counts=restored.counts,
        left_behind=left_behind,
        kept=tuple(embedded_upgrade.kept_clusters(home)),
    )


def remove_old_databases(settings: ServiceSettings) -> Sequence[Path]:
    """Remove clusters that were kept after an upgrade."""
    return embedded_upgrade.remove_kept(embedded_home(settings))


def check_cluster(settings: ServiceSettings) -> Sequence[Finding]:
    """Whether the embedded database has the newest Postgres, for ``moodreel doctor``."""
    home = embedded_home(settings)
    if DatabaseSettings.read().dsn or not home.is_dir():
        return []
    majors = embedded_upgrade.look(home)
    found = []
    if majors.present is not None and majors.present < majors.newest:
        found.append(
            Finding(
                subject="postgres",
                severity=Severity.WARNING,
                message=f"the embedded database is one of Postgres {majors.present}, and "
                f"{majors.newest} is installed",
                fix="Stop the service, run `moodreel database upgrade`, and start it again.",
            )
        )
    if kept := embedded_upgrade.kept_clusters(home):
        names = ", ".join(map(str, kept))
        found.append(
            Finding(
                subject="postgres",
                severity=Severity.OK,
                message=f"what was in use before an upgrade is kept in {names}",
                fix="Once all is well: `moodreel database remove-old`.",
            )
        )
    return found
