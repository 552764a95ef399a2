"""How long a starting agent takes to its first status answer with PostgreSQL, Redis and billing service unreachable.

Beside it, in the same run, the bare floor: the interpreter importing what the agent imports.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tapi_agent.testing.agent import AgentProcess

RUNS = 10
UNREACHABLE = {
    "TENANT_ID": "acme",
    "CAMERA_IDS": ",".join(f"cam-{number:03d}" for number in range(100)),
    "BILLING_SERVICE_URL": "http://127.0.0.1:1/api/v1",
    "BILLING_API_KEY": "none",
    "POSTGRES_HOST": "127.0.0.1",
    "POSTGRES_PORT": "1",
    "REDIS_HOST": "127.0.0.1",
    "REDIS_PORT": "1",
}


def floor() -> float:
    """Seconds to import the agent and end."""
    began = time.perf_counter()
    command = [sys.executable, "-c", "import tapi_agent.cli.main, tapi_agent.daemon"]
    subprocess.run(command, check=True, env={"PATH": os.environ["PATH"]})  # as the agent: nothing of this shell
    return time.perf_counter() - began


def first_answer() -> float:
    """Seconds from starting the process to its first status answer."""
    with tempfile.TemporaryDirectory(prefix="ta-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        agent = AgentProcess(Path(folder) / "agent", UNREACHABLE)
        began = time.perf_counter()
        with agent:
            return time.perf_counter() - began


def main() -> None:
    """Print medians and the worst case."""
    pairs = [(floor(), first_answer()) for _ in range(RUNS)]
    imports, answers = zip(*pairs, strict=True)
    print(f"{RUNS} runs, 100 cameras, load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores")
    print(f"imports alone       median {statistics.median(imports):.2f} s   worst {max(imports):.2f} s")
    print(f"first status answer median {statistics.median(answers):.2f} s   worst {max(answers):.2f} s")


if __name__ == "__main__":
    main()
