"""Faults, and what they cost: a table of (what was done to the software, what it did, what was lost).

``python benchmarks/faults.py [WORD ...]`` does them to real processes, in a folder of its own; words pick faults by their names. A row that
says LOST, or another end than expected, is a defect. Faults of a batch that the tests do as well: ``tests/system/test_batch.py``.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import bayes_scaling as bs

CHEAP = ("--law", "power_law", "--input", "tokens", "--draws", "100", "--allow-unconverged")
DEAD = "http://127.0.0.1:9"  # where nothing listens


def command(folder: Path, *words: Any, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    arguments = [sys.executable, "-m", "bayes_scaling", *map(str, words)]
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=300, **more)


def runs_in(folder: Path) -> Path:
    rng, tokens = np.random.default_rng(0), np.geomspace(1e8, 1e11, 20)
    rows = [f"{x!r},{float(12 * x**-0.08 * np.exp(0.004 * rng.normal()))!r}" for x in tokens.tolist()]
    (folder / "runs.csv").write_text("\n".join(["tokens,loss", *rows]) + "\n")
    return folder / "runs.csv"


def told(done: subprocess.CompletedProcess[str], code: int, says: str = "") -> str:
    """Return what a process said in one line; LOST where it did not end as it should."""
    lines = done.stderr.strip().splitlines()
    good = done.returncode == code and len(lines) <= 1 and says in done.stderr and "Traceback" not in done.stderr
    return f"{'' if good else 'LOST: '}exit code {done.returncode}; {lines[-1] if lines else 'silent'}"


def limited(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def interrupted(folder: Path) -> str:
    """Ctrl-C from the first moment of Python to the sampling; the last must still be at work."""
    runs_in(folder)
    ends = []
    for delay in (0.15, 0.3, 0.6, 1.0, 1.5, 2.5, 4.0):
        arguments = [sys.executable, "-m", "bayes_scaling", "fit", "runs.csv", *CHEAP, "--draws", "200000", "--out", "fit.nc"]
        process = subprocess.Popen(
            arguments, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # of a shell's background, it would be ignored
        )  # fmt: skip
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        ends.append((process.returncode, said.strip()))
    good = all(end == (130, "bayes-scaling: interrupted") for end in ends) and not (folder / "fit.nc").exists()
    return f"{'' if good else 'LOST: '}{len(ends)} times exit code 130, one line, no file" if good else f"LOST: {ends}"


def killed(folder: Path) -> str:
    """Kill -9 in the middle of a fit that would replace a file."""
    runs_in(folder)
    (folder / "fit.nc").write_text("the old one")
    process = subprocess.Popen([sys.executable, "-m", "bayes_scaling", "fit", "runs.csv", *CHEAP, "--draws", "200000", "--out", "fit.nc"],
                               cwd=folder, stdout=subprocess.DEVNULL)  # fmt: skip
    time.sleep(4)
    alive = process.poll() is None
    process.kill()
    process.wait()
    good = alive and (folder / "fit.nc").read_text() == "the old one" and sorted(os.listdir(folder)) == ["fit.nc", "runs.csv"]
    return f"{'' if good else 'LOST: '}the old file is there, nothing beside it"


def full_disk(folder: Path) -> str:
    """A limit on the size of files, for a fit, its export and its figures; standard output into /dev/full."""
    runs_in(folder)
    assert command(folder, "fit", "runs.csv", *CHEAP, "--out", "fit.nc").returncode == 0
    before = (folder / "fit.nc").read_bytes()
    (folder / "draws.csv").write_text("the old one")
    ends = [
        told(command(folder, "fit", "runs.csv", *CHEAP, "--out", "fit.nc", preexec_fn=limited(20_000)), 2, "File too large"),
        told(command(folder, "export", "fit.nc", "--out", "draws.csv", preexec_fn=limited(1000)), 2, "File too large"),
        told(command(folder, "plot", "fit.nc", "--out", "figures", preexec_fn=limited(1000)), 2, "File too large"),
    ]
    with open("/dev/full", "w") as full:
        arguments = [sys.executable, "-m", "bayes_scaling", "laws"]
        ends.append(told(subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True), 2, "No space left"))
    kept = (folder / "fit.nc").read_bytes() == before and (folder / "draws.csv").read_text() == "the old one"
    parts = [path.name for path in folder.rglob("*") if path.name.startswith(".part") or path.suffix == ".png"]
    lost = "" if kept and not parts else f"LOST: {parts or 'an old file'}; "
    return lost + (ends[0] if not any(end.startswith("LOST") for end in ends) else str(ends)) + "; old files kept, no parts left"


def read_only(folder: Path) -> str:
    """A folder in which nothing can be written: told before anything is sampled."""
    runs_in(folder)
    start = time.perf_counter()
    done = command(folder, "fit", "runs.csv", *CHEAP, "--draws", "1000000", "--out", "/proc/fit.nc")
    return f"{told(done, 2, 'cannot write')} (after {time.perf_counter() - start:.1f} s, before sampling)"


def no_home(folder: Path) -> str:
    """No home, no cache folder that could be made."""
    runs_in(folder)
    environment = {name: value for name, value in os.environ.items() if name != "BAYES_SCALING_CACHE"}
    nowhere = {**environment, "HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none", "MPLCONFIGDIR": str(folder)}
    done = command(folder, "fit", "runs.csv", *CHEAP, "--json", env=nowhere)
    usual = command(folder, "fit", "runs.csv", *CHEAP, "--json")
    same = done.returncode == 0 and json.loads(done.stdout)["parameters"] == json.loads(usual.stdout)["parameters"]
    return f"{'' if same else 'LOST: '}exit code {done.returncode}; the same draws"


def two_processes(folder: Path) -> str:
    """Two processes at once on one new cache."""
    runs_in(folder)
    environment = {**os.environ, "BAYES_SCALING_CACHE": str(folder / "cache")}
    arguments = [sys.executable, "-m", "bayes_scaling", "fit", "runs.csv", *CHEAP, "--json"]
    both = [subprocess.Popen(arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    found = [json.loads(process.communicate()[0])["parameters"] for process in both]
    again = json.loads(command(folder, *arguments[3:], env=environment).stdout)["parameters"]
    return f"{'' if found[0] == found[1] == again else 'LOST: '}the same draws, also from what they left in the cache"


def no_network(folder: Path) -> str:
    """A data set that would have to be downloaded, with no network, and with a part of it left by an interrupted download."""
    environment = {**os.environ, "BAYES_SCALING_CACHE": str(folder / "cache"), "https_proxy": DEAD, "HTTPS_PROXY": DEAD}
    environment.pop("BAYES_SCALING_DATA", None)
    first = told(command(folder, "data", "chinchilla", env=environment), 2, "cannot download")
    part = folder / "cache" / "data" / bs.datasets.DATA_SETS["chinchilla"].file
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_text("Model Size,Training FLOP,loss\n1e8,1e18,3.0\n")
    second = told(command(folder, "data", "chinchilla", env=environment), 2, "cannot download")
    return second if second.startswith("LOST") else first


_LAW = """
import jax.numpy as jnp
from numpyro.distributions import LogNormal
from bayes_scaling.law import Input, Law, Parameter

