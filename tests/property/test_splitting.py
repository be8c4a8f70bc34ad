"""What a user asks of budgets that a law's own inputs share: plans, targets, comparisons, refusals, and the command line."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray
from test_sharing import draws_of

import bayes_scaling as bs
from bayes_scaling import sharing
from bayes_scaling.cost import Cost, Hardware
from bayes_scaling.limits import Limits
from bayes_scaling.noise import noise_of


def fit_of(name, small_fit, columns):
    """Return a fit of a law with draws as above, whose runs have these columns."""
    law = bs.get_law(name)
    tree = small_fit.draws.copy()
    posterior = {key: (("chain", "draw"), values) for key, values in {**draws_of(name), "sigma": np.full((2, 20), 0.01)}.items()}
    tree["posterior"] = xarray.DataTree(xarray.Dataset({**posterior, "nu": (("chain", "draw"), np.full((2, 20), 8.0))}))
    return replace(small_fit, law=law, noise=noise_of(law), drawn=tree, runs=bs.runs_from_columns(columns))


@pytest.fixture(scope="module")
def translation(small_fit):
    size = np.array([3e7, 1e8, 1e9])
    return fit_of("ghorbani", small_fit, {"encoder_params": size, "decoder_params": size, "loss": [1.6, 1.5, 1.4]})


@pytest.fixture(scope="module")
def agents(small_fit):
    return fit_of("jones:test_time", small_fit, {"compute": [1e14, 1e15], "test_compute": [1e6, 1e8], "elo": [-1000.0, -500.0]})


def test_allocate_answers_in_the_law_s_own_names(translation):
    plan = bs.allocate(translation, [1e9, 1e11])
    draws = translation.parameters()
    share = draws["p_d"] / (draws["p_e"] + draws["p_d"])
    assert np.allclose(plan["decoder_share"], share[..., None], rtol=1e-12)
    assert np.allclose(plan["encoder_params"] + plan["decoder_params"], plan["budget"])
    assert np.allclose(plan["decision_encoder_params"] + plan["decision_decoder_params"], plan["budget"])
    for i, budget in enumerate((1e9, 1e11)):
        decided = {key: float(plan[f"decision_{key}"][i]) for key in translation.law.input_names}
        loss = translation.law.predict(decided, draws)
        assert float(plan["expected_loss"][i]) == pytest.approx(loss.mean(), rel=1e-12)
        assert float(plan["expected_regret_loss"][i]) == pytest.approx((loss - np.asarray(plan["loss"])[..., i]).mean(), abs=1e-15)
        # With what the decision wastes taken away, the best plan of a draw has its loss.
        left = budget - np.asarray(plan["regret_params"])[..., i]
        again = sharing.best_of_draws(sharing.shared_of(translation.law), draws, left).outcome
        assert again == pytest.approx(loss, rel=1e-10)
        low, high = (float(plan[f"band_{end}"][i]) for end in ("low", "high"))
        assert low < decided["decoder_params"] < high
        allowed = float(bs.allocate(translation, budget * 0.99)["expected_loss"][0])
        for edge in (low, high):
            of_edge = translation.law.predict({"decoder_params": edge, "encoder_params": budget - edge}, draws).mean()
            assert of_edge == pytest.approx(allowed, rel=1e-8)
    assert plan["decades_beyond"].values.tolist() == pytest.approx([0.0, np.log10(float(plan["decision_decoder_params"][1]) / 1e9)])
    # Beyond the runs the law may be off, unless it is taken for the truth.
    wide, narrow = (np.log(bs.allocate(translation, 1e11, drift=drift)["new_of_decision"]).std() for drift in (1.0, 0.0))
    assert wide > 2 * narrow


def test_what_bounds_leave_over_and_what_it_costs(small_fit, translation):
    of_test = fit_of("test_time_log_linear", small_fit, {"compute": [1e22], "test_compute": [1e13], "accuracy": [0.4]})
    asked = {"given": {"queries": 1e9}, "cost": Cost(hardware=Hardware(1e15, 0.4, 2.0))}
    plan = bs.allocate(of_test, 1e24, limits=bs.Bounds(at_most={"compute": 1e23, "test_compute": 1e14}), **asked)
    assert float(plan["decision_spent"][0]) == pytest.approx(2e23)
    assert float(plan["decision_gpu_hours"][0]) == pytest.approx(2e23 / 4e14 / 3600)
    assert float(plan["decision_dollars"][0]) == pytest.approx(2 * 2e23 / 4e14 / 3600)
    assert plan.attrs["limits"] == "compute <= 1e23, test_compute <= 100T"
    free = bs.allocate(of_test, 1e24, **asked)
    assert float(free["decision_spent"][0]) == pytest.approx(1e24)
    # Of what is spent, and not of the budget, the decision wastes hardly anything: there is one plan.
    assert float(plan["expected_regret_budget"][0]) == pytest.approx(0, abs=1e-6 * 2e23)
    sizes = [2e8, 4e8, 5.5e8, 6e8]
    built = bs.allocate(translation, 1e9, given={"decoder_params": sizes})
    assert float(built["decision_decoder_params"][0]) in sizes
    assert set(np.unique(built["decoder_params"])) <= set(sizes)
    assert float(built["band_low"][0]) in sizes
    assert float(built["band_high"][0]) in sizes
    one = bs.allocate(translation, 1e9, given={"decoder_params": 4e8})
    assert one.attrs["held"] == "decoder_params"
    losses = [translation.law.predict({"decoder_params": 4e8, "encoder_params": 6e8}, translation.parameters())]
    assert float(one["expected_loss"][0]) == pytest.approx(np.mean(losses), rel=1e-12)
    target = bs.allocate_target(translation, 1.36, limits=bs.Bounds(at_most={"decoder_share": 0.4}))
    assert np.all(np.asarray(target["decoder_params"]) <= 0.4 * np.asarray(target["params"]) * (1 + 1e-8))
    assert np.all(np.asarray(target["params"]) >= np.asarray(bs.allocate_target(translation, 1.36)["params"]))


def test_a_split_is_drawn_by_its_own_names(translation):
    panels = bs.plot.allocation(bs.allocate(translation, [1e9, 1e10]))
    assert [ax.get_ylabel() for ax in panels] == ["decoder_params", "encoder_params"]
    assert panels[0].get_xlabel() == "params"


def test_targets_of_a_budget(translation, agents):
    found = bs.allocate_target(translation, [1.36, 1.0])
    draws, budget = translation.parameters(), np.asarray(found["params"])[..., 0]
    reachable = np.isfinite(budget)
    assert reachable.any()
    split = {key: np.asarray(found[key])[..., 0][reachable] for key in translation.law.input_names}
    assert translation.law.predict(split, {key: values[reachable] for key, values in draws.items()}) == pytest.approx(1.36, rel=1e-8)
    assert np.allclose(sum(split.values()), budget[reachable])
    assert float(found["probability_reachable"][1]) == 0
    assert np.isinf(float(found["decision_params"][1]))
    assert 1.0 < np.asarray(found["attainable"]).min() < 1.36
    decided = {key: float(found[f"decision_{key}"][0]) for key in translation.law.input_names}
    assert translation.law.predict(decided, draws).mean() == pytest.approx(1.36, rel=1e-8)
    assert float(bs.allocate_target(agents, -500.0)["probability_reachable"][0]) == 1  # of what should be high, negative here


def test_how_probably_a_split_beats_another(translation, agents):
    even = {"encoder_params": 5e8, "decoder_params": 5e8}
    lopsided = {"encoder_params": 1e8, "decoder_params": 9e8}
    found = bs.probability_better(translation, even, lopsided)
    losses = [translation.law.predict(one, translation.parameters()) for one in (even, lopsided)]
    assert found["probability"] == np.mean(losses[0] < losses[1])
    assert found["difference"] == pytest.approx(np.median(losses[0] - losses[1]))
    assert (found["params"], found["other_params"]) == (1e9, 1e9)
    more, less = {"compute": 1e16, "test_compute": 1e8}, {"compute": 1e14, "test_compute": 1e8}
    assert bs.probability_better(agents, more, less)["probability"] == 1  # a higher Elo is better


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"compute": 1.5}, "params = 1.5 is too little: nothing is left for encoder_params"),
        ({"compute": -1.0}, "params = -1 must be positive and finite"),
        ({"compute": float("nan")}, "params = nan must be positive and finite"),
        ({"compute": 1e41}, "params = 1e.41 is beyond anything"),
        (
            {"compute": 1e9, "limits": Limits(max_params=1e8)},
            r"bounds of its inputs go by their names \(at_most={'decoder_params': '...'}\)",
        ),
        (
            {"compute": 1e9, "limits": bs.Bounds(at_most={"params": 1e8})},
            "decoder_params, encoder_params, decoder_share have bounds; 'params' has",
        ),
        (
            {"compute": 1e9, "limits": bs.Bounds(at_least={"decoder_params": 2e9})},
            "no plan keeps to decoder_params >= 2.00B at params = 1e.09, which leaves decoder_params from 1 to 1.00B, and encoder_params",
        ),
        ({"compute": 1e9, "given": {"decoder_params": 2e9}}, "no plan keeps to decoder_params as given at params"),
        ({"compute": 1e9, "cost": Cost(inference_tokens=1e12)}, "other costs go with laws of params and tokens"),
        ({"compute": 1e9, "cost": Cost(hardware=Hardware(1e15))}, "GPU-hours and dollars are of a budget in FLOP, at one price"),
        ({"compute": 1e9, "params": 1e8}, "hold an input of 'ghorbani' by given"),
        ({"compute": 1e9, "given": {"queries": 1.0}}, "law 'ghorbani' takes no 'queries': it is a function of encoder_params and decoder"),
        ({"compute": 1e9, "band": 2.0}, "band = 2 is a share"),
        ({"compute": 1e9, "weights": {"ghorbani": 1.0}}, "weights go with several fits"),
    ],
)
def test_impossible_questions_are_one_line(translation, arguments, message):
    with pytest.raises(bs.InputError, match=message):
        bs.allocate(translation, arguments.pop("compute"), **arguments)


def test_prices_that_are_missing_or_leave_nothing(small_fit, agents):
    asked = fit_of("test_time_log_linear", small_fit, {"compute": [1e22], "test_compute": [1e13], "accuracy": [0.4]})
    with pytest.raises(bs.InputError, match=r"also takes queries \(questions to be answered"):
        bs.allocate(asked, 1e24)
    with pytest.raises(bs.InputError, match="queries = -1 must be"):
        bs.allocate(asked, 1e24, given={"queries": -1.0})
    with pytest.raises(bs.InputError, match="budget = 1e.03 is too little: nothing is left for test_compute"):
        bs.allocate(agents, 1e3, given={"price_test": 1e6})
    with pytest.raises(bs.InputError, match="target accuracy = 1.5 must be between 0"):
        bs.allocate_target(asked, 1.5, given={"queries": 1e9})


@pytest.mark.parametrize("name", ["gordon", "zhai", "bansal", "coverage", "jones"])
def test_a_law_without_a_plan_names_its_own_question(small_fit, name):
    law = bs.get_law(name)
    with pytest.raises(bs.InputError, match="an allocation needs a law of params and tokens") as refused:
        bs.allocate(replace(small_fit, law=law), 1e20)
    assert law.decision.question in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_output_that_need_not_fall_has_no_least_input(small_fit):
    law = bs.get_law("test_time_log_linear:test")
    with pytest.raises(bs.InputError, match="has no least test_tokens for a target") as refused:
        bs.allocate_target(replace(small_fit, law=law), 0.5)
    assert law.decision.question in str(refused.value)


def test_the_command_line_of_a_split(run, translation, agents, monkeypatch):
    stored, other = "split.nc", "agents.nc"
    monkeypatch.setattr("bayes_scaling.storage.load_fit", lambda path, law=None: {stored: translation, other: agents}[path])
    code, out, _ = run("allocate", stored, "--budget", "1B", "--versus", "encoder_params=5e8,decoder_params=5e8", "--json")
    assert code == 0
    (row,) = json.loads(out)["allocations"]
    assert row["params"] == 1e9
    assert set(row["decision"]) == {
        *("encoder_params", "decoder_params"),
        *("expected_loss", "expected_regret_loss", "expected_regret_params"),
    }
    assert 0.5 < row["decoder_share"]["median"] < 0.6
    assert row["versus"]["probability"] > 0.9
    code, out, _ = run("allocate", stored, "--budget", "1B", "--versus", "encoder_params=5e8,decoder_params=5e8")
    assert code == 0
    for piece in ("params = encoder_params + decoder_params", "params 1.00B", "decoder share       0.5", "of the params", "versus  "):
        assert piece in out, piece
    code, out, _ = run("allocate", stored, "--target-loss", "1.36")
    assert code == 0
    assert "give this loss in expectation" in out
    code, out, _ = run("allocate", other, "--target", "-500", "--given", "price_test=1e6", "--json")
    assert code == 0
    (found,) = json.loads(out)["targets"]
    assert set(found["decision"]) == {"budget", "compute", "test_compute"}
    code, out, _ = run("allocate", other, "--budget", "1e16", "--given", "price_test=1e6")
    assert code == 0
    assert "given: price_train 1, price_test 1.00M" in out
    bounds = ("--at-most", "compute=3e15", "--at-least", "train_share=0.2", "--at-most", "test_compute=6e9")
    code, out, _ = run("allocate", other, "--budget", "1e16", "--given", "price_test=1e6", *bounds)
    assert code == 0
    assert "limits: train_share >= 0.2, compute <= 3e15, test_compute <= 6.00B" in out
    assert "the limits leave 10.0% unspent" in out
    for arguments, message in (
        (("allocate", stored, "--budget", "1e9", "--at-most", "decoder_params=4e8", "--max-params", "1e8"), "give one of the two"),
        (("allocate", stored, "--compute", "1e20"), "shares out no compute but params"),
        (("allocate", stored, "--target", "1.5"), "--target-loss"),
        (("allocate", other, "--target-loss", "1.5"), "--then takes --target"),
        (("allocate", stored, "--budget", "1e9", "--weight", "a=1"), "--weight goes with several fits"),
        (("allocate", stored, "--budget", "1e9", "--versus", "encoder_params=5e8"), "a plan needs decoder_params"),
    ):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1
