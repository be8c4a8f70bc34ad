"""Data filtering: error of a model that passes repeatedly over a pool of data of one quality.

    y(n) = d + a n^(-b)                                                       within the first pass, n <= n_1
    y(n) = d + a n_1^(-b_1) prod_{j=2..k} (n_j / n_{j-1})^(-b_j)              in pass k, n_j = min(j n_1, n)
    b_k = b (1/2)^((k - 1) / tau)

Goyal et al. 2024 (arXiv 2404.07177), section 4: n are the examples seen, n_1 the examples of the pool. The quality of a pool is its
exponent b (the paper's has the other sign), what an example teaches; each pass over the pool multiplies it by (1/2)^(1/tau), so that after
tau passes it has halved. y is continuous in n, with a kink at the end of each pass.

A pool made of p tiers of equal size repeats each tier p times as slowly (tau -> p tau), and its exponent is the mean of the tiers' decayed
exponents (the paper's theorem 1). Its curves start at one point: at n_0 = a^(1/b) examples, where the reducible error extrapolates to 1.
So good data win at first, and lose to more data of lower quality once they have been repeated: filtering depends on the budget.

When to use it: one curve of a quality tier (error against examples seen, over several passes) at one model size, or a group for each tier.
When not: runs of different model sizes; pools so small that the model memorises them and the error rises.

Conventions that trap: the first pass has the undecayed exponent (k - 1 above; with k, the first pass would already be decayed, and b larger
by 2^(1/tau)). In the authors' code, and so in the published sets below, the product also multiplies d, which then is no floor: at ten
passes of the best tier the code's error is 0.03 below the formula's, which is implemented here as the paper prints it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Beta, LogNormal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published
from bayes_scaling.numeric import crossing

#: Where the prior of the error is stated: the published curves come out of chance (and, fitted, below 1) about here.
EXAMPLES_REFERENCE = 3e7
#: Passes that are summed one by one; beyond, the sum is an integral. Its error is below 3e-5 of the gain.
PASSES = 24
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
MOST_TIERS = 10
LONGEST = 6.0  # decades of passes in which the tipping point is looked for


def decayed_gain(passes, half_life):
    """Return sum_j 2^(-(j - 1) / tau) ln(n_j / n_{j-1}) over the passes after the first: ln of the growth in examples that still counts."""
    rate = jnp.log(2.0) / half_life
    later = jnp.arange(1.0, PASSES)  # passes before the j-th
    log_passes = jnp.log(jnp.maximum(passes, 1.0))
    grown = jnp.clip(log_passes[..., None] - jnp.log(later), 0.0, jnp.log1p(1 / later))
    gain = jnp.sum(jnp.exp(-rate[..., None] * later) * grown, axis=-1)
    # Between PASSES and what was seen, over u = ln passes. A pass ends half a pass beyond its middle; the two corrections are those of the
    # mean and of the curvature within a pass.
    width = jnp.maximum(log_passes - jnp.log(PASSES), 0.0) / 2
    nodes, weights = (jnp.asarray(values, float) for values in (NODES, WEIGHTS))  # in as many bits as is computed in
    passed = jnp.exp(jnp.log(PASSES) + width[..., None] * (nodes + 1))
    tail = jnp.sum(weights * jnp.exp(-rate[..., None] * (passed - 0.5 + 1 / (12 * passed))), axis=-1)
    return gain + width * tail * (1 - rate**2 / 24)


def formula(inputs, p):
    shape = jnp.broadcast_shapes(*(jnp.shape(value) for value in (inputs["examples"], inputs["unique_examples"], p["b"], p["tau"])))
    examples, pool, tau = (jnp.broadcast_to(value, shape) for value in (inputs["examples"], inputs["unique_examples"], p["tau"]))
    gain = jnp.log(jnp.minimum(examples, pool)) + decayed_gain(examples / pool, tau)
    return p["d"] + jnp.exp(jnp.log(p["a"]) - p["b"] * gain)


def derived(sampled):
    # A share of 1 - d: an error above 1 is impossible, and a prior that allowed it would leave the likelihood flat there.
    return {"a": (1 - sampled["d"]) * sampled["left_ref"] * EXAMPLES_REFERENCE ** sampled["b"]}


def invert(published):
    left = published["a"] * EXAMPLES_REFERENCE ** -published["b"] / (1 - published["d"])
    return {"d": published["d"], "left_ref": left, "b": published["b"], "tau": published["tau"]}


def log_reducible(p, log_examples, pool, tiers, quality_ratio, half_life_ratio):
    """Return ln(y - d) of a pool of this tier and the ``tiers - 1`` next ones (theorem 1); quality and half-life fall by the ratios."""
    log_start = jnp.log(p["a"]) / p["b"]  # ln n_0
    log_pool = jnp.log(pool * tiers)
    first = jnp.minimum(log_examples, log_pool) - log_start

    def add(i, total):
        tau = tiers * p["tau"] * half_life_ratio**i
        gain = first + decayed_gain(jnp.exp(log_examples - log_pool), jnp.broadcast_to(tau, jnp.shape(first)))
        return total + jnp.where(i < tiers, quality_ratio**i * gain, 0.0)

    return -p["b"] / tiers * jax.lax.fori_loop(0, MOST_TIERS, add, jnp.zeros(jnp.shape(first)))


def answer(p, given):
    pool, ratios = given["unique_examples"], (given["quality_ratio"], given["half_life_ratio"])
    shape = jnp.broadcast_shapes(*(jnp.shape(value) for value in (*p.values(), *given.values())))
    log_examples = jnp.broadcast_to(jnp.log(given["examples"]), shape)

    def look(tiers, found):
        best, lowest = found
        here = jnp.where(tiers <= given["tiers"], log_reducible(p, log_examples, pool, tiers, *ratios), jnp.inf)
        return jnp.where(here < lowest, tiers, best), jnp.minimum(here, lowest)

    alone = log_reducible(p, log_examples, pool, 1.0, *ratios)
    tiers, lowest = jax.lax.fori_loop(2, MOST_TIERS + 1, look, (jnp.ones(shape, int), alone))

    def behind(log_seen):  # falls below zero once the wider pool is ahead
        log_seen = jnp.broadcast_to(log_seen, shape)
        return log_reducible(p, log_seen, pool, 2.0, *ratios) - log_reducible(p, log_seen, pool, 1.0, *ratios)

    low = jnp.broadcast_to(jnp.log(pool), shape)
    tipping = jnp.exp(crossing(behind, 0.0, low, low + LONGEST * jnp.log(10.0)))
    passes = given["examples"] / pool
    # Of the pass in which the budget ends: an exact number of passes ends in the last of them.
    decay = -(jnp.ceil(jnp.maximum(passes, 1.0)) - 1) / p["tau"]
    return {
        "best_tiers": jnp.asarray(tiers, float),
        "error": p["d"] + jnp.exp(lowest),
        "error_one_tier": p["d"] + jnp.exp(alone),
        "widen_at": tipping,
        "passes_one_tier": jnp.broadcast_to(passes, shape),
        "utility_left": jnp.broadcast_to(2.0**decay, shape),
    }


GOYAL = "Goyal et al. 2024, arXiv 2404.07177"
CODE = "their repository scaling_laws_data_filtering, results/parameter_values.jsonl, tmars_imagenet1k_utility"


def _tier(b, tau, scale=0.025, d=0.1, note=""):
    """A set of the authors' code, whose power is of scale * examples / 1e5: one point, at 4e6 examples, common to all tiers."""
    return Published({"a": (1e5 / scale) ** b, "b": b, "tau": tau, "d": d}, f"{GOYAL}; {CODE}", note=note)


