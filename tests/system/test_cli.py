"""The command line as a user meets it: exit codes, one-line errors, JSON contract, files."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import simulated_runs

import bayes_scaling as bs
from bayes_scaling.records import prediction_records


def command(*arguments, **kwargs):
    """Run the command in a process of its own."""
    return subprocess.run([sys.executable, "-m", "bayes_scaling", *map(str, arguments)], capture_output=True, text=True, **kwargs)


def write_runs(path, runs):
    rows = zip(*(runs[name] for name in ("params", "tokens", "loss")), strict=True)
    path.write_text("params,tokens,loss\n" + "".join(f"{n!r},{d!r},{loss!r}\n" for n, d, loss in (map(float, row) for row in rows)))
    return path


def test_two_commands_from_csv_to_allocation(tmp_path):
    """The main job, as separate processes; the second knows nothing but the file that the first wrote."""
    data = write_runs(tmp_path / "runs.csv", simulated_runs(n=60))
    out = tmp_path / "fit.nc"
    done = command("fit", data, "--law", "chinchilla", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {"law", "n_runs", "parameters", "diagnostics", "timing", "out"} <= set(found)
    assert set(found["parameters"]["alpha"]) == {"mean", "sd", "median", "q05", "q95", "ess_bulk", "ess_tail", "rhat"}
    assert {"ok", "divergences", "max_rhat", "min_ess", "problems"} <= set(found["diagnostics"])
    assert set(found["timing"]) == {"total_s", "compile_s", "sample_s"}
    assert found["n_runs"] == 60
    assert found["out"] == str(out)
    done = command("allocate", out, "--compute", "5.76e23", "--compute", "1e22", "--json")
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)["allocations"]
    assert first["compute"] == 5.76e23
    assert second["compute"] == 1e22
    for name in ("params", "tokens", "tokens_per_param", "loss"):
        assert first[name]["q05"] <= first[name]["median"] <= first[name]["q95"]
    assert set(first["decision"]) == {"params", "tokens", "expected_loss", "expected_regret_loss", "expected_regret_compute"}


def test_laws_and_data(run):
    code, out, _ = run("laws", "--json")
    assert code == 0
    laws = json.loads(out)
    assert set(laws) == set(bs.law_names())
    assert laws["chinchilla"]["published"]["besiroglu"]["values"]["E"] == 1.8172
    code, out, _ = run("laws", "chinchilla")
    assert code == 0
    assert "Besiroglu" in out
    code, out, _ = run("data", "--json")
    assert code == 0
    assert {"ladder", "chinchilla"} <= set(json.loads(out))
    assert run("laws")[0] == run("data")[0] == 0


def test_predict(run, stored, tmp_path):
    points = tmp_path / "points.csv"
    points.write_text("N,D\n1e9,2e10\n7e10,1.4e12\n")
    code, out, _ = run("predict", stored, "--at", points, "--json")
    assert code == 0
    rows = json.loads(out)["rows"]
    assert rows[0]["params"] == 1e9
    assert rows[0]["q05"] < rows[0]["expected"]["q05"] < rows[0]["expected"]["median"] < rows[0]["expected"]["q95"] < rows[0]["q95"]
    code, out, _ = run("predict", stored, "--at", points)
    assert code == 0
    assert "decades beyond" in out
    points.write_text("params\n1e9\n")
    code, _, err = run("predict", stored, "--at", points)
    assert code == 2
    assert "no column for 'tokens'" in err


def test_decide(run, stored):
    code, out, _ = run("decide", stored, "--given", "compute=5.76e23", "--json")
    assert code == 0
    found = json.loads(out)
    answers = found["cases"][0]["answers"]
    assert found["law"] == "chinchilla"
    assert set(answers) == {"params", "tokens", "tokens_per_param", "loss"}
    _, allocated, _ = run("allocate", stored, "--compute", "5.76e23", "--json")
    assert answers["params"]["median"] == pytest.approx(json.loads(allocated)["allocations"][0]["params"]["median"], rel=1e-9)
    code, out, _ = run("decide", "chinchilla", "--published", "besiroglu", "--given", "compute=5.76e23")
    assert code == 0
    assert "72.2B" in out  # laws.md: 7.224870e10
    assert "90 % intervals" not in out
    for arguments, message in (
        ((stored,), "needs 'compute'"),
        ((stored, "--given", "compte=1e20"), "takes no 'compte'; did you mean 'compute'"),
        ((stored, "--given", "compute=-1"), "compute = -1 must be finite and positive"),
        (("chinchilla", "--published", "besirolu", "--given", "compute=1e20"), "did you mean 'besiroglu'"),
    ):
        code, _, err = run("decide", *arguments)
        assert code == 2
        assert message in err
        assert "Traceback" not in err


def test_predict_through_a_second_law(run, stored, small_fit, tmp_path):
    """Loss from size and tokens, error from loss: the uncertainty of both fits is in the answer."""
    rng = np.random.default_rng(3)
    loss = rng.uniform(2.2, 4.5, 60)
    link = bs.get_law("overtraining_error")
    truth = next(iter(link.published.values())).values
    logit = np.log(1 / (1 / link.predict({"loss": loss}, truth) - 1)) + 0.02 * rng.normal(size=60)
    second = bs.fit(link, bs.runs_from_columns({"loss": loss, "error": 1 / (1 + np.exp(-logit))}), draws=500)
    second.save(tmp_path / "error.nc")
    points = tmp_path / "points.csv"
    points.write_text("params,tokens\n1e9,2e10\n")
    code, out, err = run("predict", stored, "--at", points, "--then", tmp_path / "error.nc", "--json", "--allow-unconverged")
    assert code == 0, err
    found = json.loads(out)
    assert found["output"] == "error"
    row = found["rows"][0]
    known = link.predict({"loss": bs.predict(small_fit, {"params": 1e9, "tokens": 2e10})["expected"].values}, truth)
    assert row["expected"]["median"] == pytest.approx(np.median(known), abs=0.01)
    assert row["q05"] < row["expected"]["q05"] < row["expected"]["q95"] < row["q95"]
    assert prediction_records(bs.predict(small_fit, points, then=second)) == found["rows"]
    code, out, _ = run("allocate", stored, "--then", tmp_path / "error.nc", "--target", "0.01", "--allow-unconverged")
    assert code == 0
    ends = np.quantile(bs.allocate_target(small_fit, 0.01, then=second)["attainable"], [0.5, 0.05, 0.95], method="nearest")
    assert "probability 0.000; no scale leads beyond {:.4g} [{:.4g}, {:.4g}]".format(*ends) in out
    assert ends[1] > 0.01
    points.write_text("loss,params,tokens\n2.5,1e9,2e10\n")
    code, _, err = run("predict", tmp_path / "error.nc", "--at", points, "--then", stored)
    assert code == 2
    assert "does not take error" in err
    assert "in the other order they fit" in err


def test_targets_and_costs(run, stored):
    code, out, _ = run("allocate", stored, "--target-loss", "2.2", "--target-loss", "0.5", "--json")
    assert code == 0
    reachable, out_of_reach = json.loads(out)["targets"]
    assert reachable["compute"]["q05"] < reachable["compute"]["median"]
    assert out_of_reach["compute"]["median"] is None
    assert out_of_reach["probability_reachable"] == 0
    code, out, _ = run("allocate", stored, "--target-loss", "0.5")
    assert code == 0
    assert re.search(r"probability 0\.000; no scale leads beyond 1\.\d+ \[1\.\d+, 1\.\d+\]", out)
    assert "unbounded" not in out
    code, out, _ = run("allocate", stored, "--compute", "5.76e23", "--inference-tokens", "1e13", "--json")
    served = json.loads(out)["allocations"][0]
    code, out, _ = run("allocate", stored, "--compute", "5.76e23", "--json")
    assert served["params"]["median"] < json.loads(out)["allocations"][0]["params"]["median"]
    code, out, _ = run("allocate", stored, "--compute", "5.76e23", "--params", "70e9")
    assert code == 0
    assert "held params" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit"], "the following arguments are required"),
        (["fit", "none.csv", "--law", "chinchilla"], "no file 'none.csv'"),
        (["fit", "laddr", "--law", "chinchilla"], "did you mean 'ladder'"),
        (["fit", "ladder", "--law", "chinchila"], "did you mean 'chinchilla'"),
        (["fit", "ladder", "--law", "chinchilla", "--noise", "gauss"], "unknown noise family"),
        (["fit", "ladder", "--law", "chinchilla", "--fix", "E"], "write it as --fix NAME=VALUE"),
        (["fit", "ladder", "--law", "chinchilla", "--fix", "E=abc"], "'abc' is not a number"),
        (["fit", "ladder", "--law", "chinchilla", "--fix", "A=400"], "it is derived"),
        (["fit", "ladder", "--law", "chinchilla", "--prior", "E=Normal(0"], "cannot read the prior"),
        (["fit", "ladder", "--law", "chinchilla", "--map", "loss=losss"], "did you mean 'loss'"),
        (["fit", "ladder", "--law", "chinchilla", "--where", "los<2"], "did you mean 'loss'"),
        (["fit", "ladder", "--law", "chinchilla", "--draws", "0"], "draws = 0"),
        (["fit", "ladder", "--law", "chinchilla", "--precision", "16"], "must be 32 or 64"),
        (["fit", "ladder", "--law", "chinchilla", "--device", "tpuu"], "unknown device 'tpuu'"),
        (["fit", "ladder", "--law", "chinchilla", "--out", "/nowhere/at/all/fit.nc"], "no folder '/nowhere/at/all'"),
        (["fit", "ladder", "--law", "power_law_floor"], "choose with --input"),
        (["fit", "ladder", "--law", "power_law_floor", "--input", "width"], "cannot be a function of 'width'"),
        (["allocate", "none.nc", "--compute", "1e20"], "no file 'none.nc'"),
        (["allocate", "FIT"], "give budgets (--compute 5.76e23) or target losses"),
        (["allocate", "FIT", "--compute", "1e20", "--target-loss", "2"], "one of the two"),
        (["allocate", "FIT", "--compute", "lots"], "'lots' is not a number"),
        (["allocate", "FIT", "--compute", "nan"], "not a finite number"),
        (["allocate", "FIT", "--compute=-1e20"], "must be positive"),
        (["allocate", "FIT", "--compute", "1e20", "--unique-tokens", "1e9"], "does not know repeated data"),
        (["allocate", "FIT", "--target-loss", "-2"], "must be positive"),
        (["laws", "nothing"], "unknown law 'nothing'"),
        (["data", "nothing"], "no data set 'nothing'"),
        (["frobnicate"], "invalid choice"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(run, stored, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*(stored if argument == "FIT" else argument for argument in arguments))
    assert code == 2
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"not netcdf", b"\x89HDF\r\n\x1a\n" + b"\0" * 200])
def test_files_that_are_no_fits(run, tmp_path, content):
    path = tmp_path / "fit.nc"
    path.write_bytes(content)
    code, _, err = run("allocate", path, "--compute", "1e20")
    assert code == 2
    assert "cannot be read as NetCDF" in err


def test_truncated_and_foreign_fits(run, stored, tmp_path):
    path = tmp_path / "cut.nc"
    path.write_bytes(stored.read_bytes()[:-2000])
    assert run("allocate", path, "--compute", "1e20")[0] == 2
    import xarray

    xarray.Dataset({"x": [1.0]}).to_netcdf(tmp_path / "foreign.nc", engine="h5netcdf")
    code, _, err = run("allocate", tmp_path / "foreign.nc", "--compute", "1e20")
    assert code == 2
    assert "is not a fit of bayes-scaling" in err


def test_untrusted_posterior_exits_with_3_and_is_written_and_marked(run, tmp_path):
    data = tmp_path / "runs.csv"
    data.write_text("params,tokens,loss\n1e8,1e10,3\n1e9,2e10,2.5\n1e10,5e10,2.2\n")
    out = tmp_path / "fit.nc"
    code, text, err = run("fit", data, "--law", "chinchilla", "--out", out, "--draws", "250")
    assert code == 3
    assert "DO NOT TRUST" in text
    assert "--allow-unconverged" in err
    code, text, _ = run("allocate", out, "--compute", "1e22", "--json")
    assert code == 3
    assert json.loads(text)["allocations"][0]["trustworthy"] is False
    assert run("allocate", out, "--compute", "1e22", "--allow-unconverged")[0] == 0


def test_saved_fit_is_the_fit(stored, small_fit):
    again = bs.load_fit(stored)
    assert str(again) == str(small_fit)
    assert all(np.array_equal(values, again.parameters()[name]) for name, values in small_fit.parameters().items())
    assert np.array_equal(again.log_likelihood(), small_fit.log_likelihood())
    assert again.attributes["data"]["hash"] == small_fit.runs.data_hash
    assert {"posterior", "sample_stats", "observed_data", "constant_data", "log_likelihood"} <= set(again.tree.children)


def test_arviz_reads_a_saved_fit(stored):
    import arviz

    summary = arviz.summary(arviz.from_netcdf(stored), var_names=["alpha"])
    assert float(summary["r_hat"].iloc[0]) <= 1.01


def test_figures_are_drawn(run, stored, tmp_path):
    code, out, _ = run("plot", stored, "--compute", "5.76e23", "--out", tmp_path / "figures", "--format", "svg")
    assert code == 0
    names = {line.rsplit("/", 1)[1] for line in out.split()}
    assert names == {
        f"{name}.svg" for name in ("loss_compute", "isoflop", "allocation", "regret_5.76e23", "residuals", "levels", "parameters", "pairs")
    }
    assert "FLOP" in (tmp_path / "figures" / "loss_compute.svg").read_text()


LAW_FILE = '''
"""Loss against tokens, without a floor."""
from numpyro.distributions import LogNormal
from bayes_scaling.law import Input, Law, Parameter

LAW = Law(
    name="bare", title="Bare power law", equation="L = a D^-c", citation="own", use="tests", avoid="all else",
    inputs=(Input("tokens", "count", "training tokens"),),
    parameters=(Parameter("a", LogNormal(2.0, 1.0), "loss at one token"), Parameter("c", LogNormal(-2.0, 1.0), "exponent")),
    formula=lambda inputs, p: p["a"] * inputs["tokens"] ** -p["c"],
    decreasing_in=("tokens",),
)
'''


def test_a_law_of_ones_own(run, tmp_path):
    law = tmp_path / "mylaw.py"
    law.write_text(LAW_FILE)
    data = tmp_path / "runs.csv"
    rng = np.random.default_rng(0)
    rows = [(d, 12 * d**-0.08 * np.exp(0.002 * rng.normal())) for d in np.geomspace(1e8, 1e11, 25)]
    data.write_text("tokens,loss\n" + "".join(f"{d},{loss}\n" for d, loss in rows))
    out = tmp_path / "fit.nc"
    code, text, err = run("fit", data, "--law", law, "--out", out, "--draws", "250", "--json")
    assert code == 0, err
    found = json.loads(text)
    assert found["parameters"]["c"]["q05"] < 0.08 < found["parameters"]["c"]["q95"]
    assert run("allocate", out, "--target-loss", "1.5")[0] == 0
    law.write_text(LAW_FILE + "\n# changed")
    code, _, err = run("allocate", out, "--target-loss", "1.5")
    assert code == 2
    assert "gone or has changed" in err
    assert run("allocate", out, "--target-loss", "1.5", "--law", law)[0] == 0


def test_progress_goes_nowhere_but_a_terminal(tmp_path):
    data = write_runs(tmp_path / "runs.csv", simulated_runs(n=20))
    done = command("fit", data, "--law", "chinchilla", "--draws", "100", "--allow-unconverged")
    assert done.returncode == 0
    assert "it/s" not in done.stderr


#: A law that is compiled in half the time of most: what the cache holds does not depend on it.
CHEAP = ("--law", "power_law", "--input", "tokens", "--draws", "100")


def test_damaged_and_foreign_cache_files_change_nothing(tmp_path):
    data = write_runs(tmp_path / "runs.csv", simulated_runs(n=20))
    cache = tmp_path / "cache"
    arguments = ("fit", data, *CHEAP, "--json", "--allow-unconverged")
    environment = {**os.environ, "BAYES_SCALING_CACHE": str(cache)}

    def parameters():
        done = command(*arguments, env=environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["parameters"]

    first = parameters()
    programs = sorted((cache / "programs").iterdir())
    assert programs
    for number, path in enumerate(programs):
        content = path.read_bytes()
        damaged = content[: len(content) // 2] if number % 2 else content[:100] + bytes([content[100] ^ 1]) + content[101:]
        path.write_bytes(damaged)
    for path in (cache / "compiled").rglob("*"):
        if path.is_file():
            path.write_bytes(b"rubbish")
    assert parameters() == first
    # Well-formed, but not a program: the checksum is right, the content foreign.
    import hashlib

    for path in sorted((cache / "programs").iterdir()):
        path.write_bytes(hashlib.sha256(path.name.encode() + b"\0foreign").digest() + b"foreign")
    assert parameters() == first


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path):
    data = write_runs(tmp_path / "runs.csv", simulated_runs(n=20))
    (tmp_path / "file").write_text("not a folder")
    environment = {**os.environ, "BAYES_SCALING_CACHE": str(tmp_path / "file")}
    done = command("fit", data, *CHEAP, "--allow-unconverged", env=environment)
    assert done.returncode == 0, done.stderr


def test_concurrent_processes_share_a_fresh_cache(tmp_path):
    data = write_runs(tmp_path / "runs.csv", simulated_runs(n=20))
    environment = {**os.environ, "BAYES_SCALING_CACHE": str(tmp_path / "cache")}
    arguments = [sys.executable, "-m", "bayes_scaling", "fit", str(data), *CHEAP, "--json", "--allow-unconverged"]
    both = [subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (json.loads(process.communicate()[0])["parameters"] for process in both)
    assert first == second


def test_killed_while_fitting_leaves_the_old_file(tmp_path, stored):
    data = write_runs(tmp_path / "runs.csv", simulated_runs(n=60))
    out = tmp_path / "fit.nc"
    out.write_bytes(stored.read_bytes())
    before = out.read_bytes()
    arguments = [sys.executable, "-m", "bayes_scaling", "fit", str(data), "--law", "chinchilla", "--draws", "200000", "--out", str(out)]
    process = subprocess.Popen(arguments)
    time.sleep(6)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert out.read_bytes() == before


def test_decide_answers_from_a_published_set_of_another_input(run):
    """The set is one of compute, the law one of params unless told: the answer is an amount of compute."""
    code, shown, _ = run("decide", "power_law_floor", "--published", "besiroglu_frontier", "--given", "target=2.2")
    assert code == 0
    assert "compute" in shown
    assert "params" not in shown
