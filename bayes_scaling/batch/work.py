"""What a worker does: a chunk of fits, each to an outcome that can be sent and stored."""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayes_scaling.batch.plan import Chunk, Wanted, priors_of
from bayes_scaling.comparison import leave_one_out
from bayes_scaling.engine import gpu_present
from bayes_scaling.errors import BayesScalingError, DeviceError, InputError
from bayes_scaling.fitted import Fit
from bayes_scaling.fitting import fit_many
from bayes_scaling.law import get_law
from bayes_scaling.records import fit_record
from bayes_scaling.runs import Runs

OK, ATTENTION, FAILED = "ok", "attention", "failed"

_one_at_a_time = threading.Lock()  # a Dask worker may have several threads; numpyro traces in one at a time


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a fit.

    Attributes
    ----------
    record : for the summary: text and numbers
    runs : what was fitted
    attributes : of the fit, each as JSON text; empty for one that failed, or whose draws are not kept
    draws : by group of the tree, name -> array of shape (chain, draw)
    """

    record: dict[str, Any]
    runs: Runs
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    draws: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict[str, Mapping[str, np.ndarray]])

    @property
    def key(self) -> str:
        return self.record["key"]

    @property
    def status(self) -> str:
        return self.record["status"]


def work(chunk: Chunk) -> list[Outcome]:
    """Fit a chunk's fits; a fit that cannot be made fails alone, with its reason."""
    with _one_at_a_time:
        law = get_law(chunk.law)
        if law.origin_hash != chunk.law_hash:
            raise InputError(f"the law in '{chunk.law}' is not, for this worker, the one that the job was planned with")
        options = chunk.options
        given = {"noise": options.noise, "input": options.input, "fix": options.fix, "priors": priors_of(options)}
        runs = [one.runs for one in chunk.fits if one.runs is not None]
        sampler = dict(chunk.sampler)
        if sampler["device"] == "auto" and gpu_present():  # whatever the chunk's size: a fit's draws must not depend on its chunk
            sampler["device"] = "gpu"
        fits = fit_many(law, runs, **given, **sampler, lanes=chunk.lanes, errors="return")
        return [_outcome(chunk, chunk.fits[place], found) for place, found in fits]


@dataclass(frozen=True)
class Wrong:
    """What went wrong with a chunk, where it is none of a fit's own failures.

    Attributes
    ----------
    text : with the traceback
    no_device : the worker's device could not be started: it can do no other chunk
    device_failed : it failed at work: in this process it may fail at everything from now on, as a GPU does after an illegal access
    """

    text: str
    no_device: bool = False
    device_failed: bool = False


def attempt(chunk: Chunk) -> list[Outcome] | Wrong:
    """Work at a chunk; return its outcomes, or what went wrong."""
    try:
        return work(chunk)
    except DeviceError as error:
        return Wrong(str(error), no_device=True)
    except Exception as error:
        import jax

        return Wrong(
            f"{type(error).__name__}: {error}\n{traceback.format_exc()}", device_failed=isinstance(error, jax.errors.JaxRuntimeError)
        )


def failed(one: Wanted, reason: str) -> Outcome:
    """Return the outcome of a fit that could not be made."""
    assert one.runs is not None
    return Outcome({**_identity(one), "status": FAILED, "reasons": [reason]}, one.runs)


def _identity(one: Wanted) -> dict[str, Any]:
    return {"key": one.key, "law": one.law, "group": one.group, "n_runs": len(one.runs or ())}


def _outcome(chunk: Chunk, one: Wanted, found: Fit | InputError) -> Outcome:
    if isinstance(found, BayesScalingError):
        return failed(one, str(found))
    told = fit_record(found)
    record = {
        **_identity(one),
        "status": OK if found.diagnosis.ok else ATTENTION,
        "reasons": told["diagnostics"]["problems"],
        **{name: told[name] for name in ("noise", "parameters", "fixed", "timing")},
        "diagnostics": {name: told["diagnostics"][name] for name in ("divergences", "max_rhat", "min_ess")},
        "attempts": found.attributes["attempts"],
        "method": found.attributes["method"],
    }
    if chunk.loo:
        try:
            left_out = leave_one_out(found)
        except InputError as error:  # too many runs and draws: the fit is as good without
            record["reasons"] = [*record["reasons"], f"no leave-one-out scores: {error}"]
        else:
            record["loo"] = {"elpd": left_out.elpd, "se": left_out.se, "p": left_out.effective_parameters, "bad_k": len(left_out.bad)}
    if not chunk.keep_draws:
        return Outcome(record, found.runs)
    attributes = {name: json.dumps(value) for name, value in found.attributes.items()}
    return Outcome(record, found.runs, attributes, {"posterior": dict(found.sites), "sample_stats": dict(found.stats)})
