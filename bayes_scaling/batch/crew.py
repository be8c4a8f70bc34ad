"""Who does the work: processes of this machine, or the workers of a Dask cluster. Both take a chunk and promise its outcomes."""

from __future__ import annotations

import logging
import os
import pickle
import queue
import signal
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from bayes_scaling.batch.plan import Chunk
from bayes_scaling.batch.work import Outcome, Wrong, attempt
from bayes_scaling.engine.devices import cores
from bayes_scaling.errors import DeviceError, InputError, option_text

_MOST_WORKERS = 16  # processes a core of this machine


class WorkerLostError(Exception):
    """A worker went away in the middle of a chunk."""


class ChunkError(Exception):
    """A chunk ended with an error that is not one of a fit's own."""


class Crew(Protocol):
    """Workers that take chunks."""

    def submit(self, chunk: Chunk) -> Future[list[Outcome]]:
        """Promise a chunk's outcomes; `WorkerLostError` or `ChunkError` if it comes to nothing."""
        ...

    def window(self) -> int:
        """Return how many chunks are worth being under way."""
        ...

    def close(self) -> None:
        """Let go of the workers, whatever they do."""
        ...


class _Worker:
    """A child process that works at one chunk at a time."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.process: subprocess.Popen[bytes] | None = None
        self.closed = False

    def __call__(self, chunk: Chunk) -> list[Outcome]:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            pickle.dump(chunk, process.stdin, pickle.HIGHEST_PROTOCOL)
            process.stdin.flush()
            answer = pickle.load(process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            raise WorkerLostError(f"its worker process was {_ending(process.wait())}") from None
        if isinstance(answer, Wrong) and answer.device_failed:
            process.kill()  # the next chunk gets a new process, and that a device which works
            process.wait()
        return _outcomes_in(answer)

    def _running(self) -> subprocess.Popen[bytes]:
        if self.closed:
            raise WorkerLostError("its worker process was stopped")
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bayes_scaling.batch.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **self.environment},
                start_new_session=True,  # a Ctrl-C is for us: we tell the workers
            )
        return self.process

    def stop(self) -> None:
        self.closed = True
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def _outcomes_in(answer: list[Outcome] | Wrong) -> list[Outcome]:
    """Return what a worker's `attempt` brought; `ChunkError` if that is nothing, `DeviceError` if nothing will come of others either."""
    if not isinstance(answer, Wrong):
        return answer
    if answer.no_device:
        raise DeviceError(f"a worker has no device: {answer.text}; what was done is stored, and the same command goes on")
    raise ChunkError(answer.text)


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    hint = " (out of memory?)" if -code == 9 else ""
    return f"killed by {signal.Signals(-code).name}{hint}"


class Local:
    """Processes of this machine, one a core or one a GPU."""

    def __init__(self, environments: list[dict[str, str]]) -> None:
        self.workers = [_Worker(environment) for environment in environments]
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for worker in self.workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(len(self.workers), "batch-worker")

    def submit(self, chunk: Chunk) -> Future[list[Outcome]]:
        """Promise a chunk's outcomes."""
        return self._threads.submit(self._serve, chunk)

    def _serve(self, chunk: Chunk) -> list[Outcome]:
        worker = self._idle.get()
        try:
            return worker(chunk)
        finally:
            self._idle.put(worker)

    def window(self) -> int:
        """Return how many chunks are worth being under way: a next one for each worker."""
        return 2 * len(self.workers)

    def close(self) -> None:
        """Stop the workers."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self.workers:
            worker.stop()
        self._threads.shutdown()


def require_address(address: str) -> int:
    """Return how many workers a cluster of this machine is to have, 0 for the address of a scheduler elsewhere.

    Raises
    ------
    InputError
        If it is neither.
    """
    kind, _, rest = address.partition(":")
    if kind == "local":
        if not (rest.isdecimal() and int(rest)):
            raise InputError(f"cluster '{address}': write local:4 for four workers, or the address of a scheduler (tcp://host:port)")
        return int(rest)
    if "://" not in address:
        raise InputError(f"cluster '{address}' is no address; write tcp://host:port, or local:4 for four workers of this machine")
    return 0


class Dask:
    """Workers of a Dask cluster: a scheduler that runs, or one started here on the loopback address.

    Outcomes come back through the scheduler, and the client writes them: there is one writer, and no need of a shared file system.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client, LocalCluster
        except ImportError:
            raise InputError("a Dask cluster needs the package distributed: pip install 'bayes-scaling[dask]'") from None
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # what it logs, with tracebacks, we raise
        self._cluster: Any = None
        workers = require_address(address)
        if workers:
            here: dict[str, Any] = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}  # nothing that other machines can reach
            self._cluster = LocalCluster(n_workers=workers, threads_per_worker=1, silence_logs=40, **here)
        try:
            self.client = Client(self._cluster or address, timeout="20s", set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise DeviceError(
                f"no Dask scheduler at '{address}' ({type(error).__name__}): start one, or use {option_text(cluster='local:4')}"
            ) from None

    def submit(self, chunk: Chunk) -> Future[list[Outcome]]:
        """Promise a chunk's outcomes; Dask itself gives the chunk of a lost worker to another, a few times."""
        promise: Future[list[Outcome]] = Future()
        task = self.client.submit(attempt, chunk, pure=False)

        def pass_on(done: Any) -> None:
            try:
                promise.set_result(_outcomes_in(done.result()))
            except Exception as error:
                lost = type(error).__name__ == "KilledWorker"
                promise.set_exception(WorkerLostError(f"its workers died: {error}") if lost else error)

        task.add_done_callback(pass_on)
        return promise

    def window(self) -> int:
        """Return how many chunks are worth being under way: enough that no worker waits while results travel, of the workers there now."""
        return 3 * self.workers()

    def workers(self) -> int:
        """Return how many workers there are now, at least one."""
        found = self.client.scheduler_info(n_workers=-1)
        if "workers" not in found:
            raise ConnectionError("the scheduler does not answer")
        return max(1, len(found["workers"]))

    def close(self) -> None:
        """Leave the cluster; end it, if it was started here."""
        self.client.close()
        if self._cluster is not None:
            self._cluster.close()


def local_environments(device: str, workers: int | None) -> tuple[list[dict[str, str]], bool]:
    """Return the environment of each worker process of this machine, and whether they have a GPU each.

    Parameters
    ----------
    device : ``auto``, ``cpu`` or ``gpu``
    workers : how many; None: one a GPU, or one a core
    """
    available = cores()
    if workers is not None and workers > _MOST_WORKERS * available:
        raise InputError(f"workers = {workers} are too many for the {available} cores of this machine: leave it out for one a core or GPU")
    gpus = 0 if device == "cpu" else _gpus()
    if device == "gpu" and not gpus:
        raise DeviceError('no GPU on this machine: use device = "cpu", or "auto"')
    if gpus:
        return [{"CUDA_VISIBLE_DEVICES": str(i % gpus)} for i in range(workers or gpus)], True
    return [{"JAX_PLATFORMS": "cpu"}] * (workers or available), False


def _gpus() -> int:
    """Return the number of CUDA devices, as a process of its own sees them: asking here would take their memory."""
    code = "import jax; print(sum(device.platform == 'gpu' for device in jax.local_devices()))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    )
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip().isdigit() else 0
