"""Other people's ways to the same answer: samplers on the same posterior, and the field's tools for the same law and runs.

Each takes runs and a seed, and returns `Found`. What a tool compiles for one set of runs it may keep for the next, as its users can.
"""

# pyright: reportMissingImports=false
# (the peers come with an extra that development does without)

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import numpy as np

import bayes_scaling as bs
from bayes_scaling.model import build_model

CHAINS, DRAWS = 4, 1000
BUDGET = 5.76e23  # Gopher's, at which the optimum is asked
RESAMPLES = 200


@dataclass(frozen=True)
class Found:
    """Coefficients of Chinchilla's law, of any shape over draws; ``chains`` (chain, draw) by sampled site, of samplers; none of a point."""

    draws: Mapping[str, np.ndarray]
    chains: Mapping[str, np.ndarray] | None = None

    @property
    def optimum(self) -> np.ndarray:
        """Compute-optimal params at the budget, by the closed form (Hoffmann et al. 2022, equation 4), of each draw."""
        d = {name: np.ravel(values) for name, values in self.draws.items()}
        scale = (d["alpha"] * d["A"] / (d["beta"] * d["B"])) ** (1 / (d["alpha"] + d["beta"]))
        return scale * (BUDGET / 6) ** (d["beta"] / (d["alpha"] + d["beta"]))


def ours(runs: bs.Runs, seed: int) -> Found:
    """bayes-scaling."""
    fit = bs.fit("chinchilla", runs, seed=seed, draws=DRAWS)
    found = fit.parameters()
    return Found(found, {name: found[name] for name in (*fit.law.parameter_names, *fit.noise.parameter_names)})


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


def _of_sites(sites: Mapping[str, np.ndarray]) -> Found:
    law, noise = _model()
    return Found(sites, {name: np.asarray(sites[name]) for name in (*law.parameter_names, *noise.parameter_names)})


@cache
def _model() -> tuple[bs.Law, Any]:
    from bayes_scaling.noise import noise_of

    law = bs.get_law("chinchilla")
    return law, noise_of(law)


def numpyro_run(runs: bs.Runs, seed: int) -> Found:
    """``MCMC.run`` of numpyro: NUTS, dense mass matrix, 500 iterations of warm-up."""
    return _of_sites(mcmc_run(*_model(), runs, seed=seed, warmup=500, draws=DRAWS))


@cache
def _potential() -> tuple[Callable, Callable, Any]:
    """Return the potential of numpyro's model in its unconstrained coordinates, what turns those into sites, and a first place."""
    from numpyro.infer.util import constrain_fn, initialize_model, potential_energy

    law, noise = _model()
    model = build_model(law, noise)
    columns = {name: np.ones(2) for name in noise.columns(law)}
    begin = initialize_model(jax.random.PRNGKey(0), model, model_args=(columns,)).param_info.z

    def potential(z: Any, columns: Any) -> Any:
        return potential_energy(model, (columns,), {}, z)

    def constrain(z: Any, columns: Any) -> Any:
        return constrain_fn(model, (columns,), {}, z, return_deterministic=True)

    return potential, constrain, {name: np.zeros(()) for name in begin}


def _scattered(begin: Mapping[str, Any], shape: tuple[int, ...], seed: int) -> dict[str, np.ndarray]:
    """Return starts about the prior's medians: coordinates are logarithms (of nu - 1, for the degrees of freedom)."""
    middle = {"E": 0.4, "A_ref": -1.2, "B_ref": -1.2, "alpha": -1.2, "beta": -1.2, "sigma": -4.6, "nu": 3.0}
    rng = np.random.default_rng(seed)
    return {name: middle[name] + 0.1 * rng.standard_normal(shape) for name in begin}


@cache
def _blackjax_program(warmup: int) -> Callable:
    import blackjax

    potential, constrain, _ = _potential()

    @jax.jit
    def run(key: Any, starts: Any, columns: Any) -> Any:
        def density(z: Any) -> Any:
            return -potential(z, columns)

        def chain(key: Any, start: Any) -> Any:
            warm_key, draw_key = jax.random.split(key)
            warm = blackjax.window_adaptation(blackjax.nuts, density, is_mass_matrix_diagonal=False, target_acceptance_rate=0.85)
            (state, found), _ = warm.run(warm_key, start, num_steps=warmup)
            step = blackjax.nuts(density, **found).step

            def one(state: Any, key: Any) -> Any:
                state, _ = step(key, state)
                return state, state.position

            return jax.lax.scan(one, state, jax.random.split(draw_key, DRAWS))[1]

        places = jax.vmap(chain)(jax.random.split(key, CHAINS), starts)
        return jax.vmap(jax.vmap(lambda z: constrain(z, columns)))(places)

    return run


