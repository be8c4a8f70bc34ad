"""What a fit says about splitting a budget among its law's own inputs: best plans, the decision, its regret, budgets for targets.

As `bayes_scaling.allocation` for params and tokens, under the law's own names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.cost import Cost
from bayes_scaling.drift import Drift, decades_beyond, drift_of
from bayes_scaling.errors import InputError
from bayes_scaling.fitted import Fit
from bayes_scaling.law import Law
from bayes_scaling.limits import Bounds, Limits
from bayes_scaling.optimum import LARGEST_COMPUTE, Draws, good_range, least_reaching, side_by_side
from bayes_scaling.prediction import new_measurement
from bayes_scaling.progress import follow
from bayes_scaling.quantities import quantity
from bayes_scaling.risk import Risk
from bayes_scaling.sharing import SMALLEST_BUDGET, Best, Shared, best_of_draws, least_budget, least_risk, require_budget, shared_of

if TYPE_CHECKING:
    import xarray


def share_out(
    fit: Fit,
    budget: float | Iterable[float],
    *,
    cost: Cost | None = None,
    limits: Limits | Bounds | None = None,
    given: Mapping[str, Any] | None = None,
    risk: str | Risk = "mean",
    band: float = 0.01,
    seed: int = 0,
    drift: Drift | float | None = None,
) -> xarray.Dataset:
    """Return what `bayes_scaling.allocate` does for a law whose inputs share a budget; names are the law's own."""
    import xarray

    shared, chosen_risk = shared_of(fit.law, given, limits, cost), Risk.read(risk)
    budgets = np.atleast_1d(np.asarray(budget, float))
    require_budget(shared, budgets)
    amounts = follow(budgets, "budgets", len(budgets))
    data = side_by_side((_one_budget(fit, shared, float(amount), chosen_risk, band, seed, drift) for amount in amounts), "budget")
    about = {
        "held": ",".join(name for name in shared.by.inputs if name in shared.options[0] and name not in shared.chosen),
        "risk": str(chosen_risk),
        "band": band,
        "ratio": shared.by.ratio.name,
        "drift": drift_of(drift).mean,
    }
    return _with_units(xarray.Dataset(data, {"budget": budgets}, {**attributes(fit, shared), **about}), fit.law)


def _with_units(found: xarray.Dataset, law: Law) -> xarray.Dataset:
    for item in law.inputs:
        if item.name in found:
            found[item.name].attrs["unit"] = item.unit
    return found


def _of_options(shared: Shared, best: Best) -> dict[str, np.ndarray]:
    """Return what the best plan of each draw chooses of the options."""
    return {name: np.array([option[name] for option in shared.options])[best.option] for name in shared.options[0]}


def budgets_for(
    fit: Fit, targets: np.ndarray, given: Mapping[str, Any] | None, limits: Limits | Bounds | None, cost: Cost | None
) -> xarray.Dataset:
    """Return what `bayes_scaling.allocate_target` does for a law whose inputs share a budget; names are the law's own."""
    import xarray

    shared = shared_of(fit.law, given, limits, cost)
    draws = fit.parameters()
    attainable = {"attainable": shared.sign * best_of_draws(shared, draws, LARGEST_COMPUTE).outcome}  # whatever the target
    data = side_by_side((_for_target(shared, draws, shared.sign * float(target)) | attainable for target in targets), "target")
    return _with_units(xarray.Dataset(data, {"target": targets}, attributes(fit, shared)), fit.law)


def _for_target(shared: Shared, draws: Draws, wanted: float) -> dict[str, Any]:
    first, second = shared.by.inputs
    budget = least_budget(shared, draws, wanted)
    reachable = np.isfinite(budget)
    enough = np.where(reachable, budget, LARGEST_COMPUTE)  # where none reaches it, what comes out is not kept
    best = best_of_draws(shared, draws, enough)
    plans = shared.plan(best.first, enough, _of_options(shared, best))

    def expected(amount: np.ndarray) -> np.ndarray:
        try:
            size, number = least_risk(shared, draws, float(amount[0]), Risk())
        except InputError:  # so little leaves no plan
            return np.array([np.inf])
        return np.array([np.mean(shared.outcome(shared.plan(size, amount[0], shared.options[number]), draws))])

    least = float(least_reaching(expected, np.array([wanted]), SMALLEST_BUDGET, LARGEST_COMPUTE)[0])
    decided = {first: np.inf, second: np.inf}
    if np.isfinite(least):
        size, number = least_risk(shared, draws, least, Risk())
        decided = shared.plan(size, least, shared.options[number])
    return {
        shared.by.budget.name: budget,
        **{name: np.where(reachable, plans[name], np.inf) for name in (first, second)},
        "probability_reachable": reachable.mean(),
        f"decision_{shared.by.budget.name}": least,
        **{f"decision_{name}": float(decided[name]) for name in (first, second)},
    }


