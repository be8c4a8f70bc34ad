"""Published numbers, with source and tolerance."""

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling import optimum

LAW = bs.get_law("chinchilla")


def problem():
    return optimum.problem_of(LAW)


# N_opt = k C^a, D_opt = l C^b, L_opt - E = K C^-g at C = 6ND; recomputed from the published parameters with a root-finder.
FRONTIER = {
    "hoffmann": (0.598695, 0.451613, 0.278383, 0.548387, 1071.364916, 0.153548),
    "besiroglu": (0.047747, 0.512612, 3.490591, 0.487388, 2708.497546, 0.178286),
    "muennighoff_c4": (0.092183, 0.5, 1.807993, 0.5, 2414.610983, 0.176330),
}
POINTS = {  # N, D, L at 1e21 and 5.76e23 FLOP
    "hoffmann": ((1.824218e9, 9.136336e10, 2.328883), (3.218986e10, 2.982306e12, 1.930748)),
    "besiroglu": ((2.778459e9, 5.998528e10, 2.305529), (7.224870e10, 1.328744e12, 1.974441)),
    "muennighoff_c4": ((2.915091e9, 5.717375e10, 2.347687), (6.996217e10, 1.372170e12, 2.025162)),
}


@pytest.mark.parametrize("name", list(FRONTIER))
def test_frontier_constants_of_published_sets(name):
    k, a, m, b, K, g = FRONTIER[name]
    values = {key: np.asarray(value) for key, value in LAW.published[name].values.items()}
    at_one, at_ten = (optimum.best_plan(problem(), values, compute).params for compute in (1e20, 1e21))
    exponent = np.log10(at_ten / at_one)
    assert exponent == pytest.approx(a, abs=6e-7)
    assert at_one / 1e20**exponent == pytest.approx(k, rel=2e-5 if name != "hoffmann" else 2e-6)
    assert 1e20 / 6 / at_one / 1e20 ** (1 - exponent) == pytest.approx(m, rel=2e-5)
    assert 1 - exponent == pytest.approx(b, abs=6e-7)
    reducible = [optimum.best_outcome(problem(), values, compute) - values["E"] for compute in (1e20, 1e21)]
    slope = np.log10(reducible[0] / reducible[1])
    assert slope == pytest.approx(g, abs=6e-7)
    assert reducible[0] * 1e20**slope == pytest.approx(K, rel=2e-5)


@pytest.mark.parametrize("name", list(POINTS))
@pytest.mark.parametrize("i", [0, 1])
def test_optimum_of_published_sets(name, i):
    compute = (1e21, 5.76e23)[i]
    params, tokens, loss = POINTS[name][i]
    values = {key: np.asarray(value) for key, value in LAW.published[name].values.items()}
    best = optimum.best_plan(problem(), values, compute).params
    assert best == pytest.approx(params, rel=1e-5)
    assert compute / 6 / best == pytest.approx(tokens, rel=1e-5)
    assert optimum.best_outcome(problem(), values, compute) == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("name", list(LAW.published))
@pytest.mark.parametrize("compute", [1e18, 1e21, 5.76e23])
def test_closed_form_agrees_with_numeric_to_six_digits(name, compute):
    values = {key: np.asarray(value) for key, value in LAW.published[name].values.items()}
    closed = optimum.best_plan(problem(), values, compute).params
    assert optimum.best_plan(problem(), values, compute, numerically=True).params == pytest.approx(closed, rel=1e-6)


def test_mode_under_flat_priors_and_laplace_noise_is_the_published_replication(chinchilla_runs):
    """Besiroglu et al. 2024: A 482.01, B 2085.43, E 1.8172, alpha 0.3478, beta 0.3658 (their notebook's digits below)."""
    found = bs.maximum_likelihood("chinchilla", chinchilla_runs, noise="laplace")
    published = {"A": 482.00572, "B": 2085.43420, "E": 1.81686, "alpha": 0.34781, "beta": 0.36585}
    for name, value in published.items():
        assert found.parameters[name] == pytest.approx(value, rel=1e-4), name


