"""Whether a posterior can be trusted: convergence, identification, and agreement of the runs with the law.

A Diagnosis is ``ok`` only if nothing serious was found; each problem says what it is and what to do about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bayes_scaling.engine import NEARBY, Draws, convergence
from bayes_scaling.engine.ensemble import MOST_RHAT
from bayes_scaling.errors import counted, lines_text, listed, option_text
from bayes_scaling.identification import Problem, data_problems, measured_inputs, most_draws, ridge_problems, thinned
from bayes_scaling.law import Law
from bayes_scaling.model import Settings
from bayes_scaling.noise import Noise, noise_names
from bayes_scaling.parabola import parabola_problems
from bayes_scaling.pointwise import BELOW, CURVE, pointwise
from bayes_scaling.priors import prior_quantiles
from bayes_scaling.quantities import coordinate, quantity
from bayes_scaling.runs import Runs
from bayes_scaling.unused import unused_problems

UNIDENTIFIED = 0.7  # posterior width over prior width (in unconstrained coordinates) above which the prior speaks, not the data
UNEXPLAINED = 0.5  # share of the spread of ln loss that the law must explain
MIN_REPEATS = 4  # runs beyond the first of their cell, from which on the scatter of repeated runs is worth comparing with
SURPRISING = 0.01  # two-sided posterior predictive probability below which a run disagrees with the law
IMPOSSIBLE = 1e-6  # such a probability, times the number of runs, below which the noise family is refuted


#: Kinds of problems, causes before what follows: runs that cannot tell parameters apart leave a prior's width, and that slows chains.
_ORDER = (
    "dependent", "constant output", "constant input", "collinear inputs", "few runs", "rising", "outliers", "unexplained", "unused column",
    "misfit", "ridge", "unidentified", "parabola", "modes", "divergences", "ebfmi", "rhat", "ess",
)  # fmt: skip
_OF_THE_RUNS = ("constant output", "constant input", "collinear inputs", "few runs")
_FOLLOWS = "This may follow from what the runs lack (above): mend that first"
_OF_THE_SAMPLER = ("rhat", "ess", "divergences", "ebfmi", "modes")


@dataclass(frozen=True)
class SurprisingRun:
    """A run that the law and its noise hardly explain: line in the data, measured and expected output, two-sided tail probability."""

    line: int
    measured: float
    expected: float
    probability: float


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Attributes
    ----------
    ok : whether the posterior can be trusted
    problems : everything found, serious first, and of those the one that explains the others
    max_rhat, min_ess_bulk, min_ess_tail, divergences, ebfmi : convergence over all sampled coordinates (no E-BFMI of draws by importance)
    starts, arrived : optimiser starts, and how many ended at the best mode
    width : posterior width over prior width by sampled parameter (1: the data say nothing; absent: the prior has no draws)
    explained : share of the spread of the output that the law explains (None: the spread is what it describes, see `_explained`)
    surprising : runs with a posterior predictive tail probability below SURPRISING, most surprising first
    pareto_k : of the importance weights, of draws by importance
    walker_rhat : the largest R-hat over walkers, of draws by an ensemble of them
    """

    ok: bool
    problems: tuple[Problem, ...]
    max_rhat: float
    min_ess_bulk: float
    min_ess_tail: float
    divergences: int
    ebfmi: float | None
    starts: int
    arrived: int
    width: Mapping[str, float]
    explained: float | None
    surprising: tuple[SurprisingRun, ...]
    pareto_k: float | None = None
    walker_rhat: float | None = None

    @property
    def evidence(self) -> str:
        """What speaks for the draws besides R-hat and effective draws, in words."""
        if self.pareto_k is not None:
            return f"Pareto k {self.pareto_k:.2f}"
        if self.walker_rhat is not None:
            return f"R-hat over walkers {self.walker_rhat:.3f}"
        return f"{self.divergences} divergences, E-BFMI {self.ebfmi:.2f}"

    @property
    def of_sampling(self) -> tuple[Problem, ...]:
        """Serious problems of the draws, not of what the runs say."""
        return tuple(problem for problem in self.problems if problem.serious and problem.kind in _OF_THE_SAMPLER)

    @property
    def converged(self) -> bool:
        """Whether the draws are of the posterior, whatever the runs say about its parameters."""
        return not self.of_sampling

    @property
    def min_ess(self) -> float:
        return float(np.minimum(self.min_ess_bulk, self.min_ess_tail))

    def of_group(self, group: str) -> Diagnosis:
        """Return what concerns one group: the sampler's problems, and its own."""
        problems = tuple(replace(problem, group="") for problem in self.problems if problem.group in ("", group))
        width = {
            name.removesuffix(f"[{group}]"): value for name, value in self.width.items() if name.endswith(f"[{group}]") or "[" not in name
        }
        return replace(self, problems=problems, width=width, ok=not any(problem.serious for problem in problems))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Diagnosis:
        problems = tuple(Problem(**item) for item in values["problems"])
        surprising = tuple(SurprisingRun(**item) for item in values["surprising"])
        return Diagnosis(**{**values, "problems": problems, "surprising": surprising})


