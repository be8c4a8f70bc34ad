"""What a plan must keep to besides its budget, and what that leaves of the sizes that a budget can train."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayes_scaling.cost import Cost
from bayes_scaling.errors import InputError
from bayes_scaling.units import count_text, quantity_text

SMALLEST_PARAMS, LARGEST_PARAMS = 10.0, 1e18  # the numeric optimum lies between them, or at one of them
UNBOUNDED = 1e100  # finite: a derivative that meets an infinite bound is not a number
_HALVINGS = 80


@dataclass(frozen=True)
class Limits:
    """Constraints of a plan.

    Parameters
    ----------
    min_params, max_params, min_tokens, max_tokens : bounds of the size and of the training tokens
    min_tokens_per_param, max_tokens_per_param : bounds of their ratio
    sizes : the sizes that can be built, where these are a few
    memory : bytes that serving may take: weights, and the caches of ``sequences`` at once (see `Cost.memory`)
    gpu_hours : deadline: GPU-hours that training may take; needs a cost with hardware

    Examples
    --------
    >>> plan = bs.allocate(fit, 1e21, limits=bs.Limits(max_params=1e9))
    >>> float(plan["decision_params"][0]) <= 1.001e9
    True
    """

    min_params: float = 1.0
    max_params: float = np.inf
    min_tokens: float = 1.0
    max_tokens: float = np.inf
    min_tokens_per_param: float = 0.0
    max_tokens_per_param: float = np.inf
    sizes: tuple[float, ...] = field(default=())
    memory: float = np.inf
    sequences: float = 0.0
    gpu_hours: float = np.inf

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", tuple(sorted(float(size) for size in self.sizes)))
        for name in ("min_params", "max_params", "min_tokens", "max_tokens", "max_tokens_per_param", "memory", "gpu_hours"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} = {getattr(self, name):g} must be positive")
        for name in ("min_tokens_per_param", "sequences"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} = {getattr(self, name):g} must not be negative")
        for size in self.sizes:
            if not (np.isfinite(size) and size >= 1):
                raise InputError(f"sizes: {size:g} is no size of a model")
        for low, high in (("min_params", "max_params"), ("min_tokens", "max_tokens"), ("min_tokens_per_param", "max_tokens_per_param")):
            least, most = getattr(self, low), getattr(self, high)
            if least > most:
                raise InputError(f"{low} = {count_text(least)} is {least / most:.3g} times {high} = {count_text(most)}: no plan is both")

    @property
    def any(self) -> bool:
        return self != Limits()

    def text(self) -> str:
        """Say what is constrained; empty where nothing is."""
        parts = [
            f"{low} <= {name} <= {high}".removeprefix(f"{plain} <= ").removesuffix(" <= unbounded")
            for name, low, high, plain in (
                ("params", count_text(self.min_params), count_text(self.max_params), "1.00"),
                ("tokens", count_text(self.min_tokens), count_text(self.max_tokens), "1.00"),
                ("tokens per param", f"{self.min_tokens_per_param:g}", count_text(self.max_tokens_per_param), "0"),
            )
        ]
        parts = [part for part in parts if "<=" in part]
        if self.sizes:
            parts.append(f"params one of {', '.join(map(count_text, self.sizes))}")
        if np.isfinite(self.memory):
            parts.append(f"at most {self.memory / 1e9:.4g} GB in serving")
        if np.isfinite(self.gpu_hours):
            parts.append(f"training within {self.gpu_hours:.4g} GPU-hours")
        return ", ".join(parts)

    def numbers(self, cost: Cost) -> dict[str, float]:
        """Return bounds as numbers that a compiled program can take as arguments; ``deadline`` is in FLOP."""
        deadline = UNBOUNDED
        if np.isfinite(self.gpu_hours):
            deadline = cost.required_hardware("a deadline in GPU-hours").compute(self.gpu_hours)
        bounds = {"max_tokens": self.max_tokens, "max_ratio": self.max_tokens_per_param, "deadline": deadline}
        return {name: min(value, UNBOUNDED) for name, value in bounds.items()}


@dataclass(frozen=True)
class Bounds:
    """Constraints of a plan under a law whose own inputs share a budget, by their names; `Limits` is for laws of params and tokens.

    Parameters
    ----------
    at_least, at_most : bounds of an input that shares the budget, or of what tells plans apart (the law's ratio), by name

    Examples
    --------
    >>> bs.Bounds(at_most={"decoder_params": 4e8}).text()
    'decoder_params <= 400M'
    """

    at_least: Mapping[str, float] = field(default_factory=dict[str, float])
    at_most: Mapping[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        for named, bounds in (("at_least", self.at_least), ("at_most", self.at_most)):
            for name, value in bounds.items():
                if not (np.isfinite(value) and value > 0):
                    raise InputError(f"{named} {name} = {value:g} must be positive and finite")
        for name in {*self.at_least} & {*self.at_most}:
            least, most = self.at_least[name], self.at_most[name]
            if least > most:
                raise InputError(f"{name} at least {least:.4g} is {least / most:.3g} times at most {most:.4g}: no plan is both")

    @property
    def any(self) -> bool:
        return bool(self.at_least or self.at_most)

    def text(self) -> str:
        """Say what is constrained; empty where nothing is."""
        parts = [f"{name} >= {quantity_text(value)}" for name, value in self.at_least.items()]
        return ", ".join(parts + [f"{name} <= {quantity_text(value)}" for name, value in self.at_most.items()])


def most_tokens(params: Any, used: Any, bounds: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the upper bounds of a size's training tokens; ``used`` are its params that a token passes through. Works on traced values."""
    return bounds["max_tokens"], bounds["max_ratio"] * params, bounds["deadline"] / (bounds["training"] * used)


def size_range(
    limits: Limits, cost: Cost, compute: Any, used: Callable[[Any], Any], bounds: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (least, full, most): sizes from least to most can keep all limits at a compute, and from full on spend all of it.

    A smaller one than full trains on as many tokens as it may, and leaves some of the budget over. ``least`` exceeds ``most`` where no
    plan keeps the limits; `require_range` says why. Shapes are those of compute.
    """
    compute = np.asarray(compute, float)
    lower, upper = _bounds(limits, cost)
    least = np.full(compute.shape, max(value for value, _ in lower))
    most = np.minimum(_most_affordable(limits, compute, used, bounds), min(value for value, _ in upper))
    caps = [np.isfinite(value) for value in (limits.max_tokens, limits.max_tokens_per_param, limits.gpu_hours)]
    full = least
    if any(caps):

        def excess(params: np.ndarray) -> np.ndarray:  # of affordable over allowed tokens: falls with the size
            here = used(params)
            return (compute / here - bounds["serving"]) / bounds["training"] - np.minimum.reduce(
                np.broadcast_arrays(*most_tokens(params, here, bounds))
            )

        full = np.maximum(least, _where_negative(excess, compute.shape))
    if limits.sizes:
        sizes = np.array(limits.sizes)
        # The built sizes within the range; none may be.
        first = np.searchsorted(sizes, least * (1 - 1e-12))
        last = np.searchsorted(sizes, most * (1 + 1e-12)) - 1
        least = np.where(first < len(sizes), sizes[np.minimum(first, len(sizes) - 1)], np.inf)
        most = np.where(last >= 0, sizes[np.maximum(last, 0)], 0.0)
    return least, full, most


def _most_affordable(limits: Limits, compute: np.ndarray, used: Callable[[Any], Any], bounds: Mapping[str, Any]) -> np.ndarray:
    """Return the largest size for which budget and deadline leave the fewest tokens that it must see."""

    def excess(params: np.ndarray) -> np.ndarray:
        here = used(params)
        tokens = (np.minimum(compute / here - bounds["serving"], bounds["deadline"] / here)) / bounds["training"]
        return tokens - np.maximum(limits.min_tokens, limits.min_tokens_per_param * params)

    return _where_negative(excess, compute.shape) * (1 - 1e-9)  # rounding must not take a plan past the bound


def _where_negative(falling: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Return the smallest size at which a falling function is not positive."""
    low, high = np.full(shape, np.log(1e-6)), np.full(shape, np.log(1e30))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        positive = falling(np.exp(middle)) > 0
        low, high = np.where(positive, middle, low), np.where(positive, high, middle)
    return np.exp(high)


def _bounds(limits: Limits, cost: Cost) -> tuple[list[tuple[float, str]], list[tuple[float, str]]]:
    """Return what bounds the size from below and from above whatever the budget, each with its reason."""
    lower = [(SMALLEST_PARAMS, f"the smallest model considered has {SMALLEST_PARAMS:g} params")]
    upper = [(LARGEST_PARAMS, f"the largest model considered has {LARGEST_PARAMS:g} params")]
    if limits.min_params > 1:
        lower.append((limits.min_params, f"min_params asks for {count_text(limits.min_params)}"))
    if np.isfinite(limits.max_params):
        upper.append((limits.max_params, f"max_params allows {count_text(limits.max_params)}"))
    if limits.min_tokens > 1 and np.isfinite(limits.max_tokens_per_param):
        least = limits.min_tokens / limits.max_tokens_per_param
        lower.append(
            (least, f"min_tokens at no more than {limits.max_tokens_per_param:g} tokens per param takes {count_text(least)} params")
        )
    if limits.min_tokens_per_param > 0 and np.isfinite(limits.max_tokens):
        most = limits.max_tokens / limits.min_tokens_per_param
        upper.append((most, f"max_tokens at {limits.min_tokens_per_param:g} tokens per param or more allows {count_text(most)} params"))
    if np.isfinite(limits.memory):
        most = float(_where_negative(lambda params: limits.memory - cost.memory(params, limits.sequences), ()))
        upper.append((most, f"memory of {limits.memory / 1e9:.4g} GB holds {count_text(most)} params"))
    if limits.sizes:
        upper.append((limits.sizes[-1], f"the largest size that can be built has {count_text(limits.sizes[-1])} params"))
        lower.append((limits.sizes[0], f"the smallest size that can be built has {count_text(limits.sizes[0])} params"))
    return lower, upper


def require_range(
    limits: Limits, cost: Cost, compute: float, used: Callable[[Any], Any], bounds: Mapping[str, Any]
) -> tuple[float, float, float]:
    """Return the range of sizes at a budget, or raise InputError that says which limits cannot be kept, and by how much they miss."""
    least, full, most = (float(value) for value in size_range(limits, cost, compute, used, bounds))
    if least <= most:
        return least, full, most
    lower, upper = _bounds(limits, cost)
    affordable = float(_most_affordable(limits, np.asarray(float(compute)), used, bounds))
    what = "1 token" if limits.min_tokens <= 1 else f"min_tokens = {count_text(limits.min_tokens)}"
    if limits.min_tokens_per_param:
        what += f" and {limits.min_tokens_per_param:g} tokens per param"
    of = f"{compute:.3g} FLOP"
    if np.isfinite(limits.gpu_hours) and bounds["deadline"] < compute:
        of += f" (deadline: {bounds['deadline']:.3g} FLOP of training)"
    upper.append((affordable, f"{of} leaves {what} to at most {count_text(affordable)} params"))
    (low, below), (high, above) = max(lower), min(upper)
    if low <= high:  # only sizes that can be built are missing
        raise InputError(f"no size that can be built lies between {count_text(low)} and {count_text(high)} params: {below}, and {above}")
    raise InputError(f"no plan keeps the limits: {below}, but {above}: short by a factor of {low / high:.3g}")
