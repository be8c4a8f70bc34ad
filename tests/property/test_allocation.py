import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling import optimum
from bayes_scaling.cost import Cost

LAW = bs.get_law("chinchilla")

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
    best = optimum.best_params(LAW, p, budget, cost)
    lowest = optimum.outcome(LAW, p, best, cost.tokens(best, budget))
    assert cost.compute(best, cost.tokens(best, budget)) == pytest.approx(budget, rel=1e-9)
    other = best * np.exp(nudge)
    if cost.tokens(other, budget) >= 1:
        assert optimum.outcome(LAW, p, other, cost.tokens(other, budget)) >= lowest * (1 - 1e-12)


@bounded
@given(parameters, budgets)
def test_numeric_optimum_is_the_closed_form(p, budget):
    closed = optimum.best_params(LAW, p, budget, Cost())
    if 10 * optimum.SMALLEST_PARAMS < closed < budget / 60:  # inside the numeric range
        assert optimum.numeric_best_params(LAW, p, budget, Cost()) == pytest.approx(closed, rel=1e-6)


@bounded
@given(parameters, budgets, served)
def test_least_compute_inverts_the_best_outcome(p, budget, tokens):
    cost = Cost(inference_tokens=tokens)
    if cost.largest_params(budget) <= 1e4:
        return
    target = optimum.best_outcome(LAW, p, budget, cost)
    found = optimum.least_compute(LAW, p, target, cost)
    # Near the floor the outcome hardly changes with compute, so the inverse is only as exact as the outcome's last digits allow.
    again = optimum.best_outcome(LAW, p, found, cost)
    assert again == pytest.approx(target, rel=1e-9)


def test_targets_at_or_below_the_floor_are_out_of_reach():
    p = {name: np.asarray(value) for name, value in LAW.published["besiroglu"].values.items()}
    assert optimum.least_compute(LAW, p, 1.8172, Cost()) == np.inf
    assert optimum.least_compute(LAW, p, 1.0, Cost()) == np.inf


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
    assert optimum.best_outcome(LAW, one, spent - saved, Cost()) == pytest.approx(
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"compute": -1.0}, "must be positive and finite"),
        ({"compute": float("nan")}, "must be positive and finite"),
        ({"compute": 10.0}, "too little to train"),
        ({"compute": 1e21, "params": 1e9, "tokens": 1e9}, "both held"),
        ({"compute": 1e21, "params": 1e21}, "less than one training token"),
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
    assert optimum.best_outcome(LAW, draws, reach, Cost()) == pytest.approx(np.full_like(reach, 2.3), rel=1e-9)
    assert float(found["probability_reachable"][1]) == 0
    assert np.isinf(float(found["decision_compute"][1]))
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
