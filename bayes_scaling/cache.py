"""The user's cache folder, and files in it that no crash, second process or stray byte can turn into a wrong answer."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from bayes_scaling.files import write_atomically


def cache_folder() -> Path:
    """Return the cache folder: ``BAYES_SCALING_CACHE`` if set, else the platform's cache folder for this user."""
    named = os.environ.get("BAYES_SCALING_CACHE")
    if named:
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_cache_dir("bayes-scaling"))


def store(key: str, content: bytes) -> None:
    """Keep content under a key, behind its checksum. A cache that cannot be written is no error: the work is done again next time."""
    try:
        write_atomically(cache_folder() / "programs" / key, hashlib.sha256(content).digest() + content, private=True)
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
