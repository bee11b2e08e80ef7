"""A decoder takes no more of the machine than it may, and reaches nothing but its medium."""

from __future__ import annotations

import json
import os
import resource
import socket
import struct
import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import av
import psutil
import pytest

from adapters.media import landlock, sockets
from adapters.media.limits import BEGINNING_CPU_S, OPEN_FILES, THREAD_BYTES
from adapters.media.reader import ProcessMedia, ProcessReader
from adapters.media.reels import ReelMaker
from adapters.media.settings import ReaderSettings
from service.domain import LocalFile, SamplePlan, SampleSpan
from service.errors import MoodreelError, PermanentError, TransientError
from tests.support.media import SceneSpec, write_film
from tests.support.postgres import reachable_directory

PLAN = SamplePlan(spans=(SampleSpan(start_s=0, end_s=20, rate_hz=25),))
confined = pytest.mark.skipif(
    landlock.version() < landlock.NETWORK_VERSION,
    reason="the kernel has no Landlock, or an old one",
)
filtered = pytest.mark.skipif(
    os.uname().machine not in sockets.ARCHITECTURES, reason="its calls have other numbers"
)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    return write_film(path, [SceneSpec(duration_s=20, picture="moving_box", sound="tone")])


def write_bomb(path: Path, *, side_px: int) -> Path:
    """A film of one kilobyte whose pictures, as their headers say, have 16 bits of RGB each."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", side_px, side_px, 16, 2, 0, 0, 0)
    line = zlib.compress(bytes(1 + 6 * side_px))
    picture = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", line)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "rgb24"
        for index in range(2):
            packet = av.Packet(picture + chunk(b"IEND", b""))
            packet.stream, packet.time_base = stream, Fraction(1, 1)
            packet.pts = packet.dts = index
            output.mux(packet)
    return path


def _status(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


def _reader(**settings: object) -> ProcessReader:
    return ProcessReader(ReaderSettings.model_validate({"niceness": 0, **settings}))


async def test_a_bomb_gets_no_more_memory_than_it_may_have(tmp_path):
    bomb = write_bomb(tmp_path / "bomb.mov", side_px=15_000)
    with pytest.raises(TransientError) as refused:
        async with _reader(memory_mb=1024).open(LocalFile(path=bomb)):
            pass
    assert str(refused.value) == (
        "reading bomb.mov: its decoder ran out of the memory it may use "
        "(MOODREEL_DECODER_MEMORY_MB)"
    )
    assert refused.value.max_attempts == 2


async def test_a_decoder_beside_one_that_ran_out_of_memory_goes_on(film, tmp_path):
    bomb = write_bomb(tmp_path / "bomb.mov", side_px=15_000)
    async with _reader().open(LocalFile(path=film)) as medium:
        with pytest.raises(TransientError):
            async with _reader(memory_mb=1024).open(LocalFile(path=bomb)):
                pass
        times_s = [frame.time_s async for frame in medium.read_keyframes()]
    assert times_s[0] == 0.0


async def _read_for_ever(medium: ProcessMedia) -> None:
    """Read again and again, with a second of processor time for all of it."""
    while True:
        async for _ in medium.read_frames(PLAN):
            resource.prlimit(medium.pid, resource.RLIMIT_CPU, (1, resource.RLIM_INFINITY))


async def test_a_decoder_that_takes_too_much_processor_time_is_ended(film):
    async with _reader().open(LocalFile(path=film)) as medium:
        assert isinstance(medium, ProcessMedia)
        with pytest.raises(TransientError) as ended:
            await _read_for_ever(medium)
    assert str(ended.value) == (
        "reading film.mp4: its decoder ran out of the processor time it may use "
        "(MOODREEL_DECODER_CPU)"
    )
    assert ended.value.max_attempts == 2


async def test_the_kernel_holds_the_decoder_to_what_the_settings_say(film):
    async with _reader(memory_mb=2048, threads=3, cpu_ratio=5).open(LocalFile(path=film)) as medium:
        assert isinstance(medium, ProcessMedia)
        await medium.list_keyframes()
        decoder = psutil.Process(medium.pid)
        memory = (2048 << 20) + 3 * THREAD_BYTES
        assert decoder.rlimit(psutil.RLIMIT_AS) == (memory, memory)
        assert decoder.rlimit(psutil.RLIMIT_NOFILE) == (OPEN_FILES, OPEN_FILES)
        assert decoder.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
        assert decoder.rlimit(psutil.RLIMIT_CORE) == (0, 0)
        granted_s = decoder.rlimit(psutil.RLIMIT_CPU)[0] - sum(decoder.cpu_times()[:2])
        assert granted_s == pytest.approx(BEGINNING_CPU_S + 5 * 20, abs=5)
        assert "NoNewPrivs:\t1" in _status(medium.pid)


async def test_a_film_that_another_one_replaces_is_not_read_on(film, tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(film.read_bytes())
    async with _reader().open(LocalFile(path=path)) as medium:
        (tmp_path / "better.mp4").write_bytes(film.read_bytes())
        (tmp_path / "better.mp4").rename(path)
        if not landlock.version():
            pytest.skip("the kernel has no Landlock")
        with pytest.raises(TransientError, match="it was replaced meanwhile"):
            async for _ in medium.read_keyframes():
                pass


@confined
async def test_a_decoder_writes_into_its_directory_alone(film, tmp_path):
    (tmp_path / "kept").mkdir()
    reader = _reader()
    async with reader.open_process(LocalFile(path=film), kept_in=tmp_path / "kept") as medium:
        with pytest.raises(MoodreelError, match="may not be read"):
            await medium.copy_clip(tmp_path / "clip.mkv", start_s=1, end_s=2)
        await medium.copy_clip(tmp_path / "kept" / "clip.mkv", start_s=1, end_s=2)
    assert [path.name for path in tmp_path.rglob("*.mkv")] == ["clip.mkv"]
    assert (tmp_path / "kept" / "clip.mkv").stat().st_size > 1000


async def test_a_decoder_that_keeps_nothing_writes_nothing(film, tmp_path):
    async with _reader(sandbox=False).open_process(LocalFile(path=film)) as medium:
        with pytest.raises(MoodreelError):
            await medium.copy_clip(tmp_path / "clip.mkv", start_s=1, end_s=2)
    assert (tmp_path / "clip.mkv").stat().st_size == 0


CONFINED = """
import json, socket, sys
from pathlib import Path
from adapters.media.access import Access
from adapters.media.limits import Limits
from adapters.media.wire import Source