LAW = Law(
    name="broken", title="a", equation="a", citation="a", use="a", avoid="a", inputs=(Input("tokens", "count", "tokens"),),
    parameters=(Parameter("a", LogNormal(2.0, 1.0), "a"), Parameter("c", LogNormal(-2.5, 1.0), "c")),
    formula=lambda inputs, p: {formula},
)
"""


def not_a_number(folder: Path) -> str:
    """A law with no number, and no gradient, in a part of its parameters; and one with none anywhere."""
    runs_in(folder)
    sound = "p['a'] * inputs['tokens'] ** -p['c']"
    (folder / "part.py").write_text(_LAW.format(formula=f"{sound} + 0 * jnp.sqrt(p['c'] - 0.06)"))
    (folder / "all.py").write_text(_LAW.format(formula=f"{sound} * jnp.sqrt(-p['a'])"))
    found = command(folder, "fit", "runs.csv", "--law", "part.py", "--out", "fit.nc", "--json", "--allow-unconverged")
    none = told(command(folder, "fit", "runs.csv", "--law", "all.py", "--out", "none.nc"), 2, "is not finite")
    low = json.loads(found.stdout)["parameters"]["c"] if found.returncode == 0 else {}
    good = low and 0.07 < low["q05"] < 0.08 < low["q95"] < 0.09 and not (folder / "none.nc").exists()
    return f"{'' if good else 'LOST: '}in part: the draws are of where there is one ({low.get('q05', 0):.4f} to {low.get('q95', 0):.4f} " \
           f"holds 0.08); everywhere: {none}"  # fmt: skip


def curves_in(folder: Path, law: str, points: tuple[int, ...] = (20, 20, 20), chunk: int = 2) -> None:
    """Curves with so many points, and a job that fits them under a law of the folder's."""
    (folder / "law.py").write_text(law)
    rng = np.random.default_rng(0)
    rows = ["curve,tokens,loss"]
    for curve, count in enumerate(points):
        rows += [f"c{curve},{x!r},{float(12 * x**-0.08 * np.exp(0.004 * rng.normal()))!r}" for x in np.geomspace(1e8, 1e11, count).tolist()]
    (folder / "curves.csv").write_text("\n".join(rows) + "\n")
    (folder / "job.toml").write_text(f'data = "curves.csv"\ngroup = ["curve"]\nlaws = ["law.py"]\n[sampler]\ndraws = 400\n[run]\n'
                                     f'chunk = {chunk}\nworkers = 1\ndevice = "cpu"\n[output]\npath = "results"\n')  # fmt: skip


