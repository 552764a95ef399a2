"""Small files in the state directory.

Evidence, losses, the ballast, the mark of trusted time, the roster, the open license request, the words on features,
how far plugins have been asked for usage, and what is made once and kept.

All are 0600, replaced as a whole and durably (fsync, rename, fsync of the folder), but for the loss ledger, which is
overwritten in place; none of them ever blocks the event loop.
"""

from __future__ import annotations

from tapi_agent.adapters.files.collected import FileCollected
from tapi_agent.adapters.files.disk import StateDisk
from tapi_agent.adapters.files.evidence import FileEvidence
from tapi_agent.adapters.files.losses import FileLosses
from tapi_agent.adapters.files.mark import FileMark
from tapi_agent.adapters.files.once import keep_first
from tapi_agent.adapters.files.overrides import FileOverrides
from tapi_agent.adapters.files.request import FileRequest
from tapi_agent.adapters.files.roster import FileRoster

__all__ = [
    "FileCollected",
    "FileEvidence",
    "FileLosses",
    "FileMark",
    "FileOverrides",
    "FileRequest",
    "FileRoster",
    "StateDisk",
    "keep_first",
]
