"""NIST's Statistical Reference Datasets for nonlinear regression as laws of a user's own: how many digits of the certified values come out.

``python benchmarks/strd.py`` prints a row a problem and start: the fewest digits that agree over the parameters, and those of the residual
standard deviation. Model, data, starts, certified values: https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml (public domain).

The mode under flat priors and normal noise is the fit by least squares: `bayes_scaling.maximum_likelihood`, told nothing but one of NIST's
two starts. The likelihood's scatter is sqrt(RSS / n); the certified one sqrt(RSS / (n - p)).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Normal

import bayes_scaling as bs


@dataclass(frozen=True)
class Problem:
    """A problem with its certified values; ``data`` are y and x in turn, ``level`` is NIST's level of difficulty."""

    name: str
    level: str
    formula: Callable
    data: str
    starts: tuple[Sequence[float], Sequence[float]]
    certified: Sequence[float]
    residual_sd: float
    sum_of_squares: float

    @property
    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """Return y and x."""
        values = np.array(self.data.split(), float).reshape(-1, 2)
        return values[:, 0], values[:, 1]

    @property
    def input(self) -> str:
        """A quantity that may have the values of x: ``day`` may be zero or negative."""
        return "x" if np.all(self.table[1] > 0) else "day"

    @property
    def runs(self) -> bs.Runs:
        y, x = self.table
        return bs.runs_from_columns({self.input: x, "response": y})

    @cached_property
    def law(self) -> bs.Law:
        """The model as a user would write it; priors play no part in the mode of the likelihood but for what values are possible."""
        names = [f"b{i + 1}" for i in range(len(self.certified))]
        return bs.Law(
            name=self.name.lower(), title=self.name, equation="see NIST", citation="NIST StRD", use="tests of accuracy", avoid="all else",
            inputs=(bs.Input(self.input, "", "x"),),
            parameters=tuple(bs.Parameter(name, Normal(0.0, 1e6), "see NIST") for name in names),
            formula=lambda inputs, p: self.formula(inputs[self.input], *(p[name] for name in names)),
            output="response", noise="normal",
        )  # fmt: skip

    def digits(self, start: int) -> dict[str, float]:
        """Return the digits that agree with the certified values from a start: the fewest over parameters, and of the residual sd."""
        values = {f"b{i + 1}": value for i, value in enumerate(self.starts[start])}
        found = bs.maximum_likelihood(self.law, self.runs, start=values, starts=0).parameters
        n, p = len(self.runs), len(self.certified)
        of_parameters = [agreeing(found[f"b{i + 1}"], value) for i, value in enumerate(self.certified)]
        return {"parameters": min(of_parameters), "residual_sd": agreeing(found["sigma"] * math.sqrt(n / (n - p)), self.residual_sd)}


def agreeing(found: float, certified: float) -> float:
    """Return -log10 of the relative error; 11, where it is less than the certified digits can tell."""
    return min(11.0, -math.log10(max(abs(found / certified - 1), 1e-11)))


_MISRA = """10.07 77.6 14.73 114.9 17.94 141.1 23.93 190.8 29.61 239.9 35.18 289.0 40.02 332.8 44.82 378.4 50.76 434.8 55.05 477.3
61.01 536.8 66.40 593.1 75.47 689.1 81.78 760.0"""

