"""Reads what is asked: in an address, in JSON, or in a form with a picture or a sound."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, ValidationError

from service.domain import ItemRef
from service.query import Example, Filters, Query, SceneKey, SearchChannel
from service.web.operations import FORM, JSON
from service.web.schema import FilterRequest, Like, SearchParameters, SearchRequest

Model = TypeVar("Model", bound=BaseModel)
Found = TypeVar("Found")

WHOLE_ITEM = -1
BODY_TIMEOUT_S = 20.0
"""16 MiB at 7 Mbit/s: a poor radio link."""
PART_BYTES = {"query": 256 * 1024, "picture": 8 << 20, "sound": 16 << 20}
"""A phone's picture has 2 to 6 MB; a minute of CD sound 10 MB."""
WEIGHT_PREFIX = "weight_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a request's body holds."""

    request: SearchRequest
    picture: bytes = b""
    sound: bytes = b""


def read_parameters(model: type[Model], request: web.Request) -> Model:
    """What stands behind the path; raises HTTPBadRequest."""
    found: dict[str, object] = {}
    for name in request.query:
        values = request.query.getall(name)
        field = model.model_fields.get(name)
        is_list = field is not None and isinstance(field.default, list)
        if not is_list and len(values) > 1:
            raise web.HTTPBadRequest(text=f"{name[:40]}: stands there more than once")
        found[name] = values if is_list else values[0]
    return _check(model, found)


def read_place(model: type[Model], request: web.Request) -> Model:
    """What stands in the path; what cannot be there is not there (404)."""
    try:
        return model.model_validate(dict(request.match_info))
    except ValidationError as error:
        raise web.HTTPNotFound(text="there is no such thing") from error


async def read_json(model: type[Model], request: web.Request) -> Model:
    """A body that is JSON; raises HTTPBadRequest and its like."""
    if request.content_type != JSON:
        raise web.HTTPUnsupportedMediaType(text=f"the body must be {JSON}")
    return _parse(model, await _in_time(request.read()))


async def read_search(request: web.Request) -> Sent:
    """A search in a body, JSON or a form."""
    if request.content_type == JSON:
        return Sent(request=await read_json(SearchRequest, request))
    if request.content_type == FORM:
        parts = await _in_time(_read_form(request))
        return Sent(
            request=_parse(SearchRequest, parts.get("query") or b"{}"),
            picture=parts.get("picture", b""),
            sound=parts.get("sound", b""),
        )
    raise web.HTTPUnsupportedMediaType(text=f"the body must be {JSON} or {FORM}")


def query_of(sent: Sent) -> Query:
    """The same as the search knows it."""
    asked = sent.request
    examples = [_example(like) for like in asked.like]
    if sent.picture:
        examples.append(Example(picture=sent.picture, weight=asked.picture_weight))
    if sent.sound:
        examples.append(Example(sound=sent.sound, weight=asked.sound_weight))
    return Query(
        text=asked.q,
        mode=asked.mode,
        filters=filters_of(asked.filters),
        examples=tuple(examples),
        limit=asked.limit,
        weights=_weights(asked.weights.model_dump()),
    )


def query_of_address(asked: SearchParameters) -> Query:
    """Likewise."""
    named = {
        name.removeprefix(WEIGHT_PREFIX): value
        for name, value in asked.model_dump().items()
        if name.startswith(WEIGHT_PREFIX)
    }
    return Query(
        text=asked.q,
        mode=asked.mode,
        filters=filters_of(asked),
        examples=tuple(Example(scene=_scene_of(text)) for text in asked.like),
        limit=asked.limit,
        weights=_weights(named),
    )


def filters_of(asked: FilterRequest) -> Filters:
    """The same as the database knows them."""
    return Filters(
        servers=tuple(asked.server),
        kinds=tuple(asked.kind),
        libraries=tuple(asked.library),
        items=tuple(map(ItemRef.parse, asked.item)),
        added_after=asked.added_after,
        added_before=asked.added_before,
        moods=tuple(asked.mood),
        tags=tuple(asked.tag),
    )


def _weights(named: Mapping[str, float | None]) -> dict[SearchChannel, float]:
    return {SearchChannel(name): value for name, value in named.items() if value is not None}


def _example(like: Like) -> Example:
    position = WHOLE_ITEM if like.position is None else like.position
    return Example(
        scene=SceneKey(ref=ItemRef.parse(like.item), position=position), weight=like.weight
    )


def _scene_of(text: str) -> SceneKey:
    """``server/item``, or ``server/item/position``."""
    ref = ItemRef.parse(text)
    item_id, _, position = ref.item_id.rpartition("/")
    if item_id and position.isascii() and position.isdigit() and len(position) < 10:  # noqa: PLR2004  a 32-bit number
        return SceneKey(ref=ItemRef(server=ref.server, item_id=item_id), position=int(position))
    return SceneKey(ref=ref, position=WHOLE_ITEM)


async def _read_form(request: web.Request) -> dict[str, bytes]:
    try:
        reader = await request.multipart()
        parts: dict[str, bytes] = {}
        while (part := await reader.next()) is not None:
            name = part.name if isinstance(part, BodyPartReader) else None
            if not isinstance(part, BodyPartReader) or name not in PART_BYTES or name in parts:
                raise web.HTTPBadRequest(
                    text=f"a form has each of {', '.join(PART_BYTES)} at most once, and no more"
                )
            parts[name] = await _read_part(part, PART_BYTES[name])
    except (ValueError, AssertionError, HttpProcessingError, web.RequestPayloadError) as error:
        raise web.HTTPBadRequest(text="the body is no form as its header says") from error
    return parts


async def _read_part(part: BodyPartReader, limit: int) -> bytes:
    """As it is: whoever encodes it once more sends nothing that can be read."""
    content = bytearray()
    while chunk := await part.read_chunk(64 * 1024):
        content += chunk
        if len(content) > limit:
            raise web.HTTPRequestEntityTooLarge(limit, len(content))
    return bytes(content)


async def _in_time(reading: Awaitable[Found]) -> Found:
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await reading
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(text="the body came too slowly") from error
    except web.RequestPayloadError as error:
        raise web.HTTPBadRequest(text="the body is not encoded as its headers say") from error


def _parse(model: type[Model], body: bytes) -> Model:
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise web.HTTPBadRequest(text=_explain(error)) from error


def _check(model: type[Model], found: Mapping[str, object]) -> Model:
    try:
        return model.model_validate(found)
    except ValidationError as error:
        raise web.HTTPBadRequest(text=_explain(error)) from error


def _explain(error: ValidationError) -> str:
    """What is wrong with which field; not what it held."""
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(
        f"{'.'.join(map(str, problem['loc']))[:80] or 'body'}: "
        + problem["msg"].removeprefix("Value error, ")
        for problem in problems[:5]
    )