def diagnose(
    law: Law,
    noise: Noise,
    priors: Mapping[str, Any],
    runs: Runs,
    parameters: Mapping[str, np.ndarray],
    draws: Draws,
    groups: tuple[str, ...] = (),
    settings: Settings | None = None,
    further: Sequence[Problem] = (),
) -> Diagnosis:
    """Examine draws.

    Parameters
    ----------
    priors : distribution, or number where fixed, by sampled parameter
    parameters : draws of all parameters, (chain, draw) or (chain, draw, group)
    groups : labels, where groups have parameters of their own
    settings : what the user changed: that a prior of their own decides is then their word, not a defect
    further : problems that are known already
    """
    settings = settings or Settings()
    found = draws.convergence
    diverging = int(draws.stats["diverging"].sum())
    information = draws.ebfmi
    width, moved = _width(priors, draws, groups)
    curve = _median_curve(law, noise, runs, parameters, groups)
    explained = _explained(law, noise, runs, curve)
    problems = [
        *further,
        *_convergence_problems(found, diverging, information, draws),
        *_mode_problems(draws),
        *_width_problems(law, noise, frozenset(settings.priors), {name: ratio for name, ratio in width.items() if name not in moved}),
    ]
    problems += dependence_problems(runs) + data_problems(law, priors, runs, settings)
    problems += ridge_problems(law, noise, runs, parameters, groups)
    problems += [] if groups else parabola_problems(law, noise, runs, parameters)
    for label in groups or ("",):
        part = runs.of_group(label) if label else runs
        inside = curve[runs.group == label] if label else curve
        own = _misfit_problems(law, part, inside, _explained(law, noise, part, inside))
        own += _repeat_problems(law, part, inside) + unused_problems(law, part, inside)
        problems += [replace(problem, group=label) for problem in own]
    surprising = surprising_runs(law, noise, runs, parameters, groups, curve)
    problems += _noise_problems(law, noise, len(runs), surprising)
    problems.sort(key=lambda problem: (not problem.serious, _ORDER.index(problem.kind)))
    if any(problem.serious and problem.kind in _OF_THE_RUNS for problem in problems):  # which no longer run mends
        problems = [replace(problem, remedy=_FOLLOWS) if problem.kind in _OF_THE_SAMPLER else problem for problem in problems]
    return Diagnosis(
        ok=not any(problem.serious for problem in problems),
        problems=tuple(problems),
        max_rhat=float(np.max(found["rhat"])),
        min_ess_bulk=float(np.min(found["ess_bulk"])),
        min_ess_tail=float(np.min(found["ess_tail"])),
        divergences=diverging,
        ebfmi=information,
        starts=draws.modes.starts,
        arrived=int(draws.modes.arrivals[0]),
        width=width,
        explained=explained,
        surprising=tuple(surprising),
        pareto_k=draws.pareto_k,
        walker_rhat=draws.walker_rhat,
    )


def dependence_problems(runs: Runs) -> list[Problem]:
    """Return that rows depend on each other, where they look so and nothing has been said."""
    if not runs.curves:
        return []
    return [
        Problem(
            "dependent",
            True,
            f"{len(runs)} rows look like points of training curves (column '{runs.curves}'), which depend on each other, and are taken as "
            "runs that do not: intervals are far too narrow",
            f"Say {option_text(curve={runs.curves: 'last'})}, best or all; or give the table without that column, if they are runs",
        )
    ]


