"""A budget that two inputs of a law share otherwise than params and tokens do: encoder and decoder, training and answering.

A law says what its inputs take of the budget (`bayes_scaling.law.Sharing`); plans that spend all of it are then a line, of which bounds
leave a part. The best one is found for every draw, in closed form where the law has one; the decision is the one plan of least risk over
all draws (`bayes_scaling.splitting` asks for both).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling import numeric
from bayes_scaling.cost import Cost
from bayes_scaling.errors import InputError, listed, option_text
from bayes_scaling.law import Input, Law, Sharing
from bayes_scaling.limits import UNBOUNDED, Bounds, Limits
from bayes_scaling.optimum import LARGEST_COMPUTE, Draws, choices, least_reaching
from bayes_scaling.risk import Risk
from bayes_scaling.units import quantity_text

SMALLEST_BUDGET = 1e-30  # the search for a target's budget begins there, whatever the unit
_ROUNDING = 1e-12
_PLACES = 65  # on a line of plans, to find where the most is left of what must not be too little
_CLOSER = 4  # times that the best of these is looked about
_HALVINGS = 60


@dataclass(frozen=True, eq=False)
class Shared:
    """What is decided: how a law's inputs share a budget within bounds, with everything else given, or chosen among ``options``.

    An option may hold one of the inputs that share: the first at its value, the second at no more (what is over is not spent).
    """

    law: Law
    options: tuple[Mapping[str, float], ...]
    bounds: Bounds = field(default_factory=Bounds)
    cost: Cost = field(default_factory=Cost)

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

    def most(self, option: Mapping[str, float]) -> float:
        """Return the most that the second input may be; finite."""
        rest = self.by.inputs[1]
        return min(self.bounds.at_most.get(rest, UNBOUNDED), option.get(rest, UNBOUNDED))

    def span(self, budget: Any, option: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """Return the least and the largest first input at a budget, of its shape; the least is above the largest where no plan is left."""
        budget = np.asarray(budget, float)
        first, rest = self.by.inputs
        with jax.enable_x64(True):
            ends = self.by.span(self.known(budget, option))
            low, high = (np.array(np.broadcast_to(np.asarray(end, float), budget.shape)) for end in ends)
        low = np.maximum(low, max(self.bounds.at_least.get(first, 0.0), option.get(first, 0.0)))
        high = np.minimum(high, min(self.bounds.at_most.get(first, np.inf), option.get(first, np.inf)))
        least = max(self.bounds.at_least.get(rest, 0.0), option.get(rest, 0.0))
        if least:
            low, high = _within(lambda at: self.plan(at, budget, option)[rest] / least - 1, low, high)
        for bounds, sign in ((self.bounds.at_least, 1), (self.bounds.at_most, -1)):
            if (bound := bounds.get(self.by.ratio.name)) is not None:
                low, high = _within(lambda at, s=sign, b=bound: s * (self.ratio(self.plan(at, budget, option)) / b - 1), low, high)
        return low, high

    def plan(self, first: Any, budget: Any, option: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return all values of the plan that spends a budget on this first input and what is left for the second."""
        with jax.enable_x64(True):
            values = _filled(self.by, jnp.asarray(first, float), self.known(np.asarray(budget, float), option), self.most(option))
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


