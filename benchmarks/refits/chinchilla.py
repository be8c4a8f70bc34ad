"""Chinchilla's own runs, as Besiroglu et al. 2024 read them off a figure, and the OLMo ladder (Bhagia et al. 2024)."""

from refits import Compare, Refit

BESIROGLU = "Besiroglu et al. 2024, table 1"
REFITS = [
    Refit(
        law="chinchilla",
        data="chinchilla_epoch.csv",
        read={"where": "kept_in_besiroglu_fit == 1"},
        # Their point fit has Laplace noise; robust Student-t noise moves the optimum little.
        compare=(
            Compare("E", 1.8172, 0.03, BESIROGLU),
            Compare("alpha", 0.3478, 0.02, BESIROGLU),
            Compare("beta", 0.3658, 0.02, BESIROGLU),
        ),
        given={"compute": 5.76e23},
    ),
    Refit(
        law="chinchilla",
        data="olmo_ladder_final_metrics.csv",
        read={"where": "metric == 'eval/c4_en-validation/CrossEntropyLoss' and params > 0", "map": {"loss": "value"}},
        given={"compute": 1e22},
        note="24 runs of 4 sizes (non-embedding params) at 10 to 200 tokens a param, two seeds at 20; loss on C4. Published are task "
        "losses, so there is nothing to compare with.",
    ),
]
