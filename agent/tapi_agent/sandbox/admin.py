"""A client of /admin, standard library only: for the demo and the tests, which judge the agent by the ledger."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from tapi_agent.domain.errors import RejectedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TIMEOUT_SECONDS: Final = 10.0


class SandboxAdmin:
    """Speaks to the sandbox at ``url``. ``UnavailableError`` without an answer, ``RejectedError`` when it refuses."""

    def __init__(self, url: str, token: str) -> None:
        self._url = f"{url}/admin"
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._opener = build_opener(ProxyHandler({}))  # never through the site's proxy: it cannot reach this box

    def add_tenant(self, tenant_id: str, api_key: str) -> None:
        """Create a tenant, or give it another key."""
        self._post("tenants", tenant_id=tenant_id, api_key=api_key)

    def subscribe(self, tenant_id: str, *, camera_id: str = "", mode: str = "base", **terms: object) -> None:
        """Sell to the tenant or to one camera. ``terms``: status, valid_until, cameras_allowed, packs."""
        self._post("subscriptions", tenant_id=tenant_id, camera_id=camera_id, mode=mode, **terms)

    def set_status(self, tenant_id: str, status: str, *, camera_id: str = "") -> None:
        """Any ``LicenseStatus``; "active" makes good again what follows."""
        self._post("status", tenant_id=tenant_id, camera_id=camera_id, status=status)

    def suspend(self, tenant_id: str, *, camera_id: str = "") -> None:
        """Suspend the subscription of the tenant or of one camera."""
        self.set_status(tenant_id, "suspended", camera_id=camera_id)

    def revoke(self, tenant_id: str, *, camera_id: str = "") -> None:
        """Revoke it."""
        self.set_status(tenant_id, "revoked", camera_id=camera_id)

    def packs(
        self, tenant_id: str, *, enable: Sequence[str] = (), disable: Sequence[str] = (), camera_id: str = ""
    ) -> None:
        """Add and remove growth packs."""
        self._post("packs", tenant_id=tenant_id, camera_id=camera_id, enable=list(enable), disable=list(disable))

    def remove_camera(self, tenant_id: str, camera_id: str) -> None:
        """Forget a camera and free its place."""
        self._post("remove-camera", tenant_id=tenant_id, camera_id=camera_id)

    def quota(self, tenant_id: str, feature: str, *, meter: str, monthly_limit: int) -> None:
        """How much of a meter a feature may use in a month."""
        self._post("quotas", tenant_id=tenant_id, feature=feature, meter=meter, monthly_limit=monthly_limit)

    def feature(self, tenant_id: str, feature: str, *, is_enabled: bool | None) -> None:
        """Overrule the packs on one feature."""
        self._post("features", tenant_id=tenant_id, feature=feature, is_enabled=is_enabled)

    def leases(self, tenant_id: str, *, signed: bool = True, **terms: object) -> None:
        """Answer validate requests of the tenant with leases, or no longer (docs/sandbox.md has the ``terms``)."""
        self._post("leases", tenant_id=tenant_id, signed=signed, **terms)

    def rotate_key(self) -> None:
        """Sign with a fresh key from now on."""
        self._post("rotate-key")

    def keys(self) -> list[dict[str, str]]:
        """``kid`` and ``public_key`` (64 hexadecimal digits) of every key, the newest first."""
        return self._get("keys", "keys")

    def trusted_keys(self) -> str:
        """What to give an agent as TRUSTED_KEYS: the two newest keys, the one that signs first."""
        trusted: str = self._call("GET", "keys")["trusted_keys"]
        return trusted

    def answer(self, request: bytes) -> str:
        """The text that answers the request file of an air-gapped agent."""
        return self._send("POST", "answer", request).decode()

    def faults(self, *rules: Mapping[str, object]) -> None:
        """Add rules to the plan, such as ``{"action": "status", "status": 503, "times": 2}`` (docs/sandbox.md)."""
        self._post("faults", rules=list(rules))

    def clear_faults(self) -> None:
        """Let the service behave again."""
        self._call("DELETE", "faults")

    def fault_plan(self) -> list[dict[str, Any]]:
        """The rules that still hold."""
        return self._get("faults", "rules")

    def ledger(self) -> list[dict[str, Any]]:
        """Every line billed, oldest first: an event billed twice is there twice. ``quantity`` is a decimal literal."""
        lines: list[dict[str, Any]] = []
        while page := self._get(f"ledger?after={lines[-1]['line'] if lines else 0}", "lines"):
            lines += page
        return lines

    def times_billed(self) -> Counter[str | None]:
        """How often each event id was billed; ``None`` stands for all events that came without one."""
        return Counter(line["event_id"] for line in self.ledger())

    def totals(self) -> list[dict[str, Any]]:
        """Count and quantity (a decimal literal) by tenant_id and event_type."""
        return self._get("totals", "totals")

    def batches(self) -> list[dict[str, Any]]:
        """Every stored batch, with its results and ``chain``: start, linked or broken."""
        return self._get("batches", "batches")

    def requests(self) -> dict[str, Any]:
        """``counts`` by "METHOD path", and the ``recent`` ones: method, path, idempotency_key, body_sha256, status."""
        found: dict[str, Any] = self._call("GET", "requests")
        return found

    def _get(self, path: str, member: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._call("GET", path)[member]
        return found

    def _post(self, path: str, **body: object) -> None:
        self._call("POST", path, body)

    def _call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401 - JSON
        data = None if body is None else json.dumps(body).encode()
        return json.loads(self._send(method, path, data) or b"null")

    def _send(self, method: str, path: str, data: bytes | None) -> bytes:
        request = Request(f"{self._url}/{path}", data=data, headers=self._headers, method=method)  # noqa: S310 - http only
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as reply:
                answer: bytes = reply.read()
                return answer
        except HTTPError as error:
            with error:
                raise RejectedError(f"{method} /admin/{path}: {error.read().decode()}", code=str(error.code)) from error
        except (URLError, OSError) as error:
            raise UnavailableError(f"the sandbox at {self._url} does not answer: {error}") from error
