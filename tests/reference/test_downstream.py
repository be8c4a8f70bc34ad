"""From loss to accuracy: decisions against independent calculation, what the forms imply, and the chain of two stages."""

import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import xarray
from scipy import stats
from scipy.optimize import brentq

import bayes_scaling as bs
from bayes_scaling import engine
from bayes_scaling.calibration import inputs_within
from bayes_scaling.cli import main
from bayes_scaling.fitted import Fit
from bayes_scaling.fitting import build_density
from bayes_scaling.fractions import BetaBinomialFraction
from bayes_scaling.model import Settings
from bayes_scaling.noise import noise_of

LINK = {"a": -0.7, "b": 0.95, "k": 5.0, "L0": 0.8}
LADDER = {"E": 0.4, "A": 40.0, "B": 80.0, "alpha": 0.24, "beta": 0.23}
TARGET = {"params": 1.3e10, "tokens": 5e12}


def answers(law, p, **given):
    with jax.enable_x64(True):
        wide = {name: np.asarray(value, float) for name, value in p.items()}
        return {name: float(value) for name, value in bs.get_law(law).decision.answer(wide, given).items()}


def sampled_and_derived(law, p):
    with jax.enable_x64(True):
        return {name: float(value) for name, value in law.complete(law.sampled(p)).items()}


def test_link_is_the_printed_form():
    loss = np.linspace(0.2, 3.0, 50)
    printed = LINK["a"] / (1 + np.exp(-LINK["k"] * (loss - LINK["L0"]))) + LINK["b"]
    law = bs.get_law("bounded_metric")
    assert law.predict({"task_loss": loss}, LINK) == pytest.approx(printed, rel=1e-12)
    assert law.predict({"task_loss": 0.8}, LINK) == pytest.approx((0.25 + 0.95) / 2)


def test_foot_and_reach_are_what_they_are_said_to_be():
    """Round trip, and: near the floor the curve is that of ceiling 1 with its middle at the foot."""
    law = bs.get_law("bounded_metric")
    p = sampled_and_derived(law, LINK)
    assert {name: p[name] for name in LINK} == pytest.approx(LINK, rel=1e-12)
    assert p["reach"] == pytest.approx((0.95 - 0.25) / (1 - 0.25))
    to_one = {"a": -0.75, "b": 1.0, "k": 5.0, "L0": p["foot"]}
    at = {"task_loss": np.array([3.0, 3.5])}
    assert law.predict(at, LINK) - 0.25 == pytest.approx(law.predict(at, to_one) - 0.25, rel=1e-4)


def test_skewed_link():
    """Equal slopes (s = 1) are the law itself; otherwise logits fall at k from the foot and at k / s from the top."""
    law = bs.get_law("bounded_metric:skewed")
    loss = np.linspace(0.2, 3.0, 50)
    assert law.predict({"task_loss": loss}, {**LINK, "s": 1.0}) == pytest.approx(
        bs.get_law("bounded_metric").predict({"task_loss": loss}, LINK)
    )
    p = {**LINK, "s": 0.4}
    share = (law.predict({"task_loss": np.array([-0.5, -0.6, 5.0, 5.1])}, p) - 0.25) / 0.7
    top, foot = np.log1p(-share[:2]), np.log(share[2:])
    assert (top[0] - top[1]) / 0.1 == pytest.approx(5 / 0.4, rel=1e-3)
    assert (foot[0] - foot[1]) / 0.1 == pytest.approx(5, rel=1e-3)


@pytest.mark.parametrize(
    ("law", "column", "more"),
    [
        ("bounded_metric", "task_loss", {}),
        ("bounded_metric:loss", "loss", {}),
        ("bounded_metric:skewed", "task_loss", {"s": 0.4}),
        ("bounded_metric:loss_skewed", "loss", {"s": 2.5}),
    ],
)
def test_needed_loss_is_where_the_curve_meets_the_target(law, column, more):
    p, at = {**LINK, **more}, {column: 0.7}
    top = float(bs.get_law(law).predict({column: 0.0}, p))  # below the ceiling: the rest is at negative losses
    for target in (0.3, (0.25 + top) / 2, top - 0.01):
        root = brentq(lambda x, t=target: float(bs.get_law(law).predict({column: x}, p)) - t, 1e-3, 5)
        assert answers(law, p, **at, target=target)["needed_loss"] == pytest.approx(root, rel=1e-6)
    assert answers(law, p, **at, target=0.25)["needed_loss"] == np.inf  # guessing will do
    assert answers(law, p, **at, target=0.96)["needed_loss"] == 0  # above the ceiling
    assert answers(law, p, **at, target=(top + 0.95) / 2)["needed_loss"] == 0
    assert answers(law, p, **at, target=0.5)["accuracy"] == pytest.approx(bs.get_law(law).predict({column: 0.7}, p))


