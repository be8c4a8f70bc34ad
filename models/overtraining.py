"""Over-training: loss against compute and tokens per parameter.

    L(C, M) = E + (a M^eta + b M^(-eta)) C^(-eta),    C = 6ND,    M = D / N

Gadre et al. 2024 (arXiv 2403.08540), equation 4. Every ratio M gives a curve of one slope in compute: over-training by a constant
factor costs a constant factor of compute. It is Chinchilla's law with one exponent for size and data, L = E + A / N^alpha +
B / D^alpha, alpha = 2 eta, a = A 6^eta, b = B 6^eta, and is sampled as that: A and B each at a declared scale.

When to use it: few runs, some far beyond the compute-optimal ratio; the cost of a small model trained long. When not: runs enough to
tell the exponents of size and data apart (`chinchilla`); repeated data (`data_constrained`).

Where care is due: the paper fits these 4 parameters to 5 runs, four at M = 20 and one at M = 320, by least squares, and gives no
uncertainty: the posterior of those runs is wide. The best ratio M* = (b / a)^(1 / (2 eta)) of the published sets is 3 to 8 tokens a
param, not 20: no run of the five lies below 20, so it is an extrapolation.
"""

import jax.numpy as jnp
from numpyro.distributions import LogNormal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published, Term
from bayes_scaling.numeric import power

# The same as chinchilla's.
PARAMS_REFERENCE = 1.8e7
TOKENS_REFERENCE = 7e8


def formula(inputs, p):
    # C / M = 6 N^2 and C M = 6 D^2.
    params, tokens = inputs["params"], inputs["tokens"]
    return p["E"] + power(p["a"], p["eta"], 6 * params * params) + power(p["b"], p["eta"], 6 * tokens * tokens)


def derived(p):
    eta = p["alpha"] / 2
    return {
        "eta": eta,
        "a": p["A_ref"] * (6 * PARAMS_REFERENCE**2) ** eta,
        "b": p["B_ref"] * (6 * TOKENS_REFERENCE**2) ** eta,
    }


def invert(p):
    return {
        "E": p["E"],
        "A_ref": p["a"] * (6 * PARAMS_REFERENCE**2) ** -p["eta"],
        "B_ref": p["b"] * (6 * TOKENS_REFERENCE**2) ** -p["eta"],
        "alpha": 2 * p["eta"],
    }


def best_ratio(p):
    return jnp.exp((jnp.log(p["b"]) - jnp.log(p["a"])) / (2 * p["eta"]))


def optimum(p, product):
    """Best (params, tokens) at a given product params x tokens."""
    params = jnp.sqrt(product / best_ratio(p))
    return params, product / params


def answer(p, given):
    compute, ratio = given["compute"], given["tokens_per_param"]
    params = jnp.sqrt(compute / (6 * ratio)) * jnp.ones_like(p["E"])
    tokens = ratio * params
    best = best_ratio(p)
    # At a ratio t = M / M*, both terms equal at the best ratio: (t^eta + t^-eta) / 2 as much reducible loss.
    log_excess = jnp.log(jnp.cosh(p["eta"] * jnp.log(ratio / best)))
    loss = formula({"params": params, "tokens": tokens}, p)
    return {
        "loss": loss,
        "params": params,
        "tokens": tokens,
        "best_tokens_per_param": best * jnp.ones_like(loss),
        "best_loss": p["E"] + (loss - p["E"]) * jnp.exp(-log_excess),
        "compute_ratio": jnp.exp(log_excess / p["eta"]),
    }


GADRE = "Gadre et al. 2024, arXiv 2403.08540"


def _set(E, a, b, eta, trained_on, rounded):
    how = f"{GADRE}, table 2" if rounded else f"recomputed from the runs of {GADRE}"
    note = f"trained on {trained_on}, loss on C4's validation data; {'as printed' if rounded else 'unrounded'}; least squares on 5 runs"
    return Published({"E": E, "a": a, "b": b, "eta": eta}, how, note=note)


LARGE = {"params": 1.4e9, "tokens": 2.8e10}  # C = 2.352e20 at M = 20

LAW = Law(
    name="overtraining",
    title="Loss against compute and tokens per parameter",
    equation="L(C, M) = E + (a M^eta + b M^(-eta)) C^(-eta), C = 6ND, M = D / N",
    citation=f"{GADRE}, equation 4",
    use="what training a small model long costs in loss and compute; few runs, at several ratios of tokens to params",
    avoid="runs that tell the exponents of size and data apart (use chinchilla); repeated data; one ratio of tokens to params",
    inputs=(
        Input("params", "count", "parameters of the model, embeddings included", 1e6, 1e12),
        Input("tokens", "count", "training tokens", 1e8, 1e13),
    ),
    parameters=(
        Parameter("E", LogNormal(0.4, 0.7), "irreducible loss in nat/token"),
        Parameter("A_ref", LogNormal(-1.2, 1.5), f"loss from finite size at {PARAMS_REFERENCE:.2g} params, in nat/token"),
        Parameter("B_ref", LogNormal(-1.2, 1.5), f"loss from finite data at {TOKENS_REFERENCE:.2g} tokens, in nat/token"),
        Parameter("alpha", LogNormal(-1.3, 0.4), "exponent of params and of tokens, 2 eta"),
    ),
    formula=formula,
    derived=derived,
    invert=invert,
    optimum=optimum,
    terms=(Term("A_ref", "alpha", "params", PARAMS_REFERENCE), Term("B_ref", "alpha", "tokens", TOKENS_REFERENCE)),
    sums=(("E", "A_ref", "B_ref"),),
    decreasing_in=("params", "tokens"),
    decision=Decision(
        question="what does a model trained at this ratio of tokens to params cost in loss, and in compute?",
        given=(
            Input("compute", "FLOP", "training compute of 6ND"),
            Input("tokens_per_param", "", "tokens per param to train at"),
        ),
        answers=(
            Input("loss", "nat/token", "loss of that model"),
            Input("params", "count", "its size"),
            Input("tokens", "count", "its training tokens"),
            Input("best_tokens_per_param", "", "ratio that is best for training compute alone"),
            Input("best_loss", "nat/token", "loss at that ratio and the same compute"),
            Input("compute_ratio", "", "compute over what the best ratio needs for the same loss"),
        ),
        answer=answer,
        example={"compute": 2.352e20, "tokens_per_param": 640},
    ),
    published={
        "c4": _set(1.51, 141, 190, 0.121, "C4", True),
        "redpajama": _set(1.84, 212, 367, 0.136, "RedPajama", True),
        "refinedweb": _set(1.73, 157, 246, 0.127, "RefinedWeb", True),
        "c4_unrounded": _set(1.508261, 141.277, 189.516, 0.121236, "C4", False),
        "redpajama_unrounded": _set(1.836648, 212.236, 366.687, 0.136425, "RedPajama", False),
        "refinedweb_unrounded": _set(1.734462, 157.116, 246.207, 0.127197, "RefinedWeb", False),
    },
    checks=(
        Check("c4", LARGE, 2.657843),
        Check("redpajama", LARGE, 2.794657),
        Check("refinedweb", LARGE, 2.759277),
    ),
)
