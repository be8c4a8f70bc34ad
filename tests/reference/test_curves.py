"""Curves of one variable against independent calculation and against the errors of extrapolation that were published for them."""

import csv

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bayes_scaling.models.m4 import plateau
from scipy.optimize import brentq, least_squares

import bayes_scaling as bs
from bayes_scaling.decision import decide

TRANSLATION = ("NMT/log_perplexity/6 Enc, 6 Dec", "NMT/log_perplexity/TEnc-LSTM")
TEXT = ("LM/val_loss/1.07e+09", "LM/val_loss/4.53e+08")


def draws(law, count, seed=0):
    keys = jax.random.split(jax.random.PRNGKey(seed), len(law.parameters))
    with jax.enable_x64(True):
        sampled = {item.name: np.asarray(item.prior.sample(key, (count,)), float) for key, item in zip(keys, law.parameters, strict=True)}
        return {name: np.asarray(value) for name, value in law.complete(sampled).items()}


def points(shared_data, curve):
    """Return (x, y) of the context and of the target points."""
    with open(shared_data / "extrapolation_curves.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["curve"] == curve]
    split = [[row for row in rows if row["split"] == name] for name in ("context", "target")]
    return [(np.array([float(row["x"]) for row in part]), np.array([float(row["y"]) for row in part])) for part in split]


def extrapolation(law_name, context, target, starts=8):
    """Fit by least squares in ln y from several starts; return root mean square errors of ln y beyond, and on, the fitted points."""
    law = bs.get_law(law_name).with_input("x")
    names = law.parameter_names
    unit = context[0].min()  # x in units of the smallest: the law's reference is then within a few decades

    with jax.enable_x64(True):

        def residuals(z, x, y):
            # Every parameter of these laws is positive.
            return jnp.log(
                law.formula({"x": x / unit * 1e3}, law.complete({name: jnp.exp(z[i]) for i, name in enumerate(names)}))
            ) - jnp.log(y)

        value, slope = jax.jit(residuals), jax.jit(jax.jacfwd(residuals))
        rng, best = np.random.default_rng(0), None
        for _ in range(starts):
            first = {
                "a_ref": context[1].max() / 2,
                "c": 0.3,
                "E": context[1].min() / 2,
                "x_sat": 3e4,
                "room": 5.0,
                "x0": 300.0,
                "alpha": 0.5,
            }
            z = np.log([first[name] for name in names]) + rng.normal(0, 0.7, len(names))
            found = least_squares(
                lambda z: np.asarray(value(z, *context)), z, lambda z: np.asarray(slope(z, *context)), xtol=1e-13, ftol=1e-13, max_nfev=500
            )
            best = found if best is None or found.cost < best.cost else best
        return tuple(float(np.sqrt(np.mean(np.asarray(value(best.x, *part)) ** 2))) for part in (target, context))


@pytest.mark.parametrize(
    ("law", "curve", "published", "uncertainty"),
    [
        ("power_law", TRANSLATION[0], 0.26, 0.005),
        ("power_law", TRANSLATION[1], 0.19, 0.005),
        ("power_law", TEXT[0], 1.7e-2, 0.4e-2),
        ("power_law", TEXT[1], 1.7e-2, 0.4e-2),
        ("power_law_floor", TEXT[0], 1.7e-3, 0.3e-3),
        ("power_law_floor", TEXT[1], 7.4e-4, 5.5e-4),
    ],
)
def test_extrapolation_errors_that_were_published(law, curve, published, uncertainty, shared_data):
    """Tables 2 and 3 of Alabdulmohsin et al. 2022, to their rounding or stated error. M1 and M2 converged there, on these curves."""
    context, target = points(shared_data, curve)
    assert extrapolation(law, context, target)[0] == pytest.approx(published, abs=uncertainty)


@pytest.mark.parametrize(
    ("law", "curve", "printed", "converged"),
    [
        ("power_law_floor", TRANSLATION[0], 3.9e-2, 0.0561),
        ("power_law_floor", TRANSLATION[1], 1.3e-2, 0.0174),
        ("saturating_power_law", TRANSLATION[0], 8.9e-2, 0.0176),
        ("saturating_power_law", TRANSLATION[1], 6.2e-2, 0.0060),
        ("saturating_power_law", TEXT[0], 4.5e-3, 0.00316),
        ("saturating_power_law", TEXT[1], 6.6e-4, 0.00376),
    ],
)
def test_extrapolation_errors_that_were_published_wrong(law, curve, printed, converged, shared_data):
    """Where the printed value is not that of the least-squares fit. Least squares of an independent program: to the digits given."""
    context, target = points(shared_data, curve)
    found = extrapolation(law, context, target)[0]
    assert found == pytest.approx(converged, rel=0.01)
    assert abs(found / printed - 1) > 0.2


def test_addition_is_extrapolated_as_published(shared_data):
    """Caballero et al. 2022, figure 4 left: errors of ln loss at the published parameters, 0.000598 and 0.010916."""
    law = bs.get_law("bnsl").with_input("examples")
    with open(shared_data / "bnsl_4digit_addition.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for split, expected in (("train", 0.000598), ("extrapolation", 0.010916)):
        part = [row for row in rows if row["split"] == split]
        predicted = law.predict({"examples": [float(row["train_dataset_size"]) for row in part]}, law.published["addition"].values)
        error = np.sqrt(np.mean(np.log(predicted / [float(row["test_loss"]) for row in part]) ** 2))
        assert error == pytest.approx(expected, rel=2e-3)


def solved_by_brent(q, alpha):
    """ln v - alpha ln(1 - v) = q by root finding in logit v."""
    end = max(100.0, 2 * q / alpha + 100)
    s = brentq(lambda s: alpha * np.logaddexp(0, s) - np.logaddexp(0, -s) - q, -700, end, xtol=1e-13, rtol=1e-14)
    return 1 / (1 + np.exp(-s))


def test_plateau_is_solved_and_differentiated_exactly():
    """Values against another root finder; first derivatives against differences of that, second ones against differences of the first."""
    q, alpha = np.array([-600.0, -20.0, -3.0, -0.5, -1e-3, 0.0, 1e-3, 0.7, 5.0, 60.0]), np.array([1e-4, 0.03, 0.5, 1.0, 3.0, 40.0])
    with jax.enable_x64(True):
        found = np.asarray(plateau(jnp.asarray(q)[:, None], jnp.asarray(alpha)))
        assert found == pytest.approx(np.array([[solved_by_brent(a, b) for b in alpha] for a in q]), rel=1e-9, abs=0)
        gradient = jax.jit(jax.grad(lambda p: plateau(p[0], p[1])))
        hessian = jax.jit(jax.jacfwd(jax.grad(lambda p: plateau(p[0], p[1]))))
        for p in (np.array([a, b]) for a in (-3.0, -0.5) for b in (0.03, 0.5, 1.0, 3.0)):
            shifts = 1e-5 * np.diag([1.0, p[1]])
            numeric = [(solved_by_brent(*(p + d)) - solved_by_brent(*(p - d))) / (2 * d.sum()) for d in shifts]
            assert np.asarray(gradient(p)) == pytest.approx(np.array(numeric), rel=1e-4, abs=1e-7)
            second = [(np.asarray(gradient(p + d)) - np.asarray(gradient(p - d))) / (2 * d.sum()) for d in shifts]
            assert np.asarray(hessian(p)) == pytest.approx(np.stack(second), rel=1e-4, abs=1e-6)


def test_m4_obeys_its_equation_and_contains_the_power_law():
    law, floor = bs.get_law("m4").with_input("x"), bs.get_law("power_law_floor").with_input("x")
    p = {"E": 1.5, "e0": 9.0, "a": 20.0, "c": 0.4, "alpha": 0.7}
    x = np.geomspace(1, 1e9, 40)
    y = law.predict({"x": x}, p)
    assert np.all((y > 1.5) & (y < 9))
    assert (y - 1.5) / (9 - y) ** 0.7 == pytest.approx(20 * x**-0.4, rel=1e-9)
    x = np.geomspace(1e3, 1e9, 20)  # where the power law is below the plateau
    expected = floor.predict({"x": x}, p)
    assert law.predict({"x": x}, {**p, "alpha": 0.0}) == pytest.approx(expected, rel=1e-14)
    assert law.predict({"x": x}, {**p, "alpha": 1e-9}) == pytest.approx(expected, rel=1e-7)


def test_limits_and_nested_laws():
    plain, saturating = bs.get_law("power_law").with_input("x"), bs.get_law("saturating_power_law").with_input("x")
    p = {"a": 3.0, "c": 0.3, "g": 1e-6}
    assert saturating.predict({"x": 10.0}, p) == pytest.approx(plain.predict({"x": 10.0}, p), rel=1e-5)
    assert saturating.predict({"x": 1e15}, p) == pytest.approx(3 * 1e-6**0.3, rel=1e-8)
    # A break that changes no slope is none, however placed; and M2 is bnsl without a break.
    x = np.geomspace(10, 1e7, 9)
    base = {"a": 0.2, "b": 3.0, "c0": 0.3}
    expected = bs.get_law("power_law_floor").with_input("x").predict({"x": x}, {"E": 0.2, "a": 3.0, "c": 0.3})
    for name, breaks in (("bnsl:0", 0), ("bnsl", 1), ("bnsl:2", 2), ("bnsl:3", 3)):
        idle = {f"{key}{i}": value for i in range(1, breaks + 1) for key, value in (("c", 0.0), ("d", 10.0**i), ("f", 0.2))}
        assert bs.get_law(name).with_input("x").predict({"x": x}, {**base, **idle}) == pytest.approx(expected, rel=1e-12)


def test_breaks_are_ordered_and_slopes_are_what_they_say():
    law = bs.get_law("bnsl:3").with_input("x")
    p = draws(law, 500)
    assert np.all((p["d1"] < p["d2"]) & (p["d2"] < p["d3"]))
    p = {"a": 0.0, "b": 2.0, "c0": 0.1, **{f"c{i}": c for i, c in ((1, 0.5), (2, -0.9), (3, 0.6))}}
    p |= {"d1": 1e3, "d2": 1e6, "d3": 1e9, "f1": 0.1, "f2": 0.1, "f3": 0.1}
    x = np.array([1e1, 10**4.5, 10**7.5, 1e11])
    slope = -np.log(law.predict({"x": x * 1.001}, p) / law.predict({"x": x / 1.001}, p)) / (2 * np.log(1.001))
    assert slope == pytest.approx([0.1, 0.6, -0.3, 0.3], abs=1e-8)
    values = {**p, "a": 0.1}
    sampled = law.sampled(values)
    assert [sampled["c0"], *(float(sampled[f"slope{i}"]) for i in (1, 2, 3))] == pytest.approx([0.1, 0.6, -0.3, 0.3])


@pytest.mark.parametrize("name", ["power_law", "power_law:error", "saturating_power_law", "m4", "m4:error", "hestness", "hestness:error"])
def test_input_for_a_target_gives_the_target(name):
    law = bs.get_law(name)
    x = law.input_names[0]
    p = draws(law, 200)
    low, high = (law.predict({x: value}, p) for value in (law.inputs[0].high, law.inputs[0].low))
    target = low + 0.3 * (high - low)
    with jax.enable_x64(True):
        found = np.asarray(law.decision.answer(p, {"target": jnp.asarray(target)})[x])
    assert law.predict({x: found}, p) == pytest.approx(target, rel=1e-8)
    floor = p.get("E", p.get("gamma", np.zeros(200)))
    with jax.enable_x64(True):
        never = np.asarray(law.decision.answer(p, {"target": jnp.asarray(floor)})[x])
    assert np.all(np.isinf(never) | (floor == 0))


def test_bnsl_finds_the_first_place_of_a_curve_that_rises_again():
    """Double descent: against a scan of 400 001 points. The break to come is the next one after what was reached."""
    law = bs.get_law("bnsl:2").with_input("x")
    p = {"a": 0.1, "b": 2.0, "c0": 0.3, "c1": -0.8, "d1": 1e3, "f1": 0.3, "c2": 0.9, "d2": 1e4, "f2": 0.3}
    wide = {name: np.array(value) for name, value in p.items()}
    scan = np.geomspace(1, 1e13, 400_001)
    y = law.predict({"x": scan}, p)
    for target, reached in ((0.6, 1.0), (0.5, 1.0), (0.5, 3e3), (0.2, 1.0), (0.6, 2e4), (0.09, 1.0)):
        with jax.enable_x64(True):
            found = law.decision.answer(wide, {"target": jnp.asarray(target), "reached": jnp.asarray(reached)})
        below = scan[(y <= target) & (scan >= reached)]
        expected = max(below[0], reached) if len(below) else np.inf
        assert float(found["x"]) == pytest.approx(expected, rel=1e-4), (target, reached)
        assert float(found["next_break"]) == next((d for d in (1e3, 1e4) if d > reached), np.inf)


def test_addition_question():
    found = decide("bnsl", {"target": 0.6}, published="addition")
    needed, law = float(found["examples"].item()), bs.get_law("bnsl").with_input("examples")
    root = brentq(lambda x: float(law.predict({"examples": x}, law.published["addition"].values)) - 0.6, 700, 2000)
    assert needed == pytest.approx(root, rel=1e-9)
    assert float(found["next_break"].item()) == pytest.approx(612.5836171918001)
    late = decide("bnsl", {"target": 0.6, "reached": 1e4}, published="addition")
    assert float(late["examples"].item()) == pytest.approx(1e4)
    assert np.isinf(late["next_break"].item())


def test_hestness_word_models():
    """A hundredth off the loss costs 16 % more words: (1/0.99)^(1/0.066); the best model grows by 2^0.69 when the data double."""
    one, two = (decide("hestness", {"target": target}, published="word_lm")["examples"].item() for target in (3.5, 3.5 * 0.99))
    assert two / one == pytest.approx(0.99 ** (-1 / 0.066), rel=1e-9)
    assert two / one == pytest.approx(1.1645, rel=1e-4)
    small, large = (decide("hestness:size", {"examples": m}, published="word_lm")["params"].item() for m in (1e8, 2e8))
    assert large / small == pytest.approx(2**0.69, rel=1e-9)
