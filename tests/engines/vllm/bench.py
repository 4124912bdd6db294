# SPDX-License-Identifier: Apache-2.0
"""bench.py - multi-round questions on a real engine: what a cache beside it saves, between
computing KV again and having all of it in the engine's own memory.

Sessions of one document each ask in turn, one request in flight; a question comes after the
document and all rounds before. A second workload asks about a new document each time: no cache can
help, and must not hurt. Arms (bench_arms.py) have the same engine arguments, and caches of the same
bytes; each repeat has documents of its own, and another order of arms. Prints a table a workload:
medians over repeats, lowest and highest behind. On a CPU, prefill is slow, which flatters every
cache: compare the arms, not these times with others'. Called by `make bench-engines`.
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import statistics
import sys

import engines
from bench_arms import ARMS

QUESTION, ANSWER = 40, 8  # tokens
BLOCK_BYTES = 2949120  # of this model, 128 tokens


def tokens_of(chosen, count):
    return [chosen.randrange(1000, 49000) for _ in range(count)]


def questions(workload, seed, shape):
    """Yields (prompt so far, what takes the answer) of each request in turn."""
    chosen = random.Random(f"{workload} {seed}")
    if workload == "no reuse":
        for _ in range(shape.sessions * shape.rounds):
            yield tokens_of(chosen, shape.document + QUESTION), lambda answer: None
        return
    sessions = [tokens_of(chosen, shape.document) for _ in range(shape.sessions)]
    for _ in range(shape.rounds):
        for session in sessions:
            session += tokens_of(chosen, QUESTION)
            yield session, session.extend


def one_repeat(engine, workload, seed, shape):
    """Returns: numbers by the names of COLUMNS."""
    firsts, between, reused, asked, seconds = [], [], 0, 0, 0.0
    external, cpu = engine.metrics().get("external_prefix_cache_hits", 0), engine.cpu_seconds()
    for prompt, take in questions(workload, seed, shape):
        answer = engine.timed(prompt=prompt, max_tokens=ANSWER)
        firsts.append(answer["first"])
        between.append(answer["between"])
        seconds += answer["seconds"]
        reused, asked = reused + answer["cached"], asked + len(prompt)
        take(answer["tokens"])
    external = engine.metrics().get("external_prefix_cache_hits", 0) - external
    requests = len(firsts)
    cpu = engine.cpu_seconds() - cpu
    return {"requests/s": requests / seconds, "CPU s/request": cpu / requests,
            "TTFT p50 s": statistics.median(firsts), "TTFT p99 s": max(firsts),
            "token s": statistics.mean(between), "reused %": 100 * reused / asked,
            "of the cache %": 100 * external / asked}


COLUMNS = {"requests/s": "{:.2f}", "CPU s/request": "{:.3f}", "TTFT p50 s": "{:.3f}",
           "TTFT p99 s": "{:.3f}", "token s": "{:.3f}", "reused %": "{:.0f}",
           "of the cache %": "{:.0f}"}


def spread(values, form):
    return f"{form} ({form}..{form})".format(statistics.median(values), min(values), max(values))


def table(results):
    print(f"{'arm':15}" + "".join(f"{name:22}" for name in COLUMNS))
    for arm, repeats in results.items():
        cells = (spread([each[name] for each in repeats], form) for name, form in COLUMNS.items())
        print(f"{arm:15}" + "".join(f"{cell:22}" for cell in cells), flush=True)


def measure(shape, arms, left_out):
    """Returns: {workload: {arm: [numbers of each repeat]}}."""
    results = {workload: {} for workload in shape.workloads}
    with contextlib.ExitStack() as close:
        running = {}
        tokens = shape.document + shape.rounds * (QUESTION + ANSWER)
        blocks = tokens // engines.BLOCK + 2
        facts = {"bytes": shape.cache_mib << 20, "few": blocks + 1,
                 "all": blocks * shape.sessions + 2, "tokens_max": blocks * engines.BLOCK}
        for arm in arms:
            print(f"bench-engines: starting {arm}", file=sys.stderr, flush=True)
            own = contextlib.ExitStack()
            try:
                running[arm] = ARMS[arm](arm, own, facts)
                one_repeat(running[arm].engine, "warm", 0, shape.small())
            except Exception as error:
                left_out[arm] = f"{type(error).__name__}: {error}"
                running.pop(arm, None)
                own.close()
            close.push(own)
        for repeat in range(1, shape.repeats + 1):
            for workload in shape.workloads:
                for arm in random.Random(repeat).sample(list(running), len(running)):
                    numbers = one_repeat(running[arm].engine, workload, repeat, shape)
                    results[workload].setdefault(arm, []).append(numbers)
            print(f"bench-engines: repeat {repeat} of {shape.repeats}", file=sys.stderr, flush=True)
    ordered = {workload: {arm: rows[arm] for arm in arms if arm in rows}
               for workload, rows in results.items()}
    return ordered


class Shape(argparse.Namespace):
    def small(self):
        """What warms up."""
        return Shape(sessions=1, rounds=2, document=engines.BLOCK, repeats=1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--document", type=int, default=640, help="tokens")
    parser.add_argument("--cache-mib", type=int, default=72, help="of each arm's cache")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--workloads", nargs="+", default=["rounds", "no reuse"],
                        choices=["rounds", "no reuse"])
    parser.add_argument("--out", type=pathlib.Path,
                        default=engines.ROOT / "build/bench/engines.json")
    shape = parser.parse_args(namespace=Shape())
    left_out = {}
    results = measure(shape, shape.arms, left_out)
    tokens = shape.document + shape.rounds * (QUESTION + ANSWER)
    kv = shape.sessions * tokens * BLOCK_BYTES / engines.BLOCK
    print(f"{shape.sessions} sessions of {shape.document} tokens, {shape.rounds} rounds, {ANSWER} "
          f"tokens an answer, {shape.repeats} repeats in random order; median (lowest..highest). "
          f"All KV together: {kv / 2**20:.0f} MiB; each cache has {shape.cache_mib}")
    for workload, rows in results.items():
        print(f"\n{workload}")
        table(rows)
    print("\nCPU s/request is of the engine's process, not of daemons beside it. TTFT p99 is the "
          "slowest of a repeat. `of the cache` is vLLM's external_prefix_cache_hits, `reused` has "
          f"the engine's own hits too. Load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} "
          "CPUs.")
    for arm, why in left_out.items():
        print(f"left out: {arm}: {why}")
    shape.out.parent.mkdir(parents=True, exist_ok=True)
    shape.out.write_text(json.dumps({"shape": {**vars(shape), "out": None}, "results": results,
                                     "left_out": left_out}, indent=1) + "\n")
    return not results.get("rounds", {}).get("exact") and "exact" in shape.arms


if __name__ == "__main__":
    sys.exit(main())
