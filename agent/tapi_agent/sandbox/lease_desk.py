"""Answers live requests with leases: genuine ones, or such as must not count, where the fault plan says so."""

from __future__ import annotations

import secrets
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final, assert_never

from tapi_agent.sandbox.faults import Forgery
from tapi_agent.sandbox.keys import SigningKey
from tapi_agent.sandbox.leases import issue

if TYPE_CHECKING:
    from datetime import datetime

    from tapi_agent.sandbox.leases import Draft

_NONCE_BYTES: Final = 16


class LeaseDesk:
    """It remembers the first genuine lease of each subject since the start, to have something to replay."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str, str], str] = {}

    def answer(self, draft: Draft, nonce: str, now: datetime, forgery: Forgery | None) -> str | None:
        """The lease file for a request; ``None`` when the plan wants none, or when there is none yet to replay."""
        if forgery is not None:
            return self._forged(draft, nonce, now, forgery)
        lease = issue(draft, nonce, now)
        self._first.setdefault(_subject(draft), lease)
        return lease

    def _forged(self, draft: Draft, nonce: str, now: datetime, forgery: Forgery) -> str | None:
        match forgery:
            case Forgery.UNSIGNED:
                return None
            case Forgery.REPLAY_LEASE:
                return self._first.get(_subject(draft))
            case Forgery.WRONG_NONCE:
                nonce = secrets.token_hex(_NONCE_BYTES)
            case Forgery.WRONG_MACHINE:
                draft = _for_another_machine(draft)
            case Forgery.WRONG_KEY:
                draft = replace(draft, key=SigningKey.generate())
            case Forgery.WRONG_SUBJECT:
                draft = draft.on("another-camera", draft.held)
            case Forgery.OLD_SEQUENCE:
                draft = replace(draft, sequence=0)
            case _:
                assert_never(forgery)
        return issue(draft, nonce, now)


def _subject(draft: Draft) -> tuple[str, str, str]:
    return draft.tenant_id, draft.device_id, draft.camera_id


def _for_another_machine(draft: Draft) -> Draft:
    components = {name: sha256(mark.encode()).hexdigest() for name, mark in draft.components.items()}
    return replace(draft, device_id="another-machine", components=components)
