"""Data-constrained scaling: loss when there are fewer unique tokens than training tokens, so that data are repeated.

    L(N, D, U) = E + A / N'^alpha + B / D'^beta
    D' = U_D + U_D R_D* (1 - exp(-R_D / R_D*)),   U_D = min(U, D),               R_D = D / U_D - 1
    N' = U_N + U_N R_N* (1 - exp(-R_N / R_N*)),   U_N = min(N, N_opt(U_D)),      R_N = N / U_N - 1

Muennighoff et al. 2023 (arXiv 2305.16264), equations 5 and 6 and appendix A. R_D counts repetitions, which are epochs - 1: a single pass
has none. Each repetition of the data is worth exp(-R_D / R_D*) of fresh data, and whatever is repeated, D' stays below (1 + R_D*) U.
N_opt(U_D) is the size whose compute-optimal tokens are U_D under the same base law; beyond it parameters are in excess and lose value too:

    N_opt(U_D) = (alpha A / (beta B))^(1/alpha) U_D^(beta/alpha)

The paper ties alpha = beta, where this is 0.051 U_D; here the two are free, and the paper's relation holds for each pair.

When to use it: runs over a limited corpus, with several epochs of the whole corpus, at sizes about and above what the corpus is optimal
for, with the regularisation of the runs (the paper's: dropout 0.1 and weight decay 0.1 throughout).
When not: runs past the point where repeating hurts. The law can level off but not turn upward; on the released runs many do, at 100
epochs or with many more parameters than unique tokens.

What to know about the published numbers: R_D* and R_N* were fitted with E, A, B, alpha held at a fit to DeepMind's C4 curves (read off a
figure, another tokenizer). At those values the law lies about 8 % below the paper's own released losses (median over the 229 runs of its
notebook's filter), so what R_D* and R_N* had to absorb there is more than repetition. A refit that frees the base law on the runs without
overfitting puts R_D* higher; see benchmarks/refits.
"""

import jax.numpy as jnp
from numpyro.distributions import LogNormal

from bayes_scaling.law import Caution, Check, Decision, Input, Law, Parameter, Published
from bayes_scaling.loss_law import PARAMS_REFERENCE, PUBLISHED, SUM, TERMS, TOKENS_REFERENCE
from bayes_scaling.numeric import minimum, power

SPAN = 11.5  # of ln params to either side of sqrt(compute / 6), where the best size is looked for: a factor of 1e5


def worth(unique, total, half):
    """Return unique + unique R* (1 - exp(-R / R*)) with R = total / unique - 1 >= 0: what a total is worth in unique ones."""
    return unique * (1 - half * jnp.expm1(-(total / unique - 1) / half))


def effective(inputs, p):
    """Return (N', D')."""
    seen = jnp.minimum(inputs["unique_tokens"], inputs["tokens"])
    # alpha A / N^alpha = beta B / D^beta, in logs: the optimum of the base law at any compute.
    log_optimal = (jnp.log(p["alpha"] * p["A"] / (p["beta"] * p["B"])) + p["beta"] * jnp.log(seen)) / p["alpha"]
    log_params = jnp.log(inputs["params"])
    useful = jnp.exp(jnp.minimum(log_params, log_optimal))
    return worth(useful, inputs["params"], p["R_N_star"]), worth(seen, inputs["tokens"], p["R_D_star"])


def formula(inputs, p):
    params, tokens = effective(inputs, p)
    return p["E"] + power(p["A"], p["alpha"], params) + power(p["B"], p["beta"], tokens)


def answer(p, given):
    log_product, log_unique = jnp.log(given["compute"] / 6), jnp.log(given["unique_tokens"])

    def loss(log_params, unique):
        tokens = jnp.exp(log_product - log_params)
        return formula({"params": jnp.exp(log_params), "tokens": tokens, "unique_tokens": unique}, p)

    def best(unique, low):
        low, high, _ = jnp.broadcast_arrays(low, jnp.maximum(log_product / 2 + SPAN, low), p["E"])
        return minimum(lambda log_params: loss(log_params, unique), low, high)

    low = log_product / 2 - SPAN
    log_params = best(given["unique_tokens"], low)
    once = best(given["unique_tokens"], jnp.maximum(low, log_product - log_unique))  # so large that the tokens are enough for one epoch
    tokens = jnp.exp(log_product - log_params)
    epochs = jnp.maximum(tokens / given["unique_tokens"], 1.0)
    # Closed form where nothing is repeated or in excess: the base law's own optimum.
    total = p["alpha"] + p["beta"]
    log_fresh = jnp.log(p["alpha"] * p["A"] / (p["beta"] * p["B"])) / total + p["beta"] / total * log_product
    return {
        "params": jnp.exp(log_params),
        "tokens": tokens,
        "epochs": epochs,
        "loss": loss(log_params, given["unique_tokens"]),
        "loss_one_epoch": loss(once, given["unique_tokens"]),
        "loss_unlimited": loss(log_fresh, jnp.exp(log_product - log_fresh)),
        "next_epoch": jnp.exp(-(epochs - 1) / p["R_D_star"]),
    }


