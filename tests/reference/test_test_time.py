"""Test-time compute: decisions against independent calculation, arithmetic of the papers, and where they contradict themselves."""

import jax
import numpy as np
import pytest
from refits import test_time as refits_of_test_time
from scipy.optimize import brentq, minimize_scalar

import bayes_scaling as bs
from bayes_scaling.decision import decide
from bayes_scaling.fractions import BetaBinomialFraction
from bayes_scaling.noise import noise_of

HEX = {"incline_compute": 510.0, "incline_board": -430.0, "incline_0": -4400.0, "plateau_board": -270.0, "plateau_0": 570.0}


def ask(law, name, **given):
    found = decide(law, given, published=name)
    return {item.name: float(found[item.name][0, 0, 0]) for item in bs.get_law(law).decision.answers}


def answer(law, p, **given):
    """A law's answers for any parameters, where nobody published some."""
    decision = bs.get_law(law).decision
    with jax.enable_x64(True):
        return {name: np.asarray(value) for name, value in decision.answer(p, {**decision.optional, **given}).items()}


# --- Jones 2021


def test_jones_is_the_printed_clip_on_every_board():
    """incline.clamp(plateau, 0) as printed, with the coefficients of the paper's table; C in FLOP, log to base 10."""
    compute, board = np.geomspace(1e9, 1e18, 91)[:, None], np.arange(3.0, 10)
    incline = 510 * np.log10(compute) - 430 * board - 4400
    plateau = -270 * board + 570
    printed = np.clip(incline, np.broadcast_to(plateau, incline.shape), 0)
    law = bs.get_law("jones")
    assert law.published["hex"].values == HEX
    assert law.predict({"compute": compute, "board": board}, HEX) == pytest.approx(printed, abs=1e-8)


def test_jones_table_and_prose_disagree():
    """Perfect play: x6.968 per board size of the table, 7 of the prose: agreed. Take-off: x2.059, and not 4. Twice the compute wins
    0.708 of the games (0.704 at the prose's 500 Elo per decade), which it calls 2/3."""
    got = ask("jones", "hex", elo=-500, board=9)
    assert got["perfect_growth"] == pytest.approx(6.968, abs=5e-4)
    assert got["perfect_growth"] == pytest.approx(7, rel=0.01)
    assert got["takeoff_growth"] == pytest.approx(2.059, abs=5e-4)
    assert not np.isclose(got["takeoff_growth"], 4, rtol=0.4)
    assert got["doubling_win_rate"] == pytest.approx(0.708, abs=5e-4)
    assert answer("jones", {**HEX, "incline_compute": 500.0}, elo=-500.0, board=9.0)["doubling_win_rate"] == pytest.approx(0.704, abs=5e-4)
    # Random play that sank by 500 Elo per board size, as in the prose, would be left earlier on larger boards, not 4 times later.
    prose = {**HEX, "incline_compute": 500.0, "plateau_board": -500.0, "incline_board": -500 * np.log10(7)}
    assert answer("jones", prose, elo=-500.0, board=9.0)["takeoff_growth"] < 1


@pytest.mark.parametrize("board", [3.0, 6.0, 9.0])
def test_jones_needed_compute_is_where_the_curve_passes(board):
    law = bs.get_law("jones")

    def elo(log_compute):
        return float(law.predict({"compute": 10**log_compute, "board": board}, HEX))

    lowest = elo(5.0)
    got = ask("jones", "hex", elo=lowest / 2, board=board)
    assert np.log10(got["compute"]) == pytest.approx(brentq(lambda u: elo(u) - lowest / 2, 8, 18), abs=1e-9)
    assert elo(np.log10(got["takeoff_compute"]) - 1e-6) == lowest < elo(np.log10(got["takeoff_compute"]) + 1e-6)
    assert elo(np.log10(got["perfect_compute"]) + 1e-6) == 0 > elo(np.log10(got["perfect_compute"]) - 1e-6)
    assert ask("jones", "hex", elo=lowest - 100, board=board)["compute"] == 0  # random play is good enough
    assert ask("jones", "hex", elo=1, board=board)["compute"] == np.inf  # nothing is better than perfect


