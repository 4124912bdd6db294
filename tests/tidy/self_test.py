# SPDX-License-Identifier: Apache-2.0
"""self_test.py - proves that each rule of tidy.py can fail: plants violations in a clean tree.

How: the clean tree must give no finding at all; then each plant (one file changed) must be found by
the rule that it is meant for. Called by tidy.py; run alone it prints each plant.
"""

import tempfile
from pathlib import Path

import tidy

SPDX = "// SPDX-License-Identifier: Apache-2.0\n"
C_SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n#pragma once\n"
SH_SPDX = "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n"
GPL = "// SPDX-License-Identifier: GPL-2.0\n"
LONG_BODY = "  f();\n" * 70

CLEAN = {
    "README.md": "# product\n[a room](daemon/README.md)\n" + "text\n" * 40,
    "daemon/README.md": "# daemon\n",
    "daemon/main.cpp": SPDX
    + '#include "journey/write.hpp"\nint main() {\n'
    + LONG_BODY[: -7 * 5]
    + "}\n",
    "daemon/journey/write.hpp": SPDX + '#include "pool/slab.hpp"\n#include "predict/lru.hpp"\n',
    "daemon/pool/slab.hpp": SPDX + '#include "shm/index.hpp"\n',
    "daemon/predict/lru.hpp": SPDX + "class Lru final : public EvictionPolicy {\n};\n",
    "daemon/session/accept.cpp": SPDX + "#include <boost/asio.hpp>\n",
    "libspeckv/shm/index.hpp": SPDX + '#include "speckv/layout.h"\n',
    "libspeckv/codec/q8.cpp": SPDX
    + "namespace a {\nstruct B {\n"
    + "  int c();\n" * 80
    + "};\n}\n",
    "include/speckv/layout.h": C_SPDX + "struct speckv_a { int b; };\n",
    "include/speckv/speckv.h": C_SPDX + "int speckv_f(void);\n",
    "driver/main.c": GPL + "static struct a *f(void)\n{\n\treturn 0;\n}\n",
    "tests/tidy/binaries.txt": "# path bytes\ntests/vectors/*.bin 200000\n",
    "tests/vectors/kv.bin": b"\0" * 150_000,
    "tools/go": "#!/usr/bin/env bash\n# SPDX-License-Identifier: Apache-2.0\nf() {\n"
    + "  g\n" * 60
    + "}\n",
}

