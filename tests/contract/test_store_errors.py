"""What a store raises when the database is not there, not ours, or not willing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from adapters.database import migrate
from adapters.database.psycopg_transport import PsycopgTransport
from adapters.database.settings import DatabaseSettings
from adapters.database.store import DatabaseStore, open_store
from adapters.database.supabase_transport import SupabaseTransport
from service.domain import Severity
from service.errors import (
    ConfigurationError,
    MoodreelError,
    NotFoundError,
    PermanentError,
    StaleTokenError,
    TransientError,
)
from tests.support.postgrest import URL, key, postgrest
from tests.support.stores import (
    TRANSPORTS,
    make_analysis,
    make_full_analysis,
    make_item,
    make_scenes,
    unit_vectors,
)

SECRET = "correct-horse-battery"

MEANINGS: dict[type[MoodreelError], list[str]] = {
    TransientError: ["53100", "53300", "57014", "57P01", "40001", "40P01", "25006", "55P03"],
    ConfigurationError: ["42501", "28000"],
    PermanentError: ["22003", "23502"],
    StaleTokenError: ["PT409"],
    NotFoundError: ["PT404"],
}
"""Disk full, too many connections, time limit, shutdown, serialisation, deadlock, read-only, lock;
refusals; bad values; and our own."""

RETRIED_BY_POSTGREST = {"40001", "40P01"}
"""Again and again, until the statement's time limit."""


@asynccontextmanager
async def over(transport: str, dsn: str) -> AsyncIterator[DatabaseStore]:
    """A store over a database as it is, migrated or not."""
    if transport == "psycopg":
        async with aclosing(DatabaseStore(await PsycopgTransport.open(dsn))) as store:
            yield store
    else:
        with postgrest(dsn) as server:
            made = DatabaseStore(await supabase(key("service_role"), server.gateway()))
            async with aclosing(made) as store:
                yield store


async def supabase(secret: str, http_transport: httpx.AsyncBaseTransport) -> SupabaseTransport:
    return await SupabaseTransport.open(URL, secret, http_transport=http_transport)


