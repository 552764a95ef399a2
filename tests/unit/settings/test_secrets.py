"""Secrets never print: not when they are right, not when they are wrong."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import pytest

from tapi_agent.domain.errors import ConfigurationError
from tapi_agent.settings import describe, render_agent_toml, render_env_template, render_reference
from tapi_agent.settings.values import MASK
from tapi_agent.settings.variables import VARIABLES

if TYPE_CHECKING:
    from tests.unit.settings.conftest import Place

SECRETS = {
    "BILLING_API_KEY": "hunter2-key",
    "LICENSE_KEY": "hunter2-license",
    "POSTGRES_DSN": "postgresql://me:hunter2@db/x",
    "POSTGRES_PASSWORD": "hunter2-postgres",
    "REDIS_URL": "redis://:hunter2@cache",
    "REDIS_PASSWORD": "hunter2-redis",
}
MALFORMED = {
    "BILLING_API_KEY": "hunter2 with spaces",
    "LICENSE_KEY": "hunter2\0",
    "POSTGRES_DSN": "hunter2",
    "POSTGRES_PASSWORD": "hunter2\0",
    "REDIS_URL": "hunter2",
    "REDIS_PASSWORD": "hunter2\ud800",
}


def test_the_table_is_complete() -> None:
    secret = {variable.name for variable in VARIABLES.values() if variable.secret}
    assert secret == set(SECRETS) == set(MALFORMED)


def test_no_view_of_the_settings_shows_a_secret(place: Place) -> None:
    settings = place.load(**SECRETS)
    views = [
        repr(settings),
        str(settings),
        settings.model_dump_json(),
        str(settings.model_dump()),
        repr(describe(settings)),
    ]
    views += [repr(settings.postgres_conninfo), repr(settings.redis_location), repr(settings.problems), f"{settings}"]
    views += [repr(vars(layer)) for layer in settings._layers]
    assert [view for view in views if "hunter2" in view] == []


def test_describe_masks_what_is_set_and_leaves_empty_what_is_not(place: Place) -> None:
    rows = {row.name: row.value for row in describe(place.load(BILLING_API_KEY="hunter2"))}
    assert rows["BILLING_API_KEY"] == MASK
    assert rows["LICENSE_KEY"] == ""


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("source", ["environment", ".env", "agent.toml"])
def test_a_malformed_secret_is_refused_unseen(place: Place, name: str, source: str) -> None:
    environ = {}
    match source:
        case "environment":
            environ[name] = MALFORMED[name]
        case ".env":
            place.env_file.write_bytes(f"{name}='{MALFORMED[name]}'".encode(errors="replace").replace(b"2?", b"2\0"))
        case _:
            text = MALFORMED[name].replace("\0", "\\u0000").replace("\ud800", "\\u0000")
            place.config.write_text(f'{name.lower()} = "{text}"')
    with pytest.raises(ConfigurationError) as refusal:
        place.load(**environ)
    assert str(refusal.value).startswith(f"{name} ({source}) is wrong (a secret, not shown); allowed: ")
    assert "hunter2" not in "".join(traceback.format_exception(refusal.value))
    assert refusal.value.__context__ is None


def test_a_malformed_line_is_not_shown(place: Place) -> None:
    place.env("BILLING_API_KEY hunter2")
    with pytest.raises(ConfigurationError) as refusal:
        place.load()
    assert "hunter2" not in "".join(traceback.format_exception(refusal.value))


def test_broken_toml_is_not_shown(place: Place) -> None:
    place.toml('billing_api_key = "hunter2')
    with pytest.raises(ConfigurationError) as refusal:
        place.load()
    assert "hunter2" not in "".join(traceback.format_exception(refusal.value))


def test_templates_do_not_depend_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    before = render_env_template(), render_agent_toml(), render_reference()
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", "/elsewhere")
    assert (render_env_template(), render_agent_toml(), render_reference()) == before