def _convergence_problems(found: Mapping[str, np.ndarray], diverging: int, information: float | None, draws: Draws) -> list[Problem]:
    problems = []
    known = f"tighter priors ({option_text(prior=None)}), fixed values ({option_text(fix=None)})"
    longer = f"Run longer ({option_text(warmup=3000, draws=4000)}), add runs, or say what is known: {known}"
    rhat = float(np.max(found["rhat"]))
    ess = float(np.minimum(found["ess_bulk"].min(), found["ess_tail"].min()))
    if not rhat < convergence.MAX_RHAT:
        problems.append(Problem("rhat", True, f"chains disagree: R-hat {rhat:.3f} is not below {convergence.MAX_RHAT}", longer))
    if not ess > convergence.MIN_ESS:
        problems.append(
            Problem("ess", True, f"too few effective draws: {ess:.0f}, where {convergence.MIN_ESS} are needed for stable intervals", longer)
        )
    if draws.walker_rhat is not None and not draws.walker_rhat < MOST_RHAT:
        told = f"walkers disagree: R-hat {draws.walker_rhat:.3f} over walkers is not below {MOST_RHAT}"
        problems.append(
            Problem("rhat", True, told, f"Fit again by another method ({option_text(method='nuts')}, which may take minutes), or add runs")
        )
    if diverging:
        total = draws.stats["diverging"].size
        problems.append(
            Problem("divergences", True, f"{diverging} of {total} transitions diverged: a part of the posterior may be missing", longer)
        )
    if information is not None and not information >= convergence.MIN_EBFMI:
        problems.append(Problem("ebfmi", True, f"energy is explored slowly: E-BFMI {information:.2f} < {convergence.MIN_EBFMI}", longer))
    return problems


def _mode_problems(draws: Draws) -> list[Problem]:
    modes = draws.modes
    others = [i for i in range(1, len(modes.potentials)) if modes.potentials[i] < modes.potentials[0] + NEARBY]
    if not others:
        return []
    gap = modes.potentials[others[0]] - modes.potentials[0]
    arrivals = int(modes.arrivals[others].sum())
    chains = len(draws.unconstrained)
    if draws.pareto_k is not None:
        covered, how = True, "The proposal began at each, and Pareto k tells whether it covers them"
    elif draws.walker_rhat is not None:
        covered, how = True, "Walkers move between them, and their R-hat tells whether they agree"
    else:
        covered, how = len(others) < chains, "A chain was started at each, and R-hat tells whether they mixed"
    return [
        Problem(
            "modes",
            not covered,
            f"{arrivals} of {modes.starts} optimiser starts ended at {counted(len(others), 'other mode')}, "
            f"from {gap:.1f} nats below the best",
            how if covered else f"There are more modes than chains: run at least {len(others) + 1} ({option_text(chains=None)})",
        )
    ]


def _width(priors: Mapping[str, Any], draws: Draws, groups: tuple[str, ...]) -> tuple[dict[str, float], set[str]]:
    """Return posterior over prior interquartile range by scalar parameter (a group's as ``alpha[label]``), and which have moved.

    A parameter has moved if its posterior median lies outside the prior's central 90 %: then the data have spoken, however wide it is.

    The smaller of the ratios in the parameter's own coordinate and in the unconstrained one: a floor that is known to be below 0.1 nat is
    as wide as any prior in ln E, and one that is known to a factor of two as wide as any in E.
    """
    import jax
    from numpyro.distributions import biject_to

    width: dict[str, float] = {}
    moved: set[str] = set()
    for name, prior in priors.items():
        values = draws.sites.get(name)
        if values is None or not hasattr(prior, "log_prob"):  # fixed
            continue
        before = prior_quantiles(prior, (0.05, 0.25, 0.75, 0.95))
        if before is None:  # improper: no width to compare with
            continue
        after = np.quantile(np.reshape(values, (values.shape[0] * values.shape[1], -1)), (0.25, 0.5, 0.75), axis=0)
        labels = [name] if values.ndim == 2 else [f"{name}[{label}]" for label in groups]
        to_line = biject_to(prior.support).inv  # it keeps the order, and so quantiles
        for label, (low, middle, high) in zip(labels, after.T, strict=False):
            ends = np.array([low, high, before[1], before[2]])
            with jax.enable_x64(True):
                both = (ends, np.asarray(to_line(ends)))
            ratios = [(x[1] - x[0]) / (x[3] - x[2]) if x[3] > x[2] else np.inf for x in both]
            width[label] = float(min(ratios))
            if not before[0] <= middle <= before[3]:
                moved.add(label)
    return width, moved


