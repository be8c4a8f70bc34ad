from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling import optimum
from bayes_scaling.cost import Cost, Hardware
from bayes_scaling.limits import Limits
from bayes_scaling.prediction import matched
from bayes_scaling.risk import Risk

LAW = bs.get_law("chinchilla")


def problem(cost=None):
    return optimum.problem_of(LAW, cost)


parameters = st.fixed_dictionaries(
    {
        "E": st.floats(0.1, 3),
        "A_ref": st.floats(0.01, 5),
        "B_ref": st.floats(0.01, 5),
        "alpha": st.floats(0.1, 0.8),
        "beta": st.floats(0.1, 0.8),
    }
).map(lambda p: {name: np.asarray(value) for name, value in LAW.complete(p).items()})
budgets = st.floats(17, 26).map(lambda x: 10**x)
served = st.one_of(st.just(0.0), st.floats(9, 14).map(lambda x: 10**x))
bounded = settings(max_examples=60, deadline=None, derandomize=True)


@bounded
@given(parameters, budgets, served, st.floats(-1, 1))
def test_no_other_split_of_the_budget_is_better(p, budget, tokens, nudge):
    cost = Cost(inference_tokens=tokens)
    best = optimum.best_plan(problem(cost), p, budget).params
    lowest = optimum.outcome(LAW, p, best, cost.tokens(best, budget))
    assert cost.compute(best, cost.tokens(best, budget)) == pytest.approx(budget, rel=1e-9)
    other = best * np.exp(nudge)
    if cost.tokens(other, budget) >= 1:
        assert optimum.outcome(LAW, p, other, cost.tokens(other, budget)) >= lowest * (1 - 1e-12)


@bounded
@given(parameters, budgets)
def test_numeric_optimum_is_the_closed_form(p, budget):
    closed = optimum.best_plan(problem(), p, budget).params
    if 10 * optimum.SMALLEST_PARAMS < closed < budget / 60:  # inside the numeric range
        assert optimum.best_plan(problem(), p, budget, numerically=True).params == pytest.approx(closed, rel=1e-6)


@bounded
@given(parameters, budgets, served)
def test_least_compute_inverts_the_best_outcome(p, budget, tokens):
    cost = Cost(inference_tokens=tokens)
    if cost.largest_params(budget) <= 1e4:
        return
    target = optimum.best_outcome(problem(cost), p, budget)
    found = optimum.least_compute(problem(cost), p, target)
    # Near the floor the outcome hardly changes with compute, so the inverse is only as exact as the outcome's last digits allow.
    again = optimum.best_outcome(problem(cost), p, found)
    assert again == pytest.approx(target, rel=1e-9)


@pytest.mark.parametrize("name", [name for name in bs.law_names() if bs.get_law(name).optimum is not None])
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_closed_forms_have_64_bits(name):
    """The best size is a power of compute, to sixteen digits, and the search for a compute does not overflow on its way from 1e40."""
    asked = optimum.problem_of(bs.get_law(name))
    p = {key: np.full(3, value) for key, value in next(iter(asked.law.published.values())).values.items()}
    first, second, third = (np.log(optimum.best_plan(asked, p, budget).params) for budget in (1e18, 1e20, 1e22))
    assert second - first == pytest.approx(third - second, rel=1e-13)
    assert optimum.least_compute(asked, p, optimum.best_outcome(asked, p, 1e20)) == pytest.approx(1e20, rel=1e-8)


def test_targets_at_or_below_the_floor_are_out_of_reach():
    p = {name: np.asarray(value) for name, value in LAW.published["besiroglu"].values.items()}
    assert optimum.least_compute(problem(), p, 1.8172) == np.inf
    assert optimum.least_compute(problem(), p, 1.0) == np.inf


@pytest.fixture(scope="module")
def plan(small_fit):
    return bs.allocate(small_fit, [1e21, 5.76e23])


