# SPDX-License-Identifier: Apache-2.0
"""pool.py - a host pool of HiCache as a speckv.Layout, and its pages as strides.

Looks at a pool's fields and at the shape of its buffer, which must be the one that the pool's
`layout` names in SGLang 0.5.23; any other is refused in one sentence, never guessed. Imports
nothing of SGLang or torch: a tensor is taken by its address, shape and strides.
"""

import ctypes

import numpy as np

import speckv

DTYPES = {"torch.float16": "f16", "torch.bfloat16": "bf16", "torch.float8_e4m3fn": "f8",
          "torch.float8_e5m2": "f8", "torch.uint8": "f8"}
# axes of the buffer after [K, V]: layer, page, token in it, head, channel
AXES = {"layer_first": "lbthc", "page_first": "btlhc", "page_first_direct": "blthc",
        "page_head": "bhtlc"}


class Pool:
    """pool: SGLang's. config: HiCacheStorageConfig. facts: fields of speckv.Layout that SGLang
    does not know (preset, rope, rope_theta, weights_digest). Raises ValueError."""

    def __init__(self, pool, config, facts, variant):
        self.name = getattr(pool, "layout", None)
        dtype = DTYPES.get(str(pool.dtype))
        if self.name not in AXES or dtype is None:
            raise ValueError(f"speckv: a host pool of layout {self.name!r} and dtype {pool.dtype}; "
                             f"expected a layout of {', '.join(AXES)} and a dtype of "
                             f"{', '.join(DTYPES)}: set --hicache-mem-layout")
        self.page_size, self.mla = pool.page_size, bool(config.is_mla_model)
        self.layers = pool.layer_num
        heads = 1 if self.mla else pool.head_num
        channels = pool.kv_cache_dim if self.mla else pool.head_dim
        if self.mla and channels % 2 or not self.mla and pool.v_head_dim != channels:
            raise ValueError(f"speckv: {channels} channels of K and V; expected as many of each")
        self.heads, self.channels = heads, channels
        preset = facts.get("preset", "daemon")
        if self.mla:  # what is stored as K and V are two halves of a latent: any rounding is wrong
            preset = "lossless" if preset == "lossless" and dtype != "f8" else "exact"
        facts = {**facts, "preset": preset}
        rank, world = (0, 1) if self.mla else (config.tp_rank, config.tp_size)
        self.layout = speckv.Layout(
            dtype=dtype, layers=self.layers, kv_heads=heads,
            head_dim=channels // 2 if self.mla else channels, block_tokens=self.page_size,
            rank=rank, world=world, first_layer=getattr(pool, "start_layer", 0) or 0,
            variant_digest=speckv.variant_digest("sglang", variant), **facts)
        self._value_type = {1: np.uint8, 2: np.uint16}[self.layout.value_bytes]
        self._paged = None

    def attach(self, tensor):
        """tensor: the whole buffer. Batches by pages are of it."""
        array = _array_of(tensor, self._value_type)
        page = self.layers * self.page_size * self.heads * self.channels * (1 if self.mla else 2)
        if array.size % page:
            raise ValueError(f"speckv: a host pool of {array.size} values; expected whole pages of "
                             f"{page}")
        self._paged = speckv.Paged(self.layout, *self._sides(array, array.size // page))

    def pages(self, host_indices, count):
        """Page numbers of `count` pages whose tokens' indices these are."""
        firsts = np.asarray(host_indices[:: self.page_size], np.int64)
        if len(firsts) != count:
            raise ValueError(f"{len(firsts)} pages of indices for {count} keys")
        return firsts // self.page_size

    def get_batch(self, keys, pages):
        return self._paged.get_batch(keys, pages)

    def put_batch(self, keys, pages, parents, positions):
        return self._paged.put_batch(keys, pages, parents, positions)

    def flat(self, tensor):
        """One page that lies by itself, as a Paged of one page."""
        array = _array_of(tensor, self._value_type)
        return speckv.Paged(self.layout, *self._sides(array, 1))

    def _sides(self, array, pages):
        """K and V of each layer, and the names of their dimensions."""
        axes = AXES[self.name]
        count = {"l": self.layers, "b": pages, "t": self.page_size, "h": self.heads,
                 "c": self.channels}
        shape = [count[axis] for axis in axes]
        if self.mla:
            whole = array.reshape(shape)
            half = self.channels // 2
            sides = whole[..., :half], whole[..., half:]
        else:
            sides = array.reshape([2, *shape])
        at = axes.index("l")
        k, v = ([side[(slice(None),) * at + (layer,)] for layer in range(self.layers)]
                for side in sides)
        return k, v, axes.replace("l", "")


def _array_of(tensor, value_type):
    """A CPU tensor's memory, without a copy, as integers of its values' size."""
    items = tensor.numel()
    if not tensor.is_contiguous() or tensor.element_size() != np.dtype(value_type).itemsize:
        raise ValueError(f"speckv: a tensor of {tensor.dtype}, shape {tuple(tensor.shape)}; "
                         "expected a contiguous one of the pool's dtype")
    memory = (ctypes.c_uint8 * (items * tensor.element_size())).from_address(tensor.data_ptr())
    array = np.frombuffer(memory, value_type)
    return _Kept.of(array, tensor)


class _Kept(np.ndarray):
    """An array that keeps the tensor alive whose memory it is."""

    @classmethod
    def of(cls, array, tensor):
        made = array.view(cls)
        made.tensor = tensor
        return made

    def __array_finalize__(self, source):
        self.tensor = getattr(source, "tensor", None)