source, files, ports = json.loads(sys.argv[1])
access = Access.give_up_rest(Source(**source), None, Limits())

def attempt(act):
    try:
        act()
        return "allowed"
    except OSError as error:
        return type(error).__name__

def send(port):
    socket.create_connection(("127.0.0.1", port)).close()

print(json.dumps({
    "read": [attempt(lambda: Path(file).read_bytes()) for file in files],
    "write": [attempt(lambda: Path(file).open("ab").close()) for file in files],
    "list": attempt(lambda: list(Path.home().iterdir())),
    "connect": [attempt(lambda: send(port)) for port in ports],
    "environment": attempt(lambda: Path("/proc/1/environ").read_bytes()),
}))
"""

SOCKETS = """
import json, socket, sys
from adapters.media.access import Access
from adapters.media.limits import Limits
from adapters.media.wire import Source

source, named = json.loads(sys.argv[1])
Access.give_up_rest(Source(**source), None, Limits())

def attempt(make, *kind):
    try:
        with make(*kind) as made:
            made.connect(named)
    except OSError as error:
        return type(error).__name__
    except TypeError:  # of a network: it has no such addresses
        pass
    return "allowed"

print(json.dumps({
    "of a database": attempt(socket.socket, socket.AF_UNIX, socket.SOCK_STREAM),
    "of a log": attempt(lambda: socket.socketpair(type=socket.SOCK_DGRAM)[0]),
    "datagrams": attempt(socket.socket, socket.AF_INET, socket.SOCK_DGRAM),
    "connections": attempt(socket.socket, socket.AF_INET6, socket.SOCK_STREAM),
    "of the kernel": attempt(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW),
}))
"""


def _confined(source: dict[str, str], files: list[Path], ports: list[int]) -> dict[str, object]:
    told = json.dumps([source, [str(file) for file in files], ports])
    run = subprocess.run(
        [sys.executable, "-c", CONFINED, told], capture_output=True, text=True, check=True
    )
    return dict(json.loads(run.stdout))


@pytest.fixture
def doors():
    """Two ports of this machine that take connections."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as b:
        yield [one.getsockname()[1], b.getsockname()[1]]


