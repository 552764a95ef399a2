"""``python -m tapi_agent.settings.generate``: rewrites the files of a checkout that are made from the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tapi_agent.resources import CHECKOUT
from tapi_agent.settings.rendering import render_agent_toml, render_env_template, render_reference

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_BEGIN: Final = "<!-- generated: make changes in agent/tapi_agent/settings -->\n"
_END: Final = "<!-- end of generated -->\n"


def generated(checkout: Path) -> Mapping[Path, str]:
    """What each generated file should contain; of the documentation only the part between the two marks is ours."""
    documentation = checkout / "docs" / "configuration.md"
    before, _, rest = documentation.read_text(encoding="utf-8").partition(_BEGIN)
    after = rest.partition(_END)[2]
    return {
        checkout / "config" / "env.template": render_env_template(),
        checkout / "config" / "agent.toml": render_agent_toml(),
        documentation: f"{before}{_BEGIN}\n{render_reference()}{_END}{after}",
    }


def main() -> None:
    """Bring the files up to date."""
    for path, text in generated(CHECKOUT).items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
