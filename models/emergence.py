"""Emergence: accuracy that seems to appear from nothing, as compute or size grows.

    CE(x) = (x/c)^-alpha          nat per token of the answer: falls smoothly, as losses do
    accuracy(x) = floor + (1 - floor) * exp(-K CE(x))      all K tokens of the answer must be right

Schaeffer et al. 2023 (arXiv 2304.15004), who print CE = (N/c)^alpha with alpha < 0 and no floor. Two rival accounts are variants of it:
`emergence:broken`, in which the loss of a token itself bends at some scale,

    CE(x) = (x/c)^-alpha * (1 + (x/d)^(1/f))^(-bend f),

and `emergence:threshold`, in which nothing happens below a scale,

    accuracy(x) = floor + (1 - floor) * (1 - (x/threshold)^-rise)  above the threshold, floor below.

Fit all three to counts and compare them (`benchmarks/emergence.py`): whether emergence is the metric's is a question of how well each
forecasts models that it has not seen, and the answer is a probability.

When to use it: exact-match accuracy with a known number of items, over models of several sizes. When not: multiple choice with options
of very different lengths (loss of the right option says little), metrics with partial credit. The number of tokens K only matters where
runs differ in it: else K and c are one number, and with K = 1 CE is the loss of the whole answer. Accuracy of n items cannot be told
from 0 below about 1/n, which looks like a threshold too: that is why counts are fitted and not fractions.

What is published: Wei et al. 2022 (arXiv 2206.07682) give the training compute from which on accuracy is above that of guessing, and
nothing about how it rises: of their sets only the threshold is theirs. Thresholds in params that are often repeated (arithmetic 1e9,
factual knowledge 1e10, complex reasoning 1e11) have no source that we could find; they are kept to be compared with, not to be used.
"""

import math
from dataclasses import replace

import jax.numpy as jnp
from numpyro.distributions import Beta, HalfNormal, LogNormal

from bayes_scaling.curves import Axis, amount
from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published
from bayes_scaling.numeric import LEAST, crossing, softplus

SCHAEFFER = "Schaeffer et al. 2023, arXiv 2304.15004"
WEI = "Wei et al. 2022, arXiv 2206.07682"
# Where the loss of an answer is stated: in the middle of the open models that tasks are tried on.
AXES = (
    Axis(Input("compute", "FLOP", "training compute", 1e19, 1e26), 1e22),
    Axis(Input("params", "count", "parameters of the model", 1e7, 1e12), 1e10),
)
TOKENS = Input("answer_tokens", "count", "tokens of the answer, all of which must be right", 1.0, 10.0, default=1.0)
FLOOR = Parameter("floor", Beta(1.0, 12.0), "accuracy of guessing; hold it (--fix) where it is known")
SLOPE = LogNormal(-0.7, 0.7)


def _accuracy(floor, above):
    """Return accuracy for the part ``above`` (0 to 1) of what guessing leaves."""
    return LEAST + (1 - 2 * LEAST) * (floor + (1 - floor) * above)


def _part(p, target):
    """Return what part of what guessing leaves a target is; 0 below guessing."""
    return jnp.clip((target - p["floor"]) / (1 - p["floor"]), 0.0, 1.0)


def _token_loss(part, tokens):
    """Return the loss of a token that leaves all of an answer's tokens right with a chance; 0 for certainty, which nothing reaches."""
    return -jnp.log(jnp.clip(part, 1e-300, 1.0)) / tokens


def _question(axis, answer):
    x = axis.name
    return Decision(
        question=f"how {amount(x)} does a target accuracy need, and how sudden does its rise look?",
        given=(Input("target", "fraction", "accuracy to reach"), TOKENS),
        answers=(
            Input(x, axis.input.unit, f"{x} at which the target is reached (0: guessing reaches it; inf: nothing does)"),
            Input("visible", axis.input.unit, f"{x} at which accuracy is 1 % above that of guessing"),
            Input("decades", "1", f"decades of {x} from there to half of what guessing leaves: how sudden it looks"),
        ),
        answer=answer,
        example={"target": 0.8},
        optional={"answer_tokens": 1.0},
    )


