from __future__ import annotations

import pytest

from tapi_agent.cli.exits import code_of, fail
from tapi_agent.domain.errors import (
    ConfigurationError,
    IllegalTransition,
    IntegrityError,
    InvalidInputError,
    RejectedError,
    TapiError,
    UnavailableError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("m"), 78),
        (RejectedError("m", code="forbidden"), 5),
        (RejectedError("m", code="wrong_type"), 2),
        (InvalidInputError("m", code="WRONG_TYPE"), 2),
        (UnavailableError("m"), 4),
        (IntegrityError("m"), 7),
        (IllegalTransition("m"), 70),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_error_has_its_code(error: TapiError, code: int) -> None:
    assert code_of(error) == code


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UnavailableError("no agent", fix="start it"), "tapi-agent: no agent\n  → start it\n"),
        (UnavailableError("no agent"), "tapi-agent: no agent\n"),
        (RejectedError("\x1b[2J", code="x"), "tapi-agent: \\x1b[2J\n"),
    ],
    ids=["with remedy", "without", "hostile"],
)
def test_errors_are_one_line_and_the_remedy(error: TapiError, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        fail(error)
    assert caught.value.code == code_of(error)
    assert capsys.readouterr() == ("", said)
