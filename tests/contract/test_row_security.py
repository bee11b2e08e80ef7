"""Who may read and call what, asked through the real PostgREST."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from adapters.database import migrate
from tests.support.postgres import fresh_database
from tests.support.postgrest import URL, PostgRest, key, postgrest

STRANGERS = {"nobody": None, "anon": key("anon"), "authenticated": key("authenticated")}

DEFAULTS_OF_OLDER_PROJECTS = """
alter default privileges in schema public
  grant all on tables to anon, authenticated, service_role;
alter default privileges in schema public
  grant all on functions to anon, authenticated, service_role;
alter default privileges in schema public
  grant all on sequences to anon, authenticated, service_role;
"""


@pytest.fixture(scope="module", params=["granting-nothing", "granting-all"])
def dsn(request, postgres) -> Iterator[str]:
    """A migrated database; projects of before 2026 grant everything by default."""
    with fresh_database(postgres) as fresh:
        with psycopg.connect(fresh, autocommit=True) as admin:
            if request.param == "granting-all":
                admin.execute(DEFAULTS_OF_OLDER_PROJECTS)
        asyncio.run(migrate.apply(fresh))
        with psycopg.connect(fresh, autocommit=True) as admin:
            admin.execute("insert into media_items (server, item_id) values ('jellyfin', '1')")
            admin.execute("create table of_the_owner as select 1 as id")
            admin.execute("grant select on of_the_owner to anon, authenticated, service_role")
        yield fresh


@pytest.fixture(scope="module")
def server(dsn) -> Iterator[PostgRest]:
    with postgrest(dsn) as running:
        yield running


def names(dsn: str, query: str) -> list[str]:
    with psycopg.connect(dsn) as admin:
        return [name for (name,) in admin.execute(query.encode()).fetchall()]


def our_tables(dsn: str) -> list[str]:
    return names(
        dsn,
        "select relname from pg_class where relkind in ('r', 'v', 'm') "
        "and relnamespace = 'public'::regnamespace and relname <> 'of_the_owner'",
    )


def our_functions(dsn: str) -> list[str]:
    return names(dsn, "select proname from pg_proc where pronamespace = 'public'::regnamespace")


def client(server: PostgRest, secret: str | None) -> httpx.Client:
    headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    transport = httpx.HTTPTransport(uds=str(server.socket))
    return httpx.Client(transport=transport, base_url=URL, headers=headers)


@pytest.mark.parametrize("stranger", STRANGERS)
def test_strangers_read_no_table_and_write_none(stranger, server, dsn):
    with client(server, STRANGERS[stranger]) as http:
        assert http.get("/of_the_owner").json() == [{"id": 1}]
        tables = our_tables(dsn)
        assert len(tables) == 17
        for table in tables:
            answers = [
                http.get(f"/{table}"),
                http.post(f"/{table}", json={}),
                http.patch(f"/{table}", json={}),
                http.delete(f"/{table}"),
            ]
            for answer in answers:
                refused = answer.status_code in {401, 403} and answer.json()["code"] == "42501"
                empty_patch = answer.request.method == "PATCH" and answer.json() == []
                read_only = answer.request.method != "GET" and answer.json()["code"] == "55000"
                assert refused or empty_patch or read_only, (table, answer.request, answer.text)


@pytest.mark.parametrize("stranger", STRANGERS)
def test_strangers_call_no_function(stranger, server, dsn):
    with client(server, STRANGERS[stranger]) as http:
        functions = our_functions(dsn)
        assert len(functions) > 15
        for function in functions:
            answer = http.post(f"/rpc/{function}", json={"request": {}})
            assert answer.status_code in {401, 403}, (function, answer.text)
            assert answer.json()["code"] == "42501"


def test_inner_tables_and_functions_are_not_reachable_at_all(server):
    with client(server, key("service_role")) as http:
        for path in ("/uploads", "/rpc/fence"):
            assert http.post(path, json={}).status_code == 404
            answer = http.post(path, json={}, headers={"Content-Profile": "moodreel"})
            assert answer.json()["code"] == "PGRST106"


def test_the_service_reads_every_table_and_writes_through_functions_only(server, dsn):
    with client(server, key("service_role")) as http:
        for table in our_tables(dsn):
            assert http.get(f"/{table}").status_code == 200
        assert [row["item_id"] for row in http.get("/media_items").json()] == ["1"]
        assert http.delete("/media_items").json()["code"] == "42501"
        assert http.post("/media_items", json={"server": "x", "item_id": "y"}).status_code == 403
        answer = http.post("/rpc/moodreel_counts", json={"request": {}})
        assert answer.json()["items_pending"] == 1


def test_every_table_has_row_security_and_no_policy(dsn):
    assert not names(
        dsn,
        "select relname from pg_class where relkind = 'r' and not relrowsecurity "
        "and relnamespace in ('public'::regnamespace, 'moodreel'::regnamespace) "
        "and relname <> 'of_the_owner'",
    )
    assert not names(dsn, "select policyname from pg_policies")


def test_every_view_reads_with_the_rights_of_whoever_asks(dsn):
    """One that read with its owner's would pass by the row security of its tables."""
    assert names(dsn, "select relname from pg_class where relkind = 'v' and relacl is not null")
    assert not names(
        dsn,
        "select relname from pg_class where relkind in ('v', 'm') "
        "and relnamespace in ('public'::regnamespace, 'moodreel'::regnamespace) "
        "and not coalesce(reloptions @> '{security_invoker=on}', false)",
    )


def test_no_grant_is_left_to_strangers(dsn):
    """Asked of the catalog, so that nothing is forgotten: sequences, inner parts, later files."""
    assert not names(
        dsn,
        """
        select format('%s on %s to %s', a.privilege_type, object, coalesce(r.rolname, 'public'))
        from (
          select oid::regclass::text as object, relacl as acl, relnamespace as namespace
          from pg_class
          union all
          select oid::regprocedure::text, coalesce(proacl, acldefault('f', proowner)),
            pronamespace
          from pg_proc
        ) objects
        cross join aclexplode(acl) a left join pg_roles r on r.oid = a.grantee
        where namespace in ('public'::regnamespace, 'moodreel'::regnamespace)
          and (a.grantee = 0 or r.rolname in ('anon', 'authenticated'))
          and object <> 'of_the_owner'
        """,
    )
