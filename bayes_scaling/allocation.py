"""What a fit says about spending compute: the best plan with intervals, the decision, and what the decision can cost.

The optimum is found for every draw; the decision is the one plan that minimises the expected loss over all of them. Its regret is what
it loses, draw by draw, against the optimum that would be chosen if the parameters were known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling import optimum
from bayes_scaling.comparison import compare
from bayes_scaling.cost import Cost
from bayes_scaling.drift import Drift, decades_beyond, drift_of
from bayes_scaling.errors import InputError
from bayes_scaling.fitted import Fit
from bayes_scaling.limits import Bounds, Limits
from bayes_scaling.optimum import Problem
from bayes_scaling.prediction import new_measurement
from bayes_scaling.progress import follow
from bayes_scaling.risk import Risk
from bayes_scaling.splitting import judged, share_out
from bayes_scaling.units import amount, amounts, count_text

if TYPE_CHECKING:
    import xarray

Plan = Any  #: the xarray Dataset that `allocate` returns

BAND = 0.01  # share of the compute that the band of plans may waste


def allocate(
    fit: Fit | Mapping[str, Fit],
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
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
) -> xarray.Dataset:
    """Split a budget between what a law is a function of: compute between params and tokens, or what the law's own inputs share.

    Parameters
    ----------
    fit : of a law of params and tokens; of one that says what its inputs share (``law.sharing``: encoder and decoder, training and
        answering, vocabulary and text); or several by name, which are averaged
    compute : budget or budgets, in FLOP, or as text (``100 PF-day``); under a law that says so itself, in its own unit
    cost : what a plan costs; 6 x params x tokens by default. A law that says so itself takes of it the hardware, for a budget in FLOP
    limits : what a plan must keep to; under a law that says what its inputs share, `Bounds` by their names
    given : values of the law's further inputs (unique tokens, bits, sparsity); several for one make the plan choose among them. Also of an
        input that shares a law's own budget: it is held, or chosen among those that can be built
    risk : what of the loss's distribution the decision minimises: ``mean``, ``quantile:0.9`` or ``cvar:0.9``
    params, tokens : hold one of them; the decision then is the plan that this leaves, and its regret is what holding it costs
    band : share of the compute; the band is of the sizes that waste no more than that
    drift : how far the law may be off beyond its runs, in ``new_of_decision``: as in `bayes_scaling.predict`
    weights : of several fits, by name: as in `bayes_scaling.allocate_average`; by default those of `bayes_scaling.compare`
    seed : of the scatter and the drift of a new measurement

    Returns
    -------
    Dataset with coordinate ``budget`` (FLOP). Of dims chain, draw, budget: ``params``, ``tokens``, ``tokens_per_param`` and ``loss``
    at the optimum of each draw (and each further input that is chosen), ``loss_of_decision``, ``new_of_decision`` (a measurement of it,
    scatter included), ``regret_loss`` (nat/token) and ``regret_compute`` (FLOP that the best plan for that draw would save at the same
    loss). Of dim budget: ``decision_params``, ``decision_tokens``, ``decision_NAME`` of the law's further inputs; ``decision_compute`` with
    its parts ``decision_training`` and ``decision_serving`` (which a training budget does not pay for; with hardware,
    ``decision_gpu_hours``, ``decision_dollars`` of the compute and ``decision_serving_dollars``);
    ``expected_loss``, ``expected_regret_loss``, ``expected_regret_compute``; ``band_low`` and ``band_high`` (the smallest and largest size
    whose expected loss is no more than the best plan's with that share less of the compute; NaN where no such plan keeps the limits);
    ``cautions`` (what others have seen go wrong with the law where the decision lies, a line each); and how many decades the decision lies
    outside the data: ``decades_beyond`` (the largest), ``decades_beyond_params``, ``_tokens``, ``_compute``. Under a law whose inputs share
    a budget, names are those of its inputs, ratio and budget (attributes ``inputs``, ``ratio``, ``shares``), and ``loss`` is its output
    where that should be high (attribute ``answer``).

    Raises
    ------
    InputError
        If the law's inputs share no budget, a budget cannot be spent, or no plan keeps the limits.

    Examples
    --------
    >>> plan = bs.allocate(fit, [1e20, 1e21])
    >>> plan["params"].sizes["budget"]
    2
    >>> bool(abs(6 * plan["decision_params"][0] * plan["decision_tokens"][0] / 1e20 - 1) < 1e-6)  # the budget is spent
    True
    """
    import xarray

    chosen_risk = Risk.read(risk)
    if not 0 < band < 1:
        raise InputError(f"band = {band:g} is a share of the compute: between 0 and 1 (0.01 is 1 %)")
    budgets = amounts(compute, "compute" if isinstance(fit, Mapping) else fit.law.shares)
    if not len(budgets):
        raise InputError("compute must be one budget or a list of them")
    if isinstance(fit, Mapping):
        from bayes_scaling.averaging import allocate_average

        settings: dict[str, Any] = {"cost": cost, "limits": limits, "given": given, "risk": chosen_risk, "params": params, "tokens": tokens}
        return allocate_average(fit, average_weights(fit, weights, seed), budgets, **settings, band=band, drift=drift, seed=seed)
    if weights:
        raise InputError("weights go with several fits, by name")
    if fit.law.sharing is not None:
        if params is not None or tokens is not None:
            (first, _), held = fit.law.sharing.inputs, "params" if params is not None else "tokens"
            raise InputError(f"{held} is held under laws of params and tokens; hold an input of '{fit.law.name}' by given ({first}=...)")
        return share_out(fit, budgets, cost=cost, limits=limits, given=given, risk=chosen_risk, band=band, drift=drift, seed=seed)
    problem = optimum.problem_of(fit.law, cost, limits, given)
    optimum.require_compute(problem, budgets)
    _check_held(problem, params, tokens, budgets)
    draws = fit.parameters()
    answers = (
        _one_budget(fit, draws, float(budget), problem, chosen_risk, params, tokens, band, drift, seed)
        for budget in follow(budgets, "budgets", len(budgets))
    )
    data = optimum.side_by_side(answers, "budget")
    held = "" if params is None and tokens is None else "params" if params is not None else "tokens"
    about = {
        "held": held,
        "risk": str(chosen_risk),
        "band": band,
        "chosen": ",".join(problem.chosen),
        "further": ",".join(problem.options[0]),
        "ratio": "tokens_per_param",
        "drift": drift_of(drift).mean,
    }
    return xarray.Dataset(data, {"budget": budgets}, attributes(fit, problem, **about))


def average_weights(fits: Mapping[str, Fit], weights: Mapping[str, float] | None, seed: int) -> Mapping[str, float]:
    """Return weights as they are given, or by how well the laws forecast runs that they were not fitted to (`bayes_scaling.compare`)."""
    if weights is not None:
        return weights
    return compare(fits, seed=seed).weights if len(fits) > 1 else dict.fromkeys(fits, 1.0)


def attributes(fit: Fit, problem: Problem, **more: Any) -> dict[str, Any]:
    """Return what every answer says of its law, cost and limits."""
    return {
        "law": fit.law.name,
        "output": fit.law.output,
        "answer": "loss",
        "noise": fit.noise.name,
        "inputs": "params,tokens",
        "shares": "compute",
        "unit": "FLOP",
        "cost": problem.cost.text(),
        "training_budget": int(problem.cost.training_budget),
        "limits": problem.limits.text(),
        "trustworthy": int(fit.diagnosis.ok),
        **more,
    }


def _check_held(problem: Problem, params: float | None, tokens: float | None, budgets: np.ndarray) -> None:
    if params is None and tokens is None:
        return
    if params is not None and tokens is not None:
        raise InputError("params and tokens are both held: nothing is left to decide; hold one, or use predict")
    if problem.chosen:
        raise InputError(f"with {'params' if params else 'tokens'} held, give one value of {problem.chosen[0]}, not several")
    for name, value in (("params", params), ("tokens", tokens)):
        if value is not None and not (np.isfinite(value) and value >= 1):
            raise InputError(f"{name} = {value:g} must be at least 1")
    (option,) = problem.options
    for budget in budgets:
        size = params if params is not None else _size_for(problem, tokens, budget)
        left = float(problem.tokens(size, budget, option))
        if params is not None and not left >= 1:
            raise InputError(f"params = {params:.4g} leaves less than one training token at {budget:.3g} FLOP ({problem.cost.text()})")
        if tokens is not None and not size >= 1:
            raise InputError(f"tokens = {tokens:.4g} leaves less than one param at {budget:.3g} FLOP ({problem.cost.text()})")
        if problem.limits.any:
            least, _, most = (float(part) for part in problem.range(budget, option))
            if not least <= size * (1 + 1e-9) or not size * (1 - 1e-9) <= most:
                held = "params" if params else "tokens"
                raise InputError(
                    f"{count_text(size)} params (held {held}) do not keep the limits ({problem.limits.text()}), which at {budget:.3g} FLOP "
                    f"allow {count_text(least)} to {count_text(most)} params"
                )


def _size_for(problem: Problem, tokens: float | None, budget: float) -> float:
    """Return the size that uses up a budget with so many training tokens."""
    (option,) = problem.options
    if problem.law.token_params is None:
        return float(problem.cost.params(tokens, budget))
    compute = np.array(budget)
    return float(1 / optimum.least_reaching(lambda x: problem.compute(1 / x, tokens, option), compute, 1e-30, 1e6))


def _one_budget(
    fit: Fit,
    draws: Mapping[str, np.ndarray],
    budget: float,
    problem: Problem,
    risk: Risk,
    params: float | None,
    tokens: float | None,
    band: float,
    drift: Drift | float | None,
    seed: int,
) -> dict[str, Any]:
    law, cost = fit.law, problem.cost
    best = optimum.best_plan(problem, draws, budget)
    free = optimum.best_decision(problem, draws, budget, risk)
    chosen, _, number = free
    if params is not None:
        chosen = float(params)
    elif tokens is not None:
        chosen = _size_for(problem, tokens, budget)
    option = problem.options[number]
    chosen_tokens = float(problem.tokens(chosen, budget, option))
    plan = {**option, "params": chosen, "tokens": chosen_tokens}
    decided = optimum.outcome(law, draws, chosen, chosen_tokens, option)
    sufficient = optimum.least_compute(problem, draws, decided)
    # Rounding can put the decided loss below the optimum by an ulp; regret is never negative.
    regret_loss = np.maximum(decided - best.outcome, 0.0)
    low, high = _band(problem, draws, budget, risk, free, band)
    used = float(problem.used(chosen, option))
    training = used * cost.train_rate * chosen_tokens
    spent = training + used * cost.serving
    regret_compute = np.clip(spent - sufficient, 0.0, spent)
    dollars = {}
    if cost.hardware is not None:
        dollars["decision_gpu_hours"] = cost.gpu_hours(training)
        if cost.hardware.price:
            dollars["decision_dollars"] = cost.dollars(spent)
            dollars |= {"decision_serving_dollars": cost.dollars(used * cost.served)} if cost.served else {}
    return {
        "params": best.params,
        "tokens": best.tokens,
        "tokens_per_param": best.tokens / best.params,
        **{name: best.values(problem, name) for name in problem.chosen},
        "loss": best.outcome,
        "loss_of_decision": decided,
        "new_of_decision": new_measurement(fit, plan, seed, drift),
        "regret_loss": regret_loss,
        "regret_compute": regret_compute,
        "decision_params": chosen,
        "decision_tokens": chosen_tokens,
        **{f"decision_{name}": value for name, value in option.items()},
        "decision_compute": spent,
        "decision_training": training,
        "decision_serving": used * cost.served,
        **dollars,
        "expected_loss": decided.mean(),
        "expected_regret_loss": regret_loss.mean(),
        "expected_regret_compute": regret_compute.mean(),
        "band_low": low,
        "band_high": high,
        **reach(fit, plan, problem),
        "cautions": "\n".join(law.cautions_at(plan)),
    }


def reach(fit: Fit, plan: Mapping[str, float], problem: Problem) -> dict[str, float]:
    """Return how many decades a plan lies outside the runs in params, tokens and training compute, and in any input of the law."""
    runs, free = fit.runs, ("params", "tokens")
    further = [name for name in fit.law.input_names if name not in free]

    def training(at: Mapping[str, Any]) -> np.ndarray:
        return problem.used(at["params"], {name: at[name] for name in further}) * at["tokens"]

    known = np.log10(training({name: runs[name] for name in fit.law.input_names}))
    there = np.log10(training({name: np.asarray(plan[name], float) for name in fit.law.input_names}))
    compute = max(0.0, float(there - known.max()), float(known.min() - there))
    of_input = {name: float(decades_beyond(runs, {name: plan[name]})) for name in fit.law.input_names}
    named = {f"decades_beyond_{name}": of_input[name] for name in free}
    return {"decades_beyond": max(compute, *of_input.values()), **named, "decades_beyond_compute": compute}


def _band(
    problem: Problem, draws: Mapping[str, np.ndarray], budget: float, risk: Risk, free: tuple[float, float, int], share: float
) -> tuple[float, float]:
    """Return the smallest and the largest size that is as good as the best plan with a share less of the compute that it spends."""
    flat = {name: np.ravel(values) for name, values in draws.items()}
    size, tokens, number = free
    option = problem.options[number]

    def risk_of(params: float, compute: float) -> float:
        return float(risk.of(optimum.outcome(problem.law, flat, params, problem.tokens(params, compute, option), option)))

    less = min(budget, float(problem.compute(size, tokens, option))) * (1 - share)  # limits may leave some of the budget over
    try:
        optimum.require_compute(problem, less)
    except InputError:
        return np.nan, np.nan
    smaller, smaller_tokens, other = optimum.best_decision(problem, flat, less, risk)
    allowed = float(risk.of(optimum.outcome(problem.law, flat, smaller, smaller_tokens, problem.options[other])))
    least, _, most = (float(part) for part in problem.range(budget, option))
    return optimum.good_range(lambda one: risk_of(one, budget) <= allowed, size, least, most, problem.limits.sizes)


def probability_better(
    fit: Fit | Mapping[str, Fit],
    plan: Mapping[str, float],
    other: Mapping[str, float],
    *,
    cost: Cost | None = None,
    given: Mapping[str, Any] | None = None,
    weights: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Return how probably one plan ends with a lower loss than another, curve against curve, and what each costs.

    Parameters
    ----------
    fit : of a law, or several by name, which are averaged
    plan, other : ``params`` and ``tokens``, and the law's further inputs unless ``given`` has them for both
    weights : of several fits, by name; by default those of `bayes_scaling.compare`

    Returns
    -------
    ``probability`` that the first is better; ``difference`` of the losses, first minus other (median, with ``q05`` and ``q95``);
    ``compute`` and ``other_compute``, what they cost in FLOP. Under a law whose inputs share a budget, what they take of it, by its name,
    and the difference is of the law's output
    """
    if weights and not isinstance(fit, Mapping):
        raise InputError("weights go with several fits, by name")
    fits = fit if isinstance(fit, Mapping) else {fit.law.name: fit}
    share = average_weights(fits, weights, 0)
    used = {name: fits[name] for name, weight in share.items() if weight > 0}
    whole = sum(share[name] for name in used)
    found, of_draw, probability = [], [], 0.0
    law = next(iter(used.values())).law
    better = 1.0 if law.sharing is not None and law.sharing.highest else -1.0
    for name, one in used.items():
        (first, spent), (second, other_spent) = (_judged(one, values, cost, given, alone=len(fits) == 1) for values in (plan, other))
        difference = np.ravel(first - second)
        probability += share[name] / whole * float(np.mean(better * difference > 0) + np.mean(difference == 0) / 2)
        found.append((difference, spent, other_spent))
        of_draw.append(np.full(difference.size, share[name] / whole / difference.size))
    differences = np.concatenate([difference for difference, _, _ in found])
    low, middle, high = (Risk("quantile", level).of(differences, np.concatenate(of_draw)) for level in (0.05, 0.5, 0.95))
    return {
        "probability": probability,
        "difference": float(middle),
        "q05": float(low),
        "q95": float(high),
        law.shares: found[0][1],
        f"other_{law.shares}": found[0][2],
    }


def _judged(
    fit: Fit, plan: Mapping[str, float], cost: Cost | None, given: Mapping[str, Any] | None, *, alone: bool
) -> tuple[np.ndarray, float]:
    """Return the output of a plan under each draw, and what it spends; one of several laws is told only what it takes."""
    if fit.law.sharing is not None:
        if cost not in (None, Cost()):
            raise InputError(f"law '{fit.law.name}' says itself what is spent: costs go with laws of params and tokens")
        return judged(fit, plan, given)
    further = {name: value for name, value in plan.items() if name not in ("params", "tokens") and (alone or name in fit.law.input_names)}
    problem = optimum.problem_of(fit.law, cost, None, {**(given or {}), **further})
    for name in ("params", "tokens"):
        if name not in plan or not (np.isfinite(plan[name]) and plan[name] >= 1):
            has = f"{plan[name]:g}" if name in plan else "none"
            raise InputError(f"a plan needs {name} of at least 1 (write params=70e9,tokens=1.4e12); one has {has}")
    size, tokens, (option,) = plan["params"], plan["tokens"], problem.options
    return optimum.outcome(fit.law, fit.parameters(), size, tokens, option), float(problem.compute(size, tokens, option))


def regret(
    fit: Fit,
    compute: float | str,
    *,
    params: np.ndarray | None = None,
    cost: Cost | None = None,
    limits: Limits | None = None,
    given: Mapping[str, Any] | None = None,
) -> xarray.Dataset:
    """Regret of choosing each of many model sizes at one budget.

    Parameters
    ----------
    compute : budget in FLOP, or as text
    params : sizes to compare, shape (size,); by default a range about the decision
    cost, limits, given : as in `allocate`

    Returns
    -------
    Dataset with coordinate ``params`` (dim size): ``regret_loss`` of dims chain, draw, size (nat/token), ``expected_loss`` and
    ``tokens`` of dim size; attributes ``compute`` and ``decision_params``
    """
    import xarray

    problem = optimum.problem_of(fit.law, cost, limits, given)
    compute = amount(compute, "compute")
    optimum.require_compute(problem, compute)
    draws = fit.parameters()
    best = optimum.best_plan(problem, draws, compute)
    decision, _, number = optimum.best_decision(problem, draws, compute)
    option = problem.options[number]
    if params is None:
        least, _, most = (float(part) for part in problem.range(compute, option))
        low, high = np.quantile(best.params, [0.01, 0.99])
        span = np.geomspace(max(min(low, decision) / 3, least), min(max(high, decision) * 3, most / 2), 121)
        params = np.array([size for size in problem.limits.sizes if least <= size <= most]) if problem.limits.sizes else span
    params = np.asarray(params, dtype=float)
    tokens = problem.tokens(params, compute, option)
    if not np.all(tokens >= 1):
        raise InputError(f"params = {params[tokens < 1][0]:.4g} leaves less than one training token at {compute:.3g} FLOP")
    wide = {name: values[..., None] for name, values in draws.items()}
    loss = optimum.outcome(fit.law, wide, params, tokens, option)
    return xarray.Dataset(
        {
            "regret_loss": (("chain", "draw", "size"), np.maximum(loss - best.outcome[..., None], 0.0)),
            "expected_loss": ("size", loss.mean(axis=(0, 1))),
            "tokens": ("size", tokens),
        },
        {"params": ("size", params)},
        attributes(fit, problem, compute=float(compute), decision_params=decision),
    )
