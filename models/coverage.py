"""Coverage: the share of problems that are solved by at least one of k samples, as an exponentiated power law.

    c(k) = exp(a k^b),    a < 0, b < 0

Brown et al. 2024 (arXiv 2407.21787). a = ln c(1), the logarithm of pass@1; others write exp(-a k^-b) with both positive.

When to use it: a published or plotted curve of coverage, where the counts behind it are not at hand.
When not: where they are at hand, use `pass_at_k`. All points of a curve come from the same samples of the same problems: neighbours
agree far beyond their own scatter, and a fit that takes them for independent measurements states intervals that are too narrow.

Where the literature overreaches: the curve is a description, not a law of repeated sampling. Coverage is an average of 1 - (1 - p)^k over
problems, and so concave in k whatever the problems; exp(a k^b) is convex in k wherever it is below exp(-(1 + 1/|b|)), that is 0.01 at
b = -0.28, so it undershoots few samples of a weak model. Nor is b the exponent at which failures vanish: with problems whose chances of
success have a density as p^(alpha - 1) near 0, 1 - c(k) falls as k^-alpha (Schaeffer et al. 2025, arXiv 2502.17578), and -ln c only comes
to equal 1 - c as c nears 1. Fitted to k from 1 to 1e4, |b| is up to three times alpha (0.19 and 0.07 for Pythia 70M on MATH).
"""

import math

import jax.numpy as jnp
from numpyro.distributions import LogNormal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published, Term
from bayes_scaling.numeric import kept_inside, minimum, power

SAMPLES_REFERENCE = 100.0  # amid published curves on a logarithmic scale, where level and exponent are least entangled


def _coverage(samples, p):
    return jnp.exp(-power(-p["a"], -p["b"], samples))


def formula(inputs, p):
    return kept_inside(_coverage(inputs["samples"], p))


def derived(p):
    return {"a": -p["deficit_ref"] * SAMPLES_REFERENCE ** p["decay"], "b": -p["decay"]}


def invert(p):
    return {"deficit_ref": -p["a"] * SAMPLES_REFERENCE ** p["b"], "decay": -p["b"]}


def answer(p, given):
    wanted = -jnp.log(jnp.where(given["target"] < 1, given["target"], 0.5))
    needed = jnp.exp((jnp.log(-p["a"]) - jnp.log(wanted)) / -p["b"])
    # No more samples can be worth their price than would cost what the problem is worth.
    most = jnp.maximum(-jnp.log(given["price"]), 0.0) + 0 * p["a"]
    worth = jnp.exp(minimum(lambda log_k: given["price"] * jnp.exp(log_k) - _coverage(jnp.exp(log_k), p), 0 * most, most))
    reached = _coverage(worth, p)
    gains = reached > given["price"] * worth
    return {
        "samples": jnp.where(given["target"] < 1, jnp.maximum(needed, 1.0), jnp.inf),
        "samples_worth": jnp.where(gains, worth, 0.0),
        "coverage_worth": jnp.where(gains, reached, 0.0),
    }


BROWN = "Brown et al. 2024, arXiv 2407.21787"


def _two_points(pass_1, k, coverage, about, note):
    a = math.log(pass_1)
    b = math.log(math.log(coverage) / a) / math.log(k)
    return Published(
        {"a": a, "b": b}, f"{BROWN}: {about}", note=f"through coverage {pass_1:g} at 1 and {coverage:g} at {k} samples; {note}"
    )


def _least_squares(a, b, model):
    return Published(
        {"a": a, "b": b},
        "computed from the data released with Schaeffer et al. 2025, arXiv 2502.17578",
        note=f"{model}, 128 problems of MATH; least squares of ln(-ln coverage) on ln k over 101 k from 1 to 10 000",
    )


LAW = Law(
    name="coverage",
    title="Share of problems solved against samples a problem",
    equation="c(k) = exp(a k^b), a < 0, b < 0",
    citation=BROWN,
    use="a curve of coverage against samples, where the counts of successes behind it are not at hand",
    avoid="counts (use pass_at_k): points of a curve share their samples, so intervals from it are too narrow; coverage below some 0.01",
    inputs=(Input("samples", "count", "samples allowed for each problem; one that succeeds is enough", 1.0, 1e4),),
    parameters=(
        Parameter("deficit_ref", LogNormal(0.0, 1.0), f"-ln coverage at {SAMPLES_REFERENCE:g} samples"),
        Parameter("decay", LogNormal(-1.2, 0.6), "-b: exponent at which -ln coverage falls with samples"),
    ),
    formula=formula,
    derived=derived,
    invert=invert,
    terms=(Term("deficit_ref", "decay", "samples", SAMPLES_REFERENCE),),
    output="coverage",
    noise="logit-student-t",
    decision=Decision(
        question="how many samples does a target coverage need, and how many are worth their price?",
        given=(
            Input("target", "fraction", "coverage to reach"),
            Input("price", "", "price of a sample (with its check), as a share of what a solved problem is worth"),
        ),
        answers=(
            Input("samples", "count", "samples a problem that the target needs"),
            Input("samples_worth", "count", "samples a problem at which coverage less their price is highest (0: none is worth it)"),
            Input("coverage_worth", "fraction", "coverage there"),
        ),
        answer=answer,
        example={"target": 0.9},
        optional={"price": 1e-4},
    ),
    published={
        "swe_bench_lite_deepseek": _two_points(0.159, 250, 0.56, "DeepSeek-Coder-V2 on SWE-bench Lite", "no fitted values were published"),
        "code_contests_gemma_2b": _two_points(0.0002, 10_000, 0.071, "Gemma-2B on CodeContests", "one digit of pass@1 only"),
        "math_pythia_160m": _two_points(0.0027, 10_000, 0.57, "Pythia-160M on MATH", "beside the least squares of pythia_160m"),
        "pythia_70m": _least_squares(-8.025960, -0.194255, "Pythia 70M"),
        "pythia_160m": _least_squares(-6.591620, -0.279714, "Pythia 160M"),
        "pythia_410m": _least_squares(-5.524115, -0.286280, "Pythia 410M"),
        "pythia_1b": _least_squares(-5.452294, -0.314595, "Pythia 1B"),
        "pythia_2.8b": _least_squares(-4.104066, -0.335505, "Pythia 2.8B"),
        "pythia_6.9b": _least_squares(-4.255154, -0.348373, "Pythia 6.9B"),
        "pythia_12b": _least_squares(-4.112894, -0.370164, "Pythia 12B"),
    },
    checks=(
        Check("", {"samples": 10}, 0.320989, 2e-6, values={"a": -1.838851, "b": -0.209035}),
        Check("swe_bench_lite_deepseek", {"samples": 1}, 0.159),
        Check("swe_bench_lite_deepseek", {"samples": 10}, 0.320989, 2e-6),
        Check("swe_bench_lite_deepseek", {"samples": 250}, 0.56),
        Check("math_pythia_160m", {"samples": 10_000}, 0.57),
        Check("code_contests_gemma_2b", {"samples": 10_000}, 0.071),
    ),
)