# rule, what is planted, file, content
PLANTS = [
    (
        "rooms",
        "pool includes journey",
        "daemon/pool/slab.hpp",
        SPDX + '#include "journey/write.hpp"\n',
    ),
    (
        "rooms",
        "predict includes journey by ..",
        "daemon/predict/lru.hpp",
        SPDX + '#include "../journey/write.hpp"\n',
    ),
    (
        "rooms",
        "codec includes the C ABI",
        "libspeckv/codec/q8.cpp",
        SPDX + '#include "speckv/speckv.h"\n',
    ),
    ("rooms", "shm includes codec", "libspeckv/shm/index.hpp", SPDX + '#include "codec/q8.cpp"\n'),
    (
        "rooms",
        "Asio in a journey",
        "daemon/journey/write.hpp",
        SPDX + "#include <boost/asio/post.hpp>\n",
    ),
    (
        "rooms",
        "a policy in the pool",
        "daemon/pool/slab.hpp",
        SPDX + "class SlabLru : public X {\n};\n",
    ),
    (
        "rooms",
        "a policy by another name",
        "daemon/loop/data.cpp",
        SPDX + "struct Mine final : predict::EvictionPolicy {\n};\n",
    ),
    ("rooms", "I/O in predict", "daemon/predict/lru.hpp", SPDX + "#include <sys/mman.h>\n"),
    ("lines", "501 lines", "daemon/main.cpp", SPDX + "\n" * 499 + "int a;\n"),
    ("lines", "501 lines of prose", "daemon/guide.md", "a\n" * 501),
    ("columns", "101 columns", "daemon/main.cpp", SPDX + "//" + "x" * 99 + "\n"),
    ("columns", "tabs count as 8", "driver/main.c", GPL + "\t" * 12 + "abcde\n"),
    (
        "functions",
        "71 lines of C++",
        "daemon/main.cpp",
        SPDX + "Foo::Foo() : a_{1} {\n" + LONG_BODY[7:] + "}\n",
    ),
    (
        "functions",
        "71 lines in a class",
        "daemon/main.cpp",
        SPDX + "namespace a {\nclass B {\n  int c() const {\n" + LONG_BODY[7:] + "  }\n};\n}\n",
    ),
    (
        "functions",
        "71 lines of kernel C",
        "driver/main.c",
        GPL + "static struct a *f(void)\n{\n" + LONG_BODY[14:] + "\treturn 0;\n}\n",
    ),
    (
        "functions",
        "a brace in a string hides nothing",
        "daemon/main.cpp",
        SPDX + "void f() {\n  g('}', \"}\"); // }\n" + LONG_BODY[14:] + "}\n",
    ),
    (
        "functions",
        "71 lines of Python",
        "tests/a.py",
        SPDX.replace("//", "#") + "def f():\n" + "    g()\n" * 70,
    ),
    ("functions", "71 lines of shell", "tools/go", SH_SPDX + "f() {\n" + "  g\n" * 69 + "}\n"),
    ("spdx", "no licence", "daemon/main.cpp", "int a;\n"),
    ("spdx", "no licence in a script", "tools/go", "#!/usr/bin/env bash\ntrue\n"),
    ("spdx", "the driver is GPL-2.0", "driver/main.c", SPDX),
    ("spdx", "uapi carries the syscall note", "include/uapi/linux/speckv.h", GPL),
    ("readme", "a folder of four files without one", "daemon/journey/", None),
    ("readme", "a README of 21 lines", "daemon/README.md", "a\n" * 21),
    ("words", "an unfinished thing", "daemon/main.cpp", SPDX + "// T" + "ODO: later\n"),
    ("words", "an empty shell of a function", "docs/a.md", "this is a st" + "ub\n"),
    ("hosts", "a registry", "docs/a.md", "get it from https://py" + "pi.org/simple\n"),
    ("paths", "a path of one machine", "tools/go", SH_SPDX + "cd /wo" + "rk/x\n"),
    (
        "temporary",
        "a file that two tests share",
        "tests/unit/a_test.cpp",
        SPDX + 'std::string path_ =\n    testing::Temp'
        + 'Dir() + "a.json";\n',
    ),
    ("binaries", "a large binary", "tests/big.bin", b"\0" * 100_001),
    ("binaries", "a listed one that grew", "tests/vectors/kv.bin", b"\0" * 200_001),
    ("whitespace", "trailing blank", "daemon/main.cpp", SPDX + "int a; \n"),
    ("whitespace", "no newline at the end", "daemon/main.cpp", SPDX + "int a;"),
    (
        "links",
        "a page that was never written",
        "daemon/main.cpp",
        SPDX + "// see docs/no" + "ne.md\n",
    ),
    ("links", "a dead link", "docs/a.md", "[x](nowhere.md)\n"),
    (
        "headers",
        "a header that needs another",
        "include/speckv/speckv.h",
        C_SPDX + "struct a { uint32_t b; };\n",
    ),
    ("headers", "C++ only", "include/speckv/speckv.h", C_SPDX + "class A { int b; };\n"),
    ("headers", "C only", "include/speckv/speckv.h", C_SPDX + "struct a { int class; };\n"),
    (
        "headers",
        "a header without a guard",
        "include/speckv/speckv.h",
        C_SPDX.replace("#pragma once", "") + "struct a { int b; };\n",
    ),
]


def write(root, name, content):
    path = Path(root) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def findings(files, rule):
    with tempfile.TemporaryDirectory() as root:
        for name, content in files.items():
            write(root, name, content)
        return list(getattr(tidy, f"rule_{rule}")(tidy.Tree(root)))


def run(verbose=False):
    """Returns: (plants found + rules silent on the clean tree, how many of these not)."""
    good = bad = 0
    names = [rule.__name__[5:] for rule in tidy.RULES]
    for rule in names:
        noise = findings(CLEAN, rule)
        good, bad = good + (not noise), bad + bool(noise)
        for path, line, message in noise:
            print(f"FAILED self-test: {rule} complains about clean code: {path}:{line}: {message}")
    for rule, what, name, content in PLANTS:
        planted = {f"{name}{i}.hpp": SPDX for i in range(4)} if content is None else {name: content}
        hit = findings({**CLEAN, **planted}, rule)
        good, bad = good + bool(hit), bad + (not hit)
        if not hit:
            print(f"FAILED self-test: rule {rule} does not see: {what}")
        elif verbose:
            print(f"ok {rule}: {what} -> {hit[0][0]}:{hit[0][1]}: {hit[0][2]}")
    for rule in sorted(set(names) - {plant[0] for plant in PLANTS}):
        bad += 1
        print(f"FAILED self-test: nothing is planted for rule {rule}")
    return good, bad


if __name__ == "__main__":
    print("%d passed, %d failed" % run(verbose=True))
