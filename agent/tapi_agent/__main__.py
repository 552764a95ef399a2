"""``python -m tapi_agent`` is the command ``tapi-agent``."""

from __future__ import annotations

from tapi_agent.cli.main import main

if __name__ == "__main__":
    main()
