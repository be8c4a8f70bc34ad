"""Bounded metric: accuracy of a benchmark against a loss, between the floor of guessing and a ceiling.

    Acc(L) = a / (1 + e^(-k (L - L0))) + b,    floor = a + b,    ceiling = b

Stage 2 of the model ladder of Bhagia et al. 2024 (arXiv 2412.04403); L is the task loss, in bits per byte of the correct answer. Llama 3
(Dubey et al. 2024, arXiv 2407.21783) has the same link. With k > 0, a < 0: the accuracy falls from the ceiling at a low loss to the floor
at a high one, half of it at L0. Chain it after a law of the loss: ``predict(fit_of_task_ladder, at, then=fit_of_bounded_metric)``.

When to use it: one task, with accuracies that have left the floor. When not: runs that are all at the floor (nothing fixes k and L0: the
prior answers), or losses of models trained on other data. Hold what is known: ``--fix floor=0.25`` for four choices, ``--fix reach=1``
where a perfect score is possible. The ceiling is rarely known: wrong labels, and answers ranked by likelihood, keep it below 1, so that
its prior is wide.

Sampled are the floor, the reach (how much of the way from the floor to 1 the ceiling goes: it cannot lie below the floor), and for L0 the
foot, L0 + ln(reach) / k: runs near the floor see (1 - floor) e^(-k (L - foot)) of the curve, whatever the ceiling.

`skewed` is the same with one parameter more, for a loss that is not the task's own (`loss_skewed`: a validation loss in nat/token):

    Acc(L) = floor + (ceiling - floor) (1 + e^(k (L - L0) / s))^(-s)

Slope k at the foot, k / s in logits at the top; s = 1 is the law above. Where tasks are set against a validation loss (Gadre et al. 2024)
the symmetric form predicts too little accuracy for larger models: its top must be as steep as its foot.

`bent` and `loss_bent` are the law, of a task loss or a validation loss, with a slope that may wander (bayes_scaling.bends): for predictions
beyond the runs. No form here is the truth. Held back from fits, the largest quarter of the OLMo runs up to 1.3B and of the Gadre runs below
0.5B mostly lay above what the smaller ones foretold, and residuals of neighbours in loss go together. The prior of the wandering is set by
what such training runs show (most likely scales: 0.25 to 0.5 logit/(bit/byte)^1.5; 0.1 to 0.3 logit/nat^1.5, more for LAMBADA); no larger
run has had a part in it. Skewed and bent are not offered together: what they say can hardly be told apart.

Noise: the answers to n test items, a beta-binomial count (column trials): beyond the draw of the items it has scatter from run to run.
For a mean over tasks choose logit-student-t noise: it is no count. The link is fitted on measured losses, so its scatter holds what
the measured loss leaves open; feed it measured, or newly predicted, losses.

The paper fits by least squares to some 1400 checkpoints, smoothed over 5, with a made-up point (0, 1) that pulls the ceiling to 1;
checkpoints of one run are far from independent. Its coefficients for each task stand in figures alone, so no set is listed here.
"""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
from numpyro.distributions import Beta, HalfNormal, LogNormal

from bayes_scaling.bends import bent, straight
from bayes_scaling.law import Check, Decision, Input, Law, Parameter
from bayes_scaling.numeric import kept_inside


