"""How a plan moves when what was assumed changes: noise family, priors, rows, law. Each change is a refit, and a row of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_scaling import optimum
from bayes_scaling.allocation import allocate
from bayes_scaling.cost import Cost
from bayes_scaling.errors import InputError, nearest
from bayes_scaling.fitted import Fit
from bayes_scaling.fitting import fit as fit_once
from bayes_scaling.fitting import fit_many
from bayes_scaling.law import Law, get_law
from bayes_scaling.limits import Bounds, Limits
from bayes_scaling.noise import get_noise, noise_names, noise_of
from bayes_scaling.progress import follow
from bayes_scaling.refitting import chosen_priors, of_noise
from bayes_scaling.runs import Runs
from bayes_scaling.sharing import require_budget, shared_of
from bayes_scaling.suiting import usable_runs

KINDS = ("noise", "prior", "rows", "law")
_PARTS = 5  # of the runs, each left out once
_FEWEST = 8  # runs that a refit needs to be worth a row


@dataclass(frozen=True)
class Change:
    """A row of the table: what was changed, and the plan that follows.

    Attributes
    ----------
    kind, name : what was changed (``as fitted``, ``noise``, ``prior``, ``rows``, ``law``) and how
    runs : number of runs that were fitted
    best : median, q05 and q95 of what a plan chooses (params; the first of the inputs that share a budget)
    decision : the decision, by input
    expected : output that is expected of it
    moved : what the decision chooses over that of the fit as it is
    wasted : share of the budget that the original decision is expected to waste if the changed assumptions are right
    trustworthy : whether the refit can be trusted
    """

    kind: str
    name: str
    runs: int
    best: Mapping[str, float]
    decision: Mapping[str, float]
    expected: float
    moved: float
    wasted: float
    trustworthy: bool


def robustness(
    fit: Fit,
    compute: float,
    *,
    laws: Sequence[str | Law] = (),
    cost: Cost | None = None,
    limits: Limits | Bounds | None = None,
    given: Mapping[str, Any] | None = None,
    kinds: Sequence[str] = KINDS,
    draws: int = 500,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> list[Change]:
    """Return the plan at a budget under other noise families, wider and narrower priors, without parts of the runs, and under other laws.

    Parameters
    ----------
    fit : with its noise, priors and fixed values the start; every other row changes one thing
    compute : budget in FLOP; under a law whose inputs share a budget, in its unit
    laws : further laws that predict the same output from the columns of the runs
    cost, limits, given : as in `allocate`
    kinds : which of noise, prior, rows and law to change
    draws : kept draws a chain of each refit
    progress : called with what is refitted

    Raises
    ------
    InputError
        If there is no plan at this budget, or a law cannot be fitted to the runs.
    """
    _require_plan(fit.law, compute, cost, limits, given)
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"cannot change '{kind}'{nearest(kind, KINDS)}")
    others = [get_law(named) for named in laws] if "law" in kinds else []
    for law in others:  # before anything is fitted
        if law.output != fit.law.output:
            raise InputError(f"law '{law.name}' predicts {law.output}, not {fit.law.output}")
        if _inputs(law) != _inputs(fit.law):
            raise InputError(f"law '{law.name}' has no plan of {' and '.join(_inputs(fit.law))}, as '{fit.law.name}' has")
        _require_plan(law, compute, cost, limits, _taken(law, given))
        usable_runs(law, noise_of(law, None, fit.runs.columns), fit.runs).model_columns(law.input_names)
    settings: dict[str, Any] = {"fix": dict(fit.fixed), "priors": chosen_priors(fit), "draws": draws, "seed": seed}
    base = allocate(fit, compute, cost=cost, limits=limits, given=given)
    (first, _), further = _inputs(fit.law), [name for name in base.attrs["further"].split(",") if name]
    size, decided = (float(base[f"decision_{first}"][0]), {name: float(base[f"decision_{name}"][0]) for name in further})
    say = progress or (lambda _: None)
    rows = [_row("as fitted", f"{fit.law.name}, {fit.noise.name}", fit, base, size)]

    def add(kind: str, name: str, other: Fit) -> None:
        plan = allocate(other, compute, cost=cost, limits=limits, given=_taken(other.law, given))
        options = _taken(other.law, decided)
        if other.law.sharing is None:
            held = allocate(other, compute, cost=cost, limits=limits, given=options, params=size)
        else:
            held = allocate(other, compute, cost=cost, limits=limits, given={**options, first: size})
        rows.append(_row(kind, name, other, plan, size, _wasted(held)))

    for family in noise_names(fit.law.output) if "noise" in kinds else ():
        noise = get_noise(family, fit.law.output)
        if family != fit.noise.name and not noise.of_counts and noise.takes(fit.runs.columns):
            say(f"noise {family}")
            add("noise", family, fit_once(fit.law, fit.runs, **{**settings, **of_noise(fit, noise, settings)}))
    for name, factor in (("twice as wide", 2.0), ("half as wide", 0.5)) if "prior" in kinds else ():
        scaled = _scaled_priors(fit, factor)
        if scaled:
            say(f"priors {name}")
            add("prior", name, fit_once(fit.law, fit.runs, noise=fit.noise, **{**settings, "priors": {**settings["priors"], **scaled}}))
    parts = {name: part for name, part in _without(fit, given).items() if len(part) >= _FEWEST and "rows" in kinds}
    if parts:
        say(f"{len(parts)} refits without parts of the runs")
        again = fit_many(fit.law, list(parts.values()), noise=fit.noise, **settings)
        found = dict(follow(again, "refits without parts of the runs", len(parts)))
        for place, name in enumerate(parts):
            add("rows", name, found[place])
    for law in others:
        say(f"law {law.name}")
        add("law", law.name, fit_once(law, fit.runs, draws=draws, seed=seed))
    return rows


def _inputs(law: Law) -> tuple[str, str]:
    """Return what a plan is of: the input that it chooses, and the one that gets what is left."""
    return ("params", "tokens") if law.sharing is None else law.sharing.inputs


def _require_plan(law: Law, budget: float, cost: Cost | None, limits: Limits | Bounds | None, given: Mapping[str, Any] | None) -> None:
    if law.sharing is None:
        optimum.require_compute(optimum.problem_of(law, cost, limits, given), budget)
    else:
        require_budget(shared_of(law, given, limits, cost), budget)


def _wasted(plan: Any) -> float:
    """Return the share of the budget that the decision is expected to waste."""
    return float(plan[f"expected_regret_{plan.attrs['shares']}"][0] / plan["budget"][0])


def _row(kind: str, name: str, fit: Fit, plan: Any, size: float, wasted: float | None = None) -> Change:
    first, second = _inputs(fit.law)
    low, middle, high = np.quantile(np.asarray(plan[first]), [0.05, 0.5, 0.95])
    decision = {name: float(plan[f"decision_{name}"][0]) for name in (first, second)}
    return Change(
        kind,
        name,
        runs=len(fit.runs),
        best={"median": float(middle), "q05": float(low), "q95": float(high)},
        decision=decision,
        expected=float(plan[f"expected_{plan.attrs['answer']}"][0]),
        moved=decision[first] / size,
        wasted=_wasted(plan) if wasted is None else wasted,
        trustworthy=bool(fit.diagnosis.ok),
    )


def _taken(law: Law, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the given values that a law takes."""
    prices = () if law.sharing is None else (item.name for item in law.sharing.given)
    return {name: value for name, value in (given or {}).items() if name in {*law.input_names, *prices}}


