"""Draws the OpenAPI document from the table of operations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.web import schema
from service.web.operations import FORM, JPEG, JSON, OPERATIONS, PREFIX, Operation
from service.web.session import COOKIE

Document = dict[str, Any]

FORM_SCHEMA: Document = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "query": {"$ref": "#/components/schemas/SearchRequest"},
        "picture": {"type": "string", "contentMediaType": "application/octet-stream"},
        "sound": {"type": "string", "contentMediaType": "application/octet-stream"},
    },
}
FORM_ENCODING: Document = {"query": {"contentType": JSON}}
REASONS: Mapping[int, str] = {
    400: "What was asked is not understood.",
    401: "Neither the key nor a session's cookie was shown.",
    403: "A session's cookie was sent by a page that is not ours.",
    404: "There is no such thing.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    415: "The body is of another kind than those listed.",
    429: "Too many requests; `Retry-After` says when the next one is granted.",
    503: "Not at present; `Retry-After` says when to come again.",
}


def document() -> Document:
    """The API as OpenAPI 3.1."""
    paths: dict[str, Document] = {}
    for operation in OPERATIONS:
        described = paths.setdefault(PREFIX + operation.path, {})
        described[operation.method.lower()] = _describe(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Moodreel",
            "version": version("moodreel"),
            "description": "Search what your library holds, scene by scene. All but this document "
            "asks for the key. Answers may be 304 to If-None-Match; every answer carries "
            "X-Request-ID.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"header": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
        },
    }


def _schemas() -> Document:
    drawn: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [
        (schema.Error, "serialization")
    ]
    for operation in OPERATIONS:
        if operation.body:
            drawn.append((operation.body, "validation"))
        if operation.answer:
            drawn.append((operation.answer, "serialization"))
    _, found = models_json_schema(drawn, ref_template="#/components/schemas/{model}")
    schemas: Document = found["$defs"]
    return schemas


def _describe(operation: Operation) -> Document:
    described: Document = {"operationId": operation.name, "summary": operation.summary}
    parameters = [
        *_parameters(operation.place, "path"),
        *_parameters(operation.parameters, "query"),
    ]
    if parameters:
        described["parameters"] = parameters
    if operation.body:
        described["requestBody"] = {"required": True, "content": _bodies(operation)}
    described["responses"] = {str(status): told for status, told in _answers(operation)}
    if operation.is_open:
        described["security"] = []
    return described


def _parameters(model: type[BaseModel] | None, place: str) -> Iterator[Document]:
    if model is None:
        return
    drawn = model.model_json_schema(ref_template="#/components/schemas/{model}")
    inner = drawn.get("$defs", {})
    for name, found in drawn["properties"].items():
        described: Document = {"name": name, "in": place, "schema": _inline(found, inner)}
        if place == "path" or name in drawn.get("required", ()):
            described["required"] = True
        if "description" in found:
            described["description"] = found["description"]
        yield described


def _inline(found: Document, inner: Document) -> Document:
    """A schema of a parameter: by itself, and without null, which no address can say."""
    if "$ref" in found:
        return _inline(inner[found["$ref"].rsplit("/", 1)[-1]], inner)
    kinds = [kind for kind in found.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        return _inline(kinds[0], inner)
    if kinds:
        return {"anyOf": [_inline(kind, inner) for kind in kinds]}
    kept = {name: value for name, value in found.items() if name not in {"title", "description"}}
    if "items" in kept:
        kept["items"] = _inline(kept["items"], inner)
    return kept


def _bodies(operation: Operation) -> Document:
    assert operation.body is not None  # noqa: S101  asked for operations with one alone
    bodies: Document = {JSON: {"schema": _ref(operation.body)}}
    if operation.takes_forms:
        bodies[FORM] = {"schema": FORM_SCHEMA, "encoding": FORM_ENCODING}
    return bodies


def _answers(operation: Operation) -> Iterator[tuple[int, Document]]:
    if operation.answer:
        yield (
            200,
            {"description": "As asked.", "content": {JSON: {"schema": _ref(operation.answer)}}},
        )
    elif operation.media_type:
        kind: Document = {} if operation.media_type == JPEG else {"schema": {"type": "object"}}
        yield 200, {"description": "As asked.", "content": {operation.media_type: kind}}
    else:
        yield 204, {"description": "Done."}
    if operation.is_tagged:
        yield 304, {"description": "It is what If-None-Match names."}
    error = {JSON: {"schema": _ref(schema.Error)}}
    for status in sorted(operation.errors):
        told: Document = {"description": REASONS[status], "content": error}
        yield status, told


def _ref(model: type[BaseModel]) -> Document:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
