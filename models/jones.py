"""Jones's laws of board games: playing strength against compute in training, size of the board, and compute at play.

    Elo(C, n) = min(max(incline, plateau), 0)
        incline = incline_compute log10 C + incline_board n + incline_0
        plateau = plateau_board n + plateau_0                              0 is perfect play, the plateau is random play

Jones 2021 (arXiv 2104.03113), AlphaZero on Hex: the frontier of all agents trained with C FLOP on a board n x n, searching 64 nodes a move.

When to use it: the best Elo at each of several computes (a frontier), on boards of several sizes, with Elo counted from perfect play.
When not: single runs below the frontier (each follows a sigmoid of its own); Elo on a scale whose zero is something else.

The corners are hard, as published. They bend neither gradients nor posteriors: slopes jump there but stay finite, the density is
continuous, and what a smooth corner would add is a width that nobody measured. The parameters are those that runs show directly, at both
ends of the published ladder: compute at which play becomes perfect and depth of random play below it, on 3x3 and on 9x9. The published
coefficients follow. Both plateaus are then below perfect play on all published boards, which free slopes and intercepts would not ensure.

Where the paper contradicts itself. Its table of coefficients (two digits) and its prose are not one model:
- perfect play takes 10^(430/510) = 6.97 times the compute per board size; the prose says 7: agreed.
- take-off, where the incline leaves the plateau, moves by 10^((430 - 270)/510) = 2.06 times per board size; the prose says 4.
- random play sinks by 270 Elo per board size; the prose says 500, with which take-off would come earlier on larger boards.
- twice the compute wins with odds of 10^(510 log10(2)/400): 0.708 of the games (0.704 at 500 Elo per decade); the prose says 2/3.
The table is implemented; the figures of the prose are in no set.

`jones:test_time` is the other result: at one board size (9x9), Elo is linear in the logarithms of both computes, so that compute at play
replaces compute in training, along straight lines of equal Elo, until a search of one node is left. `jones:games` is the same law seen
through won and lost games, which is what is measured: Elo is itself an estimate from games.
"""

import math
from dataclasses import replace

import jax.numpy as jnp
from jax.nn import sigmoid
from numpyro.distributions import LogNormal, Normal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published, Sharing
from bayes_scaling.numeric import LEAST, kept_inside

JONES = "Jones 2021, arXiv 2104.03113"
LN10 = math.log(10)
SMALL, LARGE = 3, 9  # boards of the published ladder
# Where the strength of the trade-off is stated, in log10 FLOP: the middle of the published agents.
LOG_TRAIN, LOG_TEST = 15.0, 7.0


def _log10(x):
    """log10; of a plain number in 64 bits, whatever JAX is set to: published values must survive the way there and back."""
    return math.log10(x) if isinstance(x, float) else jnp.log(x) / LN10


def lines(board, p):
    """Elo of the plateau, and log10 of the compute at which the incline reaches perfect play."""
    perfect = -(p["incline_board"] * board + p["incline_0"]) / p["incline_compute"]
    return p["plateau_board"] * board + p["plateau_0"], perfect


def formula(inputs, p):
    plateau, perfect = lines(inputs["board"], p)
    incline = p["incline_compute"] * (_log10(inputs["compute"]) - perfect)
    return jnp.minimum(jnp.maximum(incline, plateau), 0.0)


def derived(p):
    """Slopes and intercepts of the lines through both ends of the ladder."""
    small, large = _log10(p["perfect_3"]), _log10(p["perfect_9"])
    incline_board = -p["incline_compute"] * (large - small) / (LARGE - SMALL)
    plateau_board = -(p["depth_9"] - p["depth_3"]) / (LARGE - SMALL)
    return {
        "incline_board": incline_board,
        "incline_0": -p["incline_compute"] * small - SMALL * incline_board,
        "plateau_board": plateau_board,
        "plateau_0": -p["depth_3"] - SMALL * plateau_board,
    }


def invert(p):
    def depth(board):
        return -(p["plateau_board"] * board + p["plateau_0"])

    def perfect(board):
        return 10.0 ** (-(p["incline_board"] * board + p["incline_0"]) / p["incline_compute"])

    ends = {"perfect_3": perfect(SMALL), "perfect_9": perfect(LARGE), "depth_3": depth(SMALL), "depth_9": depth(LARGE)}
    return {"incline_compute": p["incline_compute"], **ends}


