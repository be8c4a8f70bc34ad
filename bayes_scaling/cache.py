"""The user's cache folder, and files in it that no crash, second process, stray byte or other user can turn into a wrong answer.

Compiled programs are code. What another user could have put there is not read: a folder is used if it is the user's own and nobody else may
write it, and a file if it is the user's own and holds, under its own key, what was written.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from bayes_scaling.files import write_atomically

_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def cache_folder() -> Path:
    """Return the cache folder: ``BAYES_SCALING_CACHE`` if set, else the platform's cache folder for this user."""
    named = os.environ.get("BAYES_SCALING_CACHE")
    if named:
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_cache_dir("bayes-scaling"))


def private_folder(name: str) -> Path | None:
    """Return a folder of the cache that nobody else can write, made if need be; None if there can be none."""
    parent, folder = cache_folder(), cache_folder() / name
    try:
        for each in (parent, folder):
            if not each.exists():
                each.mkdir(mode=0o700, parents=True, exist_ok=True)  # whatever the umask lets others do elsewhere
        above, here = os.stat(parent), os.lstat(folder)
    except (OSError, ValueError):
        return None
    # Whoever may write the folder above could put another in our folder's place, unless it is sticky as /tmp is.
    safe = _trusted(above) or bool(above.st_mode & stat.S_ISVTX)
    return folder if safe and stat.S_ISDIR(here.st_mode) and _trusted(here) else None


def _trusted(found: os.stat_result) -> bool:
    """Whether a file or folder is the user's (or root's, who can do anything), and nobody else may write it."""
    if not hasattr(os, "getuid"):  # Windows: the user's folders are the user's
        return True
    return found.st_uid in (os.getuid(), 0) and not found.st_mode & _OTHERS


def store(key: str, content: bytes) -> None:
    """Keep content under a key, behind its checksum. A cache that cannot be written is no error: the work is done again next time."""
    folder = private_folder("programs")
    if folder is None:
        return
    try:
        write_atomically(folder / key, _checksum(key, content) + content, private=True)
    except OSError:
        return


def load(key: str) -> bytes | None:
    """Return what is kept under a key, or None if there is nothing, or it is not what was written, or not written by this user."""
    folder = private_folder("programs")
    if folder is None:
        return None
    try:
        with open(folder / key, "rb") as file:
            if not _trusted(os.fstat(file.fileno())):  # of what is open: no other file can take its place now
                return None
            stored = file.read()
    except OSError:
        return None
    checksum, content = stored[:32], stored[32:]
    return content if _checksum(key, content) == checksum else None


def _checksum(key: str, content: bytes) -> bytes:
    """The key is part of it: a sound program under another's name is refused."""
    return hashlib.sha256(key.encode() + b"\0" + content).digest()


def remember_law(digest: str) -> None:
    """Remember that this user has named, and so run, the law file with this sha256."""
    if not known_law(digest):
        store(f"law-{digest}", b"")


def known_law(digest: str) -> bool:
    """Whether this user has named the law file with this sha256 before."""
    return load(f"law-{digest}") is not None
