#!/usr/bin/env python3
"""tests/lint/run finds each kind of mistake in a small tree that has one of each, and nothing in a clean one."""
import os
import re
import shutil
import subprocess
import sys

from smxtest import TOP, equal, main, ok, skip, tmpdir

LINT = os.path.join(TOP, 'tests/lint/run')

CLEAN = {
    'Makefile': '''
all: build/.flags build/obj/core/tool.o build/obj/core/other.o
build/.flags:
	@mkdir -p build/obj/core
	@echo 'gcc -std=c17 -Wall -I. ' > $@
build/obj/core/%.o: core/%.c
	@mkdir -p build/obj/core
	@gcc -std=c17 -I. -c -o $@ $<
''',
    '.clang-format': open(os.path.join(TOP, '.clang-format')).read(),
    'core/conf_fields.h': '''#define OPT(field, name, applies, help) int field;
#include CONF_DEF
#undef OPT
#undef CONF_DEF
''',
    'core/toy.def': '''OPT(size, "size", RELOAD, "Used.")
OPT(cert, "tls.cert", LATER, "Not built.")
''',
    'core/tool.h': '''/* core/tool.h - a toy. */
struct tool_options {
#define CONF_DEF "core/toy.def"
#include "core/conf_fields.h"
};

/* Half the size. */
int tool_half(const struct tool_options *o);
int tool_third(const struct tool_options *o);
''',
    'core/tool.c': '''#include "core/tool.h"

int tool_half(const struct tool_options *o)
{
	return o->size / 2;
}

int tool_third(const struct tool_options *o)
{
	return o->size / 3;
}
''',
    'core/other.c': '''#include "core/tool.h"

int main(void)
{
	struct tool_options o = { 6, 0 };

	return tool_half(&o) - tool_third(&o);
}
''',
}

# name, check, file, its text made from the clean one, what is found
MISTAKES = [
    ('upward include', 'layers', 'core/other.c', lambda t: '#include "queue/aq.h"\n' + t,
     'core/other.c:1: layers: core/ must not include queue/aq.h'),
    ('sideward include', 'layers', 'queue/aq.c', lambda t: '#include "core/tool.h"\n#include "proto/line.h"\n',
     'queue/aq.c:2: layers: queue/ must not include proto/line.h'),
    ('include by a short name', 'layers', 'core/other.c', lambda t: '#include "tool.h"\n' + t,
     'core/other.c:1: layers: "tool.h" is not a path from the top of the tree'),
    ('server and client', 'layers', 'proto/smtps_x.c', lambda t: '#include "proto/line.h"\n',
     'proto/smtps_x.c:1: layers: a file of smtps reaches proto/smtpc_y.h'),
    ('shared code and client', 'layers', 'proto/line.c', lambda t: '#include "proto/line.h"\n',
     'proto/line.c:1: layers: a file that both programs share reaches proto/smtpc_y.h'),
    ('cycle', 'layers', 'core/tool.h', lambda t: '#include "core/ring.h"\n' + t,
     'core/tool.h:1: layers: include cycle through core/ring.h'),
    ('long file', 'lengths', 'core/other.c', lambda t: t + '\n' * 800,
     'core/other.c:800: lengths: 810 lines; at most 800'.replace('810', str(800 + CLEAN['core/other.c'].count('\n')))),
    ('long function', 'lengths', 'core/long.c', lambda t: 'int\nlong_name(void)\n{\n' + '\t;\n' * 97 + '}\n',
     'core/long.c:1: lengths: long_name() has 101 lines; at most 100'),
    ('function over 60 lines', 'lengths', 'core/long.c', lambda t: 'int long_name(void)\n{\n' + '\t;\n' * 58 + '}\n',
     'core/long.c:1: note: long_name() has 61 lines; aim for 60'),
    ('unfinished', 'words', 'core/other.c', lambda t: t + '/* TO' + 'DO: more */\n',
     'core/other.c:9: words: the word TO' + 'DO: finish it, or write down what it is'),
    ('no comment', 'comments', 'core/tool.h', lambda t: t + '\nvoid tool_x(void);\n',
     'core/tool.h:11: comments: no comment says what tool_x() does'),
    ('foreign name', 'names', 'core/tool.c', lambda t: t.replace('tool_third', 'third') + 'int tool_third(const struct '
     'tool_options *o)\n{\n\treturn third(o);\n}\n', 'core/tool.c:8: names: third does not begin with tool_'),
    ('needlessly exported', 'static', 'core/tool.c', lambda t: t + 'int tool_own(void)\n{\n\treturn 1;\n}\nint tool_x(void)'
     '\n{\n\treturn tool_own();\n}\n', 'core/tool.c:12: static: only this file uses tool_own: make it static'),
    ('used by nobody', 'static', 'core/tool.c', lambda t: t + 'int tool_own(void)\n{\n\treturn 1;\n}\n',
     'core/tool.c:12: static: nothing uses tool_own'),
    ('option that does nothing', 'options', 'core/toy.def', lambda t: t + 'OPT(idle, "idle", RELOAD, "No.")\n',
     'core/toy.def:3: options: unused-option: idle (idle) is parsed and does nothing'),
    ('old declaration', 'warnings', 'core/other.c', lambda t: t.replace('main(void)', 'main()'),
     "core/other.c:3: warnings: function declaration isn’t a prototype [-Wstrict-prototypes]".replace('’', "'")),
    ('layout', 'format', 'core/other.c', lambda t: t.replace('\treturn', '    return'),
     'core/other.c:7: format: clang-format-14 -i lays this file out differently, from here on'),
    ('null pointer', 'cppcheck', 'core/other.c', lambda t: t.replace('struct', 'int *p = 0;\n\tstruct', 1)
     .replace('return', 'return *p +'), 'core/other.c:8: cppcheck: nullPointer: Null pointer dereference: p'),
]
OTHERS = {'queue/aq.h': '', 'proto/line.h': '#include "proto/smtpc_y.h"\n', 'proto/smtpc_y.h': '',
          'core/ring.h': '#include "core/tool.h"\n'}


