"""What every law must do. Laws are discovered: adding a file to models/ puts it under test."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

import bayes_scaling as bs
from bayes_scaling import engine
from bayes_scaling.calibration import inputs_within
from bayes_scaling.decision import decide
from bayes_scaling.fitting import build_density
from bayes_scaling.model import Settings
from bayes_scaling.noise import noise_of
from bayes_scaling.priors import prior_text
from bayes_scaling.quantities import quantity
from bayes_scaling.text import law_text

#: Where the prior predictive of an output must mostly lie: wide, but not absurd.
SANE = {
    "loss": (0.05, 50.0),
    "error": (0.0, 1.0),
    "bleu": (0.1, 100.0),
    "params": (1.0, 1e18),
    "tokens": (1.0, 1e20),
    "batch_tokens": (1.0, 1e12),
    "steps": (1.0, 1e12),
    "accuracy": (0.0, 1.0),
    "coverage": (0.0, 1.0),
    "win_rate": (0.0, 1.0),
    "elo": (-6000.0, 2000.0),
    "task_loss": (0.02, 20.0),
    "unigram_loss": (-20.0, 10.0),
    "loss_increase": (-0.1, 10.0),
    "transferred_characters": (1.0, 1e16),
}

#: Laws whose posterior given a few runs of prior-drawn parameters often has several modes or long ridges (breaks that the runs do not
#: show, terms that mimic each other): a short batch of chains from one mode does not explore it. See the test for what holds there.
HARD = (
    "bnsl",
    "bnsl:2",
    "bnsl:3",
    "bnsl:error",
    "data_filtering",
    "emergence:broken",
    "finetune_rectified",
    "m4",
    "m4:error",
    "moe_sparsity",
    "test_time_log_linear:clipped",
    "transfer:loss",
    "zhai",
)


#: A law whose coverage takes minutes.
DEAR = ("densing",)


def laws():
    """Every law, its variants, and their forms for other inputs."""
    for name in bs.law_names():
        law = bs.get_law(name)
        for variant in (law, *law.variants.values()):
            yield from (variant, *variant.alternatives.values())


def identity(law):
    return f"{law.name}-{'-'.join(law.input_names)}"


every_law = pytest.mark.parametrize("law", [pytest.param(law, id=identity(law)) for law in laws()])
# Forms for other inputs differ in references and ranges alone: one of them stands for all where a test is expensive.
every_model = pytest.mark.parametrize(
    "law", [pytest.param(v, id=v.name) for name in bs.law_names() for law in [bs.get_law(name)] for v in (law, *law.variants.values())]
)


def computation(law):
    """What a law computes, without its constants: laws that differ in names, references and priors alone have it in common."""
    sampled, columns = [0.5] * len(law.parameters), [np.ones(3)] * len(law.inputs)

    def curve(sampled, columns):
        values = dict(zip(law.parameter_names, sampled, strict=True))
        return law.formula(dict(zip(law.input_names, columns, strict=True)), law.complete(values))

    return re.sub(r"[0-9.]+(e[+-]?[0-9]+)?", "#", str(jax.make_jaxpr(curve)(sampled, columns))), noise_of(law).name


def one_of_each_computation():
    seen = {}
    for name in bs.law_names():
        law = bs.get_law(name)
        for variant in (law, *law.variants.values()):
            seen.setdefault(computation(variant), variant)
    # The usual run covers one computation of each law, as far as it is not hard: all of them take a quarter of an hour.
    usual = {name for name in bs.law_names() if name not in (*HARD, *DEAR)}
    return [pytest.param(law, id=law.name, marks=[] if law.name in usual else [pytest.mark.long]) for law in seen.values()]


every_computation = pytest.mark.parametrize("law", one_of_each_computation())


def prior_draws(law, shape, seed=0):
    """Draws of the law's parameters, eagerly: small programs that all laws share."""
    keys = jax.random.split(jax.random.PRNGKey(seed), len(law.parameters))
    with jax.enable_x64(True):
        return {item.name: np.asarray(item.prior.sample(key, shape), float) for key, item in zip(keys, law.parameters, strict=True)}


def completed(law, draws):
    """Sampled and derived parameters, in 64 bits."""
    with jax.enable_x64(True):
        return {name: np.asarray(value) for name, value in law.complete({k: np.asarray(v) for k, v in draws.items()}).items()}


@every_law
def test_texts_are_there(law):
    assert law.name.split(":")[0] in bs.law_names()
    assert bs.get_law(law.name).name == law.name
    for text in (law.title, law.equation, law.citation, law.use, law.avoid, *(item.meaning for item in (*law.inputs, *law.parameters))):
        assert text
        assert len(text) < 250
    for item in law.published.values():
        assert item.source
    for item in law.inputs:
        assert quantity(item.name).admits(item.low) or item.low == quantity(item.name).low
        assert item.low < item.high
    shown = law_text(law)
    for text in (law.equation, *law.input_names, *law.parameter_names, *law.published):
        assert text in shown


