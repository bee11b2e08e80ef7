"""Pictures that somebody else wants encoded: fetched from a few hosts only, decoded within bounds.

An address is a stranger's wish to have this machine connect somewhere. It is followed to hosts that
the owner named, never to a redirect's goal, and into private networks only where the owner named
the network itself: a name may point anywhere.
"""

from __future__ import annotations

import asyncio
import io
import ipaddress
import socket
from dataclasses import dataclass, field

import aiohttp
import numpy as np
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from PIL import Image, ImageOps
from yarl import URL

from service.domain import UInt8
from service.errors import ConfigurationError, PermanentError
from service.scans import has_endless_scans

PICTURE_LIMIT_BYTES = 10 * 1024 * 1024
"""Of a file (Heimdex' service)."""
PICTURE_LIMIT_PIXELS = 25_000_000
"""Of a picture that is decoded at all: 75 MB; the file may have but 46 kB."""
SHORT_SIDE = 512
"""To which a larger picture is reduced at once, so that a batch of 16 stays small. Models look at
224 to 384."""
LONG_SIDE = 4096
"""Likewise, of a strip."""
FORMATS = ("JPEG", "PNG", "WEBP")
FETCH_TIMEOUT_S = 10.0
"""From the look-up of the name to the last byte."""
EVERYWHERE = "*"
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""Ends in the IPv4 address that it leads to (RFC 6052); public ones are found so by DNS64."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class PictureError(PermanentError):
    """A picture that cannot be had, or cannot be decoded.

    Args:
        code: One word for programs.
        message: Why.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class PictureHosts:
    """Hosts that pictures may be fetched from.

    Private addresses, this machine's own among them, only where they, or a network around them,
    are named.
    """

    names: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = ()
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    is_open: bool = False
    """Whether any public host will do."""

    @classmethod
    def parse(cls, text: str) -> PictureHosts:
        """Read ``cdn.example.org, .example.net, 192.168.1.0/24, *``.

        Raises:
            ConfigurationError: Something in it is none of these.
        """
        names, suffixes, networks = set(), [], []
        for part in filter(None, (part.strip().lower() for part in text.split(","))):
            try:
                networks.append(ipaddress.ip_network(part.strip("[]"), strict=False))
                continue
            except ValueError:
                pass
            bare = part.removeprefix("*").removeprefix(".")
            if part != EVERYWHERE and (not bare or set(bare) & set("/:@*[] ")):
                raise ConfigurationError(
                    f"MOODREEL_ENCODE_PICTURE_HOSTS: {part!r} is no host, network or .domain"
                )
            if part.startswith((".", "*.")):
                suffixes.append(f".{bare}")
            elif part != EVERYWHERE:
                names.add(bare.rstrip("."))
        is_open = EVERYWHERE in {part.strip() for part in text.split(",")}
        return cls(frozenset(names), tuple(suffixes), tuple(networks), is_open)

    def allows_host(self, host: str) -> bool:
        """Whether it may be asked; where a name leads to is another question."""
        name = host.lower().rstrip(".")
        address = _address_of(name)
        if address is not None:
            return self._names(address) or (self.is_open and _is_public(address))
        return self.is_open or name in self.names or name.endswith(self.suffixes or ("\0",))

    def allows_address(self, text: str) -> bool:
        """Whether an address that an allowed name leads to may be connected to."""
        address = _address_of(text)
        return address is not None and (_is_public(address) or self._names(address))

    def _names(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


@dataclass(slots=True)
class PictureFetcher:
    """Fetches pictures by their addresses."""

    hosts: PictureHosts
    timeout_s: float = FETCH_TIMEOUT_S
    _session: aiohttp.ClientSession | None = field(default=None, init=False)

    async def fetch(self, address: str) -> bytes:
        """A picture's file, at most 10 MB.

        Raises:
            PictureError: Its host is not allowed, or it does not give a picture in time.
        """
        url = self._judge(address)
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._read(url)
        except TimeoutError as error:
            message = f"{url.host} gave no whole picture within {self.timeout_s:g} s"
            raise PictureError("DOWNLOAD_ERROR", message) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(getattr(error, "os_error", None), _NotAllowedError):
                raise self._refuse(url) from None
            # Not chained: some of aiohttp's errors spell out the whole address.
            message = f"{url.host}: {type(error).__name__}"
            raise PictureError("DOWNLOAD_ERROR", message) from None

    async def aclose(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()

    def _judge(self, address: str) -> URL:
        try:
            url = URL(address)
        except ValueError:
            raise PictureError("INVALID_URL", "image_url is no address") from None
        if url.scheme not in {"http", "https"} or not url.host or url.user or url.password:
            raise PictureError("INVALID_URL", "image_url must be http(s)://HOST/... without a name")
        if not self.hosts.allows_host(url.host):
            raise self._refuse(url)
        return url

    def _refuse(self, url: URL) -> PictureError:
        return PictureError(
            "HOST_NOT_ALLOWED",
            f"pictures may not be fetched from {url.host}: MOODREEL_ENCODE_PICTURE_HOSTS on the "
            "server names those that may (private addresses need their network there); or send "
            "the picture itself as image",
        )

    async def _read(self, url: URL) -> bytes:
        session = self._open()
        async with session.get(url, allow_redirects=False) as response:
            if response.status != 200:  # noqa: PLR2004  a redirect among them
                message = f"{url.host} answered {response.status}"
                raise PictureError("DOWNLOAD_ERROR", message)
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > PICTURE_LIMIT_BYTES:
                    message = f"{url.host} gave more than {PICTURE_LIMIT_BYTES} bytes"
                    raise PictureError("TOO_LARGE", message)
        return bytes(body)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=_Resolver(self.hosts), limit=16),
                headers={"accept-encoding": "identity"},
                auto_decompress=False,  # what is packed although nobody asked stays packed
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session


def decode_picture(data: bytes) -> UInt8:
    """A JPEG, PNG or WebP as upright ``(H, W, 3)`` RGB, its short side at most 512.

    Raises:
        PictureError: It is none, or has more than 25 million pixels.
    """
    if has_endless_scans(data):
        raise PictureError("TOO_LARGE", "it has more scans than a picture needs")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            _check_size(picture)
            if (size := _reduced(*picture.size)) != picture.size:
                picture.thumbnail(size, Image.Resampling.BICUBIC)  # of a JPEG not even all is read
            upright = ImageOps.exif_transpose(picture).convert("RGB")
            return np.asarray(upright, dtype=np.uint8)
    except PictureError:
        raise
    except Exception as error:  # a decoder of strangers' pictures may raise anything
        message = f"it cannot be decoded as {', '.join(FORMATS)}: {type(error).__name__}"
        raise PictureError("INVALID_IMAGE", message) from error


def _check_size(picture: Image.Image) -> None:
    """Before a pixel of it is decoded."""
    if picture.width * picture.height > PICTURE_LIMIT_PIXELS:
        raise PictureError("TOO_LARGE", f"it has more than {PICTURE_LIMIT_PIXELS} pixels")


def _reduced(width: int, height: int) -> tuple[int, int]:
    factor = min(1.0, SHORT_SIDE / min(width, height), LONG_SIDE / max(width, height))
    return max(1, round(width * factor)), max(1, round(height * factor))


class _NotAllowedError(OSError):
    """A name leads to where nothing may be fetched from."""


class _Resolver(AbstractResolver):
    """Finds only what may be connected to: what is connected to afterwards is what it found."""

    def __init__(self, hosts: PictureHosts) -> None:
        self._hosts = hosts
        self._inner: ThreadedResolver | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self._inner = self._inner or ThreadedResolver()
        found = await self._inner.resolve(host, port, family)
        allowed = [entry for entry in found if self._hosts.allows_address(entry["host"])]
        if found and not allowed:
            raise _NotAllowedError(f"{host} is at no public address")
        return allowed

    async def close(self) -> None:
        """Nothing is kept open."""


def _address_of(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_public(address: Address) -> bool:
    is_special = address.is_multicast or address.is_reserved
    if isinstance(address, ipaddress.IPv6Address):
        is_special = is_special or address.is_site_local  # FEC0::/10, which Python calls global
    return address.is_global and not is_special
