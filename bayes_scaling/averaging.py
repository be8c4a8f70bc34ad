"""Forecasts and plans that carry the uncertainty about the law itself: averages of several laws' by their weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling import optimum
from bayes_scaling.allocation import BAND, allocate, reach
from bayes_scaling.cost import Cost
from bayes_scaling.drift import Drift
from bayes_scaling.errors import InputError, nearest
from bayes_scaling.fitted import Fit
from bayes_scaling.limits import Bounds, Limits
from bayes_scaling.prediction import predict
from bayes_scaling.progress import follow
from bayes_scaling.risk import Risk
from bayes_scaling.scores import choice
from bayes_scaling.units import amounts

if TYPE_CHECKING:
    import xarray

    from bayes_scaling.targets import Link

_SIZES = 401
_NARROWINGS = 3  # of the range of sizes, each by a hundred
_PRECISION = 1e-6  # of ln compute, in the search for a target's


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
    fits: Mapping[str, Fit],
    weights: Mapping[str, float],
    compute: float | str | Iterable[float | str],
    *,
    cost: Cost | None = None,
    limits: Limits | Bounds | None = None,
    given: Mapping[str, Any] | None = None,
    risk: str | Risk = "mean",
    params: float | None = None,
    tokens: float | None = None,
    band: float = BAND,
    drift: Drift | float | None = None,
    seed: int = 0,
) -> xarray.Dataset:
    """Split compute between params and tokens under an average of laws.

    The optimum of each draw is that of its own law. The decision minimises the risk over draws of all laws, and its regret is,
    draw by draw, against the optimum of that draw's law: not knowing the law is part of it.

    Parameters
    ----------
    fits, weights : as in `predict_average`; laws of params and tokens
    compute, cost, limits, risk, params, tokens, band, drift : as in `bayes_scaling.allocate`
    given : one value of each further input, for the laws that take it

    Returns
    -------
    Dataset as of `bayes_scaling.allocate`, with ``law`` (dims chain, draw); attributes ``laws`` and ``weights``

    Raises
    ------
    InputError
        If a weight cannot be used, or as `bayes_scaling.allocate` does for one of the laws.
    """
    import xarray

    used, share = _used(fits, weights)
    chosen_risk, taken = Risk.read(risk), _taken(used, given)
    mixture = _Mixture(
        used, share, chosen_risk, {name: optimum.problem_of(fit.law, cost, limits, taken[name]) for name, fit in used.items()}
    )
    found = []
    for budget in amounts(compute, "compute"):
        chosen = mixture.best_size(float(budget))
        low, high = mixture.band(float(budget), chosen, band)
        size = chosen if params is None and tokens is None else params
        plans = {
            name: allocate(
                fit, budget, cost=cost, limits=limits, given=taken[name], band=band, drift=drift, seed=seed, params=size, tokens=tokens
            )
            for name, fit in used.items()
        }
        mixed = _mixed(plans, share, seed)
        for name in ("regret_loss", "regret_compute"):
            mixed[f"expected_{name}"] = mixed[name].mean(("chain", "draw"))
        mixed["expected_loss"] = mixed["loss_of_decision"].mean(("chain", "draw"))
        seen = dict.fromkeys(line for plan in plans.values() for line in str(plan["cautions"].item()).splitlines())
        mixed["cautions"] = ("budget", ["\n".join(seen)])
        mixed["band_low"], mixed["band_high"] = ("budget", [low]), ("budget", [high])
        found.append(mixed)
    whole: Any = xarray.concat(found, "budget", data_vars="minimal", coords="minimal", compat="override", join="outer")
    whole.attrs = {**found[0].attrs, "risk": str(chosen_risk), **({"held": ""} if params is None and tokens is None else {})}
    return whole


def allocate_target_average(
    fits: Mapping[str, Fit],
    weights: Mapping[str, float],
    target_loss: float | Iterable[float],
    *,
    cost: Cost | None = None,
    limits: Limits | Bounds | None = None,
    given: Mapping[str, Any] | None = None,
    then: Fit | None = None,
    seed: int = 0,
) -> xarray.Dataset:
    """Return the least compute that reaches a target under an average of laws.

    The compute of each draw is that which its own law needs; the decision is the cheapest plan whose expected loss (or, with ``then``, the
    expected output of that fit) over draws of all laws is the target.

    Parameters
    ----------
    fits, weights : as in `predict_average`; laws of params and tokens, or of one input, the same for all
    target_loss, cost, limits, then, seed : as in `bayes_scaling.allocate_target`
    given : one value of each further input, for the laws that take it

    Returns
    -------
    Dataset as of `bayes_scaling.allocate_target`, with ``law`` (dims chain, draw); attributes ``laws`` and ``weights``

    Raises
    ------
    InputError
        If a weight cannot be used, or as `bayes_scaling.allocate_target` does for one of the laws.
    """
    from bayes_scaling.targets import Link, allocate_target

    used, share = _used(fits, weights)
    asked = {fit.law.input_names if len(fit.law.input_names) == 1 else ("params", "tokens") for fit in used.values()}
    if len(asked) > 1:
        of = "; ".join(f"{name}: {', '.join(fit.law.input_names)}" for name, fit in used.items())
        raise InputError(f"an average has one least compute, or one least input: the laws are functions of {of}")
    single, taken = len(next(iter(asked))) == 1, _taken(used, given)
    each = {
        name: allocate_target(fit, target_loss, cost=cost, limits=limits, given=taken[name], then=then, seed=seed)
        for name, fit in used.items()
    }
    mixed = _mixed(each, share, seed)
    needed = mixed[next(iter(asked))[0] if single else "compute"]
    mixed["probability_reachable"] = ("target", np.isfinite(needed.transpose("target", ...).to_numpy()).mean(axis=(1, 2)))
    if single:
        return mixed
    problems = {name: optimum.problem_of(fit.law, cost, limits, taken[name]) for name, fit in used.items()}
    mixture = _Mixture(used, share, Risk(), problems, [Link(fit, then, seed) for fit in used.values()] if then is not None else ())
    decided = np.array([item["decision_compute"].values for item in each.values()])
    targets = mixed["target"].values
    plans = [mixture.cheapest(float(target), decided[:, i]) for i, target in enumerate(follow(targets, "targets", len(targets)))]
    for name, values in zip(("compute", "params", "tokens"), np.transpose(plans), strict=True):
        mixed[f"decision_{name}"] = ("target", values)
    first = next(iter(used))
    places = [{"params": size, "tokens": tokens, **problems[first].options[0]} for _, size, tokens in plans]
    mixed["decades_beyond"] = ("target", [reach(used[first], place, problems[first])["decades_beyond"] for place in places])
    return mixed


def _taken(used: Mapping[str, Fit], given: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Return, by law, the given values that it takes; one that none of them takes is an error."""
    for name in given or {}:
        if not any(name in fit.law.input_names for fit in used.values()):
            optimum.problem_of(next(iter(used.values())).law, given={name: (given or {})[name]})  # which says why it is not taken
    return {name: {key: value for key, value in (given or {}).items() if key in fit.law.input_names} for name, fit in used.items()}