def cheapest(reached, low=8.0, high=14.0):
    """The least 6ND over a grid of sizes, with the tokens that each needs by bisection; ``reached(params, tokens)`` is a gap to close."""
    best = np.inf
    for params in np.logspace(low, high, 1201):
        if reached(params, 1e25) > 0:
            continue
        log_tokens = brentq(lambda u, n=params: reached(n, np.exp(u)), np.log(1e3), np.log(1e25))
        best = min(best, 6 * params * np.exp(log_tokens))
    return best


def test_least_compute_for_a_task_loss():
    law = bs.get_law("task_ladder")
    found = answers("task_ladder", LADDER, **TARGET, target=0.7)
    assert found["task_loss"] == pytest.approx(0.4 + 40 / 1.3e10**0.24 + 80 / 5e12**0.23)
    assert found["compute"] == pytest.approx(cheapest(lambda n, d: float(law.predict({"params": n, "tokens": d}, LADDER)) - 0.7), rel=1e-3)
    assert found["compute"] == pytest.approx(6 * found["params"] * found["tokens"], rel=1e-9)
    assert answers("task_ladder", LADDER, **TARGET, target=0.39)["compute"] == np.inf


def direct_of(ladder, link):
    """The direct law of a ladder and a link: only products and differences of their parameters are in it."""
    k = link["k"]
    return {
        **{"floor": link["a"] + link["b"], "ceiling": link["b"], "h": k * (link["L0"] - ladder["E"])},
        **{"a": k * ladder["A"], "b": k * ladder["B"], "alpha": ladder["alpha"], "beta": ladder["beta"]},
    }


def test_direct_is_both_stages_in_one():
    law, at = bs.get_law("task_ladder:direct"), {"params": np.logspace(8, 11, 7), "tokens": np.logspace(13, 9.5, 7)}
    p = direct_of(LADDER, LINK)
    loss = bs.get_law("task_ladder").predict(at, LADDER)
    assert law.predict(at, p) == pytest.approx(bs.get_law("bounded_metric").predict({"task_loss": loss}, LINK), rel=1e-9)
    again = sampled_and_derived(law, p)
    assert {name: again[name] for name in p} == pytest.approx(p, rel=1e-6)
    # And so are their decisions: the compute that reaches 60 %.
    needed = answers("bounded_metric", LINK, task_loss=0.7, target=0.6)["needed_loss"]
    by_stages = answers("task_ladder", LADDER, **TARGET, target=needed)["compute"]
    assert answers("task_ladder:direct", p, **TARGET, target=0.6)["compute"] == pytest.approx(by_stages, rel=1e-6)
    assert answers("task_ladder:direct", p, **TARGET, target=0.25)["compute"] == 0
    assert answers("task_ladder:direct", p, **TARGET, target=0.95)["compute"] == np.inf


def test_line_of_llama3():
    found = answers("task_ladder:llama3", {"c": 1.0, "s": 0.1}, compute=3.8e25, target=0.6)
    assert found["task_loss"] == pytest.approx(1 - 0.1 * np.log10(3.8e5))
    assert found["needed_compute"] == pytest.approx(1e24)


@pytest.mark.parametrize("rho", [1e-3, 1e-9, 1e-19])
def test_counts_that_are_hardly_correlated(rho):
    """Against the product of rising factorials, term by term over the binomial.

    A difference of log gamma functions gave thousands of nats of rounding error at small rho, and a search for the mode followed it.
    """
    n, p = 14042, 0.36
    for k in (0, 3500, 9000, n):
        rising = [np.log1p(np.arange(m) * rho / share).sum() for m, share in ((k, p), (n - k, 1 - p), (n, 1.0))]
        exact = stats.binom(n, p).logpmf(k) + rising[0] + rising[1] - rising[2]
        with jax.enable_x64(True):
            found = float(BetaBinomialFraction(float(n), p, rho).log_prob(k / n))
        assert found == pytest.approx(exact, abs=1e-6), k


# --- the chain ----------------------------------------------------------------------------------------------------------------


