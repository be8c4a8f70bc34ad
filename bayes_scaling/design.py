"""Which runs to do next: those that most reduce what the decision at a target compute is expected to lose, within a budget.

What a set of runs leaves to be lost is worked out by simulating their outcomes (`bayes_scaling.preposterior`). The set is searched for:
greedily, by what a run takes away and by that for its cost, then by exchange of one run at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling import optimum
from bayes_scaling.cost import Cost
from bayes_scaling.errors import InputError, nearest
from bayes_scaling.fitted import Fit
from bayes_scaling.identification import thinned
from bayes_scaling.limits import Limits
from bayes_scaling.optimum import Draws, Problem
from bayes_scaling.preposterior import Preposterior, Regret, Stake, Variance, simulated
from bayes_scaling.progress import follow
from bayes_scaling.runs import Runs
from bayes_scaling.units import amount

if TYPE_CHECKING:
    import xarray

_SIMULATIONS = 4000  # of the outcomes of runs: of so many draws at most, of fewer several times
_MOST_RUNS = 8  # runs that a plan may have: further ones hardly change the decision, and are work
_MOST_CANDIDATES = 2000  # outcomes of each are simulated, and kept
_TRIED = 30  # candidates that are worked out at each step: those that promise most at first look
_PASSES = 5  # of exchange
_POWERS = (0.0, 0.5, 1.0)  # of a run's cost, by which the greedy search divides what it takes away
_BLIND = 3  # starts of the search from runs taken blindly
_LEVELS, _SIZES, _SPREAD = 12, 9, 4.0  # default candidates: levels of compute, sizes on each, and how far from the optimum
_REACH = 4.0
_GRID = 41  # sizes to decide among
_LEAST = 0.01  # share of what is lost that a run must take: whoever does runs wants few, and far smaller shares are chance among draws
_BETTER = 1e-3  # share by which an exchange must reduce it
_BUDGETS = (1 / 16, 1 / 4, 1.0, 4.0)  # of which the plan's value is worked out, for where further runs stop paying


def search(state: Preposterior, costs: np.ndarray, budget: float, most: int = _MOST_RUNS, blind: int = _BLIND) -> list[int]:
    """Return the candidates that together leave least to be lost within a budget: greedy, then exchanged one by one.

    Greedy by what a run takes away, by that for its cost, and in between; and from some runs taken blindly, since the best first run need
    not be one of the best set. The best of these after exchange, without runs that the others make superfluous.
    """
    rng = np.random.default_rng(0)
    starts = [_greedy(state, costs, budget, [], power, most) for power in _POWERS]
    starts += [_blindly(costs, budget, most, rng) for _ in range(blind)]
    return _without_idle(state, min((_exchanged(state, costs, budget, start, most) for start in starts), key=state.left))


def _blindly(costs: np.ndarray, budget: float, most: int, rng: np.random.Generator) -> list[int]:
    chosen: list[int] = []
    for run in rng.permutation(len(costs)).tolist():
        if len(chosen) < most and costs[chosen].sum() + costs[run] <= budget * (1 + 1e-9):
            chosen.append(run)
    return chosen


def _affordable(state: Preposterior, costs: np.ndarray, budget: float, chosen: list[int]) -> list[int]:
    """Return the further candidates that the rest of the budget pays for, those that promise most at first look first."""
    left = budget * (1 + 1e-9) - costs[chosen].sum()
    can = [run for run in np.flatnonzero(costs <= left).tolist() if run not in chosen]
    gains = state.gains(chosen)
    return sorted(can, key=lambda run: -gains[run])


def _greedy(state: Preposterior, costs: np.ndarray, budget: float, chosen: list[int], power: float, most: int) -> list[int]:
    """Add runs one by one, each that which takes most away for its cost to this power."""
    while len(chosen) < most and (can := _affordable(state, costs, budget, chosen)):
        now, found = state.left(chosen), None
        for tried in (can[:_TRIED], can[_TRIED:]):  # the others only where none of the first is of use
            worth = {run: (now - state.left([*chosen, run])) / costs[run] ** power for run in tried}
            if worth and max(worth.values()) > 0:
                found = max(worth, key=worth.__getitem__)
                break
        if found is None:
            break
        chosen = [*chosen, found]
    return chosen


def _exchanged(state: Preposterior, costs: np.ndarray, budget: float, chosen: list[int], most: int) -> list[int]:
    """Swap each run for what its share of the budget pays for, as long as that leaves less."""
    for _ in range(_PASSES):
        before = state.left(chosen)
        for run in list(chosen):
            rest = [other for other in chosen if other != run]
            chosen = min(chosen, _greedy(state, costs, budget, rest, 0.0, most), key=state.left)
        if state.left(chosen) > before * (1 - _BETTER):
            break
    return chosen


def _without(state: Preposterior, chosen: Sequence[int]) -> list[float]:
    """Return what is lost where one of the chosen runs is left out, for each of them."""
    return [state.left([other for other in chosen if other != run]) for run in chosen]


def _without_idle(state: Preposterior, chosen: list[int]) -> list[int]:
    """Leave out runs, one by one, that the others make superfluous."""
    while len(chosen) > 1:
        without = _without(state, chosen)
        least = int(np.argmin(without))
        if without[least] > state.left(chosen) * (1 + _LEAST):
            break
        chosen = [run for place, run in enumerate(chosen) if place != least]
    return chosen


def _by_worth(state: Preposterior, chosen: list[int]) -> list[int]:
    """Order the chosen runs: each next one is that which leaves least."""
    ordered: list[int] = []
    while len(ordered) < len(chosen):
        ordered.append(min((run for run in chosen if run not in ordered), key=lambda run: state.left([*ordered, run])))
    return ordered


def _cheapest_of_the_best(state: Preposterior, costs: np.ndarray, budget: float, plans: Sequence[list[int]]) -> list[int]:
    """Return the cheapest of the plans within a budget that leave hardly more than the one that leaves least; none if none has a run."""
    within = [runs for runs in plans if runs and costs[runs].sum() <= budget * (1 + 1e-9)]
    least = min(map(state.left, within), default=0.0)
    return min((runs for runs in within if state.left(runs) <= least * (1 + _LEAST)), key=lambda runs: costs[runs].sum(), default=[])


def plan(
    fit: Fit,
    target_compute: float | str,
    budget: float | str,
    *,
    candidates: Mapping[str, Any] | None = None,
    objective: str = "regret",
    cost: Cost | None = None,
    limits: Limits | None = None,
    given: Mapping[str, Any] | None = None,
    most_runs: int = _MOST_RUNS,
    reach: float = _REACH,
    seed: int = 0,
) -> xarray.Dataset:
    """Choose the runs to do next.

    Parameters
    ----------
    target_compute : FLOP of the decision that the runs are for, or as text (``100 PF-day``)
    budget : FLOP that the runs may cost together, or as text
    candidates : arrays by input of the law, one element a run that could be done, at most 2000; by default a grid of compute levels from
        the cheapest runs of the fit to the budget, with sizes about the optimum of each
    objective : ``regret`` of the decision; ``loss`` for the variance of its ln loss; or a parameter, for its variance
    cost, limits, given : of the target's decision, as in `allocate`; runs cost training alone
    most_runs : how many runs the plan may have
    reach : by how many times a default candidate's params or tokens may be below those of every run so far; 1 is not at all. Runs far from
        the line of best sizes tell the law's terms apart, so that a plan likes them, and are where a law is most likely to bend
    seed : of the simulated outcomes

    Returns
    -------
    Dataset of the chosen runs in the order of their worth (dim ``run``): the law's inputs, ``compute``, ``remaining`` (share of the
    expected regret, or of the variance, that is left once this and the runs before it are done), ``gain`` (the share that leaving out only
    this one would add), ``saves`` (FLOP at the target that the run is expected to save; objective ``regret``) and ``pays`` (more than it
    costs). Of dim ``level``: ``spent`` and ``remaining_at`` for plans of other budgets. Attributes: ``regret_now`` and ``regret_after``
    (nat/token), ``regret_after_se`` (its Monte-Carlo standard error), ``waste_now`` and ``waste_after`` (FLOP at the target), and
    ``pays_until`` (the budget after which further runs cost more than they save). A run is only proposed if it takes 1 % of what the others
    leave.

    Raises
    ------
    InputError
        If a candidate is impossible, none is affordable, or the decision needs nothing to be known.

    Examples
    --------
    >>> next_runs = bs.plan(fit, target_compute=1e22, budget=1e20)
    >>> bool(next_runs["compute"].sum() <= 1.000001e20)
    True
    """
    import xarray

    problem = optimum.problem_of(fit.law, cost, limits, given)
    if problem.chosen:
        raise InputError(f"a plan of runs is for one decision: give one value of {problem.chosen[0]}")
    target_compute, budget = amount(target_compute, "compute"), amount(budget, "compute")
    optimum.require_compute(problem, target_compute)
    if not (np.isfinite(budget) and budget > 0):
        raise InputError(f"budget = {budget:g} FLOP must be positive and finite")
    if most_runs < 1:
        raise InputError(f"most_runs = {most_runs} must be at least 1")
    if not reach >= 1:
        raise InputError(f"reach = {reach:g} must be at least 1: by how many times candidates may be smaller than every run so far")
    draws = thinned(fit.parameters(), _SIMULATIONS)
    table = _candidates(fit, problem, draws, budget, candidates, reach)
    costs = problem.cost.train_rate * _used(problem, table) * table["tokens"]
    cheapest = costs.min()
    if cheapest > budget:
        raise InputError(f"budget = {budget:.3g} FLOP buys none of {len(costs)} candidate runs: the cheapest costs {cheapest:.3g} FLOP")
    target = _Target(fit, problem, draws, target_compute)
    times = -(-_SIMULATIONS // len(next(iter(draws.values()))))
    outcomes, draw = simulated(fit.law, fit.noise, draws, _as_runs(fit, table).columns, times, seed)
    state = Preposterior(outcomes, draw, target.stake(objective))
    now = state.left([])
    if not now > 1e-12:
        raise InputError(f"the decision at {target_compute:.3g} FLOP does not depend on what is unknown: no run would change it")
    shares = [share for share in _BUDGETS if budget * share >= cheapest]
    found = [
        search(state, costs, budget * share, most_runs, _BLIND if share == 1 else 0)
        for share in follow(shares, "plans of runs, by budget", len(shares))
    ]
    if not (best := _cheapest_of_the_best(state, costs, budget, found)):
        raise InputError(
            f"none of {len(costs)} candidate runs is expected to change the decision at {target_compute:.3g} FLOP for the better: give "
            "others (candidates), or a larger budget"
        )
    chosen = _by_worth(state, best)
    stages = np.array([state.left(chosen[:i]) for i in range(len(chosen) + 1)])
    remaining = stages[1:] / now
    data: dict[str, Any] = {
        **{name: ("run", table[name][chosen]) for name in fit.law.input_names},
        "compute": ("run", costs[chosen]),
        "remaining": ("run", remaining),
        "gain": ("run", (np.array(_without(state, chosen)) - stages[-1]) / now),
    }
    attributes: dict[str, Any] = {
        "law": fit.law.name,
        "objective": objective,
        "target_compute": float(target_compute),
        "budget": float(budget),
        "spent": float(costs[chosen].sum()),
        "candidates": len(costs),
        "trustworthy": int(fit.diagnosis.ok),
    }
    levels = sorted((float(costs[runs].sum()), state.left(runs) / now) for runs in found if runs)
    # A plan that costs more and leaves more is none.
    levels = [level for place, level in enumerate(levels) if all(level[1] < cheaper[1] for cheaper in levels[:place])]
    data["spent"], data["remaining_at"] = (("level", np.array(part)) for part in zip(*levels, strict=True))
    if objective == "regret":
        worth = target.waste * -np.diff(stages / now)
        data |= {"saves": ("run", worth), "pays": ("run", worth > costs[chosen])}
        total = np.array([0.0, *data["spent"][1]]) + target.waste * np.array([1.0, *data["remaining_at"][1]])
        attributes |= {
            "decision_params": target.decision,
            "decision_tokens": target.tokens,
            "regret_now": target.regret,
            "regret_after": target.regret * remaining[-1],
            "regret_after_se": state.error(chosen),
            "waste_now": target.waste,
            "waste_after": target.waste * remaining[-1],
            "pays_until": float(np.array([0.0, *data["spent"][1]])[np.argmin(total)]),
        }
    return xarray.Dataset(data, attrs=attributes)


class _Target:
    """The decision that runs are for, and what is lost as things stand."""

    def __init__(self, fit: Fit, problem: Problem, draws: Draws, compute: float) -> None:
        (option,) = problem.options
        self.draws = draws
        best = optimum.best_plan(problem, draws, compute)
        self.decision, self.tokens, _ = optimum.best_decision(problem, draws, compute)
        decided = optimum.outcome(fit.law, draws, self.decision, self.tokens, option)
        self.log_loss = np.log(np.maximum(decided, 1e-300))
        self.regret = float(np.maximum(decided - best.outcome, 0.0).mean())
        # As compute: what the best plan of each draw would need for the loss of the decision.
        spent = np.minimum(problem.compute(self.decision, self.tokens, option), compute)
        self.waste = float(np.clip(spent - optimum.least_compute(problem, draws, decided), 0.0, compute).mean())
        low, high = np.quantile(best.params, [0.001, 0.999])
        sizes = problem.limits.sizes or np.geomspace(low, high, _GRID)
        least, _, most = (float(part) for part in problem.range(compute, option))
        self.sizes = np.unique(np.clip(np.append(sizes, self.decision), least, most))
        wide = {name: values[:, None] for name, values in draws.items()}
        losses = optimum.outcome(fit.law, wide, self.sizes, problem.tokens(self.sizes, compute, option), option)
        self.regrets = np.maximum(losses - best.outcome[:, None], 0.0)

    def stake(self, objective: str) -> Stake:
        if objective == "regret":
            return Regret(self.regrets)
        if objective == "loss":
            return Variance(self.log_loss)
        if objective not in self.draws:
            raise InputError(f"objective '{objective}' is unknown{nearest(objective, ['regret', 'loss', *self.draws])}")
        return Variance(self.draws[objective])


def _candidates(
    fit: Fit, problem: Problem, draws: Draws, budget: float, candidates: Mapping[str, Any] | None, reach: float
) -> dict[str, np.ndarray]:
    """Return the runs that could be done: as given, or levels of compute with sizes about each level's optimum."""
    names, (option,) = fit.law.input_names, problem.options
    if candidates is not None:
        missing = [name for name in names if name not in candidates and name not in option]
        if missing:
            raise InputError(f"the candidate runs have no '{missing[0]}'; law '{fit.law.name}' needs {', '.join(names)}")
        found = {name: np.atleast_1d(np.asarray(candidates.get(name, option.get(name)), float)) for name in names}
        found = dict(zip(found, map(np.array, np.broadcast_arrays(*found.values())), strict=True))
        for name, values in found.items():
            for row in np.flatnonzero(~(np.isfinite(values) & (values > 0) | (values == 0) & (name not in ("params", "tokens")))):
                raise InputError(f"candidate run {row + 1}: {name} = {values[row]:g} must be positive and finite")
        if len(found["params"]) > _MOST_CANDIDATES:
            raise InputError(f"{len(found['params'])} candidate runs are too many to weigh; give at most {_MOST_CANDIDATES}")
        return found
    runs = fit.runs
    plain = optimum.Problem(fit.law, Cost(problem.cost.training, active=problem.cost.active, shape=problem.cost.shape), Limits(), (option,))
    known = plain.cost.train_rate * _used(plain, {name: runs[name] for name in names}) * runs["tokens"]
    levels = np.geomspace(min(known.min(), budget / 100), budget, _LEVELS)
    few = {name: values[:: max(1, len(values) // 200)] for name, values in draws.items()}
    centres = [float(np.median(optimum.best_plan(plain, few, level).params)) for level in levels]
    sizes = np.round([np.geomspace(centre / _SPREAD, centre * _SPREAD, _SIZES) for centre in centres]).ravel()
    spent = np.repeat(levels, _SIZES)
    with np.errstate(divide="ignore", invalid="ignore"):  # a size of 0 is taken for none below
        tokens = np.floor(plain.tokens(sizes, spent, option))
    built = (tokens >= 1) & (sizes >= 10)
    if not built.any():
        raise InputError(f"budget = {budget:.3g} FLOP is too little for any run: not one token for a model of 10 params")
    known_ground = built & (sizes >= runs["params"].min() / reach) & (tokens >= runs["tokens"].min() / reach)
    built = known_ground if known_ground.any() else built
    return {name: {"params": sizes, "tokens": tokens}.get(name, np.full(len(sizes), option.get(name, 1.0)))[built] for name in names}


def _used(problem: Problem, table: Mapping[str, Any]) -> np.ndarray:
    further = {name: values for name, values in table.items() if name not in ("params", "tokens")}
    return problem.used(table["params"], further)


def _as_runs(fit: Fit, table: Mapping[str, np.ndarray], measured: np.ndarray | None = None) -> Runs:
    """Return candidates as runs, with the stated errors that the fit's runs typically have, where its noise needs them."""
    rows = len(table["params"])
    further = {name: np.full(rows, float(np.median(fit.runs[name]))) for name in fit.noise.needs}
    columns = {**table, **further, fit.law.output: np.ones(rows) if measured is None else measured}
    return Runs(columns, np.arange(1, rows + 1), "candidate runs")
