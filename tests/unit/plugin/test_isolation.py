"""A plugin's own thread, and a whole process with a plugin that never returns."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import timedelta
from threading import Event, current_thread, main_thread
from typing import TYPE_CHECKING, Any

import pytest

from tapi_agent.plugin.isolation import Outcome, OwnThread

if TYPE_CHECKING:
    from collections.abc import Iterator

    Site = Any

SOON = timedelta(milliseconds=100)
LONG = timedelta(seconds=30)


@pytest.fixture
def thread() -> Iterator[OwnThread]:
    own = OwnThread("test")
    own.start()
    yield own
    own.stop()


def test_a_call_is_made_on_the_own_thread_and_gives_its_value(thread: OwnThread) -> None:
    outcome = thread.call(current_thread, limit=LONG)
    assert outcome.value.name == "plugin-test"
    assert outcome.value.daemon
    assert outcome.value is not main_thread()
    assert thread.call(current_thread, limit=LONG).value is outcome.value


@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), TimeoutError()]
)
def test_whatever_is_raised_is_an_outcome(thread: OwnThread, error: BaseException) -> None:
    def raises() -> None:
        raise error

    outcome = thread.call(raises, limit=LONG)
    assert (outcome.value, outcome.hung) == (None, False)
    assert outcome.error == f"{type(error).__name__}: {error}"
    assert "in raises" in (outcome.traceback or "")
    assert thread.call(lambda: "goes on", limit=LONG).value == "goes on"


def test_an_error_is_put_into_words_on_the_plugins_thread_and_in_one_line(thread: OwnThread) -> None:
    class SpeechlessError(Exception):
        def __str__(self) -> str:
            raise ValueError

    def raises(error: Exception) -> None:
        raise error

    assert thread.call(lambda: raises(SpeechlessError()), limit=LONG).error == "SpeechlessError: (it has no text)"
    assert thread.call(lambda: raises(OSError("two\n lines")), limit=LONG).error == "OSError: two lines"


def test_a_call_that_does_not_return_is_left_behind(thread: OwnThread) -> None:
    release = Event()
    assert thread.call(release.wait, limit=SOON) == Outcome(hung=True)
    release.set()
    assert thread.call(lambda: "later", limit=LONG).value == "later"


async def test_the_event_loop_goes_on_meanwhile(thread: OwnThread) -> None:
    release = Event()
    call = asyncio.create_task(thread.call_async(release.wait, limit=LONG))
    await asyncio.sleep(0)
    release.set()
    assert (await call).value is True


def test_an_answer_after_the_loop_has_gone_hurts_nobody(thread: OwnThread) -> None:
    release = Event()

    async def hang() -> Outcome:
        return await thread.call_async(release.wait, limit=SOON)

    assert asyncio.run(hang()) == Outcome(hung=True)
    release.set()
    assert thread.call(lambda: "alive", limit=LONG).value == "alive"


async def test_a_call_that_was_given_up_before_its_turn_is_not_made(thread: OwnThread) -> None:
    release, made = Event(), []
    first = asyncio.create_task(thread.call_async(release.wait, limit=LONG))
    second = asyncio.create_task(thread.call_async(lambda: made.append(1), limit=LONG))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    release.set()
    await first
    assert thread.call(lambda: list(made), limit=LONG).value == []


def test_a_stopped_thread_finishes_what_it_was_given(thread: OwnThread) -> None:
    own = thread.call(current_thread, limit=LONG).value
    thread.stop()
    own.join(30)
    assert not own.is_alive()


PROCESS = """
import asyncio, json, sys
from datetime import timedelta
from tapi_agent.plugin.host import PluginHost
host = PluginHost(timeout=timedelta(seconds=0.2), load_timeout=timedelta(seconds=0.2))
declarations = host.load()
asyncio.run(host.health())
print(json.dumps({
    "enabled": {report.name: report.enabled for report in host.report()},
    "features": "analytics.heatmap" in declarations.catalog.features,
    "loaded": sorted(name for name in sys.modules if name.startswith("plugin_under_test_")),
}))
"""


@pytest.mark.parametrize("where", ["at import", "in a hook"])
def test_a_hung_plugin_does_not_keep_the_process_alive(site: Site, where: str) -> None:
    hang = "from threading import Event\nEvent().wait()"
    in_hook = "from threading import Event\n@hookimpl\ndef health_checks(): Event().wait()"
    site.install("bad-things", bad=hang if where == "at import" else in_hook)
    done = subprocess.run(
        [sys.executable, "-c", PROCESS],
        env={"PYTHONPATH": str(site.folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["enabled"]["base-catalog"], said["enabled"]["bad"], said["features"]) == (True, False, True)


def test_a_plugin_that_is_left_out_is_never_imported_into_the_process(site: Site) -> None:
    site.install("bad-things", bad="import os; os._exit(9)")
    code = PROCESS.replace("PluginHost(", "PluginHost(disabled=['bad'], ")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(site.folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"loaded": []' in done.stdout.splitlines()[-1]