def test_every_draw_spends_the_budget(plan):
    assert np.allclose(6 * plan["params"] * plan["tokens"], plan["budget"])
    assert np.allclose(6 * plan["decision_params"] * plan["decision_tokens"], plan["budget"])
    assert np.allclose(plan["tokens_per_param"], plan["tokens"] / plan["params"])


def test_decision_minimises_the_expected_loss(small_fit, plan):
    draws = small_fit.parameters()
    for i, budget in enumerate(np.asarray(plan["budget"])):
        decided, expected = float(plan["decision_params"][i]), float(plan["expected_loss"][i])
        for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2):
            size = decided * factor
            assert LAW.predict({"params": size, "tokens": budget / 6 / size}, draws).mean() > expected


def test_regret_is_what_it_says(small_fit, plan):
    draws = small_fit.parameters()
    assert np.all(plan["regret_loss"] >= 0)
    assert np.all(plan["regret_compute"] >= 0)
    chain, draw, budget = 1, 17, 1
    one = {name: values[chain, draw] for name, values in draws.items()}
    spent = float(plan["budget"][budget])
    saved = float(plan["regret_compute"][chain, draw, budget])
    # With the compute that regret leaves over, the best plan for this draw has exactly the loss of the decision.
    assert optimum.best_outcome(problem(), one, spent - saved) == pytest.approx(
        float(plan["loss_of_decision"][chain, draw, budget]), rel=1e-10
    )
    assert float(plan["expected_regret_loss"][budget]) == pytest.approx(float(plan["regret_loss"][..., budget].mean()))


def test_holding_one_side_leaves_the_other(small_fit):
    held = bs.allocate(small_fit, 1e21, params=1e9)
    assert float(held["decision_params"][0]) == 1e9
    assert float(held["decision_tokens"][0]) == pytest.approx(1e21 / 6e9)
    free = bs.allocate(small_fit, 1e21)
    assert float(held["expected_regret_loss"][0]) > float(free["expected_regret_loss"][0])
    assert float(bs.allocate(small_fit, 1e21, tokens=2e10)["decision_params"][0]) == pytest.approx(1e21 / 6 / 2e10)
    # Down to one token, or one param, there is something to train.
    assert float(bs.allocate(small_fit, 1e21, params=1e21 / 6 / 1.01)["decision_tokens"][0]) == pytest.approx(1.01)
    assert float(bs.allocate(small_fit, 1e21, tokens=1e21 / 6 / 1.01)["decision_params"][0]) == pytest.approx(1.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"compute": -1.0}, "must be positive and finite"),
        ({"compute": float("nan")}, "must be positive and finite"),
        ({"compute": 10.0}, "too little to train"),
        ({"compute": 1e21, "params": 1e9, "tokens": 1e9}, "both held"),
        ({"compute": 1e21, "params": 1e21}, "less than one training token"),
        ({"compute": 1e21, "params": 1e21 / 6 / 0.99}, "less than one training token"),
        ({"compute": 1e21, "tokens": 1e21 / 6 / 0.99}, "less than one param"),
        ({"compute": 1e21, "cost": Cost(inference_tokens=1e30)}, "too little to train"),
    ],
)
def test_impossible_budgets(small_fit, arguments, message):
    with pytest.raises(bs.InputError, match=message):
        bs.allocate(small_fit, arguments.pop("compute"), **arguments)


def test_targets(small_fit):
    found = bs.allocate_target(small_fit, [2.3, 1.0])
    reach = np.asarray(found["compute"])[..., 0]
    assert np.all(np.isfinite(reach))
    draws = small_fit.parameters()
    assert optimum.best_outcome(problem(), draws, reach) == pytest.approx(np.full_like(reach, 2.3), rel=1e-9)
    assert float(found["probability_reachable"][1]) == 0
    assert np.isinf(float(found["decision_compute"][1]))
    assert np.asarray(found["attainable"])[..., 1] == pytest.approx(draws["E"], rel=2e-3)
    # The decision reaches the target in expectation.
    size, compute = float(found["decision_params"][0]), float(found["decision_compute"][0])
    assert LAW.predict({"params": size, "tokens": compute / 6 / size}, draws).mean() == pytest.approx(2.3, rel=1e-6)


