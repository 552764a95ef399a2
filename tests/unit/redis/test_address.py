from __future__ import annotations

import pytest
from redis.asyncio.connection import SSLConnection

from tapi_agent.adapters.redis.address import FORMS, Address, Layout, address
from tapi_agent.adapters.redis.opening import opener
from tapi_agent.domain.errors import ConfigurationError

TLS = {"connection_class": SSLConnection}


@pytest.mark.parametrize(
    ("url", "means"),
    [
        pytest.param(
            "redis://:p%40ss@cache:6380/2",
            Address(layout=Layout.SERVER, options={"host": "cache", "port": 6380, "db": 2, "password": "p@ss"}),
            id="one server",
        ),
        pytest.param(
            "redis+sentinel://guard/main",
            Address(layout=Layout.SENTINEL, options={}, nodes=(("guard", 26379),), service="main"),
            id="one Sentinel",
        ),
        pytest.param(
            "redis+sentinel://me:p%40%2C%2Fss@a,b:1,[::1]:2/my%2Fmain/3",
            Address(
                layout=Layout.SENTINEL,
                options={"username": "me", "password": "p@,/ss", "db": 3},
                nodes=(("a", 26379), ("b", 1), ("::1", 2)),
                service="my/main",
            ),
            id="everything about Sentinels",
        ),
        pytest.param(
            "rediss+sentinel://a/main?sentinel_username=me&sentinel_password=p%40&ssl_ca_certs=/ca",
            Address(
                layout=Layout.SENTINEL,
                options={"ssl_ca_certs": "/ca", **TLS},
                nodes=(("a", 26379),),
                service="main",
                sentinel_login={"username": "me", "password": "p@"},
            ),
            id="TLS and a login for Sentinels",
        ),
        pytest.param(
            "redis+cluster://:pass@a,b:1",
            Address(layout=Layout.CLUSTER, options={"password": "pass"}, nodes=(("a", 6379), ("b", 1))),
            id="cluster",
        ),
        pytest.param(
            "rediss+cluster://a/?ssl_cert_reqs=none",
            Address(layout=Layout.CLUSTER, options={"ssl_cert_reqs": "none", **TLS}, nodes=(("a", 6379),)),
            id="cluster by TLS",
        ),
    ],
)
def test_what_a_url_means(url: str, means: Address) -> None:
    assert address(url) == means
    assert address(url).tls is (means.options.get("connection_class") is SSLConnection)
    opener(url, None)()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://secret",
        "redis+sentinel://secret",
        "redis+sentinel://secret/",
        "redis+sentinel:///secret",
        "redis+sentinel://secret/main/x",
        "redis+sentinel://secret/main/0/1",
        "redis+sentinel://secret:port/main",
        "redis+sentinel://secret:70000/main",
        "redis+sentinel://secret,,b/main",
        "redis+sentinel://[secret/main",
        "redis+sentinel://:unquoted#secret@a/main",
        "redis+sentinel://a/main?secret=1",
        "redis+sentinel://a/main?sentinel_secret=1",
        "redis+sentinel://a/main?db=secret",
        "redis+cluster://",
        "redis+cluster://secret/1",
        "redis+cluster://a?db=3",
        "redis+cluster://a?secret=1",
        "redis+other://secret",
        "unix+cluster://secret",
        "REDIS+CLUSTER://secret",
    ],
)
def test_a_malformed_url_is_a_configuration_error_that_shows_how_and_does_not_quote_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        opener(url, None)
    assert str(error.value) == "the Redis URL cannot be read"
    assert error.value.fix == f"write it as {FORMS}"
    assert error.value.__suppress_context__


def test_the_forms_that_messages_show_can_be_read() -> None:
    forms = FORMS.replace(" or ", " ").split()
    assert {address(form.rstrip(",")).layout for form in forms} == set(Layout)


def test_no_url_changes_how_long_we_wait_or_how_often_we_try() -> None:
    wishes = "socket_timeout=9&socket_connect_timeout=9&protocol=3&decode_responses=true"
    client = opener(f"redis://a?{wishes}", None)()
    options = client._redis.connection_pool.connection_kwargs
    assert options["socket_timeout"] is options["socket_connect_timeout"] is None
    assert (options["protocol"], options["decode_responses"], options["retry"].get_retries()) == (2, False, 0)


def test_secrets_show_in_no_representation() -> None:
    shown = repr(address("redis+sentinel://:secret@a/main?sentinel_password=secret"))
    assert "secret" not in shown


def test_a_password_of_its_own_wins() -> None:
    client = opener("redis://:old@a", "new")()
    assert client._redis.connection_pool.connection_kwargs["password"] == "new"
