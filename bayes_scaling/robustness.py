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
from bayes_scaling.limits import Limits
from bayes_scaling.noise import get_noise, noise_names, noise_of
from bayes_scaling.progress import follow
from bayes_scaling.refitting import chosen_priors, of_noise
from bayes_scaling.runs import Runs
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
    params : median, q05 and q95 of the best size
    decision_params, decision_tokens, expected_loss : the decision
    moved : its size over that of the fit as it is
    regret_compute : share of the compute that the original decision is expected to waste if the changed assumptions are right
    trustworthy : whether the refit can be trusted
    """

    kind: str
    name: str
    runs: int
    params: Mapping[str, float]
    decision_params: float
    decision_tokens: float
    expected_loss: float
    moved: float
    regret_compute: float
    trustworthy: bool


def robustness(
    fit: Fit,
    compute: float,
    *,
    laws: Sequence[str | Law] = (),
    cost: Cost | None = None,
    limits: Limits | None = None,
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
    compute : budget in FLOP
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
    problem = optimum.problem_of(fit.law, cost, limits, given)
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"cannot change '{kind}'{nearest(kind, KINDS)}")
    others = [get_law(named) for named in laws] if "law" in kinds else []
    for law in others:  # before anything is fitted
        if law.output != fit.law.output:
            raise InputError(f"law '{law.name}' predicts {law.output}, not {fit.law.output}")
        optimum.problem_of(law, cost, limits, _taken(law, given))
        usable_runs(law, noise_of(law, None, fit.runs.columns), fit.runs).model_columns(law.input_names)
    settings: dict[str, Any] = {"fix": dict(fit.fixed), "priors": chosen_priors(fit), "draws": draws, "seed": seed}
    base = allocate(fit, compute, cost=cost, limits=limits, given=given)
    size = float(base["decision_params"][0])
    say = progress or (lambda _: None)
    rows = [_row("as fitted", f"{fit.law.name}, {fit.noise.name}", fit, base, size)]

    def add(kind: str, name: str, other: Fit) -> None:
        plan = allocate(other, compute, cost=cost, limits=limits, given=_taken(other.law, given))
        held = allocate(other, compute, cost=cost, limits=limits, given=_options(problem, base, other.law), params=size)
        rows.append(_row(kind, name, other, plan, size, float(held["expected_regret_compute"][0]) / compute))

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
    parts = {name: part for name, part in _without(fit).items() if len(part) >= _FEWEST and "rows" in kinds}
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


def _row(kind: str, name: str, fit: Fit, plan: Any, size: float, regret: float | None = None) -> Change:
    low, middle, high = np.quantile(np.asarray(plan["params"]), [0.05, 0.5, 0.95])
    decided = float(plan["decision_params"][0])
    wasted = float(plan["expected_regret_compute"][0] / plan["budget"][0]) if regret is None else regret
    spread = {"median": float(middle), "q05": float(low), "q95": float(high)}
    tokens, loss = float(plan["decision_tokens"][0]), float(plan["expected_loss"][0])
    return Change(kind, name, len(fit.runs), spread, decided, tokens, loss, decided / size, wasted, bool(fit.diagnosis.ok))


def _taken(law: Law, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the given values that a law takes."""
    return {name: value for name, value in (given or {}).items() if name in law.input_names}


def _options(problem: optimum.Problem, base: Any, law: Law) -> dict[str, Any]:
    """Return what the original decision chose of the further inputs, where a law takes them."""
    return _taken(law, {name: float(base[f"decision_{name}"][0]) for name in problem.options[0]})


def _scaled_priors(fit: Fit, factor: float) -> dict[str, Any]:
    """Return the law's normal and log-normal priors with another scale; others have none that is theirs alone."""
    from numpyro.distributions import LogNormal, Normal

    priors = {**{item.name: item.prior for item in fit.law.parameters if not item.latent}, **chosen_priors(fit)}
    kept = {name: prior for name, prior in priors.items() if name in fit.law.parameter_names and name not in fit.fixed}
    return {name: type(prior)(prior.loc, factor * prior.scale) for name, prior in kept.items() if type(prior) in (LogNormal, Normal)}


def _without(fit: Fit) -> dict[str, Runs]:
    """Return the runs without parts of them: the cheapest and dearest fifth, each of five alike, and the surprising ones."""
    runs = fit.runs
    order = np.argsort(runs["params"] * runs["tokens"], kind="stable")
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