def _answers(axis, place):
    """Return a decision's answer from ``place(p, part, tokens)``: where accuracy is that part of what guessing leaves above it."""

    def answer(p, given):
        part = _part(p, given["target"])
        at = place(p, jnp.where(part > 0, part, 0.5), given["answer_tokens"])
        visible, half = (place(p, jnp.asarray(share), given["answer_tokens"]) for share in (0.01, 0.5))
        shape = jnp.broadcast_shapes(jnp.shape(at), jnp.shape(part))
        seen = jnp.isfinite(visible) & jnp.isfinite(half)
        return {
            axis.name: jnp.broadcast_to(jnp.where(part > 0, at, 0.0), shape),
            "visible": jnp.broadcast_to(visible, shape),
            "decades": jnp.broadcast_to(jnp.where(seen, jnp.log10(half / jnp.where(seen, visible, 1.0)), jnp.inf), shape),
        }

    return answer


def _smooth(axis):
    x, reference = axis.name, axis.reference

    def formula(inputs, p):
        loss = jnp.exp(jnp.log(p["ce_ref"]) - p["alpha"] * jnp.log(inputs[x] / reference))
        return _accuracy(p["floor"], jnp.exp(-inputs["answer_tokens"] * loss))

    def place(p, part, tokens):
        needed = _token_loss(part, tokens)
        return jnp.where(needed > 0, p["c"] * jnp.where(needed > 0, needed, 1.0) ** (-1 / p["alpha"]), jnp.inf)

    return Law(
        name="emergence",
        title="Accuracy as a power of a token's probability: emergence as an effect of the metric",
        equation=f"accuracy = floor + (1 - floor) * exp(-K CE), CE = ({x}/c)^-alpha, K = answer_tokens",
        citation=SCHAEFFER,
        use="exact-match accuracy over models of several sizes, with the number of items (column trials)",
        avoid="metrics with partial credit; other accounts of the same rise: compare with emergence:broken and emergence:threshold",
        inputs=(axis.input, TOKENS),
        parameters=(
            FLOOR,
            Parameter("ce_ref", LogNormal(0.5, 1.5), f"loss of a token of the answer at {axis.text}, in nat"),
            Parameter("alpha", SLOPE, f"exponent of {x}"),
        ),
        formula=formula,
        derived=lambda p: {"c": reference * jnp.exp(jnp.log(p["ce_ref"]) / p["alpha"])},
        invert=lambda p: {"floor": p["floor"], "ce_ref": (reference / p["c"]) ** -p["alpha"], "alpha": p["alpha"]},
        checks=(
            # laws.md: CE 0.1 and 5 tokens
            Check("", {x: 1e9, "answer_tokens": 5.0}, 0.606531, 2e-6, values={"floor": 0.0, "ce_ref": 0.1 * 1e9 / reference, "alpha": 1.0}),
        ),
        output="accuracy",
        noise="beta-binomial",
        decision=_question(axis, _answers(axis, place)),
    )


def _broken(axis):
    x, reference = axis.name, axis.reference
    middle = math.log(reference)  # the level is stated there, among the models, whatever the break does

    def token_loss(position, p):
        bent = p["bend"] * p["f"] * softplus((position - jnp.log(p["d"])) / p["f"])
        at_reference = p["bend"] * p["f"] * softplus((middle - jnp.log(p["d"])) / p["f"])
        return jnp.exp(jnp.log(p["ce_ref"]) - p["alpha"] * (position - middle) - bent + at_reference)

    def formula(inputs, p):
        return _accuracy(p["floor"], jnp.exp(-inputs["answer_tokens"] * token_loss(jnp.log(inputs[x]), p)))

    def place(p, part, tokens):
        needed = _token_loss(part, tokens)
        needed = jnp.broadcast_to(needed, jnp.broadcast_shapes(jnp.shape(needed), jnp.shape(p["d"])))
        low, high = math.log(axis.input.low / 1e3), math.log(axis.input.high * 1e3)
        return jnp.exp(crossing(lambda position: token_loss(position, p), needed, low, high))

    return Law(
        name="emergence:broken",
        title="Accuracy from a token's loss that itself bends",
        equation=f"accuracy = floor + (1 - floor) * exp(-K CE), CE = ({x}/c)^-alpha * (1 + ({x}/d)^(1/f))^(-bend f)",
        citation=f"break as in Caballero et al. 2022, arXiv 2210.14891, under the accuracy of {SCHAEFFER}",
        use="asking whether a rise of accuracy needs a break in the loss underneath",
        avoid="forecasting from few models: the place of a break that no model has passed is the prior's",
        inputs=(axis.input, TOKENS),
        parameters=(
            FLOOR,
            Parameter("ce_ref", LogNormal(0.5, 1.5), f"loss of a token of the answer at {axis.text}, in nat"),
            Parameter("alpha", SLOPE, f"exponent of {x} before the break"),
            Parameter("bend", HalfNormal(1.0), "what the break adds to the exponent"),
            Parameter("d", LogNormal(round(middle, 1), 3.0), f"{x} at the break"),
            Parameter("f", LogNormal(-1.0, 0.8), f"width of the break in units of ln {x}; small is sharp"),
        ),
        formula=formula,
        derived=lambda p: {
            "c": reference
            * jnp.exp((jnp.log(p["ce_ref"]) + p["bend"] * p["f"] * softplus((middle - jnp.log(p["d"])) / p["f"])) / p["alpha"])
        },
        checks=(
            Check(
                "",
                {x: 1e9, "answer_tokens": 1.0},
                1e-6 + (1 - 2e-6) * math.exp(-math.sqrt(reference / 1e9)),
                1e-6,
                values={"floor": 0.0, "ce_ref": 1.0, "alpha": 0.5, "bend": 0.0, "d": 1e9, "f": 0.3},
            ),
        ),
        output="accuracy",
        noise="beta-binomial",
        decision=_question(axis, _answers(axis, place)),
    )


