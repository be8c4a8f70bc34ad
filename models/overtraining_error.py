"""Downstream error against loss: the mean top-1 error of a suite of tasks as the model's loss falls.

    Err(L) = epsilon - k e^(-gamma L)

Gadre et al. 2024 (arXiv 2403.08540), equation 5. As the loss rises the error levels off at epsilon, near what guessing gives; in
perplexity e^L it is a power law. Chain it after a law of loss: ``predict(loss_fit, at, then=error_fit)``.

When to use it: the mean error of many tasks against one validation loss, same data recipe. When not: single tasks, many of which stay
at chance and then rise (a sigmoid); losses of models trained on other data (each recipe has a curve of its own).

What the paper leaves open: epsilon is not held at the error of guessing, and nothing keeps the curve above 0 at losses far below the
runs; here it is cut there, as no error rate is negative. The paper fits 3 parameters to 6 runs by least squares without uncertainty.

`bent` has a slope that may wander (bayes_scaling.bends), for predictions beyond the runs: misfit of the form goes together from run to run,
and goes on where runs end.

Noise: Student-t on logit error. A mean over tasks of different sizes is no binomial count, and scatter shrinks towards 0 and 1. For one
task with a known number of items use beta-binomial noise, with a column trials.
"""

import math
from dataclasses import replace

import jax.numpy as jnp
from numpyro.distributions import Beta, HalfNormal, LogNormal

from bayes_scaling.bends import bent, straight
from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published
from bayes_scaling.numeric import LEAST

# Where the drop below epsilon is stated, in nat/token: among published runs, and above what most users will have.
LOSS_REFERENCE = 3.0


def formula(inputs, p):
    return jnp.maximum(p["epsilon"] - jnp.exp(jnp.log(p["k"]) - p["gamma"] * inputs["loss"]), LEAST)


def derived(p):
    return {"k": p["drop_ref"] * math.e ** (p["gamma"] * LOSS_REFERENCE)}


def invert(p):
    return {"epsilon": p["epsilon"], "drop_ref": p["k"] * math.e ** (-p["gamma"] * LOSS_REFERENCE), "gamma": p["gamma"]}


def answer(p, given):
    drop = p["epsilon"] - given["target"]
    needed = (jnp.log(p["k"]) - jnp.log(jnp.where(drop > 0, drop, 1.0))) / p["gamma"]
    return {
        "error": formula(given, p),
        "needed_loss": jnp.where(drop > 0, jnp.maximum(needed, 0.0), jnp.inf),
    }


GADRE = "Gadre et al. 2024, arXiv 2403.08540"


def _set(epsilon, k, gamma, trained_on, tasks):
    note = f"trained on {trained_on}, loss on C4's validation data; mean error of {tasks} tasks; least squares on 6 runs"
    return Published({"epsilon": epsilon, "k": k, "gamma": gamma}, f"{GADRE}, {'table 2' if tasks == 17 else 'appendix'}", note=note)


# Where the slope may change, and where the departure is flat, in nat/token; see bayes_scaling.bends and bounded_metric.
KNOTS, ANCHOR, BEND = [1.75 + 0.35 * i for i in range(10)], 3.5, HalfNormal(0.5)

LAW = Law(
    name="overtraining_error",
    title="Mean error of downstream tasks against loss",
    equation="Err(L) = epsilon - k e^(-gamma L)",
    citation=f"{GADRE}, equation 5",
    use="the mean error of a suite of tasks against a validation loss, one data recipe; after a law of loss",
    avoid="single tasks that stay at chance and then rise; models of different training data on one curve",
    inputs=(Input("loss", "nat/token", "loss on one validation set, the same for all runs", 1.5, 8.0),),
    parameters=(
        Parameter("epsilon", Beta(4.0, 1.5), "error that a high loss levels off at, near that of guessing"),
        Parameter("drop_ref", LogNormal(-1.9, 1.0), f"how far the error is below epsilon at a loss of {LOSS_REFERENCE:g} nat/token"),
        Parameter("gamma", LogNormal(-0.2, 0.5), "rate at which the drop shrinks as the loss rises, per nat/token"),
    ),
    formula=formula,
    derived=derived,
    invert=invert,
    output="error",
    noise="logit-student-t",
    decision=Decision(
        question="what is the error at a loss, and which loss reaches a target error?",
        given=(
            Input("loss", "nat/token", "loss at which the error is asked for"),
            Input("target", "fraction", "error to reach"),
        ),
        answers=(
            Input("error", "fraction", "error at that loss"),
            Input("needed_loss", "nat/token", "highest loss that reaches the target (0: none does; inf: any does)"),
        ),
        answer=answer,
        example={"loss": 2.5, "target": 0.5},
    ),
    published={
        "c4_17": _set(0.850, 2.08, 0.756, "C4", 17),
        "redpajama_17": _set(0.857, 2.21, 0.715, "RedPajama", 17),
        "refinedweb_17": _set(0.865, 2.21, 0.707, "RefinedWeb", 17),
        "c4_46": _set(0.759, 1.289, 0.972, "C4", 46),
        "redpajama_46": _set(0.761, 1.323, 0.891, "RedPajama", 46),
        "refinedweb_46": _set(0.768, 1.128, 0.822, "RefinedWeb", 46),
    },
    checks=(
        Check("c4_17", {"loss": 2.5}, 0.535771, 2e-6),
        Check("redpajama_17", {"loss": 2.5}, 0.487094, 2e-6),
        Check("refinedweb_17", {"loss": 2.5}, 0.487622, 2e-6),
    ),
)
LAW = replace(
    LAW,
    variants={
        "bent": bent(
            LAW,
            "bent",
            KNOTS,
            ANCHOR,
            BEND,
            Check("", {"loss": 2.5}, 0.535771, 2e-6, values={**LAW.published["c4_17"].values, **straight(KNOTS)}),
        )
    },
)
