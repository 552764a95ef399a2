"""Which edges between the states are legal, and what each is called: the ``transitions`` table.

Owns the names of the edges; all twelve exist, nothing is invented to forbid one. It decides no state
(``domain.evaluation`` does) and has no effects. Called by ``services.licensing`` for every edge;
docs/license-states.md is drawn from it.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from transitions import Machine, MachineError

from tapi_agent.domain.errors import IllegalTransition
from tapi_agent.domain.license import LicenseState

if TYPE_CHECKING:
    from collections.abc import Callable


class Trigger(StrEnum):
    """What happened to a license when its state changed."""

    LOSE_CONTACT = "lose_contact"
    """The evidence is no longer fresh and the authority does not answer."""
    LAPSE = "lapse"
    """Paid time, or the time allowed without contact, is over; full function goes on, with a warning."""
    EXPIRE = "expire"
    """A definite no, or the last deadline has passed."""
    CONFIRM = "confirm"
    """Fresh evidence says yes."""
    EXTEND = "extend"
    """Newer evidence, itself no longer fresh, allows more time without contact."""
    REINSTATE = "reinstate"
    """Newer evidence turns an expired license into a lapsed one."""


TRANSITIONS: Final[tuple[dict[str, Any], ...]] = (
    {"trigger": Trigger.LOSE_CONTACT, "source": LicenseState.VALID, "dest": LicenseState.OFFLINE},
    {"trigger": Trigger.LAPSE, "source": LicenseState.VALID, "dest": LicenseState.GRACE},
    {"trigger": Trigger.LAPSE, "source": LicenseState.OFFLINE, "dest": LicenseState.GRACE},
    {"trigger": Trigger.EXPIRE, "source": LicenseState.VALID, "dest": LicenseState.EXPIRED},
    {"trigger": Trigger.EXPIRE, "source": LicenseState.OFFLINE, "dest": LicenseState.EXPIRED},
    {"trigger": Trigger.EXPIRE, "source": LicenseState.GRACE, "dest": LicenseState.EXPIRED},
    {"trigger": Trigger.CONFIRM, "source": LicenseState.OFFLINE, "dest": LicenseState.VALID},
    {"trigger": Trigger.CONFIRM, "source": LicenseState.GRACE, "dest": LicenseState.VALID},
    {"trigger": Trigger.CONFIRM, "source": LicenseState.EXPIRED, "dest": LicenseState.VALID},
    {"trigger": Trigger.EXTEND, "source": LicenseState.GRACE, "dest": LicenseState.OFFLINE},
    {"trigger": Trigger.EXTEND, "source": LicenseState.EXPIRED, "dest": LicenseState.OFFLINE},
    {"trigger": Trigger.REINSTATE, "source": LicenseState.EXPIRED, "dest": LicenseState.GRACE},
)

_TRIGGERS: Final[dict[tuple[LicenseState, LicenseState], Trigger]] = {
    (edge["source"], edge["dest"]): edge["trigger"] for edge in TRANSITIONS
}


class _Cursor:
    """The throw-away model that ``transitions`` moves across the table."""

    state: LicenseState
    trigger: Callable[[str], bool]
    # Both are set by the machine. A method ``trigger`` written here would silently be kept in place of the machine's.


_MACHINE: Final = Machine(
    model=None,
    states=LicenseState,
    transitions=list(TRANSITIONS),
    initial=None,
    auto_transitions=False,
)


def trigger_for(old: LicenseState, new: LicenseState) -> Trigger:
    """The name of the edge from ``old`` to ``new``; raises ``IllegalTransition`` when there is none."""
    try:
        return _TRIGGERS[old, new]
    except KeyError:
        raise IllegalTransition(f"no edge leads from {old} to {new}") from None


@cache  # twelve edges; a fleet that loses its link goes down one of them a thousand times in one go
def next_state(state: LicenseState, trigger: Trigger) -> LicenseState:
    """Where ``trigger`` leads from ``state``; raises ``IllegalTransition`` when the table has no such edge."""
    cursor = _Cursor()
    _MACHINE.add_model(cursor, initial=state)
    try:
        cursor.trigger(trigger)
    except MachineError as error:
        raise IllegalTransition(f"{trigger} is no way out of {state}") from error
    else:
        return cursor.state
    finally:
        _MACHINE.remove_model(cursor)  # models accumulate otherwise