def _stated(threshold, source, note):
    return Published(
        {"floor": 0.0, "threshold": threshold, "rise": 1.0},
        source,
        note=f"{note}; only the threshold is stated: floor 0 and rise 1 are ours",
    )


THRESHOLDS = {
    "compute": {
        "arithmetic": _stated(2.3e22, WEI, "addition and subtraction of 3 digits, GPT-3 13B"),
        "mmlu": _stated(3.1e23, WEI, "MMLU, GPT-3 175B"),
        "truthful_qa": _stated(5.0e23, WEI, "TruthfulQA, Gopher 280B"),
        "word_in_context": _stated(2.5e24, WEI, "WiC, PaLM 540B"),
        "chain_of_thought": _stated(1.3e23, WEI, "chain of thought on mathematics, LaMDA 68B"),
    },
    "params": {
        "arithmetic_unsourced": _stated(1e9, "unsourced", "often repeated for arithmetic; no paper states it"),
        "knowledge_unsourced": _stated(1e10, "unsourced", "often repeated for factual knowledge; no paper states it"),
        "reasoning_unsourced": _stated(1e11, "unsourced", "often repeated for complex reasoning; no paper states it"),
    },
}


def _threshold(axis):
    x = axis.name

    def formula(inputs, p):
        beyond = jnp.maximum(jnp.log(inputs[x]) - jnp.log(p["threshold"]), 0.0)
        return _accuracy(p["floor"], -jnp.expm1(-p["rise"] * beyond))

    def place(p, part, tokens):
        left = jnp.log1p(-jnp.minimum(part, 1.0)) + 0.0 * tokens
        return jnp.where(part < 1, p["threshold"] * jnp.exp(-jnp.where(part < 1, left, 0.0) / p["rise"]), jnp.inf)

    reference = THRESHOLDS[x][next(iter(THRESHOLDS[x]))].values["threshold"]
    return Law(
        name="emergence:threshold",
        title="Accuracy of guessing up to a threshold, and a rise from there",
        equation=f"accuracy = floor + (1 - floor) * (1 - ({x}/threshold)^-rise) above the threshold, floor below",
        citation=f"thresholds: {WEI}; the rise from there is ours, as none is published",
        use="asking whether a task is impossible below some scale, against emergence",
        avoid="taking a threshold of one task, prompt and number of items for a property of scale",
        inputs=(axis.input,),
        parameters=(
            FLOOR,
            Parameter("threshold", LogNormal(round(math.log(axis.reference), 1), 3.0), f"{x} below which there is only guessing"),
            Parameter("rise", SLOPE, f"exponent of {x} beyond the threshold"),
        ),
        formula=formula,
        published=THRESHOLDS[x],
        checks=(
            Check(next(iter(THRESHOLDS[x])), {x: 10 * reference}, 0.9, 2e-6),
            Check(next(iter(THRESHOLDS[x])), {x: reference / 10}, LEAST, 1e-9),
        ),
        output="accuracy",
        noise="beta-binomial",
        decision=_question(axis, _answers(axis, place)),
    )


def _over(make):
    """Return the law of compute, with that of params as its alternative."""
    laws = [make(axis) for axis in AXES]
    return replace(laws[0], alternatives={law.input_names[0]: law for law in laws[1:]})


LAW = replace(_over(_smooth), variants={"broken": _over(_broken), "threshold": _over(_threshold)})
