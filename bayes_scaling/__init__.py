"""Bayesian fits of neural scaling laws, and what they say about how to spend compute."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Everything is imported on first use: `import bayes_scaling` starts neither JAX nor arviz, matplotlib or pandas.
_HOME = {
    "allocate": "allocation",
    "allocate_target": "allocation",
    "Plan": "allocation",
    "regret": "allocation",
    "Cost": "cost",
    "Diagnosis": "diagnose",
    "Problem": "diagnose",
    "BayesScalingError": "errors",
    "DeviceError": "errors",
    "FileError": "errors",
    "InputError": "errors",
    "LawError": "errors",
    "Fit": "fitting",
    "fit": "fitting",
    "load_fit": "storage",
    "save_fit": "storage",
    "Check": "law",
    "Input": "law",
    "Law": "law",
    "Parameter": "law",
    "Published": "law",
    "get_law": "law",
    "law_names": "law",
    "build_model": "model",
    "parse_prior": "model",
    "maximum_likelihood": "point",
    "predict": "prediction",
    "Runs": "runs",
    "read_runs": "runs",
    "runs_from_columns": "runs",
}
_MODULES = ("plot", "datasets", "noise", "units", "models", "engine")

__all__ = ["__version__", *_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"bayes_scaling.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"bayes_scaling.{name}")
    raise AttributeError(f"module 'bayes_scaling' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from bayes_scaling.allocation import Plan, allocate, allocate_target, regret
    from bayes_scaling.cost import Cost
    from bayes_scaling.diagnose import Diagnosis, Problem
    from bayes_scaling.errors import BayesScalingError, DeviceError, FileError, InputError, LawError
    from bayes_scaling.fitting import Fit, fit
    from bayes_scaling.law import Check, Input, Law, Parameter, Published, get_law, law_names
    from bayes_scaling.model import build_model, parse_prior
    from bayes_scaling.point import maximum_likelihood
    from bayes_scaling.prediction import predict
    from bayes_scaling.runs import Runs, read_runs, runs_from_columns
    from bayes_scaling.storage import load_fit, save_fit
