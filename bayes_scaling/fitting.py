"""fit() and fit_many(): a law and runs into posterior draws with the evidence that they can be trusted."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from bayes_scaling import __version__
from bayes_scaling.diagnose import diagnose
from bayes_scaling.engine import METHODS, STARTS
from bayes_scaling.errors import InputError, nearest, option_text
from bayes_scaling.fitted import Drawn, Fit
from bayes_scaling.identification import data_problems
from bayes_scaling.law import Law, get_law
from bayes_scaling.model import POOLING_KINDS, Pooling, Settings, build_model, check_fixed, model_priors
from bayes_scaling.noise import Noise, noise_of
from bayes_scaling.priors import prior_text
from bayes_scaling.quantities import quantity
from bayes_scaling.reading import as_runs
from bayes_scaling.runs import SEPARATOR, Runs
from bayes_scaling.suiting import choose_input, usable_runs

#: Beyond this many runs the rounding of a 32-bit log density comes near a tenth of a nat, and the sampler would feel it.
MOST_RUNS_IN_32_BITS = 100_000
MOST_CHAINS, MOST_DRAWS = 4096, 10**8
LANES_OF_A_GPU = 256


def fit(
    law: str | Path | Law,
    runs: Runs | Any,
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
    method: str = "auto",
    starts: str = "modes",
    progress: Callable[[int, int], None] | None = None,
) -> Fit:
    """Draw from the posterior of a law's parameters.

    Parameters
    ----------
    law : name, path of a Python file that defines ``LAW``, or a Law
    runs : what `bayes_scaling.read_runs` returns; or, where nothing needs to be declared, what it takes (a file, a data set's name, a
        DataFrame), or a dict of arrays by quantity
    noise : name of a noise family (``student-t``, ``normal-log``, ``normal``, ``laplace``, ``known-se``, ``correlated``); the law's own by
        default, and ``correlated`` for all points of training curves
    input : which column a law of any one input is a function of
    fix : parameters to hold fixed, by name
    priors : numpyro distributions by parameter name, instead of the law's
    grouped : give every group of runs (column ``group``) law parameters of its own; the scatter is shared unless ``pool`` says otherwise
    pool : how parameters vary over groups (implies ``grouped``): ``{"alpha": "shared", "E": "partial", "sigma": "free"}``; others of the
        law are ``free``, of the scatter ``shared``; names alone are ``partial``: drawn towards a common centre as far as the data let them.
        ``partial:COLUMN`` gives one value to all groups that agree in one of the columns that the groups were made of. Many groups, or
        groups whose posteriors bend, are pooled sooner from a fit of each: `pool_fits`
    chains, draws : kept draws are chains x draws
    warmup : iterations before the first kept draw; by default the engine chooses, and tries harder while the draws are not good
    seed : of everything random; the same seed gives the same draws on the same machine
    device : ``auto``, ``cpu`` or ``gpu``; ``auto`` takes the one that is faster for so many runs and chains, and
        ``Fit.attributes["device"]`` says which that was
    precision : 64 or 32 bits
    method : ``auto``: the no-U-turn sampler, and where its first attempt meets trouble an ensemble of walkers in straightened coordinates;
        ``nuts``: the no-U-turn sampler, whatever it takes; or ``importance``, faster for batches of small fits: Metropolis chains through
        a proposal fitted to the posterior where Pareto k certifies it, and the ensemble elsewhere, whose draws are returned, and marked,
        also where they are not good (NUTS draws only of many coordinates, or of groups that are pooled).
        ``Fit.attributes["method"]`` says which drew
    starts : where chains begin: scattered about the ``modes`` that a search finds, as wide as the posterior there; or at points of the
        ``prior``, mostly far wider, after a longer warm-up: with many chains, to see whether they forget where they began
    progress : called with (iterations done, iterations planned)

    Raises
    ------
    InputError
        If a setting or the data cannot be used. A posterior that cannot be trusted is no error: see ``Fit.diagnosis``.

    Examples
    --------
    >>> fit = bs.fit("chinchilla", runs, draws=500, seed=0)
    >>> fit.diagnosis.ok
    True
    >>> sorted(fit.parameters())[:3]
    ['A', 'A_ref', 'B']
    """
    start = time.perf_counter()
    options = Options(noise, input, fix, priors, grouped, pool, chains, warmup, draws, seed, device, precision, method, starts)
    law = get_law(law)  # before the runs, whose columns say nothing of a law that there is not
    ((_, found),) = _fits([_prepare(law, as_runs(runs), options)], 1, start, progress)
    if isinstance(found, InputError):
        raise found
    return found


def fit_many(
    law: str | Path | Law,
    data: Sequence[Runs | Any],
    *,
    noise: str | Noise | None = None,
    input: str | None = None,
    fix: Mapping[str, float] | None = None,
    priors: Mapping[str, Any] | None = None,
    chains: int = 4,
    warmup: int | None = None,
    draws: int = 1000,
    seed: int = 0,
    device: str = "auto",
    precision: int = 64,
    method: str = "auto",
    starts: str = "modes",
    lanes: int | None = None,
    errors: str = "raise",
) -> Iterator[tuple[int, Any]]:
    """Fit a law to each of many data sets by one program, on a GPU side by side; yield (place in ``data``, fit) as they are done.

    Each data set gets what `fit` gives it: its own search for modes, and further attempts while its draws are not good; and, on a CPU bit
    for bit, the draws that `fit` gives it, which depend on its runs and the seed alone.

    Parameters
    ----------
    data : runs of each data set, as `fit` takes them
    lanes : data sets that a GPU works at side by side: bounds its memory. On a CPU each is worked at by itself, which is as fast
    device : ``auto`` takes a GPU where there is one and what is side by side is enough to keep it busy. Of several of its kind that this
        process has, all are used
    errors : what becomes of a data set that cannot be fitted: ``raise`` (before any fit, where that is known then) or ``return``: its error
        is yielded in place of its fit, and the others go on
    others : as in `fit`

    Raises
    ------
    InputError
        If a setting cannot be used, or (unless ``errors`` is ``return``) a data set; it says which.
    """
    options = Options(noise, input, fix, priors, False, (), chains, warmup, draws, seed, device, precision, method, starts)
    if lanes is not None and lanes < 1:
        raise InputError(f"lanes = {lanes} must be at least 1")
    if errors not in ("raise", "return"):
        raise InputError(f"errors = '{errors}' must be 'raise' or 'return'")
    named = get_law(law)
    prepared: list[_Prepared] = []
    places: list[int] = []
    failed: list[tuple[int, InputError]] = []
    for place, runs in enumerate(data):
        try:
            prepared.append(_prepare(named, as_runs(runs), options, lanes or min(len(data), LANES_OF_A_GPU)))
            places.append(place)
        except InputError as error:
            if errors == "raise":
                raise _of_data_set(place, runs, error) from None
            failed.append((place, error))

    def outcomes() -> Iterator[tuple[int, Any]]:
        yield from failed
        for number, found in _fits(prepared, lanes):
            if isinstance(found, InputError) and errors == "raise":
                raise _of_data_set(places[number], prepared[number].runs, found)
            yield places[number], found

    return outcomes()


def _of_data_set(place: int, runs: Runs | Any, error: InputError) -> InputError:
    return InputError(f"data set {place} ({runs.source if isinstance(runs, Runs) else type(runs).__name__}): {error}")


@dataclass(frozen=True)
class Options:
    """How to fit: see `fit`.

    Raises
    ------
    InputError
        If a number of the sampler's cannot be used.
    """

    noise: str | Noise | None = None
    input: str | None = None
    fix: Mapping[str, float] | None = None
    priors: Mapping[str, Any] | None = None
    grouped: bool = False
    pool: Sequence[str] | Mapping[str, str] = ()
    chains: int = 4
    warmup: int | None = None
    draws: int = 1000
    seed: int = 0
    device: str = "auto"
    precision: int = 64
    method: str = "auto"
    starts: str = "modes"

    def __post_init__(self) -> None:
        chains, draws, warmup = self.chains, self.draws, self.warmup
        if chains < 2 or draws < 4:
            raise InputError(f"chains = {chains} and draws = {draws} must be at least 2 and 4: convergence is judged by comparing chains")
        if chains > MOST_CHAINS or chains * draws > MOST_DRAWS:
            raise InputError(
                f"chains = {chains} and draws = {draws} are more than {MOST_CHAINS} chains or {MOST_DRAWS:.0e} draws together, which no "
                "answer needs and no memory holds: a few chains of some thousand draws do"
            )
        if warmup is not None and warmup > MOST_DRAWS:
            raise InputError(f"warmup = {warmup} is more than {MOST_DRAWS:.0e}: some thousand iterations do")
        if warmup is not None and warmup < 20:
            raise InputError(f"warmup = {warmup} is too short to adapt; at least 20, or none to let the engine choose")
        if self.precision not in (32, 64):
            raise InputError(f"precision = {self.precision} must be 32 or 64 (bits)")
        if self.method not in METHODS:
            raise InputError(f"there is no method '{self.method}'{nearest(self.method, METHODS)}")
        if self.starts not in STARTS:
            raise InputError(f"chains cannot start at '{self.starts}'{nearest(self.starts, STARTS)}")
        if self.starts == "prior" and self.method == "importance":
            raise InputError(f"method 'importance' has no chains to start at the prior; use {option_text(method='nuts')}")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed = {self.seed} must be between 0 and 2^32 - 1")


@dataclass(frozen=True)
class _Prepared:
    """A fit that is checked and ready to be sampled."""

    named: Law
    law: Law
    noise: Noise
    runs: Runs
    groups: tuple[str, ...]
    settings: Settings
    priors: Mapping[str, Any]
    options: Options
    density: Any
    columns: Mapping[str, np.ndarray]
    weight: np.ndarray
    sampler: Any
    device: Any


def _prepare(law: str | Path | Law, runs: Runs, options: Options, beside: int = 1) -> _Prepared:
    """Check a fit and choose its device: ``beside`` data sets could be worked at together with it."""
    import jax

    from bayes_scaling import engine

    engine.use_compile_cache()
    named = get_law(law)
    law = choose_input(named, runs, options.input)
    family = noise_of(law, options.noise, runs.columns)
    runs = usable_runs(law, family, runs)
    groups = _groups(law, runs, options.grouped or bool(options.pool))
    settings = Settings(dict(options.fix or {}), dict(options.priors or {}), groups, _pooling(law, runs, options.pool))
    check_fixed(law, family, settings.fixed)
    used_priors = model_priors(law, family, settings)
    if options.precision == 32 and len(runs) > MOST_RUNS_IN_32_BITS:
        raise InputError(
            f"{len(runs)} runs are too many for 32 bits: the sum of their log densities loses its digits; use {option_text(precision=64)}"
        )
    if options.precision == 32:
        _refuse_lost_in_32_bits(law, family, runs)
    if settings.fixed.get("sigma") == 0 and not np.all(runs["loss_se"] > 0):
        raise InputError("sigma cannot be held at 0 where a loss_se is 0: such a run would have no scatter at all")
    if len(settings.fixed) == len(used_priors):
        raise InputError("every parameter is fixed: nothing is left to fit")
    columns = runs.model_columns(family.columns(law), groups)
    dtype = np.float64 if options.precision == 64 else np.float32
    with jax.enable_x64(options.precision == 64):
        chosen = engine.choose_device(options.device, beside * options.chains * engine.bucket(len(runs)))
        with jax.default_device(chosen):
            padded, weight = engine.pad({name: values.astype(dtype) for name, values in columns.items()})
            weight = weight.astype(dtype)
            density = _density(law, family, settings, padded, weight)
    # Where the runs cannot answer, no sampling can, and the result is marked anyway: one attempt is enough.
    answerable = not any(problem.serious for problem in data_problems(law, used_priors, runs, settings))
    sampler = engine.Sampler(options.chains, options.draws, options.warmup, options.seed, answerable, options.method, options.starts)
    return _Prepared(named, law, family, runs, groups, settings, used_priors, options, density, padded, weight, sampler, chosen)


def _refuse_lost_in_32_bits(law: Law, family: Noise, runs: Runs) -> None:
    values = runs[law.output]
    narrow = values.astype(np.float32)
    lost = (narrow == 1) & (values < 1) & quantity(law.output).is_fraction
    if np.any(lost) and not family.needs:  # counts may all be of one kind, a measured fraction has a logit
        raise InputError(f"{law.output} = {values[lost][0]:.12g} is 1 in 32 bits, which has no logit: use {option_text(precision=64)}")


def _fits(
    prepared: Sequence[_Prepared], lanes: int | None, start: float | None = None, progress: Callable[[int, int], None] | None = None
) -> Iterator[tuple[int, Fit | InputError]]:
    """Sample what can be sampled by one program together, and make fits of the draws; ``start`` is when the only one was asked for.

    Data sets are dealt out to all devices of the kind that was chosen: what one draws depends on neither its device nor the others.
    """
    from bayes_scaling import engine

    one_program: dict[int, list[int]] = {}
    for place, one in enumerate(prepared):
        one_program.setdefault(id(one.density), []).append(place)
    for places in one_program.values():
        devices = engine.alike(prepared[places[0]].device)[: len(places)]
        shares = [_sampled(prepared, places[at :: len(devices)], device, lanes, progress) for at, device in enumerate(devices)]
        for place, result in engine.at_once(shares):
            yield place, result if isinstance(result, InputError) else _finished(prepared[place], result, start)


def _sampled(
    prepared: Sequence[_Prepared], places: Sequence[int], device: Any, lanes: int | None, progress: Callable[[int, int], None] | None
) -> Iterator[tuple[int, Any]]:
    """Yield the place of each data set and its draws, or why there are none, as they are done on a device."""
    import jax

    from bayes_scaling import engine

    first = prepared[places[0]]
    tasks = [engine.Task(prepared[i].columns, prepared[i].weight, prepared[i].sampler, progress) for i in places]
    most = lanes_on(device.platform != "cpu", lanes)
    side_by_side = 2 ** int(np.log2(min(most, len(tasks))))  # each number of lanes is a program of its own to compile
    sampled = engine.sample_each(first.density, tasks, device, side_by_side)
    while True:
        # Only while draws are made: between them the caller's settings hold.
        with jax.enable_x64(first.options.precision == 64), jax.default_device(device):
            found = next(sampled, None)
        if found is None:
            return
        number, result = found
        yield places[number], result


def lanes_on(gpu: bool, wanted: int | None = None) -> int:
    """Return how many data sets are worked at side by side, at most, on a GPU or on a CPU.

    On a CPU it is one: several take as long (benchmarks/speed.py), and a compiler joins a product and a sum into one rounding here
    and not there, as the shapes of a program have it: only by one program do a fit among many and the same fit alone have the same bits.
    """
    return wanted or LANES_OF_A_GPU if gpu else 1


def _finished(one: _Prepared, result: Any, start: float | None) -> Fit:
    law, family, runs, groups, options = one.law, one.noise, one.runs, one.groups, one.options
    fixed = {name: float(value) for name, value in one.settings.fixed.items()}
    # What groups share in part is read as each group's parameter.
    levels = {f"{name}_by_{pooling.column}" for name, pooling in one.settings.pool.items() if pooling.column}
    sites = {name: np.asarray(values, float) for name, values in result.sites.items() if name not in levels}
    parameters = {**{name: np.full((options.chains, options.draws), value) for name, value in fixed.items()}, **sites}
    begin = time.perf_counter()
    diagnosis = diagnose(law, family, one.priors, runs, parameters, result, groups, one.settings)
    spent = result.compile_seconds + result.sample_seconds + time.perf_counter() - begin
    timing = {
        "total_s": time.perf_counter() - start if start is not None else spent,
        "compile_s": result.compile_seconds,
        "sample_s": result.sample_seconds,
    }
    attributes = {
        "created_by": f"bayes_scaling {__version__}",
        "law": law.name,
        "output": law.output,
        "input": law.input_names[0] if one.named.alternatives else None,
        "law_file": law.origin,
        "law_file_sha256": law.origin_hash,
        "noise": family.name,
        "priors": {name: prior_text(prior) for name, prior in one.priors.items() if name not in fixed},
        "fixed": fixed,
        "groups": list(groups),
        "pool": {name: str(pooling) for name, pooling in one.settings.pool.items()},
        "seed": options.seed,
        "precision": options.precision,
        "device": str(getattr(one.device, "device_kind", one.device.platform)),
        "method": result.method,
        "method_asked": options.method,
        "starts": options.starts,
        "warmup": result.attempt.warmup,
        "warmup_asked": options.warmup,
        "target_acceptance": result.attempt.target,
        "thin": result.attempt.thin,
        "attempts": result.attempts,
        "data": {
            "source": runs.source,
            "hash": runs.data_hash,
            "notes": list(runs.notes),
            "ignored": list(runs.ignored),
            "factors": list(runs.factors),
            "reading": dict(runs.reading),
        },
        "versions": versions(),
        "timing": timing,
        "diagnosis": diagnosis.to_dict(),
    }
    return Fit(law, family, runs, Drawn(sites, result.stats, attributes), diagnosis, fixed, groups)


def build_density(law: Law, noise: Noise, settings: Settings, columns: Mapping[str, np.ndarray], weight: np.ndarray) -> Any:
    """Return the posterior's density, in the coordinates that the law suggests."""
    from bayes_scaling import engine

    shears = tuple(engine.Shear(term.coefficient, term.exponent, term.input, term.reference) for term in law.terms)
    sums = tuple(engine.Sum(terms) for terms in law.sums)
    return engine.Density(build_model(law, noise, settings), columns, weight, shears, sums)


