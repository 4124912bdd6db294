# SPDX-License-Identifier: Apache-2.0
"""hicache_test.py WHEEL - SpeckvHiCache as SGLang 0.5.23 uses it, on SGLang's own base class,
loader and host pools (stand_ins.py), against a real speckvd.

Pages are compared by SGLang's own get_data_page(), bit for bit: in each memory layout, from each
into each, at scattered indices, with neighbours untouched. Last line: "N passed, N failed".
"""

import pathlib
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "python")]

import stand_ins

WHEEL = sys.argv[1]
stand_ins.install(WHEEL)

import torch
from sglang.srt.mem_cache import hicache_storage as hicache
from sglang.srt.mem_cache.pool_host import mha, mla
from sglang.srt.mem_cache.storage.backend_factory import StorageBackendFactory

import daemon

LAYERS, HEADS, DIM, PAGE, PAGES, LATENT = 3, 2, 64, 32, 12, 576
LAYOUTS = ("layer_first", "page_first", "page_first_direct", "page_head")
MLA_LAYOUTS = LAYOUTS[:3]


def host_pool(layout, dtype=torch.bfloat16, latent=False, seed=None):
    """A host pool as SGLang makes it, its buffer by its own code. seed: filled with noise."""
    kind = mla.MLATokenToKVPoolHost if latent else mha.MHATokenToKVPoolHost
    pool = object.__new__(kind)
    facts = {"layout": layout, "page_num": PAGES, "page_size": PAGE, "size": PAGES * PAGE,
             "layer_num": LAYERS, "head_num": HEADS, "head_dim": DIM, "v_head_dim": DIM,
             "dtype": dtype, "device": "cpu", "pin_memory": False, "allocator": None,
             "start_layer": 0, "_transfer_device": torch.device("cpu"), "kv_cache_dim": LATENT,
             "kv_lora_rank": LATENT - 64, "qk_rope_head_dim": 64, "head_group_num": 1}
    for name, value in facts.items():
        setattr(pool, name, value)
    for module in (mha, mla):
        module.ALLOC_MEMORY_FUNCS = {"cpu": lambda dims, dtype, **_: torch.zeros(dims, dtype=dtype)}
    made = pool.init_kv_buffer()
    pool.kv_buffer = made[0] if isinstance(made, tuple) else made
    if seed is not None:
        noise = torch.randn(pool.kv_buffer.shape, generator=torch.Generator().manual_seed(seed))
        pool.kv_buffer.copy_(noise.to(dtype))
    return pool


def canonical(pool, page):
    """K and V of one page, whatever the memory layout: [side, layer, token, head, channel]."""
    flat = pool.get_data_page(page * PAGE, flat=True)
    orders = {"layer_first": ("sltHc", None), "page_first": ("stlHc", (0, 2, 1, 3, 4)),
              "page_first_direct": ("sltHc", None), "page_head": ("sHtlc", (0, 3, 2, 1, 4))}
    names, order = orders[pool.layout]
    sizes = {"s": 2, "l": LAYERS, "t": PAGE, "H": HEADS, "c": DIM}
    shaped = flat.reshape([sizes[name] for name in names])
    return shaped if order is None else shaped.permute(order)


def indices(pages):
    return torch.cat([torch.arange(page * PAGE, (page + 1) * PAGE) for page in pages])


def names(count, salt="p"):
    return [f"{salt}{number:063}" for number in range(count)]


