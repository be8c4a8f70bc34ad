from dataclasses import replace

import jax
import numpy as np
import numpyro.distributions as dist
import pytest

import bayes_scaling as bs
from bayes_scaling.model import Settings, build_model, model_priors
from bayes_scaling.noise import get_noise, noise_of
from bayes_scaling.priors import PRIOR_FAMILIES, prior_quantiles, prior_text
from bayes_scaling.suiting import usable_runs

LAW = bs.get_law("chinchilla")
NOISE = get_noise("student-t")


PRIORS = (
    "Beta(2, 3)", "Cauchy(0, 1)", "Exponential(2)", "Gamma(2, 0.1)", "HalfCauchy(1)", "HalfNormal(0.3)", "InverseGamma(2, 3)",
    "Laplace(0, 1)", "LogNormal(0.5, 0.3)", "LogUniform(0.1, 10)", "Normal(1, 2)", "ShiftedGamma(2, 0.1, 0.1)", "StudentT(3, 0, 1)",
    "TruncatedNormal(0.5, 1, low=0)", "TruncatedNormal(0.5, 1, low=0, high=2)", "TruncatedNormal(0.5, 1, high=2)", "Uniform(0, 1)",
    "Weibull(2, 3)",
)  # fmt: skip


def test_every_family_is_tried():
    assert {text.split("(")[0] for text in PRIORS} == set(PRIOR_FAMILIES)


@pytest.mark.parametrize("text", PRIORS)
def test_priors_are_read_and_written_back(text):
    name, prior = bs.parse_prior(f"E={text}")
    again = bs.parse_prior(f"{name}={prior_text(prior)}")[1]
    assert float(prior.log_prob(0.25)) == pytest.approx(float(again.log_prob(0.25)))


@pytest.mark.parametrize("text", PRIORS)
def test_quantiles_of_priors(text):
    """Against draws: the share of 20 000 below each quantile is its probability, to five standard errors."""
    prior = bs.parse_prior(f"E={text}")[1]
    probabilities = np.array([0.05, 0.25, 0.75, 0.95])
    draws = np.asarray(prior.sample(jax.random.PRNGKey(1), (20_000,)))
    below = np.mean(draws[:, None] <= prior_quantiles(prior, probabilities), axis=0)
    error = np.sqrt(probabilities * (1 - probabilities) * (1 / 20_000 + 1 / 4_000))  # families without a closed form are drawn
    assert np.all(np.abs(below - probabilities) < 5 * error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("E", "write it as NAME=Family"),
        ("E=LogNormal", "write it as NAME=Family"),
        ("E=LogNorml(0, 1)", "did you mean 'LogNormal'"),
        ("E=LogNormal(0, -1)", "cannot read the prior"),
        ("E=LogNormal(0, 1, 2, 3, 4)", "cannot read the prior"),
        ("E=LogNormal(__import__('os'), 1)", "is not a number"),
        ("E=os.system('true')", "write it as NAME=Family"),
        ("E=LogNormal(1e999, 1)", "is not a number"),
        ("E=LogNormal(loc=0, scal=1)", "cannot read the prior"),
    ],
)
def test_priors_that_are_refused(text, message):
    with pytest.raises(bs.InputError, match=message):
        bs.parse_prior(text)


def test_settings_that_name_no_sampled_parameter():
    with pytest.raises(bs.InputError, match="cannot fix 'A' of law 'chinchilla'.*it is derived; the law samples E, A_ref"):
        model_priors(LAW, NOISE, Settings(fixed={"A": 400.0}))
    with pytest.raises(bs.InputError, match="did you mean 'alpha'"):
        model_priors(LAW, NOISE, Settings(priors={"alfa": dist.Normal(0, 1)}))
    with pytest.raises(bs.InputError, match="both fixed and given a prior"):
        model_priors(LAW, NOISE, Settings(fixed={"E": 1.0}, priors={"E": dist.LogNormal(0, 1)}))


