"""``plugins check`` against projects that are wrong in every way it knows of."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from tapi_agent.plugin.inspection import Finding, Level, inspect
from tapi_agent.plugin.inspection.source import read
from tapi_agent.plugin.inspection.target import locate

if TYPE_CHECKING:
    from collections.abc import Callable

    Site = Any
    Project = Callable[..., Path]

METADATA = """
    [build-system]
    requires = ["hatchling"]
    build-backend = "hatchling.build"
    [project]
    name = "Care.Home"
    version = "1.0"
    dependencies = ["tapi-agent>=0.1"]
    [project.entry-points.tapi_agent]
    care = "care"
"""
GOOD = """
    from tapi_agent.plugin import Feature, GrowthPack, Meter, hookimpl

    @hookimpl
    def register_features():
        return [Feature(key="analytics.care", meter="care_runs")]

    @hookimpl
    def register_packs():
        return [GrowthPack(slug="care", title="Care", features=frozenset({"analytics.care"}))]

    @hookimpl
    def register_meters():
        return [Meter(key="care_runs", unit="count")]
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    def write(source: str = GOOD, *, metadata: str = METADATA, into: str = "", module: str = "care.py") -> Path:
        folder = tmp_path / "project"
        file = folder / into / module
        file.parent.mkdir(parents=True)
        (folder / "pyproject.toml").write_text(dedent(metadata))
        file.write_text(dedent(source))
        return folder

    return write


def brief(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(finding.level, finding.where, finding.problem) for finding in findings]


PLACES = {
    "beside pyproject.toml": ("", "care.py", ""),
    "in src": ("src", "care.py", ""),
    "a package": ("", "care/__init__.py", ""),
    "where hatchling looks": ("lib", "care/__init__.py", "[tool.hatch.build.targets.wheel]\npackages = ['lib/care']"),
}


@pytest.mark.parametrize(("into", "module", "more"), PLACES.values(), ids=PLACES)
def test_a_good_project_has_no_findings_and_is_left_as_it_was(
    project: Project, monkeypatch: pytest.MonkeyPatch, into: str, module: str, more: str
) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    folder = project(into=into, module=module, metadata=dedent(METADATA) + more)
    before = sorted(folder.rglob("*"))
    assert inspect(str(folder)) == []
    assert sorted(folder.rglob("*")) == before
    assert [file.name for file in locate(str(folder)).sources()] == [Path(module).name]


LACKING = {
    "nothing": (
        "",
        ["no [build-system]", "has no name", "has no version", "does not depend", "no plugin is announced"],
    ),
    "no entry point": (METADATA.replace("tapi_agent]", "other]"), ["no plugin is announced"]),
    "dynamic version": (METADATA.replace('version = "1.0"', 'dynamic = ["version"]'), []),
    "another dependency": (METADATA.replace("tapi-agent>", "tapi-agents>"), ["does not depend"]),
    "extras": (METADATA.replace("tapi-agent>=0.1", "tapi_agent[embedded]"), []),
    "rubbish": ("project = 3\ntool = []", ["no [build-system]", "no name", "no version", "depend", "announced"]),
    "dependencies are no list": (METADATA.replace('["tapi-agent>=0.1"]', "3"), ["does not depend"]),
    "entry point is no module": (METADATA.replace('"care"', '"my care!"'), ["'my care!', which is no module"]),
    "no TOML": ("= =", ["it cannot be read: "]),
}


@pytest.mark.parametrize(("metadata", "problems"), LACKING.values(), ids=LACKING)
def test_what_the_metadata_lacks(project: Project, metadata: str, problems: list[str]) -> None:
    findings = locate(str(project(metadata=metadata))).findings
    assert len(findings) == len(problems)
    assert all(problem in finding.problem for problem, finding in zip(problems, findings, strict=True))


def test_a_folder_without_a_project(tmp_path: Path) -> None:
    assert brief(inspect(str(tmp_path))) == [(Level.ERROR, str(tmp_path), "there is no pyproject.toml")]


def test_neither_a_folder_nor_installed() -> None:
    (finding,) = inspect("no-such-plugin")
    assert (finding.level, finding.where) == (Level.ERROR, "no-such-plugin")
    assert "tapi-agent plugins list" in finding.fix


@pytest.mark.parametrize("name", ["base-catalog", "tapi_agent"], ids=["a plugin", "a distribution"])
def test_an_installed_one_is_inspected_by_name(name: str) -> None:
    assert [plugin.name for plugin in locate(name).plugins] == ["base-catalog"]
    assert inspect(name) == []


def test_the_source_of_an_installed_one_is_found(site: Site) -> None:
    site.install("good-things", good="")
    assert list(locate("good-things").sources()) == [site.folder / "plugin_under_test_good.py"]


