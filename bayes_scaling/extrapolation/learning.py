"""Priors learned from curves whose continuation is known: empirical Bayes for what is to be forecast.

The usual empirical Bayes makes the context of the curves probable; a forecast needs a prior under which their continuation is. Maximised is

    sum over curves of  ln p(beyond | context)  +  CONTEXT_SHARE * ln p(context)

of hyper-parameters and probabilities of the laws. Its gradient is a difference of posterior moments, given context and continuation
against given the context alone; both posteriors are sampled at each step. Kinds of few curves are drawn towards the mean of all kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from bayes_scaling.errors import InputError
from bayes_scaling.extrapolation.curve import Curve, Scaled
from bayes_scaling.extrapolation.prior import LAWS, NAMES, CurvePrior, weak_prior
from bayes_scaling.extrapolation.sampling import Particles, sample_once

CONTEXT_SHARE = 0.15
#: Steps of the usual empirical Bayes (a share of 1), which bring a prior near; then those for what is to be forecast.
FIRST_STEPS, STEPS = 4, 8
#: As many curves as the mean of all kinds counts in each kind.
POOL = 4.0
_RATE = 0.7


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
    steps : after `FIRST_STEPS` steps of usual empirical Bayes
    told : is called with each step and the objective there

    Raises
    ------
    InputError
        without curves, or where lengths differ
    """
    if not curves or not len(curves) == len(beyond) == len(kinds):
        raise InputError(f"{len(curves)} curves, {len(beyond)} continuations and {len(kinds)} kinds; one of each is needed for every curve")
    contexts = [curve.scaled() for curve in curves]
    whole = [context.followed_by(*points) for context, points in zip(contexts, beyond, strict=True)]
    names = sorted(set(kinds))
    rows = {kind: [at for at, other in enumerate(kinds) if other == kind] for kind in names}
    unknown = sorted(set(fixed) - {*NAMES, "weight"})
    if unknown:
        raise InputError(f"no hyper-parameter '{unknown[0]}'; known: {', '.join((*NAMES, 'weight'))}")
    start = start or weak_prior()
    free = np.array([name not in fixed for name in NAMES]), "weight" not in fixed
    now = {kind: (start.mean.copy(), np.log(start.sd), np.log(start.weight)) for kind in names}
    for step in range(FIRST_STEPS + steps):
        keep = 1.0 if step < FIRST_STEPS else CONTEXT_SHARE
        priors = {kind: CurvePrior(kind, mean, np.exp(spread), _shares(logit)) for kind, (mean, spread, logit) in now.items()}
        given = [priors[kind] for kind in kinds]
        keys = [(curve.key + 7919 * (seed * (FIRST_STEPS + steps) + step)) % 2**32 for curve in curves]
        posterior, prior_only = (_moments(part, given, keys) for part in (whole, contexts))
        if told:
            told(step, float((posterior["evidence"] - prior_only["evidence"]).sum()))
        centre = [np.mean([now[kind][part] for kind in names], axis=0) for part in range(3)]
        now = {kind: _climb(now[kind], centre, posterior, prior_only, rows[kind], free, keep) for kind in names}
    mean, spread, logit = (np.mean([now[kind][part] for kind in names], axis=0) for part in range(3))
    # The spread of the kinds about their mean is what a curve of no known kind is uncertain of, besides.
    between = np.var([now[kind][0] for kind in names], axis=0)
    now["generic"] = mean, np.log(np.sqrt(np.exp(2 * spread) + between)), logit
    return {kind: CurvePrior(kind, mean, np.exp(spread), _shares(logit), note) for kind, (mean, spread, logit) in now.items()}


def _shares(logit: np.ndarray) -> np.ndarray:
    share = np.exp(logit - logit.max())
    return share / share.sum()


def _climb(
    now: tuple, centre: list[np.ndarray], whole: dict[str, Any], context: dict[str, Any], rows: list[int], free: tuple, keep: float
) -> tuple:
    """Return a kind's mean, log sd and log probabilities after one step up the gradient."""
    mean, spread, logit = now
    variance = np.exp(2 * spread)

    def summed(what: Callable[[dict[str, Any]], np.ndarray]) -> np.ndarray:
        # Each curve counts under a law by the law's probability.
        after, before = ((part["probability"][rows][..., None] * what(part)).sum(0) for part in (whole, context))
        return after - (1 - keep) * before

    up_mean = summed(lambda part: part["mean"][rows] - mean) + keep * POOL * (centre[0] - mean)
    up_spread = summed(lambda part: part["variance"][rows] + (part["mean"][rows] - mean) ** 2 - variance) / variance / 2
    up_spread += keep * POOL * (centre[1] - spread)
    after, before = whole["probability"][rows].sum(0), context["probability"][rows].sum(0)
    up_logit = after - (1 - keep) * before - keep * len(rows) * _shares(logit) + keep * POOL * (centre[2] - logit)
    counted = np.maximum(after, 0.5)[:, None] * max(keep, 0.25) + keep * POOL
    sd = np.exp(spread)
    return (
        mean + free[0] * np.clip(_RATE * up_mean / counted, -0.5 * sd, 0.5 * sd),
        np.maximum(spread + free[0] * np.clip(_RATE * up_spread / counted, -0.25, 0.25), np.log(1e-3)),
        logit + free[1] * np.clip(_RATE * up_logit / (len(rows) * max(keep, 0.25) + keep * POOL), -0.5, 0.5),
    )


def _moments(curves: list[Scaled], priors: list[CurvePrior], keys: list[int]) -> dict[str, Any]:
    """Return evidence (curve,), probability of laws (curve, law), mean and variance (curve, law, name)."""
    parts = [_moments_of(particles, prior) for particles, prior in zip(sample_once(curves, priors, keys), priors, strict=True)]
    return {name: np.array([part[name] for part in parts]) for name in parts[0]}


def _moments_of(particles: Particles, prior: CurvePrior) -> dict[str, Any]:
    mean, variance = prior.mean.copy(), prior.sd**2  # of what the points do not speak of
    known, last = particles.theta.shape[-1], NAMES.index("slope")
    for law in range(len(LAWS)):
        share = np.exp(particles.log_weight[law] - np.logaddexp.reduce(particles.log_weight[law]))
        theta = particles.theta[law]
        mean[law, :known] = share @ theta
        variance[law, :known] = share @ (theta - mean[law, :known]) ** 2
        slope = particles.state.c[law]
        mean[law, last] = share @ slope
        variance[law, last] = share @ ((slope - mean[law, last]) ** 2 + particles.state.cc[law])
    return {
        "evidence": np.logaddexp.reduce(particles.log_evidence),
        "probability": particles.probability,
        "mean": mean,
        "variance": variance,
    }
