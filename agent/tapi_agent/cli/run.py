"""tapi-agent run: the daemon in the foreground, as systemd starts it."""

from __future__ import annotations


def run() -> None:
    """Run the agent in the foreground until SIGTERM or Ctrl-C."""
    from tapi_agent.daemon import run as run_daemon  # noqa: PLC0415 - tapi-agent --help must not load the daemon

    run_daemon()
