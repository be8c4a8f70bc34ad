"""What the noise model does to the Chinchilla optimum: posteriors, intervals and the published replication, on one table.

    python benchmarks/chinchilla_optimum.py ../shared/data/chinchilla_epoch.csv

Prints, for the 240 runs of Besiroglu et al. 2024 (and all 245 under Student-t), medians with 90 % intervals, convergence, and the
compute-optimal params at Gopher's budget of 5.76e23 FLOP; then the maximum of the Laplace likelihood beside the published values.
"""

import sys

import numpy as np

import bayes_scaling as bs


def interval(values: np.ndarray, scale: float = 1.0, digits: int = 3) -> str:
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95]) / scale
    return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else "chinchilla"
    everything = bs.read_runs(path)
    # Their rule: the five highest losses are left out.
    kept = everything.subset(everything["loss"] < np.sort(everything["loss"])[-5])
    print(f"{'noise':12}{'runs':>5}  {'E':22}{'alpha':22}{'beta':22}{'best params (1e9)':22}{'R-hat':>7}{'ESS':>6}{'div.':>5}")
    rows = [(noise, kept) for noise in ("student-t", "normal-log", "normal", "laplace")] + [("student-t", everything)]
    for noise, runs in rows:
        fit = bs.fit("chinchilla", runs, noise=noise)
        draws, d = fit.parameters(), fit.diagnosis
        best = np.asarray(bs.allocate(fit, 5.76e23)["params"])
        cells = [interval(draws[name]) for name in ("E", "alpha", "beta")] + [interval(best, 1e9, 1)]
        print(f"{noise:12}{len(runs):>5}  {''.join(f'{cell:22}' for cell in cells)}{d.max_rhat:>7.3f}{d.min_ess:>6.0f}{d.divergences:>5}")
    found = bs.maximum_likelihood("chinchilla", kept, noise="laplace").parameters
    published = bs.get_law("chinchilla").published["besiroglu"].values
    print("\nmaximum of the Laplace likelihood, and Besiroglu et al. 2024:")
    for name, value in published.items():
        print(f"  {name:6}{found[name]:>12.5g}{value:>12.5g}")


if __name__ == "__main__":
    main()