def test_ten_times_the_training_saves_about_fifteen_times_the_test_compute():
    """log10 T = -1.2 log10 C + 0.004 Elo + 29 as printed (9x9); "about 15x", 10^1.2 = 15.849."""
    got = ask("jones:test_time", "hex_9", elo=-1000, compute=1e15)
    assert got["test_compute"] == pytest.approx(1e7, rel=1e-9)
    assert got["saved_by_10x_training"] == pytest.approx(15.849, abs=5e-4)
    for elo in (-1500.0, -700.0, -100.0):
        for log_train in (13.0, 15.5, 17.0):
            got = ask("jones:test_time", "hex_9", elo=elo, compute=10**log_train)
            assert np.log10(got["test_compute"]) == pytest.approx(-1.2 * log_train + 0.004 * elo + 29, abs=1e-9)
    # Down to a floor of one node: training beyond it saves no more.
    assert ask("jones:test_time", "hex_9", elo=-1000, compute=1e25)["test_compute"] == 1
    assert ask("jones:test_time", "hex_9", elo=-1000, compute=1e18, least_test_compute=5e4)["test_compute"] == 5e4


@pytest.mark.parametrize(("price_test", "least"), [(1.0, 1.0), (1e4, 1.0), (1e8, 1.0), (1e8, 1e8), (1.0, 1e18)])
def test_cheapest_split_of_training_and_play_is_the_best_of_all(price_test, least):
    """Closed form test/train = (250/300) (price_train/price_test), or the floor, against a search along the line of equal Elo."""
    elo, price_train = -400.0, 2.0
    got = ask("jones:test_time", "hex_9", elo=elo, compute=1e15, price_train=price_train, price_test=price_test, least_test_compute=least)

    def cost(log_test):
        return price_train * 10 ** ((elo + 7250 - 250 * log_test) / 300) + price_test * 10**log_test

    best = minimize_scalar(cost, bounds=(np.log10(least), 30), method="bounded", options={"xatol": 1e-10})
    assert got["cost"] == pytest.approx(min(best.fun, cost(np.log10(least))), rel=1e-9)
    law = bs.get_law("jones:test_time")
    there = {"compute": got["best_compute"], "test_compute": got["best_test_compute"]}
    assert law.predict(there, law.published["hex_9"].values) == pytest.approx(elo, abs=1e-8)
    if got["best_test_compute"] > least:
        assert got["best_test_compute"] / got["best_compute"] == pytest.approx(250 / 300 * price_train / price_test, rel=1e-9)


def test_slopes_that_others_report_are_unsurprising():
    """AlphaGo Zero, by an encyclopedia: 120 Elo for twice the training or twice the search, 399 per decade."""
    for name in ("b_train", "b_test"):
        prior = bs.get_law("jones:test_time").parameter(name).prior
        assert 0.05 < float(prior.cdf(120 / np.log10(2))) < 0.95


def test_games_are_bradley_terry_with_the_elo_of_the_trade_off():
    """Chances of the standard Elo formula; the two sides' chances add to 1; the win rate asked for is the win rate had."""
    law, p = bs.get_law("jones:games"), bs.get_law("jones:games").published["hex_9"].values
    elo = float(bs.get_law("jones:test_time").predict({"compute": 3e15, "test_compute": 2e8}, p))
    for difference, chance in ((0, 0.5), (100, 0.640065), (200, 0.759747), (400, 10 / 11)):
        for sign in (1, -1):
            at = {"compute": 3e15, "test_compute": 2e8, "opponent_elo": elo - sign * difference}
            assert law.predict(at, p) == pytest.approx(chance if sign > 0 else 1 - chance, abs=1e-6)
    got = ask("jones:games", "hex_9", target=0.8, opponent_elo=-700, compute=1e15)
    for pair in ((1e15, got["test_compute"]), (got["best_compute"], got["best_test_compute"])):
        at = {"compute": pair[0], "test_compute": pair[1], "opponent_elo": -700.0}
        assert law.predict(at, p) == pytest.approx(0.8, abs=1e-9)
    assert ask("jones:games", "hex_9", target=1.0, opponent_elo=-700, compute=1e15)["test_compute"] == np.inf


