"""A budget that two inputs of a law share otherwise than params and tokens do: encoder and decoder, training and answering.

A law says what its inputs take of the budget (`bayes_scaling.law.Sharing`); plans that spend all of it are then a line. The best one is
found for every draw, in closed form where the law has one; the decision is the one plan of least risk over all draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling import numeric
from bayes_scaling.cost import Cost
from bayes_scaling.drift import Drift, decades_beyond, drift_of
from bayes_scaling.errors import InputError
from bayes_scaling.fitted import Fit
from bayes_scaling.law import Input, Law, Sharing
from bayes_scaling.limits import Limits
from bayes_scaling.optimum import LARGEST_COMPUTE, Draws, bisect, choices, good_range, side_by_side
from bayes_scaling.prediction import new_measurement
from bayes_scaling.progress import follow
from bayes_scaling.quantities import quantity
from bayes_scaling.risk import Risk

if TYPE_CHECKING:
    import xarray

_SMALLEST_BUDGET = 1e-30  # the search for a target's budget begins there, whatever the unit


@dataclass(frozen=True, eq=False)
class Shared:
    """What is decided: how a law's inputs share a budget, with everything else given, or chosen among ``options``."""

    law: Law
    options: tuple[Mapping[str, float], ...]

    @property
    def by(self) -> Sharing:
        assert self.law.sharing is not None  # `shared_of` has refused such laws
        return self.law.sharing

    @property
    def sign(self) -> float:
        """Of the output in what is minimised."""
        return -1.0 if self.by.highest else 1.0

    @property
    def answer(self) -> str:
        """What results call the output: ``loss`` is what should be low."""
        return self.law.output if self.by.highest else "loss"

    @property
    def chosen(self) -> tuple[str, ...]:
        return tuple(name for name in self.options[0] if len({option[name] for option in self.options}) > 1)

    def known(self, budget: Any, option: Mapping[str, Any]) -> dict[str, Any]:
        return {**option, self.by.budget.name: budget}

    def span(self, budget: Any, option: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """Return the least and the largest first input at a budget, of its shape; the least is above the largest where it is too small."""
        with jax.enable_x64(True):
            ends = self.by.span(self.known(np.asarray(budget, float), option))
            low, high = (np.broadcast_to(np.asarray(end, float), np.shape(budget)) for end in ends)
        return low, high

    def plan(self, first: Any, budget: Any, option: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return all values of the plan that spends a budget on this first input and what is left for the second."""
        with jax.enable_x64(True):
            values = _filled(self.by, jnp.asarray(first, float), self.known(np.asarray(budget, float), option))
            return {name: np.asarray(value) for name, value in values.items()}

    def spent(self, plan: Mapping[str, Any]) -> np.ndarray:
        """Return what a plan takes of the budget."""
        with jax.enable_x64(True):
            return np.asarray(self.by.spends({name: np.asarray(value, float) for name, value in plan.items()}))

    def ratio(self, plan: Mapping[str, Any]) -> np.ndarray:
        """Return what tells a plan apart at a glance."""
        with jax.enable_x64(True):
            return np.asarray(self.by.ratio_of({name: np.asarray(value, float) for name, value in plan.items()}))

    def outcome(self, plan: Mapping[str, Any], parameters: Draws) -> np.ndarray:
        """Return the law's output, its sign changed where it should be high."""
        return self.sign * self.law.predict({name: plan[name] for name in self.law.input_names}, parameters)


@dataclass(frozen=True, eq=False)
class Best:
    """The best plan of each draw: first input, outcome (infinite where the budget is too small) and number of the option."""

    first: np.ndarray
    outcome: np.ndarray
    option: np.ndarray


def _filled(by: Sharing, first: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a plan: the second input gets what the first leaves of the budget. Works on traced values."""
    chosen, rest = by.inputs
    spent, rate = jax.jvp(
        lambda second: by.spends({**known, chosen: first, rest: second}), (jnp.zeros_like(first),), (jnp.ones_like(first),)
    )
    return {**known, chosen: first, rest: (known[by.budget.name] - spent) / rate}


@lru_cache(maxsize=64)
def _solver(law: Law, over_draws: bool) -> Callable[..., jax.Array]:
    """Return a compiled (parameters, known, low, high) -> ln first input at the best outcome; or at the least risk over the draws."""
    by = law.sharing
    assert by is not None

    @jax.jit
    def solve(
        parameters: Mapping[str, jax.Array],
        known: Mapping[str, jax.Array],
        low: jax.Array,
        high: jax.Array,
        weights: jax.Array | None = None,
    ) -> jax.Array:
        def value(x: jax.Array) -> jax.Array:
            result = law.formula(_filled(by, jnp.exp(x), known), parameters) * (-1.0 if by.highest else 1.0)
            if not over_draws:
                return result
            return jnp.mean(result) if weights is None else jnp.sum(jnp.sort(result) * weights)

        return numeric.minimum(value, low, high)

    return solve


def shared_of(law: Law, given: Mapping[str, Any] | None = None) -> Shared:
    """Return what is decided under a law whose inputs share a budget.

    Raises
    ------
    InputError
        If the law says of no budget how it is shared, or something that is not decided is unknown, missing or impossible.
    """
    if law.sharing is None:
        raise InputError(f"law '{law.name}' does not say what its inputs share: use decide or predict")
    by = law.sharing
    further = [item for item in law.inputs if item.name not in by.inputs]
    prices = [Input(item.name, item.unit, item.meaning, default=by.optional.get(item.name)) for item in by.given]
    return Shared(law, choices(law, (*further, *prices), given))


def refuse_spending(law: Law, cost: Cost | None, limits: Limits | None, *held: float | None) -> None:
    """Raise InputError if anything is asked of a plan that goes with params and tokens alone."""
    assert law.sharing is not None
    if (cost or Cost()) != Cost() or (limits or Limits()) != Limits() or any(value is not None for value in held):
        raise InputError(
            f"law '{law.name}' says itself what is spent, {law.sharing.budget.name} = {law.sharing.text}: costs, limits and held sizes go "
            "with laws of params and tokens"
        )


def require_budget(shared: Shared, budgets: Any) -> None:
    """Raise InputError unless every budget is positive and finite, and enough for some plan."""
    about = shared.by.budget
    for value in np.ravel(budgets):
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"{about.name} = {value:g} must be positive and finite: {about.meaning}")
        if value > LARGEST_COMPUTE:
            raise InputError(f"{about.name} = {value:.3g} is beyond anything: at most {LARGEST_COMPUTE:g}; check its unit")
        if not any(low < high for low, high in (shared.span(value, option) for option in shared.options)):
            raise InputError(f"{about.name} = {value:.3g} is too little: nothing is left for {shared.by.inputs[1]} ({shared.by.text})")


def best_of_draws(shared: Shared, parameters: Draws, budget: Any, *, numerically: bool = False) -> Best:
    """Return the plan of best outcome at a budget (a number, or one for each draw), for each draw.

    Parameters
    ----------
    numerically : by a grid and bisection of the slope, even where the law knows more
    """
    shape = next(iter(parameters.values())).shape
    budgets = np.broadcast_to(np.asarray(budget, float), shape)
    found = Best(np.full(shape, np.nan), np.full(shape, np.inf), np.zeros(shape, int))
    for number, option in enumerate(shared.options):
        low, high = shared.span(budgets, option)
        possible = low < high
        low, high = np.where(possible, low, 1.0), np.where(possible, high, 2.0)
        known = shared.known(budgets, option)
        with jax.enable_x64(True):
            if shared.by.best is not None and not numerically:
                first = np.clip(np.asarray(shared.by.best(parameters, known)), low, high)
            else:
                first = np.exp(np.asarray(_solver(shared.law, False)(dict(parameters), known, np.log(low), np.log(high))))
        value = shared.outcome(shared.plan(first, budgets, option), parameters)
        better = possible & (value < found.outcome)
        parts = ((first, found.first), (value, found.outcome), (number, found.option))
        found = Best(*(np.where(better, new, old) for new, old in parts))
    return found


def least_risk(shared: Shared, parameters: Draws, budget: float, risk: Risk) -> tuple[float, int]:
    """Return the first input and the option of the one plan of least risk over the draws."""
    flat = {name: np.ravel(values) for name, values in parameters.items()}
    weights = None if risk.kind == "mean" else risk.weights(len(next(iter(flat.values()))))
    found = []
    for number, option in enumerate(shared.options):
        low, high = shared.span(budget, option)
        if low < high:
            with jax.enable_x64(True):
                known = {name: np.asarray(value, float) for name, value in shared.known(budget, option).items()}
                first = float(np.exp(_solver(shared.law, True)(flat, known, np.log(low), np.log(high), weights)))
            found.append((float(risk.of(shared.outcome(shared.plan(first, budget, option), flat))), first, number))
    if not found:
        raise InputError(f"{shared.by.budget.name} = {budget:.3g} is too little ({shared.by.text})")
    _, first, number = min(found)
    return first, number


def least_budget(shared: Shared, parameters: Draws, outcome: Any) -> np.ndarray:
    """Return the least budget whose best plan has an outcome, for each draw; infinite where none has."""
    shape = next(iter(parameters.values())).shape
    wanted = np.broadcast_to(np.asarray(outcome, float), shape)
    return bisect(lambda budget: best_of_draws(shared, parameters, budget).outcome, wanted, _SMALLEST_BUDGET, LARGEST_COMPUTE)


def share_out(
    fit: Fit,
    budget: float | Iterable[float],
    *,
    given: Mapping[str, Any] | None = None,
    risk: str | Risk = "mean",
    band: float = 0.01,
    seed: int = 0,
    drift: Drift | float | None = None,
) -> xarray.Dataset:
    """Return what `bayes_scaling.allocate` does for a law whose inputs share a budget; names are the law's own."""
    import xarray

    shared, chosen_risk = shared_of(fit.law, given), Risk.read(risk)
    budgets = np.atleast_1d(np.asarray(budget, float))
    require_budget(shared, budgets)
    amounts = follow(budgets, "budgets", len(budgets))
    data = side_by_side((_one_budget(fit, shared, float(amount), chosen_risk, band, seed, drift) for amount in amounts), "budget")
    about = {"held": "", "risk": str(chosen_risk), "band": band, "ratio": shared.by.ratio.name, "drift": drift_of(drift).mean}
    return _with_units(xarray.Dataset(data, {"budget": budgets}, {**attributes(fit, shared), **about}), fit.law)


def _with_units(found: xarray.Dataset, law: Law) -> xarray.Dataset:
    for item in law.inputs:
        if item.name in found:
            found[item.name].attrs["unit"] = item.unit
    return found


def _of_options(shared: Shared, best: Best) -> dict[str, np.ndarray]:
    """Return what the best plan of each draw chooses of the options."""
    return {name: np.array([option[name] for option in shared.options])[best.option] for name in shared.options[0]}


def budgets_for(fit: Fit, targets: np.ndarray, given: Mapping[str, Any] | None) -> xarray.Dataset:
    """Return what `bayes_scaling.allocate_target` does for a law whose inputs share a budget; names are the law's own."""
    import xarray

    shared = shared_of(fit.law, given)
    draws = fit.parameters()
    data = side_by_side((_for_target(shared, draws, shared.sign * float(target)) for target in targets), "target")
    return _with_units(xarray.Dataset(data, {"target": targets}, attributes(fit, shared)), fit.law)


def _for_target(shared: Shared, draws: Draws, wanted: float) -> dict[str, Any]:
    first, second = shared.by.inputs
    budget = least_budget(shared, draws, wanted)
    reachable = np.isfinite(budget)
    enough = np.where(reachable, budget, LARGEST_COMPUTE)  # where none reaches it, what comes out is not kept
    best = best_of_draws(shared, draws, enough)
    plans = shared.plan(best.first, enough, _of_options(shared, best))

    def expected(amount: np.ndarray) -> np.ndarray:
        try:
            size, number = least_risk(shared, draws, float(amount[0]), Risk())
        except InputError:  # so little leaves no plan
            return np.array([np.inf])
        return np.array([np.mean(shared.outcome(shared.plan(size, amount[0], shared.options[number]), draws))])

    least = float(bisect(expected, np.array([wanted]), _SMALLEST_BUDGET, LARGEST_COMPUTE)[0])
    decided = {first: np.inf, second: np.inf}
    if np.isfinite(least):
        size, number = least_risk(shared, draws, least, Risk())
        decided = shared.plan(size, least, shared.options[number])
    return {
        shared.by.budget.name: budget,
        **{name: np.where(reachable, plans[name], np.inf) for name in (first, second)},
        "probability_reachable": reachable.mean(),
        f"decision_{shared.by.budget.name}": least,
        **{f"decision_{name}": float(decided[name]) for name in (first, second)},
    }


def judged(fit: Fit, plan: Mapping[str, float], given: Mapping[str, Any] | None) -> tuple[np.ndarray, float]:
    """Return the law's output of a plan under each draw, and what the plan takes of the budget."""
    law, by = fit.law, fit.law.sharing
    assert by is not None
    shared = shared_of(law, {**(given or {}), **{name: value for name, value in plan.items() if name not in by.inputs}})
    for name in by.inputs:
        if name not in plan or not quantity(name).admits(np.asarray(plan[name], float)):
            has = f"{plan[name]:g}" if name in plan else "none"
            raise InputError(f"a plan needs {name}, which must be {quantity(name).range_text()}; one has {has}")
    values = {**shared.options[0], **{name: float(plan[name]) for name in by.inputs}}
    return law.predict(values, fit.parameters()), float(shared.spent(values))


def attributes(fit: Fit, shared: Shared) -> dict[str, Any]:
    """Return what every answer says of its law and of what is shared."""
    return {
        "law": fit.law.name,
        "output": fit.law.output,
        "answer": shared.answer,
        "noise": fit.noise.name,
        "inputs": ",".join(shared.by.inputs),
        "shares": shared.by.budget.name,
        "unit": shared.by.budget.unit,
        "cost": shared.by.text,
        "limits": "",
        "training_budget": 0,
        "chosen": ",".join(shared.chosen),
        "further": ",".join(shared.options[0]),
        "trustworthy": int(fit.diagnosis.ok),
    }


def _one_budget(fit: Fit, shared: Shared, budget: float, risk: Risk, band: float, seed: int, drift: Drift | float | None) -> dict[str, Any]:
    draws, (first, second), answer, shares = fit.parameters(), shared.by.inputs, shared.answer, shared.by.budget.name
    best = best_of_draws(shared, draws, budget)
    of_option = _of_options(shared, best)
    plans = shared.plan(best.first, budget, of_option)
    size, number = least_risk(shared, draws, budget, risk)
    option = shared.options[number]
    decided = {name: float(value) for name, value in shared.plan(size, budget, option).items()}
    outcome = shared.outcome(decided, draws)
    regret = np.maximum(outcome - best.outcome, 0.0)  # rounding can put the decision an ulp above the best
    wasted = np.clip(budget - least_budget(shared, draws, outcome), 0.0, budget)
    low, high = _band(shared, draws, budget, risk, size, number, band)
    at = {name: decided[name] for name in fit.law.input_names}
    beyond = {name: float(decades_beyond(fit.runs, {name: value})) for name, value in at.items()}
    return {
        first: best.first,
        second: plans[second],
        shared.by.ratio.name: np.broadcast_to(shared.ratio(plans), best.first.shape),
        **{name: of_option[name] for name in shared.chosen},
        answer: shared.sign * best.outcome,
        f"{answer}_of_decision": shared.sign * outcome,
        "new_of_decision": new_measurement(fit, at, seed, drift),
        f"regret_{answer}": regret,
        f"regret_{shares}": wasted,
        **{f"decision_{name}": decided[name] for name in (first, second, *option)},
        f"decision_{shared.by.ratio.name}": float(shared.ratio(decided)),
        f"expected_{answer}": (shared.sign * outcome).mean(),
        f"expected_regret_{answer}": regret.mean(),
        f"expected_regret_{shares}": wasted.mean(),
        "band_low": low,
        "band_high": high,
        "decades_beyond": max(beyond.values()),
        **{f"decades_beyond_{name}": beyond[name] for name in (first, second)},
    }


def _band(shared: Shared, draws: Draws, budget: float, risk: Risk, size: float, number: int, share: float) -> tuple[float, float]:
    """Return the smallest and the largest first input that are as good as the best plan with a share less of the budget."""
    flat = {name: np.ravel(values) for name, values in draws.items()}
    option, less = shared.options[number], budget * (1 - share)

    def risk_of(first: float, spent: float, at: Mapping[str, float]) -> float:
        return float(risk.of(shared.outcome(shared.plan(first, spent, at), flat)))

    try:
        smaller, other = least_risk(shared, flat, less, risk)
    except InputError:
        return np.nan, np.nan
    allowed = risk_of(smaller, less, shared.options[other])
    low, high = (float(end) for end in shared.span(budget, option))

    return good_range(lambda first: risk_of(first, budget, option) <= allowed, size, low, high)
