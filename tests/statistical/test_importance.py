"""Draws by importance are of the posterior; where they cannot be certified, an ensemble or the no-U-turn sampler draws."""

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from conftest import simulated_runs
from scipy import stats

import bayes_scaling as bs
from bayes_scaling import engine
from bayes_scaling.engine import importance
from bayes_scaling.engine.ensemble import MOST_RHAT
from bayes_scaling.engine.modes import Modes

CHAINS, DRAWS = 4, 2000


def two_modes(z):
    """Weights 0.8 and 0.2, eight standard deviations apart."""
    both = np.log(0.8) + stats.norm.logpdf(z[:, 0], -2, 0.5), np.log(0.2) + stats.norm.logpdf(z[:, 0], 2, 0.5)
    return np.logaddexp(*both) - z[:, 1] ** 2 / 2


def half_normal(z):
    """ln of a half-normal number: a parameter at its bound."""
    return z[:, 0] - np.exp(2 * np.minimum(z[:, 0], 300)) / 2 - z[:, 1] ** 2 / 2


def cauchy(z):
    """No Student-t with five degrees of freedom covers the tails of ten Cauchy numbers."""
    return -np.log1p(z**2).sum(1)


def modes_at(*points):
    """What a search would have found, of unit curvature."""
    found = np.array(points, float)
    return Modes(found, np.zeros(len(found)), np.full(len(found), 8), 16, 16, np.eye(found.shape[1]))


def draw(log_posterior, *points, seed=0):
    return importance.independence_chains(log_posterior, modes_at(*points), CHAINS, DRAWS, np.random.default_rng(seed))


def uniform_levels(values, cdf, effective):
    """Kolmogorov-Smirnov distance of draws from a distribution, in units of what chance makes of so many."""
    level = np.sort(cdf(np.ravel(values)))
    places = (np.arange(len(level)) + 0.5) / len(level)
    return np.abs(level - places).max() * np.sqrt(effective)


@pytest.mark.parametrize(
    ("log_posterior", "starts", "cdf"),
    [
        (two_modes, [(-2, 0), (2, 0)], lambda x: 0.8 * stats.norm.cdf(x, -2, 0.5) + 0.2 * stats.norm.cdf(x, 2, 0.5)),
        (half_normal, [(0, 0)], lambda x: stats.halfnorm.cdf(np.exp(x))),
    ],
)
def test_known_posteriors(log_posterior, starts, cdf):
    """The first coordinate has its exact distribution: a wrong one fails; a right one does so with probability 1e-3."""
    found = draw(log_posterior, *starts)
    assert isinstance(found, importance.Kept)
    assert found.pareto_k < importance.MOST_K
    ess = engine.convergence.statistics(found.z)
    assert uniform_levels(found.z[..., 0], cdf, ess["ess_bulk"][0]) < 1.95
    assert uniform_levels(found.z[..., 1], lambda x: x, 1) > 0  # it moves
    assert np.allclose(found.potential, -log_posterior(found.z.reshape(-1, 2)).reshape(CHAINS, DRAWS))


def test_what_no_proposal_covers_has_no_certificate():
    about = draw(cauchy, np.zeros(10))
    assert isinstance(about, np.ndarray)
    assert about.shape[1] == 10


def test_a_mixture_is_a_density():
    """It integrates to one against its own draws: the mean ratio of another density to it is one."""
    rng = np.random.default_rng(0)
    factor = np.array([[[1.0, 0.0], [0.5, 0.3]], [[0.2, 0.0], [0.0, 2.0]]])
    mixture = importance.Mixture(np.log([0.3, 0.7]), np.array([[0.0, 0.0], [3.0, -1.0]]), factor)
    w = mixture.draw(rng, 200_000)
    other = stats.multivariate_t([2.0, -0.5], [[3.0, 0.5], [0.5, 4.0]], df=5)
    ratio = np.exp(other.logpdf(w) - mixture.log_density(w))
    assert ratio.mean() == pytest.approx(1, abs=5 * ratio.std() / np.sqrt(len(w)))
    assert np.mean(w[:, 0]) == pytest.approx(0.7 * 3, abs=0.05)


@pytest.fixture(scope="module")
def runs():
    return simulated_runs()


@pytest.fixture(scope="module")
def by_importance(runs):
    return bs.fit("chinchilla", runs, method="importance", draws=500)


def test_it_agrees_with_nuts(by_importance, small_fit):
    """Medians and 90 % bounds of a law's posterior, to Monte-Carlo error."""
    assert by_importance.attributes["method"] == "importance"
    assert by_importance.diagnosis.ok
    for name, row in by_importance.summary().items():
        other = small_fit.summary()[name]
        for key, blur in (("median", 1.25), ("q05", 2.1), ("q95", 2.1)):
            error = blur * row["sd"] * np.hypot(row["ess_tail"] ** -0.5, other["ess_tail"] ** -0.5)
            assert row[key] == pytest.approx(other[key], abs=4 * error), (name, key)


def test_it_says_what_certifies_it(by_importance, tmp_path):
    assert "Pareto k" in str(by_importance)
    assert "E-BFMI" not in str(by_importance)
    by_importance.save(tmp_path / "fit.nc")
    again = bs.load_fit(tmp_path / "fit.nc")
    assert again.diagnosis.pareto_k == by_importance.diagnosis.pareto_k
    assert "independence chains" in bs.sheet(again)


def test_many_fits_have_the_draws_of_single_ones(runs, by_importance):
    others = [simulated_runs(seed=1), runs]
    found = dict(bs.fit_many("chinchilla", others, method="importance", draws=500))
    assert np.array_equal(found[1].posterior["alpha"], by_importance.posterior["alpha"])
    assert not np.array_equal(found[0].posterior["alpha"], by_importance.posterior["alpha"])


def drawn(size):
    """Cauchy numbers, of which the data say nothing; one attempt."""

    def model(columns, weight):
        numpyro.sample("x", dist.Cauchy(0.0, 1.0).expand([size]).to_event(1))
        numpyro.factor("data", 0.0 * (columns["y"] * weight).sum())

    columns, weight = {"y": np.ones(64)}, np.ones(64)
    settings = engine.Sampler(draws=200, method="importance", persistent=False)
    with jax.enable_x64(True):
        density = engine.Density(model, columns, weight)
        ((_, found),) = engine.sample_each(density, [engine.Task(columns, weight, settings)], jax.devices("cpu")[0])
    return found


def test_without_a_certificate_an_ensemble_draws_good_or_not():
    """A batch does not wait for trajectories; R-hat over walkers says that these draws are not to be trusted."""
    found = drawn(10)
    assert (found.method, found.pareto_k, found.ebfmi) == ("ensemble", None, None)
    assert found.walker_rhat > MOST_RHAT


def test_of_more_coordinates_than_a_proposal_can_fit_nuts_draws():
    found = drawn(importance.MOST_COORDINATES + 1)
    assert (found.method, found.walker_rhat) == ("nuts", None)
    assert found.ebfmi is not None


def test_an_unknown_method_is_named(runs):
    with pytest.raises(bs.InputError, match="no method 'importanc'; did you mean 'importance'"):
        bs.fit("chinchilla", runs, method="importanc")
