#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tidy.py [FOLDER] - the house style: what CONTRIBUTING.md says in words, checked over every file.

Each rule is one function that yields (path, line, message). A rule that finds nothing has passed;
then the rules check themselves on planted violations (self_test.py), so a rule that went blind is a
failure too. Reads files that git tracks or would track; compiles the public headers; writes
nothing. Standard library only.
Last line: "N passed, N failed".
"""

import ast
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import rooms
from functions import c_functions, shell_functions

LINES_MAX = 500
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100
TAB_COLUMNS = 8
README_LINES_MAX = 20
FOLDER_FILES_MAX = 3
BINARY_BYTES_MAX = 100_000

C_SUFFIXES = {".c", ".h", ".cpp", ".hpp", ".cc", ".inc"}
CODE_SUFFIXES = C_SUFFIXES | {
    ".py",
    ".sh",
    ".sv",
    ".svh",
    ".v",
    ".pml",
    ".cmake",
    ".rdl",
    ".sby",
    ".tcl",
}
CODE_NAMES = {"Makefile", "CMakeLists.txt", "Kbuild"}
DATA_SUFFIXES = {".json", ".jsonl", ".csv", ".svg", ".txt", ".hex"}
ROOMS = ("include/", "libspeckv/", "daemon/", "driver/", "fpga/", "systemd/", "docs/")
LICENCE_TEXTS = ("LICENSE", "LICENSES/")
TYPE_WORDS = re.compile(r"\b(?:T" r"ODO|F" r"IXME|X" r"XX|[Ss]tub(?:s|bed)?)\b")
REGISTRIES = re.compile(
    r"\b(?:pypi\.org|pythonhosted\.org|(?:deb|snapshot|ftp[a-z.]*)\.debian\.org|"
    r"npmjs\.(?:org|com)|crates\.io|proxy\.golang\.org|rubygems\.org|repo\d*\.maven\.org|"
    r"huggingface\.co)\b"
)
TEMPORARIES = re.compile(r"TempDir\(\)\s*\+[^;]*;")  # a path in GoogleTest's folder, to its end
MACHINE_PATHS = re.compile(r"(?<![\w.$})~-])/(?:work|root|home/\w+)/\w")


class Tree:
    """The files under one folder, read once: `files` maps a path to its text (None: binary)."""

    def __init__(self, root):
        self.root = Path(root)
        self.files = {}
        self.sizes = {}
        for name in sorted(self._names()):
            path = self.root / name
            if path.is_symlink() or not path.is_file():
                continue
            data = path.read_bytes()
            self.sizes[name] = len(data)
            self.files[name] = None if b"\0" in data[:8192] else data.decode("utf-8", "replace")

    def _names(self):
        git = [
            "git",
            "-C",
            str(self.root),
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]
        done = subprocess.run(git, capture_output=True, check=False)
        if done.returncode == 0 and done.stdout:
            return set(done.stdout.decode().split("\0")) - {""}
        skip = {"build", ".git", "__pycache__"}
        return {
            str(p.relative_to(self.root))
            for p in self.root.rglob("*")
            if not skip & set(p.relative_to(self.root).parts)
        }

    def text(self):
        return (
            (n, t)
            for n, t in self.files.items()
            if t is not None and not n.startswith(LICENCE_TEXTS)
        )

    def code(self):
        return ((n, t) for n, t in self.text() if is_code(n, t))


def is_code(name, text):
    path = Path(name)
    return path.suffix in CODE_SUFFIXES or path.name in CODE_NAMES or text.startswith("#!")


def numbered(text):
    return enumerate(text.split("\n"), 1)


def rule_lines(tree):
    """files of code and prose have at most 500 lines"""
    for name, text in tree.text():
        count = text.count("\n")
        if Path(name).suffix not in DATA_SUFFIXES and count > LINES_MAX:
            yield name, count, f"{count} lines, at most {LINES_MAX}: it holds two things, part them"


def rule_columns(tree):
    """lines of code have at most 100 columns"""
    for name, text in tree.code():
        for number, line in numbered(text):
            width = len(line.expandtabs(TAB_COLUMNS))
            if width > COLUMNS_MAX:
                yield name, number, f"{width} columns, at most {COLUMNS_MAX}"


def rule_functions(tree):
    """functions have at most 70 lines"""
    for name, text in tree.code():
        if Path(name).suffix in C_SUFFIXES:
            found = c_functions(text)
        elif Path(name).suffix == ".py" or text.startswith("#!/usr/bin/env python3"):
            found = python_functions(text)
        else:
            found = shell_functions(text)
        for first, last, what in found:
            if last - first >= FUNCTION_LINES_MAX:
                count = last - first + 1
                yield name, first, f"{what} has {count} lines, at most {FUNCTION_LINES_MAX}"


def python_functions(text):
    try:
        nodes = ast.walk(ast.parse(text))
    except SyntaxError as error:
        return [(error.lineno or 1, 10**6, f"not Python: {error.msg}; it")]
    return [
        (n.lineno, n.end_lineno, n.name)
        for n in nodes
        if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]


def rule_spdx(tree):
    """each file of code names the licence of its room in its first three lines"""
    for name, text in tree.code():
        head = "\n".join(text.split("\n")[:3])
        found = re.search(r"SPDX-License-Identifier: *(.*?) *(?:\*/|-->)?$", head, re.M)
        wanted = rooms.licences(name)
        if not found:
            yield name, 1, f"no SPDX-License-Identifier up to line 3; expected {wanted[0]}"
        elif found.group(1) not in wanted:
            yield name, 1, f"licence {found.group(1)}; this room's is {wanted[0]}"


def rule_readme(tree):
    """a folder of more than three files has a README.md of at most 20 lines"""
    folders = {}
    for name in tree.files:
        folders.setdefault(str(Path(name).parent), []).append(Path(name).name)
    for folder, names in sorted(folders.items()):
        if folder.startswith((".", "LICENSES")):
            continue  # the repository's own README.md is the product's page, not a room's
        readme = f"{folder}/README.md"
        if readme not in tree.files:
            if len(names) > FOLDER_FILES_MAX:
                why = "say what belongs here and what it may include"
                yield folder, 0, f"{len(names)} files and no README.md: {why}"
        elif tree.files[readme].count("\n") > README_LINES_MAX:
            yield readme, 0, f"a room's README.md has at most {README_LINES_MAX} lines"


def rule_words(tree):
    """nothing unfinished is left behind"""
    for name, text in tree.text():
        for number, line in numbered(text):
            found = TYPE_WORDS.search(line)
            if found:
                yield name, number, f"'{found.group()}': finish it or take it out"


def rule_hosts(tree):
    """no package registry is named: packages come by name through the ordinary clients"""
    for name, text in tree.text():
        for number, line in numbered(text):
            found = REGISTRIES.search(line)
            if found:
                yield name, number, f"names a registry host: {found.group()}"


def rule_paths(tree):
    """no absolute path of one machine"""
    for name, text in tree.text():
        for number, line in numbered(text):
            found = MACHINE_PATHS.search(line)
            if found:
                yield name, number, f"an absolute path of one machine: {line.strip()[:60]}"


def rule_binaries(tree):
    """no binary over 100 KB but the listed ones"""
    listed = tree.files.get("tests/tidy/binaries.txt") or ""
    allowed = [line.split() for line in listed.split("\n") if line and not line.startswith("#")]
    for name, text in tree.files.items():
        if text is not None or tree.sizes[name] <= BINARY_BYTES_MAX:
            continue
        limit = max(
            (int(size) for pattern, size in allowed if Path(name).match(pattern)), default=0
        )
        if tree.sizes[name] > limit:
            why = "list it in tests/tidy/binaries.txt, or make it in a build"
            yield name, 0, f"binary of {tree.sizes[name]} bytes; {why}"


def rule_whitespace(tree):
    """no trailing blanks; a file ends with one newline"""
    for name, text in tree.code():
        for number, line in numbered(text):
            if line != line.rstrip():
                yield name, number, "blanks at the end of the line"
        if text and (not text.endswith("\n") or text.endswith("\n\n")):
            yield name, text.count("\n"), "the file does not end with exactly one newline"


def rule_links(tree):
    """a relative link in a Markdown file, and any mention of docs/….md, leads to a file"""
    for name, text in tree.text():
        for number, line in numbered(text):
            targets = name.startswith(ROOMS) and re.findall(
                r"(?<![\w./-])(docs/[\w/.-]+\.md)\b", line
            )
            broken = [t for t in targets or [] if t not in tree.files]
            if name.endswith(".md"):
                for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", line):
                    here = tree.root / Path(name).parent / target
                    if not re.match(r"[a-z]+:", target) and not here.exists():
                        broken.append(target)
            for target in broken:
                yield name, number, f"leads to {target}, which is not there"


def rule_temporary(tree):
    """tests run side by side: a temporary file's name is the process's own"""
    for name, text in tree.text():
        for found in TEMPORARIES.finditer(text):
            if "getpid" not in found.group() and "XXXXXX" not in found.group():
                why = "two tests at once share this name; add getpid() or XXXXXX"
                yield name, text.count("\n", 0, found.start()) + 1, why


def rule_headers(tree):
    """each public header compiles alone as C11 and as C++20, without a warning"""
    strict = [
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Werror",
        "-fsyntax-only",
        "-I",
        str(tree.root / "include"),
    ]
    for name in tree.files:
        if not name.startswith("include/") or not name.endswith(".h"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            for compiler, standard, suffix in (("cc", "c11", "c"), ("c++", "c++20", "cpp")):
                alone = Path(folder) / f"alone.{suffix}"
                alone.write_text(f'#include "{name[len("include/"):]}"\n' * 2)
                done = subprocess.run(
                    [compiler, f"-std={standard}", *strict, str(alone)],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if done.returncode:
                    yield name, 1, f"does not compile alone as {standard}:\n{done.stderr.strip()}"


def rule_rooms(tree):
    """rooms include only what DESIGN's rules let them include"""
    for name, text in tree.code():
        if Path(name).suffix in C_SUFFIXES:
            yield from rooms.check_includes(name, text, tree.files)


RULES = [value for key, value in list(globals().items()) if key.startswith("rule_")]


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
    tree = Tree(root)
    passed = failed = 0
    for rule in RULES:
        findings = list(rule(tree))
        for path, line, message in findings:
            print(f"{path}:{line}: {message}")
        print(f"{'ok    ' if not findings else 'FAILED'} {rule.__name__[5:]:<11} {rule.__doc__}")
        passed, failed = passed + (not findings), failed + bool(findings)
    import self_test  # here, since it imports this module

    good, bad = self_test.run()
    print(f"{len(tree.files)} files")
    print(f"{passed + good} passed, {failed + bad} failed")
    return 1 if failed + bad else 0


if __name__ == "__main__":
    sys.exit(main())
