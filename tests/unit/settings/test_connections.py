"""The connection strings say to PostgreSQL and Redis what the single variables said, in whatever characters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr
from redis.connection import parse_url

from tapi_agent.domain.errors import ConfigurationError
from tapi_agent.settings.stores import Postgres, Redis

if TYPE_CHECKING:
    from tests.unit.settings.conftest import Place

PASSWORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


def test_embedded_engines_unless_told_otherwise(place: Place) -> None:
    settings = place.load(POSTGRES_USER="someone", POSTGRES_PORT="5433", REDIS_PORT="6380", REDIS_PASSWORD="x")
    assert settings.postgres_conninfo is None
    assert settings.redis_location is None


def test_an_old_host_means_the_system_s_postgresql(place: Place) -> None:
    conninfo = place.load(POSTGRES_HOST="localhost", POSTGRES_PASSWORD="p'w \\").postgres_conninfo
    assert conninfo is not None
    assert conninfo_to_dict(conninfo.get_secret_value()) == {
        "host": "localhost",
        "port": "5432",
        "dbname": "tapi",
        "user": "tapi",
        "password": "p'w \\",
    }


def test_without_a_password_none_is_sent(place: Place) -> None:
    conninfo = place.load(POSTGRES_HOST="/run/postgresql").postgres_conninfo
    assert conninfo is not None
    assert "password" not in conninfo_to_dict(conninfo.get_secret_value())


@settings(deadline=None)
@given(password=PASSWORDS)
def test_any_postgresql_password_arrives(password: str) -> None:
    conninfo = Postgres(postgres_host="db", postgres_password=SecretStr(password)).postgres_conninfo
    assert conninfo is not None
    assert conninfo_to_dict(conninfo.get_secret_value())["password"] == password


@settings(deadline=None)
@given(password=PASSWORDS)
def test_any_redis_password_arrives(password: str) -> None:
    location = Redis(redis_host="cache", redis_password=SecretStr(password)).redis_location
    assert location is not None
    assert parse_url(location.get_secret_value())["password"] == password


@pytest.mark.parametrize(
    ("host", "means"),
    [
        ("cache.local", {"host": "cache.local", "port": 6380, "db": 0}),
        ("::1", {"host": "::1", "port": 6380, "db": 0}),
        ("/run/redis/a b.sock", {"path": "/run/redis/a b.sock"}),
    ],
)
def test_redis_hosts(place: Place, host: str, means: dict[str, object]) -> None:
    location = place.load(REDIS_HOST=host, REDIS_PORT="6380").redis_location
    assert location is not None
    parsed = parse_url(location.get_secret_value())
    assert {key: parsed[key] for key in means} == means


def test_the_whole_string_wins(place: Place) -> None:
    dsn, url = "postgresql://me@db/x", "rediss://cache:1/2"
    settings = place.load(POSTGRES_DSN=dsn, POSTGRES_HOST="other", REDIS_URL=url, REDIS_HOST="other")
    assert settings.postgres_conninfo == SecretStr(dsn)
    assert settings.redis_location == SecretStr(url)


@pytest.mark.parametrize(
    "url",
    [
        "unix:///run/valkey.sock",
        "redis+sentinel://:pass@a:26379,b/main/0",
        "rediss+sentinel://a/main",
        "redis+cluster://a,b:6380",
        "rediss+cluster://a",
    ],
)
def test_redis_may_be_a_site_with_sentinels_or_a_cluster(place: Place, url: str) -> None:
    assert place.load(REDIS_URL=url).redis_location == SecretStr(url)


@pytest.mark.parametrize(
    "url", ["redis+other://a", "unix+cluster://a", "redis+://a", "sentinel://a", "redis+sentinel://"]
)
def test_other_kinds_of_redis_urls_are_refused(place: Place, url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"redis\+sentinel://HOST:26379,HOST/SERVICE/0"):
        place.load(REDIS_URL=url)
