from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from tapi_agent.cli.output import safe
from tapi_agent.cli.text import ahead, harmless, moment, since, span

NOON = "2027-03-01T12:00:00Z"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 📷", "plain é 📷"),
        ("two\nlines", "two\nlines"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\rb\x9bc\x00", r"a\rb\x9bc\x00"),
        ("\u202egnp", r"\u202egnp"),
        ("\ud800", r"\ud800"),
        (5, "5"),
    ],
    ids=ascii,
)
def test_nothing_steers_the_terminal(text: object, shown: str) -> None:
    assert harmless(text) == shown


@given(st.text().filter(lambda text: not text.endswith("\\")))  # rich doubles that one, for what may follow it
def test_safe_text_is_shown_as_it_is(text: str) -> None:
    assert Text.from_markup(safe(text), emoji=False).plain == harmless(text)


@pytest.mark.parametrize("text", ["[/]", "[/red]", "[bold]", "x\\", "\\[red]", ":car:", "[link=x]y[/link]"])
def test_markup_from_outside_is_text(text: str) -> None:
    assert Text.from_markup(f"[green]{safe(text)}[/]", emoji=False).plain == text


def test_nothing_is_shown_for_none() -> None:
    assert safe(None) == ""


@pytest.mark.parametrize(
    ("later", "words"),
    [
        ("2027-03-01T12:00:00.9Z", "0 s"),
        ("2027-03-01T12:00:59Z", "59 s"),
        ("2027-03-01T12:01:00Z", "1 min"),
        ("2027-03-01T12:59:59Z", "59 min"),
        ("2027-03-01T13:00:00Z", "1 h"),
        ("2027-03-03T11:59:59Z", "1 d"),
        ("2027-03-01T11:00:00Z", "0 s"),
    ],
)
def test_spans_are_said_in_their_largest_unit(later: str, words: str) -> None:
    assert span(later, NOON) == words


def test_times_are_shown_to_the_second() -> None:
    assert moment("2027-03-01T12:00:05.678901+00:00") == "2027-03-01 12:00:05 UTC"
    assert since(NOON, "2027-03-01T12:05:00Z") == "2027-03-01 12:00:00 UTC (5 min ago)"
    assert ahead("2027-03-01T12:05:00Z", NOON) == "2027-03-01 12:05:00 UTC (in 5 min)"
    assert (moment(None), since(None, NOON)) == ("-", "-")