class HiCacheTest(unittest.TestCase):
    def setUp(self):
        self.daemon = daemon.Daemon()
        self.addCleanup(self.daemon.close)

    def backend(self, pool, latent=False, extra=None, **config):
        facts = {"tp_rank": 0, "tp_size": 1, "pp_rank": 0, "pp_size": 1, "attn_cp_rank": 0,
                 "attn_cp_size": 1, "is_mla_model": latent, "enable_storage_metrics": False,
                 "is_page_first_layout": False, "model_name": "org/model", **config}
        settings = {"backend_name": "speckv", "module_path": "speckv_sglang",
                    "class_name": "SpeckvHiCache", "interface_v1": 1, "timeout": 20,
                    "socket": self.daemon.socket, "preset": "exact", "arena_bytes": 4 << 20,
                    **(extra or {})}
        made = StorageBackendFactory.create_backend(
            "dynamic", hicache.HiCacheStorageConfig(extra_config=settings, **facts), pool)
        self.addCleanup(made.close)
        made.register_mem_pool_host(pool)
        made.on_host_pools_registered()
        return made

    def test_pages_come_back_from_each_layout_into_each(self):
        for dtype in (torch.float16, torch.bfloat16):
            for number, source in enumerate(LAYOUTS):
                full = host_pool(source, dtype, seed=number)
                keys = names(4, source[-1] + str(number))
                writer = self.backend(full)
                self.assertEqual(writer.batch_set_v1(keys, indices([7, 0, 3, 11])), [True] * 4)
                for target in LAYOUTS:
                    empty = host_pool(target, dtype)
                    reader = self.backend(empty)
                    self.assertEqual(reader.batch_exists(keys + ["none"]), 4)
                    self.assertEqual(reader.batch_get_v1(keys, indices([2, 9, 4, 5])), [True] * 4)
                    for ours, theirs in zip([2, 9, 4, 5], [7, 0, 3, 11]):
                        self.assertTrue(torch.equal(canonical(empty, ours),
                                                    canonical(full, theirs)), (source, target))
                    for page in (0, 1, 3, 6, 7, 8, 10, 11):
                        self.assertFalse(canonical(empty, page).any(), "a neighbour was written")

    def test_latent_pages(self):
        for number, layout in enumerate(MLA_LAYOUTS):
            full = host_pool(layout, latent=True, seed=number)
            keys = names(3, f"m{number}")
            writer = self.backend(full, latent=True, tp_rank=0, tp_size=2,
                                  extra={"preset": "tight"})
            self.assertEqual(writer.batch_set_v1(keys, indices([4, 1, 8])), [True] * 3)
            empty = host_pool(layout, latent=True)
            reader = self.backend(empty, latent=True, tp_rank=1, tp_size=2)  # ranks hold the same
            self.assertEqual(reader.batch_get_v1(keys, indices([0, 5, 11])), [True] * 3)
            for ours, theirs in zip([0, 5, 11], [4, 1, 8]):
                self.assertTrue(torch.equal(empty.get_data_page(ours * PAGE),
                                            full.get_data_page(theirs * PAGE)), layout)

    def test_pages_that_lie_by_themselves(self):
        for number, layout in enumerate(LAYOUTS):
            full, empty = host_pool(layout, seed=number), host_pool(layout)
            store = self.backend(full)
            keys = names(3, f"g{number}")
            self.assertTrue(store.batch_set(keys, [full.get_data_page(i * PAGE) for i in range(3)]))
            got = store.batch_get([*keys, "none"],
                                  [full.get_dummy_flat_data_page() for _ in range(4)])
            self.assertIsNone(got[3])
            for page in range(3):
                empty.set_from_flat_data_page(page * PAGE, got[page])
                self.assertTrue(torch.equal(canonical(empty, page), canonical(full, page)))
            self.assertTrue(store.exists(keys[0]) and not store.exists("none"))

    def test_what_is_another_ones_is_a_miss(self):
        pool = host_pool("page_first", seed=1)
        keys = names(2)
        self.assertEqual(self.backend(pool, tp_size=2).batch_set_v1(keys, indices([0, 1])),
                         [True] * 2)
        for other in ({"tp_rank": 1, "tp_size": 2}, {"tp_size": 2, "model_name": "org/other"},
                      {"tp_size": 2, "attn_cp_rank": 1, "attn_cp_size": 2},
                      {"tp_size": 2, "extra": {"variant": "lora"}}):
            store = self.backend(pool, **other)
            self.assertEqual(store.batch_exists(keys), 0)
            self.assertEqual(store.batch_get_v1(keys, indices([2, 3])), [False] * 2)
        dtype = self.backend(host_pool("page_first", torch.float16), tp_size=2)
        self.assertEqual(dtype.batch_exists(keys), 0)

    def test_presets_and_positions(self):
        full, empty = host_pool("page_head", seed=3), host_pool("page_first")
        store = self.backend(full, extra={"preset": "near-lossless", "rope": "half",
                                          "rope_theta": 10000.0})
        keys = names(6)
        first = hicache.HiCacheStorageExtraInfo(prefix_keys=[])
        later = hicache.HiCacheStorageExtraInfo(prefix_keys=keys[:3])
        self.assertEqual(store.batch_set_v1(keys[:3], indices([0, 1, 2]), first), [True] * 3)
        self.assertEqual(store.batch_set_v1(keys[3:], indices([3, 4, 5]), later), [True] * 3)
        reader = self.backend(empty, extra={"preset": "near-lossless", "rope": "half",
                                            "rope_theta": 10000.0})
        self.assertEqual(reader.batch_get_v1(keys, indices(range(6))), [True] * 6)
        for page in range(6):
            ours, theirs = canonical(empty, page).float(), canonical(full, page).float()
            self.assertLess((ours - theirs).abs().max(), 0.1)
            self.assertFalse(torch.equal(ours, theirs))

    def test_a_killed_daemon_is_misses_and_comes_back(self):
        full = host_pool("page_first_direct", seed=5)
        store = self.backend(full, extra={"timeout": 4})
        keys = names(4)
        self.assertEqual(store.batch_set_v1(keys, indices(range(4))), [True] * 4)
        self.daemon.kill()
        self.assertEqual(store.batch_exists(keys), 4)  # still mapped
        deadline = time.monotonic() + 20
        while any(store.batch_set_v1(names(2, "x"), indices([4, 5]))):
            self.assertLess(time.monotonic(), deadline)
        self.daemon.start()
        while not all(store.batch_set_v1(names(2, "y"), indices([4, 5]))):
            self.assertLess(time.monotonic(), deadline + 20)
        self.assertEqual(store.batch_get_v1(keys, indices([8, 9, 10, 11])), [True] * 4)

    def test_clear_takes_what_is_this_models(self):
        pool = host_pool("layer_first", seed=6)
        mine, other = self.backend(pool), self.backend(pool, model_name="org/other")
        for store in (mine, other):
            self.assertEqual(store.batch_set_v1(names(5), indices(range(5))), [True] * 5)
        self.assertTrue(mine.clear())
        self.assertEqual((mine.batch_exists(names(5)), other.batch_exists(names(5))), (0, 5))

    def test_pages_below_the_pool_come_back(self):
        server = daemon.Daemon(pool="16MiB", spill="128MiB")  # of 600 pages the last 300 at most
        self.addCleanup(server.close)
        self.daemon = server
        full, empty = host_pool("page_first", seed=8), host_pool("page_head")
        writer, keys = self.backend(full), names(600, "b")
        for at in range(0, 600, PAGES):
            some = keys[at : at + PAGES]
            self.assertEqual(writer.batch_set_v1(some, indices(range(PAGES))), [True] * PAGES)
            time.sleep(0.005)  # a storm would outrun any disk
        hasty = self.backend(empty, extra={"wait": 0})
        places = [i for i in range(600) if not hasty.batch_exists([keys[i]])][:PAGES]
        below = [keys[i] for i in places]
        self.assertEqual(hasty.batch_get_v1(below, indices(range(PAGES))), [False] * PAGES)
        reader = self.backend(empty, extra={"wait": 30})
        self.assertEqual(reader.batch_exists([*below, "none"]), PAGES)
        self.assertEqual(reader.batch_get_v1(below, indices(range(PAGES))), [True] * PAGES)
        for ours, place in enumerate(places):
            self.assertTrue(torch.equal(canonical(empty, ours), canonical(full, place % PAGES)))
        self.assertFalse(hasty.exists(keys[places[-1] + 1]))
        flat = reader.get(keys[places[-1] + 1], empty.get_dummy_flat_data_page())
        self.assertIsNotNone(flat)

    def test_pages_below_the_pool_are_not_written_again_and_nobody_hangs(self):
        server = daemon.Daemon(pool="16MiB", spill="128MiB")
        self.addCleanup(server.close)
        self.daemon = server
        pool, keys = host_pool("page_first", seed=9), names(600, "w")
        store = self.backend(pool, extra={"wait": 0.3})
        for at in range(0, 600, PAGES):
            store.batch_set_v1(keys[at : at + PAGES], indices(range(PAGES)))
            time.sleep(0.005)
        hasty = self.backend(pool, extra={"wait": 0})
        below = [key for key in keys if not hasty.batch_exists([key])][:PAGES]
        before = store._session.stats()["puts"]
        self.assertEqual(store.batch_set_v1(below, indices(range(PAGES))), [True] * PAGES)
        self.assertEqual(store._session.stats()["puts"], before)
        server.pause()
        try:
            self.assertEqual(store.batch_exists(below), 0)
            self.assertEqual(store.batch_get_v1(below, indices(range(PAGES))), [False] * PAGES)
        finally:
            server.resume()
        self.assertEqual(store.batch_exists(below), PAGES)
        self.assertTrue(store.clear())
        self.assertEqual(store.batch_exists(below), 0)  # what lies below stays, and is not found

    def test_what_cannot_be_is_refused_in_a_sentence(self):
        pool = host_pool("page_first")
        with self.assertRaisesRegex(ValueError, "hybrid"):
            self.backend(pool).register_mem_host_pool_v2(pool, hicache.PoolName.MAMBA)
        self.backend(pool).register_mem_host_pool_v2(pool, hicache.PoolName.KV)
        pool.layout = "page_unified"
        with self.assertRaisesRegex(ValueError, "hicache-mem-layout"):
            self.backend(pool)
        with self.assertRaisesRegex(ValueError, "tp_lcm_size"):
            self.backend(host_pool("page_head"), should_split_heads=True)
        with self.assertRaises(FileNotFoundError):
            self.backend(host_pool("page_head"), extra={"socket": self.daemon.folder + "/no"})
        store = self.backend(host_pool("page_head", seed=1))
        with self.assertLogs("speckv_sglang", "WARNING"):
            self.assertEqual(store.batch_set_v1(names(2), indices([0])), [False] * 2)
        self.assertEqual(store.batch_get_v1(names(2), indices([0, 1])), [False] * 2)


def main():
    result = unittest.TextTestRunner(verbosity=2).run(
        unittest.defaultTestLoader.loadTestsFromTestCase(HiCacheTest))
    failed = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
