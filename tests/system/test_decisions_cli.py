"""Costs, limits, plans of runs, recipes and robustness on the command line."""

import json

import numpy as np
import pytest
from conftest import simulated_runs

import bayes_scaling as bs


def test_allocate_with_cost_and_limits(run, stored):
    hardware = ("--gpu-flops", "1e15", "--utilisation", "0.5", "--gpu-price", "2")
    code, out, _ = run(
        "allocate", stored, "--dollars", "1e6", *hardware, "--inference-tokens", "1e12", "--sizes", "7e9,1.3e10,7e10", "--json"
    )
    assert code == 0
    (row,) = json.loads(out)["allocations"]
    assert row["compute"] == pytest.approx(1e6 / 2 * 3600 * 0.5e15)
    assert row["decision"]["params"] in (7e9, 1.3e10, 7e10)
    assert row["spending"]["dollars"] == pytest.approx(1e6)
    assert row["spending"]["training"] + row["spending"]["serving"] == pytest.approx(row["compute"])
    assert row["limits"] == "params one of 7.00B, 13.0B, 70.0B"
    assert row["predictive"]["new"]["q05"] < row["predictive"]["expected"]["q05"]
    assert set(row["decades_beyond_each"]) == {"params", "tokens", "compute"}


def test_gpu_hours_alone_are_the_budget(run, stored):
    hardware = ("--gpu-flops", "1e15", "--utilisation", "0.5", "--gpu-hours", "1e5", "--json")
    (row,) = json.loads(run("allocate", stored, *hardware)[1])["allocations"]
    assert row["compute"] == pytest.approx(1e5 * 3600 * 0.5e15)
    (deadline,) = json.loads(run("allocate", stored, "--compute", "1e25", *hardware)[1])["allocations"]
    assert deadline["compute"] == 1e25
    assert run("allocate", stored, "--gpu-hours", "1e5")[0] == 2


def test_allocate_says_what_it_says_in_words(run, stored):
    other = "params=2.8e11,tokens=3e11"
    code, out, _ = run(
        "allocate", stored, "--compute", "5.76e23", "--max-tokens-per-param", "150", "--inference-tokens", "1e13", "--versus", other
    )
    assert code == 0
    for piece in ("limits: tokens per param <= 150", "within 1 %", "of training,", "versus", "in compute)", "caution"):
        assert piece in out, piece
    code, out, _ = run("allocate", stored, "--compute", "1e21", "--risk", "cvar:0.9")
    assert "decision (cvar:0.9)" in out


def test_allocate_says_which_loss_is_which_and_what_serving_comes_to_beside_a_training_budget(run, stored):
    asked = ("allocate", stored, "--compute", "1e21", "--inference-tokens", "1e12", "--training-budget")
    (row,) = json.loads(run(*asked, "--json")[1])["allocations"]
    curve, new = ("[{q05:.4f}, {q95:.4f}]".format(**row["predictive"][what]) for what in ("expected", "new"))
    best, decided = "{median:.4f} [{q05:.4f}, {q95:.4f}]".format(**row["loss"]), row["decision"]["expected_loss"]
    lines = run(*asked)[1].splitlines()
    assert f"  best loss         {best} nat/token, of each draw at its own best plan" in lines
    assert f"  its loss          expected {decided:.4f}, 90 % interval {curve}; of one run, with scatter, {new}" in lines
    assert row["decades_beyond"] == 0
    (far,) = json.loads(run("allocate", stored, "--compute", "1e25", "--json")[1])["allocations"]
    new = "[{q05:.4f}, {q95:.4f}]".format(**far["predictive"]["new"])
    assert f"of one run, with scatter and drift beyond the runs, {new}" in run("allocate", stored, "--compute", "1e25")[1]
    assert row["training_budget"] is True
    assert row["spending"]["training"] == pytest.approx(1e21)
    served = row["spending"]["serving"]
    assert served == pytest.approx(2 * row["decision"]["params"] * 1e12)
    (line,) = [line for line in lines if line.startswith("  serving ")]
    assert line.endswith(f"FLOP, beside the budget: {served / 1e21:.3g} times the training")


