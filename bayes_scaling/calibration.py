"""calibrate(): simulation-based calibration of a law, whether its posteriors hold the truth as often as they say.

Parameters are drawn from the priors, runs are simulated from them and fitted. Among the draws of its posterior, the truth then has a rank
that is uniform, for every parameter and everything that follows from them, if and only if the posterior is right (Talts et al. 2018;
Modrak et al. 2023 for the log likelihood as a quantity that sees what parameters do not).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.errors import InputError, option_text
from bayes_scaling.fitted import Fit
from bayes_scaling.fitting import fit_many
from bayes_scaling.law import Law, get_law
from bayes_scaling.model import Settings, at_runs, check_fixed, model_priors
from bayes_scaling.noise import Noise, noise_of
from bayes_scaling.progress import follow
from bayes_scaling.quantities import quantity
from bayes_scaling.runs import Runs
from bayes_scaling.trajectories import CURVE
from bayes_scaling.uniformity import Uniformity, uniformity

if TYPE_CHECKING:
    import xarray

RANKED = 99  # draws that the truth is ranked among: so many that ranks are a hundred
FEWEST = 20  # fits that converged, for ranks to say anything
DOUBT = 0.05
_TRIES = 100  # data sets simulated for each that is wanted, at most
_TRIALS = 1000.0


@dataclass(frozen=True, eq=False)
class Calibration:
    """Ranks of the truth among posterior draws.

    Attributes
    ----------
    law, noise : names
    ranks : Dataset of dim fit: the rank (0 to 99) of each quantity; ``converged``. Attribute ``refused``: simulated data sets set aside
        because they held impossible outputs, which their parameters do not bias (the posterior given the data is what it is)
    """

    law: str
    noise: str
    ranks: xarray.Dataset

    @cached_property
    def levels(self) -> dict[str, Uniformity]:
        """Of the ranks of each quantity, over fits that converged; none where these are too few."""
        kept = self.ranks["converged"].values
        if not self.enough:
            return {}
        return {str(name): uniformity((self.ranks[name].values[kept] + 0.5) / (RANKED + 1)) for name in self.ranks if name != "converged"}

    @property
    def converged(self) -> int:
        """Number of fits whose ranks count."""
        return int(self.ranks["converged"].sum())

    @property
    def enough(self) -> bool:
        """Whether so many fits converged that ranks say something."""
        return self.converged >= FEWEST

    @property
    def probability(self) -> float:
        """Of so large a departure in any quantity by chance (Bonferroni); nan where too few fits converged."""
        return float(min(1.0, len(self.levels) * min(item.probability for item in self.levels.values()))) if self.enough else np.nan

    @property
    def ok(self) -> bool:
        return self.probability > DOUBT

    def __str__(self) -> str:
        from bayes_scaling.trust_text import calibration_text

        return calibration_text(self)


def calibrate(
    law: str | Law,
    *,
    fits: int = 200,
    runs: int | Runs = 40,
    noise: str | Noise | None = None,
    input: str | None = None,
    fix: Mapping[str, float] | None = None,
    priors: Mapping[str, Any] | None = None,
    draws: int = 500,
    seed: int = 0,
    **options: Any,
) -> Calibration:
    """Check a law's posteriors by simulation from its priors.

    Parameters
    ----------
    law : name, file of a law of your own, or a Law
    fits : simulated data sets
    runs : how many in each, log-uniform over the law's domain, new in each data set; or runs at whose inputs to simulate
    draws : kept draws a chain
    options : further arguments of `bayes_scaling.fit_many`

    Raises
    ------
    InputError
        If the law has a model of its own, or its priors hardly ever give possible outputs.
    """
    import xarray

    named = get_law(law)
    chosen = named.with_input(input) if input is not None else named
    family = noise_of(chosen, noise, runs.columns if isinstance(runs, Runs) else ())
    if family.within and not isinstance(runs, Runs):
        raise InputError(
            f"{family.name} noise is of points of training curves: give some, at which to simulate, read with "
            f"{option_text(curve={'run': 'all'})}"
        )
    if chosen.model is not None:
        raise InputError(f"law '{chosen.name}' has a model of its own: what it would simulate is not known here")
    if fits < FEWEST:
        raise InputError(f"fits = {fits} are too few for ranks to say anything: at least {FEWEST}")
    fit_many(named, [], draws=draws, seed=seed, **options)  # what is wrong with the sampler's settings, before anything is simulated
    settings = Settings(dict(fix or {}), dict(priors or {}))
    check_fixed(chosen, family, settings.fixed)
    used = model_priors(chosen, family, settings)
    truths, data, refused = simulate_runs(chosen, family, used, fits, runs, seed)
    rng = np.random.default_rng(seed)
    axis = chosen.input_names[0] if named.alternatives else None
    found: dict[str, np.ndarray] = {}
    converged = np.zeros(fits, bool)
    arguments = {"noise": noise, "input": axis, "fix": fix, "priors": priors, "draws": draws, "seed": seed, **options}
    # Each data set draws with random numbers of its own, so that alike posteriors do not err alike.
    for place, fit in follow(fit_many(named, data, errors="return", **arguments), "simulated fits", len(data)):
        if not isinstance(fit, Fit):
            continue
        converged[place] = fit.diagnosis.converged
        for name, (own, others) in _quantities(fit, truths[place]).items():
            found.setdefault(name, np.zeros(fits, int))[place] = _rank(own, others, rng)
    columns = {name: ("fit", ranks) for name, ranks in found.items()}
    attributes = {"refused": refused, "runs": len(data[0]), "seed": seed}
    return Calibration(chosen.name, family.name, xarray.Dataset({**columns, "converged": ("fit", converged)}, attrs=attributes))


def _rank(own: float, others: np.ndarray, rng: np.random.Generator) -> int:
    """Return the rank of a value among others, by lot where they are equal; what is not defined (no answer) ranks with infinity."""
    truth, drawn = (np.where(np.isnan(values), np.inf, values) for values in (own, others))
    return int((drawn < truth).sum() + rng.integers((drawn == truth).sum() + 1))


def _quantities(fit: Fit, truth: Mapping[str, float]) -> dict[str, tuple[float, np.ndarray]]:
    """Return the truth, and thinned draws, of parameters, what is derived from them, the log likelihood and the law's answers."""
    flat = {name: values.ravel() for name, values in fit.parameters().items()}
    index = np.linspace(0, len(next(iter(flat.values()))) - 1, RANKED).astype(int)
    whole = {name: float(value) for name, value in fit.law.complete(truth).items()}
    density = fit.log_density(fit.runs).sum(axis=-1).ravel()[index]
    found = {name: (whole[name], flat[name][index]) for name in flat if name not in fit.fixed}
    found["log likelihood"] = (_log_likelihood(fit, whole), density)
    if fit.law.decision is not None:
        own = _answers(fit.law, {name: np.array([value]) for name, value in whole.items()})
        others = _answers(fit.law, {name: values[index] for name, values in flat.items()})
        found.update({f"answer: {name}": (float(own[name][0]), others[name]) for name in own})
    return found


