# SPDX-License-Identifier: Apache-2.0
"""chan_table.py - chanq's calibration table, in Python: what is left of K page by page, weights,
and the file that speckvd reads (docs/codec.md, section 6).

Who calls it: calibrate_hf.py. Needs numpy; knows nothing of torch. The same numbers as
libspeckv/codec/chan_residual.cpp and chan_table_file.cpp give: tests/unit/python compares them.
"""

import struct

import numpy as np

DEAD = -32768  # a pair whose channels are always zero
_MASK = (1 << 64) - 1


def pairs_of(head_dim, rotated, half_split):
    """Returns: the first and the second channel of each pair, as RoPE turns them."""
    pair = np.arange(head_dim // 2)
    if not half_split:
        return 2 * pair, 2 * pair + 1
    turned = pair < rotated // 2
    first = np.where(turned, pair, pair + rotated // 2)
    second = np.where(turned, pair + rotated // 2, pair + head_dim // 2)
    return first, second


def angles(tokens, head_dim, rotated, theta):
    """Returns: [tokens, pairs], by how much RoPE turns each pair at each token."""
    pair = np.arange(head_dim // 2)
    speed = np.where(pair < rotated // 2, float(theta) ** (-2.0 * pair / max(rotated, 1)), 0.0)
    return np.arange(tokens)[:, None] * speed[None, :]


def turn(first, second, angle):
    """Returns: both channels, turned forward by `angle`."""
    c, s = np.cos(angle), np.sin(angle)
    return first * c - second * s, first * s + second * c


def reach_squared(values):
    """values: [tokens, pairs]. Returns: the square of half of what each channel spans."""
    return ((values.max(axis=0) - values.min(axis=0)) / 2) ** 2


def residual(page, head_dim, rotated, half_split, theta):
    """page: [tokens, head_dim], K after RoPE. Returns: each pair's mean of reach^2 once RoPE is
    undone relative to the page start."""
    first, second = pairs_of(head_dim, rotated, half_split)
    page = np.asarray(page, dtype=np.float64)
    # in 1/16384, as the codec turns
    angle = angles(len(page), head_dim, rotated, theta)
    c, s = np.rint(np.cos(angle) * 16384) / 16384, np.rint(np.sin(angle) * 16384) / 16384
    a, b = page[:, first], page[:, second]
    return (reach_squared(a * c + b * s) + reach_squared(b * c - a * s)) / 2


def query_energy(queries, first, second):
    """queries: [n, head_dim]. Returns: E[q^2] of each pair."""
    queries = np.asarray(queries, dtype=np.float64)
    return ((queries[:, first] ** 2 + queries[:, second] ** 2) / 2).mean(axis=0)


def weight_of(importance):
    """Returns: 256 * log2(importance), rounded away from zero at halves, as int16."""
    if not importance > 0:
        return DEAD
    exact = 256 * np.log2(importance)
    return int(np.clip(np.sign(exact) * np.floor(abs(exact) + 0.5), -32000, 32000))


_LANES = (  # A, M, P, Q of docs/codec.md, section 8
    (0x6A09E667F3BCC908, 0x59F111F1B605D019, 0x510E527FADE682D1, 0x428A2F98D728AE23),
    (0xBB67AE8584CAA73B, 0x923F82A4AF194F9B, 0x9B05688C2B3E6C1F, 0x7137449123EF65CD),
    (0x3C6EF372FE94F82B, 0xAB1C5ED5DA6D8118, 0x1F83D9ABFB41BD6B, 0xB5C0FBCFEC4D3B2F),
    (0xA54FF53A5F1D36F1, 0xD807AA98A3030242, 0x5BE0CD19137E2179, 0xE9B5DBA58189DBBD),
)


def checksum(data):
    """docs/codec.md, section 8."""
    words = struct.unpack(f"<{(len(data) + 31) // 32 * 4}Q", data + bytes(-len(data) % 32))
    low, high = 0, len(data) * 0x3956C25BF348B539
    for lane, (a, m, p, q) in enumerate(_LANES):
        b = 0
        for word in words[lane::4]:
            a = (a + word + 0x9E3779B97F4A7C15) & _MASK
            t = a ^ m
            b = (b + (t & 0xFFFFFFFF) * (t >> 32)) & _MASK
        low += a * p
        high += (b ^ b >> 32) * q
    return ((low & _MASK) >> 32) + ((high & _MASK) >> 32 << 32)


def write(weights, digest):
    """weights: [layers][kv heads][pairs] of weight_of(). digest: 32 bytes. Returns: the file."""
    weights = np.asarray(weights, dtype="<i2")
    if weights.ndim != 3 or len(digest) != 32:
        raise ValueError("weights must be [layers][kv heads][pairs] and the digest 32 bytes")
    summed = digest + struct.pack("<4H", *weights.shape, 0) + weights.tobytes()
    return b"SPKVCHAN" + struct.pack("<IIQ", 2, 24 + len(summed), checksum(summed)) + summed
