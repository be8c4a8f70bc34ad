"""Which runs to do next: those that most reduce what the decision at a target compute is expected to lose, within a budget.

The state is the posterior's draws. About each draw's optimum the loss of a plan is a parabola in ln params, so that the expected regret of
the best decision is half the curvature times the variance of ln N*, each draw weighed by its curvature. New runs shrink that variance. By
how much is worked out with the linear rule that is best (linear Bayes: conditioning of the draws' covariance), which needs no data of the
runs and no refit, is exact for a linear law with normal scatter, and is otherwise a bound that a better rule could only undercut. Student-t
scatter counts with the variance of its information. `reweighted` checks the chosen set without these approximations: data are simulated
from draws, and the others are reweighted by their likelihood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling import optimum
from bayes_scaling.cost import Cost
from bayes_scaling.engine import bucket
from bayes_scaling.errors import InputError, nearest
from bayes_scaling.fitted import Fit
from bayes_scaling.identification import thinned
from bayes_scaling.law import Law
from bayes_scaling.limits import Limits
from bayes_scaling.noise import Noise
from bayes_scaling.optimum import Draws, Problem
from bayes_scaling.pointwise import SCALED, pointwise
from bayes_scaling.runs import Runs

if TYPE_CHECKING:
    import xarray

_MOST_DRAWS, _MOST_REWEIGHTED = 4000, 20_000
_MOST_RUNS = 8  # runs that a plan may have: further ones hardly change the decision, and are work
_PASSES = 5  # of exchange
_LEVELS, _SIZES, _SPREAD = 12, 9, 4.0  # default candidates: levels of compute, sizes on each, and how far from the optimum
_LEAST = 0.01  # share of the variance that a run must take: whoever does runs wants few, and far smaller shares are chance among draws
_TOO_FEW = 50  # effective draws of the reweighting, the median over truths, below which it says little
_TRUTHS, _GRID = 256, 81  # of the check by reweighting: simulated truths, sizes to decide among
_BUDGETS = (1 / 16, 1 / 4, 1.0, 4.0)  # of which the plan's value is worked out, for where further runs stop paying


@dataclass(frozen=True, eq=False)
class State:
    """Covariance of what candidates would measure, each in units of its scatter, and of the quantity to be known (last row).

    ``noise`` is the variance of a measurement about the curve in those units.
    """

    covariance: np.ndarray
    noise: float

    def gains(self) -> np.ndarray:
        """Return by how much each candidate would reduce the variance of the quantity."""
        c = self.covariance
        return c[-1, :-1] ** 2 / (np.diag(c)[:-1] + self.noise)

    def after(self, run: int) -> State:
        """Return the state once a run is done."""
        c = self.covariance
        return State(c - np.outer(c[:, run], c[run]) / (c[run, run] + self.noise), self.noise)

    def after_all(self, runs: Sequence[int]) -> State:
        state = self
        for run in runs:
            state = state.after(run)
        return state

    @property
    def variance(self) -> float:
        return float(self.covariance[-1, -1])


def search(state: State, costs: np.ndarray, budget: float, most: int = _MOST_RUNS) -> list[int]:
    """Return the candidates whose runs together leave the least variance within a budget: greedy, then exchanged one by one.

    Greedy by gain alone, by gain for its cost and in between; the best of the three after exchange.
    """
    found = [_exchanged(state, costs, budget, _greedy(state, costs, budget, power, [], most), most) for power in (0.0, 0.5, 1.0)]
    return _without_idle(state, min(found, key=lambda runs: state.after_all(runs).variance))


def _cheapest_of_the_best(state: State, costs: np.ndarray, budget: float, plans: Sequence[list[int]]) -> list[int]:
    """Return the cheapest of the plans within a budget that leave hardly more variance than the one that leaves least."""
    variance = {tuple(runs): state.after_all(runs).variance for runs in plans if costs[runs].sum() <= budget * (1 + 1e-9)}
    near = [runs for runs, left in variance.items() if left <= min(variance.values()) * (1 + _LEAST)]
    return list(min(near, key=lambda runs: costs[list(runs)].sum()))


def _without_idle(state: State, chosen: list[int]) -> list[int]:
    """Leave out runs, one by one, that the others make superfluous."""
    while len(chosen) > 1:
        with_all = state.after_all(chosen).variance
        worth = [state.after_all([other for other in chosen if other != run]).variance - with_all for run in chosen]
        least = int(np.argmin(worth))
        if worth[least] > _LEAST * with_all:
            break
        chosen = [run for place, run in enumerate(chosen) if place != least]
    return chosen


def _greedy(state: State, costs: np.ndarray, budget: float, power: float, chosen: list[int], most: int) -> list[int]:
    chosen = list(chosen)
    now, left = state.after_all(chosen), budget - costs[chosen].sum()
    while len(chosen) < most:
        gains = now.gains()
        gains[chosen] = 0.0
        gains[costs > left * (1 + 1e-12)] = 0.0
        gains[gains <= _LEAST * now.variance] = 0.0
        best = int(np.argmax(gains / costs**power))
        if gains[best] == 0:
            break
        chosen.append(best)
        now, left = now.after(best), left - costs[best]
    return chosen


def _exchanged(state: State, costs: np.ndarray, budget: float, chosen: list[int], most: int) -> list[int]:
    """Swap runs for others, and fill what that leaves of the budget, as long as the variance falls."""
    lowest = state.after_all(chosen).variance
    for _ in range(_PASSES):
        before = lowest
        for run in list(chosen):
            others = [other for other in chosen if other != run]
            tried = _greedy(state, costs, budget, 0.0, others, most)
            variance = state.after_all(tried).variance
            if variance < lowest * (1 - 1e-9):
                chosen, lowest = tried, variance
        if lowest > before * (1 - 1e-6):
            break
    return chosen


def plan(
    fit: Fit,
    target_compute: float,
    budget: float,
    *,
    candidates: Mapping[str, Any] | None = None,
    objective: str = "regret",
    cost: Cost | None = None,
    limits: Limits | None = None,
    given: Mapping[str, Any] | None = None,
    most_runs: int = _MOST_RUNS,
    seed: int = 0,
) -> xarray.Dataset:
    """Choose the runs to do next.

    Parameters
    ----------
    target_compute : FLOP of the decision that the runs are for
    budget : FLOP that the runs may cost together
    candidates : arrays by input of the law, one element a run that could be done; by default a grid of compute levels from the cheapest
        runs of the fit to the budget, with sizes about the optimum of each
    objective : ``regret`` of the decision; ``loss`` for the variance of its ln loss; or a parameter, for its variance
    cost, limits, given : of the target's decision, as in `allocate`; runs cost training alone
    most_runs : how many runs the plan may have
    seed : of the check by reweighting

    Returns
    -------
    Dataset of the chosen runs in the order of their worth (dim ``run``): the law's inputs, ``compute``, ``remaining`` (share of the
    variance that is left once this and the runs before it are done), ``gain`` (share of the variance that is lost if only this one is left
    out), ``saves`` (FLOP at the target that the run is expected to save; objective ``regret``) and ``pays`` (more than it costs). Of dim
    ``level``: ``spent`` and ``remaining_at`` for plans of other budgets. Attributes: ``regret_now`` and ``regret_after`` (nat/token),
    ``waste_now`` and ``waste_after`` (FLOP at the target), ``reweighted_now`` and ``reweighted_after`` (regret found by importance
    reweighting, with Monte-Carlo standard errors ``reweighted_now_se`` and ``reweighted_after_se``), ``effective_draws`` (their median) and
    ``reweighting_ok`` (whether they are enough), and ``pays_until`` (the budget after which further runs cost more than they save). A run
    is only proposed if it takes 1 % of the variance that the others leave.

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
    optimum.require_compute(problem, target_compute)
    if not (np.isfinite(budget) and budget > 0):
        raise InputError(f"budget = {budget:g} FLOP must be positive and finite")
    if most_runs < 1:
        raise InputError(f"most_runs = {most_runs} must be at least 1")
    draws = thinned(fit.parameters(), _MOST_DRAWS)
    table = _candidates(fit, problem, draws, budget, candidates)
    costs = problem.cost.train_rate * _used(problem, table) * table["tokens"]
    cheapest = costs.min()
    if cheapest > budget:
        raise InputError(f"budget = {budget:.3g} FLOP buys none of {len(costs)} candidate runs: the cheapest costs {cheapest:.3g} FLOP")
    target = _Target(fit, problem, draws, target_compute)
    quantity, weights = target.objective(objective)
    curves = _in_units_of_scatter(fit, draws, table)
    state = _state(curves, quantity, weights, _noise_variance(draws))
    if not state.variance > 1e-12:
        raise InputError(f"the decision at {target_compute:.3g} FLOP does not depend on what is unknown: no run would change it")
    found = [search(state, costs, budget * share, most_runs) for share in _BUDGETS if budget * share >= cheapest]
    chosen = _by_worth(state, _cheapest_of_the_best(state, costs, budget, found))
    stages = [state.after_all(chosen[:i]).variance for i in range(len(chosen) + 1)]
    without = [state.after_all([other for other in chosen if other != run]).variance for run in chosen]
    remaining = np.array(stages[1:]) / state.variance
    data: dict[str, Any] = {
        **{name: ("run", table[name][chosen]) for name in fit.law.input_names},
        "compute": ("run", costs[chosen]),
        "remaining": ("run", remaining),
        "gain": ("run", (np.array(without) - stages[-1]) / state.variance),
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
    levels = sorted((float(costs[runs].sum()), state.after_all(runs).variance / state.variance) for runs in found)
    # A plan that costs more and leaves more is none.
    levels = [level for place, level in enumerate(levels) if all(level[1] < cheaper[1] for cheaper in levels[:place])]
    data["spent"], data["remaining_at"] = (("level", np.array(part)) for part in zip(*levels, strict=True))
    if objective == "regret":
        worth = target.waste * -np.diff(np.array(stages) / state.variance)
        data |= {"saves": ("run", worth), "pays": ("run", worth > costs[chosen])}
        total = np.array([0.0, *data["spent"][1]]) + target.waste * np.array([1.0, *data["remaining_at"][1]])
        attributes |= {
            "decision_params": target.decision,
            "decision_tokens": target.tokens,
            "regret_now": target.regret,
            "regret_after": target.regret * remaining[-1],
            "waste_now": target.waste,
            "waste_after": target.waste * remaining[-1],
            "pays_until": float(np.array([0.0, *data["spent"][1]])[np.argmin(total)]),
            **reweighted(
                fit,
                problem,
                thinned(fit.parameters(), _MOST_REWEIGHTED),
                {name: table[name][chosen] for name in table},
                target_compute,
                seed=seed,
            ),
        }
    return xarray.Dataset(data, attrs=attributes)


class _Target:
    """The decision that runs are for: what each draw would choose, what a wrong choice costs, and what is lost as things stand."""

    def __init__(self, fit: Fit, problem: Problem, draws: Draws, compute: float) -> None:
        (option,) = problem.options
        self.draws = draws
        best = optimum.best_plan(problem, draws, compute)
        self.decision, self.tokens, _ = optimum.best_decision(problem, draws, compute)
        decided = optimum.outcome(fit.law, draws, self.decision, self.tokens, option)
        self.log_loss = np.log(np.maximum(decided, 1e-300))
        self.log_best = np.log(best.params)
        lost = np.maximum(decided - best.outcome, 0.0)
        self.regret = float(lost.mean())
        # As compute: what the best plan of each draw would need for the loss of the decision.
        spent = np.minimum(problem.compute(self.decision, self.tokens, option), compute)
        self.waste = float(np.clip(spent - optimum.least_compute(problem, draws, decided), 0.0, compute).mean())
        # Curvature over a step as wide as the draws differ: that is where it is needed.
        step = max(0.05, float(self.log_best.std()))
        least, _, most = (float(part) for part in problem.range(compute, option))
        sides = [np.clip(best.params * np.exp(sign * step), least, most) for sign in (-1, 1)]
        losses = [optimum.outcome(fit.law, draws, side, problem.tokens(side, compute, option), option) - best.outcome for side in sides]
        steps = [np.maximum(np.abs(np.log(side) - self.log_best), 1e-9) for side in sides]
        self.curvature = np.maximum(sum(2 * loss / width**2 for loss, width in zip(losses, steps, strict=True)) / 2, 1e-300)

    def objective(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the quantity to be known and the weight of each draw."""
        if name == "regret":
            return self.log_best, self.curvature / self.curvature.sum()
        even = np.full(len(self.log_best), 1 / len(self.log_best))
        if name == "loss":
            return self.log_loss, even
        if name not in self.draws:
            raise InputError(f"objective '{name}' is unknown{nearest(name, ['regret', 'loss', *self.draws])}")
        return self.draws[name], even


def _candidates(fit: Fit, problem: Problem, draws: Draws, budget: float, candidates: Mapping[str, Any] | None) -> dict[str, np.ndarray]:
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
        return found
    runs = fit.runs
    plain = optimum.Problem(fit.law, Cost(problem.cost.training, active=problem.cost.active, shape=problem.cost.shape), Limits(), (option,))
    known = plain.cost.train_rate * _used(plain, {name: runs[name] for name in names}) * runs["tokens"]
    levels = np.geomspace(min(known.min(), budget / 100), budget, _LEVELS)
    few = {name: values[:: max(1, len(values) // 200)] for name, values in draws.items()}
    centres = [float(np.median(optimum.best_plan(plain, few, level).params)) for level in levels]
    sizes = np.array([np.geomspace(centre / _SPREAD, centre * _SPREAD, _SIZES) for centre in centres]).ravel()
    spent = np.repeat(levels, _SIZES)
    tokens = plain.tokens(sizes, spent, option)
    built = (tokens >= 1) & (sizes >= 10)
    if not built.any():
        raise InputError(f"budget = {budget:.3g} FLOP is too little for any run: not one token for a model of 10 params")
    # Smaller than every run so far, or on less data, a run tells of where the law is least likely to hold, and least asked.
    known_ground = built & (sizes >= runs["params"].min()) & (tokens >= runs["tokens"].min())
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


def _in_units_of_scatter(fit: Fit, draws: Draws, table: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return what each draw expects of each candidate, (draw, candidate), in units of the scatter."""
    return pointwise(SCALED, fit.law, fit.noise, _as_runs(fit, table), draws)


def _noise_variance(draws: Draws) -> float:
    """Return the variance, in units of the scale, of normal scatter with the information that the noise family's has about its centre."""
    if "nu" not in draws:
        return 1.0
    nu = draws["nu"]
    return float(1 / np.mean((nu + 1) / (nu + 3)))


def _state(curves: np.ndarray, quantity: np.ndarray, weights: np.ndarray, noise: float) -> State:
    together = np.concatenate([curves, quantity[:, None]], axis=1)
    centred = together - weights @ together
    return State((centred * weights[:, None]).T @ centred, noise)


def _by_worth(state: State, chosen: list[int]) -> list[int]:
    """Order the chosen runs: each next one is that of the largest gain."""
    left, ordered, now = list(chosen), [], state
    while left:
        gains = now.gains()
        best = max(left, key=lambda run: gains[run])
        ordered.append(best)
        left.remove(best)
        now = now.after(best)
    return ordered


def reweighted(
    fit: Fit, problem: Problem, draws: Draws, runs: Mapping[str, np.ndarray], target_compute: float, *, truths: int = _TRUTHS, seed: int = 0
) -> dict[str, float]:
    """Return the expected regret of the decision now and after runs, by simulated data and importance reweighting of the draws.

    For each of some draws taken as the truth, the runs' outcomes are drawn with their scatter, all other draws are weighed by the
    likelihood, and the size of least expected loss under these weights is set against the truth's own optimum.

    Returns
    -------
    ``reweighted_now`` and ``reweighted_after`` (nat/token), each with ``_se``, of the truths that were simulated; ``effective_draws``: the
    median of 1 / sum of squared weights; and ``reweighting_ok``: 1 where they are enough, 0 where it rests on few draws, and says little
    """
    import jax

    (option,) = problem.options
    total = len(next(iter(draws.values())))
    index = np.linspace(0, total - 1, min(truths, total // 2)).astype(int)
    best = optimum.best_plan(problem, draws, target_compute)
    low, high = np.quantile(best.params, [0.001, 0.999])
    sizes = np.geomspace(low, high, _GRID)
    wide = {name: values[:, None] for name, values in draws.items()}
    loss = optimum.outcome(fit.law, wide, sizes, problem.tokens(sizes, target_compute, option), option)
    regret = loss - best.outcome[:, None]
    # In a bucket of few sizes: every size is a program of its own to compile.
    rows = len(runs["params"])
    filled = {name: np.concatenate([values, np.full(bucket(rows) - rows, values[0])]) for name, values in runs.items()}
    at = _as_runs(fit, filled).columns
    with jax.enable_x64(True):
        truth = {name: values[index] for name, values in wide.items()}
        measured = np.asarray(_simulate(fit.law, fit.noise)(truth, at, jax.random.PRNGKey(seed)))
        counted = np.arange(len(at["params"])) < rows
        now, after, effective = [], [], []
        prior_choice = int(np.argmin(loss.mean(axis=0)))
        for row, place in enumerate(index):
            log_weights = np.array(_score(fit.law, fit.noise)(wide, at, measured[row], counted))
            log_weights[place] = -np.inf  # the truth must not be among what is weighed
            weights = np.exp(log_weights - log_weights.max())
            weights /= weights.sum()
            now.append(regret[place, prior_choice])
            after.append(regret[place, int(np.argmin(weights @ loss))])
            effective.append(1 / np.sum(weights**2))
    error = {name: float(np.std(values, ddof=1) / np.sqrt(len(values))) for name, values in (("now", now), ("after", after))}
    return {
        "reweighted_now": float(np.mean(now)),
        "reweighted_now_se": error["now"],
        "reweighted_after": float(np.mean(after)),
        "reweighted_after_se": error["after"],
        "effective_draws": float(np.median(effective)),
        "reweighting_ok": int(np.median(effective) >= _TOO_FEW),
    }


@lru_cache(maxsize=16)
def _simulate(law: Law, noise: Noise) -> Callable[..., Any]:
    import jax

    return jax.jit(lambda p, at, key: noise.distribution(law.formula(at, p), p, at).sample(key))


@lru_cache(maxsize=16)
def _score(law: Law, noise: Noise) -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp

    def score(p: Draws, at: Mapping[str, Any], measured: Any, counted: Any) -> Any:
        density = noise.distribution(law.formula(at, p), p, at).log_prob(measured)
        return jnp.sum(jnp.where(counted, density, 0.0), axis=-1)

    return jax.jit(score)
