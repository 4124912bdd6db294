# SPDX-License-Identifier: Apache-2.0
"""chan_table_test.py REFERENCE - proves that libspeckv/python makes, of the same pages and queries,
the same bytes of table as the codec room (REFERENCE prints those), and that the Hugging Face hooks
collect what they should from a model that is only a stand-in. Skipped (77) without numpy."""

import pathlib
import subprocess
import sys
import types

try:
    import numpy as np
except ImportError:
    print("skipped: numpy (Debian's python3-numpy) is not there")
    sys.exit(77)

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "libspeckv" / "python"))
import calibrate_hf  # noqa: E402
import chan_table  # noqa: E402

LAYERS, HEADS, DIM, TOKENS, PAGES = 2, 2, 64, 32, 3


class Numbers:
    def __init__(self):
        self.state = 1

    def array(self, *shape):
        values = []
        for _ in range(int(np.prod(shape))):
            self.state = (self.state * 1664525 + 1013904223) % 2**32
            values.append((self.state >> 8) % 2001 - 1000)
        return np.array(values, dtype=np.float64).reshape(shape) / 256


def expected_table(rotated, half_split):
    numbers, weights = Numbers(), []
    first, second = chan_table.pairs_of(DIM, rotated, half_split)
    for _ in range(LAYERS * HEADS):
        left = sum(
            chan_table.residual(numbers.array(TOKENS, DIM), DIM, rotated, half_split, 1e4)
            for _ in range(PAGES)
        )
        energy = chan_table.query_energy(numbers.array(1, DIM), first, second)
        weights.append([chan_table.weight_of(x) for x in energy * (left / PAGES)])
    table = np.array(weights).reshape(LAYERS, HEADS, DIM // 2)
    return chan_table.write(table, bytes(range(32)))


class Tensor:
    """As much of a torch tensor as a hook touches."""

    def __init__(self, values):
        self.values = values

    def detach(self):
        return self

    float = cpu = detach

    def numpy(self):
        return self.values


class Module:
    def __init__(self, values):
        self.values, self.hooks = values, []

    def register_forward_hook(self, hook):
        self.hooks.append(hook)
        return types.SimpleNamespace(remove=lambda: self.hooks.remove(hook))

    def run(self):
        for each in list(self.hooks):
            each(self, (), Tensor(self.values))


def hooks_collect(slower):
    random = np.random.default_rng(3)
    q, k = random.normal(size=(128, 4 * DIM)), random.normal(size=(128, HEADS * DIM))
    attention = types.SimpleNamespace(q_proj=Module(q), k_proj=Module(k))
    layer = types.SimpleNamespace(self_attn=attention)

    class Model:
        model = types.SimpleNamespace(layers=[layer])

        def __call__(self, ids, use_cache):
            attention.q_proj.run()
            attention.k_proj.run()

    config = types.SimpleNamespace(
        head_dim=DIM, num_attention_heads=4, num_key_value_heads=HEADS, rope_theta=1e4,
        rope_scaling={"rope_type": "linear", "factor": slower},
    )  # fmt: skip
    got = calibrate_hf.calibrate(Model(), config, np.zeros((1, 128)), TOKENS)
    first, second = chan_table.pairs_of(DIM, DIM, True)
    keys = k.reshape(128, HEADS, DIM)
    turned = keys.copy()
    angle = chan_table.angles(128, DIM, DIM, 1e4)[:, None, :] / slower
    turned[..., first], turned[..., second] = chan_table.turn(
        keys[..., first], keys[..., second], angle
    )
    for head in range(HEADS):
        left = sum(
            chan_table.residual(turned[i : i + 32, head], DIM, DIM, True, 1e4) for i in (32, 64, 96)
        )
        queries = q.reshape(128, 4, DIM)[:, 2 * head : 2 * head + 2].reshape(-1, DIM)
        energy = chan_table.query_energy(queries, first, second)
        want = [chan_table.weight_of(x) for x in energy * left / 3]
        if max(abs(a - b) for a, b in zip(got[0][head], want)) > 1:
            sys.exit(f"head {head}: the hooks' weights differ from the model's own K and Q")
    if attention.q_proj.hooks or attention.k_proj.hooks:
        sys.exit("hooks were left behind")


def refused_configs():
    unknown = {"rope_theta": 1e4, "rope_scaling": {"rope_type": "dynamic"}}
    for bad in ({"rope_theta": None}, unknown):
        config = types.SimpleNamespace(hidden_size=64, num_attention_heads=1, **bad)
        try:
            calibrate_hf.rope_of(config, 0)
        except SystemExit as stop:
            if "RoPE" in str(stop) or "rope_theta" in str(stop):
                continue
        sys.exit(f"{bad} was taken")


def read_configs():
    """Layers 0 (a window) and 1 of configs as transformers 4 and 5 have them."""
    kinds = ["sliding_attention", "full_attention"]
    linear = {"rope_type": "linear", "factor": 8.0}
    scaled = {"rope_theta": 1e6, **linear}
    cases = (
        ({"rope_theta": 1e5}, (64, 64, 1e5, 1), (64, 64, 1e5, 1)),
        ({"rope_theta": 1e6, "rope_scaling": linear, "rope_local_base_freq": 1e4,
          "layer_types": kinds}, (64, 64, 1e4, 1), (64, 64, 1e6, 8)),
        ({"layer_types": kinds,
          "rope_parameters": {"sliding_attention": {"rope_theta": 1e4}, "full_attention": scaled}},
         (64, 64, 1e4, 1), (64, 64, 1e6, 8)),
        ({"rope_parameters": {"rope_theta": 5e5, "rope_type": "llama3", "factor": 32.0,
                              "partial_rotary_factor": 0.5}}, (64, 32, 5e5, 1), (64, 32, 5e5, 1)),
    )  # fmt: skip
    for given, *wanted in cases:
        config = types.SimpleNamespace(hidden_size=64, num_attention_heads=1, **given)
        got = [calibrate_hf.rope_of(config, layer) for layer in (0, 1)]
        if got != wanted:
            sys.exit(f"{given} was read as {got}, expected {wanted}")


def main():
    for words, rotated, half_split in (([], 64, False), (["half"], 48, True)):
        printed = subprocess.run([sys.argv[1], *words], capture_output=True, text=True, check=True)
        want, got = bytes.fromhex(printed.stdout.strip()), expected_table(rotated, half_split)
        if want != got:
            at = next(i for i, (a, b) in enumerate(zip(want, got)) if a != b)
            sys.exit(f"{words or 'interleaved'}: tables differ from byte {at} on")
    for slower in (1, 8):
        hooks_collect(slower)
    read_configs()
    refused_configs()
    print("4 parts passed")


main()
