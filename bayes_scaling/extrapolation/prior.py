"""What is known of a curve before it is measured: priors by kind of curve, learned from other curves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from bayes_scaling.errors import InputError

#: The order of hyper-parameters and slope in arrays; `state_space.py` says what each is (and is not imported here: it starts JAX).
NAMES = ("floor", "noise", "wander", "swing", "memory", "plateau", "offset", "noise_ahead", "swing_ahead", "slope")
LAWS = ("floor", "plateau and floor")


@dataclass(frozen=True)
class CurvePrior:
    """Normal priors of the hyper-parameters under either law, and the probability of each law.

    Parameters
    ----------
    kind : what curves it is for
    mean, sd : shape (law, name), in the order of `LAWS` and `NAMES`
    weight : prior probability of each law, shape (law,)
    note : what it was learned from
    """

    kind: str
    mean: np.ndarray
    sd: np.ndarray
    weight: np.ndarray
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        laws = {
            law: {
                "weight": float(self.weight[at]),
                "mean": dict(zip(NAMES, np.round(self.mean[at], 4).tolist(), strict=True)),
                "sd": dict(zip(NAMES, np.round(self.sd[at], 4).tolist(), strict=True)),
            }
            for at, law in enumerate(LAWS)
        }
        return {"note": self.note, "laws": laws}

    @classmethod
    def from_dict(cls, kind: str, value: Mapping[str, Any]) -> CurvePrior:
        laws = [value["laws"][law] for law in LAWS]
        mean, sd = (np.array([[law[part][name] for name in NAMES] for law in laws]) for part in ("mean", "sd"))
        return cls(kind, mean, sd, np.array([law["weight"] for law in laws]), value.get("note", ""))


@cache
def known_priors() -> dict[str, CurvePrior]:
    """Return the priors that come with the package, by kind; ``generic`` is for a curve of no known kind."""
    text = resources.files("bayes_scaling").joinpath("data/curve_priors.json").read_text("utf-8")
    return {kind: CurvePrior.from_dict(kind, value) for kind, value in json.loads(text).items()}


def prior_for(kind: str | CurvePrior) -> CurvePrior:
    """Return a prior by name.

    Raises
    ------
    InputError
        for an unknown kind; it names the known ones
    """
    if isinstance(kind, CurvePrior):
        return kind
    priors = known_priors()
    if kind not in priors:
        raise InputError(f"unknown kind of curve '{kind}'; known: {', '.join(priors)}")
    return priors[kind]


def weak_prior() -> CurvePrior:
    """Return the prior that learning starts from: set by hand, wide, the same for every kind and law.

    A curve loses 10 % to 95 % of its smallest value at most (floor); single points scatter by 0.02 % to 8 %; slopes change by 0.01 to 0.3
    (90 % each), and are forgotten over a factor of 1.5 to 10 in x.
    """
    values = {
        "floor": (0.0, 1.7), "noise": (-5.3, 1.5), "wander": (-4.6, 1.2), "swing": (-3.0, 1.2), "memory": (0.0, 0.5),
        "plateau": (-2.0, 2.5),
        "offset": (0.0, 0.03), "noise_ahead": (0.0, 0.7), "swing_ahead": (0.0, 0.5), "slope": (0.3, 0.3),
    }  # fmt: skip
    rows = (np.array([[values[name][part] for name in NAMES]] * len(LAWS)) for part in (0, 1))
    return CurvePrior("weak", *rows, weight=np.full(len(LAWS), 1 / len(LAWS)), note="set by hand")
