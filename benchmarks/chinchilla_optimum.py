"""What the noise model does to the Chinchilla optimum: posteriors, intervals and the published replication, on one table.

    python benchmarks/chinchilla_optimum.py ../shared/data/chinchilla_epoch.csv [--decision]

Prints, for the 240 runs of Besiroglu et al. 2024 (and all 245 under Student-t), medians with 90 % intervals, convergence, and the
compute-optimal params at Gopher's budget of 5.76e23 FLOP; then the maximum of the Laplace likelihood beside the published values. With
``--decision`` also the plan at that budget with its regret and the sizes within 1 % of it, how it moves with noise, priors and rows, and
the runs worth doing next at 1 % of the budget.
"""

import sys

import numpy as np

import bayes_scaling as bs
from bayes_scaling.answer_text import allocation_text, design_text, robustness_text

GOPHER = 5.76e23  # FLOP


def interval(values: np.ndarray, scale: float = 1.0, digits: int = 3) -> str:
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95]) / scale
    return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def main() -> None:
    path = next((text for text in sys.argv[1:] if not text.startswith("--")), "chinchilla")
    everything = bs.read_runs(path)
    # Their rule: the five highest losses are left out.
    kept = everything.subset(everything["loss"] < np.sort(everything["loss"])[-5])
    print(f"{'noise':12}{'runs':>5}  {'E':22}{'alpha':22}{'beta':22}{'best params (1e9)':22}{'R-hat':>7}{'ESS':>6}{'div.':>5}")
    rows = [(noise, kept) for noise in ("student-t", "normal-log", "normal", "laplace")] + [("student-t", everything)]
    for noise, runs in rows:
        fit = bs.fit("chinchilla", runs, noise=noise)
        draws, d = fit.parameters(), fit.diagnosis
        best = np.asarray(bs.allocate(fit, GOPHER)["params"])
        cells = [interval(draws[name]) for name in ("E", "alpha", "beta")] + [interval(best, 1e9, 1)]
        print(f"{noise:12}{len(runs):>5}  {''.join(f'{cell:22}' for cell in cells)}{d.max_rhat:>7.3f}{d.min_ess:>6.0f}{d.divergences:>5}")
    found = bs.maximum_likelihood("chinchilla", kept, noise="laplace").parameters
    published = bs.get_law("chinchilla").published["besiroglu"].values
    print("\nmaximum of the Laplace likelihood, and Besiroglu et al. 2024:")
    for name, value in published.items():
        print(f"  {name:6}{found[name]:>12.5g}{value:>12.5g}")
    if "--decision" in sys.argv:
        fit = bs.fit("chinchilla", kept)
        for text in (
            allocation_text(bs.allocate(fit, GOPHER)),
            robustness_text(bs.robustness(fit, GOPHER), GOPHER, fit.law),
            design_text(bs.plan(fit, GOPHER, 0.01 * GOPHER)),
        ):
            print(f"\n{text}")


if __name__ == "__main__":
    main()
