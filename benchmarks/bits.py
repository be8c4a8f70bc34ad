"""32 bits against 64 over all laws: the same posterior, or which law needs 64.

python benchmarks/bits.py SHARED_DATA [--law NAME ...]

Each law is fitted twice to the real runs behind it (or simulated ones, where none are public). ``apart`` is the largest difference between
medians, 5 % and 95 % quantiles of all parameters, in standard errors: over a law's some 30 quantiles, about 3 is chance.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from agreement import apart, laws_with_runs

import bayes_scaling as bs


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="32 bits against 64")
    parser.add_argument("data", type=Path, metavar="SHARED_DATA")
    parser.add_argument("--law", action="append", metavar="NAME", help="only these laws; by default all")
    options = parser.parse_args()
    print(f"{'law':30}{'runs':>6}{'apart':>7}  {'in':14}{'sampling s, 64':>15}{'32':>8}  converged, 64 and 32")
    for name, runs, arguments in laws_with_runs(options.data, options.law):
        try:
            fits = [bs.fit(name, runs, precision=bits, **arguments) for bits in (64, 32)]
        except bs.InputError as error:  # runs that 32 bits cannot hold
            print(f"{name:30}{len(runs):6}  {error}", flush=True)
            continue
        first, other = ({str(key): values.values for key, values in fit.posterior.data_vars.items()} for fit in fits)
        distance, where = apart(first, other)
        seconds = [fit.attributes["timing"]["sample_s"] for fit in fits]
        good = " ".join("yes" if fit.diagnosis.converged else "NO" for fit in fits)
        print(f"{name:30}{len(runs):6}{distance:7.2f}  {where:14}{seconds[0]:15.2f}{seconds[1]:8.2f}  {good}", flush=True)


if __name__ == "__main__":
    main()
