"""tapi-agent import-sqlite: take over the SQLite files of the application that came before. Needs no running agent."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from tapi_agent.cli.exits import Exit
from tapi_agent.cli.output import console, safe, show_json, table, warn
from tapi_agent.domain.importing.reports import FileReport, Outcome, TableReport, totals
from tapi_agent.settings import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tapi_agent.services.importing import Importing

_FILES: Final = {
    Outcome.IMPORTED: "files read to the end",
    Outcome.KNOWN: "files known before, not read again",
    Outcome.QUARANTINED: "files in quarantine as a whole",
    Outcome.FAILED: "files failed, nothing of them was written",
    Outcome.UNKNOWN: "other files, left alone",
}
_NAMED: Final = 3
_SHOWN: Final = 20
_REMEDY: Final = (
    "SELECT file_name, table_name, row_number, code, detail FROM import_quarantine"
    "; docs/import-sqlite.md explains each code"
)


def import_sqlite(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where config.db and telemetry_<camera>.db are.")],
    tenant: Annotated[str | None, typer.Option("--tenant", help="Tenant they belong to; default: TENANT_ID.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="Device; default: EDGE_DEVICE_ID.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and judge, write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take over old SQLite data; safe to repeat. 1: something is in quarantine, or could not be read."""
    reports = _run(folder, tenant, device, dry_run=dry_run, quiet=as_json)
    clean = all(report.clean for report in reports)
    if as_json:
        show_json({"schema": 1, "dry_run": dry_run, "clean": clean, "files": [_document(one) for one in reports]})
    else:
        _show(reports, dry_run=dry_run)
    raise typer.Exit(Exit.OK if clean else Exit.DENIED)


def _run(folder: Path, tenant: str | None, device: str | None, *, dry_run: bool, quiet: bool) -> list[FileReport]:
    from tapi_agent import telemetry  # noqa: PLC0415 - tapi-agent --help must not load every adapter
    from tapi_agent.bootstrap import importing  # noqa: PLC0415 - as above

    async def files(work: Importing) -> list[FileReport]:
        return await _files(work, quiet=quiet)

    telemetry.configure("warning")
    trial = importing.dry_run(folder)
    trial.files()  # a folder that is not there is found out before anything starts
    if dry_run:
        return asyncio.run(files(trial))
    wanted = importing.Import(folder=folder, tenant=tenant, device=device)
    return asyncio.run(importing.with_importing(load(), wanted, files))


async def _files(work: Importing, *, quiet: bool) -> list[FileReport]:
    found = work.files()
    reports = []
    with _bar(quiet=quiet) as bar:
        done, task = 0, bar.add_task("", total=sum(file.size for file in found))
        for file in found:
            bar.update(task, description=safe(file.name))
            reports.append(await work.take_over(file, lambda size: bar.advance(task, size)))
            done += file.size
            bar.update(task, completed=done)
    return reports


def _bar(*, quiet: bool) -> Progress:
    """On a terminal only, and on stderr: the report alone goes to stdout."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    screen = Console(stderr=True, highlight=False, emoji=False)
    return Progress(*columns, console=screen, transient=True, disable=quiet or not sys.stderr.isatty())


def _document(report: FileReport) -> dict[str, Any]:
    return {
        "name": report.name,
        "bytes": report.size,
        "outcome": report.outcome,
        "detail": report.detail,
        "in_quarantine": report.held,
        "reasons": dict(report.codes),
        "tables": report.figures(),
    }


def _show(reports: Sequence[FileReport], *, dry_run: bool) -> None:
    sums = totals(reports)
    if sums:
        heads = ("OLD TABLE", "READ", "FIT" if dry_run else "IMPORTED", "KNOWN BEFORE", "QUARANTINED", "CHECKSUMS")
        verdict = "-" if dry_run else "equal"  # a file whose checksums differ counts nothing here: it failed
        console.print(table(heads, [(name, *_counts(one), verdict) for name, one in sums.items()]))
    for outcome in Outcome:
        if names := [report.name for report in reports if report.outcome is outcome]:
            console.print(f"{_FILES[outcome]}: {len(names)} ({safe(_few(names))})", soft_wrap=True)
    trouble = [report for report in reports if not report.clean]
    for report in trouble[:_SHOWN]:
        warn("\n".join(map(safe, _lines(report))))
    if trouble:
        console.print(f"need a look: {len(trouble)} of {len(reports)} files\n  → {safe(_REMEDY)}", soft_wrap=True)


def _counts(sums: TableReport) -> tuple[int, ...]:
    return sums.read, sums.imported, sums.known, sums.quarantined


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _lines(report: FileReport) -> Iterator[str]:
    """What is the matter with a file, and examples."""
    reasons = ", ".join(f"{code} {number}" for code, number in report.codes.most_common())
    held = f"{report.held} in quarantine" if report.held else ""
    yield "; ".join(filter(None, (f"{report.name}: {report.outcome}", report.detail, held, reasons)))
    for one in report.examples:
        place = f"{one.table} row {one.row_number}" if one.row_number is not None else one.table or "the file"
        yield f"  {place}: {one.flaw.detail}"
