"""From a density to draws that can be trusted: modes, whitened coordinates, a short warm-up, and more of it where that was not enough.

The first attempt trusts the geometry at the mode: coordinates whitened by the Hessian there, and a short warm-up. The draws decide
whether that was enough; where it was not, the next attempt whitens by the covariance of the draws and pays for a longer warm-up and
smaller steps. Where nothing is wrong but that there are too few effective draws, the chains simply go on. Speed never buys a worse
posterior: the last attempt's diagnostics are reported, good or bad.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.engine import convergence
from bayes_scaling.engine.chains import Chains, Lanes, Sites, Work
from bayes_scaling.engine.density import Density
from bayes_scaling.engine.ensemble import MOST_RHAT, Walkers
from bayes_scaling.engine.groups import Recentring
from bayes_scaling.engine.importance import Kept, independence_chains, log_density_at, may_serve
from bayes_scaling.engine.modes import FEW_ITERATIONS, FEW_STARTS, ITERATIONS, NEARBY, SEARCHES, Modes, distinct, locate
from bayes_scaling.engine.programs import program
from bayes_scaling.errors import InputError

_SEARCHED_ROWS = 4096  # modes are searched for on so many rows at most, and then followed on all
_WALKED_ROWS = 4096  # at most, for an ensemble: many rows make normal posteriors, and its many points dear
_MANY = 64  # coordinates
_FOLLOWED = 4  # modes that are followed
AUTO, NUTS, IMPORTANCE = METHODS = ("auto", "nuts", "importance")
AT_MODES, OF_PRIOR = STARTS = ("modes", "prior")
_TRIED = 16  # points of the prior for each chain that begins at one: the density may be infinite at some
ENSEMBLE = "ensemble"  # no method to ask for: where others turn to


@dataclass(frozen=True)
class Attempt:
    """How hard to try: warm-up iterations, target acceptance, iterations a kept draw."""

    warmup: int
    target: float
    thin: int = 1


ATTEMPTS = (Attempt(200, 0.9), Attempt(1000, 0.95), Attempt(1000, 0.99, 4))
_LONGER = 4  # times as many iterations, where chains need nothing but more of them


@dataclass(frozen=True)
class Sampler:
    """Settings of the sampler.

    Parameters
    ----------
    chains, draws : kept draws are chains x draws
    warmup : iterations before the first kept draw; None lets the engine choose; further attempts take at least 1000
    seed : of everything random
    persistent : whether to try again, more carefully, while the draws are not good
    method : ``nuts``; ``auto``: the no-U-turn sampler, and an ensemble of walkers where its first attempt was not good; or ``importance``:
        independence chains where they are certified to cover the posterior, an ensemble elsewhere, whose draws are then what there is, good
        or not: a batch must not wait minutes for a posterior that some do not need. Where neither can serve, the no-U-turn sampler draws
    starts : where trajectories begin: about the ``modes``, or scattered as the ``prior`` is, mostly far wider than the posterior, which
        shows whether chains forget where they began
    """

    chains: int = 4
    draws: int = 1000
    warmup: int | None = None
    seed: int = 0
    persistent: bool = True
    method: str = AUTO
    starts: str = AT_MODES

    def attempts(self) -> tuple[Attempt, ...]:
        first, *further = ATTEMPTS if self.persistent else ATTEMPTS[:1]
        if self.warmup is None:
            return first, *further
        return replace(first, warmup=self.warmup), *(replace(attempt, warmup=max(self.warmup, attempt.warmup)) for attempt in further)


@dataclass(frozen=True)
class Draws:
    """What the sampler returns.

    Attributes
    ----------
    sites : site name -> array (chains, draws, ...), latent and deterministic
    unconstrained : flat coordinates, (chains, draws, size)
    stats : name -> (chains, draws): diverging, lp, n_steps, acceptance_rate; of trajectories energy and step_size, too
    ebfmi : energy Bayesian fraction of missing information, the smallest over chains, of all iterations (thinned or not); None without
        energies
    modes : where the optimiser's searches ended
    attempt : the settings of the attempt that these draws are from
    attempts : how many attempts were made
    compile_seconds, sample_seconds : wall time spent on getting programs, and on everything else; beside others it is their time, too
    method : that the draws are from: ``nuts``, ``importance`` or ``ensemble``
    pareto_k : of the importance weights, of draws by importance
    walker_rhat : the largest R-hat over walkers, of draws by an ensemble
    """

    sites: dict[str, np.ndarray]
    unconstrained: np.ndarray
    stats: dict[str, np.ndarray]
    ebfmi: float | None
    modes: Modes
    attempt: Attempt
    attempts: int
    compile_seconds: float = 0.0
    sample_seconds: float = 0.0
    method: str = NUTS
    pareto_k: float | None = None
    walker_rhat: float | None = None

    @cached_property
    def convergence(self) -> dict[str, np.ndarray]:
        """R-hat and ESS of everything whose convergence matters: sampled coordinates, and derived values as read."""
        shape = self.unconstrained.shape[:2]
        derived = [np.reshape(values, (*shape, -1)) for values in self.sites.values()]
        every = np.concatenate([self.unconstrained, *derived], axis=-1)
        return convergence.statistics(every[..., ~(np.ptp(every, axis=(0, 1)) == 0)])  # a NaN is to be seen

    def timed(self, compile_seconds: float, sample_seconds: float) -> Draws:
        """Return the same draws with what they took; their convergence is not worked out again."""
        found = replace(self, compile_seconds=compile_seconds, sample_seconds=sample_seconds)
        if "convergence" in vars(self):
            vars(found)["convergence"] = self.convergence
        return found


@dataclass
class _Clock:
    compile_seconds: float = 0.0
    start: float = field(default_factory=time.perf_counter)

    def time[T](self, compiling: Callable[[], T]) -> T:
        begin = time.perf_counter()
        try:
            return compiling()
        finally:
            self.compile_seconds += time.perf_counter() - begin


@dataclass(frozen=True)
class Task:
    """A data set to sample: padded columns and weight of shape (runs,), settings, and whom to tell (iterations done, planned)."""

    columns: Mapping[str, np.ndarray]
    weight: np.ndarray
    settings: Sampler
    progress: Callable[[int, int], None] | None = None

    def random(self, purpose: str, number: int = 0) -> np.random.Generator:
        """Return random numbers that nothing else uses: no other data set, and no user who simulated runs with this seed."""
        return np.random.default_rng(np.random.SeedSequence(self.settings.seed, spawn_key=(*purpose.encode(), number, *self._digest)))

    @cached_property
    def _digest(self) -> tuple[int, ...]:
        """The data in eight words: the same seed and data set draw the same, wherever and beside whatever they are drawn."""
        digest = hashlib.sha256()
        for name in sorted(self.columns):
            digest.update(name.encode() + b"\0" + np.ascontiguousarray(self.columns[name]).tobytes())
        digest.update(np.ascontiguousarray(self.weight).tobytes())
        return tuple(int(word) for word in np.frombuffer(digest.digest(), "<u4"))


def sample_each(density: Density, tasks: Sequence[Task], device: Any, lanes: int = 1) -> Iterator[tuple[int, Draws | InputError]]:
    """Draw from the posterior of each data set, so many at a time; yield (its place, its draws) as they are done.

    A data set whose posterior has no place to start from yields the error that says so, and the others go on.

    Must run, each time that it is asked for more, under the caller's choice of ``jax.enable_x64`` and with arrays of that precision. What a
    data set draws depends on its data and settings alone.

    Parameters
    ----------
    density : the posterior of a data set
    tasks : data sets of one shape, with as many chains each
    lanes : data sets that are worked at side by side
    """
    tried = [place for place, task in enumerate(tasks) if task.settings.method == IMPORTANCE and may_serve(density)]
    left = set(range(len(tasks)))
    for place, found in zip(tried, _by_importance(density, [tasks[place] for place in tried], device), strict=True):
        if found is not None:
            left.remove(place)
            yield place, found
    places = sorted(left)
    for number, found in _by_trajectories(density, [tasks[place] for place in places], device, lanes):
        yield places[number], found


def _by_importance(density: Density, tasks: Sequence[Task], device: Any) -> Iterator[Draws | InputError | None]:
    """Yield, for each data set, its draws, good or not; or None where there is no point to begin from."""
    if not tasks:
        return
    clock = _Clock()
    first = density.arguments(tasks[0].columns, tasks[0].weight)
    sites = clock.time(lambda: Sites(density, first, tasks[0].settings.chains, device))
    log_density = clock.time(lambda: log_density_at(density, first, device))
    walkers = Walkers(density, first, tasks[0].settings.chains, device)
    for task in tasks:
        # Programs that serve all are the first one's expense.
        start, before = (clock.start, 0.0) if task is tasks[0] else (time.perf_counter(), clock.compile_seconds)
        try:
            modes = _searched(density, task, device, clock)
        except InputError as error:
            yield error
            continue
        draws = _without_gradients(log_density, walkers, sites, modes, task, clock)
        compiling = clock.compile_seconds - before
        spent = time.perf_counter() - start - compiling
        yield draws if draws is None else draws.timed(compiling, spent)


def _without_gradients(
    log_density: Callable[[np.ndarray, tuple], np.ndarray], walkers: Walkers, sites: Sites, modes: Modes, task: Task, clock: _Clock
) -> Draws | None:
    """Return draws of independence chains, or else of an ensemble; None where there is no point to begin from."""
    data, settings = sites.density.arguments(task.columns, task.weight), task.settings
    held = jax.device_put(data, sites.device)
    found = independence_chains(lambda z: log_density(z, held), modes, settings.chains, settings.draws, task.random("importance"))
    if isinstance(found, Kept):
        draws = _without_energies(found, sites, data, modes, 1)
        if _good(draws):  # of what is derived, too
            return draws
        found = found.z.reshape(-1, sites.density.size)
    return None if found is None else _walked(walkers, found, sites, modes, task, clock, 1)


def _walked(walkers: Walkers, about: np.ndarray, sites: Sites, modes: Modes, task: Task, clock: _Clock, attempts: int) -> Draws:
    """Return the draws of an ensemble that begins at points (point, size), good or not."""
    clock.time(lambda: walkers.block)
    data, settings = walkers.density.arguments(task.columns, task.weight), task.settings
    found = walkers(about, settings.draws, data, task.random("walkers"), persistent=settings.persistent, progress=task.progress)
    return _without_energies(found, sites, data, modes, attempts)


def _without_energies(found: Kept, sites: Sites, data: tuple, modes: Modes, attempts: int) -> Draws:
    """Return draws that no trajectories led to."""
    stats = {
        "diverging": np.zeros(found.potential.shape, bool),
        "lp": -found.potential,
        "n_steps": np.full(found.potential.shape, found.thin),
        "acceptance_rate": found.acceptance,
    }
    method = ENSEMBLE if found.pareto_k is None else IMPORTANCE
    certified = {"method": method, "pareto_k": found.pareto_k, "walker_rhat": found.walker_rhat}
    return Draws(sites(found.z, data), found.z, stats, None, modes, Attempt(0, 0.0, found.thin), attempts, **certified)


def _good(draws: Draws) -> bool:
    """Whether draws need no further attempt."""
    agree = draws.walker_rhat is None or draws.walker_rhat < MOST_RHAT
    return agree and convergence.good(draws.convergence, draws.stats["diverging"], draws.ebfmi)


def _by_trajectories(density: Density, tasks: Sequence[Task], device: Any, lanes: int) -> Iterator[tuple[int, Draws | InputError]]:
    """Yield the place and the draws by the no-U-turn sampler of each data set, as they are done."""
    if not tasks:
        return
    clock = _Clock()
    first = density.arguments(tasks[0].columns, tasks[0].weight)
    chains = tasks[0].settings.chains
    # Programs are compiled while modes are searched for.
    program = clock.time(lambda: Lanes(density, first, chains, lanes, device))
    sites = clock.time(lambda: Sites(density, first, chains, device))
    recentre = clock.time(lambda: Recentring(density, first, device)) if density.pools else None
    walkers = Walkers(density, first, chains, device) if may_serve(density) and len(first[1]) <= _WALKED_ROWS else None

    def work(task: Task) -> Work[Draws | InputError]:
        # Programs that serve all are the first one's expense.
        start, before = (clock.start, 0.0) if task is tasks[0] else (time.perf_counter(), clock.compile_seconds)
        try:
            modes = _searched(density, task, device, clock)
            clock.time(program.ready)
            draws = yield from _attempts(task, modes, sites, recentre, walkers, clock)
        except InputError as error:
            return error
        compiling = clock.compile_seconds - before
        return draws.timed(compiling, time.perf_counter() - start - compiling)

    yield from program.run(work(task) for task in tasks)


def _attempts(task: Task, modes: Modes, sites: Sites, recentre: Recentring | None, walkers: Walkers | None, clock: _Clock) -> Work[Draws]:
    """Draw, look at the draws, and try harder while they are not good."""
    data, settings, progress = sites.density.arguments(task.columns, task.weight), task.settings, task.progress
    centre, whitening = modes.points[0], modes.whitening()
    # Where the modes only tell where to begin, or chains begin elsewhere, a short warm-up cannot do.
    far = _brief(sites.density) or settings.starts == OF_PRIOR
    attempts = settings.attempts()[1 if far and settings.persistent else 0 :]
    for number, attempt in enumerate(attempts):
        rng = task.random("positions", number)
        if settings.starts == OF_PRIOR:
            start = _points_of_prior(sites, data, settings.chains, rng, clock)
        else:
            start = _starting_points(modes, whitening, settings.chains, rng)
        report = _Report(progress, attempt.warmup + settings.draws * attempt.thin) if progress is not None else None
        chains = Chains(data, start, centre, whitening, task.random("draws", number), report=report, recentre=recentre)
        yield from chains.warm_up(attempt.warmup, attempt.target)
        z, told = yield from chains.draw(settings.draws * attempt.thin)
        draws = _kept(z, told, sites, chains.data, modes, attempt, number + 1)
        verdict = draws.convergence, draws.stats["diverging"], draws.ebfmi
        if settings.persistent and attempt.thin == 1 and convergence.promising(*verdict, _LONGER):
            # To go on costs less than another warm-up and the smaller steps of another attempt.
            further = (_LONGER - 1) * z.shape[1]
            if report is not None:
                report.total += further
            more, also = yield from chains.draw(further)
            z = np.concatenate([z, more], axis=1)
            told = {name: np.concatenate([values, also[name]], axis=1) for name, values in told.items()}
            draws = _kept(z, told, sites, chains.data, modes, replace(attempt, thin=_LONGER * attempt.thin), number + 1)
        if number + 1 == len(attempts) or _good(draws):
            return draws
        pooled = draws.unconstrained.reshape(-1, z.shape[2])
        if number == 0 and walkers is not None and settings.method == AUTO:
            order = task.random("order").permutation(len(pooled))
            walked = _walked(walkers, pooled[order], sites, modes, task, clock, number + 2)
            if _good(walked):
                return walked
            pooled = walked.unconstrained.reshape(pooled.shape)
        if recentre is not None:  # the modes, from which the next attempt begins
            modes = replace(modes, points=recentre.move(modes.points, data, chains.data[2]))
            data = chains.data
        centre = pooled.mean(axis=0)
        covariance = np.atleast_2d(np.cov(pooled.T))
        if np.all(np.isfinite(covariance)):
            whitening = np.linalg.cholesky(covariance + 1e-8 * np.diag(np.diagonal(covariance) + 1e-300))
    raise AssertionError("there is at least one attempt")


class _Report:
    """Counts the iterations of an attempt."""

    def __init__(self, progress: Callable[[int, int], None], total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def __call__(self, length: int) -> None:
        self.done += length
        self.progress(self.done, self.total)


def _searched(density: Density, task: Task, device: Any, clock: _Clock) -> Modes:
    normals = task.random("starts").standard_normal((FEW_STARTS if _brief(density) else SEARCHES, density.size))
    return _find_modes(density, task.columns, task.weight, normals, device, clock)


def _find_modes(
    density: Density, columns: Mapping[str, np.ndarray], weight: np.ndarray, normals: np.ndarray, device: Any, clock: _Clock
) -> Modes:
    """Search from points scattered as the prior; with many rows on some of them first, then on all from where that ended."""
    rows = len(weight)
    data = jax.device_put((dict(columns), weight), device)
    if rows <= _SEARCHED_ROWS:

        def search(normals: jax.Array, data: Any) -> Any:
            starts = jax.vmap(lambda one: density.scatter(one, *data))(normals)
            return locate(density, starts, *data, iterations=FEW_ITERATIONS if _brief(density) else ITERATIONS)

        starts = jax.device_put(normals.astype(weight.dtype), device)
        compiled = clock.time(lambda: program("locate", search, (starts, data), (density.fingerprint,), device))
        return distinct(*(np.asarray(part) for part in compiled(starts, data)))
    chosen = np.sort(np.random.default_rng(0).choice(int(weight.sum()), _SEARCHED_ROWS, replace=False))
    some = {name: values[chosen] for name, values in columns.items()}, weight[chosen]
    smaller = Density(density.model, *some, density.shears, density.sums)
    first = _find_modes(smaller, *some, normals, device, clock)
    arguments = jax.device_put((first.points[np.arange(_FOLLOWED) % len(first.points)], some, data), device)

    def follow(ends: jax.Array, some: Any, data: Any) -> Any:
        # The same values have other coordinates beside other runs.
        starts = jax.vmap(lambda end: density.flatten(smaller.unflatten(end, *some), *data))(ends)
        return locate(density, starts, *data, one_by_one=True)

    compiled = clock.time(lambda: program("follow", follow, arguments, (density.fingerprint,), device))
    return distinct(*(np.asarray(part) for part in compiled(*arguments)))


def _brief(density: Density) -> bool:
    """Whether a search is only to find a place to begin.

    Where many groups are pooled, the highest density is at values that fit some runs exactly, far from the mass, and searching for it costs
    more than sampling.
    """
    return bool(density.pools) and density.size > _MANY


def _starting_points(modes: Modes, whitening: np.ndarray, chains: int, rng: np.random.Generator) -> np.ndarray:
    """Return starting points, (chains, size): scattered about the modes, so that chains disagree if modes are not joined."""
    nearby = modes.points[modes.potentials < modes.potentials[0] + NEARBY]
    at = np.array([nearby[chain % len(nearby)] for chain in range(chains)])
    return at + rng.normal(size=at.shape) @ whitening.T


def _points_of_prior(sites: Sites, data: tuple, chains: int, rng: np.random.Generator, clock: _Clock) -> np.ndarray:
    """Return starting points, (chains, size), scattered as the prior is: those of the points tried where the density is finite."""
    density, device = sites.density, sites.device
    normals = rng.standard_normal((_TRIED * chains, density.size)).astype(data[1].dtype)

    def scattered(normals: jax.Array, data: tuple) -> tuple[jax.Array, jax.Array]:
        z = jax.vmap(lambda one: density.scatter(one, *data[:2]))(normals)
        potentials, slopes = jax.lax.map(lambda one: density.slope(one, *data), z)
        return z, jnp.isfinite(potentials) & jnp.isfinite(slopes).all(axis=1)

    arguments = jax.device_put((normals, data), device)
    compiled = clock.time(lambda: program("scattered", scattered, arguments, (density.fingerprint,), device))
    z, possible = (np.asarray(part) for part in compiled(*arguments))
    if possible.sum() < chains:
        raise InputError(
            f"the posterior density is finite at {possible.sum()} of {len(z)} points of the prior: chains cannot begin at these"
        )
    return z[possible][:chains].astype(float)


def _kept(z: np.ndarray, told: dict[str, np.ndarray], sites: Sites, data: Any, modes: Modes, attempt: Attempt, attempts: int) -> Draws:
    """Return the draws that an attempt keeps of all its iterations, (chain, iteration, size)."""
    # Of all iterations: what happens between kept draws counts.
    information = convergence.ebfmi(told["energy"])
    diverging = told["diverging"].reshape(len(z), -1, attempt.thin).any(axis=2)
    z, told = jax.tree.map(lambda values: values[:, :: attempt.thin], (z, told))
    stats = {**told, "lp": -told["potential"], "n_steps": told["n_steps"].astype(int), "diverging": diverging}
    del stats["potential"]
    return Draws(sites(z, data), z, stats, information, modes, attempt, attempts)
