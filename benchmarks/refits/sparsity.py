"""Routed language models (Clark et al. 2022): the authors' 223 runs."""

from refits import Compare, Refit

RUNS = "clark2022_routed_final.csv"
READ = {"params": "dense_parameter_count", "experts": "num_experts", "loss": "loss_validation"}
REFITS = []
