from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tapi_agent.bootstrap import assemble
from tapi_agent.domain.errors import ConfigurationError
from tapi_agent.settings import load

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("below", ["", "deeper"], ids=["is-a-file", "below-a-file"])
async def test_a_state_directory_that_cannot_be_made_is_a_wrong_setting(tmp_path: Path, below: str) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    settings = load({"TAPI_STATE_DIR": str(in_the_way / below), "TAPI_SOCKET": "/tmp/ta-unused.sock"}, tmp_path)
    with pytest.raises(ConfigurationError, match=str(in_the_way)) as caught:
        assemble(settings)
    assert "TAPI_STATE_DIR" in caught.value.fix
