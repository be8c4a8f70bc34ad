"""Shared fixtures. Tests write to no cache but one of the session's own, and find the shared data through one fixture."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Before anything starts jax: programs that other versions of the code left in the user's cache must not decide a test. CI may set it.
if "BAYES_SCALING_CACHE" not in os.environ:  # pytest-xdist's workers inherit the folder that the first process made
    os.environ["BAYES_SCALING_CACHE"] = tempfile.mkdtemp(prefix="bayes-scaling-tests-")
    atexit.register(shutil.rmtree, os.environ["BAYES_SCALING_CACHE"], ignore_errors=True)
os.environ.setdefault("MPLBACKEND", "agg")
# Workers that share cores wait for each other's threads: each keeps to its own, and so does what its tests start.
if "PYTEST_XDIST_WORKER" in os.environ and hasattr(os, "sched_setaffinity"):
    _cores, _workers = sorted(os.sched_getaffinity(0)), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    _own = _cores[int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")) % len(_cores) :: _workers]
    os.sched_setaffinity(0, _own)
# Most of what the tests compile runs once. The sampler's own programs choose their level themselves, and are compiled as for a user.
os.environ["XLA_FLAGS"] = f"--xla_backend_optimization_level=0 {os.environ.get('XLA_FLAGS', '')}".strip()

import bayes_scaling as bs

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))  # the re-fits, which tests and benchmarks share

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the real runs behind published laws; it lies beside the checkout and is never committed."""
    folder = SHARED / "data"
    if not folder.is_dir():
        if SHARED.exists():
            pytest.fail(f"{SHARED.name}/ is beside the checkout but holds no data/: these tests must not be skipped")
        pytest.skip("the shared data folder is not beside the checkout")
    return folder


@pytest.fixture(scope="session")
def chinchilla_runs(shared_data: Path) -> bs.Runs:
    """The 240 runs of Besiroglu et al. 2024."""
    return bs.read_runs(shared_data / "chinchilla_epoch.csv", where="kept_in_besiroglu_fit == 1")


@pytest.fixture(scope="session")
def chinchilla_fit(chinchilla_runs: bs.Runs) -> bs.Fit:
    return bs.fit("chinchilla", chinchilla_runs, seed=0)


@pytest.fixture(scope="session")
def ladder_runs() -> bs.Runs:
    return bs.read_runs("ladder")


@pytest.fixture(scope="session")
def ladder_fit(ladder_runs: bs.Runs) -> bs.Fit:
    return bs.fit("chinchilla", ladder_runs, seed=0)


def simulated_runs(published: str = "besiroglu", n: int = 60, scatter: float = 0.005, seed: int = 0, law: str = "chinchilla") -> bs.Runs:
    """Runs of a published set on a grid off the frontier, with normal scatter of ln loss."""
    rng = np.random.default_rng(seed)
    params = 10 ** rng.uniform(7.5, 10, n)
    tokens = params * 10 ** rng.uniform(0.3, 2.3, n)
    found = bs.get_law(law)
    loss = found.predict({"params": params, "tokens": tokens}, found.published[published].values) * np.exp(scatter * rng.normal(size=n))
    return bs.runs_from_columns({"params": params, "tokens": tokens, "loss": loss})


@pytest.fixture(scope="session")
def small_fit() -> bs.Fit:
    """A fit to 60 simulated runs."""
    return bs.fit("chinchilla", simulated_runs(), draws=500)


@pytest.fixture
def run(capsys: pytest.CaptureFixture):
    """Run the command in this process; return (exit code, stdout, stderr)."""

    from bayes_scaling import cli

    def run(*arguments):
        try:
            code = cli.main(list(map(str, arguments)))
        except SystemExit as leaving:
            code = leaving.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory, small_fit: bs.Fit) -> Path:
    """The file of that fit."""
    path = tmp_path_factory.mktemp("fits") / "fit.nc"
    small_fit.save(path)
    return path


_ANY_FLOOR = dict([bs.parse_prior("E=Uniform(0, 10)")])  # one object: programs are kept by it


def floor_only(alpha: float) -> dict[str, Any]:
    """Arguments of a fit in which only E is free and the scatter known, so that everything has a closed form; alpha is held as well."""
    law = bs.get_law("chinchilla")
    truth = {name: float(value) for name, value in law.sampled(law.published["besiroglu"].values).items()}
    fixed = {**{name: value for name, value in truth.items() if name != "E"}, "sigma": 0.0, "alpha": alpha}
    return {"law": law, "noise": "known-se", "fix": fixed, "priors": _ANY_FLOOR, "draws": 2000}


def floor_fit(runs: bs.Runs, alpha: float) -> tuple[bs.Fit, dict[str, float]]:
    """The fit, and what is held."""
    arguments = floor_only(alpha)
    return bs.fit(runs=runs, **arguments), arguments["fix"]
