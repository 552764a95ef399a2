"""Words for people: text from outside made harmless, times and counts in the form an operator reads them."""

from __future__ import annotations

from datetime import datetime

from tapi_agent.domain.wording import age


def harmless(text: object) -> str:
    r"""Text without what could steer a terminal: an escape character in a camera's name is shown as ``\x1b``."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(text))


def moment(at: str | None) -> str:
    """A time of the API's, to the second: ``2027-03-01 12:00:05 UTC``."""
    return f"{datetime.fromisoformat(at):%Y-%m-%d %H:%M:%S} UTC" if at else "-"


def since(at: str | None, now: str) -> str:
    """The same, with how long ago that was."""
    return f"{moment(at)} ({span(now, at)} ago)" if at else "-"


def ahead(at: str, now: str) -> str:
    """The same, with how long that will be."""
    return f"{moment(at)} (in {span(at, now)})"


def span(later: str, earlier: str) -> str:
    """The time between, in its largest unit: ``3 h``."""
    return age(datetime.fromisoformat(later) - datetime.fromisoformat(earlier))
