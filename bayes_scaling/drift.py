"""How far a law may drift from the truth beyond the runs: what its posterior, which takes the law for the truth, does not know.

A law that fits its runs may bend beyond them. How far off it then is, where its output is smooth (in the logarithm of a loss, the logit of
a rate), is taken as normal with standard deviation

    size x slope x decades beyond the runs

where slope is that of the law over the runs, in that coordinate and a decade of compute (or of the law's widest input). So the size is the
share by which the slope beyond the runs may differ from that over them, whatever power of an input the law is told in: a link that takes a
loss, which moves by hundredths of a decade, is no further off than a law of compute over as much of a change. The size is not known. Before
any forecast has been checked it is log-normal about 0.1; forecasts of runs that were made since narrow it
(`bayes_scaling.forward_validation`).

It stands for no particular failure, and is Kennedy & O'Hagan's (2001) discrepancy at its simplest: nothing where there are runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.errors import InputError
from bayes_scaling.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bayes_scaling.fitted import Fit
    from bayes_scaling.law import Input, Law
    from bayes_scaling.noise import Noise
    from bayes_scaling.runs import Runs

_MEDIAN, _SPREAD = 0.1, 1.3  # of the size, and of its logarithm: of forecasts of real runs, see benchmarks/forward.py
_GRID = 15
_TIMES = 8  # drifts of each draw that a density is the mean over
_EDGE = 1e-9  # of a fraction: its logit must be finite


@dataclass(frozen=True, eq=False)
class Drift:
    """What is known of the size of a law's drift: ``weights`` (of sum one) of some ``sizes``, both of shape (size,)."""

    sizes: np.ndarray
    weights: np.ndarray

    @property
    def mean(self) -> float:
        return float(self.sizes @ self.weights)

    def told(self, log_likelihood: np.ndarray) -> Drift:
        """Return what is known once something of this log likelihood under each size, shape (size,), has been seen."""
        weights = self.weights * np.exp(log_likelihood - np.max(log_likelihood))
        return Drift(self.sizes, weights / weights.sum())

    def sample(self, count: int, seed: int) -> np.ndarray:
        """Return so many draws of a drift, in units of slope times decades: a size each, and how far it goes that way."""
        from scipy.special import ndtri

        rng = np.random.default_rng([seed, 77])
        edges = np.cumsum(self.weights)
        sizes = self.sizes[np.minimum(np.searchsorted(edges, (np.arange(count) + 0.5) / count), len(self.sizes) - 1)]
        return rng.permutation(sizes) * rng.permutation(ndtri((np.arange(count) + 0.5) / count))


def before_any_forecast() -> Drift:
    """Return the drift of a law whose forecasts have not been checked: log-normal, median 0.1, within a factor 8.5 of it in 90 %."""
    steps = np.linspace(-2.5, 2.5, _GRID)
    weights = np.exp(-(steps**2) / 2)
    return Drift(_MEDIAN * np.exp(_SPREAD * steps), weights / weights.sum())


#: Of a law that is taken for the truth.
NO_DRIFT = Drift(np.zeros(1), np.ones(1))


def drift_of(drift: Drift | float | None) -> Drift:
    """Return a drift as given, of a size that is given, or of a law whose forecasts have not been checked.

    Raises
    ------
    InputError
        If the size is negative or not finite.
    """
    if drift is None or isinstance(drift, Drift):
        return before_any_forecast() if drift is None else drift
    if not 0 <= drift < np.inf:
        raise InputError(f"drift = {drift:g} must be a size of 0 (the law is the truth) or more; typically 0.05 to 0.5")
    return Drift(np.array([float(drift)]), np.ones(1))


def told_of(runs: Runs, item: Input) -> np.ndarray:
    """Return the values of an input that runs tell of: counts of single attempts tell of as many attempts as there were, too."""
    return np.append(runs[item.name], runs["trials"] if item.asked_only and "trials" in runs.columns else [])


def decades_beyond(runs: Runs | Mapping[str, np.ndarray], inputs: Mapping[str, Any]) -> np.ndarray:
    """Return how many decades inputs lie outside the range of the runs: the largest over the inputs, 0 within."""
    outside = [np.zeros(np.broadcast_shapes(*(np.shape(values) for values in inputs.values())))]
    for name, values in inputs.items():
        if quantity(name).in_decades:  # decades mean nothing for a quantity that can be negative, or ends
            outside.append(_outside(_decades(name, values, runs), _decades(name, runs[name], runs)))
    return np.max(np.broadcast_arrays(*outside), axis=0)