def _log_likelihood(fit: Fit, truth: Mapping[str, float]) -> float:
    import jax

    with jax.enable_x64(True):
        columns = fit.runs.model_columns(fit.noise.columns(fit.law))
        wide = at_runs({name: np.asarray(value, float) for name, value in truth.items()}, columns)
        scatter = fit.noise.distribution(fit.law.formula(columns, wide), wide, columns)
        return float(np.sum(np.asarray(scatter.log_prob(columns[fit.law.output]))))


def _answers(law: Law, parameters: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the law's answers to the example that comes with its question, shape of the draws."""
    import jax

    decision = law.decision
    assert decision is not None  # asked for laws with a question
    given = {item.name: np.array(float(decision.example.get(item.name, decision.optional.get(item.name, 1.0)))) for item in decision.given}
    with jax.enable_x64(True):
        found = decision.answer(parameters, given)
        shape = np.shape(next(iter(parameters.values())))
        return {item.name: np.broadcast_to(np.asarray(found[item.name], float), shape) for item in decision.answers}


def simulate_runs(
    law: Law, noise: Noise, priors: Mapping[str, Any], count: int, runs: int | Runs, seed: int
) -> tuple[list[dict[str, float]], list[Runs], int]:
    """Return parameters and the runs simulated from them, and how many data sets were set aside."""
    import jax

    key = jax.random.PRNGKey(seed)
    size = runs if isinstance(runs, int) else len(runs)
    truths: list[dict[str, float]] = []
    data: list[Runs] = []
    with jax.enable_x64(True):
        for block in range(_TRIES):
            key, *keys = jax.random.split(key, len(priors) + 2)
            drawn = {
                name: np.asarray(prior.sample(own, (count,))) if hasattr(prior, "sample") else np.full(count, float(prior))
                for own, (name, prior) in zip(keys, priors.items(), strict=False)
            }
            columns = _inputs(law, noise, (count, size), runs, seed + block)
            wide = {name: values[:, None] for name, values in law.complete(drawn).items()}
            curve = np.broadcast_to(np.asarray(law.formula(columns, wide)), (count, size))
            measured = _measured(noise, law.output, curve, wide, columns, keys[-1])
            columns = {name: np.broadcast_to(values, (count, size)) for name, values in {**columns, law.output: measured}.items()}
            possible = np.all(quantity(law.output).admits(measured) & ~np.isin(measured, noise.excludes), axis=1)
            for row in np.flatnonzero(possible):
                truths.append({name: float(values[row]) for name, values in drawn.items()})
                data.append(
                    Runs({name: values[row] for name, values in columns.items()}, np.arange(1, size + 1), f"simulation {len(data)}")
                )
                if len(data) == count:
                    return truths, data, block * count + int(row) + 1 - count
    raise InputError(f"the priors of law '{law.name}' hardly ever give possible outputs: {len(data)} of {_TRIES * count} data sets")


def _measured(
    noise: Noise, output: str, curve: np.ndarray, parameters: Mapping[str, Any], columns: Mapping[str, Any], key: Any
) -> np.ndarray:
    """Return measurements about a curve, both of shape (data set, run).

    Where rows depend on those before them in their training curve, each pass settles the next point of all curves.
    """
    import jax

    if not noise.within:
        return np.asarray(noise.distribution(curve, parameters, columns).sample(key))
    _, first, of_row = np.unique(columns[CURVE], return_index=True, return_inverse=True)
    place = np.arange(curve.shape[1]) - first[of_row]  # a curve's points are side by side
    measured = curve
    for number, own in enumerate(jax.random.split(key, place.max() + 1)):
        drawn = noise.distribution(curve, parameters, {**columns, output: measured}).sample(own)
        measured = np.where(place == number, np.asarray(drawn), measured)
    return measured


def inputs_within(law: Law, shape: int | tuple[int, ...], seed: int = 0) -> dict[str, np.ndarray]:
    """Return inputs of a shape, drawn log-uniformly over the declared domain (uniformly where it reaches zero or below)."""
    rng = np.random.default_rng(seed)
    found = {}
    for item in law.inputs:
        if item.asked_only:
            found[item.name] = np.full(shape, item.default)
            continue
        u = rng.uniform(size=shape)
        found[item.name] = item.low + u * (item.high - item.low) if item.low <= 0 else item.low * (item.high / item.low) ** u
    return found


def _inputs(law: Law, noise: Noise, shape: tuple[int, int], runs: int | Runs, seed: int) -> dict[str, np.ndarray]:
    """Return inputs of a shape: of the runs given, or within the law's domain, with trials for noise that needs them."""
    if isinstance(runs, Runs):
        return {name: runs[name] for name in (*law.input_names, *noise.needs, *noise.within)}
    found = inputs_within(law, shape, seed)
    for name in noise.needs:
        if name != "trials":
            raise InputError(f"{noise.name} noise needs {name}: give runs that have it, at whose inputs to simulate")
        found[name] = np.full(shape, _TRIALS)
    return found