LAW = Law(
    name="data_filtering",
    title="Error against examples seen and examples in the pool, by quality of the pool",
    equation="y = d + a n_1^(-b_1) prod_j (n_j / n_{j-1})^(-b_j), b_j = b (1/2)^((j - 1) / tau)",
    citation=GOYAL,
    use="repeated training of one model on a pool of one quality; filtering for a given budget of examples seen",
    avoid="runs of different model sizes; pools so small that the error rises as they are repeated",
    inputs=(
        Input("examples", "count", "training examples seen, each counted as often as it is seen", 3e7, 1e10),
        Input("unique_examples", "count", "examples of the pool, each counted once; examples / unique_examples are the passes", 1e6, 1e9),
    ),
    parameters=(
        Parameter("d", Beta(1.5, 8.0), "irreducible error, a fraction"),
        Parameter("left_ref", Beta(3.0, 2.0), f"share of 1 - d that is left after {EXAMPLES_REFERENCE:.0e} fresh examples"),
        Parameter("b", LogNormal(-2.0, 0.5), "utility of the pool: exponent of fresh examples"),
        Parameter("tau", LogNormal(1.6, 0.8), "passes over the pool after which its utility has halved"),
    ),
    formula=formula,
    derived=derived,
    invert=invert,
    decreasing_in=("examples", "unique_examples"),
    output="error",
    noise="logit-student-t",
    decision=Decision(
        question="for a budget of examples seen, train on the best quality tier alone or add tiers of lower quality?",
        given=(
            Input("examples", "count", "examples that will be seen"),
            Input("unique_examples", "count", "examples of each quality tier; the fitted one is the best"),
            Input("quality_ratio", "", "utility b of each next tier over that of the one before (the paper's tiers: about 0.8)"),
            Input("half_life_ratio", "", "half-life tau of each next tier over that of the one before"),
            Input("tiers", "count", f"tiers there are to choose from, at most {MOST_TIERS}"),
        ),
        answers=(
            Input("best_tiers", "count", "best number of tiers, from the best one down"),
            Input("error", "fraction", "error of that pool"),
            Input("error_one_tier", "fraction", "error of the best tier alone"),
            Input("widen_at", "count", "examples seen from which two tiers are better than one (inf: never)"),
            Input("passes_one_tier", "", "passes over the best tier alone"),
            Input("utility_left", "fraction", "of the best tier in the last of them"),
        ),
        answer=answer,
        example={"examples": 6.4e8, "unique_examples": 1.28e7},
        optional={"quality_ratio": 0.8, "half_life_ratio": 1.0, "tiers": 4.0},
    ),
    published={
        "tmars_top10": _tier(0.16, 6.7272727272727275, note="T-MARS score, best 10 % of DataComp medium; ImageNet zero-shot error"),
        "tmars_10_20": _tier(0.125, 8.545454545454547, note="T-MARS score, 10 to 20 %"),
        "tmars_20_30": _tier(0.1, 5.2727272727272725, note="T-MARS score, 20 to 30 %"),
        "tmars_30_40": _tier(0.085, 2.2727272727272725, note="T-MARS score, 30 to 40 %"),
        "tmars_top40_quarter": _tier(0.12, 6.0, note="a random quarter of the best 40 %"),
    },
    checks=(
        Check("", {"examples": 1e8, "unique_examples": 1e8}, 0.258489, values={"a": 1.0, "b": 0.1, "d": 0.1, "tau": 5.0}, tolerance=2e-6),
        Check("", {"examples": 4e8, "unique_examples": 1e8}, 0.241973, values={"a": 1.0, "b": 0.1, "d": 0.1, "tau": 5.0}, tolerance=3e-6),
        # 12.8e6 fresh examples: (0.025 * 128)^-0.16 + 0.1.
        Check("tmars_top10", {"examples": 1.28e7, "unique_examples": 1.28e7}, 0.930187),
    ),
)
