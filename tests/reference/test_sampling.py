"""Repeated sampling: decisions against independent calculation, what a power law in samples is made of, and prediction on real counts."""

import numpy as np
import pytest
from refits.sampling import COUNTS, CURVES, MODELS, with_params
from repeated_sampling import predictions
from scipy.integrate import quad
from scipy.optimize import brentq, minimize
from scipy.special import betaln, digamma
from scipy.stats import beta as beta_distribution

import bayes_scaling as bs
from bayes_scaling.decision import decide

CURVE, COUNT, SIZE = bs.get_law("coverage"), bs.get_law("pass_at_k"), bs.get_law("pass_at_k:size")


def key(model):
    return model.lower().replace(" ", "_")


def ask(law, name, **given):
    found = decide(law, given, published=name)
    return {item.name: float(found[item.name].squeeze()) for item in law.decision.answers}


def pass_at_k(k, alpha, beta):
    return -np.expm1(betaln(alpha, beta + k) - betaln(alpha, beta))


def test_two_points_of_the_sheet():
    """SWE-bench Lite: 15.9 % at 1 and 56 % at 250 samples give a = -1.838851, b = -0.209035."""
    found = CURVE.published["swe_bench_lite_deepseek"].values
    assert found["a"] == pytest.approx(-1.838851, abs=5e-7)
    assert found["b"] == pytest.approx(-0.209035, abs=5e-7)


def test_published_curves_are_least_squares_of_the_data(shared_data):
    for model in MODELS:
        runs = bs.read_runs(shared_data / CURVES, where=f"model == '{model}'")
        b, log_a = np.polyfit(np.log(runs["samples"]), np.log(-np.log(runs["coverage"])), 1)
        values = CURVE.published[key(model)].values
        assert (values["a"], values["b"]) == pytest.approx((-np.exp(log_a), b), abs=1e-5)


def test_the_measured_curve_is_the_mean_of_unbiased_pass_at_k(shared_data):
    """The counts and the curve of the data folder are of one experiment."""
    for model in MODELS:
        counts = bs.read_runs(shared_data / COUNTS, where=f"model == '{model}'")
        curve = bs.read_runs(shared_data / CURVES, where=f"model == '{model}'")
        ours = [np.mean(bs.unbiased_pass_at_k(counts["trials"], counts["successes"], k)) for k in curve["samples"]]
        assert ours == pytest.approx(curve["coverage"], rel=1e-6)


def test_published_shapes_are_the_maximum_of_the_likelihood(shared_data):
    """No neighbour is likelier, by an independent likelihood; and the slope there is flat to the digits given."""
    runs = with_params(shared_data)
    for model in MODELS:
        part = runs.of_group(model)
        values = COUNT.published[key(model)].values

        def log_likelihood(alpha, beta, part=part):
            c, n = part["successes"], part["trials"]
            return np.sum(betaln(c + alpha, n - c + beta) - betaln(alpha, beta))

        best = log_likelihood(**values)
        for name in values:
            for factor in (0.999, 1.001):
                assert log_likelihood(**{**values, name: values[name] * factor}) < best


def test_published_dependence_on_size_is_the_maximum_of_the_likelihood(shared_data):
    runs = with_params(shared_data)
    c, n, distance = runs["successes"], runs["trials"], np.log(runs["params"] / 1e9)

    def cost(z):
        alpha = np.exp(z[2] + z[3] * distance)
        beta = alpha * np.exp(-z[0] - z[1] * distance)
        return -np.sum(betaln(c + alpha, n - c + beta) - betaln(alpha, beta))

    found = minimize(cost, [-4.7, 0.5, -1.6, 0.2], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9, "maxfev": 4000}).x
    values = SIZE.published["pythia_math"].values
    ours = [1 / (1 + np.exp(-found[0])), found[1], np.exp(found[2]), found[3]]
    assert ours == pytest.approx([values[item.name] for item in SIZE.parameters], rel=1e-4)


@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 2.0), (0.065, 100.0), (2.0, 9.0)])
def test_pass_at_k_is_the_mean_over_problems(alpha, beta):
    """By quadrature over the chance of a problem, in ln p where its density has its weight."""
    density = beta_distribution(alpha, beta)
    for k in (1, 17, 3000):
        mean, _ = quad(lambda u, k=k: density.pdf(np.exp(u)) * np.exp(u) * -np.expm1(k * np.log1p(-np.exp(u))), -60, -1e-12, limit=400)
        assert COUNT.predict({"samples": k}, {"alpha": alpha, "beta": beta}) == pytest.approx(mean, rel=1e-6)


