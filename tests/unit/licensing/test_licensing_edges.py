"""Edges: written, then published, once in the log, at least once to listeners, across crashes and outages."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.license import LicenseState
from tapi_agent.services.licensing import edges
from tapi_agent.testing.clock import START

VALID, OFFLINE, GRACE, EXPIRED = LicenseState
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


async def test_an_edge_is_written_published_and_marked(stage) -> None:
    await stage.settled("gate")
    (edge,) = stage.heard.changes
    assert stage.log.edges == {edge.edge_id: edge}
    assert stage.log.published == {edge.edge_id}
    assert (edge.subject.camera_id, edge.at, edge.reason) == ("gate", START, "OK")


async def test_looking_again_announces_nothing(stage) -> None:
    await stage.settled("gate")
    assert await stage.licensing.reevaluate() == []
    await stage.boot()
    assert await stage.licensing.reevaluate() == []
    assert len(stage.heard.changes) == len(stage.log.edges) == 1


async def test_without_a_database_listeners_are_told_and_rows_wait(stage) -> None:
    stage.log.is_down = True
    await stage.settled("gate")
    assert stage.edges("gate") == ["expired>valid"]
    assert stage.connectivity.report()["postgres"].up is False
    stage.log.is_down = False
    await stage.licensing.reevaluate()
    assert [edge.edge_id for edge in stage.heard.changes] == list(stage.log.edges) == list(stage.log.published)


async def test_killed_without_a_database_the_edge_is_found_again_with_the_same_id(stage) -> None:
    stage.log.is_down = True
    await stage.settled("gate")
    stage.log.is_down = False
    stage.machine.advance(HOUR / 2)
    await stage.boot()
    await stage.licensing.reevaluate()
    first, again = stage.heard.changes
    assert first.edge_id == again.edge_id
    assert list(stage.log.edges) == [first.edge_id]


async def test_killed_without_a_database_what_listeners_heard_is_written_though_it_has_been_undone_since(stage) -> None:
    stage.log.is_down = True
    await stage.settled("gate")
    stage.log.is_down = False
    for tier in (stage.file, stage.redis, stage.postgres):
        tier.kept.clear()
    stage.machine.advance(HOUR)
    await stage.boot()
    await stage.licensing.reevaluate()
    assert [f"{edge.old}>{edge.new}" for edge in stage.log.edges.values()] == ["expired>valid", "valid>expired"]
    assert {edge.edge_id for edge in stage.heard.changes} == set(stage.log.edges)


async def test_killed_between_the_row_and_its_publication_it_is_published_at_start(stage, monkeypatch) -> None:
    await stage.boot("gate")
    with monkeypatch.context() as cut:
        cut.setattr(stage.heard, "license_changed", _killed)
        with pytest.raises(KeyboardInterrupt):
            await stage.licensing.refresh()
    await stage.licensing._keep()
    assert stage.heard.changes == []
    await stage.boot()
    await stage.licensing.reevaluate()
    assert stage.edges("gate") == ["expired>valid"]
    assert stage.log.published == set(stage.log.edges)


async def _killed(_change) -> None:
    raise KeyboardInterrupt


async def test_killed_before_it_was_marked_it_is_published_again(stage) -> None:
    await stage.settled("gate")
    stage.log.published.clear()
    await stage.boot()
    await stage.licensing.reevaluate()
    assert stage.edges("gate") == ["expired>valid"] * 2
    assert stage.log.published == set(stage.log.edges)


async def test_an_edge_that_happened_while_we_were_off_is_told_at_start(stage) -> None:
    await stage.settled("gate")
    stage.machine.advance(9 * DAY)
    stage.billing.offline()
    await stage.boot()
    await stage.licensing.refresh()
    assert stage.edges("gate") == ["expired>valid", "valid>offline", "offline>expired"]


async def test_when_marking_fails_it_is_marked_later(stage, monkeypatch) -> None:
    async def fails(_changes) -> None:
        raise UnavailableError("gone")

    with monkeypatch.context() as cut:
        cut.setattr(stage.log, "mark_published", fails)
        await stage.settled("gate")
    assert stage.log.published == set()
    assert stage.licensing._edges.waiting
    await stage.licensing.reevaluate()
    assert stage.log.published == set(stage.log.edges)
    assert stage.edges("gate") == ["expired>valid"]


async def test_what_waits_is_bounded(stage, monkeypatch) -> None:
    monkeypatch.setattr(edges, "_MOST_WAITING", 3)
    stage.build()
    stage.log.is_down = True
    await stage.settled(*(f"camera {number}" for number in range(5)))
    stage.log.is_down = False
    await stage.licensing.reevaluate()
    assert len(stage.log.edges) == 3
