# SPDX-License-Identifier: Apache-2.0
"""probe.py - where K and V of a page lie, found out by letting the engine's own kernel write
markers into a page and looking where they come out. Never guesses: what strides cannot describe,
or does not come back bit for bit, is None. Imports nothing of vLLM.
"""

import torch


def strides_of(write, page, heads, tokens, channels, dtype):
    """write(k, v, page): has the kernel write k and v, [tokens, heads, channels] each, into one
    page, a zeroed tensor like `page`. Returns: for K and for V (first value, strides of head,
    token, channel), counted in values from the page's first one; None where that is not how it
    lies."""
    shape = (tokens, heads, channels)
    found = []
    for side in (0, 1):
        first = _marker(write, page, shape, dtype, side, (0, 0, 0))
        if first is None:
            return None
        strides = []
        for axis, count in ((1, heads), (0, tokens), (2, channels)):
            at = tuple(int(count > 1 and axis == each) for each in range(3))
            place = _marker(write, page, shape, dtype, side, at)
            if place is None:
                return None
            strides.append(place - first)
        found.append((first, tuple(strides)))
    return found if _comes_back(write, page, shape, dtype, found) else None


def _marker(write, page, shape, dtype, side, at):
    """Where a lone 1 at [token, head, channel] of K (side 0) or V comes out."""
    kv = [torch.zeros(shape, dtype=dtype), torch.zeros(shape, dtype=dtype)]
    kv[side][at] = 1
    into = torch.empty_strided(page.shape, page.stride(), dtype=page.dtype).zero_()
    write(kv[0], kv[1], into)
    places = _values(into).nonzero()
    return int(places[0]) if len(places) == 1 else None


def _values(page):
    """The page's memory, in its order."""
    extent = 1 + sum((count - 1) * stride for count, stride in zip(page.shape, page.stride()))
    return page.as_strided((extent,), (1,))


def _comes_back(write, page, shape, dtype, found):
    generator = torch.Generator().manual_seed(1)
    kv = [torch.randn(shape, generator=generator).to(dtype) for _ in range(2)]
    into = torch.empty_strided(page.shape, page.stride(), dtype=page.dtype).zero_()
    write(kv[0], kv[1], into)
    memory = _values(into)
    for given, (first, (head, token, channel)) in zip(kv, found):
        last = first + sum((count - 1) * stride
                           for count, stride in zip(shape, (token, head, channel)))
        if last >= len(memory) or min(head, token, channel) < 0:
            return False
        if not torch.equal(memory.as_strided(shape, (token, head, channel), first), given):
            return False
    return True
