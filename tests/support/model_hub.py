"""A small server that speaks the Hub's way of serving files: HEAD, ETag, commit, Range."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class HubServer:
    """What it serves, and what it was asked."""

    files: dict[str, bytes]
    url: str = ""
    requests: list[str] = field(default_factory=list)
    """``METHOD path [range]`` in order."""
    break_after_bytes: int | None = None
    """The next download breaks off there, once."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> HubServer:
        return cast("_Server", self.server).hub

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: the test says what matters."""

    def do_HEAD(self) -> None:
        self._answer(send_body=False)

    def do_GET(self) -> None:
        self._answer(send_body=True)

    def _answer(self, *, send_body: bool) -> None:
        wanted = self.headers.get("Range", "")
        self.hub.requests.append(f"{self.command} {self.path} {wanted}".strip())
        content = self.hub.files.get(self.path.partition(f"/resolve/{COMMIT}/")[2])
        if content is None:
            self._refuse()
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        body = content[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(body)))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if send_body:
            self._send(body)

    def _send(self, body: bytes) -> None:
        limit, self.hub.break_after_bytes = self.hub.break_after_bytes, None
        self.wfile.write(body if limit is None else body[:limit])
        if limit is not None:
            self.close_connection = True

    def _refuse(self) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    hub: HubServer


@contextmanager
def serve_hub(files: Mapping[str, bytes]) -> Iterator[HubServer]:
    """Serve files as the content of every repository, on a free local port."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.hub = HubServer(dict(files), url=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
