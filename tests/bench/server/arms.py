# SPDX-License-Identifier: Apache-2.0
"""arms.py - the ways to serve that are compared: one stock llama-server each, and how it is
started. An arm says flags and, for speckv, the preset of the pool; nothing else about it differs.
"""

import dataclasses

PRESETS = ("exact", "q8", "near-lossless", "balanced", "compact", "tight")
DEFAULT = "near-lossless"
NO_REUSE = "no reuse"
ALONE = "engine alone"
OWN_CACHE = "engine + own RAM cache"
BOUND = "engine holds all (bound)"


@dataclasses.dataclass(frozen=True)
class Arm:
    """more: what each request says beside its prompt. pins: whether a session has a slot of its
    own. loads: whether the documents are computed before the clock starts."""

    name: str
    flags: tuple = ()
    more: tuple = ()
    preset: str = ""
    slots: int = 0  # 0: as many as the workload says
    pins: bool = False
    loads: bool = True

    def more_of(self, session):
        return {**dict(self.more), **({"id_slot": session} if self.pins else {})}

    def server_flags(self, load):
        slots = self.slots or load.slots
        tokens = (load.tokens_max() + 255) // 256 * 256
        return ["-np", slots, "-c", slots * tokens, "--no-kv-unified", *self.flags]


def speckv_name(preset):
    return f"speckv {preset}"


def all_arms(load):
    """Every arm of this workload, in the order of the table."""
    off = ("--cache-ram", "0")
    ram = ("--cache-ram", str(load.pool_bytes() >> 20))
    arms = [
        Arm(NO_REUSE, off, (("cache_prompt", False),), loads=False),
        Arm(ALONE, off),
        Arm(OWN_CACHE, ram),
        Arm(BOUND, off, slots=load.sessions, pins=True),
    ]
    # -sps 0: the server asks its prompt cache for every request (docs/llama-server.md)
    arms += [Arm(speckv_name(each), ("-sps", "0"), preset=each) for each in load.presets]
    return arms
