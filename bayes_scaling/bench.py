"""bench(): how fast posteriors come on the devices of a machine, over numbers of chains, of data sets and of runs.

Data sets are simulated at the inputs of real runs, drawn again as often as it takes, from the median of their posterior: every size asks
for posteriors of one shape.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bayes_scaling.calibration import simulate_runs
from bayes_scaling.engine.devices import cores
from bayes_scaling.errors import InputError
from bayes_scaling.fitted import Fit
from bayes_scaling.fitting import MOST_CHAINS, build_density, fit, fit_many, versions
from bayes_scaling.law import Law, get_law
from bayes_scaling.model import Settings
from bayes_scaling.progress import follow
from bayes_scaling.reading import as_runs
from bayes_scaling.runs import Runs

CHAINS = (4, 16, 64, 256, 1024, 4096)
SETS = (1, 4, 16, 64, 256, 1024)
RUNS = (100, 1_000, 10_000, 100_000, 1_000_000)
AXES = ("chains", "data sets", "runs")
_SHORT, _LONG = 1.0, 5.0  # seconds: below, the median of three calls; above, the first call alone, whose own clock says what it compiled
_GRADIENTS = 2000


@dataclass(frozen=True)
class Point:
    """One measurement.

    Attributes
    ----------
    device : ``cpu`` or ``gpu``
    axis, size : one of `AXES`, and how many of them
    seconds : wall time of the call, without compiling
    first_seconds : wall time of the first such call, which compiles or loads what was compiled before
    ess : smallest bulk ESS over the coordinates, summed over data sets
    converged : share of the fits
    leapfrogs : gradients a draw, the mean of all fits
    peak_gb : memory of the process at its highest so far
    why : why nothing was measured; the numbers are then None
    """

    device: str
    axis: str
    size: int
    seconds: float | None = None
    first_seconds: float | None = None
    ess: float | None = None
    converged: float | None = None
    leapfrogs: float | None = None
    peak_gb: float | None = None
    why: str = ""

    @property
    def rate(self) -> float | None:
        """ESS a second, where every fit converged."""
        return None if self.ess is None or self.seconds is None or self.converged != 1 else self.ess / self.seconds


@dataclass(frozen=True)
class Bench:
    """Measurements of one run on one machine, and what they were made with.

    Attributes
    ----------
    law, data, chains, draws, precision : of the fits
    hardware, versions : of the machine
    gradient_us : by device, microseconds of one gradient of all chains of a fit of the data, compiled by itself
    driver_us : by device, microseconds of a fit's wall time for each of those gradients
    points : in the order of measuring
    """

    law: str
    data: str
    chains: int
    draws: int
    precision: int
    created: str
    hardware: dict[str, Any]
    versions: dict[str, str]
    gradient_us: dict[str, float]
    driver_us: dict[str, float]
    points: tuple[Point, ...] = ()

    @property
    def devices(self) -> tuple[str, ...]:
        return tuple(self.hardware["devices"])

    def series(self, device: str, axis: str) -> list[Point]:
        """Return what was measured on a device along an axis, by size."""
        return [point for point in self.points if (point.device, point.axis) == (device, axis) and point.seconds is not None]

    def crossover(self, axis: str) -> float | None:
        """Return the size from which on the GPU is faster, between the sizes measured; None where it never is, or there is no GPU.

        0 where it is faster at every size.
        """
        times = [{point.size: point.seconds or np.nan for point in self.series(device, axis)} for device in ("cpu", "gpu")]
        both = sorted(times[0].keys() & times[1].keys())
        lead = [float(np.log(times[1][size] / times[0][size])) for size in both]  # negative where the GPU is faster
        if not lead or lead[-1] >= 0:
            return None
        slower = [i for i, value in enumerate(lead) if value >= 0]
        if not slower:
            return 0.0
        i = slower[-1]
        share = lead[i] / (lead[i] - lead[i + 1])
        return float(both[i] ** (1 - share) * both[i + 1] ** share)

    def record(self) -> dict[str, Any]:
        """Return everything as plain numbers and text, in the form of the JSON file."""
        rates = [{**asdict(point), "ess_per_second": point.rate} for point in self.points]
        return {**asdict(self), "points": rates, "crossover": {axis: self.crossover(axis) for axis in AXES}}

    def __str__(self) -> str:
        from bayes_scaling.bench_plot import bench_text

        return bench_text(self)


def bench(
    law: str | Path | Law = "chinchilla",
    runs: Runs | Any = "ladder",
    *,
    chains: Sequence[int] = CHAINS,
    data_sets: Sequence[int] = SETS,
    sizes: Sequence[int] = RUNS,
    device: str = "auto",
    draws: int = 1000,
    precision: int = 64,
    limit: float = 60.0,
    seed: int = 0,
    each: Callable[[Bench], object] = lambda _: None,
) -> Bench:
    """Measure how fast posteriors come, on every device that the machine has.

    Parameters
    ----------
    law, runs : what is fitted, as `bayes_scaling.fit` takes them
    chains : of one fit of the runs
    data_sets : of as many runs, fitted side by side by `bayes_scaling.fit_many`, 4 chains each
    sizes : numbers of runs of one data set, 4 chains
    device : ``auto``, all that there are; or ``cpu`` or ``gpu`` alone
    draws : kept draws a chain
    limit : seconds; what would take longer, going by the size before it, is not measured, and said so
    each : called after every measurement with all so far

    Raises
    ------
    InputError
        If a number cannot be used, or the law cannot be simulated from.
    """
    named, given = get_law(law), as_runs(runs)
    for name, values, least, most in (("chains", chains, 2, MOST_CHAINS), ("data_sets", data_sets, 1, 10**6), ("sizes", sizes, 10, 10**7)):
        for value in values:
            if not least <= value <= most:
                raise InputError(f"{name}: {value} must be between {least} and {most}")
    if not (chains or data_sets or sizes):
        raise InputError("nothing to measure: name chains, data sets or runs")
    if not limit > 0:
        raise InputError(f"limit = {limit} must be more than 0 seconds")
    devices = _devices(device)
    base = fit(named, given, draws=draws, precision=precision, seed=seed, device=next(iter(devices)))
    if base.law.model is not None or base.noise.within:
        raise InputError(f"law '{named.name}' with {base.noise.name} noise cannot be simulated run by run: choose another to measure with")
    options: dict[str, Any] = {"draws": draws, "precision": precision}
    if named.alternatives:
        options["input"] = base.law.input_names[0]
    found = Bench(
        base.law.name, given.source, 4, draws, precision, datetime.now(UTC).isoformat(timespec="seconds"),
        {**hardware(), "devices": devices}, versions(), {}, {},
    )  # fmt: skip
    wanted = dict(zip(AXES, (chains, data_sets, sizes), strict=True))
    planned = [(name, axis, size) for name in devices for axis in AXES for size in sorted(set(wanted[axis]))]
    for name, axis, size in follow(planned, "measurements", len(planned)):
        if name not in found.gradient_us:
            found.gradient_us[name], found.driver_us[name] = _gradients(base, named, {**options, "device": name})
        last = next((point for point in reversed(found.points) if (point.device, point.axis) == (name, axis)), None)
        point = _measured(base, named, Point(name, axis, size), last, {**options, "device": name}, limit, seed)
        found = replace(found, points=(*found.points, point))
        each(found)
    return found


def hardware() -> dict[str, Any]:
    """Return the processor, its cores and the memory of this machine."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        name = models[0] if models else name
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}) else 0
    return {"cpu": name, "cores": cores(), "memory_gb": round(pages / 1e9, 1)}