@confined
def test_of_a_file_a_decoder_keeps_that_file_and_no_network(film, tmp_path, doors):
    (tmp_path / "moodreel.toml").write_text("jellyfin_api_key = 'a-secret'")
    assert _confined({"path": str(film)}, [film, tmp_path / "moodreel.toml"], doors) == {
        "read": ["allowed", "PermissionError"],
        "write": ["PermissionError", "PermissionError"],
        "list": "PermissionError",
        "connect": ["PermissionError", "PermissionError"],
        "environment": "PermissionError",
    }


@confined
def test_of_a_stream_a_decoder_keeps_its_port_and_no_file(film, doors):
    found = _confined({"url": f"http://127.0.0.1:{doors[0]}/film"}, [film], doors)
    assert found["read"] == found["write"] == ["PermissionError"]
    assert found["connect"] == ["allowed", "PermissionError"]


@pytest.fixture
def named_socket():
    """One that takes connections, as a database's or an engine's does."""
    with reachable_directory() as directory, socket.socket(socket.AF_UNIX) as server:
        server.bind(str(directory / "socket"))
        server.listen()
        yield str(directory / "socket")


REFUSED = "PermissionError"


@filtered
@pytest.mark.parametrize(
    ("source", "named", "network"),
    [
        ({"path": "film.mp4"}, REFUSED, REFUSED),
        ({"url": "http://jellyfin:8096/film"}, REFUSED, "allowed"),
        ({"url": "http://nas.local:8096/film"}, "allowed", "allowed"),
    ],
)
def test_a_decoder_reaches_no_program_by_a_socket_that_is_a_file(
    source, named, network, named_socket
):
    """Postgres would start any program for it, outside of all bounds."""
    run = subprocess.run(
        [sys.executable, "-c", SOCKETS, json.dumps([source, named_socket])],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(run.stdout) == {
        "of a database": named,
        "of a log": REFUSED,
        "datagrams": network,
        "connections": network,
        "of the kernel": REFUSED,
    }


@filtered
def test_a_program_that_cuts_reels_reaches_none_either(named_socket):
    act = f"import socket;socket.socket(socket.AF_UNIX).connect({named_socket!r})"
    run = subprocess.run(
        [sys.executable, "-P", "-m", "adapters.media.limits", "{}", sys.executable, "-c", act],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert REFUSED in run.stderr


@confined
def test_a_program_that_cuts_reels_has_no_network(doors):
    command = [
        sys.executable,
        "-c",
        f"import socket;socket.create_connection(('127.0.0.1',{doors[0]}))",
    ]
    run = subprocess.run(
        [sys.executable, "-P", "-m", "adapters.media.limits", "{}", *command],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert "PermissionError" in run.stderr


def test_a_program_that_cuts_reels_is_bound_too(tmp_path):
    command = ["/bin/sh", "-c", f"head -c 3000000 /dev/zero > {tmp_path}/reel.mp4"]
    limits = json.dumps({"memory_bytes": 1 << 30, "written_bytes": 1_000_000})
    run = subprocess.run(
        [sys.executable, "-P", "-m", "adapters.media.limits", limits, *command],
        capture_output=True,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": os.environ["PATH"]},
    )
    assert run.returncode != 0
    assert (tmp_path / "reel.mp4").stat().st_size == 1_000_000


async def test_a_reel_beyond_its_limit_is_given_up(film, tmp_path, monkeypatch):
    script = tmp_path / "ffmpeg"
    script.write_text("#!/bin/sh\nexec head -c 9000000 /dev/zero >reel.part\n")
    script.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(script))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PermanentError):
        await ReelMaker(ReaderSettings(niceness=0)).make_reel(
            LocalFile(path=film),
            [(1.0, 2.0)],
            tmp_path / "reel.mp4",
            limit_bytes=1_000_000,
            on_progress=lambda _: None,
        )
    assert (tmp_path / "reel.part").stat().st_size == 2_000_000
