"""The decoding process as seen from the service: start it, talk to it, survive it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path

from adapters.media import wire
from adapters.media.limits import Limits, pack_limits
from adapters.media.wire import ProtocolError
from service.domain import Json
from service.errors import (
    MoodreelError,
    NotFoundError,
    PermanentError,
    TransientError,
    UnreadableMediaError,
)

DECODER_ATTEMPTS = 2
"""A decoder that died may have been killed for want of memory; twice in a row it is the file."""
STOP_TIMEOUT_S = 5.0
"""How long a decoder may take to leave what nobody wants any more; then it is killed."""
WARNING_LIMIT = 20
READ_AHEAD_BYTES = 1 << 20
"""Three pictures of the usual size. With asyncio's 64 KB the pipe is stopped and started again at
each piece of a picture, for a fifth of the time that it takes to read one."""
TEXT_LIMIT = 300
"""Characters of a warning, and of a decoder's last words."""
NO_MEMORY = ("Cannot allocate memory", "bad_alloc", "MemoryError", "can't start new thread")
"""Last words of what cannot do without the memory that it was refused."""

INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "LD_LIBRARY_PATH")
"""What a decoder is told of our environment: where things are, but no token and no address."""

PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])
RAISED = {kind.__name__: kind for kind in (UnreadableMediaError, NotFoundError, PermanentError)}


