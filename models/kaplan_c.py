"""Kaplan's laws of compute: loss at a training compute C, and how a compute is best spent.

    L(C) = (Cc / C)^alpha_C
    N_opt, B, S_min, D_opt = (value at 1 PF-day) * (C / PF-day)^exponent        `kaplan_c:allocation`, `:batch`, `:steps`, `:tokens`

Kaplan et al. 2020 (arXiv 2001.08361), section 6, tables 5 and 6, appendix B. C is non-embedding compute 6 N B S in FLOP (the paper's
constants are in PF-days of 8.64e19 FLOP; they are converted exactly). Two computes are meant by the paper:

    naive    C         at one batch of 5e5 tokens for all models, best size at each C        alpha_C 0.057
    C_min    C / (1 + B / B_crit)     as if trained at a batch far below the critical one    alpha_C 0.050

`kaplan_ns:critical_batch` turns a run's C into C_min. A fit of one kind of compute must not be read against the other.

Theory and measurement do not agree. From the fit of L(N, S_min) and B_crit(L) follows (appendix B, closed form) alpha_C = 0.0525 and
N_opt = 5.8e8 * (C_min / PF-day)^0.68; the fit to the frontier itself is 0.050 and 1.3e9 * (C_min / PF-day)^0.73. Both are kept: sets
`compute_efficient` / `empirical` and `theory`. (The paper's text speaks of 0.054 for the theory; its own tables give 0.0525, or 0.0520
with alpha_N = 0.076.) The theory set is computed here, to full digits, with B* = 2.1e8 of table 5.

When to use it: the envelope of learning curves, compute counted without embeddings. When not: to plan a training run today. The exponent
0.73 is known to be too large (Hoffmann et al. 2022, Porian et al. 2024, Pearce & Song 2024: compute and sizes without embeddings and
head, one schedule and warm-up for all lengths), and the loss has no floor, so alpha_C cannot be set against exponents of laws with one.
"""

import jax.numpy as jnp
from numpyro.distributions import LogNormal, Normal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published, Term
from bayes_scaling.numeric import power
from bayes_scaling.units import PF_DAY

COMPUTE_REFERENCE = 1e18
KAPLAN = "Kaplan et al. 2020, arXiv 2001.08361"
COMPUTE = Input("compute", "FLOP", "non-embedding training compute 6 N B S: naive, or C_min, as the set says", 1e15, 1e25)
C_MIN = Input("compute", "FLOP", "C_min: non-embedding training compute, as if at a batch far below the critical one", 1e15, 1e25)


def theory():
    """Appendix B: what minimises C = 6 N B_crit(L) S_min at a given L(N, S_min), from tables 3 and 5; exponents and values at 1 PF-day."""
    alpha_N, Nc, alpha_S, Sc, alpha_B, B_star = 0.077, 6.5e13, 0.76, 2.1e3, 0.21, 2.1e8
    ratio = alpha_N / alpha_S
    alpha_C = 1 / (1 / alpha_N + 1 / alpha_S + 1 / alpha_B)
    Cc = 6 * Nc * B_star * Sc * (1 + ratio) ** (1 / alpha_S + 1 / alpha_N) * ratio ** (-1 / alpha_S)
    loss = (Cc / PF_DAY) ** alpha_C
    params = Nc * ((1 + ratio) / loss) ** (1 / alpha_N)
    batch = B_star / loss ** (1 / alpha_B)
    steps = Sc * ((1 + 1 / ratio) / loss) ** (1 / alpha_S)
    return {
        "loss": {"Cc": Cc, "alpha_C": alpha_C},
        "params": (params, alpha_C / alpha_N),
        "batch_tokens": (batch, alpha_C / alpha_B),
        "steps": (steps, alpha_C / alpha_S),
        "tokens": (2 * batch * steps, alpha_C / alpha_B + alpha_C / alpha_S),
    }


THEORY = theory()
THEORY_SOURCE = f"closed form of {KAPLAN}, appendix B, from its tables 3 and 5"


def formula(inputs, p):
    # The ratio in logs: the slope of a quotient holds Cc^2, which 32 bits do not.
    return jnp.exp(p["alpha_C"] * (jnp.log(p["Cc"]) - jnp.log(inputs["compute"])))


def answer(p, given):
    return {"compute": power(p["Cc"], 1 / p["alpha_C"], given["target"])}


#: Fits of the allocation: output, symbol, meaning, median of the prior's logarithm at 1 PF-day, prior of the exponent, published
#: level and exponent, and what must come out: of the published fit at 100 PF-day, of the theory at 1 PF-day.
FITS = {
    "allocation": (
        Input("params", "count", "best model size, embeddings left out"),
        "N",
        20.0,
        LogNormal(-0.5, 0.3),
        (1.3e9, 0.73),
        (3.749241e10, 5.844082e8),
    ),
    "batch": (
        Input("batch_tokens", "count", "critical batch in tokens, at the loss that the compute reaches"),
        "B",
        14.0,
        LogNormal(-1.3, 0.5),
        (2.0e6, 0.24),
        (6.039903e6, 1.8722625e6),
    ),
    "steps": (
        Input("steps", "count", "S_min: optimiser steps, as if at a batch far above the critical one"),
        "S",
        9.0,
        Normal(0.1, 0.2),  # the steps hardly grow: the sign is for the runs to say
        (5.4e3, 0.03),
        (6.200029e3, 1.3160713e4),
    ),
    "tokens": (
        Input("tokens", "count", "tokens processed at the critical batch: 2 B S_min = 2 C_min / 6 N"),
        "D",
        24.0,
        LogNormal(-1.0, 0.5),
        (2e10, 0.27),
        (6.934737e10, 4.9280619e10),
    ),
}


