"""Does partial pooling predict a group of which little has been measured? Real runs, one group in turn cut down to a few cheap runs.

python benchmarks/pooling.py SHARED_DATA [STUDY]

For each group in turn: fit all runs of the other groups and only the few cheap runs of this one, with no pooling (``free``), partial
pooling and full pooling (``shared``) of the law's parameters, and predict the rest of the group. RMSLE is of the median prediction; the log
score is the mean log predictive density of a held-out run (in nats; higher is better); coverage is of 90 % intervals.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import bayes_scaling as bs
from bayes_scaling.law import get_law
from bayes_scaling.scores import log_predictive

KINDS = ("free", "partial", "shared")


@dataclass(frozen=True)
class Study:
    """Runs by group, the law, and which runs of a cut-down group are known."""

    law: str
    read: Callable[[Path], bs.Runs]
    known: Callable[[bs.Runs], np.ndarray]
    about: str


def _gadre(folder: Path) -> bs.Runs:
    where = "eval_set == 'training/eval_data/c4_val/shard-{0000000..0000010}.tar'"
    return bs.read_runs(folder / "gadre2024_overtraining_loss.csv", map={"compute": "flops_6nd", "group": "train_dataset"}, where=where)


def _gordon(folder: Path) -> bs.Runs:
    return bs.read_runs(folder / "gordon2021_nmt.csv", map={"group": "language_pair"}, where="data_bytes > 5242880")


STUDIES = {
    "gadre2024": Study(
        "chinchilla",
        _gadre,
        lambda runs: (runs["params"] < 2e8) & (np.abs(runs["tokens"] / runs["params"] / 20 - 1) < 0.1),
        "known: the three runs below 200M params at 20 tokens a param",
    ),
    "gordon2021": Study(
        "gordon",
        _gordon,
        lambda runs: (runs["params"] < 4e6) & (runs["data_bytes"] < 1e8),
        "known: runs below 4M params and 100 MB",
    ),
}


@dataclass(frozen=True)
class Score:
    """How well held-out runs of a group were predicted."""

    kind: str
    group: str
    known: int
    held_out: int
    rmsle: float
    log_score: float
    coverage: float
    converged: bool


def score(study: Study, runs: bs.Runs, group: str, kind: str, **options: Any) -> Score:
    """Fit with one group cut down, and predict the rest of it."""
    inside = runs.group == group
    known = study.known(runs)
    law = get_law(study.law)
    pool = {} if kind == "free" else {"all": kind}
    fit = bs.fit(law, runs.subset(~inside | known), grouped=True, pool=pool, **options)
    rest = runs.subset(inside & ~known)
    one = fit.select(group)
    drawn = bs.predict(one, rest.columns, drift=0)  # what pooling knows of the law, not what any law may be off by
    low, median, high = np.quantile(drawn["new"], [0.05, 0.5, 0.95], axis=(0, 1))
    measured = rest[law.output]
    return Score(
        kind,
        group,
        int((inside & known).sum()),
        len(rest),
        float(np.sqrt(np.mean(np.log(median / measured) ** 2))),
        float(np.mean(log_predictive(one, rest, drift=0))),
        float(np.mean((low <= measured) & (measured <= high))),
        fit.diagnosis.converged,
    )


def main(folder: Path, names: list[str]) -> None:
    for name in names:
        study = STUDIES[name]
        runs = study.read(folder)
        print(f"\n{name}, law {study.law}, {study.about}")
        print(f"{'group':14}{'known':>7}{'held out':>9}  {'pooling':9}{'RMSLE':>8}{'log score':>11}{'coverage':>10}  converged")
        found = [score(study, runs, group, kind) for group in runs.groups for kind in KINDS]
        for s in found:
            print(
                f"{s.group:14}{s.known:>7}{s.held_out:>9}  {s.kind:9}{s.rmsle:>8.4f}{s.log_score:>11.3f}{s.coverage:>10.2f}  "
                f"{'yes' if s.converged else 'NO'}"
            )
        for kind in KINDS:
            own = [s for s in found if s.kind == kind]
            print(f"{'mean':30}  {kind:9}{np.mean([s.rmsle for s in own]):>8.4f}{np.mean([s.log_score for s in own]):>11.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(STUDIES))
