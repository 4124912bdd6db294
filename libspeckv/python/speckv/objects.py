# SPDX-License-Identifier: Apache-2.0
"""speckv.Objects: byte objects under names, for cache servers that know no token ids.

    objects = speckv.Objects.of_bytes(namespace="default")     # any size up to max_object_bytes
    number = objects.put(["a", "b"], [buffer_a, buffer_b])     # returns at once
    ...poll objects.event_fd()...
    for number, well, error, good in objects.drain(): ...

A name's key is the SHA-256 of its bytes. get() and put() keep the buffers until their answer is
drained. Threads of its own do the work, without the GIL; nothing waits longer than `timeout`.
An object in a tier below the pool is there: look() finds it, and get() waits for it, `wait` seconds
at most; 0: what lies below is a miss.
"""

import numpy as np

from . import _core, abi
from .layout import Layout

OBJECT_BYTES_MIN = 4096  # the smallest size class
OBJECT_BYTES_MAX = 128 << 20  # of the largest one: 61 classes, of the 64 layouts of a session
PIECE_BYTES = 32768  # K or V of one layer, where the object is large enough


def size_classes(max_object_bytes, variant_digest=bytes(32)):
    """Layouts whose blocks hold objects of unknown meaning: four sizes an octave, so that at most
    a fifth of a block is filling. Stored as they are."""
    if not 0 < max_object_bytes <= OBJECT_BYTES_MAX:
        raise ValueError(f"max_object_bytes: {max_object_bytes}; expected 1 to {OBJECT_BYTES_MAX}")
    layouts = []
    octave = OBJECT_BYTES_MIN
    while not layouts or layouts[-1].block_bytes < max_object_bytes + 16:
        layouts.append(_size_class(octave, 4 + len(layouts) % 4, variant_digest))
        octave *= 2 if len(layouts) % 4 == 0 else 1
    return layouts


def _size_class(octave, quarters, variant_digest):
    piece, layers = octave // 8, quarters
    while piece > PIECE_BYTES and layers * 2 <= 224:
        piece, layers = piece // 2, layers * 2
    head_dim = min(1024, piece // 16)
    tokens = piece // head_dim
    return Layout(dtype="f8", layers=layers, kv_heads=1, head_dim=head_dim, block_tokens=tokens,
                  page_tokens=min(64, tokens), preset="exact", variant_digest=variant_digest)


class Objects:
    """Use of_bytes() or of_rows(). layouts: of blocks, smallest first; rows: whether an object is
    such a block itself, or bytes that lie in the smallest one that takes them."""

    def __init__(self, layouts, rows, namespace=None, socket=None, threads=2, arena_bytes=64 << 20,
                 timeout=5.0, wait=0.2, daemon_uid=-1):
        structs = np.concatenate([layout.struct() for layout in layouts])
        self._core = _core.Objects(socket, namespace, arena_bytes, int(timeout * 1e3),
                                   int(wait * 1e3), daemon_uid, structs, rows, threads)

    @classmethod
    def of_bytes(cls, max_object_bytes=32 << 20, variant_digest=bytes(32), **session):
        """Objects of any size; what they mean is not known, so nothing is lost of them."""
        return cls(size_classes(max_object_bytes, variant_digest), False, **session)

    @classmethod
    def of_rows(cls, layout, **session):
        """Objects of layout.block_bytes: [K, V][layer][token][head][channel]. Stored as the
        layout's preset says."""
        return cls([layout], True, **session)

    def event_fd(self):
        """A descriptor that is readable when drain() has something; poll it, never read it."""
        return self._core.event_fd()

    def put(self, names, buffers):
        """Submits objects to be stored. Returns the batch's number."""
        return self._core.put(names, buffers)

    def get(self, names, buffers):
        """Submits objects to be read into buffers of their size. Returns the batch's number. Where
        an object is a miss its buffer is undefined."""
        return self._core.get(names, buffers)

    def look(self, names):
        """Submits the question which of these are there; they count as just used then."""
        return self._core.look(names)

    def remove(self, names):
        """Submits objects to be removed. After the puts that were submitted before it."""
        return self._core.remove(names)

    def drain(self):
        """What is done: a list of (batch's number, whether it went well, a sentence where not,
        a list with True for each name that was read, stored, there, or removed)."""
        return self._core.drain()

    def stats(self):
        """Counters of the session, by the names of speckv_stats(3)."""
        stats = np.zeros(1, abi.stats)
        stats["size"] = abi.stats.itemsize
        self._core.stats(stats)
        return {name: int(stats[name][0]) for name in abi.stats.names if name != "size"}

    def close(self):
        """Ends the threads and the session; again: nothing. In a child of fork(): frees what the
        child has of it. Calls afterwards raise OSError (ESHUTDOWN; ECHILD in a child)."""
        self._core.close()
