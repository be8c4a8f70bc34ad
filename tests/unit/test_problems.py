"""Counts of successes problem by problem: the unbiased estimator, and coverage of the problems that were fitted."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

import bayes_scaling as bs
from bayes_scaling.criticism import criticise
from bayes_scaling.errors import InputError
from bayes_scaling.sensitivity import other_noises

ALPHA, BETA = 0.4, 6.0


def simulated(problems, trials, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.beta(ALPHA, BETA, problems)
    return p, rng.binomial(trials, p)


def runs_of(successes, trials, **more):
    trials = np.broadcast_to(trials, np.shape(successes))
    return bs.runs_from_columns({"successes": np.asarray(successes, float), "trials": trials.astype(float), **more})


@pytest.fixture(scope="module")
def fit():
    """60 problems of 20 samples and 60 of 50."""
    trials = np.repeat([20, 50], 60)
    return bs.fit("pass_at_k", runs_of(simulated(120, trials)[1], trials), draws=500)


def test_nothing_speaks_against_counts_of_the_law_itself(fit):
    """Half of them zero; and no other noise is tried, since under it the law's parameters would mean something else."""
    found = criticise(fit)
    assert np.mean(fit.runs["successes"] == 0) > 0.2
    assert found.levels.inside
    assert found.patterns == ()
    assert other_noises(fit) == []


def test_unbiased_value_of_the_sheet():
    assert bs.unbiased_pass_at_k(20, 3, 5) == pytest.approx(0.600877, abs=5e-7)
    assert pytest.approx(0.556295, abs=5e-7) == 1 - (1 - 3 / 20) ** 5  # the plug-in, biased low


