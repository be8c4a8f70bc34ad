"""fit(): a law and runs into posterior draws with the evidence that they can be trusted; Fit: what holds them."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling import __version__
from bayes_scaling.diagnose import Diagnosis, data_problems, diagnose
from bayes_scaling.errors import InputError, nearest
from bayes_scaling.law import Law, get_law
from bayes_scaling.model import POOLING_KINDS, Pooling, Settings, at_runs, build_model, check_fixed, model_priors
from bayes_scaling.noise import Noise, noise_of
from bayes_scaling.priors import prior_text
from bayes_scaling.quantities import quantity
from bayes_scaling.runs import SEPARATOR, Runs

if TYPE_CHECKING:
    import xarray

#: Log likelihoods go into `Fit.tree` and into files up to this many values (runs x draws); beyond, `Fit.log_likelihood` computes them.
KEPT_LOG_LIKELIHOODS = 5_000_000

#: Beyond this many runs the rounding of a 32-bit log density comes near a tenth of a nat, and the sampler would feel it.
MOST_RUNS_IN_32_BITS = 100_000


@dataclass(frozen=True, eq=False)
class Fit:
    """Posterior draws of a law's parameters given runs, and whether they can be trusted.

    Attributes
    ----------
    law, noise : what was fitted
    runs : the data
    draws : DataTree with groups ``posterior`` (dims chain, draw), ``sample_stats``, ``observed_data``, ``constant_data``; attributes say
        how it was made. For arviz, see ``tree``
    diagnosis : convergence and identification
    fixed : parameters held fixed
    groups : labels, for a fit in which every group of runs has law parameters of its own; see `select`
    """

    law: Law
    noise: Noise
    runs: Runs
    draws: Any
    diagnosis: Diagnosis
    fixed: Mapping[str, float]
    groups: tuple[str, ...] = ()

    @cached_property
    def tree(self) -> xarray.DataTree:
        """The fit as arviz takes it: ``draws`` and, for data that are not huge, ``log_likelihood`` (dims chain, draw, run).

        Computed when first asked for: of the fits of a batch, most are never asked.
        """
        import xarray

        sizes = self.posterior.sizes
        huge = sizes["chain"] * sizes["draw"] * len(self.runs) > KEPT_LOG_LIKELIHOODS
        if "log_likelihood" in self.draws.children or huge:
            return self.draws
        tree = self.draws.copy()
        dims = ("chain", "draw", "run")
        coords = {name: self.posterior[name] for name in dims[:2]}
        tree["log_likelihood"] = xarray.DataTree(xarray.Dataset({self.law.output: (dims, self.log_likelihood())}, coords))
        return tree

    @property
    def posterior(self) -> xarray.Dataset:
        return self.draws["posterior"].to_dataset()

    @property
    def attributes(self) -> dict[str, Any]:
        """How the fit was made: law, noise, priors, seed, versions, data hash, timing."""
        return {str(name): json.loads(value) for name, value in self.draws.attrs.items()}

    def select(self, group: str) -> Fit:
        """Return the fit of one group: its runs, its parameters, and the problems that concern it."""
        import xarray

        runs = self.runs.of_group(group)
        rows = np.flatnonzero(self.runs.group == group) if self.runs.group is not None else []
        picked = {}
        for name, child in self.draws.children.items():
            part = child.to_dataset()
            part = part.sel(group=group, drop=True) if "group" in part.dims else part
            picked[name] = part.isel(run=rows) if "run" in part.dims else part
        tree = xarray.DataTree.from_dict(picked)
        tree.attrs = self.draws.attrs
        return Fit(self.law, self.noise, runs, tree, self.diagnosis.of_group(group), self.fixed)

    def parameters(self) -> dict[str, np.ndarray]:
        """Return draws of every parameter of the law and the noise, sampled, derived and fixed; each of shape (chain, draw).

        Raises
        ------
        InputError
            If the fit has groups: each has parameters of its own, see `select`.
        """
        if self.groups:
            raise InputError(f"the fit has groups, each with parameters of its own: select one of {', '.join(self.groups)}")
        draws = {str(name): np.asarray(values) for name, values in self.posterior.data_vars.items()}
        shape = next(iter(draws.values())).shape[:2]
        return {**{name: np.full(shape, value) for name, value in self.fixed.items()}, **draws}

    def summary(self) -> dict[str, dict[str, float]]:
        """Return mean, sd, median, q05, q95, ess_bulk, ess_tail and rhat by parameter, the law's formula names first.

        Parameters of a group are named ``alpha[label]``.
        """
        from bayes_scaling.engine.convergence import statistics

        draws = _scalars(self.posterior)
        found = statistics(np.stack(list(draws.values()), axis=-1))
        rows = {}
        for i, (name, values) in enumerate(draws.items()):
            q05, median, q95 = np.quantile(values, [0.05, 0.5, 0.95])
            rows[name] = {
                "mean": float(values.mean()),
                "sd": float(values.std(ddof=1)),
                "median": float(median),
                "q05": float(q05),
                "q95": float(q95),
                **{key: float(found[key][i]) for key in ("ess_bulk", "ess_tail", "rhat")},
            }
        return {name: rows[name] for name in sorted(rows, key=self._rank)}

    def _rank(self, name: str) -> tuple[int, bool, int, str]:
        """Order for people: coefficients, exponents, then reference terms, then what describes the scatter or the pooling."""
        base = name.split("[")[0]
        kind = (
            3 if base in self.noise.parameter_names else 2 if base.endswith(("_center", "_spread")) else 1 if base.endswith("_ref") else 0
        )
        names = self.law.parameter_names
        return kind, len(base) > 1, names.index(base) if base in names else len(names), name

    def log_likelihood(self) -> np.ndarray:
        """Return log densities of the measured losses (density in nat/token), shape (chain, draw, run)."""
        if "log_likelihood" in self.draws.children:
            return np.asarray(self.draws["log_likelihood"][self.law.output])
        draws = {str(name): np.asarray(values) for name, values in self.posterior.data_vars.items()}
        shape = next(iter(draws.values())).shape[:2]
        fixed = {name: np.full(shape, value) for name, value in self.fixed.items()}
        return log_likelihood(self.law, self.noise, self.runs, {**fixed, **draws}, self.groups)

    def save(self, path: Any) -> None:
        """Write the fit to NetCDF; see `bayes_scaling.load_fit`."""
        from bayes_scaling.storage import save_fit

        save_fit(self, path)

    def __str__(self) -> str:
        from bayes_scaling.text import fit_text

        return fit_text(self)

    def __repr__(self) -> str:
        verdict = "ok" if self.diagnosis.ok else "NOT TRUSTWORTHY"
        return f"<Fit of {self.law.name} to {len(self.runs)} runs, {self.noise.name} noise, {verdict}>"


def _scalars(posterior: xarray.Dataset) -> dict[str, np.ndarray]:
    """Return draws of shape (chain, draw) by name, a group's parameters as ``alpha[label]``."""
    draws = {}
    for name, values in posterior.data_vars.items():
        if "group" not in values.dims:
            draws[str(name)] = np.asarray(values)
        else:
            draws.update({f"{name}[{label}]": np.asarray(values.sel(group=label)) for label in posterior["group"].values})
    return draws


