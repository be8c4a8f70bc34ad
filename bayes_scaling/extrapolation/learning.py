"""Priors learned from curves whose continuation is known: empirical Bayes for what is to be forecast.

The usual empirical Bayes makes the context of the curves probable; a forecast needs a prior under which their continuation is. Maximised is

    sum over curves of  mean over points beyond of ln p(point | context)  +  hyper-priors

over hyper-parameters and probabilities of the laws. Points beyond are forecast one by one, as a forecast is judged: their joint density
would mostly judge how each follows from the one before. The evidence of the contexts is left out: sixty points that no law describes to
the last digit would outweigh the few that are to be forecast. The gradient is a difference of posterior moments, given context and point
against given the context alone; draws given the context serve for both, weighted by the density of the point. Adam (Kingma & Ba 2015, arXiv
1412.6980) climbs it, with new draws at each step. Kinds of few curves are drawn towards the mean of all kinds, and all towards the start.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from bayes_scaling.errors import InputError
from bayes_scaling.extrapolation.curve import Curve
from bayes_scaling.extrapolation.forecast import ahead, scatter
from bayes_scaling.extrapolation.motion import height
from bayes_scaling.extrapolation.prior import LAWS, NAMES, PRIOR_NU, CurvePrior, weak_prior
from bayes_scaling.extrapolation.sampling import draws_of, sample_once
from bayes_scaling.extrapolation.state_space import AHEAD, log_density, tell

STEPS = 24
#: As many curves as the mean of all kinds counts in each kind, and as the start does.
POOL, HYPER = 0.2, 0.1
#: How far a prior may go from the start: means by so many of its sd, ln sd by this, logits of the laws by this (one sd of each).
_WIDTHS = 1.0, 1.0, 1.0
#: What the start knows better than this stays as it is: it makes a law what it is.
_HELD = 1e-3
_RATES, _DECAY = (0.2, 0.02), (0.8, 0.95)  # first and last step (in sd, or of logarithms); of Adam's moments
_DRAWS, _ROUNDS = 1000, 4  # of each curve at each step


def learn_priors(
    curves: Sequence[Curve],
    beyond: Sequence[tuple[np.ndarray, np.ndarray]],
    kinds: Sequence[str],
    *,
    steps: int = STEPS,
    seed: int = 0,
    start: CurvePrior | None = None,
    fixed: Collection[str] = (),
    note: str = "",
    told: Callable[[int, float], None] | None = None,
) -> dict[str, CurvePrior]:
    """Learn a prior for each kind of curve, and ``generic``, the mean of all kinds.

    Parameters
    ----------
    curves : contexts
    beyond : x and y of the points to be forecast, for each curve
    kinds : what kind each curve is
    start : where to begin; by default a weak prior
    fixed : names of hyper-parameters that stay as ``start`` has them; ``weight`` for the probabilities of the laws
    steps : of Adam
    told : is called with each step and the summed log densities of what came there

    Raises
    ------
    InputError
        without curves, or where lengths differ
    """
    if not curves or not len(curves) == len(beyond) == len(kinds):
        raise InputError(f"{len(curves)} curves, {len(beyond)} continuations and {len(kinds)} kinds; one of each is needed for every curve")
    scaled = [curve.scaled() for curve in curves]
    points = [context.beyond(*those) for context, those in zip(scaled, beyond, strict=True)]
    names = sorted(set(kinds))
    unknown = sorted(set(fixed) - {*NAMES, "weight"})
    if unknown:
        raise InputError(f"no hyper-parameter '{unknown[0]}'; known: {', '.join((*NAMES, 'weight'))}")
    start = start or weak_prior()
    loose = (start.sd > _HELD) & [name not in fixed for name in NAMES]
    free = np.concatenate([loose, loose, np.full((len(LAWS), 1), "weight" not in fixed)], axis=1)
    # Arrays (kind, law, part): means, ln sd, and ln probability of the law.
    begun = np.concatenate([start.mean, np.log(start.sd), np.log(start.weight)[:, None]], axis=1)
    widths = np.concatenate([_WIDTHS[0] * start.sd, np.full(start.sd.shape, _WIDTHS[1]), np.full((len(LAWS), 1), _WIDTHS[2])], axis=1)
    now = begun[None].repeat(len(names), axis=0)
    measuring = np.array([NAMES.index(name) + part for name in AHEAD for part in (0, len(NAMES))])
    moments = np.zeros((2, *now.shape))
    for step in range(steps):
        priors = {kind: _prior(kind, rows) for kind, rows in zip(names, now, strict=True)}
        keys = [(curve.key + 7919 * (seed * steps + step)) % 2**32 for curve in curves]
        particles = sample_once(scaled, [priors[kind] for kind in kinds], keys, _ROUNDS)
        gradient, value = np.zeros(now.shape), 0.0
        for each, curve, key, kind, those in zip(particles, scaled, keys, kinds, points, strict=True):
            up, density = _gradient(draws_of(each, curve, priors[kind], key, _DRAWS), priors[kind], *those)
            gradient[names.index(kind)] += up
            value += density
        if told:
            told(step, value)
        unit = np.ones(now.shape)
        unit[..., : len(NAMES)] = np.exp(now[..., len(NAMES) : -1])  # a step of a mean is in its sd
        gradient += POOL * (now.mean(axis=0) - now) / unit + HYPER * unit * (begun - now) / widths**2
        # How points are measured has nothing to do with the law.
        gradient[..., measuring] = gradient[..., measuring].sum(axis=1, keepdims=True)
        rate = _RATES[1] + (_RATES[0] - _RATES[1]) * (1 + np.cos(np.pi * step / steps)) / 2
        for at, what in enumerate((gradient, gradient**2)):
            moments[at] += (1 - _DECAY[at]) * (what - moments[at])
        first, second = (moments[at] / (1 - _DECAY[at] ** (step + 1)) for at in range(2))
        now = now + free * unit * rate * first / (np.sqrt(second) + 1e-6)
    learned = {kind: _prior(kind, rows, note) for kind, rows in zip(names, now, strict=True)}
    # The spread of the kinds about their mean is what a curve of no known kind is uncertain of, besides.
    middle, between = now.mean(axis=0), now[..., : len(NAMES)].var(axis=0)
    middle[:, len(NAMES) : -1] = np.log(np.sqrt(np.exp(2 * middle[:, len(NAMES) : -1]) + between))
    return learned | {"generic": _prior("generic", middle, note)}


def _prior(kind: str, rows: np.ndarray, note: str = "") -> CurvePrior:
    share = np.exp(rows[:, -1] - rows[:, -1].max())
    return CurvePrior(kind, rows[:, : len(NAMES)], np.maximum(np.exp(rows[:, len(NAMES) : -1]), 1e-3), share / share.sum(), note)


def _gradient(draws: dict[str, np.ndarray], prior: CurvePrior, steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, float]:
    """Return a curve's part of the gradient, (law, part), where means count in their sd, and its mean log density of the points."""
    there = {name: part[:, None] for name, part in draws.items()}
    state = ahead(there, steps)
    value, rate = height(state.r, there["floor"], there["plateau"], np)
    noise, offset = scatter(there)
    e = values - offset - value
    scale2 = rate**2 * state.rr + noise**2
    density = np.asarray(log_density(e**2, scale2))  # (draw, point)
    total = np.logaddexp.reduce(density, axis=0)
    after = np.exp(density - total) / len(values)  # each draw's weight given context and point, over points
    told = tell(state, rate, e, scale2)
    back = np.exp(np.exp(there["fade"]) * steps)  # c at the last point, over c there
    change = after.sum(axis=1) - 1 / len(density)  # of each draw's weight, by what came
    found = np.zeros((len(LAWS), 2 * len(NAMES) + 1))
    for law in range(len(LAWS)):
        rows = draws["law"] == law
        for at, name in enumerate(NAMES):
            mean, sd = prior.mean[law, at], prior.sd[law, at]
            if name == "slope":  # normal, and known through the filter
                first = (after * (told.c * back - mean)).sum(axis=1) - (draws["c"] - mean) / len(density)
                square = (after * ((told.c * back - mean) ** 2 + told.cc * back**2)).sum(axis=1)
                square = square - ((draws["c"] - mean) ** 2 + draws["cc"]) / len(density)
            else:  # Student-t
                away = draws[name] - mean
                trust = (PRIOR_NU + 1) / (PRIOR_NU + (away / sd) ** 2)
                first, square = change * trust * away, change * trust * away**2
            found[law, at] = first[rows].sum() / sd
            found[law, len(NAMES) + at] = square[rows].sum() / sd**2 - change[rows].sum()
        found[law, -1] = change[rows].sum()
    return found, float((total - np.log(len(density))).mean())
