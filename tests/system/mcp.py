#!/usr/bin/env python3
"""mcp with components that are little scripts: order, restarts, sockets, rights, signals.

TAP. BUILD: folder of the build (default build). As root the components get accounts that every Debian
has, and some cases run a second time as an ordinary user. SMX_TEST_KEEP=1 keeps the folders. Arguments:
names of cases to run.
"""
import contextlib
import fcntl
import grp
import json
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

MCP = os.path.abspath(os.environ.get('MCP') or os.path.join(os.environ.get('BUILD', 'build'), 'bin/mcp'))
PYTHON = '/usr/bin/python3' if os.path.exists('/usr/bin/python3') else sys.executable
ROOT = os.geteuid() == 0
ACCOUNTS = {'qmgr': 'daemon', 'smtps': 'bin', 'smtpc': 'sys', 'smar': 'games', 'service': 'mail'}
NOBODY = 65534
START_ORDER = ['qmgr', 'smar', 'smtpc', 'smtps']
STOP_ORDER = START_ORDER[::-1]
LONG = 30           # more than anything takes that is going to happen

# A component: what it does is in NAME.mode (JSON), read at every start; what happens to it, in events.
FAKE = r'''#!%s -SE
import json, os, resource, select, signal, socket, sys, time
base = os.path.dirname(os.path.dirname(os.path.abspath(sys.argv[0])))
args = sys.argv[1:]
name = os.path.basename(sys.argv[0])
if '-N' in args:
    name = args[args.index('-N') + 1]

def event(*words):
    with open(base + '/events', 'a') as f:
        f.write('%%.3f %%s\n' %% (time.monotonic(), ' '.join(str(w) for w in words)))

def mode():
    try:
        with open('%%s/%%s.mode' %% (base, name)) as f:
            return json.load(f)
    except OSError:
        return {}

fds = sorted(int(n) for n in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + n))
m = mode()
if '-n' in args:
    with open('%%s/%%s.checked' %% (base, name), 'w') as f:
        json.dump(dict(args=args, uid=os.getresuid()), f)
    if m.get('check_text'):
        print(m['check_text'], file=sys.stderr)
    sys.exit(m.get('check', 0))

def on_term(sig, frame):
    event('term', name, os.getpid())
    if not m.get('ignore_term'):
        time.sleep(m.get('slow_stop', 0))
        event('end', name, os.getpid())
        os._exit(0)

signal.signal(signal.SIGTERM, on_term)
wake, w = socket.socketpair()       # a signal just before select() ends it
wake.setblocking(False)
w.setblocking(False)
signal.set_wakeup_fd(w.fileno())
for s in ('SIGUSR1', 'SIGUSR2', 'SIGHUP', 'SIGINT'):
    signal.signal(getattr(signal, s), lambda n, f: event('signal', name, signal.Signals(n).name))
with open('/proc/self/status') as f:
    status = dict(l.rstrip('\n').split(':\t', 1) for l in f if ':\t' in l)
facts = '%%s/%%s.facts' %% (base, name)
with open('%%s.%%d' %% (facts, os.getpid()), 'w') as f:
    json.dump(dict(pid=os.getpid(), uid=os.getresuid(), gid=os.getresgid(), groups=os.getgroups(), args=args,
                   pgrp=os.getpgrp(), cwd=os.getcwd(), env=dict(os.environ), status=status,
                   nofile=resource.getrlimit(resource.RLIMIT_NOFILE),
                   fds=fds), f)
os.rename('%%s.%%d' %% (facts, os.getpid()), facts)
event('start', name, os.getpid(), *([args[args.index('-i') + 1]] if '-i' in args else []))
if m.get('kind') != 'accept':
    print('stdout of', name, flush=True)
print('stderr of', name, file=sys.stderr, flush=True)
if m.get('exit') is not None:
    time.sleep(m.get('after', 0))
    sys.exit(m['exit'])

def take(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        head, fds, flags, addr = socket.recv_fds(s, 8, 16)
    if head[:6] != b'SMXF\0\1' or head[7] != len(fds):
        event('protocol', name, head)
        sys.exit(1)
    return [socket.socket(fileno=fd) for fd in fds]

if m.get('kind') == 'accept':
    c = socket.socket(fileno=0)
    c.sendall(('served by %%s\n' %% name).encode())
    c.recv(100)
    sys.exit(0)
sockets = []
if m.get('kind') == 'nostartaccept':
    sockets = [socket.socket(fileno=0)]
if m.get('take'):
    while mode().get('wait'):
        time.sleep(0.02)
    sockets = take(m['take'])
    event('took', name, len(sockets))
for s in sockets:
    s.setblocking(False)
while True:
    for s in select.select(sockets + [wake], [], [])[0]:
        if s is wake:
            wake.recv(100)
            continue
        try:
            c, a = s.accept()
        except OSError:
            continue
        c.setblocking(True)
        c.sendall(('220 %%s %%d\n' %% (name, os.getpid())).encode())
        c.close()
        if m.get('kind') == 'nostartaccept':
            sys.exit(0)
'''


class Failed(Exception):
    pass


def check(cond, text):
    if not cond:
        raise Failed(text)


def until(cond, what, limit=LONG):
    end = time.monotonic() + limit
    while True:
        v = cond()
        if v:
            return v
        if time.monotonic() > end:
            raise Failed('did not happen: ' + what)
        time.sleep(0.01)


