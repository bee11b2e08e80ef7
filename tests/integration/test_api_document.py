"""The OpenAPI document: that it is one, that answers are as it says, and that nothing asked by it
(nor against it) breaks the service.
"""

from __future__ import annotations

import asyncio

import openapi_spec_validator
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from yarl import URL

from service.web.operations import OPERATIONS
from tests.support import api_reference
from tests.support.api import BEARER, FILM_PATH, ServedApi
from tests.support.api_requests import DOCUMENT, requests

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
    openapi_spec_validator.validate(DOCUMENT)


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
