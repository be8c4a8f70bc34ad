"""The user's cache folder, and files in it that no crash, second process or stray byte can turn into a wrong answer."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """Return the cache folder: ``BAYES_SCALING_CACHE`` if set, else the platform's cache folder for this user."""
    named = os.environ.get("BAYES_SCALING_CACHE")
    if named:
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_cache_dir("bayes-scaling"))


def write_atomically(path: Path, content: bytes, *, private: bool = True) -> None:
    """Write a file so that readers see the old content or the new one, never a part. The folder is made if needed.

    Only the user can read it, unless it is not ``private``: then whoever may read the user's other files.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        if not private:
            make_readable(temporary)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def make_readable(path: str | Path) -> None:
    """Give a file the permissions that the user's new files have."""
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(path, 0o666 & ~mask)


def store(key: str, content: bytes) -> None:
    """Keep content under a key, behind its checksum. A cache that cannot be written is no error: the work is done again next time."""
    try:
        write_atomically(cache_folder() / "programs" / key, hashlib.sha256(content).digest() + content)
    except OSError:
        return


def load(key: str) -> bytes | None:
    """Return what is kept under a key, or None if there is nothing, or it is not what was written."""
    try:
        stored = (cache_folder() / "programs" / key).read_bytes()
    except OSError:
        return None
    digest, content = stored[:32], stored[32:]
    return content if hashlib.sha256(content).digest() == digest else None
