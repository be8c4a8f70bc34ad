"""Parallel scaling: loss against parameters and parallel streams.

    L(N, P) = E + (A 1e9 / (N (k ln P + 1)))^alpha

Chen et al. 2025, "Parallel Scaling Law for Language Models" (ParScale, arXiv 2505.10475). A model of N parameters runs P times on an
input, each time with another learned prefix, in training and in use; a learned mix of the P outputs predicts the next token. The streams
share all weights: P of them are worth k ln P + 1 times the parameters, in memory of N alone.

When to use it: models trained with several streams over the same number of tokens.
When not: more streams than were trained (the paper: up to 8) or other tokens: the law has no data term, so that what data limit sits in E;
streams added after training, or repeated sampling of answers.

What the law says of costs. To match P streams, one stream needs k ln P + 1 times the parameters, so streams save memory for weights. In
arithmetic they lose: P passes through N do as well as one pass through N (k ln P + 1), and P grows faster (the streams' prefixes, 0.2 % of
the weights each, and the cache of keys and values, one per stream, come on top). They pay where weights, not arithmetic, limit the speed:
few requests at a time, or little memory.

The paper's scripts carry the runs but no fitted values that could be read; the sets here are re-fits of those runs with its objective
(Huber loss, delta = 1e-3, on ln L). On the same runs E + a / N^alpha + c / P^beta does better: the residuals about this law are smooth.
"""

import jax.numpy as jnp
from numpyro.distributions import LogNormal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published, Term

PARAMS_REFERENCE = 5e8  # the smallest published runs


def worth(streams, p):
    """What P streams are worth in parameters: k ln P + 1."""
    return p["k"] * jnp.log(streams) + 1


def formula(inputs, p):
    log_size = jnp.log(inputs["params"]) + jnp.log(worth(inputs["streams"], p))
    return p["E"] + jnp.exp(p["alpha"] * (jnp.log(p["A"] * 1e9) - log_size))


def derived(p):
    return {"A": p["size_ref"] ** (1 / p["alpha"]) * PARAMS_REFERENCE / 1e9}


def invert(p):
    return {
        "E": p["E"],
        "size_ref": (p["A"] * 1e9 / PARAMS_REFERENCE) ** p["alpha"],
        "alpha": p["alpha"],
        "k": p["k"],
    }


def answer(p, given):
    params, streams, target = given["params"], given["streams"], given["target"]
    factor = worth(streams, p)
    reducible = target - p["E"]
    reachable = reducible > 0
    log_reducible = jnp.log(jnp.where(reachable, reducible, 1.0))
    # Params that one stream needs for the target; the same with P streams, divided by what they are worth.
    log_needed = jnp.log(p["A"] * 1e9) - log_reducible / p["alpha"]
    missing = jnp.maximum(jnp.exp(log_needed - jnp.log(params)) - 1, 0.0)
    answers = {
        "loss": formula({"params": params, "streams": streams}, p) + 0 * target,
        "params_worth": factor + 0 * (params + target),
        "equivalent_params": params * factor + 0 * target,
        "weights_saved": 1 - 1 / factor + 0 * (params + target),
        "arithmetic_factor": streams / factor + 0 * (params + target),
    }
    for_target = {
        "streams_for_target": jnp.exp(missing / p["k"]) + 0 * streams,
        "params_for_target": jnp.exp(log_needed - jnp.log(factor)) + 0 * params,
        "params_for_target_alone": jnp.exp(log_needed) + 0 * (params + streams),
    }
    return {**answers, **{name: jnp.where(reachable, value, jnp.inf) for name, value in for_target.items()}}


CHEN = "Chen et al. 2025, arXiv 2505.10475"


def _refit(E, A, alpha, k, explained):
    source = f"re-fit (Huber loss on ln L, delta = 1e-3) of the runs released with {CHEN}; the paper's own values could not be read"
    return Published({"E": E, "A": A, "alpha": alpha, "k": k}, source, note=f"24 runs, 1 to 8 streams; R^2 {explained}")


LAW = Law(
    name="parallel_scaling",
    title="Loss against parameters and parallel streams",
    equation="L(N, P) = E + (A 1e9 / (N (k ln P + 1)))^alpha",
    citation=CHEN,
    use="models of several sizes trained with several parallel streams on the same number of tokens",
    avoid="more streams than were trained; runs that differ in tokens: the law has no data term",
    inputs=(
        Input("params", "count", "parameters of the model, embeddings not included, shared by all streams", 1e8, 1e11),
        Input("streams", "count", "parallel streams in training and in use (1: an ordinary model)", 1, 16),
    ),
    parameters=(
        Parameter("E", LogNormal(0.2, 0.7), "loss at unlimited size, data as they are, in nat/token"),
        Parameter("size_ref", LogNormal(-0.5, 1.0), f"loss from finite size at {PARAMS_REFERENCE:.2g} params and one stream, in nat/token"),
        Parameter("alpha", LogNormal(-1.4, 0.5), "exponent of params"),
        Parameter("k", LogNormal(-1.1, 0.8), "what a factor of e in streams is worth, as a share of the params"),
    ),
    formula=formula,
    derived=derived,
    invert=invert,
    terms=(Term("size_ref", "alpha", "params", PARAMS_REFERENCE),),
    sums=(("E", "size_ref"),),
    decreasing_in=("params", "streams"),
    decision=Decision(
        question="how many parameters are parallel streams worth, and which streams or parameters reach a target loss at what cost?",
        given=(
            Input("params", "count", "parameters of the model, embeddings not included"),
            Input("streams", "count", "parallel streams"),
            Input("target", "nat/token", "loss to reach"),
        ),
        answers=(
            Input("loss", "nat/token", "loss with these streams"),
            Input("params_worth", "", "params that one stream needs for that loss, over those of the model"),
            Input("equivalent_params", "count", "those params"),
            Input("weights_saved", "fraction", "of the memory for weights, against the one-stream model of equal loss"),
            Input("arithmetic_factor", "", "arithmetic per token over that of the one-stream model of equal loss, attention aside"),
            Input("streams_for_target", "count", "streams with which these params reach the target (inf: out of reach)"),
            Input("params_for_target", "count", "params with which these streams reach the target"),
            Input("params_for_target_alone", "count", "params with which one stream reaches the target"),
        ),
        answer=answer,
        example={"params": 1.6e9, "streams": 8, "target": 1.9},
    ),
    published={
        "pile": _refit(1.2886, 0.1975, 0.1963, 0.3345, 0.9987),
        "stack": _refit(0.6915, 0.0113, 0.1895, 0.3934, 0.9978),
    },
    checks=(
        # By hand from those values.
        Check("pile", {"params": 1e9, "streams": 1.0}, 1.2886 + 0.1975**0.1963),
        Check("pile", {"params": 2e9, "streams": 8.0}, 1.2886 + (0.09875 / (0.3345 * 2.0794415416798357 + 1)) ** 0.1963),
        Check("stack", {"params": 1e9, "streams": 4.0}, 0.6915 + (0.0113 / (0.3934 * 1.3862943611198906 + 1)) ** 0.1895),
    ),
)
