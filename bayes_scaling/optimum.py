"""The best split of compute between params and tokens: closed form where a law has one, a bounded numeric optimum otherwise.

Everything is vectorised over draws: parameters are arrays of one shape, compute is a number or an array of that shape.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling import numeric
from bayes_scaling.cost import Cost, affordable_tokens, used_params
from bayes_scaling.errors import InputError, nearest
from bayes_scaling.law import Input, Law
from bayes_scaling.limits import LARGEST_PARAMS, SMALLEST_PARAMS, Bounds, Limits, most_tokens, require_range, size_range
from bayes_scaling.quantities import quantity
from bayes_scaling.risk import Risk

LARGEST_COMPUTE = 1e40  # FLOP; a target that needs more counts as out of reach
_CLOSE, _PAST = 2e-14, 0.2  # of ln x: when to stop, and how far past a secant's root to look, over the square of what is left
_BAND_HALVINGS = 30
_MOST_OPTIONS = 64  # combinations of what is decided besides params and tokens
LOWER_IS_BETTER = ("loss", "error", "task_loss", "unigram_loss")

Draws = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Problem:
    """What compute is spent on, what it costs, and what must be kept to.

    Attributes
    ----------
    options : values of the law's further inputs (bits, sparsity, unique tokens) among which a plan chooses; one where they are given
    """

    law: Law
    cost: Cost = field(default_factory=Cost)
    limits: Limits = field(default_factory=Limits)
    options: tuple[Mapping[str, float], ...] = ({},)

    @property
    def chosen(self) -> tuple[str, ...]:
        """Inputs that a plan decides besides params and tokens."""
        return tuple(name for name in self.options[0] if len({option[name] for option in self.options}) > 1)

    def used(self, params: Any, option: Mapping[str, Any]) -> Any:
        """Return the params that a token passes through, as the law and the cost count them."""
        if self.law.token_params is not None:
            with jax.enable_x64(True):
                params = np.asarray(self.law.token_params({**option, "params": np.asarray(params, float)}))
        return self.cost.used(params)

    def bounds(self) -> dict[str, Any]:
        return {**self.cost.numbers(), **self.limits.numbers(self.cost)}

    def tokens(self, params: Any, compute: Any, option: Mapping[str, Any]) -> np.ndarray:
        """Return the tokens that a model of this size trains on: what compute leaves, or what the limits allow."""
        used, bounds = self.used(params, option), self.bounds()
        left = affordable_tokens(used, compute, bounds["training"], bounds["serving"])
        return np.minimum.reduce(np.broadcast_arrays(left, *most_tokens(params, used, bounds)))

    def compute(self, params: Any, tokens: Any, option: Mapping[str, Any]) -> Any:
        """Return the FLOP of a plan."""
        return self.used(params, option) * (self.cost.train_rate * tokens + self.cost.serving)

    def range(self, compute: Any, option: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (least, full, most) sizes at a compute; see `bayes_scaling.limits.size_range`."""
        if not self.limits.any and self.cost.shape is None and self.law.token_params is None:
            bounds = self.bounds()
            most = np.asarray(compute, float) / (self.cost.active * (bounds["training"] + bounds["serving"])) * (1 - 1e-9)
            least = np.full(most.shape, SMALLEST_PARAMS)
            return least, least, np.minimum(most, LARGEST_PARAMS)
        return size_range(self.limits, self.cost, compute, lambda params: self.used(params, option), self.bounds())


@dataclass(frozen=True, eq=False)
class Plan:
    """Best plans, one for each draw: arrays of the draws' shape; ``outcome`` is infinite where no plan keeps the limits."""

    params: np.ndarray
    tokens: np.ndarray
    outcome: np.ndarray
    option: np.ndarray

    def values(self, problem: Problem, name: str) -> np.ndarray:
        """Return what is chosen of a further input."""
        return np.array([option[name] for option in problem.options])[self.option]


def require_plan(law: Law) -> None:
    """Raise InputError unless the law is one of params and tokens whose output should be low."""
    if not {"params", "tokens"} <= set(law.input_names):
        own = f"; its own question is for decide: {law.decision.question}" if law.decision else ""
        if law.sharing is not None:
            own = f"; what its own inputs share, {law.sharing.budget.name} = {law.sharing.text}, is split by allocate from one fit"
        of = ", ".join(law.input_names)
        raise InputError(f"law '{law.name}' is a function of {of}: an allocation needs a law of params and tokens (chinchilla){own}")
    if law.output not in LOWER_IS_BETTER:
        raise InputError(
            f"law '{law.name}' predicts {law.output}: an allocation needs an output that should be low ({', '.join(LOWER_IS_BETTER)})"
        )


