"""All points of training curves, or one point a run: how often 90 % intervals of a forecast hold the truth, and how wide they are.

``python benchmarks/training_curves.py`` simulates runs of several sizes, each measured along the way, whose points err together; fits the
Chinchilla law to their last points, to all points with noise that knows that, and to all points as if they were independent; and forecasts
the loss two decades of compute further.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas

import bayes_scaling as bs
from bayes_scaling.progress import follow

LAW = bs.get_law("chinchilla")
TRUTH = LAW.published["besiroglu"].values
FLUCTUATION, OFFSET, MEMORY = 0.005, 0.01, 0.4
AT = {"params": [1e11], "tokens": [1e12]}


def simulated(seed: int, runs: int, points: int) -> pandas.DataFrame:
    """Return a table of points of training curves."""
    rng = np.random.default_rng(seed)
    params = np.repeat(np.geomspace(1e8, 1e10, runs), points)
    ends = np.geomspace(1e8, 1e10, runs) * 10 ** rng.uniform(0.5, 2.0, runs)  # 3 to 100 tokens a param
    tokens = np.concatenate([np.geomspace(end / 30, end, points) for end in ends])
    run = np.repeat(np.arange(runs), points)
    apart = np.abs(np.log(tokens)[:, None] - np.log(tokens))
    together = (run[:, None] == run) * (OFFSET**2 + FLUCTUATION**2 * np.exp(-apart / MEMORY))
    curve = LAW.predict({"params": params, "tokens": tokens}, TRUTH)
    residual = rng.multivariate_normal(np.zeros(len(run)), together)
    return pandas.DataFrame({"run": run, "params": params, "tokens": tokens, "loss": curve * np.exp(residual)})


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="all points of training curves against one point a run")
    parser.add_argument("--sets", type=int, default=100, metavar="N", help="simulated data sets")
    parser.add_argument("--runs", type=int, default=12, metavar="N")
    parser.add_argument("--points", type=int, default=20, metavar="N", help="of each run")
    options = parser.parse_args()
    tables = [simulated(seed, options.runs, options.points) for seed in range(options.sets)]
    truth = LAW.predict(AT, TRUTH).item()
    ways = {
        "the last point of each run": ([bs.read_runs(table, curve={"run": "last"}) for table in tables], "normal-log"),
        "all points, correlated noise": ([bs.read_runs(table, curve={"run": "all"}) for table in tables], "correlated"),
        "all points as if independent": (tables, "normal-log"),
    }
    print(f"{options.sets} data sets of {options.runs} runs with {options.points} points; forecast at 1e11 params, 1e12 tokens")
    print(f"{'fitted to':32}{'converged':>10}{'in 90 %':>16}{'width of the interval':>24}")
    for way, (data, noise) in ways.items():
        held, width, converged = [], [], 0
        for _, fit in follow(bs.fit_many("chinchilla", data, noise=noise, draws=500), way, len(data)):
            low, high = np.quantile(bs.predict(fit, AT)["expected"], (0.05, 0.95))
            held.append(low <= truth <= high)
            width.append(high - low)
            converged += fit.diagnosis.converged
        error = np.sqrt(np.mean(held) * (1 - np.mean(held)) / len(held))
        print(f"{way:32}{converged:>10}{np.mean(held):>9.2f} +- {error:.2f}{np.median(width):>17.3f} nat")


if __name__ == "__main__":
    main()
