"""Runs over repeated data (Muennighoff et al. 2023) and translation models (Gordon et al. 2021, Bansal et al. 2022)."""

from refits import Compare, Refit

MUENNIGHOFF = "Muennighoff et al. 2023, appendix A"
REPEATED = "muennighoff2023_data_constrained.csv"
FILTER = "used_in_repo_fit == 1"
# The base law that the paper held fixed, in the law's sampled names: A_ref = A 1.8e7^-alpha, B_ref = B 7e8^-beta.
BASE = {"E": 1.8691437, "A_ref": 1.4389651676, "B_ref": 1.1303458033, "alpha": 0.3526596, "beta": 0.3526596}

GORDON = "the authors' script (least squares on L) on these runs"
#: alpha_N, alpha_D and k of BLEU = C exp(-k L), with the standard errors of least squares.
PAIRS = {
    "de-en": ((0.1222, 0.0034), (0.4204, 0.0097), (0.4697, 0.0048)),
    "ru-en": ((0.1093, 0.0047), (0.3805, 0.0116), (0.4373, 0.0059)),
    "zh-en": ((0.1214, 0.0032), (0.4142, 0.0116), (0.4274, 0.0102)),
}
ENOUGH = "data_bytes > 5242880"

BANSAL = "least squares on ln L of these runs; Bansal et al. 2022 give 0.28 (English-German) and 0.25 (Chinese-English)"
#: p with its standard error.
CURVES = {"NMT/log_perplexity/6 Enc, 6 Dec": (0.2686, 0.0136), "NMT/log_perplexity/TEnc-LSTM": (0.2679, 0.0220)}

REFITS = [
    Refit(
        law="data_constrained",
        data=REPEATED,
        label="base_held",
        read={"where": FILTER},
        options={"fix": BASE},
        given={"compute": 1e21, "unique_tokens": 4e9},
        trusted=False,
        note="As the paper fits: the base law held at its fit to DeepMind's C4 curves, which lies 8 % below these losses (median). What is "
        "left for R_D* and R_N* to explain is then mostly that gap, R_D* stays near its prior, and the published 15.4 and 5.3 do not come "
        "back: median 39 [18, 89] and 1.2 [0.7, 2.0]. They are not the minimum of the paper's own objective on these runs either.",
    ),
    Refit(
        law="data_constrained",
        data=REPEATED,
        label="all_runs",
        read={"where": FILTER},
        given={"compute": 1e21, "unique_tokens": 4e9},
        note="Everything free, all 229 runs, also those that overfit: the law cannot turn upward, and Student-t noise with fewer than one "
        "degree of freedom sets them aside. R_D* is 35 [29, 42], not 15.4; R_N* 2.1 [1.0, 4.2].",
    ),
    Refit(
        law="data_constrained",
        data=REPEATED,
        label="within_use",
        read={"where": f"{FILTER} and unique_tokens >= 1e9 and epochs <= 20"},
        # R_D* is not compared: it comes out at 34 [17, 72], and a tolerance that lets 15.4 pass would let anything pass.
        compare=(
            Compare("alpha", 0.3526596, 0.05, MUENNIGHOFF),
            Compare("beta", 0.3526596, 0.1, MUENNIGHOFF),
            Compare("R_N_star", 5.309743, 1.5, MUENNIGHOFF),
        ),
        given={"compute": 1e22, "unique_tokens": 2.5e10},
        note="Where the law can hold, chosen by the inputs alone: at least 1e9 unique tokens and at most 20 epochs (79 runs).",
    ),
    *(
        Refit(
            law="gordon",
            data="gordon2021_nmt.csv",
            read={"where": f"language_pair == '{pair}' and {ENOUGH}"},
            label=pair,
            options={"noise": "normal"},  # what least squares on L assumes
            compare=(Compare("alpha_N", *size, GORDON), Compare("alpha_D", *data, GORDON)),
            given={"params": 5.6e7, "data_bytes": 1e8, "target": 2.0},
            note=f"{pair}. Each model size is off the law by its own 1 to 3 % on all corpora: intervals are too narrow.",
        )
        for pair, (size, data, _) in PAIRS.items()
    ),
    Refit(
        law="gordon",
        data="gordon2021_nmt.csv",
        label="pooled",
        read={"where": ENOUGH, "map": {"group": "language_pair"}},
        options={"pool": {"all": "partial"}},
        # Student-t on ln L, not least squares on L: the lowest losses weigh more, so two standard errors.
        compare=tuple(
            Compare(f"{name}[{pair}]", value, 2 * error, GORDON)
            for pair, exponents in PAIRS.items()
            for name, (value, error) in zip(("alpha_N", "alpha_D"), exponents, strict=False)
        ),
        note="The three language pairs together, each parameter drawn towards a common centre.",
    ),
    *(
        Refit(
            law="gordon:bleu",
            data="gordon2021_nmt.csv",
            read={"where": f"language_pair == '{pair}' and {ENOUGH}"},
            label=pair,
            options={"noise": "normal"},
            compare=(Compare("k", *k, GORDON),),
            given={"loss": 1.5, "target": 40.0},
            note=f"{pair}. Residuals grow as BLEU falls, but less than in proportion.",
        )
        for pair, (_, _, k) in PAIRS.items()
    ),
    *(
        Refit(
            law="bansal",
            data="extrapolation_curves.csv",
            read={"where": f"curve == '{curve}' and split == 'context'", "map": {"examples": "x", "loss": "y"}},
            label=curve.split("/")[-1].replace(", ", "_").replace(" ", ""),
            options={"noise": "normal-log"},
            compare=(Compare("p", *p, BANSAL),),
            given={"examples": 1e7, "target": 0.4},
        )
        for curve, p in CURVES.items()
    ),
]
