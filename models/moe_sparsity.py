"""Mixtures of experts: loss against total parameters, tokens and the share of experts that a token does not use.

    L(N, D, S) = a / N^alpha + b / D^beta + c / (1 - S)^lambda + d / ((1 - S)^delta N^gamma) + e

Abnar et al. 2025, "Parameters vs FLOPs: Scaling Laws for Optimal Sparsity for Mixture-of-Experts Language Models" (arXiv 2501.12370).
N is total, all experts included; S = (E - K) / E for K of E experts active. lambda is negative in the paper: the third term FALLS with
sparsity, and only the fourth makes sparse models worse at a given N.

When to use it: mixtures that differ in total size, tokens and sparsity, S up to 0.98 (the paper holds 0.98 out: R^2 0.68 there, 0.99 on
the runs fitted).
When not: S above 0.98, where the third term vanishes by extrapolation; training compute far from 3e19 to 1e21 FLOP.

Where delta is near nothing the first and the fourth term are of one kind, and where lambda is, the third and e are. So that no permutation
of them is the same law, the fourth is the one that falls more slowly with N (gamma below alpha, as in the paper), and e and c are sampled
as their sum and the share of c in it.

Training is taken to cost 6 (1 - S) N D: only active parameters, as if all of them sat in experts. At a given compute the loss is a sum of
exponentials of linear functions of (ln N, ln(1 - S)): a geometric program, whose minimum is unique.
"""

import jax.numpy as jnp
from numpyro.distributions import Beta, LogNormal, Normal

from bayes_scaling import numeric
from bayes_scaling.law import Caution, Check, Decision, Input, Law, Parameter, Published, Term

# Near the smallest published runs.
PARAMS_REFERENCE = 1e9
TOKENS_REFERENCE = 2e10
MOST_SPARSE = 0.98  #: largest sparsity that the paper trained


def formula(inputs, p):
    log_size, log_active = jnp.log(inputs["params"]), jnp.log1p(-inputs["sparsity"])
    return (
        p["e"]
        + jnp.exp(jnp.log(p["a"]) - p["alpha"] * log_size)
        + numeric.power(p["b"], p["beta"], inputs["tokens"])
        + jnp.exp(jnp.log(p["c"]) - p["lambda"] * log_active)
        + jnp.exp(jnp.log(p["d"]) - p["delta"] * log_active - p["gamma"] * log_size)
    )


def derived(p):
    gamma = p["slower"] * p["alpha"]
    return {
        "e": p["top"] * (1 - p["share"]),
        "c": p["top"] * p["share"],
        "gamma": gamma,
        "a": p["a_ref"] * PARAMS_REFERENCE ** p["alpha"],
        "b": p["b_ref"] * TOKENS_REFERENCE ** p["beta"],
        "d": p["d_ref"] * PARAMS_REFERENCE**gamma,
    }


def invert(p):
    top = p["e"] + p["c"]
    return {
        "top": top,
        "share": p["c"] / top,
        "slower": p["gamma"] / p["alpha"],
        "a_ref": p["a"] * PARAMS_REFERENCE ** -p["alpha"],
        "b_ref": p["b"] * TOKENS_REFERENCE ** -p["beta"],
        "d_ref": p["d"] * PARAMS_REFERENCE ** -p["gamma"],
        **{name: p[name] for name in ("alpha", "beta", "lambda", "delta")},
    }


def answer(p, given):
    compute = given["compute"] + 0 * p["e"] + 0 * given["max_sparsity"]
    zero = jnp.zeros_like(compute)
    most = -jnp.log1p(-jnp.clip(given["max_sparsity"], 0.0, 1 - 1e-9)) + zero

    def loss(log_params, thinning):  # thinning: -ln(1 - S)
        tokens = compute / 6 * jnp.exp(thinning - log_params)
        return formula({"params": jnp.exp(log_params), "tokens": tokens, "sparsity": -jnp.expm1(-thinning)}, p)

    def best_size(thinning):
        # Convex along either direction, so three grid points bracket the minimum and bisection does the rest.
        return numeric.minimum(lambda u: loss(u, thinning), zero + jnp.log(1e4), zero + jnp.log(1e20), grid=3)

    # Bisection ignores how best_size moves with sparsity, and may: the loss does not change along it at the optimum.
    thinning = numeric.minimum(lambda v: loss(best_size(v), v), zero, most, grid=3)
    log_params = best_size(thinning)
    params = jnp.exp(log_params)
    return {
        "sparsity": -jnp.expm1(-thinning),
        "params": params,
        "active_params": params * jnp.exp(-thinning),
        "tokens": compute / 6 * jnp.exp(thinning - log_params),
        "loss": loss(log_params, thinning),
        "loss_dense": loss(best_size(zero), zero),
    }


