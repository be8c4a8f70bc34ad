"""The compute-optimal frontier: the best model size (or number of tokens) as a power of training compute.

    N_opt(C) = k C^a        frontier
    D_opt(C) = m C^b        frontier:tokens

Approach 1 of Hoffmann et al. 2022 (arXiv 2203.15556), and the second step of approach 2: a line through optima, however they were
found. Under C = 6ND the two are one: b = 1 - a and m = 1 / (6 k).

Points of the frontier come from `envelope` (training curves: the lowest loss at each compute) or from the minima of isoFLOP curves.
The envelope of N models has about N points of its own: thousands of budgets along it, 1500 in Hoffmann et al., repeat the same few
models, and intervals from treating them as independent are too narrow. Ask for about as many budgets as there are models.

What was published without a level k, and so cannot be a parameter set: Hoffmann et al. table 2 (10th to 90th percentiles of 100
bootstraps of 80 %), a = 0.50 (0.488, 0.502), 0.49 (0.462, 0.534), 0.46 (0.454, 0.455) and b = 0.50 (0.501, 0.512), 0.51 (0.483,
0.529), 0.54 (0.542, 0.543) for approaches 1, 2, 3: they stand in the notes of the sets that tables 3 and A3 imply. MiniCPM (arXiv
2404.06395): alpha 0.29 and beta 0.23, so a = 0.44, at some 192 tokens a param. Pearce & Song 2024 (arXiv 2406.12907), runs of their
own: a = 0.74 without embeddings and 0.49 with (see `kaplan_chinchilla`).

Where the literature contradicts itself: b of approach 1 lies outside its own interval, and so does a of approach 3, whose interval
would take 600 000 runs (Besiroglu et al. 2024). Table A3 misprints the FLOPs of 175e9 params under approach 3 (1.26e24, where 6ND is
1.26e25). The prose quotes 4.41e24 FLOP for 175e9 params where table 3 has 3.85e24. Rounded to two digits a law is 40 % off a few decades
out (Llama 3's text against its figure).

When to use it: optima at several budgets. When not: loss and size of all runs are at hand (`isoflop` and `chinchilla` use them all).
"""

from dataclasses import replace

import jax.numpy as jnp
from numpyro.distributions import LogNormal, Normal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published
from bayes_scaling.loss_law import HOFFMANN, balance
from bayes_scaling.loss_law import PUBLISHED as OF_LOSS

# Where the level's prior is stated: published frontiers were read between 1e16 and 1e22 FLOP.
COMPUTE_REFERENCE = 1e19
PF_DAY = 8.64e19  # FLOP
NORMAL_90 = 1.2816  # standard errors from the middle of a normal distribution to its 90th percentile
NORMAL_97 = 1.9600  # and to its 97.5th


def envelope(curves, budgets):
    """Return points of the frontier from training curves: who has the lowest loss at each budget.

    Parameters
    ----------
    curves : triples (params, tokens, loss) of a model: a number, and arrays over its checkpoints, tokens rising. Smooth noisy losses
        first: the lowest of several is biased downwards. Losses before the end of a decaying schedule are too high for their tokens.
    budgets : training compute (6 x params x tokens) at which to look; about as many as there are models

    Returns
    -------
    dict of arrays compute, params, tokens, loss. Budgets that no curve reaches are left out, and those where the smallest or the
    largest of the models that reach them wins: the optimum may lie beyond
    """
    log_budgets = jnp.log(jnp.asarray(budgets, float))
    params = jnp.asarray([float(size) for size, _, _ in curves])
    looked_up = [
        jnp.interp(log_budgets, jnp.log(6 * size * jnp.asarray(tokens, float)), jnp.log(jnp.asarray(loss, float)), jnp.inf, jnp.inf)
        for size, tokens, loss in curves
    ]
    log_loss = jnp.stack(looked_up)
    best = jnp.argmin(log_loss, axis=0)
    size = params[best]
    there = jnp.isfinite(log_loss)
    smallest = jnp.min(jnp.where(there, params[:, None], jnp.inf), axis=0)
    largest = jnp.max(jnp.where(there, params[:, None], -jnp.inf), axis=0)
    inside = (size > smallest) & (size < largest)
    compute = jnp.exp(log_budgets)
    loss = jnp.exp(jnp.min(log_loss, axis=0))
    found = {"compute": compute, "params": size, "tokens": compute / (6 * size), "loss": loss}
    return {name: values[inside] for name, values in found.items()}


