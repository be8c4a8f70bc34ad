"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

PART = ".part-"  # what a file's name begins with while it is written


def write_atomically(path: Path, content: bytes | memoryview, *, private: bool = False, durable: bool = False) -> None:
    """Write a file so that readers see the old content or the new one, never a part. The folder is made if needed.

    Parameters
    ----------
    private : only the user can read it; otherwise, whoever may read the user's new files
    durable : when this returns, no loss of power can undo it
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{PART}{path.name}.")
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