PAPER = "Muennighoff et al. 2023, arXiv 2305.16264, appendix A"
VALUES = {**PUBLISHED["muennighoff_c4"].values, "R_D_star": 15.387756, "R_N_star": 5.309743}

LAW = Law(
    name="data_constrained",
    title="Loss against parameters, tokens and unique tokens",
    equation="L(N, D, U) = E + A / N'^alpha + B / D'^beta, D' = U_D (1 + R_D* (1 - exp(-R_D / R_D*))), N' likewise",
    citation="Muennighoff et al. 2023, arXiv 2305.16264",
    use="training for several epochs over limited data, and models larger than those data are optimal for",
    avoid="runs so long or so large that more of it raises the loss: the law levels off, it cannot turn upward",
    inputs=(
        Input("params", "count", "parameters of the model, embeddings included", 1e6, 1e12),
        Input("tokens", "count", "training tokens, each counted as often as it is seen", 1e8, 1e13),
        Input("unique_tokens", "count", "tokens of the corpus, each counted once; tokens / unique_tokens are the epochs", 1e7, 1e13),
    ),
    parameters=(
        Parameter("E", LogNormal(0.4, 0.7), "irreducible loss in nat/token"),
        Parameter("A_ref", LogNormal(-1.2, 1.5), f"loss from finite size at {PARAMS_REFERENCE:.2g} params, in nat/token"),
        Parameter("B_ref", LogNormal(-1.2, 1.5), f"loss from finite data at {TOKENS_REFERENCE:.2g} fresh tokens, in nat/token"),
        Parameter("alpha", LogNormal(-1.2, 0.5), "exponent of effective params"),
        Parameter("beta", LogNormal(-1.2, 0.5), "exponent of effective tokens"),
        Parameter("R_D_star", LogNormal(2.7, 0.7), "repetitions of the data after which another is worth 1/e of fresh data"),
        Parameter("R_N_star", LogNormal(1.6, 0.7), "the same of parameters, in multiples of what the unique tokens are optimal for"),
    ),
    formula=formula,
    cautions=(
        Caution(
            lambda inputs: inputs["tokens"] > 40 * inputs["unique_tokens"],
            "beyond some 40 epochs more of them gain nothing and can raise the loss, which this law cannot (Muennighoff et al. 2023)",
        ),
    ),
    terms=TERMS,
    sums=(SUM,),
    decreasing_in=("params", "tokens", "unique_tokens"),
    decision=Decision(
        question="with a limited corpus, which model size and how many epochs are best at a training compute of 6ND?",
        given=(
            Input("compute", "FLOP", "training compute"),
            Input("unique_tokens", "count", "tokens of the corpus, each counted once"),
        ),
        answers=(
            Input("params", "count", "best model size"),
            Input("tokens", "count", "best training tokens, repetitions included"),
            Input("epochs", "", "passes over the corpus (1: it is not used up)"),
            Input("loss", "nat/token", "loss of that model"),
            Input("loss_one_epoch", "nat/token", "best loss if no token may be seen twice: the gap is what repetition buys"),
            Input("loss_unlimited", "nat/token", "best loss if fresh data were unlimited: the gap is what scarcity costs"),
            Input("next_epoch", "", "worth of one more epoch, as a fraction of an epoch of fresh data"),
        ),
        answer=answer,
        example={"compute": 1e22, "unique_tokens": 2.5e10},
    ),
    published={
        "muennighoff": Published(VALUES, PAPER, note="182 runs; E, A, B, alpha = beta held at a fit to DeepMind's C4 curves; R2 0.77"),
    },
    checks=(
        Check("muennighoff", {"params": 1e9, "tokens": 1e11, "unique_tokens": 2.5e10}, 2.419527),
        Check("muennighoff", {"params": 2.8e9, "tokens": 5.5e10, "unique_tokens": 5.5e10}, 2.354404),
        Check("muennighoff", {"params": 8e9, "tokens": 1e11, "unique_tokens": 2.5e10}, 2.261406),
        # Everything repeated without end: D' = 16.387756 U, from 2.5e10 tokens; the size not in excess.
        Check("muennighoff", {"params": 1e9, "tokens": 1e15, "unique_tokens": 2.5e10}, 2.337562),
    ),
)
