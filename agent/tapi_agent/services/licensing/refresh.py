"""Asks the billing service: for all cameras by its report, or camera by camera. A request's retries are the adapter's.

Owns single flight and rounds. A service that does not answer stops the round: a hung one costs one timeout, not one a
camera. What an answer means is ``hearing``'s business.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from tapi_agent import telemetry
from tapi_agent.domain.errors import IntegrityError, RejectedError, UnavailableError
from tapi_agent.domain.ids import TENANT
from tapi_agent.services.licensing.report import Reports
from tapi_agent.services.licensing.values import Answer, RefreshRound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta

    from tapi_agent.domain.ids import CameraId
    from tapi_agent.ports.billing import LicenseReport
    from tapi_agent.services.licensing.hearing import Hearing
    from tapi_agent.services.licensing.schedule import Schedule
    from tapi_agent.services.licensing.values import Surroundings
    from tapi_agent.services.licensing.verdicts import Verdicts

_IN_ONE_GO: Final = 100
"""Words of a report taken in before others get their turn on the loop."""


class Refresher:
    """The only one who asks for licenses; ``heard`` is called after every answer or the lack of one."""

    def __init__(
        self,
        around: Surroundings,
        *,
        hearing: Hearing,
        schedule: Schedule,
        verdicts: Verdicts,
        heard: Callable[[Iterable[CameraId] | None], object],
    ) -> None:
        self._tenant = around.tenant
        self._billing = around.billing
        self._parallel = around.policy.parallel
        self._places = asyncio.Semaphore(around.policy.parallel)
        self._reports = Reports(around)
        self._hearing = hearing
        self._schedule = schedule
        self._verdicts = verdicts
        self._heard = heard
        self._silences = 0
        self._flights: dict[CameraId, asyncio.Task[Answer]] = {}
        self._alone: set[CameraId] = set()
        self._telling: asyncio.Task[Mapping[CameraId, Answer]] | None = None

    async def round(self, camera_ids: Sequence[CameraId]) -> RefreshRound:
        """Ask for these cameras, and for the tenant if it is among them, until the service gives no answer."""
        answers: Counter[Answer] = Counter()
        todo = camera_ids
        if self._reports.suits(camera_ids):
            todo = await self._by_report(camera_ids, answers)
        await self._one_by_one(todo, answers)
        return RefreshRound(
            cameras=sum(map(_is_camera, camera_ids)),
            answered=answers[Answer.ANSWERED],
            refused=answers[Answer.REFUSED],
            unreachable=answers[Answer.UNREACHABLE],
        )

    async def ask(self, camera_id: CameraId, *, wait: timedelta) -> None:
        """Ask for one camera and wait so long for the answer; it counts even when it comes later."""
        await asyncio.wait({self._flight(camera_id)}, timeout=wait.total_seconds())

    async def stop(self) -> None:
        """Give up what is still under way."""
        tasks: list[asyncio.Task[Answer] | asyncio.Task[Mapping[CameraId, Answer]]] = list(self._flights.values())
        if self._telling is not None:
            tasks.append(self._telling)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _by_report(self, camera_ids: Sequence[CameraId], answers: Counter[Answer]) -> Sequence[CameraId]:
        """Ask for all in one call; those are left that it does not mention."""
        if self._reports.doubted:
            first = [camera_id for camera_id in camera_ids if _is_camera(camera_id)][:1]
            await self._one_by_one(first, answers)
            camera_ids = [camera_id for camera_id in camera_ids if camera_id not in first]
        if Answer.UNREACHABLE in answers:
            return ()
        told = await asyncio.shield(self._report(answering=bool(answers)))
        cameras = [camera_id for camera_id in camera_ids if _is_camera(camera_id)]
        answers.update(told[camera_id] for camera_id in cameras if camera_id in told)
        return [camera_id for camera_id in cameras if camera_id not in told]

    async def _one_by_one(self, camera_ids: Iterable[CameraId], answers: Counter[Answer]) -> None:
        """A few at a time. An answer about the tenant is noted, and not counted."""
        todo = iter(camera_ids)
        await asyncio.gather(*(self._work(todo, answers) for _ in range(self._parallel)))

    async def _work(self, todo: Iterator[CameraId], answers: Counter[Answer]) -> None:
        while Answer.UNREACHABLE not in answers:
            camera_id = next(todo, None)
            if camera_id is None:
                return
            answers[await asyncio.shield(self._flight(camera_id))] += _is_camera(camera_id)

    def _report(self, *, answering: bool) -> asyncio.Task[Mapping[CameraId, Answer]]:
        """The report under way, or a new one."""
        if self._telling is None:
            self._telling = asyncio.create_task(self._ask_all(answering=answering), name="license report")
            self._telling.add_done_callback(self._told)
        return self._telling

    def _told(self, _: object) -> None:
        self._telling = None

    def _flight(self, camera_id: CameraId) -> asyncio.Task[Answer]:
        """The request under way for this camera, or a new one."""
        flight = self._flights.get(camera_id)
        if flight is None:
            flight = self._flights[camera_id] = asyncio.create_task(self._fly(camera_id), name=f"license {camera_id}")
            flight.add_done_callback(lambda _: self._flights.pop(camera_id))
        return flight

    async def _fly(self, camera_id: CameraId) -> Answer:
        """A report under way will bring the word on this camera too; only if it does not, ask alone."""
        if self._telling is not None:
            told = await asyncio.shield(self._telling)
            if camera_id in told:
                return told[camera_id]
        self._alone.add(camera_id)
        try:
            return self._counted(await self._ask(camera_id))
        finally:
            self._alone.discard(camera_id)

    async def _ask(self, camera_id: CameraId) -> Answer:
        silences = self._silences
        async with self._places:
            if self._silences != silences:  # whoever had the place got no answer that this one could have had
                return Answer.UNREACHABLE
            question = self._hearing.question(camera_id)
            try:
                reply = await self._billing.validate(replace(self._tenant, camera_id=camera_id), question)
            except UnavailableError as error:
                return self._silence(error)
            except (RejectedError, IntegrityError) as error:
                take_in = partial(self._hearing.no_word, camera_id, error)
            else:
                take_in = partial(self._hearing.word, camera_id, reply, nonce=question.nonce)
        self._hearing.service_answers()
        return self._taken_in(camera_id, take_in)

    def _taken_in(self, camera_id: CameraId, take_in: Callable[[], Answer]) -> Answer:
        if camera_id == TENANT:
            answer = take_in()
            self._heard(None)
        elif self._verdicts.knows(camera_id):
            answer = take_in()
            self._heard([camera_id])
        else:  # unregistered meanwhile
            answer = Answer.ANSWERED
        return answer

    def _silence(self, error: UnavailableError) -> Answer:
        self._silences += 1
        answer = self._hearing.silence(error)
        self._heard(None)
        return answer

    async def _ask_all(self, *, answering: bool) -> Mapping[CameraId, Answer]:
        """By the report: what it brought, for every subject that it is an answer for."""
        try:
            report = await self._reports.ask(answering=answering)
        except UnavailableError as error:
            return dict.fromkeys(self._schedule.subjects(), self._counted(self._silence(error)))
        except (RejectedError, IntegrityError) as error:
            self._hearing.service_answers()
            return {TENANT: self._hearing.no_word(TENANT, error)}
        self._hearing.service_answers()
        if report is None:
            self._hearing.forget(TENANT)
            return {}
        return await self._take_in_all(report)

    async def _take_in_all(self, report: LicenseReport) -> Mapping[CameraId, Answer]:
        """Cameras that are being asked about alone get that word. An older report than was known says nothing."""
        told = {TENANT: self._hearing.word(TENANT, report.tenant)}
        if told[TENANT] is Answer.ANSWERED:
            mine = [camera_id for camera_id in self._verdicts.cameras() if camera_id not in self._alone]
            for batch in _batches(mine):
                told |= self._take_in(batch, report)
                self._heard(batch)
                await asyncio.sleep(0)
        return told

    def _take_in(self, camera_ids: Iterable[CameraId], report: LicenseReport) -> Mapping[CameraId, Answer]:
        told: dict[CameraId, Answer] = {}
        for camera_id in camera_ids:
            if reply := report.cameras.get(camera_id):
                told[camera_id] = self._counted(self._hearing.word(camera_id, reply))
            elif error := report.malformed.get(camera_id):
                told[camera_id] = self._counted(self._hearing.no_word(camera_id, error))
        return told

    @staticmethod
    def _counted(answer: Answer) -> Answer:
        telemetry.LICENSE_REFRESHES.labels(outcome=answer).inc()
        return answer


def _is_camera(camera_id: CameraId) -> bool:
    return camera_id != TENANT


def _batches(camera_ids: Iterable[CameraId]) -> Iterator[list[CameraId]]:
    left = iter(camera_ids)
    while batch := list(islice(left, _IN_ONE_GO)):
        yield batch