def log_likelihood(law: Law, noise: Noise, runs: Runs, parameters: Mapping[str, np.ndarray], groups: tuple[str, ...] = ()) -> np.ndarray:
    """Return the log density of each measured output under each draw, shape (chain, draw, run)."""
    import jax

    columns = runs.model_columns(noise.columns(law), groups)
    with jax.enable_x64(True):
        wide = at_runs({name: np.asarray(values, float) for name, values in parameters.items()}, columns, draw_dims=2)
        density = noise.distribution(law.formula(columns, wide), wide, columns)
        return np.asarray(density.log_prob(columns[law.output]))


def choose_input(law: Law, runs: Runs, wanted: str | None) -> Law:
    """Return the law as a function of the input that is wanted, or of the only one that the runs have."""
    if wanted is not None:
        law = law.with_input(wanted)
    elif law.alternatives:
        axes = (law.input_names[0], *law.alternatives)
        present = [name for name in axes if name in runs.columns]
        if len(present) > 1:
            raise InputError(
                f"law '{law.name}' takes one of {', '.join(axes)}, and the runs have {', '.join(present)}: choose with --input {present[0]}"
            )
        if not present:
            known = ", ".join(axes)
            raise InputError(f"law '{law.name}' needs one of {known}; {runs.source} has columns {', '.join(runs.ignored)}: use --map")
        law = law.with_input(present[0])
    return law