ABNAR = "Abnar et al. 2025, arXiv 2501.12370"
NAMES = ("a", "alpha", "b", "beta", "c", "lambda", "d", "delta", "gamma", "e")
VALUES = (16612.50, 0.5962, 5455.67, 0.3954, 0.4598, -0.1666, 17.26, 0.1603, 0.1595, 0.94)

LAW = Law(
    name="moe_sparsity",
    title="Mixtures of experts: loss against total size, tokens and sparsity",
    equation="L(N, D, S) = a / N^alpha + b / D^beta + c / (1 - S)^lambda + d / ((1 - S)^delta N^gamma) + e",
    citation=ABNAR,
    use="mixtures of experts that differ in total size, tokens and the share of inactive experts",
    avoid="sparsity above 0.98; few levels of sparsity, which leave c, lambda and e to the priors",
    inputs=(
        Input("params", "count", "total parameters, all experts included", 1e8, 1e12),
        Input("tokens", "count", "training tokens", 1e9, 1e13),
        Input("sparsity", "fraction", "share of the experts that a token does not use, (E - K) / E", 0, MOST_SPARSE),
    ),
    parameters=(
        Parameter("top", LogNormal(0.5, 0.6), "loss of dense models at unlimited size and data, e + c, in nat/token"),
        Parameter("share", Beta(1.5, 2.5), "share of it that sparsity alone changes, c / (e + c)"),
        Parameter("a_ref", LogNormal(-1.6, 1.5), f"loss from finite size at {PARAMS_REFERENCE:.2g} params, in nat/token"),
        Parameter("alpha", LogNormal(-0.9, 0.5), "exponent of params"),
        Parameter("b_ref", LogNormal(-1.0, 1.0), f"loss from finite data at {TOKENS_REFERENCE:.2g} tokens, in nat/token"),
        Parameter("beta", LogNormal(-1.2, 0.5), "exponent of tokens"),
        Parameter("lambda", Normal(0.0, 0.2), "exponent of the active share in that term; negative: the term falls with sparsity"),
        Parameter("d_ref", LogNormal(-1.0, 1.0), f"further loss from finite size at {PARAMS_REFERENCE:.2g} params and S = 0, in nat/token"),
        Parameter("delta", Normal(0.0, 0.2), "exponent of the active share in that term"),
        Parameter("slower", Beta(2.0, 3.0), "gamma / alpha: that term falls more slowly with params than the first"),
    ),
    formula=formula,
    token_params=lambda inputs: (1 - inputs["sparsity"]) * inputs["params"],
    cautions=(
        Caution(lambda i: i["sparsity"] > MOST_SPARSE, f"sparsity above {MOST_SPARSE:g}: the paper's fit misses it tenfold ({ABNAR})"),
    ),
    terms=(
        Term("a_ref", "alpha", "params", PARAMS_REFERENCE),
        Term("b_ref", "beta", "tokens", TOKENS_REFERENCE),
    ),
    sums=(("top", "a_ref", "b_ref", "d_ref"),),
    derived=derived,
    invert=invert,
    decreasing_in=("params", "tokens"),
    decision=Decision(
        question="which sparsity, total size and tokens are best at a training compute of 6 (1 - S) N D?",
        given=(
            Input("compute", "FLOP", "training compute"),
            Input("max_sparsity", "fraction", "largest sparsity to consider, below 1"),
        ),
        answers=(
            Input("sparsity", "fraction", "best sparsity"),
            Input("params", "count", "best total size"),
            Input("active_params", "count", "parameters that a token uses, (1 - S) N"),
            Input("tokens", "count", "best training tokens"),
            Input("loss", "nat/token", "loss of that model"),
            Input("loss_dense", "nat/token", "least loss with no sparsity at this compute"),
        ),
        answer=answer,
        example={"compute": 1e21},
        optional={"max_sparsity": MOST_SPARSE},
    ),
    published={
        "abnar": Published(
            dict(zip(NAMES, VALUES, strict=True)),
            ABNAR,
            note="mean squared error 5.6e-4 on the runs fitted, 5.8e-3 on those held out (S = 0.98)",
        )
    },
    checks=(
        Check("abnar", {"params": 1e9, "tokens": 2e10, "sparsity": 0.0}, 2.565681),
        Check("abnar", {"params": 1e9, "tokens": 2e10, "sparsity": 0.9}, 2.701872),
        Check("abnar", {"params": 1e9, "tokens": 2e10, "sparsity": 0.98}, 2.897757),
    ),
)
