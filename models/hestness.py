"""Hestness: learning curve of a task, loss or an error rate, against the number of training examples.

    y(m) = a * m^(-beta) + gamma

and the size of the best model for m examples (`hestness:size`), s(m) = k * m^beta_p.

Hestness et al. 2017 (arXiv 1712.00409), with positive exponents here where the paper prints negative ones. Their finding: the exponent
belongs to the task, and architectures move the coefficient alone. Runs of several tasks and architectures are therefore fitted together,
grouped by both columns (--group task,architecture) with pool={"beta": "partial:task", "a_ref": "partial"}: one exponent a task, drawn
towards a common centre, and a coefficient for every curve.

When to use it: learning curves of one or more tasks in their power-law region, up to where they flatten.
When not: curves that begin at chance (use `m4`): their plateau bends the exponent down. gamma needs runs that show the flattening; of a
curve without one, fit `power_law`, since exponents with and without a floor cannot be compared.

The paper fits straight lines through the best model for each data size: a minimum over noisy runs, whose exponent is biased where the
number of models tried varies with the size. It prints coefficients for word language models alone: of the other sets only the exponent is
theirs, and the level here is a round number (see their notes), so only ratios of their values mean anything.
"""

from dataclasses import replace

import jax.numpy as jnp
from numpyro.distributions import Beta, LogNormal

from bayes_scaling.curves import UNIT
from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published, Term
from bayes_scaling.numeric import power

HESTNESS = "Hestness et al. 2017, arXiv 1712.00409"
REFERENCE = 1e6
EXAMPLES = Input(
    "examples", "count", "training examples, in what the task is counted in: words, characters, images, sentence pairs", 1e4, 1e10
)


def formula(inputs, p):
    return power(p["a"], p["beta"], inputs["examples"]) + p["gamma"]


def answer(p, given):
    reducible = given["target"] - p["gamma"]
    examples = (p["a"] / jnp.where(reducible > 0, reducible, 1.0)) ** (1 / p["beta"])
    return {"examples": jnp.where(reducible > 0, examples, jnp.inf)}


def _exponent(beta, note):
    """Return the set of an exponent whose coefficient is not published: 1 at the reference, without a floor."""
    level = f"only the exponent is published: the level is set to 1 at {REFERENCE:.0e} examples, without a floor"
    return Published({"a": REFERENCE**beta, "beta": beta, "gamma": 0.0}, HESTNESS, note=f"{note}; {level}")


def _growth(beta_p, note, errors=()):
    level = f"only the exponent is published: the level is set to 1e7 params at {REFERENCE:.0e} examples"
    return Published({"k": 1e7 * REFERENCE**-beta_p, "beta_p": beta_p}, HESTNESS, dict(errors), f"{note}; {level}")


LOSS_SETS = {
    "word_lm": Published(
        {"a": 11.9, "beta": 0.066, "gamma": 0.0},
        HESTNESS,
        {"beta": 0.00066},
        "word language models, best over LSTM and RHN; examples are words; 0.0656 within 1 % over architectures",
    ),
    "char_lm_sgd": _exponent(0.0936, "character language models trained with SGD"),
    "char_lm_adam": _exponent(0.0954, "character language models trained with Adam"),
    "nmt": _exponent(0.128, "translation, best model for each data size; no straight line"),
    "nmt_large": _exponent(0.36, "translation, the larger of two single models, fitted with a floor"),
    "nmt_small": _exponent(0.30, "translation, the smaller of two single models, fitted with a floor"),
    "imagenet_loss": _exponent(0.35, "ResNets on ImageNet, cross-entropy"),
}
ERROR_SETS = {
    "imagenet_top1": _exponent(0.309, "ResNets on ImageNet, top-1 error"),
    "imagenet_top5": _exponent(0.488, "ResNets on ImageNet, top-5 error"),
    "speech": _exponent(0.299, "speech, characters wrong; within 0.7 % for DS2 and attention models"),
}
SIZE_SETS = {
    "word_lm": _growth(0.69, "word language models, LSTM and RHN; within 5 %", {"beta_p": 0.0345}.items()),
    "word_lm_deep": _growth(0.78, "word language models, LSTM of 4 layers"),
    "char_lm_sgd": _growth(0.78, "character language models trained with SGD"),
    "char_lm_adam": _growth(0.92, "character language models trained with Adam"),
    "imagenet": _growth(0.573, "ResNets on ImageNet"),
}
CHECKS = {
    "loss": (Check("word_lm", {"examples": 1e8}, 3.528149), Check("imagenet_loss", {"examples": 1e8}, 100**-0.35, 1e-9)),
    "error": (Check("speech", {"examples": 1e8}, 100**-0.299, 1e-9),),
}
#: By output: priors of the reducible part at the reference, and of the floor.
PRIORS = {"loss": (LogNormal(0.3, 1.2), LogNormal(-1.5, 1.5)), "error": (LogNormal(-1.9, 0.9), LogNormal(-3.5, 1.5))}