def no_memory(folder: Path) -> str:
    """A batch whose worker has no memory for two fits at once, and none for a large one."""
    law = _LAW.format(formula="guarded(inputs['tokens'], p)").replace(
        "LAW = ",
        "def guarded(tokens, p):\n    if tokens.shape[-1] > 64:\n        raise MemoryError('too large')\n"
        "    return p['a'] * tokens ** -p['c']\n\nLAW = ",
    )
    curves_in(folder, law, (20, 80, 24), 8)
    done = command(folder, "batch", "job.toml", "--json")
    counts = json.loads(done.stdout) if done.stdout else {}
    good = (counts.get("ok"), counts.get("failed")) == (2, 1)
    return f"{'' if good else 'LOST: '}{counts.get('ok')} fits done, {counts.get('failed')} failed alone with its reason; exit code 3"


def tiny_disk(folder: Path) -> str:
    """A batch into a file system that is too small for it, which then grows: what was stored stays, and the rest follows."""
    curves_in(folder, _LAW.format(formula="p['a'] * inputs['tokens'] ** -p['c']"), (20, 22, 24, 26, 28), 1)
    job, batch = folder / "job.toml", f"{sys.executable} -m bayes_scaling batch"
    (folder / "whole.toml").write_text(job.read_text().replace('path = "results"', 'path = "whole"'))
    whole = command(folder, "batch", "whole.toml", "--json")
    size = max(path.stat().st_size for path in (folder / "whole" / "shards").iterdir())
    (folder / "results").mkdir()
    script = f"""mount -t tmpfs -o size={3 * size} none results || exit 99
{batch} job.toml > first.txt 2>&1; echo $? >> first.txt; ls -A results/shards > stored.txt; cp results/shards/*.nc .
mount -o remount,size=100m results && {batch} job.toml --json > second.json; cp -r results kept"""
    done = subprocess.run(["unshare", "--map-root-user", "--mount", "sh", "-c", script], cwd=folder, capture_output=True, text=True)
    if done.returncode == 99:
        return "not shown: no file system can be mounted here"
    *first, code = (folder / "first.txt").read_text().strip().splitlines()
    stored = (folder / "stored.txt").read_text().split()
    second, kept = json.loads((folder / "second.json").read_text()), folder / "kept" / "shards"
    good = (
        code == "2" and len(first) == 1 and "No space left" in first[0] and stored and not any(name.startswith(".part") for name in stored)
    )
    good = good and all((kept / name).read_bytes() == (folder / name).read_bytes() for name in stored)
    good = (
        good
        and (second["ok"], second["kept"]) == (json.loads(whole.stdout)["ok"], len(stored))
        and same_draws(folder / "whole", folder / "kept")
    )
    return (
        f"{'' if good else f'LOST: {first} {code} {stored} {second} '}{first[0]}; {second['kept']} of {second['fits']} kept, then all there"
    )


