# SPDX-License-Identifier: Apache-2.0
"""bench.py - multi-round questions on a real engine: what loading KV from the pool saves, between
computing it again and having all of it in the engine's own memory.

Sessions of one document each ask in turn; a question comes after the document and all rounds
before. Arms, with the same arguments but the blocks of the engine's own KV cache: `none` (room for
one session, no connector), `speckv` (the same room, and the pool), `resident` (room for all). Each
repeat has documents of its own. Prints a table: medians over repeats, lowest and highest behind.
On a CPU, prefill is slow, which flatters every cache: compare the arms, not these times with
others'. Called by `make bench-engines`.
"""

import argparse
import random
import statistics
import time

import engines
from engines import Engine

import daemon

SESSIONS, ROUNDS, QUESTION, ANSWER = 4, 4, 40, 8
BLOCKS = {"none": 9, "speckv": 9, "resident": 60}  # 9: one session's 7 of 896 tokens, and the next


def one_repeat(engine, seed, document):
    """Returns: (requests a second, CPU seconds a request, first-token times, share of prompt tokens
    that were not computed)."""
    chosen = random.Random(seed)
    sessions = [[chosen.randrange(1000, 49000) for _ in range(document)] for _ in range(SESSIONS)]
    firsts, reused, asked, cpu, begun = [], 0, 0, engine.cpu_seconds(), time.monotonic()
    for _ in range(ROUNDS):
        for session in sessions:
            session += [chosen.randrange(1000, 49000) for _ in range(QUESTION)]
            tokens, cached, first = engine.timed(prompt=session, max_tokens=ANSWER)
            firsts.append(first)
            reused, asked = reused + cached, asked + len(session)
            session += tokens
    requests = SESSIONS * ROUNDS
    return (requests / (time.monotonic() - begun), (engine.cpu_seconds() - cpu) / requests, firsts,
            reused / asked)


def spread(values, form):
    return f"{form} ({form}..{form})".format(statistics.median(values), min(values), max(values))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--document", type=int, default=640, help="tokens")
    arguments = parser.parse_args()
    server = daemon.Daemon(pool="1GiB")
    running, results = {}, {arm: [] for arm in BLOCKS}
    try:
        for arm, blocks in BLOCKS.items():
            running[arm] = Engine(f"bench-{arm}", server if arm == "speckv" else None,
                                  num_gpu_blocks_override=blocks)
            one_repeat(running[arm], 0, engines.BLOCK)  # warms up
        for repeat in range(1, arguments.repeats + 1):
            for arm in random.Random(repeat).sample(list(BLOCKS), len(BLOCKS)):
                results[arm].append(one_repeat(running[arm], repeat, arguments.document))
    finally:
        for engine in running.values():
            engine.close()
        server.close()
    print(f"{SESSIONS} sessions of {arguments.document} tokens, {ROUNDS} rounds, {ANSWER} tokens "
          f"an answer, {arguments.repeats} repeats in random order; median (lowest..highest)")
    print(f"{'arm':9} {'requests/s':23} {'CPU s/request':23} {'TTFT p50 s':23} reused")
    for arm, rows in results.items():
        rates, cpu, firsts, reused = zip(*rows)
        middle = [statistics.median(each) for each in firsts]
        print(f"{arm:9} {spread(rates, '{:.2f}'):23} {spread(cpu, '{:.3f}'):23} "
              f"{spread(middle, '{:.3f}'):23} {statistics.median(reused):.0%}")


if __name__ == "__main__":
    main()
