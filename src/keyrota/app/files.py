"""
Files as keyrota reads and writes them: regular files, within a bound, and nobody else's file through a link.

A folder may belong to several people. A link that waits under the name of a file that keyrota is about to write would
lead the write to another file; a device or a pipe under the name of a file would be read without end.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from keyrota.errors import UsageError

_OWN_ONLY = 0o600
_CHUNK = 1 << 20


class Unreadable(Exception):
    """
    A file cannot be read, or is not one; `what` says why, without a word of its content.

    What still holds: nothing was read that anyone will see.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(what)


def read_bounded(path: Path, at_most: int, *, follows_links: bool = True, only_own: bool = False) -> bytes:
    """
    Read a regular file.

    Args:
        path: The file.
        at_most: In bytes; a larger file is refused.
        follows_links: False where the file must not be a link.
        only_own: True where nobody else may have written it.

    Raises:
        FileNotFoundError: There is none.
        Unreadable: It is a folder, a device, a pipe or a socket, it is too large, it cannot be opened, or others may
            write it.
    """
    # Without O_NONBLOCK, opening a pipe that nobody writes to waits for ever (open(2)).
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0)
    flags |= 0 if follows_links else getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = os.open(path, flags)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Unreadable(f"it is {_kind(status.st_mode)}, not a regular file")
            if only_own and not is_own(status):
                raise Unreadable("others may have written it")
            with open(descriptor, "rb", closefd=False) as file:  # a descriptor, not a path
                data = file.read(at_most + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unreadable(f"it cannot be read: {error.strerror}") from None
    if len(data) > at_most:
        raise Unreadable(f"it is larger than {at_most // 2**20} MiB" if at_most >= _CHUNK else "it is too large")
    return data


def is_own(status: os.stat_result) -> bool:
    """Say whether a file is this user's and nobody else may write it; always where a system knows no owners."""
    user = getattr(os, "geteuid", lambda: status.st_uid)()
    return status.st_uid == user and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((name for test, name in kinds if test(mode)), "a device")


def create(path: Path, data: bytes) -> None:
    """
    Write a new file that only its owner can read; a link of that name is not followed.

    Raises:
        FileExistsError: There is one.
        OSError: It cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags, _OWN_ONLY), "wb") as file:  # noqa: PTH123  # a descriptor, not a path
        file.write(data)


def replace(path: Path, data: bytes) -> None:
    """
    Write a file at once, wholly or not at all; a link of that name is replaced, and what it leads to stays as it is.

    Raises:
        UsageError: A folder, a device or a pipe has that name.
        OSError: It cannot be written.
    """
    if not is_replaceable(path):
        raise UsageError(f"{path} is not a regular file", remedy="choose another name")
    descriptor, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # exclusive, mode 0600
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123  # a descriptor, not a path
            file.write(data)
        Path(unfinished).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(unfinished).unlink()
        raise


def is_replaceable(path: Path) -> bool:
    """Say whether nothing of that name is there, or a regular file, or a link."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return True
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)
