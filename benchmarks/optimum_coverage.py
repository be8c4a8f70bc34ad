"""How often intervals of the best size hold the truth, 10 and 100 times beyond the data, and how wide they are against a bootstrap's.

    python benchmarks/optimum_coverage.py [TRUTHS]

Truths as in benchmarks/next_runs.py; 60 runs each from 1e18 to 1e20 FLOP, 5 to 80 tokens a param, Student-t scatter (4 degrees of freedom)
of 0.7 %. The bootstrap resamples the runs and fits each resample by soft-L1 least squares of ln loss, started at the truth (which flatters
it). The fits have the law's own priors, which know less than how truths are drawn here, and then priors that are how they are drawn. All
intervals are then widened about their centre by one factor, the same for all truths, until they cover as many as the first.
"""

import sys
import time

import numpy as np
from scipy.optimize import brentq, least_squares
from simulation import chinchilla_priors, chinchilla_truths

import bayes_scaling as bs
from bayes_scaling import optimum

LAW = bs.get_law("chinchilla")
RUNS, TOP, SCATTER, RESAMPLES = 60, 1e20, 0.007, 100
NAMES: tuple[str, ...] = ("E", "A_ref", "B_ref", "alpha", "beta")


def simulated(truth: dict[str, np.ndarray], rng: np.random.Generator) -> bs.Runs:
    compute, ratio = 10 ** rng.uniform(18, 20, RUNS), 10 ** rng.uniform(np.log10(5), np.log10(80), RUNS)
    params = np.sqrt(compute / 6 / ratio)
    loss = LAW.predict({"params": params, "tokens": compute / 6 / params}, truth) * np.exp(SCATTER * rng.standard_t(4, size=RUNS))
    return bs.runs_from_columns({"params": params, "tokens": compute / 6 / params, "loss": loss})


def resampled(runs: bs.Runs, truth: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Parameters of fits to resamples, each of shape (resample,)."""
    start = np.log([float(truth[name]) for name in NAMES])
    found = []
    for _ in range(RESAMPLES):
        rows = rng.integers(len(runs), size=len(runs))
        u, v = np.log(runs["params"][rows] / LAW.terms[0].reference), np.log(runs["tokens"][rows] / LAW.terms[1].reference)
        measured = np.log(runs["loss"][rows])

        def left(x: np.ndarray, u: np.ndarray = u, v: np.ndarray = v, measured: np.ndarray = measured) -> np.ndarray:
            E, A, B, alpha, beta = np.exp(x)
            return (np.log(E + A * np.exp(-alpha * u) + B * np.exp(-beta * v)) - measured) / SCATTER

        found.append(np.exp(least_squares(left, start, loss="soft_l1", bounds=(start - 4, start + 4)).x))
    values: dict[str, np.ndarray] = dict(zip(NAMES, np.array(found).T, strict=True))
    return {name: np.asarray(value) for name, value in LAW.complete(values).items()}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    rng = np.random.default_rng(11)
    truths = chinchilla_truths(count, rng)
    tables = [simulated(truth, rng) for truth in truths]
    found: dict[str, list[dict[str, np.ndarray]]] = {}
    for name, priors in (("law's own priors", None), ("truths' priors", chinchilla_priors())):
        start = time.time()
        fits = dict(bs.fit_many("chinchilla", tables, draws=500, priors=priors))
        found[f"posterior, {name}"] = [fits[i].parameters() for i in range(count)]
        trusted = sum(fits[i].diagnosis.ok for i in range(count))
        print(f"{count} truths, {RUNS} runs each: fits with the {name} {time.time() - start:.0f} s ({trusted} trustworthy)", flush=True)
    start = time.time()
    found["bootstrap"] = [resampled(table, truth, rng) for table, truth in zip(tables, truths, strict=True)]
    print(f"bootstrap {time.time() - start:.0f} s")
    problem = optimum.problem_of(LAW)
    print(f"{'compute':12}{'intervals of the':32}{'cover':>16}{'width':>8}{"at the first's coverage":>24}")
    for factor in (10, 100):
        compute = factor * TOP
        best = np.log([float(optimum.best_plan(problem, truth, compute).params) for truth in truths])
        wanted = None
        for name, draws in found.items():
            sizes = [np.log(optimum.best_plan(problem, one, compute).params) for one in draws]
            low, high = np.array([np.quantile(one, [0.05, 0.95]) for one in sizes]).T
            centre, half = (low + high) / 2, (high - low) / 2
            covered = np.mean(np.abs(best - centre) <= half)
            wanted = covered if wanted is None else wanted

            def shortfall(widened: float, centre=centre, half=half, best=best, wanted=wanted) -> float:
                return float(np.mean(np.abs(best - centre) <= widened * half) - wanted + 1e-9)

            widened = float(np.asarray(brentq(shortfall, 0.2, 10)))
            error, width = np.sqrt(covered * (1 - covered) / count), np.median(2 * half)
            print(f"{factor:>3} x data  {name:32}{covered:>9.3f} +-{error:.3f}{width:>8.3f}{width * widened:>24.3f}")
    print("width: of the 90 % interval of ln(best params), median over the truths")


if __name__ == "__main__":
    main()
