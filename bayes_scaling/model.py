"""Law + noise + settings -> an ordinary numpyro model, usable with numpyro alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayes_scaling.errors import InputError, LawError, nearest
from bayes_scaling.law import Law
from bayes_scaling.noise import Noise
from bayes_scaling.priors import prior_text

#: How a parameter may vary over groups.
POOLING_KINDS = {
    "shared": "one value for all groups",
    "partial": "a value for each group, drawn towards a common centre as far as the data let it",
    "free": "a value for each group, independent of the others",
}


_MOST_SELECTED = 32  # groups up to which a run's own value is selected by a sum over groups


@dataclass(frozen=True)
class Pooling:
    """How a parameter varies over groups.

    Attributes
    ----------
    kind : a key of POOLING_KINDS
    levels : the value's number for each group, where groups that agree in some column share a value; empty: each its own
    column : that column
    """

    kind: str
    levels: tuple[int, ...] = ()
    column: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.column}" if self.column else self.kind


@dataclass(frozen=True, eq=False)
class Settings:
    """What a user changed about a model.

    Attributes
    ----------
    fixed : parameters held fixed, by name
    priors : numpyro distributions by parameter name, instead of the law's
    groups : labels, where every group of runs has law parameters of its own
    pool : how parameters vary over the groups; of those that are not named, the law's are free and the noise's shared
    """

    fixed: Mapping[str, float] = field(default_factory=dict[str, float])
    priors: Mapping[str, Any] = field(default_factory=dict[str, Any])
    groups: tuple[str, ...] = ()
    pool: Mapping[str, Pooling] = field(default_factory=dict[str, Pooling])

    def pooling(self, name: str, noise: Noise) -> Pooling:
        """Return how a parameter varies over the groups."""
        return self.pool.get(name, Pooling("shared" if name in noise.parameter_names else "free"))

    def own(self, law: Law) -> tuple[str, ...]:
        """Return the law's parameters that every group has a value of for itself, and must determine by its own runs."""
        free = (name for name in law.parameter_names if name not in self.fixed)
        return tuple(name for name in free if not self.groups or self.pool.get(name, Pooling("free")).kind == "free")


#: Prior (location and scale of its logarithm) of the spread of a pooled parameter over groups, in the parameter's unconstrained
#: coordinate: for positive ones, of its logarithm. Median 0.14, 95 % between 0.03 and 0.65.
POOL_SPREAD = (-2.0, 0.8)


def model_priors(law: Law, noise: Noise, settings: Settings) -> dict[str, Any]:
    """Return the prior of every sampled parameter, and a number for every fixed one, in model order.

    Raises
    ------
    InputError
        If a setting names a parameter that is not sampled.
    """
    _refuse_shared_names(law, noise)
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
    for name in settings.pool:
        if name not in priors:
            raise InputError(f"cannot pool '{name}' of law '{law.name}'{nearest(name, priors)}")
        if name in settings.fixed:
            raise InputError(f"parameter '{name}' is both fixed and pooled; keep one")
    priors.update(settings.priors)
    priors.update(settings.fixed)
    return priors


def _refuse_shared_names(law: Law, noise: Noise) -> None:
    """Two quantities of one name would be one variable of the model."""
    names = [
        *law.parameter_names,
        *sorted(_derived_names(law)),
        *law.input_names,
        law.output,
        *noise.parameter_names,
        *noise.needs,
        *noise.within,
    ]
    shared = [name for name in names if names.count(name) > 1]
    if shared:
        raise LawError(f"law '{law.name}' and {noise.name} noise both have a '{shared[0]}'; rename the law's")


def check_fixed(law: Law, noise: Noise, fixed: Mapping[str, float]) -> None:
    """Raise InputError if a fixed value lies outside what its parameter can be."""
    for item in (*law.parameters, *noise.parameters):
        value = fixed.get(item.name)
        if value is None or (value == 0 and item.name in noise.may_be_zero):
            continue
        if not bool(item.prior.support(value)):
            raise InputError(f"{item.name} cannot be held at {value:g}: {item.meaning}, with prior {prior_text(item.prior)}")


