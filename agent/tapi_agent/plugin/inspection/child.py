"""The inspection from outside: in a process of its own, since a plugin may hang, exit or crash when it is loaded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from datetime import timedelta
from typing import IO

from tapi_agent.plugin.inspection.finding import Finding, Level, error

_PATIENCE = timedelta(seconds=30)


def inspect(target: str, *, patience: timedelta = _PATIENCE) -> list[Finding]:
    """The findings on a project's folder or an installed plugin, errors first. Installs nothing; runs its code.

    A plugin that does not come to an end within ``patience``, or takes its process with it, is a finding.
    """
    with tempfile.TemporaryFile() as report:
        ended = _run(target, report, patience)
        report.seek(0)
        lines = [json.loads(line) for line in report if line.endswith(b"\n")]
    findings = [
        Finding(**one["finding"] | {"level": Level(one["finding"]["level"])}) for one in lines if "finding" in one
    ]
    begun = next((one["begun"] for one in reversed(lines) if "begun" in one), "starting")
    if begun:
        findings.append(error(target, f"{begun} {ended}", "leave out at import and registration what can wait or exit"))
    return sorted(findings, key=lambda finding: list(Level).index(finding.level))


def _run(target: str, report: IO[bytes], patience: timedelta) -> str:
    """How the child ended, in words, for when it was not at the end of its work."""
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        # Without the current directory on the path, and without leaving bytecode in the author's project.
        [sys.executable, "-P", "-B", "-m", __package__, target, str(report.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[report.fileno()],
        start_new_session=True,
    )
    try:
        return _ending(process.wait(patience.total_seconds()))
    except subprocess.TimeoutExpired:
        return f"did not end within {patience.total_seconds():g} s"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _ending(code: int) -> str:
    return f"ended the process with exit code {code}" if code >= 0 else f"ended by {signal.Signals(-code).name}"
