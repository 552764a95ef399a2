"""The bodies of requests: their fields, types and limits. A wrong one is an ``InvalidInputError`` that names the field.

Unknown fields are ignored, as both sides of the contract do.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.sandbox import amounts, exact_json, times

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_EVENTS: Final = 1000
_MAX_COMPONENTS: Final = 64

Text = Annotated[str, Field(min_length=1, max_length=1024)]
Uuid = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z")]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
Moment = Annotated[datetime, BeforeValidator(times.parse_utc)]
Quantity = Annotated[Decimal, BeforeValidator(amounts.quantity)]
Nonce = Annotated[str, Field(pattern=r"^[0-9a-f]{32}\z")]
Components = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=64)], Sha256], Field(max_length=_MAX_COMPONENTS)
]
CameraId = Annotated[str, Field(max_length=1024)]
"""``""`` is the tenant itself."""

VALIDATE_EXTENSION: Final = {"nonce", "fingerprint", "components", "agent_version", "sequence", "clock"}
USAGE_EXTENSION: Final = {"batch_id", "stream", "first_seq", "last_seq", "count", "sha256", "prev_sha256"}


class Body(BaseModel):
    """A request's body; types are not converted."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class ValidateRequest(Body):
    """POST /licenses/validate; ``camera_id`` "" asks for the tenant itself."""

    tenant_id: Text
    camera_id: CameraId
    device_id: Text


class LeaseWish(Body):
    """What the extension adds to a validate request, as far as the service makes use of it."""

    nonce: Nonce | None = None
    """A signed reply has to hold it. Without one there is no lease: it could be an old one replayed."""
    fingerprint: Text | None = None
    components: Components | None = None


class EntitlementRequest(Body):
    """POST /entitlements/check."""

    tenant_id: Text
    feature_category: Text
    feature_name: Text


class HeartbeatRequest(Body):
    """POST /heartbeat."""

    device_id: Text
    tenant_id: Text
    active_camera_ids: list[Text]
    management_tier: Literal["basic", "managed"]


class Event(Body):
    """One usage event, as today's clients send it. The service bills it and does not look into ``metadata``."""

    tenant_id: Text
    event_type: Text
    resource_id: str = ""
    quantity: Quantity
    unit: Text
    event_time: Moment
    metadata: dict[str, object] | None = None


class Identity(Body):
    """What a result of the extension is told by."""

    event_id: Uuid


class SealedEvent(Event):
    """One usage event of the extension, beside its ``Identity``."""

    device_id: Text
    camera_id: str
    seq: Count


class Seal(Body):
    """What the extension says about a batch as a whole."""

    batch_id: Uuid
    device_id: Text
    stream: Uuid
    first_seq: Count
    last_seq: Count
    count: Count
    sha256: Sha256
    prev_sha256: Sha256 | None = None


class LookupRequest(Body):
    """POST /usage/lookup."""

    event_ids: Annotated[list[Uuid], Field(max_length=MAX_EVENTS)]


BodyT = TypeVar("BodyT", bound=BaseModel)


def read(form: type[BodyT], body: bytes) -> BodyT:
    """``body`` as a ``form``."""
    return fill(form, document(body))


def document(body: bytes) -> dict[str, object]:
    """The JSON object in ``body``."""
    return {name: member.value for name, member in members(body).items()}


def members(body: bytes) -> dict[str, exact_json.Element]:
    """The members of the JSON object in ``body``, with the text of each."""
    try:
        return exact_json.members(body)
    except ValueError as error:
        raise InvalidInputError(f"the body is not a JSON object: {error}", code="malformed") from error


def fill(form: type[BodyT], value: object) -> BodyT:
    """``value`` as a ``form``; the error is about the first wrong field, its code ``bad_`` and the field's name."""
    try:
        return form.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "it"
        message = first["msg"].removeprefix("Value error, ")
        raise InvalidInputError(f"{place}: {message}", code=f"bad_{place.partition('.')[0]}") from error
