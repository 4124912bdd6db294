# SPDX-License-Identifier: Apache-2.0
"""report.py - report.html: one self-contained page, plots as inline SVG, no script and nothing
fetched. The story first: what one gains, what it costs, then the table and how it was measured."""

import html

import arms
from figures import MIB, quantile, spread

STYLE = """<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:58rem;margin:2rem auto;padding:0 1rem;color:#222}
h1{font-size:1.6rem;margin-bottom:.3rem}h2{font-size:1.1rem;margin:2.2rem 0 .4rem}
.lead{font-size:1.15rem}.note,figcaption{color:#666;font-size:13px}
table{border-collapse:collapse;width:100%;font-size:13px}
td,th{padding:.25rem .5rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}tr.ours td:first-child{color:#1f6fb2}
svg{width:100%;height:auto;font:13px system-ui,sans-serif}
.wrong{color:#b00020;font-weight:600}
</style>"""
OURS, DEFAULT, OTHERS = "#8db8dc", "#1f6fb2", "#b5b5b5"


def colour(name):
    if name == arms.speckv_name(arms.DEFAULT):
        return DEFAULT
    return OURS if name.startswith("speckv") else OTHERS


def svg(height, label):
    return f'<svg viewBox="0 0 760 {height}" role="img" aria-label="{label}">'


def bars(rows):
    """Requests a second, a bar an arm, its repeats as a thin line."""
    top = max(max(row.rates) for row in rows)
    step, left, width = 26, 190, 470
    out = [
        svg(len(rows) * step + 6, "Requests per second"),
    ]
    for number, row in enumerate(rows):
        y = 4 + number * step
        length, low, high = (
            width * each / top for each in (row.rate, min(row.rates), max(row.rates))
        )
        out.append(
            f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{row.name}</text>'
            f'<rect x="{left}" y="{y + 3}" width="{length:.1f}" height="17" '
            f'fill="{colour(row.name)}"/>'
            f'<line x1="{left + low:.1f}" x2="{left + high:.1f}" y1="{y + 11.5}" y2="{y + 11.5}" '
            f'stroke="#222"/><text x="{left + high + 6:.1f}" y="{y + 15}">{row.rate:.2f}</text>'
        )
    return "\n".join([*out, "</svg>"])


def chosen(rows):
    """The arms that the lines show: the three that matter to a reader, and ours."""
    wanted = (arms.ALONE, arms.OWN_CACHE, arms.BOUND, arms.speckv_name(arms.DEFAULT))
    return [row for row in rows if row.name in wanted]


def lines(rows):
    """Median TTFT of each round."""
    shown = chosen(rows)
    rounds = len(shown[0].ttft_by_round)
    top = max(max(row.ttft_by_round) for row in shown) or 1
    left, width, height = 60, 470, 230

    def x(turn):
        return left + width * turn / max(1, rounds - 1)

    def y(value):
        return 10 + height * (1 - value / top)

    out = ['<svg viewBox="0 0 760 275" role="img" aria-label="Time to first token by round">']
    for tick in range(5):
        value = top * tick / 4
        out.append(
            f'<line x1="{left}" x2="{left + width}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
            f'stroke="#eee"/><text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">'
            f"{value / 1000:.1f}</text>"
        )
    out += [
        f'<text x="{x(turn):.0f}" y="262" text-anchor="middle">{turn + 1}</text>'
        for turn in range(rounds)
    ]
    dashes = {arms.ALONE: "", arms.OWN_CACHE: "6 4", arms.BOUND: "2 3"}
    labels = []
    for row in shown:
        ink = DEFAULT if row.name.startswith("speckv") else "#777"
        points = " ".join(
            f"{x(turn):.1f},{y(value):.1f}" for turn, value in enumerate(row.ttft_by_round)
        )
        out.append(
            f'<polyline fill="none" stroke-width="2" stroke="{ink}" '
            f'stroke-dasharray="{dashes.get(row.name, "")}" points="{points}"/>'
        )
        labels.append((y(row.ttft_by_round[-1]), row.name, ink))
    place = -20
    for at, name, ink in sorted(labels):
        place = max(at + 4, place + 17)  # no label on another one
        out.append(f'<text x="{left + width + 10}" y="{place:.0f}" fill="{ink}">{name}</text>')
    return "\n".join([*out, "</svg>"])


