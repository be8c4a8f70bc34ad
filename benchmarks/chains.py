"""Many chains from far apart against few about the modes: every law on its data, 32 chains that begin at points of the prior.

python benchmarks/chains.py SHARED_DATA [--law NAME ...] [--chains N]

The runs are those of the re-fits, simulated ones where none are public. A row a law: R-hat and effective draws of the 4 chains of a fit as
it comes and of the 32, how much wider the starts of the latter are than the posterior (median over coordinates of standard deviations),
and the largest difference of 5 %, 50 % and 95 % quantiles over all parameters, in Monte-Carlo standard errors. Chains that forgot where
they began and found every mode differ by chance only: of some thirty quantiles one by 4 with a probability below 0.2 %.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import jax
from agreement import apart, laws_with_runs
from refits import all_refits

import bayes_scaling as bs

FAR = 4.0  # standard errors
FEW = 4


def laws() -> list[str]:
    """Return the names of all laws, and of the variants that real runs are behind."""
    return sorted({*bs.law_names(), *(refit.law for refit in all_refits())})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="SHARED_DATA")
    parser.add_argument("--law", action="append", default=[], metavar="NAME")
    parser.add_argument("--chains", type=int, default=32, metavar="N")
    parser.add_argument("--draws", type=int, default=500, metavar="N")
    options = parser.parse_args()
    print(f"{'':35}{f'{FEW} chains':>24}{f'{options.chains} chains':>26}")
    columns = f"{'R-hat':>7} {'ESS':>6}  {'by':9}{'R-hat':>8} {'ESS':>7}  {'by':9}{'difference':>11}  {'at':22}{'seconds':>8}"
    print(f"{'law':28}{'runs':>7}{columns}")
    alike, good = 0, 0
    for name, runs, how in laws_with_runs(options.folder, options.law or laws()):
        start = time.perf_counter()
        try:
            few = bs.fit(name, runs, **how)
            many = bs.fit(name, runs, **{**how, "chains": options.chains, "draws": options.draws, "seed": 1, "starts": "prior"})
        except bs.InputError as error:
            print(f"{name:28}{error}", flush=True)
            continue
        far, where = apart(few.parameters(), many.parameters())
        converged = few.diagnosis.converged and many.diagnosis.converged
        good, alike = good + converged, alike + (converged and far < FAR)
        cells = [
            f"{fit.diagnosis.max_rhat:.3f} {fit.diagnosis.min_ess:>{6 + wider}.0f}  {fit.attributes['method']:9}"
            for wider, fit in enumerate((few, many))
        ]
        said = "" if converged else "not converged" if far < FAR else "not converged, and apart"
        took = time.perf_counter() - start
        print(f"{name:28}{len(runs):>7}{cells[0]:>24}{cells[1]:>26}{far:>11.1f}  {where:22}{took:>8.0f}  {said}".rstrip(), flush=True)
        jax.clear_caches()
    print(f"both converged for {good} laws, and agree within {FAR:g} standard errors for {alike} of these")


if __name__ == "__main__":
    main()
