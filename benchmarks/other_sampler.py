"""The engine against numpyro's own MCMC.run, on the same model and runs, for every law and its variants.

python benchmarks/other_sampler.py [--runs N] [LAW ...]

Runs are simulated from a draw of the law's priors. A row a law: the largest difference of posterior medians, 5 % and 95 % quantiles over
the sampled parameters in Monte-Carlo standard errors (of so many, one above 4 has a probability below 0.2 %), and whether each converged
(R-hat below 1.01 of every parameter, no divergence among the engine's draws). Where MCMC.run did not, as without a search for modes and
whitening happens, the difference says nothing, and the row says so.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from agreement import apart
from peers import mcmc_run

import bayes_scaling as bs
from bayes_scaling.calibration import simulate_runs
from bayes_scaling.engine.convergence import statistics
from bayes_scaling.model import Settings, model_priors
from bayes_scaling.noise import noise_of

FAR = 4.0  # standard errors
RHAT = 1.01


def compared(name: str, runs: int) -> dict[str, Any]:
    """Return how the two agree on a law."""
    law = bs.get_law(name)
    noise = noise_of(law)
    priors = model_priors(law, noise, Settings())
    _, (data,), _ = simulate_runs(law, noise, priors, 1, runs, 1)
    start = time.perf_counter()
    fit = bs.fit(law, data, input=law.input_names[0] if law.alternatives else None)
    middle = time.perf_counter()
    names = [item.name for item in (*law.parameters, *noise.parameters)]
    sites = mcmc_run(law, noise, fit.runs, seed=5, warmup=2000, draws=2000, target_accept_prob=0.95)
    theirs = {key: values for key, values in sites.items() if key in names}
    end = time.perf_counter()
    ours = {key: fit.parameters()[key] for key in theirs}
    found: dict[str, Any] = {"seconds": (middle - start, end - middle), "engine": fit.diagnosis.converged}
    found["mcmc"] = bool(np.all(statistics(np.stack(list(theirs.values()), axis=-1))["rhat"] < RHAT))
    found["far"], found["where"] = apart(ours, theirs)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("laws", nargs="*", metavar="LAW")
    parser.add_argument("--runs", type=int, default=60, metavar="N")
    options = parser.parse_args()
    rows = []
    print(f"{'law':26}{'difference':>20}  {'at':20}  {'engine':10}{'MCMC.run':14}{'seconds':>14}")
    every = [name + variant for name in bs.law_names() for variant in ("", *(f":{each}" for each in bs.get_law(name).variants))]
    for name in options.laws or every:
        try:
            row = compared(name, options.runs)
        except bs.InputError as error:
            print(f"{name:26}{error}", flush=True)
            continue
        rows.append(row)
        words = {True: "converged", False: "no"}
        took = " and ".join(f"{part:.0f}" for part in row["seconds"])
        marks = f"{words[row['engine']]:10}{words[row['mcmc']]:14}{took:>14}"
        print(f"{name:26}{row['far']:>20.1f}  {row['where']:20}{marks}", flush=True)
    both = [row for row in rows if row["engine"] and row["mcmc"]]
    agree = sum(row["far"] < FAR for row in both)
    print(f"{len(rows)} laws; both converged for {len(both)}, and agree within {FAR:g} standard errors for {agree} of these")


if __name__ == "__main__":
    main()
