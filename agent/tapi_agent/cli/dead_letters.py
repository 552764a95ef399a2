"""tapi-agent usage dead-letters, replay: what will not be billed, whole, and sending it again."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tapi_agent.cli.common import JsonOption, SocketOption, agent, instant
from tapi_agent.cli.exits import Exit
from tapi_agent.cli.output import console, safe, show_json, table, warn
from tapi_agent.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tapi_agent.client import AgentClient

_AT_ONCE: Final = 100

CodeOption = Annotated[str | None, typer.Option("--code", help="Only those with this code.")]


def dead_letters(
    code: CodeOption = None,
    since: Annotated[
        datetime | None, typer.Option("--since", parser=instant, metavar="TIME", help="Only those dead since then.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="So many at most; default: all.")] = None,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Write them whole, a line of JSON each.")
    ] = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show events that will not be billed, and why; the whole event, byte for byte, with --export or --json."""
    with agent(socket) as client:
        letters = client.dead_letters(code=code, since=since, limit=limit)
        if export:
            console.print(f"{_export(letters, export)} dead letters written to {safe(export)}")
        elif as_json:
            show_json({"schema": 1, "letters": list(letters)})
        else:
            _show(list(letters))


def _export(letters: Iterable[dict[str, Any]], path: Path) -> int:
    """The event stands in its line as it was recorded, not as a text in quotes."""
    try:
        file = path.open("xb")
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {path}: {error.strerror}", fix="name a file that is not there"
        ) from error
    written = 0
    with closing(file):
        for letter in letters:
            about = json.dumps({name: value for name, value in letter.items() if name != "event"})
            file.write(f'{about[:-1]}, "event": {letter["event"]}}}\n'.encode())
            written += 1
    return written


def _show(letters: Sequence[dict[str, Any]]) -> None:
    columns = ("DIED", "EVENT", "CODE", "DETAIL")
    cells = map(_cells, letters)
    console.print(table(columns, cells, whole=("EVENT",)) if letters else "there are no dead letters")


def _cells(letter: dict[str, Any]) -> list[str]:
    return [safe(letter["dead_at"][:19]), *(safe(letter[name]) for name in ("event_id", "code", "detail"))]


def replay(
    event_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Event ids.")] = None,
    code: CodeOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send events of dead letters again under their own ids, where that cannot bill twice; exit code 1 if any stays.

    A corrected copy is a new event: record it.
    """
    if sum([bool(event_ids), code is not None, everything]) != 1:
        raise typer.BadParameter("name event ids, or one of --code and --all", param_hint="ID")
    with agent(socket) as client:
        pages = list(_pages(client, event_ids or [], code))
    replayed = [one for page in pages for one in page["replayed"]]
    refused = [one for page in pages for one in page["refused"]]
    document = {"schema": 1, "replayed": replayed, "refused": refused}
    show_json(document) if as_json else _show_replay(document)
    raise typer.Exit(Exit.DENIED if refused else Exit.OK)


def _pages(client: AgentClient, event_ids: Sequence[str], code: str | None) -> Iterator[dict[str, Any]]:
    if event_ids:
        for start in range(0, len(event_ids), _AT_ONCE):
            yield client.replay(event_ids[start : start + _AT_ONCE])
        return
    after: int | None = 0
    while after is not None:
        page = client.replay(code=code, after=after)
        yield page
        after = page["last"]


def _show_replay(document: dict[str, Any]) -> None:
    console.print(f"{len(document['replayed'])} events wait to be sent again")
    for one in document["refused"]:
        warn(safe(f"{one['event_id']} stays a dead letter: {one['why']} → {one['fix']}"))