def loss(rows):
    """What each preset costs against what it saves."""
    shown = [row for row in rows if row.quality and row.ratio]
    wide = max(row.ratio for row in shown)
    tall = max(row.quality["kld_mean"] + row.quality["kld_se"] for row in shown) or 1e-6
    out = [
        svg(280, "KL divergence against compression ratio"),
        '<line x1="80" x2="620" y1="235" y2="235" stroke="#999"/>'
        '<line x1="80" x2="80" y1="20" y2="235" stroke="#999"/>'
        '<text x="350" y="272" text-anchor="middle">raw bytes / stored bytes</text>'
        '<text x="76" y="14" text-anchor="end">KLD, nats</text>'
        f'<text x="74" y="32" text-anchor="end">{tall:.4f}</text>'
        '<text x="74" y="239" text-anchor="end">0</text>',
    ]
    for row in shown:
        x, y = 80 + 500 * row.ratio / wide, 235 - 205 * row.quality["kld_mean"] / tall
        name = row.name.removeprefix("speckv ")
        out.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour(row.name)}"/>'
            f'<text x="{x + 9:.1f}" y="{y - 7:.1f}">{name}</text>'
            f'<text x="{x:.1f}" y="252" text-anchor="middle">{row.ratio:.2f}</text>'
        )
    return "\n".join([*out, "</svg>"])


def table(rows):
    head = (
        "arm",
        "requests/s",
        "spread %",
        "CPU s a request",
        "TTFT p50 ms",
        "TTFT p99 ms",
        "token ms",
        "tokens reused",
        "stored MiB",
        "ratio",
        "KLD",
        "same top-1 %",
    )
    out = ["<table><tr>" + "".join(f"<th>{word}</th>" for word in head) + "</tr>"]
    for row in rows:
        cost = row.quality
        cells = [
            row.name,
            f"{row.rate:.3f}",
            f"{spread(row):.0f}",
            f"{row.cpu:.2f}",
            f"{quantile(row.ttft, 0.5):.0f}",
            f"{quantile(row.ttft, 0.99):.0f}",
            f"{quantile(row.gaps, 0.5):.1f}",
            str(row.reused),
            f"{row.stored_bytes / MIB:.1f}" if row.stored_bytes else "-",
            f"{row.ratio:.2f}" if row.ratio else "-",
            f"{cost['kld_mean']:.5f} ± {cost['kld_se']:.5f}" if cost else "-",
            f"{100 * cost['top1_same']:.2f} ± {100 * cost['top1_se']:.2f}" if cost else "-",
        ]
        mark = ' class="ours"' if row.name.startswith("speckv") else ""
        out.append(f"<tr{mark}>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return "\n".join([*out, "</table>"])


def lead(rows):
    """The story in two sentences."""
    named = {row.name: row for row in rows}
    ours, alone = named[arms.speckv_name(arms.DEFAULT)], named[arms.ALONE]
    bound, own = named[arms.BOUND], named[arms.OWN_CACHE]
    return (
        f"With speckv ({arms.DEFAULT}) the same llama-server answers "
        f"{ours.rate / alone.rate:.1f} times as many requests as alone, "
        f"{ours.rate / own.rate:.2f} times as many as with its own cache of the same bytes; a "
        f"server that could keep everything reaches {bound.rate / alone.rate:.1f}. The first "
        f"token comes after {quantile(ours.ttft, 0.5) / 1000:.1f} s instead of "
        f"{quantile(alone.ttft, 0.5) / 1000:.1f} s (medians)."
    )


def goal_table(goals):
    out = ["<table><tr><th>goal</th><th>measured</th><th>wanted</th><th></th></tr>"]
    for goal in goals:
        state = "reached" if goal.reached else "not reached"
        out.append(
            f"<tr><td>{html.escape(goal.name)}</td><td>{goal.value:.2f}</td>"
            f"<td>{goal.goal:.2f}</td><td>{state}</td></tr>"
        )
    return "\n".join([*out, "</table>"])


def write(path, rows, goals, story, good):
    (asked, place), check = story
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>speckv: llama-server with and without</title>{STYLE}</head><body>",
        "<h1>llama-server with and without speckv</h1>",
        f'<p class="lead">{lead(rows)}</p>',
        f'<p class="{"note" if good else "wrong"}">Answers: {html.escape(check)}.</p>',
        f"<h2>Requests per second</h2>{bars(rows)}",
        f"<h2>Time to first token, by round, median, seconds</h2>{lines(rows)}",
        f"<h2>What a preset costs, and what it saves</h2>{loss(rows)}",
        f"<h2>All figures</h2>{table(rows)}",
        f"<h2>Goals</h2>{goal_table(goals)}",
        f'<h2>How it was measured</h2><p class="note">{html.escape(asked)}. {html.escape(place)}. '
        "Every round resends the session's history; documents are computed once in every arm "
        "before its clock starts, but for “no reuse”. Each arm is a stock llama-server of its own "
        "on processors of its own; clients and the daemon run on the others. A CPU prefills "
        "slowly, which flatters every cache: this says nothing about a GPU.</p></body></html>",
    ]
    path.write_text("\n".join(parts) + "\n")
