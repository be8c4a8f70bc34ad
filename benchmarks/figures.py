"""Draw the README's figures from the built-in data set into benchmarks/figures.

python benchmarks/figures.py
"""

from pathlib import Path

import bayes_scaling as bs

FOLDER = Path(__file__).resolve().parent / "figures"
BUDGET = 1e14  # FLOP: a bit more than a decade beyond the largest run of the ladder

if __name__ == "__main__":
    fit = bs.fit("chinchilla", bs.read_runs("ladder"), seed=0)
    print(fit)
    for path in bs.plot.save_figures(fit, FOLDER, compute=[BUDGET]):
        print(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path.name)
