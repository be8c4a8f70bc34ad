"""Chinchilla's own runs, as Besiroglu et al. 2024 read them off a figure."""

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
    )
]
