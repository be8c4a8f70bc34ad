"""run_job(): from a job to a store that holds all of its fits, whatever interrupted it on the way."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bayes_scaling import __version__
from bayes_scaling.batch import crew as crews
from bayes_scaling.batch.crew import ChunkError, Crew, WorkerLostError
from bayes_scaling.batch.job import Job, read_job
from bayes_scaling.batch.plan import Chunk, Plan, Wanted, make_plan
from bayes_scaling.batch.store import Store, Writer, open_writer
from bayes_scaling.batch.work import ATTENTION, FAILED, OK, Outcome, failed
from bayes_scaling.errors import BatchError, BayesScalingError, FileError, InputError
from bayes_scaling.fitting import lanes_on, versions


@dataclass(frozen=True)
class Forecast:
    """What running a job would do: fits kept and to do, impossible ones with their reasons, workers, bytes of memory and disk."""

    kept: int
    todo: int
    chunks: int
    impossible: tuple[tuple[str, str, str], ...]
    damaged: tuple[str, ...]
    stale: int
    workers: int
    lanes: int
    memory: int
    disk: int


def forecast(job: Job | str | Path) -> Forecast:
    """Return what running a job would do, without fitting anything or touching its folder."""
    job = job if isinstance(job, Job) else read_job(job)
    plan = make_plan(job)
    stored = Store(job.path, verify=True) if (job.path / "shards").is_dir() else None
    known = stored.found if stored is not None else {}
    todo = [one for key, one in plan.possible.items() if key not in known]
    environments, lanes = _local_workers(plan)
    return Forecast(
        kept=len(plan.possible) - len(todo),
        todo=len(todo),
        chunks=len(plan.chunks(todo, lanes, len(environments))),
        impossible=tuple((one.law, one.group, one.reason) for one in plan.impossible),
        damaged=tuple(path.name for path in stored.damaged) if stored is not None else (),
        stale=len(known) - (len(plan.possible) - len(todo)),
        workers=len(environments),
        lanes=lanes,
        memory=len(environments) * plan.worker_bytes(lanes),
        disk=sum(plan.bytes_of(one) for one in todo),
    )


@dataclass(frozen=True)
class Progress:
    """How far a batch is: fits wanted, kept from before, done now (by status), and impossible ones."""

    wanted: int
    kept: int
    ok: int
    attention: int
    failed: int
    impossible: int

    @property
    def done(self) -> int:
        return self.ok + self.attention + self.failed


class Batch:
    """A job under way: iterate over it for the outcomes as they come; afterwards ``rows`` holds the summary. Made by `run_job`."""

    def __init__(self, job: Job, cluster: str | None, retry: bool) -> None:
        self.job, self.cluster, self.retry = job, cluster, retry
        self.rows: list[dict[str, Any]] = []
        if cluster is not None:
            crews.require_address(cluster)
        self.plan = make_plan(job)
        self.kept = 0
        self.todo: list[Wanted] = []
        self._counts: dict[str, int] = dict.fromkeys((OK, ATTENTION, FAILED), 0)

    @property
    def progress(self) -> Progress:
        """How far it is now."""
        ok, attention, bad = (self._counts[status] for status in (OK, ATTENTION, FAILED))
        return Progress(len(self.plan.fits), self.kept, ok, attention, bad, len(self.plan.impossible))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        started = datetime.now(UTC)
        with open_writer(self.job.path) as store, _log(self.job.path / "log.txt") as log:
            self._look(store, log)
            about = {"job": _plain(self.job), "versions": {"bayes_scaling": __version__, **versions()}, "data_sha256": self.plan.data_hash}
            times = {"seed": self.job.seed, "started": started.isoformat(timespec="seconds")}
            try:
                if self.todo:
                    yield from self._work(store, log)
            except BaseException as error:
                log.info("stopped by %s: %s", type(error).__name__, error)
                raise
            finally:
                now = datetime.now(UTC)
                self.rows = store.conclude(self.plan, {**about, **times, "written": now.isoformat(timespec="seconds")})
            counts = {**self._counts, "impossible": len(self.plan.impossible)}
            log.info("done: %s", ", ".join(f"{count} {name}" for name, count in counts.items()))

    def _look(self, store: Writer, log: logging.Logger) -> None:
        """Find out what is there and what is to be done."""
        self._counts = dict.fromkeys(self._counts, 0)
        for path in store.damaged:
            log.warning("shard %s is damaged: moved to damaged/, its fits are made again", path.name)
        again = {key for key in self.plan.possible if self.retry and key in store.found and store.found[key][0]["status"] == FAILED}
        self.todo = [one for key, one in self.plan.possible.items() if key not in store.found or key in again]
        self.kept = len(self.plan.possible) - len(self.todo)
        stale = len(store.found) - self.kept - len(again)
        log.info("bayes-scaling %s: %d fits wanted; %d kept, %d to do", __version__, len(self.plan.fits), self.kept, len(self.todo))
        if stale:
            log.info("%d stored fits are of other data, options or versions: left where they are, and out of the summary", stale)
        for one in self.plan.impossible:
            log.warning("%s, %s: %s", one.law, one.group, one.reason)

    def _work(self, store: Writer, log: logging.Logger) -> Iterator[dict[str, Any]]:
        crew: Crew
        if self.cluster is None:
            environments, lanes = _local_workers(self.plan)
            crew, workers = crews.Local(environments), len(environments)
        else:
            lanes = lanes_on(self.job.device == "gpu", self.job.lanes)
            crew = crews.Dask(self.cluster)
            workers = crew.workers()
        try:
            for outcomes in _outcomes(crew, self.plan.chunks(self.todo, lanes, workers), log):
                store.write(outcomes)
                for one in outcomes:
                    self._counts[one.status] += 1
                    if one.status != OK:
                        log.warning("%s, %s: %s: %s", one.record["law"], one.record["group"], one.status, " | ".join(one.record["reasons"]))
                    yield one.record
        finally:
            crew.close()


def run_job(job: Job | str | Path, *, cluster: str | None = None, retry: bool = False) -> Batch:
    """Fit every group of a job's data under every law, and keep the outcomes in a store; interrupted, the same call goes on.

    Parameters
    ----------
    job : a Job, or the path of a TOML file
    cluster : address of a Dask scheduler (``tcp://host:port``), or ``local:4`` to start one with four workers; None: processes of this
        machine
    retry : make those fits again that failed (not those that cannot be made, nor those whose draws are not good: they would be the same)

    Returns
    -------
    Batch, over which to iterate: it yields the record of each fit as it is stored (a dict: ``law``, ``group``, ``status``, ``parameters``
    with intervals, ``diagnostics``). `Store` reads the results.

    Raises
    ------
    InputError, LawError, FileError
        If the job cannot be done as given, or its folder not be written.
    BatchError
        While iterating, if the workers are lost.
    """
    return Batch(job if isinstance(job, Job) else read_job(job), cluster, retry)


def _local_workers(plan: Plan) -> tuple[list[dict[str, str]], int]:
    """Return the environments of the workers on this machine, and their lanes, within the job's memory."""
    job = plan.job
    environments, gpu = crews.local_environments(job.device, job.workers)
    lanes = lanes_on(gpu, job.lanes)
    if job.memory is None:
        return environments, lanes
    one = plan.worker_bytes(lanes)
    if one > job.memory:
        raise InputError(
            f"memory = {job.memory / 1e9:.2g} GB is too little for one worker ({one / 1e9:.2g} GB): give more, or smaller lanes or chunk"
        )
    return environments[: job.memory // one], lanes


def _outcomes(crew: Crew, chunks: list[Chunk], log: logging.Logger) -> Iterator[list[Outcome]]:
    """Let a crew work at chunks; yield their outcomes as they come. A chunk that comes to nothing is tried once more, fit by fit."""
    waiting, flying = deque(chunks), dict[Future[list[Outcome]], Chunk]()
    again = set[str]()
    while waiting or flying:
        try:
            room = crew.window() - len(flying)  # asked once: a cluster's scheduler answers over the network
            for _ in range(min(room, len(waiting))):
                chunk = waiting.popleft()
                flying[crew.submit(chunk)] = chunk
        except Exception as error:
            raise _lost(error) from error
        done, _ = wait(flying, return_when=FIRST_COMPLETED)
        for future in done:
            chunk = flying.pop(future)
            try:
                found = future.result()
            except (WorkerLostError, ChunkError, MemoryError) as error:
                keys = {one.key for one in chunk.fits}
                if not keys <= again:  # also of a single fit: what happened to its worker or device may have nothing to do with it
                    log.warning("%d fits of %s came to nothing (%s): each is tried again by itself", len(keys), chunk.law, error)
                    again |= keys
                    waiting.extendleft(chunk.alone())
                    continue
                found = [failed(one, str(error).strip()) for one in chunk.fits]
            except BayesScalingError:
                raise
            except Exception as error:
                raise _lost(error) from error
            yield found


def _lost(error: Exception) -> BatchError:
    what = f"{type(error).__name__}: {error}"
    return BatchError(f"the workers were lost ({what}); what was done is stored, and the same command goes on")


@contextmanager
def _log(path: Path) -> Iterator[logging.Logger]:
    """A log of its own file, appended to; a line that cannot be written is no reason to stop."""
    log = logging.Logger(f"bayes_scaling.batch.{path}", logging.INFO)
    try:
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise FileError(f"cannot write '{path}': {error.strerror or error}") from None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.handleError = lambda record: None
    log.addHandler(handler)
    try:
        yield log
    finally:
        log.removeHandler(handler)
        with suppress(OSError):
            handler.close()


def _plain(job: Job) -> dict[str, Any]:
    """Return a job as JSON takes it."""
    found = asdict(job)
    return {**found, "path": str(job.path), "data": str(job.data) if isinstance(job.data, (str, Path)) else "a DataFrame"}