def test_allocate_under_an_average_of_fits(run, stored, small_fit, tmp_path):
    other = tmp_path / "other.nc"
    small_fit.save(other)
    asked = ("allocate", stored, other, "--compute", "1e22", "--weight", f"{stored}=3", "--weight", f"{other}=1")
    code, out, _ = run(*asked, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["weights"] == {str(stored): 0.75, str(other): 0.25}
    (alone,) = json.loads(run("allocate", stored, "--compute", "1e22", "--json")[1])["allocations"]
    (row,) = found["allocations"]
    for name in ("params", "tokens", "expected_loss"):  # of one law, given twice
        assert row["decision"][name] == pytest.approx(alone["decision"][name], rel=1e-4)
    assert row["band"]["params_low"] == pytest.approx(alone["band"]["params_low"], rel=1e-4)
    code, out, _ = run(*asked, "--max-tokens", "1e10", "--drift", "0")
    assert code == 0
    assert "average of " in out
    assert "limits: tokens <= 10.0B" in out
    assert "drift" not in out
    code, out, _ = run(*asked, "--versus", "params=2e10,tokens=8e10", "--risk", "cvar:0.9")
    assert code == 0
    assert "versus " in out
    assert "decision (cvar:0.9)" in out
    target = ("allocate", stored, other, "--target-loss", "2.2", "--weight", f"{stored}=3", "--weight", f"{other}=1")
    code, out, _ = run(*target, "--json")
    assert code == 0
    (found,) = json.loads(out)["targets"]
    (alone,) = json.loads(run("allocate", stored, "--target-loss", "2.2", "--json")[1])["targets"]
    assert found["decision"] == pytest.approx(alone["decision"], rel=1e-3)
    code, out, _ = run(*target)
    assert code == 0
    assert "average of " in out


def test_plan_of_runs(run, stored, tmp_path):
    table = tmp_path / "candidates.csv"
    table.write_text("params,tokens\n1e8,2e10\n1e9,2e10\n5e9,1e10\n3e9,2e11\n")
    figure = tmp_path / "plan.png"
    arguments = ("plan", stored, "--target-compute", "5.76e23", "--budget", "1e22", "--candidates", table)
    code, out, _ = run(*arguments, "--json", "--figure", figure)
    found = json.loads(out)
    assert code == 0
    assert figure.stat().st_size > 10_000
    assert {row["params"] for row in found["runs"]} <= {1e8, 1e9, 5e9, 3e9}
    assert sum(row["compute"] for row in found["runs"]) == pytest.approx(found["spent"])
    assert found["regret_after"] < found["regret_now"]
    code, out, _ = run(*arguments)
    assert "expected regret now" in out
    assert "further" in out or "pays best" in out or "at no budget" in out


def test_recipes_and_robustness(run, stored):
    code, out, _ = run("recipes", stored, stored, "--compute", "1e22", "--json")
    assert code == 2  # the same file is no other recipe
    code, out, err = run("robustness", stored, "--compute", "5.76e23", "--only", "law", "--try-law", "chinchilla", "--json")
    assert code == 0
    assert err == ""
    rows = json.loads(out)["rows"]
    assert [row["kind"] for row in rows] == ["as fitted", "law"]
    assert rows[0]["moved"] == 1


def test_recipes_of_two_files(run, stored, small_fit, tmp_path):
    other = tmp_path / "other.nc"
    small_fit.save(other)
    code, out, _ = run("recipes", stored, other, "--compute", "1e22", "--compute", "1e24", "--json")
    assert code == 0
    found = json.loads(out)
    assert [row["compute"] for row in found["budgets"]] == [1e22, 1e24]
    assert found["budgets"][0]["multiplier"]["q05"] < 1 < found["budgets"][0]["multiplier"]["q95"]
    code, out, _ = run("recipes", stored, other, "--compute", "1e22")
    assert "the curves cross with probability" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["allocate", "FIT", "--compute", "1e21", "--gpu-price", "2"], "--gpu-price needs --gpu-flops"),
        (["allocate", "FIT", "--dollars", "1e6"], "say what a GPU does"),
        (["allocate", "FIT", "--compute", "1e21", "--gpu-hours", "10"], "say what a GPU does"),
        (["allocate", "FIT", "--compute", "1e21", "--aspect", "64"], "--aspect needs --context or --vocabulary"),
        (["allocate", "FIT", "--compute", "1e21", "--sizes", "1e9,big"], "'big' is not a number"),
        (
            ["allocate", "FIT", "--compute", "1e21", "--min-params", "1e13", "--min-tokens", "1e9"],
            "min_params asks for 10.0T, but 1e+21 FLOP",
        ),
        (["allocate", "FIT", "--compute", "1e21", "--given", "bits=4/8"], "takes no 'bits'"),
        (["allocate", "FIT", "--compute", "1e21", "--risk", "worst"], "risk 'worst' is unknown"),
        (["allocate", "FIT", "--compute", "1e21", "--versus", "params=1e9"], "a plan needs tokens"),
        (["allocate", "FIT", "--target", "0.6"], "--then takes --target"),
        (["allocate", "FIT", "FIT", "--compute", "1e21"], "is given more than once"),
        (["allocate", "FIT", "--compute", "1e21", "--weight", "chinchilla=1"], "--weight goes with several fits"),
        (["allocate", "FIT", "--compute", "1e21", "--drift", "-1"], "drift = -1 must be a size of 0"),
        (["allocate", "FIT", "--budget", "nan"], "nan is not a finite number"),
        (["plan", "FIT", "--target-compute", "1e23", "--budget", "0"], "budget = 0 FLOP must be positive"),
        (["plan", "FIT", "--target-compute", "1e23", "--budget", "1e20", "--objective", "regrets"], "did you mean 'regret'"),
        (["recipes", "FIT", "--compute", "1e22"], "give the other recipe"),
        (["robustness", "FIT", "--compute", "1e22", "--only", "luck"], "cannot change 'luck'"),
    ],
)
def test_bad_usage_is_one_line(run, stored, arguments, message):
    code, out, err = run(*(stored if argument == "FIT" else argument for argument in arguments))
    assert code == 2
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_python_describes_an_answer_as_the_command_prints_it(run, stored, small_fit, tmp_path):
    (tmp_path / "points.csv").write_text("params,tokens\n1e9,1e10\n1e12,1e13\n")
    for found, words in (
        (bs.predict(small_fit, tmp_path / "points.csv"), ("predict", stored, "--at", str(tmp_path / "points.csv"))),
        (bs.decide(small_fit, {"compute": 1e21}), ("decide", stored, "--given", "compute=1e21")),
        (bs.allocate_target(small_fit, [2.5, 0.1]), ("allocate", stored, "--target-loss", "2.5", "--target-loss", "0.1")),
        (bs.plan(small_fit, 1e22, 1e20, most_runs=2), ("plan", stored, "--target-compute", "1e22", "--budget", "1e20", "--most-runs", "2")),
    ):
        assert run(*words)[1] == bs.describe(found) + "\n"
    plan = bs.allocate(small_fit, 1e21, cost=bs.Cost(inference_tokens=1e13))
    words = run("allocate", stored, "--compute", "1e21", "--inference-tokens", "1e13")[1]
    assert "  caution " in words
    assert words == bs.describe(plan) + "\n"
    both = bs.allocate({"one": small_fit, "other": small_fit}, 1e21, cost=bs.Cost(inference_tokens=1e13), weights={"one": 1, "other": 1})
    assert "  caution " in bs.describe(both)
    ahead = bs.predict_average({"one": small_fit, "other": small_fit}, {"one": 1, "other": 3}, {"params": 1e9, "tokens": 1e10})
    assert bs.describe(ahead).startswith("average of one 0.25, other 0.75\n")
    assert "the recipe" in bs.describe(bs.compute_multiplier(small_fit, small_fit, 1e21))
    with pytest.raises(bs.InputError, match="a fit, a comparison and a forecast of a curve are printed as they are"):
        bs.describe(small_fit)  # pyright: ignore[reportArgumentType]