def free_port():
    """A port that the system picked, and gives to nobody else for a minute: a finished connection stays on it."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(('127.0.0.1', 0))
        s.listen(1)
        with socket.create_connection(s.getsockname()) as c:
            s.accept()[0].close()
            c.recv(1)
        return s.getsockname()[1]


def use_reachable_tmp():
    """The accounts of the components must be able to come in."""
    path = os.path.realpath(tempfile.gettempdir())
    while path != '/':
        if not os.stat(path).st_mode & stat.S_IXOTH:
            tempfile.tempdir = '/tmp'
        path = os.path.dirname(path)


def alive(pid):
    try:
        with open('/proc/%d/stat' % pid) as f:
            part = f.read().rsplit(')', 1)[1].split()
            return part[0] != 'X' and (part[0] != 'Z' or int(part[17]) > 1)
    except OSError:
        return False


class Gateway:
    def __init__(self, as_root):
        self.as_root = as_root
        self.dir = tempfile.mkdtemp(prefix='smx-mcp-')
        os.chmod(self.dir, 0o777)
        self.spool = self.dir + '/spool'
        self.logs = self.dir + '/logs'
        os.mkdir(self.dir + '/bin')
        os.mkdir(self.logs, 0o755)
        os.mkdir(self.spool)
        open(self.dir + '/events', 'w').close()
        os.chmod(self.dir + '/events', 0o666)
        if as_root:
            os.chown(self.spool, 0, pwd.getpwnam(ACCOUNTS['qmgr']).pw_gid)
            os.chmod(self.spool, 0o771)
        elif ROOT:
            for d in (self.spool, self.logs):
                os.chown(d, NOBODY, NOBODY)
        self.port = free_port()
        self.procs = []
        self.sections = {}
        for n in START_ORDER:
            self.program(n)
        self.sections['smtps'] += ['listen_socket { type = inet; address = 127.0.0.1; port = %d; }' % self.port,
                                   'pass_fd_socket = "smtps/fd"', 'start_action = pass']
        self.mode('smtps', take='smtps/fd')
        for n in START_ORDER[:-1]:
            self.sections[n].append('start_action = wait')
        self.glob = []

    def program(self, keyword, name=None, file=None):
        """A section with its script; what it is to do comes from mode()."""
        path = '%s/bin/%s' % (self.dir, file or keyword)
        if not os.path.exists(path):
            with open(path, 'w') as f:
                f.write(FAKE % PYTHON)
            os.chmod(path, 0o755)
        conf = self.dir + '/smx.conf'
        lines = ['path = "%s"' % path, 'arguments = "%s -f %s%s"' % (keyword, conf, ' -N ' + name if name else '')]
        if self.as_root:
            lines.append('user = %s' % ACCOUNTS.get(keyword, ACCOUNTS['service']))
        self.sections[keyword + (' ' + name if name else '')] = lines
        return lines

    def mode(self, name, **m):
        path = '%s/%s.mode' % (self.dir, name)
        with open(path + '.new', 'w') as f:
            json.dump(m, f)
        os.chmod(path + '.new', 0o644)
        os.rename(path + '.new', path)

    def write(self, text=None):
        if text is None:
            text = ''.join(g + '\n' for g in self.glob)
            for s, lines in self.sections.items():
                text += s + ' {\n' + ''.join('  %s\n' % (l if l.endswith('}') else l + ';') for l in lines) + '}\n'
        with open(self.dir + '/smx.conf', 'w') as f:
            f.write(text)
        os.chmod(self.dir + '/smx.conf', 0o644)

    def run(self, *args, env=None, text=None):
        self.write(text)
        log = open(self.dir + '/mcp.log', 'ab')
        demote = dict(user=NOBODY, group=NOBODY, extra_groups=[]) if ROOT and not self.as_root else {}
        p = subprocess.Popen([MCP, '-f', self.dir + '/smx.conf', '-L', self.logs, *args], cwd=self.spool, stderr=log,
                             stdin=subprocess.DEVNULL, env=dict(os.environ, **(env or {})), start_new_session=True,
                             **demote)
        log.close()
        self.procs.append(p)
        return p

    def start(self, *args, names=None, **kw):
        p = self.run(*args, **kw)
        names = names or [s.split()[-1] for s in self.sections]
        until(lambda: p.poll() is not None or set(names) <= {e[2] for e in self.events('start')},
              'start of ' + ' '.join(names))
        check(p.poll() is None, 'mcp has ended')
        if 'smtps' in names and self.read_mode('smtps').get('take'):
            until(lambda: self.events('took', 'smtps'), 'smtps takes its sockets')
        return p

    def read_mode(self, name):
        try:
            with open('%s/%s.mode' % (self.dir, name)) as f:
                return json.load(f)
        except OSError:
            return {}

    def refused(self, code, *patterns, args=(), text=None):
        """mcp does not start with this configuration; stderr has the patterns; nothing ran."""
        p = self.run(*args, text=text)
        check(p.wait(LONG) == code, 'exit code %s instead of %d' % (p.returncode, code))
        for t in patterns:
            check(re.search(t, self.log()), 'no %r in the message' % t)
        check(not self.events(), 'something was started')

    def events(self, kind=None, name=None):
        with open(self.dir + '/events') as f:
            all_ = [(float(w[0]), *w[1:]) for w in (l.split() for l in f)]
        return [e for e in all_ if (not kind or e[1] == kind) and (not name or e[2] == name)]

    def forget(self):
        open(self.dir + '/events', 'w').close()

    def names(self, *kinds):
        return [e[2] for e in self.events() if e[1] in kinds]

    def facts(self, name):
        with open('%s/%s.facts' % (self.dir, name)) as f:
            return json.load(f)

    def pid(self, name):
        return int(self.events('start', name)[-1][3])

    def log(self):
        with open(self.dir + '/mcp.log') as f:
            return f.read()

    def stop(self, p=None):
        p = p or self.procs[-1]
        p.send_signal(signal.SIGTERM)
        check(p.wait(LONG) == 0, 'exit code %s after SIGTERM' % p.returncode)

    def ask(self, port=None, family=socket.AF_INET, host='127.0.0.1', timeout=LONG):
        with socket.socket(family) as s:
            s.settimeout(timeout)
            s.connect((host, port or self.port))
            return s.makefile().readline()

    def is_refused(self):
        try:
            with socket.create_connection(('127.0.0.1', self.port), LONG):
                return False
        except ConnectionRefusedError:
            return True

    def clean(self, failed):
        for p in self.procs:
            if p.poll() is None:
                p.kill()
                p.wait()
        for e in self.events('start'):
            with contextlib.suppress(OSError):
                pid = int(e[3])
                with open('/proc/%d/cmdline' % pid) as f:
                    if self.dir in f.read():
                        os.kill(pid, signal.SIGKILL)
        if failed:
            for l in self.log().splitlines()[-40:] if os.path.exists(self.dir + '/mcp.log') else []:
                print('#  mcp:', l)
            for e in self.events()[-40:]:
                print('#  ', *e)
        if os.environ.get('SMX_TEST_KEEP'):
            print('# kept', self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


if ROOT:
    use_reachable_tmp()
CASES = []


def case(name, plain=False, root_only=False):
    """plain: as root it runs a second time as an ordinary user."""
    def add(f):
        CASES.append((name, f, plain, root_only))
        return f
    return add


# ---- before anything starts

@case('help, version, usage', plain=True)
def _(g):
    def out(*a):
        return subprocess.run([MCP, *a], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LONG)
    h = out('-h')
    check(h.returncode == 0 and 'Usage: mcp -f' in h.stdout and not h.stderr, '-h')
    v, vv = out('-V'), out('-VV')
    check(v.returncode == 0 and 'smX' in v.stdout, '-V')
    check(vv.returncode == 0 and len(vv.stdout) > len(v.stdout), '-VV tells more')
    for a in ((), ('-x',), ('-f', 'x', 'y'), ('-f', 'x', '-t', 'soon'), ('-f', 'x', '-u', '-1')):
        r = out(*a)
        check(r.returncode == 64 and r.stderr, 'usage error: %s gives %d' % (a, r.returncode))


@case('a broken file starts nothing', plain=True)
def _(g):
    g.write()
    with open(g.dir + '/smx.conf') as f:
        good = f.read()
    g.refused(78, r'smx\.conf:\d+:\d+:', text=good + 'qmgr {\n')
    g.refused(78, r'smx\.conf:\d+:\d+:.*start_action', text=good.replace('start_action = pass', 'start_action = push'))
    os.unlink(g.dir + '/smx.conf')
    g.refused(78, 'start', text='hostname = "a.test";\n')
    check(os.listdir(g.spool) == [], 'the spool was touched')


@case('what only mcp can know is checked')
def _(g):
    for old, new, pattern in (
            ('arguments = "smar ', 'arguments = "smar \'', r'arguments.*quote'),
            ('smar {', 'smar { min_processes = 3; max_processes = 2; ', 'min_processes'),
            ('smar {', 'smar { use_id_in_logfile_name = true; ', 'pass_id'),
            ('smar {', 'smar { restart_dependencies = { nobody }; ', 'restart_dependencies'),
            ('address = 127.0.0.1; port', ''.join('port = %d; } listen_socket { ' % (20000 + i) for i in range(8)) + 'port', None),
    ):
        pattern = pattern or 'more than 16'
        new = new.replace('listen_socket { port', 'listen_socket { type = inet; port')
        g.write()
        with open(g.dir + '/smx.conf') as f:
            text = f.read()
        check(old in text, old)
        g.refused(78, pattern, text=text.replace(old, new, 1))


@case('a component that refuses its options starts nothing', plain=True)
def _(g):
    g.mode('smar', check=78, check_text='smx.conf:1:2: nobody likes this')
    g.refused(78, 'nobody likes this')
    check(os.listdir(g.spool) == [], 'the spool was touched')


@case('a missing program starts nothing')
def _(g):
    os.unlink(g.dir + '/bin/smtpc')
    g.refused(78, 'smtpc')


@case('-n only checks', plain=True)
def _(g):
    p = g.run('-n')
    check(p.wait(LONG) == 0 and not g.events() and not os.listdir(g.spool), 'exit code %s' % p.returncode)
    for n in START_ORDER:
        with open('%s/%s.checked' % (g.dir, n)) as f:
            c = json.load(f)
        check(c['args'] == ['-n', '-f', g.dir + '/smx.conf'], n + ' arguments %s' % c['args'])
        check(not g.as_root or c['uid'] == [pwd.getpwnam(ACCOUNTS[n]).pw_uid] * 3, n + ' user %s' % c['uid'])


@case('a port that is taken', plain=True)
def _(g):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(('127.0.0.1', g.port))
        s.listen()
        g.refused(69, r'127\.0\.0\.1 port %d.*in use' % g.port)
    g.start()
    g.stop()


@case('only one mcp in a spool', plain=True)
def _(g):
    p = g.start()
    q = g.run()
    check(q.wait(LONG) == 75 and 'another mcp, pid %d' % p.pid in g.log(), 'the second: %s' % q.returncode)
    check(p.poll() is None and 'smtps' in g.ask(), 'the first goes on')
    g.stop(p)


@case('a lock file of somebody else is not believed')
def _(g):
    os.symlink('/etc/hostname', g.spool + '/mcp.lock')
    g.refused(75, 'mcp.lock')
    os.unlink(g.spool + '/mcp.lock')
    with open(g.spool + '/mcp.lock', 'w') as f:
        f.write('boot x\nstate running\nqmgr %d 1\n' % os.getpid())
    if ROOT:
        os.chown(g.spool + '/mcp.lock', 1, 1)
        g.refused(75, 'belongs to somebody else')
    else:
        os.chmod(g.spool + '/mcp.lock', 0o666)
        g.refused(75, 'belongs to somebody else')


# ---- rights

@case('root: every section needs a user', root_only=True)
def _(g):
    for n in ('qmgr', 'smtps', 'smtpc', 'smar'):
        was = g.sections[n]
        g.sections[n] = [l for l in was if not l.startswith('user')]
        g.refused(78, r'%s.*user|user.*%s' % (n, n))
        g.sections[n] = [l if not l.startswith('user') else 'user = root' for l in was]
        g.refused(78, r'does not run as root')
        g.sections[n] = [l if not l.startswith('user') else 'user = nosuchuser' for l in was]
        g.refused(78, r'nosuchuser')
        g.sections[n] = was
    g.program('lmtp')
    g.sections['lmtp'] = [l for l in g.sections['lmtp'] if not l.startswith('user')] + ['start_action = wait']
    g.refused(78, r'lmtp.*user')
    check(os.listdir(g.spool) == [], 'the spool was touched')


@case('an ordinary user starts only as itself', plain=True)
def _(g):
    if g.as_root:
        return
    me = pwd.getpwuid(NOBODY if ROOT else os.getuid()).pw_name
    g.sections['qmgr'].append('user = %s' % me)
    g.start()
    g.stop()
    g.forget()
    g.sections['qmgr'][-1] = 'user = %s' % ('daemon' if me != 'daemon' else 'bin')
    g.refused(78, 'only root')


@case('root: directories with their owners and modes', root_only=True)
def _(g):
    def ids(u, gr):
        return (0 if u == 'root' else pwd.getpwnam(ACCOUNTS[u]).pw_uid, pwd.getpwnam(ACCOUNTS[gr]).pw_gid)
    want = {d: ('smtps', 'qmgr', 0o771) for d in '0123456789ABCDEF'}
    want.update(defedb=('qmgr', 'qmgr', 0o700), ibdb=('qmgr', 'qmgr', 0o700), qmsmar=('qmgr', 'smar', 0o2770),
                qmsmtpc=('qmgr', 'smtpc', 0o2770), qmsmtps=('qmgr', 'smtps', 0o2770), smtps=('smtps', 'smtps', 0o750))
    g.start()
    g.stop()
    for d, (u, gr, mode) in want.items():
        st = os.stat(g.spool + '/' + d)
        check((st.st_uid, st.st_gid) == ids(u, gr) and stat.S_IMODE(st.st_mode) == mode,
              '%s is %d:%d %o' % (d, st.st_uid, st.st_gid, st.st_mode))
    g.forget()
    for d, repair in (('defedb', 'chmod 0700 %s/defedb' % g.spool), ('7', 'chmod 0771 %s/7' % g.spool), ('', 'chmod 0771')):
        path = (g.spool + '/' + d).rstrip('/')
        mode = stat.S_IMODE(os.stat(path).st_mode)
        os.chmod(path, 0o755)
        g.refused(78, re.escape(repair))
        check(stat.S_IMODE(os.stat(path).st_mode) == 0o755, 'it was changed')
        os.chmod(path, mode)
    os.chown(g.spool + '/qmsmar', 0, 0)
    g.refused(78, 'chown %s:%s %s/qmsmar' % (ACCOUNTS['qmgr'], grp.getgrgid(ids('smar', 'smar')[1]).gr_name, g.spool))
    check(os.stat(g.spool + '/qmsmar').st_uid == 0, 'it was changed')


@case('directories: missing ones are made, CDB_base_directory', plain=True)
def _(g):
    os.mkdir(g.dir + '/content')
    if ROOT and not g.as_root:
        os.chown(g.dir + '/content', NOBODY, NOBODY)
    g.glob.append('CDB_base_directory = "%s/content/";' % g.dir)
    g.start()
    g.stop()
    check(sorted(os.listdir(g.dir + '/content')) == list('0123456789ABCDEF'), 'content')
    check(not os.path.exists(g.spool + '/0'), 'not in the spool')
    for d in ('defedb', 'ibdb', 'qmsmar', 'qmsmtpc', 'qmsmtps', 'smtps'):
        check(os.path.isdir(g.spool + '/' + d), d)


@case('what a process is born with', plain=True)
def _(g):
    g.sections['smar'].append('working_directory = "%s/work"' % g.dir)
    os.mkdir(g.dir + '/work', 0o755)
    leak = os.open('/dev/null', os.O_RDONLY)
    os.set_inheritable(leak, True)
    g.start(env={'SMX_X': '1', 'SECRET': '2', 'TSAN_OPTIONS': 'a=1', 'TZ': 'UTC'})
    f = g.facts('qmgr')
    check(f['pgrp'] == f['pid'] != g.procs[0].pid, 'a process group of its own')
    check(f['cwd'] == g.spool and g.facts('smar')['cwd'] == g.dir + '/work', 'current directory')
    check(f['env'].get('SMX_X') == '1' and f['env'].get('TZ') == 'UTC' and 'TSAN_OPTIONS' in f['env'], 'environment')
    check('SECRET' not in f['env'] and 'HOME' not in f['env'], 'environment is not clean')
    check(f['nofile'][0] == f['nofile'][1], 'RLIMIT_NOFILE')
    check(f['status']['NoNewPrivs'] == '1', 'no new privileges')
    check(not [n for n in f['fds'] if n > 3], 'descriptors %s' % f['fds'])    # 3 is the script
    check(int(f['status']['SigBlk'], 16) == 0, 'blocked signals')
    for n in START_ORDER if g.as_root else ():
        pw, f = pwd.getpwnam(ACCOUNTS[n]), g.facts(n)
        check(f['uid'] == [pw.pw_uid] * 3 and f['gid'] == [pw.pw_gid] * 3, n + ' runs as %s' % f['uid'])
        check(sorted(f['groups']) == sorted(set(os.getgrouplist(pw.pw_name, pw.pw_gid))), n + ' groups')
        for c in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'):
            check(int(f['status'][c], 16) == 0, n + ' ' + c)
    g.stop()


@case('log files', plain=True)
def _(g):
    with open(g.logs + '/smar.log', 'w') as f:
        f.write('older line\n')
    if g.as_root:
        os.chown(g.logs + '/smar.log', pwd.getpwnam(ACCOUNTS['smar']).pw_uid, 0)
    elif ROOT:
        os.chown(g.logs + '/smar.log', NOBODY, NOBODY)
    old = os.umask(0o077)
    g.start()
    os.umask(old)
    g.stop()
    for n in START_ORDER:
        st = os.stat('%s/%s.log' % (g.logs, n))
        with open('%s/%s.log' % (g.logs, n)) as f:
            t = f.read()
        check('stdout of %s\n' % n in t and 'stderr of %s\n' % n in t, n + ' text')
        if n == 'smar':
            check(t.startswith('older line\n'), 'it was overwritten')
            continue
        check(stat.S_IMODE(st.st_mode) == 0o640, n + ' mode %o' % st.st_mode)
        check(st.st_uid == (pwd.getpwnam(ACCOUNTS[n]).pw_uid if g.as_root else NOBODY if ROOT else os.getuid()), n + ' owner')


@case('root: a log file that its component may not write', root_only=True)
def _(g):
    with open(g.logs + '/smar.log', 'w'):
        os.chmod(g.logs + '/smar.log', 0o600)
    g.refused(78, r'chown games:\w+ .*smar\.log')
    os.unlink(g.logs + '/smar.log')
    os.symlink('/dev/null', g.logs + '/smar.log')
    g.refused(78, 'smar')


# ---- order, restarts

@case('starts and stops in order', plain=True)
def _(g):
    g.program('lmtp')
    g.sections['lmtp'].append('start_action = wait')
    g.sections = dict(reversed(g.sections.items()))     # the order of the file does not matter
    for n in START_ORDER + ['lmtp']:
        g.mode(n, slow_stop=0.2, **g.read_mode(n))
    p = g.start()
    starts = [l for l in g.log().splitlines() if 'func=start, component=' in l]
    order = [re.search(r'component=(\w+)', l).group(1) for l in starts]
    check(order == ['lmtp'] + START_ORDER, 'start order %s' % order)
    check('smtps' in g.ask(), 'it answers')
    g.stop(p)
    check(g.names('term', 'end') == [n for n in STOP_ORDER + ['lmtp'] for _ in 'te'], 'one ends, then the next: %s' % g.names('term', 'end'))
    check(g.is_refused(), 'the port is closed')
    check(not os.path.exists(g.spool + '/smtps/fd'), 'pass_fd_socket is gone')


@case('SIGINT on a terminal reaches only mcp', plain=True)
def _(g):
    p = g.start()
    os.killpg(p.pid, signal.SIGINT)
    check(p.wait(LONG) == 0, 'exit code %s' % p.returncode)
    check(g.names('term') == STOP_ORDER and not g.names('signal'), 'order')


@case('what does not stop is killed')
def _(g):
    g.mode('smtpc', ignore_term=True)
    p = g.start('-t', '1')
    pid, begin = g.pid('smtpc'), time.monotonic()
    g.stop(p)
    check(time.monotonic() - begin >= 1, 'too early')
    check(not alive(pid) and re.search(r'sev=ERR, func=kill, component=smtpc, pid=%d' % pid, g.log()), 'killed')
    check(g.names('term') == STOP_ORDER, 'the others in order')


@case('a stop during a restart')
def _(g):
    g.sections['qmgr'].append('restart_dependencies = { smtps, smtpc, smar }')
    g.mode('smtps', slow_stop=0.5, **g.read_mode('smtps'))
    p = g.start()
    os.kill(g.pid('qmgr'), signal.SIGKILL)
    until(lambda: 'smtps' in g.names('term'), 'the restart begins')
    g.stop(p)
    check(g.names('term') == ['smtps', 'smtpc', 'smar'] and len(g.events('start', 'qmgr')) == 1, 'nothing is started again')


@case('restarts what dies, with back-off')
def _(g):
    g.mode('smar', exit=3)
    g.run()
    until(lambda: len(g.events('start', 'smar')) >= 4, 'four starts')
    t = [e[0] for e in g.events('start', 'smar')]
    check(t[2] - t[1] >= 0.9 and t[3] - t[2] >= 1.9, 'pauses %s' % [b - a for a, b in zip(t, t[1:])])
    for n in ('qmgr', 'smtpc', 'smtps'):
        check(len(g.events('start', n)) == 1, n + ' was left alone')
    lines = re.findall(r'sev=ERR, func=exit, component=smar, pid=\d+, status=exit 3, lived=\d+, restart_in=(\d+)', g.log())
    check(lines[:3] == ['0', '1', '2'], 'log %s' % lines)
    g.mode('smar')
    os.kill(g.pid('qmgr'), signal.SIGKILL)
    until(lambda: len(g.events('start', 'qmgr')) == 2, 'qmgr is restarted meanwhile')
    check('func=exit, component=qmgr' in g.log() and 'status=signal 9' in g.log(), 'log')
    g.stop()


@case('restart_dependencies: transitive, each once, in order', plain=True)
def _(g):
    g.sections['smar'].append('restart_dependencies = { qmgr }')
    g.sections['qmgr'].append('restart_dependencies = { smtps, smar }')
    p = g.start()
    g.forget()
    os.kill(int(g.facts('smar')['pid']), signal.SIGKILL)
    until(lambda: g.events('took', 'smtps') and len(g.events('start')) >= 3, 'all are back')
    stops = g.names('term')
    check(stops == ['smtps', 'qmgr'], 'stopped %s' % stops)
    check(sorted(g.names('start')) == ['qmgr', 'smar', 'smtps'], 'started %s' % g.names('start'))
    order = re.findall(r'func=start, component=(\w+)', g.log())[4:]
    check(order == ['qmgr', 'smar', 'smtps'], 'start order %s' % order)
    g.forget()
    os.kill(int(g.facts('smtpc')['pid']), signal.SIGKILL)
    until(lambda: g.events('start', 'smtpc'), 'smtpc is back')
    check(g.names('start', 'term') == ['smtpc'], 'alone: %s' % g.names('start', 'term'))
    g.stop(p)


@case('restart_dependencies as in the reference, qmgr dies')
def _(g):
    g.sections['smar'].append('restart_dependencies = { smtps, qmgr }')
    g.sections['qmgr'].append('restart_dependencies = { smtps, smtpc, smar }')
    p = g.start()
    g.forget()
    os.kill(int(g.facts('qmgr')['pid']), signal.SIGKILL)
    until(lambda: g.events('took', 'smtps') and len(g.events('start')) >= 4, 'all are back')
    check(g.names('term') == ['smtps', 'smtpc', 'smar'], 'stopped %s' % g.names('term'))
    check(sorted(g.names('start')) == sorted(START_ORDER), 'started %s' % g.names('start'))
    g.stop(p)


@case('an exit code that says useless')
def _(g):
    p = g.start()
    for name, code in (('smar', 78), ('smtpc', 64)):
        g.mode(name, exit=code)
        os.kill(g.pid(name), signal.SIGKILL)
        until(lambda: re.search(r'sev=CRIT, func=exit, component=%s, pid=\d+, status=exit %d' % (name, code), g.log()), 'log')
    g.forget()
    check('smtps' in g.ask() and p.poll() is None, 'the others go on')
    g.mode('smar')
    g.mode('smtpc', exit=64)
    p.send_signal(signal.SIGHUP)
    until(lambda: len(re.findall('component=smtpc, .*status=exit 64', g.log())) == 2, 'HUP tries again')
    until(lambda: g.names('start').count('smar') == 1, 'smar runs again')
    g.stop(p)


@case('mcp ends when all components are useless', plain=True)
def _(g):
    for n in START_ORDER:
        g.mode(n, exit=78, after=0.3)
    g.program('lmtp')
    g.sections['lmtp'].append('start_action = wait')
    p = g.start(names=['lmtp'])
    check(p.wait(LONG) == 78, 'exit code %s' % p.returncode)
    check(g.names('term') == ['lmtp'], 'the service is stopped')


# ---- sockets

@case('no connection is refused while smtps restarts', plain=True)
def _(g):
    p = g.start()
    seen, end = set(), time.monotonic() + LONG
    for round_ in range(3):
        pid = g.pid('smtps')
        os.kill(pid, signal.SIGKILL)
        while True:         # every connection gets an answer, from the next one at last
            line = g.ask()
            if not line:    # accepted by the one that died
                continue
            seen.add(line.split()[2])
            if line.split()[2] != str(pid):
                break
            check(time.monotonic() < end, 'no new smtps')
    check(len(seen) >= 3, 'answers of %s' % seen)
    g.stop(p)


@case('sockets nobody takes are closed and come back', plain=True)
def _(g):
    g.mode('smtps', take='smtps/fd', wait=True)
    p = g.run('-u', '1')
    until(lambda: not g.is_refused(), 'open at first')
    until(g.is_refused, 'closed')
    check('sev=ALERT, func=close, component=smtps' in g.log(), 'log')
    g.mode('smtps', take='smtps/fd')
    until(lambda: g.events('took', 'smtps'), 'it is up')
    check('smtps' in g.ask(), 'open again')
    time.sleep(1.2)         # longer than the limit: what is up is not closed
    check('smtps' in g.ask(), 'still open')
    g.stop(p)


@case('a useless smtps does not keep clients waiting')
def _(g):
    g.mode('smtps', exit=78)
    p = g.run()
    until(lambda: 'func=close, component=smtps' in g.log(), 'closed')
    check(g.is_refused(), 'clients go to the next MX')
    g.stop(p)


@case('descriptors only for the own process', plain=True)
def _(g):
    p = g.start()
    path = g.spool + '/smtps/fd'
    st = os.stat(path)
    check(stat.S_IMODE(st.st_mode) == 0o600, 'mode %o' % st.st_mode)
    check(not g.as_root or st.st_uid == pwd.getpwnam(ACCOUNTS['smtps']).pw_uid, 'owner')
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.connect(path)
            check(s.recv(100) == b'', 'something was sent')
            until(lambda: 'func=pass, component=smtps, pid=%d' % os.getpid() in g.log(), 'log')
        except PermissionError:
            check(not ROOT, 'connect')
    check('smtps' in g.ask(), 'it goes on')
    g.stop(p)


@case('several sockets: IPv4, IPv6, unix')
def _(g):
    six = os.path.exists('/proc/net/if_inet6') and '00000000000000000000000000000001' in open('/proc/net/if_inet6').read()
    other = free_port()
    g.sections['smtps'] += ['listen_socket { type = inet; port = %d; }' % other,
                            'listen_socket { type = unix; path = "smtps/local"; umask = 0117; }']
    p = g.start()
    n = 4 if six else 3
    check(g.events('took', 'smtps')[0][3] == str(n), 'sockets %s' % g.events('took'))
    check('smtps' in g.ask() and 'smtps' in g.ask(other), 'IPv4')
    if six:
        check('smtps' in g.ask(other, socket.AF_INET6, '::1'), 'IPv6')
    path = g.spool + '/smtps/local'
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        check('smtps' in s.makefile().readline(), 'unix')
    check(stat.S_IMODE(os.stat(path).st_mode) == 0o660, 'mode')
    check(not g.as_root or os.stat(path).st_uid == pwd.getpwnam(ACCOUNTS['smtps']).pw_uid, 'owner')
    g.stop(p)
    check(not os.path.exists(path), 'removed')


@case('two servers with names of their own')
def _(g):
    other = free_port()
    was = g.sections.pop('smtps')
    for name, port in (('MTA', g.port), ('MSA', other)):
        g.program('smtps', name)
        g.sections['smtps ' + name] += ['listen_socket { type = inet; address = 127.0.0.1; port = %d; }' % port,
                                        'start_action = pass', 'pass_fd_socket = "smtps/%s"' % name]
        g.mode(name, take='smtps/' + name)
    p = g.start()
    until(lambda: g.events('took', 'MTA') and g.events('took', 'MSA'), 'both are up')
    check('220 MTA' in g.ask() and '220 MSA' in g.ask(other), 'answers')
    check(os.path.exists(g.logs + '/MTA.log') and os.path.exists(g.logs + '/MSA.log'), 'log files')
    g.stop(p)
    g.forget()
    g.sections['smtps'] = was
    g.sections['smtps MSA'][-1] = g.sections['smtps MTA'][-1]
    g.refused(78, 'pass_fd_socket')


@case('start_action accept: a process for every connection')
def _(g):
    port = free_port()
    g.program('echo')
    g.sections['echo'] += ['start_action = accept', 'max_processes = 2',
                           'listen_socket { type = inet; address = 127.0.0.1; port = %d; }' % port]
    g.mode('echo', kind='accept')
    p = g.start(names=START_ORDER)
    c = [socket.create_connection(('127.0.0.1', port), LONG) for _ in range(3)]
    check(c[0].makefile().readline() == c[1].makefile().readline() == 'served by echo\n', 'two are served')
    c[2].settimeout(0.5)
    try:
        c[2].recv(1)
        raise Failed('a third one too')
    except TimeoutError:
        pass
    c[0].close()
    c[2].settimeout(LONG)
    check(c[2].makefile().readline() == 'served by echo\n', 'the third when one is done')
    g.stop(p)
    check(len(g.events('start', 'echo')) == 3, 'three processes')


@case('start_action nostartaccept: started by the first connection')
def _(g):
    port = free_port()
    g.program('lazy')
    g.sections['lazy'] += ['start_action = nostartaccept',
                           'listen_socket { type = inet; address = 127.0.0.1; port = %d; }' % port]
    g.mode('lazy', kind='nostartaccept')
    p = g.start(names=START_ORDER)
    check(not g.events('start', 'lazy'), 'not before')
    for n in (1, 2, 3):
        check('220 lazy' in g.ask(port), 'answer')
        check(len(g.events('start', 'lazy')) == n, 'start %d' % n)
    g.stop(p)


# ---- signals, many processes, accidents

@case('signals are forwarded to the components only', plain=True)
def _(g):
    g.program('lmtp')
    g.sections['lmtp'].append('start_action = wait')
    p = g.start()
    for sig, want in ((signal.SIGUSR1, 'SIGUSR1'), (signal.SIGHUP, 'SIGUSR1')):
        g.forget()
        p.send_signal(sig)
        until(lambda: len(g.events('signal')) >= 4, 'four got it')
        check(sorted(e[2:] for e in g.events('signal')) == sorted((n, want) for n in START_ORDER), '%s' % g.events('signal'))
    g.forget()
    p.send_signal(signal.SIGUSR2)
    until(lambda: len(g.events('signal')) >= 4, 'USR2')
    check({e[3] for e in g.events('signal')} == {'SIGUSR2'} and 'lmtp' not in g.names('signal'), 'USR2')
    until(lambda: 'signal=USR2' in g.log(), 'own log')
    check('func=start' not in g.log(), 'its own log begins anew')
    g.stop(p)


@case('several processes with numbers')
def _(g):
    g.sections['smtpc'] += ['min_processes = 3', 'max_processes = 3', 'pass_id = "-i"', 'use_id_in_logfile_name = true']
    p = g.start()
    until(lambda: len(g.events('start', 'smtpc')) == 3, 'three')
    check(sorted(e[4] for e in g.events('start', 'smtpc')) == ['0', '1', '2'], 'ids')
    check(g.facts('smtpc')['args'][0] == '-i', 'the id is the first argument')
    for i in range(3):
        check(os.path.exists('%s/smtpc%d.log' % (g.logs, i)), 'log %d' % i)
    victim = [e for e in g.events('start', 'smtpc') if e[4] == '1'][0]
    os.kill(int(victim[3]), signal.SIGKILL)
    until(lambda: len(g.events('start', 'smtpc')) == 4, 'a fourth')
    check(g.events('start', 'smtpc')[-1][4] == '1' and not g.names('term'), 'only the one that died')
    g.stop(p)
    check(len(g.events('term', 'smtpc')) == 3, 'all stop')


@case('what a wrapper leaves behind is stopped')
def _(g):
    with open(g.dir + '/bin/smar', 'w') as f:
        f.write('#!/bin/sh\ncase "$1" in -n) exit 0;; esac\n%s/bin/lmtp "$@"; exit 1\n' % g.dir)
    g.program('lmtp')
    del g.sections['lmtp']
    p = g.start(names=['qmgr', 'smtpc', 'smtps', 'lmtp'])
    child = g.pid('lmtp')
    with open('/proc/%d/stat' % child) as f:
        wrapper = int(f.read().rsplit(')', 1)[1].split()[1])
    os.kill(wrapper, signal.SIGKILL)
    until(lambda: not alive(child), 'it ends')
    until(lambda: len(g.events('start', 'lmtp')) == 2, 'and begins again')
    g.stop(p)


@case('kill -9 of mcp: all end, the next one starts', plain=True)
def _(g):
    p = g.start()
    pids = [g.pid(n) for n in START_ORDER]
    p.kill()
    p.wait()
    g.forget()
    p = g.start()
    check(not [n for n in pids if alive(n)], 'old ones are gone')
    check('smtps' in g.ask(), 'it answers')
    g.stop(p)


@case('kill -9 of mcp: the next one waits for what does not end', plain=True)
def _(g):
    g.mode('qmgr', slow_stop=1)
    g.mode('smtpc', ignore_term=True)
    p = g.start()
    old = {n: g.pid(n) for n in START_ORDER}
    p.kill()
    p.wait()
    g.forget()
    g.mode('smtpc')
    begin = time.monotonic()
    p = g.start('-t', '2')
    check(not [n for n in old.values() if alive(n)], 'old ones are gone')
    check(g.events('start', 'qmgr')[0][0] - begin >= 1, 'not before they were')
    check('left by a killed mcp' in g.log() and 'func=kill, component=smtpc' in g.log(), 'log')
    check(not re.search('func=kill, component=(qmgr|smtps|smar)', g.log()), 'only what does not end is killed')
    g.stop(p)


@case('the lock file says who runs')
def _(g):
    p = g.start()
    def lines():
        with open(g.spool + '/mcp.lock') as f:
            return dict(l.split(' ', 1) for l in f.read().splitlines())
    until(lambda: set(START_ORDER) <= set(lines()), 'all are there')
    l = lines()
    check(l['state'] == 'running' and l['mcp'].split()[0] == str(p.pid), 'mcp')
    for n in START_ORDER:
        check(l[n].split()[0] == str(g.pid(n)), n)
    with open('%s/mcp.lock' % g.spool) as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            raise Failed('it is not locked')
        except BlockingIOError:
            pass
    g.stop(p)
    check(lines()['state'] == 'stopped' and not set(START_ORDER) & set(lines()), 'at the end')


def run_one(name, f, as_root):
    g = Gateway(as_root)
    failed = None
    try:
        f(g)
    except Failed as e:
        failed = str(e)
    except Exception as e:      # a case that breaks has failed
        failed = '%s: %s (line %s)' % (type(e).__name__, e, e.__traceback__.tb_next and e.__traceback__.tb_next.tb_lineno)
    g.clean(failed)
    return failed


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    os.umask(0o022)
    only = sys.argv[1:]
    n = bad = 0
    for name, f, plain, root_only in CASES:
        if only and not any(o in name for o in only):
            continue
        modes = [True] * ROOT + [False] * (not ROOT or plain)
        if root_only and not ROOT:
            n += 1
            print('ok %d - %s # SKIP not root' % (n, name))
            continue
        for as_root in modes:
            n += 1
            failed = run_one(name, f, as_root)
            bad += failed is not None
            print('%sok %d - %s%s' % ('not ' * (failed is not None), n, name, ', not as root' if ROOT and not as_root else ''))
            if failed is not None:
                print('# ' + failed)
            sys.stdout.flush()
    print('1..%d' % n)
    return bad > 0


if __name__ == '__main__':
    sys.exit(main())