def test_failures_vanish_as_the_left_tail_says():
    """1 - pass@k -> Gamma(alpha + beta) / Gamma(beta) k^-alpha, and -ln pass@k with it: there b = -alpha. At few samples it is the law of
    small numbers: -ln pass@k = -ln (k pass@1), of slope -1 / ln(1 / pass@k), whatever the tail."""
    for name, item in COUNT.published.items():
        alpha, beta = item.values["alpha"], item.values["beta"]
        far = beta * 10 ** (6 / alpha) if alpha > 0.1 else 1e60  # where a millionth of the failures is left
        k = np.array([far, far * 1.01])
        deficit = -np.log(COUNT.predict({"samples": k}, item.values))
        assert np.diff(np.log(deficit))[0] / np.log(1.01) == pytest.approx(-alpha, rel=0.01), name
        first = COUNT.predict({"samples": 1.0}, item.values)
        k = np.array([1.0, 1.001])
        deficit = -np.log(COUNT.predict({"samples": k}, item.values))
        slope = np.diff(np.log(deficit))[0] / np.log(1.001)
        assert slope == pytest.approx(1 / np.log(first), rel=0.1), name
        # What a curve fit over 1 to 10 000 samples calls b is neither: it lies above the tail's exponent.
        assert -CURVE.published[name].values["b"] > 1.2 * alpha


def test_the_curve_is_convex_where_no_coverage_can_be():
    """Coverage is concave in k for any problems; exp(a k^b) is convex below exp(-(1 + 1 / |b|))."""
    values = CURVE.published["pythia_160m"].values
    bend = np.exp(-(1 - 1 / values["b"]))
    assert bend == pytest.approx(0.0103, abs=1e-4)
    at = (np.log(bend) / values["a"]) ** (1 / values["b"])
    assert 1 < at < 10  # inside the measured range
    for k, sign in ((0.9 * at, 1), (1.1 * at, -1)):
        c = CURVE.predict({"samples": k * np.array([0.999, 1, 1.001])}, values)
        assert np.sign(c[0] - 2 * c[1] + c[2]) == sign
    k = np.arange(1, 300.0)
    for item in COUNT.published.values():
        assert np.all(np.diff(COUNT.predict({"samples": k}, item.values), 2) < 0)


@pytest.mark.parametrize("name", sorted(CURVE.published))
def test_samples_for_a_target_of_the_curve(name):
    for target in (0.3, 0.9):
        got = ask(CURVE, name, target=target)["samples"]
        p = CURVE.published[name].values
        root = np.exp(brentq(lambda u, t=target, p=p: np.exp(p["a"] * np.exp(p["b"] * u)) - t, 0, 300))
        assert got == pytest.approx(root, rel=1e-8)
    assert ask(CURVE, name, target=1.0)["samples"] == np.inf
    assert ask(CURVE, name, target=1e-9)["samples"] == 1


@pytest.mark.parametrize("target", [0.02, 0.3, 0.9, 0.99])
def test_samples_for_a_target_of_the_counts(target):
    for name, item in COUNT.published.items():
        alpha, beta = item.values["alpha"], item.values["beta"]
        got = ask(COUNT, name, target=target)["samples_needed"]
        if pass_at_k(1, alpha, beta) >= target:
            assert got == 1
        else:

            def short(u, alpha=alpha, beta=beta):
                return betaln(alpha, beta + np.exp(u)) - betaln(alpha, beta) - np.log1p(-target)

            assert np.log(got) == pytest.approx(brentq(short, 0, 80), abs=1e-5) if short(np.log(1e30)) < 0 else got == np.inf


def test_impossible_targets_take_infinitely_many_samples():
    for target in (1.0, 1.5):
        assert ask(COUNT, "pythia_1b", target=target)["samples_needed"] == np.inf
        assert ask(SIZE, "pythia_math", target=target)["test_compute"] == np.inf


