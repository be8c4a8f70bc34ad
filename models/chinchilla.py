"""Chinchilla: loss of a model with N parameters after D training tokens.

    L(N, D) = E + A / N^alpha + B / D^beta

Hoffmann et al. 2022 (arXiv 2203.15556), approach 3, equation 2; re-fitted by Besiroglu et al. 2024 (arXiv 2404.10102).

When to use it: runs that differ in size and in tokens, each trained once over fresh data with a schedule matched to its length.
When not: repeated data, sizes counted without embeddings below some 1e7 parameters (the curve bends there), or runs that all sit
on one line in (ln N, ln D), which cannot tell the two terms apart.
"""

from numpyro.distributions import LogNormal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published, Term
from bayes_scaling.numeric import power

# The scale at which the coefficients' priors are stated: near the low end of the published runs, where the posterior of (term,
# exponent) is nearly uncorrelated. Declared, never computed from the data: a prior must not depend on the data.
PARAMS_REFERENCE = 1.8e7
TOKENS_REFERENCE = 7e8


def formula(inputs, p):
    # Three positive terms: the sum loses no digits, and needs two exponentials where a log-sum-exp needs three.
    return p["E"] + power(p["A"], p["alpha"], inputs["params"]) + power(p["B"], p["beta"], inputs["tokens"])


def optimum(p, product):
    """Best (params, tokens) at a given product params x tokens (Hoffmann et al. 2022, equation 4)."""
    total = p["alpha"] + p["beta"]
    balance = (p["alpha"] * p["A"] / (p["beta"] * p["B"])) ** (1 / total)
    params = balance * product ** (p["beta"] / total)
    return params, product / params


def answer(p, given):
    params, tokens = optimum(p, given["compute"] / 6)
    loss = formula({"params": params, "tokens": tokens}, p)
    return {"params": params, "tokens": tokens, "tokens_per_param": tokens / params, "loss": loss}


def _set(E, A, B, alpha, beta, source, note="", errors=()):
    names = ("E", "A", "B", "alpha", "beta")
    return Published(dict(zip(names, (E, A, B, alpha, beta), strict=True)), source, dict(zip(names, errors, strict=False)), note)


HOFFMANN = "Hoffmann et al. 2022, arXiv 2203.15556"
BESIROGLU = "Besiroglu et al. 2024, arXiv 2404.10102"
SARDANA = "Sardana et al. 2023, arXiv 2401.00448"

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
    terms=(Term("A_ref", "alpha", "params", PARAMS_REFERENCE, "A"), Term("B_ref", "beta", "tokens", TOKENS_REFERENCE, "B")),
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
    published={
        "hoffmann": _set(1.69, 406.4, 410.7, 0.34, 0.28, f"{HOFFMANN}, equation 10", "rounded, as printed"),
        "hoffmann_tex": _set(
            1.6933737, 406.40102, 410.72283, 0.33917084, 0.2849083, f"TeX source of {HOFFMANN}, read by {BESIROGLU}", "unrounded"
        ),
        "besiroglu": _set(
            1.8172, 482.01, 2085.43, 0.3478, 0.3658, f"{BESIROGLU}, table 1", "240 runs", (0.03, 124.58, 1293.23, 0.02, 0.02)
        ),
        "besiroglu_outliers": _set(
            1.89, 463.3, 12530.0, 0.345, 0.452, f"{BESIROGLU}, appendix", "all 245 runs", (0.044, 145.0, 61650.0, 0.018, 0.054)
        ),
        "muennighoff_c4": _set(
            1.8691437, 520.82495, 1487.7161, 0.3526596, 0.3526596, "Muennighoff et al. 2023, arXiv 2305.16264", "C4; alpha = beta tied"
        ),
        "sardana_all": _set(1.45, 33.66, 138.9, 0.18, 0.24, SARDANA, "47 runs up to 1e4 tokens a param"),
        "sardana_100": _set(0.17, 7.199, 25.97, 0.08, 0.13, SARDANA, "runs up to 100 tokens a param"),
        "sardana_250": _set(0.98, 14.23, 39.54, 0.13, 0.16, SARDANA, "runs up to 250 tokens a param"),
        "sardana_500": _set(0.95, 17.07, 35.80, 0.13, 0.16, SARDANA, "runs up to 500 tokens a param"),
    },
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
