"""Routed language models: loss against the size of one forward pass and the number of experts, at a fixed number of tokens.

    log10 L(N, E) = a log10 N + b log10 Ê + c log10 N log10 Ê + d
    1/Ê = 1/(E - 1 + (1/E_start - 1/E_max)^(-1)) + 1/E_max

Clark et al. 2022, "Unified Scaling Laws for Routed Language Models" (arXiv 2202.01169), equations 1 and 2. N counts the parameters that one
token sees (dense-equivalent); Ê saturates: it is E_start for one expert and E_max for ever more of them. Sets for three routers.

When to use it: models routed in every other block with one expert a token, 1.5e7 to 1.3e9 dense-equivalent parameters, up to 512 experts,
all trained on the same 130e9 tokens.
When not: other numbers of tokens. They are fixed here, so the vanishing benefit of experts in large models (c > 0) is that of models ever
further from their own optimum; Krajewski et al. 2024 (arXiv 2402.07871) find no such end when tokens grow too. The prior of c has no sign.

Logarithms are to base 10: natural ones give a loss of 0.58 at 1e9 parameters where the dense law gives 2.27. The published coefficients
have two or three digits. Rounding a by 0.0005 moves a prediction by 1 %, and the size N_cutoff = 10^(-b/c) beyond which routing no longer
helps by far more: the paper states 937e9, 85e9 and 83e9 parameters, its rounded coefficients give 1.0e12, 3.2e10 and 2.2e11.
"""

import math

import jax.numpy as jnp
from numpyro.distributions import LogNormal, Normal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published

#: In the middle of the published ladder (1.6e7 to 1.3e9), in log10 parameters. About it the bilinear form has slopes that runs show.
LOG_REFERENCE = 8.0
LN10 = math.log(10)


def experts_in_use(experts, p):
    """Ê, between E_start for one expert and E_max for ever more."""
    offset = p["E_start"] * p["E_max"] / (p["E_max"] - p["E_start"])
    return 1 / (1 / (experts - 1 + offset) + 1 / p["E_max"])


def formula(inputs, p):
    # Centred on the dense model of the reference size: the published form is a difference of terms near 1 that loses digits.
    size = jnp.log(inputs["params"]) / LN10 - LOG_REFERENCE
    routing = jnp.log(experts_in_use(inputs["experts"], p) / p["E_start"]) / LN10
    alpha, beta, level = _centred(p)
    return jnp.exp(LN10 * (level - alpha * size - beta * routing + p["c"] * size * routing))


def _centred(p):
    """Return the exponents of size (dense models) and of Ê (at the reference size) and log10 of the dense loss at the reference."""
    start = jnp.log(p["E_start"]) / LN10
    alpha = -(p["a"] + p["c"] * start)
    beta = -(p["b"] + p["c"] * LOG_REFERENCE)
    level = p["d"] + p["a"] * LOG_REFERENCE + p["b"] * start + p["c"] * LOG_REFERENCE * start
    return alpha, beta, level


def _log10(x):
    """log10; of a plain number in 64 bits, whatever JAX is set to: published values must survive the way there and back."""
    return math.log10(x) if isinstance(x, float) else jnp.log(x) / LN10


def derived(sampled):
    start, level = _log10(sampled["E_start"]), _log10(sampled["loss_ref"])
    c = sampled["c"]
    return {
        "a": -sampled["alpha"] - c * start,
        "b": -sampled["beta_ref"] - c * LOG_REFERENCE,
        "d": level + sampled["alpha"] * LOG_REFERENCE + sampled["beta_ref"] * start + c * LOG_REFERENCE * start,
        "E_max": sampled["E_start"] * (1 + sampled["saturation"]),
    }


def invert(published):
    start = _log10(published["E_start"])
    level = published["d"] + published["a"] * LOG_REFERENCE + published["b"] * start + published["c"] * LOG_REFERENCE * start
    return {
        "loss_ref": 10.0**level,
        "alpha": -(published["a"] + published["c"] * start),
        "beta_ref": -(published["b"] + published["c"] * LOG_REFERENCE),
        "c": published["c"],
        "E_start": published["E_start"],
        "saturation": published["E_max"] / published["E_start"] - 1,
    }


def effective_params(params, experts_used, p):
    """Size of the dense model with the same loss: both sides of log10 L(N, E) = log10 L(effective, 1) are linear in its logarithm."""
    alpha, beta, _ = _centred(p)
    size = jnp.log(params) / LN10 - LOG_REFERENCE
    routing = jnp.log(experts_used / p["E_start"]) / LN10
    return params * jnp.exp(LN10 * (beta - p["c"] * size) * routing / alpha)