def _scaled_priors(fit: Fit, factor: float) -> dict[str, Any]:
    """Return the law's normal and log-normal priors with another scale; others have none that is theirs alone."""
    from numpyro.distributions import LogNormal, Normal

    priors = {**{item.name: item.prior for item in fit.law.parameters if not item.latent}, **chosen_priors(fit)}
    kept = {name: prior for name, prior in priors.items() if name in fit.law.parameter_names and name not in fit.fixed}
    return {name: type(prior)(prior.loc, factor * prior.scale) for name, prior in kept.items() if type(prior) in (LogNormal, Normal)}


def _without(fit: Fit, given: Mapping[str, Any] | None = None) -> dict[str, Runs]:
    """Return the runs without parts of them: the cheapest and dearest fifth, each of five alike, and the surprising ones."""
    runs = fit.runs
    if fit.law.sharing is None:
        cost = runs["params"] * runs["tokens"]
    else:
        shared = shared_of(fit.law, given)
        cost = shared.spent({**shared.options[0], **{name: runs[name] for name in fit.law.input_names}})
    order = np.argsort(cost, kind="stable")
    fifth = len(runs) // _PARTS
    left_out = {
        f"without the dearest {fifth}": order[len(runs) - fifth :],
        f"without the cheapest {fifth}": order[:fifth],
        **{f"without part {part + 1} of {_PARTS}": order[part::_PARTS] for part in range(_PARTS)},
    }
    lines = [run.line for run in fit.diagnosis.surprising]
    if lines:
        left_out[f"without the {len(lines)} surprising"] = np.flatnonzero(np.isin(runs.lines, lines))
    return {name: runs.subset(np.setdiff1d(np.arange(len(runs)), rows)) for name, rows in left_out.items() if len(rows)}
