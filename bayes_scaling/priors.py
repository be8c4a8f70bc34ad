"""Priors: read from text, written as text, and their quantiles."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bayes_scaling.errors import InputError, brief, nearest
from bayes_scaling.grammar import parsed

#: Distributions that a prior may be written with.
PRIOR_FAMILIES = (
    "Beta", "Cauchy", "Exponential", "Gamma", "HalfCauchy", "HalfNormal", "InverseGamma",
    "Laplace", "LogNormal", "LogUniform", "Normal", "ShiftedGamma", "StudentT", "TruncatedNormal", "Uniform", "Weibull",
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

    Examples
    --------
    >>> name, prior = bs.parse_prior("E=LogNormal(0.5, 0.3)")
    >>> name, type(prior).__name__
    ('E', 'LogNormal')
    """
    name, _, expression = (part.strip() for part in text.partition("="))
    text = brief(text)
    example = "write it as NAME=Family(numbers), for example 'E=LogNormal(0.5, 0.3)'"
    try:
        call = parsed(expression)
    except ValueError:
        raise InputError(f"cannot read the prior '{text}'; {example}") from None
    if not name.isidentifier() or not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
        raise InputError(f"cannot read the prior '{text}'; {example}")
    if call.func.id not in PRIOR_FAMILIES:
        raise InputError(f"unknown distribution '{brief(call.func.id)}' in the prior '{text}'{nearest(call.func.id, PRIOR_FAMILIES)}")
    try:
        positional = [_number(node) for node in call.args]
        named = {str(item.arg): _number(item.value) for item in call.keywords}
        if not (positional or named):
            raise ValueError("it has no numbers")
        distribution = _family(call.func.id)(*positional, **named, validate_args=True)
        bounds = [float(bound) for bound in (getattr(distribution, name, None) for name in ("low", "high")) if bound is not None]
        if len(bounds) == 2 and not bounds[0] < bounds[1]:
            raise ValueError(f"its lower bound {bounds[0]:g} is not below {bounds[1]:g}")
        if call.func.id == "LogUniform" and not bounds[0] > 0:
            raise ValueError(f"its lower bound {bounds[0]:g} must be positive")
    except (ValueError, TypeError) as error:
        raise InputError(f"cannot read the prior '{text}': {brief(str(error).splitlines()[0]).rstrip('.')}; {example}") from None
    return name, distribution


def _family(name: str) -> Any:
    import numpyro.distributions as dist

    from bayes_scaling.student import ShiftedGamma

    return ShiftedGamma if name == "ShiftedGamma" else getattr(dist, name)


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
    if hasattr(prior, "base_dist") and "Truncated" in type(prior).__name__:
        bounds = {name: float(value) for name in ("low", "high") if (value := getattr(prior, name, None)) is not None}
        base = prior.base_dist
        inside = {"loc": float(base.loc), "scale": float(base.scale), **bounds}
        return f"Truncated{type(base).__name__}({', '.join(f'{name}={value:.6g}' for name, value in inside.items())})"
    arguments = {name: np.asarray(getattr(prior, name)) for name in prior.arg_constraints if getattr(prior, name, None) is not None}
    return f"{type(prior).__name__}({', '.join(f'{name}={value:.6g}' for name, value in arguments.items() if value.ndim == 0)})"


def prior_quantiles(prior: Any, probabilities: Sequence[float]) -> np.ndarray | None:
    """Return quantiles of a scalar prior, or None if it has none (an improper one).

    By scipy where the family is common: a first call of jax's own samplers and incomplete gamma and beta functions takes seconds.
    """
    from scipy import special

    p = np.asarray(probabilities, float)
    inverse: dict[str, Callable[[], Any]] = {
        "Beta": lambda: special.betaincinv(prior.concentration1, prior.concentration0, p),
        "Gamma": lambda: special.gammaincinv(prior.concentration, p) / prior.rate,
        "HalfNormal": lambda: prior.scale * special.ndtri((1 + p) / 2),
        "LogNormal": lambda: np.exp(prior.loc + prior.scale * special.ndtri(p)),
        "Normal": lambda: prior.loc + prior.scale * special.ndtri(p),
        "ShiftedGamma": lambda: prior.low + special.gammaincinv(prior.concentration, p) / prior.rate,
        "StudentT": lambda: prior.loc + prior.scale * special.stdtrit(prior.df, p),
        "Uniform": lambda: prior.low + (prior.high - prior.low) * p,
    }
    found = inverse.get(type(prior).__name__)
    if found is not None:
        return np.asarray(found(), float)
    import jax

    try:
        return np.quantile(np.asarray(prior.sample(jax.random.PRNGKey(0), (4000,)), float), p)
    except NotImplementedError:  # numpyro cannot draw from an improper prior
        return None
