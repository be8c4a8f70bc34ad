"""Train the `ladder`: the data set that ships with bayes-scaling, measured by this project.

A ladder of small byte-level decoder-only transformers, trained in JAX on a CPU on the source text of the Python standard library, each
for one pass over a fresh sample of windows (no text is repeated within a run). The loss is measured on files that no run trains on.

    python benchmarks/train_ladder.py --tune              # learning-rate sweep (minutes); prints the rule that LEARNING_RATE holds
    python benchmarks/train_ladder.py                     # the ladder: about 90 minutes on two cores; goes on where it stopped

Every run sits exactly on one of eleven isoFLOP levels (6 x params x tokens), so that the grid holds both isoFLOP profiles and points
far off the frontier on both sides. Results go to `bayes_scaling/data/ladder.csv`, provenance to `ladder.json` beside it.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import multiprocessing
import os
import platform
import sysconfig
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

# One core a run: the matrices are too small for threads, and several runs go side by side. Must be set before jax is imported.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import numpy as np

DATA = Path(__file__).resolve().parent.parent / "bayes_scaling" / "data"

VOCABULARY = 256  # bytes
CONTEXT = 128  # bytes
BATCH = 8  # windows a step, so 1024 bytes: constant over the ladder, since batch size moves the loss too
STEP_TOKENS = BATCH * CONTEXT
EVALUATION_WINDOWS = 1024  # the same held-out windows for every run

# (width, depth); heads are 8 wide for the narrow models and 16 wide from width 48 on.
SHAPES = [(8, 1), (12, 1), (16, 1), (16, 2), (24, 2), (32, 3), (48, 3), (64, 4), (96, 4), (128, 5)]
COMPUTE_LEVELS = [6e12 / 10 ** (k / 3) for k in range(11)]  # FLOP as 6ND; the cap keeps the whole ladder near 90 minutes
TOKENS_RANGE = (0.95e5, 1.05e7)
REPEATED = [(16, 1, 7), (16, 2, 5), (24, 2, 3), (48, 3, 3), (64, 4, 2)]  # (width, depth, level) trained with seeds 1 and 2 as well

# ln lr = a + b ln(params / 1e5) + c ln(tokens / 1e6): what the sweep is centred on, and what was fitted to its optima (`--tune`).
SWEEP_CENTRE = (math.log(6e-3), -0.25, -0.05)
LEARNING_RATE = (-4.3191, -0.4207, -0.0447)


class Run(NamedTuple):
    """One training run: shape of the model, tokens, seed of weights and order, and peak learning rate."""

    width: int
    depth: int
    tokens: int
    seed: int
    learning_rate: float


# --- the text -----------------------------------------------------------------------------------------------------------------


def corpus() -> tuple[np.ndarray, np.ndarray, dict]:
    """Return (training bytes, held-out bytes, description). A file is held out by the hash of its path: one in twenty."""
    root = Path(sysconfig.get_paths()["stdlib"])
    # encodings and pydoc_data are generated tables, not source that somebody wrote; site-packages is whatever is installed here.
    skipped = {"site-packages", "encodings", "pydoc_data", "__pycache__"}
    train, held_out = [], []
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if skipped & set(name.split("/")):
            continue
        digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
        (held_out if digest % 20 == 0 else train).append(path.read_bytes())
    train_bytes, held_out_bytes = b"\n".join(train), b"\n".join(held_out)
    about = {
        "text": "source files of the Python standard library without encodings/ and pydoc_data/",
        "python": platform.python_version(),
        "train_files": len(train),
        "train_bytes": len(train_bytes),
        "train_sha256": hashlib.sha256(train_bytes).hexdigest(),
        "held_out_files": len(held_out),
        "held_out_bytes": len(held_out_bytes),
        "held_out_sha256": hashlib.sha256(held_out_bytes).hexdigest(),
    }
    return np.frombuffer(train_bytes, np.uint8), np.frombuffer(held_out_bytes, np.uint8), about


def windows(text: np.ndarray) -> np.ndarray:
    """Cut text into non-overlapping windows of CONTEXT + 1 bytes (the last byte of one is the first of the next: input and target)."""
    n = (len(text) - 1) // CONTEXT
    return np.lib.stride_tricks.sliding_window_view(text, CONTEXT + 1)[::CONTEXT][:n]


# --- the model ----------------------------------------------------------------------------------------------------------------


def initial_parameters(key: jax.Array, width: int, depth: int) -> dict:
    def matrix(key, *shape):
        return jax.random.normal(key, shape) / math.sqrt(shape[-2])

    keys = jax.random.split(key, 5)
    residual = 1 / math.sqrt(2 * depth)  # so that the residual stream does not grow with depth
    return {
        "embedding": jax.random.normal(keys[0], (VOCABULARY, width)) / math.sqrt(width),  # tied with the output head
        "final_norm": jnp.ones(width),
        "blocks": {
            "attention_norm": jnp.ones((depth, width)),
            "qkv": matrix(keys[1], depth, width, 3 * width),
            "attention_out": matrix(keys[2], depth, width, width) * residual,
            "mlp_norm": jnp.ones((depth, width)),
            "mlp_in": matrix(keys[3], depth, width, 4 * width),
            "mlp_out": matrix(keys[4], depth, 4 * width, width) * residual,
        },
    }


def count_parameters(width: int, depth: int) -> tuple[int, int]:
    """Return (total, non-embedding) parameter counts. The head is the embedding's transpose, so it is counted once, in the total."""
    non_embedding = depth * (12 * width**2 + 2 * width) + width
    return non_embedding + VOCABULARY * width, non_embedding


