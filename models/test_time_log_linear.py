"""Accuracy against compute in training and at test: a sigmoid between a floor and a ceiling, log-linear in both computes.

    accuracy(C, T) = floor + (ceiling - floor) * sigmoid(b0 + b_train ln(C / 1e22 FLOP) + b_test ln(T / 1e13 FLOP))

The shape of OpenAI's figures for o1 (2024): accuracy on AIME rises about evenly with the logarithm of training compute and with that of
test compute. No coefficient and no unit of either axis was ever published, so there is no published set: the form is generic, and
priors say only that both computes help and that accuracy stays between its ends. Between a quarter and three quarters of the way the
sigmoid is straight to within a hundredth of the way, which is all that "log-linear" can mean for a metric with two ends.

When to use it: one benchmark, models of one recipe that differ in training compute, each answering with several amounts of test compute.
When not: test compute spent in unlike ways in one fit (longer thought, votes, search: each has a curve of its own); metrics of many
tasks with different floors.

Floor and ceiling. The floor is what guessing gets and mostly known: 0 for free answers, 1 in 4 for four choices; hold it there
(fix floor). The ceiling is known only if no question is broken and every one is within reach of more compute; else it is inferred, and
runs well below it say little of it: then slope and ceiling trade, and only predictions among the runs can be trusted.

Variants, one compute each: `:test` (test tokens or test compute), `:clipped` (AlphaCode's: linear in log samples up to a ceiling),
`:rl` (Khatri et al. 2025: reinforcement learning; the same sigmoid, whose authors write it with the compute half-way up).
"""

import math
from dataclasses import replace

import jax.numpy as jnp
from jax.nn import sigmoid
from numpyro.distributions import Beta, LogNormal, Normal

from bayes_scaling.curves import Axis, amount
from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Sharing
from bayes_scaling.numeric import LEAST, kept_inside

O1 = "OpenAI 2024, Learning to reason with LLMs (figures without numbers)"
ALPHACODE = "Li et al. 2022 (AlphaCode), arXiv 2203.07814"
KHATRI = "Khatri et al. 2025, arXiv 2510.13786, equation 1"

COMPUTE_REFERENCE, TEST_REFERENCE = 1e22, 1e13  # FLOP, in the middle of what is trained and asked today
SAMPLES_REFERENCE = 10.0  # AlphaCode hands in ten of its samples: with fewer there is nothing to choose from


def between(floor, ceiling, logit):
    """A sigmoid between its ends. Priors of the ends overlap a little: where they cross, nothing is left to rise."""
    return kept_inside(floor + jnp.maximum(ceiling - floor, 0.0) * sigmoid(logit))


def logit_needed(target, floor, ceiling):
    """The logit at which the sigmoid reaches a target: -inf where the floor is enough, inf where the ceiling is not."""
    inside = (target > floor) & (target < ceiling)
    share = jnp.where(inside, (target - floor) / jnp.where(inside, ceiling - floor, 1.0), 0.5)
    return jnp.where(target <= floor, -jnp.inf, jnp.where(target >= ceiling, jnp.inf, jnp.log(share) - jnp.log1p(-share)))


FLOOR = Parameter("floor", Beta(1.0, 8.0), "accuracy without any compute: that of guessing (hold it fixed where it is known)")
CEILING = Parameter("ceiling", Beta(5.0, 1.5), "accuracy that unlimited compute comes to")
SLOPE = LogNormal(-1.2, 0.7)  # per e-fold; from 5 % to 95 % of the way take 8 decades in the median, 2 to 33 in 95 % of draws


# --- Both computes


def formula(inputs, p):
    return between(p["floor"], p["ceiling"], logit(inputs["compute"], inputs["test_compute"], p))


def logit(compute, test_compute, p):
    return p["b0"] + p["b_train"] * jnp.log(compute / COMPUTE_REFERENCE) + p["b_test"] * jnp.log(test_compute / TEST_REFERENCE)


def best_share(p):
    """The same at every budget and every accuracy: budget goes to the two computes as their slopes are to each other."""
    return p["b_train"] / (p["b_train"] + p["b_test"])


