"""What runs can tell of a law's parameters: before a fit, from where the runs are; after it, from how the curve follows the draws."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayes_scaling.errors import option_text
from bayes_scaling.law import Law
from bayes_scaling.model import Settings
from bayes_scaling.noise import Noise
from bayes_scaling.pointwise import SCALED, pointwise
from bayes_scaling.priors import prior_quantiles
from bayes_scaling.quantities import coordinate
from bayes_scaling.runs import Runs
from bayes_scaling.units import count_text

COLLINEAR = 0.1  # sd of one log input given the others, below which they cannot be told apart
DEPENDENT = 1e-6  # smallest singular value of sensitivities (each of length 1), below which one follows from the others
MOST_SENSITIVITIES = 1000  # runs at which sensitivities are looked at
UNINFORMED = 0.25  # squared change of the curve along a posterior standard deviation, in units of the scatter, where runs say little
TOGETHER = 0.5  # correlation of a parameter with its place along a ridge, from which on it takes part


@dataclass(frozen=True)
class Problem:
    """Something found: its kind, whether it makes the posterior untrustworthy, what it is, the remedy, and the group if it is one's."""

    kind: str
    serious: bool
    text: str
    remedy: str
    group: str = ""

    def __str__(self) -> str:
        return f"{f'group {self.group}: ' if self.group else ''}{self.text}. {self.remedy}"


def measured_inputs(law: Law, runs: Runs) -> list[str]:
    """Return the inputs that the runs were made at, without those that have the law's default in all of them."""
    return [item.name for item in law.inputs if item.default is None or np.any(runs[item.name] != item.default)]


def data_problems(law: Law, priors: Mapping[str, Any], runs: Runs, settings: Settings) -> list[Problem]:
    """Return what makes runs unable to answer the law's question, before any fit: too few, all at one size, all on one line.

    All runs together must determine all parameters. A group must determine those that it has for itself, and only the inputs that
    their effect depends on matter for that: two sizes of one group need not tell an exponent that all groups share.
    """
    free = [name for name in law.parameter_names if hasattr(priors.get(name), "log_prob") and name not in law.latent_names]
    inputs = measured_inputs(law, runs)
    own = [name for name in free if name in settings.own(law)]
    problems = []
    if not settings.groups or own != free:
        problems += _problems_of_part(law, priors, runs, free, len(free) + 2, inputs)
    if settings.groups and own:
        # Groups share the scatter; where they share some of the law as well, a run for each parameter of its own will do.
        needed = len(own) + 2 if own == free else len(own)
        bearing = inputs if own == free else _bearing(law, priors, runs, own, inputs)
        for label in settings.groups:
            found = _problems_of_part(law, priors, runs.of_group(label), own, needed, bearing)
            problems += [replace(problem, group=label) for problem in found]
    return problems


def _problems_of_part(
    law: Law, priors: Mapping[str, Any], runs: Runs, names: Sequence[str], needed: int, inputs: Sequence[str]
) -> list[Problem]:
    """Return what keeps some runs from determining the parameters that are named, whose effect depends on some of the inputs."""
    problems = []
    if len(runs) < needed:
        problems.append(
            Problem(
                "few runs",
                True,
                f"{len(runs)} runs cannot determine {len(names)} parameters{' and the scatter' if needed > len(names) else ''}: "
                "the priors fill the gap",
                f"Add runs (at least {needed}, better {5 * len(names)}), or fix parameters that are known",
            )
        )
    if len(runs) > 1 and np.ptp(runs[law.output]) == 0 and "trials" not in runs.columns:
        problems.append(
            Problem(
                "constant output",
                True,
                f"all runs have the same {law.output} ({runs[law.output][0]:.4g}): there is nothing to explain, and no scatter to learn",
                f"Check the column of {law.output}",
            )
        )
    logs = {name: coordinate(name, runs[name]) for name in inputs}
    constant = [name for name, values in logs.items() if np.ptp(values) < np.log(1.1)]
    if constant and not _told_apart(law, priors, runs, names, constant):
        problems += [
            Problem(
                "constant input",
                True,
                f"all runs have about the same {name} ({count_text(float(np.median(runs[name])))}): "
                "its exponent and its term cannot be told from the floor",
                f"Add runs with other values of {name}{_others(runs[name])}, or fix its exponent",
            )
            for name in constant
        ]
    varying = {name: values for name, values in logs.items() if name not in constant}
    if len(varying) > 1 and len(runs) > len(varying) + 1:
        for name, values in varying.items():
            others = np.stack([np.ones(len(runs)), *(other for key, other in varying.items() if key != name)], axis=1)
            residual = values - others @ np.linalg.lstsq(others, values, rcond=None)[0]
            if residual.std() < COLLINEAR:
                ratio, example = "", "other sizes at the same compute"
                if set(varying) == {"params", "tokens"}:
                    ratio, example = _ratio_in_words(runs)
                problems.append(
                    Problem(
                        "collinear inputs",
                        True,
                        f"{' and '.join(varying)} move together{ratio}: {_not_told_apart(law, varying)}, so no optimum can be derived",
                        f"Add runs off this line: {example}",
                    )
                )
                break
    return problems


