"""Inference-aware scaling: the model that reaches a quality at the least compute over training and serving.

    L(N, D) = E + A / N^alpha + B / D^beta
    minimise 6 N D + 2 N D_inf  subject to  L(N, D) = target

Sardana et al. 2023 (arXiv 2401.00448), equations 2 and 3; the loss is that of Hoffmann et al. 2022 (arXiv 2203.15556). A model that will be
asked much is better small and trained beyond the compute-optimal ratio. On the constraint, with shares s and 1 - s of the reducible loss
coming from size and from data, the condition for the minimum is

    alpha A N^-alpha / (beta B D^-beta) = alpha s / (beta (1 - s)) = 1 + D_inf / (3 D)

whose left side rises and whose right side falls in s: one solution, found by bisection, and the compute-optimal one at D_inf = 0.

When to use it: choosing a size for a model whose demand can be foreseen, from a law fitted to runs that include heavily overtrained ones.
When not: far beyond the tokens per parameter of the runs behind the law. Sardana et al. refit the law to runs of at most 100, 250, 500 and
10000 tokens per parameter and get exponents from 0.08 to 0.24: all four are published sets here, and the answers differ widely.

What to know about the published numbers: the paper's examples (30B quality with 5e12 inference tokens: 16.4B parameters, 3.27T tokens) do
not follow from the printed exponents 0.34 and 0.28 (which give 19.0B and 4.67T), but from 0.336 and 0.283: the set `sardana_examples`.
"""

import jax.numpy as jnp
from numpyro.distributions import LogNormal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter
from bayes_scaling.loss_law import (
    CAUTIONS,
    HOFFMANN,
    PARAMS_REFERENCE,
    PUBLISHED,
    SARDANA,
    SUM,
    TERMS,
    TOKENS_REFERENCE,
    formula,
    published_set,
)
from bayes_scaling.numeric import crossing


def answer(p, given):
    reducible = given["target"] - p["E"]
    reachable = reducible > 0
    log_reducible = jnp.log(jnp.where(reachable, reducible, 1.0))
    served = given["inference_tokens"] * given["inference_cost"]

    def plan(z):
        """ln params and ln tokens that reach the target with the share sigmoid(z) of the reducible loss from size."""
        log_params = (jnp.log(p["A"]) - log_reducible + jnp.logaddexp(0.0, -z)) / p["alpha"]
        log_tokens = (jnp.log(p["B"]) - log_reducible + jnp.logaddexp(0.0, z)) / p["beta"]
        return log_params, log_tokens

    def overtraining(z):
        return jnp.log1p(jnp.exp(jnp.log(served / 3) - plan(z)[1]))

    # The compute-optimal share, and a bound beyond which no amount of serving can push it: tokens only grow with z.
    balanced = jnp.log(p["beta"] / p["alpha"]) + jnp.zeros_like(log_reducible * served)
    best = crossing(lambda z: balanced + overtraining(z) - z, 0.0, balanced, balanced + overtraining(balanced))

    def cost(log_params, log_tokens):
        return 6 * jnp.exp(log_params + log_tokens) + 2 * jnp.exp(log_params) * served

    found, optimal = plan(best), plan(balanced)
    total, usual = cost(*found), cost(*optimal)
    answers = {
        "params": jnp.exp(found[0]),
        "tokens": jnp.exp(found[1]),
        "tokens_per_param": jnp.exp(found[1] - found[0]),
        "compute": total,
        "compute_optimal_params": jnp.exp(optimal[0]),
        "compute_optimal_tokens": jnp.exp(optimal[1]),
        "compute_optimal_compute": usual,
    }
    answers = {name: jnp.where(reachable, value, jnp.inf) for name, value in answers.items()}
    # From logs: of an extreme draw both totals may be infinite, their ratio is not.
    log_ratio = found[0] - optimal[0] + jnp.logaddexp(found[1], jnp.log(served / 3)) - jnp.logaddexp(optimal[1], jnp.log(served / 3))
    return {**answers, "saving": jnp.where(reachable, -jnp.expm1(log_ratio), 0.0)}


LAW = Law(
    name="inference_aware",
    title="Loss against parameters and tokens, and the cheapest model over its life",
    equation="L(N, D) = E + A / N^alpha + B / D^beta; least 6ND + 2N D_inf at a target loss",
    citation=f"{SARDANA}; the loss is that of {HOFFMANN}",
    use="choosing the size of a model that will be served much, from runs that include heavily overtrained ones",
    avoid="tokens per param far beyond those of the runs; repeated data",
    inputs=(
        Input("params", "count", "parameters of the model, embeddings included", 1e6, 1e12),
        Input("tokens", "count", "training tokens", 1e8, 1e14),
    ),
    parameters=(
        Parameter("E", LogNormal(0.2, 0.8), "irreducible loss in nat/token"),
        Parameter("A_ref", LogNormal(-0.8, 1.5), f"loss from finite size at {PARAMS_REFERENCE:.2g} params, in nat/token"),
        Parameter("B_ref", LogNormal(-0.8, 1.5), f"loss from finite data at {TOKENS_REFERENCE:.2g} tokens, in nat/token"),
        Parameter("alpha", LogNormal(-1.4, 0.6), "exponent of params"),
        Parameter("beta", LogNormal(-1.4, 0.6), "exponent of tokens"),
    ),
    formula=formula,
    cautions=CAUTIONS,
    terms=TERMS,
    sums=(SUM,),
    decreasing_in=("params", "tokens"),
    decision=Decision(
        question="which model reaches a target loss at the least compute over training (6ND) and serving (2N per token)?",
        given=(
            Input("target", "nat/token", "loss to reach"),
            Input("inference_tokens", "count", "tokens that will pass through the model in its life, prompts and answers"),
            Input("inference_cost", "", "price of a FLOP of serving over one of training, for example from their utilisations"),
        ),
        answers=(
            Input("params", "count", "best model size"),
            Input("tokens", "count", "its training tokens"),
            Input("tokens_per_param", "", "their ratio"),
            Input("compute", "FLOP", "training and serving together, serving weighted by its price"),
            Input("compute_optimal_params", "count", "size of the model of the same loss that is cheapest to train"),
            Input("compute_optimal_tokens", "count", "its training tokens"),
            Input("compute_optimal_compute", "FLOP", "training and serving that one"),
            Input("saving", "fraction", "of the compute, by not training compute-optimally"),
        ),
        answer=answer,
        example={"target": 1.9583, "inference_tokens": 5e12},
        optional={"inference_cost": 1.0},
    ),
    published={
        "sardana_examples": published_set(
            1.69, 406.4, 410.7, 0.336, 0.283, SARDANA, "reproduces the paper's worked examples; not printed as a set: see the module"
        ),
        **PUBLISHED,
    },
    checks=(
        Check("hoffmann", {"params": 70e9, "tokens": 1.4e12}, 1.936645),
        Check("besiroglu", {"params": 1e9, "tokens": 2e10}, 2.530050),
        # The two ends of the paper's first example have one loss but for rounding: 30B on 1.56T tokens, and 16.4B on 3.27T.
        Check("sardana_examples", {"params": 30e9, "tokens": 1.56e12}, 1.958145),
        Check("sardana_examples", {"params": 1.6412e10, "tokens": 3.2650e12}, 1.958254),
    ),
)