def _law(output, name, level, exponent, reference, **rest):
    """The power law of an output in compute; ``level`` and ``exponent`` are the parameters' names."""

    def formula(inputs, p):
        return jnp.exp(jnp.log(p[level]) + p[exponent] * jnp.log(inputs["compute"]))

    def answer(p, given):
        found = formula(given, p)
        other = given["compute"] / (6 * found)
        params, tokens = (found, other) if output == "params" else (other, found)
        return {"params": params, "tokens": tokens, "tokens_per_param": tokens / params}

    def derived(p):
        return {level: p[f"{level}_ref"] * COMPUTE_REFERENCE ** -p[exponent]}

    def invert(p):
        return {f"{level}_ref": p[level] * COMPUTE_REFERENCE ** p[exponent], exponent: p[exponent]}

    what = {"params": "model size", "tokens": "training tokens"}[output]
    return Law(
        name=name,
        title=f"Best {what} against compute",
        equation=f"{output}_opt(C) = {level} * C^{exponent}",
        citation=f"{HOFFMANN} (approach 1)",
        use="optima at several budgets: of isoFLOP curves, or the envelope of training curves",
        avoid="runs with their losses at hand (use isoflop or chinchilla); a thousand points of one envelope as if they were independent",
        inputs=(Input("compute", "FLOP", "training compute, counted like params (with the head if they have it)", 1e15, 1e26),),
        parameters=(
            Parameter(f"{level}_ref", reference, f"best {what} at {COMPUTE_REFERENCE:.2g} FLOP"),
            Parameter(exponent, Normal(0.5, 0.2), f"exponent of the best {what} in compute"),
        ),
        formula=formula,
        derived=derived,
        invert=invert,
        output=output,
        decision=Decision(
            question="which model size and how many tokens are best at a training compute of 6ND?",
            given=(Input("compute", "FLOP", "training compute"),),
            answers=(
                Input("params", "count", "best model size" + ("" if output == "params" else ", compute / (6 tokens)")),
                Input("tokens", "count", "best training tokens" + ("" if output == "tokens" else ", compute / (6 params)")),
                Input("tokens_per_param", "", "their ratio"),
            ),
            answer=answer,
            example={"compute": 5.76e23},
        ),
        **rest,
    )


KAPLAN = "Kaplan et al. 2020, arXiv 2001.08361"
PORIAN = "Porian et al. 2024, arXiv 2406.19146"
LLAMA = "Llama 3, arXiv 2407.21783"
TENTHS = "10th to 90th percentile"


def _of_loss_law(A, B, alpha, beta, **rest):
    """Return (k, a, m, b) of the law A / N^alpha + B / D^beta at C = 6ND."""
    total = alpha + beta
    G = balance(A, B, alpha, beta)
    return G * 6 ** (-beta / total), beta / total, 6 ** (-alpha / total) / G, alpha / total


def _from_law(name, note, error=0.0):
    found = OF_LOSS[name]
    return _of_loss_law(**found.values), f"from {found.source}", note, error


LOSS_LAWS = {
    "hoffmann_law": _from_law("hoffmann", "approach 3, as printed"),
    "hoffmann_tex": _from_law("hoffmann_tex", "approach 3, unrounded"),
    # They print the error of a; their notebook's bootstrap has 0.020.
    "besiroglu": _from_law("besiroglu", "error of the exponent as printed", 0.018),
    "muennighoff_c4": _from_law("muennighoff_c4", "exponents of size and data tied"),
}

