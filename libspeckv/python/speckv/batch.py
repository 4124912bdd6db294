# SPDX-License-Identifier: Apache-2.0
"""Batches: where K and V of many blocks lie in the caller's arrays, as one array of C structs.

Building one costs NumPy a handful of vector operations, however many keys there are. A batch keeps
the arrays that it points into alive, and can be used again.
"""

import numpy as np

from . import _core, abi

AXES = "blhtc"  # block, layer, head, token, channel


def key_chain(tokens, block_tokens, parent=None, salt=b""):
    """Keys of the whole blocks of a sequence: uint8 [blocks, 32].

    tokens: token ids, converted to int32. parent: the key (32 bytes) of the block before the
    first, None at a sequence's start. salt separates users that must not see each other's reuse.
    """
    ids = np.ascontiguousarray(tokens, np.int32)
    keys = np.empty((ids.size // block_tokens, 32), np.uint8)
    if len(keys):
        before = None if parent is None else bytes(parent)
        _core.key_chain(ids, block_tokens, keys, before, bytes(salt))
    return keys


def as_array(source):
    """source as an ndarray on the same memory. Takes what numpy takes without a copy: arrays,
    buffers, CPU tensors with __array_interface__."""
    if isinstance(source, np.ndarray):
        return source
    if hasattr(source, "__array_interface__"):
        return np.asarray(source)
    return np.asarray(memoryview(source))


def _strides(array, axes, counts, value_bytes, what):
    """Checks the shape against counts (by letter). Returns: strides in bytes; 0 where absent."""
    if array.ndim != len(axes) or len(set(axes)) != len(axes) or set(axes) - set(AXES):
        raise ValueError(f"{what}: axes {axes!r} for {array.ndim} dimensions; expected one letter "
                         f"of {AXES} for each")
    if array.itemsize != value_bytes:
        raise ValueError(f"{what}: items of {array.itemsize} bytes; the layout's dtype has "
                         f"{value_bytes}")
    shape = dict(zip(axes, array.shape))
    for axis, count in counts.items():
        if shape.get(axis, 1) != count:
            raise ValueError(f"{what}: {shape.get(axis, 1)} along axis {axis!r} of {axes!r}; "
                             f"expected {count}")
    strides = dict.fromkeys(AXES, 0)
    strides.update(zip(axes, array.strides))
    return strides


def _fill(views, sources, axes, layout, what):
    """Fills views [block, layer] of K or of V from one array, or from a list with one a layer.
    Returns: the arrays, to be kept alive."""
    counts = {"b": len(views), "l": layout.layers, "h": layout.kv_heads, "t": layout.block_tokens,
              "c": layout.head_dim}
    if not isinstance(sources, (list, tuple)):
        array = as_array(sources)
        _place(views, array, _strides(array, axes, counts, layout.value_bytes, what))
        return [array]
    if len(sources) != layout.layers:
        raise ValueError(f"{what}: {len(sources)} arrays; expected one for each of "
                         f"{layout.layers} layers")
    counts["l"] = 1
    arrays = [as_array(each) for each in sources]
    for layer, array in enumerate(arrays):
        strides = _strides(array, axes, counts, layout.value_bytes, f"{what}[{layer}]")
        _place(views[:, layer : layer + 1], array, strides)
    return arrays


def _place(views, array, strides):
    blocks, layers = views.shape
    block = np.arange(blocks, dtype=np.int64)[:, None] * strides["b"]
    layer = np.arange(layers, dtype=np.int64)[None, :] * strides["l"]
    first = array.__array_interface__["data"][0]
    views["base"] = (block + layer + first).astype(np.uint64)
    views["token_stride"] = strides["t"]
    views["head_stride"] = strides["h"]
    views["channel_stride"] = strides["c"]


def _fill_side(views, side, layout):
    """Fills the views of the side bytes. Returns: their array, to be kept alive."""
    if side is None and layout.side_bytes == 0:
        return []
    if side is None:
        raise ValueError(f"side: none; a block of this layout has {layout.side_bytes} side bytes, "
                         "and no KV without them")
    rows = as_array(side)
    if layout.side_bytes == 0:
        raise ValueError("side: a layout without side_bytes has none")
    row_bytes = rows[:1].nbytes if len(rows) else layout.side_bytes
    if len(rows) != len(views) or row_bytes != layout.side_bytes:
        raise ValueError(f"side: {len(rows)} rows of {row_bytes} bytes; expected {len(views)} of "
                         f"{layout.side_bytes}")
    if len(rows) and not rows[0].flags.c_contiguous:
        raise ValueError("side: the bytes of a row lie apart; expected them side by side")
    first, step = rows.__array_interface__["data"][0], rows.strides[0]
    places = first + np.arange(len(rows), dtype=np.int64) * step
    views["base"][:, -1, 0] = places.astype(np.uint64)
    views["token_stride"][:, -1, 0] = layout.side_bytes
    return [rows]


def writeable(arrays):
    """Raises ValueError unless all of them may be written."""
    if not all(array.flags.writeable for array in arrays):
        raise ValueError("k, v, side: expected arrays that may be written")


class _Batch:
    """keys: uint8 [n, 32]. k, v: arrays that hold all n blocks, or lists with one array a layer;
    axes names their dimensions in order, e.g. "blhtc", or "bhtc" for lists; a dimension of size 1
    may be left out. Where K and V lie in different orders, axes is a pair. Shapes are checked,
    strides are free. side: of a layout with side_bytes, one row of so many bytes a block."""

    op = None

    def __init__(self, layout, keys, k, v, axes, side=None):
        keys = np.asarray(keys, np.uint8).reshape(-1, 32)
        views = np.zeros((len(keys), layout.layers + (layout.side_bytes > 0), 2), abi.view)
        k_axes, v_axes = (axes, axes) if isinstance(axes, str) else axes
        sources = [*_fill(views[:, : layout.layers, 0], k, k_axes, layout, "k"),
                   *_fill(views[:, : layout.layers, 1], v, v_axes, layout, "v"),
                   *_fill_side(views, side, layout)]
        self._aim(keys, views, sources)

    def _aim(self, keys, views, sources):
        """The operations themselves, where the views are known. sources: arrays to keep alive."""
        self.views, self._sources = views, sources
        self.ops = np.zeros(len(keys), self.op)
        self.ops["key"] = keys
        self.ops["buf"]["layer_count"] = views.shape[1]
        row = self.views.strides[0] if len(keys) else 0
        self.ops["buf"]["views"] = (self.views.__array_interface__["data"][0]
                                    + np.arange(len(keys), dtype=np.uint64) * np.uint64(row))

    def __len__(self):
        return len(self.ops)

    @property
    def keys(self):
        return self.ops["key"]

    @property
    def results(self):
        """0 or -errno for each operation, after the call."""
        return self.ops["ret_result"]


class GetBatch(_Batch):
    """For Session.get(). stream: write around the caches, where nobody will read k and v soon.
    Where results[i] is not 0 the destination of block i is undefined."""

    op = abi.get_op

    def __init__(self, layout, keys, k, v, axes, stream=False, side=None):
        super().__init__(layout, keys, k, v, axes, side)
        writeable(self._sources)
        self.ops["flags"] = abi.GET_STREAM if stream else 0

    def layers(self, first, count):
        """The same blocks, only layers [first, first + count): for loads that go layer by layer.
        A layout with side bytes is read whole."""
        part = object.__new__(GetBatch)
        part.views, part._sources = self.views, self._sources
        part.ops = self.ops.copy()
        part.ops["buf"]["layer_first"], part.ops["buf"]["layer_count"] = first, count
        part.ops["buf"]["views"] += np.uint64(first * 2 * abi.view.itemsize)
        return part


class PutBatch(_Batch):
    """For Session.put() and store(). The keys are taken as one run of a sequence: each one's
    parent is the one before. parent: the key before the first. position: index of the first
    token of the first block in its sequence; None where it is unknown. kind: what the blocks hold,
    "system" (a prompt that many sessions share), "tool", "conversation" (of one session, which may
    speak again), "scratch" (nobody comes back for it) or "unknown"."""

    op = abi.put_op

    def __init__(self, layout, keys, k, v, axes, parent=None, position=None, kind="unknown",
                 side=None):
        super().__init__(layout, keys, k, v, axes, side)
        meta = self.ops["meta"]
        if parent is not None and len(self):
            meta["parent"][0] = np.frombuffer(bytes(parent), np.uint8)
        meta["parent"][1:] = self.keys[:-1]
        meta["kind"] = abi.kind_number(kind)
        if position is None:
            meta["position"] = _core.POSITION_UNKNOWN
        else:
            meta["position"] = position + np.arange(len(self)) * layout.block_tokens

    def some(self, places):
        """The operations at these places alone, as they stand now."""
        part = object.__new__(PutBatch)
        part.views, part._sources = self.views, self._sources
        part.ops = self.ops[places]
        return part
