"""Draws are reproducible, and what an upgrade does to them is told. That batches draw what single fits draw: test_many and test_batch."""

import copy
import json
import os
import subprocess
import sys
import warnings

import golden
import pytest


@pytest.fixture(scope="module")
def found(ladder_fit):
    return {**golden.here(), "fits": {"ladder": golden.summary(ladder_fit), "floor": golden.summary(golden.floor())}}


def compared(found):
    kind, said = golden.verdict(json.loads(golden.RECORD.read_text()), found)
    assert kind != "wrong", f"{said}; if draws were meant to change: python benchmarks/golden.py --write"
    if kind == "changed" and "->" in said.partition(";")[2].partition(";")[0]:
        warnings.warn(said, stacklevel=1)


def test_the_record_is_what_comes_out(found):
    """Warns where other versions draw otherwise; fails where the same versions do on the same kind of CPU, or the posterior is another."""
    compared(found)


@pytest.mark.long
def test_the_record_of_counts():
    compared(golden.record(["counts"]))


def test_another_process_on_several_devices_draws_the_same(found, tmp_path):
    """With nothing in its cache, four devices to jax instead of one, and one thread instead of as many as there are."""
    environment = {
        **os.environ,
        "BAYES_SCALING_CACHE": str(tmp_path),
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=4",
    }
    environment["PYTHONPATH"] = str(golden.RECORD.parents[2] / "benchmarks")
    code = """import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jax, golden; assert len(jax.devices()) == 4; raise SystemExit(golden.main())"""
    done = subprocess.run([sys.executable, "-c", code, "--json", "floor"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["fits"]["floor"] == found["fits"]["floor"]


def test_what_counts_as_a_change():
    old = json.loads(golden.RECORD.read_text())
    assert golden.verdict(old, old)[0] == "same"

    upgraded = copy.deepcopy(old)
    upgraded["versions"]["numpyro"] = "99.0"
    said = f"numpyro {old['versions']['numpyro']} -> 99.0"
    assert golden.verdict(old, upgraded) == ("same", f"since the record was made: {said}")

    other = copy.deepcopy(old)
    row = other["fits"]["floor"]["parameters"]["c"]
    row["mean"] += 3 * row["sd"] * (2 / row["ess"]) ** 0.5
    other["fits"]["floor"]["draws"] = "others"
    assert golden.verdict(old, other) == (
        "wrong", "draws of floor changed, within Monte-Carlo error; since the record was made: no version changed")  # fmt: skip
    other["versions"] = upgraded["versions"]
    kind, told = golden.verdict(old, other)
    assert kind == "changed"
    assert told.endswith(said)
    kind, told = golden.verdict(old, {**other, "versions": old["versions"], "cpu": "another"})
    assert kind == "changed"
    assert "on another CPU" in told

    row["mean"] += 4 * row["sd"] * (2 / row["ess"]) ** 0.5
    kind, told = golden.verdict(old, other)
    assert kind == "wrong"
    assert "mean of c in fit 'floor' by 7.0" in told
    assert said in told
    row["mean"] = old["fits"]["floor"]["parameters"]["c"]["mean"]
    row["sd"] *= 1.5
    assert "sd of c in fit 'floor'" in golden.verdict(old, other)[1]
    del other["fits"]["floor"]["parameters"]["c"]
    assert "c in fit 'floor' by inf" in golden.verdict(old, other)[1]
