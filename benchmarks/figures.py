"""Draw every kind of figure, from the built-in data set, into benchmarks/figures.

python benchmarks/figures.py [--format png|svg|pdf] [--out FOLDER]

The figure of ranks is drawn by benchmarks/calibration.py; those of every law on real runs by benchmarks/laws.py.
"""

import argparse
from pathlib import Path

import bayes_scaling as bs

FOLDER = Path(__file__).resolve().parent / "figures"
BUDGET = 1e14  # FLOP: a bit more than a decade beyond the largest run of the ladder


def draw(folder: Path, suffix: str) -> list[Path]:
    """Fit the runs under a law of size and data and under one of compute, draw all that there is to draw, and return the files."""
    runs = bs.read_runs("ladder")
    fit = bs.fit("chinchilla", runs, seed=0)
    print(fit)
    written = bs.plot.save_figures(fit, folder, compute=[BUDGET], format=suffix)
    of_compute = bs.fit("power_law_floor", runs, input="compute", seed=0)
    others = {
        "allocation_few": bs.plot.allocation(bs.allocate(fit, [1e13, BUDGET, 1e15]))[0],
        "curve": bs.plot.curve(of_compute),
        "design": bs.plot.design(fit, bs.plan(fit, target_compute=1e15, budget=1e13)),
        "published": bs.plot.published(fit.law),
    }
    for name, ax in others.items():
        bs.plot.save_figure(ax, folder / f"{name}.{suffix}")
        written.append(folder / f"{name}.{suffix}")
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw every kind of figure, from the built-in data set.")
    parser.add_argument("--format", default="png", choices=("png", "svg", "pdf"))
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args()
    for path in draw(options.out, options.format):
        print(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path.name)
