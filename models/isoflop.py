"""IsoFLOP curves: loss at a training compute, as the size of the model varies, over all budgets at once.

    L(C, N) = E + K C^(-gamma) * (q e^(-p u) + p e^(q u)) / (p + q),    u = ln N - ln N_opt(C),    N_opt(C) = k C^a

Approach 2 of Hoffmann et al. 2022 (arXiv 2203.15556) as one model of every run, instead of a parabola for each budget and a line
through their vertices. The shape is 1 at u = 0, where it is flat, and 1 + p q u^2 / 2 + p q (q - p) u^3 / 6 near it: p q is the
curvature of the parabola, q - p its skewness, and p, q -> 0 at constant K p q is the parabola itself.

Chinchilla's law L = E + A / N^alpha + B / D^beta at C = 6ND is exactly the case p = alpha, q = beta, a = beta / (alpha + beta) and
gamma = alpha beta / (alpha + beta). Here all four are free: whether the curves' shape agrees with how their optimum moves is then for
the runs to say, not assumed.

Where the literature is wrong: the parabola of approach 2 is symmetric in ln N, the curve is not unless alpha = beta. The vertex is then
off the optimum, by some 0.3 % with sizes within a factor 2 and 4 % within a factor 16 at Chinchilla's exponents, with no noise at all
(Czech et al. 2026, arXiv 2603.22339), and as the sizes tried drift along the budgets so does the exponent.

When to use it: several budgets, at each of which sizes on both sides of the optimum were trained (or read off training curves with a
constant learning rate). When not: sizes so far from the optimum that another thing breaks first (too few steps for the warm-up); one
budget alone (the exponents are then the prior's).
"""

import jax.numpy as jnp
from numpyro.distributions import LogNormal, Normal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published, Term
from bayes_scaling.loss_law import HOFFMANN, PUBLISHED, balance

# Where priors of levels are stated: published budgets lie between 1e16 and 1e22 FLOP.
COMPUTE_REFERENCE = 1e19


def formula(inputs, p):
    log_compute = jnp.log(inputs["compute"])
    u = jnp.log(inputs["params"]) - jnp.log(p["k"]) - p["a"] * log_compute
    # Logarithms first: K and C^-gamma, and each exponential with either, would over- or underflow in 32 bits.
    level = jnp.log(p["K"]) - p["gamma"] * log_compute
    left = jnp.log(p["q"] / (p["p"] + p["q"])) - p["p"] * u
    right = jnp.log(p["p"] / (p["p"] + p["q"])) + p["q"] * u
    return p["E"] + jnp.exp(level + left) + jnp.exp(level + right)


def answer(p, given):
    params = jnp.exp(jnp.log(p["k"]) + p["a"] * jnp.log(given["compute"]))
    tokens = given["compute"] / (6 * params)
    reducible = jnp.exp(jnp.log(p["K"]) - p["gamma"] * jnp.log(given["compute"]))
    return {"params": params, "tokens": tokens, "tokens_per_param": tokens / params, "loss": p["E"] + reducible}


def derived(p):
    return {
        "K": p["K_ref"] * COMPUTE_REFERENCE ** p["gamma"],
        "k": p["k_ref"] * COMPUTE_REFERENCE ** -p["a"],
    }


def invert(p):
    return {
        **{name: p[name] for name in ("E", "gamma", "a", "p", "q")},
        "K_ref": p["K"] * COMPUTE_REFERENCE ** -p["gamma"],
        "k_ref": p["k"] * COMPUTE_REFERENCE ** p["a"],
    }


def of_loss_law(E, A, B, alpha, beta):
    """Return this law's parameters for a law E + A / N^alpha + B / D^beta at C = 6ND."""
    total = alpha + beta
    G = balance(A, B, alpha, beta)
    a, gamma = beta / total, alpha * beta / total
    level = A * G**-alpha + B * G**beta
    return {"E": E, "K": level * 6**gamma, "gamma": gamma, "k": G * 6**-a, "a": a, "p": alpha, "q": beta}


