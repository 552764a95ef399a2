"""The commands with which an operator proves usage, against a living agent: what is seen, what a script can test."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tests.integration.api.test_cli import command

from tapi_agent.domain.delivery import TransportFailure, UsageReply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.api.conftest import LiveAgent

UNKNOWN_ID = "01a400f6-360a-71e0-8633-90c6680d79b9"


@pytest.fixture
def run(
    full: LiveAgent,
    terminal: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Any]:
    """Run a command against ``full`` in a wide terminal."""
    terminal(240)
    return command(full, monkeypatch, capsys)


@pytest.fixture
def database(database_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        yield connection


def record(full: LiveAgent, count: int, event_type: str = "api_call", **fields: object) -> None:
    events = [{"event_type": event_type, "quantity": 1} | fields for _ in range(count)]
    with full.http() as http:
        http.post("/api/v1/usage/events", json=events)


def test_what_was_recorded_is_proved(full: LiveAgent, run: Callable[..., Any]) -> None:
    record(full, 3)
    assert run("usage", "flush")[0] == 0
    record(full, 2)
    code, out, _ = run("usage", "verify")
    assert code == 0
    assert "SYNCED" in out
    assert "sound: all that was accepted is accounted for; 3 rows and 1 batches were looked at" in out
    code, out, _ = run("usage", "verify", "--json")
    proof = json.loads(out)
    assert (code, proof["sound"], proof["rows"], proof["batches"], len(proof["lines"])) == (0, True, 3, 1, 1)
    assert proof["lines"][0]["fates"]["spooled"] == {"events": 2, "quantity": "2"}


def test_damage_ends_with_1_and_says_what_to_do(full: LiveAgent, run: Callable[..., Any], database: Any) -> None:
    record(full, 3)
    run("usage", "flush")
    database.execute("DELETE FROM usage_events WHERE seq = 2")
    code, out, _ = run("usage", "verify")
    assert code == 1
    assert "MISSING" in out
    assert "1 events with 1 were accepted and are nowhere" in out
    assert "→ events are gone: look for deleted rows of that day" in out
    assert "not sound: 2 findings" in out
    code, out, _ = run("usage", "verify", "--json")
    assert (code, [finding["fault"] for finding in json.loads(out)["findings"]]) == (1, ["MISSING", "TOTAL_DIFFERS"])


def test_without_postgresql_nothing_is_proved(live: LiveAgent, monkeypatch: Any, capsys: Any) -> None:
    code, _, err = command(live, monkeypatch, capsys)("usage", "verify")
    assert code == 4
    assert "→" in err


def test_the_service_has_what_was_delivered(full: LiveAgent, run: Callable[..., Any]) -> None:
    record(full, 3)
    run("usage", "flush")
    code, out, _ = run("usage", "reconcile")
    assert (code, "ours and theirs agree" in out) == (0, True)
    code, out, _ = run("usage", "reconcile", "--every-id", "--json")
    document = json.loads(out)
    assert (code, document["agrees"]) == (0, True)
    assert document["days"][0]["lines"][0]["identified"]["missing"] == 0


def test_what_the_service_lacks_is_named_and_sent_again(full: LiveAgent, run: Callable[..., Any]) -> None:
    record(full, 6)
    run("usage", "flush")
    del full.billing.billed[0:5]  # type: ignore[attr-defined]
    code, out, _ = run("usage", "reconcile")
    assert code == 1
    assert "5 delivered events are missing there, such as" in out
    assert "--resend sends them again" in out
    code, out, _ = run("usage", "reconcile", "--resend")
    assert (code, "5 sent again" in out) == (1, True)
    assert run("usage", "flush")[0] == 0
    assert run("usage", "reconcile", "--every-id")[0] == 0
    assert len({str(event["event_id"]) for event in full.billing.billed}) == len(full.billing.billed) == 6


def test_what_the_service_has_too_much_is_said(full: LiveAgent, run: Callable[..., Any]) -> None:
    record(full, 2)
    run("usage", "flush")
    stranger = dict(full.billing.billed[0]) | {"event_id": UNKNOWN_ID}
    full.billing.billed.append(stranger)  # type: ignore[attr-defined]
    code, out, _ = run("usage", "reconcile")
    assert code == 1
    assert "1 events are there that this database does not know → another box or database delivered them" in out


def doubtful(full: LiveAgent, run: Callable[..., Any]) -> str:
    full.billing.classic()
    full.billing.reply_to_usage(UsageReply(failure=TransportFailure.RESET, written=True))
    record(full, 2, "email_sent")
    run("usage", "flush")
    batches = json.loads(run("usage", "held", "--json")[1])["batches"]
    return str(batches[0]["batch_id"])


@pytest.mark.parametrize(("word", "answer"), [("--stored", "settled as stored"), ("--not-stored", "to be sent again")])
def test_a_held_batch_is_shown_and_decided(full: LiveAgent, run: Callable[..., Any], word: str, answer: str) -> None:
    batch = doubtful(full, run)
    code, out, _ = run("usage", "held")
    assert (code, batch in out, "email_sent 2" in out) == (0, True, True)
    assert "tapi-agent usage reconcile BATCH --stored" in out
    code, out, _ = run("usage", "reconcile", batch, word, "--reason", "they say so")
    assert (code, out) == (0, f"2 events: {answer}\n")
    code, _, err = run("usage", "reconcile", batch, word, "--reason", "again")
    assert (code, "is not in doubt" in err) == (2, True)
    assert run("usage", "held")[1] == "no batch waits for a word\n"


@pytest.mark.parametrize(
    "arguments", [["--stored"], ["--reason", "x"], ["01a4", "--stored"], ["01a4", "--reason", "x"]]
)
def test_a_verdict_needs_batch_word_and_reason(run: Callable[..., Any], arguments: list[str]) -> None:
    assert run("usage", "reconcile", *arguments)[0] == 2


def bury(full: LiveAgent, run: Callable[..., Any], database: Any) -> str:
    """One dead letter as the agent would have written it; its row is dead."""
    record(full, 1, metadata={"z": 1, "a": "ü"})
    run("usage", "flush")
    (event_id,) = database.execute(
        "UPDATE usage_events SET state = 'dead' WHERE state = 'synced' RETURNING event_id"
    ).fetchone()
    database.execute(
        "INSERT INTO usage_dead_letters (event_id, stream, seq, batch_id, code, detail, event) "
        "SELECT event_id, stream, seq, batch_id, 'NO_SUCH_MODEL', 'no', convert_to(canonical, 'UTF8') "
        "FROM usage_events WHERE state = 'dead'"
    )
    full.billing.billed.clear()  # type: ignore[attr-defined]
    return str(event_id)


def test_dead_letters_are_shown_and_exported_whole(
    full: LiveAgent, run: Callable[..., Any], database: Any, tmp_path: Path
) -> None:
    assert run("usage", "dead-letters")[1] == "there are no dead letters\n"
    event_id = bury(full, run, database)
    assert event_id in run("usage", "dead-letters", "--code", "NO_SUCH_MODEL", "--limit", "1")[1]
    assert event_id not in run("usage", "dead-letters", "--since", "2999-01-01T00:00:00Z")[1]
    (letter,) = json.loads(run("usage", "dead-letters", "--json")[1])["letters"]
    file = tmp_path / "letters.jsonl"
    assert run("usage", "dead-letters", "--export", str(file))[0] == 0
    (line,) = file.read_bytes().splitlines()
    text = database.execute("SELECT canonical FROM usage_events").fetchone()[0]
    assert line.endswith(b', "event": ' + text.encode() + b"}")
    assert json.loads(line)["code"] == letter["code"] == "NO_SUCH_MODEL"
    assert run("usage", "dead-letters", "--export", str(file))[0] == 78


def test_an_id_is_whole_on_a_narrow_terminal(
    full: LiveAgent, run: Callable[..., Any], terminal: Callable[[int], None], database: Any
) -> None:
    batch = doubtful(full, run)
    event_id = bury(full, run, database)
    terminal(80)
    assert event_id in run("usage", "dead-letters")[1]
    assert batch in run("usage", "held")[1]


def test_the_doctor_shows_what_waits_for_a_person(full: LiveAgent, run: Callable[..., Any], database: Any) -> None:
    findings = {one["name"]: one for one in json.loads(run("doctor", "--json")[1])["findings"]}
    assert (findings["usage delivery"]["healthy"], findings["usage delivery"]["detail"]) == (
        True,
        "0 events on their way",
    )
    assert not {"usage dead", "usage ambiguous"} & findings.keys()
    doubtful(full, run)
    bury(full, run, database)
    findings = {one["name"]: one for one in json.loads(run("doctor", "--json")[1])["findings"]}
    assert findings["usage dead"]["detail"] == "1 events that will not be billed"
    assert "tapi-agent usage replay" in findings["usage dead"]["fix"]
    assert findings["usage ambiguous"]["detail"].startswith("2 events of which nobody can say yet")
    assert not findings["usage ambiguous"]["healthy"]


def test_a_dead_letter_is_replayed_once(full: LiveAgent, run: Callable[..., Any], database: Any) -> None:
    event_id = bury(full, run, database)
    code, out, _ = run("usage", "replay", event_id)
    assert (code, out) == (0, "1 events wait to be sent again\n")
    assert json.loads(run("usage", "replay", "--all", "--json")[1])["replayed"] == []
    run("usage", "flush")
    assert [str(event["event_id"]) for event in full.billing.billed] == [event_id]


def test_what_stays_a_letter_ends_with_1_and_the_reason(run: Callable[..., Any]) -> None:
    code, out, _ = run("usage", "replay", UNKNOWN_ID)
    assert code == 1
    assert f"{UNKNOWN_ID} stays a dead letter: there is no dead letter of this id" in out


@pytest.mark.parametrize("arguments", [[], ["--all", "--code", "x"], ["x", "--all"], ["not-an-id"]])
def test_a_replay_says_which_letters(run: Callable[..., Any], arguments: list[str]) -> None:
    assert run("usage", "replay", *arguments)[0] == 2


def test_a_replay_request_names_one_choice(full: LiveAgent) -> None:
    with full.http() as http:
        assert http.post("/api/v1/usage/replay", json={}).json()["code"] == "missing"
