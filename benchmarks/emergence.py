"""Is emergence an effect of the metric? Three accounts of the same rise of accuracy, on the tasks of Ruan et al. 2024.

python benchmarks/emergence.py SHARED_DATA [--task NAME ...] [--families]

Each model is left out and forecast, and the laws are compared by how well they do it. Families of models differ in data and recipe by far
more than the draw of the items: that is the noise's overdispersion, or, with --families, a level for each family, drawn towards a common
one (which takes minutes a fit).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

import bayes_scaling as bs
from bayes_scaling.units import compute_text

DATA = "obs_emergent_ruan2024.csv"
#: Column of the accuracy, number of items (the least of which all accuracies are multiples), and what guessing gives.
TASKS = {
    "arithmetic_3ds_2_acc": (2000, None),
    "arithmetic_3da_2_acc": (2000, None),
    "arithmetic_2dm_2_acc": (2000, None),
    "arithmetic_2da_2_acc": (2000, None),
    "word_unscrambling_2_exact_match": (2000, None),
    "parsinlu_qa_2_acc": (1050, 0.25),
}
#: What varies over families: the level of each account.
LEVEL = {"emergence": "ce_ref", "emergence:broken": "ce_ref", "emergence:threshold": "threshold"}
#: Training compute from which on accuracy is above guessing, as stated by Wei et al. 2022 (arXiv 2206.07682) for 3-digit arithmetic.
STATED = bs.get_law("emergence:threshold").published["arithmetic"].values["threshold"]


def task_runs(folder: Path, task: str) -> bs.Runs:
    """Return the models with known training compute and a score on the task."""
    columns = {"compute": "flops_1e21", "accuracy": task, "group": "model_family"}
    runs = bs.read_runs(folder / DATA, map=columns, units={"compute": "ZFLOP"}, where=f"flops_1e21 > 0 and {task} >= 0")
    return replace(
        runs, columns={name: runs[name] for name in ("compute", "accuracy")} | {"trials": np.full(len(runs), float(TASKS[task][0]))}
    )


def fit_task(law: str, runs: bs.Runs, floor: float | None, families: bool) -> bs.Fit:
    fix = {} if floor is None else {"floor": floor}
    kinds = {name: "partial" if name == LEVEL[law] else "shared" for name in bs.get_law(law).parameter_names if name not in fix}
    return bs.fit(law, runs, input="compute", fix=fix, pool=kinds if families else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, metavar="SHARED_DATA")
    parser.add_argument("--task", action="append", default=[], metavar="NAME")
    parser.add_argument("--families", action="store_true", help="a level for each family of models")
    options = parser.parse_args()
    for task in options.task or TASKS:
        runs = task_runs(options.data, task)
        fits = {law: fit_task(law, runs, TASKS[task][1], options.families) for law in LEVEL}
        print(f"\n{task}: {len(runs)} models of {len(runs.groups)} families, {TASKS[task][0]} items")
        for law, fit in fits.items():
            d = fit.diagnosis
            print(f"  {law:20} R-hat {d.max_rhat:.3f}  ESS {d.min_ess:5.0f}  divergences {d.divergences}")
            for problem in d.problems:
                if problem.serious:
                    print(f"    problem: {problem.text}")
        print(bs.compare(fits), flush=True)
        threshold = fits["emergence:threshold"].posterior["threshold_center" if options.families else "threshold"]
        low, middle, high = np.quantile(threshold, [0.05, 0.5, 0.95])
        print(
            f"threshold, if there is one: {compute_text(middle)} [{compute_text(low)}, {compute_text(high)}]"
            + (f" (Wei et al. 2022 state {compute_text(STATED)})" if task.startswith("arithmetic_3d") else "")
        )


if __name__ == "__main__":
    main()
