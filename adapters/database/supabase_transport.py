"""To a Supabase project, through its PostgREST.

Imported only where it is used: supabase-py takes 0.5 s and 50 MB.
"""

from __future__ import annotations

from typing import Any, Self

import httpx
from postgrest.exceptions import APIError
from supabase import (
    AsyncClient,
    AsyncClientOptions,
    AsyncSupabaseException,
    create_async_client,
)

from adapters.database.failures import failure
from adapters.database.transports import CALL_TIMEOUT_S, CONNECT_TIMEOUT_S
from service.domain import Json
from service.errors import ConfigurationError, TransientError

SETTING = "SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY"
REQUEST_BYTES = 1_000_000
"""Hosted Supabase documents no limit of a request's body; a megabyte has always passed."""
LONGEST_QUOTE = 200
"""Characters of a stranger's answer that a message repeats."""


class SupabaseTransport:
    """Through PostgREST, as hosted and self-hosted Supabase offer it."""

    request_bytes: int | None = REQUEST_BYTES

    def __init__(self, client: AsyncClient, http: httpx.AsyncClient, place: str) -> None:
        self.place = place
        self._client = client
        self._http = http

    @classmethod
    async def open(
        cls, url: str, key: str, *, http_transport: httpx.AsyncBaseTransport | None = None
    ) -> Self:
        """Make a client; nothing is sent yet.

        Args:
            url: The project's address, without ``/rest/v1``.
            key: A secret key, or a JWT of the role ``service_role``.
            http_transport: How requests travel: for a PostgREST without Supabase's gateway.

        Raises:
            ConfigurationError: The address or the key cannot be one.
        """
        http = httpx.AsyncClient(
            transport=http_transport,
            timeout=httpx.Timeout(CALL_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            follow_redirects=False,  # the key would go along to whatever host is named
            event_hooks={"response": [_refuse_strangers]},
        )
        options = AsyncClientOptions(
            httpx_client=http, auto_refresh_token=False, persist_session=False
        )
        try:
            client = await create_async_client(url, key, options)
        except (AsyncSupabaseException, ValueError) as error:
            await http.aclose()
            raise ConfigurationError(f"SUPABASE_URL or its key: {error}") from error
        return cls(client, http, place=url)

    async def call(self, function: str, request: Json) -> Any:  # noqa: ANN401  any JSON value
        tried = f"{function} on {self.place}"
        try:
            answer = await self._client.rpc(function, {"request": request}).execute()
        except APIError as error:
            raise failure(
                error.code or "", error.message or "", tried=tried, setting=SETTING
            ) from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise ConfigurationError(f"SUPABASE_URL: {error}") from error
        except httpx.HTTPError as error:
            raise TransientError(f"{tried}: {str(error) or type(error).__name__}") from error
        return answer.data

    async def aclose(self) -> None:
        await self._http.aclose()


async def _refuse_strangers(response: httpx.Response) -> None:
    """Read what is not PostgREST's own answer while its HTTP status is still known.

    The gateway before it, or a proxy, answers without a code, or with a page.
    """
    await response.aread()
    if response.is_redirect:
        raise ConfigurationError(
            f"{response.request.url} redirects: set SUPABASE_URL to the project's final address"
        )
    tried = f"{response.request.method} {response.request.url}"
    said = f"{response.reason_phrase}: {response.text[:LONGEST_QUOTE]}"
    try:
        answer = response.json()
    except ValueError as error:
        if response.is_success and response.content:
            raise ConfigurationError(f"{tried}: no Supabase project answers: {said}") from error
        answer = None
    if response.is_error and not (isinstance(answer, dict) and answer.get("code")):
        refusal = failure(str(response.status_code), said, tried=tried, setting=SETTING)
        wait = response.headers.get("Retry-After", "")
        if isinstance(refusal, TransientError) and wait.isdecimal():
            refusal.retry_after_s = float(wait)
        raise refusal