def test_all_245_rows_move_the_laplace_mode_as_published(shared_data):
    """Besiroglu et al. 2024, all points: A 463.3, B 12530, E 1.89, alpha 0.345, beta 0.452."""
    found = bs.maximum_likelihood("chinchilla", bs.read_runs(shared_data / "chinchilla_epoch.csv"), noise="laplace")
    # E is printed with two decimals; A and B move along their ridges with the third decimal of the exponents.
    published = {"A": (463.3, 10), "B": (12530, 700), "E": (1.89, 0.005), "alpha": (0.345, 0.002), "beta": (0.452, 0.004)}
    for name, (value, tolerance) in published.items():
        assert found.parameters[name] == pytest.approx(value, abs=tolerance), name


@pytest.mark.parametrize(
    ("noise", "intervals"),
    # 90 % intervals of an independent NUTS run with slightly different priors; medians must agree within a quarter of the width.
    [
        (
            "student-t",
            {"E": (1.781, 1.807, 1.832), "alpha": (0.330, 0.345, 0.360), "beta": (0.344, 0.361, 0.377), "best": (60e9, 72e9, 84e9)},
        ),
        ("normal", {"best": (82e9, 97e9, 113e9)}),
    ],
)
def test_posterior_of_the_chinchilla_runs(chinchilla_runs, noise, intervals):
    fit = bs.fit("chinchilla", chinchilla_runs, noise=noise)
    assert fit.diagnosis.ok
    assert fit.diagnosis.max_rhat < 1.01
    assert fit.diagnosis.min_ess > 400
    assert fit.diagnosis.divergences == 0
    draws = {**fit.parameters(), "best": np.asarray(bs.allocate(fit, 5.76e23)["params"])}
    for name, (low, median, high) in intervals.items():
        quarter = (high - low) / 4
        q05, q50, q95 = np.quantile(draws[name], [0.05, 0.5, 0.95])
        assert q50 == pytest.approx(median, abs=quarter), name
        assert q05 == pytest.approx(low, abs=quarter), name
        assert q95 == pytest.approx(high, abs=quarter), name


def test_outlying_runs_are_named_and_hardly_move_the_robust_optimum(shared_data, chinchilla_fit):
    fit = bs.fit("chinchilla", bs.read_runs(shared_data / "chinchilla_epoch.csv"))
    assert fit.diagnosis.ok
    # Rows 0 to 4 are lines 2 to 6 of the file: the five runs that Besiroglu et al. leave out.
    assert {run.line for run in fit.diagnosis.surprising[:5]} == {2, 3, 4, 5, 6}
    before, after = (float(bs.allocate(one, 5.76e23)["params"].median()) for one in (chinchilla_fit, fit))
    assert after == pytest.approx(before, rel=0.08)


def test_published_file_of_the_chinchilla_runs_is_found_in_a_mirror(shared_data, monkeypatch, chinchilla_runs):
    monkeypatch.setenv("BAYES_SCALING_DATA", str(shared_data))
    runs = bs.read_runs("chinchilla")
    assert len(runs) == 245
    kept = runs.subset(np.argsort(runs["loss"])[:240])
    assert np.sort(kept["tokens"]) == pytest.approx(np.sort(chinchilla_runs["tokens"]), rel=1e-9)


def test_a_mirror_with_another_file_is_refused(tmp_path, monkeypatch):
    (tmp_path / "svg_extracted_data.csv").write_text("Model Size,Training FLOP,loss\n1e9,1e20,2\n")
    monkeypatch.setenv("BAYES_SCALING_DATA", str(tmp_path))
    with pytest.raises(bs.FileError, match="is not the published file of 'chinchilla'"):
        bs.read_runs("chinchilla")
