"""Whatever stands in a variable or a file: it loads, or it is a ConfigurationError. Never another exception."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tapi_agent.domain.errors import ConfigurationError
from tapi_agent.settings import Settings, describe, load
from tapi_agent.settings.variables import VARIABLES

NAMES = [variable.name for variable in VARIABLES.values()] + [
    "CREDENTIALS_DIRECTORY",
    "HOME",
    "RUNTIME_DIRECTORY",
    "STATE_DIRECTORY",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
]
NUMBERS = st.one_of(st.integers(), st.floats(), st.decimals()).map(str)
NEAR_MISSES = st.builds(
    "{}{}{}".format,
    st.sampled_from(["http://", "https://", "redis://", "postgresql://", "k:", "trial:", "/", "~", "=", ","]),
    st.text(max_size=20),
    st.sampled_from(["", "GiB", "/api/v1", "@", "]", ":99999", ",a:b"]),
)
TEXTS = st.one_of(
    st.text(),
    st.text(st.characters(categories=["Cs", "Cc", "Nd", "Zs"])),
    st.binary().map(bytes.hex),
    NUMBERS,
    NEAR_MISSES,
)


def _attempt(environ: dict[str, str], directory: Path) -> Settings | None:
    try:
        settings = load({"TAPI_CONFIG": str(directory / "agent.toml")} | environ, directory)
    except ConfigurationError as error:
        str(error).encode()  # it can be printed
        return None
    assert "\n" not in "".join(row.value for row in describe(settings))
    return settings


@settings(deadline=None)
@given(environ=st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=8))
def test_any_environment(environ: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "agent.toml").touch()
        _attempt(environ, Path(directory))


@settings(deadline=None)
@given(field=st.sampled_from(sorted(VARIABLES)), text=TEXTS)
def test_any_text_for_any_variable(field: str, text: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "agent.toml").touch()
        loaded = _attempt({field.upper(): text}, Path(directory))
        if loaded is not None and text.strip():
            assert loaded.origin(field) == "environment"


CONTENTS = st.one_of(st.binary(), TEXTS.map(lambda text: text.encode(errors="surrogatepass")))


@settings(deadline=None)
@given(content=CONTENTS, name=st.sampled_from([".env", "agent.toml", "api-key"]))
def test_any_file(content: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "agent.toml").touch()
        (Path(directory) / name).write_bytes(content)
        _attempt({"CREDENTIALS_DIRECTORY": directory}, Path(directory))


@settings(deadline=None)
@given(lines=st.lists(st.tuples(st.sampled_from(sorted(VARIABLES)), TEXTS), max_size=5))
def test_any_assignments_in_files(lines: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        toml = "\n".join(f"{field} = {text}" for field, text in lines)
        (Path(directory) / "agent.toml").write_text(toml, errors="replace")
        env = "\n".join(f"{field.upper()}={text}" for field, text in lines)
        (Path(directory) / ".env").write_text(env, errors="replace")
        _attempt({}, Path(directory))
