"""Translation with encoder-decoder models: loss against the sizes of encoder and decoder.

    L(N_e, N_d) = E + a (n_e / N_e)^p_e (n_d / N_d)^p_d

Ghorbani et al. 2021 (arXiv 2109.07740), equation 1; E is their L_inf and a their alpha. n_e and n_d are baseline sizes. The paper writes
them next to the free factor a, but the three are not identified together: here n_e = 1.5e8 and n_d = 1.8e8 are constants, and a is the
reducible loss of a model of these sizes.

At a total of B = N_e + N_d parameters the loss is least for decoder share N_d / B = p_d / (p_e + p_d), whatever B is, where

    L = E + a [n_e (p_e + p_d) / p_e]^p_e [n_d (p_e + p_d) / p_d]^p_d B^-(p_e + p_d)

The authors' blog post raises the second bracket to p_e too: a slip, off by a tenth in the example of the tests.

When to use it: encoder-decoder models scaled in depth on ample data, non-embedding parameters of 1e8 to 4e9 in all, one test set for each
fit. When not: data-limited training (see `gordon`, `bansal`); the fit of one test set for another. The exponents depend on which side of a
test set is natural text and which a translation (the decoder's exponent is the larger on all of the paper's sets); the values are in a
figure only, so that there is no published set.
"""

import jax.numpy as jnp
from numpyro.distributions import LogNormal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Sharing, Term

ENCODER_REFERENCE = 1.5e8
DECODER_REFERENCE = 1.8e8


def formula(inputs, p):
    log_size = p["p_e"] * jnp.log(inputs["encoder_params"] / ENCODER_REFERENCE)
    return p["E"] + jnp.exp(jnp.log(p["a"]) - log_size - p["p_d"] * jnp.log(inputs["decoder_params"] / DECODER_REFERENCE))


def best_share(p):
    """The decoder's, whatever the total."""
    return p["p_d"] / (p["p_e"] + p["p_d"])


def answer(p, given):
    share = best_share(p)
    total = given["params"]
    best = {"encoder_params": total * (1 - share), "decoder_params": total * share}
    even = {"encoder_params": total / 2, "decoder_params": total / 2}
    return {**best, "decoder_share": share + 0 * total, "loss": formula(best, p), "loss_even": formula(even, p)}


TOTAL = Input("params", "count", "encoder and decoder together, embeddings and softmax not included")
SHARE = Input("decoder_share", "fraction", "the decoder's share of the total")

LAW = Law(
    name="ghorbani",
    title="Translation loss against encoder and decoder size",
    equation="L(N_e, N_d) = E + a (1.5e8 / N_e)^p_e (1.8e8 / N_d)^p_d",
    citation="Ghorbani et al. 2021, arXiv 2109.07740",
    use="encoder-decoder translation models on ample data; one test set for each fit",
    avoid="data-limited training; decoder-only models; test sets of different make-up in one fit",
    inputs=(
        Input("encoder_params", "count", "parameters of the encoder, embeddings and softmax not included", 1e7, 1e10),
        Input("decoder_params", "count", "parameters of the decoder, embeddings and softmax not included", 1e7, 1e10),
    ),
    parameters=(
        Parameter("E", LogNormal(0.2, 0.7), "irreducible loss in nat/token (L_inf in the paper)"),
        Parameter("a", LogNormal(-1.2, 1.0), "reducible loss at 1.5e8 encoder and 1.8e8 decoder params, in nat/token (alpha in the paper)"),
        Parameter("p_e", LogNormal(-1.2, 0.5), "exponent of encoder params"),
        Parameter("p_d", LogNormal(-1.2, 0.5), "exponent of decoder params"),
    ),
    formula=formula,
    terms=(Term("a", "p_e", "encoder_params", ENCODER_REFERENCE), Term("a", "p_d", "decoder_params", DECODER_REFERENCE)),
    sums=(("E", "a"),),
    decreasing_in=("encoder_params", "decoder_params"),
    decision=Decision(
        question="how are a total of params best split between encoder and decoder?",
        given=(TOTAL,),
        answers=(
            Input("encoder_params", "count", "best size of the encoder"),
            Input("decoder_params", "count", "best size of the decoder"),
            SHARE,
            Input("loss", "nat/token", "loss of that model"),
            Input("loss_even", "nat/token", "loss with half of the params in each: the gap is what the split is worth"),
        ),
        answer=answer,
        example={"params": 1e9},
    ),
    sharing=Sharing(
        budget=TOTAL,
        inputs=("decoder_params", "encoder_params"),
        text="encoder_params + decoder_params",
        spends=lambda at: at["encoder_params"] + at["decoder_params"],
        span=lambda at: (0 * at["params"] + 1, at["params"] - 1),
        ratio=SHARE,
        ratio_of=lambda at: at["decoder_params"] / at["params"],
        best=lambda p, at: best_share(p) * at["params"],
    ),
    checks=(
        # At the reference sizes the reducible loss is a; at the optimum of 1e9 params (4/9 : 5/9) it is 0.073725.
        Check("", {"encoder_params": 1.5e8, "decoder_params": 1.8e8}, 1.2, values={"E": 1.0, "a": 0.2, "p_e": 0.4, "p_d": 0.5}),
        Check("", {"encoder_params": 4e9 / 9, "decoder_params": 5e9 / 9}, 1.073725, values={"E": 1.0, "a": 0.2, "p_e": 0.4, "p_d": 0.5}),
    ),
)
