import os

import pytest
from pydantic import Field, SecretStr

from service.configuration import Configuration, check_names
from service.errors import ConfigurationError
from service.settings import ServiceSettings


class LampSettings(Configuration):
    """Settings that only this test knows."""

    port: int = Field(1, alias="TEST_LAMP_PORT", gt=0, description="Where it stands.")
    key: SecretStr = Field(SecretStr(""), alias="TEST_LAMP_KEY", description="Opens it.")


@pytest.fixture(autouse=True)
def settings_file(tmp_path, monkeypatch):
    path = tmp_path / "moodreel.toml"
    monkeypatch.setenv("MOODREEL_CONFIG", str(path))
    return path


def test_the_environment_goes_before_the_file_and_the_file_before_the_default(
    settings_file, monkeypatch
):
    assert LampSettings.read().port == 1
    settings_file.write_text("test_lamp_port = 2")
    assert LampSettings.read().port == 2
    monkeypatch.setenv("TEST_LAMP_PORT", "3")
    assert LampSettings.read().port == 3


def test_an_empty_variable_counts_as_absent(monkeypatch):
    monkeypatch.setenv("TEST_LAMP_PORT", "")
    assert LampSettings.read().port == 1


def test_a_variable_that_is_called_like_a_field_is_somebody_elses(monkeypatch):
    monkeypatch.setenv("PORT", "80")
    monkeypatch.setenv("HOST", "0.0.0.0")
    assert LampSettings.read().port == 1
    assert ServiceSettings.read().port == 8686
    assert ServiceSettings.read().host == "127.0.0.1"


def test_a_wrong_value_is_named_and_not_shown(monkeypatch):
    monkeypatch.setenv("TEST_LAMP_PORT", "s3cret")
    with pytest.raises(ConfigurationError, match="TEST_LAMP_PORT") as caught:
        LampSettings.read()
    assert "s3cret" not in str(caught.value)


def test_a_secret_is_not_shown():
    assert "s3cret" not in repr(LampSettings(key=SecretStr("s3cret")))


def test_a_misspelled_name_is_an_error_that_names_its_neighbours(settings_file, monkeypatch):
    settings_file.write_text('moodreel_hots = "0.0.0.0"')
    with pytest.raises(ConfigurationError, match="moodreel_host"):
        check_names()
    settings_file.write_text("")
    monkeypatch.setenv("MOODREEL_NAMESPACES", "films")
    with pytest.raises(ConfigurationError, match="MOODREEL_NAMESPACE"):
        check_names()


def test_a_misspelled_name_without_a_value_is_absent(monkeypatch):
    monkeypatch.setenv("MOODREEL_NAMESPACES", "")
    check_names()


def test_a_file_that_is_no_toml_is_a_clear_error(settings_file):
    settings_file.write_text("this is no toml")
    with pytest.raises(ConfigurationError, match=r"moodreel\.toml"):
        LampSettings.read()


def test_a_secret_may_lie_in_a_file_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "key").write_text("  opensesame\n")
    monkeypatch.setenv("TEST_LAMP_KEY_FILE", str(tmp_path / "key"))
    assert LampSettings.read().key.get_secret_value() == "opensesame"


def test_only_secrets_are_read_from_files(tmp_path, monkeypatch):
    (tmp_path / "port").write_text("7")
    monkeypatch.setenv("TEST_LAMP_PORT_FILE", str(tmp_path / "port"))
    assert LampSettings.read().port == 1


def test_a_secret_that_is_given_twice_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_LAMP_KEY", "one")
    monkeypatch.setenv("TEST_LAMP_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(ConfigurationError, match="TEST_LAMP_KEY and TEST_LAMP_KEY_FILE"):
        LampSettings.read()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "No such file"),
        (b"", "empty"),
        (b"\xff\xfe", "no text"),
        (b"x" * 70_000, "too large"),
    ],
)
def test_a_file_that_holds_no_secret_is_named_and_not_shown(
    tmp_path, monkeypatch, content, complaint
):
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    monkeypatch.setenv("TEST_LAMP_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        LampSettings.read()
    assert "TEST_LAMP_KEY_FILE" in str(caught.value)
    assert "xxxx" not in str(caught.value)


def test_a_pipe_is_no_file_for_a_secret(tmp_path, monkeypatch):
    """Nobody may ever write into it; and settings are read more than once."""
    os.mkfifo(tmp_path / "key")
    monkeypatch.setenv("TEST_LAMP_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(ConfigurationError, match="more than once"):
        LampSettings.read()


@pytest.mark.parametrize("place", ["", "/dev/null"])
def test_a_directory_or_a_device_is_no_file_for_a_secret(place, tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_LAMP_KEY_FILE", place or str(tmp_path))
    with pytest.raises(ConfigurationError, match="TEST_LAMP_KEY_FILE names"):
        LampSettings.read()


@pytest.mark.parametrize("secret", ["postgresql://me:opensesame@host/db", "opensesame"])
def test_a_secret_in_place_of_its_files_name_is_not_shown(secret, monkeypatch):
    monkeypatch.setenv("TEST_LAMP_KEY_FILE", secret)
    with pytest.raises(ConfigurationError, match="a relative path: No such file") as caught:
        LampSettings.read()
    assert "opensesame" not in str(caught.value)


def test_the_name_of_a_secrets_file_is_a_known_name(monkeypatch):
    monkeypatch.setenv("MOODREEL_WEBHOOK_TOKEN_FILE", "/run/secrets/token")
    check_names()
    monkeypatch.setenv("MOODREEL_PORT_FILE", "/run/secrets/port")
    with pytest.raises(ConfigurationError, match="MOODREEL_PORT_FILE"):
        check_names()
