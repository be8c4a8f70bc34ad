"""Priors learned from curves whose continuation is known: empirical Bayes for what is to be forecast.

The usual empirical Bayes makes the context of the curves probable; a forecast needs a prior under which their continuation is. Maximised is

    sum over curves of  mean over points beyond of ln p(point | context)  +  HYPER * ln hyper-prior

over hyper-parameters and probabilities of the laws. Points beyond are forecast one by one, as a forecast is judged: their joint density
would mostly judge how each follows from the one before. The evidence of the contexts is left out: sixty points that no law describes to
the last digit would outweigh the few that are to be forecast. The gradient is a difference of posterior moments, given context and point
against given the context alone; draws given the context serve for both, weighted by the density of the point. Adam (Kingma & Ba 2015, arXiv
1412.6980) climbs it, with new draws at each step.

Each kind of curve is learned by itself, and drawn towards the start; all laws have in common how a curve is measured and how its slope
wanders, so that few curves are told apart by what the laws say and not by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from bayes_scaling.errors import InputError
from bayes_scaling.extrapolation.curve import Curve
from bayes_scaling.extrapolation.forecast import ahead, scatter
from bayes_scaling.extrapolation.motion import height
from bayes_scaling.extrapolation.prior import DEGREES, LAWS, NAMES, OF_A_LAW, CurvePrior, weak_prior
from bayes_scaling.extrapolation.sampling import draws_of, sample_once
from bayes_scaling.extrapolation.state_space import log_density, tell

STEPS = 24
#: As many curves as the hyper-prior counts: normal about the start, for means and logarithms of sd, and for logits of the laws.
HYPER = 0.2
_OF_SD, _OF_LOGIT = 1.0, 4.0  # sd of the hyper-prior; of a mean: the start's sd
#: What the start knows better than this stays as it is: it makes a law what it is.
_HELD = 1e-3
#: First and last step, in sd or of logarithms; by how much larger those of logits; and Adam's constants. Where a gradient is less than
#: `_STILL` of a curve nothing is known, and noise must not be climbed.
_RATES, _FASTER, _DECAY, _STILL = (0.2, 0.02), 3.0, (0.8, 0.95), 0.05
#: Draws of each curve at each step, and how they are sampled: there is a new sample at the next step.
_DRAWS, _ROUNDS, _PARTICLES, _PRECISION = 1000, 4, 512, 32


def learn_priors(
    curves: Sequence[Curve],
    beyond: Sequence[tuple[np.ndarray, np.ndarray]],
    kinds: Sequence[str],
    *,
    steps: int = STEPS,
    seed: int = 0,
    start: CurvePrior | Mapping[str, CurvePrior] | None = None,
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
    start : where to begin, for all kinds or by kind; by default a weak prior. A law of no weight there (1e-9) stays without
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
    begun = np.array([_parts(start.get(kind, weak_prior()) if isinstance(start, Mapping) else start or weak_prior()) for kind in names])
    loose = (begun[..., len(NAMES) : -1] > np.log(_HELD)) & [name not in fixed for name in NAMES]
    free = np.concatenate([loose, loose, np.full((*loose.shape[:2], 1), "weight" not in fixed)], axis=-1)

    def gradient(priors: Sequence[CurvePrior], step: int) -> np.ndarray:
        """Return the gradient of each curve's mean log density of its points, shape (curve, law, part)."""
        given = [priors[names.index(kind)] for kind in kinds]
        keys = [(curve.key + 7919 * (seed * steps + step)) % 2**32 for curve in curves]
        particles = sample_once(scaled, given, keys, _ROUNDS, _PARTICLES, _PRECISION)
        draws = [draws_of(*each, _DRAWS) for each in zip(particles, scaled, given, keys, strict=True)]
        found = [_gradient(drawn, prior, *those) for drawn, prior, those in zip(draws, given, points, strict=True)]
        if told:
            told(step, float(sum(density for _, density in found)))
        return np.array([up for up, _ in found])

    of_kind = np.array(kinds)[None, :] == np.array(names)[:, None]
    now = _climb(gradient, of_kind, begun, free, steps)
    learned = {kind: _prior(kind, rows, note) for kind, rows in zip(names, now, strict=True)}
    # The spread of the kinds about their mean is what a curve of no known kind is uncertain of, besides.
    middle, between = now.mean(axis=0), now[..., : len(NAMES)].var(axis=0)
    middle[:, len(NAMES) : -1] = np.log(np.sqrt(np.exp(2 * middle[:, len(NAMES) : -1]) + between))
    middle[:, -1] = np.log(np.mean([learned[kind].weight for kind in names], axis=0))
    return learned | {"generic": _prior("generic", middle, note)}


def _parts(prior: CurvePrior) -> np.ndarray:
    """Return means, ln sd, and ln probability of the law, shape (law, part)."""
    return np.concatenate([prior.mean, np.log(prior.sd), np.log(prior.weight)[:, None]], axis=1)


def _climb(
    gradient_of: Callable[[list[CurvePrior], int], np.ndarray],
    of_kind: np.ndarray,
    begun: np.ndarray,
    free: np.ndarray,
    steps: int,
) -> np.ndarray:
    """Climb from a start, shape (kind, law, part); return where it came."""
    sd = np.exp(begun[..., len(NAMES) : -1])
    widths = np.concatenate([sd, np.full(sd.shape, _OF_SD), np.full((*sd.shape[:2], 1), _OF_LOGIT)], axis=-1)
    common = np.array([at + part for at, name in enumerate(NAMES) if name not in OF_A_LAW for part in (0, len(NAMES))])
    now, moments = begun, np.zeros((2, *begun.shape))
    for step in range(steps):
        gradient = np.einsum("kc,clp->klp", of_kind, gradient_of([_prior("", rows) for rows in now], step))
        unit = np.ones(now.shape)
        unit[..., : len(NAMES)] = np.exp(now[..., len(NAMES) : -1])  # a step of a mean is in its sd
        gradient += HYPER * unit * (begun - now) / widths**2
        gradient[..., common] = gradient[..., common].sum(axis=1, keepdims=True)
        for at, what in enumerate((gradient, gradient**2)):
            moments[at] += (1 - _DECAY[at]) * (what - moments[at])
        first, second = (moments[at] / (1 - _DECAY[at] ** (step + 1)) for at in range(2))
        rate = _RATES[1] + (_RATES[0] - _RATES[1]) * (1 + np.cos(np.pi * step / steps)) / 2
        unit[..., -1] = _FASTER
        now = now + free * unit * rate * first / (np.sqrt(second) + _STILL)
    return now


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
                trust = (DEGREES[at] + 1) / (DEGREES[at] + (away / sd) ** 2)
                first, square = change * trust * away, change * trust * away**2
            found[law, at] = first[rows].sum() / sd
            found[law, len(NAMES) + at] = square[rows].sum() / sd**2 - change[rows].sum()
        found[law, -1] = change[rows].sum()
    return found, float((total - np.log(len(density))).mean())
