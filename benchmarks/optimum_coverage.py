"""How often intervals of the best size hold the truth, 10 and 100 times beyond the data, and how wide they are against a bootstrap's.

    python benchmarks/optimum_coverage.py [TRUTHS]

Truths as in benchmarks/next_runs.py; 60 runs each from 1e18 to 1e20 FLOP, 5 to 80 tokens a param, Student-t scatter (4 degrees of freedom)
of 0.7 %. The bootstrap resamples the runs and fits each resample by soft-L1 least squares of ln loss, started at the truth (which flatters
it). Its intervals are then widened about their centre by one factor, the same for all truths, until they cover as many as the posterior's.
"""

import sys
import time

import numpy as np
from scipy.optimize import brentq, least_squares
from simulation import chinchilla_truths

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
    start = time.time()
    fits = dict(bs.fit_many("chinchilla", tables, draws=500))
    fitted = time.time() - start
    resamples = [resampled(table, truth, rng) for table, truth in zip(tables, truths, strict=True)]
    problem = optimum.problem_of(LAW)
    trusted = sum(fits[i].diagnosis.ok for i in range(count))
    print(f"{count} truths, {RUNS} runs each: fits {fitted:.0f} s ({trusted} trustworthy), bootstrap {time.time() - start - fitted:.0f} s")
    print(f"{'compute':12}{'posterior covers':>18}{'width':>8}{'bootstrap covers':>19}{'width':>8}{'at equal coverage':>20}")
    for factor in (10, 100):
        compute = factor * TOP
        best = np.log([float(optimum.best_plan(problem, truth, compute).params) for truth in truths])
        spans = []
        for draws in ([fits[i].parameters() for i in range(count)], resamples):
            sizes = [np.log(optimum.best_plan(problem, one, compute).params) for one in draws]
            spans.append(np.array([np.quantile(one, [0.05, 0.95]) for one in sizes]))
        (low, high), (low_b, high_b) = spans[0].T, spans[1].T
        covered = np.mean((low <= best) & (best <= high))
        centre, half = (low_b + high_b) / 2, (high_b - low_b) / 2

        def shortfall(widened: float, centre=centre, half=half, best=best, covered=covered) -> float:
            return float(np.mean(np.abs(best - centre) <= widened * half) - covered + 1e-9)

        widened = float(np.asarray(brentq(shortfall, 0.2, 10)))
        plain = np.mean(np.abs(best - centre) <= half)
        error = np.sqrt(covered * (1 - covered) / count)
        print(
            f"{factor:>3} x data  {covered:>11.3f} +-{error:.3f}{np.median(high - low):>8.3f}{plain:>19.3f}{np.median(2 * half):>8.3f}"
            f"{np.median(2 * half) * widened:>20.3f}"
        )
    print("width: of the 90 % interval of ln(best params), median over the truths")


if __name__ == "__main__":
    main()
