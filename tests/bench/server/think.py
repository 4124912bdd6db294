# SPDX-License-Identifier: Apache-2.0
"""think.py ENGINE BUILD WORKLOAD quick|full OUT TABLES - sessions that come back after they have
thought, before a real llama-server whose pool is too small for them: how long the first token takes
when what left the pool is gone, is read back from the tier below when it is asked for, or was
fetched ahead by a guess. `make bench-think`.

Every session speaks each ROUND_S seconds, one after the other, so that the server is idle in
between and TTFT is that of one request. Arms in shuffled order; the tier's file is in OUT. Prints a
table: medians, 99th percentiles, and how much of the prompts was not computed anew."""

import pathlib
import random
import statistics
import sys
import time

import client
import main as bench
import measure
from arms import DEFAULT, Arm
from processes import Daemon, stop_all

ROUND_S = 20
POOL_SHARE = 0.35  # of what all sessions' KV takes as it is stored
STORED_SHARE = 0.52  # of raw bytes, by the default preset

ARMS = {
    "pool alone": None,
    "tier below, on demand": "speculation = false\n",
    "tier below, guesses": "speculation = true\n",
}


def pool_bytes(load):
    unit = 2 << 20
    return int(load.kv_bytes() * STORED_SHARE * POOL_SHARE) // unit * unit


def run_arm(name, lines, load, place):
    """Returns: (samples of the rounds after the first, the namespace's status)."""
    below = place.out / "below"
    more = ""
    if lines is not None:
        more = f'spill_path = "{below}"\nspill_bytes = {load.kv_bytes() * 2}\n{lines}'
    daemon = Daemon(
        place.build / "bin", place.out, pool_bytes(load), DEFAULT, place.tables, more
    )
    arm = Arm(f"think {name}", ("-sps", "0"), preset=DEFAULT)
    server = place.server(arm, load, daemon)
    said = [list(document) for document in load.documents]
    samples = []
    for round_ in range(load.rounds):
        begin = time.monotonic()
        for session in range(load.sessions):
            until = begin + session * ROUND_S / load.sessions
            time.sleep(max(0.0, until - time.monotonic()))
            prompt = said[session] + load.questions[round_]
            sample = client.ask(server.port, prompt, load.answer_tokens, session, round_)
            said[session] = prompt + sample.answer
            if round_ > 0:
                samples.append(sample)
        print(f"{name}: round {round_ + 1} of {load.rounds}", file=sys.stderr)
        time.sleep(max(0.0, begin + ROUND_S - time.monotonic()))
    status, _ = daemon.status()
    server.stop()
    daemon.stop()
    below.unlink(missing_ok=True)
    return samples, status


def row(name, samples, status):
    times = sorted(sample.ttft for sample in samples)
    reused = sum(sample.reused for sample in samples)
    asked = sum(len(sample.prompt) for sample in samples)
    late = times[min(len(times) - 1, int(len(times) * 0.99))]
    spill = status.get("spill") or {}
    return (
        f"{name:<24}{statistics.median(times) * 1000:>9.0f}{late * 1000:>9.0f}"
        f"{reused / asked:>9.1%}{spill.get('promoted_blocks', 0):>11}"
    )


def run(engine, build, file, scale, out, tables):
    load = bench.load_workload(engine, file, scale, out)
    place = measure.Place(engine, build, out, tables)
    order = list(ARMS.items())
    random.Random(load.toml["load"]["seed"]).shuffle(order)
    rows = {name: row(name, *run_arm(name, lines, load, place)) for name, lines in order}
    prompt = sum(load.prompt_tokens(turn) for turn in range(1, load.rounds)) // (load.rounds - 1)
    print(
        f"{load.sessions} sessions, each speaks every {ROUND_S} s, {load.rounds} times; prompts of "
        f"{prompt} tokens; pool of {pool_bytes(load) >> 20} MiB, preset {DEFAULT}"
    )
    print(f"{'':<24}{'TTFT p50':>9}{'p99, ms':>9}{'reused':>9}{'came up':>11}")
    print("\n".join(rows[name] for name in ARMS))


if __name__ == "__main__":
    words = sys.argv[1:]
    try:
        paths = [pathlib.Path(word).resolve() for word in words[:3]]
        run(*paths, words[3], pathlib.Path(words[4]).resolve(), pathlib.Path(words[5]).resolve())
    except (OSError, ValueError) as error:
        sys.exit(f"think: {error}")
    finally:
        stop_all()
