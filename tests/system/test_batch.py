"""Batch jobs: every fit is the one that ``fit`` gives, and no crash, damage or second process loses or changes any."""

import csv
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.batch import Job, Store, forecast, read_job, run_job

CURVES = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table of curves, some of which cannot be fitted, and a job."""
    folder = tmp_path_factory.mktemp("batch")
    rng = np.random.default_rng(0)
    with open(folder / "curves.csv", "w") as file:
        write = csv.writer(file)
        write.writerow(["curve", "kind", "x", "loss"])
        for curve in range(CURVES):
            x = np.geomspace(1e2, 1e5, 12 + 4 * curve)
            loss = 5 * x ** (-0.1 - 0.02 * curve) * np.exp(0.01 * rng.normal(size=len(x)))
            write.writerows([f"c{curve}", "good", a, b] for a, b in zip(x, loss, strict=True))
        x = 1e3 * 2.0 ** np.arange(8)
        write.writerows(["missing", "bad", a, "" if a == 8e3 else 2.0] for a in x)
        write.writerows(["constant", "bad", a, 2.0] for a in x)
        write.writerow(["single", "bad", 1e3, 2.0])
    return folder


def job_file(folder, name, **changes):
    text = {
        "data": '"curves.csv"', "group": '["curve"]', "laws": '["power_law"]', "input": '"x"', "where": "\"kind == 'good'\"",
        "sampler": {"draws": 400}, "run": {"chunk": 1, "workers": 1, "device": '"cpu"'}, "output": {"path": f'"{name}"'},
    }  # fmt: skip
    for key, value in changes.items():
        text[key] = {**text.get(key, {}), **value} if isinstance(value, dict) else value
    lines = [f"{key} = {value}" for key, value in text.items() if not isinstance(value, dict) and value is not None]
    for section, values in text.items():
        if isinstance(values, dict):
            lines += [f"[{section}]", *(f"{key} = {value}" for key, value in values.items())]
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines))
    return path


def command(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "bayes_scaling", "batch", *map(str, arguments)], capture_output=True, text=True, timeout=300, **more
    )


def assert_equal(one: Store, other: Store):
    """Equal draw for draw."""
    assert set(one.found) == set(other.found)
    for record in one.records():
        if record["status"] == "failed":
            continue
        a, b = one.by_key(record["key"]), other.by_key(record["key"])
        for part in ("posterior", "sample_stats"):
            for name, values in a.draws[part].data_vars.items():
                assert np.array_equal(values, b.draws[part][name]), name
        assert a.runs.data_hash == b.runs.data_hash
        assert a.diagnosis == b.diagnosis


@pytest.fixture(scope="module")
def whole(folder):
    """The store of a job that nothing interrupted, and what was printed."""
    done = command(job_file(folder, "whole", run={"chunk": 3}))
    assert done.returncode == 0, done.stderr
    return Store(folder / "whole"), done


def test_every_group_has_the_fit_that_fit_gives(whole, folder):
    store, done = whole
    assert f"{CURVES} fits: {CURVES} ok, 0 attention, 0 failed (0 were there)" in done.stdout
    runs = bs.read_runs(folder / "curves.csv", map={"group": "curve"}, where="curve == 'c3'")
    alone, stored = bs.fit("power_law", runs, input="x", draws=400), store.fit("power_law", "c3")
    for name, values in alone.posterior.data_vars.items():
        assert np.array_equal(values, stored.posterior[name]), name
    assert stored.diagnosis == alone.diagnosis
    assert stored.runs.data_hash == alone.runs.data_hash
    assert str(stored).splitlines()[5:13] == str(alone).splitlines()[5:13]  # what follows the notes of reading


def test_the_summary_has_a_row_a_fit(whole):
    store, _ = whole
    with open(store.folder / "summary.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["group"] for row in rows] == [f"c{i}" for i in range(CURVES)]
    for i, row in enumerate(rows):
        assert row["status"] == "ok"
        assert abs(float(row["c_mean"]) - (0.1 + 0.02 * i)) < 5 * float(row["c_sd"])
        assert float(row["max_rhat"]) < 1.01
        assert float(row["loo_elpd"]) > 0
        assert float(row["total_s"]) > 0
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(store.folder / "summary.parquet").to_pylist()
    assert [row["c_median"] for row in table] == [float(row["c_median"]) for row in rows]
    manifest = json.loads((store.folder / "manifest.json").read_text())
    assert manifest["fits"] == {"ok": CURVES, "attention": 0, "failed": 0, "missing": 0}
    assert manifest["versions"]["bayes_scaling"] == bs.__version__


def test_arviz_reads_a_shard(whole):
    import arviz as az
    import xarray

    store, _ = whole
    path = next(iter(store.found.values()))[1]
    with xarray.open_datatree(path, engine="h5netcdf") as tree:
        table = az.summary(tree, var_names=["c"])
    assert len(table) == 3  # a row a fit


def test_killed_at_any_moment_it_goes_on(folder, whole, request):
    """kill -9, each time at another moment; then the same command to the end."""
    path, moments = job_file(folder, "killed"), random.Random(0)
    for _ in range(3 if "not long" in request.config.getoption("-m") else 10):
        process = subprocess.Popen([sys.executable, "-m", "bayes_scaling", "batch", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip # noqa: E501
        time.sleep(moments.uniform(1, 9))
        process.kill()
        process.wait()
    done = command(path)
    assert done.returncode == 0, done.stderr
    assert_equal(Store(folder / "killed"), whole[0])
    assert not list((folder / "killed" / "shards").glob(".part*"))
    again = command(path)
    assert f"({CURVES} were there)" in again.stdout


def test_a_damaged_shard_is_found_named_and_made_again(folder, whole):
    path = job_file(folder, "damaged")
    assert command(path).returncode == 0
    shard = sorted((folder / "damaged" / "shards").glob("*.nc"))[2]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    assert shard.name in command(path, "--dry-run").stdout
    done = command(path)
    assert done.returncode == 0, done.stderr
    assert f"({CURVES - 1} were there)" in done.stdout
    assert f"shard {shard.name} is damaged" in (folder / "damaged" / "log.txt").read_text()
    assert (folder / "damaged" / "damaged" / shard.name).is_file()
    assert_equal(Store(folder / "damaged"), whole[0])


def test_a_second_writer_is_refused(folder):
    path = job_file(folder, "shared")
    job = read_job(path)
    first = iter(run_job(job))
    next(first)
    second = command(path)
    assert second.returncode == 2
    assert f"another process writes to '{folder / 'shared'}' (process {os.getpid()} on " in second.stderr
    first.close()
    assert command(path).returncode == 0


def test_a_full_disk_loses_nothing(folder, whole):
    """A limit on the size of files stands for it: the third shard is the first that is too large, as its runs are the most."""
    path = job_file(folder, "full", run={"chunk": 3})
    smallest = min(item.stat().st_size for item in (folder / "whole" / "shards").glob("*.nc"))
    done = command(path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (smallest // 2, smallest // 2)))
    assert done.returncode == 2, done.stderr
    assert "cannot write a shard" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list((folder / "full" / "shards").glob("*"))
    assert command(path).returncode == 0
    assert_equal(Store(folder / "full"), whole[0])


def test_a_worker_that_dies_takes_nothing_with_it(folder, whole):
    job = read_job(job_file(folder, "died", run={"chunk": 3}))
    batch = run_job(job)
    steps = iter(batch)
    next(steps)
    assert kill_workers() > 0
    for _ in steps:
        pass
    assert batch.progress.done == CURVES
    assert {row["status"] for row in batch.rows} == {"ok"}
    assert_equal(Store(folder / "died"), whole[0])


def kill_workers():
    """Kill the children of this process that are workers."""
    killed = 0
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == os.getpid() and b"bayes_scaling.batch.worker" in words:
            os.kill(int(entry.name), signal.SIGKILL)
            killed += 1
    return killed


def test_a_dask_cluster_that_loses_a_worker_gives_the_same(folder, whole):
    from distributed import LocalCluster

    job = read_job(job_file(folder, "dask"))
    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=50) as cluster:
        steps = iter(run_job(job, cluster=cluster.scheduler_address))
        next(steps)
        os.kill(next(iter(cluster.workers.values())).process.pid, signal.SIGKILL)
        for _ in steps:
            pass
    assert_equal(Store(folder / "dask"), whole[0])


def test_what_cannot_be_fitted_fails_alone(folder):
    """The reason is in the summary, the exit code says that not all is well, and a law that does not apply spoils only its own fits."""
    path = job_file(folder, "bad", where="\"kind == 'bad' or curve == 'c0'\"", laws='["power_law", "chinchilla"]', input=None,
                    **{"law.power_law": {"input": '"x"'}})  # fmt: skip
    done = command(path)
    assert done.returncode == 3
    with open(folder / "bad" / "summary.csv") as file:
        rows = {(row["law"], row["group"]): row for row in csv.DictReader(file)}
    assert rows["power_law", "c0"]["status"] == "ok"
    assert rows["power_law", "missing"]["status"] == "failed"
    assert "loss is missing" in rows["power_law", "missing"]["reasons"]
    assert rows["power_law", "constant"]["status"] == "attention"
    assert "all runs have the same loss" in rows["power_law", "constant"]["reasons"]
    assert rows["power_law", "single"]["status"] == "attention"
    assert "1 runs cannot determine" in rows["power_law", "single"]["reasons"]
    assert rows["chinchilla", "c0"]["status"] == "failed"
    assert "no columns for 'params' and 'tokens'" in rows["chinchilla", "c0"]["reasons"]
    with pytest.raises(bs.InputError, match="no draws of 'chinchilla' for 'c0': .*no columns for 'params' and 'tokens'"):
        Store(folder / "bad").fit("chinchilla", "c0")
    assert "(4 were there)" not in command(path, "--retry").stdout


def test_changed_options_and_data_never_mix(folder):
    path = job_file(folder, "changed", where="\"curve == 'c0' or curve == 'c1'\"", output={"keep_draws": "false"})
    assert command(path).returncode == 0
    before = Store(folder / "changed").records()
    job_file(folder, "changed", where="\"curve == 'c0' or curve == 'c1'\"", output={"keep_draws": "false"}, sampler={"seed": 1})
    dry = command(path, "--dry-run").stdout
    assert "2 fits to do in 2 chunks, 0 stored already" in dry
    assert "2 stored fits are of other data, options or versions" in dry
    job_file(folder, "changed", output={"keep_draws": "false"})
    found = forecast(path)
    assert (found.kept, found.todo, found.stale) == (2, CURVES - 2, 0)
    assert len(before) == 2
    with pytest.raises(bs.InputError, match="did not keep draws"):
        Store(folder / "changed").fit("power_law", "c0")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grop": '["a"]'}, "unknown key 'grop'; did you mean 'group'"),
        ({"sampler": {"drawz": 3}}, "unknown key '[sampler] drawz'; did you mean 'draws'"),
        ({"sampler": {"draws": '"many"'}}, "[sampler] draws = 'many' must be a whole number"),
        ({"sampler": {"draws": 1}}, "draws = 1 must be at least"),
        ({"laws": '["chinchila"]'}, "unknown law 'chinchila'; did you mean 'chinchilla'"),
        ({"laws": '["power_law", "power_law"]'}, "names the law 'power_law' twice"),
        ({"laws": None}, "no 'laws'"),
        ({"group": '["curv"]'}, "no column 'curv'"),
        ({"input": '"y"'}, "cannot be a function of 'y'"),
        ({"noise": '"cauchy"'}, "unknown noise family 'cauchy'"),
        ({"fix": "{ q = 1.0 }"}, "cannot fix 'q'"),
        ({"prior": '{ c = "Gaussian(0, 1)" }'}, "unknown distribution 'Gaussian'"),
        ({"law.bnsl": {"noise": '"normal"'}}, "options are given for law 'bnsl', which the job does not fit"),
        ({"run": {"memory": '"12 parsecs"'}}, "must be bytes"),
        ({"run": {"memory": '"10MB"'}}, "too little for one worker"),
        ({"run": {"workers": 0}}, "workers = 0 must be at least 1"),
        ({"run": {"workers": 100_000}}, "workers = 100000 are too many for the"),
        ({"run": {"memory": f'"{"9" * 400}"'}}, "must be bytes"),
        ({"output": {"draws": 100}}, "unknown key '[output] draws'; it goes in [sampler]"),
        ({"run": {"group": '"a"'}}, "unknown key '[run] group'; it goes before the first section"),
        ({"data": '"nowhere.csv"'}, "nowhere.csv"),
        ({"output": {"paht": '"x"'}}, "did you mean 'path'"),
        ({"where": '"kind = 3"'}, "cannot read the condition"),
    ],
)
def test_a_wrong_job_is_one_line_that_says_why(tmp_path, folder, changes, message):
    (tmp_path / "curves.csv").write_bytes((folder / "curves.csv").read_bytes())
    with pytest.raises(bs.BayesScalingError) as found:
        forecast(job_file(tmp_path, "wrong", **changes))
    assert message in str(found.value)
    assert "\n" not in str(found.value)
    assert not (tmp_path / "wrong").exists()


def test_a_job_file_that_is_none(tmp_path):
    (tmp_path / "job.toml").write_text("data = curves.csv")
    for arguments, message in (((tmp_path / "job.toml",), "is not TOML"), ((tmp_path / "none.toml",), "cannot read the job")):
        done = command(*arguments)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_job_of_all_runs_in_one_group(tmp_path):
    job = Job(data="ladder", laws=("chinchilla",), path=tmp_path / "out", draws=400, device="cpu")
    (record,) = list(run_job(job))
    assert record["group"] == "all"
    assert Store(tmp_path / "out").fit("chinchilla").runs.data_hash == bs.read_runs("ladder").data_hash


def test_interrupted_by_the_keyboard(folder):
    path = job_file(folder, "interrupted", where="\"curve == 'c0' or curve == 'c1'\"", sampler={"draws": 25_000})
    process = subprocess.Popen(
        [sys.executable, "-m", "bayes_scaling", "batch", str(path)], stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # in a shell's background it is ignored
    )  # fmt: skip
    shards = folder / "interrupted" / "shards"
    while process.poll() is None and not (shards.is_dir() and list(shards.glob("[!.]*.nc"))):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.strip() == "bayes-scaling: interrupted"
    with open(folder / "interrupted" / "summary.csv") as file:
        statuses = [row["status"] for row in csv.DictReader(file)]
    assert "ok" in statuses
    assert "missing" in statuses
    assert "2 ok" in command(path).stdout


def test_a_fit_that_kills_its_worker_fails_alone(folder, tmp_path):
    """A law of the user's that ends the process where there are more than 64 runs, as lack of memory might."""
    (tmp_path / "law.py").write_text(
        "import os\nimport numpyro.distributions as dist\nfrom bayes_scaling import Input, Law, Parameter\n"
        "def formula(inputs, p):\n"
        "    if inputs['x'].shape[-1] > 64:\n        os.kill(os.getpid(), 9)\n"
        "    return p['a'] * inputs['x'] ** -p['c']\n"
        "LAW = Law(name='deadly', title='', equation='', citation='', use='', avoid='', inputs=(Input('x', 'count', ''),),\n"
        "    parameters=(Parameter('a', dist.LogNormal(1.0, 1.0), ''), Parameter('c', dist.LogNormal(-1.6, 0.7), '')), formula=formula)\n"
    )
    rng = np.random.default_rng(0)
    rows = ["curve,part,x,loss"]
    for curve, points in (("large", 70), ("larger", 80), ("small", 20)):
        x = np.geomspace(1e2, 1e5, points)
        rows += [f"{curve},{i % 1},{a},{5 * a**-0.2 * np.exp(0.01 * rng.normal())}" for i, a in enumerate(x)]
    (tmp_path / "curves.csv").write_text("\n".join(rows))
    path = job_file(tmp_path, "poison", laws='["law.py"]', group='["curve", "part"]', where=None, input=None, run={"chunk": 8})
    done = command(path)
    assert done.returncode == 3, done.stderr
    assert done.stderr.splitlines()[-1].startswith("bayes-scaling: 2 of 3 fits failed")
    with open(tmp_path / "poison" / "summary.csv") as file:
        rows = {row["group"]: row for row in csv.DictReader(file)}
    assert {name: row["status"] for name, row in rows.items()} == {"large/0": "failed", "larger/0": "failed", "small/0": "ok"}
    assert rows["small/0"]["curve"] == "small"
    assert "its worker process was killed by SIGKILL (out of memory?)" in rows["large/0"]["reasons"]
    assert "(3 were there)" in command(path).stdout
    assert "(1 were there)" in command(path, "--retry").stdout
