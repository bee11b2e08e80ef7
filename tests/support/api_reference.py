"""Writes docs/reference/api.md from the OpenAPI document, so that it cannot lie.

Run ``python -m tests.support.api_reference`` after changing the API.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.web.openapi import document

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "api.md"
HEAD = """# API

All is below `/api`, speaks JSON, and asks for the key (`MOODREEL_API_KEY`, or what `moodreel
doctor` names) as `Authorization: Bearer KEY` or `X-API-Key: KEY`; never in an address. A page may
show it once to `/api/v1/session` and goes on with a cookie. How to use it:
[Search](../howto/search.md#from-a-program). The same for programs: `GET /api/openapi.json` (OpenAPI
3.1), for which nobody needs the key. This page is made from that document.

- Errors have one shape, `{"error": "what is wrong"}`; `X-Request-ID` finds their line in the log.
- Answers to `GET` have an `ETag`; with `If-None-Match` what is unchanged is `304`, without a body.
  `HEAD` answers as `GET` does, without a body.
- Who asks more than `MOODREEL_API_RATE` requests a second gets `429`; what is busy `503`; both say
  in `Retry-After` when to come again. A reverse proxy wants to be named in
  `MOODREEL_TRUSTED_PROXIES`: else all who come through it are one client.
- An address may have 64 KiB; send longer searches as a body.
- Texts come as files and servers have them: escape them before you put them into a page.
- What stands in a path is percent-encoded: `folder/a b` is at `/api/v1/items/folder/a%20b`.
- Answers may have more fields than this page names: a new version may add some.
- Another key (set `MOODREEL_API_KEY` anew, or delete the file `api-key` in the data directory, and
  start again) ends all sessions and shuts out whoever knows the former one.

## Examples

```sh
API=http://127.0.0.1:8686/api/v1
KEY="Authorization: Bearer $MOODREEL_API_KEY"

# Words, only in films, the five best
curl -H "$KEY" "$API/search?q=rain+at+night&kind=movie&limit=5"

# More like the first scene of an item, but at night
curl -H "$KEY" "$API/search?q=at+night&like=jellyfin/1af3ad54ae6d892360df4b2738d65893/0"

# More like a picture, and not like that scene
LIKE='{"item": "jellyfin/1af3ad54ae6d892360df4b2738d65893", "position": 0, "weight": -0.5}'
curl -H "$KEY" "$API/search" --form picture=@beach.jpg --form-string "query={\\"like\\": [$LIKE]}"

# What failed, and why; `next` is where the next page is, until it is null
curl -H "$KEY" "$API/items?state=failed&limit=100"

# All of an item, its scenes, and the picture of the first one
ITEM="$API/items/jellyfin/1af3ad54ae6d892360df4b2738d65893"
curl -H "$KEY" "$ITEM"
curl -H "$KEY" "$ITEM/scenes"
curl -H "$KEY" "$ITEM/scenes/0/thumbnail?width=320" --output scene.jpg

# Only if it changed
curl -H "$KEY" --etag-save items.etag "$API/items" --output items.json
curl -H "$KEY" --etag-compare items.etag "$API/items"
```

A search is answered so. `start_s` is where to begin to see it, in seconds, and `url` the item's
page on its media server, where that has one; none of them takes a time in an address.