def fit_of(law, sampled, noise=None, fixed=None):
    """A fit with draws of its sampled parameters, (chain, draw), made by hand."""
    noise, fixed = noise_of(law, noise), fixed or {}
    with jax.enable_x64(True):
        derived = law.derive({**{name: np.full_like(next(iter(sampled.values())), v) for name, v in fixed.items()}, **sampled})
    draws = {name: np.asarray(values) for name, values in {**derived, **sampled}.items()}
    tree = xarray.DataTree.from_dict({"posterior": xarray.Dataset({n: (("chain", "draw"), values) for n, values in draws.items()})})
    tree.attrs = {"law": json.dumps(law.name)}
    some = {name: np.full(2, value) for name, value in inputs_within(law, 1).items()}
    runs = bs.runs_from_columns({**some, law.output: np.full(2, 0.5), **{name: np.full(2, 100.0) for name in noise.needs}})
    return Fit(law, noise, runs, tree, SimpleNamespace(ok=True), fixed)


def spread(rng, centre, scales, shape=(4, 5000)):
    return {name: value * np.exp(scales.get(name, 0.0) * rng.standard_normal(shape)) for name, value in centre.items()}


TRIALS, RHO, SIGMA, NU = 2000.0, 2e-4, 0.01, 5.0


def stages(rng, *, first=1.0, second=1.0, scatter=1.0, rho=RHO):
    """Both fits, with posteriors of a given width; 0 collapses one to its centre."""
    ladder, link = bs.get_law("task_ladder"), bs.get_law("bounded_metric")
    with jax.enable_x64(True):
        one = {name: float(value) for name, value in ladder.sampled(LADDER).items()}
        two = {name: float(value) for name, value in link.sampled(LINK).items()}
    one |= {"sigma": SIGMA * scatter, "nu": NU}
    two = {name: value for name, value in two.items() if name != "floor"} | {"rho": rho}
    return (
        fit_of(ladder, spread(rng, one, {"E": 0.05 * first, "A_ref": 0.03 * first})),
        fit_of(link, spread(rng, two, {"k": 0.05 * second, "foot": 0.03 * second}), fixed={"floor": 0.25}),
    )


def accuracies(rng, trials=TRIALS, **how):
    ladder, link = stages(rng, **how)
    drawn = bs.predict(ladder, {**{name: np.array([value]) for name, value in TARGET.items()}, "trials": np.array([trials])}, then=link)
    return np.asarray(drawn["new"]).ravel(), np.asarray(drawn["expected"]).ravel()


def test_chain_is_the_simulation_of_both_stages():
    """Against numpy: new parameters of both stages, a new measured task loss, its accuracy, the run's own probability, and its items."""
    rng = np.random.default_rng(0)
    new, _ = accuracies(rng)
    size = 400_000
    E, A = LADDER["E"] * np.exp(0.05 * rng.standard_normal(size)), LADDER["A"] * np.exp(0.03 * rng.standard_normal(size))
    curve = E + A / 1.3e10 ** LADDER["alpha"] + LADDER["B"] / 5e12 ** LADDER["beta"]
    loss = curve * np.exp(SIGMA * rng.standard_t(NU, size))
    foot = LINK["L0"] + np.log(0.7 / 0.75) / LINK["k"]
    k, foot = LINK["k"] * np.exp(0.05 * rng.standard_normal(size)), foot * np.exp(0.03 * rng.standard_normal(size))
    p = 0.25 + 0.7 / (1 + np.exp(k * (loss - foot + np.log(0.7 / 0.75) / k)))
    expected = rng.binomial(int(TRIALS), rng.beta(p / RHO, (1 - p) / RHO)) / TRIALS
    for q in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert np.quantile(new, q) == pytest.approx(np.quantile(expected, q), abs=0.002), q
    assert np.std(new) == pytest.approx(np.std(expected), rel=0.03)


@pytest.mark.parametrize(
    "without",
    [{"first": 0.0}, {"second": 0.0}, {"scatter": 1e-3}, {"rho": 1e-9}, {"trials": 1e9}],
    ids=["posterior of stage 1", "posterior of stage 2", "scatter of the loss", "scatter of the link", "finite number of items"],
)
def test_every_source_widens_the_chain(without):
    whole, _ = accuracies(np.random.default_rng(1))
    less, _ = accuracies(np.random.default_rng(1), **without)
    assert np.var(less) < 0.985 * np.var(whole)  # 20 000 draws: variances to 1 %; the same draws of what is left, so their ratio closer


def test_curve_of_the_chain_has_no_scatter():
    _, curve = accuracies(np.random.default_rng(2), first=0.0, second=0.0)
    assert np.ptp(curve) < 1e-12


def test_chain_takes_the_number_of_items_from_the_runs_and_says_so():
    ladder, link = stages(np.random.default_rng(0))
    usual = float(np.quantile(link.runs["trials"], 0.5, method="lower"))
    found = bs.predict(ladder, TARGET, then=link)
    assert found.attrs["assumed"] == f"trials = {usual:g} (accuracy)"
    assert found["new"].equals(bs.predict(ladder, {**TARGET, "trials": usual}, then=link)["new"])


