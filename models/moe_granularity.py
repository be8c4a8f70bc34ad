"""Fine-grained mixtures of experts: loss against total parameters, tokens and granularity.

    L(N, D, G) = c + (g / G^gamma + a) / N^alpha + b / D^beta

Krajewski et al. 2024, "Scaling Laws for Fine-Grained Mixture of Experts" (arXiv 2402.07871). N counts ALL experts and no embeddings; G is
how many times narrower an expert is than the dense model's feed-forward layer; the experts hold 64 times its parameters throughout.
`moe_granularity:dense` is their law of dense models, c + a / N^alpha + b / D^beta.

When to use it: mixtures of 64-fold expansion, as many experts a token as their granularity, 1.3e8 to 3.7e9 total parameters,
1.6e10 to 1.3e11 tokens, G from 1 to 16.
When not: other expansion rates; beside a dense law at the same N: N is total, so the dense curve lies lower there, and only at the same
compute can the two be set against each other. c = 0.47 with exponents near 0.12 extrapolates with little warrant.

Training costs (12 d^2 c_f + d E G c_r) D n_blocks FLOP: c_f = 6 for every active parameter, c_r = 14 for every weight of the router.
Width d and blocks follow from N where d = 64 n_blocks, as in the authors' code (llm-random), and from what a block holds: 4 d^2
parameters of attention and 8 E d^2 of experts. With that, the optimum over G in powers of two agrees with the paper's table of optima
(quoted from memory in the tests) to 4 %. The optimum is unique: every term is an exponential of a convex function of (ln N, ln G), a
geometric program.
"""

import jax.numpy as jnp
from numpyro.distributions import LogNormal

from bayes_scaling import numeric
from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published, Term

# Near the middle of the published runs.
PARAMS_REFERENCE = 1e9
TOKENS_REFERENCE = 1e10
EXPANSION = 64  #: parameters of all experts over those of the dense feed-forward layer
ASPECT = 64  #: width over number of blocks
FLOP_PER_ACTIVE_PARAM = 6  #: c_f
FLOP_PER_ROUTER_WEIGHT = 14  #: c_r
MOST_GRANULARITY = 4096.0


def formula(inputs, p):
    fine = jnp.log(p["g"]) - p["gamma"] * jnp.log(inputs["granularity"])
    size = jnp.exp(jnp.logaddexp(fine, jnp.log(p["a"])) - p["alpha"] * jnp.log(inputs["params"]))
    return p["c"] + size + numeric.power(p["b"], p["beta"], inputs["tokens"])


def width(params):
    """d of a model of so many parameters: N = (8 E + 4) d^2 n_blocks with d = ASPECT n_blocks."""
    return (ASPECT * params / (8 * EXPANSION + 4)) ** (1 / 3)


def flop_per_token(params, granularity):
    """Training FLOP per token: (12 d^2 c_f + d E G c_r) n_blocks."""
    d = width(params)
    return (12 * d**2 * FLOP_PER_ACTIVE_PARAM + d * EXPANSION * granularity * FLOP_PER_ROUTER_WEIGHT) * d / ASPECT


def answer(p, given):
    compute = given["compute"] + 0 * p["c"]
    low, high = jnp.zeros_like(compute), jnp.full_like(compute, jnp.log(MOST_GRANULARITY))

    def loss(log_params, log_granularity):
        params, granularity = jnp.exp(log_params), jnp.exp(log_granularity)
        tokens = compute / flop_per_token(params, granularity)
        return formula({"params": params, "tokens": tokens, "granularity": granularity}, p)

    def best_size(log_granularity):
        # Convex along either direction, so three grid points bracket the minimum and bisection does the rest.
        return numeric.minimum(lambda u: loss(u, log_granularity), low + jnp.log(1e4), low + jnp.log(1e20), grid=3)

    # Bisection ignores how best_size moves with granularity, and may: the loss does not change along it at the optimum.
    log_granularity = numeric.minimum(lambda v: loss(best_size(v), v), low, high, grid=3)
    log_params = best_size(log_granularity)
    params, granularity = jnp.exp(log_params), jnp.exp(log_granularity)
    active = 12 * params / (8 * EXPANSION + 4)
    tokens = compute / flop_per_token(params, granularity)
    return {
        "granularity": granularity,
        "params": params,
        "active_params": active,
        "tokens": tokens,
        "routing_share": 1 - FLOP_PER_ACTIVE_PARAM * active / flop_per_token(params, granularity),
        "loss": loss(log_params, log_granularity),
        "loss_coarse": loss(best_size(low), low),
    }


def dense_formula(inputs, p):
    return p["c"] + numeric.power(p["a"], p["alpha"], inputs["params"]) + numeric.power(p["b"], p["beta"], inputs["tokens"])


def dense_optimum(p, product):
    """Best (params, tokens) at a given product params x tokens."""
    balance = jnp.log(p["alpha"] * p["a"]) - jnp.log(p["beta"] * p["b"]) + p["beta"] * jnp.log(product)
    params = jnp.exp(balance / (p["alpha"] + p["beta"]))
    return params, product / params


def dense_answer(p, given):
    params, tokens = dense_optimum(p, given["compute"] / FLOP_PER_ACTIVE_PARAM)
    return {"params": params, "tokens": tokens, "loss": dense_formula({"params": params, "tokens": tokens}, p)}


