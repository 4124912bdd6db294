#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""calibrate_hf.py MODEL TEXT --out TABLE.chan - what speckv-calibrate does for GGUF,
for a Hugging Face model folder: E[q^2] and what is left of K, by forward hooks, in one table.

MODEL is a local folder. The table is found by the digest of the model's weights that the server
registers: of MODEL's files by the package speckv, as its adapters have it; of one other file by
--weights; or --digest says it in hex. Hooks sit where queries and keys are last
seen before RoPE: q_norm and k_norm where the model has them, else q_proj and k_proj; K is turned
here as the model's RoPE turns it. Needs numpy, torch and transformers, talks to no daemon. chanq
knows a RoPE's base and nothing else: linear factors make a layer's K compress worse, factors on
slow pairs alone (llama3, yarn) do not, others are refused.
"""

import argparse
import hashlib
import pathlib
import sys

import numpy as np

import chan_table

# Families whose RoPE turns neighbours (2i, 2i + 1); all others turn i and the one half a head on.
INTERLEAVED = {"cohere", "cohere2", "glm", "glm4"}


class Statistics:
    """Sums of one layer over a text: E[q^2] and residual for each kv head and pair."""

    def __init__(self, kv_heads, rope, page_tokens, half_split=True):
        """rope: rope_of()'s."""
        head_dim, rotated, theta, self.slower = rope
        self.kv_heads, self.head_dim, self.rotated = kv_heads, head_dim, rotated
        self.theta, self.page_tokens, self.half_split = theta, page_tokens, half_split
        self.first, self.second = chan_table.pairs_of(head_dim, rotated, half_split)
        self.energy = np.zeros((kv_heads, head_dim // 2))
        self.left = np.zeros((kv_heads, head_dim // 2))
        self.query_tokens = self.pages = 0

    def add_queries(self, q):
        """q: [tokens, heads, head_dim], before or after RoPE: the energy of a pair is the same."""
        group = q.shape[1] // self.kv_heads
        for head in range(self.kv_heads):
            mine = q[:, head * group : (head + 1) * group].reshape(-1, self.head_dim)
            mean = chan_table.query_energy(mine, self.first, self.second)
            self.energy[head] += mean * q.shape[0]
        self.query_tokens += q.shape[0]

    def add_keys(self, k):
        """k: [tokens, kv heads, head_dim] before RoPE, from position 0. Page 0 is stored otherwise
        and not counted."""
        angle = chan_table.angles(len(k), self.head_dim, self.rotated, self.theta) / self.slower
        for page in range(1, len(k) // self.page_tokens):
            rows = slice(page * self.page_tokens, (page + 1) * self.page_tokens)
            for head in range(self.kv_heads):
                turned = np.array(k[rows, head], dtype=np.float64)
                turned[:, self.first], turned[:, self.second] = chan_table.turn(
                    turned[:, self.first], turned[:, self.second], angle[rows]
                )
                self.left[head] += chan_table.residual(
                    turned, self.head_dim, self.rotated, self.half_split, self.theta
                )
            self.pages += 1

    def weights(self):
        if not self.query_tokens or not self.pages:
            raise ValueError("no queries or no whole page of keys were seen")
        cost = self.energy / self.query_tokens * (self.left / self.pages)
        return [[chan_table.weight_of(pair) for pair in head] for head in cost]


def parameters_of(config, layer):
    """What the config says of a layer's RoPE, older and newer transformers alike."""
    kinds = getattr(config, "layer_types", None)
    kind = kinds[layer] if kinds else "full_attention"
    new = getattr(config, "rope_parameters", None) or {}
    if kind in new or "full_attention" in new:
        return new.get(kind) or new["full_attention"]
    if new:
        return new
    local = getattr(config, "rope_local_base_freq", None)
    if local and kind == "sliding_attention":
        return {"rope_theta": local}
    old = getattr(config, "rope_scaling", None) or {}
    return {**old, "rope_theta": getattr(config, "rope_theta", None) or old.get("rope_theta")}


def rope_of(config, layer):
    """Returns: (head_dim, rotated channels, base, by what angles are smaller than the base says) of
    a layer, or stops with a sentence."""
    said = parameters_of(config, layer)
    kind, base = said.get("rope_type", said.get("type", "default")), said.get("rope_theta")
    if base is None:
        sys.exit("calibrate_hf: the model's config has no rope_theta: how K is turned is unknown")
    if kind not in ("default", "linear", "llama3", "yarn"):
        sys.exit(f"calibrate_hf: RoPE of type {kind} has factors that chanq does not know")
    head_dim = getattr(config, "head_dim", None) or (
        config.hidden_size // config.num_attention_heads
    )
    share = said.get("partial_rotary_factor", getattr(config, "partial_rotary_factor", None)) or 1.0
    slower = float(said.get("factor", 1)) if kind == "linear" else 1.0
    return head_dim, int(head_dim * share), float(base), slower


def by_token(values, tokens, heads, head_dim):
    """A projection's or norm's output, [1, tokens, heads * head_dim] or with the heads apart before
    or behind the tokens. Returns: [tokens, heads, head_dim], or stops with a sentence."""
    if values.ndim == 4 and values.shape[1] == heads and values.shape[2] == tokens != heads:
        values = values.swapaxes(1, 2)
    if values.size != tokens * heads * head_dim:
        sys.exit(
            f"calibrate_hf: queries or keys of shape {values.shape}; the config says {tokens} "
            f"tokens, {heads} heads, {head_dim} channels"
        )
    if not np.isfinite(values).all():
        sys.exit("calibrate_hf: the model computed NaN or infinity")
    return values.reshape(tokens, heads, head_dim)


def hook(module, add, tokens, heads, head_dim):
    def on_output(_module, _inputs, output):
        values = output.detach().float().cpu().numpy()
        add(by_token(values, tokens, heads, head_dim))

    return module.register_forward_hook(on_output)


def calibrate(model, config, token_ids, page_tokens):
    """Runs token_ids (a [1, n] tensor) through the model. Returns: [layers][kv heads][pairs]."""
    layers = model.get_decoder().layers if hasattr(model, "get_decoder") else model.model.layers
    statistics, hooks, tokens = [], [], token_ids.shape[1]
    for number, layer in enumerate(layers):
        rope = rope_of(config, number)
        head_dim, kv_heads = rope[0], config.num_key_value_heads
        half_split = getattr(config, "model_type", "") not in INTERLEAVED
        mine = Statistics(kv_heads, rope, page_tokens, half_split)
        attention = layer.self_attn
        if not hasattr(attention, "q_proj") or not hasattr(attention, "k_proj"):
            sys.exit(
                "calibrate_hf: an attention without q_proj and k_proj (fused projections, MLA) "
                "cannot be measured; store such layouts as raw or q8"
            )
        q = getattr(attention, "q_norm", None) or attention.q_proj
        k = getattr(attention, "k_norm", None) or attention.k_proj
        hooks.append(hook(q, mine.add_queries, tokens, config.num_attention_heads, head_dim))
        hooks.append(hook(k, mine.add_keys, tokens, kv_heads, head_dim))
        statistics.append(mine)
    try:
        model(token_ids, use_cache=False)
    finally:
        for each in hooks:
            each.remove()
    return [mine.weights() for mine in statistics]


def digest_of_model(model):
    """Beside this file are the package's sources, which are not built there: the installed one."""
    here = pathlib.Path(__file__).resolve().parent
    sys.path[:] = [each for each in sys.path if pathlib.Path(each).resolve() != here]
    try:
        import speckv
    except ImportError:
        sys.exit("calibrate_hf: the package speckv is not installed: pip install "
                 "./libspeckv/python, or give --weights or --digest")
    return speckv.model_digest(model)


def digest_of(arguments):
    if arguments.digest:
        return bytes.fromhex(arguments.digest)
    if not arguments.weights:
        return digest_of_model(arguments.model)
    sha = hashlib.sha256()
    with open(arguments.weights, "rb") as file:
        while chunk := file.read(1 << 20):
            sha.update(chunk)
    return sha.digest()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="folder of a Hugging Face model")
    parser.add_argument("text")
    parser.add_argument("--out", required=True)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--weights", help="file whose SHA-256 is the layout's weights digest")
    which.add_argument("--digest", help="the digest itself, 64 hexadecimal digits")
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--page-tokens", type=int, default=32, choices=(16, 32, 64))
    arguments = parser.parse_args()
    try:
        import torch
        import transformers
    except ImportError as error:
        sys.exit(f"calibrate_hf: {error.name} is not installed; it comes with the server's Python")
    model = transformers.AutoModelForCausalLM.from_pretrained(arguments.model).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
    text = pathlib.Path(arguments.text).read_text(encoding="utf-8", errors="replace")
    ids = tokenizer(text, return_tensors="pt").input_ids[:, : arguments.tokens]
    if ids.shape[1] < 4 * arguments.page_tokens:
        sys.exit(f"calibrate_hf: the text has {ids.shape[1]} tokens; four pages are needed")
    config = getattr(model.config, "text_config", None) or model.config
    with torch.no_grad():
        weights = calibrate(model, config, ids, arguments.page_tokens)
    table = chan_table.write(weights, digest_of(arguments))
    pathlib.Path(arguments.out).write_bytes(table)
    print(f"{arguments.out}: {len(table)} bytes, {len(weights)} layers")


if __name__ == "__main__":
    main()
