"""What ``moodreel doctor`` says of a server behind an address, each with the exact next step."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from service.domain import Finding, Severity
from service.errors import MoodreelError


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The findings that all servers have in common, in the words of one of them.

    Args:
        subject: Name of the server among ours, such as ``plex``.
        title: What people call it.
        prefix: How its settings begin: ``PLEX``.
        probe: Address below the server's own that answers without a key.
        key_setting: The setting that holds its key.
        key_fix: How to get a key that it takes.
        oldest_version: The oldest that we know to work.
    """

    subject: str
    title: str
    prefix: str
    probe: str
    key_setting: str
    key_fix: str
    oldest_version: tuple[int, int]

    def unreachable(self, error: MoodreelError) -> Finding:
        return self.error(str(error), self._url_fix)

    def stranger(self) -> Finding:
        """Of something else that answers at the address."""
        message = f"something answers at {self.prefix}_URL, but no {self.title}"
        return self.error(message, self._url_fix)

    def key_refused(self, error: MoodreelError) -> Finding:
        """Of a refused key or a redirect: the message says which."""
        is_key = self.key_setting in str(error)
        return self.error(str(error), self.key_fix if is_key else self._url_fix)

    def judge_version(self, version: str) -> Finding:
        """Say whether this version, such as ``4.9.1.80``, is one that we know to work."""
        found = tuple(int(number) for number in re.findall(r"\d{1,6}", version)[:2])
        if found < self.oldest_version:
            oldest = ".".join(map(str, self.oldest_version))
            return self.warning(
                f"{self.title} is version {version or 'unknown'}, which nobody tried",
                f"Update {self.title} to {oldest} or newer.",
            )
        return self.ok(f"answers and takes the key; version {version}")

    def no_media(self) -> Finding:
        return self.ok("holds no media yet: the path mapping was not tried")

    def paths_not_tried(self, error: MoodreelError) -> Finding:
        return self.warning(f"the path mapping was not tried: {error}")

    def judge_collections(self, error: MoodreelError | None) -> Finding:
        """Of the key's right to edit collections."""
        if error is None:
            return self.ok("the key may edit collections")
        return self.warning(
            f"the key may not edit collections ({error}): nothing that matches is added to any",
            self.key_fix,
        )

    def collections_not_checked(self, error: MoodreelError) -> Finding:
        return self.warning(f"the right to edit collections: not looked at: {error}")

    def files_seen(self, path: Path) -> Finding:
        return self.ok(f"its files can be read here, such as {path}")

    def files_not_seen(self, server_path: str) -> Finding:
        """Of a real item whose file is not where the mapping leads."""
        folder = server_path.replace("\\", "/").rpartition("/")[0] or "/media"
        return self.warning(
            f"its file {server_path!r} is not seen here: media are streamed over HTTP, "
            "which is slower",
            f"Mount the library here (read-only is enough) and set "
            f'{self.prefix}_PATH_MAP="{folder}=/where/it/is/here"; where the path is the same on '
            f"both sides, set MOODREEL_ALLOWED_ROOTS={folder}.",
        )

    @property
    def _url_fix(self) -> str:
        return (
            f"Set {self.prefix}_URL to the address at which {self.title} answers from here; try it "
            f"with: curl ${self.prefix}_URL{self.probe}"
        )

    def ok(self, message: str) -> Finding:
        return Finding(subject=self.subject, severity=Severity.OK, message=message)

    def warning(self, message: str, fix: str = "") -> Finding:
        return Finding(subject=self.subject, severity=Severity.WARNING, message=message, fix=fix)

    def error(self, message: str, fix: str) -> Finding:
        return Finding(subject=self.subject, severity=Severity.ERROR, message=message, fix=fix)
