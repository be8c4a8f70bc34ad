"""Budgets that a law's own inputs share: the best of all plans that spend it, the decision, and what the law's own question answers."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling import sharing
from bayes_scaling.risk import Risk

#: For each law: parameter values about which draws lie, what is given, and a budget.
CASES = {
    "ghorbani": ({"E": 1.3, "a": 0.2, "p_e": 0.4, "p_d": 0.5}, {}, 1e9),
    "test_time_log_linear": ({"floor": 0.1, "ceiling": 0.9, "b0": 0.0, "b_train": 0.4, "b_test": 0.25}, {"queries": 1e9}, 1e24),
    "jones:test_time": ("hex_9", {"price_test": 1e6}, 1e16),
    "jones:games": ("hex_9", {"price_test": 1e6, "opponent_elo": -1000.0}, 1e16),
    "vocabulary": ("tao", {"non_vocab_params": 7e9, "embed_dim": 4096.0}, 7.05e21),
    "vocabulary:tokens": ("tao", {"non_vocab_params": 7e9, "embed_dim": 4096.0}, 7.05e21),
    "pass_at_k:size": ("pythia_math", {}, 1e14),
}
laws = pytest.mark.parametrize("name", CASES)
#: Laws whose brute force takes most of a minute, and which have a relative among the others.
DEAR = ("vocabulary", "pass_at_k:size", "jones:games")
cheap_laws = pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] * (name in DEAR)) for name in CASES])


def every_law():
    for name in bs.law_names():
        law = bs.get_law(name)
        yield from (law, *law.variants.values())


def draws_of(name, count=40, spread=0.05):
    """Return draws about a law's values, shape (2, count / 2)."""
    law, values, rng = bs.get_law(name), CASES[name][0], np.random.default_rng(3)
    sampled = law.sampled(law.published[values].values if isinstance(values, str) else values)
    moved = {key: float(value) * np.exp(spread * rng.normal(size=(2, count // 2))) for key, value in sampled.items()}
    return {key: np.asarray(value) for key, value in law.complete(moved).items()}


def asked(name):
    _, given, budget = CASES[name]
    return sharing.shared_of(bs.get_law(name), given), draws_of(name), budget


def best(shared, draws, budget, **how):
    found = sharing.best_of_draws(shared, draws, budget, **how)
    return found, shared.plan(found.first, budget, shared.options[0])


def test_every_law_that_shares_a_budget_is_tested():
    assert {law.name for law in every_law() if law.sharing is not None} == set(CASES)


@laws
def test_what_a_law_says_of_its_budget_fits_together(name):
    shared, _, budget = asked(name)
    by, law = shared.by, shared.law
    assert set(by.inputs) <= set(law.input_names)
    assert not {by.budget.name, by.ratio.name} & set(law.input_names)  # results have each by its name
    known = {**shared.known(budget, shared.options[0]), by.inputs[0]: float(np.mean(shared.span(budget, shared.options[0])))}
    taken = [float(shared.spent({**known, by.inputs[1]: second})) for second in (1e3, 2e3, 4e3)]
    assert taken[2] - taken[1] == pytest.approx(2 * (taken[1] - taken[0]), rel=1e-4)  # linear in what is left


@laws
def test_the_budget_is_spent_exactly_and_no_other_plan_is_better(name):
    shared, draws, budget = asked(name)
    found, plans = best(shared, draws, budget)
    assert shared.spent(plans) == pytest.approx(np.full(found.first.shape, budget), rel=1e-12)
    low, high = (float(end) for end in shared.span(budget, shared.options[0]))
    rng = np.random.default_rng(7)
    others = np.concatenate([np.geomspace(low, high, 1501)[:-1], np.clip(np.median(found.first) * np.exp(rng.normal(size=500)), low, high)])
    wide = {key: values[..., None] for key, values in draws.items()}
    outcomes = shared.outcome(shared.plan(others, budget, shared.options[0]), wide)
    assert np.all(found.outcome <= np.nanmin(outcomes, axis=-1) + 1e-12)
    nearest = np.nanmin(outcomes, axis=-1) - found.outcome  # of a grid so fine
    assert np.all(nearest <= 1e-3 * np.abs(found.outcome) + 1e-4)


@laws
def test_what_a_law_knows_of_its_best_plan_is_what_a_search_finds(name):
    shared, draws, budget = asked(name)
    if shared.by.best is None:
        return
    for amount in (budget / 50, budget, budget * 50):
        known, searched = (sharing.best_of_draws(shared, draws, amount, numerically=how).first for how in (False, True))
        assert known == pytest.approx(searched, rel=1e-7)


@laws
def test_more_budget_never_hurts_and_a_target_is_its_inverse(name):
    shared, draws, budget = asked(name)
    found = sharing.best_of_draws(shared, draws, budget)
    assert np.all(sharing.best_of_draws(shared, draws, 1.5 * budget).outcome <= found.outcome + 1e-15)
    assert sharing.least_budget(shared, draws, found.outcome) == pytest.approx(np.full(found.first.shape, budget), rel=1e-6)


@laws
@pytest.mark.parametrize("risk", ["mean", "cvar:0.8"])
def test_the_decision_has_least_risk_and_no_more_regret_than_the_plan_of_the_median(name, risk):
    shared, draws, budget = asked(name)
    flat = {key: np.ravel(values)[:, None] for key, values in draws.items()}
    first, number = sharing.least_risk(shared, draws, budget, Risk.read(risk))
    option = shared.options[number]

    def worth(firsts):
        return shared.outcome(shared.plan(np.asarray(firsts, float), budget, option), flat)

    low, high = (float(end) for end in shared.span(budget, option))
    near = np.clip(first * np.geomspace(0.2, 5, 801), low, high * (1 - 1e-9))
    assert Risk.read(risk).of(worth([first]))[0] <= Risk.read(risk).of(worth(near)).min() + 1e-12
    if risk == "mean":
        median = {key: np.array([np.median(values)]) for key, values in draws.items()}
        plugged_in = float(sharing.best_of_draws(shared, median, budget).first[0])
        regrets = [
            np.mean(worth([one])[:, 0] - np.ravel(sharing.best_of_draws(shared, draws, budget).outcome)) for one in (first, plugged_in)
        ]
        assert 0 <= regrets[0] <= regrets[1] + 1e-15


# --- What the law's own question answers


def answers(name, draws, given):
    law = bs.get_law(name)
    with jax.enable_x64(True):
        return law.decision.answer(draws, {key: np.asarray(value, float) for key, value in given.items()})


def test_encoder_and_decoder_are_split_as_ghorbani_says():
    """Decoder share p_d / (p_e + p_d) = 0.5556 at exponents 0.4 and 0.5, where the paper finds about 0.55; reducible loss 0.073725."""
    shared, draws, budget = asked("ghorbani")
    found, plans = best(shared, draws, budget)
    told = answers("ghorbani", draws, {"params": budget})
    for key in ("encoder_params", "decoder_params"):
        assert plans[key] == pytest.approx(np.asarray(told[key]), rel=1e-12)
    assert found.outcome == pytest.approx(np.asarray(told["loss"]), rel=1e-12)
    exact = {key: np.array([value]) for key, value in {"E": 0.0, "a": 0.2, "p_e": 0.4, "p_d": 0.5}.items()}
    found, plans = best(shared, exact, budget)
    assert float(shared.ratio(plans)[0]) == pytest.approx(0.555556, abs=1e-6)
    assert found.outcome[0] == pytest.approx(0.073725, abs=1e-6)


def test_training_and_answering_are_split_as_the_law_answers_itself():
    shared, draws, budget = asked("test_time_log_linear")
    found, plans = best(shared, draws, budget)
    told = answers("test_time_log_linear", draws, {"budget": budget, "queries": 1e9, "target": 0.6, "compute": 1e23})
    assert plans["compute"] == pytest.approx(np.asarray(told["best_compute"]), rel=1e-12)
    assert plans["test_compute"] == pytest.approx(np.asarray(told["best_test_compute"]), rel=1e-12)
    assert -found.outcome == pytest.approx(np.asarray(told["accuracy"]), rel=1e-12)
    assert sharing.least_budget(shared, draws, -0.6) == pytest.approx(np.asarray(told["budget_for_target"]), rel=1e-6)


@pytest.mark.parametrize(("name", "target"), [("jones:test_time", -500.0), ("jones:games", 0.9)])
@pytest.mark.parametrize("least", [1.0, 1e11])
def test_the_least_budget_of_jones_is_the_cheapest_agent(name, target, least):
    """The question asks for the cheapest agent of a strength, the plan for the strongest of a price: each is the other's inverse."""
    given = {**CASES[name][1], "least_test_compute": least}
    shared, draws = sharing.shared_of(bs.get_law(name), given), draws_of(name, spread=0.01)
    more = {"opponent_elo": -1000.0, "target": target} if name == "jones:games" else {"elo": target}
    told = answers(name, draws, {"compute": 1e15, **bs.get_law(name).decision.optional, **given, **more})
    found = sharing.least_budget(shared, draws, -target)
    assert found == pytest.approx(np.asarray(told["cost"]), rel=1e-6)
    plans = shared.plan(sharing.best_of_draws(shared, draws, found).first, found, shared.options[0])
    assert plans["compute"] == pytest.approx(np.asarray(told["best_compute"]), rel=1e-5)
    assert np.any(plans["test_compute"] < 1.001 * least) == (least > 1)  # the search of a single node is met, or it is not


@pytest.mark.parametrize("name", ["vocabulary", "vocabulary:tokens"])
def test_the_best_vocabulary_is_the_law_s_own(name):
    shared, draws, budget = asked(name)
    found, plans = best(shared, draws, budget)
    told = answers(name, draws, {"compute": budget, **CASES[name][1]})
    for key in ("vocabulary", "characters"):
        assert plans[key] == pytest.approx(np.asarray(told[key]), rel=1e-6)
    assert found.outcome == pytest.approx(np.asarray(told["unigram_loss"]), rel=1e-10)


def test_the_table_of_tao_through_a_plan():
    """Of 7e9 params and width 4096 at 7.05e21 FLOP the authors' table has a vocabulary of about 62 thousand; see tests/reference."""
    shared, _, budget = asked("vocabulary:tokens")
    exact = {key: np.array([value]) for key, value in shared.law.published["tao_code"].values.items()}
    assert best(shared, exact, budget)[1]["vocabulary"][0] == pytest.approx(62e3, rel=0.1)


def test_size_and_samples_are_the_cheapest_for_the_coverage_they_have():
    shared, draws, _ = asked("pass_at_k:size")
    told = answers("pass_at_k:size", draws, {"target": 0.5, "answer_tokens": 256.0})
    assert sharing.least_budget(shared, draws, -0.5) == pytest.approx(np.asarray(told["test_compute"]), rel=1e-4)


# --- Bounds, and what is held


def bounds_about(shared, draws, budget):
    """Return bounds of each kind, of which most cut off the best plans."""
    found, plans = best(shared, draws, budget)
    first, second = shared.by.inputs
    usual = {first: np.median(found.first), second: np.median(plans[second]), shared.by.ratio.name: np.median(shared.ratio(plans))}
    for name, value in usual.items():
        for factor in (0.9, 0.999, 1.001, 1.02):
            yield bs.Bounds(at_least={name: factor * value})
            yield bs.Bounds(at_most={name: factor * value})
    yield bs.Bounds(at_least={first: 0.7 * usual[first]}, at_most={second: 0.9 * usual[second]})


@cheap_laws
def test_bounds_are_kept_and_no_plan_that_keeps_them_is_better(name):
    """By brute force: all first inputs, with what is left for the second or less, of which none is bounded away."""
    free, draws, budget = asked(name)
    option, wide = free.options[0], {key: values[..., None] for key, values in draws.items()}
    first, second = free.by.inputs
    ends = [float(end) for end in free.span(budget, option)]
    checked = 0
    for bounds in bounds_about(free, draws, budget):
        shared = replace(free, bounds=bounds)
        firsts = np.geomspace(*ends, 8001)
        firsts = np.sort(np.append(firsts, [value for table in (bounds.at_least, bounds.at_most) for value in table.values()]))
        line = shared.plan(firsts, budget, option)
        values = {**line, shared.by.ratio.name: shared.ratio(line)}
        kept = (firsts >= ends[0]) & (firsts <= ends[1])
        for key, value in bounds.at_least.items():
            kept &= values[key] >= value * (1 - 1e-9)
        for key, value in bounds.at_most.items():
            kept &= values[key] <= value * (1 + 1e-9)
        found = sharing.best_of_draws(shared, draws, budget)
        if not kept.any():
            assert np.all(np.isinf(found.outcome)) or shared.span(budget, option)[0] == pytest.approx(
                shared.span(budget, option)[1], rel=0.01
            )
            continue
        checked += 1
        plans = shared.plan(found.first, budget, option)
        got = {**plans, shared.by.ratio.name: shared.ratio(plans)}
        for key, value in bounds.at_least.items():
            assert np.all(got[key] >= value * (1 - 1e-8)), bounds
        for key, value in bounds.at_most.items():
            assert np.all(got[key] <= value * (1 + 1e-8)), bounds
        assert np.all(shared.spent(plans) <= budget * (1 + 1e-9))
        outcomes = shared.outcome({key: value[kept] if np.ndim(value) else value for key, value in line.items()}, wide)
        assert np.all(found.outcome <= np.nanmin(outcomes, axis=-1) + 1e-12), bounds
        coarse = 1e-3 * np.abs(found.outcome) + 1e-4 * np.nanmax(outcomes - found.outcome[..., None])  # as the firsts are
        assert np.all(np.nanmin(outcomes, axis=-1) - found.outcome <= coarse), bounds
        size, number = sharing.least_risk(shared, draws, budget, Risk())
        expected = shared.outcome(shared.plan(size, budget, shared.options[number]), draws).mean()
        assert expected <= np.nanmin(outcomes.mean(axis=(0, 1))) + 1e-12
        assert second in plans
        assert first in plans
    assert checked >= 20


@laws
def test_an_input_can_be_held_or_chosen_among_a_few(name):
    free, draws, budget = asked(name)
    given = CASES[name][1]
    found, plans = best(free, draws, budget)
    first, second = free.by.inputs
    few = np.median(found.first) * np.array([0.6, 1.1, 1.3])
    several = sharing.shared_of(free.law, {**given, first: few})
    assert several.chosen == (first,)
    chosen = sharing.best_of_draws(several, draws, budget)
    each = [free.outcome(free.plan(one, budget, free.options[0]), draws) for one in few]
    assert chosen.outcome == pytest.approx(np.min(each, axis=0), rel=1e-12)
    assert chosen.first == pytest.approx(few[np.argmin(each, axis=0)], rel=1e-12)
    rest = float(np.median(plans[second]))
    held = sharing.shared_of(free.law, {**given, second: rest})
    got = sharing.best_of_draws(held, draws, budget)
    assert held.plan(got.first, budget, held.options[0])[second] == pytest.approx(np.full(got.first.shape, rest), rel=1e-7)
    assert np.all(got.outcome >= found.outcome - 1e-12)
    with pytest.raises(bs.InputError, match="are both given: nothing is left to decide"):
        sharing.shared_of(free.law, {**given, first: few[0], second: rest})


# --- What is given


def test_what_is_given_several_times_is_chosen():
    name = "vocabulary"
    shared, draws, budget = asked(name)
    several = sharing.shared_of(shared.law, {"non_vocab_params": [1e9, 7e9, 3e10], "embed_dim": 4096.0})
    found = sharing.best_of_draws(several, draws, budget)
    each = [
        sharing.best_of_draws(sharing.shared_of(shared.law, {"non_vocab_params": size, "embed_dim": 4096.0}), draws, budget).outcome
        for size in (1e9, 7e9, 3e10)
    ]
    assert np.all(found.outcome == np.min(each, axis=0))
    assert np.all(found.option == np.argmin(each, axis=0))
    assert several.chosen == ("non_vocab_params",)


@pytest.mark.parametrize("factor", [1e-18, 1e-3, 7.0])
def test_a_plan_does_not_depend_on_the_unit_of_prices(factor):
    _, draws, budget = asked("jones:test_time")
    law, prices = bs.get_law("jones:test_time"), {"price_train": 1.0, "price_test": 1e6}
    plans = []
    for unit in (1.0, factor):
        shared = sharing.shared_of(law, {key: value * unit for key, value in prices.items()})
        plans.append(sharing.best_of_draws(shared, draws, budget * unit, numerically=True))
    assert plans[0].first == pytest.approx(plans[1].first, rel=1e-8)
    assert plans[0].outcome == pytest.approx(plans[1].outcome, rel=1e-12)