def experts_worth(params, gain, p):
    """Return the most experts up to which doubling them lowers the loss at a rate of at least ``gain`` (a fraction) per doubling.

    d ln Ê / d ln E = E E_max / ((E + h) (E + h + E_max)) with h = offset - 1 rises at first and then falls, so this is the larger root of
    a quadratic; 1 where no number of experts gains as much.
    """
    _, beta, _ = _centred(p)
    slope = beta - p["c"] * (jnp.log(params) / LN10 - LOG_REFERENCE)
    helps = slope > 0
    ratio = -jnp.log1p(-gain) / (math.log(2) * jnp.where(helps, slope, 1.0))
    h = p["E_start"] * p["E_max"] / (p["E_max"] - p["E_start"]) - 1
    half = (p["E_max"] - ratio * (2 * h + p["E_max"])) / (2 * ratio)
    inside = half**2 - h * (h + p["E_max"])
    real = helps & (inside >= 0) & (half > 0)
    return jnp.where(real, jnp.maximum(half + jnp.sqrt(jnp.where(real, inside, 1.0)), 1.0), 1.0)


def answer(p, given):
    params, experts, gain = given["params"], given["experts"], given["gain"]
    _, beta, _ = _centred(p)
    fades = p["c"] > 0
    effective = effective_params(params, experts_in_use(experts, p), p)
    return {
        "loss": formula(given, p) + 0 * gain,
        "effective_params": effective + 0 * gain,
        "params_factor": effective / params + 0 * gain,
        "effective_params_limit": effective_params(params, p["E_max"], p) + 0 * experts + 0 * gain,
        "experts_worth": experts_worth(params, gain, p) + 0 * experts,
        "params_cutoff": jnp.where(fades, 10 ** (LOG_REFERENCE + beta / jnp.where(fades, p["c"], 1.0)), jnp.inf) + 0 * params,
    }


CLARK = "Clark et al. 2022, arXiv 2202.01169"


def _router(a, b, c, d, E_start, E_max, cutoff):
    names = ("a", "b", "c", "d", "E_start", "E_max")
    note = f"rounded as printed; the paper's N_cutoff of {cutoff} comes from more digits"
    return Published(dict(zip(names, (a, b, c, d, E_start, E_max), strict=True)), f"{CLARK}, table of coefficients, by notes", {}, note)


LAW = Law(
    name="moe_routed",
    title="Routed models: loss against dense-equivalent size and experts",
    equation="log10 L(N, E) = a log10 N + b log10 Ê + c log10 N log10 Ê + d; 1/Ê = 1/(E - 1 + (1/E_start - 1/E_max)^(-1)) + 1/E_max",
    citation=f"{CLARK}, equations 1 and 2",
    use="routed models of one router type that differ in size and number of experts, trained on one number of tokens (130e9 in the paper)",
    avoid="runs that differ in tokens; several experts a token or other routing frequencies than the runs fitted; N above some 1e10",
    inputs=(
        Input("params", "count", "dense-equivalent parameters: those that one token sees, embeddings included", 1e7, 1e10),
        Input("experts", "count", "experts of each routed layer; 1 is a dense model", 1, 1024),
    ),
    parameters=(
        Parameter("loss_ref", LogNormal(1.0, 0.4), "loss of the dense model of 1e8 parameters, in nat/token"),
        Parameter("alpha", LogNormal(-2.5, 0.5), "exponent of params in dense models"),
        Parameter("beta_ref", LogNormal(-3.3, 0.7), "exponent of Ê at 1e8 parameters"),
        Parameter("c", Normal(0.0, 0.02), "change of the exponent of Ê per decade of params; positive: routing helps large models less"),
        Parameter("E_start", LogNormal(0.8, 0.7), "Ê of one expert"),
        Parameter("saturation", LogNormal(5.0, 1.0), "E_max / E_start - 1: by how much Ê can grow"),
    ),
    formula=formula,
    derived=derived,
    invert=invert,
    decision=Decision(
        question="what dense size is a routed model worth, how many experts are worth having, and up to which size does routing help?",
        given=(
            Input("params", "count", "dense-equivalent parameters"),
            Input("experts", "count", "experts of each routed layer"),
            Input("gain", "fraction", "least fall of the loss, per doubling of experts, that is worth it"),
        ),
        answers=(
            Input("loss", "nat/token", "loss of the routed model"),
            Input("effective_params", "count", "parameters of the dense model of the same loss"),
            Input("params_factor", "", "their ratio to params"),
            Input("effective_params_limit", "count", "the same for ever more experts"),
            Input("experts_worth", "count", "experts up to which the loss still falls by the gain per doubling"),
            Input("params_cutoff", "count", "size beyond which routing no longer helps (inf: none)"),
        ),
        answer=answer,
        example={"params": 1e9, "experts": 64},
        optional={"gain": 0.01},
    ),
    published={
        "s_base": _router(-0.082, -0.108, 0.009, 1.104, 1.847, 314.478, "937e9"),
        "rl_r": _router(-0.083, -0.126, 0.012, 1.111, 1.880, 469.982, "85e9"),
        "hash": _router(-0.087, -0.136, 0.012, 1.157, 4.175, 477.741, "83e9"),
    },
    checks=(
        Check("s_base", {"params": 1e9, "experts": 64}, 2.085815),
        Check("s_base", {"params": 5e6, "experts": 128}, 2.891533),
        Check("s_base", {"params": 1e9, "experts": 1}, 2.2846, 5e-5),
    ),
)
