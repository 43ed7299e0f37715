#!/usr/bin/env python3
"""etc/install into a folder, smxcheck on what it made, smx start to stop with scripts as components.

TAP. BUILD as in mcp.py. Makes no accounts and touches nothing outside of temporary folders.
"""
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile

import mcp
from mcp import LONG, NOBODY, ROOT, Failed, check

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get('BUILD', 'build'))
BIN = BUILD + '/bin'
CASES = []


def case(f):
    CASES.append(f)
    return f


def demote():
    return dict(user=NOBODY, group=NOBODY, extra_groups=[]) if ROOT else {}


def run(*args, **kw):
    return subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, **kw)


class Tree:
    def __init__(self, plain):
        self.top = tempfile.mkdtemp(prefix='smx-install-')
        self.who = demote() if plain else {}
        if self.who:
            os.chown(self.top, NOBODY, NOBODY)
        self.env = dict(os.environ, DESTDIR=self.top, BUILD=BUILD, TMPDIR=self.top)

    def install(self):
        r = run('etc/install', cwd=TOP, env=self.env, **self.who)
        check(r.returncode == 0, 'exit code %d: %s' % (r.returncode, r.stdout[-500:]))
        return r.stdout

    def read(self, path):
        with open(self.top + path) as f:
            return f.read()

    def mode(self, path):
        return stat.S_IMODE(os.stat(self.top + path).st_mode)

    def smxcheck(self, *args):
        t = self.top
        return run(BIN + '/smxcheck', '-c', t + '/etc/smx', '-d', t + '/var/spool/smx', '-L', t + '/var/log/smx',
                   '-x', t + '/usr/libexec', '-b', t + '/usr/local/bin', *args, **self.who)

    def clean(self):
        shutil.rmtree(self.top, ignore_errors=True)


def with_tree(plain, f):
    t = Tree(plain)
    try:
        f(t)
    finally:
        t.clean()


def check_install(t):
    out = t.install()
    check('owners are not set' in out, 'it says what it does not do')
    for p in ('/usr/libexec/mcp', '/usr/local/bin/smx', '/usr/local/bin/smxcheck', '/usr/local/bin/runas'):
        check(t.mode(p) == 0o755, p)
    for p in ('/etc/smx/smx.conf', '/etc/smx/mt', '/etc/smx/access', '/usr/lib/systemd/system/smx.service',
              '/usr/lib/tmpfiles.d/smx.conf'):
        check(t.mode(p) == 0o644, p)
        check(not re.search(r'@[A-Z_]+@', t.read(p)), p + ' has a place that was not filled in')
    for d, m in dict({d: 0o771 for d in '0123456789ABCDEF'}, defedb=0o700, ibdb=0o700, qmsmar=0o2770, qmsmtpc=0o2770,
                     qmsmtps=0o2770, smtps=0o750).items():
        check(t.mode('/var/spool/smx/' + d) == m, '%s has the mode %o' % (d, t.mode('/var/spool/smx/' + d)))
    check(not os.path.exists(t.top + '/usr/local/lib/shim.so'), 'the shim of the tests')
    with open(t.top + '/etc/smx/smx.conf', 'a') as f:
        f.write('# mine\n')
    out = t.install()
    check(t.read('/etc/smx/smx.conf').endswith('# mine\n') and 'is kept' in out, 'configuration is overwritten')


@case
def install_into_destdir():
    with_tree(False, check_install)


@case
def install_as_ordinary_user():
    with_tree(True, check_install)


@case
def install_elsewhere():
    def body(t):
        t.env.update(CONFDIR='/opt/conf', LIBEXECDIR='/opt/lx', SPOOLDIR='/opt/spool', LOGDIR='/opt/log',
                     USERS='us uq uc um uo')
        t.install()
        conf = t.read('/opt/conf/smx.conf')
        for n, u in (('qmgr', 'uq'), ('smtps', 'us'), ('smtpc', 'uc'), ('smar', 'um')):
            check(re.search(r'^%s \{[^}]*user = %s;\s+path = "/opt/lx/%s";\s+arguments = "%s -f /opt/conf/smx.conf";' %
                            (n, u, n, n), conf, re.M), n)
        check('smx' not in re.sub(r'smx\.conf|smX|smx (restart|reload)', '', conf), 'default names')
        check('CDB_gid = uc;' in conf, 'CDB_gid')
        unit = t.read('/usr/lib/systemd/system/smx.service')
        check('ExecStart=/opt/lx/mcp -f /opt/conf/smx.conf -L /opt/log' in unit and 'Directory=/opt/spool' in unit, 'unit')
    with_tree(True, body)


@case
def smxcheck_finds_what_is_wrong():
    def body(t):
        t.install()
        r = t.smxcheck('-P')
        check(r.returncode == 1, 'exit code %d' % r.returncode)
        # The owners are wrong, but no mode and no file.
        check('chown' in r.stdout and 'chmod' not in r.stdout, r.stdout)
        os.chmod(t.top + '/var/spool/smx/7', 0o755)
        os.chmod(t.top + '/etc/smx/mt', 0o666)
        os.rmdir(t.top + '/var/spool/smx/ibdb')
        os.unlink(t.top + '/usr/local/bin/runas')
        out = t.smxcheck('-P').stdout
        for p in (r'/7: has the mode 755 instead of 771: chmod 771 \S+/7\n', r'/mt: others may write it: chmod go-w',
                  r'/ibdb: no such directory', r'/runas: no such program', r'smxcheck: \d+ problems\n$'):
            check(re.search(p, out), 'no %r in: %s' % (p, out))
    with_tree(True, body)


