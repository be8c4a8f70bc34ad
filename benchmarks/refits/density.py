"""Density of open models over time, on the benchmark scores that Ruan et al. 2024 collected."""

import csv
from datetime import date
from pathlib import Path

import bayes_scaling as bs
from refits import Compare, Refit

DATA = "ruan2024_obs_scaling_base_llm_benchmarks.csv"
ITEMS = 14_042  # questions in the test set of MMLU (Hendrycks et al. 2021, arXiv 2009.03300)
START = date(2023, 1, 1)
REFERENCE = "Llama"  # the first Llama: 1.0e12 to 1.4e12 tokens, near the 1e12 at which density is defined

#: Day on which the developers announced a family, or a size of it that came later. The data hold no dates: these are ours, from the
#: developers' own posts as we remember them, to a few days. Mixtures of experts are left out: their size is no size of a dense model.
ANNOUNCED = {
    "Llama": date(2023, 2, 24),
    "Cerebras-GPT": date(2023, 3, 28),
    "Pythia": date(2023, 4, 3),
    "MPT": date(2023, 5, 5),
    "Falcon": date(2023, 5, 25),
    "OpenLlama": date(2023, 6, 7),
    "OpenLlamaV2": date(2023, 7, 6),
    "Llama-2": date(2023, 7, 18),
    "Qwen": date(2023, 8, 3),
    "Mistral": date(2023, 9, 27),
    "Yi": date(2023, 11, 5),
    "DeepSeek-LLM": date(2023, 11, 29),
    "TinyLlama": date(2023, 12, 31),
    "InternLM2": date(2024, 1, 17),
    "OLMo": date(2024, 2, 1),
    "Qwen1.5": date(2024, 2, 4),
    "Gemma": date(2024, 2, 21),
    "Llama-3": date(2024, 4, 18),
    "Yi-1.5": date(2024, 5, 13),
    "Qwen2": date(2024, 6, 6),
    "Gemma-2": date(2024, 6, 27),
    "SmolLM": date(2024, 7, 16),
    "Llama-3.1": date(2024, 7, 23),
    "Qwen/Qwen-14B": date(2023, 9, 25),
    "Qwen/Qwen-72B": date(2023, 11, 30),
    "microsoft/phi-1_5": date(2023, 9, 11),
    "microsoft/phi-2": date(2023, 12, 12),
    "mistralai/Mistral-Nemo-Base-2407": date(2024, 7, 18),
    "mosaicml/mpt-30b": date(2023, 6, 22),
    "tiiuae/falcon-180B": date(2023, 9, 6),
    "Qwen/Qwen1.5-110B": date(2024, 4, 25),
}
EXPERTS = ("A14B", "A2.7B", "MoE", "8x")


def models(folder: Path, score: str = "mmlu") -> bs.Runs:
    """Return the dense models of 2023 and 2024 with a score, and days since 1 January 2023."""
    columns: dict[str, list[float]] = {name: [] for name in ("params", "tokens", "day", "reference", "accuracy", "trials")}
    with (folder / DATA).open(newline="") as file:
        for row in csv.DictReader(file):
            announced = ANNOUNCED.get(row["model"], ANNOUNCED.get(row["model_family"]))
            if announced is None or not row[score] or any(part in row["model"] for part in EXPERTS):
                continue
            columns["params"].append(1e9 * float(row["model_size_b"]))
            columns["tokens"].append(1e12 * float(row["pretraining_data_size_t"] or 1.0))  # of no account but for the reference
            columns["day"].append((announced - START).days)
            columns["reference"].append(float(row["model_family"] == REFERENCE))
            columns["accuracy"].append(float(row[score]))
            columns["trials"].append(ITEMS)
    return bs.runs_from_columns(columns, f"{DATA}, {score}")


REFITS = [
    Refit(
        "densing",
        DATA,
        prepare=models,
        # Four options; no model comes near the ceiling; the reference models saw about the same number of tokens, so they do not tell how
        # the score depends on it (B_ref, beta), and no other part of the law asks.
        options={"fix": {"floor": 0.25, "ceiling": 0.97, "B_ref": 0.5, "beta": 0.3}},
        compare=(Compare("growth", 0.007, 0.0025, "Xiao et al. 2024: 29 models, five benchmarks, dates of their own"),),
        given={"params": 2e9, "target": 0.6, "day": 580},
        label="mmlu",
        note="As far as the data allow: they hold scores of MMLU, sizes and tokens, but no dates (see ANNOUNCED) and no losses of "
        "reference models. The first Llama, four sizes near 1e12 tokens, is the reference: its density is 1 by definition.",
    )
]
