"""Log lines: JSON on stderr (colors on a terminal), on demand in a rotating file too; libraries use the same pipe."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING, Final, TextIO, cast

import structlog
from structlog.stdlib import ProcessorFormatter
from typing_extensions import override

from tapi_agent.telemetry.redaction import redacted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import TextIOWrapper
    from pathlib import Path

    from structlog.typing import EventDict, Processor, WrappedLogger

_TALKATIVE: Final = {
    "apscheduler": logging.CRITICAL,  # every run of every job; jobs.scheduler logs the edges
    "httpcore": logging.WARNING,  # headers, with the API key in them
    "httpx": logging.WARNING,  # every request
    "psycopg.pool": logging.ERROR,  # every failed attempt; services.connectivity logs the edges
    "transitions": logging.WARNING,  # every step inside a change of state
    "uvicorn.access": logging.WARNING,  # every request
}
"""Loggers held at a level of their own, whatever ours is: edges are logged, not levels."""

_SHARED: Final[Sequence[Processor]] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """Where lines are kept as well: a new file begins after ``max_bytes``, ``backups`` older ones stay."""

    path: Path
    max_bytes: int
    backups: int


def configure(level: str = "info", *, file: LogFile | None = None, stream: TextIO | None = None) -> None:
    """Send what is at ``level`` (debug, info, warning, error, critical) or above to ``stream`` (stderr) and ``file``.

    May be called again, as after a reload. A file that cannot be opened is reported and done without; a line that
    cannot be written is lost in silence, because the standard complaint would print the line with its secrets.
    """
    logging.raiseExceptions = False
    _replace_handlers(logging.StreamHandler(stream or sys.stderr))
    logging.getLogger().setLevel(level.upper())
    for name, own_level in _TALKATIVE.items():
        logging.getLogger(name).setLevel(own_level)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_SHARED, ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    if file is not None:
        _add_file(file)


def _replace_handlers(console: logging.StreamHandler[TextIO]) -> None:
    root = logging.getLogger()
    for handler in filter(_is_ours, tuple(root.handlers)):
        root.removeHandler(handler)
        handler.close()
    console.setFormatter(_formatter(colors=console.stream.isatty()))
    root.addHandler(console)


def _is_ours(handler: logging.Handler) -> bool:
    return isinstance(handler.formatter, ProcessorFormatter)


def _add_file(file: LogFile) -> None:
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        handler = _PrivateRotatingFile(file.path, maxBytes=file.max_bytes, backupCount=file.backups, encoding="utf-8")
    except OSError as error:
        structlog.get_logger(__name__).warning("log.file_unavailable", path=str(file.path), error=str(error))
        return
    handler.setFormatter(_formatter(colors=False))
    logging.getLogger().addHandler(handler)


class _PrivateRotatingFile(RotatingFileHandler):
    """Readable by the agent's group, never by others. A full disk costs lines while it lasts, no more."""

    @override
    def _open(self) -> TextIOWrapper:
        return os.fdopen(os.open(self.baseFilename, _APPEND, 0o640), "a", encoding="utf-8", errors="backslashreplace")

    @override
    def handleError(self, record: logging.LogRecord) -> None:
        """The line is lost; the next one opens the file anew: a stream that failed to close stays broken for ever."""
        failed, self.stream = self.stream, cast("TextIOWrapper", None)  # logging's own word for "not open"
        if failed is not None:
            with contextlib.suppress(OSError, ValueError):
                failed.close()


def _formatter(*, colors: bool) -> ProcessorFormatter:
    renderer: Processor = structlog.processors.JSONRenderer(ensure_ascii=False)
    if colors:
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _redact,
            renderer,
        ],
    )


def _redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """After the traceback has become text, before anything is rendered."""
    return cast("EventDict", redacted(event))
