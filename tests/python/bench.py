# SPDX-License-Identifier: Apache-2.0
"""bench.py - what the binding costs: a get of one block of 1 MiB a call against the same block as
one of a batch of 64, where the call is paid once for all. Run by `run --bench`; no test."""

import time

import daemon
import numpy as np

import speckv

LAYERS, HEADS, DIM, TOKENS, BLOCKS = 16, 8, 64, 32, 64
ROUNDS = 30


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main():
    server = daemon.Daemon(pool="256MiB")
    layout = speckv.Layout(dtype="f16", layers=LAYERS, kv_heads=HEADS, head_dim=DIM,
                           block_tokens=TOKENS, preset="exact")
    k = np.random.default_rng(1).standard_normal((BLOCKS, LAYERS, HEADS, TOKENS, DIM))
    k = k.astype(np.float16)
    keys = speckv.key_chain(np.arange(BLOCKS * TOKENS), TOKENS)
    with speckv.Session(socket=server.socket) as session:
        layout = session.register(layout)
        assert session.store(layout, layout.put_batch(keys, k, k, "blhtc")) == BLOCKS
        k2, v2 = np.zeros_like(k), np.zeros_like(k)
        whole = layout.get_batch(keys, k2, v2, "blhtc")
        single = [layout.get_batch(keys[i : i + 1], k2[i : i + 1], v2[i : i + 1], "blhtc")
                  for i in range(BLOCKS)]
        one, many = [], []
        for _ in range(ROUNDS):
            many.append(seconds(lambda: session.get(layout, whole)))
            one.append(seconds(lambda: [session.get(layout, batch) for batch in single]))
    server.close()
    one, many = sorted(one)[ROUNDS // 2] / BLOCKS, sorted(many)[ROUNDS // 2] / BLOCKS
    print(f"get of {layout.block_bytes >> 10} KiB from Python: {one * 1e6:.1f} us alone, "
          f"{many * 1e6:.1f} us in a batch of {BLOCKS}: {one / many:.3f} x")


if __name__ == "__main__":
    main()