KRAJEWSKI = "Krajewski et al. 2024, arXiv 2402.07871"
COMPUTE = Input("compute", "FLOP", "training compute, routing included")
TOKENS = Input("tokens", "count", "training tokens", 1e9, 1e13)
FLOOR = Parameter("c", LogNormal(0.2, 0.7), "irreducible loss in nat/token")
EXPONENTS = (
    Parameter("alpha", LogNormal(-1.6, 0.6), "exponent of params"),
    Parameter("b_ref", LogNormal(-0.5, 1.0), f"loss from finite data at {TOKENS_REFERENCE:.2g} tokens, in nat/token"),
    Parameter("beta", LogNormal(-1.6, 0.6), "exponent of tokens"),
)
SIZE = Parameter("a_ref", LogNormal(-0.2, 1.0), f"loss from finite size at {PARAMS_REFERENCE:.2g} params, in nat/token")
TERMS = (Term("a_ref", "alpha", "params", PARAMS_REFERENCE, "a"), Term("b_ref", "beta", "tokens", TOKENS_REFERENCE, "b"))

DENSE = Law(
    name="moe_granularity:dense",
    title="Dense models beside fine-grained mixtures of experts",
    equation="L(N, D) = c + a / N^alpha + b / D^beta",
    citation=KRAJEWSKI,
    use="setting dense models against mixtures of experts trained alike, at the same compute",
    avoid="other data or vocabularies; at the same N as a mixture's total",
    inputs=(Input("params", "count", "parameters without embeddings", 1e6, 1e12), TOKENS),
    parameters=(FLOOR, SIZE, *EXPONENTS),
    formula=dense_formula,
    optimum=dense_optimum,
    terms=TERMS,
    sums=(("c", "a_ref", "b_ref"),),
    decreasing_in=("params", "tokens"),
    decision=Decision(
        question="which dense model and how many tokens are best at a training compute of 6ND?",
        given=(COMPUTE,),
        answers=(
            Input("params", "count", "best model size"),
            Input("tokens", "count", "best training tokens"),
            Input("loss", "nat/token", "loss of that model"),
        ),
        answer=dense_answer,
        example={"compute": 1e20},
    ),
    published={
        "dense": Published({"a": 16.3, "alpha": 0.126, "b": 26.7, "beta": 0.127, "c": 0.47}, KRAJEWSKI, note="c tied to the mixtures' law")
    },
    checks=(Check("dense", {"params": 1e9, "tokens": 1e10}, 3.101133),),
)

LAW = Law(
    name="moe_granularity",
    title="Fine-grained mixtures of experts: loss against total size, tokens and granularity",
    equation="L(N, D, G) = c + (g / G^gamma + a) / N^alpha + b / D^beta",
    citation=KRAJEWSKI,
    use="mixtures of 64-fold expansion that differ in size, tokens and granularity; as many experts a token as the granularity",
    avoid="other expansion rates; beside a dense law at the same N, which counts all experts here",
    inputs=(
        Input("params", "count", "total parameters, all experts included, without embeddings and router", 1e8, 1e13),
        TOKENS,
        Input("granularity", "", "width of the dense feed-forward layer over that of an expert", 1, 256),
    ),
    parameters=(
        FLOOR,
        SIZE,
        Parameter("g_ref", LogNormal(-1.6, 1.0), f"further loss of coarse experts (G = 1) at {PARAMS_REFERENCE:.2g} params, in nat/token"),
        Parameter("gamma", LogNormal(-0.7, 0.6), "exponent of granularity"),
        *EXPONENTS,
    ),
    formula=formula,
    token_params=lambda inputs: flop_per_token(inputs["params"], inputs["granularity"]) / FLOP_PER_ACTIVE_PARAM,
    terms=(*TERMS, Term("g_ref", "alpha", "params", PARAMS_REFERENCE, "g")),
    sums=(("c", "a_ref", "b_ref", "g_ref"),),
    decreasing_in=("params", "tokens", "granularity"),
    decision=Decision(
        question="which granularity, total size and tokens are best at a training compute that includes the routing?",
        given=(COMPUTE,),
        answers=(
            Input("granularity", "", "best granularity, from 1 to 4096 (take a neighbouring power of two)"),
            Input("params", "count", "best total size, all experts included"),
            Input("active_params", "count", "parameters that a token sees, router excepted"),
            Input("tokens", "count", "best training tokens"),
            Input("routing_share", "fraction", "share of the compute that routing takes"),
            Input("loss", "nat/token", "loss of that model"),
            Input("loss_coarse", "nat/token", "least loss with granularity 1 at this compute"),
        ),
        answer=answer,
        example={"compute": 1e20},
    ),
    published={
        "moe": Published(
            {"a": 18.1, "alpha": 0.115, "b": 30.8, "beta": 0.147, "g": 2.1, "gamma": 0.58, "c": 0.47},
            KRAJEWSKI,
            note="Huber fit with delta = 0.1; RMSE 0.015 on the runs fitted, 0.019 on runs held out",
        )
    },
    checks=(
        Check("moe", {"params": 1e9, "tokens": 1e10, "granularity": 8}, 3.241494),
        Check("moe", {"params": 1e9, "tokens": 1e10, "granularity": 1}, 3.377234),
    ),
    variants={"dense": DENSE},
)