@pytest.mark.parametrize("price", [1e-5, 1e-3, 0.05, 2.0])
def test_samples_worth_their_price(price):
    """Against all whole numbers of samples up to 1 / price, more than which none can be worth."""
    k = np.unique(np.round(np.geomspace(1, max(1 / price, 2), 200_000)))
    for law, name, answer in (
        (CURVE, "pythia_12b", "samples_worth"),
        (COUNT, "pythia_12b", "samples_worth"),
        (COUNT, "pythia_70m", "samples_worth"),
    ):
        gain = law.predict({"samples": k}, law.published[name].values) - price * k
        got = ask(law, name, target=0.5, price=price)[answer]
        if gain.max() <= 0:
            assert got == 0
        else:
            value = law.predict({"samples": got}, law.published[name].values) - price * got
            assert gain.max() - 1e-9 <= value <= gain.max() + 1e-5  # between whole numbers it can only be a little better
            assert got == pytest.approx(k[gain.argmax()], rel=0.01, abs=1)


@pytest.mark.parametrize("target", [0.3, 0.5, 0.8])
def test_best_size_by_brute_force(target):
    p = SIZE.published["pythia_math"].values
    got = ask(SIZE, "pythia_math", target=target, answer_tokens=100)
    params = np.geomspace(1e6, 1e13, 3001)
    distance = np.log(params / 1e9)
    alpha = p["alpha_ref"] * np.exp(p["alpha_exponent"] * distance)
    beta = alpha * (1 - p["mean_ref"]) / p["mean_ref"] * np.exp(-p["mean_slope"] * distance)
    cost = np.full(len(params), np.inf)
    for i, (a, b) in enumerate(zip(alpha, beta, strict=True)):

        def short(u, a=a, b=b):
            return betaln(a, b + np.exp(u)) - betaln(a, b) - np.log1p(-target)

        cost[i] = 2 * params[i] * 100 * (np.exp(brentq(short, 0, 60)) if short(0) > 0 else 1)
    assert got["test_compute"] == pytest.approx(cost.min(), rel=1e-4)
    assert got["test_compute"] <= cost.min() * (1 + 1e-9)
    assert got["params"] == pytest.approx(params[cost.argmin()], rel=0.02)
    assert got["test_compute"] == pytest.approx(2 * got["params"] * 100 * got["samples"], rel=1e-9)
    reached = SIZE.predict({"params": got["params"], "samples": got["samples"]}, p)
    assert reached == pytest.approx(target, rel=1e-8)


def test_harder_targets_want_larger_models():
    """Many samples make up for size where little is asked, and not where the tail decides."""
    sizes = [ask(SIZE, "pythia_math", target=target)["params"] for target in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert np.all(np.diff(sizes) > 0)


def test_a_hundred_samples_foretell_ten_thousand(shared_data):
    """Fitted on 100 samples of each problem, the 90 % interval of coverage at 10 000 holds for at least 6 of the 7 models."""
    found = predictions(shared_data, seed=0, kinds=("same",), draws=500)
    assert all(p.trusted for p in found)
    assert sum(p.holds for p in found) >= 6, found
    assert np.mean([p.high - p.low for p in found]) < 0.35  # and not by saying nothing


@pytest.mark.long
def test_how_often_the_prediction_holds(shared_data):
    """Over five choices of the hundred samples: as often as 90 % intervals must, of one set of problems (3 binomial standard errors)."""
    found = [p for seed in range(5) for p in predictions(shared_data, seed=seed, kinds=("same",), draws=500)]
    assert np.mean([p.holds for p in found]) > 0.9 - 3 * np.sqrt(0.09 / len(found))


def test_slope_of_the_inversion():
    """d ln k / d alpha of the samples needed, which the search for the best size follows: against a difference and in closed form."""
    import jax
    from bayes_scaling.models.pass_at_k import log_needed

    with jax.enable_x64(True):
        both = jax.jit(jax.value_and_grad(lambda alpha: log_needed(alpha, 9.0, 0.8)))
        (log_k, ours), step = map(float, both(0.3)), 1e-5
        theirs = (float(both(0.3 + step)[0]) - float(both(0.3 - step)[0])) / (2 * step)
    k = np.exp(log_k)
    assert ours == pytest.approx(theirs, rel=1e-6)
    # In closed form: -(d ln S / d alpha) / (d ln S / d ln k).
    by_alpha = digamma(9.3) - digamma(9.3 + k)
    by_log_k = k * (digamma(9 + k) - digamma(9.3 + k))
    assert ours == pytest.approx(-by_alpha / by_log_k, rel=1e-6)