def blackjax_nuts(runs: bs.Runs, seed: int) -> Found:
    """blackjax: NUTS with its window adaptation (dense, 1000 iterations), one compiled program, kept for runs of one number."""
    law, noise = _model()
    with jax.enable_x64(True):
        starts = _scattered(_potential()[2], (CHAINS,), seed)
        return _of_sites(_blackjax_program(1000)(jax.random.PRNGKey(seed), starts, runs.model_columns(noise.columns(law))))


@cache
def _emcee_density() -> tuple[Callable, Callable]:
    potential, constrain, begin = _potential()
    names = sorted(begin)

    def of(z: Any) -> dict[str, Any]:
        return {name: z[i] for i, name in enumerate(names)}

    density = jax.jit(jax.vmap(lambda z, columns: -potential(of(z), columns), (0, None)))
    sites = jax.jit(jax.vmap(lambda z, columns: constrain(of(z), columns), (0, None)))
    return density, sites


def emcee_walk(runs: bs.Runs, seed: int, walkers: int = 32, burn: int = 3000, steps: int = 5000) -> Found:
    """emcee: stretch moves and differential evolution of 32 walkers, 5000 steps after 3000, the density compiled and vectorised."""
    import emcee

    law, noise = _model()
    with jax.enable_x64(True):
        begin, columns = _potential()[2], runs.model_columns(noise.columns(law))
        starts = _scattered(begin, (walkers,), seed)
        density, sites = _emcee_density()
        np.random.seed(seed)  # emcee has no generator of its own
        moves = [(emcee.moves.DEMove(), 0.8), (emcee.moves.DESnookerMove(), 0.2)]
        walk = emcee.EnsembleSampler(
            walkers, len(begin), lambda z: np.nan_to_num(np.asarray(density(z, columns)), nan=-np.inf), vectorize=True, moves=moves
        )
        walk.run_mcmc(np.stack([starts[name] for name in sorted(begin)], axis=-1), burn + steps)
        chain = np.swapaxes(walk.get_chain(discard=burn, thin=5), 0, 1)  # (walker, step, coordinate)
        found = sites(chain.reshape(-1, chain.shape[-1]), columns)
        return _of_sites({name: np.asarray(values).reshape(chain.shape[:2]) for name, values in found.items()})


@cache
def _nutpie_model(size: int) -> Any:
    import nutpie
    import pymc as pm

    law, noise = _model()
    priors = {item.name: item.prior for item in (*law.parameters, *noise.parameters)}
    references = {term.coefficient: term.reference for term in law.terms}
    with pm.Model() as model:
        for name in ("params", "tokens", "loss"):
            pm.Data(name, np.full(size, 2.0))
        p = {name: pm.LogNormal(name, float(prior.loc), float(prior.scale)) for name, prior in priors.items() if name != "nu"}
        degrees: Any = priors["nu"]
        above = pm.Gamma("above", float(degrees.concentration), float(degrees.rate))
        nu = pm.Deterministic("nu", float(degrees.low) + above)
        terms = [
            p[c] * pm.math.exp(-p[exponent] * pm.math.log(model[column] / references[c]))
            for c, exponent, column in (("A_ref", "alpha", "params"), ("B_ref", "beta", "tokens"))
        ]
        pm.StudentT("y", nu=nu, mu=pm.math.log(p["E"] + terms[0] + terms[1]), sigma=p["sigma"], observed=pm.math.log(model["loss"]))
    return nutpie.compile_pymc_model(model)


def nutpie_pymc(runs: bs.Runs, seed: int) -> Found:
    """PyMC's model, sampled by nutpie (numba), with its own adaptation of 1000 iterations; compiled once, as `with_data` allows."""
    import nutpie

    law, noise = _model()
    model = _nutpie_model(len(runs)).with_data(**{name: runs[name] for name in ("params", "tokens", "loss")})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = nutpie.sample(model, draws=DRAWS, tune=1000, chains=CHAINS, seed=seed, progress_bar=False)
    sites = {name: np.asarray(found.posterior[name]) for name in (*law.parameter_names, *noise.parameter_names)}
    return _of_sites({name: np.asarray(values) for name, values in {**law.complete(sites), **sites}.items()})


