"""bayes-scaling beside its peers on one table of runs: seconds, effective draws a second, and whether intervals hold the truth.

    pip install -e '.[peers]' && python benchmarks/side_by_side.py SHARED_DATA

Each tool has a process of its own. ``cold`` is from its start, imports and compiling included, to the answer for the 240 Chinchilla runs;
``warm`` the median of its second and third answer, to other seeds. ESS is the smallest bulk ESS over the sampled parameters, R-hat the
largest. Then every tool is given the same simulated data sets (the published replication's law at the inputs of those runs, Student-t
scatter), and ``holds`` is the share of its 90 % intervals that hold the truth, for alpha and the best size at Gopher's budget;
``width`` is the median width of the latter in natural logarithms. A tool that is not installed is said to be missing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

WHERE = "kept_in_besiroglu_fit == 1"
SCATTER, DEGREES = 0.004, 4.0  # about those of the runs themselves


def main() -> None:
    """Run every tool, and print the table."""
    parser = argparse.ArgumentParser(description="bayes-scaling beside its peers")
    parser.add_argument("data", type=Path, metavar="SHARED_DATA")
    parser.add_argument("--sets", type=int, default=20, metavar="N", help="simulated data sets (20)")
    parser.add_argument("--tool", action="append", metavar="NAME", help="this one only; may be repeated")
    parser.add_argument("--one", metavar="NAME", help=argparse.SUPPRESS)  # the child's side
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(options.one, options.data / "chinchilla_epoch.csv", options.sets)))
        return
    from peers import TOOLS

    print(f"{os.cpu_count()} cores; {options.sets} simulated data sets")
    head = f"{'':22}{'cold s':>8}{'warm s':>8}{'ESS':>8}{'ESS/s':>9}{'R-hat':>7}{'alpha':>8}{'best params / 1e9':>22}"
    print(f"{head}{'holds a':>9}{'holds N':>8}{'width':>7}")
    for name in options.tool or TOOLS:
        if importlib.util.find_spec(TOOLS[name][1]) is None:
            print(f"{name:22}   not installed here (module {TOOLS[name][1]})")
            continue
        cold, told = _child(name, options)
        print(_row(name, cold, told), flush=True)


def _child(name: str, options: argparse.Namespace) -> tuple[float, dict[str, Any]]:
    """Return seconds to the first answer, of a process with an empty cache, and what it measured."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, __file__, str(options.data), "--one", name, "--sets", str(options.sets)]
        begin = time.time()
        done = subprocess.run(command, env={**os.environ, "BAYES_SCALING_CACHE": cache}, stdout=subprocess.PIPE, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    return told["first_at"] - begin, told


def _row(name: str, cold: float, told: dict[str, Any]) -> str:
    rate = f"{told['ess'] / told['warm']:>9.0f}" if told["ess"] is not None else f"{'-':>9}"
    ess, rhat = (f"{told['ess']:>8.0f}", f"{told['rhat']:>7.3f}") if told["ess"] is not None else (f"{'-':>8}", f"{'-':>7}")
    low, middle, high = told["optimum"]
    best = f"{middle / 1e9:.1f}" + (f" [{low / 1e9:.1f}, {high / 1e9:.1f}]" if high > low else "")
    held = f"{told['alpha_held']:>9.2f}{told['optimum_held']:>8.2f}{told['width']:>7.2f}" if high > low else f"{'no interval':>24}"
    return f"{name:22}{cold:>8.1f}{told['warm']:>8.2f}{ess}{rate}{rhat}{told['alpha']:>8.4f}{best:>22}{held}"


def measured(name: str, path: Path, sets: int) -> dict[str, Any]:
    """Return what one tool does, in this process."""
    from peers import TOOLS

    import bayes_scaling as bs

    tool = TOOLS[name][0]
    runs = bs.read_runs(path, where=WHERE)
    found = tool(runs, 1)
    first_at = time.time()
    seconds, ess, rhat = [], [], []
    for seed in (2, 3):
        begin = time.perf_counter()
        found = tool(runs, seed)
        seconds.append(time.perf_counter() - begin)
        if found.chains is not None:
            from bayes_scaling.engine.convergence import statistics

            told = statistics(np.stack(list(found.chains.values()), axis=-1))
            ess.append(float(told["ess_bulk"].min()))
            rhat.append(float(told["rhat"].max()))
    truth, data = _simulated(runs, sets)
    best = _optimum(truth)
    alphas, optima, widths = [], [], []
    for place, simulated in enumerate(data if len(found.optimum) > 1 else []):  # a point holds nothing
        own = tool(simulated, 10 + place)
        low, high = np.quantile(own.optimum, [0.05, 0.95])
        alphas.append(_holds(own.draws["alpha"], truth["alpha"]))
        optima.append(_holds(own.optimum, best))
        widths.append(float(np.log(high / low)))
    return {
        "first_at": first_at,
        "warm": float(np.median(seconds)),
        "ess": float(np.median(ess)) if ess else None,
        "rhat": max(rhat) if rhat else None,
        "alpha": float(np.median(found.draws["alpha"])),
        "optimum": np.quantile(found.optimum, [0.05, 0.5, 0.95]).tolist(),
        "alpha_held": float(np.mean(alphas)) if alphas else None,
        "optimum_held": float(np.mean(optima)) if optima else None,
        "width": float(np.median(widths)) if widths else None,
    }


def _holds(draws: np.ndarray, truth: float) -> bool:
    low, high = np.quantile(draws, [0.05, 0.95])
    return bool(low <= truth <= high)


def _simulated(runs: Any, sets: int) -> tuple[dict[str, float], list[Any]]:
    """Return the law's coefficients, and data sets simulated from it at the inputs of the runs."""
    import bayes_scaling as bs

    law = bs.get_law("chinchilla")
    truth = dict(law.published["besiroglu"].values)
    inputs = {name: runs[name] for name in ("params", "tokens")}
    curve = np.asarray(law.predict(inputs, truth))
    rng = np.random.default_rng(0)
    scatter = [SCATTER * rng.standard_t(DEGREES, len(runs)) for _ in range(sets)]
    return truth, [bs.runs_from_columns({**inputs, "loss": curve * np.exp(part)}) for part in scatter]


def _optimum(truth: dict[str, float]) -> float:
    from peers import Found

    return float(Found({name: np.asarray(value) for name, value in truth.items()}).optimum[0])


if __name__ == "__main__":
    main()
