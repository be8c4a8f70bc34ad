"""Costs against sums by hand, limits against what they say, and risks against their definitions."""

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.cost import Cost, Hardware, Shape, width
from bayes_scaling.limits import Limits
from bayes_scaling.risk import Risk

N, D = 7e9, 2e12


def test_training_and_serving_add():
    cost = Cost(inference_tokens=1e13)
    assert cost.compute(N, D) == pytest.approx(6 * N * D + 2 * N * 1e13)
    assert cost.tokens(N, cost.compute(N, D)) == pytest.approx(D)
    assert cost.params(D, cost.compute(N, D)) == pytest.approx(N)


def test_a_training_budget_leaves_serving_beside_it():
    beside, paid = Cost(inference_tokens=1e13, training_budget=True), Cost(inference_tokens=1e13)
    assert beside.compute(N, D) == pytest.approx(6 * N * D)
    assert beside.tokens(N, 6 * N * D) == pytest.approx(D)
    assert beside.parts(N, D) == paid.parts(N, D)
    assert beside.text() == "6 x params x tokens; beside it, serving = 2 x params x 1e+13 served tokens"
    with pytest.raises(bs.InputError, match="nothing is served: give inference tokens"):
        Cost(training_budget=True)


def test_active_share_and_bits_scale_what_they_should():
    assert Cost(active=0.1).compute(N, D) == pytest.approx(0.6 * N * D)
    # Kumar et al. 2024, section 4.3: C = (6 / 16) N D P.
    assert Cost(bits=8).compute(N, D) == pytest.approx(6 / 16 * N * D * 8)
    assert Cost(bits=8, inference_tokens=1e12, serving_bits=4).compute(N, D) == pytest.approx(3 * N * D + 0.5 * N * 1e12)


@pytest.mark.parametrize(("layers", "d"), [(32, 4096), (12, 768), (80, 8192)])
@pytest.mark.parametrize(("embeddings", "tables", "heads"), [("tied", 1, 1), ("untied", 2, 1), ("excluded", 0, 1)])
def test_attention_and_head_of_an_architecture(layers, d, embeddings, tables, heads):
    """Sums over a transformer of known depth and width: 12 d^2 params a layer, 12 layers d context FLOP of attention a token."""
    vocabulary, context = 50304, 2048
    blocks = 12 * layers * d**2
    params = blocks + tables * vocabulary * d
    cost = Cost(shape=Shape(context, vocabulary, embeddings, aspect=d / layers))
    assert width(params, cost.numbers()) == pytest.approx(d, rel=1e-12)
    expected = 6 * (blocks + heads * vocabulary * d) + 12 * layers * d * context
    assert cost.compute(params, D) == pytest.approx(expected * D, rel=1e-12)
    assert cost.params(D, cost.compute(params, D)) == pytest.approx(params, rel=1e-9)
    parts = cost.parts(params, D)
    assert parts["attention"] == pytest.approx(12 * layers * d * context * D)
    assert parts["head"] == pytest.approx(6 * heads * vocabulary * d * D)
    # A forward pass with a cache over the context: 2 (N + 2 layers d context) FLOP a token (Brown et al. 2024, section 2.3).
    served = Cost(shape=cost.shape, inference_tokens=1e12).compute(params, D) - cost.compute(params, D)
    assert served == pytest.approx(2 * (blocks + heads * vocabulary * d + 2 * layers * d * context) * 1e12)
    # Keys and values of one sequence, 2 bytes each.
    assert cost.memory(params, 1) - cost.memory(params) == pytest.approx(2 * 2 * layers * d * context)


