"""Rectified scaling of fine-tuning: loss of a pre-trained model after fine-tuning on D examples.

    L(D) = E + B / (D_l + D^beta)

Lin et al. 2024 (arXiv 2402.02314), one curve for each model and data set. D_l is what pre-training has already taught of the task
("pre-learned data size"): the curve is flat up to the transition size D_l^(1/beta) examples, and a power law beyond. With D_l = 0 it is the
plain power law with a floor, which has no zero-shot loss and cannot bend.

When to use it: one pre-trained model fine-tuned on growing parts of one data set; with runs of many models a fit of each, and what the data
set decides pooled over these (``bs.pool_fits(fits, ["beta", "sigma"])``): what a model knows before, and its floor, are its own. When not:
zero-shot losses of models that do not know the format of the task (sequence-to-sequence models have 10 nat/token and more there, and come
down to 3 after 200 examples: nothing of this curve); several passes over the examples.

D_l and B are in examples^beta, which no two curves share, and their posterior is a ridge, as is that of E and B: runs know the loss at a
thousand examples to a percent, and hardly what of it stays. So the law samples what has a unit of its own, and apart what runs know and
what they do not: the transition size in examples, the loss at a reference, and the share of it that is irreducible. Where all runs lie far
beyond the transition, only an upper bound of it can be known, and the curve is none the worse. In the authors' table the largest sizes are
often still steep, and E is known poorly.
"""

import jax.numpy as jnp
from numpyro.distributions import Beta, LogNormal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter

LIN = "Lin et al. 2024, arXiv 2402.02314"
EXAMPLES_REFERENCE = 1e3  # near the lower end of what is published, 200 to 1.6e6: there the loss says least about beta and E


def log_size(examples, p):
    """Return ln(D_l + D^beta)."""
    some = examples > 0
    power = p["beta"] * jnp.log(jnp.where(some, examples, 1.0))
    prelearned = p["beta"] * jnp.log(p["transition"])
    return jnp.where(some, jnp.logaddexp(prelearned, power), prelearned)


def formula(inputs, p):
    fall = log_size(EXAMPLES_REFERENCE, p) - log_size(inputs["finetune_examples"], p)
    return p["L_ref"] * (p["share"] + (1 - p["share"]) * jnp.exp(fall))


def derived(p):
    prelearned = p["transition"] ** p["beta"]
    reducible = p["L_ref"] * (1 - p["share"])
    return {"E": p["L_ref"] * p["share"], "D_l": prelearned, "B": reducible * (prelearned + EXAMPLES_REFERENCE ** p["beta"])}


def invert(p):
    loss = p["E"] + p["B"] / (p["D_l"] + EXAMPLES_REFERENCE ** p["beta"])
    return {
        "L_ref": loss,
        "share": p["E"] / loss,
        "transition": p["D_l"] ** (1 / p["beta"]),
        "beta": p["beta"],
    }


def answer(p, given):
    target = given["target"] - p["E"]
    reachable = target > 0
    # D^beta = B / (target - E) - D_l, in logs; not above zero: the pre-trained model is there already.
    reducible = p["L_ref"] * (1 - p["share"])
    log_total = jnp.log(reducible) + log_size(EXAMPLES_REFERENCE, p) - jnp.log(jnp.where(reachable, target, 1.0))
    missing = log_total - p["beta"] * jnp.log(p["transition"])
    more = missing > 0
    log_power = log_total + jnp.log(-jnp.expm1(-jnp.where(more, missing, 1.0)))
    needed = jnp.where(more, jnp.exp(log_power / p["beta"]), 0.0)
    return {
        "loss": formula(given, p),
        "loss_before": formula({"finetune_examples": 0.0}, p),
        "needed_examples": jnp.where(reachable, needed, jnp.inf),
        "prelearned_examples": p["transition"],
    }


LAW = Law(
    name="finetune_rectified",
    title="Loss against fine-tuning examples, with what pre-training has taught",
    equation="L(D) = E + B / (D_l + D^beta)",
    citation=LIN,
    use="one pre-trained model fine-tuned on growing parts of one data set; many models: one group each, pooled",
    avoid="zero-shot losses of models that do not know the task's format; several passes over the examples",
    # Zero has its place in the formula; the domain begins where losses do follow the curve.
    inputs=(Input("finetune_examples", "count", "distinct fine-tuning examples, each seen in full; 0: the pre-trained model", 100, 2e6),),
    parameters=(
        Parameter("L_ref", LogNormal(0.8, 0.7), f"loss at {EXAMPLES_REFERENCE:.0f} examples, in nat/token"),
        Parameter("share", Beta(1.5, 1.5), "how much of it is irreducible: E / L_ref"),
        Parameter("transition", LogNormal(8.0, 2.0), "examples that pre-training was worth, D_l^(1/beta): where the curve begins to fall"),
        Parameter("beta", LogNormal(-1.0, 0.5), "exponent of examples beyond the transition"),
    ),
    formula=formula,
    derived=derived,
    invert=invert,
    decreasing_in=("finetune_examples",),
    decision=Decision(
        question="how low does fine-tuning bring the loss, how many examples does a target need, and how many was pre-training worth?",
        given=(
            Input("finetune_examples", "count", "examples at hand"),
            Input("target", "nat/token", "loss to reach"),
        ),
        answers=(
            Input("loss", "nat/token", "loss after fine-tuning on the examples at hand"),
            Input("loss_before", "nat/token", "the curve at no examples (a zero-shot loss may lie far above: see when not to use)"),
            Input("needed_examples", "count", "examples in all for the target (0: pre-training is enough; inf: none are)"),
            Input("prelearned_examples", "count", "examples that pre-training was worth, D_l^(1/beta)"),
        ),
        answer=answer,
        example={"finetune_examples": 1e5, "target": 1.5},
    ),
    # Nobody printed values. With round ones: 0.5 + 300 / (100 + 10000^0.5), and 0.5 + 300 / 100 at no examples.
    checks=(
        Check("", {"finetune_examples": 1e4}, 2.0, 1e-12, values=invert({"E": 0.5, "B": 300.0, "D_l": 100.0, "beta": 0.5})),
        Check("", {"finetune_examples": 0.0}, 3.5, 1e-12, values=invert({"E": 0.5, "B": 300.0, "D_l": 100.0, "beta": 0.5})),
        Check("", {"finetune_examples": 9e4}, 1.25, 1e-12, values=invert({"E": 0.5, "B": 300.0, "D_l": 100.0, "beta": 0.5})),
    ),
)
