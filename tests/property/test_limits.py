"""Plans under costs and limits: against brute force, and against what must hold whatever the law."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_allocation import LAW, bounded, parameters

import bayes_scaling as bs
from bayes_scaling import optimum
from bayes_scaling.cost import Cost, Hardware, Shape
from bayes_scaling.limits import Limits

COSTS = (
    Cost(),
    Cost(inference_tokens=1e12),
    Cost(inference_tokens=1e11, active=0.3, bits=8, shape=Shape(8192, 100_000, "untied")),
    Cost(hardware=Hardware(1e15)),
)
REPEATED = bs.get_law("data_constrained")
MUENNIGHOFF = {name: np.asarray(value) for name, value in REPEATED.published["muennighoff"].values.items()}

costs = st.sampled_from(COSTS)
budgets = st.floats(20, 24).map(lambda x: 10**x)
limits = st.builds(
    Limits,
    min_params=st.sampled_from([1.0, 1e8]),
    max_params=st.sampled_from([np.inf, 2e9]),
    min_tokens=st.sampled_from([1.0, 1e9]),
    max_tokens=st.sampled_from([np.inf, 3e10]),
    min_tokens_per_param=st.sampled_from([0.0, 5.0]),
    max_tokens_per_param=st.sampled_from([np.inf, 40.0]),
    sizes=st.sampled_from([(), (1e8, 4e8, 1e9, 3e9, 7e9, 7e10)]),
    memory=st.sampled_from([np.inf, 2e10]),
)


def by_brute_force(law, p, budget, cost, limit, further):
    """The lowest loss over a fine grid of sizes, each with all the tokens that it may have; infinite where no size keeps the limits."""
    sizes = np.array(limit.sizes) if limit.sizes else np.geomspace(10, 1e18, 40_001)
    tokens = np.minimum(np.minimum(cost.tokens(sizes, budget), limit.max_tokens), limit.max_tokens_per_param * sizes)
    if np.isfinite(limit.gpu_hours):
        tokens = np.minimum(tokens, cost.hardware.compute(limit.gpu_hours) / cost.training_compute(sizes, 1.0))
    allowed = (
        (sizes >= limit.min_params)
        & (sizes <= limit.max_params)
        & (tokens >= np.maximum(limit.min_tokens, limit.min_tokens_per_param * sizes))
        & (cost.memory(sizes, limit.sequences) <= limit.memory)
    )
    if not allowed.any():
        return np.inf
    return float(np.min(law.predict({**further, "params": sizes[allowed], "tokens": tokens[allowed]}, p)))


@bounded
@given(parameters, budgets, costs, limits)
def test_best_plan_is_the_best_of_a_fine_grid(p, budget, cost, limit):
    problem = optimum.problem_of(LAW, cost, limit)
    expected = by_brute_force(LAW, p, budget, cost, limit, {})
    for numerically in (False, True):
        plan = optimum.best_plan(problem, p, budget, numerically=numerically)
        assert np.isfinite(plan.outcome) == np.isfinite(expected)
        if np.isfinite(expected):
            assert plan.outcome <= expected * (1 + 1e-9)
            assert plan.outcome >= expected * (1 - 1e-3)  # the grid is 0.1 % wide, and a bound may lie between
            assert problem.compute(plan.params, plan.tokens, {}) <= budget * (1 + 1e-9)
    if not np.isfinite(expected):
        with pytest.raises(bs.InputError, match="no plan keeps the limits|no size that can be built"):
            optimum.require_compute(problem, budget)


@settings(bounded, max_examples=20)
@given(budgets, costs, limits, st.floats(9, 12).map(lambda x: 10**x))
def test_a_law_without_closed_form_too(budget, cost, limit, unique):
    problem = optimum.problem_of(REPEATED, cost, limit, {"unique_tokens": unique})
    expected = by_brute_force(REPEATED, MUENNIGHOFF, budget, cost, limit, {"unique_tokens": unique})
    found = optimum.best_plan(problem, MUENNIGHOFF, budget).outcome
    assert found == expected if np.isinf(expected) else found == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("hours", [1e4, 4e5, 1e9])
def test_a_deadline_is_a_smaller_budget_of_training(hours):
    """With nothing served, the plan is that of the deadline's compute where that is less than the budget, for every draw."""
    cost, limit = Cost(hardware=Hardware(1e15, 0.4, 2.0)), Limits(gpu_hours=hours)
    p = {name: np.full(3, value) for name, value in LAW.published["besiroglu"].values.items()}
    problem = optimum.problem_of(LAW, cost, limit)
    plan = optimum.best_plan(problem, p, 7e23)
    same = optimum.best_plan(optimum.problem_of(LAW), p, min(7e23, hours * 3600 * 0.4e15))
    assert plan.params == pytest.approx(same.params, rel=1e-7)
    assert plan.tokens == pytest.approx(same.tokens, rel=1e-7)
    assert float(optimum.best_decision(problem, p, 7e23)[0]) == pytest.approx(plan.params[0], rel=1e-6)


def test_a_deadline_holds_training_and_not_serving():
    cost = Cost(inference_tokens=1e12, hardware=Hardware(1e15, 0.5, 2.0))
    limit = Limits(gpu_hours=1e5)
    p = {name: np.asarray(value) for name, value in LAW.published["besiroglu"].values.items()}
    plan = optimum.best_plan(optimum.problem_of(LAW, cost, limit), p, 1e24)
    assert cost.gpu_hours(cost.training_compute(plan.params, plan.tokens)) <= 1e5 * (1 + 1e-9)
    assert plan.outcome == pytest.approx(by_brute_force(LAW, p, 1e24, cost, limit, {}), rel=1e-6)


