"""Simulation-based calibration of a law of one's own; that ranks of a wrong posterior are found out is tested with the bands."""

import numpy as np
import pandas
import pytest

import bayes_scaling as bs
from bayes_scaling.calibration import _rank, simulate_runs
from bayes_scaling.law import get_law
from bayes_scaling.model import Settings, model_priors
from bayes_scaling.noise import noise_of
from bayes_scaling.rank_plot import ranks, save_ranks
from bayes_scaling.records import calibration_record

LAW_FILE = """
import jax.numpy as jnp
from numpyro.distributions import LogNormal

from bayes_scaling.law import Input, Law, Parameter

LAW = Law(
    name="constant", title="the same everywhere", equation="loss = a", citation="none", use="tests", avoid="all else",
    inputs=(Input("x", "count", "whatever was scaled", 10, 1e7),),
    parameters=(Parameter("a", LogNormal(1.0, 0.5), "the loss"),),
    formula=lambda inputs, p: p["a"] * jnp.ones_like(inputs["x"]),
    noise="normal-log",
)
"""


@pytest.fixture(scope="module")
def law(tmp_path_factory):
    path = tmp_path_factory.mktemp("law") / "constant.py"
    path.write_text(LAW_FILE)
    return get_law(path)


def test_ranks_of_a_law_of_ones_own(law, tmp_path):
    found = bs.calibrate(law, fits=30, runs=6, fix={"sigma": 0.1}, seed=3)
    assert set(found.levels) == {"a", "log likelihood"}
    assert found.probability > 0.001  # false alarm: one in a thousand
    assert found.ranks["converged"].sum() >= 24
    assert "simulated runs converged" in str(found)
    drawn = ranks(found)
    assert [ax.get_title(loc="left") for ax in drawn] == list(found.levels)
    for ax, item in zip(drawn, found.levels.values(), strict=True):
        assert np.array_equal(ax.lines[0].get_ydata(), item.share - item.points)
    save_ranks(found, tmp_path / "ranks.svg")
    assert (tmp_path / "ranks.svg").read_bytes().startswith(b"<?xml")
    with pytest.raises(bs.FileError, match="is no picture"):
        save_ranks(found, tmp_path / "ranks.txt")


def test_simulated_runs_are_of_the_priors_and_the_noise(law):
    noise = noise_of(law)
    priors = model_priors(law, noise, Settings({"sigma": 0.1}))
    truths, data, refused = simulate_runs(law, noise, priors, 3000, 4, 0)
    a = np.log([truth["a"] for truth in truths])
    left = np.array([np.log(runs["loss"]) for runs in data]) - a[:, None]
    assert (a.mean(), a.std()) == (pytest.approx(1.0, abs=0.03), pytest.approx(0.5, abs=0.03))
    assert (left.mean(), left.std()) == (pytest.approx(0, abs=0.004), pytest.approx(0.1, abs=0.004))
    assert np.corrcoef(left[:, 0], left[:, 1])[0, 1] == pytest.approx(0, abs=0.06)
    assert refused == 0


@pytest.fixture(scope="module")
def curves():
    """Three training curves of 4, 1 and 3 points, rows in no order."""
    table = pandas.DataFrame({
        "run": ["b", "a", "a", "c", "a", "c", "a", "c"],
        "params": [3e8, 1e8, 1e8, 1e9, 1e8, 1e9, 1e8, 1e9],
        "tokens": [1e9, 2e9, 8e9, 1e9, 1e9, 4e9, 4e9, 9e9],
        "loss": np.linspace(3, 4, 8),
    })  # fmt: skip
    return bs.read_runs(table, curve={"run": "all"})


def test_simulated_points_of_training_curves_err_together(curves):
    law, fixed = get_law("kaplan_nd"), {"sigma": 0.01, "between": 0.02, "memory": 0.5}
    noise = noise_of(law, columns=curves.columns)
    truths, data, _ = simulate_runs(law, noise, model_priors(law, noise, Settings(fixed)), 4000, curves, 0)
    expected = np.array([law.predict({name: curves[name] for name in law.input_names}, law.complete(one)) for one in truths])
    left = np.log([runs["loss"] for runs in data]) - np.log(expected)
    run, place = curves.columns["curve"], np.log(curves.columns["progress"])
    same = run[:, None] == run
    wanted = same * (0.02**2 + 0.01**2 * np.exp(-np.abs(place[:, None] - place) / 0.5))
    assert np.cov(left.T) == pytest.approx(wanted, abs=4 * 0.0005 / np.sqrt(4000) * 1.5)
    assert len(set(data[0].units)) == 3


def test_ranks_of_curves(curves):
    fixed = {"memory": 0.5, "sigma": 0.01, "between": 0.02}
    found = bs.calibrate("power_law", fits=20, runs=curves, input="tokens", fix=fixed, draws=100)
    assert {"a", "c", "log likelihood"} <= set(found.ranks)
    assert found.noise == "correlated"


def test_ties_are_ranked_by_lot():
    rng = np.random.default_rng(0)
    found = [_rank(np.inf, np.r_[np.zeros(49), np.full(50, np.inf)], rng) for _ in range(400)]
    assert min(found) == 49
    assert max(found) == 99
    assert {_rank(np.nan, np.array([np.nan, 1.0]), rng) for _ in range(50)} == {1, 2}  # no answer, as often as not
    assert _rank(1.5, np.array([1.0, 2.0, 3.0]), rng) == 1


def test_too_few_that_converge_is_a_verdict(law):
    found = bs.calibrate(law, fits=20, runs=6, fix={"sigma": 0.1}, draws=50)
    assert (found.converged, found.ok, found.levels) == (0, False, {})
    assert "NOT ENOUGH OF THEM CONVERGED" in str(found)
    assert calibration_record(found)["probability"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"law": "power_law", "fits": 5}, "fits = 5 are too few"),
        ({"law": "chinchilla", "noise": "correlated"}, "correlated noise is of points of training curves: give some"),
        ({"law": "chinchilla", "noise": "known-se"}, "known-se noise needs loss_se: give runs that have it"),
        ({"law": "chinchilla", "fix": {"gamma": 1}}, "gamma"),
    ],
)
def test_what_cannot_be_done_is_refused(arguments, message):
    with pytest.raises(bs.InputError, match=message):
        bs.calibrate(**arguments)
