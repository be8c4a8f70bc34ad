"""Draws by importance, or by the ensemble that it hands over to, against NUTS, over all laws: the same posterior, at what cost.

python benchmarks/importance.py SHARED_DATA [--law NAME ...] [--draws N]

Each law is fitted by both to the real runs behind it (or simulated ones, where none are public). ``apart`` is the largest difference
between medians, 5 % and 95 % quantiles of all parameters, in standard errors: over a law's some 30 quantiles, about 3 is chance.
Seconds are of a second fit with another seed, all programs compiled.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from agreement import apart, laws_with_runs

import bayes_scaling as bs


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="importance against NUTS")
    parser.add_argument("data", type=Path, metavar="SHARED_DATA")
    parser.add_argument("--law", action="append", metavar="NAME", help="only these laws; by default all")
    parser.add_argument("--draws", type=int, default=4000, help="kept draws a chain that are compared")
    options = parser.parse_args()
    print(f"{'law':30}{'runs':>6}{'size':>6}  {'drawn by':12}{'Pareto k':>9}{'apart':>7}{'seconds':>9}{'NUTS':>8}{'ratio':>7}  converged")
    ratios, total = [], 0
    for name, runs, arguments in laws_with_runs(options.data, options.law):
        total += 1
        fits, seconds = {}, {}
        for method in ("importance", "nuts"):
            fits[method] = bs.fit(name, runs, method=method, **{"draws": options.draws, **arguments})
            bs.fit(name, runs, method=method, seed=1, **arguments)
            start = time.perf_counter()
            bs.fit(name, runs, method=method, seed=2, **arguments)
            seconds[method] = time.perf_counter() - start
        first, other = fits.values()
        drawn = first.attributes["method"]
        ratio = seconds["nuts"] / seconds["importance"]
        if drawn != "nuts":
            ratios.append(ratio)
        k = np.nan if first.diagnosis.pareto_k is None else first.diagnosis.pareto_k
        distance, _ = apart(*({key: values.values for key, values in fit.posterior.data_vars.items()} for fit in (first, other)))
        told = f"{drawn:12}{k:9.2f}{distance:7.2f}{seconds['importance']:9.2f}{seconds['nuts']:8.2f}{ratio:7.1f}"
        print(f"{name:30}{len(runs):6}{len(first.posterior.data_vars):6}  {told}  {other.diagnosis.converged}", flush=True)
    if ratios:
        print(f"{len(ratios)} of {total} drawn without trajectories: NUTS takes {np.median(ratios):.1f} times as long there (median)")


if __name__ == "__main__":
    main()
