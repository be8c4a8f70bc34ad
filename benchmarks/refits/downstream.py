"""From loss to accuracy: the OLMo ladder (Bhagia et al. 2024) task by task, and the open_lm models of Gadre et al. 2024."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import bayes_scaling as bs
from refits import Refit

OLMO = "olmo_ladder_final_metrics.csv"
GADRE_LOSS, GADRE_ACCURACY = "gadre2024_overtraining_loss.csv", "gadre2024_downstream_accuracy.csv"
C4 = "training/eval_data/c4_val/shard-{0000000..0000010}.tar"
#: The file leaves the size of the 3B models blank. Non-embedding params: tokens of 3B-10xC over 200 = 3.1697e9; other sizes agree with
#: that rule to 0.02 %.
PARAMS_3B = 3.1697e9


@dataclass(frozen=True)
class Task:
    """A benchmark: its parts (metric names) with their numbers of items, and the accuracy of guessing.

    Numbers of items are those of the public test (or, named so, validation) sets. Every one is confirmed by the data: it is the smallest n
    that makes all 30 (OLMo) or 104 (Gadre) accuracies whole counts out of n, and the parts of MMLU sum to its known 14042.
    """

    parts: dict[str, int]
    chance: float

    @property
    def items(self) -> int:
        return sum(self.parts.values())


#: The eight tasks of Bhagia et al. (they leave out BoolQ and WinoGrande, whose losses hardly follow size).
OLMO_TASKS = {
    "mmlu": Task({"mmlu_humanities_test": 4705, "mmlu_other_test": 3242, "mmlu_social_sciences_test": 3077, "mmlu_stem_test": 3018}, 0.25),
    "hellaswag": Task({"hellaswag_val": 10042}, 0.25),
    "arc_challenge": Task({"arc_challenge_test": 1172}, 0.25),
    "arc_easy": Task({"arc_easy_test": 2376}, 0.25),
    "piqa": Task({"piqa_val": 1838}, 0.5),
    "csqa": Task({"csqa_val": 1221}, 0.2),
    "socialiqa": Task({"socialiqa_val": 1954}, 1 / 3),
    "openbookqa": Task({"openbookqa_test": 500}, 0.25),
}
#: Tasks of Gadre et al. on which the runs below 0.5B params rise well above guessing.
GADRE_TASKS = {
    "hellaswag": Task({"hellaswag": 10042}, 0.25),
    "arc_easy": Task({"arc_easy": 2376}, 0.25),
    "piqa": Task({"piqa": 1838}, 0.5),
    "lambada_openai": Task({"lambada_openai": 5153}, 0.0),
}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def olmo(folder: Path, task: str) -> dict[str, np.ndarray]:
    """Return params, tokens, task_loss (bit/byte), accuracy and trials of a task, a value for each of the 30 runs.

    Parts are weighted by their numbers of items, as the authors do: the accuracy is that of all items together.
    """
    runs: dict[str, dict[str, float]] = defaultdict(dict)
    for row in _rows(folder / OLMO):
        runs[row["run"]] |= {
            "params": float(row["params"] or PARAMS_3B),
            "tokens": float(row["tokens"]),
            row["metric"]: float(row["value"]),
        }
    about = OLMO_TASKS[task]

    def mean(run: dict[str, float], metric: str) -> float:
        return sum(n * run[metric.format(part)] for part, n in about.parts.items()) / about.items

    return {
        **{name: np.array([run[name] for run in runs.values()]) for name in ("params", "tokens")},
        "task_loss": np.array([mean(run, "eval/downstream_bpb/{}_rc_5shot_bpb") for run in runs.values()]),
        "accuracy": np.array([mean(run, "eval/downstream/{}_rc_5shot_len_norm") for run in runs.values()]),
        "trials": np.full(len(runs), float(about.items)),
    }


def gadre(folder: Path, trained_on: str) -> dict[str, np.ndarray]:
    """Return params, tokens, loss on C4 (nat/token) and, by task, accuracies of the models of one training set.

    ``error`` is the mean error of all 46 tasks.
    """
    accuracies: dict[str, dict[str, float]] = defaultdict(dict)
    for row in _rows(folder / GADRE_ACCURACY):
        accuracies[row["name"]][row["task"]] = float(row["accuracy"])
    runs = [row for row in _rows(folder / GADRE_LOSS) if row["eval_set"] == C4 and row["train_dataset"] == trained_on]
    return {
        **{name: np.array([float(row[name]) for row in runs]) for name in ("params", "tokens", "loss")},
        **{task: np.array([accuracies[row["name"]][task] for row in runs]) for task in GADRE_TASKS},
        "error": np.array([1 - np.mean(list(accuracies[row["name"]].values())) for row in runs]),
    }


def columns_of(table: dict[str, np.ndarray], names: tuple[str, ...], where: np.ndarray | None = None) -> bs.Runs:
    """Return runs with some columns of a table."""
    where = np.ones(len(next(iter(table.values()))), bool) if where is None else where
    return bs.runs_from_columns({name: table[name][where] for name in names})


def of_task(task: str, *names: str) -> Callable[[Path], bs.Runs]:
    return lambda folder: columns_of(olmo(folder, task), names)


def gadre_task(task: str) -> Callable[[Path], bs.Runs]:
    def prepare(folder: Path) -> bs.Runs:
        table = gadre(folder, "c4_original")
        table |= {"accuracy": table[task], "trials": np.full(len(table["loss"]), float(GADRE_TASKS[task].items))}
        return columns_of(table, ("loss", "accuracy", "trials"))

    return prepare


ABOUT = "30 runs of 190M to 3B params at 10 to 200 tokens a param. Coefficients are published in figures alone"
REFITS = [
    Refit(
        law="task_ladder",
        data=OLMO,
        prepare=of_task("hellaswag", "params", "tokens", "task_loss"),
        given={"params": 7e9, "tokens": 4e12, "target": 0.66},
        note=f"HellaSwag. {ABOUT}; from runs up to 1.3B the authors predict the task losses of OLMo 2 13B with errors of 0.2 (MMLU), -1.2 "
        "(HellaSwag), 0.9 (OBQA), -2.7 (PIQA), 3.6 (SIQA), 9.4 (ARC-C), 16.0 (ARC-E) and -18.5 % (CSQA).",
        label="hellaswag",
    ),
    Refit(
        law="task_ladder:direct",
        data=OLMO,
        prepare=of_task("hellaswag", "params", "tokens", "accuracy", "trials"),
        options={"fix": {"floor": 0.25}},
        given={"params": 7e9, "tokens": 4e12, "target": 0.8},
        note=f"HellaSwag. {ABOUT}.",
        label="hellaswag",
    ),
    Refit(
        law="bounded_metric",
        data=OLMO,
        prepare=of_task("hellaswag", "task_loss", "accuracy", "trials"),
        options={"fix": {"floor": 0.25}},
        given={"task_loss": 0.66, "target": 0.8},
        note=f"HellaSwag. {ABOUT}.",
        label="hellaswag",
    ),
    Refit(
        law="bounded_metric:loss",
        data=GADRE_ACCURACY,
        prepare=gadre_task("hellaswag"),
        options={"fix": {"floor": 0.25}},
        given={"loss": 2.2, "target": 0.8},
        note="HellaSwag against the loss on C4, 34 models trained on C4.",
        label="hellaswag",
    ),
    Refit(
        law="bounded_metric:loss_skewed",
        data=GADRE_ACCURACY,
        prepare=gadre_task("piqa"),
        options={"fix": {"floor": 0.5}},
        given={"loss": 2.2, "target": 0.8},
        trusted=False,
        note="PIQA against the loss on C4, 34 models trained on C4. They stop far below the ceiling: the data hardly say anything "
        "about reach, and its prior answers for targets above those of the runs.",
        label="piqa",
    ),
]