def test_names_shared_by_law_and_noise_are_refused():
    from dataclasses import replace

    law = replace(LAW, parameters=(*LAW.parameters, bs.Parameter("nu", dist.LogNormal(0.0, 1.0), "an exponent")))
    with pytest.raises(bs.LawError, match="both have a 'nu'"):
        model_priors(law, NOISE, Settings())


def test_model_is_ordinary_numpyro():
    import jax
    import numpy as np
    from numpyro import handlers

    columns = {"params": np.array([1e8, 1e9]), "tokens": np.array([2e9, 2e10])}
    trace = handlers.trace(handlers.seed(build_model(LAW, NOISE), jax.random.PRNGKey(0))).get_trace(columns)
    assert set(trace) == {"E", "A_ref", "B_ref", "alpha", "beta", "nu", "sigma", "A", "B", "run", "loss"}
    assert trace["loss"]["value"].shape == (2,)


def test_unknown_noise_and_law_get_the_nearest(tmp_path):
    with pytest.raises(bs.InputError, match="did you mean 'student-t'"):
        get_noise("student")
    with pytest.raises(bs.LawError, match="did you mean 'chinchilla'"):
        bs.get_law("chinchila")
    with pytest.raises(bs.LawError, match="no law file"):
        bs.get_law(tmp_path / "none.py")
    (tmp_path / "empty.py").write_text("x = 1")
    with pytest.raises(bs.LawError, match="does not define LAW"):
        bs.get_law(tmp_path / "empty.py")
    (tmp_path / "broken.py").write_text("1/0")
    with pytest.raises(bs.LawError, match="ZeroDivisionError"):
        bs.get_law(tmp_path / "broken.py")


def test_inputs_with_a_default_and_inputs_that_only_questions_vary():
    bits = bs.Input("bits", "bit", "precision", 1.0, 16.0, default=16.0)
    asked = bs.Input("samples", "count", "attempts allowed", 1.0, 1e6, default=1.0, asked_only=True)
    law = replace(LAW, inputs=(*LAW.inputs, bits, asked))
    runs = bs.runs_from_columns({"params": [1e8, 1e9], "tokens": [1e9, 1e10], "loss": [3.0, 2.5]})
    used = usable_runs(law, NOISE, runs)
    assert used["bits"].tolist() == [16.0, 16.0]
    assert used["samples"].tolist() == [1.0, 1.0]
    assert used.notes == (*runs.notes, "no column of bits: taken as 16 in every run")
    given = bs.runs_from_columns({**runs.columns, "bits": [4.0, 16.0], "samples": [1.0, 10.0]})
    with pytest.raises(bs.InputError, match="line 2: samples = 10, but law .* at samples = 1 only"):
        usable_runs(law, NOISE, given)


def test_values_that_a_noise_family_cannot_describe_are_refused_with_their_line():
    law = bs.get_law("overtraining_error")
    runs = bs.runs_from_columns({"loss": [2.5, 3.0, 3.5], "error": [0.3, 0.0, 1.0]})
    for name, line in (("student-t", 2), ("logit-student-t", 2)):
        with pytest.raises(bs.InputError, match=f"line {line}: {name} noise cannot describe error = 0. .*trials and use noise='beta-bin"):
            bs.fit(law, runs, noise=name)
    with pytest.raises(bs.InputError, match="line 3: logit-student-t noise cannot describe error = 1"):
        bs.fit(law, runs.subset(np.array([0, 2])), noise="logit-student-t")


def test_rates_are_taken_from_counts():
    runs = bs.runs_from_columns({"compute": [1e21, 1e22], "successes": [25, 0], "trials": [100, 50], "loss": [2.5, 2.2]})
    for name, rates in (("emergence", [0.25, 0.0]), ("overtraining_error", [0.75, 1.0])):
        law = bs.get_law(name)
        used = usable_runs(law, noise_of(law, "beta-binomial"), runs)
        assert used[law.output].tolist() == rates
        assert any(f"{law.output} taken as" in note for note in used.notes)
