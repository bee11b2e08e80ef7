"""The OpenAPI document: that it is one, that answers are as it says, and that nothing asked by it
(nor against it) breaks the service.
"""

from __future__ import annotations

import asyncio
import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from yarl import URL

from service.web.openapi import OPERATIONS, document
from tests.support import api_reference
from tests.support.api import BEARER, FILM_PATH, ServedApi

DOCUMENT = document()
METHODS = [
    pytest.param(path, method, id=operation["operationId"])
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]


def whole(schema):
    """A schema by itself, with what it refers to."""
    return {**schema, "components": DOCUMENT["components"]}


def check(schema, value):
    Draft202012Validator(whole(schema), format_checker=FormatChecker()).validate(value)


# That it is one ---------------------------------------------------------------------------------


def test_it_is_an_openapi_document():
    validator = pytest.importorskip(
        "openapi_spec_validator", reason="openapi-spec-validator is not installed"
    )
    validator.validate(DOCUMENT)


def test_all_of_its_schemas_are_schemas_and_all_references_lead_somewhere():
    schemas = DOCUMENT["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    named = set(_refs(DOCUMENT))
    assert named == {f"#/components/schemas/{name}" for name in schemas}


def _refs(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _refs(each)


def test_each_operation_has_a_name_of_its_own_and_all_that_stands_in_its_path():
    assert len({each.name for each in OPERATIONS}) == len(OPERATIONS)
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            placed = {
                found["name"] for found in operation.get("parameters", ()) if found["in"] == "path"
            }
            assert {part[1:-1] for part in path.split("/") if part.startswith("{")} == placed


def test_all_but_the_document_and_the_session_ask_for_the_key():
    is_open = {
        operation["operationId"]
        for methods in DOCUMENT["paths"].values()
        for operation in methods.values()
        if operation.get("security") == []
    }
    assert is_open == {"openapi", "begin_session"}


def test_the_page_says_what_the_document_does():
    page = api_reference.PAGE.read_text()
    assert page == api_reference.render(), "run: python -m tests.support.api_reference"


async def test_the_service_hands_it_out(tmp_path):
    async with ServedApi(tmp_path).serving() as api:
        _, answer, _ = await api.get("/api/openapi.json", headers={})
    assert answer == DOCUMENT


# That answers are as it says --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "path"),
    [
        ("/api/v1/search", "/api/v1/search?q=boat"),
        ("/api/v1/items", "/api/v1/items"),
        ("/api/v1/items/{server}/{item_id}", FILM_PATH),
        ("/api/v1/items/{server}/{item_id}", "/api/v1/items/jellyfin/waiting"),
        ("/api/v1/items/{server}/{item_id}/scenes", f"{FILM_PATH}/scenes"),
        ("/api/v1/status", "/api/v1/status"),
    ],
)
async def test_an_answer_has_its_shape(tmp_path, shown, path):
    async with ServedApi(tmp_path).serving() as api:
        status, answer, _ = await api.get(URL(path, encoded=True))
    assert status == 200
    content = DOCUMENT["paths"][shown]["get"]["responses"]["200"]["content"]
    check(content["application/json"]["schema"], answer)


# That nothing breaks the service ----------------------------------------------------------------


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    """Asks the application; one loop for all requests."""
    with asyncio.Runner() as runner:
        served = ServedApi(tmp_path_factory.mktemp("api"), rate_per_s=1e9)
        serving = served.serving()
        runner.run(serving.__aenter__())
        yield lambda *args, **options: runner.run(served.ask(*args, **options))
        runner.run(serving.__aexit__(None, None, None))


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


def values_of(schema):
    """What a schema allows, or nearly."""
    if "$ref" in schema:
        return values_of(DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]])
    if "anyOf" in schema:
        return st.one_of(*map(values_of, schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("format") == "date-time":
        return st.datetimes(timezones=st.timezones() | st.none()).map(lambda at: at.isoformat())
    if "pattern" in schema:
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


@pytest.mark.parametrize(("path", "method"), METHODS)
@settings(
    max_examples=30,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_whatever_is_asked_by_the_document_is_answered_by_it(door, path, method, data):
    operation = DOCUMENT["paths"][path][method]
    address, body, headers = data.draw(requests(path, operation))

    status, answer, told = door(
        method.upper(), URL(address, encoded=True), data=body, headers={**BEARER, **headers}
    )

    assert status < 500, answer
    assert str(status) in operation["responses"], answer
    content = operation["responses"][str(status)].get("content", {})
    if "application/json" in content:
        check(content["application/json"]["schema"], answer)
    else:
        assert told.get("Content-Type", "").partition(";")[0] in content or not answer
