"""Does the rectified law predict fine-tuning on more examples than any seen better than the plain power law? 30 models, 3 data sets.

python benchmarks/finetuning.py SHARED_DATA [--known 102400] [--pool] [--data-set NAME ...] [--groups]

Runs of Lin et al. 2024 (arXiv 2402.02314): test loss after fine-tuning on 200 to 1 638 400 examples. Both laws, rectified
(``finetune_rectified``) and plain (the same law and priors with nothing pre-learned: the power law with a floor), are fitted to the sizes
up to ``--known``, and predict the larger ones. Zero-shot losses are left out, as the authors do. By default each (data set, model) is
fitted by itself; with --pool the 30 models of a data set are one fit with partial pooling of every parameter: over ten CPU minutes an
attempt, since the one step size of 120 values must suit the most bent ridge of all 30 curves.

RMSLE is of the median prediction; the log score is the mean log predictive density of a held-out loss (in nats; higher is better);
coverage is of 90 % intervals. Residuals of fits to all sizes stand beside the authors' in tests/reference/test_transfer.py.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pooling import log_predictive
from refits.transfer import SFT, SFT_COLUMNS

import bayes_scaling as bs

DATA_SETS = ("flan", "gigaword", "wmt19")
LAW = bs.get_law("finetune_rectified")
#: What is held fixed: with a transition at no examples there is nothing that pre-training has taught.
LAWS = {"rectified": {}, "plain": {"transition": 1e-12}}


def runs_of(folder: Path, data_set: str) -> bs.Runs:
    return bs.read_runs(folder / SFT, map=SFT_COLUMNS, where=f"dataset == '{data_set}' and sft_examples > 0")


@dataclass(frozen=True)
class Score:
    """How well the larger sizes of a model were predicted."""

    data_set: str
    model: str
    law: str
    rmsle: float
    log_score: float
    coverage: float
    converged: bool


def fits(runs: bs.Runs, fix: dict[str, float], pool: bool) -> dict[str, bs.Fit]:
    """Return the fit of each model."""
    if pool:
        together = bs.fit(LAW, runs, fix=fix, pool={p: "partial" for p in LAW.parameter_names if p not in fix})
        return {model: together.select(model) for model in runs.groups}
    return {runs.groups[place]: one for place, one in bs.fit_many(LAW, [runs.of_group(model) for model in runs.groups], fix=fix)}


def scores(folder: Path, data_set: str, known: float, pool: bool) -> list[Score]:
    runs = runs_of(folder, data_set)
    few = runs["finetune_examples"] <= known
    found = []
    for name, fix in LAWS.items():
        known_fits = fits(runs.subset(few), fix, pool)
        for model in runs.groups:
            one = known_fits[model]
            rest = runs.subset((runs.group == model) & ~few)
            drawn, measured = bs.predict(one, rest.columns), rest["loss"]
            low, median, high = np.quantile(drawn["new"], [0.05, 0.5, 0.95], axis=(0, 1))
            found.append(
                Score(
                    data_set,
                    model,
                    name,
                    rmsle=float(np.sqrt(np.mean(np.log(median / measured) ** 2))),
                    log_score=float(np.mean(log_predictive(one, rest.columns, measured))),
                    coverage=float(np.mean((low <= measured) & (measured <= high))),
                    converged=one.diagnosis.converged,
                )
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--known", type=float, default=102_400, help="largest size that is fitted")
    parser.add_argument("--pool", action="store_true", help="one fit a data set, with partial pooling over its models")
    parser.add_argument("--data-set", nargs="*", default=list(DATA_SETS), choices=DATA_SETS)
    parser.add_argument("--groups", action="store_true", help="print every model too")
    chosen = parser.parse_args()
    print(
        f"fitted: 200 to {chosen.known:g} examples; predicted: more, up to 1638400; {'pooled' if chosen.pool else 'each model by itself'}"
    )
    print(f"{'data set':10}{'law':11}{'RMSLE':>8}{'log score':>11}{'coverage':>10}{'better':>9}  converged")
    every: list[Score] = []
    for data_set in chosen.data_set:
        found = scores(chosen.folder, data_set, chosen.known, chosen.pool)
        every += found
        if chosen.groups:
            for s in found:
                print(
                    f"{s.data_set:10}{s.law:11}{s.rmsle:>8.4f}{s.log_score:>11.3f}{s.coverage:>10.2f}{'':9}"
                    f"  {'yes' if s.converged else 'NO '}  {s.model}"
                )
        _print_means(data_set, found)
    if len(chosen.data_set) > 1:
        _print_means("all", every)


def _print_means(title: str, found: list[Score]) -> None:
    errors = {law: np.array([s.rmsle for s in found if s.law == law]) for law in LAWS}
    for law, other in (("rectified", "plain"), ("plain", "rectified")):
        own = [s for s in found if s.law == law]
        better = f"{np.sum(errors[law] < errors[other])}/{len(own)}"
        print(
            f"{title:10}{law:11}{errors[law].mean():>8.4f}{np.mean([s.log_score for s in own]):>11.3f}"
            f"{np.mean([s.coverage for s in own]):>10.2f}{better:>9}  {sum(s.converged for s in own)}/{len(own)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