def _width_problems(law: Law, noise: Noise, chosen: frozenset[str], width: Mapping[str, float]) -> list[Problem]:
    problems = []
    departures = {item.name for item in law.parameters if item.departure}
    for name, ratio in width.items():
        if ratio < UNIDENTIFIED:
            continue
        base, _, label = name.rstrip("]").partition("[")
        if base in law.latent_names:
            continue
        if base in chosen:
            remedy = "That is the prior that was asked for, and it decides"
        elif base in noise.parameter_names:
            remedy = "That matters little: it describes the scatter"
        elif base in departures:
            remedy = "That is as it should be where runs do not depart from the law's form: forecasts allow for it"
        else:
            set_one = f"set a prior that you can defend ({option_text(prior=None)})"
            remedy = f"What follows for {base} is the prior's word: add runs that inform it, or {set_one}"
        text = f"the data hardly say anything about {base}: its posterior is {ratio:.2f} times as wide as its prior"
        problems.append(Problem("unidentified", base not in {*chosen, *noise.parameter_names, *departures}, text, remedy, label))
    return problems


def _median_curve(law: Law, noise: Noise, runs: Runs, parameters: Mapping[str, np.ndarray], groups: tuple[str, ...]) -> np.ndarray:
    """Return the pointwise posterior median of the curve at the runs, from some of the draws."""
    return np.median(pointwise(CURVE, law, noise, runs, thinned(parameters, most_draws(runs)), groups), axis=0)


def _explained(law: Law, noise: Noise, runs: Runs, curve: np.ndarray) -> float | None:
    """Return the share of the spread of the output that the curve explains, robustly (by median absolute deviations).

    None where no input was varied, or the noise says so: then the spread is itself what the law describes.
    """
    if noise.spread or not measured_inputs(law, runs):
        return None
    logs = coordinate(law.output, runs[law.output])
    residual = logs - coordinate(law.output, curve)
    spread = np.median(np.abs(logs - np.median(logs)))
    return float(1 - (np.median(np.abs(residual)) / spread) ** 2) if spread > 0 else 0.0


def _misfit_problems(law: Law, runs: Runs, curve: np.ndarray, explained: float | None) -> list[Problem]:
    """Return what runs do that the law cannot: a rise along inputs that it falls with, and spread that it leaves.

    A slope of the output alone is no rise: inputs that grow together, and terms that are no straight lines, give the law's own curve one.
    What the curve leaves must rise as well.
    """
    problems = []
    scale = f"ln {law.output}" if quantity(law.output).on_log_scale else law.output
    positions = {name: coordinate(name, runs[name]) for name in law.decreasing_in}
    names = [name for name, values in positions.items() if np.ptp(values) > np.log(1.1)]
    design = np.stack([np.ones(len(runs)), *(positions[name] for name in names)], axis=1)
    if names and len(runs) > design.shape[1] and np.linalg.matrix_rank(design, tol=1e-6) == design.shape[1]:
        target = coordinate(law.output, runs[law.output])
        slopes, errors = _slopes(design, target)
        left, left_errors = _slopes(design, target - coordinate(law.output, curve))
        for name, slope, error, beyond in zip(names, slopes[1:], errors[1:], (left > 3 * left_errors)[1:], strict=True):
            if slope > 3 * error and beyond:
                problems.append(
                    Problem(
                        "rising",
                        True,
                        f"{law.output} rises with {name} ({scale} by {slope:.3g} +- {error:.2g} a unit of ln {name}), "
                        "which the law cannot do",
                        "Check the columns, and whether the large runs were trained to the end and tuned; another law may be needed",
                    )
                )
    if explained is not None and explained < UNEXPLAINED:
        problems.append(
            Problem(
                "unexplained",
                True,
                f"the law explains {max(explained, 0):.0%} of the spread of {scale}",
                "Look at the residuals: another law, more inputs or cleaner runs are needed",
            )
        )
    return problems