# The unrounded law as it is mostly quoted, with exponents of four digits: half a percent of the optimum lies in the others.
FOUR_DIGITS = dict(zip("ka", _of_loss_law(406.4, 410.7, 0.3392, 0.2849)[:2], strict=True))


def _interval(low, high, width):
    return (high - low) / (2 * width)


def _params(k, a, source, note="", error=0.0):
    return Published({"k": k, "a": a}, source, {"a": error} if error else {}, note)


def _tokens(m, b, source, note="", error=0.0):
    return Published({"m": m, "b": b}, source, {"b": error} if error else {}, note)


def _porian(k, a, low, high, step, data="RefinedWeb"):
    return _params(
        k, a, f"{PORIAN}, their stored fits", f"{data}, {step}; a in ({low:.4f}, {high:.4f}), 95 %", _interval(low, high, NORMAL_97)
    )


REPRODUCTION = "Kaplan et al. reproduced: params and FLOP without the head"
WEB_TEXT = "OpenWebText2"

LAW = _law(
    "params",
    "frontier",
    "k",
    "a",
    LogNormal(19.5, 1.2),
    published={
        "hoffmann_1": _params(
            0.09915893231,
            0.4980986858,
            f"{HOFFMANN}, line through the rows of table 3",
            f"approach 1; printed a = 0.50 (0.488, 0.502), {TENTHS}",
            _interval(0.488, 0.502, NORMAL_90),
        ),
        "hoffmann_2": _params(
            0.1448770518,
            0.4899416129,
            f"{HOFFMANN}, line through the rows of table A3",
            f"approach 2; printed a = 0.49 (0.462, 0.534), {TENTHS}",
            _interval(0.462, 0.534, NORMAL_90),
        ),
        "hoffmann_3": _params(
            0.5346221368,
            0.4586574025,
            f"{HOFFMANN}, line through the rows of table A3",
            f"approach 3; printed a = 0.46 (0.454, 0.455), {TENTHS}, far too narrow; 175e9 params at 1.26e25 FLOP, printed 1.26e24",
            _interval(0.454, 0.455, NORMAL_90),
        ),
        **{name: _params(k, a, source, note, error) for name, ((k, a, _, _), source, note, error) in LOSS_LAWS.items()},
        "kaplan": _params(
            1.3e9 * PF_DAY**-0.73, 0.73, KAPLAN, "without embeddings; compute at the least that could have been spent (C_min)"
        ),
        "porian_kaplan": _porian(4.2319659184965657e-08, 0.8353000424913991, 0.8235, 0.8460, REPRODUCTION),
        "porian_head": _porian(1.2701847832482018e-05, 0.7064699122200796, 0.6915, 0.7169, "head counted"),
        "porian_warmup": _porian(0.0014309165592833362, 0.6020375267309686, 0.5914, 0.6173, "and warm-up scaled with the model"),
        "porian_decay": _porian(0.0047692867893526685, 0.5714947855747434, 0.5598, 0.5885, "and cosine decay matched to each budget"),
        "porian_tuned": _porian(
            0.11892648397493802, 0.49689507817885203, 0.4907, 0.5045, "and learning rate, batch, beta2 tuned, no decay"
        ),
        "porian_kaplan_owt2": _porian(1.2849964079364733e-08, 0.8635108173346319, 0.8186, 0.8974, REPRODUCTION, WEB_TEXT),
        "porian_head_owt2": _porian(1.733448046622233e-05, 0.698500695818592, 0.6644, 0.7245, "head counted", WEB_TEXT),
        "porian_warmup_owt2": _porian(0.0013176920659436374, 0.6031958731092242, 0.5702, 0.6287, "and warm-up scaled", WEB_TEXT),
        "porian_decay_owt2": _porian(0.004365827760324604, 0.57429513911277, 0.5423, 0.6056, "and cosine decay matched", WEB_TEXT),
        "porian_tuned_owt2": _porian(0.046935346310548694, 0.5184542057238083, 0.4931, 0.5414, "and tuned, no decay", WEB_TEXT),
    },
    checks=(
        Check("hoffmann_law", {"compute": 1e21}, 1.824218e9),
        Check("hoffmann_law", {"compute": 5.76e23}, 3.218986e10),
        Check("", {"compute": 1e21}, 2.214586e9, values=FOUR_DIGITS),
        Check("", {"compute": 5.76e23}, 4.031050e10, values=FOUR_DIGITS),
        Check("besiroglu", {"compute": 1e21}, 2.778459e9),
        Check("besiroglu", {"compute": 5.76e23}, 7.224870e10),
        Check("muennighoff_c4", {"compute": 1e21}, 2.915091e9),
        Check("hoffmann_1", {"compute": 1.21e20}, 1e9, 0.01),  # a row of table 3
        Check("hoffmann_2", {"compute": 1.2e20}, 1e9, 0.01),  # rows of table A3
        Check("hoffmann_3", {"compute": 1.62e20}, 1e9, 0.03),
        Check("kaplan", {"compute": 8.64e19}, 1.3e9),
    ),
)

