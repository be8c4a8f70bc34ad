"""Time from runs to posterior, against numpyro's MCMC.run on the same model, in one run on one machine.

    python benchmarks/speed.py

Trust the ratios, not the seconds. ESS is the smallest bulk ESS over the sampled parameters; 4 chains x 1000 draws each. The last lines are
why `bs.fit_many` works at data sets one by one on a CPU.
"""

import os
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
from peers import mcmc_run

import bayes_scaling as bs
from bayes_scaling import engine
from bayes_scaling.engine.convergence import statistics
from bayes_scaling.fitting import build_density
from bayes_scaling.model import Settings


def cold_and_next(data: str) -> tuple[float, float]:
    """Return wall seconds of `bayes-scaling fit` with an empty cache, and of the next process."""
    with tempfile.TemporaryDirectory() as cache:
        seconds = []
        for _ in range(2):
            begin = time.perf_counter()
            command = [sys.executable, "-m", "bayes_scaling", "fit", data, "--law", "chinchilla", "--json"]
            subprocess.run(command, env={**os.environ, "BAYES_SCALING_CACHE": cache}, stdout=subprocess.DEVNULL, check=True)
            seconds.append(time.perf_counter() - begin)
    return seconds[0], seconds[1]


def smallest_ess(sites: dict[str, np.ndarray], names: tuple[str, ...]) -> float:
    return float(statistics(np.stack([sites[name] for name in names], axis=-1))["ess_bulk"].min())


def seconds_side_by_side(fit: bs.Fit, lanes: int, sets: int = 16) -> float:
    """Return seconds a data set of copies of the fit's runs with other scatter, so many of them side by side in one program on the CPU."""
    columns = {name: np.tile(values, (sets, 1)) for name, values in fit.runs.model_columns(fit.noise.columns(fit.law), ()).items()}
    columns["loss"] = columns["loss"] * np.exp(0.01 * np.random.default_rng(0).normal(size=columns["loss"].shape))
    weight, cpu = np.ones_like(columns["loss"]), jax.devices("cpu")[0]
    with jax.enable_x64(True), jax.default_device(cpu):
        one = {name: values[0] for name, values in columns.items()}
        density = build_density(fit.law, fit.noise, Settings(), one, weight[0])
        first = {name: np.asarray(values)[0, 0] for name, values in fit.posterior.data_vars.items()}
        start = np.asarray(density.unconstrain(first, one, weight[0]))
        starts = np.tile(start, (sets, 2, 1))
        for _ in range(2):  # the first compiles
            begin = time.perf_counter()
            engine.sample_many(density, columns, weight, starts, cpu, draws=1000, lanes=lanes)
        return (time.perf_counter() - begin) / sets


def main() -> None:
    data = sys.argv[1] if len(sys.argv) > 1 else "ladder"
    runs = bs.read_runs(data)
    cold, following = cold_and_next(data)
    print(f"{len(runs)} runs of {runs.source}, {jax.devices()[0].device_kind}, {os.cpu_count()} cores")
    print(f"first process, nothing cached   {cold:8.2f} s wall")
    print(f"next process                    {following:8.2f} s wall")

    fit = bs.fit("chinchilla", runs)
    names = tuple(name for name in (*fit.law.parameter_names, *fit.noise.parameter_names))
    rates = []
    for seed in (1, 2, 3):
        begin = time.perf_counter()
        fit = bs.fit("chinchilla", runs, seed=seed)
        seconds = time.perf_counter() - begin
        rates.append(smallest_ess(fit.parameters(), names) / seconds)
        steps = float(fit.stats["n_steps"].mean())
        print(f"further fit in one process      {seconds:8.2f} s   ESS/s {rates[-1]:8.0f}   leapfrogs a draw {steps:.1f}")

    theirs = []
    for seed in (1, 2):
        begin = time.perf_counter()
        sites = mcmc_run(fit.law, fit.noise, runs, seed=seed, warmup=500, draws=1000)
        seconds = time.perf_counter() - begin
        theirs.append(smallest_ess(sites, names) / seconds)
        print(f"numpyro MCMC.run, dense mass    {seconds:8.2f} s   ESS/s {theirs[-1]:8.0f}   (call {seed})")
    print(f"ratio of ESS/s, further fit over second MCMC.run: {np.median(rates) / theirs[-1]:.0f}")
    for lanes in (1, 2, 4, 8):
        print(f"{lanes} data sets side by side on the CPU   {seconds_side_by_side(fit, lanes):.3f} s a data set")


if __name__ == "__main__":
    main()
