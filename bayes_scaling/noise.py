"""Noise families: how a measured output (a loss, an error rate, a BLEU score) scatters about the law's curve.

Every family of a continuous output is a distribution of the output itself (not of its logarithm), so that log densities, and with them
model comparisons, can be set against each other across families. Families of counts give probabilities of counts, and compare with each
other alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from bayes_scaling.errors import InputError, nearest
from bayes_scaling.law import Law, Parameter, Values
from bayes_scaling.quantities import quantity
from bayes_scaling.trajectories import CURVE, PROGRESS


@dataclass(frozen=True, eq=False)
class Noise:
    """An observation family.

    Parameters
    ----------
    name, meaning : text
    parameters : what is sampled besides the law's own parameters
    distribution : ``distribution(curve, parameters, columns) -> numpyro distribution`` of the measured output
    needs : further columns of the runs that it uses, of runs that are forecast too
    within : columns that tie rows together (which run a point of a training curve is of): rows are then not independent, and
        ``distribution`` is of each given those before it; without these columns, of a run by itself
    may_be_zero : parameters that may be held at zero, outside their prior's support
    excludes : measured values that it gives no density to
    spread : whether the scatter is itself what the law describes (how problems differ), and so nothing that its curve should explain
    of_counts : whether it gives probabilities of counts, where other families give densities
    """

    name: str
    meaning: str
    parameters: tuple[Parameter, ...]
    distribution: Callable[[Any, Values, Values], Any]
    needs: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    may_be_zero: tuple[str, ...] = ()
    excludes: tuple[float, ...] = ()
    spread: bool = False
    of_counts: bool = False

    @property
    def parameter_names(self) -> tuple[str, ...]:
        return tuple(item.name for item in self.parameters)

    def columns(self, law: Law) -> tuple[str, ...]:
        """Return the columns that a model of this law with this noise needs, in model order."""
        return (*law.input_names, law.output, *self.needs, *self.within)

    def takes(self, columns: Collection[str]) -> bool:
        """Whether runs with these columns can have this noise: they have what it needs, and no ties between rows that it ignores."""
        return set(self.needs) <= set(columns) and (CURVE in columns) == bool(self.within)


@cache
def _families(output: str) -> dict[str, Noise]:
    import jax.numpy as jnp
    import numpyro.distributions as dist
    from jax.scipy.special import logit

    from bayes_scaling.correlated import given_earlier_points
    from bayes_scaling.fractions import BetaBinomialFraction, BinomialFraction
    from bayes_scaling.student import ShiftedGamma, StudentT

    def on_log(base: Any) -> Any:
        return dist.TransformedDistribution(base, dist.transforms.ExpTransform())

    def on_logit(base: Any) -> Any:
        return dist.TransformedDistribution(base, dist.transforms.SigmoidTransform())

    def of_points(curve: Any, p: Values, columns: Values) -> Any:
        """Of each point given the earlier ones of its training curve; of a run by itself where no curve is known."""
        sigma, between = p["sigma"], p["between"]
        if not {output, CURVE, PROGRESS} <= set(columns):
            return on_log(dist.Normal(jnp.log(curve), jnp.sqrt(sigma**2 + between**2)))
        expected = jnp.broadcast_to(jnp.log(curve), jnp.broadcast_shapes(jnp.shape(curve), jnp.shape(columns[output])))
        residual = jnp.log(columns[output]) - expected
        mean, sd = given_earlier_points(residual, columns[CURVE], columns[PROGRESS], sigma, between, p["memory"])
        return on_log(dist.Normal(expected + mean, sd))

    kind = quantity(output)
    scale = round(math.log(kind.scale), 1)  # absolute scatter is in proportion to what the output typically is
    # Run-to-run scatter of a final loss is typically 0.2 % to 3 % (repeated seeds of the published ladders and of `ladder`).
    relative = Parameter("sigma", dist.LogNormal(round(math.log(kind.scatter), 1), 1.2), f"scale of the scatter of ln {output}")
    degrees = Parameter("nu", ShiftedGamma(2.0, 0.1, 1.0), "degrees of freedom: small means outlying runs (Juarez & Steel 2010)")
    absolute = Parameter("sigma", dist.LogNormal(-3.9 + scale, 1.2), f"standard deviation of the {output}")
    excess = Parameter("sigma", dist.LogNormal(-4.6 + scale, 1.5), f"scatter of the {output} beyond the stated standard errors")
    logits = Parameter("sigma", dist.LogNormal(-3.0, 1.2), f"scale of the scatter of logit {output}")
    # Runs differ by more than the draw of the test items; correlation 0.001 of the items' outcomes doubles the variance at 1000 items.
    correlation = Parameter(
        "rho", dist.LogNormal(-7.0, 1.5), "correlation of the items of one run (as rho / (1 + rho)): scatter beyond binomial"
    )
    positive = [
        Noise(
            "student-t",
            f"Student-t on ln {output} with inferred degrees of freedom: outlying runs lose their pull",
            (relative, degrees),
            lambda curve, p, _: on_log(StudentT(p["nu"], jnp.log(curve), p["sigma"])),
            excludes=(0.0,),
        ),
        Noise(
            "normal-log",
            f"normal on ln {output}",
            (relative,),
            lambda curve, p, _: on_log(dist.Normal(jnp.log(curve), p["sigma"])),
            excludes=(0.0,),
        ),
        Noise(
            "laplace",
            f"Laplace on ln {output}: its mode is the fit by least absolute deviations, which Huber fits with delta = 0.001 nearly are",
            (relative,),
            lambda curve, p, _: on_log(dist.Laplace(jnp.log(curve), p["sigma"])),
            excludes=(0.0,),
        ),
    ]
    curves = [
        Noise(
            "correlated",
            f"normal on ln {output}, for all points of training curves: an offset of each run, and fluctuations that fade along it",
            (
                replace(relative, meaning=f"standard deviation of the fluctuations of ln {output} along a run"),
                replace(relative, name="between", meaning=f"standard deviation of the runs' offsets in ln {output}"),
                Parameter("memory", dist.LogNormal(-1.2, 1.0), "difference in ln progress over which fluctuations fade"),
            ),
            of_points,
            within=(CURVE, PROGRESS),
            excludes=(0.0,),
        ),
    ]
    signed = [
        Noise(
            "student-t",
            f"Student-t on {output} with inferred degrees of freedom: outlying runs lose their pull",
            (replace(absolute, meaning=f"scale of the scatter of the {output}"), degrees),
            lambda curve, p, _: StudentT(p["nu"], curve, p["sigma"]),
        ),
    ]
    fractions = [
        Noise(
            "logit-student-t",
            f"Student-t on logit {output} with inferred degrees of freedom: for rates that come near 0 or 1",
            (logits, degrees),
            lambda curve, p, _: on_logit(StudentT(p["nu"], logit(jnp.clip(curve, 1e-9, 1 - 1e-9)), p["sigma"])),
            excludes=(0.0, 1.0),
        ),
        Noise(
            "binomial",
            f"counts behind the {output}, of independent test items (column trials)",
            (),
            lambda curve, _, columns: BinomialFraction(columns["trials"], jnp.clip(curve, 1e-9, 1 - 1e-9)),
            needs=("trials",),
            of_counts=True,
        ),
        Noise(
            "beta-binomial",
            f"counts behind the {output}, of test items (column trials) whose outcomes are correlated within a run",
            (correlation,),
            lambda curve, p, columns: BetaBinomialFraction(columns["trials"], jnp.clip(curve, 1e-9, 1 - 1e-9), p["rho"]),
            needs=("trials",),
            of_counts=True,
        ),
    ]
    losses = [
        Noise(
            "known-se",
            "normal on loss with the stated standard errors (column loss_se) and scatter beyond them (sigma; fix it at 0 for none)",
            (excess,),
            lambda curve, p, columns: dist.Normal(curve, jnp.sqrt(columns["loss_se"] ** 2 + p["sigma"] ** 2)),
            needs=("loss_se",),
            may_be_zero=("sigma",),
        ),
    ]
    normal = Noise("normal", f"normal on {output}", (absolute,), lambda curve, p, _: dist.Normal(curve, p["sigma"]))
    families = [
        *(signed if kind.low < 0 else positive),
        normal,
        *(losses if output == "loss" else []),
        *(fractions if kind.is_fraction else []),
        *(curves if kind.low >= 0 else []),
    ]
    return {family.name: family for family in families}


def noise_names(output: str = "loss") -> list[str]:
    return list(_families(output))


def get_noise(noise: str | Noise, output: str = "loss") -> Noise:
    """Return a noise family for an output by name, or as given.

    Raises
    ------
    InputError
        If there is no family of that name for this output.
    """
    if isinstance(noise, Noise):
        return noise
    families = _families(output)
    if noise not in families:
        raise InputError(f"unknown noise family '{noise}' for {output}{nearest(noise, families)}")
    return families[noise]


def noise_of(law: Law, noise: str | Noise | None = None, columns: Collection[str] = ()) -> Noise:
    """Return a noise family for a law by name or as given; by default the law's own, or of training curves if that is what columns are of.

    Raises
    ------
    InputError
        If there is no family of that name for the law's output.
    """
    default = "correlated" if CURVE in columns else law.noise
    chosen = default if noise is None else noise
    if isinstance(law.noise, Noise) and chosen == law.noise.name:
        return law.noise
    return get_noise(chosen, law.output)


def _untransformed(scatter: Any, values: Any) -> tuple[Any, Any]:
    """Return the distribution of the logarithm or logit, where a family has one, with the values there."""
    from numpyro.distributions import TransformedDistribution, transforms

    if not isinstance(scatter, TransformedDistribution) or not all(
        isinstance(step, (transforms.ExpTransform, transforms.SigmoidTransform)) for step in scatter.transforms
    ):
        return scatter, values
    for step in reversed(scatter.transforms):  # both keep the order
        values = step.inv(values)
    return scatter.base_dist, values


def cumulative(scatter: Any, values: Any) -> Any:
    """Return the cumulative probability of measured values under a noise family's distribution.

    A Student-t's by scipy: compiling jax's incomplete beta function takes longer than the rest of a diagnosis.
    """
    import numpy as np
    from numpyro.distributions import StudentT
    from scipy.special import stdtr

    base, at = _untransformed(scatter, values)
    if not isinstance(base, StudentT):
        return np.asarray(scatter.cdf(values))
    return stdtr(np.asarray(base.df), (np.asarray(at) - np.asarray(base.loc)) / np.asarray(base.scale))


def in_units_of_scatter(scatter: Any, curve: Any) -> Any:
    """Return a curve over the typical scale of the scatter, where that is added: on the logarithm or logit, if the family is of that.

    Parameters
    ----------
    scatter : a noise family's distribution about the curve
    curve : shape (draw, run)

    Returns
    -------
    numpy array of shape (draw, run); differences of it are differences of the curve in units of the scatter
    """
    import numpy as np

    base, at = _untransformed(scatter, curve)
    scale = base.scale if hasattr(base, "scale") else base.variance**0.5
    return np.asarray(at) / np.median(np.broadcast_to(np.asarray(scale), np.shape(at)), axis=0)