def test_hardware_turns_compute_into_hours_and_dollars():
    cost = Cost(hardware=Hardware(peak=989e12, utilisation=0.4, price=2.0))
    compute = cost.compute(N, D)
    assert cost.gpu_hours(compute) == pytest.approx(compute / (989e12 * 0.4) / 3600)
    assert cost.dollars(compute) == pytest.approx(2 * cost.gpu_hours(compute))
    assert cost.affordable_compute(cost.dollars(compute)) == pytest.approx(compute)
    # Sardana et al. 2023, equation 4: serving at half the utilisation and twice the price costs four times as much.
    dear = Cost(inference_tokens=1e12, hardware=Hardware(989e12, 0.4, 2.0, serving_utilisation=0.2, serving_price=4.0))
    assert dear.compute(N, D) - compute == pytest.approx(4 * 2 * N * 1e12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cost(active=0), "active = 0 is the share"),
        (lambda: Cost(bits=-8), "bits = -8 must be positive"),
        (lambda: Shape(embeddings="tide"), "did you mean 'tied'"),
        (lambda: Hardware(peak=1e15, utilisation=40), "utilisation = 40 must be above 0 and at most 1"),
        (lambda: Cost().dollars(1e20), r"say what a GPU does.*\(Cost\(hardware=Hardware\(peak=989e12, utilisation=0.4, price=2\)\)\)"),
        (lambda: Cost(hardware=Hardware(1e15)).dollars(1e20), r"give the price of a GPU-hour \(price=2 of Hardware\)"),
        (lambda: Limits(min_params=1e10, max_params=1e9), "min_params = 10.0B is 10 times max_params = 1.00B"),
        (lambda: Limits(max_tokens=-1), "max_tokens = -1 must be positive"),
        (lambda: Limits(sizes=(1e9, 0)), "0 is no size"),
        (lambda: Risk.read("worst"), "risk 'worst' is unknown"),
        (lambda: Risk.read("cvar"), "needs a level"),
        (lambda: Risk.read("quantile:high"), "'high' is not a number"),
    ],
)
def test_impossible_settings(make, message):
    with pytest.raises(bs.InputError, match=message):
        make()


def test_risks_are_what_they_say():
    outcomes = np.random.default_rng(0).gamma(2.0, size=(1000, 3))
    assert np.allclose(Risk().of(outcomes), outcomes.mean(axis=0))
    assert np.allclose(Risk("quantile", 0.9).of(outcomes), np.quantile(outcomes, 0.9, axis=0))
    assert np.allclose(Risk("cvar", 0.9).of(outcomes), np.sort(outcomes, axis=0)[900:].mean(axis=0))
    # Rockafellar & Uryasev 2000: CVaR is the least over t of t + E[(x - t)+] / (1 - level), also where the level splits a draw.
    x = outcomes[:, 0]
    by_definition = min(t + np.maximum(x - t, 0).mean() / 0.0875 for t in x)
    assert Risk("cvar", 0.9125).of(x[:, None])[0] == pytest.approx(by_definition, rel=1e-9)
    for risk in (Risk(), Risk("quantile", 0.37), Risk("cvar", 0.613)):
        assert risk.weights(np.full(777, 1 / 777)).sum() == pytest.approx(1)
        assert Risk.read(str(risk)) == risk


def test_risks_of_draws_that_do_not_count_alike():
    """Draws with shares are as draws that are there several times; the mean of the worst is that of the quantiles above its level."""
    rng = np.random.default_rng(4)
    few, times = rng.normal(size=(50, 2)), rng.integers(1, 9, 50)
    many = np.repeat(few, times, axis=0)
    shares = times / times.sum()
    assert Risk().of(few, shares) == pytest.approx(many.mean(axis=0))
    assert Risk("cvar", 0.8).of(few, shares) == pytest.approx(Risk("cvar", 0.8).of(many))
    levels = np.linspace(0.02, 0.98, 49)
    apart = [Risk("quantile", level).of(few, shares) - np.quantile(many, level, axis=0) for level in levels]
    assert np.abs(apart).max() < np.diff(np.sort(few, axis=0), axis=0).max()  # between the same two ranks, or next to them
    assert np.mean(apart) == pytest.approx(0, abs=0.02)
    equal = np.full(50, 1 / 50)
    for risk in (Risk(), Risk("quantile", 0.37), Risk("cvar", 0.613)):
        assert risk.of(few, equal) == pytest.approx(risk.of(few), rel=1e-12)
