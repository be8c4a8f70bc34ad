"""Noise families: how a measured loss scatters about the law's curve.

Every family is a distribution of the measured loss itself (not of its logarithm), so that log densities, and with them model
comparisons, can be set against each other across families.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bayes_scaling.errors import InputError, nearest
from bayes_scaling.law import Law, Parameter, Values


@dataclass(frozen=True, eq=False)
class Noise:
    """An observation family.

    Parameters
    ----------
    name, meaning : text
    parameters : what is sampled besides the law's own parameters
    distribution : ``distribution(curve, parameters, columns) -> numpyro distribution`` of the measured output
    needs : further columns of the runs that it uses
    may_be_zero : parameters that may be held at zero, outside their prior's support
    """

    name: str
    meaning: str
    parameters: tuple[Parameter, ...]
    distribution: Callable[[Any, Values, Values], Any]
    needs: tuple[str, ...] = ()
    may_be_zero: tuple[str, ...] = ()

    @property
    def parameter_names(self) -> tuple[str, ...]:
        return tuple(item.name for item in self.parameters)

    def columns(self, law: Law) -> tuple[str, ...]:
        """Return the columns that a model of this law with this noise needs, in model order."""
        return (*law.input_names, law.output, *self.needs)


def _families() -> dict[str, Noise]:
    import jax.numpy as jnp
    import numpyro.distributions as dist

    def on_log(base: Any) -> Any:
        return dist.TransformedDistribution(base, dist.transforms.ExpTransform())

    # Run-to-run scatter of a final loss is typically 0.2 % to 3 % (repeated seeds of the published ladders and of `ladder`).
    relative = Parameter("sigma", dist.LogNormal(-4.6, 1.2), "scale of the scatter of ln loss")
    degrees = Parameter("nu", dist.Gamma(2.0, 0.1), "degrees of freedom: small means outlying runs (Juarez & Steel 2010)")
    absolute = Parameter("sigma", dist.LogNormal(-3.9, 1.2), "standard deviation of the loss, in nat/token")
    excess = Parameter("sigma", dist.LogNormal(-4.6, 1.5), "scatter beyond the stated standard errors, in nat/token")
    families = [
        Noise(
            "student-t",
            "Student-t on ln loss with inferred degrees of freedom: outlying runs lose their pull",
            (relative, degrees),
            lambda curve, p, _: on_log(dist.StudentT(p["nu"], jnp.log(curve), p["sigma"])),
        ),
        Noise(
            "normal-log",
            "normal on ln loss",
            (relative,),
            lambda curve, p, _: on_log(dist.Normal(jnp.log(curve), p["sigma"])),
        ),
        Noise("normal", "normal on loss", (absolute,), lambda curve, p, _: dist.Normal(curve, p["sigma"])),
        Noise(
            "laplace",
            "Laplace on ln loss: its mode is the fit by least absolute deviations, which Huber fits with delta = 0.001 nearly are",
            (relative,),
            lambda curve, p, _: on_log(dist.Laplace(jnp.log(curve), p["sigma"])),
        ),
        Noise(
            "known-se",
            "normal on loss with the stated standard errors (column loss_se) and scatter beyond them (sigma; fix it at 0 for none)",
            (excess,),
            lambda curve, p, columns: dist.Normal(curve, jnp.sqrt(columns["loss_se"] ** 2 + p["sigma"] ** 2)),
            needs=("loss_se",),
            may_be_zero=("sigma",),
        ),
    ]
    return {family.name: family for family in families}


def noise_names() -> list[str]:
    return list(_families())


def get_noise(noise: str | Noise) -> Noise:
    """Return a noise family by name, or as given.

    Raises
    ------
    InputError
        If there is no family of that name.
    """
    if isinstance(noise, Noise):
        return noise
    families = _families()
    if noise not in families:
        raise InputError(f"unknown noise family '{noise}'{nearest(noise, families)}")
    return families[noise]
