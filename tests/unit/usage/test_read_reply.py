"""The table of 4-billing-contract, "What a usage reply means", row by row."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID

import pytest

from tapi_agent.domain.answers import Outcome, Result
from tapi_agent.domain.batch import MAX_BYTES, Dialect, LeasedBatch
from tapi_agent.domain.delivery import Known, TransportFailure, UsageReply, read_reply, settled_by
from tapi_agent.domain.ids import BatchId, EventId
from tapi_agent.domain.settlement import (
    Ambiguous,
    Death,
    Halve,
    PauseReason,
    Refused,
    Reseal,
    Retry,
    ServiceMemory,
    Settled,
    Settlement,
    learned,
)

ID = BatchId(UUID(int=1))
EVENTS = tuple(EventId(UUID(int=number)) for number in (11, 12, 13))
A, B, C = EVENTS
WISH = timedelta(seconds=30)
CLASSIC, DEDUPES = Known(dedupes=False), Known(dedupes=True)
AUTO = Known(dedupes=False, may_fall_back=True)


def batch(*event_ids: EventId, dialect: Dialect = Dialect.EXTENDED, **facts: object) -> LeasedBatch:
    return LeasedBatch(
        batch_id=ID,
        root_id=ID,
        dialect=dialect,
        body=b"x" * 1000,
        event_ids=event_ids or EVENTS,
        attempts=1,
        fence=1,
        **facts,  # type: ignore[arg-type]
    )


def reply(document: object, status: int = 200, **fields: object) -> UsageReply:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    kind = "text/html" if body.startswith(b"<") else "application/json"
    return UsageReply(status=status, body=body, content_type=kind, **fields)  # type: ignore[arg-type]


def counts(accepted: object, rejected: object = 0) -> dict[str, object]:
    return {"accepted_count": accepted, "rejected_count": rejected, "errors": []}


def results(*lines: tuple[object, ...], batch_id: str = str(ID), **more: object) -> dict[str, object]:
    names = ("event_id", "status", "code", "detail")
    listed = [dict(zip(names, map(str, line), strict=False)) for line in lines]
    return counts(0) | {"batch_id": batch_id, "results": listed} | more


def settled(*synced: EventId, dead: dict[EventId, Death] | None = None, again: tuple[EventId, ...] = ()) -> Settled:
    return Settled(synced=frozenset(synced), dead=dead or {}, again=frozenset(again), dedupes=True)


ROWS = {
    # 2xx JSON, our batch_id, results per id
    "all accepted": (reply(results((A, "accepted"), (B, "accepted"), (C, "accepted"))), settled(*EVENTS)),
    "duplicate is synced": (reply(results((A, "accepted"), (B, "duplicate"), (C, "duplicate"))), settled(*EVENTS)),
    "rejected is dead with its code": (
        reply(results((A, "accepted"), (B, "rejected", "bad_unit", "not ours"), (C, "accepted"))),
        settled(A, C, dead={B: Death(code="bad_unit", detail="not ours")}),
    ),
    "rejected without a code": (
        reply(results((A, "accepted"), (B, "rejected"), (C, "accepted"))),
        settled(A, C, dead={B: Death(code="REJECTED")}),
    ),
    "retry and absent go out anew": (reply(results((A, "accepted"), (B, "retry"))), settled(A, again=(B, C))),
    "an unknown status decides nothing": (reply(results((A, "pondering"), (B, "accepted"))), settled(B, again=(A, C))),
    "no results at all are absent, and prove nothing": (reply(results()), Settled(again=frozenset(EVENTS))),
    "results of strangers are ignored": (
        reply(results((UUID(int=99), "accepted"), (A, "accepted"), ("no uuid", "accepted"))),
        settled(A, again=(B, C)),
    ),
    "accepted outweighs what else is said of an id": (
        reply(results((A, "accepted"), (A, "rejected"), (B, "retry"), (B, "accepted"), (C, "accepted"))),
        settled(*EVENTS),
    ),
    "results that are no objects": (
        reply(results() | {"results": [None, 7, {}, []]}),
        Settled(again=frozenset(EVENTS)),
    ),
    "201 and 207 as well": (reply(results((A, "accepted"), (B, "accepted")), 207), settled(A, B, again=(C,))),
    "our batch_id in capitals": (
        reply(results((A, "accepted"), (B, "accepted"), (C, "accepted"), batch_id=str(ID).upper())),
        settled(*EVENTS),
    ),
    "400 with results": (
        reply(results((A, "accepted"), (B, "rejected", "bad"), (C, "retry")), 400),
        settled(A, dead={B: Death(code="bad")}, again=(C,)),
    ),
    "422 with results": (reply(results((A, "duplicate"), (B, "duplicate"), (C, "duplicate")), 422), settled(*EVENTS)),
}


@pytest.mark.parametrize(("given", "expected"), ROWS.values(), ids=ROWS.keys())
@pytest.mark.parametrize("known", [CLASSIC, DEDUPES, AUTO], ids=["classic", "dedupes", "auto"])
def test_results_per_event(given: UsageReply, expected: Settled, known: Known) -> None:
    assert read_reply(given, batch(), known) == expected


STRANGERS = {"none": results(), "of a stranger": results((UUID(int=99), "accepted"))}


@pytest.mark.parametrize("about", STRANGERS.values(), ids=STRANGERS.keys())
def test_results_about_none_of_ours_prove_nothing_where_the_counts_say_that_it_is_stored(
    about: dict[str, object],
) -> None:
    """A service that lists errors only, and bills again what comes again: its counts decide."""
    assert read_reply(reply(about | counts(3)), batch(), CLASSIC) == Settled(synced=frozenset(EVENTS), dedupes=False)
    assert isinstance(read_reply(reply(about | counts(2, 1)), batch(), CLASSIC), Ambiguous)
    assert read_reply(reply(about | counts(3)), batch(), DEDUPES) == Settled(again=frozenset(EVENTS))


def test_counts_that_take_all() -> None:
    assert read_reply(reply(counts(3)), batch(), CLASSIC) == Settled(synced=frozenset(EVENTS), dedupes=False)
    assert read_reply(reply({"accepted_count": 3}), batch(), CLASSIC) == Settled(
        synced=frozenset(EVENTS), dedupes=False
    )


def test_counts_for_a_classic_batch_prove_nothing_about_deduping() -> None:
    classic = batch(dialect=Dialect.CLASSIC)
    assert read_reply(reply(counts(3)), classic, CLASSIC) == Settled(synced=frozenset(EVENTS), dedupes=None)


def test_a_classic_reply_may_have_a_batch_id_of_its_own() -> None:
    classic = batch(dialect=Dialect.CLASSIC)
    own = counts(3) | {"batch_id": "srv-77"}
    assert read_reply(reply(own), classic, CLASSIC) == Settled(synced=frozenset(EVENTS))


def test_nothing_stored_is_sent_again_as_it_is() -> None:
    settlement = read_reply(reply(counts(0, 3), retry_after=WISH), batch(), CLASSIC)
    assert isinstance(settlement, Retry)
    assert (settlement.nothing_stored, settlement.service_wide, settlement.pause) == (True, True, None)
    assert settlement.retry_after == WISH


@pytest.mark.parametrize(
    ("before", "others", "kind"), [(3, True, Retry), (4, False, Retry), (9, False, Retry), (4, True, Halve)]
)
def test_five_times_nothing_while_others_are_taken_splits(before: int, others: bool, kind: type) -> None:  # noqa: FBT001
    stuck = batch(nothing_stored=before, others_delivered=others)
    assert isinstance(read_reply(reply(counts(0, 3)), stuck, CLASSIC), kind)


def test_five_times_nothing_for_one_event_alone_is_a_refusal() -> None:
    stuck = batch(A, nothing_stored=4, others_delivered=True)
    assert isinstance(read_reply(reply(counts(0, 1)), stuck, CLASSIC), Refused)


@pytest.mark.parametrize("found", [counts(1, 2), counts(2, 1), counts(3, 1), counts(4), counts(2)], ids=str)
@pytest.mark.parametrize("known", [CLASSIC, DEDUPES], ids=["classic", "dedupes"])
def test_counts_that_take_a_part_are_ambiguous(found: dict[str, object], known: Known) -> None:
    settlement = read_reply(reply(found), batch(), known)
    assert isinstance(settlement, Ambiguous)
    assert settlement.partial
    assert settlement.pause is None


NOT_DELIVERED = {
    "portal page": (reply(b"<html>log in</html>"), PauseReason.NOT_THE_SERVICE),
    "empty 204": (UsageReply(status=204), PauseReason.NOT_THE_SERVICE),
    "plain text 200": (UsageReply(status=200, body=b"OK", content_type="text/plain"), PauseReason.NOT_THE_SERVICE),
    "another batch": (reply(results((A, "accepted"), batch_id=str(UUID(int=2)))), PauseReason.NOT_THE_SERVICE),
    "another batch, by counts": (reply(counts(3) | {"batch_id": "other"}), PauseReason.NOT_THE_SERVICE),
    "401": (UsageReply(status=401), PauseReason.UNAUTHORIZED),
    "403": (UsageReply(status=403, body=b'{"error":"key"}'), PauseReason.UNAUTHORIZED),
    "404": (UsageReply(status=404), PauseReason.NOT_FOUND),
    "301": (UsageReply(status=301), PauseReason.REDIRECTED),
    "302": (UsageReply(status=302), PauseReason.REDIRECTED),
    "307": (UsageReply(status=307), PauseReason.REDIRECTED),
    "402": (UsageReply(status=402), PauseReason.NOT_THE_SERVICE),
    "405": (UsageReply(status=405), PauseReason.NOT_THE_SERVICE),
    "407": (UsageReply(status=407), PauseReason.NOT_THE_SERVICE),
    "418": (UsageReply(status=418), PauseReason.NOT_THE_SERVICE),
    "451": (UsageReply(status=451), PauseReason.NOT_THE_SERVICE),
    "499, which no standard knows": (UsageReply(status=499), PauseReason.NOT_THE_SERVICE),
    "511": (UsageReply(status=511), PauseReason.NOT_THE_SERVICE),
    "refused": (UsageReply(failure=TransportFailure.REFUSED, written=False), PauseReason.UNREACHABLE),
    "dns": (UsageReply(failure=TransportFailure.DNS, written=False), PauseReason.UNREACHABLE),
    "tls": (UsageReply(failure=TransportFailure.TLS, written=False), PauseReason.TLS),
}


@pytest.mark.parametrize(("given", "reason"), NOT_DELIVERED.values(), ids=NOT_DELIVERED.keys())
@pytest.mark.parametrize("known", [CLASSIC, DEDUPES], ids=["classic", "dedupes"])
@pytest.mark.parametrize("size", [1, 3])
def test_not_delivered_pauses_and_keeps_everything(
    given: UsageReply, reason: PauseReason, known: Known, size: int
) -> None:
    settlement = read_reply(given, batch(*EVENTS[:size]), known)
    assert isinstance(settlement, Retry)
    assert settlement.pause is not None
    assert settlement.pause.reason is reason
    assert settlement.service_wide
    assert reason.fix


@pytest.mark.parametrize(
    "given",
    [
        UsageReply(status=400, body=b"bad"),
        UsageReply(status=422),
        reply(results(batch_id="other"), 400),
        reply(results(), 400),
        reply(results((UUID(int=99), "rejected")), 422),
    ],
    ids=["400", "422", "400 about another batch", "400 about no event", "422 about a stranger's event"],
)
@pytest.mark.parametrize("known", [CLASSIC, DEDUPES, AUTO], ids=["classic", "dedupes", "auto"])
def test_a_refusal_without_detail_splits(given: UsageReply, known: Known) -> None:
    halved = read_reply(given, batch(), known)
    assert isinstance(halved, Halve)
    assert halved.max_bytes is None
    alone = read_reply(given, batch(A), known)
    assert isinstance(alone, Refused)
    assert alone.death.code == "REFUSED"
    assert str(given.status) in alone.death.detail


def test_what_was_refused_event_by_event_is_not_divided_again() -> None:
    assert read_reply(UsageReply(status=400), batch(held=True), CLASSIC) == Retry(detail="HTTP 400", service_wide=False)


def test_a_reused_key_is_resealed_only_where_ids_protect() -> None:
    reused = reply({"code": "key_reused"}, 422)
    resealed, doubtful = read_reply(reused, batch(), DEDUPES), read_reply(reused, batch(), CLASSIC)
    assert isinstance(resealed, Reseal)
    assert resealed.dialect is None
    assert isinstance(doubtful, Ambiguous)
    assert resealed.pause == doubtful.pause
    assert resealed.pause is not None
    assert resealed.pause.reason is PauseReason.KEY_REUSED


REFUSED_EXTENSION = UsageReply(status=400, body=b'json: unknown field "batch_id"')


def test_the_extension_is_given_up_when_the_reply_shows_that_it_is_refused() -> None:
    settlement = read_reply(REFUSED_EXTENSION, batch(), AUTO)
    assert isinstance(settlement, Reseal)
    assert settlement.dialect is Dialect.CLASSIC


@pytest.mark.parametrize(
    ("given", "sent", "known"),
    [
        (REFUSED_EXTENSION, batch(), CLASSIC),
        (REFUSED_EXTENSION, batch(), DEDUPES),
        (REFUSED_EXTENSION, batch(dialect=Dialect.CLASSIC), AUTO),
        (UsageReply(status=400, body=b"unexpected end of stream"), batch(), AUTO),
        (UsageReply(status=400, body=b"batch_id 7: quantity out of range"), batch(), AUTO),
    ],
    ids=["the setting forbids it", "the service dedupes", "classic already", "says nothing of fields", "another fault"],
)
def test_the_extension_is_kept_otherwise(given: UsageReply, sent: LeasedBatch, known: Known) -> None:
    assert isinstance(read_reply(given, sent, known), Halve)


def test_too_large_halves_and_remembers_the_limit() -> None:
    assert read_reply(UsageReply(status=413), batch(), CLASSIC) == Halve(detail="HTTP 413", max_bytes=500)


def test_one_event_too_large_dies() -> None:
    settlement = read_reply(UsageReply(status=413, body=b"no"), batch(A), CLASSIC)
    assert settlement == Refused(death=Death(code="TOO_LARGE", detail="HTTP 413: no"), at_once=True)


def test_in_progress_waits_with_the_same_key() -> None:
    settlement = read_reply(UsageReply(status=409, retry_after=WISH), batch(), CLASSIC)
    assert settlement == Retry(detail="HTTP 409", retry_after=WISH, service_wide=False)


@pytest.mark.parametrize("status", [408, 425, 429, 503])
@pytest.mark.parametrize("known", [CLASSIC, DEDUPES], ids=["classic", "dedupes"])
def test_busy_is_retried_with_the_same_bytes(status: int, known: Known) -> None:
    settlement = read_reply(UsageReply(status=status, retry_after=WISH), batch(), known)
    assert settlement == Retry(detail=f"HTTP {status}", retry_after=WISH)


UNKNOWN = {
    "timeout": UsageReply(failure=TransportFailure.TIMEOUT),
    "reset": UsageReply(failure=TransportFailure.RESET),
    "500": UsageReply(status=500),
    "501": UsageReply(status=501),
    "502": UsageReply(status=502),
    "504": UsageReply(status=504),
    "520, which no standard knows": UsageReply(status=520),
}


@pytest.mark.parametrize("given", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_an_open_outcome_is_retried_where_ids_protect_and_ambiguous_elsewhere(given: UsageReply) -> None:
    assert isinstance(read_reply(given, batch(), DEDUPES), Retry)
    doubtful = read_reply(given, batch(), CLASSIC)
    assert isinstance(doubtful, Ambiguous)
    assert not doubtful.partial


@pytest.mark.parametrize("given", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_was_not_fully_written_is_retried(given: UsageReply) -> None:
    unwritten = UsageReply(status=given.status, failure=given.failure, written=False)
    assert isinstance(read_reply(unwritten, batch(), CLASSIC), Retry)


@pytest.mark.parametrize(
    "document",
    [b'{"accepted_count": 3, "resul', {}, {"error": "log in"}, [], counts("3"), counts(accepted=True), counts(-1)],
    ids=str,
)
def test_json_that_is_not_of_the_contract_may_come_from_a_service_that_stored_it(document: object) -> None:
    retried, doubtful = read_reply(reply(document), batch(), DEDUPES), read_reply(reply(document), batch(), CLASSIC)
    assert isinstance(retried, Retry)
    assert isinstance(doubtful, Ambiguous)
    assert retried.pause == doubtful.pause
    assert retried.pause is not None
    assert retried.pause.reason is PauseReason.NOT_THE_SERVICE


def test_a_reply_without_status_or_failure_counts_as_lost() -> None:
    assert isinstance(read_reply(UsageReply(), batch(), CLASSIC), Ambiguous)


def test_results_found_later_settle_the_same_way() -> None:
    found = {A: Result(outcome=Outcome.ACCEPTED), B: Result(outcome=Outcome.REJECTED, code="bad")}
    assert settled_by(found, EVENTS) == settled(A, dead={B: Death(code="bad")}, again=(C,))


def test_what_a_service_says_becomes_one_printable_line() -> None:
    settlement = read_reply(UsageReply(status=400, body=b"a\0b\nc\xff" + b"x" * 9999), batch(A), CLASSIC)
    assert isinstance(settlement, Refused)
    assert settlement.death.detail.startswith("HTTP 400: ab c\ufffdxxx")
    assert len(settlement.death.detail) < 600


@pytest.mark.parametrize(
    ("settlement", "expected"),
    [
        (Settled(dedupes=True), ServiceMemory(dedupes=True, max_bytes=900)),
        (Settled(dedupes=None), ServiceMemory(max_bytes=900)),
        (Halve(detail="", max_bytes=500), ServiceMemory(max_bytes=500)),
        (Halve(detail="", max_bytes=5000), ServiceMemory(max_bytes=900)),
        (Halve(detail=""), ServiceMemory(max_bytes=900)),
        (Reseal(detail="", dialect=Dialect.CLASSIC), ServiceMemory(dialect=Dialect.CLASSIC, max_bytes=900)),
        (Reseal(detail=""), ServiceMemory(max_bytes=900)),
        (Retry(detail=""), ServiceMemory(max_bytes=900)),
    ],
    ids=repr,
)
def test_what_is_learned_of_a_service(settlement: Settlement, expected: ServiceMemory) -> None:
    assert learned(ServiceMemory(max_bytes=900), settlement, size=400) == expected


def test_a_service_that_answers_by_counts_alone_no_longer_counts_as_deduping() -> None:
    assert learned(ServiceMemory(dedupes=True), Settled(dedupes=False), size=1) == ServiceMemory(dedupes=False)


def test_a_limit_grows_with_what_is_taken_and_never_beyond_that_of_the_contract() -> None:
    memory, batches = ServiceMemory(max_bytes=400), 0
    while memory.max_bytes < MAX_BYTES:
        memory = learned(memory, Settled(), size=memory.max_bytes * 9 // 10)
        batches += 1
    assert batches < 600
    assert learned(memory, Settled(), size=MAX_BYTES) == ServiceMemory()


def test_a_true_limit_is_seldom_met() -> None:
    """A proxy that takes 100 000 bytes and no more."""
    memory, refused = ServiceMemory(max_bytes=60_000), 0
    for _ in range(1000):
        size = memory.max_bytes
        refused += (too_large := size > 100_000)
        settlement = Halve(detail="", max_bytes=size // 2) if too_large else Settled()
        memory = learned(memory, settlement, size=size)
    assert 0 < refused <= 25
