"""Whether anybody can still write to a file. Standard library only and one file: an SSH host runs this same text."""

from __future__ import annotations

import errno
import fcntl
import signal


def has_writer(descriptor: int) -> bool:
    """Return whether any process has the file open for writing, be it through a shared mapping alone.

    The kernel grants a read lease only while nobody has; it is given back at once, so that nobody waits for us. Its
    signal, by default deadly, is made a harmless one first. False where the file system or the system has no leases.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False
