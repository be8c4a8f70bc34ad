"""Kaplan's law of overfitting: loss of a model with N non-embedding parameters trained on a set of D tokens and stopped early.

    L(N, D) = [ (Nc / N)^(alpha_N / alpha_D) + Dc / D ]^alpha_D

Kaplan et al. 2020 (arXiv 2001.08361), equation 1.5 with the fit of table 2.

When to use it: sizes and data sets vary, every model is trained for as long as its test loss falls, and the question is overfitting: does
more data still help this model?
When not: as a law of compute. D is the size of the data set, seen for many epochs where it is small, so 6 N D is not what training costs;
compute-optimal plans are `kaplan_ns` or `chinchilla`. Neither limit has a floor (L_inf = 0): no exponent here is comparable with one of a
law with a floor.

The limits are the forms of `kaplan_n` and `kaplan_d`, but the constants are a fit of their own: put the ones of those two laws in and the
loss at N = 1e9, D = 2e10 rises from 2.374 to 2.435.
"""

import jax.numpy as jnp
from numpyro.distributions import LogNormal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published, Term
from bayes_scaling.numeric import power

PARAMS_REFERENCE = 1e6
TOKENS_REFERENCE = 1e8


def formula(inputs, p):
    # The outer power is up to 30 times smaller than the inner ones are large: only logarithms hold both.
    size = p["alpha_N"] / p["alpha_D"] * (jnp.log(p["Nc"]) - jnp.log(inputs["params"]))
    data = jnp.log(p["Dc"]) - jnp.log(inputs["tokens"])
    return jnp.exp(p["alpha_D"] * jnp.logaddexp(size, data))


def derived(p):
    return {
        "Nc": PARAMS_REFERENCE * p["L_N_ref"] ** (1 / p["alpha_N"]),
        "Dc": TOKENS_REFERENCE * p["L_D_ref"] ** (1 / p["alpha_D"]),
    }


def invert(p):
    return {
        "L_N_ref": (p["Nc"] / PARAMS_REFERENCE) ** p["alpha_N"],
        "L_D_ref": (p["Dc"] / TOKENS_REFERENCE) ** p["alpha_D"],
        "alpha_N": p["alpha_N"],
        "alpha_D": p["alpha_D"],
    }


def answer(p, given):
    # L / L(N, infinity) = [1 + (Dc / D) (N / Nc)^(alpha_N / alpha_D)]^alpha_D, solved for D.
    unlimited = power(1.0, p["alpha_N"], given["params"] / p["Nc"])
    ratio = jnp.expm1(jnp.log1p(given["excess"]) / p["alpha_D"])
    tokens = power(p["Dc"], -p["alpha_N"] / p["alpha_D"], given["params"] / p["Nc"]) / ratio
    return {
        "tokens": tokens,
        "tokens_per_param": tokens / given["params"],
        "loss": unlimited * (1 + given["excess"]),
        "loss_unlimited": unlimited,
    }


KAPLAN = "Kaplan et al. 2020, arXiv 2001.08361"
UNIVARIATE = {"Nc": 8.8e13, "Dc": 5.4e13, "alpha_N": 0.076, "alpha_D": 0.095}

LAW = Law(
    name="kaplan_nd",
    title="Loss against non-embedding parameters and size of the data set, early stopped",
    equation="L(N, D) = [(Nc / N)^(alpha_N / alpha_D) + Dc / D]^alpha_D",
    citation=f"{KAPLAN}, equation 1.5",
    use="sizes and data sets vary, every model is stopped when its test loss no longer falls; how much data avoids overfitting",
    avoid="compute-optimal plans (D is the data set, not the tokens processed); extrapolation: no floor, so exponents are not comparable",
    inputs=(
        Input("params", "count", "parameters of the model, embeddings left out", 1e3, 1e12),
        Input("tokens", "count", "distinct tokens of the training set, seen as often as helps", 1e7, 1e13),
    ),
    parameters=(
        Parameter("L_N_ref", LogNormal(1.3, 0.5), f"loss at {PARAMS_REFERENCE:.2g} params and unlimited data, in nat/token"),
        Parameter("L_D_ref", LogNormal(1.3, 0.5), f"loss at {TOKENS_REFERENCE:.2g} tokens and unlimited size, in nat/token"),
        Parameter("alpha_N", LogNormal(-2.5, 0.5), "exponent of params at unlimited data"),
        Parameter("alpha_D", LogNormal(-2.3, 0.5), "exponent of tokens at unlimited size"),
    ),
    formula=formula,
    derived=derived,
    invert=invert,
    terms=(Term("L_N_ref", "alpha_N", "params", PARAMS_REFERENCE), Term("L_D_ref", "alpha_D", "tokens", TOKENS_REFERENCE)),
    decreasing_in=("params", "tokens"),
    decision=Decision(
        question="how many distinct tokens keep a model within a given excess of its loss at unlimited data?",
        given=(
            Input("params", "count", "model size, embeddings left out"),
            Input("excess", "", "relative excess of the loss that is allowed: the paper's seeds differ by 0.02"),
        ),
        answers=(
            Input("tokens", "count", "size of the training set"),
            Input("tokens_per_param", "", "its ratio to the size"),
            Input("loss", "nat/token", "loss at that many tokens"),
            Input("loss_unlimited", "nat/token", "loss at unlimited data"),
        ),
        answer=answer,
        example={"params": 1e9, "excess": 0.02},
        optional={"excess": 0.02},
    ),
    published={
        "kaplan": Published(
            {"Nc": 6.4e13, "Dc": 1.8e13, "alpha_N": 0.076, "alpha_D": 0.103},
            f"{KAPLAN}, table 2",
            note="one fit of its own: not to be mixed with the constants of L(N) and L(D)",
        )
    },
    checks=(
        Check("kaplan", {"params": 1e9, "tokens": 2e10}, 2.373882),
        Check("", {"params": 1e9, "tokens": 2e10}, 2.435431, values=UNIVARIATE),
    ),
)
