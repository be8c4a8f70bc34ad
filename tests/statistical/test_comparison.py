"""compare() against leave-one-out in closed form: known standard errors, one linear parameter, a flat prior."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import floor_fit, simulated_runs
from scipy import stats

import bayes_scaling as bs
from bayes_scaling.limits import Limits
from bayes_scaling.risk import Risk

LAW = bs.get_law("chinchilla")
SE = np.linspace(0.01, 0.05, 24)


@pytest.fixture(scope="module")
def runs():
    return with_errors(SE)


def with_errors(errors):
    return bs.runs_from_columns({**simulated_runs(n=24).columns, "loss_se": errors})


fitted = floor_fit


def exact(runs, fixed):
    """Log predictive density of each run given the others: normal about their weighted mean."""
    residual, errors = runs["loss"] - LAW.predict(runs.columns, LAW.complete({**fixed, "E": 0.0})), runs["loss_se"]
    found = []
    for i in range(len(runs)):
        weight = np.delete(errors**-2.0, i)
        mean, variance = np.average(np.delete(residual, i), weights=weight), 1 / weight.sum()
        found.append(stats.norm(mean, np.sqrt(variance + errors[i] ** 2)).logpdf(residual[i]))
    return np.array(found)


def test_against_the_closed_form(runs):
    (right, of_right), (wrong, of_wrong) = fitted(runs, 0.3478), fitted(runs, 0.5)
    comparison = bs.compare({"wrong": wrong, "right": right})
    first, second = exact(runs, of_right), exact(runs, of_wrong)
    assert [row.name for row in comparison.rows] == ["right", "wrong"]
    assert comparison["right"].elpd == pytest.approx(first.sum(), abs=0.15)  # Monte-Carlo error of importance sampling
    gap = second - first
    assert comparison["wrong"].difference == pytest.approx(gap.sum(), rel=0.02)
    assert comparison["wrong"].difference_se == pytest.approx(np.sqrt(len(runs)) * gap.std(ddof=1), rel=0.05)
    assert comparison["right"].difference == 0
    assert comparison["right"].probability > 0.95
    assert comparison["right"].probability + comparison["wrong"].probability == pytest.approx(1)
    assert comparison["right"].weight > 0.9
    assert "right very probably forecasts" in str(comparison) or "right almost certainly forecasts" in str(comparison)


def test_a_law_and_itself_cannot_be_told_apart(runs):
    """Two laws that forecast alike: hardly a difference, and words that say so, however sure its sign is."""
    fit, _ = fitted(runs, 0.3478)
    close, _ = fitted(runs, 0.3479)
    comparison = bs.compare({"a": fit, "b": close})
    assert abs(comparison.rows[1].difference) < 0.5
    assert "a and b forecast further runs of this kind about equally well: 24 runs cannot tell" in str(comparison)


def test_what_cannot_be_compared_is_refused(runs, small_fit):
    fit, _ = fitted(runs, 0.3478)
    with pytest.raises(bs.InputError, match="at least two fits; 1 given"):
        bs.compare({"a": fit})
    with pytest.raises(bs.InputError, match="'b' and 'a' were fitted to different runs"):
        bs.compare({"a": fit, "b": small_fit})
    in_bits = replace(runs, columns={**runs.columns, "loss": runs["loss"] / np.log(2)})
    with pytest.raises(bs.InputError, match="line 1 has loss .* and .*; fit both to the same, in the same unit"):
        bs.compare({"a": fit, "b": replace(fit, runs=in_bits)})
    with pytest.raises(bs.InputError, match="'b' forecasts error and 'a' loss: they cannot be compared"):
        bs.compare({"a": fit, "b": replace(fit, law=replace(LAW, output="error"))})


def test_a_run_that_importance_sampling_cannot_leave_out_is_left_out_by_fitting_again():
    """One run measured twenty times better than the others: without it the posterior is four times as wide."""
    errors = np.full(24, 0.02)
    errors[7] = 0.001
    runs = with_errors(errors)
    runs.columns["loss"][7] += 0.005
    fit, fixed = fitted(runs, 0.3478)
    sampled, again = bs.leave_one_out(fit), bs.leave_one_out(fit, refit=5)
    assert sampled.bad == sampled.large_k == again.large_k == (8,)
    assert again.bad == ()
    truth = exact(runs, fixed)
    assert abs(sampled.pointwise[7] - truth[7]) > 1  # what refits are for
    # Of 8000 draws a few hundred independent ones tell its density, to some 5 %.
    assert again.pointwise[7] == pytest.approx(truth[7], abs=0.2)
    assert np.delete(again.pointwise, 7) == pytest.approx(np.delete(truth, 7), abs=0.02)


def test_the_average_of_two_laws(runs):
    """Forecasts are the mixture; the plan minimises the mixture's expected loss, and with all weight on one law it is that law's."""
    (a, _), (b, _) = fitted(runs, 0.3478), fitted(runs, 0.45)
    at = {"params": [1e9, 1e10], "tokens": [1e11, 1e10], "loss_se": [0.01, 0.01]}
    mixed = bs.predict_average({"a": a, "b": b}, {"a": 1, "b": 3}, at)
    whole = np.concatenate([np.ravel(bs.predict(fit, at)["expected"][..., 0]) for fit, share in ((a, 1), (b, 3)) for _ in range(share)])
    assert float((mixed["law"] == 1).mean()) == 0.75
    assert np.quantile(mixed["expected"][..., 0], [0.1, 0.2, 0.5, 0.9]) == pytest.approx(
        np.quantile(whole, [0.1, 0.2, 0.5, 0.9]), abs=0.002
    )

    alone = bs.allocate_average({"a": a, "b": b}, {"a": 1, "b": 0}, [1e21, 1e22])
    plan = bs.allocate(a, [1e21, 1e22])
    assert alone["decision_params"].values == pytest.approx(plan["decision_params"].values, rel=1e-4)
    assert alone["expected_regret_loss"].values == pytest.approx(plan["expected_regret_loss"].values, abs=1e-6)

    both = bs.allocate_average({"a": a, "b": b}, {"a": 1, "b": 3}, 1e22)
    sizes = float(both["decision_params"][0]) * np.array([0.95, 1, 1.05])
    loss = [0.25 * bs.regret(a, 1e22, params=sizes)["expected_loss"] + 0.75 * bs.regret(b, 1e22, params=sizes)["expected_loss"]]
    assert np.argmin(loss) == 1
    assert float(both["expected_loss"][0]) == pytest.approx(float(loss[0][1]), abs=1e-4)

    def expected(size, compute=1e22):
        return sum(
            share * float(bs.regret(fit, compute, params=np.array([size]))["expected_loss"][0]) for fit, share in ((a, 0.25), (b, 0.75))
        )

    less = float(bs.allocate_average({"a": a, "b": b}, {"a": 1, "b": 3}, 0.99e22)["decision_params"][0])
    for edge in ("band_low", "band_high"):
        assert expected(float(both[edge][0])) == pytest.approx(expected(less, 0.99e22), rel=1e-9)
    same = bs.allocate({"a": a, "b": b}, 1e22, weights={"a": 1, "b": 3})
    assert same.identical(both)
    built = Limits(sizes=tuple(np.geomspace(1e9, 1e11, 9)))
    chosen = float(bs.allocate({"a": a, "b": b}, 1e22, weights={"a": 1, "b": 3}, limits=built)["decision_params"][0])
    assert chosen == min(built.sizes, key=expected)
    held = bs.allocate({"a": a, "b": b}, 1e22, weights={"a": 1, "b": 3}, limits=Limits(max_tokens=1e11))
    assert float(held["decision_tokens"][0]) <= 1e11 * (1 + 1e-9)
    stacked = bs.allocate({"a": a, "b": b}, 1e22)
    assert stacked.attrs["weights"] == pytest.approx([bs.compare({"a": a, "b": b}).weights[name] for name in stacked.attrs["laws"]])

    # Another risk than the mean, against draws that are taken three times for the law that weighs three times as much.
    def worst(size):
        tokens = 1e22 / 6 / size
        losses = [np.ravel(fit.law.predict({"params": size, "tokens": tokens}, fit.parameters())) for fit in (a, b, b, b)]
        return Risk("cvar", 0.9).of(np.concatenate(losses))

    careful = bs.allocate({"a": a, "b": b}, 1e22, weights={"a": 1, "b": 3}, risk="cvar:0.9")
    size = float(careful["decision_params"][0])
    assert worst(size) <= min(worst(other) for other in size * np.geomspace(0.5, 2, 41)) + 1e-9
    assert careful.attrs["risk"] == "cvar:0.9"
    assert abs(np.log(size / float(both["decision_params"][0]))) > 1e-3
    small = bs.allocate({"a": a, "b": b}, 1e22, weights={"a": 1, "b": 3}, params=5e9)
    assert float(small["decision_params"][0]) == 5e9
    assert small.attrs["held"] == "params"
    assert float(small["expected_regret_loss"][0]) > float(both["expected_regret_loss"][0])
    of_tokens = bs.allocate({"a": a, "b": b}, 1e22, weights={"a": 1, "b": 3}, tokens=1e22 / 6 / 5e9)
    assert float(of_tokens["expected_loss"][0]) == pytest.approx(float(small["expected_loss"][0]), rel=1e-12)
    # The reverse: the least compute for the loss that is expected of the decision is the budget, and each draw needs what its law says.
    weights = {"a": 1, "b": 3}
    needed = bs.allocate_target({"a": a, "b": b}, [float(both["expected_loss"][0]), 1.0], weights=weights)
    plain = bs.allocate({"a": a, "b": b}, 1e22, weights=weights)
    of_mixture = expected(float(both["decision_params"][0]))
    exact = bs.allocate_target({"a": a, "b": b}, of_mixture, weights=weights)
    assert float(exact["decision_compute"][0]) == pytest.approx(1e22, rel=1e-4)
    assert float(exact["decision_params"][0]) == pytest.approx(float(plain["decision_params"][0]), rel=0.01)
    assert np.isinf(float(needed["decision_compute"][1]))
    assert float(needed["probability_reachable"][1]) == 0
    alone_needs = [np.ravel(bs.allocate_target(fit, of_mixture)["compute"]) for fit in (a, b)]
    of_law = np.ravel(exact["law"])
    for law in (0, 1):
        assert set(np.ravel(exact["compute"][..., 0])[of_law == law]) <= set(alone_needs[law])
    # One plan against another: the mixture's probability is the weighted one.
    plans = ({"params": 1e10, "tokens": 1e11}, {"params": 2e10, "tokens": 6e10})
    found = bs.probability_better({"a": a, "b": b}, *plans, weights=weights)
    single = [bs.probability_better(fit, *plans)["probability"] for fit in (a, b)]
    with pytest.raises(bs.InputError, match="weights go with several fits"):
        bs.probability_better(a, *plans, weights=weights)
    assert found["probability"] == pytest.approx(0.25 * single[0] + 0.75 * single[1])
    with pytest.raises(bs.InputError, match="law 'chinchilla' takes no 'bits'"):
        bs.allocate_average({"a": a, "b": b}, {"a": 1, "b": 3}, 1e22, given={"bits": 8})
    with pytest.raises(bs.InputError, match="a weight is given for 'c', of which there is no fit"):
        bs.predict_average({"a": a}, {"c": 1.0}, at)


def test_the_least_input_under_an_average_of_laws_of_one_input(runs):
    tokens = np.geomspace(1e8, 1e11, 12)
    loss = (1.7 + 2.0 * (tokens / 1e9) ** -0.3) * np.exp(0.003 * np.random.default_rng(2).normal(size=12))
    curve = bs.runs_from_columns({"tokens": tokens, "loss": loss})
    fits = {name: bs.fit(name, curve, input="tokens", draws=250) for name in ("power_law", "power_law_floor")}
    target = float(loss[-1])
    found = bs.allocate_target(fits, target, weights={"power_law": 1, "power_law_floor": 3})
    needed, of_law = np.ravel(found["tokens"]), np.ravel(found["law"])
    for number, fit in enumerate(fits.values()):
        alone = np.ravel(bs.allocate_target(fit, target)["tokens"])
        assert set(needed[of_law == number]) <= set(alone)
    assert np.mean(of_law) == 0.75
    assert float(found["probability_reachable"][0]) == np.isfinite(needed).mean()
    of_two, _ = fitted(runs, 0.3478)
    with pytest.raises(
        bs.InputError, match="an average has one least compute, or one least input: the laws are functions of power_law: tok"
    ):
        bs.allocate_target({"power_law": fits["power_law"], "chinchilla": of_two}, target, weights={"power_law": 1, "chinchilla": 1})
