"""What every law must do. Laws are discovered: adding a file to models/ puts it under test."""

import jax
import numpy as np
import pytest
from numpyro import handlers

import bayes_scaling as bs
from bayes_scaling.model import build_model, prior_text
from bayes_scaling.noise import get_noise

RANGES = {"params": (1e6, 1e12), "tokens": (1e8, 1e13), "compute": (1e16, 1e25)}


def variants():
    for name in bs.law_names():
        law = bs.get_law(name)
        for variant in (law, *law.alternatives.values()):
            yield pytest.param(variant, id=f"{name}-{'-'.join(variant.input_names)}")


every_law = pytest.mark.parametrize("law", list(variants()))


def grid(law, n=7):
    rng = np.random.default_rng(0)
    return {name: np.sort(10 ** rng.uniform(*np.log10(RANGES[name]), n)) for name in law.input_names}


def prior_draws(law, n):
    keys = jax.random.split(jax.random.PRNGKey(0), len(law.parameters))
    with jax.enable_x64(True):
        return {item.name: np.asarray(item.prior.sample(key, (n,)), float) for key, item in zip(keys, law.parameters, strict=True)}


@every_law
def test_texts_are_there(law):
    assert law.name in bs.law_names()
    for text in (law.title, law.equation, law.citation, law.use, law.avoid, *(item.meaning for item in (*law.inputs, *law.parameters))):
        assert text
        assert len(text) < 200
    for item in law.published.values():
        assert item.source


@every_law
def test_check_values(law):
    assert law.checks, "a law needs values that its formula must reproduce"
    for check in law.checks:
        values = law.published[check.published].values
        assert law.predict(check.inputs, values) == pytest.approx(check.value, rel=check.tolerance), check.published


@every_law
def test_formula_is_finite_differentiable_and_broadcasts(law):
    inputs = grid(law)
    draws = {name: values[:, None] for name, values in prior_draws(law, 5).items()}
    complete = law.complete(draws)
    out = law.predict(inputs, complete)
    assert out.shape == (5, 7)
    assert np.all(np.isfinite(out))
    one = {name: values[2, 0] for name, values in draws.items()}
    row = law.predict({name: values[3] for name, values in inputs.items()}, law.complete(one))
    assert row == pytest.approx(out[2, 3], rel=1e-12)
    with jax.enable_x64(True):
        gradient = jax.grad(lambda p: law.formula({name: values[3] for name, values in inputs.items()}, law.complete(p)))(one)
    assert all(np.isfinite(value) for value in gradient.values())


@every_law
def test_declared_monotone_inputs_are(law):
    draws = law.complete({name: values[:, None] for name, values in prior_draws(law, 20).items()})
    for name in law.decreasing_in:
        inputs = {other: np.full(30, np.sqrt(np.prod(RANGES[other]))) for other in law.input_names}
        inputs[name] = np.geomspace(*RANGES[name], 30)
        assert np.all(np.diff(law.predict(inputs, draws), axis=1) <= 0)


@every_law
def test_published_sets_invert_to_what_is_sampled_and_back(law):
    for name, item in law.published.items():
        sampled = law.invert(item.values)
        assert set(sampled) == set(law.parameter_names), name
        again = law.complete(sampled)
        for key, value in item.values.items():
            assert again[key] == pytest.approx(value, rel=1e-10), (name, key)


@every_law
def test_published_sets_are_not_far_out_in_the_prior(law):
    """A prior that calls a published fit surprising is too narrow to be weakly informative."""
    draws = prior_draws(law, 4000)
    for name, item in law.published.items():
        for key, value in law.invert(item.values).items():
            rank = np.mean(draws[key] < value)
            assert 0.0005 < rank < 0.9995, (name, key, value)


@every_law
def test_prior_predictive_is_sane(law):
    """At sizes that people train, the prior puts losses mostly between 0.05 and 50 nats: wide, but not absurd."""
    inputs = grid(law)
    model = build_model(law, get_noise(law.noise))
    with jax.enable_x64(True):
        drawn = jax.vmap(lambda key: handlers.trace(handlers.seed(model, key)).get_trace(inputs)[law.output]["value"])(
            jax.random.split(jax.random.PRNGKey(1), 1000)
        )
    inside = np.mean((np.asarray(drawn) > 0.05) & (np.asarray(drawn) < 50))
    assert inside > 0.9


@every_law
def test_priors_can_be_written(law):
    for item in law.parameters:
        name, again = bs.parse_prior(f"{item.name}={prior_text(item.prior)}")
        assert name == item.name
        assert float(again.log_prob(0.3)) == pytest.approx(float(item.prior.log_prob(0.3)), rel=1e-4)


@every_law
def test_law_recovers_known_parameters(law):
    """Simulate from the first published set, fit, and find every parameter within its central 99.9 % interval.

    With at most 5 sampled parameters a law, a correct fit fails this with probability below 0.5 % over seeds; the seed is fixed.
    """
    name, item = next(iter(law.published.items()))
    rng = np.random.default_rng(1)
    inputs = {key: 10 ** rng.uniform(*np.log10(RANGES[key]), 60) for key in law.input_names}
    loss = law.predict(inputs, item.values) * np.exp(0.004 * rng.standard_t(4, 60))
    fit = bs.fit(law, bs.runs_from_columns({**inputs, "loss": loss}), draws=500, input=law.input_names[0] if law.alternatives else None)
    draws = fit.parameters()
    for key, value in law.invert(item.values).items():
        low, high = np.quantile(draws[key], [0.0005, 0.9995])
        assert low <= value <= high, (name, key)
