"""How far long work is: loops say so to whoever watches, and to nobody by default.

The command line watches on a terminal; a program of your own may, with `watched`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Bar(Protocol):
    """What a watcher shows of one loop: ``update`` after each step, ``close`` at its end."""

    def update(self) -> object:
        """Count a step."""
        ...

    def close(self) -> object:
        """End."""
        ...


Watcher = Callable[[str, int], Bar]
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


def follow[T](steps: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Yield steps one by one; whoever watches is told what they are and how many of how many are done.

    Only the outermost loop is shown: one within it is a part of its step.
    """
    watcher = _watcher.get()
    if watcher is None or total < 2:
        yield from steps
        return
    bar = watcher(what, total)
    _watcher.set(None)
    try:
        for step in steps:
            yield step
            bar.update()
    finally:
        _watcher.set(watcher)
        bar.close()


@contextmanager
def watched(watcher: Watcher) -> Generator[None]:
    """Let a function open a `Bar` for each loop: ``watcher(what, total)``."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)
