# SPDX-License-Identifier: Apache-2.0
"""Told: a file with what the engine calls blocks. Appended to; read at start; written anew when
most of it is of blocks that were forgotten.

A record is its length (4 bytes, little-endian) and msgpack of [hash, parent, tokens, ids, lora]. A
file that was cut off anywhere loses its last record and nothing else."""

import os
import struct

import msgspec

from .tree import Block

COMPACT_FROM = 1 << 20  # bytes: below, it is not worth it
LENGTH = struct.Struct("<I")
RECORD_MAX = 1 << 24


class Told:
    def __init__(self, path):
        self._path = path
        self._encode = msgspec.msgpack.Encoder().encode
        self._file = open(path, "ab")  # pylint: disable=consider-using-with
        self._compacted = max(COMPACT_FROM, self._file.tell())

    def read(self):
        """Blocks of the file, the later of equal hashes last."""
        decode, blocks = msgspec.msgpack.Decoder().decode, []
        with open(self._path, "rb") as file:
            whole = 0
            while len(head := file.read(4)) == 4:
                size = LENGTH.unpack(head)[0]
                body = file.read(size) if size <= RECORD_MAX else b""
                if len(body) != size or not size:
                    break
                try:
                    blocks.append(Block(*decode(body)))
                except (msgspec.DecodeError, TypeError):
                    break
                whole = file.tell()
        if whole != self._file.tell():  # what comes next must not stand behind half a record
            self._file.truncate(whole)
            self._file.seek(0, os.SEEK_END)
        return blocks

    def write(self, blocks):
        self._file.write(b"".join(map(self._record, blocks)))
        self._file.flush()

    def compact(self, tree):
        """Writes what the tree knows anew, when the file has doubled since the last time."""
        if self._file.tell() < 2 * self._compacted:
            return
        with open(self._path + ".new", "wb") as file:
            for block in tree.blocks():
                file.write(self._record(block))
        os.replace(self._path + ".new", self._path)
        self._file.close()
        self._file = open(self._path, "ab")  # pylint: disable=consider-using-with
        self._compacted = max(COMPACT_FROM, self._file.tell())

    def close(self):
        self._file.close()

    def _record(self, block):
        body = self._encode(list(block._replace(tokens=list(block.tokens))))
        return LENGTH.pack(len(body)) + body
