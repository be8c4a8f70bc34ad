"""Translation against data: loss of one model on growing numbers of sentence pairs, until its capacity is the limit.

    L(D) = A (1/D + C)^p

Bansal et al. 2022 (arXiv 2202.01994), equation 1; it is M3 of Alabdulmohsin et al. 2022 (arXiv 2209.06640). D are sentence pairs. With
D_c = 1/C there are two regimes: data-limited, D << D_c, where L falls as D^-p; and capacity-limited, D >> D_c, where L comes to rest at
A C^p and only a better model helps. The exponent on the way is p / (1 + D / D_c).

When to use it: one model, one test set, data alone varied, over enough decades to see both regimes.
When not: curves that only show one of them: then D_c (and with it the limit) is the prior's word; models of different size in one fit.

The paper finds p of about 0.28 (English-German) and 0.25 (Chinese-English), little moved by architecture, filtering or noise, and smaller
with back-translated data: worse architectures and noise change A and C, and can be made good by more data.
"""

import jax.numpy as jnp
from numpyro.distributions import Beta, LogNormal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published, Term

EXAMPLES_REFERENCE = 1e7


def formula(inputs, p):
    return jnp.exp(jnp.log(p["A"]) + p["p"] * jnp.logaddexp(-jnp.log(inputs["examples"]), jnp.log(p["C"])))


def derived(sampled):
    return {"A": sampled["loss_ref"] * EXAMPLES_REFERENCE ** sampled["p"], "C": 1 / sampled["D_c"]}


def invert(published):
    return {
        "loss_ref": published["A"] * EXAMPLES_REFERENCE ** -published["p"],
        "p": published["p"],
        "D_c": 1 / published["C"],
    }


def answer(p, given):
    log_limit = jnp.log(p["A"]) + p["p"] * jnp.log(p["C"])
    room = (jnp.log(given["target"]) - log_limit) / p["p"]  # L = limit (1 + D_c / D)^p
    reachable = room > 0
    share = jnp.expm1(jnp.where(reachable, jnp.minimum(room, 700.0), 1.0))  # D_c / D
    return {
        "loss": formula(given, p) + 0 * given["target"],
        "loss_limit": jnp.exp(log_limit) + 0 * given["examples"],
        "capacity_limited_from": 1 / p["C"] + 0 * given["examples"],
        "exponent_here": p["p"] / (1 + given["examples"] * p["C"]),
        "examples_needed": jnp.where(reachable, 1 / (p["C"] * share), jnp.inf) + 0 * given["examples"],
    }


MILLION = 1e6


def _curve(A, p, C, errors, source, note):
    """A fit with examples in millions, in base units: (1 / (D / 1e6) + C)^p = (1e6)^p (1 / D + C / 1e6)^p."""
    values = {"A": A * MILLION**p, "p": p, "C": C / MILLION}
    return Published(values, source, {"p": errors}, note)


RUNS = "least squares on ln L of the runs released with Alabdulmohsin et al. 2022, arXiv 2209.06640, up to 256M pairs"

LAW = Law(
    name="bansal",
    title="Translation loss against sentence pairs, with a limit of capacity",
    equation="L(D) = A (1/D + C)^p",
    citation="Bansal et al. 2022, arXiv 2202.01994",
    use="one translation model on growing data, over both regimes: limited by data and limited by its capacity",
    avoid="curves that only show one regime; models of different sizes in one fit",
    inputs=(Input("examples", "count", "training sentence pairs", 1e5, 1e10),),
    parameters=(
        Parameter("loss_ref", LogNormal(-0.7, 0.8), f"loss {EXAMPLES_REFERENCE:.0e} pairs would give at unlimited capacity in nat/token"),
        Parameter("p", Beta(6.0, 16.0), "exponent of sentence pairs where they are scarce"),
        Parameter("D_c", LogNormal(17.3, 1.5), "sentence pairs from which capacity is the limit: 1/C"),
    ),
    formula=formula,
    derived=derived,
    invert=invert,
    terms=(Term("loss_ref", "p", "examples", EXAMPLES_REFERENCE),),
    decreasing_in=("examples",),
    decision=Decision(
        question="is this model limited by data or by its capacity, and how many sentence pairs does a target loss need?",
        given=(
            Input("examples", "count", "sentence pairs at hand"),
            Input("target", "nat/token", "loss to reach"),
        ),
        answers=(
            Input("loss", "nat/token", "loss with the data at hand"),
            Input("loss_limit", "nat/token", "loss of this model with unlimited data"),
            Input("capacity_limited_from", "count", "sentence pairs from which capacity is the limit: 1/C"),
            Input("exponent_here", "", "percent that the loss falls for one percent more data"),
            Input("examples_needed", "count", "sentence pairs that the target needs (inf: this model cannot reach it)"),
        ),
        answer=answer,
        example={"examples": 1e7, "target": 0.36},
    ),
    published={
        "encoder6_decoder6": _curve(0.7558, 0.2686, 0.04598, 0.0136, RUNS, "6 encoder and 6 decoder layers, English-German"),
        "encoder_lstm": _curve(0.7691, 0.2679, 0.06629, 0.0220, RUNS, "Transformer encoder, LSTM decoder"),
    },
    checks=(
        Check("encoder6_decoder6", {"examples": 5.12e8}, 0.334215, 2e-5),
        # (1e-3 + 1e-3)^0.5 and so on: of the formula itself.
        Check("", {"examples": 1e3}, 2 * 0.002**0.5, values={"A": 2.0, "p": 0.5, "C": 1e-3}),
    ),
)