CHINCHILLA = {"compute": 6 * 70e9 * 1.4e12, "params": 70e9}

LAW = Law(
    name="isoflop",
    title="Loss at a compute against the size of the model",
    equation="L(C, N) = E + K C^(-gamma) * (q e^(-p u) + p e^(q u)) / (p + q), u = ln(N / (k C^a))",
    citation=f"{HOFFMANN} (approach 2); Czech et al. 2026, arXiv 2603.22339 (its bias)",
    use="several budgets of compute, with sizes on both sides of the optimum at each; approach 2 without its bias",
    avoid="one budget alone; sizes so far from the optimum that warm-up or too few steps decide the loss",
    inputs=(
        Input("compute", "FLOP", "training compute, counted like params (with the head if params have it)", 1e16, 1e24),
        Input("params", "count", "parameters of the model, counted in one way throughout", 1e6, 1e11),
    ),
    parameters=(
        Parameter("E", LogNormal(0.4, 0.7), "irreducible loss in nat/token"),
        Parameter("K_ref", LogNormal(0.0, 0.8), f"reducible loss of the best model at {COMPUTE_REFERENCE:.2g} FLOP, in nat/token"),
        Parameter("gamma", LogNormal(-1.9, 0.5), "exponent of the reducible loss of the best model in compute"),
        Parameter("k_ref", LogNormal(19.5, 1.2), f"best params at {COMPUTE_REFERENCE:.2g} FLOP"),
        Parameter("a", Normal(0.5, 0.2), "exponent of the best params in compute"),
        Parameter("p", LogNormal(-1.0, 0.7), "how steeply the reducible loss rises towards smaller models (alpha of chinchilla)"),
        Parameter("q", LogNormal(-1.0, 0.7), "how steeply the reducible loss rises towards larger models (beta of chinchilla)"),
    ),
    formula=formula,
    derived=derived,
    invert=invert,
    terms=(Term("K_ref", "gamma", "compute", COMPUTE_REFERENCE),),
    sums=(("E", "K_ref"),),
    decision=Decision(
        question="which model size and how many tokens are best at a training compute of 6ND?",
        given=(Input("compute", "FLOP", "training compute"),),
        answers=(
            Input("params", "count", "best model size"),
            Input("tokens", "count", "best training tokens, compute / (6 params)"),
            Input("tokens_per_param", "", "their ratio"),
            Input("loss", "nat/token", "loss of that model"),
        ),
        answer=answer,
        example={"compute": 5.76e23},
    ),
    # Approach 2's own exponents, by interpolation within budgets, are sets of `frontier`.
    published={
        name: Published(of_loss_law(**item.values), f"from {item.source}", note=f"the loss law's own isoFLOP curves; {item.note}")
        for name, item in PUBLISHED.items()
        if not name.startswith("sardana")
    },
    checks=(
        # The loss law's own values, reached by another formula.
        Check("hoffmann", CHINCHILLA, 1.936645),
        Check("hoffmann_tex", CHINCHILLA, 1.920846),
        Check("besiroglu", CHINCHILLA, 1.973882),
        Check("muennighoff_c4", CHINCHILLA, 2.024597),
        Check("hoffmann", {"compute": 1.2e20, "params": 1e9}, 2.580048),
        Check("besiroglu", {"compute": 1.2e20, "params": 1e9}, 2.530050),
        Check("hoffmann", {"compute": 1e21, "params": 1.824218e9}, 2.328883),
        Check("", {"compute": 5.76e23, "params": 4.031050e10}, 1.918387, values=of_loss_law(1.6934, 406.4, 410.7, 0.3392, 0.2849)),
        Check("besiroglu", {"compute": 5.76e23, "params": 7.224870e10}, 1.974441),
        Check("muennighoff_c4", {"compute": 1e21, "params": 2.915091e9}, 2.347687),
    ),
)