def answer(p, given):
    budget, queries = given["budget"], given["queries"]
    total = p["b_train"] + p["b_test"]
    train_share = best_share(p)
    compute, test_compute = train_share * budget, (1 - train_share) * budget / queries
    best = logit(compute, test_compute, p)
    wanted = logit_needed(given["target"], p["floor"], p["ceiling"])
    none = 0 * budget * queries * given["target"] * given["compute"]  # answers have one shape
    return {
        "best_compute": compute + none,
        "best_test_compute": test_compute + none,
        "train_share": train_share + none,
        "accuracy": between(p["floor"], p["ceiling"], best) + none,
        "budget_for_target": budget * jnp.exp((wanted - best) / total) + none,
        "test_compute_for_target": TEST_REFERENCE * jnp.exp((wanted - logit(given["compute"], TEST_REFERENCE, p)) / p["b_test"]) + none,
    }


# --- Test-time compute alone

TOKENS_AXIS = Axis(Input("test_tokens", "count", "tokens generated per question, all samples together", 1e2, 1e6), 1e3)
TEST_AXIS = Axis(Input("test_compute", "FLOP", "compute per question, all samples together", 1e10, 1e17), TEST_REFERENCE)
#: A curve of reference slope, half-way up at the reference; for checks of the formula, as nobody published values.
PLAIN = {"floor": 0.0, "ceiling": 0.8, "b0": 0.0, "b_test": 0.5}


def _needed(axis, ends, slope):
    """The question of a sigmoid in one input: how much of it a target needs."""
    x = axis.name
    floor, ceiling = ends

    def answer(p, given):
        wanted = logit_needed(given["target"], p[floor], p[ceiling])
        return {
            x: axis.reference * jnp.exp((wanted - p["b0"]) / p[slope]),
            "half_way": axis.reference * jnp.exp(-p["b0"] / p[slope]) + 0 * given["target"],
            "ceiling": p[ceiling] + 0 * given["target"],
        }

    return Decision(
        question=f"how {amount(x)} does a target accuracy need?",
        given=(Input("target", "fraction", "accuracy to reach"),),
        answers=(
            replace(axis.input, meaning=f"{axis.input.meaning} (0: the floor is enough; inf: above the ceiling)"),
            Input("half_way", axis.input.unit, f"{x} half-way between floor and ceiling, where doubling it helps most"),
            Input("ceiling", "fraction", "accuracy that no amount exceeds"),
        ),
        answer=answer,
        example={"target": 0.5},
    )


def _of_test(axis):
    x = axis.name

    def formula(inputs, p):
        return between(p["floor"], p["ceiling"], p["b0"] + p["b_test"] * jnp.log(inputs[x] / axis.reference))

    return Law(
        name="test_time_log_linear:test",
        title="Accuracy against test-time compute",
        equation=f"accuracy({x}) = floor + (ceiling - floor) sigmoid(b0 + b_test ln({x} / {axis.reference:g}))",
        citation=O1,
        use="one model on one benchmark, answering with several amounts of test-time compute spent in one way",
        avoid="several models or several ways to spend test compute on one curve; conclusions on a ceiling that runs are well below",
        inputs=(axis.input,),
        parameters=(
            FLOOR,
            CEILING,
            Parameter("b0", Normal(0.0, 1.5), f"logit of the share of the way from floor to ceiling at {axis.text}"),
            Parameter("b_test", SLOPE, f"slope of that logit per e-fold of {x}"),
        ),
        formula=formula,
        output="accuracy",
        noise="beta-binomial",
        decision=_needed(axis, ("floor", "ceiling"), "b_test"),
        checks=(
            Check("", {x: axis.reference}, 0.4, values=PLAIN),
            Check("", {x: 100 * axis.reference}, 0.8 * 10 / 11, values=PLAIN),
        ),
    )


def _over(axes, make):
    """The law over the first axis, with those over the others as its alternatives."""
    first, *others = (make(axis) for axis in axes)
    return replace(first, alternatives={law.input_names[0]: law for law in others})


# --- AlphaCode: linear until a ceiling
#
# Where the runs do not show the corner, posteriors have several modes: a ceiling above all runs, of which they say nothing, or one that the
# last run or two just touch. Chains from one do not always find the other; the diagnosis counts the modes. The sigmoid has none of this.