def usable_runs(law: Law, noise: Noise, runs: Runs) -> Runs:
    """Return runs as a law takes them: rates of counts, and inputs that it has a value for where a table has none, with a note.

    Raises
    ------
    InputError
        If an input that only questions vary has another value in the runs, or the noise gives no density to a measured value.
    """
    columns, notes = dict(runs.columns), list(runs.notes)
    if law.output not in columns and quantity(law.output).is_fraction and {"successes", "trials"} <= set(columns):
        rate = columns["successes"] / columns["trials"]
        columns[law.output] = 1 - rate if law.output == "error" else rate
        notes.append(f"{law.output} taken as {'1 - ' if law.output == 'error' else ''}successes / trials")
        runs = replace(runs, columns=columns)
    for row in np.flatnonzero(np.isin(runs[law.output], noise.excludes)):
        counts = " If it is a count among test items, give their number as column trials and use --noise beta-binomial."
        raise InputError(
            f"{runs.source}: line {runs.lines[row]}: {noise.name} noise cannot describe {law.output} = {runs[law.output][row]:g}."
            f"{counts if quantity(law.output).is_fraction else ''}"
        )
    for item in law.inputs:
        if item.default is None:
            continue
        if item.name not in columns:
            columns[item.name] = np.full(len(runs), item.default)
            if not item.asked_only:
                notes.append(f"no column of {item.name}: taken as {item.default:g} in every run")
        elif item.asked_only and np.any(columns[item.name] != item.default):
            row = int(np.flatnonzero(columns[item.name] != item.default)[0])
            raise InputError(
                f"{runs.source}: line {runs.lines[row]}: {item.name} = {columns[item.name][row]:g}, but law '{law.name}' is fitted to "
                f"measurements at {item.name} = {item.default:g} only ({item.meaning})"
            )
    return replace(runs, columns=columns, notes=tuple(notes))