def test_prediction_is_the_formula_and_noise_widens_it(small_fit):
    found = bs.predict(small_fit, {"params": [1e9, 7e10], "tokens": [2e10, 1.4e12]})
    draws = small_fit.parameters()
    expected = LAW.predict({"params": 1e9, "tokens": 2e10}, draws)
    assert np.allclose(found["expected"][..., 0], expected)
    assert float(found["new"][..., 0].std()) > float(found["expected"][..., 0].std())
    scatter = np.log(np.asarray(found["new"] / found["expected"]))[..., 0]
    assert np.median(np.abs(scatter)) == pytest.approx(0.005 * 0.674, rel=0.5)
    assert float(found["decades_beyond"][0]) == 0
    assert float(found["decades_beyond"][1]) > 0.5
    with pytest.raises(bs.InputError, match="no 'tokens' among the points"):
        bs.predict(small_fit, {"params": [1e9]})
    with pytest.raises(bs.InputError, match="point 2: tokens = -1"):
        bs.predict(small_fit, {"params": 1e9, "tokens": [1e9, -1]})


@bounded
@given(parameters, st.floats(0.1, 10), st.floats(0.1, 10))
def test_rescaling_units_only_rescales_coefficients(p, scale_n, scale_d):
    """L is the same if N and D are counted in other units and A and B move accordingly."""
    inputs = {"params": np.geomspace(1e7, 1e11, 5), "tokens": np.geomspace(1e9, 1e12, 5)}
    rescaled = {"params": inputs["params"] * scale_n, "tokens": inputs["tokens"] * scale_d}
    q = {**p, "A": p["A"] * scale_n ** p["alpha"], "B": p["B"] * scale_d ** p["beta"]}
    assert LAW.predict(rescaled, q) == pytest.approx(LAW.predict(inputs, p), rel=1e-10)


def test_laws_of_one_input_have_no_plan_but_an_input_for_a_target():
    law = bs.get_law("power_law_floor").with_input("tokens")
    rng = np.random.default_rng(3)
    tokens = np.geomspace(1e8, 1e11, 30)
    loss = law.predict({"tokens": tokens}, law.published["besiroglu_tokens"].values) * np.exp(0.003 * rng.normal(size=30))
    fit = bs.fit("power_law_floor", bs.runs_from_columns({"tokens": tokens, "loss": loss}), draws=250)
    with pytest.raises(bs.InputError, match="needs a law of params and tokens"):
        bs.allocate(fit, 1e20)
    found = bs.allocate_target(fit, 2.2)
    draws = fit.parameters()
    exact = (draws["a"] / (2.2 - draws["E"])) ** (1 / draws["c"])
    assert np.asarray(found["tokens"])[..., 0] == pytest.approx(exact, rel=1e-6)


def test_user_settings_of_jax_are_left_alone(small_fit):
    bs.allocate(small_fit, 1e20)
    assert not jax.config.jax_enable_x64


def test_the_decision_regrets_no_more_than_the_optimum_of_the_median(small_fit):
    """The plan of least expected loss, against the plug-in plan that is optimal at the posterior medians, in expected regret."""
    draws = small_fit.parameters()
    median = {name: np.median(values) for name, values in draws.items()}
    for compute in (1e21, 5.76e23, 1e26):
        plug_in = float(optimum.best_plan(problem(), {name: np.asarray(v) for name, v in median.items()}, compute).params)
        decided = bs.allocate(small_fit, compute)
        held = bs.allocate(small_fit, compute, params=plug_in)
        assert float(decided["expected_regret_loss"][0]) <= float(held["expected_regret_loss"][0]) * (1 + 1e-9)