def huber_bootstrap(runs: bs.Runs, seed: int, starts: int = 32, **tolerances: float) -> Found:
    """L-BFGS with Huber loss (delta 0.001) on ln loss, as Hoffmann et al. 2022 and Besiroglu et al. 2024; 200 resamples of the runs.

    So small a delta makes small gradients, at which scipy's default tolerances stop: resamples stay where the fit of all runs began them.
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    rng = np.random.default_rng(seed)
    n, d, y = (np.log(runs[name]) for name in ("params", "tokens", "loss"))

    def fitted(start: np.ndarray, of: np.ndarray) -> Any:
        def value(x: np.ndarray) -> tuple[float, np.ndarray]:
            parts = np.stack([x[0] - x[3] * n[of], x[1] - x[4] * d[of], np.full(len(of), x[2])])
            curve = logsumexp(parts, axis=0)
            off = curve - y[of]
            pull, shares = np.clip(off, -1e-3, 1e-3), np.exp(parts - curve)
            loss = np.where(np.abs(off) < 1e-3, off**2 / 2, 1e-3 * (np.abs(off) - 5e-4)).sum()
            a, b, e = (shares * pull).sum(axis=1)
            return loss, np.array([a, b, e, -(shares[0] * pull * n[of]).sum(), -(shares[1] * pull * d[of]).sum()])

        return minimize(value, start, jac=True, method="L-BFGS-B", options={"maxiter": 5000, "maxfun": 5000, **tolerances})

    every = np.arange(len(y))
    # The grid of Hoffmann et al. (a, b, e, alpha, beta), of which so many places are drawn.
    grid = [rng.choice(values, starts) for values in ([0, 5, 10, 15, 20, 25], [0, 5, 10, 15, 20, 25], [-1, -0.5, 0, 0.5, 1])]
    grid += [rng.choice([0, 0.5, 1, 1.5, 2], starts) for _ in range(2)]
    best = min((fitted(start, every) for start in np.array(grid, float).T), key=lambda found: found.fun)
    again = np.array([fitted(best.x, rng.integers(len(y), size=len(y))).x for _ in range(RESAMPLES)])
    a, b, e, alpha, beta = again.T
    return Found({"A": np.exp(a), "B": np.exp(b), "E": np.exp(e), "alpha": alpha, "beta": beta})


def chinchilla_package(runs: bs.Runs, seed: int) -> Found:
    """`chinchilla`: BFGS in extended precision from 32 starts, its Huber loss on ln loss; a point."""
    from chinchilla import Chinchilla
    from chinchilla._metrics import log_huber

    grid = {"e": [0, 1], "a": [5, 10], "b": [5, 10], "alpha": [0.3, 0.6], "beta": [0.3, 0.6]}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        logging.disable(logging.CRITICAL)
        tool = Chinchilla(
            os.path.join(folder, "p"), param_grid={name: np.array(values, float) for name, values in grid.items()},
            loss_fn=lambda y, found: log_huber(y, found, 1e-3), log_level=50,
        )  # fmt: skip
        for n, d, loss in zip(runs["params"], runs["tokens"], runs["loss"], strict=True):
            tool.database.append(C=6 * n * d, N=n, D=d, loss=loss)
        tool.fit()
        logging.disable(logging.NOTSET)
    return Found({name: np.array([float(tool.params[name])]) for name in ("E", "A", "B", "alpha", "beta")})


def simple_scaling_laws(runs: bs.Runs, seed: int) -> Found:
    """`simple-scaling-laws`: separable least squares on loss, wild bootstrap of 1000."""
    import polars
    import simple_scaling_laws as tool

    frame = polars.DataFrame(
        {
            "training_run_id": [f"run {i}" for i in range(len(runs))],
            "model_size__params": runs["params"],
            "dataset_size__tokens": runs["tokens"],
            "test_loss__cross_entropy": runs["loss"],
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = tool.fit(frame, n_draws=1000, seed=seed)
    values = dict(zip(model.law.param_names, np.asarray(model.draws["test_loss__cross_entropy"].params).T, strict=True))
    # Its coefficients belong to inputs divided by a reference.
    domain = model.observed_domain
    for coefficient, exponent, column in (("A", "alpha", "model_size__params"), ("B", "beta", "dataset_size__tokens")):
        values[coefficient] = values[coefficient] * domain[column]["reference"] ** values[exponent]
    return Found(values)


TOOLS: dict[str, tuple[Callable[[bs.Runs, int], Found], str]] = {
    "bayes-scaling": (ours, "bayes_scaling"),
    "numpyro MCMC.run": (numpyro_run, "numpyro"),
    "PyMC + nutpie": (nutpie_pymc, "nutpie"),
    "blackjax.nuts": (blackjax_nuts, "blackjax"),
    "emcee": (emcee_walk, "emcee"),
    "L-BFGS, as it comes": (huber_bootstrap, "scipy"),
    "L-BFGS to the end": (partial(huber_bootstrap, gtol=1e-12, ftol=1e-15), "scipy"),
    "chinchilla": (chinchilla_package, "chinchilla"),
    "simple-scaling-laws": (simple_scaling_laws, "simple_scaling_laws"),
}
