"""The real licensing service through anything that can happen to a box, against a short model of the four states."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from machine_box import Box
from machine_model import (
    DAY,
    EXPIRED,
    HOUR,
    SECOND,
    SUBJECTS,
    VALID,
    Model,
    Saying,
    Terms,
    as_kept,
    cameras,
    leases,
    sayings,
    signed,
    spans,
    subjects,
    understood,
)

from tapi_agent.domain.errors import IntegrityError, RejectedError, TapiError
from tapi_agent.domain.ids import TENANT, CameraId
from tapi_agent.domain.lease import LeaseRefusedError
from tapi_agent.domain.license import LicenseState, Subject
from tapi_agent.services.licensing import LicensePolicy
from tapi_agent.testing.clock import START
from tapi_agent.testing.leases import FakeLeases

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tapi_agent.domain.events import LicenseChanged
    from tapi_agent.ports.billing import LicenseReply, Question

BACK: Final = -2


class LicensingMachine(RuleBasedStateMachine):
    """Each rule does something to the box, then to the model, then lets both look again."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.box = Box()
        self.model = Model()
        self.numbers = 10
        self.sayings: dict[CameraId, Saying] = {}
        self.edges: dict[object, LicenseChanged] = {}
        self.last: dict[CameraId, LicenseState] = {}

    def teardown(self) -> None:
        try:
            if hasattr(self.box, "licensing"):
                self.everything_heals()
        finally:
            self.loop.close()

    def run(self, doing: Coroutine[object, object, object]) -> object:
        return self.loop.run_until_complete(doing)

    @property
    def now(self) -> datetime:
        return self.box.clock.now()

    @property
    def awake(self) -> float:
        return self.box.machine.monotonic()

    @initialize(kind=st.sampled_from(["open", "open", "keyed", "air-gapped"]), some=st.sets(cameras, min_size=1))
    def first_start(self, some: set[CameraId], kind: str) -> None:
        self.keyed = kind != "open"
        self.box.leases = FakeLeases(*["k1"] * self.keyed)
        self.box.policy = LicensePolicy(ask=kind != "air-gapped")
        self.model.air_gapped = kind == "air-gapped"
        self.model.silent_since = self.awake
        self.run(self.box.boot())
        self.time = self.now
        self.generation, self.seen = -1, []
        for camera in sorted(some):
            self.register(camera)

    # --- what happens ---

    @rule(camera=cameras)
    def register(self, camera: CameraId) -> None:
        self._tick()
        self.box.licensing.register(camera)
        if camera not in self.model.registered:
            self.model.registered[camera] = self.now
            self.model.states[camera] = self.last[camera] = EXPIRED
        self._look()

    @rule(camera=cameras)
    def unregister(self, camera: CameraId) -> None:
        self._tick()
        known = self.run(self.box.licensing.unregister(camera))
        assert known == (self.model.registered.pop(camera, None) is not None)
        self.model.asked.discard(camera)
        self.model.failed.discard(camera)
        self._look()

    @rule(camera=subjects, saying=sayings, limit=st.sampled_from([None, None, None, 0, 1, 2]))
    def the_service_says(self, camera: CameraId, saying: Saying, limit: int | None) -> None:
        """From now on, about one camera or the tenant; what it allows is said about all of them alike."""
        self.numbers += 1
        self.sayings[camera] = saying
        self.sayings = {camera: replace(self.sayings.get(camera, Saying()), limit=limit) for camera in SUBJECTS}

    @rule(hours=st.sampled_from([None, None, None, 0, BACK, 2]))
    def ask_for_all(self, hours: int | None) -> None:
        self._tick()
        said = self._prepare(hours)
        self.run(self.box.licensing.refresh())
        if not self.model.air_gapped:
            for camera in self.model.asked_about():
                self._hears(camera, said[camera])
        self._look(authority=hours is not None)
        if hours == BACK:  # stamps that are still to come would count again one day
            self.stores_fail_and_come_back(set())
            self.all_is_written_down()

    @rule(camera=cameras)
    def an_application_asks_for_one(self, camera: CameraId) -> None:
        self.register(camera)
        self._tick()
        said = self._prepare(None)
        self.run(self.box.licensing.validate(camera, wait=SECOND))
        if not self.model.air_gapped:
            self._hears(camera, said[camera])
        self._look()

    @rule(camera=cameras, error=st.sampled_from([RejectedError("404", code="not_found"), IntegrityError("malformed")]))
    def no_answer_for_one(self, camera: CameraId, error: TapiError) -> None:
        self.register(camera)
        self._fails_to_answer(camera, error)

    @rule(camera=cameras)
    def a_replay_for_one(self, camera: CameraId) -> None:
        self.register(camera)
        held = self.model.words.get(camera)
        if held and held.number:
            self._fails_to_answer(camera, Saying().reply(number=held.number - 1, now=self.now))

    @precondition(lambda self: self.keyed)
    @rule(terms=leases, camera=subjects, newer=st.integers(-1, 1))
    def somebody_imports_a_lease(self, terms: Terms, camera: CameraId, newer: int) -> None:
        """Taken over unless it is forged, or older than the one that is held."""
        self._tick()
        held = self.model.words.get(camera)
        number = max(0, (held.number if held and held.issued else 0) + newer)
        lease = terms.lease(camera, number=number, now=self.now)
        text = self.box.leases.issue(lease)
        word = Terms.word(lease)
        if terms.forged or (held and held.issued and word.rank() < held.rank()):
            with pytest.raises(LeaseRefusedError):
                self.run(self.box.licensing.import_(text))
            self._look()
            return
        self.run(self.box.licensing.import_(text))
        if not (held and word.rank() == held.rank()):
            self.model.words[camera] = word.by(self.now)
            self.model.kept["file"][camera] = word  # at once
        self._look(authority=terms.reset_clock)
        assert self.now >= lease.issued

    @rule()
    def no_answer_at_all(self) -> None:
        self._tick()
        before = self._standing()
        self.box.billing.offline()
        self.run(self.box.licensing.refresh())
        self.box.billing.online()
        if not self.model.air_gapped:
            self.model.unanswered(*self.model.asked_about())
        self._look()
        self._nothing_is_better_than(before)

    @rule(span=spans)
    def time_passes(self, span: timedelta) -> None:
        before = self._standing()
        self.box.machine.advance(span)
        self._look(passed=span)
        self._nothing_is_better_than(before)

    @rule(step=st.sampled_from([-365 * DAY, -HOUR, HOUR, 23 * HOUR, 365 * DAY]), synchronized=st.booleans())
    def somebody_sets_the_wall_clock(self, step: timedelta, *, synchronized: bool) -> None:
        self.box.machine.set_wall(self.box.machine.wall() + step, synchronized=synchronized and step < DAY)
        self._wakes_up()

    @rule(span=spans)
    def the_machine_sleeps(self, span: timedelta) -> None:
        self.box.machine.suspend(span)
        self._wakes_up(slept=span)

    @rule(down=st.sets(st.sampled_from(["redis", "postgres", "log"])))
    def stores_fail_and_come_back(self, down: set[str]) -> None:
        """Of one that is back its other users tell."""
        for name, tier in self.box.tiers.items():
            tier.is_down = name in down
            if name not in down:
                self.box.connectivity.succeeded(name)
        self.box.log.is_down = "log" in down

    @rule()
    def all_is_written_down(self) -> None:
        self.box.machine.advance(6 * SECOND)  # beyond the rest after a failure
        for _ in range(3):  # what has come back is noticed, read, and filled again
            self.run(self.box.licensing.stop())
        self.model.read(*self.box.up(), now=self.now)
        for tier in self.box.up():
            self.model.kept[tier] = {camera: as_kept(word) for camera, word in self.model.words.items()}
        self._look(passed=6 * SECOND)

    @rule(off=st.none() | spans, wall=st.sampled_from([None, None, datetime(1970, 1, 1, tzinfo=START.tzinfo)]))
    def killed_and_started_again(self, off: timedelta | None, wall: datetime | None) -> None:
        """The process alone, or with the machine under it."""
        if off is not None:
            self.box.machine.reboot(off=off, wall=wall)
        self.box.machine.advance(SECOND)
        self.run(self.box.boot())
        self.generation, self.seen = -1, []
        self.model.words.clear()
        self.model.read(*self.box.up(), now=self.now)
        self.model.asked.clear()
        self.model.failed.clear()
        self.model.doubts.clear()
        self.model.silent_since = self.awake
        self._look(rebooted=off is not None)

    # --- what must hold ---

    @invariant()
    def the_states_are_those_of_the_model(self) -> None:
        licensing = getattr(self.box, "licensing", None)
        if licensing is None:
            return
        assert list(licensing.cameras()) == self.model.in_order()
        states = {camera: licensing.view(camera).standing.state for camera in licensing.cameras()}
        assert states == {camera: self.model.states[camera] for camera in self.model.registered}

    def everything_heals(self) -> None:
        """One good answer makes every camera valid at once; the log has all that anybody has heard."""
        self.stores_fail_and_come_back(set())
        self.all_is_written_down()
        self.sayings.clear()
        self.numbers = max([self.numbers, *(word.number for word in self.model.words.values())]) + 1
        self.ask_for_all(None)
        if not self.model.air_gapped:
            assert set(self.box.licensing.device().counts) == set(LicenseState)
            assert all(self.model.states[camera] is VALID for camera in self.model.registered)
        assert self.box.log.edges == self.edges
        assert self.box.log.published == set(self.edges)

    # --- how ---

    def _tick(self) -> None:
        """An edge is told by the instant at which the one before was: there are never two at one instant."""
        self.box.machine.advance(SECOND)
        self._check_time(SECOND)

    def _prepare(self, hours: int | None) -> dict[CameraId, Saying]:
        said = {camera: self.sayings.get(camera, Saying()) for camera in SUBJECTS}
        clock = None if hours is None else self.now + hours * HOUR
        then = clock or self.now
        for camera, saying in said.items():
            reply = saying.reply(number=self.numbers, now=then)
            self.box.billing.answer(camera, replace(reply, server_time=clock))
        self.signed = {
            camera: signed(saying).lease(camera, number=self.numbers, now=then) for camera, saying in said.items()
        }
        self.box.billing.sign(self._sign)
        return said

    def _sign(self, subject: Subject, question: Question) -> str:
        return self.box.leases.issue(replace(self.signed[subject.camera_id], nonce=question.nonce))

    def _hears(self, camera: CameraId, saying: Saying) -> None:
        held, excess = self.model.words.get(camera), self.model.too_many()
        if self.keyed:
            word = Terms.word(self.signed[camera])
            stale = held is not None and word.rank() < held.rank()
        else:
            known = held.number if held else 0
            word = understood(saying, number=self.numbers, now=self.now, known=known)
            stale = word.number < known
        if stale:
            self.model.unanswered(camera)
        else:
            self.model.answered(camera, word, self.box.machine.boottime())
        only = [camera] if camera != TENANT and excess == self.model.too_many() else []
        self.model.look(self.now, self.awake, *only)

    def _fails_to_answer(self, camera: CameraId, answer: LicenseReply | TapiError) -> None:
        before = self._standing()
        self._tick()
        self.box.billing.answer(camera, answer)
        self.box.billing.sign(lambda *_: "")
        self.run(self.box.licensing.validate(camera, wait=SECOND))
        if not self.model.air_gapped:
            self.model.unanswered(camera)
        self._look()
        self._nothing_is_better_than(before)

    def _standing(self) -> dict[CameraId, LicenseState]:
        return {camera: self.model.states[camera] for camera in self.model.registered}

    def _wakes_up(self, *, slept: timedelta = timedelta(0)) -> None:
        before = {camera: self.model.states[camera] for camera in self.model.failed - {TENANT}}
        self.box.licensing.resumed()
        if self.model.asked:  # silence is given its time again; a failure stays one
            self.model.asked.clear()
            self.model.silent_since = self.awake
        self._look(passed=slept)
        self._nothing_is_better_than(before)

    def _look(self, **how: object) -> None:
        self.run(self.box.clock.persist())  # which looks at the wall clock, too
        self._check_time(**how)
        self.run(self.box.licensing.reevaluate())
        self.model.words = {camera: word.by(self.now) for camera, word in self.model.words.items()}
        self.model.look(self.now, self.awake)
        self.the_states_are_those_of_the_model()
        self._check_edges()
        self._check_generation()

    def _check_time(self, passed: timedelta = timedelta(0), *, authority: bool = False, rebooted: bool = False) -> None:
        """Only the authority turns it back; a machine that was off has not seen the time pass."""
        if not authority:
            assert self.now >= self.time + (timedelta(0) if rebooted else passed)
        self.time = self.now

    def _check_edges(self) -> None:
        """Each edge begins where the one before ended; one that is heard again is the same."""
        for change in self.box.heard.changes:
            camera = change.subject.camera_id
            if change.edge_id not in self.edges:
                assert change.old is self.last[camera]
                self.last[camera] = change.new
                self.edges[change.edge_id] = change
            assert (change.old, change.new) == (self.edges[change.edge_id].old, self.edges[change.edge_id].new)
        self.box.heard.changes.clear()
        assert all(self.last[camera] is state for camera, state in self.model.states.items())

    def _check_generation(self) -> None:
        """Whoever knows the generation knows whether anything has changed."""
        seen, generation = self.box.views(), self.box.licensing.generation
        assert generation > self.generation or seen == self.seen
        self.seen, self.generation = seen, generation

    def _nothing_is_better_than(self, before: dict[CameraId, LicenseState]) -> None:
        """Time, clocks and failures bring no newer word."""
        assert all(self.model.states[camera].severity >= state.severity for camera, state in before.items())


QUICK: Final = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


def test_every_camera_is_as_the_model_says() -> None:
    run_state_machine_as_test(LicensingMachine, settings=QUICK)


@pytest.mark.acceptance
def test_every_camera_is_as_the_model_says_at_length() -> None:
    run_state_machine_as_test(LicensingMachine, settings=settings(QUICK, max_examples=3000, stateful_step_count=80))