def judged(fit: Fit, plan: Mapping[str, float], given: Mapping[str, Any] | None) -> tuple[np.ndarray, float]:
    """Return the law's output of a plan under each draw, and what the plan takes of the budget."""
    law, by = fit.law, fit.law.sharing
    assert by is not None
    shared = shared_of(law, {**(given or {}), **{name: value for name, value in plan.items() if name not in by.inputs}})
    for name in by.inputs:
        if name not in plan or not quantity(name).admits(np.asarray(plan[name], float)):
            has = f"{plan[name]:g}" if name in plan else "none"
            raise InputError(f"a plan needs {name}, which must be {quantity(name).range_text()}; one has {has}")
    values = {**shared.options[0], **{name: float(plan[name]) for name in by.inputs}}
    return law.predict(values, fit.parameters()), float(shared.spent(values))


def attributes(fit: Fit, shared: Shared) -> dict[str, Any]:
    """Return what every answer says of its law and of what is shared."""
    return {
        "law": fit.law.name,
        "output": fit.law.output,
        "answer": shared.answer,
        "noise": fit.noise.name,
        "inputs": ",".join(shared.by.inputs),
        "shares": shared.by.budget.name,
        "unit": shared.by.budget.unit,
        "cost": shared.by.text,
        "limits": shared.bounds.text(),
        "training_budget": 0,
        "chosen": ",".join(name for name in shared.chosen if name not in shared.by.inputs),
        "further": ",".join(name for name in shared.options[0] if name not in shared.by.inputs),
        "trustworthy": int(fit.diagnosis.ok),
    }


def _one_budget(fit: Fit, shared: Shared, budget: float, risk: Risk, band: float, seed: int, drift: Drift | float | None) -> dict[str, Any]:
    draws, (first, second), answer, shares = fit.parameters(), shared.by.inputs, shared.answer, shared.by.budget.name
    best = best_of_draws(shared, draws, budget)
    of_option = _of_options(shared, best)
    plans = shared.plan(best.first, budget, of_option)
    size, number = least_risk(shared, draws, budget, risk)
    option = shared.options[number]
    decided = {name: float(value) for name, value in shared.plan(size, budget, option).items()}
    outcome = shared.outcome(decided, draws)
    regret = np.maximum(outcome - best.outcome, 0.0)  # rounding can put the decision an ulp above the best
    spent = float(shared.spent(decided))  # of which bounds may leave some over
    wasted = np.clip(spent - least_budget(shared, draws, outcome), 0.0, spent)
    low, high = _band(shared, draws, budget, risk, size, number, band)
    at = {name: decided[name] for name in fit.law.input_names}
    beyond = {name: float(decades_beyond(fit.runs, {name: value})) for name, value in at.items()}
    return {
        first: best.first,
        second: plans[second],
        shared.by.ratio.name: np.broadcast_to(shared.ratio(plans), best.first.shape),
        **{name: of_option[name] for name in shared.chosen if name not in shared.by.inputs},
        answer: shared.sign * best.outcome,
        f"{answer}_of_decision": shared.sign * outcome,
        "new_of_decision": new_measurement(fit, at, seed, drift),
        f"regret_{answer}": regret,
        f"regret_{shares}": wasted,
        **{f"decision_{name}": decided[name] for name in (first, second, *option)},
        f"decision_{shared.by.ratio.name}": float(shared.ratio(decided)),
        "decision_spent": spent,
        **_dollars(shared.cost, spent),
        f"expected_{answer}": (shared.sign * outcome).mean(),
        f"expected_regret_{answer}": regret.mean(),
        f"expected_regret_{shares}": wasted.mean(),
        "band_low": low,
        "band_high": high,
        "decades_beyond": max(beyond.values()),
        **{f"decades_beyond_{name}": beyond[name] for name in (first, second)},
        "cautions": "\n".join(fit.law.cautions_at(decided)),
    }


def _band(shared: Shared, draws: Draws, budget: float, risk: Risk, size: float, number: int, share: float) -> tuple[float, float]:
    """Return the smallest and the largest first input that are as good as the best plan with a share less of the budget."""
    flat = {name: np.ravel(values) for name, values in draws.items()}
    option = shared.options[number]
    less = min(budget, float(shared.spent(shared.plan(size, budget, option)))) * (1 - share)

    def risk_of(first: float, spent: float, at: Mapping[str, float]) -> float:
        return float(risk.of(shared.outcome(shared.plan(first, spent, at), flat)))

    try:
        smaller, other = least_risk(shared, flat, less, risk)
    except InputError:
        return np.nan, np.nan
    allowed = risk_of(smaller, less, shared.options[other])
    low, high = (float(end) for end in shared.span(budget, option))
    first = shared.by.inputs[0]
    if first in shared.chosen:  # of those among which it is chosen, everything else as decided
        alike = [one for one in shared.options if {**one, first: 0.0} == {**option, first: 0.0}]
        low, high = min(one[first] for one in alike), max(one[first] for one in alike)
        return good_range(
            lambda size: risk_of(size, budget, {**option, first: size}) <= allowed, size, low, high, [one[first] for one in alike]
        )
    return good_range(lambda size: risk_of(size, budget, option) <= allowed, size, low, high)


def _dollars(cost: Cost, spent: float) -> dict[str, float]:
    if cost.hardware is None:
        return {}
    return {"decision_gpu_hours": cost.gpu_hours(spent), **({"decision_dollars": cost.dollars(spent)} if cost.hardware.price else {})}