def _ratio_in_words(runs: Runs) -> tuple[str, str]:
    """Say how alike the runs' tokens per param are, and which two runs of the same compute as one of them would lie off that line."""
    ratio = runs["tokens"] / runs["params"]
    middle = float(np.median(ratio))
    near = int(np.sum(np.abs(np.log(ratio / middle)) < np.log(1.25)))
    said = f": {near} of {len(ratio)} runs have about {middle:.3g} tokens a param (all from {ratio.min():.3g} to {ratio.max():.3g})"
    place = int(np.argsort(runs["params"], kind="stable")[len(runs) // 2])
    params, tokens = float(runs["params"][place]), float(runs["tokens"][place])
    plans = " and ".join(f"{count_text(params * factor)} params on {count_text(tokens / factor)} tokens" for factor in (0.25, 4.0))
    return said, f"other sizes at the same compute, for example {plans} (as much compute each as line {runs.lines[place]})"


def _not_told_apart(law: Law, inputs: Collection[str]) -> str:
    """Say whose effects are one, by the names of parameters where the law tells which are whose."""
    terms = [f"{term.published or term.coefficient} and {term.exponent}" for term in law.terms if term.input in inputs]
    return " cannot be told from ".join(terms) if len(terms) == 2 else "their terms cannot be told apart"


def _others(values: np.ndarray) -> str:
    """Return values a factor of four to both sides of those that runs have, as an example."""
    middle = float(np.median(values))
    return f", for example {count_text(middle / 4)} and {count_text(middle * 4)}" if middle > 0 else ""


def _bearing(law: Law, priors: Mapping[str, Any], runs: Runs, names: Sequence[str], inputs: Sequence[str]) -> list[str]:
    """Return the inputs that the effect of some parameters depends on: held at its median, such an input changes a sensitivity."""
    measured, *held = _sensitivities(law, priors, runs, names, [(), *((name,) for name in inputs)])
    tolerance = DEPENDENT * np.abs(measured).max(axis=0)
    # What is not finite bears too.
    return [name for name, changed in zip(inputs, held, strict=True) if not np.all(np.abs(changed - measured) <= tolerance)]


def _told_apart(law: Law, priors: Mapping[str, Any], runs: Runs, names: Sequence[str], constant: Sequence[str]) -> bool:
    """Whether parameters have effects that do not follow from each other's, with the constant inputs exactly constant."""
    (effects,) = _sensitivities(law, priors, runs, names, [constant])
    lengths = np.linalg.norm(effects, axis=0)
    if len(effects) < len(names) or not np.all(np.isfinite(lengths)) or np.any(lengths == 0):
        return False
    return bool(np.linalg.svd(effects / lengths, compute_uv=False)[-1] > DEPENDENT)


def _sensitivities(
    law: Law, priors: Mapping[str, Any], runs: Runs, names: Sequence[str], held: Sequence[Sequence[str]]
) -> list[np.ndarray]:
    """Return derivatives of the curve by some parameters at the prior medians, each of shape (run, parameter).

    One for each choice of inputs that are ``held`` at their median, of at most MOST_SENSITIVITIES runs.
    """
    import jax
    import jax.numpy as jnp

    rows = np.unique(np.linspace(0, len(runs) - 1, min(len(runs), MOST_SENSITIVITIES)).astype(int))
    point = {name: _middle(priors[name]) for name in law.parameter_names}

    def curve(values: Any, inputs: Mapping[str, Any]) -> Any:
        moved = {**point, **dict(zip(names, values, strict=True))}
        return jnp.broadcast_to(law.formula(inputs, law.complete(moved)), len(rows))

    with jax.enable_x64(True):
        slopes = jax.jit(jax.jacfwd(curve))
        at = jnp.array([point[name] for name in names])
        return [
            np.asarray(
                slopes(
                    at,
                    {name: np.full(len(rows), np.median(runs[name])) if name in some else runs[name][rows] for name in law.input_names},
                )
            )
            for some in held
        ]


def _middle(prior: Any) -> float:
    """Return a value that a parameter may have: the prior's median, or the middle of its support where it has none."""
    if not hasattr(prior, "log_prob"):
        return float(prior)
    median = prior_quantiles(prior, (0.5,))
    if median is not None:
        return float(median[0])
    from numpyro.distributions import biject_to

    return float(biject_to(prior.support)(0.0))


def most_draws(runs: Runs) -> int:
    """Return of how many draws (20 to 400) the curve at all runs fits in memory."""
    return int(np.clip(4e7 / len(runs), 20, 400))


def thinned(parameters: Mapping[str, np.ndarray], most: int) -> dict[str, np.ndarray]:
    """Return at most so many draws of each parameter, chains joined, evenly spaced; shape (draw,) or (draw, group)."""
    chains, draws = next(iter(parameters.values())).shape[:2]
    index = np.linspace(0, chains * draws - 1, min(most, chains * draws)).astype(int)
    return {name: values.reshape(chains * draws, *values.shape[2:])[index] for name, values in parameters.items()}


def ridge_problems(law: Law, noise: Noise, runs: Runs, parameters: Mapping[str, np.ndarray], groups: tuple[str, ...] = ()) -> list[Problem]:
    """Return a note for each ridge that priors end, not runs: parameters that move together, while the curve hardly moves at the runs.

    In a posterior that the runs determine, one posterior standard deviation in any direction changes the curve at the runs by the scatter
    of one run in all: the sum of squared changes over the scatter is one. Where it is much less, the priors hold most of what is known,
    and parameters that take part can be known only together, however narrow each of them looks. (A floor that the runs would have negative
    shows so too: its bound at zero narrows all that moves with it.) The curve's dependence on the draws is taken as linear.
    """
    if noise.spread or law.latent_names:  # what a process says and what the rest says is told apart by priors, and meant to be
        return []
    names = [name for name in law.parameter_names if np.any(parameters[name] != parameters[name].flat[0])]
    thin = thinned(parameters, most_draws(runs))
    effect = pointwise(SCALED, law, noise, runs, thin, groups)
    effect = effect[:, np.isfinite(effect).all(axis=0)]  # an error that rounds to 1 has no logit, and says nothing of a ridge
    places = _at_scale_of_runs(law, runs, {name: thin[name] for name in names})
    labels, values = [], []
    for name, drawn in places.items():
        labels += [name] if drawn.ndim == 1 else [f"{name}[{label}]" for label in groups]
        values += [drawn] if drawn.ndim == 1 else list(drawn.T)
    spread = np.std(values, axis=1)
    if len(effect) < 4 * len(values) or not np.all(spread > 0):  # too few draws to see how the curve follows so many
        return []
    scaled = (np.array(values).T - np.mean(values, axis=1)) / spread
    variance, directions = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    moving = variance > 1e-9  # groups that share a value add none of their own
    to_values = directions[:, moving] * np.sqrt(variance[moving])
    white = scaled @ (directions[:, moving] / np.sqrt(variance[moving]))
    slopes = np.linalg.lstsq(white, effect - effect.mean(axis=0), rcond=None)[0]
    information, ways = np.linalg.eigh(slopes @ slopes.T)
    problems = []
    for share, way in zip(information, ways.T, strict=True):
        along = np.abs(to_values @ way)  # correlation of each parameter with the place along the ridge
        members = [label for label, size in zip(labels, along, strict=True) if size > TOGETHER]
        if share < UNINFORMED and len(members) > 1:
            problems.append(
                Problem(
                    "ridge",
                    False,
                    f"{', '.join(members[:-1])} and {members[-1]} move together, and runs hold little of what is known along that line "
                    f"({max(share, 0):.0%}; priors and bounds hold the rest): only combinations of them are known",
                    "What rests on one of them alone, as far from these runs, is the priors' word: add runs that differ more, or hold one "
                    f"of them at a known value ({option_text(fix=None)})",
                )
            )
    return problems


def _at_scale_of_runs(law: Law, runs: Runs, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return draws with the coefficients of terms at the smallest run instead of far off, where they bend around their exponents."""
    found = dict(values)
    for term in law.terms:
        if term.coefficient in found and term.exponent in values and found[term.coefficient].shape == values[term.exponent].shape:
            ratio = np.min(runs[term.input]) / term.reference
            found[term.coefficient] = found[term.coefficient] * ratio ** -values[term.exponent]
    return found
