"""The point fit, for comparison with published ones: the mode under flat priors, which is the maximum of the likelihood."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bayes_scaling.errors import InputError, nearest
from bayes_scaling.law import Law, get_law
from bayes_scaling.model import Settings, build_model, model_priors
from bayes_scaling.noise import Noise, noise_of
from bayes_scaling.reading import as_runs
from bayes_scaling.runs import Runs
from bayes_scaling.suiting import choose_input, usable_runs

_TURNS, _NEWTON = 12, 20  # at most
_ABOUT = 32  # places about a given start


@dataclass(frozen=True)
class PointFit:
    """Where the likelihood is largest.

    Attributes
    ----------
    parameters : values of the law's and the noise's parameters, sampled and derived
    log_likelihood : in nats, as density of the outputs
    agreeing : how many of the starts ended within 1e-3 nats of the best
    starts : number of starts, one that was given included
    """

    parameters: Mapping[str, float]
    log_likelihood: float
    agreeing: int
    starts: int


def maximum_likelihood(
    law: str | Path | Law,
    runs: Runs | Any,
    *,
    noise: str | Noise | None = None,
    input: str | None = None,
    fix: Mapping[str, float] | None = None,
    start: Mapping[str, float] | None = None,
    starts: int = 16,
    seed: int = 0,
) -> PointFit:
    """Maximise the likelihood from several starts.

    From each, BFGS; the best end is polished by Nelder-Mead, which needs no smooth likelihood (``laplace`` noise has kinks), and by
    Newton's method, which a smooth one owes its last digits to. A start that is given may be far off and badly scaled, and is worth more:
    there these methods and a trust region take turns until none gets further, and BFGS is tried from places about it.

    Parameters
    ----------
    start : where to begin a further search, by sampled parameter (`Law.sampled` makes such a set of a published one); what is not given,
        such as the scatter, is looked for first
    starts : draws from the priors, which play no other part, to begin at; 0 with a ``start`` of your own
    others : as in `bayes_scaling.fit`

    Raises
    ------
    InputError
        If a setting, the start or the data cannot be used.
    """
    import jax
    import jax.numpy as jnp
    from numpyro.distributions import biject_to
    from scipy.optimize import minimize

    law, runs = get_law(law), as_runs(runs)
    law = choose_input(law, runs, input)
    family = noise_of(law, noise, runs.columns)
    runs = usable_runs(law, family, runs)
    settings = Settings(dict(fix or {}))
    priors = model_priors(law, family, settings)
    free = {name: biject_to(prior.support) for name, prior in priors.items() if name not in settings.fixed}
    if not free:
        raise InputError("every parameter is fixed: nothing is left to fit")
    if starts < (0 if start else 1):
        raise InputError(f"starts = {starts} must be at least 1, or 0 with a start of your own")
    for name, value in (start or {}).items():
        if name not in free:
            raise InputError(f"cannot start at '{name}' of law '{law.name}' with {family.name} noise{nearest(name, free)}")
        if not (np.isfinite(value) and bool(priors[name].support(value))):
            raise InputError(f"cannot start at {name} = {value:g}: outside what its prior allows")
    build_model(law, family, settings)  # refuses what a fit would refuse
    columns = runs.model_columns(family.columns(law))

    def values(z: jax.Array) -> dict[str, jax.Array]:
        sampled = {name: transform(z[i]) for i, (name, transform) in enumerate(free.items())}
        return law.complete({**settings.fixed, **sampled})

    def objective(z: jax.Array) -> jax.Array:
        parameters = values(z)
        scatter = family.distribution(law.formula(columns, parameters), parameters, columns)
        return -jnp.sum(scatter.log_prob(columns[law.output]))

    with jax.enable_x64(True), np.errstate(all="ignore"):  # a search may leave what numbers can hold, and comes back
        both = jax.jit(jax.value_and_grad(objective))

        def checked(z: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = both(z)
            if not np.isfinite(value):
                return 1e300, np.zeros_like(z)
            return float(value), np.nan_to_num(np.asarray(gradient))

        search = _Search(checked, jax.jit(jax.hessian(objective)), seed)
        key = jax.random.PRNGKey(seed)
        ends = []
        for part in jax.random.split(key, starts):
            keys = jax.random.split(part, len(free))
            drawn = [float(transform.inv(priors[name].sample(k))) for k, (name, transform) in zip(keys, free.items(), strict=True)]
            result = minimize(checked, np.array(drawn), jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 2000})
            ends.append((float(result.fun), result.x))
        if start:
            given = {name: float(transform.inv(float(start[name]))) for name, transform in free.items() if name in start}
            ends.append(search.from_start(np.array([given.get(name, np.nan) for name in free])))
        _, polished = min(ends, key=lambda end: end[0])
        for _ in range(3):  # restarts with a fresh simplex: Nelder-Mead can stall
            _, polished = search.simplex(polished, np.ones(len(free)))
        lowest, polished = search.newton(polished)
        found = {name: float(value) for name, value in values(jnp.asarray(polished)).items()}
    agreeing = sum(value < lowest + 1e-3 for value, _ in ends)
    return PointFit(found, -lowest, agreeing, len(ends))


class _Search:
    """Ways down a function of free parameters, which gives its value and gradient; each returns (value, place) where it ends."""

    def __init__(self, function: Callable[[np.ndarray], tuple[float, np.ndarray]], hessian: Callable[[np.ndarray], Any], seed: int) -> None:
        self.function, self.hessian, self.random = function, hessian, np.random.default_rng(seed)

    def from_start(self, start: np.ndarray) -> tuple[float, np.ndarray]:
        """Search from a place given by a user, NaN where nothing is given; in units of its own size, since parameters may differ by 1e9."""
        place = np.where(np.isnan(start), 0.0, start)
        for row in np.flatnonzero(np.isnan(start)):  # looked for over all that a logarithm or logit may be
            grid = [np.where(np.arange(len(place)) == row, value, place) for value in np.linspace(-25.0, 25.0, 201)]
            place = min(grid, key=lambda at: self.function(at)[0])
        units = np.where(np.isnan(start) | (start == 0), 1.0, np.abs(np.where(np.isnan(start), 1.0, start)))
        value, best = self.turns(place, units)
        # About the start, near and far: a curve that misses all runs has no slope to follow, and a search may run off to infinity.
        cloud = self.random.normal(size=(_ABOUT, len(place))) * np.resize([0.1, 1.0], (_ABOUT, 1))
        ends = [self.slope(place + units * shift, units) for shift in cloud]
        found = min(ends, key=lambda end: end[0])
        if found[0] < value - 1e-9:
            value, best = self.turns(found[1], units)
        return value, best

    def turns(self, place: np.ndarray, units: np.ndarray) -> tuple[float, np.ndarray]:
        """Let the ways take turns until none gets further."""
        value = self.function(place)[0]
        for _ in range(_TURNS):
            before = value
            for way in (self.slope, self.trust, self.simplex):
                tried = way(place, units)
                if tried[0] < value:
                    value, place = tried
            units = np.where(np.abs(place) > 1e-12 * units, np.abs(place), units)
            if before - value < 1e-9:
                break
        return value, place

    def slope(self, place: np.ndarray, units: np.ndarray) -> tuple[float, np.ndarray]:
        """BFGS."""
        from scipy.optimize import minimize

        def scaled(u: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = self.function(u * units)
            return value, gradient * units

        result = minimize(scaled, place / units, jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 2000})
        return float(result.fun), result.x * units

    def trust(self, place: np.ndarray, units: np.ndarray) -> tuple[float, np.ndarray]:
        """Newton's method within a trust region, where the Hessian is not positive definite as well (Conn, Gould & Toint 2000)."""
        from scipy.optimize import minimize

        result = minimize(
            lambda u: self.function(u * units)[0], place / units, method="trust-exact", jac=lambda u: self.function(u * units)[1] * units,
            hess=lambda u: np.nan_to_num(np.asarray(self.hessian(u * units))) * np.outer(units, units), options={"maxiter": 500},
        )  # fmt: skip
        return float(result.fun), result.x * units

    def simplex(self, place: np.ndarray, units: np.ndarray) -> tuple[float, np.ndarray]:
        """Nelder-Mead."""
        from scipy.optimize import minimize

        options = {"xatol": 1e-10, "fatol": 1e-12, "maxiter": 20_000, "maxfev": 20_000, "adaptive": True}
        result = minimize(lambda u: self.function(u * units)[0], place / units, method="Nelder-Mead", options=options)
        return float(result.fun), result.x * units

    def newton(self, place: np.ndarray) -> tuple[float, np.ndarray]:
        """Newton's steps, as long as they flatten the slope without a rise: where the value has no digits left, the gradient has."""
        value, gradient = self.function(place)
        for _ in range(_NEWTON):
            curvature = np.asarray(self.hessian(place))
            size = np.sqrt(np.abs(np.diag(curvature)))
            if not (np.all(np.isfinite(curvature)) and np.all(size > 0)):
                break
            step = np.linalg.lstsq(curvature / np.outer(size, size), gradient / size, rcond=None)[0] / size
            tried = self.function(place - step)
            flatter = np.linalg.norm(tried[1] / size) < 0.9 * np.linalg.norm(gradient / size)
            if not flatter or tried[0] > value + 1e-11 * max(1.0, abs(value)):
                break
            place, (value, gradient) = place - step, tried
        return value, place
