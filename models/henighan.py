"""Henighan's laws of generative modelling: loss of transformers on images, video, text with images, mathematics and language.

    L(x) = L_inf + (x0 / x)^alpha        x: non-embedding parameters N, or compute C        `henighan`
    N_opt(C) = (C / C1)^p                                                                  `henighan:optimum`

Henighan et al. 2020 (arXiv 2010.14701), table 1; losses in nat/token (an image's loss is 3 R^2 times that at R x R pixels). The paper's C
is in PF-days: x0 and C1 of compute are stored in FLOP, times exactly 8.64e19. L(C) is a frontier, the best size at each compute.

When to use it: a ladder of sizes (or the envelope of learning curves) in one modality, floor to be inferred.
When not: to compare exponents of modalities with those of language here: its L_inf is set to 0, and an exponent without a floor (0.07)
is another quantity than one with a floor (0.13 to 0.24). Nor to trust a single x0: floor, exponent and x0 lie on a ridge, and x0 lies
decades outside the runs; the reducible loss at a size that was trained is what is known, and what is sampled here.

Of the sources: the paper's caption warns that its largest models had not converged and that L(C) of mathematics is affected by weight
decay. Language L(C) is that of GPT-3 (2.57 nats at 1 PF-day), and its N_opt that of Kaplan et al. Text of text->image and image->text has
no L(C): only the joint loss was fitted there. C1 and p of the image part of text->image equal those of VQ 32x32 in the text that could be
read: they may be a slip of it. Retellings of N_opt mix units: (C / 5e-12)^0.7 holds for C in PF-days, 9.02e-7 C^0.7 for C in FLOP.
That all modalities share the optimum within a factor of ten holds near 1 PF-day alone (1.07e8 to 1.29e9 parameters).
"""

from dataclasses import replace

import jax.numpy as jnp
from numpyro.distributions import HalfNormal, LogNormal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published, Term
from bayes_scaling.numeric import power
from bayes_scaling.units import PF_DAY

HENIGHAN = "Henighan et al. 2020, arXiv 2010.14701"
TABLE = f"{HENIGHAN}, table 1"
PARAMS = Input("params", "count", "parameters of the model, embeddings left out", 1e3, 1e12)
COMPUTE = Input("compute", "FLOP", "non-embedding training compute, at the best size for it", 1e15, 1e25)
REFERENCE = {"params": 1e6, "compute": 1e18}

#: Table 1. L(N): L_inf, x0, alpha; L(C): L_inf, x0 in PF-day, alpha; N_opt: C1 in PF-day, p. Then the values that they give at
#: N = 1e8, at C = 1 PF-day, and the best size at C = 1 PF-day.
TABLE_1 = {
    "language": ((0, 1.47e14, 0.070), (0, 3.47e8, 0.048), (3.3e-13, 0.73), (2.702167, 2.570016, 1.292662e9)),
    "image_8x8": ((3.12, 8.0e1, 0.24), (3.13, 1.8e-8, 0.19), (5.3e-14, 0.64), (3.154415, 3.163768, 3.136631e8)),
    "image_16x16": ((2.64, 2.8e2, 0.22), (2.64, 1.6e-8, 0.16), (4.8e-12, 0.75), (2.700031, 2.696580, 3.083678e8)),
    "image_32x32": ((2.20, 6.3e1, 0.13), (2.21, 3.6e-9, 0.10), (1.6e-13, 0.65), (2.356284, 2.353097, 2.076453e8)),
    "image_vq_16x16": ((3.99, 2.7e4, 0.13), (4.09, 6.1e-7, 0.11), (6.2e-14, 0.64), (4.333619, 4.297198, 2.837065e8)),
    "image_vq_32x32": ((3.07, 1.9e4, 0.14), (3.17, 2.6e-6, 0.12), (9.4e-13, 0.70), (3.371318, 3.383696, 2.623074e8)),
    "text_to_image_text": ((0, 5.6e8, 0.037), None, None, (1.065818,)),
    "text_to_image_image": ((2.0, 5.1e3, 0.16), (1.93, 1.5e-6, 0.15), (9.4e-13, 0.70), (2.205689, 2.063787, 2.623074e8)),
    "image_to_text_text": ((0, 7.0e8, 0.039), None, None, (1.078844,)),
    "image_to_text_image": ((2.0, 5.5e3, 0.15), (1.97, 1.5e-6, 0.16), (3.3e-12, 0.72), (2.229644, 2.086997, 1.847864e8)),
    "video_vq_16": ((1.01, 3.7e4, 0.24), (0.95, 2.2e-5, 0.14), (1.13e-12, 0.71), (1.160096, 1.172812, 3.036088e8)),
    "math": ((0.28, 1.1e4, 0.16), (0.14, 1.4e-5, 0.17), (2.3e-12, 0.69), (0.512607, 0.289569, 1.072526e8)),
}
NOTES = {
    ("language", "params"): "L_inf is set, not fitted",
    ("language", "compute"): "L_inf is set; from GPT-3: 2.57 * (C / PF-day)^-0.048",
    ("language", "optimum"): "from Kaplan et al. 2020",
    ("math", "params"): "extrapolation to harder problems than trained on",
    ("math", "compute"): "affected by weight decay, as the paper warns",
    ("math", "optimum"): "its compute is affected by weight decay, as the paper warns",
    ("text_to_image_image", "optimum"): "as VQ 32x32 in the text that could be read: perhaps a slip",
}