def scheduler_lost(folder: Path) -> str:
    """The Dask scheduler is killed in the middle of a batch, which then goes on without."""
    curves_in(folder, _LAW.format(formula="p['a'] * inputs['tokens'] ** -p['c']"), (20,) * 12, 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    dask, quiet = [sys.executable, "-m"], {"stderr": subprocess.DEVNULL, "cwd": folder}
    host, port = address.split(":")
    scheduler = subprocess.Popen([*dask, "distributed.cli.dask_scheduler", "--host", host, "--port", port, "--no-dashboard"], **quiet)
    worker = subprocess.Popen([*dask, "distributed.cli.dask_worker", f"tcp://{address}", "--nthreads", "1", "--no-nanny"], **quiet)
    try:
        batch = subprocess.Popen(
            [*dask, "bayes_scaling", "batch", "job.toml", "--cluster", f"tcp://{address}"], cwd=folder, stderr=subprocess.PIPE, text=True
        )
        shards = folder / "results" / "shards"
        while batch.poll() is None and not list(shards.glob("[!.]*.nc")):
            time.sleep(0.1)
        scheduler.kill()
        _, said = batch.communicate(timeout=120)
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()
    last, stored = said.strip().splitlines()[-1], len(list(shards.glob("[!.]*.nc")))
    counts = json.loads(command(folder, "batch", "job.toml", "--json").stdout or "{}")
    good = batch.returncode == 2 and "the workers were lost" in last and "Traceback" not in said
    good = good and 0 < stored == counts.get("kept") < 12 and (counts.get("ok"), counts.get("failed")) == (12, 0)
    return f"{'' if good else f'LOST: {said} {stored} {counts} '}exit code {batch.returncode}; {last}; {stored} of 12 kept, then all there"


def same_draws(one: Path, other: Path) -> bool:
    """Return whether two stores hold the same fits, draw for draw."""
    from bayes_scaling.batch import Store

    first, second = Store(one), Store(other)
    if set(first.found) != set(second.found):
        return False
    for key in first.found:
        a, b = first.by_key(key).posterior, second.by_key(key).posterior
        if not all(np.array_equal(values, b[name]) for name, values in a.data_vars.items()):
            return False
    return True


def device_lost(folder: Path) -> str:
    """A device that fails in the middle of a batch, and from then on at everything that its process asks of it; and one in a single fit."""
    law = _LAW.format(formula="device(inputs['tokens'], p)").replace(
        "LAW = ",
        "import pathlib\nimport jax\n\nFIRST, dead = pathlib.Path(__file__).with_name('failed'), []\n\n\n"
        "def device(tokens, p):\n"
        "    if dead or not FIRST.exists():\n        FIRST.touch()\n        dead.append(1)\n"
        "        raise jax.errors.JaxRuntimeError('INTERNAL: CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered')\n"
        "    return p['a'] * tokens ** -p['c']\n\nLAW = ",
    )
    curves_in(folder, law)
    done = command(folder, "batch", "job.toml", "--json")
    counts = json.loads(done.stdout) if done.stdout else {}
    good = (counts.get("ok"), counts.get("failed")) == (3, 0) and "ILLEGAL_ADDRESS" in (folder / "results" / "log.txt").read_text()
    (folder / "failed").unlink()
    runs_in(folder)
    single = told(command(folder, "fit", "runs.csv", "--law", "law.py", "--out", "fit.nc"), 2, "the device failed (INTERNAL: CUDA")
    good = good and not (folder / "fit.nc").exists()
    return f"{'' if good else 'LOST: '}batch: {counts.get('ok')} fits done, by a new worker; fit: {single}"


def no_device(folder: Path) -> str:
    """A device that does not start any more: the batch stops, calls no fit failed, and goes on when there is one."""
    curves_in(folder, _LAW.format(formula="p['a'] * inputs['tokens'] ** -p['c']"))
    (folder / "sitecustomize.py").write_text(  # a worker's platform is chosen for it; of one that is not there it learns when it starts
        "import os, sys\nif 'bayes_scaling.batch.worker' in sys.orig_argv:\n    os.environ['JAX_PLATFORMS'] = 'tpu'\n"
    )
    done = command(folder, "batch", "job.toml", env={**os.environ, "PYTHONPATH": str(folder)})
    stopped = told(done, 2, "a worker has no device")
    counts = json.loads(command(folder, "batch", "job.toml", "--json").stdout or "{}")
    good = (counts.get("ok"), counts.get("failed")) == (3, 0)
    return f"{'' if good else 'LOST: '}{stopped}; then: {counts.get('ok')} fits done"


def clock_set_back(folder: Path) -> str:
    """All that is stored is of the future, and the clock is ten years behind: nothing is taken for stale, or made again."""
    runs_in(folder)
    curves_in(folder, _LAW.format(formula="p['a'] * inputs['tokens'] ** -p['c']"))
    environment = {**os.environ, "BAYES_SCALING_CACHE": str(folder / "cache")}

    def outcome() -> tuple[Any, Any]:
        fit = command(folder, "fit", "runs.csv", *CHEAP, "--json", env=environment)
        batch = command(folder, "batch", "job.toml", "--json", env=environment)
        return json.loads(fit.stdout)["parameters"], json.loads(batch.stdout)

    before, first = outcome()
    stored = {path.name: path.read_bytes() for path in (folder / "results" / "shards").iterdir()}
    for path in [*(folder / "cache").rglob("*"), *(folder / "results").rglob("*")]:
        os.utime(path, (4e9, 4e9))  # the year 2096
    (folder / "sitecustomize.py").write_text("import time\nreal = time.time\ntime.time = lambda: real() - 3.2e8\n")
    environment["PYTHONPATH"] = str(folder)
    after, second = outcome()
    kept = {path.name: path.read_bytes() for path in (folder / "results" / "shards").iterdir()} == stored
    good = before == after and kept and (first["kept"], second["kept"]) == (0, 3)
    return f"{'' if good else f'LOST: {first} {second} '}the same draws; {second['kept']} fits of the batch kept, none made again"


def gone(folder: Path) -> str:
    """The table is deleted after the fit; the reader of a pipe goes away."""
    runs_in(folder)
    assert command(folder, "fit", "runs.csv", *CHEAP, "--out", "fit.nc").returncode == 0
    (folder / "runs.csv").unlink()
    sheet = told(command(folder, "sheet", "fit.nc", "--allow-unconverged"), 0)
    pipe = subprocess.run(
        f"{sys.executable} -m bayes_scaling laws --json | true; exit ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", capture_output=True, text=True,
    )  # fmt: skip
    end = "" if pipe.returncode in (0, 141) and not pipe.stderr else f"LOST: {pipe.returncode} {pipe.stderr}; "
    return f"{end}the fit needs no table: {sheet}; the pipe: silent"


FAULTS: dict[str, Callable[[Path], str]] = {
    "interrupted at every stage": interrupted,
    "killed while fitting": killed,
    "full disk": full_disk,
    "read-only folder": read_only,
    "no home and no cache": no_home,
    "two processes on one cache": two_processes,
    "no network": no_network,
    "no number and no gradient in a draw": not_a_number,
    "no memory in a batch": no_memory,
    "disk too small for a batch": tiny_disk,
    "scheduler lost": scheduler_lost,
    "device lost": device_lost,
    "device does not start": no_device,
    "clock set back": clock_set_back,
    "table and reader gone": gone,
}


def main(words: list[str]) -> int:
    """Print the table; return how many rows say LOST."""
    bad = 0
    for name, fault in FAULTS.items():
        if all(word in name for word in words):
            with tempfile.TemporaryDirectory() as folder:
                found = fault(Path(folder))
            bad += "LOST" in found
            print(f"{name:38}{found}", flush=True)
    print(f"lost: {bad or 'nothing'}")
    return bad


if __name__ == "__main__":
    raise SystemExit(min(main(sys.argv[1:]), 1))