SOURCES = {
    "public": ("from tapi_agent.plugin import Feature, hookimpl", []),
    "all of it": ("from tapi_agent.plugin import *", []),
    "the module": ("import tapi_agent.plugin as api\nfrom tapi_agent import plugin", []),
    "for tests": ("from tapi_agent.testing import Tapi\nimport tapi_agent.testing.wait", []),
    "somebody else's": ("import tapi_agents.domain\nfrom . import tapi_agent\nfrom tapi_agent_x import y", []),
    "domain": ("from tapi_agent.domain.ids import A, B", [("care.py:1", "tapi_agent.domain.ids is the agent's own")]),
    "a submodule": (
        "\nfrom tapi_agent.plugin import host, Meter",
        [("care.py:2", "tapi_agent.plugin.host is the agent's own")],
    ),
    "plainly": ("import os, tapi_agent.api", [("care.py:1", "tapi_agent.api is the agent's own")]),
    "within": ("def f():\n    import tapi_agent", [("care.py:2", "tapi_agent is the agent's own")]),
    "unmarked": ("def usage_sink(): pass", [("care.py:1", "usage_sink is never called")]),
    "marked": ("@hookimpl\ndef usage_sink(): pass", []),
    "no Python": ("def (", []),
}


@pytest.mark.parametrize(("source", "expected"), SOURCES.values(), ids=SOURCES)
def test_what_is_seen_in_the_source(tmp_path: Path, source: str, expected: list[tuple[str, str]]) -> None:
    file = tmp_path / "care.py"
    file.write_text(source)
    assert [(finding.where, finding.problem) for finding in read(file)] == expected


