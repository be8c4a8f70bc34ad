"""Plans of runs: against exact linear Bayes, exhaustive search, refits, and what must hold of any plan."""

import itertools

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.answer_text import design_text
from bayes_scaling.design import search
from bayes_scaling.preposterior import Preposterior, Regret, Variance
from bayes_scaling.units import compute_text

LAW = bs.get_law("chinchilla")
TARGET = 5.76e23
NOISE = 0.5


def linear_state(rng, candidates=9, dim=4, draws=20_000, regret=False):
    """Candidates that measure linear functions of normal unknowns, and a quantity that is another; with what is known of them exactly."""
    root = rng.normal(size=(dim, dim))
    rows = np.vstack([rng.normal(size=(candidates, dim)), rng.normal(size=dim)])
    unknown = rng.normal(size=(draws, dim)) @ root.T
    outcomes = unknown @ rows[:-1].T + np.sqrt(NOISE) * rng.normal(size=(draws, candidates))
    quantity = unknown @ rows[-1]
    stake = Variance(quantity)
    if regret:  # of deciding for a value of the quantity, at squared error
        sizes = np.linspace(quantity.min(), quantity.max(), 401)
        stake = Regret((quantity[:, None] - sizes) ** 2)
    return Preposterior((outcomes - outcomes.mean(0)) / outcomes.std(0), np.arange(draws), stake), root @ root.T, rows


def exact(prior, rows, chosen):
    """Posterior variance of the quantity in Bayesian linear regression."""
    X, target = rows[chosen], rows[-1]
    return target @ np.linalg.inv(np.linalg.inv(prior) + X.T @ X / NOISE) @ target


@pytest.mark.parametrize("regret", [False, True])
@pytest.mark.parametrize("chosen", [[], [4], [2, 5, 7]])
def test_what_is_left_is_that_of_bayesian_linear_regression(chosen, regret):
    state, prior, rows = linear_state(np.random.default_rng(0), regret=regret)
    assert state.left(chosen) == pytest.approx(exact(prior, rows, chosen), abs=4 * state.error(chosen), rel=1e-3)
    assert state.error(chosen) < 0.05 * state.left([])


def test_first_look_is_bayesian_linear_regression():
    state, prior, rows = linear_state(np.random.default_rng(0))
    now, after = exact(prior, rows, [2, 5]), exact(prior, rows, [2, 5, 4])
    assert state.gains([2, 5])[4] == pytest.approx((now - after) / exact(prior, rows, []), rel=0.05)
    assert not state.gains([2, 5])[[2, 5]].any()


def test_search_comes_near_the_best_of_all_subsets():
    ratios = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        state, _, _ = linear_state(rng, draws=1000)
        costs = np.exp(rng.normal(size=9))
        budget = costs.sum() / 3
        subsets = (list(some) for size in range(10) for some in itertools.combinations(range(9), size))
        best = min(state.left(some) for some in subsets if costs[some].sum() <= budget)
        found = search(state, costs, budget)
        assert costs[found].sum() <= budget * (1 + 1e-9)
        ratios.append(state.left(found) / best)
    assert np.median(ratios) < 1.001
    assert sorted(ratios)[-2] < 1.02  # of few dear runs and a budget for two or three, exchange one by one need not find the best
    assert max(ratios) < 1.4


def test_of_many_candidates_those_that_promise_most_are_worked_out(monkeypatch):
    state, _, _ = linear_state(np.random.default_rng(3), candidates=60, draws=2000)
    costs = np.ones(60)
    few = search(state, costs, 4.0)
    monkeypatch.setattr("bayes_scaling.design._TRIED", 60)
    assert state.left(few) <= 1.05 * state.left(search(state, costs, 4.0))


@pytest.fixture(scope="module")
def planned(small_fit):
    return bs.plan(small_fit, TARGET, 1e21, most_runs=6)


def test_a_plan_keeps_its_budget_and_each_run_helps(planned):
    cost = np.asarray(planned["compute"])
    assert np.allclose(6 * planned["params"] * planned["tokens"], cost)
    assert cost.sum() == pytest.approx(planned.attrs["spent"])
    assert planned.attrs["spent"] <= 1e21 * (1 + 1e-9)
    remaining = np.concatenate([[1.0], planned["remaining"]])
    assert np.all(np.diff(remaining) < 0)
    assert remaining[-1] < 0.7
    assert np.all(planned["gain"] > 0.01 * remaining[-1])  # no run that the others make superfluous
    assert np.all(np.diff(planned["spent"]) > 0)
    assert planned.attrs["regret_after"] == pytest.approx(planned.attrs["regret_now"] * remaining[-1])
    assert np.asarray(planned["saves"]).sum() == pytest.approx(planned.attrs["waste_now"] * (1 - remaining[-1]))
    assert np.array_equal(np.asarray(planned["pays"]), np.asarray(planned["saves"]) > cost)
    assert np.all(np.diff(planned["remaining_at"]) <= 1e-9)


def test_what_a_plan_says(planned):
    text = str(design_text(planned))
    assert "+-" in text
    assert "share of the expected regret" in text
    own = compute_text(planned.attrs["spent"])
    assert own not in text.splitlines()[-1]  # what other budgets leave is of other plans


