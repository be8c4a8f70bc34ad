"""Columns of a table that a fit does not use, and that what it leaves of the runs depends on: several data sets, say, fitted as one."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np

from bayes_scaling.engine.convergence import normal_scores
from bayes_scaling.errors import brief, option_text
from bayes_scaling.identification import Problem, measured_inputs
from bayes_scaling.law import Law
from bayes_scaling.quantities import coordinate, quantity
from bayes_scaling.runs import Runs
from bayes_scaling.trajectories import CURVE

_SURE = 1e-4  # probability by chance, times the columns looked at, below which a column is named
_MOST_VALUES = 50  # of a column: with more it is a number, or a name of each run
_PER_VALUE = 3  # runs a value, at least, on average
_NAME = 0.01  # share of an input's variance, below which what is left of it says nothing
_SPARE = 8  # degrees of freedom, at least
_MOST_RUNS = 20_000  # looked at, evenly over the table


def unused_problems(law: Law, runs: Runs, curve: np.ndarray) -> list[Problem]:
    """Return which unused column the residuals depend on most, where chance does not explain it.

    The F test of an analysis of covariance: normal scores of the residuals' ranks, which one outlying run does not decide, by the column's
    values beside a full square in the inputs, so that a bend of the runs is not put down to a column that goes with size. Points of
    training curves are left alone, for they depend on each other.

    Parameters
    ----------
    curve : posterior median at the runs, shape (run,)
    """
    if CURVE in runs.columns or not runs.unused:
        return []
    rows = np.unique(np.linspace(0, len(runs) - 1, _MOST_RUNS).astype(int))
    residual = (coordinate(law.output, runs[law.output]) - coordinate(law.output, curve))[rows]
    inputs = [coordinate(name, runs[name])[rows] for name in measured_inputs(law, runs)]
    square, scores = _square(inputs, len(rows)), normal_scores(residual)
    found = []
    for name, cells in runs.unused.items():
        values, label = np.unique(cells[rows].astype(str), return_inverse=True)
        few = 2 <= len(values) <= min(_MOST_VALUES, len(rows) // _PER_VALUE)
        if few and not any(_names(label, values_of) for values_of in inputs):
            found.append((_probability(scores, square, np.eye(len(values))[label]), name, values, label))
    found = sorted((item for item in found if item[0] * len(found) < _SURE), key=lambda item: item[0])
    if not found:
        return []
    probability, name, values, label = found[0]
    kind = quantity(law.output)
    # Of a fraction, most runs may have the same: none of a problem's samples solve it.
    typical = np.mean if kind.is_fraction else np.median
    middle = np.array([typical(residual[label == number]) for number in range(len(values))])
    factor, unit = kind.difference
    extremes = (middle.argmin(), middle.argmax())
    low, high = (f"{factor * middle[at]:+.2g} {unit}".rstrip() + f" where it is '{brief(values[at], 40)}'" for at in extremes)
    also = f" (and by {', '.join(other for _, other, *_ in found[1:4])})" if found[1:] else ""
    return [
        Problem(
            "unused column",
            False,
            f"what the law leaves of the runs differs by column '{name}'{also}, which is not used: {low}, {high} (by chance "
            f"{max(probability, 1e-99):.0e})",
            f"Fit its values side by side ({option_text(group=name)}), choose among them ({option_text(where=None)}), or take a law that "
            "has it as an input",
        )
    ]


def _square(inputs: list[np.ndarray], count: int) -> np.ndarray:
    """Return a full square in standardised inputs of so many runs, shape (run, column)."""
    scaled = [np.ones(count), *((values - values.mean()) / (values.std() or 1.0) for values in inputs)]
    return np.stack([a * b for a, b in combinations_with_replacement(scaled, 2)], axis=1)


def _names(label: np.ndarray, values: np.ndarray) -> bool:
    """Tell whether a column is a name for an input: within each of its values the input hardly varies."""
    means = np.bincount(label, values) / np.bincount(label)
    return float(np.var(values - means[label])) < _NAME * float(np.var(values))


def _probability(scores: np.ndarray, without: np.ndarray, labels: np.ndarray) -> float:
    """Return the probability by chance that labels explain so much of scores, beside what explains them without."""
    from scipy.special import fdtrc

    (left, rank), (less, more) = (_left(scores, design) for design in (without, np.concatenate([without, labels], axis=1)))
    spare = len(scores) - more
    if more == rank or spare < _SPARE or not left > 0:
        return 1.0
    return float(fdtrc(more - rank, spare, (left - less) / (more - rank) / (less / spare))) if less > 0 else 0.0


def _left(scores: np.ndarray, design: np.ndarray) -> tuple[float, int]:
    """Return the sum of squares that a design leaves, and its rank."""
    solution, _, rank, _ = np.linalg.lstsq(design, scores, rcond=1e-9)
    return float(np.sum((scores - design @ solution) ** 2)), int(rank)
