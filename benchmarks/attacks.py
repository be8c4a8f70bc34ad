"""Bad input to every command, and what came of it: a table of (what is wrong, exit code, message).

``python benchmarks/attacks.py [WORD ...]`` runs the cases of ``tests/bad_data.py`` and ``tests/bad_commands.py``, each in a new folder, and
marks those that did not end as they should: another exit code or message, a traceback, more than one line, an input changed, a file left.
Words pick the cases that they are part of.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import bad_input
import conftest
from bad_commands import OF_COMMANDS
from bad_data import OF_DATA

import bayes_scaling as bs


def main(words: list[str]) -> int:
    """Print the table; return how many cases went wrong."""
    cases = [(kind, case) for kind, case in [*OF_DATA, *OF_COMMANDS] if all(word in f"{kind} {case.about}" for word in words)]
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fits = {"FIT": folder / "fit.nc", "GROUPED": folder / "grouped.nc"}
        bs.fit("chinchilla", conftest.simulated_runs(), draws=500).save(fits["FIT"])
        bad_input.grouped_fit().save(fits["GROUPED"])
        bad_input.FORGED.update(fits)
        seconds = 0.0
        for number, (kind, case) in enumerate(cases):
            found = bad_input.observe(case, folder / str(number), fits)
            seconds += found.seconds
            bad += bool(found.wrong)
            said = " ".join(found.err.split()).removeprefix("bayes-scaling: error: ") if case.code else "accepted"
            print(f"{'WRONG' if found.wrong else 'ok':6}{found.code:>2}  {kind:11}{case.about:52}{said[:160]}")
            for what in found.wrong:
                print(f"{'':10}{what}")
    print(f"{len(cases)} cases in {seconds:.0f} s, {bad} not as they should be")
    return bad


if __name__ == "__main__":
    raise SystemExit(min(main(sys.argv[1:]), 1))
