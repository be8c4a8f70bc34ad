"""The point fit, for comparison with published ones: the mode under flat priors, which is the maximum of the likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayes_scaling.errors import InputError
from bayes_scaling.fitting import choose_input, usable_runs
from bayes_scaling.law import Law, get_law
from bayes_scaling.model import Settings, build_model, model_priors
from bayes_scaling.noise import Noise, noise_of
from bayes_scaling.runs import Runs


@dataclass(frozen=True)
class PointFit:
    """Where the likelihood is largest.

    Attributes
    ----------
    parameters : values of the law's and the noise's parameters, sampled and derived
    log_likelihood : in nats, as density of the outputs
    agreeing : how many of the starts ended within 1e-3 nats of the best
    starts : number of starts
    """

    parameters: Mapping[str, float]
    log_likelihood: float
    agreeing: int
    starts: int


def maximum_likelihood(
    law: str | Law,
    runs: Runs,
    *,
    noise: str | Noise | None = None,
    input: str | None = None,
    fix: Mapping[str, float] | None = None,
    starts: int = 16,
    seed: int = 0,
) -> PointFit:
    """Maximise the likelihood from several starts (draws from the priors, which play no other part).

    Each start runs BFGS; the best ends are polished by Nelder-Mead, which needs no smooth likelihood (``laplace`` noise has kinks).

    Raises
    ------
    InputError
        If a setting or the data cannot be used.
    """
    import jax
    import jax.numpy as jnp
    from numpyro.distributions import biject_to
    from scipy.optimize import minimize

    law = choose_input(get_law(law), runs, input)
    family = noise_of(law, noise)
    runs = usable_runs(law, family, runs)
    settings = Settings(dict(fix or {}))
    priors = model_priors(law, family, settings)
    free = {name: biject_to(prior.support) for name, prior in priors.items() if name not in settings.fixed}
    if not free:
        raise InputError("every parameter is fixed: nothing is left to fit")
    build_model(law, family, settings)  # refuses what a fit would refuse
    columns = runs.model_columns(family.columns(law))

    def values(z: jax.Array) -> dict[str, jax.Array]:
        sampled = {name: transform(z[i]) for i, (name, transform) in enumerate(free.items())}
        return law.complete({**settings.fixed, **sampled})

    def objective(z: jax.Array) -> jax.Array:
        parameters = values(z)
        scatter = family.distribution(law.formula(columns, parameters), parameters, columns)
        return -jnp.sum(scatter.log_prob(columns[law.output]))

    with jax.enable_x64(True):
        both = jax.jit(jax.value_and_grad(objective))

        def checked(z: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = both(z)
            if not np.isfinite(value):
                return 1e300, np.zeros_like(z)
            return float(value), np.nan_to_num(np.asarray(gradient))

        key = jax.random.PRNGKey(seed)
        ends = []
        for part in jax.random.split(key, starts):
            keys = jax.random.split(part, len(free))
            start = [float(transform.inv(priors[name].sample(k))) for k, (name, transform) in zip(keys, free.items(), strict=True)]
            ends.append(minimize(checked, np.array(start), jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 2000}))
        ends.sort(key=lambda end: end.fun)
        polished, lowest = ends[0].x, ends[0].fun
        options = {"xatol": 1e-10, "fatol": 1e-12, "maxiter": 20_000, "maxfev": 20_000, "adaptive": True}
        for _ in range(3):  # restarts with a fresh simplex: Nelder-Mead can stall
            result = minimize(lambda z: checked(z)[0], polished, method="Nelder-Mead", options=options)
            polished, lowest = result.x, result.fun
        found = {name: float(value) for name, value in values(polished).items()}
        best = -float(lowest)
    agreeing = sum(-end.fun > best - 1e-3 for end in ends)
    return PointFit(found, best, agreeing, starts)
