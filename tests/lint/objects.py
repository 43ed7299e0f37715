"""Checks of what the objects export: names begin with the file stem, nothing is exported for one file."""
import glob
import os
import re
import subprocess

from source import FOLDERS, Finding, files, read

HERE = os.path.dirname(os.path.abspath(__file__))


def symbols(path):
    """-> (defined, wanted): global names of an object."""
    out = subprocess.run(["nm", "-P", "-g", path], stdout=subprocess.PIPE, text=True, check=True).stdout
    defined, wanted = set(), set()
    for line in out.splitlines():
        name, kind = line.split()[:2]
        (wanted if kind in "Uwv" else defined).add(name)
    return defined, wanted


def tree(build):
    """{source file: (defined, wanted)} of the objects whose source is there."""
    found = {}
    for path in glob.glob(f"{build}/obj/*/*.o"):
        source = os.path.relpath(path, f"{build}/obj")[:-2] + ".c"
        if os.path.isfile(source) and source.split("/")[0] in FOLDERS:
            found[source] = symbols(path)
    return found


def families():
    """tests/lint/families: FILE PREFIX reason; other prefixes that a file may export."""
    table = {}
    for n, line in enumerate(read(os.path.join(HERE, "families")), 1):
        if line and not line.startswith("#"):
            path, prefix, reason = line.split(None, 2)
            table.setdefault(path, []).append(prefix)
    return table


def prefixes(path):
    """conf_apply and conf for core/conf_apply.c; orders and order, for one of them, for queue/orders.c."""
    words = re.split(r"[_-]", os.path.basename(path)[:-2])
    stem = "_".join(words)
    other_number = stem[:-1] if stem.endswith("s") else stem + "s"
    return ["_".join(words[:n]) for n in range(len(words), 0, -1)] + [other_number]


def place(path, name):
    """The line of a definition."""
    for n, line in enumerate(read(path), 1):
        if re.match(rf"(?!static\b)\w.*\b{re.escape(name)}\b", line) and not line.endswith(";"):
            return n
    return 1


def fits(name, prefix):
    return name == prefix or name.startswith(prefix if prefix.endswith("_") else prefix + "_")


def names(build):
    extra = families()
    for path, (defined, _) in tree(build).items():
        allowed = prefixes(path) + extra.get(path, [])
        for name in defined - {"main"}:
            if not any(fits(name, p) for p in allowed):
                yield Finding(path, place(path, name), f"{name} does not begin with {allowed[0]}_")


def static(build):
    objects = tree(build)
    used = {}
    for path, (_, wanted) in objects.items():
        for name in wanted:
            used.setdefault(name, set()).add(path)
    words = set()
    for path in files(".c", ".h", tests=True):
        if path.startswith("tests/"):
            words |= set(re.findall(r"\w+", "\n".join(read(path))))
    for path, (defined, _) in objects.items():
        text = "\n".join(read(path))
        for name in defined - {"main"}:
            if name in used:
                continue
            times = len(re.findall(rf"\b{re.escape(name)}\b", text))
            if times == 0:
                continue        # made by a macro for every row of a table
            if name in words:
                if times == 1:
                    yield Finding(path, place(path, name), f"only tests use {name}", note=True)
            elif times == 1:
                yield Finding(path, place(path, name), f"nothing uses {name}")
            else:
                yield Finding(path, place(path, name), f"only this file uses {name}: make it static")