def count_flops(width: int, depth: int, tokens: int) -> float:
    """Matrix-multiply FLOP of training: 6 a weight and token (the tied matrix once, as the head), and attention scores and values."""
    weights = depth * 12 * width**2 + VOCABULARY * width
    attention = depth * 2 * width * CONTEXT  # full context, as computed; the causal mask is applied to computed scores
    return 6.0 * (weights + attention) * tokens


def normalise(x: jax.Array, gain: jax.Array) -> jax.Array:
    return x * gain * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-6)


def rotate(x: jax.Array) -> jax.Array:
    """Rotary position embedding; x is (batch, context, heads, head width)."""
    half = x.shape[-1] // 2
    frequency = 100.0 ** (-np.arange(half) / half)
    angle = np.arange(x.shape[1])[:, None] * frequency
    cos, sin = jnp.cos(angle)[:, None, :].astype(x.dtype), jnp.sin(angle)[:, None, :].astype(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


def logits(parameters: dict, text: jax.Array, width: int) -> jax.Array:
    head_width = 8 if width < 48 else 16
    heads = width // head_width if width % head_width == 0 else 1
    batch, context = text.shape
    mask = np.tril(np.ones((context, context), bool))
    x = parameters["embedding"][text] * math.sqrt(width)

    def block(x, p):
        q, k, v = jnp.split(normalise(x, p["attention_norm"]) @ p["qkv"], 3, axis=-1)
        q, k, v = (part.reshape(batch, context, heads, -1) for part in (q, k, v))
        scores = jnp.einsum("bqhd,bkhd->bhqk", rotate(q), rotate(k)) / math.sqrt(width // heads)
        weights = jax.nn.softmax(jnp.where(mask, scores, -1e9), axis=-1)
        attended = jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(batch, context, width)
        x = x + attended @ p["attention_out"]
        x = x + jax.nn.gelu(normalise(x, p["mlp_norm"]) @ p["mlp_in"]) @ p["mlp_out"]
        return x, None

    x, _ = jax.lax.scan(block, x, parameters["blocks"])
    return normalise(x, parameters["final_norm"]) @ parameters["embedding"].T


def mean_loss(parameters: dict, text: jax.Array, width: int) -> jax.Array:
    """Cross-entropy in nats per byte; text is (batch, CONTEXT + 1) bytes."""
    text = text.astype(jnp.int32)
    z = logits(parameters, text[:, :-1], width)
    picked = jnp.take_along_axis(z, text[:, 1:, None], axis=-1)[..., 0]
    return jnp.mean(jax.nn.logsumexp(z, axis=-1) - picked)


# --- training -----------------------------------------------------------------------------------------------------------------


def train(run: Run, text: np.ndarray, held_out: np.ndarray) -> float:
    """Train one run with AdamW (no weight decay) and a cosine schedule that ends with it; return the held-out loss in nats per byte."""
    steps = run.tokens // STEP_TOKENS
    warmup = max(steps // 20, 10)
    rng = np.random.default_rng([run.seed, run.width, run.depth, run.tokens])
    order = rng.permutation(len(text))[: steps * BATCH].reshape(steps, BATCH)

    def schedule(step):
        progress = jnp.clip((step - warmup) / (steps - warmup), 0, 1)
        return run.learning_rate * jnp.minimum((step + 1) / warmup, 0.5 * (1 + jnp.cos(jnp.pi * progress)))

    def update(carry, batch):
        p, m, v, step = carry
        gradient = jax.grad(mean_loss)(p, batch, run.width)
        norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in jax.tree.leaves(gradient)))
        gradient = jax.tree.map(lambda g: g * jnp.minimum(1.0, 1.0 / norm), gradient)
        b1, b2, t = 0.9, 0.98, step + 1.0
        m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, m, gradient)
        v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, v, gradient)
        scale = schedule(step) * jnp.sqrt(1 - b2**t) / (1 - b1**t)
        p = jax.tree.map(lambda p, m, v: p - scale * m / (jnp.sqrt(v) + 1e-8), p, m, v)
        return (p, m, v, step + 1.0), None

    many = jax.jit(lambda carry, batches: jax.lax.scan(update, carry, batches)[0], donate_argnums=0)
    p = initial_parameters(jax.random.key(int(rng.integers(2**31))), run.width, run.depth)
    carry = (p, jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p), jnp.zeros(()))
    chunk = 256
    for start in range(0, steps, chunk):
        carry = many(carry, text[order[start : start + chunk]])
    evaluate = jax.jit(lambda p, batch: mean_loss(p, batch, run.width))
    return float(np.mean([evaluate(carry[0], part) for part in np.split(held_out, len(held_out) // 64)]))


def learning_rate(params: int, tokens: int, rule: tuple[float, float, float] = LEARNING_RATE) -> float:
    a, b, c = rule
    return math.exp(a + b * math.log(params / 1e5) + c * math.log(tokens / 1e6))


def on_level(width: int, depth: int, level: int) -> int:
    """Tokens that put a shape on an isoFLOP level, in whole steps."""
    return round(COMPUTE_LEVELS[level] / (6 * count_parameters(width, depth)[0]) / STEP_TOKENS) * STEP_TOKENS


def ladder() -> list[Run]:
    runs = []
    for width, depth in SHAPES:
        params, _ = count_parameters(width, depth)
        for level in range(len(COMPUTE_LEVELS)):
            tokens = on_level(width, depth, level)
            if TOKENS_RANGE[0] <= tokens <= TOKENS_RANGE[1]:
                seeds = (0, 1, 2) if (width, depth, level) in REPEATED else (0,)
                runs += [Run(width, depth, tokens, seed, learning_rate(params, tokens)) for seed in seeds]
    return runs


def sweep() -> list[Run]:
    """Five learning rates a factor two apart for four sizes and up to three durations, all cheap."""
    cells = [((8, 1), 1e5), ((8, 1), 1e6), ((8, 1), 6e6), ((24, 2), 1e5), ((24, 2), 1e6), ((24, 2), 3e6)]
    cells += [((64, 4), 1e5), ((64, 4), 6e5), ((128, 5), 1e5), ((128, 5), 3e5)]
    runs = []
    for (width, depth), tokens in cells:
        tokens = round(tokens / STEP_TOKENS) * STEP_TOKENS
        centre = learning_rate(count_parameters(width, depth)[0], tokens, SWEEP_CENTRE)
        runs += [Run(width, depth, tokens, 100, centre * 2.0**k) for k in (-2, -1, 0, 1, 2)]
    return runs


def fit_learning_rate(rows: list[dict]) -> tuple[float, float, float]:
    """Least squares of the parabola optimum of each (shape, tokens) cell on ln params and ln tokens."""
    cells: dict[tuple, list] = {}
    for row in rows:
        cells.setdefault((int(row["params"]), int(row["tokens"])), []).append((math.log(float(row["learning_rate"])), float(row["loss"])))
    design, optimum = [], []
    for (params, tokens), points in cells.items():
        x, y = np.array(sorted(points)).T
        i = int(np.clip(np.argmin(y), 1, len(x) - 2))
        c2, c1, _ = np.polyfit(x[i - 1 : i + 2], y[i - 1 : i + 2], 2)
        best = float(np.clip(-c1 / (2 * c2), x[0], x[-1])) if c2 > 0 else float(x[np.argmin(y)])
        design.append([1, math.log(params / 1e5), math.log(tokens / 1e6)])
        optimum.append(best)
        print(f"params {params:8d} tokens {tokens:9d} best learning rate {math.exp(best):.2e}  losses {np.round(y, 4)}")
    return tuple(np.linalg.lstsq(np.array(design), np.array(optimum), rcond=None)[0])


# --- many runs ----------------------------------------------------------------------------------------------------------------

FIELDS = ["width", "depth", "params", "params_non_embedding", "tokens", "flops", "loss", "seed", "learning_rate", "seconds"]


def measure(run: Run) -> dict:
    train_text, held_out_text, _ = corpus()
    held_out = windows(held_out_text)
    chosen = np.random.default_rng(0).permutation(len(held_out))[:EVALUATION_WINDOWS]
    start = time.perf_counter()
    loss = train(run, windows(train_text), held_out[chosen])
    params, non_embedding = count_parameters(run.width, run.depth)
    flops = count_flops(run.width, run.depth, run.tokens)
    numbers = [params, non_embedding, run.tokens, f"{flops:.6g}", f"{loss:.6f}", run.seed, f"{run.learning_rate:.6g}"]
    return dict(zip(FIELDS, [run.width, run.depth, *numbers, f"{time.perf_counter() - start:.1f}"], strict=True))


def identity(row: dict) -> tuple:
    return (*(int(row[k]) for k in ("width", "depth", "tokens", "seed")), f"{float(row['learning_rate']):.6g}")


def measure_all(runs: list[Run], path: Path, workers: int) -> list[dict]:
    """Measure what the file at path does not hold yet, largest first; each result is written when it comes."""
    rows = list(csv.DictReader(path.open())) if path.exists() else []
    done = {identity(row) for row in rows}
    missing = [run for run in runs if identity(run._asdict()) not in done]
    missing.sort(key=lambda run: -count_flops(run.width, run.depth, run.tokens))
    if not rows:
        path.write_text(",".join(FIELDS) + "\n")
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for i, future in enumerate(as_completed([pool.submit(measure, run) for run in missing])):
            row = future.result()
            rows.append(row)
            with path.open("a", newline="") as file:
                csv.DictWriter(file, FIELDS).writerow(row)
            print(f"{i + 1}/{len(missing)}", row, flush=True)
    wanted = {identity(run._asdict()) for run in runs}
    return [row for row in rows if identity(row) in wanted]


def write_sorted(rows: list[dict], path: Path) -> None:
    rows = sorted(rows, key=lambda row: (int(row["params"]), int(row["tokens"]), int(row["seed"])))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tune", action="store_true", help="run the learning-rate sweep instead of the ladder")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="runs side by side, one core each")
    arguments = parser.parse_args()
    if arguments.tune:
        rows = measure_all(sweep(), DATA / "ladder_learning_rates.csv", arguments.workers)
        write_sorted(rows, DATA / "ladder_learning_rates.csv")
        print("LEARNING_RATE = ({:.4f}, {:.4f}, {:.4f})".format(*fit_learning_rate(rows)))
        return
    rows = measure_all(ladder(), DATA / "ladder.csv", arguments.workers)
    write_sorted(rows, DATA / "ladder.csv")
    about = {
        "what": "held-out loss (nats per byte) of byte-level decoder-only transformers trained by benchmarks/train_ladder.py",
        "text": corpus()[2],
        "model": f"pre-norm, rotary positions, tied embedding, GELU, context {CONTEXT}, vocabulary {VOCABULARY}",
        "training": f"AdamW 0.9/0.98 without weight decay, {STEP_TOKENS} bytes a step, 5% warm-up, cosine to zero at the last step",
        "learning_rate": "exp({:.4f} {:+.4f} ln(params/1e5) {:+.4f} ln(tokens/1e6)), fitted to ladder_learning_rates.csv".format(
            *LEARNING_RATE
        ),
        "flops": "matrix-multiply FLOP of forward and backward passes, attention included (more than 6 x params x tokens)",
        "evaluation": f"{EVALUATION_WINDOWS} windows of held-out files, the same for every run",
        "versions": {"jax": jax.__version__, "numpy": np.__version__, "python": platform.python_version()},
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores, one run a core",
        "core_hours": round(sum(float(row["seconds"]) for row in rows) / 3600, 2),
        "runs": len(rows),
    }
    (DATA / "ladder.json").write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    main()
