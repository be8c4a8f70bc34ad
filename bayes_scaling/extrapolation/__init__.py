"""Where one learning or scaling curve goes: forecasts with honest uncertainty, in a fraction of a second a curve.

`state_space.py` says what the model is, `sampling.py` how its posterior is found, `learning.py` where its priors come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bayes_scaling.errors import InputError
from bayes_scaling.extrapolation.curve import Curve
from bayes_scaling.extrapolation.forecast import Forecast, load_forecast
from bayes_scaling.extrapolation.prior import CurvePrior, known_priors, prior_for

__all__ = ["Curve", "CurvePrior", "Forecast", "extrapolate", "extrapolate_many", "known_priors", "load_forecast"]

DRAWS = 1000


def extrapolate(curve: Curve | Any, y: Any = None, *, kind: str | CurvePrior = "generic", draws: int = DRAWS, seed: int = 0) -> Forecast:
    """Extrapolate one curve.

    Parameters
    ----------
    curve : a `Curve`, or x of shape (point,) with ``y`` beside it
    kind : whose prior: ``training`` (loss along a training run), ``image`` (error rate against examples, from smoothed running minima),
        ``language``, ``translation``, ``few-shot``, ``width``, ``double-descent``, ``generic``; or a prior of your own (`learn_priors`)
    draws : of the posterior
    seed : of all random numbers

    Returns
    -------
    Forecast
        Check its ``ok``.

    Raises
    ------
    InputError
        for a curve of fewer than 4 different x, values not above 0, an unknown kind

    Examples
    --------
    >>> tokens = np.geomspace(1e9, 6.4e10, 10)
    >>> forecast = bs.extrapolate(tokens, 2.4 + 1.6 * (tokens / 1e9) ** -0.5)
    >>> forecast.ok, forecast.predict([1e11])["measured"].dims
    (True, ('x', 'quantile'))
    """
    if not isinstance(curve, Curve):
        if y is None:
            raise InputError("extrapolate takes a Curve, or x and y: extrapolate(x, y)")
        curve = Curve(curve, y)
    return next(iter(extrapolate_many([curve], [kind], draws=draws, seed=seed)))


def extrapolate_many(
    curves: Sequence[Curve],
    kinds: str | CurvePrior | Sequence[str | CurvePrior] = "generic",
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Iterator[Forecast]:
    """Extrapolate many curves at once; yields a forecast for each, in their order, as `extrapolate` with the same seed gives it.

    Parameters
    ----------
    kinds : one for all, or one a curve
    """
    from bayes_scaling.extrapolation.sampling import CHUNK, draws_of, sample

    if not 0 <= seed < 2**32:
        raise InputError(f"seed = {seed} must be between 0 and 2^32 - 1")
    if not 100 <= draws <= 100_000:
        raise InputError(f"draws = {draws} must be between 100 and 100000")
    if isinstance(kinds, (str, CurvePrior)):
        kinds = [kinds] * len(curves)
    if len(kinds) != len(curves):
        raise InputError(f"{len(curves)} curves and {len(kinds)} kinds; give one kind for all, or one a curve")
    priors = [prior_for(kind) for kind in kinds]
    for first in range(0, len(curves), CHUNK):
        part, given = curves[first : first + CHUNK], priors[first : first + CHUNK]
        scaled = [curve.scaled() for curve in part]
        keys = [(curve.key + seed * 2654435761) % 2**32 for curve in part]
        for at, particles in enumerate(sample(scaled, given, keys)):
            yield Forecast(
                part[at],
                given[at].kind,
                draws_of(particles, scaled[at], given[at], keys[at], draws),
                particles.probability,
                particles.effective,
                particles.pareto_k,
                particles.ok,
                scaled[at].last_u,
                scaled[at].last_v,
                seed,
            )
