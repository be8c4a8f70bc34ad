"""Progress for people: a bar with the time left where steps are known, the time spent where they are not; nothing where no terminal is."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bayes_scaling.progress import watched

_SOON = 1.0  # seconds after which something is shown
_EVERY = 0.5


class Ticker:
    """One line on a terminal that says what is being done and for how long, until something is printed or a bar takes its place."""

    def __init__(self, what: str) -> None:
        self.what, self.begun = what, time.monotonic()
        self.shown, self.silent = False, False
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        delay = _SOON
        while not self.ended.wait(delay):
            delay = _EVERY
            with self.lock:
                if not self.silent:
                    sys.stderr.write(f"\r{self.what} ... {time.monotonic() - self.begun:.0f} s\x1b[K")
                    sys.stderr.flush()
                    self.shown = True

    def say(self, what: str) -> None:
        """Change what is being done."""
        with self.lock:
            self.what = what

    def clear(self, silent: bool = True) -> None:
        """Take the line away, for good or until a bar is closed."""
        with self.lock:
            self.silent = silent
            if self.shown:
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()
                self.shown = False


class _Output:
    """Standard output; what is printed ends the ticker's line first."""

    def __init__(self, inner: Any, ticker: Ticker) -> None:
        self.inner, self.ticker = inner, ticker

    def write(self, text: str) -> int:
        self.ticker.clear()
        return self.inner.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


_current: list[Ticker] = []


@contextmanager
def shown(what: str) -> Iterator[None]:
    """Show people what a command is doing while it runs; where stderr is no terminal, nothing."""
    if not sys.stderr.isatty():
        yield
        return
    ticker, output = Ticker(what), sys.stdout
    _current.append(ticker)
    sys.stdout = _Output(output, ticker)  # pyright: ignore[reportAttributeAccessIssue]
    ticker.thread.start()
    try:
        with watched(lambda what, total: _Bar(ticker, what, total)):
            yield
    finally:
        ticker.ended.set()
        ticker.clear()
        sys.stdout = output
        _current.pop()


def hush() -> None:
    """Take the line away: a bar of its own comes."""
    if _current:
        _current[-1].clear()


def say(what: str) -> None:
    """Tell people what is being done now."""
    if _current:
        _current[-1].say(what)


class _Bar:
    """A bar of tqdm in the ticker's place."""

    def __init__(self, ticker: Ticker, what: str, total: int) -> None:
        from tqdm import tqdm

        ticker.clear()
        self.ticker = ticker
        self.bar = tqdm(desc=what, total=total, leave=False, file=sys.stderr)

    def update(self) -> None:
        self.bar.update()

    def close(self) -> None:
        self.bar.close()
        self.ticker.clear(silent=False)


class Sampling:
    """A bar of the sampler's iterations; it reports once a chunk of them."""

    def __enter__(self) -> Callable[[int, int], None] | None:
        self.bar: Any = None
        return self.report if sys.stderr.isatty() else None

    def report(self, done: int, planned: int) -> None:
        if self.bar is None:
            from tqdm import tqdm

            hush()
            self.bar = tqdm(desc="sampling", unit=" iterations", leave=False, file=sys.stderr)
        if done < self.bar.n:  # a further attempt begins
            self.bar.reset()
            self.bar.set_description("sampling again, more carefully")
        self.bar.total = planned
        self.bar.update(done - self.bar.n)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
            if _current:
                _current[-1].clear(silent=False)
