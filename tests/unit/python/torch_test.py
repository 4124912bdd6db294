#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""torch_test.py - calibrate_hf's hooks on small models of real torch modules: the weights are those
one gets from the queries and keys after RoPE, in plain loops; what it cannot measure it refuses.
Ends with "N passed, N failed". Part of make test-all: torch is large."""

import math
import pathlib
import sys
import unittest

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "libspeckv" / "python"))
import calibrate_hf  # noqa: E402

TOKENS, PAGE, LAYERS = 150, 16, 2


class HeadsFirst(torch.nn.Module):
    """A norm before RoPE that sees [1, heads, tokens, head_dim], as Gemma's does."""

    def forward(self, x):
        return x * 0.5


class Attention(torch.nn.Module):
    def __init__(self, config, normed):
        super().__init__()
        self.config = config
        self.q_proj = torch.nn.Linear(32, config.num_attention_heads * config.head_dim)
        self.k_proj = torch.nn.Linear(32, config.num_key_value_heads * config.head_dim)
        if normed:
            self.q_norm, self.k_norm = HeadsFirst(), HeadsFirst()

    def heads(self, x, norm):
        x = x.reshape(1, TOKENS, -1, self.config.head_dim).transpose(1, 2)
        x = norm(x) if norm else x
        return x[0].transpose(0, 1).detach().double()

    def forward(self, x):
        q, k = self.q_proj(x), self.k_proj(x)
        self.seen = (self.heads(q, getattr(self, "q_norm", None)),
                     self.heads(k, getattr(self, "k_norm", None)))
        return x + q[..., :32] * 0.1


class Layer(torch.nn.Module):
    def __init__(self, config, normed):
        super().__init__()
        self.self_attn = Attention(config, normed)


class Model(torch.nn.Module):
    """Only looks like a language model to hooks."""

    def __init__(self, kv_heads=2, normed=False, **config):
        super().__init__()
        self.config = type("Config", (), {
            "num_attention_heads": 4, "num_key_value_heads": kv_heads, "head_dim": 16,
            "hidden_size": 64, "rope_theta": 100.0, "model_type": "llama", **config})()
        self.embed = torch.nn.Embedding(64, 32)
        self.model = torch.nn.Module()
        self.model.layers = torch.nn.ModuleList(Layer(self.config, normed) for _ in range(LAYERS))

    def forward(self, ids, use_cache):
        x = self.embed(ids)
        for layer in self.model.layers:
            x = layer.self_attn(x)


def pairs(config):
    """(first, second, angle per token) of each pair, as a model's RoPE turns them."""
    dim = config.head_dim
    turned = int(dim * getattr(config, "partial_rotary_factor", 1.0))
    for i in range(dim // 2):
        speed = config.rope_theta ** (-2 * i / turned) if i < turned // 2 else 0.0
        if config.model_type == "cohere":
            yield 2 * i, 2 * i + 1, speed
        elif i < turned // 2:
            yield i, i + turned // 2, speed
        else:
            yield i + turned // 2, i + dim // 2, speed


def expected(config, q, k):
    """256 * log2(E[q^2] * reach^2), [kv heads][pairs]; a page's K turned by its start alone."""
    group, weights = q.shape[1] // k.shape[1], []
    for head in range(k.shape[1]):
        row = []
        for a, b, speed in pairs(config):
            mine = q[:, head * group:(head + 1) * group]
            energy = float((mine[..., a] ** 2 + mine[..., b] ** 2).mean()) / 2
            reaches = []
            for page in range(1, TOKENS // PAGE):
                c, s = math.cos(page * PAGE * speed), math.sin(page * PAGE * speed)
                rows = k[page * PAGE:(page + 1) * PAGE, head]
                for values in (rows[:, a] * c - rows[:, b] * s, rows[:, b] * c + rows[:, a] * s):
                    reaches.append(float((values.max() - values.min()) / 2) ** 2)
            row.append(256 * math.log2(energy * sum(reaches) / len(reaches)))
        weights.append(row)
    return weights


def calibrated(model):
    torch.manual_seed(7)
    with torch.no_grad():
        return calibrate_hf.calibrate(model, model.config, torch.randint(0, 64, (1, TOKENS)), PAGE)


class Measures(unittest.TestCase):
    def check(self, model):
        found = calibrated(model)
        for got, layer in zip(found, model.model.layers, strict=True):
            want = expected(model.config, *layer.self_attn.seen)
            for mine, theirs in zip(got, want, strict=True):
                for x, y in zip(mine, theirs, strict=True):
                    self.assertLess(abs(x - y), 2)  # of 512 for a bit; the codec turns in 1/16384

    def test_half_split(self):
        self.check(Model())

    def test_partial_rotary(self):
        self.check(Model(partial_rotary_factor=0.5))

    def test_interleaved(self):
        self.check(Model(model_type="cohere"))

    def test_one_kv_head_for_all(self):
        self.check(Model(kv_heads=1))

    def test_norms_that_see_heads_first(self):
        self.check(Model(normed=True))

    def test_hooks_are_gone_afterwards(self):
        model = Model()
        calibrated(model)
        self.assertFalse(model.model.layers[0].self_attn.q_proj._forward_hooks)


class Refuses(unittest.TestCase):
    def refused(self, words, model):
        with self.assertRaisesRegex(SystemExit, words):
            calibrated(model)

    def test_fused_projections(self):
        model = Model()
        del model.model.layers[1].self_attn.k_proj
        self.refused("q_proj and k_proj", model)

    def test_another_number_of_heads(self):
        model = Model()
        model.config.num_key_value_heads = 4
        self.refused("the config says 150 tokens, 4 heads", model)

    def test_not_finite(self):
        model = Model()
        with torch.no_grad():
            model.model.layers[1].self_attn.k_proj.bias[3] = float("inf")
        self.refused("NaN or infinity", model)


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=0).result
    bad = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - bad} passed, {bad} failed")
    sys.exit(bad != 0)