def chance(difference):
    """Chance of winning (Bradley & Terry 1952) at a difference of Elo."""
    return sigmoid(difference * (LN10 / 400))


def answer(p, given):
    elo, board, slope = given["elo"], given["board"], p["incline_compute"]
    plateau, perfect = lines(board, p)
    lowest = jnp.minimum(plateau, 0.0)  # beyond the ladder the plateau may cross perfect play, where the law has nothing left to say
    needed = 10 ** (perfect + elo / slope)
    return {
        "compute": jnp.where(elo > 0, jnp.inf, jnp.where(elo <= lowest, 0.0, needed)),
        "takeoff_compute": 10 ** (perfect + lowest / slope) + 0 * elo,
        "perfect_compute": 10**perfect + 0 * elo,
        "takeoff_growth": 10 ** ((p["plateau_board"] - p["incline_board"]) / slope) + 0 * elo * board,
        "perfect_growth": 10 ** (-p["incline_board"] / slope) + 0 * elo * board,
        "doubling_win_rate": chance(slope * math.log10(2)) + 0 * elo * board,
    }


# --- Compute in training against compute at play


def test_time(inputs, p):
    return p["b_test"] * _log10(inputs["test_compute"]) + p["b_train"] * _log10(inputs["compute"]) + p["elo_0"]


def trade(p, given, elo):
    """What test compute replaces, and the cheapest split of the two computes that reaches an Elo.

    Cost is price_train C + price_test T. On a line of equal Elo the cheapest point has price_train C / b_train = price_test T / b_test;
    where that asks for a search of less than one node, one node it is.
    """
    b_train, b_test, least = p["b_train"], p["b_test"], given["least_test_compute"]
    rest = elo - p["elo_0"]
    train = _log10(given["compute"])
    log_ratio = _log10(b_test / b_train * (given["price_train"] / given["price_test"]))
    inside = (rest - b_test * log_ratio) / (b_train + b_test)
    at_floor = inside + log_ratio < _log10(least)
    best_train = 10 ** jnp.where(at_floor, (rest - b_test * _log10(least)) / b_train, inside)
    best_test = jnp.where(at_floor, least, 10 ** (inside + log_ratio))
    none = 0 * train * log_ratio * elo * least  # answers have one shape
    return {
        "test_compute": jnp.maximum(10 ** ((rest - b_train * train) / b_test), least) + none,
        "saved_by_10x_training": 10 ** (b_train / b_test) + none,
        "best_compute": best_train + none,
        "best_test_compute": best_test + none,
        "cost": given["price_train"] * best_train + given["price_test"] * best_test + none,
    }


PRICED = (
    Input("price_train", "", "price of a FLOP of training"),
    Input("price_test", "", "price of a FLOP of play, times the moves to be played"),
    Input("least_test_compute", "FLOP", "test compute of a single node, below which no search can go"),
)
GIVEN = (Input("compute", "FLOP", "training compute at hand"), *PRICED)
ANSWERS = (
    Input("test_compute", "FLOP", "compute per move that reaches the target with the training compute at hand"),
    Input("saved_by_10x_training", "", "factor of test compute that ten times the training compute saves"),
    Input("best_compute", "FLOP", "training compute of the cheapest agent that reaches the target"),
    Input("best_test_compute", "FLOP", "its compute per move"),
    Input("cost", "", "what both cost at these prices"),
)
PRICES = {"price_train": 1.0, "price_test": 1.0, "least_test_compute": 1.0}


def best_training(p, given):
    """The training compute of the strongest agent at a budget; Elo per decade shares it out, where that leaves more than one node."""
    most = (given["budget"] - given["price_test"] * given["least_test_compute"]) / given["price_train"]
    return jnp.minimum(p["b_train"] / (p["b_train"] + p["b_test"]) * given["budget"] / given["price_train"], most)


