"""pool_fits(): parameters pooled over groups from a fit of each group by itself, without looking at a run again.

A fit by group samples all groups together, and its steps must suit the most bent posterior among them. But given what a pooled parameter
is spread about, and how far, groups have nothing to do with each other, and the draws of a group's own fit hold all that its runs say:

    p(centres, spreads | all runs) is in proportion to
        p(centres, spreads) x product over groups of mean over draws of p(values | centres, spreads) / p(values)

where p(values) is the prior that the group was fitted with. Two numbers a pooled parameter are sampled; then, for each of their draws,
one draw of each group is picked by the same weights. It is the two-stage method of Lunn, Barrett, Sweeting & Thompson (2013, Journal of the
Royal Statistical Society C 62:551), with the groups integrated over where they move by Metropolis steps. The model is the one that
`bayes_scaling.fit` samples with the same ``pool`` (and scatter that is not pooled as ``free``).

It is as good as the draws of a group are many where the other groups place it: their effective number is part of the diagnosis.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayes_scaling.diagnose import diagnose
from bayes_scaling.engine import Density, Draws, Sampler, Task, convergence, sample_each, use_compile_cache
from bayes_scaling.errors import InputError, nearest, option_text
from bayes_scaling.fitted import Drawn, Fit
from bayes_scaling.identification import Problem, thinned
from bayes_scaling.law import Law
from bayes_scaling.model import Pooling, Settings, centre_and_spread
from bayes_scaling.noise import Noise
from bayes_scaling.priors import parse_prior, prior_text
from bayes_scaling.runs import Runs
from bayes_scaling.trajectories import CURVE

TWO_STAGE = "two-stage"
_OWN = "log_prior"  # column of the log density that a group's own prior gives its draws
_AT_ONCE = 250  # draws of centres and spreads, times draws of a group, that are weighed at once


def pool_fits(
    fits: Mapping[str, Fit],
    pool: Sequence[str],
    *,
    priors: Mapping[str, Any] | None = None,
    chains: int = 4,
    draws: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Fit:
    """Pool parameters in part over groups, from a fit of each group by itself.

    It gives what ``bs.fit(law, runs, pool={"alpha": "partial", "sigma": "free"})`` gives, in seconds however many groups there are and
    however bent their posteriors; fits may come from `fit_many`, a batch's `Store`, or files.

    Parameters
    ----------
    fits : by the group's label: of one law, noise and fixed values
    pool : names of parameters, of the law or its noise, that are drawn towards a common centre as far as the groups let them; each group
        keeps the others for itself
    priors : numpyro distributions of the centres by parameter name; by default what the fits had for the parameter. Where few of a group's
        draws lie where the others place it, fit the groups again with narrower priors of these parameters, and name the ones meant here
    chains, draws, seed, progress : as in `fit`

    Returns
    -------
    a fit by group, as `fit` returns it: `Fit.select` gives a group's; centres and spreads are ``alpha_center`` and ``alpha_spread`` (in the
    unconstrained coordinate: for a positive parameter, of its logarithm)

    Raises
    ------
    InputError
        If the fits are not alike, or a parameter cannot be pooled.

    Examples
    --------
    >>> halves = {"short": runs.subset(runs["tokens"] < 1e10), "long": runs.subset(runs["tokens"] >= 1e10)}
    >>> alone = {name: bs.fit("power_law_floor", part, input="params") for name, part in halves.items()}
    >>> together = bs.pool_fits(alone, ["c"])
    >>> together.groups, together.posterior["c"].dims
    (('long', 'short'), ('chain', 'draw', 'group'))
    """
    import jax
    from numpyro.distributions import biject_to

    start = time.perf_counter()
    use_compile_cache()
    groups, each, first, names = _checked(fits, pool)
    centres = _priors(first.law, first.noise, names, each, priors or {})
    stored = _stored(each, names, centres)
    device = jax.devices("cpu")[0]
    with jax.enable_x64(True), jax.default_device(device):
        weight = np.ones(len(groups))
        density = Density(_model(centres), stored.columns, weight)
        task = Task(stored.columns, weight, Sampler(chains, draws, seed=seed), progress)
        ((_, sampled),) = sample_each(density, [task], device)
        if isinstance(sampled, InputError):
            raise sampled
        about = {
            name: (np.asarray(biject_to(prior.support).inv(sampled.sites[f"{name}_center"])), sampled.sites[f"{name}_spread"])
            for name, prior in centres.items()
        }
    picked, effective = _picked(stored, about, task.random("picked"))
    settings = Settings(
        first.fixed,
        {name: prior for name, prior in centres.items() if name in (priors or {})},
        groups,
        {
            name: Pooling("partial" if name in names else "free")
            for name in _sampled(first)
            if name in (*names, *first.noise.parameter_names)
        },
    )
    sites = {**sampled.sites, **{name: _of_groups(stored, name, picked) for name in stored.sites[0]}}
    return _gathered(each, settings, centres, replace(sampled, sites=sites, method=TWO_STAGE), effective, seed, start)


def _checked(fits: Mapping[str, Fit], pool: Sequence[str]) -> tuple[tuple[str, ...], list[Fit], Fit, tuple[str, ...]]:
    """Return labels in order, their fits, the first of these, and the pooled parameters in the model's order."""
    if len(fits) < 2:
        raise InputError(f"{len(fits)} fits cannot be pooled: give those of at least two groups, by label")
    groups = tuple(sorted(fits))
    each = [fits[label] for label in groups]
    first = each[0]
    sampled = _sampled(first)
    wanted = [pool] if isinstance(pool, str) else list(pool)
    if not wanted:
        raise InputError(f"name the parameters to pool: some of {', '.join(sampled)}")
    for name in wanted:
        if name in first.fixed:
            raise InputError(f"cannot pool '{name}' of law '{first.law.name}': it is held at {first.fixed[name]:g}")
        if name not in sampled:
            raise InputError(f"cannot pool '{name}' of law '{first.law.name}'{nearest(name, sampled)}")
    for label, one in zip(groups, each, strict=True):
        if one.groups:
            raise InputError(f"the fit of '{label}' has groups itself; pool the fits of single groups (fit.select(LABEL))")
        if first.law.model is not None:
            raise InputError(f"law '{first.law.name}' has a model of its own and cannot be pooled")
        for what, ours, theirs in (
            ("law", first.law.name, one.law.name),
            ("noise", first.noise.name, one.noise.name),
            ("input", first.law.input_names, one.law.input_names),
            ("fixed values", dict(first.fixed), dict(one.fixed)),
            ("columns", sorted(first.runs.columns), sorted(one.runs.columns)),
        ):
            if ours != theirs:
                raise InputError(f"the fits of '{groups[0]}' and '{label}' differ in {what}: {ours} and {theirs}; fit all groups alike")
    return groups, each, first, tuple(name for name in sampled if name in wanted)