async def persistently(call: Callable[..., Awaitable[int]], *arguments) -> int:
    """Try again as long as that is what the store says, for at most ten seconds."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await call(*arguments)
            except TransientError:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_without_a_schema_the_operator_is_told_to_migrate(transport, database_dsn):
    async with over(transport, database_dsn) as store:
        with pytest.raises(ConfigurationError, match="moodreel migrate"):
            await store.begin(make_item())
        [finding] = await store.check()
    assert (finding.severity, finding.fix) == (Severity.ERROR, "moodreel migrate")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("version", "said", "fix"),
    [("20200101000000", "older", "moodreel migrate"), ("2" * 14, "newer", "")],
    ids=["older", "newer"],
)
async def test_a_schema_of_another_version_is_found(transport, database_dsn, version, said, fix):
    await migrate.apply(database_dsn)
    with psycopg.connect(database_dsn) as admin:
        admin.execute(
            sql.SQL(
                "create or replace function public.moodreel_schema_version(request jsonb default "
                "'{{}}') returns jsonb language sql as $$ select to_jsonb({}::text) $$"
            ).format(version)
        )
    async with over(transport, database_dsn) as store:
        [finding] = await store.check()
    assert finding.severity is Severity.ERROR
    assert said in finding.message
    assert finding.fix == fix


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_what_postgres_raises_is_named_by_the_next_move(transport, database_dsn):
    """The same SQLSTATE means the same over both transports."""
    await migrate.apply(database_dsn)
    with psycopg.connect(database_dsn) as admin:
        admin.execute(
            "create or replace function moodreel_counts(request jsonb default '{}') "
            "returns jsonb language plpgsql security definer as $$ begin "
            "raise exception using errcode = request->>'code', message = 'as asked'; end $$"
        )
    async with over(transport, database_dsn) as store:
        for error, codes in MEANINGS.items():
            for code in codes:
                if transport == "postgrest" and code in RETRIED_BY_POSTGREST:
                    continue
                with pytest.raises(error, match="as asked") as caught:
                    await store._transport.call("moodreel_counts", {"code": code})
                assert type(caught.value) is error, code


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_store_outlives_a_cut_connection(transport, database_dsn):
    await migrate.apply(database_dsn)
    async with over(transport, database_dsn) as store:
        await store.begin(make_item())
        with psycopg.connect(database_dsn, autocommit=True) as admin:
            admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
        assert await persistently(store.begin, make_item()) > 1


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_vector_that_is_no_number_is_refused_for_good(transport, database_dsn):
    await migrate.apply(database_dsn)
    vectors = unit_vectors(2, 4)
    vectors[1, 1] = float("nan")
    async with over(transport, database_dsn) as store:
        token = await store.begin(make_item())
        with pytest.raises(PermanentError, match="NaN"):
            await store.save(make_analysis(scenes=make_scenes(vectors)), token)
        assert await store.load(make_item().ref) is None


async def test_a_postgres_that_does_not_answer_is_worth_another_try(tmp_path):
    with pytest.raises(TransientError):
        await PsycopgTransport.open(f"postgresql:///moodreel?host={tmp_path}")


async def test_a_postgres_that_refuses_us_is_a_wrong_setting(database_dsn):
    for changes in ({"user": "nobody_of_that_name"}, {"dbname": "no_such_database"}):
        with pytest.raises(ConfigurationError, match="does not exist"):
            await PsycopgTransport.open(make_conninfo(database_dsn, **changes))


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql//moodreel:{SECRET}@db/postgres",
        f"postgresql://moodreel:{SECRET}@cut@db/postgres",
        f"postgresql://moodreel:{SECRET}@127.0.0.1:1/postgres",
    ],
    ids=["no-scheme", "unescaped-at", "nobody-there"],
)
async def test_a_password_never_reaches_an_error(dsn):
    with pytest.raises((ConfigurationError, TransientError)) as caught:
        await PsycopgTransport.open(dsn)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in str(error)
        assert "cut@" not in str(error)
        error = error.__cause__


async def test_a_supabase_that_does_not_answer_is_worth_another_try(tmp_path: Path):
    nobody = httpx.AsyncHTTPTransport(uds=str(tmp_path / "nobody.sock"))
    store = DatabaseStore(await supabase(key("service_role"), nobody))
    with pytest.raises(TransientError):
        await store.begin(make_item())
    [finding] = await store.check()
    assert finding.severity is Severity.ERROR
    await store.aclose()


async def test_a_key_of_another_project_is_a_wrong_setting(database_dsn):
    await migrate.apply(database_dsn)
    with postgrest(database_dsn) as server:
        for wrong in (key("service_role", secret="x" * 40), "sb_secret_made_up", key("anon")):
            transport = await supabase(wrong, server.gateway())
            with pytest.raises(ConfigurationError, match="SUPABASE_SERVICE_ROLE_KEY") as caught:
                await DatabaseStore(transport).begin(make_item())
            assert wrong not in str(caught.value)
            await transport.aclose()


async def test_a_key_that_no_header_can_carry_is_not_quoted(monkeypatch):
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", f"{SECRET}\nx")
    with pytest.raises(ConfigurationError) as caught:
        DatabaseSettings.read()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (503, {"code": "PGRST001", "message": "no connection"}, TransientError),
        (504, {"code": "PGRST003", "message": "pool timeout"}, TransientError),
        (500, {"code": "57014", "message": "canceling statement"}, TransientError),
        (500, {"code": "53100", "message": "disk full"}, TransientError),
        (500, {"code": "25006", "message": "read-only transaction"}, TransientError),
        (521, "<html>the project is paused</html>", TransientError),
        (429, "slow down", TransientError),
        (401, {"message": "Invalid API key"}, ConfigurationError),
        (403, "<html>forbidden</html>", ConfigurationError),
        (404, "<html>nothing here</html>", ConfigurationError),
        (200, "<html>some other site</html>", ConfigurationError),
        (413, "too large", PermanentError),
    ],
)
async def test_what_a_gateway_answers_is_named_by_the_next_move(status, body, error):
    def answer(request: httpx.Request) -> httpx.Response:
        if isinstance(body, str):
            return httpx.Response(status, text=body)
        return httpx.Response(status, json=body)

    made = DatabaseStore(await supabase("a-key", httpx.MockTransport(answer)))
    async with aclosing(made) as store:
        with pytest.raises(error) as caught:
            await store.begin(make_item())
    assert type(caught.value) is error


async def test_a_redirect_does_not_take_the_key_along():
    asked: list[str] = []

    def elsewhere(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(307, headers={"Location": "http://elsewhere.test/"})

    made = DatabaseStore(await supabase("a-key", httpx.MockTransport(elsewhere)))
    async with aclosing(made) as store:
        with pytest.raises(ConfigurationError, match="SUPABASE_URL"):
            await store.counts()
    assert set(asked) == {"supabase.test"}


async def test_a_large_analysis_travels_in_requests_of_at_most_a_megabyte(database_dsn):
    await migrate.apply(database_dsn)
    analysis = make_full_analysis(scene_count=1000, dimension=512)
    with postgrest(database_dsn) as server:
        gateway = server.gateway()
        async with aclosing(DatabaseStore(await supabase(key("service_role"), gateway))) as store:
            await store.save(analysis, await store.begin(analysis.item))
            assert (await store.counts())["embeddings"] == 1000
    assert 500_000 < max(gateway.request_bytes) <= 1_000_000


# Which database -----------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    """Whoever runs the tests may have a Supabase of their own."""
    for field in DatabaseSettings.model_fields.values():
        monkeypatch.delenv(str(field.alias), raising=False)
    monkeypatch.chdir(tmp_path)


def configured(**values: str) -> DatabaseSettings:
    return DatabaseSettings.model_validate(
        {name: SecretStr(value) if "URL" not in name else value for name, value in values.items()}
    )


async def test_the_embedded_database_is_migrated_unasked(database_dsn):
    store = await open_store(configured(), database_dsn)
    assert await store.begin(make_item()) == 1
    await store.aclose()


async def test_the_owners_database_is_migrated_by_the_owner_only(database_dsn):
    with pytest.raises(ConfigurationError, match="moodreel migrate"):
        await open_store(configured(DATABASE_URL=database_dsn), None)
    await migrate.apply(database_dsn)
    store = await open_store(configured(DATABASE_URL=database_dsn), "host=/nowhere")
    assert await store.begin(make_item()) == 1
    await store.aclose()


async def test_supabase_without_a_key_says_which_setting_is_missing(database_dsn):
    with pytest.raises(ConfigurationError, match="SUPABASE_SERVICE_ROLE_KEY"):
        await open_store(configured(SUPABASE_URL=URL), database_dsn)


async def test_an_address_that_is_none_is_a_wrong_setting():
    wrong = configured(SUPABASE_URL="project.supabase.co", SUPABASE_SERVICE_ROLE_KEY="k")
    with pytest.raises(ConfigurationError, match="SUPABASE_URL"):
        await open_store(wrong, None)


async def test_without_any_database_the_operator_is_told():
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        await open_store(configured(), None)
