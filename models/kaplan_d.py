"""Kaplan's law of data: loss of a large model that is trained on D tokens and stopped when its test loss no longer falls.

    L(D) = (Dc / D)^alpha_D

Kaplan et al. 2020 (arXiv 2001.08361), equation 1.2 and table 5: WebText2, D from 2.2e7 to 2.3e10.

When to use it: subsets of one corpus, each trained on for as many epochs as help, by a model that is large enough not to matter.
When not: as the loss after one pass over D tokens (D is the size of the data set, not of the training: 6 N D is not the compute), or to
extrapolate far: the law has no floor, and its exponent is not comparable with that of a law with one.

The constants of L(N, D) are another fit (`kaplan_nd`: alpha_D 0.103, Dc 1.8e13); the two must not be mixed.
"""

from numpyro.distributions import LogNormal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published, Term
from bayes_scaling.numeric import power

# Near the low end of the published range; Dc itself lies three decades beyond it.
TOKENS_REFERENCE = 1e8


def formula(inputs, p):
    return power(1.0, p["alpha_D"], inputs["tokens"] / p["Dc"])


def derived(p):
    return {"Dc": TOKENS_REFERENCE * p["L_ref"] ** (1 / p["alpha_D"])}


def invert(p):
    return {"L_ref": (p["Dc"] / TOKENS_REFERENCE) ** p["alpha_D"], "alpha_D": p["alpha_D"]}


def answer(p, given):
    return {"tokens": power(p["Dc"], 1 / p["alpha_D"], given["target"])}


KAPLAN = "Kaplan et al. 2020, arXiv 2001.08361"

LAW = Law(
    name="kaplan_d",
    title="Loss against the size of the data set, early stopped, no floor",
    equation="L(D) = (Dc / D)^alpha_D",
    citation=f"{KAPLAN}, equation 1.2",
    use="subsets of one corpus, early stopped, with a model large enough not to matter",
    avoid="one pass over the data (D is not the tokens processed); extrapolation: no floor (L_inf = 0), so exponents are not comparable",
    inputs=(Input("tokens", "count", "distinct tokens of the training set, seen as often as helps", 1e7, 1e13),),
    parameters=(
        Parameter("L_ref", LogNormal(1.3, 0.5), f"loss at {TOKENS_REFERENCE:.2g} tokens, in nat/token"),
        Parameter("alpha_D", LogNormal(-2.3, 0.5), "exponent of tokens"),
    ),
    formula=formula,
    derived=derived,
    invert=invert,
    terms=(Term("L_ref", "alpha_D", "tokens", TOKENS_REFERENCE),),
    decreasing_in=("tokens",),
    decision=Decision(
        question="how many distinct tokens does a target loss need, with a large model and early stopping?",
        given=(Input("target", "nat/token", "loss to reach; without a floor every loss is within reach of the formula"),),
        answers=(Input("tokens", "count", "size of the training set"),),
        answer=answer,
        example={"target": 2.4},
    ),
    published={
        "kaplan": Published(
            {"Dc": 5.4e13, "alpha_D": 0.095}, f"{KAPLAN}, table 5", note="not to be mixed with Dc and alpha_D of the fit of L(N, D)"
        )
    },
    checks=(Check("kaplan", {"tokens": 1e10}, 2.262442),),
)