def _devices(wanted: str) -> dict[str, str]:
    """Return the kind of each device to measure on, by name."""
    from bayes_scaling.engine import choose_device, gpu_present

    names = [wanted] if wanted != "auto" else ["cpu", *(["gpu"] if gpu_present() else [])]
    return {name: str(choose_device(name).device_kind) for name in names}


def _measured(base: Fit, law: Law, point: Point, last: Point | None, options: dict[str, Any], limit: float, seed: int) -> Point:
    """Measure a point, unless the one before it says that it would take too long."""
    if last is not None and last.why:
        return replace(point, why=f"more than {last.size} {point.axis}, which were not measured")
    if last is not None and last.seconds is not None:
        expected = last.seconds * point.size / last.size
        if expected > limit:
            return replace(point, why=f"would take some {expected:.0f} s, more than the limit of {limit:g} s")
    try:
        return _timed(point, _work(base, law, point, options, seed))
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return replace(point, why="out of memory")


def _work(base: Fit, law: Law, point: Point, options: dict[str, Any], seed: int) -> Callable[[int], Iterator[Fit]]:
    """Return what makes the fits of a point, from a seed of its own: data are the same for all."""
    if point.axis == "chains":
        return lambda seed: iter([fit(law, base.runs, chains=point.size, seed=seed, **options)])
    count, runs = (point.size, base.runs) if point.axis == "data sets" else (1, _resampled(base.runs, point.size, seed))
    names = (*base.law.parameter_names, *base.noise.parameter_names)
    truth = {name: float(np.median(base.parameters()[name])) for name in names}
    _, data, _ = simulate_runs(base.law, base.noise, truth, count, runs, seed)
    return lambda seed: (found for _, found in fit_many(law, data, seed=seed, noise=base.noise, **options))