def write(top, path, text):
    full = os.path.join(top, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, 'w') as f:
        f.write(text)


def lint(top, *checks):
    p = subprocess.run([LINT, '--root', top, '--build', 'build', *checks], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True)
    return p.returncode, p.stdout


def tree(name):
    top = tmpdir('lint-' + name)
    for path, text in CLEAN.items():
        write(top, path, text)
    return top


def have(check):
    program = {'format': 'clang-format-14', 'cppcheck': 'cppcheck'}.get(check)
    return not program or shutil.which(program)


def clean_tree():
    checks = ['layers', 'lengths', 'words', 'comments', 'names', 'static', 'options', 'warnings']
    checks += [c for c in ('format', 'cppcheck') if have(c)]
    status, out = lint(tree('clean'), *checks)
    equal((status, out), (0, 'lint: 0 findings, 0 notes\n'), 'a clean tree has no findings')


def one_mistake_each():
    for name, check, path, change, want in MISTAKES:
        if not have(check):
            skip(name, 'its tool is not installed')
            continue
        top = tree('mistake')
        if check == 'layers':
            for other, text in OTHERS.items():
                write(top, other, text)
        write(top, path, change(CLEAN.get(path, '')))
        status, out = lint(top, check)
        ok(want in out.splitlines() and status == (': note: ' not in want), name, 'status %d, wanted\n%s\ngot\n%s'
           % (status, want, out))
        shutil.rmtree(top, ignore_errors=True)


def this_tree():
    """What lint needs no tool and no build for is part of make check."""
    status, out = lint(TOP, 'layers', 'words')
    equal((status, re.sub(r'\d+ notes', 'N notes', out)), (0, 'lint: 0 findings, N notes\n'), 'layers and words hold here')


if __name__ == '__main__':
    main(clean_tree, one_mistake_each, this_tree)
