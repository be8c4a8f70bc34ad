"""Translation against model size and data: Kaplan's joint form for supervised machine translation, and BLEU from loss.

    L(N, D) = [(N_C / N)^(alpha_N / alpha_D) + D_C / D]^alpha_D
    BLEU    = C exp(-k L)                                           (gordon:bleu)

Gordon, Duh & Kaplan 2021 (EMNLP 2021, "Data and Parameter Scaling Laws for Neural Machine Translation"); the form of L is equation 1.5 of
Kaplan et al. 2020 (arXiv 2001.08361). N excludes embeddings; D is in BYTES of training text, which the unit-less numbers quoted elsewhere
(6e5 to 6e9) also are; L is the development loss in nat per token of the authors' vocabulary. Each language pair has its own values.

When to use it: low- to medium-resource translation, 4e5 to 6e7 non-embedding parameters, more than 5 MB of text, both varied apart.
When not: to extrapolate far, as the form has no irreducible loss and falls to zero; other units of data; smaller corpora, where the losses
lie above the curve. The authors fit the runs with more than 5 242 880 bytes by least squares on L; residuals there are not independent:
each model size is off by its own 1 to 3 % across all corpora, so that posterior intervals are too narrow.

The published sets are re-runs of the authors' script on their released runs: the exponents in the paper's own table were not available.
"""

import math

import jax.numpy as jnp
from numpyro.distributions import LogNormal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published, Term

# In the middle of the published runs: the term of size and the term of data are then both near the loss of typical runs.
PARAMS_REFERENCE = 1e7
BYTES_REFERENCE = 1e8


def log_loss(log_params, log_bytes, p):
    size = p["alpha_N"] / p["alpha_D"] * (jnp.log(p["N_C"]) - log_params)
    return p["alpha_D"] * jnp.logaddexp(size, jnp.log(p["D_C"]) - log_bytes)


def formula(inputs, p):
    return jnp.exp(log_loss(jnp.log(inputs["params"]), jnp.log(inputs["data_bytes"]), p))


def derived(sampled):
    return {
        "N_C": PARAMS_REFERENCE * sampled["loss_N_ref"] ** (1 / sampled["alpha_N"]),
        "D_C": BYTES_REFERENCE * sampled["loss_D_ref"] ** (1 / sampled["alpha_D"]),
    }


def invert(published):
    return {
        "loss_N_ref": (published["N_C"] / PARAMS_REFERENCE) ** published["alpha_N"],
        "loss_D_ref": (published["D_C"] / BYTES_REFERENCE) ** published["alpha_D"],
        "alpha_N": published["alpha_N"],
        "alpha_D": published["alpha_D"],
    }


def answer(p, given):
    log_params = jnp.log(given["params"])
    ample = p["alpha_N"] * (jnp.log(p["N_C"]) - log_params)  # ln loss of this size with unlimited data
    # (target / ample)^(1 / alpha_D) - 1 is what data may add, in units of what size alone leaves.
    room = (jnp.log(given["target"]) - ample) / p["alpha_D"]
    reachable = room > 0
    margin = jnp.log(jnp.expm1(jnp.where(reachable, jnp.minimum(room, 700.0), 1.0)))
    log_needed = jnp.log(p["D_C"]) - ample / p["alpha_D"] - margin
    needed = jnp.where(reachable, jnp.exp(log_needed), jnp.inf)
    return {
        "loss": jnp.exp(log_loss(log_params, jnp.log(given["data_bytes"]), p)),
        "loss_unlimited_data": jnp.exp(ample) + 0 * given["data_bytes"],
        "loss_unlimited_params": jnp.exp(p["alpha_D"] * jnp.log(p["D_C"] / given["data_bytes"])) + 0 * given["params"],
        "data_needed": needed + 0 * given["data_bytes"],
        "data_factor": needed / given["data_bytes"],
    }


GORDON = "Gordon, Duh & Kaplan 2021, EMNLP 2021"
RERUN = f"{GORDON}; their script re-run on their released runs"


def _pair(alpha_N, N_C, alpha_D, D_C, runs, errors):
    values = {"alpha_N": alpha_N, "N_C": N_C, "alpha_D": alpha_D, "D_C": D_C}
    return Published(values, RERUN, dict(zip(("alpha_N", "alpha_D"), errors, strict=True)), f"{runs} runs of more than 5 242 880 bytes")


def bleu_formula(inputs, p):
    return jnp.exp(jnp.log(p["C"]) - p["k"] * inputs["loss"])


def bleu_answer(p, given):
    needed = jnp.log(p["C"] / given["target"]) / p["k"]  # loss at which the target is reached
    return {
        "bleu": bleu_formula(given, p) + 0 * given["target"],
        "loss_drop": jnp.where(needed > 0, given["loss"] - needed, jnp.inf),
        "bleu_per_percent": 0.01 * p["k"] * given["loss"] * bleu_formula(given, p) + 0 * given["target"],
    }


LOSS_REFERENCE = 2.0