def clipped(inputs, p):
    return jnp.clip(p["a"] + p["b"] * jnp.log(inputs["samples"]) / math.log(10), LEAST, kept_inside(p["ceiling"]))


def answer_clipped(p, given):
    target = given["target"]
    ends = 10 ** ((p["ceiling"] - p["a"]) / p["b"])
    needed = jnp.maximum(10 ** ((target - p["a"]) / p["b"]), 1.0)
    return {"samples": jnp.where(target > p["ceiling"], jnp.inf, needed), "samples_at_ceiling": jnp.maximum(ends, 1.0) + 0 * target}


CLIPPED = Law(
    name="test_time_log_linear:clipped",
    title="Solve rate against samples, linear in their logarithm up to a ceiling",
    equation="accuracy(k) = min(a + b log10 k, ceiling)",
    citation=f"{ALPHACODE} (figures; no coefficients)",
    use="solve rates of one model against the number of samples drawn, of which a fixed number is handed in",
    avoid="coverage (any of k samples correct), which has laws of its own; solve rates near 0; runs that may not have met the ceiling yet",
    inputs=(Input("samples", "count", "samples drawn per question", 1.0, 1e6),),
    parameters=(
        Parameter("level_ref", Beta(1.5, 6.0), f"solve rate of the line at {SAMPLES_REFERENCE:g} samples"),
        Parameter("b", LogNormal(-2.8, 0.8), "solve rate gained per decade of samples"),
        CEILING,
    ),
    formula=clipped,
    derived=lambda p: {"a": p["level_ref"] - p["b"] * math.log10(SAMPLES_REFERENCE)},
    invert=lambda p: {"level_ref": p["a"] + p["b"] * math.log10(SAMPLES_REFERENCE), "b": p["b"], "ceiling": p["ceiling"]},
    output="accuracy",
    noise="beta-binomial",
    decision=Decision(
        question="how many samples does a target solve rate need, and from how many on do further ones add nothing?",
        given=(Input("target", "fraction", "solve rate to reach"),),
        answers=(
            Input("samples", "count", "samples per question (inf: above the ceiling)"),
            Input("samples_at_ceiling", "count", "samples at which the line meets the ceiling"),
        ),
        answer=answer_clipped,
        example={"target": 0.3},
    ),
    checks=(
        Check("", {"samples": 1e3}, 0.28, values={"a": 0.1, "b": 0.06, "ceiling": 0.35}),
        Check("", {"samples": 1e6}, 0.35, values={"a": 0.1, "b": 0.06, "ceiling": 0.35}),
    ),
)


# --- Reinforcement learning: the same sigmoid by other names

RL_AXES = (
    Axis(Input("gpu_hours", "GPU-hour", "time of one kind of GPU spent on reinforcement learning", 1e2, 1e6), 3e3),
    Axis(Input("compute", "FLOP", "compute of reinforcement learning", 1e19, 1e25), 1e22),
)


def _of_rl(axis):
    x = axis.name

    def formula(inputs, p):
        return between(p["R0"], p["A"], p["B"] * (jnp.log(inputs[x]) - jnp.log(p["C_mid"])))

    def derived(p):
        return {"C_mid": axis.reference * math.e ** (-p["b0"] / p["B"])}

    def invert(p):
        return {"R0": p["R0"], "A": p["A"], "b0": p["B"] * math.log(axis.reference / p["C_mid"]), "B": p["B"]}

    return Law(
        name="test_time_log_linear:rl",
        title="Pass rate against compute of reinforcement learning",
        equation=f"accuracy({x}) = R0 + (A - R0) / (1 + (C_mid / {x})^B)",
        citation=KHATRI,
        use="pass rates along one run of reinforcement learning, or the ends of several of one recipe",
        avoid="the noisy start of a run (the authors leave the first 1500 GPU-hours out); recipes or kinds of GPU mixed on one curve",
        inputs=(axis.input,),
        parameters=(
            Parameter("R0", Beta(1.5, 5.0), "pass rate before any reinforcement learning (hold it fixed where it is measured)"),
            Parameter("A", Beta(3.0, 2.0), "pass rate that unlimited compute comes to"),
            Parameter("b0", Normal(-0.5, 1.5), f"logit of the share of the way from R0 to A at {axis.text}"),
            Parameter("B", LogNormal(0.2, 0.6), f"slope of that logit per e-fold of {x}"),
        ),
        formula=formula,
        derived=derived,
        invert=invert,
        output="accuracy",
        # The mean over several answers to each question is no count of independent questions.
        noise="logit-student-t",
        decision=_needed(axis, ("R0", "A"), "B"),
        checks=(Check("", {x: 5e4}, 0.541667, 1e-6, values={"A": 0.61, "R0": 0.2, "C_mid": 1e4, "B": 1.0}),),
    )


