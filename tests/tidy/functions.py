# SPDX-License-Identifier: Apache-2.0
"""functions.py - finds where the functions of a C, C++ or shell file begin and end.

Not a parser: it blanks comments, literals and preprocessor lines, then follows braces, which is
enough to count lines. Called by tidy.py only.
"""

import re

LITERALS = re.compile(
    r'//(?:[^\n\\]|\\.|\\\n)*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|'
    r"(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])*'",
    re.S,
)
PREPROCESSOR = re.compile(r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", re.M)
NOT_FUNCTIONS = re.compile(
    r"^\W*(?:(?:inline|export|typedef|static|extern|const|constexpr)\b\s*)*"
    r"(?:namespace|class|struct|union|enum|extern)\b"
)


def blank(match):
    """Keeps the newlines, so that line numbers stay."""
    return re.sub(r"[^\n]", " ", match.group())


def c_functions(text):
    """Returns: [(first line, last line, name)] of the outermost functions, lambdas within."""
    text = PREPROCESSOR.sub(blank, LITERALS.sub(blank, text))
    found = []
    depth = 0  # of braces inside a function; 0: outside of any
    start = 0  # where the current declaration begins
    first = what = None
    within_initialiser = -1  # the place of the brace that closes the member initialiser we are in
    for at in re.finditer(r"[{};]", text):
        mark, here = at.group(), at.start()
        if depth:
            depth += {"{": 1, "}": -1, ";": 0}[mark]
            if depth == 0:
                found.append((first, text.count("\n", 0, here) + 1, what))
                start = here + 1
        elif mark == "{":
            head = text[start:here]
            if within_initialiser < here:
                within_initialiser = braced_member(text, head, here)
            if within_initialiser > here:
                continue
            if "(" in head and not looks_like_scope(head):
                lead = len(head) - len(head.lstrip())
                first = text.count("\n", 0, start + lead) + 1
                names = re.findall(r"([\w:~]+)\s*\(", head)
                what = names[0] if names else "a function"
                depth = 1
            else:
                start = here + 1
        elif within_initialiser < here:
            start = here + 1
    return found


def braced_member(text, head, here):
    """Returns: where the braces of `: member_{1}` that open here close; -1 if none do."""
    if not (re.search(r"\)\s*(?:noexcept\s*)?:[^:]", head) and re.search(r"[\w>]\s*$", head)):
        return -1
    depth = 0
    for at in re.finditer(r"[{}]", text[here:]):
        depth += 1 if at.group() == "{" else -1
        if depth == 0:
            return here + at.start()
    return len(text)


def looks_like_scope(head):
    """A namespace, a type or an initialiser: its braces do not open a function."""
    if re.search(r"=\s*$", head):
        return True
    if NOT_FUNCTIONS.match(head.strip()):
        # `struct foo *name(...)` is a function; `struct alignas(64) Foo : Bar<f()>` is not
        ends_like_one = re.search(r"\)\s*(?:const|noexcept|override|final|\s)*$", head)
        return not ends_like_one or "alignas" in head
    return False


def shell_functions(text):
    """Functions from `name() {` to `}`, both at the start of a line."""
    found = []
    first = name = None
    for number, line in enumerate(text.split("\n"), 1):
        opening = re.match(r"(?:function\s+)?([\w-]+)\s*\(\)\s*\{\s*(?:#.*)?$", line)
        if opening:
            first, name = number, opening.group(1)
        elif line.startswith("}") and first:
            found.append((first, number, name))
            first = None
    return found
