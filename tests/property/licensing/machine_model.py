"""What the states of a box must be, in a short model of its own: shares the words with the agent, not the code."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from hypothesis import strategies as st

from tapi_agent.domain.ids import TENANT, CameraId, DeviceId, TenantId
from tapi_agent.domain.lease import Lease, LeaseKind
from tapi_agent.domain.license import LicenseMode, LicenseState, LicenseStatus, Subject
from tapi_agent.ports.billing import LicenseReply
from tapi_agent.testing.clock import START

VALID, OFFLINE, GRACE, EXPIRED = LicenseState
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
CAMERAS: Final = [CameraId(name) for name in ("gate", "hall", "yard")]
SUBJECTS: Final = [TENANT, *CAMERAS]
SUBJECT: Final = Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=TENANT)
TIERS: Final = ("file", "redis", "postgres")

cameras = st.sampled_from(CAMERAS)
subjects = st.sampled_from(SUBJECTS)
spans = st.sampled_from([SECOND, MINUTE, HOUR, 23 * HOUR, DAY, 7 * DAY, 8 * DAY, 14 * DAY]).flatmap(
    lambda about: st.sampled_from([about - SECOND, about, about + SECOND])
)
ends = st.none() | st.sampled_from([-15 * DAY, -HOUR, HOUR, 20 * DAY, 400 * DAY])


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """What the service says of a subject; ``ends`` counts from now, ``skips`` back in its numbering."""

    kind: str = "yes"
    ends: timedelta | None = None
    limit: int | None = None
    numbered: bool = True

    def reply(self, *, number: int, now: datetime) -> LicenseReply:
        mode, status = _SAYINGS[self.kind]
        return LicenseReply(
            is_valid=self.kind in ("yes", "late"),
            mode=mode,
            packs=(),
            valid_until=None if self.ends is None else now + self.ends,
            cameras_allowed=self.limit,
            status=status if self.numbered else None,
            sequence=number if self.numbered else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a lease says; its times count from now."""

    status: LicenseStatus = LicenseStatus.ACTIVE
    issued: timedelta = timedelta(0)
    term: timedelta | None = 30 * DAY
    ends: timedelta | None = None
    limit: int | None = None
    forged: str | None = None
    reset_clock: bool = False

    def lease(self, camera: CameraId, *, number: int, now: datetime) -> Lease:
        issued = now + self.issued
        lease = Lease(
            kind=LeaseKind.MACHINE,
            key_id="k1",
            issued=issued,
            expiry=None if self.term is None else issued + self.term,
            device_id=SUBJECT.device_id,
            tenant_id=SUBJECT.tenant_id,
            camera_id=camera,
            status=self.status,
            valid_until=None if self.ends is None else now + self.ends,
            cameras_allowed=self.limit,
            sequence=number,
            reset_clock=self.reset_clock,
        )
        return replace(lease, **{self.forged: "another"}) if self.forged else lease

    @staticmethod
    def word(lease: Lease) -> Word:
        past = lease.valid_until is not None and lease.valid_until <= lease.issued
        return Word(
            heard=lease.issued,
            number=lease.sequence,
            no=lease.status in (LicenseStatus.REVOKED, LicenseStatus.SUSPENDED)
            or (lease.status is LicenseStatus.EXPIRED and not past),
            late=lease.status is LicenseStatus.PAST_DUE,
            until=lease.valid_until,
            limit=lease.cameras_allowed,
            issued=lease.issued,
            alone=(lease.expiry or datetime.max.replace(tzinfo=START.tzinfo)) - lease.issued,
        )


