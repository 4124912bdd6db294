# SPDX-License-Identifier: Apache-2.0
"""Paged: where K and V lie in an engine's paged cache, so that a batch takes page numbers.

    paged = speckv.Paged(layout, k, v, ("bhct", "bhtc"))    # once; k, v: one array a layer
    hits = session.get(layout, paged.get_batch(keys, pages))
    session.store(layout, paged.put_batch(keys, pages, parents=..., positions=...))

A page holds one block. A batch costs a handful of NumPy operations, however many pages it has.
"""

import numpy as np

from . import _core, abi
from .batch import GetBatch, PutBatch, _strides, as_array, writeable


class Paged:
    """k, v: lists with one array a layer, of all pages; axes names their dimensions as in
    PutBatch, or a pair of names where K and V lie in different orders. Strides are free."""

    def __init__(self, layout, k, v, axes):
        if layout.side_bytes:
            raise ValueError("a layout with side_bytes: build its batches with put_batch(side=...)")
        k_axes, v_axes = (axes, axes) if isinstance(axes, str) else axes
        self.pages = as_array(k[0]).shape[k_axes.index("b")] if k else 0
        self._sources = []
        self._first = np.zeros((layout.layers, 2), abi.view)
        self._page_stride = np.zeros((layout.layers, 2), np.int64)
        for side, (arrays, names, what) in enumerate(((k, k_axes, "k"), (v, v_axes, "v"))):
            if len(arrays) != layout.layers:
                raise ValueError(f"{what}: {len(arrays)} arrays; expected one for each of "
                                 f"{layout.layers} layers")
            for layer, source in enumerate(arrays):
                self._place(layer, side, as_array(source), names, layout, f"{what}[{layer}]")

    def _place(self, layer, side, array, axes, layout, what):
        counts = {"b": self.pages, "l": 1, "h": layout.kv_heads, "t": layout.block_tokens,
                  "c": layout.head_dim}
        strides = _strides(array, axes, counts, layout.value_bytes, what)
        self._first[layer, side] = (array.__array_interface__["data"][0], strides["t"],
                                    strides["h"], strides["c"])
        self._page_stride[layer, side] = strides["b"]
        self._sources.append(array)

    def get_batch(self, keys, pages, stream=False):
        """For Session.get(): block i goes into page pages[i]."""
        writeable(self._sources)
        batch = self._batch(GetBatch, keys, pages)
        batch.ops["flags"] = abi.GET_STREAM if stream else 0
        return batch

    def put_batch(self, keys, pages, parents=None, positions=None, kind="unknown"):
        """For Session.put(), store() and begin_batch(): block i lies in page pages[i]. parents:
        uint8 [n, 32], the keys before, zeros where there is none. positions: of each block's first
        token in its sequence. kind: as in PutBatch."""
        batch = self._batch(PutBatch, keys, pages)
        meta = batch.ops["meta"]
        if parents is not None:
            meta["parent"] = parents
        meta["position"] = _core.POSITION_UNKNOWN if positions is None else positions
        meta["kind"] = abi.kind_number(kind)
        return batch

    def _batch(self, kind, keys, pages):
        keys = np.asarray(keys, np.uint8).reshape(-1, 32)
        pages = np.asarray(pages, np.int64)
        if pages.shape != (len(keys),):
            raise ValueError(f"pages: {pages.shape}; expected one number for each of {len(keys)} "
                             "keys")
        if len(pages) and not (0 <= pages.min() and pages.max() < self.pages):
            raise ValueError(f"pages: {pages.min()} to {pages.max()}; expected 0 to "
                             f"{self.pages - 1}")
        views = np.empty((len(keys), *self._first.shape), abi.view)
        views[:] = self._first
        views["base"] += (pages[:, None, None] * self._page_stride).astype(np.uint64)
        batch = object.__new__(kind)
        batch._aim(keys, views, self._sources)
        return batch
