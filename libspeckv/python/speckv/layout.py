# SPDX-License-Identifier: Apache-2.0
"""Layout: what the bytes of a block mean (speckv/layout.h), with names instead of numbers."""

import dataclasses

import numpy as np

from . import _core, abi
from .batch import GetBatch, PutBatch

DTYPES = {"f16": 1, "bf16": 2, "f8": 3}
VALUE_BYTES = {"f16": 2, "bf16": 2, "f8": 1}
PRESETS = {"daemon": 0, "exact": 1, "q8": 2, "near-lossless": 3, "balanced": 4, "compact": 5,
           "tight": 6, "lossless": 7}
ROPES = {"none": 0, "interleaved": 1, "half": 2}


def _choice(what, name, choices):
    if name not in choices:
        raise ValueError(f"{what}: {name!r} is none of {', '.join(choices)}")
    return choices[name]


@dataclasses.dataclass(frozen=True)
class Layout:
    """How one engine lays out the KV of one model. Checked when it is made: ValueError with the
    library's sentence.

    `weights_digest` and `variant_digest` (bytes of 32) say whose KV this is: see file_digest() and
    variant_digest(). `rope_theta` is the base of every layer, or one a layer. Block i of a batch,
    value (layer, head, token, channel) of K and of V: shapes and strides are put_batch()'s matter.
    `side_bytes`: of a block, beside its KV: the state of recurrent layers, an indexer's keys.
    """

    dtype: str
    layers: int
    kv_heads: int
    head_dim: int
    block_tokens: int
    page_tokens: int = 32
    rope: str = "none"
    rope_dims: int = 0
    rope_theta: object = 0.0
    rank: int = 0
    world: int = 1
    first_layer: int = 0
    side_bytes: int = 0
    preset: str = "daemon"
    weights_digest: bytes = bytes(32)
    variant_digest: bytes = bytes(32)
    number: int | None = dataclasses.field(default=None, compare=False)

    def __post_init__(self):
        _core.layout_check(self.struct())

    def struct(self):
        """The C struct speckv_layout, an array of one."""
        desc = np.zeros(1, abi.layout)
        desc["size"] = abi.layout.itemsize
        desc["dtype"] = _choice("dtype", self.dtype, DTYPES)
        desc["rope"] = _choice("rope", self.rope, ROPES)
        desc["preset"] = _choice("preset", self.preset, PRESETS)
        for name in ("layers", "kv_heads", "head_dim", "block_tokens", "page_tokens", "rank",
                     "world", "rope_dims", "first_layer", "side_bytes"):
            desc[name] = getattr(self, name)
        for name in ("weights_digest", "variant_digest"):
            digest = bytes(getattr(self, name))
            if len(digest) != 32:
                raise ValueError(f"{name}: {len(digest)} bytes; expected 32")
            desc[name] = np.frombuffer(digest, np.uint8)
        theta = np.atleast_1d(np.asarray(self.rope_theta, np.float32))
        if theta.size not in (1, self.layers):
            raise ValueError(f"rope_theta: {theta.size} values; expected 1 or {self.layers}")
        desc["rope_theta"][0, : theta.size] = theta
        return desc

    @property
    def value_bytes(self):
        return VALUE_BYTES[self.dtype]

    @property
    def block_bytes(self):
        """Bytes of one block as the engine holds it: all layers, K and V, and side bytes."""
        return _core.block_bytes(self.struct())

    @property
    def fingerprint(self):
        return _core.layout_fingerprint(self.struct())

    def block_ids(self, keys):
        """The ids by which a Follower names blocks of this layout: uint8 [n, 32]. Of ids: keys."""
        keys = np.ascontiguousarray(keys, np.uint8).reshape(-1, 32)
        ids = np.empty_like(keys)
        if len(keys):
            _core.block_ids(self.struct(), keys, ids)
        return ids

    def put_batch(self, keys, k, v, axes, **facts):
        """Operations for Session.put() and store(): see PutBatch."""
        return PutBatch(self, keys, k, v, axes, **facts)

    def get_batch(self, keys, k, v, axes, **how):
        """Operations for Session.get(): see GetBatch."""
        return GetBatch(self, keys, k, v, axes, **how)