def _within(kept: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of a range in which a function of the first input is not negative; from inf to 0 where it is negative throughout.

    The function rises, falls, or rises and then falls, so that this part is one.
    """
    none = low > high
    start, end = np.log(np.where(none, 1.0, low)), np.log(np.where(none, 1.0, high))
    near, peak, far = start, start, end
    for _ in range(_CLOSER):
        places = near + (far - near) * np.linspace(0, 1, _PLACES).reshape(-1, *(1,) * low.ndim)
        best = np.argmax(kept(np.exp(places)), axis=0)
        near, peak, far = (np.take_along_axis(places, np.clip(best + step, 0, _PLACES - 1)[None], axis=0)[0] for step in (-1, 0, 1))
    none = none | (kept(np.exp(peak)) < -_ROUNDING)
    ends = []
    for outside in (start, end):
        good, bad = peak, np.where(kept(np.exp(outside)) >= -_ROUNDING, peak, outside)
        for _ in range(_HALVINGS):
            middle = (good + bad) / 2
            fine = kept(np.exp(middle)) >= -_ROUNDING
            good, bad = np.where(fine, middle, good), np.where(fine, bad, middle)
        ends.append(np.exp(np.where(bad == peak, outside, good)))
    return np.where(none, np.inf, ends[0]), np.where(none, 0.0, ends[1])


def _filled(by: Sharing, first: Any, known: Mapping[str, Any], most: Any) -> dict[str, Any]:
    """Return the values of a plan: the second input gets what the first leaves of the budget, if it may. Works on traced values."""
    chosen, rest = by.inputs
    spent, rate = jax.jvp(
        lambda second: by.spends({**known, chosen: first, rest: second}), (jnp.zeros_like(first),), (jnp.ones_like(first),)
    )
    return {**known, chosen: first, rest: jnp.minimum((known[by.budget.name] - spent) / rate, most)}


@lru_cache(maxsize=64)
def _solver(law: Law, over_draws: bool) -> Callable[..., jax.Array]:
    """Return a compiled (parameters, known, most, low, high) -> ln first input at the best outcome; or at the least risk over the draws."""
    by = law.sharing
    assert by is not None

    @jax.jit
    def solve(
        parameters: Mapping[str, jax.Array],
        known: Mapping[str, jax.Array],
        most: jax.Array,
        low: jax.Array,
        high: jax.Array,
        weights: jax.Array | None = None,
    ) -> jax.Array:
        def value(x: jax.Array) -> jax.Array:
            result = law.formula(_filled(by, jnp.exp(x), known, most), parameters) * (-1.0 if by.highest else 1.0)
            if not over_draws:
                return result
            return jnp.mean(result) if weights is None else jnp.sum(jnp.sort(result) * weights)

        return numeric.minimum(value, low, high)

    return solve


def shared_of(law: Law, given: Mapping[str, Any] | None = None, limits: Limits | Bounds | None = None, cost: Cost | None = None) -> Shared:
    """Return what is decided under a law whose inputs share a budget.

    Parameters
    ----------
    given : values of what is not decided, and of inputs that are held; several for one make a plan choose among them
    cost : of which only the hardware is used, for GPU-hours and dollars

    Raises
    ------
    InputError
        If the law says of no budget how it is shared, or something that is not decided is unknown, missing or impossible.
    """
    if law.sharing is None:
        raise InputError(f"law '{law.name}' does not say what its inputs share: use decide or predict")
    by, given, cost = law.sharing, dict(given or {}), cost or Cost()
    if isinstance(limits, Limits) and limits.any:
        raise InputError(
            f"law '{law.name}' says itself what is spent, {by.budget.name} = {by.text}: bounds of its inputs go by their names "
            f"({option_text(at_most={by.inputs[0]: '...'})})"
        )
    bounds = limits if isinstance(limits, Bounds) else Bounds()
    bounded = (*by.inputs, by.ratio.name)
    for name in (*bounds.at_least, *bounds.at_most):
        if name not in bounded:
            raise InputError(f"under law '{law.name}', {listed(bounded)} have bounds; '{name}' has none")
    if replace(cost, hardware=None) != Cost():
        raise InputError(
            f"law '{law.name}' says itself what is spent, {by.budget.name} = {by.text}: other costs go with laws of params and tokens"
        )
    one_price = cost.hardware is None or (cost.hardware.serving_weight == 1 and by.budget.unit == "FLOP")
    if not one_price:
        raise InputError(
            f"law '{law.name}' shares out {by.budget.name} = {by.text}: GPU-hours and dollars are of a budget in FLOP, at one price"
        )
    held = [name for name in by.inputs if name in given]
    if len(held) > 1:
        raise InputError(f"{' and '.join(held)} are both given: nothing is left to decide; give one, or use predict")
    further = [item for item in law.inputs if item.name not in by.inputs or item.name in held]
    prices = [Input(item.name, item.unit, item.meaning, default=by.optional.get(item.name)) for item in by.given]
    return Shared(law, choices(law, (*further, *prices), given), bounds, cost)


def require_budget(shared: Shared, budgets: Any) -> None:
    """Raise InputError unless every budget is positive and finite, and enough for some plan."""
    about = shared.by.budget
    for value in np.ravel(budgets):
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"{about.name} = {value:g} must be positive and finite: {about.meaning}")
        if value > LARGEST_COMPUTE:
            raise InputError(f"{about.name} = {value:.3g} is beyond anything: at most {LARGEST_COMPUTE:g}; check its unit")
        if not any(low <= high for low, high in (shared.span(value, option) for option in shared.options)):
            raise InputError(_without_plan(shared, float(value)))


def _without_plan(shared: Shared, budget: float) -> str:
    """Say why a budget has no plan: it is too small, or what is bounded or held does not go with it."""
    about = shared.by.budget
    held = [name for name in shared.by.inputs if name in shared.options[0]]
    texts = [*filter(None, [shared.bounds.text()]), *(f"{name} as given" for name in held)]
    alone = replace(
        shared, bounds=Bounds(), options=tuple({key: value for key, value in one.items() if key not in held} for one in shared.options)
    )
    if texts and any(low <= high for low, high in (alone.span(budget, option) for option in alone.options)):
        option, (first, rest) = alone.options[0], shared.by.inputs
        line = alone.plan(np.geomspace(*alone.span(budget, option), 257), budget, option)
        ends = [quantity_text(float(end)) for name in (first, rest) for end in (line[name].min(), line[name].max())]
        return (
            f"no plan keeps to {' and '.join(texts)} at {about.name} = {budget:.3g}, which leaves {first} from {ends[0]} to {ends[1]}, "
            f"and {rest} from {ends[2]} to {ends[3]}"
        )
    return f"{about.name} = {budget:.3g} is too little: nothing is left for {shared.by.inputs[1]} ({shared.by.text})"


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
        possible = low <= high
        low, high = np.where(possible, low, 1.0), np.where(possible, high, 2.0)
        known = shared.known(budgets, option)
        with jax.enable_x64(True):
            if shared.by.best is not None and not numerically and shared.most(option) == UNBOUNDED:
                # Along the line of plans the outcome is best at one place, so that a bound moves the optimum to itself.
                first = np.clip(np.asarray(shared.by.best(parameters, known)), low, high)
            else:
                solved = _solver(shared.law, False)(dict(parameters), known, np.asarray(shared.most(option)), np.log(low), np.log(high))
                first = np.clip(np.exp(np.asarray(solved)), low, high)
        value = shared.outcome(shared.plan(first, budgets, option), parameters)
        better = possible & (value < found.outcome)
        parts = ((first, found.first), (value, found.outcome), (number, found.option))
        found = Best(*(np.where(better, new, old) for new, old in parts))
    return found


def least_risk(shared: Shared, parameters: Draws, budget: float, risk: Risk) -> tuple[float, int]:
    """Return the first input and the option of the one plan of least risk over the draws."""
    flat = {name: np.ravel(values) for name, values in parameters.items()}
    weights = risk.of_alike(len(next(iter(flat.values()))))
    found = []
    for number, option in enumerate(shared.options):
        low, high = shared.span(budget, option)
        if low <= high:
            with jax.enable_x64(True):
                known = {name: np.asarray(value, float) for name, value in shared.known(budget, option).items()}
                most = np.asarray(shared.most(option))
                first = float(np.clip(np.exp(_solver(shared.law, True)(flat, known, most, np.log(low), np.log(high), weights)), low, high))
            found.append((float(risk.of(shared.outcome(shared.plan(first, budget, option), flat))), first, number))
    if not found:
        raise InputError(_without_plan(shared, budget))
    _, first, number = min(found)
    return first, number


def least_budget(shared: Shared, parameters: Draws, outcome: Any) -> np.ndarray:
    """Return the least budget whose best plan has an outcome, for each draw; infinite where none has."""
    shape = next(iter(parameters.values())).shape
    wanted = np.broadcast_to(np.asarray(outcome, float), shape)
    return least_reaching(lambda budget: best_of_draws(shared, parameters, budget).outcome, wanted, SMALLEST_BUDGET, LARGEST_COMPUTE)