def test_games_are_counted():
    law = bs.get_law("jones:games")
    noise = noise_of(law)
    assert noise.needs == ("trials",)
    assert isinstance(noise.distribution(0.5, {"rho": 0.01}, {"trials": 64.0}), BetaBinomialFraction)


# --- Bounded metrics

BOUNDED = {"floor": 0.1, "ceiling": 0.9, "b0": 0.3, "b_train": 0.35, "b_test": 0.2}


def test_both_computes_are_log_linear_in_the_middle():
    """Between a quarter and three quarters of the way the sigmoid strays from a line in log compute by less than a hundredth of it."""
    law = bs.get_law("test_time_log_linear")
    p = {**BOUNDED, "b0": 0.0}
    for x, reference, slope in (("compute", 1e22, "b_train"), ("test_compute", 1e13, "b_test")):
        u = np.linspace(-np.log(3), np.log(3), 201)
        other = {"compute": 1e22, "test_compute": 1e13}
        got = law.predict({**other, x: reference * np.exp(u / p[slope])}, p)
        line = np.interp(u, u[[0, -1]], got[[0, -1]])
        assert got[[0, -1]] == pytest.approx([0.3, 0.7], abs=1e-9)
        assert 0.005 < np.max(np.abs(got - line)) / 0.8 < 0.01


@pytest.mark.parametrize(("budget", "queries"), [(1e23, 1e9), (1e25, 1e4), (1e20, 1e12)])
def test_best_split_of_a_budget_is_the_best_of_a_grid(budget, queries):
    """C / (C + q T) = b_train / (b_train + b_test), against all splits."""
    law = bs.get_law("test_time_log_linear")
    got = answer("test_time_log_linear", BOUNDED, budget=budget, queries=queries, target=0.5, compute=1e23)
    share = np.linspace(0, 1, 100_001)[1:-1]
    accuracy = law.predict({"compute": share * budget, "test_compute": (1 - share) * budget / queries}, BOUNDED)
    assert got["train_share"] == pytest.approx(0.35 / 0.55)
    assert got["train_share"] == pytest.approx(share[np.argmax(accuracy)], abs=1.1e-5)
    assert got["accuracy"] == pytest.approx(accuracy.max(), rel=1e-9)
    assert got["best_compute"] + queries * got["best_test_compute"] == pytest.approx(budget)


def test_what_a_target_needs_is_where_the_curve_passes():
    law = bs.get_law("test_time_log_linear")
    given = {"budget": 1e24, "queries": 1e9, "compute": 1e23}
    got = answer("test_time_log_linear", BOUNDED, **given, target=0.6)

    def with_test(log_test):
        return float(law.predict({"compute": 1e23, "test_compute": np.exp(log_test)}, BOUNDED)) - 0.6

    def with_budget(log_budget):
        best = answer("test_time_log_linear", BOUNDED, **{**given, "budget": np.exp(log_budget)}, target=0.6)
        return float(best["accuracy"]) - 0.6

    assert np.log(got["test_compute_for_target"]) == pytest.approx(brentq(with_test, 0, 60), rel=1e-6)
    assert np.log(got["budget_for_target"]) == pytest.approx(brentq(with_budget, 20, 90), rel=1e-6)
    for target, needed in ((0.9, np.inf), (0.95, np.inf), (0.1, 0.0), (0.05, 0.0)):
        got = answer("test_time_log_linear", BOUNDED, **given, target=target)
        assert got["test_compute_for_target"] == needed
        assert got["budget_for_target"] == needed