def problem_of(
    law: Law, cost: Cost | None = None, limits: Limits | Bounds | None = None, given: Mapping[str, Any] | None = None
) -> Problem:
    """Return the problem of splitting compute under a law.

    Parameters
    ----------
    given : values of the law's further inputs; several for one make a plan choose among them

    Raises
    ------
    InputError
        If the law has no plan, or a further input is unknown, missing or impossible.
    """
    require_plan(law)
    if isinstance(limits, Bounds) and limits.any:
        raise InputError(
            f"law '{law.name}' is of params and tokens, whose limits have names of their own (max_params, min_tokens_per_param): "
            f"{limits.text()} goes with laws whose own inputs share a budget"
        )
    limits = None if isinstance(limits, Bounds) else limits
    further = [item for item in law.inputs if item.name not in ("params", "tokens")]
    return Problem(law, cost or Cost(), limits or Limits(), choices(law, further, given))


def choices(law: Law, items: Sequence[Input], given: Mapping[str, Any] | None) -> tuple[dict[str, float], ...]:
    """Return all combinations of what is given of some items, by name: one value each, or several to choose among.

    Raises
    ------
    InputError
        If one is unknown, missing or impossible, or they are too many.
    """
    names = [item.name for item in items]
    given = dict(given or {})
    for name in given:
        if name not in names:
            if name == "unique_tokens":
                raise InputError(
                    f"law '{law.name}' does not know repeated data, so it takes no unique_tokens: fit data_constrained to runs that repeat "
                    "data, or set max_tokens for a single pass"
                )
            hint = nearest(name, names) or f": it is a function of {' and '.join(law.input_names)} alone"
            raise InputError(f"law '{law.name}' takes no '{name}'{hint}")
    values: dict[str, np.ndarray] = {}
    for item in items:
        if item.name not in given and item.default is None:
            raise InputError(f"law '{law.name}' also takes {item.name} ({item.meaning}): give its value, or several to choose among")
        values[item.name] = np.atleast_1d(np.asarray(given.get(item.name, item.default), float))
        kind = quantity(item.name)
        for value in values[item.name][~kind.admits(values[item.name])]:
            raise InputError(f"{item.name} = {value:g} must be {kind.range_text()}")
    options = tuple(dict(zip(values, map(float, choice), strict=True)) for choice in itertools.product(*values.values()))
    if len(options) > _MOST_OPTIONS:
        raise InputError(f"{len(options)} combinations of {', '.join(names)} are too many to choose among; at most {_MOST_OPTIONS}")
    return options


def require_compute(problem: Problem, compute: Any) -> None:
    """Raise InputError unless every budget is positive, finite, and can be spent within the limits by some choice."""
    for value in np.ravel(compute):
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"compute = {value:g} FLOP must be positive and finite")
        if value > LARGEST_COMPUTE:
            raise InputError(f"compute = {value:.3g} FLOP is beyond anything: at most {LARGEST_COMPUTE:g}; check its unit")
        failures = []
        for option in problem.options:
            bounds = problem.bounds()
            used = float(problem.used(2 * SMALLEST_PARAMS, option))
            if value <= used * (bounds["training"] + bounds["serving"]):
                raise InputError(
                    f"compute = {value:.3g} FLOP is too little to train (and serve) {2 * SMALLEST_PARAMS:g} params: {problem.cost.text()}"
                )
            try:
                require_range(problem.limits, problem.cost, float(value), lambda params, at=option: problem.used(params, at), bounds)
            except InputError as error:
                failures.append(error)
        if len(failures) == len(problem.options):
            raise failures[0]


def outcome(law: Law, parameters: Draws, params: Any, tokens: Any, option: Mapping[str, float] | None = None) -> np.ndarray:
    """Return the law's output for plans; arrays broadcast against the draws."""
    return law.predict({**(option or {}), "params": params, "tokens": tokens}, parameters)


def best_plan(problem: Problem, parameters: Draws, compute: Any, *, numerically: bool = False) -> Plan:
    """Return the plan that minimises the law's output at given compute, for each draw.

    Parameters
    ----------
    numerically : by a grid over ln params and bisection of the slope in the best cell, even where a closed form is known
    """
    shape = next(iter(parameters.values())).shape
    spent = np.broadcast_to(np.asarray(compute, float), shape)
    found: Plan | None = None
    for number, option in enumerate(problem.options):
        params = _best_params(problem, parameters, spent, np.ndim(compute) == 0, option, numerically)
        tokens = problem.tokens(params, spent, option)
        possible = np.isfinite(params) & (tokens > 0)
        value = outcome(problem.law, parameters, np.where(possible, params, 1.0), np.where(possible, tokens, 1.0), option)
        value = np.where(possible, value, np.inf)
        plan = Plan(params, tokens, value, np.full(shape, number))
        if found is None:
            found = plan
        else:
            better = value < found.outcome
            parts = ((getattr(plan, name), getattr(found, name)) for name in ("params", "tokens", "outcome", "option"))
            found = Plan(*(np.where(better, new, old) for new, old in parts))
    assert found is not None  # a problem has at least one option
    return found


