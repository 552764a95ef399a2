"""tapi-agent quota: what an operator reads."""

from __future__ import annotations

import pytest

from tapi_agent.cli.quota import show


def standing(**more: object) -> dict:
    hard = {
        "meter": "llm_tokens",
        "unit": "tokens",
        "period": "month",
        "limit": "250000",
        "used": "1200",
        "reserved": "300",
        "held": "100",
        "remaining": "248500",
        "overage": "0",
        "soft": False,
        "resets_at": "2027-04-01T00:00:00Z",
        "source": "rule",
        "complete": True,
    }
    return hard | more


SOFT = standing(
    meter="api_call", unit="calls", limit="50000", used="51200", reserved="0", remaining="0", overage="1200", soft=True
)
ENDLESS = standing(meter="sms_sent", limit="-1", used="7", reserved="0", remaining="-1", period="day")


@pytest.fixture
def page(capsys: pytest.CaptureFixture[str]):

    def shown(*quotas: dict, complete: bool = True) -> list[str]:
        show({"schema": 1, "quotas": list(quotas), "complete": complete})
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    return shown


def test_limits_are_hard_soft_or_none_and_overage_is_said_in_words(page) -> None:
    assert page(SOFT, standing(), ENDLESS) == [
        "METER       PERIOD  LIMIT        USED   RESERVED  LEFT       RESETS",
        "api_call    month   50000 soft   51200  0         0          2027-04-01",
        "llm_tokens  month   250000 hard  1200   300       248500     2027-04-01",
        "sms_sent    day     unlimited    7      0         unlimited  2027-04-01",
        "!  api_call: 1200 calls beyond the limit are billed as overage",
    ]


def test_figures_that_are_not_whole_are_said_to_be_so(page) -> None:
    lines = page(standing(complete=False), complete=False)
    assert lines[2].startswith("!  PostgreSQL is down: ")
    assert "other devices" in " ".join(lines[2:])


def test_without_quotas(page) -> None:
    assert page() == ["no meter has a quota"]


@pytest.mark.parametrize("text", ["[/red]", "\x1b[2J", "[bold]x", ":car:"], ids=ascii)
def test_no_text_steers_the_terminal(page, text: str) -> None:
    out = "\n".join(page(standing(meter=text, unit=text, overage="1", soft=True)))
    assert "\x1b" not in out
    assert out.count(ascii(text)[1:-1]) == 3
