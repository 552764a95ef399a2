from __future__ import annotations

import pytest

from tapi_agent.adapters.billing.endpoint import Endpoint, endpoint, request_headers
from tapi_agent.domain.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "base", "root"),
    [
        ("https://b.example.com/api/v1", "https://b.example.com/api/v1", "https://b.example.com"),
        (" https://b.example.com/api/v1/ ", "https://b.example.com/api/v1", "https://b.example.com"),
        ("https://b.example.com:8443/billing/api/v1", "https://b.example.com:8443/billing/api/v1", None),
        ("http://b.example.com/v2", "http://b.example.com/v2", "http://b.example.com"),
        ("http://b.example.com", "http://b.example.com", "http://b.example.com"),
        ("http://[2001:db8::1]:80/api/v1", "http://[2001:db8::1]/api/v1", "http://[2001:db8::1]"),
        ("https://bücher.example/api/v1", "https://xn--bcher-kva.example/api/v1", "https://xn--bcher-kva.example"),
    ],
)
def test_base_and_root(url: str, base: str, root: str | None) -> None:
    assert endpoint(url) == Endpoint(base=base, root=root or "https://b.example.com:8443/billing", loopback=False)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("[::1]", True), ("10.0.0.1", False)],
)
def test_proxies_are_for_other_machines(host: str, loopback: bool) -> None:  # noqa: FBT001 - a row of the table
    assert endpoint(f"http://{host}:8081/api/v1").loopback is loopback


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("", id="empty"),
        pytest.param("b.example.com/api/v1", id="no scheme"),
        pytest.param("ftp://b.example.com", id="other scheme"),
        pytest.param("https://", id="no host"),
        pytest.param("https://[::1", id="half an address"),
        pytest.param("https://b..example.com", id="empty label"),
        pytest.param(f"https://{'b' * 64}.example.com", id="long label"),
        pytest.param("http://b.example.com:0", id="port 0"),
        pytest.param("http://b.example.com:65536", id="no such port"),
        pytest.param("https://me:s3cret@b.example.com/api/v1", id="password"),
        pytest.param("https://b.example.com/api/v1?x=1", id="query"),
        pytest.param("https://b.example.com/#a", id="fragment"),
    ],
)
def test_an_address_that_can_never_work_says_so(url: str) -> None:
    with pytest.raises(ConfigurationError, match="BILLING_SERVICE_URL") as caught:
        endpoint(url)
    assert "https://billing.example.com/api/v1" in caught.value.fix
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("key", ["s3cret\n", "s3cret key", "s3crét", "s3cret\x00", "“s3cret”", "\ts3cret"])
def test_a_key_that_no_header_can_carry_says_so_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigurationError, match="BILLING_API_KEY") as caught:
        request_headers(api_key=key, agent_version="1.2.3")
    assert "s3cr" not in f"{caught.value} {caught.value.fix}"


def test_headers() -> None:
    headers = request_headers(api_key="s3cret", agent_version="1.2.3")
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["User-Agent"] == "tapi-agent/1.2.3"


def test_without_a_key_the_service_is_asked_without_one() -> None:
    assert "Authorization" not in request_headers(api_key="", agent_version="1.2.3")