def _best_params(
    problem: Problem, parameters: Draws, compute: np.ndarray, one_budget: bool, option: Mapping[str, float], numerically: bool
) -> np.ndarray:
    """Return the best size of each draw; NaN where the limits leave none."""
    budgets = compute.flat[0] if one_budget and compute.size else compute  # the range of one budget is worked out once
    least, full, most = (np.broadcast_to(part, compute.shape) for part in problem.range(budgets, option))
    possible = least <= most
    law = problem.law
    # A deadline cuts the budget at every size, so that none spends all of it and the closed form, which does, is of another budget.
    closed = law.optimum is not None and problem.cost.plain and law.token_params is None and not np.isfinite(problem.limits.gpu_hours)
    if problem.limits.sizes:
        params = _best_built(problem, parameters, compute, option, least, most)
    elif closed and not numerically:
        assert law.optimum is not None
        # Along the budget the output falls and then rises with size, so that a limit moves the optimum to itself.
        with jax.enable_x64(True):  # 32 bits end at 3e38, below the largest compute, and hold seven digits
            free, _ = law.optimum(parameters, compute / (problem.cost.train_rate * problem.cost.active))
        params = np.minimum(np.maximum(np.asarray(free), full), most)
    else:
        low, high = np.log(np.where(possible, least, 1.0)), np.log(np.where(possible, most, 2.0))
        with jax.enable_x64(True):
            found = _solver(law, False)(dict(parameters), compute, problem.bounds(), dict(option), low, high)
        params = np.exp(np.asarray(found))
    return np.where(possible, params, np.nan)


def _best_built(
    problem: Problem, parameters: Draws, compute: np.ndarray, option: Mapping[str, float], least: np.ndarray, most: np.ndarray
) -> np.ndarray:
    best, lowest = np.full(compute.shape, np.nan), np.full(compute.shape, np.inf)
    for size in problem.limits.sizes:
        tokens = problem.tokens(size, compute, option)
        allowed = (size >= least) & (size <= most) & (tokens > 0)
        value = np.where(allowed, outcome(problem.law, parameters, size, np.where(allowed, tokens, 1.0), option), np.inf)
        best, lowest = np.where(value < lowest, size, best), np.minimum(value, lowest)
    return best


def best_decision(problem: Problem, parameters: Draws, compute: float, risk: Risk | None = None) -> tuple[float, float, int]:
    """Return (params, tokens, option) of the one plan of least risk over the draws; the risk is the mean unless told."""
    risk = risk or Risk()
    flat = {name: np.ravel(values) for name, values in parameters.items()}
    found = []
    for number, option in enumerate(problem.options):
        least, _, most = (float(part) for part in problem.range(compute, option))
        if least > most:
            continue
        if problem.limits.sizes:
            candidates = [size for size in problem.limits.sizes if least <= size <= most]
        else:
            with jax.enable_x64(True):
                weights = risk.of_alike(len(next(iter(flat.values()))))
                args = flat, np.asarray(compute, float), problem.bounds(), dict(option), np.log(least), np.log(most)
                candidates = [float(np.exp(_solver(problem.law, True)(*args, weights)))]
        for size in candidates:
            tokens = float(problem.tokens(size, compute, option))
            found.append((float(risk.of(outcome(problem.law, flat, size, tokens, option))), size, tokens, number))
    _, size, tokens, number = min(found)
    return size, tokens, number


@lru_cache(maxsize=64)
def _solver(law: Law, over_draws: bool) -> Callable[..., jax.Array]:
    """Return a compiled (parameters, compute, bounds, option, low, high) -> ln params at the minimum; or of a risk over the draws."""

    @jax.jit
    def solve(
        parameters: Mapping[str, jax.Array],
        compute: jax.Array,
        bounds: Mapping[str, jax.Array],
        option: Mapping[str, jax.Array],
        low: jax.Array,
        high: jax.Array,
        weights: jax.Array | None = None,
    ) -> jax.Array:
        def value(x: jax.Array) -> jax.Array:
            params = jnp.exp(x)
            counted = params if law.token_params is None else law.token_params({**option, "params": params})
            used = used_params(counted, bounds)
            tokens = affordable_tokens(used, compute, bounds["training"], bounds["serving"])
            for most in most_tokens(params, used, bounds):
                tokens = jnp.minimum(tokens, most)
            result = law.formula({**option, "params": params, "tokens": tokens}, parameters)
            if not over_draws:
                return result
            return jnp.mean(result) if weights is None else jnp.sum(jnp.sort(result) * weights)

        return numeric.minimum(value, low, high)

    return solve


