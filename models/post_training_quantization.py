"""Quantisation after training: how much the loss rises, and the tokens past which longer training makes it worse.

    delta(N, D, P) = C_T e^(-P / gamma_post) D^gamma_D / N^gamma_N

Kumar et al. 2024 (arXiv 2411.04330): weights trained at high precision, then rounded to P bits. The rise grows with tokens and shrinks
with size. The full form has N_eff in place of N and a factor prod_x (1 - exp(-C_x (P_x - P))) over the precisions P_x of training, whose
C_x are not tabulated. Training at 16 bits makes N_eff = N and the factor 1 to within what table 2 can tell, and that is the domain
of this law; a model that already has P bits is not changed, so delta = 0 from 16 bits on.

When to use it: losses before and after quantisation of models that differ in size, tokens and bits.
When not: models trained in low precision, which lose less (the missing factor; see `precision` for what they lose in training); another
quantiser than that of the runs.

The output is the rise itself, signed, and its noise is absolute: it is a difference of two measured losses, whose errors do not shrink
with it. At 8 bits the law says 1e-5 nat, and half the measurements of that come out negative.

Tokens past which more of them hurt: with B / D^beta of the training law falling, the loss after quantisation is least at

    D_crit = (beta B N^gamma_N e^(P / gamma_post) / (gamma_D C_T))^(1 / (gamma_D + beta))

The paper's fit has R^2 = 0.90 on 3e7 to 2.2e8 parameters and 1.5e9 to 2.6e10 tokens; D_crit mostly lies far beyond. Table 2 also lists an
offset b = 1.1277 of the exponent: the set `kumar_offset` has C_T e^-b in place of C_T.
"""

from math import e

import jax.numpy as jnp
from numpyro.distributions import LogNormal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published, Term

PARAMS_REFERENCE = 1e8
TOKENS_REFERENCE = 1e10
BITS_REFERENCE = 4.0
TRAINED_BITS = 16.0  #: precision of training, from which on there is nothing to round


def formula(inputs, p):
    bits = inputs["post_bits"]
    log_data, log_size = p["gamma_D"] * jnp.log(inputs["tokens"]), p["gamma_N"] * jnp.log(inputs["params"])
    log_rise = jnp.log(p["C_T"]) - bits / p["gamma_post"] + log_data - log_size
    return jnp.where(bits < TRAINED_BITS, jnp.exp(log_rise), 0.0)


def _at_reference(p):
    """delta_ref / C_T."""
    return e ** (-BITS_REFERENCE / p["gamma_post"]) * TOKENS_REFERENCE ** p["gamma_D"] * PARAMS_REFERENCE ** -p["gamma_N"]


def derived(p):
    return {"C_T": p["delta_ref"] / _at_reference(p)}


def invert(p):
    return {"delta_ref": p["C_T"] * _at_reference(p), **{name: p[name] for name in ("gamma_post", "gamma_D", "gamma_N")}}


def answer(p, given):
    bits = given["post_bits"] + 0 * p["gamma_D"]
    # Of rise = c D^gamma_D and training loss B D^-beta: at the critical tokens the slopes cancel.
    log_rise_at_one = jnp.log(p["C_T"]) - bits / p["gamma_post"] - p["gamma_N"] * jnp.log(given["params"])
    log_slopes = jnp.log(given["beta"] * given["B"]) - jnp.log(p["gamma_D"])
    total = p["gamma_D"] + given["beta"]
    log_critical = (log_slopes - log_rise_at_one) / total
    # The same equation solved for bits at the given tokens.
    helped = p["gamma_post"] * (total * jnp.log(given["tokens"]) - log_slopes + log_rise_at_one) + bits
    rounded = bits < TRAINED_BITS
    rise = jnp.where(rounded, jnp.exp(log_rise_at_one + p["gamma_D"] * jnp.log(given["tokens"])), 0.0)
    critical = jnp.where(rounded, jnp.exp(log_critical), jnp.inf) + 0 * given["tokens"]
    return {
        "loss_increase": rise + 0 * given["B"],
        "critical_tokens": critical,
        "critical_tokens_per_param": critical / given["params"],
        "bits_needed": jnp.clip(helped, 0.0, TRAINED_BITS),
    }


