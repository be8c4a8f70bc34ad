"""Files that appear whole or not at all, and what may be read or written before any work is done."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from bayes_scaling.errors import FileError, brief

PART = ".part-"  # what a file's name begins with while it is written
_KEPT = 40  # letters of its name that the part's has: a name may be as long as the system allows


def require_readable(path: str | Path, what: str = "a file") -> Path:
    """Return the path of a regular file that is there, for reading.

    A FIFO or a device would never end, or wait for ever.

    Raises
    ------
    FileError
        If there is none, or it is something else; the message ends with what to give.
    """
    if os.path.isdir(path):
        raise FileError(f"'{brief(path)}' is a folder; give the path of {what}")
    if not os.path.exists(path):
        raise FileError(f"no file '{brief(path)}'")
    if not os.path.isfile(path):
        raise FileError(f"'{brief(path)}' is not a regular file; give the path of {what}")
    return Path(path)


def require_writable(path: str | Path, read: Iterable[str | Path | None] = ()) -> Path:
    """Return the path of a file that can be written: to be asked before work is done whose result would be lost.

    Parameters
    ----------
    read : files that the work reads, which must not be written over

    Raises
    ------
    FileError
        If its folder is not there or cannot be written, or it is a folder, a device or one of the files that are read.
    """
    path = Path(path)
    folder = path.parent
    try:
        there = stat.S_IFMT(os.stat(path).st_mode)
    except FileNotFoundError:
        there = None
    except (OSError, ValueError) as error:
        raise FileError(f"cannot write '{brief(path)}': {getattr(error, 'strerror', None) or error}") from None
    if there == stat.S_IFDIR:
        raise FileError(f"'{path}' is a folder; give the path of a file to write")
    if there is not None and there != stat.S_IFREG:
        raise FileError(f"'{path}' is not a regular file; give the path of a file to write")
    if not folder.is_dir():
        raise FileError(f"no folder '{folder}' to write '{path.name}' into")
    try:  # what may be written says less: the disk may be full or read-only
        with tempfile.NamedTemporaryFile(dir=folder, prefix=PART) as trial:
            trial.write(b"\0")
            trial.flush()
    except OSError as error:
        raise FileError(f"cannot write '{path}' into '{folder}': {error.strerror or error}") from None
    for other in read:
        if there is not None and other is not None and os.path.exists(other) and os.path.samefile(path, other):
            raise FileError(f"'{path}' is a file that is read; give another name to write")
    return path


def write_atomically(path: Path, content: bytes | memoryview, *, private: bool = False, durable: bool = False) -> None:
    """Write a file so that readers see the old content or the new one, never a part. The folder is made if needed.

    Of a link, the file that it points to is written. What is no regular file (a device, a FIFO) is not replaced by one.

    Parameters
    ----------
    private : only the user can read it; otherwise, whoever may read the user's new files
    durable : when this returns, no loss of power can undo it
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise FileError(f"'{path}' is not a regular file; give the path of a file to write")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{PART}{path.name[:_KEPT]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if not private:
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if durable and hasattr(os, "O_DIRECTORY"):  # the rename, too, where folders can be flushed
        handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_result(path: Path, content: bytes) -> None:
    """Write what a user asked for, whole or not at all.

    Raises
    ------
    FileError
        If it cannot be written, and why.
    """
    try:
        write_atomically(path, content)
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"cannot write '{path}': {error.strerror or error}") from None
