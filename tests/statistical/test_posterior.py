"""The posterior against independent calculations: quadrature, numpyro's own MCMC.run, and coverage over simulated data sets."""

import jax
import numpy as np
import pytest
from conftest import simulated_runs
from scipy import integrate, stats

import bayes_scaling as bs
from bayes_scaling.model import build_model


def mcse(draws):
    """Monte-Carlo standard error of a mean, by the chains' means and the bulk ESS."""
    from bayes_scaling.engine.convergence import statistics

    return draws.std() / np.sqrt(statistics(draws[..., None])["ess_bulk"][0])


def test_against_quadrature():
    """One free parameter: mean and standard deviation by quadrature agree to Monte-Carlo error (5 standard errors)."""
    law, runs = bs.get_law("chinchilla"), simulated_runs(n=6)
    truth = law.sampled(law.published["besiroglu"].values)
    fixed = {**{name: float(truth[name]) for name in truth if name != "E"}, "sigma": 0.02}
    fit = bs.fit(law, runs, noise="normal", fix=fixed, draws=2000)
    rest = law.predict(runs.columns, {**law.complete({**truth, "E": 0.0})})
    grid = np.linspace(1.7, 1.95, 4001)
    log_posterior = stats.lognorm(s=0.7, scale=np.exp(0.4)).logpdf(grid)
    log_posterior += stats.norm(grid[:, None] + rest, 0.02).logpdf(runs["loss"]).sum(axis=1)
    density = np.exp(log_posterior - log_posterior.max())
    density /= integrate.trapezoid(density, grid)
    mean = integrate.trapezoid(grid * density, grid)
    sd = np.sqrt(integrate.trapezoid((grid - mean) ** 2 * density, grid))
    draws = fit.parameters()["E"]
    error = mcse(draws)
    assert draws.mean() == pytest.approx(mean, abs=5 * error)
    assert draws.std() == pytest.approx(sd, rel=0.08)


def test_known_standard_errors_against_the_conjugate_posterior():
    """Known errors, a linear parameter, a prior made flat: the posterior of E is the weighted mean."""
    law, runs = bs.get_law("chinchilla"), simulated_runs(n=12)
    se = np.linspace(0.01, 0.05, 12)
    runs = bs.runs_from_columns({**runs.columns, "loss_se": se})
    truth = law.sampled(law.published["besiroglu"].values)
    fixed = {**{name: float(truth[name]) for name in truth if name != "E"}, "sigma": 0.0}
    fit = bs.fit(law, runs, noise="known-se", fix=fixed, priors=dict([bs.parse_prior("E=Uniform(0, 10)")]), draws=2000)
    residual = runs["loss"] - law.predict(runs.columns, law.complete({**truth, "E": 0.0}))
    mean, sd = np.average(residual, weights=se**-2), np.sum(se**-2.0) ** -0.5
    draws = fit.parameters()["E"]
    assert draws.mean() == pytest.approx(mean, abs=5 * mcse(draws))
    assert draws.std() == pytest.approx(sd, rel=0.08)


def test_against_numpyros_own_driver(small_fit):
    """The same model under MCMC.run, without our starts, whitening, padding or programs (5 standard errors of the difference)."""
    from numpyro.infer import MCMC, NUTS

    law, noise, runs = small_fit.law, small_fit.noise, small_fit.runs
    with jax.enable_x64(True):
        kernel = NUTS(build_model(law, noise), dense_mass=True, target_accept_prob=0.9)
        mcmc = MCMC(kernel, num_warmup=1000, num_samples=1000, num_chains=4, chain_method="vectorized", progress_bar=False)
        mcmc.run(jax.random.PRNGKey(5), {name: runs[name] for name in ("params", "tokens", "loss")})
        theirs = {name: np.asarray(values) for name, values in mcmc.get_samples(group_by_chain=True).items()}
    ours = small_fit.parameters()
    for name in ("E", "A_ref", "B_ref", "alpha", "beta", "sigma"):
        error = np.hypot(mcse(ours[name]), mcse(theirs[name]))
        assert ours[name].mean() == pytest.approx(theirs[name].mean(), abs=5 * error), name
        assert ours[name].std() == pytest.approx(theirs[name].std(), rel=0.15), name


def test_32_bits_give_the_same_posterior(small_fit):
    again = bs.fit("chinchilla", small_fit.runs, precision=32, draws=500, seed=3)
    ours, theirs = small_fit.parameters(), again.parameters()
    for name in ("E", "A_ref", "B_ref", "alpha", "beta"):
        error = np.hypot(mcse(ours[name]), mcse(theirs[name]))
        assert ours[name].mean() == pytest.approx(theirs[name].mean(), abs=5 * error), name


def test_new_measurements_at_the_runs(small_fit):
    """Half of the runs lie within the middle half of what is predicted where they are; the draws stand beside."""
    tree = bs.posterior_predictive(small_fit, seed=1)
    new = tree["posterior_predictive"]["loss"]
    assert new.dims == ("chain", "draw", "run")
    assert new.shape == (4, 500, 60)
    below = (new < small_fit.runs["loss"]).mean(dim=("chain", "draw")).to_numpy()
    assert 15 <= np.sum((below > 0.25) & (below < 0.75)) <= 45  # of 60; outside by chance once in ten thousand
    assert np.array_equal(tree["posterior"]["E"], small_fit.posterior["E"])
    assert "posterior_predictive" not in small_fit.tree.children
    assert np.array_equal(new, bs.posterior_predictive(small_fit, seed=1)["posterior_predictive"]["loss"])