def fit(
    law: str | Law,
    runs: Runs,
    *,
    noise: str | Noise | None = None,
    input: str | None = None,
    fix: Mapping[str, float] | None = None,
    priors: Mapping[str, Any] | None = None,
    grouped: bool = False,
    pool: Sequence[str] | Mapping[str, str] = (),
    chains: int = 4,
    warmup: int | None = None,
    draws: int = 1000,
    seed: int = 0,
    device: str = "auto",
    precision: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> Fit:
    """Draw from the posterior of a law's parameters.

    Parameters
    ----------
    law : name, path of a Python file that defines ``LAW``, or a Law
    runs : see `bayes_scaling.read_runs`
    noise : name of a noise family (``student-t``, ``normal-log``, ``normal``, ``laplace``, ``known-se``); the law's own by default
    input : which column a law of any one input is a function of
    fix : parameters to hold fixed, by name
    priors : numpyro distributions by parameter name, instead of the law's
    grouped : give every group of runs (column ``group``) law parameters of its own; the scatter is shared
    pool : how law parameters vary over groups (implies ``grouped``): ``{"alpha": "shared", "E": "partial"}``, the others are ``free``;
        names alone are ``partial``: drawn towards a common centre as far as the data let them. ``partial:COLUMN`` gives one value to all
        groups that agree in one of the columns that the groups were made of
    chains, draws : kept draws are chains x draws
    warmup : iterations before the first kept draw; by default the engine chooses, and tries harder while the draws are not good
    seed : of everything random; the same seed gives the same draws on the same machine
    device : ``auto``, ``cpu`` or ``gpu``
    precision : 64 or 32 bits
    progress : called with (iterations done, iterations planned)

    Raises
    ------
    InputError
        If a setting or the data cannot be used. A posterior that cannot be trusted is no error: see ``Fit.diagnosis``.
    """
    import jax

    from bayes_scaling import engine

    start = time.perf_counter()
    engine.use_compile_cache()
    named = get_law(law)
    law = choose_input(named, runs, input)
    family = noise_of(law, noise)
    runs = usable_runs(law, family, runs)
    groups = _groups(law, runs, grouped or bool(pool))
    settings = Settings(dict(fix or {}), dict(priors or {}), groups, _pooling(law, runs, pool))
    check_fixed(law, family, settings.fixed)
    _check_numbers(chains=chains, draws=draws, warmup=warmup, precision=precision, seed=seed)
    used_priors = model_priors(law, family, settings)
    if precision == 32 and len(runs) > MOST_RUNS_IN_32_BITS:
        raise InputError(f"{len(runs)} runs are too many for 32 bits: the sum of their log densities loses its digits; use --precision 64")
    if settings.fixed.get("sigma") == 0 and not np.all(runs["loss_se"] > 0):
        raise InputError("sigma cannot be held at 0 where a loss_se is 0: such a run would have no scatter at all")
    if len(settings.fixed) == len(used_priors):
        raise InputError("every parameter is fixed: nothing is left to fit")
    columns = runs.model_columns(family.columns(law), groups)
    dtype = np.float64 if precision == 64 else np.float32
    with jax.enable_x64(precision == 64):
        chosen = engine.choose_device(device)
        with jax.default_device(chosen):
            padded, weight = engine.pad({name: values.astype(dtype) for name, values in columns.items()})
            weight = weight.astype(dtype)
            density = _density(law, family, settings, padded, weight)
            # Where the runs cannot answer, no sampling can, and the result is marked anyway: one attempt is enough.
            parts = [runs.of_group(label) for label in groups if not settings.borrowed(law)] or [runs]
            answerable = not any(problem.serious for part in parts for problem in data_problems(law, used_priors, part))
            sampler = engine.Sampler(chains, draws, warmup, seed, answerable)
            result = engine.sample(density, padded, weight, sampler, chosen, progress)
    fixed = {name: float(value) for name, value in settings.fixed.items()}
    # What groups share in part is read as each group's parameter.
    levels = {f"{name}_by_{pooling.column}" for name, pooling in settings.pool.items() if pooling.column}
    sites = {name: np.asarray(values, float) for name, values in result.sites.items() if name not in levels}
    parameters = {**{name: np.full((chains, draws), value) for name, value in fixed.items()}, **sites}
    diagnosis = diagnose(law, family, used_priors, runs, parameters, result, groups, settings)
    timing = {
        "total_s": time.perf_counter() - start,
        "compile_s": result.compile_seconds,
        "sample_s": result.sample_seconds,
    }
    attributes = {
        "created_by": f"bayes_scaling {__version__}",
        "law": law.name,
        "input": law.input_names[0] if named.alternatives else None,
        "law_file": law.origin,
        "law_file_sha256": law.origin_hash,
        "noise": family.name,
        "priors": {name: prior_text(prior) for name, prior in used_priors.items() if name not in fixed},
        "fixed": fixed,
        "groups": list(groups),
        "pool": {name: str(pooling) for name, pooling in settings.pool.items()},
        "seed": seed,
        "precision": precision,
        "device": str(getattr(chosen, "device_kind", chosen.platform)),
        "warmup": result.attempt.warmup,
        "target_acceptance": result.attempt.target,
        "thin": result.attempt.thin,
        "attempts": result.attempts,
        "data": {"source": runs.source, "hash": runs.data_hash, "notes": list(runs.notes), "ignored": list(runs.ignored)},
        "versions": _versions(),
        "timing": timing,
        "diagnosis": diagnosis.to_dict(),
    }
    tree = _tree(law, runs, sites, result.stats, attributes, groups)
    return Fit(law, family, runs, tree, diagnosis, fixed, groups)


def _density(law: Law, noise: Noise, settings: Settings, columns: Mapping[str, np.ndarray], weight: np.ndarray) -> Any:
    """Return the posterior's density; the same object for the same model and shapes, so that it is traced and told apart once."""
    from bayes_scaling import engine

    pool = tuple((name, pooling.kind, pooling.levels, pooling.column) for name, pooling in sorted(settings.pool.items()))
    key = (law, noise, tuple(sorted(settings.fixed.items())), settings.groups, pool, tuple(columns), weight.shape, weight.dtype)
    # A prior of the user's is known by its object alone: such a density is made anew.
    density = None if settings.priors else _densities.get(key)
    if density is None:
        shears = tuple(engine.Shear(term.coefficient, term.exponent, term.input, term.reference) for term in law.terms)
        density = engine.Density(build_model(law, noise, settings), columns, weight, shears)
    if not settings.priors:
        _densities.pop(key, None)
        _densities[key] = density
        if len(_densities) > _MOST_DENSITIES:
            del _densities[next(iter(_densities))]  # the one not used for longest
    return density


_densities: dict[tuple, Any] = {}
_MOST_DENSITIES = 64


def _groups(law: Law, runs: Runs, grouped: bool) -> tuple[str, ...]:
    if not grouped:
        return ()
    if runs.group is None:
        raise InputError(f"a fit by group needs a column of groups in {runs.source}; name it with --group COLUMN")
    if len(runs.groups) < 2:
        raise InputError(f"all runs of {runs.source} are in one group ({', '.join(runs.groups)}); fit them without groups")
    if law.model is not None:
        raise InputError(f"law '{law.name}' has a model of its own and cannot be fitted by group")
    return runs.groups


def _pooling(law: Law, runs: Runs, pool: Sequence[str] | Mapping[str, str]) -> dict[str, Pooling]:
    """Read how parameters vary over groups: names, ``name=kind``, ``name=kind:column``; ``all`` means every parameter not named itself."""
    wanted = dict(pool) if isinstance(pool, Mapping) else dict.fromkeys(pool, "partial")
    everything = wanted.pop("all", None)
    if everything is not None:
        wanted = {**dict.fromkeys(law.parameter_names, everything), **wanted}
    found = {}
    for name, text in wanted.items():
        kind, _, column = text.partition(":")
        if kind not in POOLING_KINDS:
            raise InputError(f"cannot pool '{name}' as '{kind}'{nearest(kind, POOLING_KINDS)}")
        if column and (len(runs.factors) < 2 or column not in runs.factors):
            hint = nearest(column, runs.factors) if len(runs.factors) > 1 else ": the groups are made of one column only"
            raise InputError(f"cannot pool '{name}' by '{column}'{hint} (name several with --group A,B)")
        if column:
            part = [label.split(SEPARATOR)[runs.factors.index(column)] for label in runs.groups]
            found[name] = Pooling(kind, tuple(sorted(set(part)).index(label) for label in part), column)
        else:
            found[name] = Pooling(kind)
    return found


def _check_numbers(*, chains: int, draws: int, warmup: int | None, precision: int, seed: int) -> None:
    if chains < 2 or draws < 4:
        raise InputError(f"chains = {chains} and draws = {draws} must be at least 2 and 4: convergence is judged by comparing chains")
    if warmup is not None and warmup < 20:
        raise InputError(f"warmup = {warmup} is too short to adapt; at least 20, or none to let the engine choose")
    if precision not in (32, 64):
        raise InputError(f"precision = {precision} must be 32 or 64 (bits)")
    if not 0 <= seed < 2**32:
        raise InputError(f"seed = {seed} must be between 0 and 2^32 - 1")


def _versions() -> dict[str, str]:
    import jax
    import numpyro
    import xarray

    found = {"jax": jax.__version__, "numpyro": numpyro.__version__, "numpy": np.__version__, "xarray": xarray.__version__}
    return {"python": platform.python_version(), "platform": f"{sys.platform} {platform.machine()}", **found}


def _tree(
    law: Law,
    runs: Runs,
    sites: Mapping[str, np.ndarray],
    stats: Mapping[str, np.ndarray],
    attributes: Mapping[str, Any],
    groups: tuple[str, ...],
) -> Any:
    import xarray

    def draws(values: Mapping[str, np.ndarray]) -> xarray.Dataset:
        data = {name: (("chain", "draw", "group")[: array.ndim], array) for name, array in values.items()}
        return xarray.Dataset(data, {**coords, **({"group": list(groups)} if groups else {})})

    first = next(iter(sites.values()))
    coords = {"chain": np.arange(first.shape[0]), "draw": np.arange(first.shape[1])}
    constant = {name: ("run", values) for name, values in runs.columns.items() if name != law.output}
    constant["line"] = ("run", runs.lines)
    if runs.group is not None:
        constant["group_of_run"] = ("run", runs.group.astype(str))
    parts = {
        "posterior": draws(sites),
        "sample_stats": draws(stats),
        "observed_data": xarray.Dataset({law.output: ("run", runs[law.output])}),
        "constant_data": xarray.Dataset(constant),
    }
    tree = xarray.DataTree.from_dict(parts)
    tree.attrs = {name: json.dumps(value) for name, value in attributes.items()}
    return tree
