"""pass@k: the share of problems that at least one of k samples solves, from counts of successes problem by problem.

    c_i ~ Binomial(n_i, p_i),    p_i ~ Beta(alpha, beta)
    pass@k = 1 - E (1 - p)^k = 1 - B(alpha, beta + k) / B(alpha, beta)

A row is a problem: ``successes`` of ``trials`` samples. One problem fails exponentially in k; that a set of problems does so as a power law
is the left tail of how they differ (Schaeffer et al. 2025, arXiv 2502.17578): with a density as p^(alpha - 1) near 0,

    1 - pass@k  ->  Gamma(alpha + beta) / Gamma(beta) * k^-alpha    for k >> beta.

The curve of Brown et al. 2024 (arXiv 2407.21787), -ln pass@k = |a| k^b, is the same only where pass@k is near 1, for there -ln pass@k
equals 1 - pass@k; then b = -alpha. Where pass@k is small it is k * pass@1: -ln pass@k falls as -ln k does, and its slope on double
logarithmic scales, -1 / ln(1 / pass@k), says how far the curve has come and nothing of the tail. An exponent |b| fitted to a whole curve
lies above alpha: 0.37 and 0.30 for Pythia 12B on MATH, 0.19 and 0.07 for Pythia 70M.

When to use it: counts of a verified success (unit tests, a checked answer) over independent samples, at least some ten problems.
When not: sampling that stopped at the first success (counts are then biased upward); answers picked by majority vote, which converges to
the most frequent answer and not to coverage; success by guessing among few answers. The tail is an assumption: alpha is extrapolated from
problems that have been solved to those that never were, and a share of impossible problems cannot be told from a small alpha until k is
large. Models tried on the same problems are not independent: what is hard for one is hard for the other; and models of several sizes are
not exchangeable (pooling their tails pulls the smallest one's up): use ``pass_at_k:size``, or fit each alone.
"""

import jax
import jax.numpy as jnp
from numpyro.distributions import Beta, LogNormal, Normal

from bayes_scaling.fractions import BetaBinomialFraction
from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published, Sharing
from bayes_scaling.noise import Noise
from bayes_scaling.numeric import log_gamma_ratio, minimum

PARAMS_REFERENCE = 1e9
LOG_MOST = 69.0  # ln of the most samples that are looked at, 1e30
SMALLEST, LARGEST = 1e6, 1e13  # models that the best one is sought among
SCHAEFFER = "Schaeffer et al. 2025, arXiv 2502.17578"
BROWN = "Brown et al. 2024, arXiv 2407.21787"


def log_unsolved(alpha, beta, samples):
    """Return ln E (1 - p)^samples = ln B(alpha, beta + samples) - ln B(alpha, beta)."""
    return log_gamma_ratio(beta, alpha) - log_gamma_ratio(beta + samples, alpha)


def coverage(alpha, beta, samples):
    return -jnp.expm1(log_unsolved(alpha, beta, samples))


def log_needed(alpha, beta, target):
    """Return ln of the samples that a target coverage needs, at least 0 and differentiable; infinite beyond LOG_MOST.

    By Newton's steps: ln E (1 - p)^k is concave in ln k, so they approach from the right whatever the start. The start is exact as k and
    beta grow: Gamma(x + alpha) / Gamma(x) is (x + (alpha - 1) / 2)^alpha to second order.
    """
    left = jnp.log1p(-jnp.where(target < 1, target, 0.5))
    a, b = jax.lax.stop_gradient((alpha + 0 * left, beta + 0 * left))
    level = jnp.maximum(b + (a - 1) / 2, b / 2)
    start = jnp.log(level) - left / a + jnp.log(-jnp.expm1(left / a))

    def slope_at(log_k):
        _, slope = jax.jvp(lambda u: log_unsolved(a, b, jnp.exp(u)), (log_k,), (jnp.ones_like(log_k),))
        return jnp.minimum(slope, -1e-9)

    def step(_, log_k):
        return jnp.clip(log_k - (log_unsolved(a, b, jnp.exp(log_k)) - left) / slope_at(log_k), 0.0, LOG_MOST)

    found = jax.lax.fori_loop(0, 10, step, jnp.clip(start, 0.0, LOG_MOST))
    # One step more, in which alpha and beta vary and the slope does not: the derivative is then that of the implicit function.
    exact = jnp.where(found > 0, found - (log_unsolved(alpha, beta, jnp.exp(found)) - left) / slope_at(found), 0.0)
    return jnp.where((target < 1) & (found < LOG_MOST), exact, jnp.inf)


