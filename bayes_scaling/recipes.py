"""Two recipes (architectures, data mixes, optimisers): how much compute one is worth of the other, and where their curves cross."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling import optimum
from bayes_scaling.cost import Cost
from bayes_scaling.errors import InputError
from bayes_scaling.fitted import Fit
from bayes_scaling.limits import Limits
from bayes_scaling.optimum import Draws, Problem
from bayes_scaling.prediction import matched
from bayes_scaling.progress import follow
from bayes_scaling.units import amounts

if TYPE_CHECKING:
    import xarray

_STEPS = 61  # of compute, where a crossing is looked for


class Frontier:
    """The lowest loss that a recipe reaches at a compute, draw by draw, and the least compute for a loss.

    Of a law of params and tokens, by their best split; of a law of compute alone, the law itself.
    """

    def __init__(self, fit: Fit, parameters: Draws, cost: Cost | None, limits: Limits | None, given: Mapping[str, Any] | None) -> None:
        self.law, self.parameters = fit.law, parameters
        self.shape = next(iter(parameters.values())).shape
        self.problem: Problem | None = None
        if fit.law.input_names == ("compute",) and fit.law.output in ("loss", "error", "task_loss"):
            if (cost or Cost()) != Cost() or (limits or Limits()).any or given:
                raise InputError(f"law '{fit.law.name}' is of compute alone: cost, limits and given values do not apply to it")
            self.compute = fit.runs["compute"]
        else:
            self.problem = optimum.problem_of(fit.law, cost, limits, given)
            runs = {name: fit.runs[name] for name in fit.law.input_names}
            further = {name: values for name, values in runs.items() if name not in ("params", "tokens")}
            self.compute = self.problem.cost.train_rate * self.problem.used(runs["params"], further) * runs["tokens"]

    def outcome(self, compute: Any) -> np.ndarray:
        if self.problem is None:
            return self.law.predict({"compute": np.broadcast_to(compute, self.shape)}, self.parameters)
        return optimum.best_outcome(self.problem, self.parameters, compute)

    def least_compute(self, target: np.ndarray) -> np.ndarray:
        if self.problem is None:
            return optimum.least_reaching(self.outcome, target, 1.0, optimum.LARGEST_COMPUTE)
        return optimum.least_compute(self.problem, self.parameters, target)


def compute_multiplier(
    fit: Fit,
    other: Fit,
    compute: float | str | Iterable[float | str],
    *,
    cost: Cost | None = None,
    other_cost: Cost | None = None,
    limits: Limits | None = None,
    given: Mapping[str, Any] | None = None,
    joint: bool = False,
    seed: int = 0,
) -> xarray.Dataset:
    """Return how many times the compute another recipe needs for the loss that this one reaches.

    Parameters
    ----------
    fit, other : fits of the two recipes, of the same output; of one fit by groups, two of its groups (`Fit.select`) with ``joint``
    compute : of this recipe, in FLOP, at its own best split
    cost, other_cost, limits, given : as in `allocate`; ``other_cost`` is the cost of the other recipe where it differs
    joint : the fits share their draws (groups of one fit), so that the i-th draw of one goes with the i-th of the other
    seed : of the pairing of draws that are independent

    Returns
    -------
    Dataset with coordinate ``budget``. Of dims chain, draw, budget: ``multiplier`` (infinite where the other never gets there), ``loss``
    and ``other_loss`` at equal compute. Of dims chain, draw: ``crossing``, the compute (FLOP) between the smallest runs and ten times the
    largest budget where the curves cross last; NaN where they do not. Of dim budget: ``probability_better`` (multiplier above 1),
    ``probability_holds`` (the better recipe at the largest compute that both have runs at is the better one here too), and
    ``decades_beyond_compute``. Attributes: ``probability_crossing`` and ``compared_at``, that largest compute.

    Raises
    ------
    InputError
        If the outputs differ, or a law has neither a plan nor compute for its input.
    """
    import xarray

    if fit.law.output != other.law.output:
        raise InputError(f"the recipes predict different things: {fit.law.output} and {other.law.output}")
    budgets = amounts(compute, "compute")
    parameters = fit.parameters()
    shape = next(iter(parameters.values())).shape
    theirs = other.parameters()
    if joint and next(iter(theirs.values())).shape != shape:
        raise InputError("joint draws must be of groups of one fit")
    first = Frontier(fit, parameters, cost, limits, given)
    second = Frontier(other, theirs if joint else matched(theirs, shape, seed), other_cost or cost, limits, given)
    for frontier in (first, second):
        if frontier.problem is not None:
            optimum.require_compute(frontier.problem, budgets)
    tested = min(first.compute.max(), second.compute.max())
    start = max(first.compute.min(), second.compute.min())
    grid = np.geomspace(start, max(budgets.max(), tested) * 10, _STEPS)

    def ahead(at: Any) -> np.ndarray:
        """How much lower the loss of this recipe is, in logs."""
        return np.log(second.outcome(at)) - np.log(first.outcome(at))

    columns: dict[str, list[np.ndarray]] = {"multiplier": [], "loss": [], "other_loss": []}
    for budget in follow(budgets, "budgets", len(budgets)):
        loss = first.outcome(budget)
        columns["loss"].append(loss)
        columns["other_loss"].append(second.outcome(budget))
        columns["multiplier"].append(second.least_compute(loss) / budget)
    data: dict[str, Any] = {name: (("chain", "draw", "budget"), np.stack(values, axis=-1)) for name, values in columns.items()}
    lower = data["loss"][1] < data["other_loss"][1]
    led = ahead(tested) > 0
    crossing = _last_crossing(ahead, grid, shape)
    beyond = np.maximum(0.0, np.log10(budgets / tested))
    return xarray.Dataset(
        {
            **data,
            "crossing": (("chain", "draw"), crossing),
            "probability_better": ("budget", lower.mean(axis=(0, 1))),
            "probability_holds": ("budget", (lower == led[..., None]).mean(axis=(0, 1))),
            "decades_beyond_compute": ("budget", beyond),
        },
        {"budget": budgets},
        {
            "law": fit.law.name,
            "other_law": other.law.name,
            "output": fit.law.output,
            "compared_at": float(tested),
            "probability_crossing": float(np.isfinite(crossing).mean()),
            "trustworthy": int(fit.diagnosis.ok and other.diagnosis.ok),
        },
    )


def _last_crossing(ahead: Any, grid: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return where a difference changes its sign last on a grid of compute, to the digits that bisection gives; NaN where it does not."""
    signs = np.stack([ahead(np.full(shape, at)) > 0 for at in grid])
    changes = signs[1:] != signs[:-1]
    some = changes.any(axis=0)
    last = len(grid) - 2 - np.argmax(changes[::-1], axis=0)
    low, high = np.log(grid[last]), np.log(grid[last + 1])
    before = np.take_along_axis(signs, last[None], axis=0)[0]
    for _ in range(40):
        middle = (low + high) / 2
        same = (ahead(np.exp(middle)) > 0) == before
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return np.where(some, np.exp(high), np.nan)
