"""What each reason means, and what to do about it: one place, read by ``explain``."""

from __future__ import annotations

from typing import Final

from tapi_agent.domain.license import Reason

MEANINGS: Final = {
    Reason.OK: "{who} works without warnings: the license was confirmed {heard} ago",
    Reason.AUTHORITY_UNREACHABLE: "{who} works without warnings, but the last word of the billing service is "
    "{heard} old",
    Reason.AIR_GAPPED: "{who} works without warnings, on a word of {heard} ago: this box is air-gapped",
    Reason.OFFLINE_OVERRUN: "{who} works with a warning: the last word on it is {heard} old, and the time allowed "
    "without contact is over",
    Reason.LICENSE_LAPSED: "{who} works with a warning: the paid time ended on {ended}",
    Reason.PAST_DUE: "{who} works with a warning: an invoice is open",
    Reason.OFFLINE_LIMIT: "{who} is stopped: the last word on it is {heard} old, and even the grace is over",
    Reason.LICENSE_EXPIRED: "{who} is stopped: the license has ended, and with it any grace",
    Reason.NOT_YET_VALID: "{who} is stopped: the license begins on {begins}",
    Reason.REVOKED: "{who} is stopped: the vendor has revoked the license",
    Reason.SUSPENDED: "{who} is stopped: the vendor has suspended the license",
    Reason.UNLICENSED: "{who} is stopped: nothing was bought for it",
    Reason.NOT_VALID: "{who} is stopped: the billing service says that the license is not valid",
    Reason.CAMERA_LIMIT: "{who} is stopped: it is the {place} camera by seniority, and the license allows {allowed}",
    Reason.NO_LICENSE: "{who} is stopped: nobody has said anything about it yet",
    Reason.EVIDENCE_INVALID: "{who} is stopped: what was stored about it is not genuine",
    Reason.KEY_UNKNOWN: "{who} is stopped: the lease on it was signed by a key that is not trusted here",
    Reason.MACHINE_MISMATCH: "{who} is stopped: the lease on it was made for another machine",
}
"""Sentences; ``domain.wording`` fills in the names. Those of row 1 name nothing of evidence: there is none."""

ABSENCES: Final = {
    Reason.NO_LICENSE: "nothing has been heard or imported",
    Reason.EVIDENCE_INVALID: "what was stored is not genuine",
    Reason.KEY_UNKNOWN: "what was stored is signed by a key that is not trusted here",
    Reason.MACHINE_MISMATCH: "what was stored was made for another machine",
}
"""Why there is no evidence."""

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