HOOKIMPL = "from tapi_agent.plugin import *\nfrom tapi_agent.plugin import hookimpl\n\n@hookimpl\n"
BAD = {
    "import_fails": ("\n\nimport no_such_thing", "import_fails.py:3", "the module 'no_such_thing'", "install"),
    "exits_politely": ("raise SystemExit(3)", "exits_politely.py:1", "SystemExit: 3", "repair it"),
    "no_hook": ("A = 1", "no_hook", "it implements no hook", "repair it"),
    "misspelt": (f"{HOOKIMPL}def usage_snik(): pass", "misspelt", "did you mean usage_sink?", "docs/hooks.md"),
    "argument": (f"{HOOKIMPL}def usage_recorded(evnt): pass", "argument", "{'evnt'}", "repair it"),
    "malformed": (f"{HOOKIMPL}def register_meters(): return [3]", "malformed", "gave int", "repair it"),
    "bad_key": (
        f"{HOOKIMPL}def register_features(): return [Feature(key='A')]",
        "bad_key.py:5",
        "feature key 'A' does not match",
        "name it category.name",
    ),
    "conflict": (
        f"{HOOKIMPL}def register_meters(): return [Meter(key='api_call', unit='bytes')]",
        "conflict",
        "meter api_call is already declared by base-catalog in calls, not bytes",
        "repair it",
    ),
    "quota": (
        f"{HOOKIMPL}def register_quotas(): return [QuotaRule(meter='gone', limit=1)]",
        "quota",
        "a quota limits the unknown meter 'gone'",
        "declare it in register_meters",
    ),
    "job": (
        f"{HOOKIMPL}def register_jobs(): return [Job(name='Sweep it', every=1, run=print)]",
        "job",
        "register_jobs()[0].every gave int",
        "repair it",
    ),
}
FATAL = {
    "exits at once": ("import os\nos._exit(0)", "loading care ended the process with exit code 0", "leave out"),
    "is killed": ("import os\nos.kill(os.getpid(), 9)", "loading care ended by SIGKILL", "leave out"),
    "leaves a thread": (
        HOOKIMPL.replace("@", "import threading\nthreading.Thread(target=threading.Event().wait, name='T').start()\n@")
        + "def license_changed(): pass",
        "it leaves the thread T running: the agent could not end",
        "daemon=True",
    ),
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    """On one distribution with every bad plugin."""
    folder = tmp_path_factory.mktemp("bad")
    announced = "".join(f"{name} = '{name}'\n" for name in BAD)
    (folder / "pyproject.toml").write_text(dedent(METADATA).replace('care = "care"\n', announced))
    for name, (source, *_) in BAD.items():
        (folder / f"{name}.py").write_text(source)
    return inspect(str(folder))


@pytest.mark.parametrize("name", BAD)
def test_what_would_keep_it_from_loading(verdicts: list[Finding], name: str) -> None:
    (finding,) = [one for one in verdicts if one.where.partition(".")[0] == name]
    _, where, problem, fix = BAD[name]
    assert (finding.level, finding.where) == (Level.ERROR, where)
    assert problem in finding.problem
    assert fix in finding.fix


def test_nothing_else_is_found_of_those(verdicts: list[Finding]) -> None:
    assert len(verdicts) == len(BAD)


@pytest.mark.parametrize(("source", "problem", "fix"), FATAL.values(), ids=FATAL)
def test_what_takes_the_process_with_it(project: Project, source: str, problem: str, fix: str) -> None:
    (finding,) = inspect(str(project(source)))
    assert (finding.level, finding.problem) == (Level.ERROR, problem)
    assert fix in finding.fix


def test_one_that_hangs_is_given_up_and_leaves_no_process(project: Project, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    folder = project(f"import os, threading\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\nthreading.Event().wait()")
    (finding,) = inspect(str(folder), patience=timedelta(seconds=8))
    assert finding.problem == "loading care did not end within 8 s"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_one_that_is_slow(project: Project) -> None:
    (finding,) = inspect(str(project(f"import threading\nthreading.Event().wait(1.01)\n{dedent(GOOD)}")))
    assert finding.level is Level.WARNING
    assert finding.problem.startswith("importing it takes ")


def test_the_source_of_an_installed_package_is_found(site: Site) -> None:
    site.announce("packaged", "[tapi_agent]\none = packaged.one\nother = nowhere_at_all\n")
    (site.folder / "packaged" / "deep").mkdir(parents=True)
    files = [site.folder / "packaged" / name for name in ("__init__.py", "deep/more.py", "one.py")]
    for file in files:
        file.touch()
    assert list(locate("packaged").sources()) == files


def test_a_module_that_is_not_there(project: Project) -> None:
    folder = project(metadata=METADATA.replace('care = "care"', 'care = "cares"'))
    assert list(locate(str(folder)).sources()) == []
    (finding,) = inspect(str(folder))
    assert finding.problem.startswith("its entry point names the module 'cares', which ")


def test_a_module_that_is_hidden_by_another(project: Project) -> None:
    folder = project(metadata=METADATA.replace('care = "care"', 'care = "tapi_agent.plugin.base_catalog"'))
    (finding, *_) = inspect(str(folder))
    assert finding.problem.startswith("another module has that name: ")


ODD = f"""{HOOKIMPL}def register_features():
    return [
        Feature(key="analytics.unsold"),
        Feature(key="sink.free", min_tier=Tier.BASIC, meter="nobody"),
        Feature(key="sink.metered", min_tier=Tier.BASIC, meter="llm_tokens"),
    ]

@hookimpl
def register_packs():
    return [GrowthPack(slug="empty", title="Empty", features=frozenset())]

@hookimpl
def register_meters():
    return [Meter(key="a", unit="Big Ones"), Meter(key="b", unit="count", every=timedelta(hours=1))]

from datetime import timedelta
"""


def test_what_does_not_fit_together(project: Project) -> None:
    assert sorted(brief(inspect(str(project(ODD))))) == [
        ("error", "sink.free", "its meter nobody is unknown"),
        ("warning", "a", "its unit 'Big Ones' is unlike the others"),
        ("warning", "analytics.unsold", "no pack of this plugin sells it: nobody may ever use it"),
        ("warning", "b", "it has an every, and nobody to ask"),
        ("warning", "empty", "it sells no feature"),
    ]


def test_collecting_without_a_time_to_do_it(project: Project) -> None:
    (finding,) = inspect(str(project(f"{HOOKIMPL}def collect_usage(meter): return []")))
    assert (finding.level, finding.where, finding.problem) == ("warning", "collect_usage", "it is never called")


def test_a_name_that_is_taken(project: Project) -> None:
    folder = project(metadata=METADATA.replace("care = ", "base-catalog = "))
    (finding,) = inspect(str(folder))
    assert (finding.level, finding.where) == (Level.ERROR, "base-catalog")
    assert finding.problem == "the name is taken by the installed distribution tapi-agent"


def test_one_that_would_push_an_installed_one_out(
    site: Site, monkeypatch: pytest.MonkeyPatch, project: Project
) -> None:
    site.install("yak", yak="@hookimpl\ndef register_meters(): return [Meter(key='yaks', unit='count')]")
    site.install("zebra", zebra="@hookimpl\ndef register_meters(): return [Meter(key='care_runs', unit='hours')]")
    site.install("broken", broken="1 / 0")
    site.install("worse", worse="@hookimpl\ndef register_meters(): return [Meter(key='api_call', unit='km')]")
    monkeypatch.setenv("PYTHONPATH", str(site.folder))
    (finding,) = inspect(str(project()))
    assert finding.where == "zebra"
    assert "the installed plugin would be in conflict: meter care_runs is already declared by care" in finding.problem
