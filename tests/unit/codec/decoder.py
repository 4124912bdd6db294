# SPDX-License-Identifier: Apache-2.0
"""A second decoder, written from docs/codec.md alone: it shares no line with libspeckv/codec.

Reads vectors from stdin, one JSON object a line as codec_vectors prints them, and compares values
and checksum with the library's. Exit status 1 at the first difference. Integers throughout.
"""
import json
import math
import struct
import sys


def bits_at(data, i):
    return data[i // 8] >> (i % 8) & 1


def wrap(value, bits):
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def half(x, k, bf16):
    """The 16-bit float nearest to x * 2^k, halves to even; too large gives infinity."""
    if x == 0:
        return 0
    sign, x = (0x8000, -x) if x < 0 else (0, x)
    fraction, bias, field_max = (7, 127, 255) if bf16 else (10, 15, 31)
    field = max(x.bit_length() - 1 + k + bias, 1)  # of a normal number, or the subnormals' unit
    drop = field - bias - fraction - k             # bits below the last place
    mantissa = x << -drop if drop <= 0 else x + (1 << drop - 1) - 1 + (x >> drop & 1) >> drop
    return sign | min((field - 1 << fraction) + mantissa, field_max << fraction)


def decode_raw(v, data):
    return [data[2 * i] | data[2 * i + 1] << 8 for i in range(v["tokens"] * v["head_dim"])]


def decode_q8(v, data):
    n = v["tokens"] * v["head_dim"]
    start, k0 = (n + 1023) // 1024 * 32, -22 if v["bf16"] else -24
    out = [half(wrap(data[start + i], 8) * (8 + data[i // 32] % 8), data[i // 32] // 8 + k0,
                v["bf16"]) for i in range(n)]
    token = data[start + (n + 31) // 32 * 32:][:2 * v["head_dim"]]  # of q8sink
    return [a | b << 8 for a, b in zip(token[::2], token[1::2])] + out[len(token) // 2:]


def decode_paper(v, data):
    n, d = v["tokens"] * v["head_dim"], v["head_dim"]
    deltas = list(data[8:8 + n])
    if data[1] == 0:
        length = min(data[2] | data[3] << 8, n) // 2 * 2
        deltas = [data[8 + i] for i in range(0, length, 2) for _ in range(data[9 + i])]
        deltas = (deltas + [0] * n)[:n]
    k = data[0] // 8 + (-22 if v["bf16"] else -24)
    q, out = [0] * d, []
    for i, delta in enumerate(deltas):
        q[i % d] = (q[i % d] + delta) % 256
        out.append(half(wrap(q[i % d], 8) * (8 + data[0] % 8), k, v["bf16"]))
    return out


def wht(y):
    if len(y) == 1:
        return y
    pairs = list(zip(y[:len(y) // 2], y[len(y) // 2:]))
    return wht([a + b for a, b in pairs]) + wht([a - b for a, b in pairs])


def rowq_rows(tokens, d):
    """For each row its block size and the (token, channel) of its 128 values."""
    rows, channel = [], 0
    for n, count in ((64, d // 64), (32, d % 64 // 32), (16, d % 32 // 16)):
        places = [(t, channel + b * n + i) for t in range(tokens) for b in range(count)
                  for i in range(n)]
        rows += [(n, places[i:i + 128]) for i in range(0, len(places), 128)]
        channel += n * count
    return rows


def decode_rowq(v, data):
    b, d, bf16 = int(v["codec"][4:]), v["head_dim"], v["bf16"]
    rows, out = rowq_rows(v["tokens"], d), [0] * (v["tokens"] * d)
    for r, (n, places) in enumerate(rows):
        side = int.from_bytes(data[4 * r:4 * r + 4], "little")
        if side & 255 == 0x80:
            continue
        at = [4 * len(rows) + 16 * (len(rows) * (b - 1 - p) + r) for p in range(b)]
        u = [sum(bits_at(data, 8 * at[p] + i) << p for p in range(1, b)) for i in range(128)]
        at = 4 * len(rows) + 16 * len(rows) * (b - 1) + 12 * r
        for quad in range(32):
            low = [bits_at(data[at:at + 12], 3 * quad + j) for j in range(3)]
            for j, bit in enumerate(low + [low[0] ^ low[1] ^ low[2]]):
                u[4 * quad + j] |= bit
        w = [(side >> 8 + g * min(5, 8 - b) & (1 << min(5, 8 - b)) - 1) + 1 for g in range(4)]
        x = [2 * code + 1 - (1 << b) for code in u]
        j, k = (1 << b - 2, 3 << b - 3) if b < 8 else (256, 256)
        wider = [max(0, abs(y) // 2 - j) + max(0, abs(y) // 2 - k) for y in x]
        p = [(y + (z if y > 0 else -z)) * w[i // 32] for i, (y, z) in enumerate(zip(x, wider))]
        s = [(side >> 8 * h & 255) + 1 if b == 8 else 8 >> (side >> 26 + 2 * h & 3) for h in (1, 2)]
        x = [y for i in range(0, 128, n) for y in wht(p[i:i + n])]
        for i, (t, c) in enumerate(places):
            sign = -1 if b < 8 and (2 * r + i // 64 + 1) * 0x9e3779b97f4a7c15 >> i % 64 & 1 else 1
            out[t * d + c] = half(sign * x[i] * s[i // 64], max(-100, min(64, wrap(side, 8))), bf16)
    return out


def chanq_pairs(d, rope, rotated):
    if rope != 2:
        return [(2 * p, 2 * p + 1) for p in range(d // 2)]
    r = rotated // 2
    return [(p, p + r) if p < r else (p + r, p + d // 2) for p in range(d // 2)]


def decode_chanq(v, data):
    tokens, d, bf16, rotated = v["tokens"], v["head_dim"], v["bf16"], v["rotated"]
    pairs = chanq_pairs(d, v["rope"], rotated)
    width = [0] * d
    for (first, second), b in zip(pairs, v["widths"]):
        width[first] = width[second] = b
    e = max(100 if bf16 else 1, min(160 if bf16 else 31, data[0]))
    at, z = 8 + d + d // 8 * 5, []
    for c in range(d):
        u = [0] * tokens
        for _ in range(width[c]):
            u = [2 * u[t] + bits_at(data[at:at + tokens // 8], t) for t in range(tokens)]
            at += tokens // 8
        drop = sum(bits_at(data[8 + d + p * d // 8:], c) << 4 - p for p in range(5))
        r = max(min(data[1], 119) - (drop << min(data[2], 2)), 0)
        n = data[8 + c] % 128
        n = (n if n < 32 else 16 + n % 16 << n // 16 - 1) * (1 if data[8 + c] < 128 else -1)
        z.append([((2 * x + 1 - (1 << width[c])) * (8 + r % 8) * (256 >> width[c]) + 128 * n
                   << r // 8) >> 9 for x in u])
    out = [0] * (tokens * d)
    for t in range(tokens):
        for p, (first, second) in enumerate(pairs):
            angle = t * v["theta"] ** (-2 * p / rotated) if v["theta"] and p < rotated // 2 else 0.0
            c, s = round(16384 * math.cos(angle)), round(16384 * math.sin(angle))
            a, b, k = z[first][t], z[second][t], e - (140 if bf16 else 28) - 2
            out[t * d + first] = half(a * c - b * s + 8192 >> 14, k, bf16)
            out[t * d + second] = half(a * s + b * c + 8192 >> 14, k, bf16)
    return out


def decode_xpack(v, data):
    d, bf16, units = v["head_dim"], v["bf16"], v["tokens"] * v["head_dim"] // 256
    size = 352 if bf16 else 448
    body, lists = len(data) - units * size, d // 2 + 1
    base = [6 if o == 15 else data[d // 2] - o for b in data[:d // 2] for o in (b & 15, b >> 4)]
    far = iter(data[lists:lists + units])
    nibbles = iter([b >> s & 15 for b in data[lists + units:body] for s in (0, 4)])
    out = []
    for i in range(256 * units):
        unit, row, column = body + i // 256 * size, i % 256 // 32, i % 32
        code, middle = (data[at + row // 4 * 32 + column] >> row % 4 * 2 & 3
                        | (data[at + 64 + column] >> row & 1) << 2 for at in (unit, unit + 96))
        e = base[i % d] - code
        if code == 7:
            n = next(nibbles, 0)
            e = e - n if n < 14 else 0 if n == 14 else next(far, 0)
        x = e % 256 << 8 if bf16 else e % 32 << 11 | middle << 8
        x |= data[unit + size - 256 + i % 256]
        out.append(x >> 1 | (x & 1) << 15)
    return out


def checksum(data):
    """Section 8: lane i has word i of each 32 bytes."""
    ones, n, b = (1 << 64) - 1, len(data), [0] * 4
    a = [0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1]
    m = [0x59f111f1b605d019, 0x923f82a4af194f9b, 0xab1c5ed5da6d8118, 0xd807aa98a3030242]
    p = [0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179]
    q = [0x428a2f98d728ae23, 0x7137449123ef65cd, 0xb5c0fbcfec4d3b2f, 0xe9b5dba58189dbbd]
    for i, x in enumerate(struct.unpack(f"<{(n + 31) // 32 * 4}Q", data + bytes(-n % 32))):
        a[i % 4] = a[i % 4] + x + 0x9e3779b97f4a7c15 & ones
        t = a[i % 4] ^ m[i % 4]
        b[i % 4] += (t & 0xffffffff) * (t >> 32)
    folded = [(x & ones) ^ (x & ones) >> 32 for x in b]
    high = sum(x * y for x, y in zip(folded, q)) + n * 0x3956c25bf348b539 & ones
    return ((sum(x * y for x, y in zip(a, p)) & ones) >> 32) + (high >> 32 << 32)


def main():
    decoders = {"raw": decode_raw, "q": decode_q8, "q8sink": decode_q8, "paper": decode_paper,
                "rowq": decode_rowq, "chanq": decode_chanq, "xpack": decode_xpack}
    pages = 0
    for pages, line in enumerate(sys.stdin, 1):
        v = json.loads(line)
        values = decoders[v["codec"].rstrip("0123456789.")](v, bytes.fromhex(v["stored"]))
        expected = decode_raw(v, bytes.fromhex(v["values"]))
        if values != expected:
            i = next(i for i in range(len(expected)) if values[i] != expected[i])
            sys.exit(f"{v['codec']} {v['tokens']}x{v['head_dim']} bf16={v['bf16']}: value {i} is "
                     f"{values[i]:#06x} here, {expected[i]:#06x} in the library")
        if checksum(bytes.fromhex(v["stored"])) != int(v["checksum"], 16):
            sys.exit(f"{v['codec']}: the checksum of page {pages} differs from the library's")
    print(f"decoder.py: {pages} pages decode alike")
    sys.exit(0 if pages else "decoder.py: no vectors on stdin")


main()