TABLE = "Kumar et al. 2024, arXiv 2411.04330, table 2"
VALUES = {"C_T": 0.0598, "gamma_D": 0.5068, "gamma_N": 0.3439, "gamma_post": 0.5907}
OFFSET = e**-1.1277

LAW = Law(
    name="post_training_quantization",
    title="Rise of the loss by quantisation after training",
    equation="delta(N, D, P) = C_T e^(-P / gamma_post) D^gamma_D / N^gamma_N",
    citation="Kumar et al. 2024, arXiv 2411.04330",
    use="losses before and after rounding the weights of models trained at 16 bits that differ in size, tokens and bits",
    avoid="models trained in low precision; another quantiser than that of the runs; bits below 3",
    inputs=(
        Input("params", "count", "parameters of the model, embeddings not included", 1e7, 1e10),
        Input("tokens", "count", "training tokens", 1e9, 1e12),
        Input("post_bits", "bit", "bits of the weights after training at 16", 3, TRAINED_BITS),
    ),
    parameters=(
        Parameter(
            "delta_ref",
            LogNormal(-4.0, 1.5),
            f"rise at {PARAMS_REFERENCE:.0e} params, {TOKENS_REFERENCE:.0e} tokens and {BITS_REFERENCE:.0f} bits, in nat/token",
        ),
        Parameter("gamma_post", LogNormal(-0.4, 0.5), "bits over which the rise falls by a factor of e"),
        Parameter("gamma_D", LogNormal(-0.9, 0.5), "exponent of tokens"),
        Parameter("gamma_N", LogNormal(-1.1, 0.5), "exponent of params"),
    ),
    formula=formula,
    derived=derived,
    invert=invert,
    terms=(Term("delta_ref", "gamma_N", "params", PARAMS_REFERENCE),),
    decreasing_in=("params", "post_bits"),
    output="loss_increase",
    decision=Decision(
        question="how much does quantising a trained model cost, and past how many tokens does longer training make the result worse?",
        given=(
            Input("params", "count", "parameters of the model, embeddings not included"),
            Input("tokens", "count", "training tokens"),
            Input("post_bits", "bit", "bits of the weights after training"),
            Input("B", "nat/token", "coefficient of tokens in the law of the training loss, B / D^beta"),
            Input("beta", "", "its exponent"),
        ),
        answers=(
            Input("loss_increase", "nat/token", "rise of the loss by quantisation"),
            Input("critical_tokens", "count", "tokens past which the quantised model gets worse (inf: not quantised)"),
            Input("critical_tokens_per_param", "", "the same over params"),
            Input("bits_needed", "bit", "bits from which on these tokens are not past that point"),
        ),
        answer=answer,
        example={"params": 1.1e8, "tokens": 1e10, "post_bits": 4},
        optional={"B": 1.806e4, "beta": 0.4965},  # table 2, of the same runs
    ),
    published={
        "kumar": Published(VALUES, TABLE, note="R^2 = 0.90 on 465 runs; as the main text writes the law, without the offset b"),
        "kumar_offset": Published(
            {**VALUES, "C_T": VALUES["C_T"] * OFFSET}, f"{TABLE}, with the offset b = 1.1277", note="C_T here is C_T e^-b of the table"
        ),
    },
    checks=(
        Check("kumar", {"params": 1.1e8, "tokens": 1e10, "post_bits": 4.0}, 0.013753, 4e-5),
        Check("kumar", {"params": 1.1e8, "tokens": 1e10, "post_bits": 3.0}, 0.074749, 1e-5),
        Check("kumar_offset", {"params": 1.1e8, "tokens": 1e10, "post_bits": 4.0}, 0.013753 * OFFSET, 4e-5),
        Check("kumar", {"params": 1.1e8, "tokens": 1e10, "post_bits": 16.0}, 0.0),
    ),
)