def _sampled(fit: Fit) -> list[str]:
    return [name for name in (*fit.law.parameter_names, *fit.noise.parameter_names) if name not in fit.fixed]


def _prior(fit: Fit, name: str) -> Any:
    """Return the prior that a parameter had in a fit, which stores its text."""
    item = next(item for item in (*fit.law.parameters, *fit.noise.parameters) if item.name == name)
    text = fit.attributes["priors"][name]
    return item.prior if prior_text(item.prior) == text else parse_prior(f"{name}={text}")[1]


def _priors(law: Law, noise: Noise, names: Sequence[str], each: Sequence[Fit], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the prior of each pooled parameter's centre."""
    for name in chosen:
        if name not in names:
            raise InputError(f"cannot set a prior on the centre of '{name}': it is not pooled{nearest(name, names)}")
    found = {}
    for name in names:
        texts = {fit.attributes["priors"][name] for fit in each}
        if len(texts) > 1 and name not in chosen:
            raise InputError(
                f"the groups were fitted with different priors of {name} ({', '.join(sorted(texts)[:2])} ...): "
                f"name the one of its centre ({option_text(priors=None)})"
            )
        found[name] = chosen.get(name, _prior(each[0], name))
    return found


@dataclass(frozen=True)
class _Stored:
    """The groups' draws, and what they are weighed by.

    Attributes
    ----------
    sites : of each group, every parameter's draws by name, shape (draw,): as many of each group
    columns : pooled parameters in unconstrained coordinates, and as ``log_prior`` the log density there of the prior that the group was
        fitted with; shape (group, draw)
    independent : share of a group's draws that count as independent, shape (group,)
    """

    sites: list[dict[str, np.ndarray]]
    columns: dict[str, np.ndarray]
    independent: np.ndarray


def _stored(each: Sequence[Fit], names: Sequence[str], centres: Mapping[str, Any]) -> _Stored:
    import jax
    from numpyro.distributions import biject_to

    most = min(next(iter(fit.sites.values())).size for fit in each)
    sites = [thinned(fit.sites, most) for fit in each]
    found: dict[str, list[np.ndarray]] = {name: [] for name in (*names, _OWN)}
    with jax.enable_x64(True):
        for fit, drawn in zip(each, sites, strict=True):
            own = np.zeros(most)
            for name in names:
                transform = biject_to(centres[name].support)
                place = np.asarray(transform.inv(drawn[name]))
                if not np.all(np.isfinite(place)):
                    raise InputError(f"draws of {name} lie outside what the prior of its centre allows: {prior_text(centres[name])}")
                own = own + np.asarray(_prior(fit, name).log_prob(drawn[name]) + transform.log_abs_det_jacobian(place, drawn[name]))
                found[name].append(place)
            found[_OWN].append(own)
    independent = np.array([min(1.0, fit.diagnosis.min_ess / most) for fit in each])
    return _Stored(sites, {name: np.array(values) for name, values in found.items()}, independent)


def _model(centres: Mapping[str, Any]) -> Callable[..., None]:
    """Return the numpyro model of centres and spreads, given the groups' draws."""
    import jax.numpy as jnp
    import numpyro
    from jax.scipy.special import logsumexp
    from numpyro.distributions import Normal

    def model(columns: Mapping[str, Any], weight: Any) -> None:
        log_weight = -columns[_OWN]
        for name, prior in centres.items():
            _, centre, spread = centre_and_spread(name, prior)
            log_weight = log_weight + Normal(centre, spread).log_prob(columns[name])
        numpyro.factor("groups", jnp.sum(weight * logsumexp(log_weight, axis=1)))

    return model


def _picked(stored: _Stored, about: Mapping[str, tuple[np.ndarray, np.ndarray]], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pick a draw of each group for each draw of centres and spreads; return its place, (chain, draw, group), and effective numbers.

    ``about`` holds the centre and the spread of each pooled parameter in its unconstrained coordinate, of shape (chain, draw).

    The effective number of a group's draws, shape (group,), is by their weights averaged over centres and spreads (Kish), times the share
    that is independent.
    """
    shape = next(iter(about.values()))[0].shape
    groups, most = stored.columns[_OWN].shape
    # The log weight is a scalar product: of (place^2, place, own log prior) with what centre and spread make of them.
    turned: list[np.ndarray] = []
    for centre, spread in about.values():
        turned += [-0.5 / spread.ravel() ** 2, centre.ravel() / spread.ravel() ** 2]
    coefficients = np.array([*turned, -np.ones(np.prod(shape))])
    places, effective = np.empty((groups, coefficients.shape[1]), int), np.empty(groups)
    for group in range(groups):
        features = [part for name in about for part in (stored.columns[name][group] ** 2, stored.columns[name][group])]
        features = np.array([*features, stored.columns[_OWN][group]])
        total = np.zeros(most)
        for start in range(0, coefficients.shape[1], _AT_ONCE):
            log_weight = coefficients[:, start : start + _AT_ONCE].T @ features
            share = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
            edges = np.cumsum(share, axis=1)
            aim = rng.random(len(edges)) * edges[:, -1]
            places[group, start : start + _AT_ONCE] = np.minimum(np.sum(edges < aim[:, None], axis=1), most - 1)
            total += np.sum(share / edges[:, -1:], axis=0)
        effective[group] = total.sum() ** 2 / np.sum(total**2) * stored.independent[group]
    return np.moveaxis(places.reshape(groups, *shape), 0, -1), effective


def _of_groups(stored: _Stored, name: str, picked: np.ndarray) -> np.ndarray:
    """Return the picked draws of a parameter, (chain, draw, group)."""
    return np.stack([drawn[name][picked[..., group]] for group, drawn in enumerate(stored.sites)], axis=-1)


def _gathered(
    each: Sequence[Fit], settings: Settings, centres: Mapping[str, Any], sampled: Draws, effective: np.ndarray, seed: int, start: float
) -> Fit:
    """Return the fit of all groups, with what is to be said of its draws."""
    first, groups = each[0], settings.groups
    law, noise, runs = first.law, first.noise, _together(each, groups)
    priors = {**{name: _prior(first, name) for name in _sampled(first)}, **centres, **first.fixed}
    shape = sampled.unconstrained.shape[:2]
    parameters = {**{name: np.full(shape, value) for name, value in first.fixed.items()}, **sampled.sites}
    problems = [replace(problem, group=label) for label, fit in zip(groups, each, strict=True) for problem in fit.diagnosis.of_sampling]
    for label, number in zip(groups, effective, strict=True):
        if not number > convergence.MIN_ESS:
            told = f"only {number:.0f} effective draws of its own fit lie where the other groups place it; {convergence.MIN_ESS} are needed"
            remedy = f"Fit it with more draws ({option_text(draws=4000)}), or all groups with narrower priors of what is pooled"
            problems.append(Problem("ess", True, told, remedy, label))
    diagnosis = diagnose(law, noise, priors, runs, parameters, sampled, groups, settings, problems)
    diagnosis = replace(diagnosis, min_ess_bulk=min(diagnosis.min_ess_bulk, float(effective.min())))
    attributes = {
        **first.attributes,
        "priors": {name: prior_text(prior) for name, prior in priors.items() if name not in first.fixed},
        "groups": list(groups),
        "pool": {name: str(pooling) for name, pooling in settings.pool.items()},
        "seed": seed,
        "precision": 64,
        "method": sampled.method,
        "warmup": sampled.attempt.warmup,
        "warmup_asked": None,
        "target_acceptance": sampled.attempt.target,
        "thin": sampled.attempt.thin,
        "attempts": sampled.attempts,
        "data": {**first.attributes["data"], "source": runs.source, "hash": runs.data_hash, "notes": list(runs.notes), "reading": {}},
        "timing": {
            "total_s": time.perf_counter() - start,
            "compile_s": sampled.compile_seconds,
            "sample_s": sampled.sample_seconds,
        },
        "diagnosis": diagnosis.to_dict(),
    }
    return Fit(law, noise, runs, Drawn(sampled.sites, sampled.stats, attributes), diagnosis, first.fixed, groups)


def _together(each: Sequence[Fit], groups: Sequence[str]) -> Runs:
    """Return the runs of all groups."""
    parts = [fit.runs for fit in each]
    first = parts[0]
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in first.columns}
    if CURVE in columns:  # curves are numbered anew in each file
        of_part = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        columns[CURVE] = np.unique([of_part, columns[CURVE]], axis=1, return_inverse=True)[1].astype(float)
    return replace(
        first,
        columns=columns,
        lines=np.concatenate([part.lines for part in parts]),
        source=", ".join(dict.fromkeys(part.source for part in parts)),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        group=np.repeat(np.array(groups, object), [len(part) for part in parts]).astype(str),
        factors=(),
        reading={},
    )
