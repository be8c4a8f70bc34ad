"""The reverse of a budget: the least compute that reaches a target loss, or a target of what a second fit predicts from the loss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling import optimum
from bayes_scaling.allocation import attributes, average_weights, reach
from bayes_scaling.cost import Cost
from bayes_scaling.errors import InputError
from bayes_scaling.fitted import Fit
from bayes_scaling.law import Law
from bayes_scaling.limits import Bounds, Limits
from bayes_scaling.optimum import Problem
from bayes_scaling.prediction import matched
from bayes_scaling.quantities import quantity
from bayes_scaling.splitting import budgets_for

if TYPE_CHECKING:
    import xarray


_SMALLEST = 1e-30  # the search for the input of a law of one begins there, whatever its unit


def allocate_target(
    fit: Fit | Mapping[str, Fit],
    target_loss: float | Iterable[float],
    *,
    cost: Cost | None = None,
    limits: Limits | Bounds | None = None,
    given: Mapping[str, Any] | None = None,
    then: Fit | None = None,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
) -> xarray.Dataset:
    """Return the least compute that reaches a target loss, with the plan that does it; for a law of one input, the input needed.

    Under a law that says what its inputs share (``law.sharing``), it is the least of that budget, and the target is of the law's output.

    Parameters
    ----------
    fit : of a law, or several by name, which are averaged (`bayes_scaling.allocate_target_average`)
    target_loss : target or targets in nat/token; with ``then``, of what that fit predicts from the loss (an accuracy)
    cost, limits, given : as in `allocate`
    then : a second fit that takes this one's output: the target is of its output, with the uncertainty of both
    weights : of several fits, by name; by default those of `bayes_scaling.compare`
    seed : of the pairing of the two fits' draws

    Returns
    -------
    Dataset with coordinate ``target``. Of dims chain, draw, target: ``compute``, ``params`` and ``tokens`` (a law of
    params and tokens), or the law's one input; infinite where the draw's floor is not below the target; ``attainable``: the best output
    of any amount within the limits (at most 1e40), beyond which no target is reached. Of dim target:
    ``probability_reachable``, and ``decision_compute``, ``decision_params``, ``decision_tokens`` of the cheapest plan whose expected loss
    (or, with ``then``, whose expected output of that fit) is the target (infinite where there is none), and how many decades it lies
    beyond the runs (``decades_beyond``)

    Examples
    --------
    >>> plan = bs.allocate_target(fit, 2.5)
    >>> plan["compute"].dims
    ('chain', 'draw', 'target')
    """
    import xarray

    targets = np.atleast_1d(np.asarray(target_loss, dtype=float))
    if isinstance(fit, Mapping):
        from bayes_scaling.averaging import allocate_target_average

        settings: dict[str, Any] = {"cost": cost, "limits": limits, "given": given, "then": then, "seed": seed}
        return allocate_target_average(fit, average_weights(fit, weights, seed), targets, **settings)
    if weights:
        raise InputError("weights go with several fits, by name")
    output = (then or fit).law.output
    for target in targets:
        kind = quantity(output)
        if not kind.admits(np.array(target)):
            raise InputError(f"target {output} = {target:g} must be {kind.possible_text()}")
    draws = fit.parameters()
    if fit.law.sharing is not None:
        if then is not None:
            raise InputError(f"law '{fit.law.name}' has a budget of its own: its target takes no second fit")
        return budgets_for(fit, targets, given, limits, cost)
    if cost is not None and cost.training_budget:
        raise InputError("a target has no budget: its least compute is of training and serving together; leave the training budget out")
    single = len(fit.law.input_names) == 1
    if single:
        _require_falling(fit.law)
    if single and ((limits is not None and limits.any) or given or then):
        raise InputError(f"law '{fit.law.name}' is of one input: its target takes no limits, given values or second fit")
    link = Link(fit, then, seed) if then is not None else None
    problem = None if single else optimum.problem_of(fit.law, cost, limits, given)
    if problem is None:
        answers = [_input_for_target(fit, draws, float(target)) for target in targets]
    else:
        furthest = optimum.best_outcome(problem, draws, optimum.LARGEST_COMPUTE)  # whatever the target
        attainable = {"attainable": link.of(furthest) if link else furthest}
        answers = [_plan_for_target(fit, problem, draws, float(target), link) | attainable for target in targets]
    data = optimum.side_by_side(answers, "target")
    about = attributes(fit, problem or Problem(fit.law, cost or Cost()))
    trusted = fit.diagnosis.ok and (then is None or then.diagnosis.ok)
    return xarray.Dataset(data, {"target": targets}, {**about, "output": output, "trustworthy": int(trusted)})


def _require_falling(law: Law) -> None:
    """Raise InputError unless the output of a law of one input should be low, and falls with the input."""
    (name,) = law.input_names
    if law.output not in optimum.LOWER_IS_BETTER or name not in law.decreasing_in:
        own = f"; its own question is for decide: {law.decision.question}" if law.decision else ""
        raise InputError(f"law '{law.name}' has no least {name} for a target: its {law.output} need not fall with {name}, or be low{own}")


class Link:
    """A second fit that takes the first one's output, its draws paired with the first one's: what it predicts, and which loss it needs."""

    def __init__(self, fit: Fit, then: Fit, seed: int) -> None:
        if then.law.input_names != (fit.law.output,):
            raise InputError(f"law '{then.law.name}' does not take {fit.law.output} alone, which law '{fit.law.name}' predicts")
        shape = next(iter(fit.parameters().values())).shape
        self.law, self.loss = then.law, fit.law.output
        self.parameters = matched(then.parameters(), shape, seed)
        low, high = then.law.inputs[0].low, then.law.inputs[0].high
        self.span = max(low, 1e-6), high
        ends = [np.median(self.of(np.full(shape, end))) for end in self.span]
        self.falling = bool(ends[1] < ends[0])  # an accuracy falls with the loss, an error rises

    def of(self, loss: np.ndarray) -> np.ndarray:
        return self.law.predict({self.loss: loss}, self.parameters)

    def needed(self, target: float) -> np.ndarray:
        """Return the highest loss that reaches the target, for each draw; 0 where none does."""
        shape = next(iter(self.parameters.values())).shape
        sign = 1.0 if self.falling else -1.0  # larger is better where the output falls with the loss
        # In 1 / loss, which rises as the output gets better.
        found = optimum.least_reaching(lambda x: -sign * self.of(1 / x), np.full(shape, -sign * target), 1 / self.span[1], 1 / self.span[0])
        return np.where(np.isfinite(found), 1 / found, 0.0)


def _plan_for_target(fit: Fit, problem: Problem, draws: Mapping[str, np.ndarray], target: float, link: Link | None) -> dict[str, Any]:
    needed = link.needed(target) if link else target
    compute = optimum.least_compute(problem, draws, needed)
    reachable = np.isfinite(compute)
    best = optimum.best_plan(problem, draws, np.where(reachable, compute, 1e30))  # where it is not, what comes out is not kept
    sign = -1.0 if link and link.falling else 1.0

    def expected(budget: np.ndarray) -> np.ndarray:
        try:
            size, tokens, number = optimum.best_decision(problem, draws, float(budget[0]))
        except ValueError:  # no plan of so little compute keeps the limits
            return np.array([np.inf])
        loss = optimum.outcome(problem.law, draws, size, tokens, problem.options[number])
        return np.array([sign * np.mean(link.of(loss) if link else loss)])

    low, high = optimum.smallest_compute(problem), optimum.LARGEST_COMPUTE
    budget = float(optimum.least_reaching(expected, np.array([sign * target]), low, high)[0])
    size, tokens, number = optimum.best_decision(problem, draws, budget) if np.isfinite(budget) else (np.inf, np.inf, 0)
    beyond = reach(fit, {"params": size, "tokens": tokens, **problem.options[number]}, problem)["decades_beyond"]
    return {
        "compute": compute,
        "params": np.where(reachable, best.params, np.inf),
        "tokens": np.where(reachable, best.tokens, np.inf),
        "probability_reachable": reachable.mean(),
        "decision_compute": budget,
        "decision_params": size,
        "decision_tokens": tokens,
        "decades_beyond": beyond,
    }


def _input_for_target(fit: Fit, draws: Mapping[str, np.ndarray], target: float) -> dict[str, Any]:
    name = fit.law.input_names[0]
    shape = next(iter(draws.values())).shape
    needed = optimum.least_reaching(lambda x: fit.law.predict({name: x}, draws), np.full(shape, target), _SMALLEST, optimum.LARGEST_COMPUTE)
    furthest = np.broadcast_to(fit.law.predict({name: optimum.LARGEST_COMPUTE}, draws), shape)
    return {name: needed, "attainable": furthest, "probability_reachable": np.isfinite(needed).mean()}
