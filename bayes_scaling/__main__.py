"""``python -m bayes_scaling`` is the command ``bayes-scaling``."""

import sys


def run() -> int:
    """Run the command; also while it is still being loaded, an interruption is one line."""
    try:
        from bayes_scaling.cli import main

        return main()
    except KeyboardInterrupt:
        print("bayes-scaling: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(run())
