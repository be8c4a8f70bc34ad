"""Does the rectified law predict fine-tuning on more examples than any seen better than the plain power law? 30 models, 3 data sets.

python benchmarks/finetuning.py SHARED_DATA [--known 102400] [--pool beta sigma] [--drift SIZE] [--data-set NAME ...] [--groups]

Runs of Lin et al. 2024 (arXiv 2402.02314): test loss after fine-tuning on 200 to 1 638 400 examples. Both laws, rectified
(``finetune_rectified``) and plain (the same law and priors with nothing pre-learned: the power law with a floor), are fitted to the sizes
up to ``--known``, and predict the larger ones. Zero-shot losses are left out, as the authors do. Each (data set, model) is fitted by itself
(``alone``); from these fits the 30 models of a data set are pooled in part (``pooled``: `bayes_scaling.pool_fits`): in how fast loss falls
beyond the transition, which the authors take for the data set's difficulty, and in scatter, of which ten runs tell little. How much a model
knows already, and its floor, are its own.

RMSLE is of the median prediction; the log score is the mean log predictive density of a held-out loss (in nats; higher is better);
coverage is of 90 % intervals of a new measurement, which know that the law may drift beyond the runs (--drift 0: that it does not);
``better`` counts models for which a law has the smaller RMSLE of the two. Residuals of fits to all sizes stand beside the authors' in
tests/reference/test_transfer.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from refits.transfer import SFT, SFT_COLUMNS

import bayes_scaling as bs
from bayes_scaling.scores import forecasts, log_predictive, score

DATA_SETS = ("flan", "gigaword", "wmt19")
LAW = bs.get_law("finetune_rectified")
#: What is held fixed: with a transition at no examples there is nothing that pre-training has taught.
LAWS = {"rectified": {}, "plain": {"transition": 1e-12}}
POOLED = ("beta", "sigma")


def runs_of(folder: Path, data_set: str) -> bs.Runs:
    return bs.read_runs(folder / SFT, map=SFT_COLUMNS, where=f"dataset == '{data_set}' and sft_examples > 0")


@dataclass(frozen=True)
class Score:
    """How well the larger sizes of a model were predicted."""

    data_set: str
    model: str
    law: str
    way: str
    rmsle: float
    log_score: float
    coverage: float
    converged: bool


def fits(runs: bs.Runs, fix: dict[str, float], pool: Sequence[str]) -> Iterator[tuple[str, dict[str, bs.Fit]]]:
    """Yield the fits of all models, each alone and then pooled."""
    found = bs.fit_many(LAW, [runs.of_group(model) for model in runs.groups], fix=fix)
    alone = {runs.groups[place]: one for place, one in found}
    yield "alone", alone
    if pool:
        together = bs.pool_fits(alone, pool)
        yield "pooled", {model: together.select(model) for model in runs.groups}


def scores(folder: Path, data_set: str, known: float, pool: Sequence[str], drift: float | None) -> list[Score]:
    runs = runs_of(folder, data_set)
    few = runs["finetune_examples"] <= known
    found = []
    for law, fix in LAWS.items():
        for way, of_models in fits(runs.subset(few), fix, pool):
            for model, one in of_models.items():
                rest = runs.subset((runs.group == model) & ~few)
                told = score("loss", forecasts(one, rest, drift=drift), rest["loss"])
                found.append(
                    Score(
                        data_set,
                        model,
                        law,
                        way,
                        rmsle=float(np.sqrt(np.mean(told["error"] ** 2))),
                        log_score=float(np.mean(log_predictive(one, rest, drift=drift))),
                        coverage=float(np.mean(told["covered"])),
                        converged=one.diagnosis.converged,
                    )
                )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--known", type=float, default=102_400, help="largest size that is fitted")
    parser.add_argument(
        "--pool", nargs="*", default=list(POOLED), metavar="NAME", help="parameters that are pooled over models; none: no pooling"
    )
    parser.add_argument("--drift", type=float, help="how far the laws may be off beyond the runs, 0: not at all; by default as of any law")
    parser.add_argument("--data-set", nargs="*", default=list(DATA_SETS), choices=DATA_SETS)
    parser.add_argument("--groups", action="store_true", help="print every model too")
    chosen = parser.parse_args()
    pooled = f"pooled over models: {', '.join(chosen.pool)}" if chosen.pool else "each model by itself"
    print(f"fitted: 200 to {chosen.known:g} examples; predicted: more, up to 1638400; {pooled}")
    print(f"{'data set':10}{'law':11}{'models':8}{'RMSLE':>8}{'log score':>11}{'coverage':>10}{'better':>9}  converged")
    every: list[Score] = []
    for data_set in chosen.data_set:
        found = scores(chosen.folder, data_set, chosen.known, chosen.pool, chosen.drift)
        every += found
        if chosen.groups:
            for s in found:
                print(
                    f"{s.data_set:10}{s.law:11}{s.way:8}{s.rmsle:>8.4f}{s.log_score:>11.3f}{s.coverage:>10.2f}{'':9}"
                    f"  {'yes' if s.converged else 'NO '}  {s.model}"
                )
        _print_means(data_set, found)
    if len(chosen.data_set) > 1:
        _print_means("all", every)


def _print_means(title: str, found: list[Score]) -> None:
    for way in dict.fromkeys(s.way for s in found):
        errors = {law: {(s.data_set, s.model): s.rmsle for s in found if (s.law, s.way) == (law, way)} for law in LAWS}
        for law, other in (("rectified", "plain"), ("plain", "rectified")):
            own = [s for s in found if (s.law, s.way) == (law, way)]
            better = f"{sum(errors[law][place] < errors[other][place] for place in errors[law])}/{len(own)}"
            means = [np.mean([getattr(s, name) for s in own]) for name in ("rmsle", "log_score", "coverage")]
            print(
                f"{title:10}{law:11}{way:8}{means[0]:>8.4f}{means[1]:>11.3f}{means[2]:>10.2f}{better:>9}"
                f"  {sum(s.converged for s in own)}/{len(own)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
