"""How far laws drift beyond their runs: against quadrature, simulation, and what must hold at the runs."""

import numpy as np
import pytest
from scipy.stats import norm

import bayes_scaling as bs
from bayes_scaling.drift import NO_DRIFT, before_any_forecast, drift_of, drifted, log_density, scale
from bayes_scaling.scores import log_mean, log_predictive

SLOPE = 0.1  # of ln loss and ln compute
WIDE = dict([bs.parse_prior("c=LogNormal(2.3, 0.5)")])  # of a power that is a hundred times as steep


def curve(rng, runs=40, bend=0.0, scatter=0.005):
    """Runs of a power law in compute over four decades, whose slope changes by ``bend`` beyond the second."""
    compute = np.sort(10 ** rng.uniform(18, 22, runs))
    beyond = np.maximum(np.log(compute / 1e20), 0.0)
    loss = 3.0 * (compute / 1e18) ** -SLOPE * np.exp(bend * beyond + scatter * rng.normal(size=runs))
    return {"compute": compute, "loss": loss}


@pytest.fixture(scope="module")
def straight():
    """A power law in compute, fitted up to 1e20 FLOP."""
    table = curve(np.random.default_rng(0))
    small = table["compute"] < 1e20
    return bs.fit("power_law", {name: values[small] for name, values in table.items()}, input="compute", noise="normal-log", draws=500)


def test_scale_is_what_the_law_changes_by_beyond_the_runs(straight):
    top = straight.runs["compute"].max()
    found = scale(straight, {"compute": top * np.array([0.5, 1.0, 10.0, 1e4])})
    assert found == pytest.approx(SLOPE * np.log(10) * np.array([0, 0, 1, 4]), rel=0.05)


def test_a_link_of_a_loss_drifts_no_further_than_a_law_of_compute_over_as_much_of_a_change(straight):
    """The same curve told in compute, and in another power of it that moves a hundredth as many decades."""
    (term,) = straight.law.terms

    def told_otherwise(compute):
        return term.reference * (compute / term.reference) ** 0.01

    runs = {"compute": told_otherwise(straight.runs["compute"]), "loss": straight.runs["loss"]}
    other = bs.fit("power_law", runs, input="compute", noise="normal-log", priors=WIDE, draws=500)
    there = 10 * straight.runs["compute"].max()
    assert scale(other, {"compute": told_otherwise(there)}) == pytest.approx(scale(straight, {"compute": there}), rel=0.05)


def test_a_combination_beyond_all_runs_is_beyond_them_though_each_input_is_not(small_fit):
    runs = small_fit.runs
    corner = {name: np.array([runs[name].max()]) for name in ("params", "tokens")}
    assert scale(small_fit, corner)[0] > 0
    assert not scale(small_fit, {name: runs[name] for name in ("params", "tokens")}).any()


def test_a_law_whose_slope_wanders_does_not_drift_besides():
    """What its form may be off by is in its own posterior: a link that bends, beyond the losses that it was fitted to."""
    loss = np.linspace(0.8, 1.4, 20)
    runs = {
        "task_loss": loss,
        "accuracy": np.round(1000 * (0.25 + 0.7 / (1 + np.exp(6 * (loss - 1))))) / 1000,
        "trials": np.full(20, 1000.0),
    }
    beyond = {"task_loss": np.array([0.5])}
    found = {law: bs.fit(law, runs, fix={"floor": 0.25}, draws=100) for law in ("bounded_metric", "bounded_metric:bent")}
    assert scale(found["bounded_metric"], beyond)[0] > 0
    assert scale(found["bounded_metric:bent"], beyond)[0] == 0


def test_at_the_runs_nothing_drifts(small_fit):
    at = {name: small_fit.runs[name][:5] for name in ("params", "tokens")}
    assert np.array_equal(bs.predict(small_fit, at)["new"], bs.predict(small_fit, at, drift=0)["new"])
    assert log_predictive(small_fit, small_fit.runs) == pytest.approx(log_predictive(small_fit, small_fit.runs, drift=0), abs=1e-6)