@every_law
def test_check_values(law):
    assert law.checks, "a law needs values that its formula must reproduce"
    for check in law.checks:
        values = law.published[check.published].values if check.values is None else check.values
        assert law.predict(check.inputs, values) == pytest.approx(check.value, rel=check.tolerance), (check.published, check.inputs)


@every_model
def test_formula_is_finite_differentiable_and_broadcasts(law):
    inputs = inputs_within(law, 7)
    draws = {name: values[:, None] for name, values in prior_draws(law, (20,)).items()}
    out = law.predict(inputs, completed(law, draws))
    assert out.shape == (20, 7)
    assert np.all(np.isfinite(out))
    one = {name: values[2, 0] for name, values in draws.items()}
    row = law.predict({name: values[3] for name, values in inputs.items()}, completed(law, one))
    assert row == pytest.approx(out[2, 3], rel=1e-10)

    def total(p):
        return jnp.sum(law.formula(inputs, law.complete(p)))

    with jax.enable_x64(True):
        gradient = jax.grad(total)({name: jnp.asarray(values) for name, values in draws.items()})
    for name, value in gradient.items():
        assert np.all(np.isfinite(value)), name


@every_law
def test_declared_monotone_inputs_are(law):
    draws = completed(law, {name: values[:, None] for name, values in prior_draws(law, (20,)).items()})
    for item in law.inputs:
        if item.name in law.decreasing_in:
            inputs = {name: np.repeat(values, 30) for name, values in inputs_within(law, 1).items()}
            inputs[item.name] = np.linspace(0, item.high, 30) if item.low == 0 else np.geomspace(item.low, item.high, 30)
            out = law.predict(inputs, draws)
            assert np.all(np.diff(out, axis=1) <= 1e-9 * np.abs(out[:, 1:]))  # flat to rounding is not rising


@every_law
def test_published_sets_invert_to_what_is_sampled_and_back(law):
    for name, item in law.published.items():
        sampled = law.sampled(item.values)
        assert set(sampled) == set(law.parameter_names), name
        again = law.complete(sampled)
        for key, value in item.values.items():
            assert again[key] == pytest.approx(value, rel=1e-9, abs=1e-12), (name, key)
        out = law.predict(inputs_within(law, 50), item.values)
        assert np.all(np.isfinite(out)), name


@every_law
def test_published_sets_are_not_far_out_in_the_prior(law):
    """A prior that calls a published fit surprising is too narrow to be weakly informative. A value of 0 is a bound, not a fit."""
    draws = prior_draws(law, (4000,))
    for name, item in law.published.items():
        for key, value in law.sampled(item.values).items():
            rank = np.mean(draws[key] < value)
            assert value == 0 or 0.0005 < rank < 0.9995, (name, key, value)


@every_model
def test_prior_predictive_is_sane(law):
    out = law.predict(inputs_within(law, 20), completed(law, {name: values[:, None] for name, values in prior_draws(law, (1000,)).items()}))
    low, high = SANE[law.output]
    assert np.mean((out > low) & (out < high)) > 0.9


@every_law
def test_priors_can_be_written(law):
    for item in law.parameters:
        name, again = bs.parse_prior(f"{item.name}={prior_text(item.prior)}")
        assert name == item.name
        assert float(again.log_prob(0.3)) == pytest.approx(float(item.prior.log_prob(0.3)), rel=1e-4)


@every_law
def test_decision_answers_for_published_values(law):
    """The law's question has an answer for every published set, never NaN."""
    decision = law.decision
    assert decision is not None
    assert {item.name for item in decision.given} == {*decision.example, *decision.optional}
    for name in law.published:
        found = decide(law, decision.example, published=name)
        for item in decision.answers:
            assert not np.any(np.isnan(found[item.name])), (name, item.name)


@every_model
def test_decision_answers_for_prior_draws(law):
    decision = law.decision
    with jax.enable_x64(True):
        given = {**decision.optional, **decision.example}
        answers = decision.answer(law.complete({k: jnp.asarray(v) for k, v in prior_draws(law, (50,)).items()}), given)
    assert {item.name for item in decision.answers} == set(answers)
    for name, values in answers.items():
        assert not np.any(np.isnan(values)), name


SETS = 48
RUNS_PER_PARAMETER = 4
MOST_RUNS = 64  # simulated of each data set, whatever is used of them: a sampler of one shape is compiled once for all laws


