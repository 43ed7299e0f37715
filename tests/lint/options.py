"""Options that are parsed and do nothing.

The compiler finds the uses: every source is read once with all option fields marked deprecated, so each
access to one is a warning that names the field and the table it is a row of.
"""
import glob
import os
import re

import tools
from source import FOLDERS, Finding, read

ROW = re.compile(r"^(OPT|ENUM_OPT|FLAGS_OPT|SECTION_OPT)\((\w+),\s*\"([^\"]+)\"(.*?)\)$", re.M | re.S)
LATER = re.compile(r"\bLATER\b")
WARNING = re.compile(r"^([^:\s]+):(\d+):\d+: warning: .(\w+). is deprecated: (\S+)")
VALUE = re.compile(r"\{\s*\.name = \"([^\"]+)\",\s*\.value = (\w+)(.*?)\}", re.S)
TABLE = re.compile(r"struct conf_value (\w+)\[\] = \{(.*?)^\};", re.M | re.S)


def tables():
    return sorted(p for f in FOLDERS for p in glob.glob(f + "/*.def") if ROW.search("\n".join(read(p))))


def rows(path):
    """(kind, field, option name, line, later, rest of the row)"""
    text = "\n".join(read(path))
    for m in ROW.finditer(text):
        rest = re.sub(r'"[^"]*"', "", m.group(4))
        yield m.group(1), m.group(2), m.group(3), text.count("\n", 0, m.start()) + 1, bool(LATER.search(rest)), rest


def is_table_code(path):
    """Files that hold tables, check options against each other or print them, but do not act on them."""
    return path.endswith((".def", "_options.c", "_rows.h")) or re.match(r"core/conf_\w+\.c$", path)


def uses(build):
    """{(table, field)} that some code acts on."""
    overlay = os.path.join(build, "lint", "core")
    os.makedirs(overlay, exist_ok=True)
    text = re.sub(r"\bfield;", "field __attribute__((deprecated(CONF_DEF)));", "\n".join(read("core/conf_fields.h")))
    with open(os.path.join(overlay, "conf_fields.h"), "w") as f:
        f.write(text)
    found = set()
    for path, out in tools.compile_all(["-I" + os.path.dirname(overlay), "-Wdeprecated-declarations"]):
        lines = read(path)
        for line in out.splitlines():
            m = WARNING.match(line)
            if not m or is_table_code(m.group(1)):
                continue
            where, n, field, table = m.groups()
            code = lines[int(n) - 1] if where == path else ""
            # A reload that carries the value over is no use.
            if not re.search(rf"\b{field} = [\w.>-]+(\.|->){field};", code):
                found.add((table, field))
    return found


def words(later_tables, enum_tables):
    """Words of ENUM and FLAGS options whose constant no code knows. One word of an enum may be what is left
    when all others were asked for."""
    code = {p: "\n".join(read(p)) for f in FOLDERS for p in glob.glob(f + "/*.[ch]")}
    ours = set(re.findall(r"\b([A-Z]\w+)\s*[=,}]", "\n".join(t for p, t in code.items() if p.endswith(".h"))))
    for path in sorted(p for p in code if "struct conf_value" in code[p] and p.endswith(".c")):
        for table in TABLE.finditer(code[path]):
            if table.group(1) in later_tables:
                continue
            silent = []
            for m in VALUE.finditer(table.group(2)):
                word, constant, rest = m.groups()
                if ".later = true" in rest or constant not in ours:
                    continue
                inside = re.compile(rf"\b{constant}\b")
                if not any(inside.search(t) for p, t in code.items() if p.endswith(".c") and p != path):
                    line = code[path].count("\n", 0, table.start(2) + m.start()) + 1
                    silent.append(Finding(path, line, f"unused-option: the word {word} ({constant}) does nothing"))
            if len(silent) > (table.group(1) in enum_tables):
                yield from silent


def unused(build):
    used = uses(build)
    later_tables, built, enum_tables = set(), set(), set()
    # The rows of a subsection that is not built yet are told of as a whole.
    later_sections = {re.search(r"\w+", rest).group(0) for path in tables()
                      for kind, field, name, line, later, rest in rows(path) if kind == "SECTION_OPT" and later}
    for path in tables():
        if os.path.basename(path)[:-len(".def")] in later_sections:
            continue
        for kind, field, name, line, later, rest in rows(path):
            if kind == "ENUM_OPT":
                enum_tables |= set(re.findall(r"\b\w+_values\b", rest))
            for word in re.findall(r"\b\w+_values\b", rest):
                (later_tables if later else built).add(word)
            if not later and (path, field) not in used:
                yield Finding(path, line, f"unused-option: {name} ({field}) is parsed and does nothing")
    yield from words(later_tables - built, enum_tables)
