"""pool_fits(): parameters pooled over groups from a fit of each group by itself, without looking at a run again.

A fit by group samples all groups together, and its steps must suit the most bent posterior among them. But given what a pooled parameter
is spread about, and how far, groups have nothing to do with each other, and the draws of a group's own fit hold all that its runs say:

    p(centres, spreads | all runs) is in proportion to
        p(centres, spreads) x product over groups of mean over draws of p(values | centres, spreads) / p(values)

where p(values) is the prior that the group was fitted with. Two numbers a pooled parameter are sampled; then, for each of their draws,
one draw of each group is picked by the same weights. It is the two-stage method of Lunn, Barrett, Sweeting & Thompson (2013, Journal of the
Royal Statistical Society C 62:551), with the groups integrated over where they move by Metropolis steps. The model is the one that
`bayes_scaling.fit` samples with the same ``pool`` (and scatter that is not pooled as ``free``).

It is as good as the draws of a group are many where the other groups place it. Groups that have too few there are fitted again, with
priors about as wide as the groups are spread: that changes where their draws lie, and nothing about what they are weighed to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit, ndtri

from bayes_scaling.diagnose import diagnose
from bayes_scaling.engine import Density, Draws, Sampler, Task, convergence, sample_each, use_compile_cache
from bayes_scaling.errors import InputError, nearest, option_text
from bayes_scaling.fitted import Drawn, Fit
from bayes_scaling.identification import Problem
from bayes_scaling.model import Pooling, Settings, centre_and_spread
from bayes_scaling.priors import parse_prior, prior_text
from bayes_scaling.refitting import chosen_priors, refits
from bayes_scaling.runs import Runs
from bayes_scaling.trajectories import CURVE

TWO_STAGE = "two-stage"
_OWN = "log_prior"  # column of the log density that a group's own prior gives its draws
_OF_EACH = 1000  # draws of each group, at most, that centres and spreads are sampled by; all of them are picked from
_ROUNDS = 2  # in which groups are fitted again, at most
_WIDER = 1.5  # a narrower prior than the groups' own spread, in standard deviations
_AT_ONCE = 250  # draws of centres and spreads for which a group's draws are weighed at once


def pool_fits(
    fits: Mapping[str, Fit],
    pool: Sequence[str],
    *,
    priors: Mapping[str, Any] | None = None,
    chains: int = 4,
    draws: int = 1000,
    seed: int = 0,
    refit: bool = True,
) -> Fit:
    """Pool parameters in part over groups, from a fit of each group by itself.

    It gives what ``bs.fit(law, runs, pool={"alpha": "partial", "sigma": "free"})`` gives, however many groups there are and however bent
    their posteriors; fits may come from `fit_many`, a batch's `Store`, or files.

    Parameters
    ----------
    fits : by the group's label: of one law, noise and fixed values
    pool : names of parameters, of the law or its noise, that are drawn towards a common centre as far as the groups let them; each group
        keeps the others for itself
    priors : numpyro distributions of the centres by parameter name; by default what the fits had for the parameter
    chains, draws, seed : as in `fit`
    refit : fit groups again of which too few draws lie where the others place them, with narrower priors of what is pooled

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
    start = time.perf_counter()
    use_compile_cache()
    groups, each, names = _checked(fits, pool)
    centres, given = _priors(names, each, priors or {}), {**chosen_priors(each[0]), **(priors or {})}
    once, persistent = (Sampler(chains, draws, seed=seed, persistent=often) for often in (False, True))
    found = _sample(each, centres, once)  # to see where draws are wanted, a first attempt will do
    for _ in range(_ROUNDS if refit else 0):
        poor = [place for place, number in enumerate(found.effective) if not number > convergence.MIN_ESS]
        if not poor:
            break
        narrower = {**given, **{name: _narrower(centres[name], *about) for name, about in found.about.items()}}
        for number, again in refits(each[0], [each[place].runs for place in poor], priors=narrower):
            if isinstance(again, InputError):
                raise again
            each[poor[number]] = again
        found = _sample(each, centres, once)
    if not convergence.good(found.draws.convergence, found.draws.stats["diverging"], found.draws.ebfmi):
        found = _sample(each, centres, persistent)
    first = each[0]
    pooling = {name: Pooling("free") for name in first.noise.parameter_names if name not in first.fixed}
    chosen = Settings(first.fixed, given, groups, {**pooling, **dict.fromkeys(names, Pooling("partial"))})
    return _gathered(each, chosen, centres, found, seed, start)


