"""What is generated from the settings is up to date, complete, and harmless when used as it is."""

from __future__ import annotations

import re
import shutil
import tomllib
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tapi_agent.resources import CHECKOUT, directory
from tapi_agent.settings import describe, generate
from tapi_agent.settings.variables import VARIABLES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.settings.conftest import Place

TEMPLATE = directory("config") / "env.template"
TOML = directory("config") / "agent.toml"


@pytest.mark.parametrize("path", generate.generated(CHECKOUT), ids=lambda path: path.name)
def test_the_files_in_the_tree_are_up_to_date(path: Path) -> None:
    expected = generate.generated(CHECKOUT)[path]
    assert path.read_text() == expected, "run: python -m tapi_agent.settings.generate"


def test_generate_repairs_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "docs").mkdir()
    shutil.copy(CHECKOUT / "docs/configuration.md", tmp_path / "docs")
    monkeypatch.setattr(generate, "CHECKOUT", tmp_path)
    generate.main()
    assert (tmp_path / "config/env.template").read_text() == TEMPLATE.read_text()
    assert (tmp_path / "config/agent.toml").read_text() == TOML.read_text()


@pytest.mark.parametrize("name", [variable.name for variable in VARIABLES.values()])
def test_every_variable_is_in_the_template_and_the_documentation(name: str) -> None:
    assert re.search(rf"^# Allowed: .*\n(# .*\n)*#?{name}=", TEMPLATE.read_text(), re.MULTILINE)
    assert f"| `{name}` |" in (CHECKOUT / "docs/configuration.md").read_text()


def test_used_as_they_are_the_templates_change_nothing(place: Place) -> None:
    bare = describe(place.load())
    shutil.copy(TEMPLATE, place.env_file)
    shutil.copy(TOML, place.config)
    assert describe(place.load()) == bare


def test_every_line_can_be_taken_into_use(place: Place) -> None:
    bare = place.load()
    place.env_file.write_text(re.sub(r"^#([A-Z])", r"\1", TEMPLATE.read_text(), flags=re.MULTILINE))
    place.config.write_text(re.sub(r"^#([a-z])", r"\1", TOML.read_text(), flags=re.MULTILINE))
    settings = place.load()
    assert settings.model_dump() == bare.model_dump()
    assert {remark.split()[0] for remark in settings.unknown} == {"TAPI_CONFIG", "TAPI_ENV_FILE"}


def test_the_toml_template_uses_toml_s_own_types() -> None:
    lines = re.sub(r"^#([a-z])", r"\1", TOML.read_text(), flags=re.MULTILINE)
    values = tomllib.loads(lines)
    assert (values["billing_timeout_ms"], values["debug_mode"], values["usage_db_max_bytes"]) == (5000, False, "20GiB")


def test_prices_are_those_of_the_price_list() -> None:
    prices = tomllib.loads((directory("config") / "pricing.toml").read_text(), parse_float=Decimal)
    assert {name: pack["price"] for name, pack in prices["packs"].items()} == {
        "base": 60,
        "advanced_analytics": 20,
        "intelligence": 400,
    }
    assert prices["packs"]["intelligence"]["price_per_further_seat"] == 120
    assert prices["overage"]["api_call"] == {"price": Decimal("0.05"), "per": 1000}