def test_command_line_chains_two_fits(monkeypatch, tmp_path, capsys):
    ladder, link = stages(np.random.default_rng(4))
    monkeypatch.setattr("bayes_scaling.storage.load_fit", lambda path, law=None: {"one.nc": ladder, "two.nc": link}[path])
    points = tmp_path / "points.csv"
    points.write_text("params,tokens,trials\n1.3e10,5e12,2000\n7e9,4e12,500\n")
    command = ["predict", "one.nc", "--then", "two.nc", "--at", str(points)]
    assert main([*command, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["law"], record["output"]) == ("bounded_metric", "accuracy")
    at = {"params": np.array([1.3e10, 7e9]), "tokens": np.array([5e12, 4e12]), "trials": np.array([2000.0, 500])}
    drawn = np.quantile(bs.predict(ladder, at, then=link)["new"], [0.05, 0.5, 0.95], axis=(0, 1))
    for i, row in enumerate(record["rows"]):
        assert [row["q05"], row["median"], row["q95"]] == pytest.approx(drawn[:, i])
    assert main(command) == 0
    assert f"{drawn[1, 0]:.4f}" in capsys.readouterr().out


SETS = 40


@pytest.mark.long
def test_chain_covers_what_it_claims():
    """Whole ladders simulated from the priors and sampled, both stages: 90 % intervals of a larger run hold its accuracy so often.

    40 ladders of 24 runs as OLMo's, a target of sqrt(10) times the size and data; bounds of four standard errors.
    """
    rng = np.random.default_rng(3)
    params = np.tile(np.repeat([1.9e8, 3.7e8, 7.6e8, 1.3e9], 6), (SETS, 1))
    tokens = params * np.tile([10.0, 20, 20, 40, 100, 200], 4)
    params, tokens = (np.concatenate([part, part[:, -1:] * 10**0.5], axis=1) for part in (params, tokens))  # the last one is the target
    trials = np.full(params.shape, TRIALS)
    ladder, link = bs.get_law("task_ladder"), bs.get_law("bounded_metric")
    fits = []
    with jax.enable_x64(True):
        columns = {"params": params, "tokens": tokens, "trials": trials}
        for law, fixed in ((ladder, {"nu": 4.0}), (link, {"floor": 0.25})):
            noise = noise_of(law)
            keys = iter(jax.random.split(jax.random.PRNGKey(len(law.name)), 20))
            priors = {item.name: item.prior for item in (*law.parameters, *noise.parameters) if item.name not in fixed}
            truth = {name: np.asarray(prior.sample(next(keys), (SETS,)), float) for name, prior in priors.items()}
            wide = {**{name: values[:, None] for name, values in truth.items()}, **fixed}
            wide = law.complete(wide)
            curve = law.formula(columns, wide)
            columns[law.output] = np.asarray(noise.distribution(curve, wide, columns).sample(next(keys)))
            seen = {name: columns[name][:, :-1] for name in noise.columns(law)}
            weight = np.ones(seen[law.output].shape)
            one = {name: values[0] for name, values in seen.items()}
            density = build_density(law, noise, Settings(fixed), one, weight[0])
            place = jax.vmap(lambda values, columns, weight, density=density: density.unconstrain(values, columns, weight))
            turned = [{name: np.roll(values, shift) for name, values in truth.items()} for shift in (7, 19, 31)]
            starts = np.stack([np.asarray(place(values, seen, weight)) for values in turned], axis=1)
            cpu = jax.devices("cpu")[0]
            with jax.default_device(cpu):
                found = engine.sample_many(density, seen, weight, starts, cpu, chains=2, warmup=300, draws=200)
            fits.append((law, fixed, {name: found.sites[name] for name in truth}))
    ranks = []
    for i in range(SETS):
        one, two = (fit_of(law, {name: values[i] for name, values in draws.items()}, fixed=fixed) for law, fixed, draws in fits)
        at = {name: columns[name][i, -1:] for name in ("params", "tokens", "trials")}
        new = np.asarray(bs.predict(one, at, then=two, seed=i)["new"]).ravel()
        measured = columns["accuracy"][i, -1]
        ranks.append(np.mean(new < measured) + rng.uniform() * np.mean(new == measured))  # counts tie
    for level in (0.5, 0.9):
        share = np.mean(np.abs(np.array(ranks) - 0.5) < level / 2)
        assert share == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / SETS)), level