SHARING = Sharing(
    budget=Input("budget", "", "what training and play may cost, at their prices (in FLOP where each is 1)"),
    inputs=("compute", "test_compute"),
    text="price_train x compute + price_test x test_compute",
    spends=lambda at: at["price_train"] * at["compute"] + at["price_test"] * at["test_compute"],
    span=lambda at: (
        LEAST * at["budget"] / at["price_train"],
        (at["budget"] - at["price_test"] * at["least_test_compute"]) / at["price_train"],
    ),
    ratio=Input("train_share", "fraction", "share of the budget that goes to training"),
    ratio_of=lambda at: at["price_train"] * at["compute"] / at["budget"],
    given=PRICED,
    optional=PRICES,
    highest=True,
    best=best_training,
)

TRADE_OFF = Law(
    name="jones:test_time",
    title="Elo against compute in training and at play",
    equation="Elo(C, T) = b_train log10 C + b_test log10 T + elo_0",
    citation=f"{JONES}, section on train-test trade-off; log10 T = -1.2 log10 C + 0.004 Elo + 29 as printed",
    use="best agents of one game and board size that differ in training compute and in compute per move, between random and perfect play",
    avoid="Elo near perfect play, where both lines end (the law does not know); agents that random play beats; several board sizes",
    inputs=(
        Input("compute", "FLOP", "compute of training", 1e12, 1e18),
        Input("test_compute", "FLOP", "compute of one move: nodes of the search times compute of one node", 1e4, 1e11),
    ),
    parameters=(
        Parameter("elo_ref", Normal(-1000.0, 800.0), "Elo below perfect play at 1e15 FLOP of training and 1e7 FLOP a move"),
        Parameter("b_train", LogNormal(5.5, 0.5), "Elo per decade of training compute"),
        Parameter("b_test", LogNormal(5.5, 0.5), "Elo per decade of test compute"),
    ),
    formula=test_time,
    derived=lambda p: {"elo_0": p["elo_ref"] - LOG_TRAIN * p["b_train"] - LOG_TEST * p["b_test"]},
    invert=lambda p: {
        "elo_ref": p["elo_0"] + LOG_TRAIN * p["b_train"] + LOG_TEST * p["b_test"],
        "b_train": p["b_train"],
        "b_test": p["b_test"],
    },
    output="elo",
    decision=Decision(
        question="which test compute replaces training compute at an Elo, and which split of the two is cheapest?",
        given=(Input("elo", "Elo", "strength to reach; perfect play is 0, and nothing is above it"), *GIVEN),
        answers=ANSWERS,
        answer=lambda p, given: trade(p, given, given["elo"]),
        example={"elo": -1000.0, "compute": 1e15, "price_test": 1e6},
        optional=PRICES,
    ),
    sharing=SHARING,
    published={
        "hex_9": Published(
            {"b_train": 300.0, "b_test": 250.0, "elo_0": -7250.0},
            f"{JONES}, from log10 T = -1.2 log10 C + 0.004 Elo + 29",
            note="9x9. Two digits: 0.004 stands for 222 to 286 Elo per decade of test compute, 29 for 125 Elo either way; least squares of "
            "log T at 7 levels of Elo from -1500 to 0",
        )
    },
    checks=(
        Check("hex_9", {"compute": 1e15, "test_compute": 1e7}, -1000.0),
        Check("hex_9", {"compute": 1e16, "test_compute": 10**5.8}, -1000.0, 1e-9),
    ),
)


def win_rate(inputs, p):
    return kept_inside(chance(test_time(inputs, p) - inputs["opponent_elo"]))


def answer_games(p, given):
    target = given["target"]
    sure = target >= 1
    inner = jnp.where(sure, 0.5, target)
    found = trade(p, given, given["opponent_elo"] + 400 * (_log10(inner) - jnp.log1p(-inner) / LN10))
    return {name: value if name == "saved_by_10x_training" else jnp.where(sure, jnp.inf, value) for name, value in found.items()}


