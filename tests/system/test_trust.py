"""The commands that say whether a fit can be trusted, as a user meets them."""

import json
import re
import shlex

import numpy as np
import pytest
from conftest import floor_fit, floor_only, simulated_runs

import bayes_scaling as bs
from bayes_scaling.refitting import refits


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "runs.csv"
    found = simulated_runs(n=60)
    cells = zip(*(found[name].tolist() for name in ("params", "tokens", "loss")), strict=True)
    rows = [f"{n!r},{d!r},{loss!r},{6e-21 * n * d!r},0.01" for n, d, loss in cells]
    path.write_text("\n".join(["n_params,tokens,loss,zettaflop,loss_se", *rows]))
    return path


@pytest.fixture(scope="module")
def stored(tmp_path_factory, table):
    """Two stored fits to the same runs, of one law with different exponents held."""
    folder = tmp_path_factory.mktemp("fits")
    for name, alpha in (("right", 0.3478), ("wrong", 0.42)):
        floor_fit(bs.read_runs(table), alpha)[0].save(folder / f"{name}.nc")
    return folder / "right.nc", folder / "wrong.nc"


def test_compare_stored_fits(run, stored):
    code, out, err = run("compare", *stored, "--compute", "1e22", "--json")
    assert code == 0, err
    found = json.loads(out)
    right, wrong = (found["laws"][str(path)] for path in stored)
    assert {"elpd_loo", "se", "p_loo", "pareto_k_bad", "weight", "holdout"} <= set(right)
    assert right["weight"] > 0.8
    assert wrong["difference"] < -20
    assert found["allocations"][0]["compute"] == 1e22
    code, out, _ = run("compare", *stored)
    assert code == 0
    assert "almost certainly forecasts further runs of this kind best" in out


def test_compare_laws_on_runs(run, table):
    """The holdout condition is over the file's own columns, and over quantities that were worked out from them."""
    arguments = ("compare", table, "--law", "chinchilla", "--law", "power_law", "--input", "compute")
    code, out, err = run(*arguments, "--holdout", "zettaflop > 2", "--json")
    assert code == 0, err
    found = json.loads(out)
    apart = int(np.sum(bs.read_runs(table)["compute"] > 2e21))
    good, poor = found["laws"]["chinchilla"]["holdout"], found["laws"]["power_law"]["holdout"]
    assert found["n_runs"] == 60 - apart
    assert good["runs"] == poor["runs"] == apart
    assert set(good) >= {"rmsle", "log_likelihood", "coverage90"}
    assert good["rmsle"] < 0.01 < poor["rmsle"]
    assert good["log_likelihood"] > poor["log_likelihood"] + 1
    train, held = bs.read_split(table, "compute > 2e21")
    assert (len(train), len(held)) == (60 - apart, apart)
    assert f"{apart} runs held out: compute > 2e21" in train.notes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compare", "TABLE"), "name them with --law"),
        (("compare", "TABLE", "--law", "chinchilla"), "needs two different laws"),
        (("compare", "TABLE", "--law", "chinchilla", "--law", "kaplan_nd", "--holdout", "flop>1"), "names 'flop', which is no column"),
        (("compare", "TABLE", "--law", "chinchilla", "--law", "kaplan_nd", "--holdout", "loss>9"), "holds out no run"),
        (("compare", "TABLE", "--law", "chinchilla", "--law", "kaplan_nd", "--input", "compute"), "--input compute is for laws of any one"),
        (("compare", "RIGHT"), "at least two fits; 1 given"),
        (("forward", "TABLE"), "name the laws to validate with --law"),
        (("forward", "TABLE", "--law", "chinchilla", "--by", "epochs"), "has no column for 'epochs'"),
        (("check", "RIGHT", "--compute", "much"), "--compute: 'much' is not a number"),
        (("sheet", "RIGHT", "--out", "nowhere/fit.md"), "no folder 'nowhere'"),
        (("calibrate", "chinchilla", "--runs", "1"), "--runs 1 must be at least 2"),
        (("calibrate", "chinchila"), "did you mean 'chinchilla'"),
        (("compare", "RIGHT", "RIGHT"), "is given more than once"),
        (("compare", "RIGHT", "WRONG", "--holdout", "loss>3"), "--holdout goes with runs and --law"),
    ],
)
def test_what_cannot_be_done_is_one_line(run, table, stored, arguments, message):
    places = {"TABLE": table, "RIGHT": stored[0], "WRONG": stored[1]}
    code, _, err = run(*(places.get(argument, argument) for argument in arguments))
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_a_stored_fit_can_be_made_again(stored):
    """From what the file says, priors and values held among it, draw for draw."""
    fit = bs.load_fit(stored[0])
    ((_, again),) = refits(fit, [fit.runs])
    assert np.array_equal(again.posterior["E"], fit.posterior["E"])
    assert again.fixed == fit.fixed
    assert again.attributes["priors"] == fit.attributes["priors"]


def test_check(run, stored):
    code, out, err = run("check", stored[1], "--quick", "--json")
    assert code == 3, err
    found = json.loads(out)
    assert "known-se noise puts no run" in found["warnings"][0]  # the errors that runs state cannot be theirs under the wrong exponent
    warned = [text.split(",")[0] for text in found["warnings"] if text.startswith("without line")]
    moved = {f"without {item['left']}": max(map(abs, item["shift"].values())) for item in found["runs_left_out"]}
    assert warned == [name for name, shift in moved.items() if shift > 1][:3]
    assert any(0.5 < shift < 1 for shift in moved.values())  # that is no warning
    assert any("largest" in text or "neighbours" in text for text in found["warnings"])  # the exponent that is held is wrong
    assert set(found["prior_and_posterior"]) >= {"E", "ln loss at the largest inputs"}
    assert len(found["runs_left_out"]) == 60
    code, out, _ = run("check", stored[0], "--quick")
    assert code == 0
    assert "runs that move it most" in out


def test_a_fit_can_be_made_again_from_its_sheet_and_the_data(run, table, tmp_path, monkeypatch):
    """By the command that the sheet prints, and nothing else: units, condition, values held, another prior, seed."""
    monkeypatch.chdir(tmp_path)
    first = ("fit", table, "--law", "chinchilla", "--noise", "known-se", "--units", "loss=nat", "--where", "n_params > 5e7 and loss > 2")
    held = [f"--fix={name}={value!r}" for name, value in floor_only(0.3478)["fix"].items() if name != "alpha"]
    changed = (*held, "--fix", "alpha=0.3478", "--prior", "E=Uniform(0, 10)", "--seed", 7, "--chains", 3, "--draws", 500)
    assert run(*first, *changed, "--out", "first.nc")[0] == 0
    code, _, err = run("sheet", "first.nc", "--out", "sheet.md")
    assert code == 0, err
    text = (tmp_path / "sheet.md").read_text()
    (printed,) = re.findall(r"```\n(bayes-scaling .*)\n```", text)
    assert run(*shlex.split(printed)[1:])[0] == 0
    one, two = bs.load_fit("first.nc"), bs.load_fit("chinchilla.nc")
    assert np.array_equal(one.posterior["E"], two.posterior["E"])
    assert one.attributes["data"]["hash"] == two.attributes["data"]["hash"]
    assert one.attributes["data"]["hash"] in text
    stated_there = ("`L(N, D) = ", "rows meet the condition n_params > 5e7", "held at 0.3478", "`Uniform(low=0, high=10)`", "seed 7", "jax")
    for stated in stated_there:
        assert stated in text, stated
