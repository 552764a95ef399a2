"""Python's collector of cyclic garbage, for a process that lives for months and makes thousands of objects a second.

By default it looks at all that ever survived each time some hundred objects more do: at the load of a busy box a third
of the time, and pauses that callers feel. Called by ``daemon`` for a process of its own, when everything is imported.
"""

from __future__ import annotations

import gc
from typing import Final

_YOUNG: Final = 50_000
"""Objects between two looks at the young ones; in a request's worth of them there is next to no garbage in cycles."""


def spare() -> None:
    """Leave alone what is there now, and look for garbage less often."""
    gc.freeze()
    gc.set_threshold(_YOUNG)