GAMES = replace(
    TRADE_OFF,
    name="jones:games",
    title="Games won against compute in training and at play",
    equation="P(win) = 1 / (1 + 10^(-(Elo(C, T) - opponent_elo) / 400)), Elo(C, T) = b_train log10 C + b_test log10 T + elo_0",
    citation=f"Bradley & Terry 1952, Biometrika 39:324, with the Elo of {JONES}",
    use="counts of games (won of trials) of agents against opponents of known Elo, that differ in training compute and compute per move",
    avoid="opponents whose Elo is itself uncertain by as much as the runs differ; draws; games that repeat each other move by move",
    inputs=(
        *TRADE_OFF.inputs,
        Input("opponent_elo", "Elo", "strength of the opponent, on the scale that fixes where Elo is 0", -2500.0, -10.0),
    ),
    formula=win_rate,
    output="win_rate",
    # Agents of equal compute differ by luck of training, and by it win more of all their games or fewer: not independent trials.
    noise="beta-binomial",
    decision=Decision(
        question="which test compute replaces training compute at a win rate, and which split of the two is cheapest?",
        given=(
            Input("target", "fraction", "share of games to win"),
            Input("opponent_elo", "Elo", "strength of the opponent"),
            *GIVEN,
        ),
        answers=ANSWERS,
        answer=answer_games,
        example={"target": 0.75, "opponent_elo": -1000.0, "compute": 1e15, "price_test": 1e6},
        optional=PRICES,
    ),
    checks=(
        Check("hex_9", {"compute": 1e15, "test_compute": 1e7, "opponent_elo": -1000.0}, 0.5),
        Check("hex_9", {"compute": 1e15, "test_compute": 1e7, "opponent_elo": -1400.0}, 10 / 11),
    ),
)

LAW = Law(
    name="jones",
    title="Elo of board games against training compute and board size",
    equation="Elo(C, n) = min(max(incline_compute log10 C + incline_board n + incline_0, plateau_board n + plateau_0), 0)",
    citation=f"{JONES}, table of frontier parameters",
    use="the best Elo, counted from perfect play, at each of several training computes and board sizes; one search size for all",
    avoid="single runs below the frontier; Elo whose zero is not perfect play; agents that search unlike numbers of nodes",
    inputs=(
        Input("compute", "FLOP", "compute of training", 1e9, 1e18),
        Input("board", "count", "cells along an edge of the board", SMALL, LARGE),
    ),
    parameters=(
        Parameter("incline_compute", LogNormal(6.0, 0.6), "Elo per decade of compute on the incline"),
        Parameter("perfect_3", LogNormal(25.5, 3.0), "compute of perfect play on 3x3, in FLOP"),
        Parameter("perfect_9", LogNormal(36.5, 3.0), "compute of perfect play on 9x9, in FLOP"),
        Parameter("depth_3", LogNormal(5.5, 0.8), "Elo of random play below perfect play on 3x3"),
        Parameter("depth_9", LogNormal(7.4, 0.6), "Elo of random play below perfect play on 9x9"),
    ),
    formula=formula,
    derived=derived,
    invert=invert,
    output="elo",
    decision=Decision(
        question="how much training compute does an Elo need on a board, and where do play's rise and perfection begin?",
        given=(
            Input("elo", "Elo", "strength to reach; perfect play is 0, and nothing is above it"),
            Input("board", "count", "cells along an edge of the board"),
        ),
        answers=(
            Input("compute", "FLOP", "training compute for that Elo (0: random play has it; inf: out of reach)"),
            Input("takeoff_compute", "FLOP", "compute from which agents are better than random play"),
            Input("perfect_compute", "FLOP", "compute from which play is perfect"),
            Input("takeoff_growth", "", "factor of the former per board size"),
            Input("perfect_growth", "", "factor of the latter per board size"),
            Input("doubling_win_rate", "fraction", "games won, on the incline, with twice the opponent's compute"),
        ),
        answer=answer,
        example={"elo": -500.0, "board": 9},
    ),
    published={
        "hex": Published(
            {"incline_compute": 510.0, "incline_board": -430.0, "incline_0": -4400.0, "plateau_board": -270.0, "plateau_0": 570.0},
            f"{JONES}, table of frontier parameters",
            note="two digits; the authors' least squares on a frontier interpolated through all runs, so no scatter is stated",
        )
    },
    checks=(
        Check("hex", {"compute": 1e15, "board": 9}, -620.0),
        Check("hex", {"compute": 1e10, "board": 9}, -1860.0),
        Check("hex", {"compute": 1e13, "board": 5}, 0.0),
    ),
    variants={"test_time": TRADE_OFF, "games": GAMES},
)
