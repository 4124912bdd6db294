# SPDX-License-Identifier: Apache-2.0
"""memcpy.py - the bound: memmove between the caller's arrays and a store that is memory of the same
process. By ctypes, as every contender here is called from Python."""

import ctypes

import numpy as np
import rig


class Contender(rig.Contender):
    shared = False

    def __init__(self, objects, where):
        super().__init__(objects, where)
        self._store = np.zeros(objects.shape, np.uint8)

    def put_batch(self, numbers):
        for number in numbers:
            self.put(number)

    def get_batch(self, numbers, places):
        for number, place in zip(numbers, places):
            self.get(number, place)

    def put(self, number):
        at, size = number * self.objects.size, self.objects.size
        ctypes.memmove(rig.address(self._store) + at, rig.address(self.source) + at, size)

    def get(self, number, place):
        size = self.objects.size
        ctypes.memmove(rig.address(self.places) + place * size,
                       rig.address(self._store) + number * size, size)


Server = rig.Server
