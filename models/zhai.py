"""Zhai's law of vision transformers: error rate against compute, with a floor and a ceiling.

    error(C) = min(1, c + a * (C + d)^(-b))        C in TPUv3-core-days

Zhai et al. 2022 (arXiv 2106.04560), section 2 and figure 2: ViT from 5e6 to 2e9 parameters on 1e6 to 3e9 images, ImageNet error after
fine-tuning or from ten examples a class. c is what unlimited compute leaves; d bends the curve off the power law at small compute, where
the error must come to that of a model that has not been trained.

The curve is the frontier: the best of sizes, data and durations at each compute. It says nothing of a run off the frontier.

The limit of 1 is ours. The paper's form alone passes 1 at small compute: the published fine-tuning curve is 1.39 at C = 0 and reaches 1
at C = 0.018. That is outside the runs behind it (some 0.2 to 1e4 core-days) and harms nothing there, but an error rate above 1 is not one.
Where the limit holds, the curve is flat and runs there say nothing of the parameters; d is not identified where all runs have C >> d.

When to use it: best error rates at each of several computes, from near-untrained to near-saturated.
When not: other hardware (a core-day is a time on one chip, not FLOP: rates of two kinds of chip must not be mixed), or single runs.
Noise is Student-t on the logit by default: between floor and ceiling, logits scatter evenly where errors do not, and no noise may put an
error outside 0 to 1. With the number of test items at hand, `beta-binomial` takes the counts themselves.
"""

import jax.numpy as jnp
from numpyro.distributions import Beta, LogNormal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published, Term
from bayes_scaling.numeric import power

# One core-day: the low end of the published runs.
COMPUTE_REFERENCE = 1.0


def formula(inputs, p):
    return jnp.minimum(p["c"] + power(p["a"], p["b"], inputs["core_days"] + p["d"]), 1.0)


def answer(p, given):
    reducible = given["target"] - p["c"]
    reachable = reducible > 0
    log_needed = (jnp.log(p["a"]) - jnp.log(jnp.where(reachable, reducible, 1.0))) / p["b"]
    needed = jnp.maximum(jnp.exp(log_needed) - p["d"], 0.0)  # 0: an untrained model is good enough, says the curve
    return {
        "core_days": jnp.where(reachable, jnp.where(given["target"] >= 1, 0.0, needed), jnp.inf),
        "error": formula({"core_days": given["budget"]}, p),
        "floor": p["c"],
    }


ZHAI = "Zhai et al. 2022, arXiv 2106.04560"


def _set(c, a, d, b, note):
    return Published({"c": c, "a": a, "d": d, "b": b}, f"{ZHAI}, section 2", note=note)


LAW = Law(
    name="zhai",
    title="Error rate of vision transformers against compute, saturating at both ends",
    equation="error(C) = min(1, c + a * (C + d)^(-b))",
    citation=ZHAI,
    use="the best error rate at each of several computes (a frontier), from near-untrained to near-saturated",
    avoid="runs off the frontier; core-days of different hardware in one fit",
    inputs=(Input("core_days", "core-day", "TPUv3-core-days of training (or of any one kind of chip)", 0.1, 1e5),),
    parameters=(
        Parameter("c", Beta(1.5, 8.0), "error that unlimited compute leaves"),
        Parameter("a_ref", LogNormal(-1.2, 0.6), f"reducible error at {COMPUTE_REFERENCE:.2g} core-day"),
        Parameter("d", LogNormal(-2.0, 2.0), "core-days that pull small computes off the power law"),
        Parameter("b", LogNormal(-1.1, 0.5), "exponent of compute"),
    ),
    formula=formula,
    derived=lambda p: {"a": p["a_ref"] * (COMPUTE_REFERENCE + p["d"]) ** p["b"]},
    invert=lambda p: {"c": p["c"], "a_ref": p["a"] * (COMPUTE_REFERENCE + p["d"]) ** -p["b"], "d": p["d"], "b": p["b"]},
    terms=(Term("a_ref", "b", "core_days", COMPUTE_REFERENCE),),
    decreasing_in=("core_days",),
    output="error",
    noise="logit-student-t",
    decision=Decision(
        question="how many core-days does a target error need, and which error does a budget leave?",
        given=(
            Input("target", "fraction", "error to reach"),
            Input("budget", "core-day", "core-days to be spent; the end of the published runs"),
        ),
        answers=(
            Input("core_days", "core-day", "compute for the target; out of reach below the floor"),
            Input("error", "fraction", "error at the budget"),
            Input("floor", "fraction", "error that unlimited compute leaves"),
        ),
        answer=answer,
        example={"target": 0.15, "budget": 1e4},
        optional={"budget": 1e4},
    ),
    published={
        "finetune": _set(0.09, 0.26, 0.01, 0.35, "ImageNet top-1 error after fine-tuning"),
        "10-shot": _set(0.12, 0.63, 0.52, 0.32, "ImageNet top-1 error, linear, ten examples a class"),
    },
    checks=(
        Check("finetune", {"core_days": 100.0}, 0.141875, 2e-6),
        Check("10-shot", {"core_days": 100.0}, 0.264085, 2e-6),
        Check("10-shot", {"core_days": 0.0}, 0.896640),
        Check("finetune", {"core_days": 0.0}, 1.0),  # 1.393087 without the limit
    ),
)
