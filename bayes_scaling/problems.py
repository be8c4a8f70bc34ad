"""Repeated attempts at problems: pass@k as measured from counts, and the coverage of problems with more attempts than were made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.errors import InputError
from bayes_scaling.fitted import Fit
from bayes_scaling.fractions import BetaBinomialFraction

if TYPE_CHECKING:
    import xarray


def unbiased_pass_at_k(trials: Any, successes: Any, samples: Any) -> np.ndarray:
    """Return the chance that ``samples`` of the ``trials`` made, drawn without replacement, hold a success: 1 - C(n - c, k) / C(n, k).

    Over the trials it is unbiased for the chance that k fresh samples hold one; 1 - (1 - c / n)^k is too low. Arrays broadcast; the mean
    over problems is the measured coverage at k.

    Raises
    ------
    InputError
        If more samples are asked for than trials were made, or a count is no count.

    Examples
    --------
    >>> bs.unbiased_pass_at_k(10, [0, 1, 5], 2).round(3)
    array([0.   , 0.2  , 0.778])
    """
    n, c, k = np.broadcast_arrays(*(np.asarray(part, float) for part in (trials, successes, samples)))
    for name, values, low in (("trials", n, 1), ("successes", c, 0), ("samples", k, 1)):
        if np.any((values < low) | (values != np.round(values)) | ~np.isfinite(values)):
            raise InputError(f"{name} must be whole numbers of at least {low}")
    if np.any(c > n):
        raise InputError("successes are more than trials")
    if np.any(k > n):
        k, n = k[k > n].flat[0], n[k > n].flat[0]
        raise InputError(f"pass@{k:g} cannot be measured with {n:g} samples of a problem: fit `pass_at_k` to the counts and predict it")
    return 0.0 - np.expm1(_log_unsolved_in_sample(n, c, k))  # not -0 where nothing was solved


def _log_unsolved_in_sample(n: Any, c: Any, k: Any) -> np.ndarray:
    """Return ln of C(n - c, k) / C(n, k) = B(n - c + 1, c) / B(n - c - k + 1, c): -inf where k > n - c, and 0 where c = 0."""
    from scipy.special import betaln

    left = np.maximum(n - c - k, 0.0)
    some = np.maximum(c, 1.0)  # a beta function needs positive arguments
    return np.where(c == 0, 0.0, np.where(n - c < k, -np.inf, betaln(left + k + 1, some) - betaln(left + 1, some)))


def coverage_of_problems(fit: Fit, samples: Sequence[float] | Any, *, rows: Any = None, seed: int = 0) -> xarray.Dataset:
    """Predict, draw by draw, the share of problems that are solved within so many samples each.

    Of the problems that were fitted, what was seen counts: a solved one stays solved, and one without a success in n samples is solved
    within k in total with probability 1 - B(alpha, beta + k) / B(alpha, beta + n). Which are solved is drawn too: the intervals are of
    what would be measured. Within a draw coverage can only rise with samples.

    Parameters
    ----------
    fit : of a law of counts of successes problem by problem (`pass_at_k`); one group of it, where it has groups
    samples : samples a problem, those already made included, shape (point,). Of fewer than were made, coverage is that of as many of them
        picked at random
    rows : boolean or index array over the runs, where coverage of a part of the problems is asked for (those of one model size, say)
    seed : of the draws

    Returns
    -------
    Dataset with dims chain, draw, point: ``same`` (coverage of the problems that were fitted), ``new`` (of as many new problems) and
    ``expected`` (of infinitely many new ones); ``samples`` on dim point

    Raises
    ------
    InputError
        If the fit is not of counts of single attempts at problems, or the samples are no whole numbers.
    """
    import jax
    import xarray
    from scipy.special import betaln

    k = np.atleast_1d(np.asarray(samples, float))
    if k.ndim != 1 or not np.all((k >= 1) & (k == np.round(k)) & np.isfinite(k)):
        raise InputError("samples must be whole numbers of at least 1")
    law, noise = fit.law, fit.noise
    parameters = fit.parameters()
    runs = fit.runs if rows is None else fit.runs.subset(np.asarray(rows))
    wide = {name: values[..., None] for name, values in parameters.items()}
    columns = runs.model_columns(noise.columns(law))
    with jax.enable_x64(True):
        scatter = noise.distribution(law.formula(columns, wide), wide, columns)
        if not isinstance(scatter, BetaBinomialFraction) or not noise.spread:
            raise InputError(f"law '{law.name}' with {noise.name} noise does not describe problems: fit `pass_at_k` to their successes")
        alpha, beta = (np.broadcast_to(part, scatter.batch_shape) for part in scatter.shapes())
    trials = columns["trials"]
    # Problems of like inputs, trials and (where fewer samples than trials are asked for) successes have one chance: their number is drawn.
    successes = np.round(columns[law.output] * trials)
    known = np.where(np.min(k) < trials, successes, np.minimum(successes, 1))
    _, first, count = np.unique(
        np.stack([*(columns[name] for name in law.input_names), trials, known]), axis=1, return_index=True, return_counts=True
    )
    order = np.argsort(k, kind="stable")
    rng = np.random.default_rng(seed)
    shape = (*alpha.shape[:2], len(k))
    same, new, expected = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for row, problems in zip(first, count, strict=True):
        a, b, n, c = alpha[..., row], beta[..., row], trials[row], successes[row]
        before = unseen = np.zeros(a.shape)  # ln of the chance that a problem is unsolved so far: of the same, and of new ones
        left = fresh = np.full(a.shape, problems)
        for point in order:
            # Given what was seen; an unsolved problem's chance has the shapes (a, b + n).
            seen = _log_unsolved_in_sample(n, c, min(k[point], n))
            beyond = np.where(c > 0, -np.inf, betaln(a, b + k[point]) - betaln(a, b + n)) if k[point] > n else 0.0
            now, ahead = seen + beyond + np.zeros(a.shape), betaln(a, b + k[point]) - betaln(a, b)
            left, fresh = rng.binomial(left, _ratio(now, before)), rng.binomial(fresh, _ratio(ahead, unseen))
            before, unseen = now, ahead
            same[..., point] += problems - left
            new[..., point] += problems - fresh
            expected[..., point] -= problems * np.expm1(ahead)
    dims = ("chain", "draw", "point")
    found = {name: (dims, values / len(runs)) for name, values in (("same", same), ("new", new), ("expected", expected))}
    return xarray.Dataset(
        {**found, "samples": ("point", k)},
        attrs={"law": law.name, "problems": len(runs), "trustworthy": int(fit.diagnosis.ok)},
    )


def _ratio(log_part: np.ndarray, log_whole: np.ndarray) -> np.ndarray:
    """Return the ratio of two chances by their logarithms, 0 where both are 0; rounding does not lift it above 1."""
    gone = np.isneginf(log_whole)
    return np.exp(np.minimum(log_part - np.where(gone, 0.0, log_whole), 0.0)) * ~gone
