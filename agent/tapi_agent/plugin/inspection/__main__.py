"""The child process: ``python -m tapi_agent.plugin.inspection TARGET DESCRIPTOR``. Speaks in JSON lines.

A line is a finding, or says what is begun, so that whoever waits for it can say what never ended.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from tapi_agent.plugin.discovery import discover
from tapi_agent.plugin.inspection import loading, registrations, source
from tapi_agent.plugin.inspection.target import locate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tapi_agent.plugin.inspection.finding import Finding
    from tapi_agent.plugin.inspection.loading import Loaded
    from tapi_agent.plugin.inspection.target import Target


class _Report:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def begin(self, action: str) -> None:
        self._write({"begun": action})

    def add(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self._write({"finding": asdict(finding)})

    def _write(self, line: dict[str, object]) -> None:
        os.write(self._descriptor, json.dumps(line).encode() + b"\n")


def _run(name: str, report: _Report) -> None:
    report.begin("reading it")
    target = locate(name)
    report.add(target.findings)
    for file in target.sources():
        report.add(source.read(file))
    sys.path[:0] = [str(root) for root in target.roots]
    ours = _loaded(target, report)
    others = _installed(target, report)
    report.begin("examining it")
    report.add(loading.conflicts(ours, others))
    for one in ours:
        report.add(registrations.examine(one, others))


def _loaded(target: Target, report: _Report) -> list[Loaded]:
    found = []
    for plugin in target.plugins:
        report.begin(f"loading {plugin.entry_point.value}")
        loaded, findings = loading.load(plugin, target.roots)
        report.add(findings)
        found += [loaded] if loaded else []
    return found


def _installed(target: Target, report: _Report) -> list[Loaded]:
    """The others that are here; what is wrong with one of those is for its own author to hear."""
    distributions = {plugin.distribution for plugin in target.plugins}
    found = []
    for plugin in discover():
        if plugin.distribution not in distributions:
            report.begin(f"loading {plugin.name}, which is installed")
            loaded, _ = loading.load(plugin, ())
            found += [loaded] if loaded else []
    return found


if __name__ == "__main__":
    _run(sys.argv[1], report := _Report(int(sys.argv[2])))
    report.begin("")
    os._exit(0)  # whatever threads the plugin has started