def best_outcome(problem: Problem, parameters: Draws, compute: Any) -> np.ndarray:
    """Return the lowest output attainable at a compute, for each draw; infinite where no plan keeps the limits."""
    return best_plan(problem, parameters, compute).outcome


def least_compute(problem: Problem, parameters: Draws, target: Any) -> np.ndarray:
    """Return the least compute that reaches a target output, for each draw; infinite where LARGEST_COMPUTE does not reach it.

    The best outcome falls with compute.
    """
    shape = next(iter(parameters.values())).shape
    target = np.broadcast_to(np.asarray(target, float), shape)
    return least_reaching(lambda compute: best_outcome(problem, parameters, compute), target, smallest_compute(problem), LARGEST_COMPUTE)


def smallest_compute(problem: Problem) -> float:
    """Return the least compute that `require_compute` lets pass, with a margin."""
    return 4 * float(min(problem.compute(SMALLEST_PARAMS, 1.0, option) for option in problem.options))


def side_by_side(answers: Iterable[Mapping[str, Any]], dim: str) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Return answers that were worked out one after another as variables of a Dataset: numbers along a dimension, draws along it, too."""
    columns: dict[str, list[np.ndarray]] = {}
    for answer in answers:
        for name, values in answer.items():
            columns.setdefault(name, []).append(np.asarray(values))
    stacked = {name: np.stack(values, axis=-1) for name, values in columns.items()}
    return {name: (("chain", "draw", dim) if values.ndim == 3 else (dim,), values) for name, values in stacked.items()}


def good_range(good: Callable[[float], bool], size: float, least: float, most: float, sizes: Sequence[float] = ()) -> tuple[float, float]:
    """Return the smallest and the largest size that is good, about one that is: of those that can be built, where these are a few."""
    if sizes:
        kept = [one for one in sizes if least <= one <= most and good(one)]
        return (min(kept), max(kept)) if kept else (np.nan, np.nan)
    return _furthest_good(good, size, least), _furthest_good(good, size, most)


def _furthest_good(good: Callable[[float], bool], inside: float, end: float) -> float:
    """Return the size furthest from one that is good, towards an end, up to which all are (by bisection in logs: they are an interval)."""
    if good(end):
        return end
    near, far = np.log(inside), np.log(end)
    for _ in range(_BAND_HALVINGS):
        middle = (near + far) / 2
        near, far = (middle, far) if good(float(np.exp(middle))) else (near, middle)
    return float(np.exp(near))


def least_reaching(falling: Callable[[np.ndarray], np.ndarray], target: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return for each element the smallest x in [low, high] with falling(x) <= target, in logs; infinite where there is none.

    By interpolation, truncation and projection (Oliveira & Takahashi 2020, doi 10.1145/3423597): never more steps than bisection takes, as
    where the function jumps or is infinite, and a third of them where it is smooth.
    """
    lower, upper = np.full(target.shape, np.log(low)), np.full(target.shape, np.log(high))
    with np.errstate(all="ignore"):  # infinities, where no plan keeps the limits, tell the side and nothing else
        above, below = falling(np.exp(lower)) - target, falling(np.exp(upper)) - target
        reachable, upper = below <= 0, np.where(above <= 0, lower, upper)
        most = int(np.ceil(np.log2((np.log(high) - np.log(low)) / _CLOSE)))
        for step in range(most + 1):
            gap = upper - lower
            if np.all((gap <= _CLOSE) | ~reachable):
                break
            middle = (lower + upper) / 2
            secant = (below * lower - above * upper) / (below - above)
            secant = np.where(np.isfinite(secant), secant, middle)
            towards = np.sign(middle - secant)
            # Past the root, so that the next step is on its other side; and no nearer to the middle than keeps up with bisection.
            x = secant + towards * np.minimum(np.maximum(_PAST * gap**2, _CLOSE), np.abs(middle - secant))
            leeway = np.maximum(_CLOSE * 2.0 ** (most - step) - gap / 2, 0)
            x = np.clip(np.where(np.abs(x - middle) <= leeway, x, middle - towards * leeway), lower, upper)
            value = falling(np.exp(x)) - target
            enough = value <= 0
            lower, upper = np.where(enough, lower, x), np.where(enough, x, upper)
            above, below = np.where(enough, above, value), np.where(enough, value, below)
        return np.where(reachable, np.exp(upper), np.inf)