class _Mixture:
    """Several laws by their shares: what a size risks over the draws of all of them."""

    def __init__(
        self, fits: Mapping[str, Fit], share: np.ndarray, risk: Risk, problems: Mapping[str, optimum.Problem], links: Sequence[Link] = ()
    ) -> None:
        for name, problem in problems.items():
            if problem.chosen:
                raise InputError(f"an average of laws takes one value of {problem.chosen[0]}, not several to choose among ('{name}')")
        self.risk, self.problems = risk, list(problems.values())
        self.draws = [fit.parameters() for fit in fits.values()]
        counts = [next(iter(draws.values())).size for draws in self.draws]
        self.share = np.repeat(share / counts, counts)  # of each draw
        self.links = links  # into what a second fit predicts from the loss, where a target is of that

    def loss(self, sizes: np.ndarray, budget: float) -> np.ndarray:
        """Return the risk of sizes, shape (size,): their expected loss, unless told otherwise."""
        found = []
        for problem, draws in zip(self.problems, self.draws, strict=True):
            (option,) = problem.options
            wide = {name: np.reshape(values, (-1, 1)) for name, values in draws.items()}
            found.append(optimum.outcome(problem.law, wide, sizes, problem.tokens(sizes, budget, option), option))
        return self.risk.of(np.concatenate(found), self.share)

    def cheapest(self, target: float, alone: np.ndarray) -> tuple[float, float, float]:
        """Return compute, params and tokens of the cheapest plan that is expected to reach a target, given what each law needs alone.

        Infinite where none does. The size is that of least expected loss, also where the target is of what a second fit predicts.
        """
        sign = -1.0 if self.links and self.links[0].falling else 1.0
        low = np.log(alone.min() / 10) if np.isfinite(alone.min()) else np.log(max(map(optimum.smallest_compute, self.problems)))
        high = np.log(10 * alone.max()) if np.isfinite(alone.max()) else np.log(optimum.LARGEST_COMPUTE)

        def reaches(budget: float) -> bool:
            try:
                size = self.best_size(budget)
            except InputError:  # no plan of so little compute keeps the limits
                return False
            return sign * self._expected(size, budget) <= sign * target

        if not reaches(float(np.exp(high))):
            return np.inf, np.inf, np.inf
        while high - low > _PRECISION:
            middle = (low + high) / 2
            low, high = (low, middle) if reaches(float(np.exp(middle))) else (middle, high)
        budget = float(np.exp(high))
        size = self.best_size(budget)
        return budget, size, float(self.problems[0].tokens(size, budget, self.problems[0].options[0]))

    def _expected(self, size: float, budget: float) -> float:
        """Return the loss that is expected of a size, or what is expected of the second fit."""
        if not self.links:
            return float(self.loss(np.array([size]), budget)[0])
        found = []
        for problem, draws, link in zip(self.problems, self.draws, self.links, strict=True):
            (option,) = problem.options
            found.append(np.ravel(link.of(optimum.outcome(problem.law, draws, size, problem.tokens(size, budget, option), option))))
        return float(self.share @ np.concatenate(found))

    def range(self, budget: float) -> tuple[float, float]:
        """Return the sizes between which every law has a plan that keeps the limits."""
        ends = [problem.range(budget, problem.options[0]) for problem in self.problems]
        return max(float(least) for least, _, _ in ends), min(float(most) for _, _, most in ends)

    def best_size(self, budget: float) -> float:
        """Return the size of least risk: the best of those that can be built, or of a grid and of finer grids about it."""
        for problem in self.problems:
            optimum.require_compute(problem, budget)
        least, most = self.range(budget)
        if least > most:
            raise InputError(f"no size keeps the limits under all of the laws at {budget:.3g} FLOP: average fewer, or relax them")
        built = np.array([size for size in self.problems[0].limits.sizes if least <= size <= most])
        if len(built):
            return float(built[np.argmin(self.loss(built, budget))])
        optima = [optimum.best_plan(problem, draws, budget).params for problem, draws in zip(self.problems, self.draws, strict=True)]
        low = max(least, min(float(np.quantile(sizes, 0.01)) for sizes in optima) / 3)
        high = min(most, max(float(np.quantile(sizes, 0.99)) for sizes in optima) * 3)
        best = low
        for _ in range(_NARROWINGS):
            sizes = np.geomspace(low, high, _SIZES)
            place = int(np.argmin(self.loss(sizes, budget)))
            best, low, high = float(sizes[place]), sizes[max(place - 2, 0)], sizes[min(place + 2, _SIZES - 1)]
        return best

    def band(self, budget: float, size: float, share: float) -> tuple[float, float]:
        """Return the smallest and the largest size that is as good as the best plan with a share less of the compute that it spends."""
        first = self.problems[0]
        (option,) = first.options
        less = min(budget, float(first.compute(size, float(first.tokens(size, budget, option)), option))) * (1 - share)
        try:
            allowed = self.loss(np.array([self.best_size(less)]), less)[0]
        except InputError:
            return np.nan, np.nan

        least, most = self.range(budget)
        sizes = self.problems[0].limits.sizes
        return optimum.good_range(lambda one: bool(self.loss(np.array([one]), budget)[0] <= allowed), size, least, most, sizes)


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