def at_runs(values: Mapping[str, Any], columns: Mapping[str, Any], draw_dims: int = 0) -> dict[str, Any]:
    """Return parameters as they apply to each run: a group's own where there are groups, the same for all otherwise.

    Parameters
    ----------
    values : arrays of shape (*draws,) or (*draws, group)
    columns : with the group's number of each run as ``group``, where there are groups
    draw_dims : number of leading dimensions of the draws

    Returns
    -------
    arrays that broadcast against (*draws, run)
    """
    import jax.numpy as jnp

    if "group" not in columns:
        return {name: value[..., None] if draw_dims else value for name, value in values.items()}
    code = jnp.asarray(columns["group"]).astype(int)

    def of_each_run(value: Any) -> Any:
        if jnp.ndim(value) == draw_dims:
            return value[..., None] if draw_dims else value
        if draw_dims or value.shape[0] > _MOST_SELECTED:
            return value[..., code]
        # Inside the sampler: the gradient of a lookup is a scatter, which is slow on every device; that of a sum is not.
        return jnp.sum(jnp.where(code[:, None] == jnp.arange(value.shape[0]), value, 0.0), axis=1)

    return {name: of_each_run(value) for name, value in values.items()}


def _derived_names(law: Law) -> set[str]:
    return set(law.derive(dict.fromkeys(law.parameter_names, 1.0)))


def build_model(law: Law, noise: Noise, settings: Settings | None = None) -> Callable[..., None]:
    """Return a numpyro model ``model(columns, weight=None)``.

    ``columns`` maps the law's inputs, its output (absent: the output is sampled), what the noise needs, and for a grouped model the
    number of each run's group (``group``) to arrays of shape (runs,);
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

    def parameter(name: str, prior: Any) -> Any:
        if name in settings.fixed:
            return jnp.asarray(prior, dtype=float)
        pooling = settings.pooling(name, noise)
        if not settings.groups or pooling.kind == "shared":
            return numpyro.sample(name, prior)
        # Groups that agree in a column share a value: it is sampled under another name, and the parameter is that value for each group.
        levels = pooling.levels or tuple(range(len(settings.groups)))
        site = f"{name}_by_{pooling.column}" if pooling.levels else name
        values: Any
        if pooling.kind == "partial":
            values = _pooled(site, prior, max(levels) + 1)
        else:
            with numpyro.plate(f"group_of_{site}", max(levels) + 1):
                values = numpyro.sample(site, prior)
        return numpyro.deterministic(name, values[jnp.array(levels)]) if pooling.levels else values

    def model(columns: Mapping[str, Any], weight: Any = None) -> None:
        values = {name: parameter(name, prior) for name, prior in priors.items()}
        for name, value in law.derive(values).items():
            values[name] = numpyro.deterministic(name, value)
        values = at_runs(values, columns)
        curve = law.formula(columns, values)
        observed = columns.get(law.output)
        with numpyro.plate("run", curve.shape[-1]), numpyro.handlers.mask(mask=True if weight is None else weight > 0):
            numpyro.sample(law.output, noise.distribution(curve, values, columns), obs=observed)

    return model


def centre_and_spread(name: str, prior: Any) -> tuple[Any, Any, Any]:
    """Sample what a pooled parameter of a group is normal about; return the map from its unconstrained coordinate, and both in it.

    The prior of the spread keeps away from zero (boundary-avoiding, Chung et al. 2013), where the groups would be one.
    """
    import numpyro
    from numpyro.distributions import LogNormal, biject_to

    transform = biject_to(prior.support)
    centre = transform.inv(numpyro.sample(f"{name}_center", prior))
    return transform, centre, numpyro.sample(f"{name}_spread", LogNormal(*POOL_SPREAD))


def _pooled(name: str, prior: Any, groups: int) -> Any:
    """Sample a parameter of each group about a common centre."""
    import numpyro
    from numpyro.distributions import Normal, TransformedDistribution

    transform, centre, spread = centre_and_spread(name, prior)
    with numpyro.plate(f"group_of_{name}", groups):
        values = TransformedDistribution(Normal(centre, spread), transform)
        # As written this is centred; the engine chooses the coordinates that suit the runs of each group.
        return numpyro.sample(name, values, infer={"pool": (f"{name}_center", f"{name}_spread", POOL_SPREAD)})