def test_points_are_read_as_the_runs_were(run, tmp_path):
    """Columns called as those of the runs' file are what they were there, in their units; what is declared goes first."""
    found = simulated_runs(n=24)
    names = {"N_millions": found["params"] / 1e6, "D_billions": found["tokens"] / 1e9, "loss": found["loss"]}
    rows = [",".join(names), *(",".join(map(repr, row)) for row in zip(*(values.tolist() for values in names.values()), strict=True))]
    (tmp_path / "runs.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "points.csv").write_text("N_millions,D_billions\n1000,20\n")
    how = ("--map", "params=N_millions,tokens=D_billions", "--units", "params=million,tokens=billion")
    fit = tmp_path / "fit.nc"
    assert run("fit", tmp_path / "runs.csv", "--law", "chinchilla", *how, "--draws", "200", "--allow-unconverged", "--out", fit)[0] == 0
    asked = ("predict", fit, "--at", tmp_path / "points.csv", "--json", "--allow-unconverged")
    (row,) = json.loads(run(*asked)[1])["rows"]
    assert (row["params"], row["tokens"]) == (1e9, 2e10)
    (row,) = json.loads(run(*asked, "--units", "params=billion")[1])["rows"]
    assert (row["params"], row["tokens"]) == (1e12, 2e10)
    loaded = bs.load_fit(fit)
    assert float(bs.predict(loaded, tmp_path / "points.csv")["params"][0]) == 1e9
    said = "points: params from column 'N_millions' in million, tokens from column 'D_billions' in billion, as the runs were read"
    assert said in run("predict", fit, "--at", tmp_path / "points.csv", "--allow-unconverged")[1]
    assert said in bs.describe(bs.predict(loaded, tmp_path / "points.csv"))
    assert "points:" not in bs.describe(bs.predict(loaded, {"params": 1e9, "tokens": 2e10}))
    with pytest.raises(bs.InputError, match="give a dict"):
        bs.compare([loaded, loaded])


def test_an_answer_says_how_far_beyond_the_runs_it_lies(small_fit, run, stored):
    found = bs.decide(small_fit, {"compute": [1e20, 1e24]})
    (near, far), most = np.median(found["params"], axis=(0, 1)), small_fit.runs["params"].max()
    assert near < most < far
    assert found["params"].attrs["beyond"] == pytest.approx([0.0, np.log10(far / most)])
    assert "beyond" not in found["tokens_per_param"].attrs
    assert f"best model size ({np.log10(far / most):.1f} decades beyond the runs)" in run("decide", stored, "--given", "compute=1e24")[1]
    assert "beyond" not in bs.decide("chinchilla", {"compute": 1e24}, published="besiroglu")["params"].attrs


def test_predictions_and_targets_say_how_far_beyond_the_runs_they_lie(small_fit):
    most = {name: small_fit.runs[name].max() for name in ("params", "tokens")}

    def said(factor):
        return bs.describe(bs.predict(small_fit, {name: factor * value for name, value in most.items()}))

    assert "beyond one decade" not in said(0.9)
    assert "beyond one decade no run has tested the law" in said(30)
    assert "are the points in the units in which they were read?" in said(1e6)
    near, far = (
        bs.allocate_target(small_fit, float(loss)) for loss in (np.median(small_fit.runs["loss"]), 1.01 * small_fit.runs["loss"].min())
    )
    assert float(near["decades_beyond"][0]) == 0
    assert "extrapolated" not in bs.describe(near)
    plan = {name: float(far[f"decision_{name}"][0]) for name in ("params", "tokens", "compute")}
    expected = np.log10(plan["compute"] / (6 * small_fit.runs["params"] * small_fit.runs["tokens"]).max())
    assert float(far["decades_beyond"][0]) == pytest.approx(max(0, expected, *(np.log10(plan[name] / most[name]) for name in most)))


def test_attempts_are_known_up_to_the_trials():
    counts = {"successes": np.arange(20.0), "trials": np.full(20, 100.0)}
    fit = bs.fit("pass_at_k", bs.runs_from_columns(counts), draws=200)
    answer = bs.decide(fit, {"target": [0.2, 0.99]})["samples_needed"]
    assert answer.attrs["beyond"] == pytest.approx([0.0, np.log10(np.median(answer[..., 1]) / 100)])
