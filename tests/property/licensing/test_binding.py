"""The rule of machine binding, for any parts of any machine."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tapi_agent.domain.binding import MACHINE_ID, compare

NAMES = [MACHINE_ID, "board_serial", "dmi_serial", "dmi_uuid", "disk", "mac_1", "mac_2", "mac_3"]
marks = st.sampled_from(["a", "b"])
parts = st.dictionaries(st.sampled_from(NAMES), marks)


def weight(names: set[str]) -> float:
    return sum(0.5 if name == MACHINE_ID else 1.0 for name in names)


@given(parts, parts)
def test_two_matching_parts_or_half_of_what_was_recorded_make_the_machine(recorded, found) -> None:
    match = compare(recorded, found)
    same = {name for name in recorded if found.get(name) == recorded[name]}
    assert match.same_machine == (weight(same) >= min(2, weight(set(recorded)) / 2))
    assert set(match.drifted) == set(recorded) - same


@given(parts, parts)
def test_what_is_found_beyond_what_was_recorded_changes_nothing(recorded, found) -> None:
    known = {name: mark for name, mark in found.items() if name in recorded}
    assert compare(recorded, found) == compare(recorded, known)


@given(parts)
def test_a_lease_that_records_nothing_binds_to_no_machine(found) -> None:
    assert compare({}, found).same_machine


@given(st.dictionaries(st.sampled_from(NAMES), marks, min_size=3), st.data())
def test_one_changed_part_of_three_or_more_is_no_other_machine(recorded, data) -> None:
    changed = data.draw(st.sampled_from(sorted(recorded)))
    assert compare(recorded, {**recorded, changed: "changed"}).same_machine


@given(parts.filter(bool))
def test_a_machine_that_shares_nothing_is_another(recorded) -> None:
    assert not compare(recorded, dict.fromkeys(recorded, "foreign")).same_machine
