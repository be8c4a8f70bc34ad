"""From a job to the fits that it asks for, each known by what decides its result, and to chunks of them for workers."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from bayes_scaling import __version__
from bayes_scaling.batch.job import Job, LawOptions
from bayes_scaling.errors import InputError
from bayes_scaling.fitting import Options, versions
from bayes_scaling.law import Law, get_law
from bayes_scaling.model import Settings, check_fixed, model_priors
from bayes_scaling.noise import noise_of
from bayes_scaling.priors import parse_prior, prior_text
from bayes_scaling.reading import read_groups, read_runs
from bayes_scaling.runs import Runs

ALL = "all"  # label of the only group of a job that names no columns
_CHUNK, _OF_A_LANE = 16, 4  # fits in a chunk: more are hardly faster, show less of how far a job is, and are lost together
_SHARD = 64e6  # bytes of a chunk's outcomes at most: they travel as one message, and are held and written as one file
_PROCESS = 900e6  # bytes of a worker with its programs, measured (benchmarks/batch.py)
_OF_A_DRAW = 41  # bytes of sampler statistics


@dataclass(frozen=True, eq=False)
class Wanted:
    """A fit that a job asks for: ``key`` is the hash of everything that decides its result; without ``runs``, ``reason`` says why not."""

    key: str
    law: str
    group: str
    runs: Runs | None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Chunk:
    """Fits of one law for a worker: everything that it needs to know."""

    law: str
    law_hash: str
    options: LawOptions
    sampler: Mapping[str, Any]
    lanes: int
    keep_draws: bool
    loo: bool
    fits: tuple[Wanted, ...]

    def alone(self) -> list[Chunk]:
        """Return a chunk for each of the fits: one of them may be what kills a worker."""
        return [replace(self, fits=(one,), lanes=1) for one in self.fits]


@dataclass(frozen=True, eq=False)
class Plan:
    """The fits of a job, those that cannot be made among them."""

    job: Job
    fits: tuple[Wanted, ...]
    laws: Mapping[str, Law]

    @cached_property
    def possible(self) -> dict[str, Wanted]:
        """Fits by key."""
        return {one.key: one for one in self.fits if one.runs is not None}

    @cached_property
    def impossible(self) -> list[Wanted]:
        """Fits that cannot be made."""
        return [one for one in self.fits if one.runs is None]

    @cached_property
    def data_hash(self) -> str:
        """sha256 over the runs of all groups."""
        found = {one.group: one.runs.data_hash if one.runs is not None else one.reason for one in self.fits}
        return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()

    def chunks(self, todo: Iterable[Wanted], lanes: int, workers: int) -> list[Chunk]:
        """Return chunks of fits that one program serves, so that each of the workers has something to do.

        Laws take their turns, so that the time left is told by all of them from early on.
        """
        from bayes_scaling.engine import bucket

        most = self._chunk(lanes)
        alike: dict[tuple[str, int], list[Wanted]] = {}
        for one in todo:
            assert one.runs is not None
            alike.setdefault((one.law, bucket(len(one.runs))), []).append(one)
        job, found = self.job, list[tuple[float, Chunk]]()
        for (law, _), fits in alike.items():
            given = law, self.laws[law].origin_hash, job.options_of(law), _sampler(job), lanes, job.keep_draws, job.loo
            size = min(most, math.ceil(len(fits) / workers))
            found += [(start / len(fits), Chunk(*given, tuple(fits[start : start + size]))) for start in range(0, len(fits), size)]
        return [chunk for _, chunk in sorted(found, key=lambda item: item[0])]

    def _chunk(self, lanes: int) -> int:
        """Return how many fits a chunk has at most."""
        largest = max((self.bytes_of(one) for one in self.possible.values()), default=1)
        return self.job.chunk or max(1, min(max(_CHUNK, _OF_A_LANE * lanes), int(_SHARD / largest)))

    def bytes_of(self, one: Wanted) -> int:
        """Return about how many bytes of disk a fit takes: draws and statistics, before compression; runs and record."""
        runs = one.runs
        assert runs is not None
        return self._draw_bytes[one.law] + 8 * len(runs) * (len(runs.columns) + 2) + 4096

    @cached_property
    def _draw_bytes(self) -> dict[str, int]:
        """Bytes of the draws and statistics of a fit, by law."""
        found = {}
        for name, law in self.laws.items():
            noise = noise_of(law, self.job.options_of(name).noise)
            values = len(law.parameters) + len(law.derive(dict.fromkeys(law.parameter_names, 1.0))) + len(noise.parameters)
            found[name] = self.job.chains * self.job.draws * (8 * values + _OF_A_DRAW) if self.job.keep_draws else 0
        return found

    def worker_bytes(self, lanes: int) -> int:
        """Return about how many bytes a worker takes: itself, the draws of a chunk, and what its lanes compute."""
        most = max(self.possible.values(), key=lambda one: len(one.runs or ()), default=None)
        if most is None:
            return int(_PROCESS)
        rows = len(most.runs or ())
        computed = lanes * self.job.chains * rows * 8 * 40  # intermediate values a row
        judged = self.job.chains * self.job.draws * rows * 8 * 3 if self.job.loo else 0
        return int(_PROCESS + self._chunk(lanes) * self.bytes_of(most) + computed + judged)


def make_plan(job: Job) -> Plan:
    """Read a job's data, and check what can be checked before anything is fitted.

    Raises
    ------
    InputError, LawError, FileError
        If the data as a whole, a law or an option cannot be used. A group that cannot is no error: its fits say why.
    """
    laws = {name: _checked(name, job) for name in job.laws}
    reading = {name: getattr(job, name) for name in ("map", "units", "where", "curve", "join", "on", "drop_invalid", "drop_duplicates")}
    groups = read_groups(job.data, job.group, **reading) if job.group else {ALL: read_runs(job.data, **reading)}
    fits = []
    for law in job.laws:
        identity = _identity(laws[law], law, job)
        for label, runs in groups.items():
            if isinstance(runs, InputError):
                fits.append(Wanted("", law, label, None, str(runs)))
            else:
                text = json.dumps({**identity, "group": label, "data": runs.data_hash}, sort_keys=True)
                fits.append(Wanted(hashlib.sha256(text.encode()).hexdigest()[:32], law, label, runs))
    return Plan(job, tuple(fits), laws)


def priors_of(options: LawOptions) -> dict[str, Any]:
    """Return the priors of a law's options as distributions."""
    return dict(parse_prior(f"{name}={text}") for name, text in options.prior.items())


def _checked(name: str, job: Job) -> Law:
    """Return a law whose options can be used."""
    law, options = get_law(name), job.options_of(name)
    Options(**_sampler(job))  # its numbers
    noise = noise_of(law, options.noise)
    settings = Settings(dict(options.fix), priors_of(options))
    own = law.with_input(options.input) if options.input is not None else law
    model_priors(own, noise, settings)
    check_fixed(own, noise, settings.fixed)
    return law


def _sampler(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in ("chains", "draws", "warmup", "seed", "precision", "method", "device")}


def _identity(law: Law, name: str, job: Job) -> dict[str, Any]:
    """Return what decides a fit's result, besides its runs."""
    options = job.options_of(name)
    return {
        "law": law.name,
        "law_hash": law.origin_hash,
        "noise": noise_of(law, options.noise).name,
        "input": options.input,
        "fix": dict(options.fix),
        "prior": {key: prior_text(prior) for key, prior in priors_of(options).items()},
        "sampler": _sampler(job),
        "kept": [job.keep_draws, job.loo],
        "versions": {"bayes_scaling": __version__, **{name: versions()[name] for name in ("jax", "numpyro")}},
    }