PROBLEMS: Mapping[str, Problem] = {item.name: item for item in (
    Problem("Misra1a", "lower", lambda x, b1, b2: b1 * (1 - jnp.exp(-b2 * x)), _MISRA,
            ((500, 0.0001), (250, 0.0005)), (2.3894212918E+02, 5.5015643181E-04), 1.0187876330E-01, 1.2455138894E-01),
    Problem("Misra1b", "lower", lambda x, b1, b2: b1 * (1 - (1 + b2 * x / 2) ** -2), _MISRA,
            ((500, 0.0001), (300, 0.0002)), (3.3799746163E+02, 3.9039091287E-04), 7.9301471998E-02, 7.5464681533E-02),
    Problem("DanWood", "lower", lambda x, b1, b2: b1 * x**b2, "2.138 1.309 3.421 1.471 3.597 1.490 4.340 1.565 4.882 1.611 5.660 1.680",
            ((1, 5), (0.7, 4)), (7.6886226176E-01, 3.8604055871E+00), 3.2853114039E-02, 4.3173084083E-03),
    Problem("Chwirut2", "lower", lambda x, b1, b2, b3: jnp.exp(-b1 * x) / (b2 + b3 * x),
            """92.9 0.5 57.1 1.0 31.05 1.75 11.5875 3.75 8.025 5.75 63.6 0.875 21.4 2.25 14.25 3.25 8.475 5.25 63.8 0.75 26.8 1.75
            16.4625 2.75 7.125 4.75 67.3 0.625 41.0 1.25 21.15 2.25 8.175 4.25 81.5 0.5 13.12 3.0 59.9 0.75 14.62 3.0 32.9 1.5 5.44 6.0
            12.56 3.0 5.44 6.0 32.0 1.5 13.95 3.0 75.8 0.5 20.0 2.0 10.42 4.0 59.5 0.75 21.67 2.0 8.55 5.0 62.0 0.75 20.2 2.25 7.76 3.75
            3.75 5.75 11.81 3.0 54.7 0.75 23.7 2.5 11.55 4.0 61.3 0.75 17.7 2.5 8.74 4.0 59.2 0.75 16.3 2.5 8.62 4.0 81.0 0.5 4.87 6.0
            14.62 3.0 81.7 0.5 17.17 2.75 81.3 0.5 28.9 1.75""",
            ((0.1, 0.01, 0.02), (0.15, 0.008, 0.010)), (1.6657666537E-01, 5.1653291286E-03, 1.2150007096E-02), 3.1717133040E+00,
            5.1304802941E+02),
    Problem("Lanczos3", "lower", lambda x, b1, b2, b3, b4, b5, b6: b1 * jnp.exp(-b2 * x) + b3 * jnp.exp(-b4 * x) + b5 * jnp.exp(-b6 * x),
            """2.5134 0 2.0443 0.05 1.6684 0.10 1.3664 0.15 1.1232 0.20 0.9269 0.25 0.7679 0.30 0.6389 0.35 0.5338 0.40 0.4479 0.45
            0.3776 0.50 0.3197 0.55 0.2720 0.60 0.2325 0.65 0.1997 0.70 0.1723 0.75 0.1493 0.80 0.1301 0.85 0.1138 0.90 0.1000 0.95
            0.0883 1.00 0.0783 1.05 0.0698 1.10 0.0624 1.15""",
            ((1.2, 0.3, 5.6, 5.5, 6.5, 7.6), (0.5, 0.7, 3.6, 4.2, 4, 6.3)),
            (8.6816414977E-02, 9.5498101505E-01, 8.4400777463E-01, 2.9515951832E+00, 1.5825685901E+00, 4.9863565084E+00), 2.9923229172E-05,
            1.6117193594E-08),
    Problem("Misra1d", "average", lambda x, b1, b2: b1 * b2 * x / (1 + b2 * x), _MISRA,
            ((500, 0.0001), (450, 0.0003)), (4.3736970754E+02, 3.0227324449E-04), 6.8568272111E-02, 5.6419295283E-02),
    Problem("Roszman1", "average", lambda x, b1, b2, b3, b4: b1 - b2 * x - jnp.arctan(b3 / (x - b4)) / jnp.pi,
            """0.252429 -4868.68 0.252141 -4868.09 0.251809 -4867.41 0.297989 -3375.19 0.296257 -3373.14 0.295319 -3372.03
            0.339603 -2473.74 0.337731 -2472.35 0.333820 -2469.45 0.389510 -1894.65 0.386998 -1893.40 0.438864 -1497.24
            0.434887 -1495.85 0.427893 -1493.41 0.471568 -1208.68 0.461699 -1206.18 0.461144 -1206.04 0.513532 -997.92
            0.506641 -996.61 0.505062 -996.31 0.535648 -834.94 0.533726 -834.66 0.568064 -710.03 0.612886 -530.16 0.624169 -464.17""",
            ((0.1, -0.00001, 1000, -100), (0.2, -0.000005, 1200, -150)),
            (2.0196866396E-01, -6.1953516256E-06, 1.2044556708E+03, -1.8134269537E+02), 4.8542984060E-03, 4.9484847331E-04),
    Problem("MGH17", "average", lambda x, b1, b2, b3, b4, b5: b1 + b2 * jnp.exp(-x * b4) + b3 * jnp.exp(-x * b5),
            """0.844 0 0.908 10 0.932 20 0.936 30 0.925 40 0.908 50 0.881 60 0.850 70 0.818 80 0.784 90 0.751 100 0.718 110 0.685 120
            0.658 130 0.628 140 0.603 150 0.580 160 0.558 170 0.538 180 0.522 190 0.506 200 0.490 210 0.478 220 0.467 230 0.457 240
            0.448 250 0.438 260 0.431 270 0.424 280 0.420 290 0.414 300 0.411 310 0.406 320""",
            ((50, 150, -100, 1, 2), (0.5, 1.5, -1, 0.01, 0.02)),
            (3.7541005211E-01, 1.9358469127E+00, -1.4646871366E+00, 1.2867534640E-02, 2.2122699662E-02), 1.3970497866E-03,
            5.4648946975E-05),
    Problem("MGH09", "higher", lambda x, b1, b2, b3, b4: b1 * (x**2 + x * b2) / (x**2 + x * b3 + b4),
            """0.1957 4 0.1947 2 0.1735 1 0.1600 0.5 0.0844 0.25 0.0627 0.167 0.0456 0.125 0.0342 0.1 0.0323 0.0833 0.0235 0.0714
            0.0246 0.0625""",
            ((25, 39, 41.5, 39), (0.25, 0.39, 0.415, 0.39)),
            (1.9280693458E-01, 1.9128232873E-01, 1.2305650693E-01, 1.3606233068E-01), 6.6279236551E-03, 3.0750560385E-04),
    Problem("MGH10", "higher", lambda x, b1, b2, b3: b1 * jnp.exp(b2 / (x + b3)),
            """34780 50 28610 55 23650 60 19630 65 16370 70 13720 75 11540 80 9744 85 8261 90 7030 95 6005 100 5147 105 4427 110 3820 115
            3307 120 2872 125""",
            ((2, 400000, 25000), (0.02, 4000, 250)), (5.6096364710E-03, 6.1813463463E+03, 3.4522363462E+02), 2.6009740065E+00,
            8.7945855171E+01),
    Problem("Thurber", "higher",
            lambda x, b1, b2, b3, b4, b5, b6, b7: (b1 + b2 * x + b3 * x**2 + b4 * x**3) / (1 + b5 * x + b6 * x**2 + b7 * x**3),
            """80.574 -3.067 84.248 -2.981 87.264 -2.921 87.195 -2.912 89.076 -2.840 89.608 -2.797 89.868 -2.702 90.101 -2.699
            92.405 -2.633 95.854 -2.481 100.696 -2.363 101.060 -2.322 401.672 -1.501 390.724 -1.460 567.534 -1.274 635.316 -1.212
            733.054 -1.100 759.087 -1.046 894.206 -0.915 990.785 -0.714 1090.109 -0.566 1080.914 -0.545 1122.643 -0.400 1178.351 -0.309
            1260.531 -0.109 1273.514 -0.103 1288.339 0.010 1327.543 0.119 1353.863 0.377 1414.509 0.790 1425.208 0.963 1421.384 1.006
            1442.962 1.115 1464.350 1.572 1468.705 1.841 1447.894 2.047 1457.628 2.200""",
            ((1000, 1000, 400, 40, 0.7, 0.3, 0.03), (1300, 1500, 500, 75, 1, 0.4, 0.05)),
            (1.2881396800E+03, 1.4910792535E+03, 5.8323836877E+02, 7.5416644291E+01, 9.6629502864E-01, 3.9797285797E-01,
             4.9727297349E-02), 1.3714600784E+01, 5.6427082397E+03),
    Problem("BoxBOD", "higher", lambda x, b1, b2: b1 * (1 - jnp.exp(-b2 * x)), "109 1 149 2 149 3 191 5 213 7 224 10",
            ((1, 1), (100, 0.75)), (2.1380940889E+02, 5.4723748542E-01), 1.7088072423E+01, 1.1680088766E+03),
    Problem("Rat42", "higher", lambda x, b1, b2, b3: b1 / (1 + jnp.exp(b2 - b3 * x)),
            "8.930 9 10.800 14 18.590 21 22.330 28 39.350 42 56.110 57 61.730 63 64.620 70 67.080 79",
            ((100, 1, 0.1), (75, 2.5, 0.07)), (7.2462237576E+01, 2.6180768402E+00, 6.7359200066E-02), 1.1587725499E+00, 8.0565229338E+00),
    Problem("Rat43", "higher", lambda x, b1, b2, b3, b4: b1 / (1 + jnp.exp(b2 - b3 * x)) ** (1 / b4),
            """16.08 1 33.83 2 65.80 3 97.20 4 191.55 5 326.20 6 386.87 7 520.53 8 590.03 9 651.92 10 724.93 11 699.56 12 689.96 13
            637.56 14 717.41 15""",
            ((100, 10, 1, 1), (700, 5, 0.75, 1.3)),
            (6.9964151270E+02, 5.2771253025E+00, 7.5962938329E-01, 1.2792483859E+00), 2.8262414662E+01, 8.7864049080E+03),
    Problem("Eckerle4", "higher", lambda x, b1, b2, b3: b1 / b2 * jnp.exp(-0.5 * ((x - b3) / b2) ** 2),
            """0.0001575 400 0.0001699 405 0.0002350 410 0.0003102 415 0.0004917 420 0.0008710 425 0.0017418 430 0.0046400 435
            0.0065895 436.5 0.0097302 438 0.0149002 439.5 0.0237310 441 0.0401683 442.5 0.0712559 444 0.1264458 445.5 0.2073413 447
            0.2902366 448.5 0.3445623 450 0.3698049 451.5 0.3668534 453 0.3106727 454.5 0.2078154 456 0.1164354 457.5 0.0616764 459
            0.0337200 460.5 0.0194023 462 0.0117831 463.5 0.0074357 465 0.0022732 470 0.0008800 475 0.0004579 480 0.0002345 485
            0.0001586 490 0.0001143 495 0.0000710 500""",
            ((1, 10, 500), (1.5, 5, 450)), (1.5543827178E+00, 4.0888321754E+00, 4.5154121844E+02), 6.7629245447E-03, 1.4635887487E-03),
)}  # fmt: skip


def main(names: Sequence[str]) -> int:
    """Print the table; return how many problems and starts agree to less than six digits."""
    print(f"{'':10}{'level':9}{'runs':>5}{'parameters':>12}{'digits, start 1':>18}{'start 2':>9}{'residual sd, start 1':>22}{'start 2':>9}")
    few = 0
    for name in names or PROBLEMS:
        item = PROBLEMS[name]
        rows = [item.digits(start) for start in (0, 1)]
        few += sum(min(row.values()) < 6 for row in rows)
        digits = [f"{row[key]:.1f}" for key in ("parameters", "residual_sd") for row in rows]
        head = f"{name:10}{item.level:9}{len(item.runs):>5}{len(item.certified):>12}"
        print(f"{head}{digits[0]:>18}{digits[1]:>9}{digits[2]:>22}{digits[3]:>9}", flush=True)
    print(f"{few} of {2 * len(names or PROBLEMS)} agree to less than 6 digits")
    return few


if __name__ == "__main__":
    raise SystemExit(min(main(sys.argv[1:]), 1))
