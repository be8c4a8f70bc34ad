"""Training in low precision (QuEST, Panferov et al. 2025) and parallel streams (ParScale, Chen et al. 2025): the authors' runs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

import bayes_scaling as bs
from refits import Compare, Refit

RUNS = "precision_qat_quest2025.csv"
COLUMNS = {"params": "n_params_non_embedding", "tokens": "tokens", "loss": "final_val_loss"}
QUEST = "Panferov et al. 2025, printed output of the authors' notebook; tolerance: half the posterior's 90 % interval, rounded up"
#: The authors' multipliers, and half the width of this posterior's 90 % intervals.
MAIN = {1: (0.0205, 0.004), 2: (0.1519, 0.014), 3: (0.4331, 0.03), 4: (0.6918, 0.04), 8: (1.0162, 0.09)}
NO_HADAMARD = {1: (0.0156, 0.004), 2: (0.0784, 0.01), 3: (0.3221, 0.03), 4: (0.6033, 0.05), 8: (0.9376, 0.1)}
WEIGHT_ONLY = {1: (0.1384, 0.02), 2: (0.4137, 0.04), 3: (0.6531, 0.06), 4: (0.8404, 0.08)}
SHARED = dict.fromkeys(("A_ref", "B_ref", "alpha"), "shared")
BARELY = (
    "A, alpha and E are told apart by little but E >= 0: tokens per param are 25, 50 or 100, and the likelihood still rises as E falls "
    "below zero. Held at -1, 0 and 0.5 it gives alpha 0.046, 0.063 and 0.077 with residuals of 0.34, 0.35 and 0.39 %: the best size and "
    "tokens at other computes are extrapolated from next to nothing."
)
#: The authors' floor, at its bound, and their exponent of tokens.
HELD = {"E": 0.00142, "beta": 0.2413}
TOGETHER = (
    "E and beta are held at the authors' values: with both free chains do not converge (E wanders near zero; A and B lie along a narrow "
    "bend), and multipliers do not depend on them: their intervals are the same to 0.001 at one bit. This group's runs have "
    "one ratio of tokens to params: what that leaves open, the loss law, the main group tells."
)


def _with(method: str) -> Callable[[Path], bs.Runs]:
    """Return how the main group and another method are read as two groups. Unquantised runs have no multiplier: any group can take them."""

    def prepare(folder: Path) -> bs.Runs:
        where = " or ".join(f"fit_group == '{name}'" for name in ("quest", "bf16", method))
        runs = bs.read_runs(folder / RUNS, where=where, map={**COLUMNS, "bits": "w_bits", "group": "fit_group"})
        assert runs.group is not None  # the map names the column
        return replace(runs, group=np.where(runs.group == "bf16", "quest", runs.group))

    return prepare


def _compare(levels, group=""):
    return tuple(Compare(f"eff_{level}{group}", published, tolerance, QUEST) for level, (published, tolerance) in levels.items())


#: Kumar's form: weights alone tell gamma_w from gamma_a. The KV cache was not quantised, and any gamma of it would do.
PARTS = "fit_group == 'quest' or fit_group == 'bf16' or fit_group == 'weight_only'"
BITS = {**COLUMNS, "weight_bits": "w_bits", "activation_bits": "a_bits"}
KV = {"fix": {"gamma_kv": 0.9578}}
KUMAR = "Kumar et al. 2024, table 2, of another quantiser: equality is not to be expected, and 1 bit is all that is asked for"

CHEN = "re-fit with the objective of Chen et al. 2025 (Huber loss on ln L) of the same runs"
STREAMS = {"params": "n_params_non_embedding", "streams": "parallel_streams", "loss": "loss", "group": "corpus"}
CORPORA = {"pile": (1.2886, 0.1963, 0.3345), "stack_v2_python": (0.6915, 0.1895, 0.3934)}
#: Half of the posterior's 90 % intervals, rounded up.
STREAM_TOLERANCES = {"E": 0.15, "alpha": 0.05, "k": 0.03}
STREAM_VALUES = tuple(
    Compare(f"{name}[{corpus}]", value, tolerance, CHEN)
    for corpus, values in CORPORA.items()
    for (name, tolerance), value in zip(STREAM_TOLERANCES.items(), values, strict=True)
)

REFITS = [
    Refit(
        law="precision:multipliers",
        data=RUNS,
        label="quest",
        read={"where": "fit_group == 'quest' or fit_group == 'bf16'", "map": {**COLUMNS, "bits": "w_bits"}},
        compare=_compare(MAIN),
        given={"compute": 1e20},
        note=f"{BARELY} The multipliers hardly depend on it (eff of 1 bit 0.0204, 0.0201, 0.0203): those are what the runs tell. 8 bits "
        "are worth 1.01 [0.93, 1.09]: as much as 16, and not known to be worth more.",
    ),
    Refit(
        law="precision:multipliers",
        data=RUNS,
        label="no_hadamard",
        prepare=_with("no_hadamard"),
        options={"fix": HELD, "pool": SHARED},
        compare=_compare(NO_HADAMARD, "[no_hadamard]"),
        note=f"With the main group: one loss law, multipliers of their own. {TOGETHER}",
    ),
    Refit(
        law="precision:multipliers",
        data=RUNS,
        label="weight_only",
        prepare=_with("weight_only"),
        options={"fix": HELD, "pool": {**SHARED, "eff_8": "shared"}},
        compare=_compare(WEIGHT_ONLY, "[weight_only]"),
        note=f"With the main group as well; 8 bits were not run with weights alone, and eff_8 is that of the main group. {TOGETHER}",
    ),
    Refit(
        law="precision",
        data=RUNS,
        label="from_3_bits",
        read={"where": f"({PARTS}) and w_bits >= 3", "map": BITS},
        options=KV,
        compare=(Compare("gamma_w", 2.6745, 1.0, KUMAR), Compare("gamma_a", 2.2102, 1.0, KUMAR)),
        given={"compute": 1e20},
        note="Kumar's form where the paper has it, from 3 bits on: gamma_w 3.08 [2.62, 3.62], gamma_a 2.58 [2.27, 2.91]. Residuals of "
        "0.5 % have a pattern: 4 bits are worth more than the form allows, 3 and 16 less.",
    ),
    Refit(
        law="precision",
        data=RUNS,
        label="all_bits",
        read={"where": PARTS, "map": BITS},
        options=KV,
        trusted=False,
        note="With 1 and 2 bits, where the form does not hold: residuals grow from 0.5 to 1.4 % (0.35 % with free multipliers) and go with "
        "tokens per param, whose exponent beta stays at its prior. Offsets do not help: the best are zero.",
    ),
    Refit(
        law="parallel_scaling",
        data="parscale_chen2025.csv",
        read={"map": STREAMS},
        options={"grouped": True},
        compare=STREAM_VALUES,
        note="Both corpora, 24 runs each. Residuals are smooth in size and streams, up to 0.6 %: the law is too low for the largest model "
        "with one stream and for the smallest with eight. Intervals are too narrow beyond the runs.",
    ),
    Refit(
        law="parallel_scaling",
        data="parscale_chen2025.csv",
        label="up_to_4_streams",
        read={"map": STREAMS, "where": "parallel_streams <= 4"},
        options={"grouped": True},
        compare=STREAM_VALUES,  # of all runs: that fewer streams tell the same is the point
        note="Without the runs of 8 streams. Of these the posterior median explains R^2 = 0.9966 (Pile) and 0.9957 (Stack), and its "
        "central 90 % hold 10 of 12; both outside are of the smallest model, which does worse than foretold.",
    ),
]
