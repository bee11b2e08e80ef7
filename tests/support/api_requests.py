"""Requests by the OpenAPI document, and now and then against it."""

from __future__ import annotations

import json
from urllib.parse import quote

from hypothesis import strategies as st

from service.web.openapi import document

DOCUMENT = document()

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


PLAIN = {
    "null": lambda schema: st.none(),
    "integer": lambda schema: st.integers(schema.get("minimum"), schema.get("maximum")),
    "number": lambda schema: st.floats(schema.get("minimum"), schema.get("maximum")),
    "string": lambda schema: st.text(max_size=schema.get("maxLength", 50)),
    "array": lambda schema: st.lists(values_of(schema["items"]), max_size=3),
    "object": lambda schema: st.fixed_dictionaries(
        {}, optional={name: values_of(each) for name, each in schema["properties"].items()}
    ),
}
FORMATS = {
    "date-time": st.datetimes(timezones=st.timezones() | st.none()).map(lambda at: at.isoformat()),
    "date": st.dates().map(str),
}


def values_of(schema):
    """What a schema allows, or nearly."""
    if "$ref" in schema:
        return values_of(DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]])
    if "anyOf" in schema:
        return st.one_of(*map(values_of, schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]]
    if "examples" in schema:
        return st.text(min_size=1).map("jellyfin/{}".format)
    return PLAIN[schema["type"]](schema)


def nearly(schema):
    """Mostly what is allowed; now and then anything at all."""
    return st.one_of(values_of(schema), values_of(schema), values_of(schema), ANYTHING)


def encode(value):
    return quote(str(value).encode("utf-8", "surrogatepass"), safe="")


@st.composite
def requests(draw, path, operation):
    """A request by the document: its address, and what is sent."""
    pairs = []
    for parameter in operation.get("parameters", ()):
        value = draw(nearly(parameter["schema"]))
        if parameter["in"] == "path":
            path = path.replace("{" + parameter["name"] + "}", encode(value) or "%20")
        elif draw(st.booleans()):
            values = value if isinstance(value, list) else [value]
            pairs += [f"{encode(parameter['name'])}={encode(each)}" for each in values]
    address = path + ("?" + "&".join(pairs) if pairs else "")
    bodies = operation.get("requestBody", {}).get("content", {})
    if not bodies:
        return address, None, {}
    sent = draw(nearly(bodies["application/json"]["schema"]))
    body = json.dumps(sent).encode()
    if "multipart/form-data" in bodies and draw(st.booleans()):
        picture = draw(st.binary(max_size=50))
        kind = "multipart/form-data; boundary=b"
        body = b"".join(
            b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % part
            for part in ((b"query", body), (b"picture", picture))
        )
        body += draw(st.sampled_from([b"--b--\r\n", b"--b", b""]))
        return address, body, {"Content-Type": kind}
    kinds = ["application/json"] * 4 + ["text/plain", "multipart/form-data; boundary=b"]
    return address, body, {"Content-Type": draw(st.sampled_from(kinds))}
