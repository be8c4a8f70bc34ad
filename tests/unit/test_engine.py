"""The engine's parts that need no sampling."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from bayes_scaling.engine import Density, Shear, Sum, at_once, bucket, convergence, pad
from bayes_scaling.engine.modes import distinct


def density(table, wrap=jax.jit, rule=None):
    """A model whose formula closes over a numpy table inside an inner function."""
    inner = wrap(lambda x: jnp.interp(x, np.arange(3.0), table))

    def model(columns, weight):
        a = numpyro.sample("a", dist.LogNormal(0.0, 1.0))
        mean = a * inner(columns["x"])
        numpyro.sample("y", dist.Normal(rule(mean) if rule else mean, 1.0), obs=columns["y"])

    columns = {"x": np.linspace(0, 2, 5), "y": np.ones(5)}
    return Density(model, columns, np.ones(5))


def test_fingerprint_sees_constants_inside_an_inner_jit():
    first, same, other = (density(np.array(table)).fingerprint for table in ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.5, 3.0]))
    assert first == same
    assert first != other


def test_fingerprint_sees_custom_derivatives():
    def rule(slope):
        @jax.custom_jvp
        def f(x):
            return x

        f.defjvp(lambda primal, tangent: (primal[0], slope * tangent[0]))
        return f

    table = np.array([1.0, 2.0, 3.0])
    assert density(table, rule=rule(1.0)).fingerprint != density(table, rule=rule(2.0)).fingerprint


def test_buckets_are_few_for_small_data_and_waste_at_most_half_of_large():
    assert {bucket(n) for n in range(1, 257)} == {64, 128, 256}
    for n in (257, 384, 385, 512, 1000, 10**6):
        assert n <= bucket(n) <= 1.5 * n


def test_padding_has_no_weight():
    columns, weight = pad({"x": np.arange(5.0)})
    assert len(columns["x"]) == len(weight) == bucket(5)
    assert weight.sum() == 5
    assert np.all(np.isfinite(columns["x"]))


def test_distinct_modes_are_told_apart_and_stuck_searches_left_out():
    ends = np.array([[0.0, 0.0], [1e-4, 0.0], [5.0, 0.0], [2.0, 2.0]])
    modes = distinct(ends, np.array([1.0, 1.0, 3.0, 2.0]), np.array([0.0, 0.0, 0.0, 100.0]), np.eye(2))
    assert modes.points.tolist() == [[0.0, 0.0], [5.0, 0.0]]
    assert modes.arrivals.tolist() == [2, 1]
    assert modes.converged == 3


def test_convergence_statistics_tell_good_from_bad():
    rng = np.random.default_rng(0)
    good = rng.normal(size=(4, 1000, 2))
    assert convergence.statistics(good)["rhat"].max() < 1.01
    assert convergence.statistics(good)["ess_bulk"].min() > 3000
    apart = good + np.arange(4)[:, None, None]
    assert convergence.statistics(apart)["rhat"].min() > 1.5
    assert convergence.good(convergence.statistics(good), np.zeros((4, 1000), bool), 1.0)
    assert not convergence.good(convergence.statistics(apart), np.zeros((4, 1000), bool), 1.0)
    assert not convergence.good(convergence.statistics(good), np.ones((4, 1000), bool), 1.0)
    assert not convergence.good(convergence.statistics(good), np.zeros((4, 1000), bool), 0.1)


@pytest.mark.parametrize("persistence", [-0.5, 0.0, 0.7, 0.95])
@pytest.mark.parametrize("shape", [(4, 1000, 3), (2, 251, 3)])
def test_convergence_statistics_are_arviz_own(persistence, shape):
    """R-hat to rounding; ESS to what chance makes of where the two stop summing autocorrelations."""
    from arviz_stats.base import array_stats

    rng = np.random.default_rng(0)
    values = np.zeros(shape)
    for i in range(1, shape[1]):
        values[:, i] = persistence * values[:, i - 1] + rng.normal(size=values[:, i].shape)
    values[:, :, 2] = np.round(values[:, :, 2])  # ties
    axes = {"chain_axis": 0, "draw_axis": 1}
    found = convergence.statistics(values)
    assert found["rhat"] == pytest.approx(array_stats.rhat(values, **axes), rel=1e-9)
    assert found["ess_bulk"] == pytest.approx(array_stats.ess(values, method="bulk", **axes), rel=0.05 if persistence >= 0 else 0.15)
    assert found["ess_tail"] == pytest.approx(array_stats.ess(values, method="tail", prob=(0.05, 0.95), **axes), rel=0.08)


def test_what_is_not_a_number_is_not_good():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(4, 1000, 2))
    broken = draws.copy()
    broken[2, 17, 1] = np.nan
    found = convergence.statistics(broken)
    assert np.isnan(found["rhat"][1])
    assert np.isfinite(found["rhat"][0])
    assert not convergence.good(found, np.zeros((4, 1000), bool), 1.0)
    assert not convergence.good(convergence.statistics(draws), np.zeros((4, 1000), bool), np.nan)
    tied = np.minimum(draws, 1.0)  # a sixth of the draws are the largest value: the upper tail's indicator is always true
    assert convergence.statistics(tied)["ess_tail"].min() > 2000


@pytest.mark.parametrize(
    "prior",
    [
        dist.LogNormal(0.3, 0.5), dist.Gamma(2.0, 0.1), dist.TruncatedNormal(-1.0, 0.3, low=0.0), dist.Uniform(2.0, 3.0),
        dist.Beta(2.0, 5.0), dist.HalfCauchy(1.0), dist.Normal(3.0, 0.1), dist.Cauchy(0.0, 1.0), dist.StudentT(3.0, 0.1, 0.2),
    ],
)  # fmt: skip
def test_starts_are_scattered_within_the_support(prior):
    def model(columns, weight):
        a = numpyro.sample("a", prior)
        numpyro.sample("y", dist.Normal(a * columns["x"], 1.0), obs=columns["y"])

    columns, weight = {"x": np.linspace(0, 2, 5), "y": np.ones(5)}, np.ones(5)
    with jax.enable_x64(True):
        found = Density(model, columns, weight)
        normals = np.random.default_rng(0).normal(size=(200, 1))
        starts = jax.vmap(lambda n: found.scatter(n, columns, weight))(normals)
        values = np.asarray(jax.vmap(lambda z: found.constrain(z, columns, weight)["a"])(starts))
        assert np.all(np.asarray(prior.support(values)))
        assert len(np.unique(values)) > 190
        if isinstance(prior, (dist.LogNormal, dist.Normal)):  # exactly the prior's
            assert np.mean(prior.cdf(values) < 0.5) == pytest.approx(0.5, abs=0.12)


def test_a_compilation_that_failed_is_tried_again(monkeypatch, tmp_path):
    from bayes_scaling.engine import programs

    monkeypatch.setenv("BAYES_SCALING_CACHE", str(tmp_path))
    tried = []

    cpu = jax.devices("cpu")[0]
    submit = programs._compilers.submit

    def fail_first(function, *arguments):
        tried.append(function)
        return submit(lambda: 1 / 0) if len(tried) == 1 else submit(function, *arguments)

    monkeypatch.setattr(programs._compilers, "submit", fail_first)
    double = ("double", lambda x: 2 * x, (np.arange(3.0),), ("test of failures",), cpu)
    with pytest.raises(ZeroDivisionError):
        programs.program(*double)
    assert programs.program(*double)(np.arange(3.0, dtype=np.float32)).tolist() == [0, 2, 4]
    assert len(tried) == 2


def test_ebfmi_of_an_autoregressive_energy():
    rng = np.random.default_rng(0)
    energy = np.zeros((2, 200_000))
    for i in range(1, energy.shape[1]):
        energy[:, i] = 0.8 * energy[:, i - 1] + rng.normal(size=2)
    assert convergence.ebfmi(energy) == pytest.approx(2 * (1 - 0.8), rel=0.05)


def test_a_coefficient_may_have_an_exponent_in_two_inputs():
    """Shears change coordinates, not the model: values go in and come out, and the density of a value stays."""

    def model(columns, weight):
        a, p, q = (numpyro.sample(name, dist.LogNormal(0.0, 1.0)) for name in "apq")
        numpyro.sample("y", dist.Normal(a * columns["x"] ** -p * columns["z"] ** -q, 1.0), obs=columns["y"])

    columns = {"x": np.linspace(10, 20, 5), "z": np.linspace(300, 500, 5), "y": np.ones(5)}
    weight, values = np.ones(5), {"a": 2.0, "p": 0.3, "q": 0.7}
    with jax.enable_x64(True):
        plain = Density(model, columns, weight)
        sheared = Density(model, columns, weight, (Shear("a", "p", "x", 1.0), Shear("a", "q", "z", 1.0)))
        z = sheared.unconstrain(values, columns, weight)
        again = sheared.constrain(z, columns, weight)
        assert {name: float(again[name]) for name in values} == pytest.approx(values)
        middle = np.exp([np.log(columns[name]).mean() for name in "xz"])
        assert float(z[0]) == pytest.approx(np.log(2.0 * middle[0] ** -0.3 * middle[1] ** -0.7))
        there = plain.unconstrain(values, columns, weight)
        assert float(sheared.potential(z, columns, weight)) == pytest.approx(float(plain.potential(there, columns, weight)))


def test_terms_are_sampled_by_their_sum_in_the_middle_of_the_data():
    """The density of a value stays: a sum and ratios have the volume of the terms' logarithms. Padding is no data."""

    def model(columns, weight):
        E, a, b, p = (numpyro.sample(name, dist.LogNormal(0.0, 1.0)) for name in "Eabp")
        curve = E + a * columns["x"] ** -p + b
        numpyro.sample("y", dist.Normal(curve, 1.0).mask(weight > 0), obs=columns["y"])

    columns = {"x": np.array([4.0, 9.0, 1e6]), "y": np.ones(3)}
    weight, values = np.array([1.0, 1.0, 0.0]), {"E": 0.7, "a": 2.0, "b": 0.1, "p": 0.5}
    with jax.enable_x64(True):
        plain = Density(model, columns, weight)
        summed = Density(model, columns, weight, (Shear("a", "p", "x", 1.0),), (Sum(("E", "a", "held", "b")), Sum(("p", "held"))))
        assert summed.sums == (Sum(("E", "a", "b")),)
        z = summed.unconstrain(values, columns, weight)
        again = summed.constrain(z, columns, weight)
        assert {name: float(again[name]) for name in values} == pytest.approx(values)
        a = 2.0 / np.sqrt(6.0)
        assert np.asarray(z) == pytest.approx(np.log([0.7 + a + 0.1, a / 0.7, 0.1 / 0.7, 0.5]))
        there = plain.unconstrain(values, columns, weight)
        assert float(summed.potential(z, columns, weight)) == pytest.approx(float(plain.potential(there, columns, weight)))
        turn = jax.jacobian(lambda z: plain.unconstrain(summed.constrain(z, columns, weight), columns, weight))(z)
        assert float(jnp.linalg.det(turn)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("rhat", "ess", "diverging", "information", "promising"),
    [
        (1.004, 900.0, 0, 0.8, False),  # good already
        (1.02, 250.0, 0, 0.8, True),
        (1.02, 100.0, 0, 0.8, False),  # four times as many are too few still
        (1.08, 250.0, 0, 0.8, False),  # chains disagree
        (1.02, 250.0, 1, 0.8, False),
        (1.02, 250.0, 0, 0.1, False),
    ],
)
def test_chains_go_on_where_that_is_all_they_need(rhat, ess, diverging, information, promising):
    from bayes_scaling.engine import convergence

    found = {"rhat": np.array([1.0, rhat]), "ess_bulk": np.array([ess, 2000.0]), "ess_tail": np.array([1000.0, 1000.0])}
    marked = np.zeros((4, 1000), bool)
    marked.flat[:diverging] = True
    assert convergence.promising(found, marked, information, 4) == promising


def test_streams_are_read_at_once():
    """All results of all streams, in each stream's order; not far ahead of the reader; an error is raised, and ends the others."""
    made = []

    def stream(name, fails=False):
        for number in range(50):
            made.append(name)
            yield name, number
            if fails:
                raise ValueError(name)

    found = list(at_once([stream("a"), stream("b"), stream("c")]))
    assert len(found) == 150
    for name in "abc":
        assert [number for of, number in found if of == name] == list(range(50))
    made.clear()
    some = at_once([stream("a"), stream("b")])
    next(some)
    some.close()
    assert len(made) < 10
    made.clear()
    with pytest.raises(ValueError, match="b"):
        list(at_once([stream("a"), stream("b", fails=True)]))
    assert list(at_once([stream("a")])) == [("a", number) for number in range(50)]
