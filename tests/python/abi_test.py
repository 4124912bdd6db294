# SPDX-License-Identifier: Apache-2.0
"""NumPy's dtypes are the C compiler's structs; keys are those of the C library."""

import hashlib
import tempfile
import unittest

import numpy as np

import speckv
from speckv import _core, abi


def offset(dtype, path):
    total = 0
    for name in path.split("."):
        dtype, at = dtype.fields[name][:2]
        total += at
    return total


class AbiTest(unittest.TestCase):
    def test_every_struct_is_the_compilers(self):
        for name, value in _core.OFFSETS.items():
            struct, _, field = name.partition(".")
            dtype = getattr(abi, struct.removeprefix("speckv_"))
            is_now = offset(dtype, field) if field else dtype.itemsize
            self.assertEqual(is_now, value, name)

    def test_every_value_is_the_headers(self):
        is_now = {f"KIND_{name.upper()}": value for name, value in abi.KINDS.items()}
        is_now |= {f"OUTCOME_{each.name}": each.value for each in abi.Outcome}
        self.assertEqual(is_now, _core.VALUES)
        self.assertEqual((_core.NO_DEADLINE, _core.NO_BUDGET), (2**64 - 1, 2**64 - 1))

    def test_chain_is_the_same_in_one_call_and_in_many(self):
        tokens = np.arange(100, dtype=np.int64)
        keys = speckv.key_chain(tokens, 32, salt=b"tenant")
        self.assertEqual(keys.shape, (3, 32))
        parent = None
        for i in range(3):
            one = speckv.key_chain(tokens[32 * i : 32 * i + 32], 32, parent, b"tenant")
            np.testing.assert_array_equal(one[0], keys[i])
            parent = one[0]
        self.assertFalse((speckv.key_chain(tokens, 32) == keys).all())
        self.assertEqual(speckv.key_chain(tokens[:31], 32).shape, (0, 32))
        pinned = speckv.key_chain([1, 2, 3], 3)
        self.assertEqual(bytes(pinned[0]).hex(),
                         "9eae34af0fadfdca51be6edf4648213d96d2d28ca1d0a2adcf59e1979f3b04fa")

    def test_digests(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"abc")
            file.flush()
            self.assertEqual(speckv.file_digest(file.name), hashlib.sha256(b"abc").digest())
        with self.assertRaisesRegex(FileNotFoundError, "No such file"):
            speckv.file_digest("/nonexistent/model.gguf")
        self.assertEqual(speckv.variant_digest("llama.cpp b1", "f16").hex(),
                         "d6eaded84b8411637eb8474b0113a7d13a66ba97a0c52b4e2ad9ac392c4bf0f1")
        self.assertTrue(speckv.version())


if __name__ == "__main__":
    unittest.main()