def test_padding_and_seed_decide_what_they_should(small_fit):
    again = bs.fit("chinchilla", small_fit.runs, draws=500)
    assert all(np.array_equal(values, again.parameters()[name]) for name, values in small_fit.parameters().items())
    other = bs.fit("chinchilla", small_fit.runs, draws=500, seed=1)
    assert not np.array_equal(small_fit.parameters()["E"], other.parameters()["E"])


def test_other_data_of_similar_size_need_no_other_program(small_fit, monkeypatch):
    """Nothing of the engine is traced, exported or compiled for a second data set whose length pads to the same bucket."""
    from bayes_scaling.engine import Density, programs

    made = []
    monkeypatch.setattr(programs._compilers, "submit", lambda *arguments: made.append(arguments))
    monkeypatch.setattr(Density, "potential", lambda *arguments: made.append(arguments))
    again = bs.fit("chinchilla", simulated_runs(n=45, seed=3), draws=500)
    assert not made
    assert again.diagnosis.max_rhat < 1.02


def test_a_hard_posterior_is_noticed_and_paid_for():
    """Twelve noisy runs: far from Gaussian. The engine must try harder, or say that it failed."""
    runs = simulated_runs(n=12, scatter=0.03)
    fit = bs.fit("chinchilla", runs)
    assert fit.diagnosis.ok or any(problem.serious for problem in fit.diagnosis.problems)
    if fit.diagnosis.max_rhat < 1.01 and fit.diagnosis.divergences == 0:
        assert fit.diagnosis.min_ess > 400


REPEATS = 100
FALSE_FAILURE = 1e-3


def test_intervals_cover_what_they_claim():
    """100 data sets simulated from known parameters: 50 % and 90 % intervals of parameters and optimum cover as they should.

    Each count is binomial if the intervals are right. The test asks every one of the 14 counts to be inside its central
    1 - FALSE_FAILURE / 14 range, so a right fit fails it with probability at most 0.1 % over seeds (the seed is fixed).
    """
    law = bs.get_law("chinchilla")
    truth = law.published["besiroglu"].values
    inside = {}
    for seed in range(REPEATS):
        fit = bs.fit(law, simulated_runs(n=100, scatter=0.004, seed=seed), noise="normal-log", draws=250, seed=seed)
        draws = fit.parameters()
        values = {name: (draws[name], truth[name]) for name in ("E", "A", "B", "alpha", "beta")}
        for compute in (1e21, 5.76e23):
            best, _ = law.optimum(truth, compute / 6)
            values[f"params at {compute:g}"] = (law.optimum(draws, compute / 6)[0], best)
        for name, (drawn, true) in values.items():
            for width in (0.5, 0.9):
                low, high = np.quantile(drawn, [(1 - width) / 2, (1 + width) / 2])
                inside.setdefault((name, width), []).append(low < true < high)
    tail = FALSE_FAILURE / len(inside) / 2
    for (name, width), hits in inside.items():
        low, high = stats.binom(REPEATS, width).ppf([tail, 1 - tail])
        assert low <= sum(hits) <= high, f"{width:.0%} intervals of {name} cover {sum(hits)} of {REPEATS} times"


def test_a_second_fit_compiles_nothing(small_fit):
    """Other data of other numbers of runs, in the same bucket: after the first fit of the law, jax compiles and lowers nothing more."""
    events = []

    def heard(event, duration, **about):
        events.append(event)

    bs.fit("chinchilla", small_fit.runs, draws=250)
    others = [simulated_runs(n=runs, seed=runs) for runs in (57, 50)]  # which evaluates the law, and compiles that
    jax.monitoring.register_event_duration_secs_listener(heard)
    try:
        for runs in others:
            bs.fit("chinchilla", runs, draws=250)
        of_fits = list(events)
        jax.jit(lambda x: 3 * x)(1.0)
    finally:
        jax.monitoring.unregister_event_duration_listener(heard)
    assert not {"/jax/core/compile/backend_compile_duration", "/jax/core/compile/jaxpr_to_mlir_module_duration"} & set(of_fits)
    assert "/jax/core/compile/backend_compile_duration" in events  # the listener hears


def test_a_fraction_that_32_bits_round_to_1_is_named():
    error = np.append(np.linspace(0.9, 0.3, 7), 1 - 1e-9)
    runs = bs.runs_from_columns({"examples": np.geomspace(1e4, 1e7, 8), "error": error})
    with pytest.raises(bs.InputError, match="error = 0.999999999 is 1 in 32 bits, which has no logit: use precision=64"):
        bs.fit("power_law_floor:error", runs, input="examples", precision=32)


@pytest.mark.long  # two programs of a law that is dear to compile
def test_laws_with_constants_of_their_own_are_traced_in_either_precision():
    """A constant of 64 bits within a law, once traced, does not come back in a program of 32."""
    runs = bs.runs_from_columns(
        {"examples": np.geomspace(1e8, 1e10, 12), "unique_examples": np.full(12, 2e8), "error": np.geomspace(0.8, 0.45, 12)}
    )
    wide, narrow = (bs.fit("data_filtering", runs, precision=bits, draws=200) for bits in (64, 32))
    assert float(narrow.posterior["b"].median()) == pytest.approx(
        float(wide.posterior["b"].median()), abs=0.5 * float(wide.posterior["b"].std())
    )
