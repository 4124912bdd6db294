# SPDX-License-Identifier: Apache-2.0
"""figures.py - from runs to figures: one Row an arm, goals, the table and summary.json. Knows no
server and no plot; report.py makes the page of the same rows."""

import dataclasses
import json
import statistics

import arms

MIB = 1 << 20


def quantile(values, share):
    """The nearest rank; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclasses.dataclass
class Row:
    """What one arm did in all its repeats. rates: requests a second, one a repeat. Times in ms.
    quality: what the preset costs, as speckv-qa measured it, or None."""

    name: str
    rates: list
    ttft: list
    gaps: list
    cpu: float  # seconds of server and daemon, a request
    reused: int  # prompt tokens, a repeat
    ttft_by_round: list
    raw_bytes: int = 0
    stored_bytes: int = 0
    evicted: int = 0
    quality: dict = None

    @property
    def rate(self):
        return statistics.median(self.rates)

    @property
    def ratio(self):
        return self.raw_bytes / self.stored_bytes if self.stored_bytes else 0.0

    def json(self):
        quality = self.quality or {}
        return {
            "name": self.name,
            "requests_per_s": self.rate,
            "requests_per_s_repeats": self.rates,
            "ttft_ms_p50": quantile(self.ttft, 0.5),
            "ttft_ms_p99": quantile(self.ttft, 0.99),
            "inter_token_ms_p50": quantile(self.gaps, 0.5),
            "inter_token_ms_p99": quantile(self.gaps, 0.99),
            "cpu_s_per_request": self.cpu,
            "tokens_reused": self.reused,
            "raw_bytes": self.raw_bytes,
            "stored_bytes": self.stored_bytes,
            "evicted_blocks": self.evicted,
            "ratio": self.ratio or None,
            "kld_mean": quality.get("kld_mean"),
            "kld_se": quality.get("kld_se"),
            "top1_same": quality.get("top1_same"),
            "top1_se": quality.get("top1_se"),
            "positions": quality.get("positions", 0),
        }


def row_of(arm, runs, rounds, quality):
    samples = [sample for run in runs for sample in run.samples]
    of_round = [[1000 * s.ttft for s in samples if s.round == turn] for turn in range(rounds)]
    row = Row(
        arm.name,
        [len(run.samples) / run.seconds for run in runs],
        [1000 * sample.ttft for sample in samples],
        [1000 * gap for sample in samples for gap in sample.gaps],
        sum(run.server_cpu + run.daemon_cpu for run in runs) / len(samples),
        sum(sample.reused for sample in samples) // len(runs),
        [quantile(each, 0.5) for each in of_round],
        quality=quality.get(arm.preset),
    )
    if arm.preset:
        row.raw_bytes = runs[-1].status["raw_bytes"]
        row.stored_bytes = runs[-1].status["stored_bytes"]
        row.evicted = runs[-1].status["evicted_blocks"]
    return row


@dataclasses.dataclass
class Goal:
    name: str
    value: float
    goal: float

    @property
    def reached(self):
        return self.value >= self.goal

    def json(self):
        return {**dataclasses.asdict(self), "reached": self.reached}


def goals_of(rows, runs):
    """rows, runs: by the arm's name."""
    ours = arms.speckv_name(arms.DEFAULT)
    wanted = [(arms.ALONE, 3.2), (arms.BOUND, 0.9), (arms.OWN_CACHE, 1.3)]
    goals = [
        Goal(f"{arms.DEFAULT} / {other}, requests/s", rows[ours].rate / rows[other].rate, goal)
        for other, goal in wanted
        if ours in rows
    ]
    second = [run.second for run in runs.get(ours, []) if run.second]
    if second:
        share = sum(sum(b) for _, b in second) / max(1, sum(sum(a) for a, _ in second))
        goals.append(
            Goal("a second server on the same pool: tokens reused / the first's", share, 0.9)
        )
    mine = [run.fresh[1] for run in runs.get(ours, []) if run.fresh]
    theirs = [run.fresh[1] for run in runs.get(arms.ALONE, []) if run.fresh]
    if mine and theirs:
        share = statistics.median(theirs) / statistics.median(mine)
        goals.append(
            Goal(
                f"{arms.DEFAULT} / {arms.ALONE}, nothing to reuse, requests a CPU second",
                share,
                0.97,
            )
        )
    return goals


def spread(row):
    return 100 * (max(row.rates) - min(row.rates)) / row.rate


def table(rows):
    """Returns: lines of text."""
    head = (
        f"{'arm':<25}{'req/s':>7}{'x':>7}{'spread':>8}{'CPU s/':>8}{'TTFT50':>8}{'TTFT99':>8}"
        f"{'token':>7}{'reused':>8}{'stored':>8}{'ratio':>7}  {'KLD':<19}  same top-1 %"
    )
    under = (
        f"{'':<25}{'':>7}{'alone':>7}{'%':>8}{'request':>8}{'ms':>8}{'ms':>8}{'ms':>7}"
        f"{'tokens':>8}{'MiB':>8}"
    )
    alone = next(row for row in rows if row.name == arms.ALONE)
    lines = [head, under]
    for row in rows:
        line = f"{row.name:<25}{row.rate:>7.3f}{row.rate / alone.rate:>7.2f}{spread(row):>8.0f}"
        line += f"{row.cpu:>8.2f}{quantile(row.ttft, 0.5):>8.0f}{quantile(row.ttft, 0.99):>8.0f}"
        line += f"{quantile(row.gaps, 0.5):>7.1f}{row.reused:>8}{row.stored_bytes / MIB:>8.1f}"
        line += f"{row.ratio:>7.2f}" if row.ratio else f"{'-':>7}"
        if row.quality:
            cost = row.quality
            line += f"  {cost['kld_mean']:.5f} ± {cost['kld_se']:.5f}  "
            line += f"{100 * cost['top1_same']:.2f} ± {100 * cost['top1_se']:.2f}"
        lines.append(line)
    return lines


def words_of(load, setting):
    """What was asked, on what: two sentences."""
    return (
        f"{load.sessions} sessions x {load.rounds} rounds, {load.in_flight} requests in flight, "
        f"{load.prompt_tokens(0)} to {load.prompt_tokens(load.rounds - 1)} prompt tokens, "
        f"{load.answer_tokens} answer tokens, in:out "
        f"{load.input_tokens() / load.output_tokens():.1f}:1; {load.repeats} repeats, arms "
        "shuffled",
        f"pool and RAM cache {load.pool_bytes() / MIB:.0f} MiB each, all sessions' KV "
        f"{load.kv_bytes() / MIB:.0f} MiB; {setting['medium']}; {setting['cpu']}, "
        f"{setting['threads']} compute threads",
    )


def write_summary(path, rows, goals, check, setting):
    told = {
        "arms": [row.json() for row in rows],
        "goals": [goal.json() for goal in goals],
        "check": check,
        "setting": setting,
    }
    path.write_text(json.dumps(told, indent=2) + "\n")
