"""What to do about each reason: one place, read by ``explain`` and whatever shows a reason to people."""

from __future__ import annotations

from typing import Final

from tapi_agent.domain.license import Reason

REMEDIES: Final = {
    Reason.OK: "nothing",
    Reason.AUTHORITY_UNREACHABLE: "restore the way to the billing service before the next change; "
    "tapi-agent status says what its last attempt met",
    Reason.AIR_GAPPED: "carry a new lease here before the next change: tapi-agent license request, then import",
    Reason.OFFLINE_OVERRUN: "restore the way to the billing service, or import a new lease, before functions stop",
    Reason.LICENSE_LAPSED: "renew the license with the vendor before functions stop",
    Reason.PAST_DUE: "settle the open invoice with the vendor",
    Reason.OFFLINE_LIMIT: "restore the way to the billing service, or import a new lease: one answer restores all",
    Reason.LICENSE_EXPIRED: "renew the license with the vendor, then: tapi-agent license refresh",
    Reason.NOT_YET_VALID: "wait until the license begins; if it should have, see the clock in tapi-agent status",
    Reason.REVOKED: "the vendor has revoked this license: ask the vendor",
    Reason.SUSPENDED: "the vendor has suspended this license: ask the vendor",
    Reason.UNLICENSED: "buy a license for this camera, then: tapi-agent license refresh",
    Reason.NOT_VALID: "the billing service says no without a reason: ask the vendor",
    Reason.CAMERA_LIMIT: "delete a camera that is not needed (tapi-agent cameras), or have more cameras licensed",
    Reason.NO_LICENSE: "let the agent reach the billing service, or import a lease: tapi-agent license request",
    Reason.EVIDENCE_INVALID: "what was stored failed verification: tapi-agent license refresh, or import a lease anew",
    Reason.KEY_UNKNOWN: "the lease was signed by a key that is not trusted here: add the vendor's to TRUSTED_KEYS",
    Reason.MACHINE_MISMATCH: "the lease was made for another machine: request one for this, tapi-agent license request",
}