@case
def smxcheck_usage():
    check(run(BIN + '/smxcheck').returncode == 64, 'without options')
    check(run(BIN + '/smxcheck', '-h').returncode == 0, '-h')
    check(run(BIN + '/smxcheck', '-P', 'x').returncode == 64, 'with words')
    r = run(BIN + '/smxcheck', '-V')
    check(r.returncode == 0 and r.stdout.startswith('smxcheck: smX'), '-V')


def smx(g, *args):
    return run(BIN + '/smx', '-f', g.dir + '/smx.conf', '-d', g.spool, '-L', g.logs, *args,
               env=dict(os.environ, SMX_MCP=mcp.MCP), **demote())


@case
def smx_life():
    g = mcp.Gateway(False)
    pid = 0
    try:
        g.write()
        r = smx(g, 'status')
        check(r.returncode == 3 and r.stdout == 'not running\n', 'status before: %s' % r.stdout)
        check(smx(g, 'reload').returncode == 3, 'reload before')
        check(smx(g, 'stop').returncode == 0, 'stop before')
        r = smx(g, 'start')
        check(r.returncode == 0 and 'it runs' in r.stdout, 'start: %s' % r.stdout)
        pid = int(re.search(r'process (\d+)', r.stdout).group(1))
        mcp.until(lambda: g.events('took', 'smtps'), 'smtps is up')
        check('smtps' in g.ask(), 'answer')
        check('already' in smx(g, 'start').stdout and mcp.alive(pid), 'start again')
        mcp.until(lambda: len(g.events('start')) == 4, 'all are up')
        r = smx(g, 'status')
        check(r.returncode == 0 and r.stdout.startswith('running'), 'status: %s' % r.stdout)
        for n in mcp.START_ORDER:
            check(re.search(r'^%s +%d$' % (n, g.pid(n)), r.stdout, re.M), 'status of %s: %s' % (n, r.stdout))
        check(smx(g, 'reload').returncode == 0, 'reload')
        mcp.until(lambda: len(g.events('signal')) == 4, 'they hear of it')
        g.mode('smar', check=78, check_text='no')
        r = smx(g, 'restart')
        check(r.returncode == 78 and mcp.alive(pid), 'a wrong configuration does not stop it')
        g.mode('smar')
        r = smx(g, 'restart')
        new = int(re.search(r'process (\d+)', r.stdout).group(1))
        check(r.returncode == 0 and new != pid and not mcp.alive(pid), 'restart: %s' % r.stdout)
        pid = new
        r = smx(g, 'stop')
        check(r.returncode == 0 and not mcp.alive(pid) and g.is_refused(), 'stop: %s' % r.stdout)
        check(smx(g, 'status').returncode == 3, 'status after')
    finally:
        if pid and mcp.alive(pid):
            os.kill(pid, signal.SIGKILL)
        g.clean(False)


@case
def smx_start_fails():
    import socket
    g = mcp.Gateway(False)
    try:
        g.write()
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(('127.0.0.1', g.port))
            s.listen()
            r = smx(g, 'start')
        check(r.returncode == 69 and 'in use' in r.stdout and 'did not start' in r.stdout, r.stdout)
        r = smx(g, 'whatever')
        check(r.returncode == 64 and 'Usage' in r.stdout, 'usage')
        check(smx(g, '-h').returncode == 0 and smx(g, '-V').stdout.startswith('smx: smX'), '-h, -V')
    finally:
        g.clean(False)


@case
def runas_programs():
    check(run(BIN + '/runas', '-h').returncode == 0, '-h')
    check(run(BIN + '/runas', '-V').stdout.startswith('runas: smX'), '-V')
    check(run(BIN + '/runas', 'nobody').returncode == 64, 'usage')
    check(run(BIN + '/runas', 'nosuchuser', 'id').returncode == 67, 'no such user')
    me = run('id', '-u', **demote()).stdout.strip()
    r = run(BIN + '/runas', me, 'sh', '-c', 'id -u; exit 7', **demote())
    check(r.returncode == 7 and r.stdout.strip() == me, 'oneself: %s' % r.stdout)
    check(run(BIN + '/runas', me, '/nosuchprogram', **demote()).returncode == 127, 'no such program')
    check(run(BIN + '/runas', 'root' if me != '0' else 'bin', 'id', **demote()).returncode == 77 or me == '0', 'not root')
    if ROOT:
        check(run(BIN + '/runas', 'games', 'id', '-nG').stdout == run('id', '-nG', 'games').stdout, 'groups')
        check(run(BIN + '/runas', '-g', 'mail', 'games', 'id', '-ng').stdout == 'mail\n', 'group')


def main():
    os.umask(0o022)
    only, n, bad = sys.argv[1:], 0, 0
    for f in CASES:
        if only and not any(o in f.__name__ for o in only):
            continue
        n += 1
        failed = None
        try:
            f()
        except Failed as e:
            failed = str(e)
        except Exception as e:      # a case that breaks has failed
            failed = '%s: %s' % (type(e).__name__, e)
        bad += failed is not None
        print('%sok %d - %s' % ('not ' * (failed is not None), n, f.__name__.replace('_', ' ')))
        if failed is not None:
            print('# ' + failed.replace('\n', '\n# '))
        sys.stdout.flush()
    print('1..%d' % n)
    return bad > 0


if __name__ == '__main__':
    sys.exit(main())