class Attempts(BetaBinomialFraction):
    """The fraction, of ``trials`` batches of ``samples`` attempts at one new problem, that hold a success.

    Runs are single attempts, of which the parent's probabilities are; draws are of any batch.
    """

    def __init__(self, trials, alpha, beta, samples):
        self.samples = samples  # first: numpyro looks at the mean as it checks the arguments
        total = alpha + beta
        super().__init__(trials, alpha / total, 1 / total)

    @property
    def mean(self):
        return coverage(*self.shapes(), self.samples)

    def sample(self, key, sample_shape=()):
        first, second = jax.random.split(key)
        alpha, beta = self.shapes()
        shape = (*sample_shape, *jnp.broadcast_shapes(self.batch_shape, jnp.shape(self.samples)))
        p = jax.random.beta(first, alpha, beta, shape=shape)
        n = jnp.broadcast_to(self.trials, shape)
        return jax.random.binomial(second, n, -jnp.expm1(self.samples * jnp.log1p(-p)), shape=shape, dtype=n.dtype) / n


def _noise(shapes):
    return Noise(
        name="problems",
        meaning="successes of a problem's samples (column trials), beta-binomial over problems: nothing scatters besides",
        parameters=(),
        distribution=lambda _, p, columns: Attempts(columns["trials"], *shapes(columns, p), columns["samples"]),
        needs=("trials",),
        of_counts=True,
        spread=True,
    )


def shapes_of(_, p):
    return p["alpha"], p["beta"]


def formula(inputs, p):
    return coverage(*shapes_of(inputs, p), inputs["samples"])


def derived(p):
    return {"beta": p["alpha"] * (1 - p["mean"]) / p["mean"]}


def invert(p):
    return {"mean": p["alpha"] / (p["alpha"] + p["beta"]), "alpha": p["alpha"]}


def answer(p, given):
    alpha, beta = p["alpha"], p["beta"]
    # No more samples can be worth their price than would cost what the problem is worth.
    most = jnp.maximum(-jnp.log(given["price"]), 0.0) + 0 * alpha
    worth = jnp.exp(minimum(lambda log_k: given["price"] * jnp.exp(log_k) - coverage(alpha, beta, jnp.exp(log_k)), 0 * most, most))
    gains = coverage(alpha, beta, worth) > given["price"] * worth
    return {
        "samples_needed": jnp.exp(log_needed(alpha, beta, given["target"])),
        "coverage": coverage(alpha, beta, given["samples"]),
        "samples_worth": jnp.where(gains, worth, 0.0),
    }


def size_shapes(inputs, p):
    distance = jnp.log(inputs["params"] / PARAMS_REFERENCE)
    log_odds = jnp.log(p["mean_ref"]) - jnp.log1p(-p["mean_ref"]) + p["mean_slope"] * distance
    alpha = p["alpha_ref"] * jnp.exp(p["alpha_exponent"] * distance)
    return alpha, alpha * jnp.exp(-log_odds)


def size_formula(inputs, p):
    return coverage(*size_shapes(inputs, p), inputs["samples"])