def _resampled(runs: Runs, size: int, seed: int) -> Runs:
    return runs.subset(np.random.default_rng(seed).integers(len(runs), size=size))


def _gradients(base: Fit, law: Law, options: dict[str, Any]) -> tuple[float, float]:
    """Return microseconds of a gradient of four chains compiled by itself, and of a second fit's wall time for each of its gradients."""
    import jax

    from bayes_scaling import engine

    fit(law, base.runs, seed=1, **options)
    begin = time.perf_counter()
    second = fit(law, base.runs, seed=2, **options)
    spent = time.perf_counter() - begin
    told = second.attributes
    steps = second.stats["n_steps"]
    gradients = (told["warmup"] + steps.shape[1] * told["thin"]) * told["attempts"] * float(steps.mean())
    bits = np.float64 if options["precision"] == 64 else np.float32
    with jax.enable_x64(options["precision"] == 64), jax.default_device(engine.choose_device(options["device"])):
        columns, weight = engine.pad(
            {name: values.astype(bits) for name, values in base.runs.model_columns(base.noise.columns(base.law)).items()}
        )
        weight = weight.astype(bits)
        density = build_density(base.law, base.noise, Settings({}, {}), columns, weight)

        @jax.jit
        def down(z: jax.Array, columns: Any, weight: Any) -> jax.Array:
            slope = jax.vmap(lambda z: density.slope(z, columns, weight)[1])
            return jax.lax.fori_loop(0, _GRADIENTS, lambda _, z: z - 1e-9 * slope(z), z)  # each needs the one before it

        values = {name: np.median(base.parameters()[name]) for name in density.sites}
        z = np.tile(np.asarray(density.unconstrain(values, columns, weight)), (4, 1))
        down(z, columns, weight).block_until_ready()
        begin = time.perf_counter()
        down(z, columns, weight).block_until_ready()
        alone = time.perf_counter() - begin
    return 1e6 * alone / _GRADIENTS, 1e6 * spent / gradients


def _timed(point: Point, work: Callable[[int], Iterator[Fit]]) -> Point:
    """Time calls after one that compiled what they need; of a long one, that one, less what it says that it spent on compiling."""
    import resource

    fits, first = _wall(work, 1)
    compiling = max(item.attributes["timing"]["compile_s"] for item in fits)  # of fits side by side, each has the time of all
    if first - compiling < _LONG:
        timed = [_wall(work, seed) for seed in range(2, 5 if first - compiling < _SHORT else 3)]
        fits, seconds = [item for found, _ in timed for item in found], float(np.median([spent for _, spent in timed]))
    else:
        timed, seconds = [(fits, first)], first - compiling
    return replace(
        point,
        seconds=seconds,
        first_seconds=first,
        ess=float(np.sum([item.diagnosis.min_ess_bulk for item in fits])) / len(timed),
        converged=float(np.mean([item.diagnosis.converged for item in fits])),
        leapfrogs=float(np.mean([item.stats["n_steps"].mean() for item in fits])),
        peak_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9,
    )


def _wall(work: Callable[[int], Iterator[Fit]], seed: int) -> tuple[list[Fit], float]:
    begin = time.perf_counter()
    fits = list(work(seed))
    return fits, time.perf_counter() - begin