def _fit(variant):
    output, symbol, log_level, exponent_prior, empirical, (empirical_at_100, theory_at_1) = FITS[variant]
    level, exponent = f"{symbol}_pf_day", f"p_{symbol}"

    def growing(inputs, p):
        return power(p[level], -p[exponent], inputs["compute"] / PF_DAY)

    def answer(p, given):
        found = growing(given, p)
        if variant != "allocation":
            return {output.name: found}
        batch = power(given["batch_pf_day"], -given["batch_exponent"], given["compute"] / PF_DAY)
        steps = given["compute"] / (6 * found * batch)
        return {"params": found, "batch_tokens": batch, "steps": steps, "tokens": 2 * batch * steps}

    given, answers, optional = (C_MIN,), (output,), {}
    question = f"{output.meaning}: how large at a compute C_min?"
    if variant == "allocation":
        question = "which model size, batch, steps and tokens are best at a compute C_min?"
        answers = tuple(item for item, *_ in FITS.values())
        optional = {"batch_pf_day": 2.0e6, "batch_exponent": 0.24}
        given += (
            Input("batch_pf_day", "count", "critical batch at 1 PF-day in tokens; table 6"),
            Input("batch_exponent", "", "its exponent of compute; table 6"),
        )
    published = {
        "empirical": Published(
            {level: empirical[0], exponent: empirical[1]}, f"{KAPLAN}, table 6", note="fit to the frontier; rounded as printed"
        ),
        "theory": Published(
            {level: THEORY[output.name][0], exponent: THEORY[output.name][1]}, THEORY_SOURCE, note="disagrees with the fit to the frontier"
        ),
    }
    return Law(
        name=f"kaplan_c:{variant}",
        title=f"{symbol} at the best use of a compute",
        equation=f"{symbol}(C_min) = {level} * (C_min / PF-day)^{exponent}",
        citation=f"{KAPLAN}, section 6, table 6, appendix B",
        use="optima read off the frontier of learning curves, against C_min in FLOP; 1 PF-day = 8.64e19 FLOP",
        avoid="compute that counts embeddings or is not corrected to C_min; planning today: see `chinchilla`",
        inputs=(C_MIN,),
        parameters=(
            Parameter(level, LogNormal(log_level, 1.5), f"{output.name} at 1 PF-day"),
            Parameter(exponent, exponent_prior, f"exponent of compute for {output.name}"),
        ),
        formula=growing,
        published=published,
        checks=(Check("empirical", {"compute": 100 * PF_DAY}, empirical_at_100), Check("theory", {"compute": PF_DAY}, theory_at_1)),
        output=output.name,
        decision=Decision(question=question, given=given, answers=answers, answer=answer, example={"compute": PF_DAY}, optional=optional),
    )


LAW = Law(
    name="kaplan_c",
    title="Loss against non-embedding compute, no floor",
    equation="L(C) = (Cc / C)^alpha_C",
    citation=f"{KAPLAN}, equation 1.3, table 5, appendix B",
    use="the envelope of learning curves, compute counted without embeddings: naive at one batch, or C_min",
    avoid="mixing naive compute with C_min; extrapolation: no floor (L_inf = 0), so the exponent is not comparable with a law that has one",
    inputs=(COMPUTE,),
    parameters=(
        Parameter("L_ref", LogNormal(1.3, 0.5), f"loss at {COMPUTE_REFERENCE:.2g} FLOP, in nat/token"),
        Parameter("alpha_C", LogNormal(-2.9, 0.5), "exponent of compute"),
    ),
    formula=formula,
    derived=lambda p: {"Cc": COMPUTE_REFERENCE * p["L_ref"] ** (1 / p["alpha_C"])},
    invert=lambda p: {"L_ref": (p["Cc"] / COMPUTE_REFERENCE) ** p["alpha_C"], "alpha_C": p["alpha_C"]},
    terms=(Term("L_ref", "alpha_C", "compute", COMPUTE_REFERENCE),),
    decreasing_in=("compute",),
    decision=Decision(
        question="how much training compute does a target loss need?",
        given=(Input("target", "nat/token", "loss to reach; without a floor every loss is within reach of the formula"),),
        answers=(COMPUTE,),
        answer=answer,
        example={"target": 2.4},
    ),
    published={
        "naive": Published(
            {"Cc": 1.6e7 * PF_DAY, "alpha_C": 0.057}, f"{KAPLAN}, table 5", note="C at one batch of 5e5 tokens; Cc 1.6e7 PF-day"
        ),
        "compute_efficient": Published({"Cc": 3.1e8 * PF_DAY, "alpha_C": 0.050}, f"{KAPLAN}, table 5", note="C_min; Cc 3.1e8 PF-day"),
        "theory": Published(THEORY["loss"], THEORY_SOURCE, note="C_min; Cc 1.61e8 PF-day; disagrees with the fit to the frontier"),
    },
    checks=(
        Check("compute_efficient", {"compute": PF_DAY}, 2.658080),
        Check("naive", {"compute": PF_DAY}, 2.574156),
        Check("theory", {"compute": PF_DAY}, 2.694443),
    ),
    variants={variant: _fit(variant) for variant in FITS},
)
