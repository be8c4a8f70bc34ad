"""Two recipes, against constructions of which the answer is known; and how robust a plan is."""

from dataclasses import replace

import numpy as np
import pytest
import xarray
from conftest import simulated_runs

import bayes_scaling as bs
from bayes_scaling import optimum
from bayes_scaling.robustness import _scaled_priors, _without

LAW = bs.get_law("chinchilla")


def with_parameters(fit, change):
    """A fit with the same runs whose draws are changed."""
    tree = fit.draws.copy()
    posterior = fit.posterior
    tree["posterior"] = xarray.DataTree(posterior.assign(**change(posterior)))
    return replace(fit, drawn=tree)


def test_a_recipe_is_worth_itself(small_fit):
    found = bs.compute_multiplier(small_fit, small_fit, [1e21, 1e24], joint=True)
    assert np.allclose(found["multiplier"], 1, rtol=1e-9)


def test_a_recipe_of_which_everything_counts_double(small_fit):
    """L'(N, D) = L(2 N, 3 D): six times the compute, at every compute, in every draw."""
    better = with_parameters(small_fit, lambda p: {"A": p["A"] * 2 ** -p["alpha"], "B": p["B"] * 3 ** -p["beta"]})
    found = bs.compute_multiplier(better, small_fit, [1e21, 1e24], joint=True)
    assert np.allclose(found["multiplier"], 6, rtol=1e-8)
    assert np.allclose(found["probability_better"], 1)
    assert np.allclose(found["probability_holds"], 1)
    assert found.attrs["probability_crossing"] == 0
    back = bs.compute_multiplier(small_fit, better, 1e22, joint=True)
    assert np.allclose(back["multiplier"], 1 / 6, rtol=1e-8)
    # Draws of two fits are independent: paired at random, the median is the same and the spread is not nothing.
    apart = np.asarray(bs.compute_multiplier(better, small_fit, 1e22)["multiplier"])
    assert np.median(apart) == pytest.approx(6, rel=0.1)
    assert apart.std() > 0.01
    # Twice the FLOP for the other's params and tokens: half of what it is worth.
    dear = bs.compute_multiplier(better, small_fit, 1e22, joint=True, cost=bs.Cost(training=12.0), other_cost=bs.Cost())
    assert np.allclose(dear["multiplier"], 3, rtol=1e-8)


def test_where_recipes_cross(small_fit):
    """A recipe that starts better and has a higher floor: the crossing against the root of the difference of frontiers."""
    early = with_parameters(small_fit, lambda p: {"A": p["A"] * 0.8, "B": p["B"] * 0.8, "E": p["E"] * 1.04})
    found = bs.compute_multiplier(early, small_fit, [1e23], joint=True)
    assert found.attrs["probability_crossing"] > 0.95
    crossing = float(found["crossing"][0, 3])
    problem = optimum.problem_of(LAW)
    one = [{name: values[0, 3] for name, values in fit.parameters().items()} for fit in (early, small_fit)]
    losses = [optimum.best_outcome(problem, p, crossing) for p in one]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    # At the largest compute that has runs the early one leads or not, draw by draw; it holds where it does so at 1e23 too.
    frontiers = [
        [optimum.best_outcome(problem, f.parameters(), at) for f in (early, small_fit)] for at in (found.attrs["compared_at"], 1e23)
    ]
    (first, second), (first_later, second_later) = frontiers
    assert float(found["probability_holds"][0]) == pytest.approx(np.mean((first < second) == (first_later < second_later)))
    beyond_floor = np.asarray(bs.compute_multiplier(early, small_fit, 1e30, joint=True)["multiplier"])
    assert np.all(beyond_floor < 0.1)


def test_recipes_that_cannot_be_compared(small_fit):
    other = replace(small_fit, law=bs.get_law("kaplan_nd"))
    object.__setattr__(other, "law", replace(other.law, output="error"))
    with pytest.raises(bs.InputError, match="predict different things: loss and error"):
        bs.compute_multiplier(small_fit, other, 1e22)


