from __future__ import annotations

from itertools import permutations

import pytest

from tapi_agent.domain.errors import IllegalTransition
from tapi_agent.domain.license import LicenseState
from tapi_agent.domain.lifecycle import _MACHINE, TRANSITIONS, Trigger, next_state, trigger_for

EDGES = list(permutations(LicenseState, 2))


@pytest.mark.parametrize(("old", "new"), EDGES, ids=[f"{old} to {new}" for old, new in EDGES])
def test_all_twelve_edges_exist_and_have_a_name(old, new) -> None:
    assert next_state(old, trigger_for(old, new)) is new


def test_the_table_has_nothing_else() -> None:
    assert len(TRANSITIONS) == len(EDGES) == 12
    assert {edge["trigger"] for edge in TRANSITIONS} == set(Trigger)


@pytest.mark.parametrize("state", LicenseState)
def test_staying_is_no_edge(state) -> None:
    with pytest.raises(IllegalTransition, match=f"from {state} to {state}"):
        trigger_for(state, state)


@pytest.mark.parametrize(
    ("state", "trigger"),
    [
        (LicenseState.EXPIRED, Trigger.EXPIRE),
        (LicenseState.EXPIRED, Trigger.LAPSE),
        (LicenseState.VALID, Trigger.CONFIRM),
        (LicenseState.GRACE, Trigger.LOSE_CONTACT),
    ],
)
def test_a_trigger_out_of_place_is_refused(state, trigger) -> None:
    with pytest.raises(IllegalTransition, match=f"{trigger} is no way out of {state}"):
        next_state(state, trigger)


def test_no_way_around_the_table() -> None:
    assert not [event for event in _MACHINE.events if event not in set(Trigger)]


def test_models_do_not_accumulate() -> None:
    before = len(_MACHINE.models)
    next_state(LicenseState.VALID, Trigger.EXPIRE)
    with pytest.raises(IllegalTransition):
        next_state(LicenseState.VALID, Trigger.CONFIRM)
    assert len(_MACHINE.models) == before
