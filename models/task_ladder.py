"""Task ladder: the loss on a benchmark's correct answers against parameters and tokens.

    L_task(N, D) = A / N^alpha + B / D^beta + E

Stage 1 of the model ladder of Bhagia et al. 2024 (arXiv 2412.04403): Chinchilla's form for a loss in bits per byte. Chain `bounded_metric`
after it for the accuracy. Two related laws of accuracy for other data:

    task_ladder:direct   Acc(N, D) = floor + (ceiling - floor) sigmoid(h - a / N^alpha - b / D^beta)
    task_ladder:llama3   L_task(C) = c - s log10(C / 1e20)

`direct` is both stages in one step, for those who have accuracies alone. Of A, B, E, k and L0 accuracies tell only a = k A, b = k B and
h = k (L0 - E), the logit of the way from floor to ceiling that unlimited size and data go. Of these, in turn, runs fix best the logit at a
size and data among them and what it gains per factor of either: so these are sampled, and reach, how much of the way from floor to 1 the
ceiling goes. `llama3` is the first step of Llama 3 (Dubey et al. 2024, arXiv 2407.21783, section 3.2.1): for compute-optimal models the
loss per character falls linearly in the logarithm of compute.

When to use it: a ladder of small models, at several ratios of tokens to params, that a large one will follow with the same recipe. When
not: a target whose recipe differs (annealing on better data, as OLMo 2 had, leaves the curve: the paper errs by 9 to 18 % in the loss of
three tasks); tasks whose loss does not follow size (BoolQ: the answer is yes or no).

Where the paper is wrong: it calls the fit of stage 1 convex, but it is not in the exponents. It fits 5 parameters to 16 runs by Huber loss
and gives no uncertainty; its coefficients stand in figures alone, so no set is listed here. The linear form of Llama 3 reaches a loss of 0
at a finite compute; it is cut there.
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import logit
from numpyro.distributions import Beta, LogNormal, Normal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter
from bayes_scaling.loss_law import PARAMS_REFERENCE, SUM, TERMS, TOKENS_REFERENCE, balance, formula
from bayes_scaling.numeric import LEAST, kept_inside, power

BHAGIA = "Bhagia et al. 2024, arXiv 2412.04403"
LLAMA3 = "Dubey et al. 2024, arXiv 2407.21783"
COMPUTE_REFERENCE = 1e20  # FLOP
INPUTS = (
    Input("params", "count", "parameters of the model without embeddings, as the paper counts", 1e7, 1e12),
    Input("tokens", "count", "training tokens", 1e8, 1e14),
)
# Where accuracies have left the floor, and so where a law of accuracies is known best.
SIZE, DATA = 1e9, 2e10
EXPONENTS = (
    Parameter("alpha", LogNormal(-1.2, 0.5), "exponent of params"),
    Parameter("beta", LogNormal(-1.2, 0.5), "exponent of tokens"),
)
BEST = (
    Input("compute", "FLOP", "least training compute, 6ND, that reaches the target (inf: none does; 0: any does)"),
    Input("params", "count", "size of the model that does"),
    Input("tokens", "count", "its training tokens"),
)


def least_compute(A, B, alpha, beta, reducible):
    """Return (compute, params, tokens) of the cheapest model with A / N^alpha + B / D^beta = reducible; infinite where that is <= 0.

    At the best size for a product P = N D both terms fall as P^(-alpha beta / (alpha + beta)).
    """
    share = balance(A, B, alpha, beta)
    at_one = jnp.log(A * share**-alpha + B * share**beta)
    possible = reducible > 0
    log_product = (at_one - jnp.log(jnp.where(possible, reducible, 1.0))) * (1 / alpha + 1 / beta)
    log_params = jnp.log(share) + log_product * beta / (alpha + beta)
    return tuple(jnp.where(possible, jnp.exp(part), jnp.inf) for part in (jnp.log(6) + log_product, log_params, log_product - log_params))


def answer(p, given):
    compute, params, tokens = least_compute(p["A"], p["B"], p["alpha"], p["beta"], given["target"] - p["E"])
    return {"task_loss": formula(given, p), "compute": compute, "params": params, "tokens": tokens}


def direct_derived(p):
    rise = (1 - p["floor"]) * p["reach"]
    size, data = p["gain_params"] / p["alpha"], p["gain_tokens"] / p["beta"]
    return {
        "ceiling": p["floor"] + rise,
        "h": p["foot"] + size + data - jnp.log(p["reach"]),
        "a": size * SIZE ** p["alpha"],
        "b": data * DATA ** p["beta"],
    }


def direct_invert(p):
    reach = (p["ceiling"] - p["floor"]) / (1 - p["floor"])
    size, data = p["a"] * SIZE ** -p["alpha"], p["b"] * DATA ** -p["beta"]
    return {
        "floor": p["floor"],
        "reach": reach,
        "foot": p["h"] + math.log(reach) - size - data,
        "gain_params": p["alpha"] * size,
        "gain_tokens": p["beta"] * data,
        "alpha": p["alpha"],
        "beta": p["beta"],
    }


def direct_formula(inputs, p):
    z = p["h"] - power(p["a"], p["alpha"], inputs["params"]) - power(p["b"], p["beta"], inputs["tokens"])
    return kept_inside(p["floor"] + (p["ceiling"] - p["floor"]) * jax.nn.sigmoid(z))


def direct_answer(p, given):
    share = (given["target"] - p["floor"]) / (p["ceiling"] - p["floor"])
    inside = (share > 0) & (share < 1)
    reducible = jnp.where(inside, p["h"] - logit(jnp.where(inside, share, 0.5)), -1.0)
    found = least_compute(p["a"], p["b"], p["alpha"], p["beta"], reducible)
    compute, params, tokens = (jnp.where(share <= 0, 0.0, part) for part in found)
    return {"accuracy": direct_formula(given, p), "compute": compute, "params": params, "tokens": tokens}


def llama3_formula(inputs, p):
    return jnp.maximum(p["c"] - p["s"] * jnp.log10(inputs["compute"] / COMPUTE_REFERENCE), LEAST)


def llama3_answer(p, given):
    return {
        "task_loss": llama3_formula(given, p),
        "needed_compute": COMPUTE_REFERENCE * 10 ** jnp.minimum((p["c"] - given["target"]) / p["s"], 300.0),
    }


DIRECT = Law(
    name="task_ladder:direct",
    title="Accuracy of a benchmark against parameters and tokens, in one step",
    equation="Acc(N, D) = floor + (ceiling - floor) / (1 + e^(-h + a / N^alpha + b / D^beta))",
    citation=f"{BHAGIA}: both steps in one",
    use="a ladder of models of which only accuracies are known, some of them above the floor of guessing",
    avoid="ladders with task losses (task_ladder, then bounded_metric: a loss says more than a count of right answers)",
    inputs=INPUTS,
    parameters=(
        Parameter("floor", Beta(2.0, 5.0), "accuracy of guessing: hold it where it is known"),
        Parameter("reach", Beta(9.0, 1.5), "how much of the way from floor to 1 the accuracy can go"),
        Parameter("foot", Normal(-1.0, 2.0), f"logit of the way from floor to 1 at {SIZE:.0e} params, {DATA:.0e} tokens and ceiling 1"),
        Parameter("gain_params", LogNormal(-1.2, 0.8), "logits gained there per factor e of params"),
        Parameter("gain_tokens", LogNormal(-1.2, 0.8), "logits gained there per factor e of tokens"),
        *EXPONENTS,
    ),
    formula=direct_formula,
    derived=direct_derived,
    invert=direct_invert,
    output="accuracy",
    noise="beta-binomial",
    decision=Decision(
        question="what accuracy will a target run have, and which compute reaches a target accuracy?",
        given=(*INPUTS, Input("target", "fraction", "accuracy to reach")),
        answers=(Input("accuracy", "fraction", "accuracy of that run, without the scatter of a measurement"), *BEST),
        answer=direct_answer,
        example={"params": 7e9, "tokens": 4e12, "target": 0.7},
    ),
    # 0.25 + 0.75 / (1 + e^(-2 + 1 + 0.8)): 1e9^(1/3) = 1e10^0.3 = 1000
    checks=(
        Check(
            "", {"params": 1e9, "tokens": 1e10}, 0.66237550,
            values={"floor": 0.25, "ceiling": 1.0, "h": 2.0, "a": 1000.0, "b": 800.0, "alpha": 1 / 3, "beta": 0.3},
        ),
    ),
)  # fmt: skip

LLAMA = Law(
    name="task_ladder:llama3",
    title="Loss on a benchmark's correct answers against compute, as Llama 3 was forecast",
    equation="L(C) = c - s log10(C / 1e20)",
    citation=f"{LLAMA3}, section 3.2.1",
    use="compute-optimal models over a few decades of compute, towards a target within some two decades",
    avoid="models at other ratios of tokens to params (task_ladder); targets where the line comes near 0",
    inputs=(Input("compute", "FLOP", "training compute of compute-optimal models", 1e18, 1e25),),
    parameters=(
        Parameter("c", LogNormal(0.0, 0.6), f"task loss at {COMPUTE_REFERENCE:.0e} FLOP, in bit/byte (or bit/character)"),
        Parameter("s", LogNormal(-2.3, 0.7), "fall of the task loss per decade of compute, in bit/byte"),
    ),
    formula=llama3_formula,
    decreasing_in=("compute",),
    output="task_loss",
    decision=Decision(
        question="what task loss does a compute give, and which compute reaches a target task loss?",
        given=(
            Input("compute", "FLOP", "training compute of the target run"),
            Input("target", "bit/byte", "task loss to reach"),
        ),
        answers=(
            Input("task_loss", "bit/byte", "task loss at that compute"),
            Input("needed_compute", "FLOP", "compute that reaches the target"),
        ),
        answer=llama3_answer,
        example={"compute": 3.8e25, "target": 0.6},
    ),
    checks=(Check("", {"compute": 1e22}, 0.8, values={"c": 1.0, "s": 0.1}),),
)

LAW = Law(
    name="task_ladder",
    title="Loss on a benchmark's correct answers against parameters and tokens",
    equation="L(N, D) = A / N^alpha + B / D^beta + E",
    citation=f"{BHAGIA} (step 1)",
    use="a ladder of small models of one recipe at several ratios of tokens to params; before bounded_metric",
    avoid="targets of another recipe or an annealing that the ladder lacks; tasks whose loss does not follow size",
    inputs=INPUTS,
    parameters=(
        Parameter("E", LogNormal(-0.9, 0.8), "irreducible task loss in bit/byte"),
        Parameter("A_ref", LogNormal(-0.7, 1.2), f"task loss from finite size at {PARAMS_REFERENCE:.2g} params, in bit/byte"),
        Parameter("B_ref", LogNormal(-0.7, 1.2), f"task loss from finite data at {TOKENS_REFERENCE:.2g} tokens, in bit/byte"),
        *EXPONENTS,
    ),
    formula=formula,
    terms=TERMS,
    sums=(SUM,),
    decreasing_in=("params", "tokens"),
    output="task_loss",
    decision=Decision(
        question="what task loss will a target run have, and which compute reaches a target task loss?",
        given=(*INPUTS, Input("target", "bit/byte", "task loss to reach")),
        answers=(Input("task_loss", "bit/byte", "task loss of that run, without the scatter of a measurement"), *BEST),
        answer=answer,
        example={"params": 7e9, "tokens": 4e12, "target": 0.7},
    ),
    # 0.5 + 0.1 + 0.2: 1e9^(1/3) = 1e10^0.3 = 1000
    checks=(Check("", {"params": 1e9, "tokens": 1e10}, 0.8, values={"E": 0.5, "A": 100.0, "B": 200.0, "alpha": 1 / 3, "beta": 0.3}),),
    variants={"direct": DIRECT, "llama3": LLAMA},
)