def size_answer(p, given):
    def needed(log_params):
        return log_needed(*size_shapes({"params": jnp.exp(log_params)}, p), given["target"])

    def log_cost(log_params):
        log_k = needed(log_params)
        # A size that cannot reach the target is worse than any that can, by how far it stays behind.
        behind = 1e3 + log_unsolved(*size_shapes({"params": jnp.exp(log_params)}, p), jnp.exp(LOG_MOST))
        return jnp.where(jnp.isfinite(log_k), log_params + jnp.where(jnp.isfinite(log_k), log_k, 0.0), behind)

    everywhere = 0 * (p["mean_ref"] + given["target"])
    log_params = minimum(log_cost, jnp.log(SMALLEST) + everywhere, jnp.log(LARGEST) + everywhere, grid=65)
    log_k = needed(log_params)
    return {
        "params": jnp.where(jnp.isfinite(log_k), jnp.exp(log_params), jnp.inf),
        "samples": jnp.exp(log_k),
        "test_compute": 2 * given["answer_tokens"] * jnp.exp(log_params + log_k),
    }


def _fitted(alpha, beta, model):
    return Published(
        {"alpha": alpha, "beta": beta},
        f"computed from the counts released with {SCHAEFFER}",
        note=f"{model}, 128 problems of MATH, 10 000 samples each; maximum likelihood. No shape parameters were published",
    )


SAMPLES = Input("samples", "count", "attempts allowed at a problem; counts are of single attempts", 1.0, 1e6, default=1.0, asked_only=True)
USE = "counts of verified successes problem by problem, over independent samples"
AVOID = (
    "sampling that stopped at a success; majority vote; answers that can be guessed; questions far beyond the samples where impossible "
    "problems are likely"
)
TARGET = Input("target", "fraction", "expected coverage of new problems to reach")
ANSWER_TOKENS = Input("answer_tokens", "count", "tokens generated a sample; a token costs 2 FLOP a parameter")
TEST_COMPUTE = Input("test_compute", "FLOP", "compute a problem, 2 x params x tokens x samples (prompt and context left out)")
# Mean pass@1 in published sets lies between 1e-4 and 0.9.
MEAN = Beta(0.3, 1.0)

SIZE = Law(
    name="pass_at_k:size",
    title="Share of new problems solved against samples and model size",
    equation="pass@k = 1 - B(alpha, beta + k) / B(alpha, beta); logit alpha / (alpha + beta) and ln alpha linear in ln N",
    citation=f"{SCHAEFFER} (tail); {BROWN} (repeated sampling); the dependence on size is ours",
    use=f"{USE}, by a family of models of several sizes",
    avoid=f"{AVOID}; few problems shared by all sizes (taken for independent)",
    inputs=(
        Input("params", "count", "parameters of the model, counted in one way throughout", 1e7, 1e12),
        SAMPLES,
    ),
    parameters=(
        Parameter("mean_ref", MEAN, f"mean pass@1 over problems at {PARAMS_REFERENCE:g} params"),
        Parameter("mean_slope", Normal(0.5, 0.5), "rise of the logit of mean pass@1 per unit of ln params"),
        Parameter("alpha_ref", LogNormal(-1.2, 1.0), f"alpha, the left tail's exponent, at {PARAMS_REFERENCE:g} params"),
        Parameter("alpha_exponent", Normal(0.0, 0.3), "exponent at which alpha grows with params"),
    ),
    formula=size_formula,
    output="accuracy",
    noise=_noise(size_shapes),
    decision=Decision(
        question="which model size and how many samples reach a target coverage with the least compute?",
        given=(
            TARGET,
            ANSWER_TOKENS,
        ),
        answers=(
            Input("params", "count", f"best model size, between {SMALLEST:g} and {LARGEST:g}"),
            Input("samples", "count", "samples a problem"),
            TEST_COMPUTE,
        ),
        answer=size_answer,
        example={"target": 0.8},
        optional={"answer_tokens": 256.0},
    ),
    sharing=Sharing(
        budget=TEST_COMPUTE,
        inputs=("params", "samples"),
        text="2 x answer_tokens x params x samples",
        spends=lambda at: 2 * at["answer_tokens"] * at["params"] * at["samples"],
        span=lambda at: (SMALLEST + 0 * at["test_compute"], jnp.minimum(LARGEST, at["test_compute"] / (2 * at["answer_tokens"]))),
        ratio=Input("test_tokens", "count", "tokens generated a problem, all samples together"),
        ratio_of=lambda at: at["answer_tokens"] * at["samples"],
        given=(ANSWER_TOKENS,),
        optional={"answer_tokens": 256.0},
        highest=True,
    ),
    published={
        "pythia_math": Published(
            {"mean_ref": 0.0089916, "mean_slope": 0.494611, "alpha_ref": 0.203209, "alpha_exponent": 0.175793},
            f"computed from the counts released with {SCHAEFFER}",
            note="7 Pythia models of 70M to 12B by non-embedding params, 128 problems of MATH; maximum likelihood",
        )
    },
    checks=(
        # At the reference it is the base law: Beta(0.3, 2).
        *(
            Check(
                "",
                {"params": 1e9, "samples": k},
                value,
                2e-6,
                {"mean_ref": 0.3 / 2.3, "mean_slope": 0.5, "alpha_ref": 0.3, "alpha_exponent": 0.1},
            )
            for k, value in ((1, 0.130435), (10, 0.441492), (100, 0.708371), (1000, 0.853192))
        ),
    ),
)

