"""Routed language models (Clark et al. 2022): the authors' runs, one fit a router, with the dense models as its single-expert case."""

from refits import Compare, Refit

RUNS = "clark2022_routed_final.csv"
CLARK = "Clark et al. 2022, rounded coefficients; two posterior standard deviations"
LEVEL = "Clark et al. 2022, from rounded coefficients: rounding a alone moves a prediction by 1 %"
RESIDUALS = (
    "loss_validation of runs with routing in every other block and one expert a token, as in the authors' notebook; residuals of 0.7 % "
    "are smooth in size (the 1.3e8 models lie 1 % below the law, the smallest and the largest above), while seeds differ by 0.03 %: "
    "the true curve bends, and intervals are too narrow beyond the runs"
)
FEW = (
    "; 512 hashed experts are too few to show where their use ends (Ê starts higher and saturates later): E_max is partly the prior's word"
)


def _refit(router, a, b, c, d, E_start, E_max, E_max_sd, alpha, beta_ref, loss_ref, trusted=True):
    return Refit(
        law="moe_routed",
        data=RUNS,
        label=router,
        read={
            "map": {"params": "dense_parameter_count", "experts": "num_experts", "loss": "loss_validation"},
            "where": f"(router_type == '{router}' or router_type == 'Dense') and k == 1 and routing_frequency == 0.5",
        },
        compare=(
            Compare("a", a, 0.004, CLARK),
            Compare("b", b, 0.028, CLARK),
            Compare("c", c, 0.003, CLARK),
            Compare("d", d, 0.04, CLARK),
            Compare("E_start", E_start, 1.0, CLARK),
            Compare("E_max", E_max, 2 * E_max_sd, CLARK),
            Compare("alpha", alpha, 0.003, CLARK),
            Compare("beta_ref", beta_ref, 0.008, CLARK),
            Compare("loss_ref", loss_ref, 0.03, LEVEL),
        ),
        given={"params": 1e9, "experts": 64, "gain": 0.01},
        trusted=trusted,
        note=f"router {router}: {RESIDUALS}{'' if trusted else FEW}",
    )


REFITS = [
    _refit("S-Base", -0.082, -0.108, 0.009, 1.104, 1.847, 314.478, 110, 0.0796, 0.036, 2.7441),
    _refit("RL-R", -0.083, -0.126, 0.012, 1.111, 1.880, 469.982, 240, 0.0797, 0.030, 2.7465),
    _refit("Hash", -0.087, -0.136, 0.012, 1.157, 4.175, 477.741, 480, 0.0796, 0.040, 2.7301, trusted=False),
]
