"""Named queries from ``sql/*.sql``: no SQL stands in Python.

A file is a list of queries, each opened by ``-- name: what_it_does`` and comments that say why. Repositories load
theirs once, at import, and take queries by attribute; tests hold every attribute used against the files, and every
query against a server.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NAME: Final = re.compile(r"^-- name: (.*)$", re.MULTILINE)
_COMMENT: Final = re.compile(r"^\s*--.*\n?", re.MULTILINE)


class Queries:
    """The queries of one file: ``queries.insert_events`` is its text, ready for ``execute``."""

    def __init__(self, file: str, texts: Mapping[str, str]) -> None:
        self._file = file
        self._texts = dict(texts)

    def __getattr__(self, name: str) -> str:
        try:
            return self._texts[name]
        except KeyError:
            raise AttributeError(f"{self._file} has no query {name!r}; it has: {', '.join(self._texts)}") from None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Pairs of name and text, in the file's order."""
        return iter(self._texts.items())


def load_queries(name: str) -> Queries:
    """The queries of ``sql/NAME.sql``."""
    file = f"{name}.sql"
    return Queries(file, parse(resources.files(__package__).joinpath("sql", file).read_text(encoding="utf-8"), file))


def parse(text: str, file: str) -> dict[str, str]:
    """A file's queries by name; raises ``ValueError`` for a bad, repeated or empty one, or SQL before the first."""
    head, *rest = _NAME.split(text)
    if _COMMENT.sub("", head).strip():
        raise ValueError(f"{file}: SQL before the first '-- name:' line")
    queries: dict[str, str] = {}
    for name, body in zip(map(str.strip, rest[::2]), rest[1::2], strict=True):
        if not name.isidentifier() or name in queries:
            raise ValueError(f"{file}: {name!r} is no new name for a query")
        queries[name] = _COMMENT.sub("", body).strip()
        if not queries[name]:
            raise ValueError(f"{file}: {name!r} has no SQL")
    return queries