@every_computation
def test_posterior_covers_what_it_claims(law):
    """Parameters drawn from the prior, runs simulated from them and sampled: the truth's rank among the draws is uniform.

    Ranks are turned into normal scores, whose mean is 0 and whose mean square is 1: for an interval too wide or too narrow, 48 scores tell
    as much as the coverage at 90 % of 75 data sets, and they tell a posterior that is off to one side, which coverage hardly does. The
    bounds are four standard errors: a right law fails one of its checks with probability below 0.1 % (squares have a heavy tail).

    Hard laws are sampled from the truth itself, which is an exact draw of the posterior: with a reversible kernel, and the truth at a
    random place of the sequence, its rank is uniform whether or not the chain mixes (Besag & Clifford 1989). That tests the density and the
    kernel; that whole fits of these laws converge is tested on real runs (test_refits).
    """
    noise = noise_of(law)
    hard = law.name in HARD
    sets, warmup = SETS, 100 if hard else 200  # hard laws are also the dearest to compute
    runs = RUNS_PER_PARAMETER * (len(law.parameters) + len(noise.parameters))
    truth = prior_draws(law, (sets,), seed=1)
    columns = inputs_within(law, (sets, MOST_RUNS), seed=2)
    keys = jax.random.split(jax.random.PRNGKey(3), len(noise.parameters) + 1)
    with jax.enable_x64(True):
        # Degrees of freedom are the noise's affair, tested elsewhere; held fixed, they spare each program their gamma functions.
        fixed = {"nu": 4.0} if "nu" in noise.parameter_names else {}
        for key, item in zip(keys, noise.parameters, strict=False):
            if item.name not in fixed:
                truth[item.name] = np.asarray(item.prior.sample(key, (sets,)), float)
        if "trials" in noise.needs:
            columns["trials"] = np.full((sets, MOST_RUNS), 2000.0)
        wide = {name: jnp.asarray(values)[:, None] for name, values in truth.items()} | {
            name: jnp.asarray(value) for name, value in fixed.items()
        }
        whole = {**wide, **law.derive(wide)}
        curve = law.formula(columns, whole)
        columns[law.output] = np.asarray(noise.distribution(curve, whole, columns).sample(keys[-1]))
        columns = {name: values[:, :runs] for name, values in columns.items()}
        possible = np.isfinite(columns[law.output]) & ((columns[law.output] > 0) | (not quantity(law.output).on_log_scale))
        usable = np.flatnonzero(possible.all(axis=1))
        assert len(usable) > 0.95 * sets
        columns = {name: values[usable] for name, values in columns.items()}
        truth = {name: values[usable] for name, values in truth.items()}
        weight = np.ones((len(usable), runs))
        density = build_density(law, noise, Settings(fixed), {name: values[0] for name, values in columns.items()}, weight[0])
        # Searches start from what other data sets were simulated with: draws from the prior.
        place = jax.vmap(lambda values, columns, weight: density.unconstrain(values, columns, weight))
        turned = [{name: np.roll(values, shift) for name, values in truth.items()} for shift in (7, 19, 41)]
        starts = np.stack([np.asarray(place(values, columns, weight)) for values in turned], axis=1)
        begin = np.asarray(place(truth, columns, weight)) if hard else None
        cpu = jax.devices("cpu")[0]
        with jax.default_device(cpu):
            found = engine.sample_many(density, columns, weight, starts, cpu, chains=2, warmup=warmup, draws=100, begin=begin)
    cut = np.random.default_rng(4).integers(0, found.unconstrained.shape[2] + 1, len(usable))
    luck = np.random.default_rng(5).uniform(size=len(usable))
    for name, values in truth.items():
        draws = found.sites[name]
        size = draws[0].size
        if begin is None:
            rank = np.mean(draws < values[:, None, None], axis=(1, 2))
        else:
            sequences = [np.concatenate([one[0, :k], one[1, : len(one[1]) - k]]) for one, k in zip(draws, cut, strict=True)]
            gap = np.array(sequences) - values[:, None]
            same = np.abs(gap) < 1e-9 * np.abs(values[:, None])  # a refused step stays at the truth: such ties are broken at random
            rank = (np.sum((gap < 0) & ~same, axis=1) + luck * (1 + same.sum(axis=1))) / (gap.shape[1] + 1)
        scores = norm.ppf(np.clip(rank, 0.5 / size, 1 - 0.5 / size))  # no draw beyond the truth says only that it is far out
        assert abs(scores.mean()) < 4 / np.sqrt(len(scores)), name
        assert abs(np.mean(scores**2) - 1) < 4 * np.sqrt(2 / len(scores)), name


@pytest.mark.long
@every_model
def test_its_sampler_lowers_for_a_gpu(law, monkeypatch):
    """CI has no GPU: that the program which moves the chains can be compiled for one, in 32 and 64 bits, is what can be tested without."""
    from bayes_scaling.engine import chains, programs

    lowered = []

    def lower(name, function, arguments, identity, device, **how):
        lowered.append(jax.export.export(jax.jit(function), platforms=["cuda"])(*arguments).platforms)

    monkeypatch.setattr(programs, "prepare", lower)
    noise = noise_of(law)
    columns = {name: values[0] for name, values in inputs_within(law, (1, 8)).items()} | {law.output: np.full(8, 0.5)}
    columns |= {name: np.full(8, 100.0) for name in noise.needs}
    for bits in (64, 32):
        with jax.enable_x64(bits == 64):
            padded, weight = engine.pad({name: values.astype(f"float{bits}") for name, values in columns.items()})
            density = build_density(law, noise, Settings(), padded, weight.astype(f"float{bits}"))
            chains.Lanes(density, (padded, weight.astype(f"float{bits}")), chains=4, lanes=2, device=None)
    assert lowered == [("cuda",), ("cuda",)]
