"""docs/sandbox.md names everything one can order and every way to misbehave."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from tapi_agent.sandbox import faults
from tapi_agent.sandbox.admin_api import AdminApi
from tapi_agent.sandbox.orders import ORDERS

PAGE = (Path(__file__).parents[3] / "docs" / "sandbox.md").read_text()


def actions() -> list[str]:
    kinds = get_args(get_args(faults.Fault)[0])
    return [action for kind in kinds for action in get_args(kind.model_fields["action"].annotation)]


@pytest.mark.parametrize("name", ORDERS)
def test_an_order_and_its_fields(name: str) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| {name} |")]
    assert [field for field in ORDERS[name].model_fields if field not in row] == []


def paths() -> list[str]:
    return sorted({route.path for route in AdminApi(*[None] * 4).routes()} - {"/{order}"})


@pytest.mark.parametrize("path", paths())
def test_an_endpoint_of_the_admin(path: str) -> None:
    assert f"/admin{path}" in PAGE


@pytest.mark.parametrize("action", actions())
def test_a_fault(action: str) -> None:
    assert f"\n| {action} " in PAGE


def test_all_faults_are_known_here() -> None:
    assert len(actions()) == 12 + len(faults.Forgery)
