"""Proving that no usage is lost and none billed twice, and taking up again what waits for a person's word (ADR 0086).

``Proof`` is what the API calls: ``verification``, ``reconciliation``, ``letters`` and ``verdicts``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tapi_agent.services.proof.letters import LetterBox
    from tapi_agent.services.proof.reconcile import Reconciliation
    from tapi_agent.services.proof.verdicts import Verdicts
    from tapi_agent.services.proof.verify import Verification


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The four of them."""

    verification: Verification
    reconciliation: Reconciliation
    letters: LetterBox
    verdicts: Verdicts
