"""Checks that read only the text of the source: layers, lengths, words, comments."""
import ast
import os
import re

FOLDERS = ["core", "proto", "queue", "resolver", "supervisor", "bench"]
FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 100
FUNCTION_LINES_NOTE = 60
INCLUDE = re.compile(r'^\s*#\s*(?:include|define\s+CONF_DEF)\s+"([^"]+)"')
# In two parts, so that this file does not find itself.
WORDS = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]) + r")\b")
# Prose and scripts are read for words too.
TEXT = (".c", ".h", ".def", ".py", ".sh", ".md", ".config", ".conf", ".service", ".tmpfiles", ".smtp", ".supp")


class Finding:
    def __init__(self, path, line, what, note=False):
        self.path, self.line, self.what, self.note = path, line, what, note


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read().split("\n")


def files(*endings, tests=False):
    """Paths from the top, of the six folders and with tests=True also of tests/."""
    for top in FOLDERS + (["tests"] if tests else []):
        for folder, below, names in os.walk(top):
            below[:] = sorted(d for d in below if d not in ("__pycache__", "corpus"))
            for name in sorted(names):
                if name.endswith(endings):
                    yield os.path.join(folder, name)


# ---- layers

def includes(path):
    for n, line in enumerate(read(path), 1):
        m = INCLUDE.match(line)
        if m:
            yield n, m.group(1)


def side(path):
    """smtps or smtpc for a file of one of the two programs in proto/."""
    m = re.match(r"proto/(smtps|smtpc)_", path)
    return m.group(1) if m else None


def reachable(graph, start):
    seen, todo = set(), [start]
    while todo:
        for to in graph.get(todo.pop(), ()):
            if to not in seen:
                seen.add(to)
                todo.append(to)
    return seen


def layers(build):
    graph, line_of = {}, {}
    for path in files(".c", ".h", ".def"):
        top = path.split("/")[0]
        graph[path] = []
        for n, to in includes(path):
            graph[path].append(to)
            line_of[path, to] = n
            if "/" not in to or not os.path.isfile(to):
                yield Finding(path, n, f'"{to}" is not a path from the top of the tree')
            elif to.split("/")[0] not in ("core", top):
                yield Finding(path, n, f"{top}/ must not include {to}")
    for path in graph:
        below = reachable(graph, path)
        mine = side(path)
        for to in graph[path]:
            hit = sorted(t for t in {to} | reachable(graph, to) if side(t) and side(t) != mine and mine)
            if hit:
                yield Finding(path, line_of[path, to], f"a file of {mine} reaches {hit[0]}")
            if path in {to} | reachable(graph, to):
                yield Finding(path, line_of[path, to], f"include cycle through {to}")
        if not mine and path.startswith("proto/"):
            for hit in sorted(t for t in below if side(t)):
                yield Finding(path, 1, f"a file that both programs share reaches {hit}")


# ---- lengths

def c_functions(lines):
    """(name, first line, last line), counted from 1; relies on the layout: body braces in column 0."""
    for i, line in enumerate(lines):
        if line != "{":
            continue
        begin = i
        while begin > 0 and lines[begin - 1] and not re.match(r"[#/}]| \*|.*[;}]$", lines[begin - 1]):
            begin -= 1
        end = next((k for k in range(i, len(lines)) if lines[k].startswith("}")), len(lines) - 1)
        m = re.search(r"(\w+)\s*\(", " ".join(lines[begin:i]))
        yield (m.group(1) if m else "?"), begin + 1, end + 1


def python_functions(path, lines):
    try:
        tree = ast.parse("\n".join(lines), path)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.lineno, node.end_lineno


def lengths(build):
    for path in files(".c", ".h", ".def", ".py", ".sh", tests=True):
        lines = read(path)
        # A table of cases may be as long as it likes.
        is_test = path.startswith("tests/")
        if len(lines) - 1 > FILE_LINES_MAX:
            yield Finding(path, FILE_LINES_MAX, f"{len(lines) - 1} lines; at most {FILE_LINES_MAX}", note=is_test)
        found = python_functions(path, lines) if path.endswith(".py") else c_functions(lines)
        for name, begin, end in found:
            n = end - begin + 1
            if n > FUNCTION_LINES_MAX:
                yield Finding(path, begin, f"{name}() has {n} lines; at most {FUNCTION_LINES_MAX}", note=is_test)
            elif n > FUNCTION_LINES_NOTE:
                yield Finding(path, begin, f"{name}() has {n} lines; aim for {FUNCTION_LINES_NOTE}", note=True)


# ---- words

def all_text():
    for folder, below, names in os.walk("."):
        below[:] = sorted(d for d in below if d not in (".git", "build", "corpus", "__pycache__"))
        for name in sorted(names):
            path = os.path.relpath(os.path.join(folder, name), ".")
            if name.endswith(TEXT) or "." not in name or re.search(r"\.[1-8]$", name):
                yield path


def words(build):
    for path in all_text():
        for n, line in enumerate(read(path), 1):
            m = WORDS.search(line)
            if m:
                yield Finding(path, n, f"the word {m.group(1)}: finish it, or write down what it is")


# ---- comments

def comments(build):
    """Above a declaration in a header, or above its block of declarations, stands a comment."""
    for path in files(".h"):
        lines = read(path)
        blank = {i for i, line in enumerate(lines) if not line.strip()}
        for i, line in enumerate(lines):
            m = re.match(r"(?!static|typedef|extern \"C\"|#)[A-Za-z_][\w \t\*]*?\b(\w+)\(", line)
            if not m or m.group(1).startswith("_") or "/*" in line:
                continue
            up = i
            while up > 0 and up - 1 not in blank:
                up -= 1
            if not any("*/" in text for text in lines[up:i]):
                yield Finding(path, i + 1, f"no comment says what {m.group(1)}() does")
