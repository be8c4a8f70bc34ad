"""Compute-optimal laws: Porian et al.'s isoFLOP runs, Gadre et al.'s over-trained models, and the runs of Li et al.'s survey."""

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import bayes_scaling as bs
from refits import Compare, Refit

PORIAN = "Porian et al. 2024, stored fit; interval 95 %"
TUNED = "source_file == 'summary_df' and hparams == 'tuned'"
REPRODUCTION = "source_file == 'summary_df' and warmup == 'long' and param_count == 'kaplan'"
FACTOR = 3.0  # sizes this far to both sides of a budget's best: further out most are models whose warm-up never ended

LI_LEAST = 10.0  # tokens per param
LI_OMEGA = 1.74e5  # (params - params_no_embed) / params_no_embed^(1/3): 1.66e5 to 1.97e5 over the models

GADRE = "Gadre et al. 2024, table 2"
ETAS = {"c4_original": 0.121, "rpj": 0.136, "rw_original": 0.127}
EPSILONS = {"c4_original": 0.850, "rpj": 0.857, "rw_original": 0.865}
C4_EVAL = "training/eval_data/c4_val/"
#: The 17 tasks of the paper: 10 points above chance for one of the 0.154B models (SUBSET of the authors' scaling/constants.py).
TASKS = (
    "bigbench_operators", "pubmed_qa_labeled", "hellaswag_zeroshot", "boolq", "arc_easy", "coqa", "bigbench_dyck_languages",
    "lambada_openai", "bigbench_novel_concepts", "winograd", "bigbench_cs_algorithms", "commonsense_qa", "bigbench_qa_wikidata",
    "hellaswag", "copa", "squad", "piqa",
)  # fmt: skip


def isoflop_runs(folder: Path, where: str) -> bs.Runs:
    """Return the runs of one configuration with sizes near each budget's best."""
    runs = bs.read_runs(folder / "porian2024_isoflop.csv", where=where, map={"compute": "flops_budget"})
    compute, params, loss = runs["compute"], runs["params"], runs["loss"]
    best = np.empty_like(params)
    for budget in np.unique(compute):
        at = compute == budget
        best[at] = params[at][np.argmin(loss[at])]
    return runs.subset(np.abs(np.log(params / best)) < np.log(FACTOR) + 1e-6)


def li_runs(folder: Path, column: str) -> bs.Runs:
    """Return the lowest loss over learning rates for each size (counted as ``column``) and number of tokens."""
    best: dict[tuple[float, float], float] = {}
    with open(folder / "li2025_misfitting_final.csv", newline="") as file:
        for row in csv.DictReader(file):
            key = float(row[column]), float(row["tokens"])
            if float(row["tokens"]) >= LI_LEAST * float(row["params"]):
                best[key] = min(best.get(key, np.inf), float(row["loss"]))
    params, tokens = np.array(list(best)).T
    return bs.runs_from_columns({"params": params, "tokens": tokens, "loss": list(best.values())}, source="li2025_misfitting_final.csv")


def gadre_runs(
    folder: Path, trained_on: str = "", fitted: bool = False, large: bool = False, least: float = 0.0, tasks: Sequence[str] = TASKS
) -> bs.Runs:
    """Return models with their loss on C4 and their mean error over tasks (none given: all 46), grouped by training set.

    Parameters
    ----------
    trained_on : one training set; all by default
    fitted, large : only the five runs that the paper's loss is fitted to; with the 1.4B model, the six of its errors
    least : least tokens per param
    """
    errors = defaultdict(list)
    with open(folder / "gadre2024_downstream_accuracy.csv", newline="") as file:
        for row in csv.DictReader(file):
            if not tasks or row["task"] in tasks:
                errors[row["name"]].append(1 - float(row["accuracy"]))
    columns = defaultdict(list)
    with open(folder / "gadre2024_overtraining_loss.csv", newline="") as file:
        for row in csv.DictReader(file):
            params, multiple = float(row["params"]), float(row["token_multiplier_over_20"])
            in_paper = (multiple == 1 and params < (2e9 if large else 1e9)) or (multiple == 16 and params < 2e7)
            if (
                row["eval_set"].startswith(C4_EVAL)
                and trained_on in ("", row["train_dataset"])
                and (in_paper or not fitted)
                and 20 * multiple >= least
            ):
                columns["params"].append(params)
                columns["tokens"].append(float(row["tokens"]))
                columns["loss"].append(float(row["loss"]))
                columns["error"].append(float(np.mean(errors[row["name"]])))
                columns["group"].append(row["train_dataset"])
    return bs.runs_from_columns(columns, source="gadre2024_overtraining_loss.csv")


