"""What a decision is expected to lose once runs are done whose outcomes nobody knows yet.

Outcomes of every run that could be done are simulated from the posterior's draws, scatter included. Whoever has seen those of some runs
decides by what is then expected, which a linear regression on these outcomes gives, over all simulations at once, without a refit (Strong,
Oakley & Brennan 2014, Medical Decision Making 34:311). The regression is fitted to one half of the draws and judged on the other: what it
loses is what a rule that exists would lose, so never less, but for chance among the draws, than what a refit would lose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bayes_scaling.engine import bucket
from bayes_scaling.law import Law
from bayes_scaling.noise import Noise
from bayes_scaling.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Callable

_CLIPPED = 4.0  # standard deviations of a simulated outcome: an outlying one must not move the regression
_RIDGE = 1e-6
_RANK = 3  # shapes of the curve of loss over sizes that draws differ by


class Stake(Protocol):
    """What is at stake: ``targets``, shape (draw, target), whose expectation is all that a decision needs, and what the decision loses."""

    targets: np.ndarray

    def lost(self, expected: np.ndarray, draw: np.ndarray) -> np.ndarray:
        """Return what is lost, shape (simulation,), by whoever expects these targets, (simulation, target), where a draw is the truth."""
        ...


class Regret:
    """The regret of deciding for the size of least expected loss.

    Parameters
    ----------
    regret : what each draw would lose by each of some sizes, shape (draw, size)
    """

    def __init__(self, regret: np.ndarray) -> None:
        self.regret, self.mean = regret, regret.mean(axis=0)
        u, s, shapes = np.linalg.svd(regret - self.mean, full_matrices=False)
        self.targets, self.shapes = u[:, :_RANK] * s[:_RANK], shapes[:_RANK]

    def lost(self, expected: np.ndarray, draw: np.ndarray) -> np.ndarray:
        return self.regret[draw, np.argmin(expected @ self.shapes + self.mean, axis=1)]


class Variance:
    """The variance of a quantity of shape (draw,)."""

    def __init__(self, quantity: np.ndarray) -> None:
        self.targets = (quantity - quantity.mean())[:, None]

    def lost(self, expected: np.ndarray, draw: np.ndarray) -> np.ndarray:
        return ((self.targets[draw] - expected) ** 2).sum(axis=1)


@dataclass(frozen=True, eq=False)
class Preposterior:
    """Expected loss once some of the candidates have been run.

    Attributes
    ----------
    outcomes : simulated outcomes of the candidates, each about mean 0 with standard deviation 1, shape (simulation, candidate)
    draw : the draw that each simulation takes as the truth
    stake : what is to be decided
    """

    outcomes: np.ndarray
    draw: np.ndarray
    stake: Stake
    _known: dict[tuple[int, ...], float] = field(init=False, repr=False, default_factory=dict[tuple[int, ...], float])

    @cached_property
    def _halves(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Return for each half of the draws: its simulations, and X'X and X'Y of the regression on all candidates from the other half."""
        found = []
        for half in (0, 1):
            judged = self.draw % 2 == half
            x, y = self.outcomes[~judged], self.stake.targets[self.draw[~judged]]
            found.append((np.flatnonzero(judged), x.T @ x / len(x) + _RIDGE * np.eye(x.shape[1]), x.T @ y / len(x)))
        return found

    def left(self, runs: Sequence[int]) -> float:
        """Return what is expected to be lost once these candidates are run; with none of them, as things stand."""
        chosen = tuple(sorted(runs))
        if chosen not in self._known:
            self._known[chosen] = float(np.concatenate(self._lost(chosen)).mean())
        return self._known[chosen]

    def error(self, runs: Sequence[int]) -> float:
        """Return the Monte-Carlo standard error of `left`, of the draws that were taken as the truth."""
        count = int(self.draw.max()) + 1
        truths = np.concatenate([self.draw[judged] for judged, _, _ in self._halves])
        of_draw = np.bincount(truths, np.concatenate(self._lost(tuple(runs))), count) / np.bincount(truths, minlength=count)
        return float(of_draw.std(ddof=1) / np.sqrt(count))

    def _lost(self, chosen: tuple[int, ...]) -> list[np.ndarray]:
        """Return what is lost in each simulation, half by half."""
        lost = []
        for judged, xx, xy in self._halves:
            columns = list(chosen)
            expected = self.outcomes[np.ix_(judged, columns)] @ np.linalg.solve(xx[np.ix_(columns, columns)], xy[columns])
            lost.append(self.stake.lost(expected, self.draw[judged]))
        return lost

    @cached_property
    def _covariance(self) -> np.ndarray:
        """Return the covariance of the candidates' outcomes, and of the target that draws differ by most (last row)."""
        together = np.column_stack([self.outcomes, self.stake.targets[self.draw, 0]])
        return np.cov(together.T)

    def gains(self, runs: Sequence[int]) -> np.ndarray:
        """Return the share of the first target's variance that each candidate would take away, once others are run: a quick first look."""
        c, at = self._covariance, list(runs)
        solved = np.linalg.solve(c[np.ix_(at, at)] + _RIDGE * np.eye(len(at)), c[at])
        variance, with_target = np.diag(c) - np.sum(c[at] * solved, axis=0), c[-1] - c[-1, at] @ solved
        gains = with_target[:-1] ** 2 / np.maximum(variance[:-1], _RIDGE)
        gains[at] = 0.0
        return gains / c[-1, -1]


def simulated(
    law: Law, noise: Noise, draws: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray], times: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what candidates would measure, standardised and clipped, shape (simulation, candidate), and the draw of each simulation.

    Parameters
    ----------
    draws : parameters, each of shape (draw,)
    columns : inputs of the candidates, and what the noise needs of them, each of shape (candidate,)
    times : simulations of each draw
    """
    import jax

    rows = len(next(iter(columns.values())))
    # In a bucket of few sizes: every size is a program of its own to compile.
    filled = {name: np.concatenate([values, np.full(bucket(rows) - rows, values[0])]) for name, values in columns.items()}
    wide = {name: values[:, None] for name, values in draws.items()}
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.PRNGKey(seed), times)
        measured = np.concatenate([np.asarray(_measure(law, noise)(wide, filled, key))[:, :rows] for key in keys])
    if quantity(law.output).low >= 0:
        measured = np.log(np.maximum(measured, 1e-300))
    low, middle, high = np.quantile(measured, [0.16, 0.5, 0.84], axis=0)
    scaled = np.clip((measured - middle) / np.maximum((high - low) / 2, 1e-300), -_CLIPPED, _CLIPPED)
    scaled = (scaled - scaled.mean(axis=0)) / np.maximum(scaled.std(axis=0), 1e-300)
    return scaled, np.tile(np.arange(len(next(iter(draws.values())))), times)


@lru_cache(maxsize=16)
def _measure(law: Law, noise: Noise) -> Callable[..., Any]:
    import jax

    return jax.jit(lambda p, at, key: noise.distribution(law.formula(at, p), p, at).sample(key))