def test_reinforcement_learning_sigmoid_is_the_same_curve():
    """R0 + (A - R0) / (1 + (C_mid / C)^B) as printed (0.541667 at 5e4 of the sheet's example), and as the law of one compute."""
    law = bs.get_law("test_time_log_linear:rl")
    p = {"R0": 0.2, "A": 0.61, "C_mid": 1e4, "B": 1.7}
    hours = np.geomspace(1e2, 1e6, 41)
    got = law.predict({"gpu_hours": hours}, p)
    assert got == pytest.approx(0.2 + (0.61 - 0.2) / (1 + (1e4 / hours) ** 1.7), rel=1e-12)
    other = {"floor": 0.2, "ceiling": 0.61, "b0": 1.7 * np.log(1e3 / 1e4), "b_test": 1.7}
    assert got == pytest.approx(bs.get_law("test_time_log_linear:test").predict({"test_tokens": hours}, other), rel=1e-12)
    assert law.predict({"gpu_hours": 5e4}, {**p, "B": 1.0}) == pytest.approx(0.541667, abs=5e-7)
    again = law.complete(law.sampled(p))
    assert {name: again[name] for name in p} == pytest.approx(p, rel=1e-12)
    assert law.predict({"gpu_hours": 1e4}, p) == pytest.approx((0.2 + 0.61) / 2)  # C_mid is half-way


def test_clipped_line_reaches_its_ceiling_where_it_says():
    p = {"a": 0.08, "b": 0.055, "ceiling": 0.33}
    law = bs.get_law("test_time_log_linear:clipped")
    got = answer("test_time_log_linear:clipped", p, target=np.array([0.2, 0.33, 0.34, 0.05]))
    assert law.predict({"samples": got["samples"][:2]}, p) == pytest.approx([0.2, 0.33])
    assert got["samples"][1] == pytest.approx(got["samples_at_ceiling"][1])
    assert got["samples"][2] == np.inf
    assert got["samples"][3] == 1  # a single sample is better than that
    steps = np.diff(law.predict({"samples": np.array([1, 10, 100, 1e3, 1e4, 1e5, 1e6])}, p))
    assert steps == pytest.approx([0.055, 0.055, 0.055, 0.055, 0.03, 0.0], abs=1e-12)


def test_runs_of_o1_mini_are_taken_once(shared_data):
    """8 single answers and 3 votes; the votes' table repeats the former. 0.675 of 30 problems (shared credit of ties) counts as 20."""
    whole = bs.read_runs(shared_data / refits_of_test_time.RUNS, map={"test_tokens": "avg_tokens_used_per_problem"})
    runs = refits_of_test_time.REFITS[0].runs(shared_data)
    assert (len(whole), len(runs)) == (19, 11)
    assert len(np.unique(runs["test_tokens"])) == 11
    assert set(whole["test_tokens"]) == set(runs["test_tokens"])
    counts = runs["accuracy"] * runs["trials"]
    odd = np.abs(counts - np.round(counts)) > 1e-6
    assert counts[odd] == pytest.approx([20.25])
    assert runs["test_tokens"].max() < 2**17  # beyond which the authors see no gain: not among these


def test_runs_of_o1_mini_do_not_know_their_ceiling(shared_data):
    """Best binomial likelihoods under ceilings from 0.65 to 1 differ by less than half a nat; residuals are rather half of binomial."""
    runs = refits_of_test_time.REFITS[0].runs(shared_data)
    k, n, x = np.round(runs["accuracy"] * runs["trials"]), runs["trials"], np.log(runs["test_tokens"] / 1e3)

    def best(ceiling):
        def at(slope):
            def loss(b0):
                p = ceiling / (1 + np.exp(-(b0 + slope * x)))
                return -np.sum(k * np.log(p) + (n - k) * np.log1p(-p))

            found = minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-8})
            return found.fun, found.x

        slope = minimize_scalar(lambda s: at(s)[0], bounds=(0.05, 3), method="bounded", options={"xatol": 1e-8}).x
        value, b0 = at(slope)
        p = ceiling / (1 + np.exp(-(b0 + slope * x)))
        return value, slope, float(np.sum((k - n * p) ** 2 / (n * p * (1 - p))))

    found = {ceiling: best(ceiling) for ceiling in (0.65, 0.7, 0.8, 0.9, 1.0)}
    values = [value for value, _, _ in found.values()]
    assert max(values) - min(values) < 0.5
    assert found[1.0][1] == pytest.approx(0.374, abs=1e-3)
    assert found[1.0][2] == pytest.approx(4.5, abs=0.1)
