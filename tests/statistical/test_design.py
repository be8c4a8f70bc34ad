"""Plans of runs: against exact linear Bayes, exhaustive search, a refit, and what must hold of any plan."""

import itertools

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling import optimum
from bayes_scaling.design import State, reweighted, search
from bayes_scaling.text import design_text
from bayes_scaling.units import compute_text

LAW = bs.get_law("chinchilla")
TARGET = 5.76e23


def linear_state(rng, candidates=9, dim=4):
    """Candidates that measure linear functions of normal unknowns, and a quantity that is another."""
    root = rng.normal(size=(dim, dim))
    prior = root @ root.T
    rows = np.vstack([rng.normal(size=(candidates, dim)), rng.normal(size=dim)])
    return State(rows @ prior @ rows.T, 0.5), prior, rows


def test_conditioning_is_bayesian_linear_regression():
    state, prior, rows = linear_state(np.random.default_rng(0))
    chosen = [2, 5, 7]
    X, target = rows[chosen], rows[-1]
    posterior = np.linalg.inv(np.linalg.inv(prior) + X.T @ X / 0.5)
    assert state.after_all(chosen).variance == pytest.approx(target @ posterior @ target, rel=1e-10)
    assert state.variance - state.gains()[4] == pytest.approx(state.after(4).variance, rel=1e-10)


@pytest.mark.parametrize("seed", range(12))
def test_search_comes_near_the_best_of_all_subsets(seed):
    rng = np.random.default_rng(seed)
    state, _, _ = linear_state(rng)
    costs = np.exp(rng.normal(size=9))
    budget = costs.sum() / 3
    subsets = (list(some) for size in range(10) for some in itertools.combinations(range(9), size))
    best = min(state.after_all(some).variance for some in subsets if costs[some].sum() <= budget)
    found = search(state, costs, budget)
    assert costs[found].sum() <= budget * (1 + 1e-9)
    assert state.after_all(found).variance <= 1.1 * best + 1e-12


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
    assert np.all(planned["gain"] > 0.01 * remaining[-1])  # no run that the others make superfluous
    assert np.all(np.diff(planned["spent"]) > 0)
    assert planned.attrs["regret_after"] == pytest.approx(planned.attrs["regret_now"] * remaining[-1])
    assert np.asarray(planned["saves"]).sum() == pytest.approx(planned.attrs["waste_now"] * (1 - remaining[-1]))
    assert np.array_equal(np.asarray(planned["pays"]), np.asarray(planned["saves"]) > cost)
    assert np.all(np.diff(planned["remaining_at"]) <= 1e-9)


def test_what_a_plan_says(planned):
    text = str(design_text(planned))
    assert "+-" in text
    assert "too few" not in text
    few = design_text(planned.assign_attrs(reweighting_ok=0, effective_draws=27.0))
    assert "the reweighting rests on 27 effective draws, too few" in few
    own = compute_text(planned.attrs["spent"])
    assert own not in few.splitlines()[-1]  # what other budgets leave is of other plans


def test_a_budget_that_buys_nothing_more_is_not_spent(small_fit, planned):
    again = bs.plan(small_fit, TARGET, 1e21, most_runs=1)
    best = bs.plan(small_fit, TARGET, 4e21, most_runs=1)
    assert best["remaining"][-1] <= again["remaining"][-1] * 1.01
    assert planned["remaining"][-1] < again["remaining"][-1]


def test_the_regret_now_is_that_of_the_decision(small_fit, planned):
    decided = bs.allocate(small_fit, TARGET)
    assert planned.attrs["regret_now"] == pytest.approx(float(decided["expected_regret_loss"][0]), rel=0.02)
    assert planned.attrs["waste_now"] == pytest.approx(float(decided["expected_regret_compute"][0]), rel=0.02)
    assert planned.attrs["decision_params"] == pytest.approx(float(decided["decision_params"][0]), rel=1e-6)


def test_linear_rule_and_reweighting_agree(planned):
    """Two ways to the expected regret after the runs; the reweighted one has Monte-Carlo error of 256 truths."""
    assert planned.attrs["effective_draws"] > 50
    by_rule = planned.attrs["regret_after"] / planned.attrs["regret_now"]
    by_weights = planned.attrs["reweighted_after"] / planned.attrs["reweighted_now"]
    assert by_weights == pytest.approx(by_rule, rel=0.35)
    assert by_weights < 0.9


def test_reweighted_draws_are_the_refit(small_fit):
    """Importance reweighting by new data, against a fit to old and new data together: the best size at the target."""
    new = {"params": np.array([3e8, 2e9, 6e9]), "tokens": np.array([2e11, 3e10, 6e10])}
    loss = LAW.predict(new, LAW.published["besiroglu"].values) * np.array([1.002, 0.997, 1.001])
    draws = {name: values.ravel() for name, values in small_fit.parameters().items()}
    added = bs.runs_from_columns({**new, "loss": loss})
    wide = {name: values[:, None] for name, values in draws.items()}
    scatter = small_fit.noise.distribution(LAW.predict(new, wide), wide, added.columns)
    log_weights = np.asarray(scatter.log_prob(loss)).sum(axis=1).astype(float)
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    assert 1 / np.sum(weights**2) > 100
    problem = optimum.problem_of(LAW)
    best = np.log(optimum.best_plan(problem, draws, TARGET).params)
    mean = weights @ best
    sd = np.sqrt(weights @ (best - mean) ** 2)
    together = {name: np.concatenate([small_fit.runs[name], added[name]]) for name in ("params", "tokens", "loss")}
    refit = bs.fit("chinchilla", bs.runs_from_columns(together), draws=500)
    again = np.log(optimum.best_plan(problem, refit.parameters(), TARGET).params)
    assert mean == pytest.approx(again.mean(), abs=0.2 * again.std())
    assert sd == pytest.approx(again.std(), rel=0.25)
    assert sd < best.std()


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
    nu = np.mean((draws["nu"] + 1) / (draws["nu"] + 3))
    outcome = curve + np.median(draws["sigma"]) / np.sqrt(nu) * rng.normal(size=curve.shape)
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
        ({"objective": "regrets"}, "did you mean 'regret'"),
        ({"most_runs": 0}, "most_runs = 0"),
        ({"limits": bs.Limits(sizes=(7e10,))}, "no run would change it"),
    ],
)
def test_plans_that_cannot_be(small_fit, change, message):
    with pytest.raises(bs.InputError, match=message):
        bs.plan(small_fit, TARGET, change.pop("budget", 1e21), **change)


def test_reweighting_by_runs_that_say_nothing_changes_nothing(small_fit):
    draws = {name: values.ravel()[::4] for name, values in small_fit.parameters().items()}
    far = {name: np.full_like(values, 50.0) if name == "sigma" else values for name, values in draws.items()}
    found = reweighted(small_fit, optimum.problem_of(LAW), far, {"params": np.array([1e9]), "tokens": np.array([2e10])}, TARGET, truths=40)
    assert found["effective_draws"] > 0.9 * len(far["E"])
    assert found["reweighted_after"] == pytest.approx(found["reweighted_now"], rel=0.1)
