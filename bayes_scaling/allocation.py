"""What a fit says about spending compute: the best plan with intervals, the decision, and what the decision can cost.

The optimum is found for every draw; the decision is the one plan that minimises the expected loss over all of them. Its regret is what
it loses, draw by draw, against the optimum that would be chosen if the parameters were known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling import optimum
from bayes_scaling.cost import Cost
from bayes_scaling.errors import InputError
from bayes_scaling.fitted import Fit
from bayes_scaling.prediction import decades_beyond

if TYPE_CHECKING:
    import xarray

Plan = Any  #: the xarray Dataset that `allocate` returns

_DRAWS = ("chain", "draw", "budget")


def allocate(
    fit: Fit, compute: float | Iterable[float], *, cost: Cost | None = None, params: float | None = None, tokens: float | None = None
) -> xarray.Dataset:
    """Split compute between params and tokens.

    Parameters
    ----------
    compute : budget or budgets, in FLOP
    cost : what a plan costs; 6 x params x tokens by default
    params, tokens : hold one of them; the decision then is the plan that this leaves, and its regret is what holding it costs

    Returns
    -------
    Dataset with coordinate ``budget`` (FLOP). Of dims chain, draw, budget: ``params``, ``tokens``, ``tokens_per_param`` and ``loss``
    at the optimum of each draw, ``loss_of_decision``, ``regret_loss`` (nat/token) and ``regret_compute`` (FLOP that the best plan for
    that draw would save at the same loss). Of dim budget: ``decision_params``, ``decision_tokens``, ``expected_loss``,
    ``expected_regret_loss``, ``expected_regret_compute`` and ``decades_beyond`` (how far the decision lies outside the data).

    Raises
    ------
    InputError
        If the law has no params and tokens, or a budget cannot be spent.
    """
    import xarray

    cost = cost or Cost()
    optimum.require_plan(fit.law)
    budgets = np.atleast_1d(np.asarray(compute, dtype=float))
    if budgets.ndim != 1 or not len(budgets):
        raise InputError("compute must be one budget or a list of them")
    optimum.require_compute(budgets, cost)
    _check_held(params, tokens, budgets, cost)
    draws = fit.parameters()
    columns: dict[str, list[np.ndarray]] = {}
    for budget in budgets:
        for name, values in _one_budget(fit, draws, float(budget), cost, params, tokens).items():
            columns.setdefault(name, []).append(np.asarray(values))
    data = {}
    for name, values in columns.items():
        stacked = np.stack(values, axis=-1)
        data[name] = (_DRAWS if stacked.ndim == 3 else ("budget",), stacked)
    chosen = {"params": np.array(columns["decision_params"]), "tokens": np.array(columns["decision_tokens"])}
    data["decades_beyond"] = ("budget", decades_beyond(fit.runs, chosen))
    held = "" if params is None and tokens is None else "params" if params is not None else "tokens"
    return xarray.Dataset(data, {"budget": budgets}, _attributes(fit, cost, held=held))


def _attributes(fit: Fit, cost: Cost, **more: Any) -> dict[str, Any]:
    return {"law": fit.law.name, "noise": fit.noise.name, "cost": cost.text(), "trustworthy": int(fit.diagnosis.ok), **more}


def _check_held(params: float | None, tokens: float | None, budgets: np.ndarray, cost: Cost) -> None:
    if params is not None and tokens is not None:
        raise InputError("params and tokens are both held: nothing is left to decide; hold one, or use predict")
    for name, value in (("params", params), ("tokens", tokens)):
        if value is not None and not (np.isfinite(value) and value >= 1):
            raise InputError(f"{name} = {value:g} must be at least 1")
    if params is not None and not np.all(cost.tokens(params, budgets) >= 1):
        raise InputError(f"params = {params:.4g} leaves less than one training token at {budgets.min():.3g} FLOP ({cost.text()})")
    if tokens is not None and not np.all(cost.params(tokens, budgets) >= 1):
        raise InputError(f"tokens = {tokens:.4g} leaves less than one param at {budgets.min():.3g} FLOP ({cost.text()})")


def _one_budget(
    fit: Fit, draws: Mapping[str, np.ndarray], budget: float, cost: Cost, params: float | None, tokens: float | None
) -> dict[str, Any]:
    best = optimum.best_params(fit.law, draws, budget, cost)
    best_tokens = cost.tokens(best, budget)
    loss = optimum.outcome(fit.law, draws, best, best_tokens)
    if params is not None:
        chosen = float(params)
    elif tokens is not None:
        chosen = float(cost.params(tokens, budget))
    else:
        chosen = optimum.best_expected_params(fit.law, draws, budget, cost)
    chosen_tokens = float(cost.tokens(chosen, budget))
    decided = optimum.outcome(fit.law, draws, chosen, chosen_tokens)
    sufficient = optimum.least_compute(fit.law, draws, decided, cost)
    # Rounding can put the decided loss below the optimum by an ulp; regret is never negative.
    regret_loss = np.maximum(decided - loss, 0.0)
    regret_compute = np.clip(budget - sufficient, 0.0, budget)
    return {
        "params": best,
        "tokens": best_tokens,
        "tokens_per_param": best_tokens / best,
        "loss": loss,
        "loss_of_decision": decided,
        "regret_loss": regret_loss,
        "regret_compute": regret_compute,
        "decision_params": chosen,
        "decision_tokens": chosen_tokens,
        "expected_loss": decided.mean(),
        "expected_regret_loss": regret_loss.mean(),
        "expected_regret_compute": regret_compute.mean(),
    }


def regret(fit: Fit, compute: float, *, params: np.ndarray | None = None, cost: Cost | None = None) -> xarray.Dataset:
    """Regret of choosing each of many model sizes at one budget.

    Parameters
    ----------
    compute : budget in FLOP
    params : sizes to compare, shape (size,); by default a range about the decision

    Returns
    -------
    Dataset with coordinate ``params`` (dim size): ``regret_loss`` of dims chain, draw, size (nat/token), ``expected_loss`` and
    ``tokens`` of dim size; attributes ``compute`` and ``decision_params``
    """
    import xarray

    cost = cost or Cost()
    optimum.require_plan(fit.law)
    optimum.require_compute(compute, cost)
    draws = fit.parameters()
    decision = optimum.best_expected_params(fit.law, draws, compute, cost)
    if params is None:
        low, high = np.quantile(optimum.best_params(fit.law, draws, compute, cost), [0.01, 0.99])
        limit = cost.largest_params(compute) / 2
        params = np.geomspace(min(low, decision) / 3, min(max(high, decision) * 3, limit), 121)
    params = np.asarray(params, dtype=float)
    tokens = cost.tokens(params, compute)
    if not np.all(tokens >= 1):
        raise InputError(f"params = {params[tokens < 1][0]:.4g} leaves less than one training token at {compute:.3g} FLOP")
    wide = {name: values[..., None] for name, values in draws.items()}
    loss = fit.law.predict({"params": params, "tokens": tokens}, wide)
    best = optimum.best_outcome(fit.law, draws, compute, cost)[..., None]
    return xarray.Dataset(
        {
            "regret_loss": (("chain", "draw", "size"), np.maximum(loss - best, 0.0)),
            "expected_loss": ("size", loss.mean(axis=(0, 1))),
            "tokens": ("size", tokens),
        },
        {"params": ("size", params)},
        _attributes(fit, cost, compute=float(compute), decision_params=decision),
    )


def allocate_target(fit: Fit, target_loss: float | Iterable[float], *, cost: Cost | None = None) -> xarray.Dataset:
    """Return the least compute that reaches a target loss, with the plan that does it; for a law of one input, the input needed.

    Parameters
    ----------
    target_loss : target or targets in nat/token

    Returns
    -------
    Dataset with coordinate ``target`` (nat/token). Of dims chain, draw, target: ``compute``, ``params`` and ``tokens`` (a law of
    params and tokens), or the law's one input; infinite where the draw's floor is not below the target. Of dim target:
    ``probability_reachable``, and ``decision_compute``, ``decision_params``, ``decision_tokens`` of the cheapest plan whose expected loss
    is the target (infinite where there is none)
    """
    import xarray

    cost = cost or Cost()
    targets = np.atleast_1d(np.asarray(target_loss, dtype=float))
    for target in targets:
        if not (np.isfinite(target) and target > 0):
            raise InputError(f"target loss = {target:g} must be positive and finite")
    draws = fit.parameters()
    single = len(fit.law.input_names) == 1
    if not single:
        optimum.require_plan(fit.law)
    columns: dict[str, list[Any]] = {}
    for target in targets:
        found = _input_for_target(fit, draws, float(target)) if single else _plan_for_target(fit, draws, float(target), cost)
        for name, values in found.items():
            columns.setdefault(name, []).append(np.asarray(values))
    stacked = {name: np.stack(values, axis=-1) for name, values in columns.items()}
    dims = {3: ("chain", "draw", "target"), 1: ("target",)}
    data = {name: (dims[values.ndim], values) for name, values in stacked.items()}
    return xarray.Dataset(data, {"target": targets}, _attributes(fit, cost))


def _plan_for_target(fit: Fit, draws: Mapping[str, np.ndarray], target: float, cost: Cost) -> dict[str, Any]:
    compute = optimum.least_compute(fit.law, draws, target, cost)
    reachable = np.isfinite(compute)
    spent = np.where(reachable, compute, 1e20)  # any number: what is computed from it is not kept
    params = np.where(reachable, optimum.best_params(fit.law, draws, spent, cost), np.inf)
    tokens = np.where(reachable, cost.tokens(np.where(reachable, params, 1.0), spent), np.inf)

    def expected(budget: np.ndarray) -> np.ndarray:
        size = optimum.best_expected_params(fit.law, draws, float(budget[0]), cost)
        return optimum.outcome(fit.law, draws, size, cost.tokens(size, budget[0])).mean()[None]

    budget = float(optimum.bisect(expected, np.array([target]), optimum.smallest_compute(cost), optimum.LARGEST_COMPUTE)[0])
    size = optimum.best_expected_params(fit.law, draws, budget, cost) if np.isfinite(budget) else np.inf
    return {
        "compute": compute,
        "params": params,
        "tokens": tokens,
        "probability_reachable": reachable.mean(),
        "decision_compute": budget,
        "decision_params": size,
        "decision_tokens": cost.tokens(size, budget) if np.isfinite(budget) else np.inf,
    }


def _input_for_target(fit: Fit, draws: Mapping[str, np.ndarray], target: float) -> dict[str, Any]:
    name = fit.law.input_names[0]
    shape = next(iter(draws.values())).shape
    needed = optimum.bisect(lambda x: fit.law.predict({name: x}, draws), np.full(shape, target), 1.0, optimum.LARGEST_COMPUTE)
    return {name: needed, "probability_reachable": np.isfinite(needed).mean()}