def test_what_robustness_changes(small_fit):
    parts = _without(small_fit)
    spent = small_fit.runs["params"] * small_fit.runs["tokens"]
    dearest = parts["without the dearest 12"]
    assert len(dearest) == 48
    assert (dearest["params"] * dearest["tokens"]).max() < np.sort(spent)[-12] * (1 + 1e-12)
    held_out = [set(small_fit.runs.lines) - set(parts[f"without part {i + 1} of 5"].lines) for i in range(5)]
    assert set().union(*held_out) == set(small_fit.runs.lines)
    assert sum(map(len, held_out)) == 60
    wide = _scaled_priors(small_fit, 2.0)
    assert {name: float(prior.scale) for name, prior in wide.items()} == {
        item.name: 2 * item.prior.scale for item in LAW.parameters if item.name in wide
    }
    assert set(wide) == set(LAW.parameter_names)


def test_robustness_refits_and_says_what_the_plan_would_waste(small_fit):
    rows = bs.robustness(small_fit, 5.76e23, laws=["chinchilla"], kinds=("law",), draws=500, seed=1)
    assert [row.kind for row in rows] == ["as fitted", "law"]
    base, other = rows
    plan = bs.allocate(small_fit, 5.76e23)
    assert base.decision["params"] == pytest.approx(float(plan["decision_params"][0]))
    assert base.wasted == pytest.approx(float(plan["expected_regret_compute"][0] / 5.76e23))
    # The same law with other random numbers: the same plan but for Monte-Carlo error.
    assert other.moved == pytest.approx(1, abs=0.05)
    assert other.best["median"] != base.best["median"]
    assert other.moved == pytest.approx(other.decision["params"] / base.decision["params"])
    with pytest.raises(bs.InputError, match="cannot change 'noises'.*did you mean 'noise'"):
        bs.robustness(small_fit, 1e22, kinds=("noises",))
    with pytest.raises(bs.InputError, match="predicts accuracy, not loss"):
        bs.robustness(small_fit, 1e22, laws=["task_ladder:direct"], kinds=("law",))


@pytest.mark.long
def test_robustness_of_everything():
    fit = bs.fit(
        "chinchilla", simulated_runs(n=40), noise="normal-log", priors={"E": bs.parse_prior("E=LogNormal(0.5, 0.3)")[1]}, draws=250
    )
    rows = bs.robustness(fit, 1e23, draws=250)
    assert {row.name for row in rows if row.kind == "noise"} == {"student-t", "laplace", "normal"}
    assert {row.name for row in rows if row.kind == "prior"} == {"twice as wide", "half as wide"}
    assert sum(row.kind == "rows" for row in rows) >= 7


@pytest.mark.long
def test_robustness_of_a_law_whose_inputs_share_a_budget():
    law, rng = bs.get_law("ghorbani"), np.random.default_rng(5)
    sizes = {name: np.exp(rng.uniform(np.log(2e7), np.log(2e9), 40)) for name in law.input_names}
    loss = law.predict(sizes, {"E": 1.3, "a": 0.2, "p_e": 0.4, "p_d": 0.5}) * np.exp(0.005 * rng.standard_t(5, size=40))
    fit = bs.fit(law, bs.runs_from_columns({**sizes, "loss": loss}), draws=250)
    rows = bs.robustness(fit, 1e9, kinds=("noise", "rows"), limits=bs.Bounds(at_least={"encoder_params": 1e8}), draws=250)
    base, *others = rows
    plan = bs.allocate(fit, 1e9, limits=bs.Bounds(at_least={"encoder_params": 1e8}))
    assert base.decision == {name: float(plan[f"decision_{name}"][0]) for name in ("decoder_params", "encoder_params")}
    assert base.wasted == pytest.approx(float(plan["expected_regret_params"][0] / 1e9))
    assert {row.kind for row in others} == {"noise", "rows"}
    spent = sizes["encoder_params"] + sizes["decoder_params"]
    dearest = _without(fit)["without the dearest 8"]
    assert (dearest["encoder_params"] + dearest["decoder_params"]).max() < np.sort(spent)[-8] * (1 + 1e-12)
    for row in others:
        assert row.moved == pytest.approx(row.decision["decoder_params"] / base.decision["decoder_params"])
        assert sum(row.decision.values()) == pytest.approx(1e9)
    # The share wasted if a row is right is that of its own plan held to the decision as fitted.
    assert max(row.wasted for row in others) > base.wasted
    with pytest.raises(bs.InputError, match="law 'chinchilla' has no plan of decoder_params and encoder_params, as 'ghorbani' has"):
        bs.robustness(fit, 1e9, laws=["chinchilla"], kinds=("law",))
