"""Kaplan's law of training: loss of a model with N non-embedding parameters after S_min optimiser steps; and the critical batch.

    L(N, S_min) = (Nc / N)^alpha_N + (Sc / S_min)^alpha_S                    `kaplan_ns`
    B_crit(L) = B* / L^(1 / alpha_B)                                         `kaplan_ns:critical_batch`
    S_min = S / (1 + B_crit / B)      C_min = C / (1 + B / B_crit)

Kaplan et al. 2020 (arXiv 2001.08361), section 5, tables 3 and 5; critical batch after McCandlish et al. 2018 (arXiv 1812.06162).

S_min is the number of steps that the same loss takes at a batch far above the critical one, and C_min the compute that it takes at one far
below. The decision of `critical_batch` turns what a run did into both; columns that feed `kaplan_ns` or `kaplan_c` are made with it. At the
critical batch itself, twice the least steps and twice the least compute are spent.

The decision of `kaplan_ns` is appendix B of the paper in closed form: at a given loss, hence a given B_crit, C_min = 6 N B_crit(L) S_min is
least where alpha_N (Nc / N)^alpha_N = alpha_S (Sc / S_min)^alpha_S, that is, training stops alpha_N / alpha_S = 10 % above the loss at
convergence. It needs B* and alpha_B, which this fit does not see: they are given, with the published values unless told.

When to use it: learning curves of many sizes on unlimited data, after warm-up, at one constant or barely decayed learning rate.
When not: learning rate decays to zero (a step in mid-schedule is then not a shorter run), repeated data, or extrapolation: there is no
floor (L_inf = 0), and no exponent here is comparable with one of a law with a floor. What the closed form says differs from the paper's
own fit of the frontier (N 5.8e8 against 1.3e9 at 1 PF-day; `kaplan_c:allocation` holds both).

The paper gives B* as 2.1e8 tokens (table 5) and 2e8 (text): both are published sets of `critical_batch`.
"""

import jax.numpy as jnp
from numpyro.distributions import LogNormal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published, Term
from bayes_scaling.numeric import power

PARAMS_REFERENCE = 1e6
STEPS_REFERENCE = 1e4
LOSS_REFERENCE = 3.0
KAPLAN = "Kaplan et al. 2020, arXiv 2001.08361"


def formula(inputs, p):
    return power(1.0, p["alpha_N"], inputs["params"] / p["Nc"]) + power(1.0, p["alpha_S"], inputs["steps"] / p["Sc"])


def derived(p):
    return {
        "Nc": PARAMS_REFERENCE * p["L_N_ref"] ** (1 / p["alpha_N"]),
        "Sc": STEPS_REFERENCE * p["L_S_ref"] ** (1 / p["alpha_S"]),
    }


def invert(p):
    return {
        "L_N_ref": (p["Nc"] / PARAMS_REFERENCE) ** p["alpha_N"],
        "L_S_ref": (p["Sc"] / STEPS_REFERENCE) ** p["alpha_S"],
        "alpha_N": p["alpha_N"],
        "alpha_S": p["alpha_S"],
    }


def answer(p, given):
    """Appendix B in closed form, in logarithms: Cc reaches 1e28 FLOP for the published values, and far more for draws of a prior."""
    alpha_N, alpha_S, alpha_B = p["alpha_N"], p["alpha_S"], given["alpha_B"]
    ratio = alpha_N / alpha_S
    stop = jnp.log1p(ratio)  # training stops at (1 + ratio) times the loss at convergence
    log_Cc = jnp.log(6.0) + jnp.log(p["Nc"]) + jnp.log(given["B_star"]) + jnp.log(p["Sc"])
    log_Cc = log_Cc + (1 / alpha_S + 1 / alpha_N) * stop - jnp.log(ratio) / alpha_S
    log_loss = (log_Cc - jnp.log(given["compute"])) / (1 / alpha_S + 1 / alpha_B + 1 / alpha_N)
    params = p["Nc"] * jnp.exp((stop - log_loss) / alpha_N)
    critical = given["B_star"] * jnp.exp(-log_loss / alpha_B)
    steps_min = p["Sc"] * jnp.exp((stop - jnp.log(ratio) - log_loss) / alpha_S)
    return {
        "params": params,
        "batch_tokens": given["batch_ratio"] * critical,
        "steps_min": steps_min,
        "steps": steps_min * (1 + 1 / given["batch_ratio"]),
        "tokens": critical * steps_min * (1 + given["batch_ratio"]),
        "compute_spent": given["compute"] * (1 + given["batch_ratio"]),
        "loss": jnp.exp(log_loss),
    }


def critical_batch(inputs, p):
    return power(p["B_star"], 1 / p["alpha_B"], inputs["loss"])


def what_a_run_needed(p, given):
    critical = critical_batch(given, p)
    ratio = given["batch_tokens"] / critical
    compute = 6 * given["params"] * given["batch_tokens"] * given["steps"]
    return {
        "critical_batch": critical,
        "steps_min": given["steps"] / (1 + 1 / ratio),
        "compute": compute,
        "compute_min": compute / (1 + ratio),
    }