def make(column, unit, meaning, low, high, rate, midpoint, example, variant="", **more):
    skewed = variant.endswith("skewed")

    def formula(inputs, p):
        # a < 0: softplus keeps digits where the accuracy is near the floor.
        s = p["s"] if skewed else 1.0
        rise = -p["a"] * jnp.exp(-s * jax.nn.softplus(p["k"] * (inputs[column] - p["L0"]) / s))
        return kept_inside(p["a"] + p["b"] + rise)

    def derived(p):
        rise = (1 - p["floor"]) * p["reach"]
        return {"a": -rise, "b": p["floor"] + rise, "L0": p["foot"] - jnp.log(p["reach"]) / p["k"]}

    def invert(p):
        reach = -p["a"] / (1 - p["a"] - p["b"])
        found = {"floor": p["a"] + p["b"], "reach": reach, "k": p["k"], "foot": p["L0"] + math.log(reach) / p["k"]}
        return found | ({"s": p["s"]} if skewed else {})

    def answer(p, given):
        share = (given["target"] - p["a"] - p["b"]) / -p["a"]  # of the way from floor to ceiling
        inside = (share > 0) & (share < 1)
        safe = jnp.where(inside, share, 0.5)
        s = p["s"] if skewed else 1.0
        root = -jnp.log(safe) / s  # ln(1 + e^(k (L - L0) / s))
        needed = p["L0"] + s * (root + jnp.log(-jnp.expm1(-root))) / p["k"]
        return {
            "accuracy": formula(given, p),
            "needed_loss": jnp.where(inside, jnp.maximum(needed, 0.0), jnp.where(share >= 1, 0.0, jnp.inf)),
        }

    return Law(
        name="bounded_metric" + (f":{variant}" if variant else ""),
        title="Accuracy of a benchmark against a loss, between floor and ceiling" + (", skewed" if skewed else ""),
        equation=(
            "Acc(L) = floor + (ceiling - floor) (1 + e^(k (L - L0) / s))^(-s), floor = a + b, ceiling = b"
            if skewed
            else "Acc(L) = a / (1 + e^(-k (L - L0))) + b, floor = a + b, ceiling = b"
        ),
        citation="Bhagia et al. 2024, arXiv 2412.04403 (step 2); Dubey et al. 2024, arXiv 2407.21783 (section 3.2.1)",
        use="one task whose accuracy has left the floor of guessing, against a loss; after a law of that loss",
        avoid="runs that are all at the floor; models of different training data on one curve",
        inputs=(Input(column, unit, meaning, low, high),),
        parameters=(
            Parameter("floor", Beta(2.0, 5.0), "accuracy at a high loss, that of guessing: hold it where it is known"),
            Parameter("reach", Beta(9.0, 1.5), "how much of the way from floor to 1 the accuracy goes at a low loss"),
            Parameter("k", rate, f"steepness{' at the foot' if skewed else ''}, in logits per {unit}"),
            Parameter("foot", midpoint, f"loss half way from floor to 1 on the curve of ceiling 1 with the same foot, in {unit}"),
            *((Parameter("s", LogNormal(0.0, 1.0), "steepness at the foot over that at the top"),) if skewed else ()),
        ),
        formula=formula,
        derived=derived,
        invert=invert,
        decreasing_in=(column,),
        output="accuracy",
        noise="beta-binomial",
        decision=Decision(
            question="what is the accuracy at a loss, and which loss reaches a target accuracy?",
            given=(
                Input(column, unit, "loss at which the accuracy is asked for"),
                Input("target", "fraction", "accuracy to reach"),
            ),
            answers=(
                Input("accuracy", "fraction", "accuracy at that loss, without the scatter of a measurement"),
                Input("needed_loss", unit, "highest loss that reaches the target (0: none does; inf: any does)"),
            ),
            answer=answer,
            example=example,
        ),
        checks=(
            # 0.3 + 0.7 (1 + e^(4 (-0.1) / 0.5))^-0.5
            Check("", {column: 0.8}, 0.8814529, 1e-6, {"a": -0.7, "b": 1.0, "k": 4.0, "L0": 0.9, "s": 0.5})
            if skewed
            else Check("", {column: 0.8}, 0.719081, values={"a": -0.7, "b": 1.0, "k": 4.0, "L0": 0.9}),
        ),
        **more,
    )


def of_task_loss(variant="", **more):
    meaning, example = "loss on the task's correct answers, per byte", {"task_loss": 0.7, "target": 0.8}
    priors = LogNormal(1.6, 0.7), LogNormal(-0.2, 0.5)
    return make("task_loss", "bit/byte", meaning, 0.1, 4.0, *priors, example, variant, **more)


def of_loss(variant):
    meaning, example = "loss on one validation set, the same for all runs", {"loss": 2.5, "target": 0.6}
    return make("loss", "nat/token", meaning, 1.0, 8.0, LogNormal(0.9, 0.7), LogNormal(1.0, 0.4), example, variant)


# Where the slope may change: over the losses that runs and their successors have, a few times within those of one ladder.
KNOTS = {"task_loss": [0.3 + 0.25 * i for i in range(8)], "loss": [1.75 + 0.35 * i for i in range(10)]}
ANCHOR = {"task_loss": 1.2, "loss": 3.5}
BEND = HalfNormal(0.5)


def of_bends(law, variant):
    column = law.input_names[0]
    (check,) = law.checks
    values = {**check.values, **straight(KNOTS[column])}
    return bent(law, variant, KNOTS[column], ANCHOR[column], BEND, replace(check, values=values))


OF_LOSS, LAW = of_loss("loss"), of_task_loss()
LAW = replace(
    LAW,
    variants={
        "loss": OF_LOSS,
        "skewed": of_task_loss("skewed"),
        "loss_skewed": of_loss("loss_skewed"),
        "bent": of_bends(LAW, "bent"),
        "loss_bent": of_bends(OF_LOSS, "loss_bent"),
    },
)