def _curve(output, published):
    reducible, floor = PRIORS[output]
    return Law(
        name="hestness" if output == "loss" else f"hestness:{output}",
        title=f"Learning curves: {output} against training examples, by task",
        equation="y(m) = a / m^beta + gamma, m training examples",
        citation=HESTNESS,
        use="learning curves of one or more tasks and architectures in their power-law region",
        avoid="curves that begin at chance; curves without a sign of a floor, whose gamma is the prior's",
        inputs=(EXAMPLES,),
        parameters=(
            Parameter("a_ref", reducible, f"reducible {output} at {REFERENCE:.2g} examples, in {UNIT[output]}"),
            Parameter("beta", LogNormal(-1.6, 0.7), "exponent of examples; by task"),
            Parameter("gamma", floor, f"irreducible {output} in {UNIT[output]}"),
        ),
        formula=formula,
        terms=(Term("a_ref", "beta", "examples", REFERENCE, "a"),),
        sums=(("gamma", "a_ref"),),
        decreasing_in=("examples",),
        published=published,
        checks=CHECKS[output],
        output=output,
        decision=Decision(
            question=f"how many examples does a target {output} need?",
            given=(Input("target", UNIT[output], f"{output} to reach"),),
            answers=(EXAMPLES,),
            answer=answer,
            example={"target": 3.0 if output == "loss" else 0.1},
        ),
    )


def size(inputs, p):
    return power(p["k"], -p["beta_p"], inputs["examples"])


SIZE = Law(
    name="hestness:size",
    title="Size of the best model against training examples, by task",
    equation="s(m) = k * m^beta_p, m training examples",
    citation=HESTNESS,
    use="sizes at which the loss was least, one for each data size, each well inside the range of sizes tried",
    avoid="optima at the edge of the sizes tried; regularisation that changes with data size",
    inputs=(EXAMPLES,),
    parameters=(
        Parameter("k_ref", LogNormal(16.1, 2.5), f"best number of params at {REFERENCE:.2g} examples"),
        # They find 0.5 to 1: a model need not grow faster than its data.
        Parameter("beta_p", Beta(8.0, 4.0), "exponent of examples; by task"),
    ),
    formula=size,
    derived=lambda p: {"k": p["k_ref"] * REFERENCE ** -p["beta_p"]},
    invert=lambda p: {"k_ref": p["k"] * REFERENCE ** p["beta_p"], "beta_p": p["beta_p"]},
    published=SIZE_SETS,
    checks=(Check("imagenet", {"examples": 1e8}, 1e7 * 100**0.573, 1e-9), Check("word_lm", {"examples": 2e6}, 1e7 * 2**0.69, 1e-9)),
    output="params",
    decision=Decision(
        question="how large is the best model for a data set?",
        given=(EXAMPLES,),
        answers=(Input("params", "count", "size of the best model"),),
        answer=lambda p, given: {"params": size(given, p)},
        example={"examples": 1e8},
    ),
)

LAW = replace(_curve("loss", LOSS_SETS), variants={"error": _curve("error", ERROR_SETS), "size": SIZE})