def _checked(fits: Mapping[str, Fit], pool: Sequence[str]) -> tuple[tuple[str, ...], list[Fit], tuple[str, ...]]:
    """Return labels in order, their fits, and the pooled parameters in the model's order."""
    if len(fits) < 2:
        raise InputError(f"{len(fits)} fits cannot be pooled: give those of at least two groups, by label")
    groups = tuple(sorted(fits))
    each = [fits[label] for label in groups]
    first = each[0]
    sampled = _free_names(first)
    wanted = [pool] if isinstance(pool, str) else list(pool)
    if not wanted:
        raise InputError(f"name the parameters to pool: some of {', '.join(sampled)}")
    for name in wanted:
        if name in first.fixed:
            raise InputError(f"cannot pool '{name}' of law '{first.law.name}': it is held at {first.fixed[name]:g}")
        if name not in sampled:
            raise InputError(f"cannot pool '{name}' of law '{first.law.name}'{nearest(name, sampled)}")
    for label, one in zip(groups, each, strict=True):
        if one.attributes["groups"]:  # a selected one, too: the other groups have had their say in its draws
            raise InputError(f"the fit of '{label}' is from a fit by group; fit each group by itself, and pool these")
        if first.law.model is not None:
            raise InputError(f"law '{first.law.name}' has a model of its own and cannot be pooled")
        for what, ours, theirs in (
            ("law", first.law.name, one.law.name),
            ("noise", first.noise.name, one.noise.name),
            ("input", first.law.input_names, one.law.input_names),
            ("fixed values", dict(first.fixed), dict(one.fixed)),
            ("priors of what is not pooled", _other_priors(first, wanted), _other_priors(one, wanted)),
            ("chains", next(iter(first.sites.values())).shape[0], next(iter(one.sites.values())).shape[0]),
            ("columns", sorted(first.runs.columns), sorted(one.runs.columns)),
        ):
            if ours != theirs:
                raise InputError(f"the fits of '{groups[0]}' and '{label}' differ in {what}: {ours} and {theirs}; fit all groups alike")
    return groups, each, tuple(name for name in sampled if name in wanted)


def _free_names(fit: Fit) -> list[str]:
    return [name for name in (*fit.law.parameter_names, *fit.noise.parameter_names) if name not in fit.fixed]


def _other_priors(fit: Fit, pooled: Sequence[str]) -> dict[str, str]:
    return {name: text for name, text in fit.attributes["priors"].items() if name not in pooled}


def _prior(fit: Fit, name: str) -> Any:
    """Return the prior that a parameter had in a fit, which stores its text."""
    item = next(item for item in (*fit.law.parameters, *fit.noise.parameters) if item.name == name)
    text = fit.attributes["priors"][name]
    return item.prior if prior_text(item.prior) == text else parse_prior(f"{name}={text}")[1]