def test_unbiased_is_exact():
    for n in (1, 7, 400):
        for c in {0, 1, n // 2, n - 1, n}:
            for k in {1, (n + 1) // 2, n}:
                exact = 1 - Fraction(math.comb(n - c, k), math.comb(n, k))
                assert float(bs.unbiased_pass_at_k(n, c, k)) == pytest.approx(float(exact), rel=1e-9, abs=1e-12), (n, c, k)


def test_unbiased_is_unbiased():
    """The mean over all counts of 12 trials with chance p is 1 - (1 - p)^k."""
    n, p = 12, 0.07
    counts = np.arange(n + 1)
    for k in (1, 5, 12):
        mean = np.sum(stats.binom(n, p).pmf(counts) * bs.unbiased_pass_at_k(n, counts, k))
        assert mean == pytest.approx(1 - (1 - p) ** k, rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((20, 3, 21), "pass@21 cannot be measured with 20 samples"),
        ((20, 21, 5), "successes are more than trials"),
        ((20, 1.5, 5), "successes must be whole"),
        ((20, 3, 0), "samples must be whole numbers of at least 1"),
        ((0, 0, 1), "trials must be"),
        ((20, -1, 5), "successes must be"),
        ((20, np.nan, 5), "successes must be"),
    ],
)
def test_unbiased_refuses(arguments, said):
    with pytest.raises(InputError, match=said):
        bs.unbiased_pass_at_k(*arguments)


def test_fit_is_trusted_and_covers_the_truth(fit):
    assert fit.diagnosis.ok, str(fit)
    draws = fit.parameters()
    for name, truth in (("alpha", ALPHA), ("beta", BETA), ("mean", ALPHA / (ALPHA + BETA))):
        low, high = np.quantile(draws[name], [0.005, 0.995])
        assert low < truth < high


def test_same_problems_against_simulation(fit):
    """Each unsolved problem's chance drawn from its own posterior, and the samples to come thrown one by one (4 standard errors)."""
    wanted = np.array([50, 200, 5000])
    found = bs.coverage_of_problems(fit, wanted)
    rng = np.random.default_rng(1)
    draws = {name: values.reshape(-1, 1) for name, values in fit.parameters().items()}
    trials, counts = fit.runs["trials"], np.round(fit.runs["successes"])
    for i, k in enumerate(wanted):
        p = rng.beta(draws["alpha"] + counts, draws["beta"] + trials - counts)
        solved = (counts > 0) | (rng.random(p.shape) < -np.expm1((k - trials) * np.log1p(-p)))
        theirs, ours = solved.mean(axis=1), found["same"].values[..., i].ravel()
        error = theirs.std() / np.sqrt(len(theirs))
        assert ours.mean() == pytest.approx(theirs.mean(), abs=4 * np.sqrt(2) * error + 1e-12)
        assert ours.std() == pytest.approx(theirs.std(), rel=0.1, abs=1e-12)
        fresh = rng.random(p.shape) < -np.expm1(k * np.log1p(-rng.beta(draws["alpha"] + 0 * p, draws["beta"] + 0 * p)))
        theirs, ours = fresh.mean(axis=1), found["new"].values[..., i].ravel()
        assert ours.mean() == pytest.approx(theirs.mean(), abs=4 * np.sqrt(2) * theirs.std() / np.sqrt(len(theirs)))
        assert ours.std() == pytest.approx(theirs.std(), rel=0.1)


def test_what_was_seen_stays(fit):
    """At the samples made coverage is the measured one, in every draw; it only rises, in whole problems, in any order of the question."""
    trials, counts = fit.runs["trials"], fit.runs["successes"]
    late = trials == 50
    found = bs.coverage_of_problems(fit, [1000, 50, 51, 10], rows=late)
    assert found.attrs["problems"] == 60
    same = found["same"].values
    assert np.all(same[..., 1] == np.mean(counts[late] > 0))
    assert np.all(same[..., 3] <= same[..., 1])
    assert np.all(same[..., 1] <= same[..., 2])
    assert np.all(same[..., 2] <= same[..., 0])
    assert np.allclose(same * 60, np.round(same * 60))
    assert np.all(np.diff(found["expected"].values[..., [3, 1, 2, 0]], axis=-1) > 0)


def test_fewer_samples_than_made_are_picked_from_them(fit):
    found = bs.coverage_of_problems(fit, [3, 15])
    measured = [bs.unbiased_pass_at_k(fit.runs["trials"], fit.runs["successes"], k) for k in (3, 15)]
    for i in range(2):
        ours = found["same"].values[..., i]
        spread = np.sqrt(np.sum(measured[i] * (1 - measured[i]))) / len(fit.runs)
        assert ours.mean() == pytest.approx(measured[i].mean(), abs=4 * spread / np.sqrt(ours.size))
        assert ours.std() == pytest.approx(spread, rel=0.1)


def test_predictions_need_no_trials(fit, run, tmp_path):
    """The curve knows nothing of them; a new measurement is of as many as the runs have, and says so."""
    at = {"samples": [10.0, 100.0]}
    found, told = bs.predict(fit, at), bs.predict(fit, {**at, "trials": 20.0})
    assert found.attrs["assumed"] == "trials = 20 (accuracy)"
    assert told.attrs["assumed"] == ""
    assert found.drop_attrs().identical(told.drop_attrs())
    fit.save(tmp_path / "fit.nc")
    points = tmp_path / "points.csv"
    points.write_text("samples\n10\n100\n")
    code, out, err = run("predict", tmp_path / "fit.nc", "--at", points)
    assert code == 0, err
    assert "a new measurement: trials = 20 (accuracy), the median of the runs, as the points do not say" in out
    points.write_text("samples,trials\n10,7\n")
    code, out, _ = run("predict", tmp_path / "fit.nc", "--at", points, "--json")
    assert code == 0
    assert json.loads(out)["assumed"] == ""
    assert json.loads(out)["rows"][0]["trials"] == 7
    points.write_text("samples,trials\n10,-7\n")
    assert "trials = -7" in run("predict", tmp_path / "fit.nc", "--at", points)[2]


def test_expected_is_what_predict_says(fit):
    wanted = [1.0, 30.0, 1e6]
    curve = bs.predict(fit, {"samples": wanted, "trials": [50.0] * 3})["expected"].values
    assert bs.coverage_of_problems(fit, wanted)["expected"].values == pytest.approx(curve, rel=1e-8)


def test_new_attempts_at_a_new_problem(fit):
    """What `predict` draws at k samples is the share of batches of k that hold a success: its mean is the curve."""
    drawn = bs.predict(fit, {"samples": [1.0, 40.0], "trials": [25.0, 25.0]})
    new = drawn["new"].values
    assert np.allclose(new * 25, np.round(new * 25))
    error = new.std(axis=(0, 1)) / np.sqrt(new[..., 0].size)
    assert np.all(np.abs(new.mean(axis=(0, 1)) - drawn["expected"].values.mean(axis=(0, 1))) < 4.5 * error)


def test_coverage_of_problems_refuses(fit, small_fit):
    for samples in (0, 1.5, [[1, 2]], np.inf):
        with pytest.raises(InputError, match="samples must be whole"):
            bs.coverage_of_problems(fit, samples)
    with pytest.raises(InputError, match="does not describe problems"):
        bs.coverage_of_problems(small_fit, 10)


def test_fits_are_of_single_attempts():
    with pytest.raises(InputError, match="samples = 10"):
        bs.fit("pass_at_k", runs_of([3.0, 4.0], 10, samples=[1.0, 10.0]))