class Decoder:
    """A decoding process and the pipes to it. One request at a time.

    Args:
        process: Running, with three pipes.
        label: The medium's name in messages.
        stall_timeout_s: Without a sign of progress for so long, it is killed.
    """

    def __init__(self, process: Process, *, label: str, stall_timeout_s: float) -> None:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise ValueError("a decoding process needs three pipes")
        self._process = process
        self._requests = process.stdin
        self._answers = process.stdout
        self._errors = process.stderr
        self._label = label
        self._stall_timeout_s = stall_timeout_s
        self._lengths: tuple[int, int] | None = None
        self._is_busy = False
        self._last_words = ""
        self._warnings: list[str] = []

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def warnings(self) -> Sequence[str]:
        return tuple(self._warnings)

    async def ask(self, request: Json) -> Json:
        """Send a request, and return what its last message says."""
        await self._send(request)
        while (answer := await self._receive())[0]["kind"] != "end":
            pass
        return answer[0]

    async def stream(self, request: Json) -> AsyncGenerator[tuple[Json, bytes], None]:
        """Send a request, and yield headers and payloads until its end."""
        await self._send(request)
        try:
            while (answer := await self._receive())[0]["kind"] != "end":
                yield answer
        finally:
            if self._is_busy:
                await self._stop()

    def nonsense(self, error: ProtocolError) -> TransientError:
        """A decoder that breaks the protocol has been taken over or is out of its mind."""
        self.kill()
        return TransientError(
            f"reading {self._label}: its decoder answered nonsense ({error})",
            max_attempts=DECODER_ATTEMPTS,
        )

    def kill(self) -> None:
        """Kill it, unless it is known to be gone.

        Not by ``Process.kill``: that may collect the exit status before asyncio's own watcher
        does, which then knows none (CPython issue 87744).
        """
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    async def listen(self) -> None:
        """Keep the end of what it says on standard error, so that the pipe never fills."""
        while chunk := await self._errors.read(4096):
            said = self._last_words + chunk.decode(errors="replace")
            self._last_words = said[-TEXT_LIMIT:]

    async def end(self) -> None:
        """Kill it, and wait until it is gone."""
        self.kill()
        self._requests.close()
        await self._process.wait()

    async def _send(self, request: Json) -> None:
        self._is_busy = True
        try:
            self._requests.write(wire.pack(request))
            await self._requests.drain()
        except ConnectionError as error:
            raise await self._died() from error

    async def _receive(self) -> tuple[Json, bytes]:
        """The next message that is no tick.

        Raises:
            MoodreelError: What the decoder says is wrong, or that it died, hangs or babbles.
        """
        while True:
            try:
                async with asyncio.timeout(self._stall_timeout_s):
                    header, payload = await self._read_message()
            except TimeoutError as error:
                self.kill()
                raise TransientError(
                    f"reading {self._label}: its decoder made no progress for "
                    f"{self._stall_timeout_s:g} s",
                    max_attempts=DECODER_ATTEMPTS,
                ) from error
            except asyncio.IncompleteReadError as error:
                raise await self._died() from error
            except ProtocolError as error:
                raise self.nonsense(error) from error
            if header.get("kind") in {"end", "error"}:
                self._is_busy = False
            if header.get("kind") == "error":
                raise self._raised(header)
            if header.get("kind") == "end":
                self._keep_warnings(header.get("warnings"))
            if header.get("kind") != "tick":
                return {"kind": "", **header}, payload

    async def _read_message(self) -> tuple[Json, bytes]:
        """Read one message; when cancelled, the next call goes on where this one was."""
        if self._lengths is None:
            prefix = await self._answers.readexactly(wire.PREFIX.size)
            self._lengths = wire.unpack_prefix(prefix)
        header_bytes, payload_bytes = self._lengths
        body = await self._answers.readexactly(header_bytes + payload_bytes)
        self._lengths = None
        return wire.unpack_header(body[:header_bytes]), body[header_bytes:]

    async def _stop(self) -> None:
        """Have the current request dropped, so that another one can follow."""
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._send({"do": "stop"})
                while self._is_busy:
                    await self._receive()
        except TimeoutError:
            self.kill()
        except MoodreelError:
            pass  # nobody waits for this request's outcome any more

    def _keep_warnings(self, warnings: object) -> None:
        for warning in warnings if isinstance(warnings, list) else []:
            text = str(warning)[:TEXT_LIMIT]
            if text not in self._warnings and len(self._warnings) < WARNING_LIMIT:
                self._warnings.append(text)

    async def _died(self) -> TransientError:
        self._is_busy = False
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                code = await self._process.wait()
        except TimeoutError:
            self.kill()  # it closed its pipe: whatever it still does, it does not answer
            code = await self._process.wait()
        said = self._last_words.strip().splitlines()
        if code == -signal.SIGXCPU:
            return self._exhausted("the processor time", "MOODREEL_DECODER_CPU")
        if any(words in line for line in said for words in NO_MEMORY):
            return self._exhausted("the memory", "MOODREEL_DECODER_MEMORY_MB")
        cause = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        detail = f"; it said: {said[-1]}" if said else ""
        return TransientError(
            f"reading {self._label}: its decoder died ({cause}{detail})",
            max_attempts=DECODER_ATTEMPTS,
        )

    def _raised(self, header: Json) -> MoodreelError:
        if header.get("error") == MemoryError.__name__:
            return self._exhausted("the memory", "MOODREEL_DECODER_MEMORY_MB")
        message = str(header.get("message"))[: 2 * TEXT_LIMIT]
        return RAISED.get(str(header.get("error")), TransientError)(message)

    def _exhausted(self, what: str, setting: str) -> TransientError:
        return TransientError(
            f"reading {self._label}: its decoder ran out of {what} it may use ({setting})",
            max_attempts=DECODER_ATTEMPTS,
        )


@contextlib.asynccontextmanager
async def run_decoder(
    *, label: str, limits: Limits, stall_timeout_s: float
) -> AsyncIterator[Decoder]:
    """Start a decoding process; kill it and wait for its end when the context ends."""
    try:
        process = await _start(limits)
    except OSError as error:
        raise TransientError(f"starting a decoder for {label}: {error.strerror}") from error
    decoder = Decoder(process, label=label, stall_timeout_s=stall_timeout_s)
    listening = asyncio.create_task(decoder.listen())
    try:
        yield decoder
    finally:
        await asyncio.shield(_finish(decoder, listening))


async def _start(limits: Limits) -> Process:
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # never import from the working directory, which may hold media from anywhere
        "-m",
        "adapters.media.worker",
        pack_limits(limits),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        limit=READ_AHEAD_BYTES,
        env={**environment, "PYTHONPATH": PACKAGE_ROOT, "OPENBLAS_NUM_THREADS": "1"},
    )


async def _finish(decoder: Decoder, listening: asyncio.Task[None]) -> None:
    await decoder.end()
    await listening