leases = st.builds(
    Terms,
    status=st.sampled_from([LicenseStatus.ACTIVE] * 3 + [LicenseStatus.PAST_DUE, LicenseStatus.REVOKED]),
    issued=st.sampled_from([-8 * DAY, -HOUR, timedelta(0), 2 * HOUR]),
    term=st.sampled_from([HOUR, 30 * DAY, None]),
    ends=ends,
    limit=st.sampled_from([None, None, 1]),
    forged=st.sampled_from([None] * 6 + ["key_id", "device_id", "tenant_id"]),
    reset_clock=st.sampled_from([False, False, True]),
)
_SAYINGS: Final = {
    "yes": (LicenseMode.BASE, LicenseStatus.ACTIVE),
    "late": (LicenseMode.TRIAL, LicenseStatus.PAST_DUE),
    "no": (LicenseMode.ENTERPRISE, LicenseStatus.ACTIVE),
    "over": (LicenseMode.EXPIRED, LicenseStatus.EXPIRED),
    "revoked": (LicenseMode.BASE, LicenseStatus.REVOKED),
    "suspended": (LicenseMode.BASE, LicenseStatus.SUSPENDED),
    "unlicensed": (LicenseMode.UNLICENSED, LicenseStatus.ACTIVE),
}
sayings = st.builds(
    Saying,
    kind=st.sampled_from(["yes", "yes", "yes", *_SAYINGS]),
    ends=ends,
    numbered=st.sampled_from([True, True, True, False]),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What the model keeps of a word: when it was heard, what it says, how long it lasts in silence."""

    heard: datetime
    number: int
    no: bool
    late: bool
    until: datetime | None
    limit: int | None
    issued: datetime | None = None
    alone: timedelta = 24 * HOUR

    def rank(self) -> tuple[bool, int, datetime]:
        """Signed before unsigned; leases by their numbers, then by when they were issued."""
        return self.issued is not None, self.number if self.issued else 0, self.issued or self.heard

    def by(self, now: datetime) -> Word:
        """The clock was set back: it was heard by now. A lease's own deadline stays where it is."""
        if self.heard <= now:
            return self
        return replace(self, heard=now, alone=self.alone + (self.heard - now) if self.issued else self.alone)


def as_kept(word: Word) -> Word:
    """What is stored of a lease is the lease, whatever has become of the clock."""
    return replace(word, heard=word.issued, alone=word.alone + (word.heard - word.issued)) if word.issued else word


def signed(saying: Saying) -> Terms:
    """The lease that says the same."""
    statuses = {"yes": LicenseStatus.ACTIVE, "late": LicenseStatus.PAST_DUE, "revoked": LicenseStatus.REVOKED}
    return Terms(status=statuses.get(saying.kind, LicenseStatus.EXPIRED), ends=saying.ends, limit=saying.limit)


def understood(saying: Saying, *, number: int, now: datetime, known: int) -> Word:
    """A no is a no, unless all it means is that a date has passed; a date that contradicts a yes is dropped.

    A word without a number keeps that of the word it follows.
    """
    until = None if saying.ends is None else now + saying.ends
    past = until is not None and until <= now
    flat, yes = saying.kind in ("revoked", "suspended", "unlicensed"), saying.kind in ("yes", "late")
    if not saying.numbered:  # such a service speaks of no status either
        flat = saying.kind == "unlicensed"
    return Word(
        heard=now,
        number=number if saying.numbered else known,
        no=flat or (not yes and not past),
        late=saying.kind == "late" and saying.numbered,
        until=None if yes and past else until,
        limit=saying.limit,
    )


def expected(word: Word | None, now: datetime, link: str) -> LicenseState:
    """The table, in other words. ``link``: talking, unasked or lost."""
    if word is None or word.no:
        return EXPIRED
    lapsed = now - word.until if word.until else -DAY
    silent = now - word.heard if link == "lost" else -DAY
    if lapsed >= 14 * DAY or silent >= word.alone + 7 * DAY:
        return EXPIRED
    if lapsed >= timedelta(0) or word.late or silent >= word.alone:
        return GRACE
    return OFFLINE if link != "talking" and now - word.heard >= HOUR else VALID


@dataclass
class Model:
    """What a box must remember, and nothing else."""

    registered: dict[CameraId, datetime] = field(default_factory=dict)
    words: dict[CameraId, Word] = field(default_factory=dict)
    kept: dict[str, dict[CameraId, Word]] = field(default_factory=lambda: {tier: {} for tier in TIERS})
    states: dict[CameraId, LicenseState] = field(default_factory=dict)
    asked: set[CameraId] = field(default_factory=set)
    failed: set[CameraId] = field(default_factory=set)
    doubts: dict[CameraId, timedelta] = field(default_factory=dict)
    silent_since: float = 0.0
    air_gapped: bool = False

    def link(self, camera: CameraId, awake: float) -> str:
        if self.air_gapped or camera in self.failed:
            return "lost"
        if camera in self.asked:
            return "talking"
        return "lost" if awake - self.silent_since >= MINUTE.total_seconds() else "unasked"

    def in_order(self) -> list[CameraId]:
        return sorted(self.registered, key=lambda camera: (self.registered[camera], camera))

    def asked_about(self) -> list[CameraId]:
        """The tenant too, once there is a word on it."""
        return self.in_order() + [TENANT] * (TENANT in self.words)

    def too_many(self) -> set[CameraId]:
        """A yes to the tenant sets the limit, else the newest yes to a camera; the first registered keep working."""
        tenant = self.words.get(TENANT)
        said = [word for camera, word in self.words.items() if camera in self.registered and not word.no]
        if tenant and not tenant.no:
            said = [tenant]
        newest = max(said, key=lambda word: (word.issued is not None, word.heard), default=None)
        return set() if newest is None or newest.limit is None else set(self.in_order()[newest.limit :])

    def look(self, now: datetime, awake: float, *only: CameraId) -> None:
        """Derive the states of these, or of all, anew."""
        excess = self.too_many()
        for camera in only or self.registered:
            word = self.words.get(camera) or self.words.get(TENANT)
            state = expected(word, now, self.link(camera, awake))
            self.states[camera] = EXPIRED if camera in excess else state

    def answered(self, camera: CameraId, word: Word, boottime: timedelta) -> None:
        """An unsigned no to a running camera is believed once it has stood for a minute."""
        self.asked.add(camera)
        self.failed.discard(camera)
        if not word.no:
            self.doubts.pop(camera, None)
        elif (
            not word.issued
            and self.states[camera] is not EXPIRED
            and boottime - self.doubts.setdefault(camera, boottime) < MINUTE
        ):
            return
        self.words[camera] = word

    def unanswered(self, *cameras: CameraId) -> None:
        self.asked.update(cameras)
        self.failed.update(cameras)

    def read(self, *tiers: str, now: datetime) -> None:
        """The newest word counts; one from the future only where there is no other."""
        for tier in tiers:
            for camera, word in self.kept[tier].items():
                held = self.words.get(camera)
                if held is None or (word.rank() > held.rank() and (word.issued or word.heard <= now)):
                    self.words[camera] = word.by(now)