```json
{
  "hits": [
    {
      "item": "jellyfin/1af3ad54ae6d892360df4b2738d65893",
      "position": 12,
      "title": "The Tide",
      "kind": "movie",
      "series": "",
      "season_number": null,
      "episode_number": null,
      "library": "Films",
      "year": 1999,
      "start_s": 62.0,
      "end_s": 70.5,
      "score": 0.94,
      "parts": {
        "transcript": {"score": 0.61, "rank": 1, "share": 0.52},
        "visual": {"score": 0.29, "rank": 3, "share": 0.42}
      },
      "snippet": "The rain will not stop before morning.",
      "caption": "",
      "tags": ["rain", "harbour"],
      "moods": ["melancholic"],
      "url": "https://jellyfin.example.org/web/#/details?id=1af3ad54ae6d892360df4b2738d65893",
      "thumbnail": "/api/v1/items/jellyfin/1af3ad54ae6d892360df4b2738d65893/scenes/12/thumbnail"
    }
  ],
  "mode": "recall",
  "route": {
    "mode": "recall", "confidence": 0.7, "reasons": ["lights: rain"], "visual": 2, "speech": 0
  },
  "degraded": [],
  "seconds": {"vectors": 0.01, "look_up": 0.02, "cards": 0.002, "total": 0.032}
}
```

"""
DOCUMENT = document()
SCHEMAS = DOCUMENT["components"]["schemas"]


def render() -> str:
    """The whole page."""
    return HEAD + "\n".join([*_operations(), "## Shapes\n", *_shapes()])


def _operations() -> Iterator[str]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield f"## {method.upper()} {path}\n"
            is_open = operation.get("security") == []
            yield operation["summary"] + (" For everybody." if is_open else "") + "\n"
            if operation.get("parameters"):
                yield "| parameter | in | type | what |\n|---|---|---|---|"
                yield from map(_parameter, operation["parameters"])
                yield ""
            for kind, body in operation.get("requestBody", {}).get("content", {}).items():
                yield f"Body: `{kind}`, {_form(body['schema'])}.\n"
            yield "Answers: " + ", ".join(_answers(operation["responses"])) + ".\n"


def _form(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return _type(schema)
    parts = (f"`{name}` ({_type(each)})" for name, each in schema["properties"].items())
    return "a form of " + ", ".join(parts)


def _parameter(parameter: dict[str, Any]) -> str:
    told = parameter.get("description", "")
    return f"| `{parameter['name']}` | {parameter['in']} | {_type(parameter['schema'])} | {told} |"


def _answers(responses: dict[str, Any]) -> Iterator[str]:
    for status, response in responses.items():
        for kind, content in response.get("content", {"": {}}).items():
            if int(status) >= 400 or not kind:
                yield status
            else:
                shape = _type(content["schema"]) if "$ref" in content.get("schema", {}) else ""
                yield f"{status} {shape or f'`{kind}`'}"


def _shapes() -> Iterator[str]:
    for name, schema in sorted(SCHEMAS.items()):
        if "properties" not in schema:
            continue
        yield f"### {name}\n"
        yield "| field | type | what |\n|---|---|---|"
        for field, found in schema["properties"].items():
            yield f"| `{field}` | {_type(found)} | {found.get('description', '')} |"
        yield ""


def _type(schema: dict[str, Any]) -> str:
    """In words, with its bounds."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        enum = SCHEMAS[name].get("enum")
        return _one_of(enum) if enum else f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        kinds = [_type(kind) for kind in schema["anyOf"] if kind != {"type": "null"}]
        return " or ".join(kinds) + " or null" * (len(kinds) < len(schema["anyOf"]))
    if "enum" in schema:
        return _one_of(schema["enum"])
    return _plain_type(schema)


def _plain_type(schema: dict[str, Any]) -> str:
    kind = schema.get("format") or schema.get("type", "anything")
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"{_type(schema['additionalProperties'])} by name"
    if "contentMediaType" in schema:
        return "file"
    least, most = schema.get("minimum"), schema.get("maximum")
    if (least, most) != (None, None):
        kind += (
            f", {'' if least is None else f'{least:g}'} to {'' if most is None else f'{most:g}'}"
        )
    if "maxLength" in schema:
        kind += f" of at most {schema['maxLength']}"
    if schema.get("default") not in (None, "", []):
        kind += f"; {schema['default']}"
    return str(kind)


def _one_of(values: list[Any]) -> str:
    return ", ".join(f"`{value}`" for value in values)


if __name__ == "__main__":
    PAGE.write_text(render())