def _priors(names: Sequence[str], each: Sequence[Fit], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the prior of each pooled parameter's centre."""
    for name in chosen:
        if name not in names:
            raise InputError(f"cannot set a prior on the centre of '{name}': it is not pooled{nearest(name, names)}")
    found = {}
    for name in names:
        texts = {fit.attributes["priors"][name] for fit in each}
        if len(texts) > 1 and name not in chosen:
            several = " and ".join(sorted(texts)[:2])
            raise InputError(f"groups were fitted with different priors of {name} ({several}): say which its centre has, with 'priors'")
        found[name] = chosen[name] if name in chosen else _prior(each[0], name)
    return found


def _narrower(prior: Any, centre: np.ndarray, spread: np.ndarray) -> Any:
    """Return a prior that is somewhat wider than groups are spread; a parameter whose range has no family for it keeps its own."""
    import numpyro.distributions as dist

    middle = float(np.median(centre))
    scale = _WIDER * float(np.sqrt(np.mean(spread**2) + np.var(centre)))
    if prior.support is dist.constraints.real:
        return dist.Normal(middle, scale)
    if prior.support is dist.constraints.positive:
        return dist.LogNormal(middle, scale)
    if prior.support is dist.constraints.unit_interval:  # the moments of a logit that is normal
        values = expit(middle + scale * ndtri((np.arange(1000) + 0.5) / 1000))
        size = values.mean() * (1 - values.mean()) / values.var() - 1
        return dist.Beta(size * values.mean(), size * (1 - values.mean()))
    return prior


@dataclass(frozen=True)
class _Stored:
    """The groups' draws, and what they are weighed by.

    Attributes
    ----------
    sites : of each group, every parameter's draws by name, shape (chain, draw): as many of each group
    columns : pooled parameters in unconstrained coordinates, and as ``log_prior`` the log density there of the prior that the group was
        fitted with; shape (group, chain, draw)
    """

    sites: list[dict[str, np.ndarray]]
    columns: dict[str, np.ndarray]


@dataclass(frozen=True)
class _Sampled:
    """What was sampled: all draws; centre and spread of each pooled parameter, (chain, draw); effective draws of each group, (group,)."""

    draws: Draws
    about: dict[str, tuple[np.ndarray, np.ndarray]]
    effective: np.ndarray


def _sample(each: Sequence[Fit], centres: Mapping[str, Any], settings: Sampler) -> _Sampled:
    """Sample centres and spreads, and pick draws of the groups for them."""
    import jax
    from numpyro.distributions import biject_to

    stored = _stored(each, centres)
    flat = {name: values.reshape(len(each), -1) for name, values in stored.columns.items()}
    most = flat[_OWN].shape[1]
    some = {name: values[:, np.linspace(0, most - 1, min(most, _OF_EACH)).astype(int)] for name, values in flat.items()}
    weight, device = np.ones(len(each)), jax.devices("cpu")[0]
    with jax.enable_x64(True), jax.default_device(device):
        density = Density(_model(centres), some, weight)
        task = Task(some, weight, settings)
        ((_, found),) = sample_each(density, [task], device)
        if isinstance(found, InputError):
            raise found
        about = {
            name: (np.asarray(biject_to(prior.support).inv(found.sites[f"{name}_center"])), found.sites[f"{name}_spread"])
            for name, prior in centres.items()
        }
    picked, effective = _picked(stored, about, task.random("picked"))
    sites = {
        name: np.stack([np.ravel(drawn[name])[picked[..., group]] for group, drawn in enumerate(stored.sites)], axis=-1)
        for name in stored.sites[0]
    }
    return _Sampled(replace(found, sites={**found.sites, **sites}, method=TWO_STAGE), about, effective)


def _stored(each: Sequence[Fit], centres: Mapping[str, Any]) -> _Stored:
    import jax
    from numpyro.distributions import biject_to

    least = min(next(iter(fit.sites.values())).shape[1] for fit in each)
    sites = []
    for fit in each:
        draws = next(iter(fit.sites.values())).shape[1]
        kept = np.linspace(0, draws - 1, least).astype(int)
        sites.append({name: values[:, kept] for name, values in fit.sites.items()})
    found: dict[str, list[np.ndarray]] = {name: [] for name in (*centres, _OWN)}
    with jax.enable_x64(True):
        for fit, drawn in zip(each, sites, strict=True):
            own = np.zeros(next(iter(drawn.values())).shape)
            for name, centre in centres.items():
                transform = biject_to(centre.support)
                place = np.asarray(transform.inv(drawn[name]))
                if not np.all(np.isfinite(place)):
                    raise InputError(f"draws of {name} lie outside what the prior of its centre allows: {prior_text(centre)}")
                own = own + np.asarray(_prior(fit, name).log_prob(drawn[name]) + transform.log_abs_det_jacobian(place, drawn[name]))
                found[name].append(place)
            found[_OWN].append(own)
    return _Stored(sites, {name: np.array(values) for name, values in found.items()})


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
    """
    shape = next(iter(about.values()))[0].shape
    groups, *of_group = stored.columns[_OWN].shape
    # The log weight is a scalar product: of (place^2, place, own log prior) with what centre and spread make of them.
    turned: list[np.ndarray] = []
    for centre, spread in about.values():
        turned += [-0.5 / spread.ravel() ** 2, centre.ravel() / spread.ravel() ** 2]
    coefficients = np.array([*turned, np.full(turned[0].shape, -1.0)])
    places, effective = np.empty((groups, coefficients.shape[1]), int), np.empty(groups)
    for group in range(groups):
        values = [stored.columns[name][group] for name in about]
        features = np.array([*(part for one in values for part in (one.ravel() ** 2, one.ravel())), stored.columns[_OWN][group].ravel()])
        total = np.zeros(features.shape[1])
        for start in range(0, coefficients.shape[1], _AT_ONCE):
            log_weight = coefficients[:, start : start + _AT_ONCE].T @ features
            share = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
            edges = np.cumsum(share, axis=1)
            aim = rng.random(len(edges)) * edges[:, -1]
            places[group, start : start + _AT_ONCE] = np.minimum(np.sum(edges < aim[:, None], axis=1), features.shape[1] - 1)
            total += np.sum(share / edges[:, -1:], axis=0)
        effective[group] = _effective(np.stack(values, axis=-1), total.reshape(of_group))
    return np.moveaxis(places.reshape(groups, *shape), 0, -1), effective


def _effective(values: np.ndarray, weight: np.ndarray) -> float:
    """Return how many independent draws weighted draws of chains, (chain, draw, parameter), are worth for the mean of each: the least.

    As many as their weights leave (Kish), less what is lost since terms of the weighted sum are alike from draw to draw.
    """
    share = (weight / weight.sum())[..., None]
    terms = share * (values - np.sum(share * values, axis=(0, 1)))
    alike = np.minimum(convergence.statistics(terms)["ess_bulk"] / weight.size, 1.0)
    return float(np.min(alike) / np.sum(share**2))


def _gathered(each: Sequence[Fit], settings: Settings, centres: Mapping[str, Any], found: _Sampled, seed: int, start: float) -> Fit:
    """Return the fit of all groups, with what is to be said of its draws."""
    sampled, effective = found.draws, found.effective
    first, groups = each[0], settings.groups
    law, noise, runs = first.law, first.noise, _together(each, groups)
    priors = {**{name: _prior(first, name) for name in _free_names(first)}, **centres, **first.fixed}
    shape = sampled.unconstrained.shape[:2]
    parameters = {**{name: np.full(shape, value) for name, value in first.fixed.items()}, **sampled.sites}
    problems = [replace(problem, group=label) for label, fit in zip(groups, each, strict=True) for problem in fit.diagnosis.of_sampling]
    for label, number in zip(groups, effective, strict=True):
        if not number > convergence.MIN_ESS:
            told = f"only {number:.0f} effective draws of its own fit lie where the other groups place it; {convergence.MIN_ESS} are needed"
            remedy = f"Fit it with more draws ({option_text(draws=4000)}), or pool fewer parameters"
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
