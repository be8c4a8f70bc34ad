"""Forward validation of loss -> accuracy: the largest runs held out, their accuracies predicted with 90 % intervals, then looked up.

python benchmarks/downstream.py SHARED_DATA [olmo|gadre|olmo-inner|gadre-inner ...] [--drift SIZE]

OLMo ladder (Bhagia et al. 2024, arXiv 2412.04403): fitted to the 24 runs up to 1.3B params, eight tasks. Targets: the six 3B runs (up to
6 times the compute), and OLMo 2 13B after 5e12 tokens (200 times; its last tokens are of other data than the ladder's). ``chain`` is
task_ladder -> bounded_metric:bent, with both posteriors, the scatter of both and the number of items; ``straight`` is the same with
bounded_metric, whose form is taken for the truth; ``direct`` is task_ladder:direct. ``stage 1`` is the interval of the task loss and
``link`` that of the accuracy given the measured task loss: where the chain misses, they tell which stage did.

Gadre et al. 2024 (arXiv 2403.08540): for each of three training sets, fitted to the models below 0.5B params, at 5 to 640 tokens a param.
Targets: 1.4B at 20 and 80 to 640 tokens a param, and 6.9B. Chain: overtraining (loss on C4) -> bounded_metric:loss_bent (single tasks) or
overtraining_error:bent (mean of 46 tasks); ``straight``: loss_skewed and overtraining_error. Larger models mostly do better than links to
smaller ones foretell: the forms level off too early. The same is seen when the larger of the fitted models are foretold from the smaller
(``inner``: those from 0.3B params on from those below; of OLMo's, 1.3B from the smaller), before any target is looked at; it is why
the slope of the links may wander. Beyond their runs other laws drift (`bayes_scaling.drift`); --drift 0 takes their forms for the truth.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from refits.downstream import GADRE_TASKS, OLMO_TASKS, columns_of, gadre, olmo

import bayes_scaling as bs

#: OLMo 2 13B at 5e12 tokens, (task loss, accuracy) as the authors' repository allenai/OLMo-ladder gives them, in step1_main.csv and
#: chained_main.csv of src/scripts/paper/figures.
OLMO_13B = {
    "mmlu": (0.7488274, 0.5161402),
    "hellaswag": (0.6609339, 0.8319060),
    "arc_challenge": (0.7157248, 0.6380546),
    "arc_easy": (0.5113906, 0.8717172),
    "piqa": (0.8987890, 0.8295974),
    "csqa": (0.8115828, 0.7410319),
    "socialiqa": (0.9568508, 0.6159672),
    "openbookqa": (1.2631986, 0.4863999),
}
#: What the authors' chain predicted for it.
AUTHORS = {
    **{"mmlu": 0.5126800, "hellaswag": 0.8530360, "arc_challenge": 0.5267099, "arc_easy": 0.7724156, "piqa": 0.8208042},
    **{"csqa": 0.7760888, "socialiqa": 0.5994822, "openbookqa": 0.4486478},
}
TARGET_13B = {"params": np.array([13_202_396_160.0]), "tokens": np.array([5e12])}


@dataclass(frozen=True)
class Row:
    """One prediction: which target, by which way, the 5, 50 and 95 % quantiles, and what was measured."""

    target: str
    task: str
    way: str
    quantiles: tuple[float, float, float]
    measured: float

    @property
    def inside(self) -> bool:
        return self.quantiles[0] <= self.measured <= self.quantiles[2]

    @property
    def error(self) -> float:
        return self.quantiles[1] - self.measured


def rows(target: str, task: str, way: str, drawn: Any, measured: np.ndarray) -> list[Row]:
    found = np.quantile(drawn["new"], [0.05, 0.5, 0.95], axis=(0, 1)).T
    return [Row(target, task, way, (float(q[0]), float(q[1]), float(q[2])), float(y)) for q, y in zip(found, measured, strict=True)]


def checked(fit: bs.Fit, name: str) -> bs.Fit:
    d = fit.diagnosis
    if not d.converged:
        print(f"  {name}: R-hat {d.max_rhat:.4f}, ESS {d.min_ess:.0f}, {d.divergences} divergences", flush=True)
    return fit


def chained(
    target: str, task: str, ladder: bs.Fit, links: Mapping[str, bs.Fit], at: Mapping[str, np.ndarray], output: str, drift: float | None
) -> list[Row]:
    """Return the predictions of a chain with a link that may bend and a straight one, and of each link from the measured loss."""
    found = []
    for name, link in links.items():
        prefix = "" if name == "bent" else "straight "
        found += rows(target, task, f"{prefix}chain", bs.predict(ladder, at, then=link, drift=drift), at[output])
        found += rows(target, task, f"{prefix}link", bs.predict(link, at, drift=drift), at[output])
    return found


def links_of(laws: Mapping[str, str], runs: bs.Runs, name: str, fix: Mapping[str, float] | None = None) -> dict[str, bs.Fit]:
    return {way: checked(bs.fit(law, runs, fix=fix), f"{name} {way} link") for way, law in laws.items()}


def olmo_task(folder: Path, task: str, inner: bool, drift: float | None) -> list[Row]:
    table = olmo(folder, task)
    fitted = table["params"] < (1e9 if inner else 2e9)
    fix = {"floor": OLMO_TASKS[task].chance}
    ladder = checked(bs.fit("task_ladder", columns_of(table, ("params", "tokens", "task_loss"), fitted)), f"{task} stage 1")
    laws = {"bent": "bounded_metric:bent", "straight": "bounded_metric"}
    links = links_of(laws, columns_of(table, ("task_loss", "accuracy", "trials"), fitted), task, fix)
    direct = checked(
        bs.fit("task_ladder:direct", columns_of(table, ("params", "tokens", "accuracy", "trials"), fitted), fix=fix), f"{task} direct"
    )
    held_out = {name: values[~fitted & (table["params"] < (2e9 if inner else np.inf))] for name, values in table.items()}
    loss, accuracy = (np.array([value]) for value in OLMO_13B[task])
    largest = {**TARGET_13B, "trials": table["trials"][:1], "task_loss": loss, "accuracy": accuracy}
    found = []
    for target, at in {"1.3B": held_out}.items() if inner else {"3B": held_out, "13B-5T": largest}.items():
        found += chained(target, task, ladder, links, at, "accuracy", drift)
        found += rows(target, task, "direct", bs.predict(direct, at, drift=drift), at["accuracy"])
        found += rows(target, task, "stage 1", bs.predict(ladder, at, drift=drift), at["task_loss"])
    return found


def gadre_set(folder: Path, trained_on: str, inner: bool, drift: float | None) -> list[Row]:
    table = gadre(folder, trained_on)
    fitted = table["params"] < (3e8 if inner else 5e8)
    targets = ~fitted & (table["params"] < (5e8 if inner else np.inf))
    ladder = checked(bs.fit("overtraining", columns_of(table, ("params", "tokens", "loss"), fitted)), f"{trained_on} stage 1")
    held_out = {name: values[targets] for name, values in table.items()}
    found = rows("loss", trained_on, "stage 1", bs.predict(ladder, held_out, drift=drift), held_out["loss"])
    for task, about in GADRE_TASKS.items():
        table |= {"accuracy": table[task], "trials": np.full(len(fitted), float(about.items))}
        laws = {"bent": "bounded_metric:loss_bent", "straight": "bounded_metric:loss_skewed"}
        runs = columns_of(table, ("loss", "accuracy", "trials"), fitted)
        links = links_of(laws, runs, f"{trained_on} {task}", {"floor": about.chance})
        at = {name: values[targets] for name, values in table.items()}
        found += chained("task", f"{task}, {trained_on}", ladder, links, at, "accuracy", drift)
    laws = {"bent": "overtraining_error:bent", "straight": "overtraining_error"}
    links = links_of(laws, columns_of(table, ("loss", "error"), fitted), f"{trained_on} mean error")
    return found + chained("mean error", f"mean error, {trained_on}", ladder, links, held_out, "error", drift)


def shown(found: list[Row]) -> None:
    print(f"{'target':12}{'task':30}{'measured':>9}  {'way':14} predicted [90 %]")
    for r in found:
        low, middle, high = r.quantiles
        print(
            f"{r.target:12}{r.task:30}{r.measured:>9.4f}  {r.way:14} {middle:.4f} [{low:.4f}, {high:.4f}]{'' if r.inside else '  missed'}"
        )


def pooled(found: list[Row]) -> str:
    """Return coverage with its standard error, mean absolute error and width.

    Targets of one task share two fits, and err together: the standard error is over tasks.
    """
    tasks = sorted({r.task for r in found})
    share = [np.mean([r.inside for r in found if r.task == task]) for task in tasks]
    text = f"90 % intervals hold {np.mean([r.inside for r in found]):.2f}"
    text += f" +- {np.std(share, ddof=1) / np.sqrt(len(share)):.2f} of {len(found)}" if len(tasks) > 1 else f" of {len(found)}"
    error, width = (100 * np.mean(part) for part in ([abs(r.error) for r in found], [r.quantiles[2] - r.quantiles[0] for r in found]))
    unit = "hundredths of the loss" if found[0].way == "stage 1" else "points"
    return f"{text} ({len(tasks)} tasks); mean absolute error {error:.2f} {unit}, mean width {width:.2f} {unit}"


def summary(title: str, found: list[Row]) -> None:
    print(f"\n{title}")
    for target in dict.fromkeys(r.target for r in found):
        for way in dict.fromkeys(r.way for r in found if r.target == target):
            print(f"  {target:12}{way:14} {pooled([r for r in found if (r.target, r.way) == (target, way)])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("which", nargs="*", default=["olmo", "gadre"], metavar="olmo|gadre|olmo-inner|gadre-inner")
    parser.add_argument("--drift", type=float, help="how far laws may be off beyond the runs, 0: not at all; by default as of any law")
    chosen = parser.parse_args()
    ways: Mapping[str, Any] = {
        "olmo": (olmo_task, OLMO_TASKS, "OLMo ladder, fitted to the runs up to"),
        "gadre": (gadre_set, ("c4_original", "rpj", "rw_original"), "open_lm, fitted to the models up to"),
    }
    largest = {"olmo": "1.3B params", "gadre": "0.41B params", "olmo-inner": "0.76B params", "gadre-inner": "0.15B params"}
    for name in chosen.which:
        family, _, inner = name.partition("-")
        one, parts, title = ways[family]
        found = []
        for part in parts:
            new = one(chosen.folder, part, bool(inner), chosen.drift)
            shown(new)
            sys.stdout.flush()
            found += new
        summary(f"{title} {largest[name]}", found)
        if name == "olmo":
            error = 100 * np.mean([abs(AUTHORS[task] - OLMO_13B[task][1]) for task in AUTHORS])
            print(f"  {'13B-5T':12}authors: mean absolute error {error:.2f} points, no intervals")


if __name__ == "__main__":
    main()