@pytest.mark.parametrize("risk", ["mean", "quantile:0.9", "cvar:0.8"])
def test_the_decision_minimises_the_risk_that_is_asked_for(small_fit, risk):
    draws = {name: values.ravel() for name, values in small_fit.parameters().items()}
    sizes = np.geomspace(1e10, 5e11, 300)
    losses = LAW.predict({"params": sizes, "tokens": 5.76e23 / 6 / sizes}, {name: values[:, None] for name, values in draws.items()})
    by_search = Risk.read(risk).of(losses).min()
    size = float(bs.allocate(small_fit, 5.76e23, risk=risk)["decision_params"][0])
    found = Risk.read(risk).of(LAW.predict({"params": size, "tokens": 5.76e23 / 6 / size}, draws)[:, None])[0]
    # A quantile of draws is a jagged function of the size; its least value is found to within the teeth.
    assert found <= by_search * (1 + (1e-5 if "quantile" in risk else 1e-9))


def test_the_band_holds_the_sizes_that_waste_no_more(small_fit):
    plan = bs.allocate(small_fit, 1e22, band=0.02)
    draws = small_fit.parameters()
    allowed = float(bs.allocate(small_fit, 0.98e22)["expected_loss"][0])
    low, high, best = (float(plan[name][0]) for name in ("band_low", "band_high", "decision_params"))
    assert low < best < high
    for size in (low, high):
        assert LAW.predict({"params": size, "tokens": 1e22 / 6 / size}, draws).mean() == pytest.approx(allowed, rel=1e-9)
    # Under a deadline of half the budget it is the band of that half.
    hardware = Hardware(1e15, 0.5)
    halved = bs.allocate(small_fit, 2e22, band=0.02, cost=Cost(hardware=hardware), limits=Limits(gpu_hours=hardware.gpu_hours(1e22)))
    for name in ("band_low", "band_high", "decision_params"):
        assert float(halved[name][0]) == pytest.approx(float(plan[name][0]), rel=1e-6)
    assert float(halved["expected_regret_compute"][0]) == pytest.approx(float(plan["expected_regret_compute"][0]), rel=1e-4)
    assert np.isnan(float(bs.allocate(small_fit, 1e22, limits=Limits(min_params=1e9, min_tokens=0.999 * 1e22 / 6e9))["band_low"][0]))


def test_how_probably_a_plan_beats_another(small_fit):
    draws = small_fit.parameters()
    plan, other = {"params": 7e10, "tokens": 1.4e12}, {"params": 4e10, "tokens": 2.4e12}
    found = bs.probability_better(small_fit, plan, other)
    losses = [LAW.predict(one, draws) for one in (plan, other)]
    assert found["probability"] == pytest.approx(np.mean(losses[0] < losses[1]))
    assert found["probability"] + bs.probability_better(small_fit, other, plan)["probability"] == pytest.approx(1)
    assert bs.probability_better(small_fit, plan, plan)["probability"] == 0.5
    assert found["compute"] == pytest.approx(6 * 7e10 * 1.4e12)
    with pytest.raises(bs.InputError, match="a plan needs tokens"):
        bs.probability_better(small_fit, plan, {"params": 1e9})


def test_every_answer_says_how_far_it_reaches(small_fit):
    runs = small_fit.runs
    plan = bs.allocate(small_fit, 5.76e23)
    for name in ("params", "tokens"):
        expected = max(0.0, np.log10(float(plan[f"decision_{name}"][0]) / runs[name].max()))
        assert float(plan[f"decades_beyond_{name}"][0]) == pytest.approx(expected)
    assert float(plan["decades_beyond_compute"][0]) == pytest.approx(np.log10(5.76e23 / 6 / (runs["params"] * runs["tokens"]).max()))
    assert float(plan["decades_beyond"][0]) == max(float(plan[f"decades_beyond_{name}"][0]) for name in ("params", "tokens", "compute"))
    new = np.asarray(plan["new_of_decision"])[..., 0]
    assert np.log(new).std() > np.log(np.asarray(plan["loss_of_decision"])).std()


