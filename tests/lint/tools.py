"""Compiler, clang-format and cppcheck; getting them."""
import concurrent.futures
import os
import re
import shlex
import shutil
import subprocess
import sys

from source import Finding, files, read

HERE = os.path.dirname(os.path.abspath(__file__))
NEEDED = {"format": ("clang-format-14", "clang-format-14"), "cppcheck": ("cppcheck", "cppcheck")}
JOBS = len(os.sched_getaffinity(0))
# Beyond those of the Makefile: few false alarms, but not worth stopping a build.
EXTRA_WARNINGS = ["-Wlogical-op", "-Wduplicated-cond", "-Wpointer-arith", "-Wwrite-strings", "-Wundef",
                  "-Wstrict-prototypes", "-Wold-style-definition", "-Wformat=2", "-Wno-format-nonliteral",
                  "-Wredundant-decls", "-Wnested-externs", "-Walloca"]


def install(checks):
    """Gets what is missing as root; otherwise says which line to run."""
    missing = [package for check, (program, package) in NEEDED.items()
               if check in checks and not shutil.which(program)]
    if not missing:
        return True
    if os.geteuid() != 0:
        print("Missing Debian packages. Run as root, then again what you ran:\n"
              "  apt-get install " + " ".join(missing), file=sys.stderr)
        return False
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    return not any(subprocess.run(argv, env=env, stdout=subprocess.DEVNULL).returncode
                   for argv in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", *missing]))


def build():
    """Objects and build/.flags; silent unless it fails."""
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "SANITIZE")}
    p = subprocess.run(["make", "--no-print-directory", f"-j{JOBS}", "all"], env=env,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if p.returncode:
        print(p.stdout[-8000:], end="")
        print("lint: the build fails", file=sys.stderr)
    return p.returncode == 0


def compiler(build_dir="build"):
    """The command line of the build, without what would stop at a warning."""
    words = shlex.split(read(os.path.join(build_dir, ".flags"))[0])
    return [w for w in words if w != "-Werror" and not w.startswith("-Wl,")]


def each(work, paths):
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        paths = list(paths)
        return list(zip(paths, pool.map(work, paths)))


def compile_all(extra):
    """[(source, what the compiler says)] for every .c file, nothing is written."""
    argv = compiler()
    first = argv.index("-I.")

    def one(path):
        p = subprocess.run([*argv[:first], *extra, *argv[first:], "-fsyntax-only", path],
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=dict(os.environ, LC_ALL="C"))
        if p.returncode:
            raise SystemExit(f"lint: {path} does not compile:\n{p.stderr}")
        return p.stderr

    return each(one, files(".c"))


def warnings(build_dir):
    seen = set()
    for _, out in compile_all(EXTRA_WARNINGS):
        for line in out.splitlines():
            m = re.match(r"([^:\s]+):(\d+):\d+: warning: (.*)", line)
            if not m or m.group(1).startswith("/") or m.groups() in seen:
                continue
            seen.add(m.groups())
            # The same number on Linux, another elsewhere.
            if "EWOULDBLOCK" not in read(m.group(1))[int(m.group(2)) - 1]:
                yield Finding(m.group(1), int(m.group(2)), m.group(3))


def layout(build_dir):
    def one(path):
        return subprocess.run(["clang-format-14", path], stdout=subprocess.PIPE, text=True, errors="replace").stdout

    for path, want in each(one, files(".c", ".h", tests=True)):
        have, want = read(path), want.split("\n")
        if have != want:
            first = next((i for i, (a, b) in enumerate(zip(have, want)) if a != b), 0)
            yield Finding(path, first + 1, "clang-format-14 -i lays this file out differently, from here on")


def cppcheck(build_dir):
    """warning, performance and portability; tests/lint/cppcheck.supp says what is left out and why."""
    defines = [w for w in compiler() if w.startswith("-D")]
    cache = os.path.join(build_dir, "lint", "cppcheck")
    os.makedirs(cache, exist_ok=True)
    argv = ["cppcheck", "--std=c11", "--language=c", f"-j{JOBS}", "--quiet", "--inline-suppr",
            "--enable=warning,performance,portability", f"--cppcheck-build-dir={cache}",
            f"--suppressions-list={HERE}/cppcheck.supp", "-D_Noreturn=__attribute__((noreturn))",
            "--template={file}:{line}: {id}: {message}", "-I.", *defines, "-D__GNUC__=12", "-D__x86_64__",
            "-D__BYTE_ORDER__=1234", "-D__ORDER_LITTLE_ENDIAN__=1234", *files(".c")]
    p = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in p.stdout.splitlines():
        m = re.match(r"([^:]+):(\d+): (.*)", line)
        if m:
            yield Finding(m.group(1), int(m.group(2)), m.group(3))
        else:
            yield Finding("cppcheck", 0, line)
