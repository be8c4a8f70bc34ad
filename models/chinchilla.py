"""Chinchilla: loss of a model with N parameters after D training tokens.

    L(N, D) = E + A / N^alpha + B / D^beta

Hoffmann et al. 2022 (arXiv 2203.15556), approach 3, equation 2; re-fitted by Besiroglu et al. 2024 (arXiv 2404.10102).

When to use it: runs that differ in size and in tokens, each trained once over fresh data with a schedule matched to its length.
When not: repeated data, sizes counted without embeddings below some 1e7 parameters (the curve bends there), or runs that all sit
on one line in (ln N, ln D), which cannot tell the two terms apart.
"""

from numpyro.distributions import LogNormal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter
from bayes_scaling.loss_law import (
    BESIROGLU,
    CAUTIONS,
    HOFFMANN,
    PARAMS_REFERENCE,
    PUBLISHED,
    SUM,
    TERMS,
    TOKENS_REFERENCE,
    balance,
    formula,
)


def optimum(p, product):
    """Best (params, tokens) at a given product params x tokens (Hoffmann et al. 2022, equation 4)."""
    total = p["alpha"] + p["beta"]
    params = balance(p["A"], p["B"], p["alpha"], p["beta"]) * product ** (p["beta"] / total)
    return params, product / params


def answer(p, given):
    params, tokens = optimum(p, given["compute"] / 6)
    loss = formula({"params": params, "tokens": tokens}, p)
    return {"params": params, "tokens": tokens, "tokens_per_param": tokens / params, "loss": loss}


LAW = Law(
    name="chinchilla",
    title="Loss against parameters and tokens",
    equation="L(N, D) = E + A / N^alpha + B / D^beta",
    citation=f"{HOFFMANN} (approach 3); {BESIROGLU}",
    use="runs that differ in params and in tokens, one pass over fresh data, schedule matched to the length of each run",
    avoid="repeated data; runs that all have one ratio of tokens to params; non-embedding counts below 1e7 params",
    inputs=(
        Input("params", "count", "parameters of the model, embeddings included", 1e6, 1e12),
        Input("tokens", "count", "training tokens", 1e8, 1e13),
    ),
    parameters=(
        Parameter("E", LogNormal(0.4, 0.7), "irreducible loss in nat/token"),
        Parameter("A_ref", LogNormal(-1.2, 1.5), f"loss from finite size at {PARAMS_REFERENCE:.2g} params, in nat/token"),
        Parameter("B_ref", LogNormal(-1.2, 1.5), f"loss from finite data at {TOKENS_REFERENCE:.2g} tokens, in nat/token"),
        Parameter("alpha", LogNormal(-1.2, 0.5), "exponent of params"),
        Parameter("beta", LogNormal(-1.2, 0.5), "exponent of tokens"),
    ),
    formula=formula,
    optimum=optimum,
    cautions=CAUTIONS,
    terms=TERMS,
    sums=(SUM,),
    decreasing_in=("params", "tokens"),
    decision=Decision(
        question="which model size and how many tokens are best at a training compute of 6ND?",
        given=(Input("compute", "FLOP", "training compute"),),
        answers=(
            Input("params", "count", "best model size"),
            Input("tokens", "count", "best training tokens"),
            Input("tokens_per_param", "", "their ratio"),
            Input("loss", "nat/token", "loss of that model"),
        ),
        answer=answer,
        example={"compute": 5.76e23},
    ),
    published=PUBLISHED,
    checks=(
        Check("hoffmann", {"params": 70e9, "tokens": 1.4e12}, 1.936645),
        Check("hoffmann_tex", {"params": 70e9, "tokens": 1.4e12}, 1.920846),
        Check("besiroglu", {"params": 70e9, "tokens": 1.4e12}, 1.973882),
        Check("muennighoff_c4", {"params": 70e9, "tokens": 1.4e12}, 2.024597),
        Check("hoffmann", {"params": 1e9, "tokens": 2e10}, 2.580048),
        Check("hoffmann_tex", {"params": 1e9, "tokens": 2e10}, 2.530668),
        Check("besiroglu", {"params": 1e9, "tokens": 2e10}, 2.530050),
        Check("muennighoff_c4", {"params": 1e9, "tokens": 2e10}, 2.564635),
    ),
)