def test_money_and_time_of_the_decision(small_fit):
    cost = Cost(inference_tokens=1e12, hardware=Hardware(1e15, 0.5, 3.0))
    plan = bs.allocate(small_fit, 1e23, cost=cost)
    size, tokens = float(plan["decision_params"][0]), float(plan["decision_tokens"][0])
    assert float(plan["decision_training"][0]) == pytest.approx(6 * size * tokens)
    assert float(plan["decision_serving"][0]) == pytest.approx(2 * size * 1e12)
    assert float(plan["decision_gpu_hours"][0]) == pytest.approx(6 * size * tokens / 0.5e15 / 3600)
    assert float(plan["decision_dollars"][0]) == pytest.approx(1e23 / 0.5e15 / 3600 * 3)


def test_serving_beside_a_training_budget_decides_nothing(small_fit):
    cost = Cost(inference_tokens=1e12, training_budget=True, hardware=Hardware(1e15, 0.5, 3.0))
    plan, plain = bs.allocate(small_fit, 1e23, cost=cost), bs.allocate(small_fit, 1e23)
    for name in ("params", "tokens", "loss", "regret_compute", "decision_params", "decision_compute", "band_low"):
        assert np.allclose(plan[name], plain[name], rtol=1e-12), name
    served = 2 * float(plan["decision_params"][0]) * 1e12
    assert float(plan["decision_serving"][0]) == pytest.approx(served)
    assert float(plan["decision_serving_dollars"][0]) == pytest.approx(served / 0.5e15 / 3600 * 3)
    assert float(plan["decision_dollars"][0]) == pytest.approx(1e23 / 0.5e15 / 3600 * 3)


def test_a_target_accuracy_through_a_second_fit(small_fit):
    """The least compute for an accuracy is that for the loss which the link asks for, draw by draw."""
    link = bs.get_law("bounded_metric:loss")
    draws, rng = small_fit.parameters(), np.random.default_rng(5)
    shape = draws["E"].shape
    centre = {"floor": 0.25, "reach": 0.7, "k": 4.0, "foot": 2.4}
    linked = link.complete({name: value * np.exp(0.01 * rng.normal(size=shape)) for name, value in centre.items()})
    tree = small_fit.draws.copy()
    tree["posterior"] = xarray.DataTree(xarray.Dataset({name: (("chain", "draw"), np.asarray(v)) for name, v in linked.items()}))
    then = replace(small_fit, law=link, drawn=tree)
    target = 0.6
    found = bs.allocate_target(small_fit, target, then=then)
    twice = bs.allocate_target({"a": small_fit, "b": small_fit}, target, then=then, weights={"a": 1, "b": 1})  # an average of one law
    assert float(twice["decision_compute"][0]) == pytest.approx(float(found["decision_compute"][0]), rel=1e-3)
    assert found.attrs["output"] == "accuracy"
    reachable = np.isfinite(np.asarray(found["compute"])[..., 0])
    assert reachable.mean() > 0.9
    linked = matched(then.parameters(), shape, 0)
    spent = np.where(reachable, np.asarray(found["compute"])[..., 0], 1e21)
    reached = link.predict({"loss": optimum.best_outcome(problem(), draws, spent)}, linked)
    assert np.allclose(reached[reachable], target, rtol=1e-6)
    with pytest.raises(bs.InputError, match="does not take loss alone"):
        bs.allocate_target(small_fit, 0.5, then=small_fit)


def test_budgets_are_read_as_people_write_them(small_fit):
    days = 100 * 86400e15
    assert bs.allocate(small_fit, "100 PF-day").equals(bs.allocate(small_fit, days))
    assert bs.allocate(small_fit, ["2 x 10^22", 1e23])["budget"].values.tolist() == [2e22, 1e23]
    assert bs.regret(small_fit, "100 PF-day").attrs["compute"] == days
    with pytest.raises(bs.InputError, match="'a lot' is not a number"):
        bs.allocate(small_fit, "a lot")
    with pytest.raises(bs.InputError, match="compute must be one amount or a list of them"):
        bs.allocate(small_fit, [[1e22, 1e23]])
