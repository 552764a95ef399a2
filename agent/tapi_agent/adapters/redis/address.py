"""Where Redis is, as one URL says it: a server, the primary that Sentinels name, or a cluster (ADR 0014).

::

    redis://[USER:PASSWORD@]HOST[:6379][/DB]                                  one server
    unix://[USER:PASSWORD@]/PATH[?db=DB]                                      one server
    redis+sentinel://[USER:PASSWORD@]HOST[:26379][,HOST...]/SERVICE[/DB]      the primary of SERVICE
    redis+cluster://[USER:PASSWORD@]HOST[:6379][,HOST...]                     a cluster

``rediss`` in place of ``redis`` is TLS, to Sentinels too. The login is the servers'; Sentinels that want one get
``?sentinel_username=...&sentinel_password=...``. Further options are redis-py's (``ssl_ca_certs=/PATH``). What has a
meaning in URLs is percent-encoded, an IPv6 host stands in brackets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from redis.asyncio.connection import SSLConnection, parse_url

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMS: Final = "redis://HOST:6379/0, redis+sentinel://HOST:26379,HOST/SERVICE/0 or redis+cluster://HOST:6379,HOST"
_SEVERAL: Final = re.compile(
    r"(?P<transport>rediss?)\+(?P<layout>sentinel|cluster)://((?P<login>[^/?#]*)@)?(?P<hosts>[^/?#@]+)"
    r"(/(?P<service>[^/?#]*)(/(?P<database>\d*))?)?(\?(?P<query>[^#]*))?",
    re.ASCII,
)
_SENTINEL: Final = "sentinel_"


class Layout(StrEnum):
    """What is behind a URL."""

    SERVER = "server"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to connect. ``options`` are redis-py's for a connection to a server, its password among them.

    ``nodes`` are the Sentinels, or those members of a cluster that tell of the others.
    """

    layout: Layout
    options: Mapping[str, Any] = field(repr=False)
    nodes: tuple[tuple[str, int], ...] = ()
    service: str = ""
    sentinel_login: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def tls(self) -> bool:
        """Whether everything goes through TLS."""
        return self.options.get("connection_class") is SSLConnection


def address(url: str) -> Address:
    """What ``url`` says; ``ValueError`` when it cannot be read."""
    several = _SEVERAL.fullmatch(url)
    if several is None:
        return Address(layout=Layout.SERVER, options=parse_url(url))
    if several["layout"] == Layout.SENTINEL:
        return _sentinel(_options(several), _nodes(several["hosts"], 26379), unquote(several["service"] or ""))
    if several["service"] or several["database"]:
        raise ValueError  # a cluster has neither
    return Address(layout=Layout.CLUSTER, options=_options(several), nodes=_nodes(several["hosts"], 6379))


def _sentinel(options: Mapping[str, Any], nodes: tuple[tuple[str, int], ...], service: str) -> Address:
    if not service:
        raise ValueError
    theirs = {name: value for name, value in options.items() if name.startswith(_SENTINEL)}
    return Address(
        layout=Layout.SENTINEL,
        options={name: value for name, value in options.items() if name not in theirs},
        nodes=nodes,
        service=service,
        sentinel_login={name.removeprefix(_SENTINEL): value for name, value in theirs.items()},
    )


def _options(several: re.Match[str]) -> dict[str, Any]:
    """What redis-py reads from the URL of one server with the same login, database and query."""
    login, database, query = (several[name] or "" for name in ("login", "database", "query"))
    options = dict(parse_url(f"{several['transport']}://{login}@one/{database}?{query}"))
    del options["host"]
    return options


def _nodes(hosts: str, default_port: int) -> tuple[tuple[str, int], ...]:
    return tuple(_node(host, default_port) for host in hosts.split(","))


def _node(text: str, default_port: int) -> tuple[str, int]:
    one = urlsplit(f"//{text}")
    if not one.hostname:
        raise ValueError
    return unquote(one.hostname), one.port or default_port
