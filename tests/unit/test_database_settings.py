"""Which names users may give the same key, and what never shows."""

from __future__ import annotations

import pytest

from adapters.database.settings import DatabaseSettings
from service.errors import ConfigurationError

NAMES = ("SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_KEY")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    for field in DatabaseSettings.model_fields.values():
        monkeypatch.delenv(str(field.alias), raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_the_key_is_found_under_each_of_its_names(monkeypatch, name):
    monkeypatch.setenv(name, " sb_secret_abc\n")
    assert DatabaseSettings.read().supabase_key == "sb_secret_abc"


def test_without_a_key_the_names_are_told():
    with pytest.raises(ConfigurationError, match="SUPABASE_SERVICE_ROLE_KEY"):
        _ = DatabaseSettings.read().supabase_key


def test_secrets_do_not_show(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hidden@h/d")
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "hidden")
    settings = DatabaseSettings.read()
    assert "hidden" not in f"{settings!r} {settings}"
    assert settings.dsn == "postgresql://u:hidden@h/d"
