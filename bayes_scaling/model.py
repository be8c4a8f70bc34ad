"""Law + noise + settings -> an ordinary numpyro model, usable with numpyro alone."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayes_scaling.errors import InputError, nearest
from bayes_scaling.law import Law
from bayes_scaling.noise import Noise


@dataclass(frozen=True, eq=False)
class Settings:
    """What a user changed about a model: parameters held fixed, and priors by name (numpyro distributions)."""

    fixed: Mapping[str, float] = field(default_factory=dict)
    priors: Mapping[str, Any] = field(default_factory=dict)


def model_priors(law: Law, noise: Noise, settings: Settings) -> dict[str, Any]:
    """Return the prior of every sampled parameter, and a number for every fixed one, in model order.

    Raises
    ------
    InputError
        If a setting names a parameter that is not sampled.
    """
    priors = {item.name: item.prior for item in (*law.parameters, *noise.parameters)}
    for kind, names in (("fix", settings.fixed), ("set a prior on", settings.priors)):
        for name in names:
            if name not in priors:
                hint = nearest(name, priors)
                if name in _derived_names(law):
                    hint = f": it is derived; the law samples {', '.join(law.parameter_names)}"
                raise InputError(f"cannot {kind} '{name}' of law '{law.name}' with {noise.name} noise{hint}")
    both = set(settings.fixed) & set(settings.priors)
    if both:
        raise InputError(f"parameter '{min(both)}' is both fixed and given a prior; keep one")
    priors.update(settings.priors)
    priors.update(settings.fixed)
    return priors


def _derived_names(law: Law) -> set[str]:
    return set(law.derived(dict.fromkeys(law.parameter_names, 1.0)))


def build_model(law: Law, noise: Noise, settings: Settings | None = None) -> Callable[..., None]:
    """Return a numpyro model ``model(columns, weight=None)``.

    ``columns`` maps the law's inputs, its output (absent: the output is sampled) and what the noise needs to arrays of shape (runs,);
    ``weight`` of the same shape is 1 for a run and 0 for padding. Sites: the parameters, the derived ones as deterministic, and the
    law's output.

    >>> from numpyro.infer import MCMC, NUTS                                    # doctest: +SKIP
    >>> MCMC(NUTS(build_model(law, noise)), num_warmup=500, num_samples=1000).run(key, columns)   # doctest: +SKIP
    """
    settings = settings or Settings()
    priors = model_priors(law, noise, settings)
    if law.model is not None:
        return law.model(law, noise, settings)

    import jax.numpy as jnp
    import numpyro

    def model(columns: Mapping[str, Any], weight: Any = None) -> None:
        values = {
            name: numpyro.sample(name, prior) if name not in settings.fixed else jnp.asarray(prior, dtype=float)
            for name, prior in priors.items()
        }
        for name, value in law.derived(values).items():
            values[name] = numpyro.deterministic(name, value)
        curve = law.formula(columns, values)
        observed = columns.get(law.output)
        with numpyro.plate("run", curve.shape[-1]), numpyro.handlers.mask(mask=True if weight is None else weight > 0):
            numpyro.sample(law.output, noise.distribution(curve, values, columns), obs=observed)

    return model


#: Distributions that a prior may be written with.
PRIOR_FAMILIES = (
    "Beta", "Cauchy", "Exponential", "Gamma", "HalfCauchy", "HalfNormal", "HalfStudentT", "InverseGamma",
    "Laplace", "LogNormal", "LogUniform", "Normal", "StudentT", "TruncatedNormal", "Uniform", "Weibull",
)  # fmt: skip


def parse_prior(text: str) -> tuple[str, Any]:
    """Read a prior such as ``E=LogNormal(0.5, 0.3)`` or ``alpha=Uniform(low=0, high=1)``.

    Returns
    -------
    parameter name, numpyro distribution

    Raises
    ------
    InputError
        If the text is anything but a name and one known distribution of plain numbers: nothing is evaluated.
    """
    import numpyro.distributions as dist

    name, _, expression = (part.strip() for part in text.partition("="))
    example = "write it as NAME=Family(numbers), for example 'E=LogNormal(0.5, 0.3)'"
    try:
        call = ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(f"cannot read the prior '{text}'; {example}") from None
    if not name.isidentifier() or not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
        raise InputError(f"cannot read the prior '{text}'; {example}")
    if call.func.id not in PRIOR_FAMILIES:
        raise InputError(f"unknown distribution '{call.func.id}' in the prior '{text}'{nearest(call.func.id, PRIOR_FAMILIES)}")
    try:
        positional = [_number(node) for node in call.args]
        named = {str(item.arg): _number(item.value) for item in call.keywords}
        distribution = getattr(dist, call.func.id)(*positional, **named, validate_args=True)
    except (ValueError, TypeError) as error:
        raise InputError(f"cannot read the prior '{text}': {str(error).splitlines()[0]}; {example}") from None
    return name, distribution


def _number(node: ast.AST) -> float:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_number(node.operand)
    if (
        isinstance(node, ast.Constant)
        and isinstance(node.value, (int, float))
        and not isinstance(node.value, bool)
        and math.isfinite(node.value)
    ):
        return float(node.value)
    raise ValueError(f"'{ast.unparse(node)}' is not a number")


def prior_text(prior: Any) -> str:
    """Write a prior the way `parse_prior` reads it (a fixed value as a number)."""
    if isinstance(prior, (int, float)):
        return f"{prior:.6g}"
    import numpy as np

    arguments = {name: np.asarray(getattr(prior, name)) for name in prior.arg_constraints if getattr(prior, name, None) is not None}
    return f"{type(prior).__name__}({', '.join(f'{name}={value:.6g}' for name, value in arguments.items() if value.ndim == 0)})"
