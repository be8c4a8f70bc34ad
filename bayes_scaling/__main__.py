"""``python -m bayes_scaling`` is the command ``bayes-scaling``."""

import signal
import sys
import threading
from types import FrameType

_SOON = 0.05  # seconds


def run() -> int:
    """Run the command; also while it is still being loaded, an interruption is one line and exit code 130."""
    interruption = _Interruption()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background ignores it, and so do we
        signal.signal(signal.SIGINT, interruption)
    try:
        from bayes_scaling.cli import main

        return main()
    except KeyboardInterrupt:
        print("bayes-scaling: interrupted", file=sys.stderr)
        return 130
    finally:
        interruption.over.set()
        # CPython keeps the mark that a KeyboardInterrupt went through an exec (dataclasses and namedtuples are made by one), and would end
        # by the signal instead of by our exit code; the next exec removes it.
        exec("")


class _Interruption:
    """A handler of SIGINT that raises KeyboardInterrupt until it has come through.

    Python drops every exception of a callback of the garbage collector (jax has one), of a weak reference or of a ``__del__``; the
    command would go on as if nothing had been asked.
    """

    def __init__(self) -> None:
        self.over = threading.Event()
        self._again: threading.Thread | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._again is None:
            sys.unraisablehook = _say_unless_interrupted
            self._again = threading.Thread(target=self._repeat, args=(threading.get_ident(),), daemon=True)
            self._again.start()
        raise KeyboardInterrupt

    def _repeat(self, main: int) -> None:
        while not self.over.wait(_SOON):
            if not _interrupted(sys._current_exceptions().get(main)):
                if hasattr(signal, "pthread_kill"):
                    signal.pthread_kill(main, signal.SIGINT)  # also wakes it where it waits
                else:  # Windows
                    signal.raise_signal(signal.SIGINT)


def _interrupted(handled: BaseException | None) -> bool:
    """Tell whether an exception that is being handled, as where things are put in order on the way out, comes of an interruption."""
    while handled is not None and not isinstance(handled, KeyboardInterrupt):
        handled = handled.__context__
    return handled is not None


def _say_unless_interrupted(dropped: "sys.UnraisableHookArgs") -> None:
    if not issubclass(dropped.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(dropped)


if __name__ == "__main__":
    raise SystemExit(run())
