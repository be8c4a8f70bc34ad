"""Batch jobs measured: fits a minute, memory, bytes on disk; against single fits, a Dask cluster, and a process pool of numpyro's MCMC.run.

``python benchmarks/batch.py SHARED_DATA`` runs the curves of ``extrapolation_curves.csv`` under three laws, and simulated data sets every
way; then what a million fits on many GPUs would ask of the machine that plans and writes them. Figures of one run are comparable with each
other; an idle machine is assumed.
"""

from __future__ import annotations

import argparse
import os
import pickle
import re
import tempfile
import threading
import time
import tracemalloc
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from peers import mcmc_run

import bayes_scaling as bs
from bayes_scaling.batch import Job, run_job

LAWS = ("power_law_floor", "m4", "bnsl")
LAW = "power_law_floor"  # of the simulated data sets


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="batch jobs measured")
    parser.add_argument("data", type=Path, metavar="SHARED_DATA")
    parser.add_argument("--simulated", type=int, default=1000, metavar="N", help="data sets that are simulated")
    parser.add_argument("--single", type=int, default=50, metavar="N", help="of them, fitted one by one and by peers")
    parser.add_argument("--parts", default="curves,simulated,others,million", help="which parts to run")
    options = parser.parse_args()
    print(f"bayes-scaling {bs.__version__}, {os.cpu_count()} cores")
    print(f"{'what':52}{'fits':>6}{'ok':>6}{'fits a minute':>15}{'peak GB':>9}{'kB a fit':>10}")
    with tempfile.TemporaryDirectory() as folder:
        if "curves" in options.parts:
            curves(options.data, Path(folder))
        table = simulated(Path(folder) / "simulated.csv", options.simulated)
        if "simulated" in options.parts:
            job("simulated data sets", table, Path(folder) / "all", (LAW,), group=("curve",))
        if "others" in options.parts:
            few = simulated(Path(folder) / "few.csv", options.single)
            job("fewer of them, as a job", few, Path(folder) / "few", (LAW,), group=("curve",))
            job("the same on a Dask cluster of this machine", few, Path(folder) / "dask", (LAW,), "local:2", group=("curve",))
            loop(few)
            peers(few)
        if "million" in options.parts:
            million(Path(folder))


def curves(data: Path, folder: Path) -> None:
    """Every curve of the benchmark of extrapolation under three laws, fitted to its context."""
    job(
        f"{data.name}/extrapolation_curves.csv under {', '.join(LAWS)}", data / "extrapolation_curves.csv", folder / "curves", LAWS,
        group=("curve",), where="split == 'context'", map={"loss": "y"}, drop_invalid=True, method="importance",
    )  # fmt: skip


def job(
    what: str, data: Path, folder: Path, laws: tuple[str, ...], cluster: str | None = None, input: str = "x", **settings: object
) -> None:
    """Run a job, and print its row."""
    options = {"": bs.batch.LawOptions(input="x")}
    wanted = Job(data=data, laws=laws, path=folder, options=options, **settings)  # pyright: ignore[reportArgumentType]
    batch = run_job(wanted, cluster=cluster)
    start = time.perf_counter()
    with Memory() as memory:
        for _ in batch:
            pass
    spent = time.perf_counter() - start
    fine = sum(row["status"] == "ok" for row in batch.rows)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    row(what, len(batch.rows), fine, spent, memory.peak, size / len(batch.rows))
    for law in laws:
        of_law = [item for item in batch.rows if item["law"] == law]
        seconds = [item["sample_s"] for item in of_law if item.get("sample_s") is not None]
        drawn = Counter(item["method"] for item in of_law if item["method"])
        told = ", ".join(f"{count} by {method}" for method, count in drawn.most_common())
        good = sum(item["status"] == "ok" for item in of_law)
        print(
            f"    {law}: {good} of {len(of_law)} ok; {told}; sampling a fit: median {np.median(seconds):.1f} s, most {max(seconds):.0f} s"
        )
    for status in ("attention", "failed"):
        reasons = [_kind(item["reasons"]) for item in batch.rows if item["status"] == status]
        if reasons:
            names, counts = np.unique(reasons, return_counts=True)
            order = np.argsort(-counts)[:4]
            print(f"    {status}: " + "; ".join(f"{counts[i]} x {names[i]}" for i in order), flush=True)


def _kind(reasons: str) -> str:
    """Return what the first of several reasons is about, without the numbers and names of one fit."""
    first = reasons.split(" | ")[0].split(".csv: ")[-1].split(": ")[0]
    return re.sub(r"\(.*?\)|[0-9.]+", "…", re.sub(r" about \S+$", "", first))[:60]


def row(what: str, fits: int, fine: int, spent: float, peak: float = np.nan, size: float = np.nan) -> None:
    """Print a row of the table."""
    print(f"{what[:51]:52}{fits:6}{fine:6}{60 * fits / spent:15.1f}{peak / 1e9:9.2f}{size / 1e3:10.1f}", flush=True)


def simulated(path: Path, sets: int) -> Path:
    """Write a table of simulated curves: floors, exponents, scatter and numbers of points as real ones have."""
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        file.write("curve,x,loss\n")
        for curve in range(sets):
            points = int(rng.integers(12, 60))
            x = np.geomspace(10 ** rng.uniform(1, 3), 10 ** rng.uniform(4, 6), points)
            floor, size, exponent = rng.lognormal(0.4, 0.4), rng.lognormal(1.5, 0.5), rng.uniform(0.15, 0.5)
            loss = (floor + size * (x / x[0]) ** -exponent) * np.exp(rng.lognormal(-4.6, 0.4) * rng.normal(size=points))
            file.writelines(f"{curve},{a},{b}\n" for a, b in zip(x, loss, strict=True))
    return path


