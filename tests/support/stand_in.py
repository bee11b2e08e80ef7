"""What the stand-ins for media servers have in common: they serve, fail and hang on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
JPEG = b"\xff\xd8\xff\xe0" + b"a small poster"
SUBRIP = "1\n00:00:01,000 --> 00:00:02,500\nThe tide is out.\n"


class StandIn:
    """A server on loopback. Subclasses name their routes and say whom they let in."""

    def __init__(self) -> None:
        self.url = ""
        """Its address while it serves."""
        self.requests: list[str] = []
        """Method, path and query of each request."""
        self.failure: Callable[[], web.StreamResponse] | None = None
        """Makes the answer to everything, where set."""
        self.failures_left: int | None = None
        """How often; None: always."""
        self.resumed = asyncio.Event()
        """Clear it and every request hangs until it is set again."""
        self.resumed.set()

    def routes(self) -> list[web.RouteDef]:
        raise NotImplementedError

    def admits(self, request: web.Request) -> bool:
        """Whether its key is right, and in the right place."""
        raise NotImplementedError

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.add_routes(self.routes())
        return app

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[str]:
        """Serve on loopback; gives the address. May be left and entered again: a restart."""
        runner = web.AppRunner(self.app(), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self.url
        finally:
            self.resumed.set()
            await runner.cleanup()

    def fail_with(self, status: int, *, times: int | None = None, **headers: str) -> None:
        """Answer everything with this status; ``Retry_After="7"`` becomes a header."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.failure = lambda: web.Response(status=status, headers=named, text="<html>no</html>")
        self.failures_left = times

    def recover(self) -> None:
        self.failure = None

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path_qs}")
        await self.resumed.wait()
        if self.failure is not None and self.failures_left != 0:
            if self.failures_left is not None:
                self.failures_left -= 1
            return self.failure()
        if not self.admits(request):
            raise web.HTTPUnauthorized
        return await handler(request)