@pytest.mark.parametrize("size", [0.3, None])
def test_density_and_interval_beyond_the_runs_are_those_of_quadrature(straight, size):
    """Drift and normal scatter add up in the logarithm: a normal mixture over draws and sizes."""
    known, at = drift_of(size), np.array([1e21])
    parameters = {name: values.ravel() for name, values in straight.parameters().items()}
    centre = np.log(straight.law.predict({"compute": at}, {name: values[:, None] for name, values in parameters.items()}))[:, 0]
    far = scale(straight, {"compute": at})[0]
    total = np.hypot(parameters["sigma"][:, None], known.sizes * far)
    for loss in (float(np.exp(np.median(centre))), float(np.exp(np.median(centre) + 0.1))):
        density = norm.pdf(np.log(loss), centre[:, None], total) @ known.weights / loss
        held = bs.runs_from_columns({"compute": at, "loss": [loss]})
        assert log_mean(log_density(straight, held, known, 0))[0] == pytest.approx(np.log(density.mean()), abs=0.1)
    new = np.log(np.asarray(bs.predict(straight, {"compute": at}, drift=size)["new"])).ravel()
    below = (norm.cdf(np.quantile(new, [0.05, 0.95])[:, None, None], centre[:, None], total) @ known.weights).mean(axis=1)
    assert below == pytest.approx([0.05, 0.95], abs=0.015)
    assert np.quantile(new, 0.95) - np.quantile(new, 0.05) > 2 * np.ptp(np.quantile(centre, [0.05, 0.95]))


def test_a_law_that_holds_drifts_less_the_more_is_known_and_one_that_bends_more():
    rng = np.random.default_rng(1)
    sizes = {}
    for bend in (0.0, 0.08):
        found = bs.forward_validation(["power_law"], curve(rng, bend=bend), input="compute", draws=500)
        sizes[bend] = found.drift["power_law"].mean
        assert "drift beyond the runs" in str(found)
    assert sizes[0.0] < 0.6 * before_any_forecast().mean
    assert sizes[0.08] > before_any_forecast().mean
    held = bs.forward_validation(["power_law"], curve(rng), input="compute", draws=500, drift=0)
    assert held.drift["power_law"].mean == 0


def test_sizes_are_learned_as_bayes_says():
    """Laws that drift by a known size, seen once each a decade out: the posterior of their common size holds it."""
    rng = np.random.default_rng(2)
    known = before_any_forecast()
    for size in (0.05, 0.5):
        off = size * rng.normal(size=40)
        now = known
        for one in off:
            now = now.told(norm.logpdf(one, 0, now.sizes))
        assert now.mean == pytest.approx(size, rel=0.3)
        assert np.sqrt(now.weights @ (np.log(now.sizes) - now.weights @ np.log(now.sizes)) ** 2) < 0.25


def test_what_is_drawn_has_the_sizes_and_goes_both_ways():
    known = before_any_forecast()
    drawn = known.sample(20_000, 0)
    assert np.mean(drawn) == pytest.approx(0.0, abs=0.02)
    assert np.mean(np.abs(drawn)) == pytest.approx(np.sqrt(2 / np.pi) * known.mean, rel=0.05)
    assert not NO_DRIFT.sample(10, 0).any()


@pytest.mark.parametrize(("output", "values"), [("accuracy", [1e-6, 0.3, 1.0]), ("loss", [0.1, 3.0]), ("elo", [-500.0, 900.0])])
def test_what_drifts_stays_possible(output, values):
    assert drifted(output, values, 0.0) == pytest.approx(values, rel=1e-6, abs=1e-8)
    for shift in (-30.0, 30.0):
        moved = drifted(output, values, shift)
        assert np.all(np.isfinite(moved))
        assert output != "accuracy" or np.all((moved >= 0) & (moved <= 1))
        assert output != "loss" or np.all(moved > 0)


def test_a_size_must_be_one(small_fit):
    with pytest.raises(bs.InputError, match=r"drift = -0.1 must be a size of 0"):
        bs.predict(small_fit, {"params": 1e9, "tokens": 1e11}, drift=-0.1)
