"""The shipped folders are found in a wheel and in a checkout, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tapi_agent.resources import CHECKOUT, directory

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["migrations", "config"])
def test_an_editable_install_uses_the_checkout(name: str) -> None:
    assert directory(name) == CHECKOUT / name


def test_a_wheel_carries_its_own(tmp_path: Path) -> None:
    package = tmp_path / "site-packages/tapi_agent"
    (package / "config").mkdir(parents=True)
    assert directory("config", package=package, checkout=CHECKOUT) == package / "config"


def test_a_namesake_beside_the_package_is_not_ours(tmp_path: Path) -> None:
    package = tmp_path / "lib/site-packages/tapi_agent"
    package.mkdir(parents=True)
    (tmp_path / "config").mkdir()
    with pytest.raises(FileNotFoundError, match=f"installed incompletely: no {package}/config; install"):
        directory("config", package=package, checkout=tmp_path)


def test_an_incomplete_checkout_names_both_places(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    with pytest.raises(FileNotFoundError, match=f"no {tmp_path}/package/config or {tmp_path}/config;"):
        directory("config", package=tmp_path / "package", checkout=tmp_path)
