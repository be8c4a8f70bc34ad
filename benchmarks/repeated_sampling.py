"""Does pass@k from a hundred samples a problem tell coverage with ten thousand? Seven Pythia models on 128 problems of MATH.

    python benchmarks/repeated_sampling.py SHARED_DATA [SEEDS]

A hundred samples of each problem are picked at random from the 10 000 that were made (the counts are enough: what is picked is
hypergeometric), fitted, and coverage of the same problems with all 10 000 is predicted and compared with the measured one. Models:

- ``same``: `pass_at_k` of each model alone, for the same problems: those solved stay solved
- ``new``: the same fit for as many new problems: what the 128 would be expected to do had their counts not been seen
- ``pooled``: as ``same``, with the tails of the seven models pooled in part
- ``size``: as ``same``, with `pass_at_k:size` over all models
- ``curve``: `coverage` fitted to the measured curve up to k = 100, a new measurement of it at k = 10 000

Tails differ with size, so that to pool them as if the models were exchangeable pulls that of the smallest up; and the points of a curve
share their samples, so that intervals from it are too narrow.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from refits.sampling import MODELS, with_params

import bayes_scaling as bs

FIRST, ALL = 100, 10_000
#: Numbers of samples at which the measured curve up to FIRST is taken, as evenly on a logarithmic scale as whole numbers are.
CURVE_AT = np.unique(np.round(np.geomspace(1, FIRST, 25)))


@dataclass(frozen=True)
class Prediction:
    """Coverage of a model's problems with all samples: as predicted (median and 90 % interval) and as measured."""

    kind: str
    model: str
    seen: float  #: coverage with the first samples
    low: float
    median: float
    high: float
    measured: float
    trusted: bool

    @property
    def holds(self) -> bool:
        return self.low <= self.measured <= self.high


def first_samples(runs: bs.Runs, seed: int, samples: int = FIRST) -> bs.Runs:
    """Return the counts of as many samples of each problem, picked at random from those made."""
    rng = np.random.default_rng(seed)
    successes, trials = runs["successes"].astype(int), runs["trials"].astype(int)
    picked = rng.hypergeometric(successes, trials - successes, samples).astype(float)
    columns = {**runs.columns, "successes": picked, "trials": np.full(len(runs), float(samples)), "accuracy": picked / samples}
    return replace(runs, columns=columns, notes=(f"{samples} samples of each problem, picked with seed {seed}",))


def alone(runs: bs.Runs, **options: Any) -> dict[str, Any]:
    """Return predictions of each model from its own counts, for the same problems and for new ones."""
    found = {}
    for name in MODELS:
        fit = bs.fit("pass_at_k", runs.of_group(name), **options)
        found[name] = bs.coverage_of_problems(fit, [ALL])
    return found


def pooled(runs: bs.Runs, **options: Any) -> dict[str, Any]:
    fit = bs.fit("pass_at_k", runs, pool={"mean": "free", "alpha": "partial"}, **options)
    return {name: bs.coverage_of_problems(fit.select(name), [ALL]) for name in MODELS}


def by_size(runs: bs.Runs, **options: Any) -> dict[str, Any]:
    fit = bs.fit("pass_at_k:size", runs, **options)
    return {name: bs.coverage_of_problems(fit, [ALL], rows=runs.group == name) for name in MODELS}


def by_curve(runs: bs.Runs, **options: Any) -> dict[str, Any]:
    found = {}
    for name in MODELS:
        part = runs.of_group(name)
        coverage = [float(np.mean(bs.unbiased_pass_at_k(part["trials"], part["successes"], k))) for k in CURVE_AT]
        fit = bs.fit("coverage", bs.runs_from_columns({"samples": CURVE_AT, "coverage": coverage}), **options)
        found[name] = bs.predict(fit, {"samples": [float(ALL)]}).assign_attrs(trustworthy=int(fit.diagnosis.ok))
    return found


#: How coverage is predicted: by what, and which of its draws.
KINDS: Mapping[str, tuple[Callable[..., dict[str, Any]], str]] = {
    "same": (alone, "same"),
    "new": (alone, "new"),
    "pooled": (pooled, "same"),
    "size": (by_size, "same"),
    "curve": (by_curve, "new"),
}


def predictions(folder: Path, seed: int = 0, kinds: tuple[str, ...] = tuple(KINDS), **options: Any) -> list[Prediction]:
    """Fit the first samples and predict coverage with all; ``options`` are those of `bayes_scaling.fit`."""
    everything = with_params(folder)
    runs = first_samples(everything, seed)
    made: dict[Callable, dict[str, Any]] = {}
    found = []
    for kind in kinds:
        method, draws = KINDS[kind]
        if method not in made:
            made[method] = method(runs, seed=seed, **options)
        for name in MODELS:
            drawn = made[method][name]
            low, median, high = np.quantile(drawn[draws], [0.05, 0.5, 0.95])
            seen = float(np.mean(runs.of_group(name)["successes"] > 0))
            measured = float(np.mean(everything.of_group(name)["successes"] > 0))
            found.append(Prediction(kind, name, seen, low, median, high, measured, bool(drawn.attrs["trustworthy"])))
    return found


def main(folder: Path, seeds: int) -> None:
    held: dict[str, list[int]] = {}
    for seed in range(seeds):
        found = predictions(folder, seed)
        if seed == 0:
            print(f"{'model':12}{'at 100':>8}{'at 10 000':>11}   by      median  90 % interval    holds   trusted")
            for p in found:
                print(
                    f"{p.model:12}{p.seen:>8.3f}{p.measured:>11.3f}   {p.kind:8}{p.median:>6.3f}  [{p.low:.3f}, {p.high:.3f}]  "
                    f"{'yes' if p.holds else 'NO':>6}{'yes' if p.trusted else 'NO':>10}"
                )
        for kind in KINDS:
            held.setdefault(kind, []).append(sum(p.holds for p in found if p.kind == kind))
        print(
            f"seed {seed}: intervals that hold, of {len(MODELS)}: " + ", ".join(f"{kind} {n[-1]}" for kind, n in held.items()), flush=True
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3)