def _decades(name: str, values: Any, runs: Runs | Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the decimal logarithm of values, of zero that of the smallest value that runs have: none at all is not infinitely far."""
    values, known = np.asarray(values, float), runs[name]
    least = np.min(known, where=known > 0, initial=np.inf)
    return np.log10(np.where(values > 0, values, least if np.isfinite(least) else 1.0))


def _outside(there: np.ndarray, known: np.ndarray) -> np.ndarray:
    return np.maximum(0.0, np.maximum(there - known.max(), known.min() - there))


def _progress(law: Law, inputs: Mapping[str, Any], runs: Runs) -> np.ndarray | None:
    """Return decades of compute, up to a constant, or of the law's input that spans most; None if none spans decades."""
    decades = {name: _decades(name, inputs[name], runs) for name in law.input_names if quantity(name).in_decades}
    if {"params", "tokens"} <= set(decades):
        return decades["params"] + decades["tokens"]
    return max(decades.values(), key=np.ptp, default=None)


def reach_beyond(fit: Fit, inputs: Mapping[str, Any]) -> np.ndarray:
    """Return how many decades inputs lie beyond the runs: of the input that is farthest out, or of params x tokens if that is farther."""
    law = fit.law
    found = decades_beyond(fit.runs, {name: inputs[name] for name in law.input_names})
    known, there = _progress(law, fit.runs.columns, fit.runs), _progress(law, inputs, fit.runs)
    if known is None or there is None or not {"params", "tokens"} <= set(law.input_names):
        return found
    return np.maximum(found, _outside(there, known))


def scale(fit: Fit, inputs: Mapping[str, Any]) -> np.ndarray:
    """Return slope times decades beyond the runs, of the inputs' broadcast shape: the standard deviation of a drift of size one.

    Zero for a law without an input that spans decades; and for one whose own slope wanders (`bayes_scaling.bends`), since it knows already
    that it may be off.
    """
    law, runs = fit.law, fit.runs
    known, beyond = _progress(law, runs.columns, runs), reach_beyond(fit, inputs)
    if law.latent_names or known is None or np.ptp(known) == 0 or not beyond.any():
        return np.zeros(beyond.shape)
    middle = {name: np.median(values) for name, values in fit.parameters().items()}
    curve = to_coordinate(law.output, np.broadcast_to(law.predict(runs.columns, middle), known.shape))
    slope = abs(float(np.polyfit(known - known.mean(), curve, 1)[0]))
    return slope * beyond


def to_coordinate(output: str, values: Any) -> np.ndarray:
    """Return the logit of a fraction, the logarithm of what is positive, anything else as it is."""
    kind, values = quantity(output), np.asarray(values, float)
    if kind.is_fraction:
        inside = np.clip(values, _EDGE, 1 - _EDGE)
        return np.log(inside) - np.log1p(-inside)
    return np.log(np.maximum(values, np.finfo(float).tiny)) if kind.on_log_scale else values


def drifted(output: str, values: Any, shift: Any) -> np.ndarray:
    """Return values moved by a shift of their coordinate."""
    kind, moved = quantity(output), to_coordinate(output, values) + shift
    if kind.is_fraction:
        return 1 / (1 + np.exp(-moved))
    return np.exp(np.clip(moved, -700, 700)) if kind.on_log_scale else moved


def log_density(fit: Fit, runs: Runs, drift: Drift, seed: int) -> np.ndarray:
    """Return log densities of what was measured, the law drifted, (chain, draw, run); points of training curves each by itself."""
    shape = next(iter(fit.parameters().values())).shape
    drawn = (drift.sample(shape[0] * shape[1], seed + time) for time in range(_TIMES))
    each = list(_log_densities(fit, runs, drawn))
    return (np.logaddexp.reduce(each) - np.log(_TIMES)).reshape(*shape, len(runs))


def told_by(fit: Fit, runs: Runs, drift: Drift, seed: int) -> Drift:
    """Return what is known of the drift once a fit's forecast of further runs has come true, or not.

    Runs of one forecast err together, so they count as one: by the mean of their log predictive densities.
    """
    from scipy.special import logsumexp

    step = drift_of(1.0).sample(next(iter(fit.parameters().values())).size, seed)
    each = _log_densities(fit, runs, (size * step for size in drift.sizes))
    return drift.told(np.array([np.mean(logsumexp(found, axis=0)) for found in each]))


def _log_densities(fit: Fit, runs: Runs, drifts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield log densities, shape (draw, run), for drifts in units of `scale`, each of shape (draw,)."""
    import jax

    from bayes_scaling.engine import bucket

    law, noise = fit.law, fit.noise
    # Filled to one of few sizes: every operation is compiled anew for every size.
    index = np.minimum(np.arange(bucket(len(runs))), len(runs) - 1)
    columns = {name: runs[name][index] for name in (*law.input_names, law.output, *noise.needs)}
    wide = {name: np.reshape(values, (-1, 1)) for name, values in fit.parameters().items()}
    far = scale(fit, columns)
    with jax.enable_x64(True):
        curve = np.asarray(law.formula(columns, wide))
    density = _density(law.output, noise)
    for drift in drifts:
        moved = drifted(law.output, curve, drift[:, None] * far)
        with jax.enable_x64(True):  # not across the yield: whoever takes the densities has not asked for 64 bits
            found = np.asarray(density(moved, wide, columns))
        yield found[:, : len(runs)]


@lru_cache(maxsize=32)
def _density(output: str, noise: Noise) -> Callable[..., Any]:
    import jax

    def density(curve: Any, parameters: Mapping[str, Any], columns: Mapping[str, Any]) -> Any:
        return noise.distribution(curve, parameters, columns).log_prob(columns[output])

    return jax.jit(density)
