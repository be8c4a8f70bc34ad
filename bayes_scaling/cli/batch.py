"""The command ``batch``: many fits from a job file."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from bayes_scaling.cli.common import DONE, add_verdict, command, print_json, verdict
from bayes_scaling.cli.progress import hush
from bayes_scaling.errors import InputError

_LISTED = 10  # fits that need attention, or failed, that are printed; the summary has all


def add_batch(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, "batch", _batch, "fit every group of a table under several laws; interrupted, the same command goes on",
        "  bayes-scaling batch job.toml\n"
        "  bayes-scaling batch job.toml --dry-run                # how many fits, how much memory and disk\n"
        "  bayes-scaling batch job.toml --cluster tcp://10.0.0.1:8786\n"
        "  bayes-scaling batch job.toml --cluster local:4        # a Dask cluster of this machine",
    )  # fmt: skip
    parser.add_argument("job", metavar="JOB.toml", help="data, groups, laws (a .py is run), and where the results go: see the README")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--retry", action="store_true", help="make those fits again that failed")
    parser.add_argument("--cluster", metavar="ADDRESS", help="a Dask scheduler (tcp://host:port), or local:N for one with N workers here")
    add_verdict(parser)


def _batch(options: argparse.Namespace) -> int:
    from bayes_scaling.batch import forecast, run_job

    if options.dry_run:
        if options.cluster or options.retry:
            raise InputError("--dry-run goes with neither --cluster nor --retry")
        found = forecast(options.job)
        print_json(vars(found)) if options.json else print(_forecast_text(found))
        return DONE
    batch = run_job(options.job, cluster=options.cluster, retry=options.retry)
    _follow(batch)
    rows, folder = batch.rows, str(batch.job.path)
    counts = {status: sum(row["status"] == status for row in rows) for status in ("ok", "attention", "failed")}
    if options.json:
        print_json({"out": folder, "fits": len(rows), "kept": batch.kept, **counts, "summary": f"{folder}/summary.csv"})
    else:
        print(f"{len(rows)} fits: {', '.join(f'{count} {status}' for status, count in counts.items())} ({batch.kept} were there)")
        worth = [row for row in rows if row["status"] != "ok"]
        for row in worth[:_LISTED]:
            print(f"  {row['status']:10}{row['law']}, {row['group']}: {_short(row['reasons'])}")
        if len(worth) > _LISTED:
            print(f"  … and {len(worth) - _LISTED} more")
        print(f"summary with all reasons: {folder}/summary.csv; a fit with its draws: bayes_scaling.Store('{folder}').fit(law, group)")
    bad = len(rows) - counts["ok"]
    return verdict(not bad, options, f"{bad} of {len(rows)} fits failed or are not trustworthy")


def _short(reasons: str) -> str:
    """Return the first of several reasons, without its remedy."""
    first, *others = reasons.split(" | ")
    return first.split(". ")[0] + (f" (and {len(others)} more reasons)" if others else "")


def _follow(batch: Any) -> None:
    """Let a batch run, with a bar for people."""
    if not sys.stderr.isatty():
        for _ in batch:
            pass
        return
    from tqdm import tqdm

    hush()
    with tqdm(desc="fits", total=len(batch.plan.possible), unit=" fits", leave=False, file=sys.stderr) as bar:
        for _ in batch:
            now = batch.progress
            bar.total = now.wanted - now.kept - now.impossible
            bar.set_postfix(attention=now.attention, failed=now.failed, refresh=False)
            bar.update(now.done - bar.n)


def _forecast_text(found: Any) -> str:
    lanes = f" with {found.lanes} lanes" if found.lanes > 1 else ""
    lines = [
        f"{found.todo} fits to do in {found.chunks} chunks, {found.kept} stored already",
        f"{found.workers} workers{lanes}: about {found.memory / 1e9:.1f} GB of memory",
        f"about {found.disk / 1e6:.0f} MB of disk",
    ]
    if found.damaged:
        lines.append(f"damaged shards, whose fits are made again: {', '.join(found.damaged)}")
    if found.stale:
        lines.append(f"{found.stale} stored fits are of other data, options or versions, and stay out of the summary")
    lines += [f"cannot be fitted: {law}, {group}: {reason}" for law, group, reason in found.impossible[:_LISTED]]
    if len(found.impossible) > _LISTED:
        lines.append(f"… and {len(found.impossible) - _LISTED} more that cannot be fitted")
    return "\n".join(lines)
