"""What each reason means, and what to do about it: one place, read by ``explain``."""

from __future__ import annotations

from typing import Final

from tapi_agent.domain.license import Reason

MEANINGS: Final = {
    Reason.OK: "full function, lately confirmed",
    Reason.AUTHORITY_UNREACHABLE: "full function, although the billing service has not been heard for a while",
    Reason.AIR_GAPPED: "full function, on the last lease that was carried here",
    Reason.OFFLINE_OVERRUN: "works, with a warning: the time allowed without contact is over",
    Reason.LICENSE_LAPSED: "works, with a warning: the paid time is over",
    Reason.PAST_DUE: "works, with a warning: an invoice is open",
    Reason.OFFLINE_LIMIT: "stopped: the billing service has not been heard for too long",
    Reason.LICENSE_EXPIRED: "stopped: the license has ended, and so has its grace",
    Reason.NOT_YET_VALID: "stopped: the license has not begun",
    Reason.REVOKED: "stopped: the vendor has revoked the license",
    Reason.SUSPENDED: "stopped: the vendor has suspended the license",
    Reason.UNLICENSED: "stopped: nothing was bought for it",
    Reason.NOT_VALID: "stopped: the billing service says that the license is not valid",
    Reason.CAMERA_LIMIT: "stopped: the license covers fewer cameras, and others were registered before it",
    Reason.NO_LICENSE: "stopped: nobody has said anything about it yet",
    Reason.EVIDENCE_INVALID: "stopped: what was stored about it is not genuine",
    Reason.KEY_UNKNOWN: "stopped: the lease on it was signed by a key that is not trusted here",
    Reason.MACHINE_MISMATCH: "stopped: the lease on it was made for another machine",
}

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
