"""The goals of speed beside what is measured, in one table.

    python benchmarks/goals.py SHARED_DATA

Wall times of a machine that does nothing else. What is missed is said with what limits it. The comparison with nutpie needs
``pip install -e '.[peers]'``.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import extrapolation
import numpy as np
from peers import TOOLS, Found
from speed import cold_and_next

import bayes_scaling as bs
from bayes_scaling.engine.convergence import statistics
from bayes_scaling.fitting import versions
from bayes_scaling.reading import read_groups

_MEMORY = """
import resource, sys
import bayes_scaling as bs
from bayes_scaling.bench import bench
bench(chains=(), data_sets=(int(sys.argv[1]),), sizes=(), draws=250, limit=1e9)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9)
"""


_FEW: dict[str, Any] = {"chains": (4,), "data_sets": (), "sizes": ()}  # what `bayes_scaling.bench` has to measure for a gradient


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="goals of speed, and what is measured")
    parser.add_argument("data", type=Path, metavar="SHARED_DATA")
    parser.add_argument("--curves", type=int, default=10, metavar="N", help="curves that are fitted under the broken law (10)")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, jax {versions()['jax']}")
    print(f"{'what':58}{'goal':>14}{'measured':>14}")
    single(options.data)
    curves(options.data, options.curves)
    many()


def row(what: str, goal: str, measured: str, met: bool, limit: str = "") -> None:
    """Print a row; of a goal that is missed, what stands in the way."""
    print(f"{what:58}{goal:>14}{measured:>14}{'' if met else '   missed' + (f': {limit}' if limit else '')}", flush=True)


def single(data: Path) -> None:
    """One fit: cold, in a later process, and warm beside two peers."""
    path = data / "chinchilla_epoch.csv"
    cold, following = cold_and_next(str(path))
    row("fit on a new machine, nothing cached", "10 s", f"{cold:.1f} s", cold <= 10, "tracing and compiling the sampler")
    row("the same in a later process", "3 s", f"{following:.1f} s", following <= 3, "starting Python, jax and numpyro takes most of it")
    runs = bs.read_runs(path, where="kept_in_besiroglu_fit == 1")
    seconds, ess = warm("bayes-scaling", runs)
    row("second fit in one process, 4 x 1000 draws", "0.3 s", f"{seconds:.2f} s", seconds <= 0.3, of_gradients(bs.bench(runs=runs, **_FEW)))
    row("its smallest bulk ESS", "2000", f"{ess:.0f}", ess >= 2000)
    for name, goal in (("PyMC + nutpie", 50), ("numpyro MCMC.run", 100)):
        if importlib.util.find_spec(TOOLS[name][1]) is None:
            print(f"{f'its ESS/s over that of {name}, warm':58}{goal:>14}{'not installed':>14}")
            continue
        theirs, of_theirs = warm(name, runs)
        ratio = ess / seconds / (of_theirs / theirs)
        numbers = f"{theirs:.1f} s for {of_theirs:.0f} effective draws, against {seconds:.2f} s for {ess:.0f}"
        row(f"its ESS/s over that of {name}, warm", f"{goal}", f"{ratio:.0f}", ratio >= goal, numbers)


def of_gradients(found: bs.Bench) -> str:
    """Say how much of a fit's time is the gradients of the law, compiled by themselves."""
    alone, within = found.gradient_us["cpu"], found.driver_us["cpu"]
    return f"gradients alone take {alone / within:.0%} of it ({alone:.0f} of {within:.0f} us a gradient of four chains)"


def warm(name: str, runs: bs.Runs) -> tuple[float, float]:
    """Return the median of seconds and of ESS over three answers after a first."""
    tool, times, sizes = TOOLS[name][0], [], []
    for seed in (1, 2, 3, 4):
        begin = time.perf_counter()
        found = tool(runs, seed)
        times.append(time.perf_counter() - begin)
        sizes.append(_ess(found))
    return float(np.median(times[1:])), float(np.median(sizes[1:]))


def _ess(found: Found) -> float:
    assert found.chains is not None
    return float(statistics(np.stack(list(found.chains.values()), axis=-1))["ess_bulk"].min())


def curves(folder: Path, count: int) -> None:
    """Real curves: under the broken law, some of them; and all by the model that averages over laws."""
    groups = read_groups(folder / "extrapolation_curves.csv", ["curve"], where="split == 'context'", map={"loss": "y"}, drop_invalid=True)
    usable = [runs for runs in groups.values() if isinstance(runs, bs.Runs)]
    chosen = usable[:: max(1, len(usable) // count)][:count]
    options: dict[str, Any] = {"input": "x", "method": "importance", "errors": "return"}
    list(bs.fit_many("bnsl", chosen[:1], **options))  # compiles
    begin = time.perf_counter()
    fits = [found for _, found in bs.fit_many("bnsl", chosen, **options) if isinstance(found, bs.Fit)]
    spent = (time.perf_counter() - begin) / len(chosen)
    good = sum(found.diagnosis.converged for found in fits)
    row("a real curve under bnsl", "0.2 s", f"{spent:.1f} s", spent <= 0.2, "posteriors of several modes, walked until walkers agree")
    row("    of them converged", "all", f"{good} of {len(chosen)}", good == len(chosen), "contexts of 6 to 10 points are the hard ones")
    cases = extrapolation.read(folder)
    forecasts, seconds = extrapolation.forecasts(cases, ["generic"] * len(cases))
    row(f"a curve by bs.extrapolate, {len(cases)} curves", "0.2 s", f"{seconds:.2f} s", seconds <= 0.2)
    good = sum(each.ok for each in forecasts)
    row("    of them converged", "98 %", f"{good / len(cases):.1%}", good >= 0.98 * len(cases))


def many() -> None:
    """Many data sets, their memory, and many runs."""
    found = bs.bench(chains=(), data_sets=(4, 1000), sizes=(1_000, 10_000, 100_000), draws=250, limit=1e9)
    times = {(point.axis, point.size): point.seconds or np.nan for point in found.points}
    thousand = times["data sets", 1000]
    row(
        "1000 simulated data sets x 4 chains x 250 draws",
        "60 s",
        f"{thousand:.0f} s",
        thousand <= 60,
        f"on one core; {of_gradients(found)}",
    )
    slope = np.log10(times["runs", 100_000] / times["runs", 10_000])
    row("growth of time with runs, 1e4 to 1e5 (exponent)", "1", f"{slope:.2f}", slope <= 1.1)
    few, more = (_memory(count) for count in (100, 400))
    row("memory of 400 data sets over that of 100", "bounded", f"{more / few:.2f}", more / few < 1.5)


def _memory(count: int) -> float:
    done = subprocess.run([sys.executable, "-c", _MEMORY, str(count)], stdout=subprocess.PIPE, check=True)
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    main()
