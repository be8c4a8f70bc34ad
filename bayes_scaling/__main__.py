"""``python -m bayes_scaling`` is the command ``bayes-scaling``."""

import _thread
import sys
import threading
from typing import Any

_SOON = 0.05  # seconds


def run() -> int:
    """Run the command; also while it is still being loaded, an interruption is one line."""
    sys.unraisablehook = interrupt_again
    try:
        from bayes_scaling.cli import main

        return main()
    except KeyboardInterrupt:
        print("bayes-scaling: interrupted", file=sys.stderr)
        return 130


def interrupt_again(dropped: Any) -> None:
    """Repeat an interruption that comes where Python drops every exception, as within what jax has the garbage collector call."""
    if dropped.exc_type is KeyboardInterrupt:
        again = threading.Timer(_SOON, _thread.interrupt_main)
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(dropped)


if __name__ == "__main__":
    raise SystemExit(run())