def sets_of(table: Path) -> list[bs.Runs]:
    """Return the data sets of a table."""
    return [runs for runs in bs.read_groups(table, ["curve"]).values() if isinstance(runs, bs.Runs)]


def loop(table: Path) -> None:
    """One fit after another in this process."""
    data = sets_of(table)
    bs.fit(LAW, data[0], input="x")  # compiled
    start = time.perf_counter()
    fine = sum(bs.fit(LAW, runs, input="x").diagnosis.ok for runs in data)
    row("a loop of single fits", len(data), fine, time.perf_counter() - start)


def peers(table: Path) -> None:
    """The same model by numpyro's MCMC.run with a dense mass matrix, in a process a core."""
    data = sets_of(table)[: 2 * (os.cpu_count() or 1)]
    start = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        rhats = list(pool.map(peer, data))
    row("a process pool of numpyro MCMC.run", len(data), sum(rhat < 1.01 for rhat in rhats), time.perf_counter() - start)


def peer(runs: bs.Runs) -> float:
    """Return the worst R-hat of numpyro's own NUTS on one data set."""
    from numpyro.diagnostics import split_gelman_rubin

    law = bs.get_law(LAW).with_input("x")
    noise = bs.noise.noise_of(law)
    sites = mcmc_run(law, noise, runs, seed=0, warmup=500, draws=1000, chain_method="sequential")
    return max(float(np.max(split_gelman_rubin(values))) for values in sites.values())


def million(folder: Path) -> None:
    """What planning, writing and sending a fit take here, and what follows for a million of them."""
    from dataclasses import replace

    from bayes_scaling.batch.plan import make_plan
    from bayes_scaling.batch.shards import write_shard
    from bayes_scaling.batch.work import work
    from bayes_scaling.fitting import LANES_OF_A_GPU

    fits, sets, copies = 1e6, 2000, 180
    wanted = Job(
        simulated(folder / "million.csv", sets), (LAW,), folder / "million", ("curve",), options={"": bs.batch.LawOptions(input="x")}
    )
    start = time.perf_counter()
    make_plan(wanted)
    seconds = (time.perf_counter() - start) / sets
    tracemalloc.start()
    plan = make_plan(wanted)
    memory = tracemalloc.get_traced_memory()[0] / sets
    tracemalloc.stop()
    print(f"to plan a fit: {1e3 * seconds:.1f} ms, {memory / 1e3:.0f} kB of memory; of 1e6: {fits * memory / 1e9:.0f} GB")
    bare = make_plan(replace(wanted, keep_draws=False))
    done = work(plan.chunks(list(plan.possible.values())[:8], 8, 1)[0])
    rng = np.random.default_rng(0)
    for what, of in (("with draws", plan), ("without", bare)):
        outcomes = []
        for i in range(copies):
            one = done[i % len(done)]
            # No two alike, as they would pack too well.
            draws = {
                part: {
                    name: values * rng.uniform(0.9, 1.1, values.shape) if values.dtype == float else values for name, values in own.items()
                }
                for part, own in one.draws.items()
            }
            kept = {"draws": draws} if of is plan else {"draws": {}, "attributes": {}}
            outcomes.append(replace(one, record={**one.record, "key": f"{i:032}"}, **kept))
        start = time.perf_counter()
        size = write_shard(folder, outcomes).stat().st_size / copies
        seconds = (time.perf_counter() - start) / copies
        chunks = len(of.chunks(list(of.possible.values()), LANES_OF_A_GPU, 1))
        each = sets / chunks
        message = each * np.mean([len(pickle.dumps(one, pickle.HIGHEST_PROTOCOL)) for one in outcomes])
        print(
            f"to write a fit {what}: {1e3 * seconds:.1f} ms, {size / 1e3:.1f} kB; of 1e6, by one client: {fits * seconds / 60:.0f} min, "
            f"{fits * size / 1e9:.1f} GB, {fits / each:.0f} chunks of {each:.0f} fits and {message / 1e6:.0f} MB"
        )
    tasks, megabytes, rate = scheduler()
    print(f"a scheduler and one worker on this machine: {tasks:.0f} tasks a second; a result of {megabytes} MB at {rate:.0f} MB/s")


def scheduler() -> tuple[float, int, float]:
    """Return the empty tasks a second that Dask gives out, and a large result's size and speed, MB and MB/s."""
    from distributed import Client, LocalCluster

    megabytes, tasks = 64, 1000
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        client.submit(bytes, 1).result()
        start = time.perf_counter()
        client.gather(client.map(bytes, range(tasks), pure=False))
        each = (time.perf_counter() - start) / tasks
        start = time.perf_counter()
        client.submit(np.random.default_rng(0).bytes, megabytes * 10**6).result()
        return 1 / each, megabytes, megabytes / (time.perf_counter() - start)


class Memory:
    """The largest memory of this process and its children together, sampled."""

    def __enter__(self) -> Memory:
        self.peak, self._over = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            self.peak = max(self.peak, _resident(os.getpid()))


def _resident(process: int) -> float:
    """Return the bytes of a process and its descendants; pages that they share are counted once each."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        tasks = Path(f"/proc/{process}/task").iterdir()
        children = {int(child) for task in tasks for child in (task / "children").read_text().split()}
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(_resident(child) for child in children)


if __name__ == "__main__":
    main()