REFITS = [
    Refit(
        law="isoflop",
        data="porian2024_isoflop.csv",
        label="tuned",
        prepare=lambda folder: isoflop_runs(folder, TUNED),
        compare=(Compare("a", 0.4969, 0.015, f"{PORIAN} (0.491, 0.505)"),),
        given={"compute": 1e20},
        note="RefinedWeb, tuned, constant learning rate; theirs are minima by interpolation, weighted, and a line. Steeper towards large "
        "models (q = 1.0) than any law of N and D alone: (1 - a) q is five times gamma, where Chinchilla has them equal",
    ),
    Refit(
        law="isoflop",
        data="porian2024_isoflop.csv",
        label="kaplan_reproduced",
        prepare=lambda folder: isoflop_runs(folder, REPRODUCTION),
        compare=(Compare("a", 0.8353, 0.03, f"{PORIAN} (0.824, 0.846)"),),
        given={"compute": 1e20},
        note="RefinedWeb, Kaplan et al. reproduced: sizes without embeddings and head, long warm-up",
    ),
    Refit(
        law="frontier",
        data="porian2024_optima.csv",
        read={"where": TUNED, "map": {"compute": "flops_budget", "params": "params_opt"}},
        compare=(Compare("a", 0.4969, 0.01, f"{PORIAN} (0.491, 0.505)"),),
        given={"compute": 1e20},
        note="RefinedWeb, tuned; their line is weighted by bootstrap errors, this one is not",
    ),
    Refit(
        law="chinchilla",
        data="li2025_misfitting_final.csv",
        prepare=lambda folder: li_runs(folder, "params"),
        given={"compute": 1e20},
        note=f"no published values; lowest loss over learning rates, runs of at least {LI_LEAST:g} tokens a param: shorter ones, of some "
        "hundred steps, lie above any such law and pull beta up",
    ),
    Refit(
        law="kaplan_chinchilla",
        data="li2025_misfitting_final.csv",
        prepare=lambda folder: li_runs(folder, "params_no_embed"),
        options={"fix": {"omega": LI_OMEGA}},
        given={"compute": 1e20},
        note="no published values; omega held at what the two counts of the table say: the losses alone cannot tell it from alpha and E",
    ),
    Refit(
        law="overtraining",
        data="gadre2024_overtraining_loss.csv",
        label="c4",
        prepare=lambda folder: gadre_runs(folder, "c4_original", fitted=True, large=True),
        options={"noise": "normal", "fix": {"sigma": 0.02}, "draws": 2000},
        compare=(
            Compare("E", 1.51, 0.2, f"{GADRE}, C4"),
            Compare("eta", 0.121, 0.015, f"{GADRE}, C4"),
        ),
        given={"compute": 2.352e20, "tokens_per_param": 640},
        note="the paper's own five runs and its 1.4B one, without which four parameters cannot be judged. Normal scatter as in their least "
        "squares, held at what its residuals say (0.009 nat, 5 runs less 4 parameters); the published values have no uncertainty",
    ),
    Refit(
        law="overtraining",
        data="gadre2024_overtraining_loss.csv",
        label="each_set",
        prepare=lambda folder: gadre_runs(folder, least=20),
        options={"grouped": True},
        compare=tuple(Compare(f"eta[{label}]", eta, 0.02, f"{GADRE}, from five runs") for label, eta in ETAS.items()),
        note="all models of at least 20 tokens a param, a law for each training set; those at 5 lie up to 0.7 nat above, and are no "
        "over-training",
    ),
    Refit(
        law="overtraining_error",
        data="gadre2024_downstream_accuracy.csv",
        label="c4",
        prepare=lambda folder: gadre_runs(folder, "c4_original", fitted=True, large=True),
        compare=(
            Compare("epsilon", 0.850, 0.05, f"{GADRE}, C4, 17 tasks"),
            Compare("gamma", 0.756, 0.3, f"{GADRE}, C4, 17 tasks"),
        ),
        given={"loss": 2.5, "target": 0.5},
        note="the paper's own six runs; least squares there",
    ),
    Refit(
        law="overtraining_error",
        data="gadre2024_downstream_accuracy.csv",
        label="each_set",
        prepare=gadre_runs,
        options={"grouped": True},
        compare=tuple(Compare(f"epsilon[{label}]", value, 0.04, f"{GADRE}, 17 tasks, six runs") for label, value in EPSILONS.items()),
        note="all 104 models, a curve for each training set",
    ),
]