@bounded
@given(parameters, budgets, costs, limits, st.floats(0, 1))
def test_more_budget_never_hurts(p, budget, cost, limit, more):
    problem = optimum.problem_of(LAW, cost, limit)
    assert optimum.best_outcome(problem, p, budget * 10**more) <= optimum.best_outcome(problem, p, budget) * (1 + 1e-12)


@bounded
@given(parameters, budgets, costs)
def test_without_caps_the_budget_is_spent_exactly(p, budget, cost):
    problem = optimum.problem_of(LAW, cost)
    plan = optimum.best_plan(problem, p, budget)
    assert problem.compute(plan.params, plan.tokens, {}) == pytest.approx(budget, rel=1e-9)


@bounded
@given(budgets, st.floats(-2, 2).map(lambda x: 10**x))
def test_a_plan_does_not_depend_on_the_unit_of_money_or_time(budget, factor):
    """Prices and peaks in other units: the plan for the same budget is the same."""
    p = {name: np.asarray(value) for name, value in LAW.published["besiroglu"].values.items()}
    plans = []
    for unit in (1.0, factor):
        cost = Cost(inference_tokens=1e12, hardware=Hardware(1e15, 0.4, 2 * unit, 0.2, 3 * unit))
        dollars = cost.dollars(budget)
        assert dollars == pytest.approx(unit * budget / 1e15 / 0.4 / 3600 * 2)
        plans.append(optimum.best_plan(optimum.problem_of(LAW, cost), p, cost.affordable_compute(dollars)))
    assert plans[1].params == pytest.approx(plans[0].params, rel=1e-9)


def test_choosing_among_options_takes_the_best():
    law = bs.get_law("precision:joint")
    p = {name: np.asarray(value) for name, value in law.published["kumar_mean_gamma"].values.items()}
    levels = [2.0, 3.0, 4.0, 8.0, 16.0]
    problem = optimum.problem_of(law, None, None, {"bits": levels})
    plan = optimum.best_plan(problem, p, 1e21)
    each = {b: optimum.best_plan(optimum.problem_of(law, None, None, {"bits": b}), p, 1e21) for b in levels}
    assert plan.outcome == min(one.outcome for one in each.values())
    assert plan.values(problem, "bits") == min(each, key=lambda b: each[b].outcome) == 4.0  # P* = 3.71 bits lies between 3 and 4
    # (6 / 16) N D P is spent.
    assert 6 / 16 * plan.params * plan.tokens * 4 == pytest.approx(1e21, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "published", "given_values", "asked", "tolerance"),
    [
        ("data_constrained", "muennighoff", {"unique_tokens": 2.5e10}, {"compute": 1e22, "unique_tokens": 2.5e10}, 1e-9),
        ("moe_sparsity", "abnar", {"sparsity": 0.98}, {"compute": 1e21}, 1e-9),
        ("moe_granularity", None, {"granularity": 2.0 ** np.arange(8)}, {"compute": 1e20}, 1e-5),
        ("precision:joint", "kumar_mean_gamma", {"bits": 3.707677}, {"compute": 1e21}, 1e-9),
    ],
)
def test_allocation_agrees_with_the_law_that_answers_for_itself(name, published, given_values, asked, tolerance):
    law = bs.get_law(name)
    published = published or next(iter(law.published))
    p = {key: np.asarray(value) for key, value in law.published[published].values.items()}
    plan = optimum.best_plan(optimum.problem_of(law, None, None, given_values), p, asked["compute"])
    answer = bs.decide(law, asked, published=published)
    assert plan.outcome == pytest.approx(float(answer["loss"].squeeze()), rel=tolerance)


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (
            Limits(min_params=1e10, min_tokens=1e14),
            r"min_params asks for 10.0B, but 1e\+21 FLOP leaves min_tokens = 100T to at most 1.67M params: short by a factor of 6e\+03",
        ),
        (Limits(min_params=7e10, memory=8e10), "memory of 80 GB holds 40.0B params: short by a factor of 1.75"),
        (Limits(sizes=(1e12,), min_tokens_per_param=1), "the smallest size that can be built has 1.00T params, but .* leaves"),
        (Limits(sizes=(1e9, 9e9), min_params=2e9, max_params=8e9), "no size that can be built lies between 2.00B and 8.00B"),
        (Limits(min_tokens=1e12, max_tokens_per_param=20), "takes 50.0B params, but 1e.21 FLOP leaves"),
    ],
)
def test_impossible_limits_say_which_and_by_how_much(small_fit, limit, message):
    with pytest.raises(bs.InputError, match=message) as error:
        bs.allocate(small_fit, 1e21, limits=limit)
    assert "\n" not in str(error.value)


def test_a_law_that_takes_more_must_be_told(small_fit):
    with pytest.raises(bs.InputError, match="also takes unique_tokens"):
        optimum.problem_of(REPEATED)
    with pytest.raises(bs.InputError, match="does not know repeated data.*fit data_constrained"):
        bs.allocate(small_fit, 1e21, given={"unique_tokens": 1e9})
    with pytest.raises(bs.InputError, match="predicts accuracy"):
        optimum.problem_of(bs.get_law("task_ladder:direct"))