TOKENS = _law(
    "tokens",
    "frontier:tokens",
    "m",
    "b",
    LogNormal(22.5, 1.2),
    published={
        "hoffmann_1": _tokens(
            1.6960843615,
            0.5018542648,
            f"{HOFFMANN}, line through the rows of table 3",
            f"approach 1; printed b = 0.50 (0.501, 0.512), {TENTHS}: its own value lies outside",
            _interval(0.501, 0.512, NORMAL_90),
        ),
        "hoffmann_2": _tokens(
            1.1527636291,
            0.5100202251,
            f"{HOFFMANN}, line through the rows of table A3",
            f"approach 2; printed b = 0.51 (0.483, 0.529), {TENTHS}",
            _interval(0.483, 0.529, NORMAL_90),
        ),
        "hoffmann_3": _tokens(
            0.3153695870,
            0.5409816539,
            f"{HOFFMANN}, line through the rows of table A3",
            f"approach 3; printed b = 0.54 (0.542, 0.543), {TENTHS}, far too narrow",
            _interval(0.542, 0.543, NORMAL_90),
        ),
        **{name: _tokens(m, b, source, note, error) for name, ((_, _, m, b), source, note, error) in LOSS_LAWS.items()},
        "kaplan": _tokens(
            2e10 * PF_DAY**-0.27, 0.27, KAPLAN, "in C_min; with their params 6ND is 1.8 C_min: other tokens than their steps x batch"
        ),
        "llama3_text": _tokens(0.29, 0.53, LLAMA, "rounded as in the text: 37 % below their own prediction at 3.8e25 FLOP"),
        "llama3_figure": _tokens(0.299, 0.537, LLAMA, "as in the figure; predicts 1.63e13 tokens at 3.8e25 FLOP, printed 16.55e12"),
        "deepseek": _tokens(5.8316, 0.4757, "DeepSeek, arXiv 2401.02954", "C = M D, with M = 0.1715 C^0.5243 non-embedding FLOP a token"),
    },
    checks=(
        Check("hoffmann_law", {"compute": 1e21}, 9.136336e10),
        Check("hoffmann_law", {"compute": 5.76e23}, 2.982306e12),
        Check("besiroglu", {"compute": 1e21}, 5.998528e10),
        Check("besiroglu", {"compute": 5.76e23}, 1.328744e12),
        Check("muennighoff_c4", {"compute": 5.76e23}, 1.372170e12),
        Check("hoffmann_1", {"compute": 1.21e20}, 20.2e9, 0.01),
        Check("llama3_figure", {"compute": 3.8e25}, 1.6294e13, 1e-4),
        Check("llama3_figure", {"compute": 3.8e25}, 16.55e12, 0.02),  # as printed, from unrounded values
        Check("llama3_text", {"compute": 3.8e25}, 1.046e13, 1e-3),
        Check("deepseek", {"compute": 1e21}, 5.694921e10),
    ),
)

LAW = replace(LAW, variants={"tokens": TOKENS})
