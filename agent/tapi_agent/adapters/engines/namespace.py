"""A program of its own, run by path: execute a command in a user namespace where our uid has a passwd entry.

PostgreSQL's initdb refuses to work for a uid without one (``docker run --user 12345``). Inside the namespace the uid is
called like any ordinary entry of /etc/passwd; outside, files and rights stay those of the real uid. No privilege is
needed where the kernel allows user namespaces. Standard library only: it runs isolated from the agent's packages.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys
from pathlib import Path
from typing import Final

_CLONE_NEWUSER: Final = 0x10000000


def enter() -> None:
    """Move this process into a new user namespace under the first ordinary user's name; raises ``OSError``."""
    uid, gid = os.geteuid(), os.getegid()
    borrowed = next(entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != 0)
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{borrowed} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def main() -> None:
    """Replace this program by the command in its arguments, or say why that cannot be."""
    uid = os.geteuid()
    try:
        enter()
    except OSError as error:
        sys.exit(
            f"uid {uid} has no passwd entry, which PostgreSQL's initdb needs, and user namespaces are not allowed here"
            f" ({error.strerror}): give the uid an entry in /etc/passwd, or set POSTGRES_HOST"
        )
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main()
