"""docker-compose.jellyfin-ai.yml, its overrides and .env.example, held to each other."""

from __future__ import annotations

import re
import runpy
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import jwt
import pytest

from service.configuration import SECRET_FILE_SUFFIX, secret_names
from tests.support.compose import (
    COMPOSE_FILE,
    ENV_EXAMPLE,
    OVERRIDES,
    SCHEMA,
    example_variables,
    read_compose,
    stray_dollars,
    variables_of,
)
from tests.support.postgres import ROOT
from tests.support.settings_reference import settings_classes

FILES = [COMPOSE_FILE, *OVERRIDES]
FILE_IDS = [path.name for path in FILES]
STACK = read_compose(COMPOSE_FILE)
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
OURS = [name for name, service in SERVICES.items() if service["image"] == "moodreel:local"]
ONE_SHOTS = {"models", "keys", "migrate"}
OF_COMPOSE = {"COMPOSE_FILE", "COMPOSE_PROFILES"}
OF_THE_SYSTEM = {"TZ"}


@pytest.fixture(scope="module")
def settings() -> set[str]:
    """Every variable that the product reads."""
    classes = settings_classes()
    names = {field.alias or name for cls in classes for name, field in cls.model_fields.items()}
    return names | {name + SECRET_FILE_SUFFIX for cls in classes for name in secret_names(cls)}


@pytest.mark.parametrize("path", FILES, ids=FILE_IDS)
def test_a_compose_file_says_nothing_that_the_specification_does_not_know(path):
    jsonschema.Draft202012Validator(SCHEMA).validate(read_compose(path))


@pytest.mark.parametrize("path", FILES, ids=FILE_IDS)
def test_every_variable_has_a_default_so_that_none_must_be_set(path):
    assert stray_dollars(path) == []


def test_one_container_runs_when_nobody_asks_for_more():
    assert [name for name, service in SERVICES.items() if "profiles" not in service] == ["moodreel"]


def test_each_profile_that_is_promised_is_there():
    profiles = {profile for service in SERVICES.values() for profile in service.get("profiles", [])}

    assert profiles == {"jellyfin", "database", "worker", "supabase", "nats", "qwen", "models"}


def test_a_service_waits_only_for_what_is_there_and_can_be_waited_for():
    for name, service in SERVICES.items():
        for other, wait in service.get("depends_on", {}).items():
            awaited = SERVICES[other]
            if wait["condition"] == "service_healthy":
                assert "test" in awaited["healthcheck"], other
            if wait["condition"] == "service_completed_successfully":
                assert "restart" not in awaited, f"{other} would never be done"
            # Nothing is said where both are in the same profiles: then the other one always runs.
            runs_too = set(service.get("profiles", [None])) <= set(awaited.get("profiles", [None]))
            assert runs_too or wait.get("required") is False, f"{name} without {other}"


def test_what_serves_comes_back_and_what_runs_once_does_not():
    for name, service in SERVICES.items():
        assert service.get("restart", "no") == ("no" if name in ONE_SHOTS else "always"), name


def test_volumes_are_declared_and_used():
    used = {
        source
        for service in SERVICES.values()
        for source, _, _ in (volume.partition(":") for volume in service.get("volumes", []))
        if not source.startswith((".", "/"))
    }

    assert used == set(STACK["volumes"])


@pytest.mark.parametrize("path", FILES, ids=FILE_IDS)
def test_files_that_are_mounted_or_built_from_are_there(path):
    for service in read_compose(path)["services"].values():
        for volume in service.get("volumes", []):
            if volume.startswith("./stack/"):
                assert (ROOT / volume.partition(":")[0]).is_file(), volume
        build = service.get("build", ".")
        if isinstance(build, dict) and "dockerfile" in build:
            assert (ROOT / build["context"] / build["dockerfile"]).is_file()


def test_no_two_services_want_one_port_of_the_host():
    ports = [port.rsplit(":", 1)[0] for one in SERVICES.values() for port in one.get("ports", [])]

    assert len(ports) == len(set(ports)) == 2


def test_our_containers_may_write_to_their_volumes_and_to_memory_alone():
    for name in OURS:
        service = SERVICES[name]
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["pids_limit"] > 0, name
        assert any(place.startswith("/tmp") for place in service["tmpfs"]), name
        # The image has volumes at /data and /models: what is not named would pile up without one.
        places = [volume.split(":")[1] for volume in service.get("volumes", [])]
        places += [place.partition(":")[0] for place in service["tmpfs"]]
        assert {"/data", "/models"} <= set(places), name


def test_only_what_has_no_network_runs_as_root():
    for name in OURS:
        is_root = SERVICES[name]["user"].startswith("0")
        assert is_root == (SERVICES[name].get("network_mode") == "none"), name


def test_no_container_can_change_the_media():
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            if "/media" in volume:
                assert volume.endswith(":ro"), name


def test_no_container_gains_power_or_reaches_the_engine():
    for name, service in SERVICES.items():
        assert "docker.sock" not in str(service), name
        if name != "jellyfin":  # somebody else's, set up as its makers say
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name


@pytest.mark.parametrize("path", FILES, ids=FILE_IDS)
def test_images_are_pinned_by_a_tag(path):
    for name, service in read_compose(path)["services"].items():
        if "image" in service:
            tag = service["image"].rpartition(":")[2]
            assert re.fullmatch(r"local|nvidia|intel|.*\d.*", tag), name


def test_the_port_inside_is_the_one_that_is_published_and_looked_at():
    service = SERVICES["moodreel"]

    inside = service["environment"]["MOODREEL_PORT"]
    assert service["ports"] == [f"8686:{inside}"]
    assert f":{inside}/healthz" in service["healthcheck"]["test"][-1]


