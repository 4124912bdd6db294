# SPDX-License-Identifier: Apache-2.0
"""rooms.py - which room may include which, and which licence a room has. Called by tidy.py only.

A new room is one line in MAY_INCLUDE. What a room may include beside itself:
"""

import re
from pathlib import PurePosixPath

LAYOUT = ["include/speckv/layout.h"]
ABI = ["include/speckv/"]
DAEMON = [
    "daemon/assert.hpp",
    "daemon/status.hpp",
    "daemon/printable.hpp",
    "daemon/layout.hpp",
    "daemon/config/",
    "daemon/widths/",
]  # what any daemon room may use
CODE_OF_BOTH = ["libspeckv/codec/", "libspeckv/shm/", *ABI]

# The longest matching prefix counts. None: anything.
MAY_INCLUDE = {
    "include/speckv/": [],
    "include/uapi/": [],
    "include/hw/": [],
    "libspeckv/codec/": LAYOUT,
    "libspeckv/shm/": LAYOUT,
    "libspeckv/src/": CODE_OF_BOTH,
    "libspeckv/tools/": [*CODE_OF_BOTH, "libspeckv/src/", "daemon/config/", "include/uapi/"],
    "libspeckv/adapters/": ABI,
    "libspeckv/adapters/llama_server/": [*ABI, "libspeckv/adapters/llama/"],
    # calibration writes the tables that chanq reads; the rest of an adapter uses the ABI
    "libspeckv/adapters/llama/calibration": [
        *ABI,
        "libspeckv/adapters/llama/",
        "libspeckv/codec/chan_residual.hpp",
        "libspeckv/codec/chan_table.hpp",
    ],
    # what presets cost on a model: pages through the codec room inside a running engine
    "libspeckv/adapters/llama/lossy": [*ABI, "libspeckv/adapters/llama/", "libspeckv/codec/"],
    "libspeckv/examples/": ABI,
    "libspeckv/python/": ABI,
    "daemon/journey/": [
        *CODE_OF_BOTH,
        *DAEMON,
        "daemon/pool/",
        "daemon/predict/",
        "daemon/engine/",
    ],
    # spill_* start their I/O by it
    "daemon/pool/": [*CODE_OF_BOTH, *DAEMON, "include/uapi/", "daemon/loop/io.hpp"],
    "daemon/widths/": [*CODE_OF_BOTH, "daemon/status.hpp"],
    "daemon/predict/": ["daemon/status.hpp", "libspeckv/shm/", *ABI],
    # a device is asked by it
    "daemon/engine/": [
        *CODE_OF_BOTH,
        *DAEMON,
        "include/uapi/",
        "include/hw/",
        "daemon/loop/io.hpp",
    ],
    "daemon/config/": [
        *CODE_OF_BOTH,
        "daemon/status.hpp",
        "daemon/printable.hpp",
        "daemon/predict/",
        "daemon/pool/medium.hpp",
        "include/uapi/",
    ],
    "daemon/watch/": [
        *CODE_OF_BOTH,
        *DAEMON,
        "daemon/loop/",
        "daemon/session/",
        "daemon/journey/",
        "daemon/pool/",
    ],
    "daemon/session/": [
        *CODE_OF_BOTH,
        *DAEMON,
        "daemon/pool/",
        "daemon/journey/",
        "daemon/predict/",
        "daemon/loop/",
        "daemon/watch/",
    ],
    "daemon/loop/": [
        *CODE_OF_BOTH,
        *DAEMON,
        "daemon/pool/",
        "daemon/journey/",
        "daemon/predict/",
        "daemon/engine/",
        "daemon/session/",
        "daemon/watch/",
    ],
    "fpga/device/": ["libspeckv/codec/", "include/hw/", *LAYOUT],
    "driver/": ["include/uapi/", "include/hw/"],
}
# An include "a/b.hpp" is looked for here, after the including file's own folder.
INCLUDE_FOLDERS = ["include/", "libspeckv/", "daemon/", ""]

ASIO_ROOMS = ("daemon/session/", "daemon/loop/con", "daemon/watch/", "tests/")
IO_HEADERS = re.compile(
    r"<(?:unistd\.h|fcntl\.h|fstream|iostream|filesystem|liburing\.h|" r"sys/[\w/]+\.h|spdlog/.*)>"
)
POLICY_CLASS = re.compile(
    r"\b(?:class|struct)\s+(?:\w*(?:Lru|S3Fifo|Belady|EvictionPolicy)\w*\s*(?:final\s*)?[:{]"
    r"|\w+\s*(?:final\s*)?:\s*(?:public\s+)?[\w:]*(?:EvictionPolicy|Policy)\b)"
)


def licences(name):
    """Returns: the licences a file of this path may carry, the expected one first."""
    if name.startswith("include/uapi/"):
        return ["GPL-2.0 WITH Linux-syscall-note", "GPL-2.0-only WITH Linux-syscall-note"]
    if name.startswith("driver/") or name.startswith("tests/vm/modules/"):
        return ["GPL-2.0", "GPL-2.0-only"]
    if name.startswith("include/hw/"):  # the kernel driver is made of it, too
        return ["GPL-2.0 OR Apache-2.0"]
    if name.startswith("tests/vm/"):
        return ["Apache-2.0", "GPL-2.0", "GPL-2.0-only", "GPL-2.0 WITH Linux-syscall-note"]
    return ["Apache-2.0"]


def room_of(name):
    """Returns: the prefix in MAY_INCLUDE that this file lives under, or None."""
    return max((prefix for prefix in MAY_INCLUDE if name.startswith(prefix)), key=len, default=None)


def resolve(name, included, files):
    """Returns: the path that `#include "included"` in file `name` means, None if not ours."""
    folder = str(PurePosixPath(name).parent) + "/"
    for base in [folder, *INCLUDE_FOLDERS]:
        parts = []
        for part in (base + included).split("/"):
            if part == ".." and parts:
                parts.pop()
            elif part not in ("", "."):
                parts.append(part)
        if "/".join(parts) in files:
            return "/".join(parts)
    return None


def check_includes(name, text, files):
    """Yields (path, line, message) for each include that the room of file `name` may not have."""
    room = room_of(name)
    for number, line in enumerate(text.split("\n"), 1):
        if (
            POLICY_CLASS.search(line)
            and name.startswith(("daemon/", "libspeckv/"))
            and not name.startswith("daemon/predict/")
        ):
            yield name, number, "a policy outside of daemon/predict: policies live only there"
        found = re.match(r'\s*#\s*include\s*(["<][^">]+[">])', line)
        if not found:
            continue
        quoted = found.group(1)
        if re.match(r'["<](?:boost/)?asio', quoted) and not name.startswith(ASIO_ROOMS):
            yield name, number, "Asio belongs to the control side: daemon/session, daemon/loop/con*"
        if name.startswith("daemon/predict/") and IO_HEADERS.match(quoted):
            yield name, number, f"{quoted}: predict is pure functions, no I/O"
        target = resolve(name, quoted[1:-1], files)
        if room and target and not target.startswith((room, *MAY_INCLUDE[room])):
            allowed = ", ".join(MAY_INCLUDE[room]) or "nothing else of ours"
            yield name, number, f"includes {target}; {room} may include {allowed}"
