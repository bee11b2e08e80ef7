"""What the API offers, as a table: its routes and its OpenAPI document are both made of it."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from service.web import schema

PREFIX = "/api"
JSON = "application/json"
FORM = "multipart/form-data"
JPEG = "image/jpeg"
EVERYWHERE = (400, 401, 429, 503)
BODY_ERRORS = (403, 408, 413, 415)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing to ask."""

    name: str
    """Also of the method that does it."""
    path: str
    """Below ``PREFIX``."""
    summary: str
    method: str = "GET"
    place: type[BaseModel] | None = None
    """What stands in the path."""
    parameters: type[BaseModel] | None = None
    """What stands behind it."""
    body: type[BaseModel] | None = None
    takes_forms: bool = False
    answer: type[BaseModel] | None = None
    """As JSON; None: see ``media_type``."""
    media_type: str = ""
    """Of an answer that is no model; empty for one without a body (204)."""
    errors: tuple[int, ...] = EVERYWHERE
    is_open: bool = False
    """Whether strangers may ask."""
    is_tagged: bool = False
    """Whether answers carry an ETag, and may be 304."""


OPERATIONS = (
    Operation(
        name="search",
        path="/v1/search",
        summary="Find scenes and items by words, or by what is stored.",
        parameters=schema.SearchParameters,
        answer=schema.SearchResults,
        errors=(*EVERYWHERE, 404),
        is_tagged=True,
    ),
    Operation(
        name="search_by_example",
        path="/v1/search",
        method="POST",
        summary="Find scenes and items by words, a picture (8 MiB) or a sound (16 MiB).",
        body=schema.SearchRequest,
        takes_forms=True,
        answer=schema.SearchResults,
        errors=(*EVERYWHERE, *BODY_ERRORS, 404),
    ),
    Operation(
        name="items",
        path="/v1/items",
        summary="Items, what changed last first.",
        parameters=schema.ItemsParameters,
        answer=schema.Items,
        is_tagged=True,
    ),
    Operation(
        name="item",
        path="/v1/items/{server}/{item_id}",
        summary="All that was found in an item.",
        place=schema.ItemPath,
        answer=schema.Item,
        errors=(*EVERYWHERE, 404),
        is_tagged=True,
    ),
    Operation(
        name="item_thumbnail",
        path="/v1/items/{server}/{item_id}/thumbnail",
        summary="An item's poster, made small; without one its first scene.",
        place=schema.ItemPath,
        parameters=schema.ThumbnailParameters,
        media_type=JPEG,
        errors=(*EVERYWHERE, 404),
        is_tagged=True,
    ),
    Operation(
        name="scenes",
        path="/v1/items/{server}/{item_id}/scenes",
        summary="An item's scenes, in order of time.",
        place=schema.ItemPath,
        answer=schema.Scenes,
        errors=(*EVERYWHERE, 404),
        is_tagged=True,
    ),
    Operation(
        name="scene_thumbnail",
        path="/v1/items/{server}/{item_id}/scenes/{position}/thumbnail",
        summary="A scene's best picture.",
        place=schema.ScenePath,
        parameters=schema.ThumbnailParameters,
        media_type=JPEG,
        errors=(*EVERYWHERE, 404),
        is_tagged=True,
    ),
    Operation(
        name="status",
        path="/v1/status",
        summary="How much is stored, and how much waits.",
        answer=schema.Status,
        is_tagged=True,
    ),
    Operation(
        name="judge",
        path="/v1/feedback",
        method="POST",
        summary="Say of something that was found whether it is right, or take that back.",
        body=schema.FeedbackRequest,
        answer=schema.FeedbackAnswer,
        errors=(*EVERYWHERE, *BODY_ERRORS, 404),
    ),
    Operation(
        name="begin_session",
        path="/v1/session",
        method="POST",
        summary="Show the key once; from then on a cookie stands for it, for an hour without use.",
        body=schema.SessionRequest,
        answer=schema.Session,
        errors=(*EVERYWHERE, *BODY_ERRORS),
        is_open=True,
    ),
    Operation(
        name="end_session",
        path="/v1/session",
        method="DELETE",
        summary="Have the browser forget the cookie.",
        errors=(*EVERYWHERE, 403),
    ),
    Operation(
        name="openapi",
        path="/openapi.json",
        summary="This document.",
        media_type=JSON,
        errors=(400, 429),
        is_open=True,
        is_tagged=True,
    ),
)
