"""A gateway before PostgREST, as Supabase has one, for programs that speak TCP."""

from __future__ import annotations

from pathlib import Path

import aiohttp
from aiohttp import web


def gateway(socket: Path) -> web.Application:
    """Takes ``/rest/v1`` off the path, as Supabase's gateway does, and passes the rest on."""

    async def forward(request: web.Request) -> web.Response:
        connector = aiohttp.UnixConnector(str(socket))
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.request(
                request.method,
                f"http://postgrest/{request.match_info['tail']}",
                params=request.query,
                data=await request.read(),
                headers={
                    name: value
                    for name, value in request.headers.items()
                    if name.lower() not in {"host", "content-length", "accept-encoding"}
                },
            ) as answer,
        ):
            return web.Response(
                status=answer.status,
                body=await answer.read(),
                headers={"Content-Type": answer.headers.get("Content-Type", "application/json")},
            )

    app = web.Application(client_max_size=2**20)
    app.router.add_route("*", "/rest/v1/{tail:.*}", forward)
    return app
