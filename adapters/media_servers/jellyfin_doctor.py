"""Looks at a Jellyfin for ``moodreel doctor``, and sets up its webhook plugin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from adapters.media_servers import jellyfin_findings as findings
from adapters.media_servers import jellyfin_plugin as plugin
from adapters.media_servers.http import ForbiddenError
from adapters.media_servers.jellyfin_api import USERLESS_SINCE, JellyfinApi
from adapters.media_servers.jellyfin_parsers import (
    KINDS,
    find_library,
    list_sources,
    parse_item,
    parse_version,
)
from service.domain import Finding, Json
from service.errors import ConfigurationError, MoodreelError

FindFile = Callable[[Json, Json], Awaitable[Path | None]]
"""From an item and its media source to the file on this machine."""


class JellyfinDoctor:
    """Asks a Jellyfin how it is.

    Args:
        api: Which.
        find_file: The path mapping.
    """

    def __init__(self, api: JellyfinApi, *, find_file: FindFile) -> None:
        self._api = api
        self._find_file = find_file

    async def check(self) -> Sequence[Finding]:
        """Every finding names the next step, where there is one to take."""
        try:
            public = await self._api.http.get("/System/Info/Public")
            if "jellyfin" not in str(public.get("ProductName", "")).lower():
                return [findings.no_jellyfin()]
            info = await self._api.http.get("/System/Info")
            await self._api.version()
        except ConfigurationError as error:
            return [findings.key_refused(error)]
        except MoodreelError as error:
            return [findings.unreachable(error)]
        version = str(info.get("Version", ""))
        return [
            findings.judge_version(version),
            *await self._check_libraries(parse_version(version)),
        ]

    async def check_collections(self) -> Finding:
        """Whether the key may edit collections; edits none.

        An administrator's may, of a user's token its user's policy tells. Before 10.9 any may.
        """
        try:
            if await self._api.version() < USERLESS_SINCE:
                return findings.judge_collections(None)
            try:
                await self._api.http.get_list("/Library/VirtualFolders")
            except ForbiddenError as error:
                policy = (await self._api.http.get("/Users/Me")).get("Policy")
                may = isinstance(policy, dict) and policy.get("EnableCollectionManagement") is True
                return findings.judge_collections(None if may else error)
        except MoodreelError as error:
            return findings.not_looked_at("the right to edit collections", error)
        return findings.judge_collections(None)

    async def fix_webhook(self, address: str, token: str) -> Finding:
        """Add or correct our destination in the plugin's settings; all else stays as it is."""
        try:
            found = plugin.find_plugin(await self._api.http.get_list("/Plugins"))
            if found is None or not plugin.is_active(found):
                return findings.judge_plugin(found)
            path = f"/Plugins/{plugin.plugin_id(found)}/Configuration"
            before = await self._api.http.get(path)
            after = plugin.point_at(before, address, token)
            if after != before:
                await self._api.http.send("POST", path, body=after)
            kept = plugin.destinations(await self._api.http.get(path))
        except ForbiddenError as error:
            return findings.no_rights(error)
        except MoodreelError as error:
            return findings.webhook_not_fixed(error)
        return findings.webhook_fixed(address, is_kept=any(map(plugin.tells_all, kept)))

    async def _check_plugin(self) -> Finding:
        try:
            found = plugin.find_plugin(await self._api.http.get_list("/Plugins"))
            if found is None or not plugin.is_active(found):
                return findings.judge_plugin(found)
            path = f"/Plugins/{plugin.plugin_id(found)}/Configuration"
            return findings.judge_webhook(await self._api.http.get(path))
        except MoodreelError as error:
            return findings.not_looked_at("the webhook plugin", error)

    async def _check_libraries(self, version: tuple[int, ...]) -> list[Finding]:
        """What only administrators may ask, and the path mapping, which is tried in any case."""
        try:
            libraries = await self._api.http.get_list("/Library/VirtualFolders")
        except ForbiddenError as error:
            return [findings.no_rights(error), await self._check_paths({})]
        except MoodreelError as error:
            return [findings.not_looked_at("the libraries", error), await self._check_paths({})]
        trickplay = findings.judge_trickplay(libraries) if version >= USERLESS_SINCE else None
        return [
            await self._check_plugin(),
            *([trickplay] if trickplay else []),
            *[await self._check_paths(library) for library in libraries or [{}]],
        ]

    async def _check_paths(self, library: Json) -> Finding:
        """Try the path mapping on one real item of a library; of any, where none is named."""
        name = str(library.get("Name") or "")
        of_library = {"parentId": str(library["ItemId"])} if library.get("ItemId") else {}
        try:
            page = await self._api.items(
                "Path,MediaSources",
                recursive="true",
                includeItemTypes=",".join(KINDS),
                excludeLocationTypes="Virtual",
                limit="1",
                **of_library,
            )
            if not page:
                return findings.no_media(name)
            (source, *_) = list_sources(page[0], parse_item(page[0], "jellyfin").ref)
            path = await self._find_file(page[0], source)
        except MoodreelError as error:
            return findings.not_looked_at(f"the path mapping of {name or 'the library'}", error)
        if path is not None:
            return findings.files_seen(name, path)
        server_path = str(source.get("Path") or page[0].get("Path") or "")
        return findings.files_not_seen(name, server_path, find_library(server_path, [library])[1])