BUDGET = Input("budget", "FLOP", "compute for training and all answers together")
QUERIES = Input("queries", "count", "questions to be answered over the model's life")
SHARE = Input("train_share", "fraction", "share of the budget that goes to training: the same at every budget")

LAW = Law(
    name="test_time_log_linear",
    title="Accuracy, log-linear in training and test compute",
    equation="accuracy(C, T) = floor + (ceiling - floor) sigmoid(b0 + b_train ln(C / 1e22) + b_test ln(T / 1e13))",
    citation=f"shape of {O1}; {ALPHACODE}",
    use="one benchmark; models of one recipe that differ in training compute, each answering with several amounts of test compute",
    avoid="unlike ways to spend test compute in one fit; averages over tasks of unlike floors; conclusions on a ceiling far above the runs",
    inputs=(
        Input("compute", "FLOP", "training compute", 1e19, 1e26),
        Input("test_compute", "FLOP", "compute per question, all samples together", 1e10, 1e17),
    ),
    parameters=(
        FLOOR,
        CEILING,
        Parameter("b0", Normal(0.0, 1.5), "logit of the share of the way from floor to ceiling at the references of both computes"),
        Parameter("b_train", SLOPE, "slope of that logit per e-fold of training compute"),
        Parameter("b_test", SLOPE, "slope of that logit per e-fold of test compute"),
    ),
    formula=formula,
    output="accuracy",
    noise="beta-binomial",
    decision=Decision(
        question="how should a budget be split between training and answering, and what does a target accuracy need?",
        given=(
            BUDGET,
            QUERIES,
            Input("target", "fraction", "accuracy to reach"),
            Input("compute", "FLOP", "training compute of a model at hand"),
        ),
        answers=(
            Input("best_compute", "FLOP", "training compute of the best split"),
            Input("best_test_compute", "FLOP", "its compute per question"),
            SHARE,
            Input("accuracy", "fraction", "its accuracy"),
            Input("budget_for_target", "FLOP", "least budget that reaches the target (0: the floor is enough; inf: above the ceiling)"),
            Input("test_compute_for_target", "FLOP", "compute per question with which the model at hand reaches the target"),
        ),
        answer=answer,
        example={"budget": 1e24, "queries": 1e9, "target": 0.6, "compute": 1e23},
    ),
    sharing=Sharing(
        budget=BUDGET,
        inputs=("compute", "test_compute"),
        text="compute + queries x test_compute",
        spends=lambda at: at["compute"] + at["queries"] * at["test_compute"],
        span=lambda at: (LEAST * at["budget"], (1 - LEAST) * at["budget"]),
        ratio=SHARE,
        ratio_of=lambda at: at["compute"] / at["budget"],
        given=(QUERIES,),
        highest=True,
        best=lambda p, at: best_share(p) * at["budget"],
    ),
    checks=(
        Check("", {"compute": 1e22, "test_compute": 1e13}, 0.4, values={**PLAIN, "b_train": 0.5}),
        Check("", {"compute": 1e24, "test_compute": 1e13}, 0.8 * 10 / 11, values={**PLAIN, "b_train": 0.5}),
        Check("", {"compute": 1e21, "test_compute": 1e15}, 0.8 / (1 + 10**-0.5), values={**PLAIN, "b_train": 0.5}),
    ),
    variants={"test": _over((TOKENS_AXIS, TEST_AXIS), _of_test), "clipped": CLIPPED, "rl": _over(RL_AXES, _of_rl)},
)
