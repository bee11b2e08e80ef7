"""``moodreel doctor``: what it finds, says to do, mends, and what a recorded webhook would do."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest

from service.domain import Arrival, Finding, Severity
from service.settings import ServiceSettings
from service.wiring.reels import open_screening
from service.wiring.replaying import guess_content_type
from service.wiring.surroundings import (
    check_data_dir,
    check_host,
    file_system_of,
    judge_arrival,
    judge_clock,
    judge_file_system,
    judge_queue,
    judge_reconciled,
    judge_space,
    list_addresses,
    own_address,
)
from tests.support.cli import invoke
from tests.support.jellyfin import API_KEY, StandInItem, StandInJellyfin
from tests.support.service import environment, free_port, serving

WEBHOOKS = Path(__file__).parents[1] / "data" / "webhooks"
MODELS_OFF = {
    "MOODREEL_VISUAL_MODEL": "none",
    "MOODREEL_SOUND_MODEL": "none",
    "MOODREEL_SOUND_TEXT_MODEL": "none",
}
WORSE = ["ok", "warning", "error"]
TOKEN = "a-token-for-tests"


@pytest.fixture
def env(tmp_path, database_dsn):
    (tmp_path / "data").mkdir()
    env = environment(
        tmp_path / "data",
        DATABASE_URL=database_dsn,
        MOODREEL_PORT=str(free_port()),
        **MODELS_OFF,
    )
    assert invoke("migrate", env=env)[0] == 0
    return env


async def ask(*arguments: str, env) -> tuple[int, dict[str, dict[str, str]]]:
    """Run the command beside a stand-in; the findings by subject."""
    status, out, _ = await asyncio.to_thread(invoke, "doctor", *arguments, "--json", env=env)
    found = json.loads(out)
    by_subject: dict[str, dict[str, str]] = {}
    for finding in found:  # a part may have several: the worst is what counts
        known = by_subject.setdefault(finding["subject"], finding)
        if WORSE.index(finding["severity"]) > WORSE.index(known["severity"]):
            by_subject[finding["subject"]] = finding
    return status, by_subject


def settings(**values: object) -> ServiceSettings:
    return ServiceSettings.model_validate(values)


# Around the service -----------------------------------------------------------------------------


async def test_a_house_without_a_server_or_a_service_is_told_the_next_steps(env):
    status, found = await ask(env=env)
    assert status == 0
    assert found["data"]["severity"] == "ok"
    assert "GB free" in found["data"]["message"]
    assert found["service"]["severity"] == "warning"
    assert found["service"]["fix"] == "Start it: `moodreel run`"
    assert found["queue"]["severity"] == "ok"
    assert found["servers"]["severity"] == "warning"
    assert "MOODREEL_MEDIA_DIRS" in found["servers"]["fix"]
    assert not any(subject.startswith("webhooks") for subject in found)


async def test_a_database_that_is_away_is_told_once_with_the_next_step(env, tmp_path):
    away = f"postgresql://moodreel:geheim@127.0.0.1:{free_port()}/films"
    watched = {"DATABASE_URL": away, "MOODREEL_MEDIA_DIRS": str(tmp_path)}
    status, found = await ask(env=env | watched)
    assert status == 1
    assert [finding["subject"] for finding in found.values() if finding["severity"] == "error"] == [
        "database"
    ]
    assert "DATABASE_URL" in found["database"]["fix"]
    assert "database" in found["channels"]["message"]
    assert "servers" not in found
    assert "geheim" not in json.dumps(found)
    _, out, _ = await asyncio.to_thread(invoke, "doctor", env=env | watched)
    marks = ("ok ", "note ", "bad ", "       ")
    assert all(line.startswith(marks) for line in out.splitlines())


async def test_a_data_directory_that_cannot_be_written_is_an_error(env, tmp_path):
    (tmp_path / "file").write_text("")
    status, found = await ask(env={**env, "MOODREEL_DATA_DIR": str(tmp_path / "file")})
    assert status == 1
    assert found["data"]["severity"] == "error"
    assert "no directory" in found["data"]["message"]
    (finding,) = check_data_dir(tmp_path / "gone")
    assert finding.severity is Severity.ERROR
    assert "MOODREEL_DATA_DIR" in finding.fix
    assert list((tmp_path / "data").glob(".doctor-*")) == []


@pytest.mark.parametrize(
    ("free_gb", "severity"), [(50, Severity.OK), (1, Severity.WARNING), (0.1, Severity.ERROR)]
)
def test_the_less_room_the_worse(tmp_path, free_gb, severity):
    finding = judge_space(tmp_path, round(free_gb * 1e9))
    assert finding.severity is severity
    assert bool(finding.fix) == (severity is not Severity.OK)


def test_addresses_are_listed_for_those_who_send_without_the_token(tmp_path):
    house = settings(host="0.0.0.0", port=8686, webhook_token=TOKEN, data_dir=tmp_path)
    found = list_addresses(house, "http://moodreel:8686", ["folder", "jellyfin", "plex"])
    told = {finding.subject: finding.message for finding in found}
    assert told["webhooks/jellyfin"].startswith("http://moodreel:8686/webhooks/jellyfin (")
    assert told["webhooks/plex"].startswith("http://moodreel:8686/webhooks/plex?token=TOKEN (")
    assert {"webhooks/sonarr", "webhooks/radarr"} <= told.keys()
    assert "webhooks/folder" not in told
    assert "MOODREEL_WEBHOOK_TOKEN" in told["webhooks"]
    assert not any(TOKEN in message for message in told.values())
    assert not any(finding.fix for finding in found)


def test_who_listens_to_this_machine_alone_is_told_so(tmp_path):
    house = settings(host="127.0.0.1", webhook_token=TOKEN, data_dir=tmp_path)
    found = list_addresses(house, own_address(house), ["jellyfin"])
    assert "only senders on this machine" in found[0].message
    assert "MOODREEL_HOST=0.0.0.0" in found[0].fix
    assert own_address(settings(host="::1", port=1)) == "http://[::1]:1"


def test_a_server_that_was_not_asked_for_long_is_noticed():
    now = datetime(2026, 5, 1, tzinfo=UTC)

    def judge(age: timedelta | None, minutes: float = 15) -> Severity:
        asked_at = None if age is None else now - age
        return judge_reconciled("jellyfin", asked_at, minutes, now).severity

    assert judge(timedelta(minutes=40)) is Severity.OK
    assert judge(timedelta(minutes=50)) is Severity.WARNING
    assert judge(timedelta(days=9), minutes=0) is Severity.OK
    assert judge(None) is Severity.WARNING
    assert judge(None, minutes=0) is Severity.OK
    told = judge_reconciled("jellyfin", now - timedelta(days=9), 15, now).message
    assert told == "jellyfin was last asked 9 days ago what changed"


def test_webhooks_that_are_refused_or_never_came_are_noticed():
    now = datetime(2026, 11, 20, tzinfo=UTC)
    earlier, later = now - timedelta(hours=3), now - timedelta(minutes=5)

    def judge(**known: object) -> Finding:
        return judge_arrival("jellyfin", [Arrival(sender="jellyfin", **known)], now)  # type: ignore[arg-type]

    refused = judge(taken_at=earlier, refused_at=later, refusal="wrong or missing token")
    assert refused.severity is Severity.WARNING
    assert "5 minutes ago" in refused.message
    assert "wrong or missing token" in refused.message
    mended = judge(taken_at=later, refused_at=earlier, refusal="wrong or missing token")
    assert mended.severity is Severity.OK
    assert mended.message == "the last one came 5 minutes ago"
    never = judge_arrival("jellyfin", [Arrival(sender="plex", taken_at=now)], now)
    assert "none has come" in never.message


def test_a_clock_that_is_wrong_is_noticed():
    assert judge_clock("jellyfin", -59.0).severity is Severity.OK
    ahead = judge_clock("jellyfin", 3600.0)
    assert (ahead.severity, "60 minutes ahead of" in ahead.message) == (Severity.WARNING, True)
    assert "90 s behind" in judge_clock("jellyfin", -90.0).message


def test_the_address_is_the_public_one_where_there_is_one():
    settings = ServiceSettings.model_validate({"host": "0.0.0.0", "port": 8686})
    assert own_address(settings).endswith(":8686")
    public = settings.model_copy(update={"public_url": "http://nas.lan:99/moods/"})
    assert own_address(public) == "http://nas.lan:99/moods"


@pytest.mark.parametrize(
    ("name", "is_remote"),
    [("ext4", False), ("nfs4", True), ("cifs", True), ("fuse.mergerfs", False), ("", False)],
)
def test_a_database_on_a_network_share_is_noticed(tmp_path, name, is_remote):
    assert bool(judge_file_system(tmp_path, name)) is is_remote
    assert file_system_of(tmp_path) not in {"", "proc"}


def test_a_service_that_nobody_outside_its_container_reaches_is_noticed(tmp_path):
    settings = ServiceSettings.model_validate({"host": "127.0.0.1"})
    mark = tmp_path / ".dockerenv"
    assert check_host(settings, [mark]) == []
    mark.touch()
    (found,) = check_host(settings, [mark])
    assert found.fix == "Set MOODREEL_HOST=0.0.0.0."
    assert check_host(settings.model_copy(update={"host": "0.0.0.0"}), [mark]) == []


def test_jobs_that_failed_or_that_nobody_does_are_noticed():
    assert judge_queue({"waiting": 5, "running": 1, "failed": 3}, 0).severity is Severity.OK
    idle = judge_queue({"waiting": 5}, 0)
    assert idle.severity is Severity.WARNING
    assert "moodreel run" in idle.fix
    failed = judge_queue({"failed": 2, "running": 1}, 2)
    assert "moodreel status" in failed.fix


# Servers ----------------------------------------------------------------------------------------


def with_jellyfin(env, url: str):
    return {**env, "JELLYFIN_URL": url, "JELLYFIN_API_KEY": API_KEY}


async def test_fix_sets_the_plugin_up_and_the_next_look_finds_it_so(env, tmp_path):
    jellyfin = StandInJellyfin.of_folder(tmp_path)
    other = {"WebhookName": "other", "WebhookUri": "http://elsewhere/hook"}
    jellyfin.install_webhook_plugin(other)
    async with jellyfin.serving() as url:
        env = with_jellyfin(env, url)
        _, before = await ask(env=env)
        _, mended = await ask("--fix", "--address", "http://moodreel:8686/", env=env)
        _, after = await ask(env=env)
    kept, ours = jellyfin.plugin_settings["GenericOptions"]
    assert kept == other
    assert ours["WebhookUri"] == "http://moodreel:8686/webhooks/jellyfin"
    assert {"Key": "X-Moodreel-Token", "Value": TOKEN} in ours["Headers"]
    assert "jellyfin" in before
    assert mended.keys() == after.keys()
    assert "jellyfin/changes" in after
    assert "webhooks/jellyfin" in after
    told = json.dumps([before, mended, after])
    assert TOKEN not in told
    assert API_KEY not in told


async def test_a_server_that_is_away_is_an_error_and_the_rest_is_looked_at(env):
    status, found = await ask(env=with_jellyfin(env, "http://127.0.0.1:1"))
    assert status == 1
    assert found["jellyfin"]["severity"] == "error"
    assert found["jellyfin"]["fix"]
    assert found["jellyfin/changes"]["severity"] == "warning"
    assert found["queue"]["severity"] == "ok"


async def test_a_setting_that_is_wrong_is_told_and_the_rest_is_looked_at(env):
    status, found = await ask(env={**env, "JELLYFIN_URL": "ftp://nowhere"})
    assert status == 1
    assert "JELLYFIN_URL" in found["jellyfin"]["message"]
    assert found["queue"]["severity"] == "ok"


async def test_when_a_server_was_asked_is_kept_in_the_store(env):
    env = with_jellyfin(env, "http://127.0.0.1:1")
    with patch.dict("os.environ", env, clear=True):
        async with open_screening(ServiceSettings.read()) as screening:
            await screening.store.note_reconciled("jellyfin", datetime.now(UTC))
    _, found = await ask(env=env)
    assert found["jellyfin/changes"]["severity"] == "ok"


def test_an_address_without_a_scheme_is_refused(env):
    status, _, err = invoke("doctor", "--address", "moodreel:8686", env=env)
    assert (status, "http://" in err) == (2, True)


# Replays ----------------------------------------------------------------------------------------


def test_a_recorded_body_is_put_through_the_door_and_nothing_is_done(env, tmp_path):
    item = StandInItem(name="Heat", path="/media/heat.mkv")
    body = tmp_path / "body"
    body.write_bytes(StandInJellyfin([item]).webhook_body(item))
    env = with_jellyfin(env, "http://127.0.0.1:1")
    status, out, _ = invoke("doctor", "replay", str(body), env=env)
    assert status == 0
    assert out == f"would  analyze jellyfin/{item.item_id}\n"
    body.write_bytes(StandInJellyfin([item]).webhook_body(item, "ItemDeleted"))
    _, out, _ = invoke("doctor", "replay", str(body), "--server", "jellyfin", env=env)
    assert out == f"would  mark jellyfin/{item.item_id} as deleted\n"
    body.write_bytes(StandInJellyfin([item]).webhook_body(item, "PlaybackStart"))
    _, out, _ = invoke("doctor", "replay", str(body), env=env)
    assert "of no interest" in out
    assert invoke("status", "--json", env=env)[1].count(item.item_id) == 0


def test_what_would_be_refused_says_why(env, tmp_path):
    (tmp_path / "body").write_bytes(b"{nonsense")
    arguments = ("doctor", "replay", str(tmp_path / "body"))
    status, _, err = invoke(*arguments, "--server", "jellyfin", env=env)
    assert status == 1
    assert "JELLYFIN_URL" in err
    env = with_jellyfin(env, "http://127.0.0.1:1")
    status, _, err = invoke(*arguments, "--server", "jellyfin", env=env)
    assert (status, "refused (HTTP 400)" in err) == (1, True)
    assert invoke(*arguments, "--server", "nobody", env=env)[0] == 1
    assert invoke(*arguments, env=env)[0] == 1


def test_a_recording_without_end_is_refused(env):
    status, _, err = invoke("doctor", "replay", "/dev/zero", env=env)
    assert (status, "too long" in err) == (2, True)


def test_of_every_recorded_body_it_is_found_out_whose_it_is(env):
    env = {
        **with_jellyfin(env, "http://127.0.0.1:1"),
        "EMBY_URL": "http://127.0.0.1:1",
        "EMBY_API_KEY": "k",
        "PLEX_URL": "http://127.0.0.1:1",
        "PLEX_TOKEN": "k",
    }
    for file in sorted(WEBHOOKS.glob("*/movie-[an]*.json")) + sorted(WEBHOOKS.glob("*/test.json")):
        status, out, err = invoke("doctor", "replay", str(file), "--json", env=env)
        assert status == 0, (file, err)
        replayed = json.loads(out)
        assert replayed["sent"] is False
        sender = file.parent.name
        is_news = sender in {"jellyfin", "emby", "plex"} and file.stem != "test"
        assert bool(replayed["jobs"]) == is_news, file
        assert all(job.startswith(f"analyze {sender}/") for job in replayed["jobs"])


def test_what_there_is_to_copy_is_on_one_line(env):
    env = with_jellyfin(env, "http://127.0.0.1:1")
    address = "http://a-rather-long-name.of-a-machine.example:8686"
    _, out, _ = invoke("doctor", "--address", address, env=env)
    assert f"webhooks/jellyfin  {address}/webhooks/jellyfin (" in out


def test_the_content_type_is_guessed_from_the_body():
    assert guess_content_type(b'{"a": 1}') == "application/json"
    assert guess_content_type(b"data=%7B%7D") == "application/x-www-form-urlencoded"
    form = b'--abc-12\r\nContent-Disposition: form-data; name="payload"\r\n\r\n{}\r\n--abc-12--\r\n'
    assert guess_content_type(form) == 'multipart/form-data; boundary="abc-12"'


async def test_send_has_it_done_by_the_service_that_runs(env, tmp_path):
    item = StandInItem(name="Heat", path="/media/heat.mkv")
    (tmp_path / "body").write_bytes(StandInJellyfin([item]).webhook_body(item))
    env = with_jellyfin(env, "http://127.0.0.1:1")
    arguments = ("doctor", "replay", str(tmp_path / "body"), "--send")
    status, _, err = await asyncio.to_thread(invoke, *arguments, env=env)
    assert (status, "is `moodreel run` running?" in " ".join(err.split())) == (1, True)
    alone = {**env, "MOODREEL_RECONCILE_MINUTES": "0"}  # no job but the one that is sent
    async with serving("serve", env=alone) as (_, address):
        env = {**env, "MOODREEL_PORT": address.rpartition(":")[2]}
        status, out, err = await asyncio.to_thread(invoke, *arguments, env=env)
        _, found = await ask(env=env)
    assert (status, out) == (0, f"does  analyze jellyfin/{item.item_id}\n"), err
    assert found["service"]["severity"] == "ok"
    assert found["queue"]["message"].startswith("1 jobs wait")
    assert found["queue"]["severity"] == "warning"
