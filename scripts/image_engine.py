"""A container engine for ``image_check.py``: Docker where one answers, else Podman."""
# ruff: noqa: INP001, S603  scripts are no package; it runs the engine that was chosen

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("MOODREEL_IMAGE_CACHE", "/var/tmp/moodreel-image-check"))  # noqa: S108
BASE = "localhost/debian:trixie-slim"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
LIMIT = 4096
"""Of open files and of processes, where containers usually have more."""
MISSING = """\
No Docker answers, and what stands in for it is not all there: {}.
On Debian, as root: apt-get install --no-install-recommends podman runc debootstrap"""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine's command, and what this one needs to be told."""

    command: tuple[str, ...]
    build_options: tuple[str, ...] = ()
    run_options: tuple[str, ...] = ()
    nameless: tuple[str, ...] = ()
    """Keep it from giving an unknown user a name."""
    pip_options: tuple[str, ...] = ()
    """Let pip in a container trust whom this machine trusts, and reach the network."""
    environment: dict[str, str] = field(default_factory=dict)
    mount: Path | None = None
    """What it mounts and leaves so."""

    def __call__(self, *arguments: str, may_fail: bool = False) -> str:
        """Run it to its end and return what it wrote to its standard output.

        Raises:
            SystemExit: It failed; with its words.
        """
        done = subprocess.run(
            [*self.command, *arguments],
            check=False,
            capture_output=True,
            env={**os.environ, **self.environment},
            text=True,
        )
        if done.returncode and not may_fail:
            said = (done.stdout + done.stderr)[-3000:]
            raise SystemExit(f"failed: {' '.join(arguments)[:300]}\n{said}")
        return done.stdout.strip()

    def leave(self) -> None:
        """Remove layers of earlier builds, and what outlives its commands."""
        if self.mount is None:
            return
        self("image", "prune", "--force", may_fail=True)
        if self.mount.is_mount():
            subprocess.run(["umount", str(self.mount)], check=False)  # noqa: S607  found on the path


def choose() -> Engine:
    """Docker, unless ``ENGINE=podman`` says otherwise or none answers."""
    if os.environ.get("ENGINE", "docker") == "docker" and shutil.which("docker"):
        docker = Engine(command=("docker",), pip_options=("--network=host",))
        if docker("info", "--format={{.ServerVersion}}", may_fail=True):
            return docker
    return podman()


def podman() -> Engine:
    """Podman in a store of its own, with a base image made here: none is pulled.

    Raises:
        SystemExit: We are not root, or a program is missing.
    """
    missing = [name for name in ("podman", "runc", "debootstrap") if not shutil.which(name)]
    if os.geteuid() != 0:
        missing.insert(0, "root's rights")
    if missing:
        raise SystemExit(MISSING.format(", ".join(missing)))
    network, trust = ("--network=host",), _trust()
    store = (f"--root={CACHE}/store", f"--runroot={CACHE}/run", "--storage-driver=overlay")
    engine = Engine(
        command=("podman", *store),
        build_options=("--pull=never", "--format=docker", "--isolation=chroot", *network, *trust),
        run_options=("--read-only-tmpfs=false",),
        nameless=("--passwd=false",),
        pip_options=(*network, *trust),
        environment={"CONTAINERS_CONF": str(_configure())},
        mount=CACHE / "store/overlay",
    )
    if not engine("images", "--quiet", BASE):
        archive = CACHE / f"trixie-{engine('info', '--format={{.Host.Arch}}')}.tar"
        script = str(ROOT / "scripts/image-base.sh")
        subprocess.run(["sh", script, str(archive)], check=True)  # noqa: S607  a shell is on the path
        engine("import", str(archive), BASE)
    return engine


def _configure() -> Path:
    """Limits that any root may set, as Podman's own may be above ours; and no need of systemd."""
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / "containers.conf"
    kinds = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    ours = {name: resource.getrlimit(kind)[1] for name, kind in kinds.items()}
    limits = ", ".join(
        f'"{name}={min(LIMIT, most % 2**63)}"' for name, most in ours.items()
    )  # -1: none
    path.write_text(
        f"[containers]\ndefault_ulimits = [{limits}]\n"
        '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
    )
    return path


def _trust() -> tuple[str, ...]:
    """Let pip trust whom this machine trusts: some networks have an authority of their own."""
    if not AUTHORITIES.exists():
        return ()
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / "pip.conf"
    path.write_text("[global]\ncert = /etc/pip-authorities.pem\n")
    return (
        f"--volume={path}:/etc/pip.conf:ro",
        f"--volume={AUTHORITIES}:/etc/pip-authorities.pem:ro",
    )
