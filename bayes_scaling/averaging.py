"""Forecasts and plans that carry the uncertainty about the law itself: averages of several laws' by their weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.allocation import allocate, regret
from bayes_scaling.cost import Cost
from bayes_scaling.errors import InputError, nearest
from bayes_scaling.fitted import Fit
from bayes_scaling.prediction import predict
from bayes_scaling.scores import choice

if TYPE_CHECKING:
    import xarray

_SIZES = 401
_NARROWINGS = 3  # of the range of sizes, each by a hundred


def _used(fits: Mapping[str, Fit], weights: Mapping[str, float]) -> tuple[dict[str, Fit], np.ndarray]:
    """Return the fits that have a share in the average, and the shares."""
    for name, weight in weights.items():
        if name not in fits:
            raise InputError(f"a weight is given for '{name}', of which there is no fit{nearest(name, fits)}")
        if not (np.isfinite(weight) and weight >= 0):
            raise InputError(f"weight of '{name}' = {weight:g} must be finite and not negative")
    used = {name: fits[name] for name, weight in weights.items() if weight > 0}
    if not used:
        raise InputError("the weights are all zero: nothing is left to average")
    share = np.array([weights[name] for name in used])
    return used, share / share.sum()


def predict_average(fits: Mapping[str, Fit], weights: Mapping[str, float], at: Mapping[str, Any] | Any, *, seed: int = 0) -> xarray.Dataset:
    """Predict at new inputs by an average of laws: each draw is of one of them, in proportion to the weights.

    Parameters
    ----------
    fits : by name
    weights : by name, as `Comparison.weights` or those of a forward validation; not negative, their sum does not matter
    at, seed : as in `bayes_scaling.predict`; every input that one of the laws takes

    Returns
    -------
    Dataset as of `bayes_scaling.predict`, with ``law`` (dims chain, draw): the number of each draw's law in attribute ``laws``

    Raises
    ------
    InputError
        If the fits are of different outputs, or a weight cannot be used.
    """
    used, share = _used(fits, weights)
    if len({fit.law.output for fit in used.values()}) > 1:
        raise InputError(f"laws of different outputs cannot be averaged ({', '.join(fit.law.output for fit in used.values())})")
    return _mixed({name: predict(fit, at, seed=seed) for name, fit in used.items()}, share, seed)


def allocate_average(
    fits: Mapping[str, Fit], weights: Mapping[str, float], compute: float | Iterable[float], *, cost: Cost | None = None, seed: int = 0
) -> xarray.Dataset:
    """Split compute between params and tokens under an average of laws.

    The optimum of each draw is that of its own law. The decision minimises the loss expected over draws of all laws, and its regret is,
    draw by draw, against the optimum of that draw's law: not knowing the law is part of it.

    Parameters
    ----------
    fits, weights : as in `predict_average`; laws of params and tokens
    compute, cost : as in `bayes_scaling.allocate`

    Returns
    -------
    Dataset as of `bayes_scaling.allocate`, with ``law`` (dims chain, draw)
    """
    import xarray

    used, share = _used(fits, weights)
    cost = cost or Cost()
    found = []
    for budget in np.atleast_1d(np.asarray(compute, float)):
        plans = {name: allocate(fit, budget, cost=cost) for name, fit in used.items()}
        optima = np.stack([np.quantile(plan["params"], [0.01, 0.99]) for plan in plans.values()])
        chosen = _best_size(used, share, float(budget), cost, optima.min() / 3, optima.max() * 3)
        mixed = _mixed({name: allocate(fit, budget, cost=cost, params=chosen) for name, fit in used.items()}, share, seed)
        for name in ("regret_loss", "regret_compute"):
            mixed[f"expected_{name}"] = mixed[name].mean(("chain", "draw"))
        mixed["expected_loss"] = mixed["loss_of_decision"].mean(("chain", "draw"))
        found.append(mixed)
    whole: Any = xarray.concat(found, "budget", data_vars="minimal", coords="minimal", compat="override", join="outer")
    whole.attrs = {**found[0].attrs, "held": ""}
    return whole


def _best_size(fits: Mapping[str, Fit], share: np.ndarray, budget: float, cost: Cost, low: float, high: float) -> float:
    """Return the size with the least loss expected over all laws: the best of a grid, and of finer grids about it."""
    high = min(high, cost.largest_params(budget) / 2)
    sizes = np.array([low])
    for _ in range(_NARROWINGS):
        sizes = np.geomspace(low, high, _SIZES)
        loss = [np.asarray(regret(fit, budget, params=sizes, cost=cost)["expected_loss"]) for fit in fits.values()]
        best = int(np.argmin(share @ np.array(loss)))
        low, high = sizes[max(best - 2, 0)], sizes[min(best + 2, _SIZES - 1)]
    return float(np.sqrt(low * high))


def _mixed(found: Mapping[str, xarray.Dataset], share: np.ndarray, seed: int) -> xarray.Dataset:
    """Take each draw, whole, from one of several datasets; what has no draws is the first one's."""
    first = next(iter(found.values()))
    shape = first.sizes["chain"], first.sizes["draw"]
    of_law = choice(share, shape[0] * shape[1], seed)
    rng = np.random.default_rng(seed)
    # Which draw of its law each is: laws are independent, so any will do, each at most once where they are enough.
    source = np.empty(len(of_law), int)
    for law, item in enumerate(found.values()):
        mine = np.flatnonzero(of_law == law)
        source[mine] = np.resize(rng.permutation(item.sizes["chain"] * item.sizes["draw"]), len(mine))
    mixed = first.copy()
    for name in [name for name, values in first.data_vars.items() if "draw" in values.dims]:
        own = [dim for dim in first[name].dims if dim not in ("chain", "draw")]
        drawn = [item[name].transpose("chain", "draw", *own).to_numpy() for item in found.values()]
        flat = [draws.reshape(-1, *draws.shape[2:]) for draws in drawn]
        values = np.empty((len(of_law), *flat[0].shape[1:]))
        for law, draws in enumerate(flat):
            mine = of_law == law
            values[mine] = draws[source[mine]]
        mixed[name] = (("chain", "draw", *own), values.reshape(*shape, *values.shape[1:]))
    mixed["law"] = (("chain", "draw"), of_law.reshape(shape))
    trusted = min(int(item.attrs["trustworthy"]) for item in found.values())
    mixed.attrs = {**first.attrs, "law": "average", "laws": list(found), "weights": share.tolist(), "trustworthy": trusted}
    return mixed
