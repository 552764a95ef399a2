"""Log lines and metrics: one pipe for us and for libraries, no secret gets through it, nothing stops the agent."""

from __future__ import annotations

import io
import json
import logging
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from tapi_agent import telemetry
from tapi_agent.telemetry import LogFile, configure, redacted, redacted_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass
class Output:
    """What was written, line by line."""

    stream: io.StringIO = field(default_factory=io.StringIO)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    @property
    def only(self) -> dict[str, Any]:
        (line,) = self.lines
        return line


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave logging as it was for the tests that follow in this process."""
    root = logging.getLogger()
    names = ("", "apscheduler", "httpcore", "httpx", "psycopg.pool", "transitions", "uvicorn.access")
    handlers, raising = list(root.handlers), logging.raiseExceptions
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:], logging.raiseExceptions = handlers, raising
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def output() -> Output:
    return Output()


def test_a_line_is_json_with_utc_time_level_and_logger(output: Output) -> None:
    configure(stream=output.stream)
    structlog.get_logger("tapi_agent.services.licensing").info("license.changed", camera="cam-1", count=2, ok=True)
    line = output.only
    at = datetime.fromisoformat(line.pop("timestamp"))
    assert at.utcoffset() == timedelta(0)
    assert line == {
        "event": "license.changed",
        "camera": "cam-1",
        "count": 2,
        "ok": True,
        "level": "info",
        "logger": "tapi_agent.services.licensing",
    }


def test_libraries_use_the_same_pipe(output: Output) -> None:
    configure(stream=output.stream)
    logging.getLogger("uvicorn.error").warning("port %d is %s", 80, "taken")
    line = output.only
    assert (line["event"], line["level"], line["logger"]) == ("port 80 is taken", "warning", "uvicorn.error")
    assert "timestamp" in line


@pytest.mark.parametrize(
    ("level", "seen"),
    [
        ("debug", ["debug", "info", "warning", "error", "critical"]),
        ("info", ["info", "warning", "error", "critical"]),
        ("warning", ["warning", "error", "critical"]),
        ("error", ["error", "critical"]),
        ("critical", ["critical"]),
    ],
)
@pytest.mark.parametrize("own", [True, False], ids=["structlog", "logging"])
def test_the_level_filters_both(output: Output, level: str, seen: list[str], *, own: bool) -> None:
    configure(level, stream=output.stream)
    logger = structlog.get_logger("x") if own else logging.getLogger("x")
    for each in ("debug", "info", "warning", "error", "critical"):
        getattr(logger, each)("said")
    assert [line["level"] for line in output.lines] == seen


@pytest.mark.parametrize(
    "name", ["apscheduler.executors", "httpx", "httpcore.http11", "transitions.core", "uvicorn.access", "psycopg.pool"]
)
def test_talkative_libraries_are_held_back_even_at_debug(
    output: Output, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(name), "propagate", True)  # a uvicorn of another test may have cut it off
    configure("debug", stream=output.stream)
    logging.getLogger(name).info("request headers")
    logging.getLogger(name).critical("trouble")
    assert output.only["event"] == "trouble"


def test_context_follows_the_task(output: Output) -> None:
    configure(stream=output.stream)
    with structlog.contextvars.bound_contextvars(round=7):
        structlog.get_logger("x").info("refresh.done")
        logging.getLogger("y").warning("slow")
    assert [line["round"] for line in output.lines] == [7, 7]


def test_configuring_again_replaces_and_does_not_double(output: Output) -> None:
    old = io.StringIO()
    logger = structlog.get_logger("x")
    configure(stream=old)
    logger.info("first")
    configure("error", stream=output.stream)
    logger.info("unheard")
    logger.error("second")
    assert json.loads(old.getvalue())["event"] == "first"
    assert output.only["event"] == "second"


def test_a_terminal_gets_prose(output: Output) -> None:
    output.stream = Terminal()
    configure(stream=output.stream)
    structlog.get_logger("x").warning("spool.slow", events=7)
    text = output.stream.getvalue()
    assert "spool.slow" in text
    assert "\x1b[" in text
    assert not text.startswith("{")


@pytest.mark.parametrize("stream", [io.StringIO, Terminal], ids=["json", "terminal"])
@pytest.mark.parametrize("own", [True, False], ids=["structlog", "logging"])
def test_tracebacks_are_kept_and_their_secrets_are_not(output: Output, stream: type[io.StringIO], *, own: bool) -> None:
    output.stream = stream()
    configure(stream=output.stream)
    try:
        int("redis://:hunter2@cache")
    except ValueError:
        (structlog.get_logger("x") if own else logging.getLogger("x")).exception("task.failed")
    text = output.stream.getvalue()
    assert "ValueError: invalid literal" in text
    assert "hunter2" not in text


def test_a_file_keeps_json_for_the_group_only(output: Output, tmp_path: Path) -> None:
    path = tmp_path / "log/agent.log"
    configure(file=LogFile(path=path, max_bytes=10_000, backups=2), stream=output.stream)
    structlog.get_logger("x").info("agent.ready", token="hunter2", city="Zürich\udcff")
    line = json.loads(path.read_text())
    assert (line["event"], line["token"], line["city"]) == ("agent.ready", "********", "Zürich\udcff")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
    assert output.only["event"] == "agent.ready"


def test_files_rotate_and_the_oldest_go(output: Output, tmp_path: Path) -> None:
    path = tmp_path / "agent.log"
    configure(file=LogFile(path=path, max_bytes=400, backups=2), stream=output.stream)
    for number in range(50):
        structlog.get_logger("x").info("tick", number=number)
    kept = sorted(tmp_path.iterdir())
    assert [file.name for file in kept] == ["agent.log", "agent.log.1", "agent.log.2"]
    assert all(0 < file.stat().st_size <= 400 for file in kept)
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o640 for file in kept)
    assert json.loads(path.read_text().splitlines()[-1])["number"] == 49


def test_a_file_that_cannot_be_opened_is_reported_and_done_without(output: Output, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    configure(file=LogFile(path=tmp_path / "file/agent.log", max_bytes=1, backups=1), stream=output.stream)
    structlog.get_logger("x").info("agent.ready")
    report, ready = output.lines
    assert (report["event"], report["level"]) == ("log.file_unavailable", "warning")
    assert report["path"].endswith("file/agent.log")
    assert ready["event"] == "agent.ready"


def test_a_full_disk_loses_lines_and_nothing_else(
    output: Output, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "agent.log"
    path.symlink_to("/dev/full")
    configure(file=LogFile(path=path, max_bytes=10_000_000, backups=1), stream=output.stream)
    logging.getLogger("x").warning("password=%s", "hunter2")
    logging.getLogger("x").warning("still no space")
    path.unlink()
    path.mkdir()
    logging.getLogger("x").warning("no file at all")
    path.rmdir()
    logging.getLogger("x").warning("space again")
    heard = [line["event"] for line in output.lines]
    assert heard == ["password=********", "still no space", "no file at all", "space again"]
    assert json.loads(path.read_text())["event"] == "space again"
    assert "hunter2" not in "".join(capsys.readouterr())


def test_a_record_that_cannot_be_formatted_is_not_dumped(output: Output, capsys: pytest.CaptureFixture[str]) -> None:
    configure(stream=output.stream)
    logging.getLogger("x").warning("%d", "hunter2")
    logging.getLogger("x").warning("next")
    assert output.only["event"] == "next"
    assert "hunter2" not in "".join(capsys.readouterr())


def test_stderr_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    structlog.get_logger("x").info("agent.ready")
    captured = capsys.readouterr()
    assert json.loads(captured.err)["event"] == "agent.ready"
    assert captured.out == ""


SECRET_KEYS = (
    "api_key", "BILLING_API_KEY", "apiKey", "x-api-key", "password", "POSTGRES_PASSWORD", "passwd", "passphrase",
    "authorization", "Authorization", "token", "access_token", "license_key", "licenseKey", "lease", "signed_lease",
    "postgres_dsn", "cookie", "Set-Cookie", "client_secret", "device_key", "private_key", "credentials",
)  # fmt: skip
PLAIN_KEYS = ("tenant_id", "llm_tokens", "lease_until", "lease_owner", "release", "key", "kid", "monkey", "camera_id")


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_values_under_telling_keys_are_masked(key: str) -> None:
    assert redacted({key: "hunter2"}) == {key: "********"}
    assert redacted({"request": [{"headers": {key: ["hunter2"]}}]}) == {"request": [{"headers": {key: "********"}}]}


@pytest.mark.parametrize("key", PLAIN_KEYS)
def test_other_keys_are_left_alone(key: str) -> None:
    assert redacted({key: "value"}) == {key: "value"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("connecting to redis://:hunter2@cache:6379/0", "connecting to redis://********@cache:6379/0"),
        ("postgresql://me:hunt/er2@db/x?a=b", "postgresql://********@db/x?a=b"),
        ("https://a:hunter2@b and https://c:hunter2@d", "https://********@b and https://********@d"),
        ("https://billing.example/api/v1", "https://billing.example/api/v1"),
        ("mail me@example.com", "mail me@example.com"),
        ("host='db' password='hun ter2' user=me", "host='db' password=******** user=me"),
        ("password=hunter2 user=me", "password=******** user=me"),
        ("POSTGRES_PASSWORD=hunter2", "POSTGRES_PASSWORD=********"),
        ('{"api_key": "hunter2", "n": 1}', '{"api_key": ********, "n": 1}'),
        ("license_key: hunter2", "license_key: ********"),
        ("sent Bearer hunter2.abc-1", "sent Bearer ********"),
        ("Authorization: Basic aHVudGVyMg==", "Authorization: ********"),
        ("{'authorization': 'Bearer hunter2'}", "{'authorization': '********'}"),
        ("tier basic, mode base", "tier basic, mode base"),
        ("got -----BEGIN MACHINE FILE-----\nhunter2\n-----END MACHINE FILE----- ok", "got ******** ok"),
        ("cut off -----BEGIN LICENSE FILE-----\nhunter2", "cut off ********"),
        ("the password is wrong", "the password is wrong"),
    ],
)
def test_telling_patterns_in_text_are_masked(text: str, shown: str) -> None:
    assert redacted_text(text) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param(datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00", id="time"),
        pytest.param(SecretStr("hunter2"), "**********", id="pydantic's secret"),
        pytest.param(ValueError("at redis://:hunter2@c"), "at redis://********@c", id="exception"),
        pytest.param((1, 2.5, None, False), [1, 2.5, None, False], id="plain values"),
        pytest.param({1: {"x"}}, {"1": ["x"]}, id="keys become text"),
        pytest.param(b"password=hunter2", "b'password=********'", id="bytes"),
    ],
)
def test_other_values(value: object, shown: object) -> None:
    assert redacted(value) == shown


def test_a_circle_is_cut() -> None:
    circle: dict[str, object] = {}
    circle["self"] = [circle]
    assert "hunter2" not in json.dumps(redacted(circle))
    assert "..." in json.dumps(redacted(circle))


def test_a_hostile_line_costs_little() -> None:
    assert redacted_text("://" * 20_000) == "://" * 20_000
    assert redacted_text("password" * 20_000) == "password" * 20_000
    assert redacted_text("-----BEGIN " * 5_000).startswith("-----BEGIN ")


SECRET = "hunter2-9f"
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())
TREES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(), inner, max_size=3),
        st.dictionaries(st.sampled_from(SECRET_KEYS), st.one_of(inner, st.just(SECRET), st.just([SECRET])), max_size=2),
        st.dictionaries(st.text(), st.just(f"x redis://me:{SECRET}@host/0 y"), max_size=1),
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(fields=st.dictionaries(st.text(min_size=1), TREES, max_size=4))
def test_no_planted_secret_reaches_a_line(fields: dict[str, Any]) -> None:
    stream = io.StringIO()
    configure(stream=stream)
    reserved = {
        "event",
        "exc_info",
        "stack_info",
        "stack",
        "level",
        "logger",
        "timestamp",
        "_record",
        "_from_structlog",
    }
    structlog.get_logger("x").bind(**{key: value for key, value in fields.items() if key not in reserved}).info("said")
    assert json.loads(stream.getvalue())["event"] == "said"
    assert SECRET not in stream.getvalue()


@settings(deadline=None)
@given(tree=TREES)
def test_redacting_twice_changes_nothing_more(tree: object) -> None:
    once = redacted(tree)
    assert redacted(once) == once


def _sample(name: str, labels: dict[str, str]) -> float | None:
    families = text_string_to_metric_families(telemetry.exposition().decode())
    samples = (sample for family in families for sample in family.samples)
    return next((sample.value for sample in samples if (sample.name, sample.labels) == (name, labels)), None)


@pytest.mark.parametrize(
    ("metric", "labels", "name"),
    [
        (telemetry.LICENSE_CAMERAS, {"state": "valid"}, "tapi_license_cameras"),
        (telemetry.LICENSE_TRANSITIONS, {"old": "valid", "new": "offline"}, "tapi_license_transitions_total"),
        (telemetry.LICENSE_REFRESHES, {"outcome": "ok"}, "tapi_license_refresh_total"),
        (telemetry.CACHE_HITS, {"tier": "memory"}, "tapi_cache_hits_total"),
        (telemetry.ENTITLEMENT_CHECKS, {}, "tapi_entitlement_checks_total"),
        (telemetry.ENTITLEMENT_DECISIONS, {}, "tapi_entitlement_decisions_total"),
        (telemetry.SPOOL_EVENTS, {}, "tapi_spool_events"),
        (telemetry.USAGE_BACKLOG, {"stretch": "pending"}, "tapi_usage_backlog"),
        (telemetry.USAGE_OLDEST, {}, "tapi_usage_oldest_pending_seconds"),
        (telemetry.USAGE_BATCHES, {"outcome": "settled"}, "tapi_usage_batches_total"),
        (telemetry.USAGE_DEAD_LETTERS, {}, "tapi_usage_dead_letters_total"),
        (telemetry.DEPENDENCY_UP, {"dependency": "billing"}, "tapi_dependency_up"),
        (telemetry.JOB_RUNS, {"job": "sync", "outcome": "ok"}, "tapi_job_runs_total"),
        (telemetry.PLUGIN_FAILURES, {"plugin": "retail"}, "tapi_plugin_failures_total"),
        (
            telemetry.PLUGIN_EVENTS_DROPPED,
            {"plugin": "retail", "hook": "usage_recorded"},
            "tapi_plugin_events_dropped_total",
        ),
        (telemetry.PLUGIN_SINK_BEHIND, {"sink": "retail/archive"}, "tapi_plugin_sink_behind"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_metrics(metric: Any, labels: dict[str, str], name: str) -> None:
    before = _sample(name, labels) or 0
    (metric.labels(**labels) if labels else metric).inc(3)
    assert _sample(name, labels) == before + 3


def test_the_exposition_is_prometheus_text() -> None:
    assert telemetry.EXPOSITION_TYPE.startswith("text/plain; version=0.0.4")
    assert _sample("process_resident_memory_bytes", {})