BLEU = Law(
    name="gordon:bleu",
    title="BLEU against loss",
    equation="BLEU(L) = C exp(-k L)",
    citation=GORDON,
    use="translating a loss into BLEU for one language pair and one test set",
    avoid="other test sets or vocabularies; sets translated from the source side, where the loss falls without BLEU rising",
    inputs=(Input("loss", "nat/token", "development loss in nat per token of the authors' vocabulary", 0.8, 5.0),),
    parameters=(
        Parameter("bleu_ref", LogNormal(3.3, 0.4), f"BLEU at a loss of {LOSS_REFERENCE:g} nat/token"),
        Parameter("k", LogNormal(-0.8, 0.4), "fall of ln BLEU per nat/token"),
    ),
    formula=bleu_formula,
    derived=lambda sampled: {"C": sampled["bleu_ref"] * math.e ** (LOSS_REFERENCE * sampled["k"])},
    invert=lambda published: {"bleu_ref": published["C"] * math.e ** (-LOSS_REFERENCE * published["k"]), "k": published["k"]},
    decreasing_in=("loss",),
    output="bleu",
    decision=Decision(
        question="what BLEU does a loss give, and how far must the loss fall for a target BLEU?",
        given=(
            Input("loss", "nat/token", "development loss of the model"),
            Input("target", "", "BLEU to reach"),
        ),
        answers=(
            Input("bleu", "", "BLEU at that loss"),
            Input("loss_drop", "nat/token", "fall of the loss that the target needs (negative: reached; inf: above C)"),
            Input("bleu_per_percent", "", "BLEU gained by a loss lower by one percent"),
        ),
        answer=bleu_answer,
        example={"loss": 1.5, "target": 40.0},
    ),
    published={
        "de-en": Published({"C": 76.161791, "k": 0.46966539}, RERUN, {"C": 0.70, "k": 0.0048}, "54 runs"),
        "ru-en": Published({"C": 64.196688, "k": 0.43730844}, RERUN, {"C": 0.84, "k": 0.0059}, "66 runs"),
        "zh-en": Published({"C": 83.731209, "k": 0.42738609}, RERUN, {"C": 1.65, "k": 0.0102}, "60 runs"),
    },
    checks=(Check("de-en", {"loss": 1.2618239}, 42.107459),),
)

LAW = Law(
    name="gordon",
    title="Translation loss against parameters and bytes of data",
    equation="L(N, D) = [(N_C / N)^(alpha_N / alpha_D) + D_C / D]^alpha_D",
    citation=f"{GORDON}; form of Kaplan et al. 2020, arXiv 2001.08361",
    use="supervised translation of one language pair, non-embedding params and bytes of text varied apart",
    avoid="far extrapolation (no irreducible loss); corpora below 5 MB; data counted in sentences or tokens",
    inputs=(
        Input("params", "count", "parameters of the model, embeddings not included", 1e5, 1e9),
        Input("data_bytes", "byte", "bytes of the training text", 1e6, 1e11),
    ),
    parameters=(
        Parameter("loss_N_ref", LogNormal(0.4, 0.5), f"loss of {PARAMS_REFERENCE:.0e} params with unlimited data, in nat/token"),
        Parameter("loss_D_ref", LogNormal(0.4, 0.5), f"loss of {BYTES_REFERENCE:.0e} bytes with unlimited params, in nat/token"),
        Parameter("alpha_N", LogNormal(-2.1, 0.5), "exponent of params where data are ample"),
        Parameter("alpha_D", LogNormal(-1.0, 0.5), "exponent of bytes where params are ample"),
    ),
    formula=formula,
    derived=derived,
    invert=invert,
    terms=(
        Term("loss_N_ref", "alpha_N", "params", PARAMS_REFERENCE),
        Term("loss_D_ref", "alpha_D", "data_bytes", BYTES_REFERENCE),
    ),
    decreasing_in=("params", "data_bytes"),
    decision=Decision(
        question="what loss do this size and these data give, and how much data does a target loss need at this size?",
        given=(
            Input("params", "count", "parameters of the model, embeddings not included"),
            Input("data_bytes", "byte", "bytes of training text at hand"),
            Input("target", "nat/token", "loss to reach"),
        ),
        answers=(
            Input("loss", "nat/token", "loss with the data at hand"),
            Input("loss_unlimited_data", "nat/token", "loss of this size with unlimited data"),
            Input("loss_unlimited_params", "nat/token", "loss from these data with unlimited params"),
            Input("data_needed", "byte", "data that the target needs at this size (inf: this size cannot reach it)"),
            Input("data_factor", "", "the same as a multiple of the data at hand"),
        ),
        answer=answer,
        example={"params": 5.6e7, "data_bytes": 1e8, "target": 1.4},
    ),
    published={
        "de-en": _pair(0.12222355, 2.5897092e8, 0.42043465, 1.7792992e8, 54, (0.0034, 0.0097)),
        "ru-en": _pair(0.10931378, 2.4427151e9, 0.38047605, 5.0685009e8, 66, (0.0047, 0.0116)),
        "zh-en": _pair(0.12135998, 3.8623106e8, 0.414176, 1.8412755e8, 60, (0.0032, 0.0116)),
    },
    checks=(
        Check("de-en", {"params": 5.6e7, "data_bytes": 1e9}, 1.261824),
        # With the same values rounded to four digits.
        Check(
            "",
            {"params": 5.6e7, "data_bytes": 1e9},
            1.261783,
            values={"alpha_N": 0.1222, "N_C": 2.59e8, "alpha_D": 0.4204, "D_C": 1.779e8},
        ),
    ),
    variants={"bleu": BLEU},
)
