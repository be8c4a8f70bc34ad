"""check(): everything that speaks for or against a fit beyond its own diagnosis, and the warnings that follow, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bayes_scaling.comparison import ALIKE
from bayes_scaling.criticism import OF_LEVELS, OUTLYING, Criticism, criticise
from bayes_scaling.errors import InputError, counted, lines_text
from bayes_scaling.fitted import Fit
from bayes_scaling.sensitivity import (
    Left,
    OtherNoise,
    Power,
    leave_budgets_out,
    leave_runs_out,
    looked_at,
    other_noises,
    power_scaling,
)

_NAMED = 3  # of a kind in the warnings
_OF_MISFIT = ("unused column", "misfit", "ridge", "parabola")  # kinds of problems that let a posterior be one of the law all the same


@dataclass(frozen=True, eq=False)
class Check:
    """What was examined about a fit.

    Attributes
    ----------
    power : power-scaling sensitivity, by what was looked at
    runs, budgets : what leaving each of them out changes
    noises : what other noise families would change
    criticism : posterior predictive checks
    quick : nothing was fitted again: large Pareto k stay, and budgets and noise families were not looked at
    """

    fit: Fit
    power: dict[str, Power]
    runs: list[Left]
    budgets: list[Left]
    noises: list[OtherNoise]
    criticism: Criticism
    quick: bool

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against the fit, in words."""
        found = [str(problem) for problem in self.fit.diagnosis.problems if problem.serious or problem.kind in _OF_MISFIT]
        for name, power in self.power.items():
            if power.verdict and name not in self.fit.noise.parameter_names:
                found.append(f"{name}: {power.verdict} (power-scaling {power.prior:.2f} by the priors, {power.likelihood:.2f} by the runs)")
        found += [_moves(item, "without") for item in self.runs if item.is_large][:_NAMED]
        unsure = [item.name for item in self.runs if not item.exact and item.pareto_k > 0.7]
        if unsure:
            found.append(
                f"how far {counted(len(unsure), 'run', 'moves', 'move')} things is not known (large Pareto k, not fitted again): "
                f"{', '.join(unsure[:_NAMED])}"
            )
        found += [_moves(item, "without the runs at") for item in self.budgets if item.is_large][:_NAMED]
        for item in self.noises:
            better = item.difference > max(ALIKE, 2 * item.difference_se)
            if better:
                found.append(f"{item.left.name} noise forecasts runs better, by {item.difference:.1f} +- {item.difference_se:.1f} nats")
            if item.left.is_large and item.difference > -ALIKE:
                found.append(_moves(item.left, "with", " noise, which forecasts about as well"))
        found += [str(pattern) for pattern in self.criticism.found]
        levels = self.criticism.levels
        if not levels.inside:
            chance = f"probability by chance {max(levels.probability, 0.0003):.1g}"
            found.append(f"levels of the runs are not uniform ({chance}): {OF_LEVELS[levels.shape]}")
        count, by_chance = len(self.criticism.unexplained), 0.01 * len(self.fit.runs)
        if count > 3 * by_chance + 1:
            lines = ", ".join(str(run.line) for run in self.criticism.unexplained[:8])
            lines = lines_text(count, f"{lines}{' ...' if count > 8 else ''}")
            found.append(f"{counted(count, 'run', 'is', 'are')} hardly explained ({lines}; by chance about {by_chance:.1f})")
        outlying = self.criticism.outlying
        if outlying:
            listed = ", ".join(map(str, outlying[:8])) + (" ..." if len(outlying) > 8 else "")
            them = "it" if len(outlying) == 1 else "them"
            found.append(
                f"{counted(len(outlying), 'run', 'lies', 'lie')} over {OUTLYING:g} times the scatter of most off the curve "
                f"({lines_text(len(outlying), listed)}): look at {them}; noise without heavy tails would follow {them}"
            )
        return tuple(found)

    def __str__(self) -> str:
        from bayes_scaling.trust_text import check_text

        return check_text(self)


def _moves(item: Left, how: str, after: str = "") -> str:
    name, shift = item.largest
    return f"{how} {item.name}{after}, {name} moves by {shift:+.1f} posterior standard deviations"


def check(fit: Fit, *, compute: float | None = None, quick: bool = False) -> Check:
    """Examine a fit: sensitivity to priors, noise, single runs and budgets; patterns in what the law leaves.

    Parameters
    ----------
    compute : budget at which the decision is looked at, in FLOP; ten times the largest run by default
    quick : fit nothing again, as is done for one group of a fit by group

    Raises
    ------
    InputError
        If the fit has groups (select one).
    """
    if fit.groups:
        raise InputError(f"the fit has groups, each with parameters of its own: select one of {', '.join(fit.groups)}")
    quick = quick or bool(fit.attributes["groups"])  # what is asked of one group rests on the others: alone it is another fit
    if compute is not None and not (math.isfinite(compute) and compute > 0):
        raise InputError(f"compute = {compute:g} FLOP must be positive and finite")
    values = looked_at(fit, compute)
    return Check(
        fit=fit,
        power=power_scaling(fit, values),
        runs=leave_runs_out(fit, compute, **({"refit": 0} if quick else {})),
        budgets=[] if quick else leave_budgets_out(fit, compute),
        noises=[] if quick else other_noises(fit, compute),
        criticism=criticise(fit),
        quick=quick,
    )
