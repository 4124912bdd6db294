#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Proves that driver/check-dax-abi refuses a kernel whose structures are not the known ones to the
byte: a member that grew or moved, that was added, renamed or taken out. It is given a pahole that
prints what is written here, so no kernel is needed; the real ones are checked in tests/vm."""
import os
import pathlib
import subprocess
import tempfile
import unittest

TOOL = pathlib.Path(__file__).resolve().parents[3] / "driver/check-dax-abi"

DEV_DAX = """struct dev_dax {
\tstruct dax_region *        region;               /*     0     8 */
\tstruct dax_device *        dax_dev;              /*     8     8 */
\tunsigned int               align;                /*    16     4 */
\tint                        target_node;          /*    20     4 */
\tbool                       dyn_id;               /*    24     1 */

\t/* 3 bytes hole */

\tint                        id;                   /*    28     4 */
\tstruct ida                 ida;                  /*    32    16 */
\tstruct device              dev;                  /*    48   768 */
\tstruct dev_pagemap *       pgmap;                /*   816     8 */
\tbool                       memmap_on_memory;     /*   824     1 */
\tint                        nr_range;             /*   828     4 */
\tstruct dev_dax_range *     ranges;               /*   832     8 */

\t/* size: 840, cachelines: 14, members: 12 */
};
"""
DRIVER = """struct dax_device_driver {
\tstruct device_driver       drv;                  /*     0   144 */
\tstruct list_head           ids;                  /*   144    16 */
\tenum dax_driver_type       type;                 /*   160     4 */
\tint                        (*probe)(struct dev_dax *); /*   168     8 */
\tvoid                       (*remove)(struct dev_dax *); /*   176     8 */
};
"""
RANGE = """struct dev_dax_range {
\tlong unsigned int          pgoff;                /*     0     8 */
\tstruct range               range;                /*     8    16 */
\tstruct dax_mapping *       mapping;              /*    24     8 */
};
"""


def moved(text, first, by):
    """The same struct with all members from offset `first` on `by` bytes further down."""
    lines = []
    for line in text.splitlines():
        head, mark, tail = line.rpartition("/*")
        words = tail.split()
        if mark and head.strip() and int(words[0]) >= first:
            line = f"{head}/* {int(words[0]) + by} {words[1]} */"
        lines.append(line)
    return "\n".join(lines) + "\n"


class AbiCheck(unittest.TestCase):
    def check(self, release="6.12.117", **structs):
        structs = {"dev_dax": DEV_DAX, "dax_device_driver": DRIVER, "dev_dax_range": RANGE,
                   **structs}
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "include/config").mkdir(parents=True)
            (root / "include/config/kernel.release").write_text(release)
            (root / "vmlinux").write_text("")
            for name, text in structs.items():
                (root / name).write_text(text)
            pahole = root / "pahole"
            pahole.write_text(f'#!/bin/sh\ncat "{root}/$4"\n')  # pahole -F btf -C NAME FILE
            pahole.chmod(0o755)
            return subprocess.run([TOOL, root], capture_output=True, text=True, check=False,
                                  env={**os.environ, "PATH": f"{root}:{os.environ['PATH']}"})

    def refuses(self, words, **structs):
        result = self.check(**structs)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn(words, result.stderr)

    def test_the_known_layout_passes(self):
        result = self.check()
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_the_size_of_struct_device_is_the_kernels_affair(self):
        larger = moved(DEV_DAX, 49, 24).replace("48   768", "48   792")
        self.assertEqual(self.check(dev_dax=larger).returncode, 0)

    def test_a_member_that_grew(self):
        align = moved(DEV_DAX, 17, 8).replace("unsigned int ", "unsigned long").replace(
            "16     4", "16     8")
        self.refuses("align@16+8", dev_dax=align)
        self.refuses("nr_range@end+12+8", dev_dax=DEV_DAX.replace("828     4", "828     8"))

    def test_a_member_that_moved(self):
        self.refuses("ranges@end+24+8", dev_dax=moved(DEV_DAX, 832, 8))
        self.refuses("probe@end+32+8", dax_device_driver=moved(DRIVER, 168, 8))
        self.refuses("mapping@32+8", dev_dax_range=moved(RANGE, 24, 8))

    def test_members_that_came_went_or_have_other_names(self):
        self.refuses("struct dev_dax", dev_dax=DEV_DAX.replace(
            "\tint                        id;", "\tint  more;  /*    26     2 */\n\tint  id;"))
        self.refuses("struct dax_device_driver",
                     dax_device_driver=DRIVER.replace("(*remove)", "(*gone)"))
        self.refuses("struct dev_dax ", dev_dax="")

    def test_a_kernel_that_nobody_has_looked_at(self):
        result = self.check(release="6.18.1")
        self.assertEqual(result.returncode, 1)
        self.assertIn("6.18.1 is not known", result.stderr)


if __name__ == "__main__":
    unittest.main()
