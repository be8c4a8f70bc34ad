"""Simulation-based calibration of laws: ranks of the truth among posterior draws, of parameters and of what is decided from them.

python benchmarks/calibration.py [--law NAME ...] [--fits N] [--figures FOLDER]

All laws by default, which takes hours; a table for each, and with --figures its ranks with simultaneous bands.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import bayes_scaling as bs
from bayes_scaling.rank_plot import save_ranks


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--law", action="append", default=[], metavar="NAME")
    parser.add_argument("--fits", type=int, default=200, metavar="N")
    parser.add_argument("--figures", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    for name in options.law or bs.law_names():
        law = bs.get_law(name)
        try:
            found = bs.calibrate(law, fits=options.fits, input=law.input_names[0] if law.alternatives else None)
        except bs.InputError as error:
            print(f"{name}: {error}\n", flush=True)
            continue
        print(f"{found}\n", flush=True)
        if options.figures:
            options.figures.mkdir(parents=True, exist_ok=True)
            save_ranks(found, options.figures / f"calibration_{name.replace(':', '_')}.png")


if __name__ == "__main__":
    main()