def test_the_port_of_the_host_may_be_kept_to_itself():
    stack = read_compose(COMPOSE_FILE, {"MOODREEL_PORT": "127.0.0.1:9000"})

    assert stack["services"]["moodreel"]["ports"] == ["127.0.0.1:9000:8686"]
    jsonschema.Draft202012Validator(SCHEMA).validate(stack)


def test_our_containers_are_told_real_settings_only(settings):
    for path in FILES:
        for name, service in read_compose(path)["services"].items():
            if name in OURS:
                given = {key for key, value in service.get("environment", {}).items() if value}
                assert given <= settings, f"{path.name}: {name}"


def test_the_example_names_every_variable_of_the_stack_and_none_that_nothing_reads(settings):
    interpolated = {name for path in FILES for name in variables_of(path)}

    assert interpolated <= set(example_variables())
    assert set(example_variables()) <= interpolated | settings | OF_COMPOSE | OF_THE_SYSTEM


def test_what_only_the_stack_reads_is_kept_from_the_service_which_would_refuse_it(settings):
    strangers = {
        name
        for name in example_variables()
        if name.startswith("MOODREEL_") and name not in settings
    }

    for name in ("moodreel", "worker"):
        assert SERVICES[name]["env_file"] == [{"path": ".env", "required": False}]
        kept_out = {key for key, value in SERVICES[name]["environment"].items() if value is None}
        assert kept_out == strangers


def test_the_example_shows_the_defaults_of_the_stack():
    shown = example_variables()
    for path in FILES:
        for name, defaults in variables_of(path).items():
            # A captioner's model differs between a processor and a GPU.
            assert shown[name] in defaults or path.name == "nvidia.yml", name


def test_addresses_in_the_example_are_those_of_services():
    urls = {name: value for name, value in example_variables().items() if "://" in value}
    for name, url in urls.items():
        host = urlsplit(url).hostname
        assert host in {*SERVICES, "host"}, name  # "host": a Postgres of the reader's own

    port = urlsplit(urls["SUPABASE_URL"]).port
    gateway = (ROOT / "stack/supabase_gateway.conf").read_text()
    assert f"listen {port};" in gateway
    assert f":{port}/rest/v1/" in SERVICES["supabase"]["healthcheck"]["test"][-1]
    assert "http://postgrest:3000;" in gateway


def test_an_address_that_is_shown_in_a_comment_is_of_a_service_too():
    for host in re.findall(r"https?://([a-z.]+):\d+", ENV_EXAMPLE.read_text()):
        assert host in {*SERVICES, "host.docker.internal"}


def test_our_containers_run_commands_that_there_are():
    reference = (ROOT / "docs/reference/commands.md").read_text()

    run = {
        SERVICES[name].get("command", "run").partition(" siglip")[0]
        for name in OURS
        if "entrypoint" not in SERVICES[name]
    }
    assert run == {"run", "work", "migrate", "models pull"}
    for command in (*run, "doctor"):
        assert re.search(rf"^#+ `moodreel {command}\b", reference, re.MULTILINE), command


def test_a_secret_of_a_file_is_declared_mounted_and_named_to_the_service():
    stack = read_compose(ROOT / "stack/secrets.yml")

    for service in stack["services"].values():
        assert set(service["secrets"]) == set(stack["secrets"])
        places = {f"/run/secrets/{name}" for name in service["secrets"]}
        assert set(service["environment"].values()) == places


@pytest.mark.parametrize("path", OVERRIDES, ids=[path.name for path in OVERRIDES])
def test_an_override_changes_services_that_there_are_and_says_how_to_use_it(path):
    assert set(read_compose(path)["services"]) <= set(SERVICES)
    assert f"COMPOSE_FILE={COMPOSE_FILE.name}:stack/{path.name}" in path.read_text()


@pytest.fixture
def make_keys(tmp_path):
    """Makes them in ``keys`` and ``gate-keys``; gives all by volume and name."""
    volumes = [tmp_path / "keys", tmp_path / "gate-keys"]
    for volume in volumes:
        volume.mkdir()

    def make() -> dict[str, str]:
        runpy.run_path(str(ROOT / "stack/make_keys.py"))["main"](*volumes)
        return {
            f"{volume.name}/{path.name}": path.read_text()
            for volume in volumes
            for path in volume.iterdir()
        }

    return make


def test_keys_are_made_once_fit_together_and_are_where_the_stack_looks(make_keys):
    made = make_keys()

    assert make_keys() == made
    assert made["keys/database_password"] in made["keys/database_url"]
    assert made["keys/authenticator_password"] in made["gate-keys/authenticator_url"]
    secret = made["gate-keys/jwt_secret"]
    claims = jwt.decode(made["keys/service_role_key"], secret, algorithms=["HS256"])
    assert claims == {"role": "service_role"}
    asked = COMPOSE_FILE.read_text() + ENV_EXAMPLE.read_text()
    roles = (ROOT / "stack/supabase_roles.sql").read_text()
    assert set(re.findall(r"/((?:gate-)?keys/\w+)", asked + roles)) == set(made)


def test_what_takes_requests_of_others_holds_no_key_of_the_database_itself():
    gate = SERVICES["postgrest"]
    assert [volume.partition(":")[0] for volume in gate["volumes"]] == ["gate-keys"]


def test_keys_that_are_there_stay_and_what_follows_from_them_is_made_again(tmp_path, make_keys):
    (tmp_path / "keys" / "database_password").write_text("chosen")
    made = make_keys()

    assert made["keys/database_password"] == "chosen"
    assert "moodreel:chosen@database:5432" in made["keys/database_url"]
