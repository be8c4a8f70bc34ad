"""Kaplan's law of model size: loss of a model with N non-embedding parameters that neither data nor training time holds back.

    L(N) = (Nc / N)^alpha_N

Kaplan et al. 2020 (arXiv 2001.08361), equation 1.1 and table 5: WebText2, N from 768 to 1.5e9, trained to convergence.

When to use it: a ladder of sizes, each trained to convergence on ample data, over a range too short to show a floor.
When not: to extrapolate far. The law has no floor (L -> 0 as N -> infinity), which no text can have; over a short range a pure power law
and one with a floor fit alike, but its exponent is then smaller, so 0.076 says nothing about the 0.34 of `chinchilla` and must not be set
against it. Sizes are counted without embeddings: counted with them the curve bends below some 1e7 parameters.

The paper holds three values of Nc for one alpha_N (8.8e13 here, 6.4e13 in L(N, D), 6.5e13 in L(N, S)): each belongs to its own fit. To put
one fit's Nc into another's formula moves the loss by 2 %.
"""

from numpyro.distributions import LogNormal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published, Term
from bayes_scaling.numeric import power

# Nc lies five decades beyond the runs: it is the loss at a size that was trained which a prior can speak of.
PARAMS_REFERENCE = 1e6


def formula(inputs, p):
    return power(1.0, p["alpha_N"], inputs["params"] / p["Nc"])


def derived(p):
    return {"Nc": PARAMS_REFERENCE * p["L_ref"] ** (1 / p["alpha_N"])}


def invert(p):
    return {"L_ref": (p["Nc"] / PARAMS_REFERENCE) ** p["alpha_N"], "alpha_N": p["alpha_N"]}


def answer(p, given):
    return {"params": power(p["Nc"], 1 / p["alpha_N"], given["target"])}


KAPLAN = "Kaplan et al. 2020, arXiv 2001.08361"

LAW = Law(
    name="kaplan_n",
    title="Loss against non-embedding parameters, no floor",
    equation="L(N) = (Nc / N)^alpha_N",
    citation=f"{KAPLAN}, equation 1.1",
    use="sizes counted without embeddings, trained to convergence on ample data, over a range too short to show a floor",
    avoid="extrapolation: the law has no floor (L_inf = 0); its exponent is not comparable with that of a law with a floor",
    inputs=(Input("params", "count", "parameters of the model, embeddings left out", 1e3, 1e12),),
    parameters=(
        Parameter("L_ref", LogNormal(1.3, 0.5), f"loss at {PARAMS_REFERENCE:.2g} params, in nat/token"),
        Parameter("alpha_N", LogNormal(-2.5, 0.5), "exponent of params"),
    ),
    formula=formula,
    derived=derived,
    invert=invert,
    terms=(Term("L_ref", "alpha_N", "params", PARAMS_REFERENCE),),
    decreasing_in=("params",),
    decision=Decision(
        question="how many parameters does a target loss need, with ample data and training to convergence?",
        given=(Input("target", "nat/token", "loss to reach; without a floor every loss is within reach of the formula"),),
        answers=(Input("params", "count", "model size, embeddings left out"),),
        answer=answer,
        example={"target": 2.4},
    ),
    published={
        "kaplan": Published(
            {"Nc": 8.8e13, "alpha_N": 0.076}, f"{KAPLAN}, table 5", note="not to be mixed with Nc of the fits of L(N, D) and L(N, S)"
        )
    },
    checks=(Check("kaplan", {"params": 1e9}, 2.375640),),
)
