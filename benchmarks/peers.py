"""Samplers of others, on the same numpyro model and runs."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

import bayes_scaling as bs


def mcmc_run(
    law: bs.Law, noise: Any, runs: bs.Runs, seed: int, warmup: int, draws: int, chain_method: str = "vectorized", **kernel: Any
) -> dict[str, np.ndarray]:
    """Return draws of shape (chain, draw) by site, by numpyro's ``MCMC.run``: four chains of NUTS with a dense mass matrix, in 64 bits."""
    from numpyro.infer import MCMC, NUTS

    with jax.enable_x64(True):
        # A used kernel cannot start another MCMC.
        sampler = NUTS(bs.build_model(law, noise), dense_mass=True, **kernel)
        mcmc = MCMC(sampler, num_warmup=warmup, num_samples=draws, num_chains=4, chain_method=chain_method, progress_bar=False)
        mcmc.run(jax.random.PRNGKey(seed), runs.model_columns(noise.columns(law)))
        return {name: np.asarray(values) for name, values in mcmc.get_samples(group_by_chain=True).items()}