def _loss_law(axis):
    x, reference = axis.name, REFERENCE[axis.name]
    column, unit = (0, 1.0) if x == "params" else (1, PF_DAY)

    def answer(p, given):
        reducible = given["target"] - p["L_inf"]
        return {x: jnp.where(reducible > 0, power(p["x0"], 1 / p["alpha"], jnp.where(reducible > 0, reducible, 1.0)), jnp.inf)}

    rows = {name: row for name, row in TABLE_1.items() if row[column] is not None}
    return Law(
        name="henighan",
        title="Loss of generative models against size or compute, with a floor",
        equation=f"L({x}) = L_inf + (x0 / {x})^alpha",
        citation=TABLE,
        use="a ladder of sizes, or the envelope of learning curves, in one modality (images, video, mathematics, language, and pairs)",
        avoid="runs limited by data; comparing exponents fitted with a floor and without one (language, captions: L_inf = 0)",
        inputs=(axis,),
        parameters=(
            # Not a LogNormal: floors near zero (mathematics, language) are as credible here as the four nats of image tokens.
            Parameter("L_inf", HalfNormal(3.0), "irreducible loss in nat/token"),
            Parameter("r_ref", LogNormal(-0.7, 1.2), f"reducible loss at {x} = {reference:.2g}, in nat/token"),
            Parameter("alpha", LogNormal(-2.1, 0.6), f"exponent of {x}"),
        ),
        formula=lambda inputs, p: p["L_inf"] + power(1.0, p["alpha"], inputs[x] / p["x0"]),
        derived=lambda p: {"x0": reference * p["r_ref"] ** (1 / p["alpha"])},
        invert=lambda p: {"L_inf": p["L_inf"], "r_ref": (p["x0"] / reference) ** p["alpha"], "alpha": p["alpha"]},
        terms=(Term("r_ref", "alpha", x, reference),),
        sums=(("L_inf", "r_ref"),),
        decreasing_in=(x,),
        decision=Decision(
            question=f"how {'many' if x == 'params' else 'much'} {x} does a target loss need?",
            given=(Input("target", "nat/token", "loss to reach"),),
            answers=(axis,),
            answer=answer,
            example={"target": 4.2},  # above the highest published floor
        ),
        published={
            # One name, one law: sets of compute carry the word, so that a set can be asked for by its name alone.
            name if x == "params" else f"{name}_compute": Published(
                {"L_inf": float(row[column][0]), "x0": row[column][1] * unit, "alpha": row[column][2]},
                TABLE,
                note="; ".join(part for part in (NOTES.get((name, x), ""), f"x0 {row[1][1]:g} PF-day" if x == "compute" else "") if part),
            )
            for name, row in rows.items()
        },
        checks=tuple(
            Check(name, {x: 1e8}, row[3][0]) if x == "params" else Check(f"{name}_compute", {x: PF_DAY}, row[3][1])
            for name, row in rows.items()
        ),
    )


def _optimum(inputs, p):
    return power(1.0, -p["p"], inputs["compute"] / p["C1"])


def _allocate(p, given):
    params = _optimum(given, p)
    return {"params": params, "tokens": given["compute"] / (6 * params)}


def _published_optimum(C1, p, source, note=""):
    return Published({"C1": C1 * PF_DAY, "p": p}, source, note=f"{note + '; ' if note else ''}C1 {C1:g} PF-day")


OPTIMUM = Law(
    name="henighan:optimum",
    title="Best size against compute, by modality",
    equation="N_opt(C) = (C / C1)^p",
    citation=TABLE,
    use="best sizes read off the envelope of learning curves",
    avoid="planning language models today: schedules were not matched to the length of training, so p is too large; see `chinchilla`",
    inputs=(COMPUTE,),
    parameters=(
        Parameter("N_pf_day", LogNormal(20.0, 1.5), "best size at 1 PF-day = 8.64e19 FLOP, embeddings left out"),
        Parameter("p", LogNormal(-0.5, 0.3), "exponent of compute"),
    ),
    formula=_optimum,
    derived=lambda p: {"C1": PF_DAY * p["N_pf_day"] ** (-1 / p["p"])},
    invert=lambda p: {"N_pf_day": (PF_DAY / p["C1"]) ** p["p"], "p": p["p"]},
    output="params",
    decision=Decision(
        question="which model size is best at a training compute?",
        given=(COMPUTE,),
        answers=(
            Input("params", "count", "best model size, embeddings left out"),
            Input("tokens", "count", "tokens that the rest of the compute pays for: C / 6N"),
        ),
        answer=_allocate,
        example={"compute": PF_DAY},
    ),
    published={
        **{
            name: _published_optimum(row[2][0], row[2][1], TABLE, NOTES.get((name, "optimum"), ""))
            for name, row in TABLE_1.items()
            if row[2]
        },
        "generic": _published_optimum(5e-12, 0.7, HENIGHAN, "all modalities; 8.14e7 (C / PF-day)^0.7 = 9.02e-7 (C / FLOP)^0.7"),
    },
    checks=(
        *(Check(name, {"compute": PF_DAY}, row[3][2]) for name, row in TABLE_1.items() if row[2]),
        Check("generic", {"compute": 1.0}, 9.019062e-7),
    ),
)

LAW = replace(_loss_law(PARAMS), alternatives={"compute": _loss_law(COMPUTE)}, variants={"optimum": OPTIMUM})