def _slopes(design: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return least-squares coefficients of the columns of a design, shape (run, column), and their standard errors."""
    slopes = np.linalg.lstsq(design, target, rcond=None)[0]
    residual = target - design @ slopes
    variance = residual @ residual / (len(target) - design.shape[1])
    return slopes, np.sqrt(variance * np.diagonal(np.linalg.inv(design.T @ design)))


def _repeat_problems(law: Law, runs: Runs, curve: np.ndarray) -> list[Problem]:
    """Compare the scatter about the law with the scatter of runs that repeat each other's inputs: pure chance against chance and misfit."""
    inputs = np.stack([runs[name] for name in law.input_names], axis=1)
    _, cell, count = np.unique(inputs, axis=0, return_inverse=True, return_counts=True)
    cell = cell.reshape(-1)
    degrees = int(len(runs) - len(count))
    if degrees < MIN_REPEATS:
        return []
    logs = coordinate(law.output, runs[law.output])
    means = np.bincount(cell, logs) / count
    chance = float(np.sqrt(np.sum((logs - means[cell]) ** 2) / degrees))
    about = float(1.4826 * np.median(np.abs(logs - coordinate(law.output, curve))))
    if not 0 < 2 * chance < about:
        return []
    return [
        Problem(
            "misfit",
            False,
            f"runs scatter about the law by {about:.2%}, but about each other, where inputs are repeated, by {chance:.2%}: "
            "most of the scatter is the law's misfit, not chance",
            "Misfit repeats from run to run, so intervals far from the data may be too narrow: look at the residuals, or try another law",
        )
    ]


def _noise_problems(law: Law, noise: Noise, count: int, surprising: list[SurprisingRun]) -> list[Problem]:
    """Return that runs are where the noise family puts none: then they, few as they may be, decide where the law goes."""
    found = [run for run in surprising if run.probability * count < IMPOSSIBLE]
    if not found or noise.of_counts or noise.spread:  # a count has no one probability of being as far out
        return []
    first, lines = found[0], listed([str(run.line) for run in found])
    heavy = [name for name in noise_names(law.output) if name.endswith("student-t") and not noise.within]
    them = "it" if len(found) == 1 else "them"
    other = f"let runs lie far out ({option_text(noise=heavy[-1])}), or " if heavy else ""
    return [
        Problem(
            "outliers",
            True,
            f"{noise.name} noise puts no run, with a probability above {IMPOSSIBLE:g}, where {len(found)} of {count} "
            f"{'is' if len(found) == 1 else 'are'} ({lines_text(len(found), lines)}; line {first.line} measured {first.measured:.4g}, "
            f"expected {first.expected:.4g}): {'it' if len(found) == 1 else 'they'} may have bent the law",
            f"Look at {them} and, if nothing is wrong with {them}, {other}leave {them} out and say so",
        )
    ]


def surprising_runs(
    law: Law, noise: Noise, runs: Runs, parameters: Mapping[str, np.ndarray], groups: tuple[str, ...], curve: np.ndarray
) -> list[SurprisingRun]:
    """Return runs whose two-sided posterior predictive tail probability is below SURPRISING, most surprising first."""
    probability = tail_probability(law, noise, runs, parameters, groups)
    order = [row for row in np.argsort(probability, kind="stable") if probability[row] < SURPRISING]
    return [SurprisingRun(int(runs.lines[row]), float(runs[law.output][row]), float(curve[row]), float(probability[row])) for row in order]


def tail_probability(law: Law, noise: Noise, runs: Runs, parameters: Mapping[str, np.ndarray], groups: tuple[str, ...] = ()) -> np.ndarray:
    """Return for each run the posterior probability of a new measurement at least as far out on its side, doubled; shape (run,).

    The run itself is part of the fit, so probabilities are a little too mild.
    """
    thin = thinned(parameters, min(200, most_draws(runs)))
    below = pointwise(BELOW, law, noise, runs, thin, groups).mean(axis=0)
    return 2 * np.minimum(below, 1 - below)