LAW = Law(
    name="pass_at_k",
    title="Share of new problems solved against samples a problem",
    equation="pass@k = 1 - B(alpha, beta + k) / B(alpha, beta), c_i ~ BetaBinomial(n_i, alpha, beta)",
    citation=f"{BROWN}; {SCHAEFFER}",
    use=USE,
    avoid=AVOID,
    inputs=(SAMPLES,),
    parameters=(
        Parameter("mean", MEAN, "mean pass@1 over problems, alpha / (alpha + beta)"),
        Parameter("alpha", LogNormal(-1.2, 1.0), "exponent of the left tail: failures vanish as k^-alpha"),
    ),
    formula=formula,
    derived=derived,
    invert=invert,
    output="accuracy",
    noise=_noise(shapes_of),
    variants={"size": SIZE},
    decision=Decision(
        question="how many samples does a target coverage need, what do some reach, and how many are worth their price?",
        given=(
            TARGET,
            Input("samples", "count", "samples a problem that can be had"),
            Input("price", "", "price of a sample (with its check), as a share of what a solved problem is worth"),
        ),
        answers=(
            Input("samples_needed", "count", "samples a problem that the target needs (inf: above 1e30)"),
            Input("coverage", "fraction", "expected coverage of new problems with the samples that can be had"),
            Input("samples_worth", "count", "samples a problem at which coverage less their price is highest (0: none is worth it)"),
        ),
        answer=answer,
        example={"target": 0.9},
        optional={"samples": 1000.0, "price": 1e-4},
    ),
    published={
        "pythia_70m": _fitted(0.065037, 100.077755, "Pythia 70M"),
        "pythia_160m": _fitted(0.175508, 65.574807, "Pythia 160M"),
        "pythia_410m": _fitted(0.180394, 28.748039, "Pythia 410M"),
        "pythia_1b": _fitted(0.215555, 25.488869, "Pythia 1B"),
        "pythia_2.8b": _fitted(0.246020, 11.704081, "Pythia 2.8B"),
        "pythia_6.9b": _fitted(0.269803, 14.162909, "Pythia 6.9B"),
        "pythia_12b": _fitted(0.295507, 12.364778, "Pythia 12B"),
    },
    checks=tuple(
        Check("", {"samples": k}, value, 2e-6, values={"alpha": 0.3, "beta": 2.0})
        for k, value in ((1, 0.130435), (10, 0.441492), (100, 0.708371), (1000, 0.853192))
    ),
)