def _density(law: Law, noise: Noise, settings: Settings, columns: Mapping[str, np.ndarray], weight: np.ndarray) -> Any:
    """Return the posterior's density; the same object for the same model and shapes, so that it is traced and told apart once."""
    pool = tuple((name, pooling.kind, pooling.levels, pooling.column) for name, pooling in sorted(settings.pool.items()))
    key = (law, noise, tuple(sorted(settings.fixed.items())), settings.groups, pool, tuple(columns), weight.shape, weight.dtype)
    # A prior of the user's is known by its object, which is kept with the density so that no other can take its place in memory.
    key += tuple((name, id(prior)) for name, prior in sorted(settings.priors.items()))
    density, _ = _densities.pop(key, (None, None))
    if density is None:
        density = build_density(law, noise, settings, columns, weight)
    _densities[key] = density, settings.priors
    if len(_densities) > _MOST_DENSITIES:
        del _densities[next(iter(_densities))]  # the one not used for longest
    return density


_densities: dict[tuple, Any] = {}
_MOST_DENSITIES = 64


def _groups(law: Law, runs: Runs, grouped: bool) -> tuple[str, ...]:
    if not grouped:
        return ()
    if runs.group is None:
        raise InputError(f"a fit by group needs a column of groups in {runs.source}; name it with {option_text(group='COLUMN')}")
    if len(runs.groups) < 2:
        raise InputError(f"all runs of {runs.source} are in one group ({', '.join(runs.groups)}); fit them without groups")
    if law.model is not None:
        raise InputError(f"law '{law.name}' has a model of its own and cannot be fitted by group")
    return runs.groups


def _pooling(law: Law, runs: Runs, pool: Sequence[str] | Mapping[str, str]) -> dict[str, Pooling]:
    """Read how parameters vary over groups: names, ``name=kind``, ``name=kind:column``; ``all``: those of the law not named themselves."""
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
            raise InputError(f"cannot pool '{name}' by '{column}'{hint} (name several with {option_text(group='A,B')})")
        if column:
            part = [label.split(SEPARATOR)[runs.factors.index(column)] for label in runs.groups]
            found[name] = Pooling(kind, tuple(sorted(set(part)).index(label) for label in part), column)
        else:
            found[name] = Pooling(kind)
    return found


def versions() -> dict[str, str]:
    """Return the versions of what draws depend on, and of what reads them."""
    import jax
    import numpyro

    # xarray by what is installed: to load it takes a second, and a fit that is only printed never needs it.
    found = {"jax": jax.__version__, "numpyro": numpyro.__version__, "numpy": np.__version__, "xarray": metadata.version("xarray")}
    return {"python": platform.python_version(), "platform": f"{sys.platform} {platform.machine()}", **found}