def test_a_budget_that_buys_nothing_more_is_not_spent(small_fit, planned):
    again = bs.plan(small_fit, TARGET, 1e21, most_runs=1)
    best = bs.plan(small_fit, TARGET, 4e21, most_runs=1)
    assert best["remaining"][-1] <= again["remaining"][-1] * 1.01
    assert planned["remaining"][-1] < again["remaining"][-1]


def test_how_far_below_all_runs_the_grid_reaches(small_fit, planned):
    runs = small_fit.runs
    near = bs.plan(small_fit, TARGET, 1e21, most_runs=6, reach=1)
    for name in ("params", "tokens"):
        assert float(near[name].min()) >= runs[name].min()
        assert float(planned[name].min()) >= runs[name].min() / 4
    assert planned["remaining"][-1] <= near["remaining"][-1] * 1.01


def test_the_regret_now_is_that_of_the_decision(small_fit, planned):
    decided = bs.allocate(small_fit, TARGET)
    assert planned.attrs["regret_now"] == pytest.approx(float(decided["expected_regret_loss"][0]), rel=0.02)
    assert planned.attrs["waste_now"] == pytest.approx(float(decided["expected_regret_compute"][0]), rel=0.02)
    assert planned.attrs["decision_params"] == pytest.approx(float(decided["decision_params"][0]), rel=1e-6)


def test_what_a_plan_promises_is_what_refits_find(small_fit, planned):
    """Outcomes of the runs are simulated under draws, and the law is fitted to all runs: the regret that its posterior expects."""
    draws = {name: values.ravel() for name, values in small_fit.parameters().items()}
    rng = np.random.default_rng(4)
    new = {name: np.asarray(planned[name]) for name in ("params", "tokens")}
    tables = []
    for place in rng.choice(len(draws["E"]), 24, replace=False):
        truth = {name: values[place] for name, values in draws.items()}
        loss = LAW.predict(new, truth) * np.exp(truth["sigma"] * rng.standard_t(truth["nu"], size=len(new["params"])))
        columns = {**new, "loss": loss}
        together = {name: np.concatenate([small_fit.runs[name], columns[name]]) for name in ("params", "tokens", "loss")}
        tables.append(bs.runs_from_columns(together))
    expected = [float(bs.allocate(fit, TARGET)["expected_regret_loss"][0]) for _, fit in bs.fit_many("chinchilla", tables, draws=250)]
    error = np.hypot(np.std(expected, ddof=1) / np.sqrt(len(expected)), planned.attrs["regret_after_se"])
    assert planned.attrs["regret_after"] == pytest.approx(np.mean(expected), abs=3 * error, rel=0.15)
    assert np.mean(expected) < 0.75 * planned.attrs["regret_now"]


def test_given_candidates_and_other_objectives(small_fit):
    table = {"params": np.geomspace(1e8, 1e10, 5), "tokens": np.full(5, 2e10)}
    found = bs.plan(small_fit, TARGET, 1e22, candidates=table, objective="beta", most_runs=2)
    assert set(np.asarray(found["params"])) <= set(table["params"])
    assert found.sizes["run"] <= 2
    assert "saves" not in found
    # The variance of beta that is left is that of the best linear rule: residual of a regression on simulated outcomes.
    draws = {name: values.ravel() for name, values in small_fit.parameters().items()}
    rng = np.random.default_rng(1)
    wide = {name: values[:, None] for name, values in draws.items()}
    curve = np.log(LAW.predict({name: np.asarray(found[name]) for name in table}, wide))
    outcome = curve + wide["sigma"] * rng.standard_t(np.broadcast_to(wide["nu"], curve.shape))
    X = np.column_stack([np.ones(len(outcome)), outcome])
    left = draws["beta"] - X @ np.linalg.lstsq(X, draws["beta"], rcond=None)[0]
    assert float(found["remaining"][-1]) == pytest.approx(left.var() / draws["beta"].var(), rel=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": -1.0}, "budget = -1 FLOP must be positive"),
        ({"budget": 1e9, "candidates": {"params": [1e9], "tokens": [1e10]}}, "buys none of 1 candidate runs: the cheapest costs 6e.19"),
        ({"candidates": {"params": [1e9]}}, "the candidate runs have no 'tokens'"),
        ({"candidates": {"params": [1e9, -1], "tokens": 1e10}}, "candidate run 2: params = -1"),
        ({"candidates": {"params": np.full(2001, 1e9), "tokens": 1e10}}, "2001 candidate runs are too many to weigh; give at most 2000"),
        ({"objective": "regrets"}, "did you mean 'regret'"),
        ({"most_runs": 0}, "most_runs = 0"),
        ({"reach": 0.5}, "reach = 0.5 must be at least 1"),
        ({"limits": bs.Limits(sizes=(7e10,))}, "no run would change it"),
    ],
)
def test_plans_that_cannot_be(small_fit, change, message):
    with pytest.raises(bs.InputError, match=message):
        bs.plan(small_fit, TARGET, change.pop("budget", 1e21), **change)