def _critical_batch_law():
    def published(B_star, source, note):
        return Published({"B_star": B_star, "alpha_B": 0.21}, source, note=note)

    return Law(
        name="kaplan_ns:critical_batch",
        title="Critical batch size against loss",
        equation="B_crit(L) = B_star / L^(1 / alpha_B)",
        citation=f"{KAPLAN}, section 5.1; McCandlish et al. 2018, arXiv 1812.06162",
        use="critical batch sizes measured from pairs of steps and tokens to reach a loss; correcting runs to S_min and C_min",
        avoid="losses of another corpus or tokenizer than that of the fit: B_crit goes with 1 / L^4.8, so a change of unit moves it far",
        inputs=(Input("loss", "nat/token", "test loss that training has reached", 1.5, 10.0),),
        parameters=(
            Parameter("B_ref", LogNormal(13.5, 1.5), f"critical batch at a loss of {LOSS_REFERENCE:.2g} nat/token, in tokens"),
            Parameter("alpha_B", LogNormal(-1.5, 0.5), "inverse of the exponent of loss"),
        ),
        formula=critical_batch,
        derived=lambda p: {"B_star": p["B_ref"] * LOSS_REFERENCE ** (1 / p["alpha_B"])},
        invert=lambda p: {"B_ref": p["B_star"] * LOSS_REFERENCE ** (-1 / p["alpha_B"]), "alpha_B": p["alpha_B"]},
        decreasing_in=("loss",),
        output="batch_tokens",
        decision=Decision(
            question="how many steps and how much compute did a run need at least, at a far larger or a far smaller batch?",
            given=(
                Input("loss", "nat/token", "loss that the run reached"),
                Input("params", "count", "its size, embeddings left out"),
                Input("batch_tokens", "count", "its batch in tokens"),
                Input("steps", "count", "its optimiser steps"),
            ),
            answers=(
                Input("critical_batch", "count", "critical batch in tokens, at that loss"),
                Input("steps_min", "count", "S_min: steps at a batch far above the critical one"),
                Input("compute", "FLOP", "what the run spent: 6 N B S"),
                Input("compute_min", "FLOP", "C_min: compute at a batch far below the critical one"),
            ),
            answer=what_a_run_needed,
            example={"loss": 3.0, "params": 1e8, "batch_tokens": 5e5, "steps": 1e5},
        ),
        published={
            "table": published(2.1e8, f"{KAPLAN}, table 5", "the paper's text rounds it to 2e8"),
            "text": published(2e8, f"{KAPLAN}, equation 1.4", "table 5 has 2.1e8"),
        },
        checks=(Check("table", {"loss": 3.0}, 1.122570e6), Check("text", {"loss": 3.0}, 1.069114e6)),
    )


LAW = Law(
    name="kaplan_ns",
    title="Loss against non-embedding parameters and least steps, no floor",
    equation="L(N, S_min) = (Nc / N)^alpha_N + (Sc / S_min)^alpha_S",
    citation=f"{KAPLAN}, equation 1.6, table 3, appendix B",
    use="learning curves of many sizes on unlimited data; steps corrected to S_min = S / (1 + B_crit / B)",
    avoid="raw steps at a batch near or below the critical one; schedules that decay; extrapolation: no floor, exponents not comparable",
    inputs=(
        Input("params", "count", "parameters of the model, embeddings left out", 1e3, 1e12),
        Input("steps", "count", "S_min: optimiser steps, as if at a batch far above the critical one", 1e3, 1e7),
    ),
    parameters=(
        Parameter("L_N_ref", LogNormal(1.3, 0.5), f"loss at {PARAMS_REFERENCE:.2g} params after unlimited steps, in nat/token"),
        Parameter("L_S_ref", LogNormal(-1.2, 1.0), f"loss still to be trained away at {STEPS_REFERENCE:.2g} steps, in nat/token"),
        Parameter("alpha_N", LogNormal(-2.5, 0.5), "exponent of params"),
        Parameter("alpha_S", LogNormal(-0.4, 0.5), "exponent of steps"),
    ),
    formula=formula,
    derived=derived,
    invert=invert,
    terms=(Term("L_N_ref", "alpha_N", "params", PARAMS_REFERENCE), Term("L_S_ref", "alpha_S", "steps", STEPS_REFERENCE)),
    sums=(("L_N_ref", "L_S_ref"),),
    decreasing_in=("params", "steps"),
    decision=Decision(
        question="which model size, batch, steps and tokens reach the least loss at a training compute?",
        given=(
            Input("compute", "FLOP", "C_min = 6 N B_crit S_min, non-embedding: half of what a run at the critical batch spends"),
            Input("batch_ratio", "", "batch to be used, relative to the critical one"),
            Input("B_star", "count", "critical batch in tokens at a loss of 1 nat/token; table 5"),
            Input("alpha_B", "", "inverse exponent of the critical batch; table 5"),
        ),
        answers=(
            Input("params", "count", "best model size, embeddings left out"),
            Input("batch_tokens", "count", "batch to be used, in tokens: batch_ratio times B_crit at the final loss"),
            Input("steps_min", "count", "S_min: steps at a batch far above the critical one"),
            Input("steps", "count", "steps at the batch to be used"),
            Input("tokens", "count", "tokens processed at that batch"),
            Input("compute_spent", "FLOP", "compute at that batch"),
            Input("loss", "nat/token", "loss of that plan"),
        ),
        answer=answer,
        example={"compute": 8.64e19},
        optional={"batch_ratio": 1.0, "B_star": 2.1e8, "alpha_B": 0.21},
    ),
    published={
        "kaplan": Published(
            {"Nc": 6.5e13, "Sc": 2.1e3, "alpha_N": 0.077, "alpha_S": 0.76},
            f"{KAPLAN}, table 3",
            note="one fit of its own: not to be mixed with the constants of L(N)",
        )
    },
    checks=(Check("kaplan", {"params": 1e9, "steps": 1e5}, 2.400514),),
    variants={"critical_batch": _critical_batch_law()},
)
