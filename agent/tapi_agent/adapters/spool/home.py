"""Where a spool file belongs: the box and the place on its disk. Anywhere else it is a copy (ADR 0080)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tapi_agent.domain.binding import compare

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tapi_agent.domain.ids import DeviceId


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Whose spool it is: ``marks`` are those of the machine's parts, by name (``domain.binding``)."""

    device_id: DeviceId
    marks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A box, and the file's number on its disk: a restored or copied file has another one."""

    box: Box
    inode: int

    def text(self) -> str:
        """As the file keeps it."""
        return json.dumps({"device_id": self.box.device_id, "marks": dict(self.box.marks), "inode": self.inode})

    def is_that_of(self, text: str) -> bool:
        """Whether a file that keeps ``text`` is at home here; one changed part is no other machine."""
        known = json.loads(text)
        same_place = (known["device_id"], known["inode"]) == (self.box.device_id, self.inode)
        return same_place and compare(known["marks"], self.box.marks).same_machine
