"""tests/system/smxtest.py - what the system tests share: TAP, processes, the gateway, sink and source.

BUILD: folder of the build (default build). SMX_TEST_KEEP=1 keeps the folders, SMX_TEST_SEED repeats a run,
SMX_TEST_SLOW=1 and SMX_TEST_ROUNDS, SMX_TEST_CUTS make it longer. Everything listens on loopback. As root
the gateway runs as nobody. What was started is killed at exit, by its pid.
"""
import atexit
import contextlib
import json
import mmap
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get('BUILD') or os.path.join(TOP, 'build'))
BIN = os.path.join(BUILD, 'bin')
# A sanitizer build has no shim of its own: one that is not instrumented loads into both.
SHIM = next((p for p in (os.path.join(BUILD, 'lib/shim.so'), os.path.join(TOP, 'build/lib/shim.so')) if os.path.exists(p)), '')
SANITIZED = bool(os.environ.get('SANITIZE')) or os.path.dirname(BUILD) == os.path.join(TOP, 'build')
ROOT = os.geteuid() == 0
NOBODY = 65534
SLOW = os.environ.get('SMX_TEST_SLOW') == '1'
SEED = int(os.environ.get('SMX_TEST_SEED') or random.SystemRandom().randrange(1 << 31))
LONG = 120 if SANITIZED else 60         # more than anything takes that is going to happen
COMPONENTS = ('qmgr', 'smar', 'smtpc', 'smtps')


# ---- TAP

class Failed(Exception):
    """What was waited for did not happen."""


class Tap:
    count = failures = 0


def diag(text):
    for line in str(text).splitlines():
        print('# ' + line, flush=True)


def ok(cond, name, why=''):
    Tap.count += 1
    Tap.failures += not cond
    print('%sok %d - %s' % ('' if cond else 'not ', Tap.count, name), flush=True)
    if not cond and why:
        diag(why)
    return bool(cond)


def skip(name, why):
    Tap.count += 1
    print('ok %d - %s # skip %s' % (Tap.count, name, why), flush=True)


def equal(got, want, name):
    return ok(got == want, name, 'got %r, wanted %r' % (got, want))


def main(*cases):
    """Runs the cases; what one throws is its failure. Arguments of the program pick cases by name."""
    diag('seed %d (SMX_TEST_SEED)' % SEED)
    for case in cases:
        if len(sys.argv) > 1 and case.__name__ not in sys.argv[1:]:
            continue
        begin = time.monotonic()
        try:
            case()
        except Failed as e:
            ok(False, '%s ends well' % case.__name__, e)
            show_logs()
        except Exception:
            ok(False, '%s ends well' % case.__name__, traceback.format_exc())
            show_logs()
        finally:
            end_all()
        diag('%s: %.1f s' % (case.__name__, time.monotonic() - begin))
    print('1..%d' % Tap.count)
    sys.exit(1 if Tap.failures else 0)


def until(cond, what, limit=LONG, step=0.01):
    """Waits for a condition and returns its value."""
    begin = time.monotonic()
    end = begin + limit
    while True:
        v = cond()
        if v:
            if time.monotonic() - begin > 20:
                diag('after %.1f s: %s' % (time.monotonic() - begin, what))
            return v
        if time.monotonic() > end:
            raise Failed('did not happen within %d s: %s' % (limit, what))
        time.sleep(step)


def rng(*words):
    return random.Random(repr((SEED,) + words))


# ---- folders and processes

class Running:
    procs = []          # Popen objects
    children = {}       # pid -> start time, components that a mcp left behind
    dirs = []
    gateways = []


def tmpdir(name):
    """A folder that the gateway's user owns; removed at exit."""
    d = os.path.realpath(tempfile.mkdtemp(prefix='smx-%s-' % name))
    Running.dirs.append(d)
    own(d)
    return d


def drop(path):
    """Removes a folder that is not needed any more, unless all are kept."""
    if os.environ.get('SMX_TEST_KEEP') != '1':
        shutil.rmtree(path, ignore_errors=True)


def own(path):
    if ROOT:
        os.chown(path, NOBODY, NOBODY)


def demote():
    return dict(user=NOBODY, group=NOBODY, extra_groups=[]) if ROOT else {}


def birth(pid):
    """Start time of a process that lives, None without one. A killed one lives until its last thread has ended."""
    try:
        with open('/proc/%d/stat' % pid) as f:
            part = f.read().rsplit(')', 1)[1].split()
    except OSError:
        return None
    return None if part[0] == 'X' or part[0] == 'Z' and int(part[17]) <= 1 else part[19]


def spawn(argv, **kw):
    p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True, **kw)
    Running.procs.append(p)
    return p


def children(pid):
    found = []
    with contextlib.suppress(OSError):
        for t in os.listdir('/proc/%d/task' % pid):
            with open('/proc/%d/task/%s/children' % (pid, t)) as f:
                found += [int(n) for n in f.read().split()]
    return found


def kill(pid, sig=signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sig)


def end_all():
    """Kills what a case left running."""
    for g in Running.gateways:
        g.kill9()
    Running.gateways.clear()
    for p in Running.procs:
        if p.poll() is None:
            p.kill()
            p.wait()
    Running.procs.clear()


@atexit.register
def clean_up():
    end_all()
    for d in Running.dirs:
        if os.environ.get('SMX_TEST_KEEP') == '1':
            diag('kept ' + d)
        else:
            shutil.rmtree(d, ignore_errors=True)


# A signal must run atexit too.
for _s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(_s, lambda n, f: sys.exit(128 + n))


def show_logs(lines=12):
    for g in Running.gateways:
        for name in ('mcp',) + COMPONENTS:
            for line in g.log(name).splitlines()[-lines:]:
                diag('%s: %s' % (name, line))


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


def read(path):
    try:
        with open(path, errors='replace') as f:
            return f.read()
    except FileNotFoundError:
        return ''


def threads():
    """Options that keep a test small on a machine with many cores."""
    return min(2, os.cpu_count() or 1)


# ---- the shim

class Shim:
    """The preload library: its folder, what it is told, what it saw. Layout of struct shared in shim.c."""
    SIZE, SEQUENCE, SYNCS, WRITES, BYTES, SLOW, FAILED, SWITCH = 4096, 0, 8, 16, 24, 32, 36, 40

    def __init__(self, folder, log=False, count=False, slow_usec=0, fail='', skip_sync='', fs_bytes=0, fs_free=0):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        own(folder)
        self.shared = os.path.join(folder, 'shared')
        with open(self.shared, 'wb') as f:
            f.truncate(self.SIZE)
        own(self.shared)
        with open(self.shared, 'r+b') as f:
            self.map = mmap.mmap(f.fileno(), self.SIZE)
        self.history = os.path.join(folder, 'history')
        os.makedirs(self.history, exist_ok=True)
        own(self.history)
        self.log, self.count, self.slow_usec, self.fail, self.skip_sync = log, count, slow_usec, fail, skip_sync
        self.fs_bytes, self.fs_free = fs_bytes, fs_free

    def env(self, *roots):
        e = dict(LD_PRELOAD=SHIM, SMX_SHIM_ROOT=':'.join(roots), SMX_SHIM_SHARED=self.shared)
        if self.log:
            e['SMX_SHIM_LOG'] = self.history
        if self.count:
            e['SMX_SHIM_COUNT'] = self.history
        if self.slow_usec:
            e['SMX_SHIM_SLOW_SYNC_USEC'] = str(self.slow_usec)
        if self.fail:
            e['SMX_SHIM_FAIL'] = self.fail
        if self.fs_bytes:
            e['SMX_SHIM_FS_BYTES'] = str(self.fs_bytes)
        if self.fs_free:
            e['SMX_SHIM_FS_FREE'] = str(self.fs_free)
        if self.skip_sync:
            e['SMX_SHIM_SKIP_SYNC'] = self.skip_sync
        return e

    def number(self, at, form='Q'):
        return struct.unpack_from('=' + form, self.map, at)[0]

    @property
    def syncs(self):
        return self.number(self.SYNCS)

    @property
    def sequence(self):
        return self.number(self.SEQUENCE)

    @property
    def failed(self):
        return self.number(self.FAILED, 'I')

    def slow(self, usec):
        struct.pack_into('=I', self.map, self.SLOW, usec)

    def switch(self, k, on):
        self.map[self.SWITCH + k] = int(on)


# ---- the gateway

CONF = '''hostname = "gw.smx.test";
qmgr {
  log_level = %(level)d;
  min_disk_space = 1; ok_disk_space = 2;
  retry_min_delay = 1s; retry_max_delay = 2s; queue_return_timeout = 1d; queue_delay_timeout = 2d;
  wait_for_server = 4; wait_for_client = 4; max_threads = %(threads)d;
  smtps { max_connections = 20000; max_connection_rate = 100000000; }
  %(qmgr)s
  start_action = wait; path = "%(bin)s/qmgr"; arguments = "qmgr -f %(conf)s";
}
smtps {
  log_level = %(level)d; max_threads = %(threads)d;
  flags = { 8bitmime, access };
  max_transactions = 1000000; max_recipients_per_session = 10000000; max_bad_commands_per_session = 1000; segment_limit = 128KB;
  %(smtps)s
  listen_socket { type = inet; address = 127.0.0.1; port = %(port)d; }
  start_action = pass; pass_fd_socket = "smtps/smtpsfd"; path = "%(bin)s/smtps"; arguments = "smtps -f %(conf)s";
}
smtpc {
  log_level = %(level)d; max_threads = %(threads)d; wait_for_server = 4;
  %(smtpc)s
  start_action = wait; path = "%(bin)s/smtpc"; arguments = "smtpc -f %(conf)s";
}
smar {
  log_level = %(level)d; max_threads = 1;
  nameserver = { "127.0.0.1@9" }; DNS_timeout = 1;
  mailertable { file = "mt"; } access_map { file = "access.db"; }
  %(smar)s
  start_action = wait; path = "%(bin)s/smar"; arguments = "smar -f %(conf)s";
}
'''


def add_option(text, name, value):
    """`name = value;` unless the text sets it already."""
    return text if name in text else '%s %s = %s;' % (text, name, value)


def leaky_env():
    """For tools that leave what they have to the end of the process."""
    env = dict(os.environ)
    if SANITIZED:
        env['ASAN_OPTIONS'] = ':'.join(filter(None, [os.environ.get('ASAN_OPTIONS'), 'detect_leaks=0']))
    return env


class Gateway:
    """mcp and its four components on a spool. Raw text for the sections in qmgr, smtps, smtpc, smar."""

    def __init__(self, folder, sink_port=0, spool=None, shim=None, access='cltaddr:127 relay\n', mt=None, level=9, roots=(),
                 qmgr='', smtps='', smtpc='', smar=''):
        self.folder = folder
        self.spool = spool or os.path.join(folder, 'spool')
        self.logs = os.path.join(folder, 'log')
        self.conf = os.path.join(self.spool, 'smx.conf')
        self.port = free_port()
        self.shim, self.roots = shim, roots
        self.proc = None
        self.seen = {}
        for d in (self.spool, self.logs):
            if not os.path.isdir(d):
                os.mkdir(d)
            own(d)
        if sink_port:
            smtpc = add_option(add_option(smtpc, 'remote_port', sink_port), 'connect_only_to', '127.0.0.1')
        self.write('mt', mt or '. esmtp:[127.0.0.1]\n')
        self.write('smx.conf', CONF % dict(level=level, threads=threads(), port=self.port, bin=BIN, conf=self.conf, qmgr=qmgr,
                                           smtps=smtps, smtpc=smtpc, smar=smar))
        self.createmap('access.db', access)
        Running.gateways.append(self)

    def path(self, name):
        return os.path.join(self.spool, name)

    def write(self, name, text):
        with open(self.path(name), 'w') as f:
            f.write(text)
        own(self.path(name))

    def createmap(self, name, text):
        r = self.tool('createmap', '-F', name, input=text)
        if r.returncode:
            raise Failed('createmap: ' + r.stdout)

    def tool(self, *argv, **kw):
        """A program of ours in the spool; CompletedProcess with text of both outputs."""
        return subprocess.run([os.path.join(BIN, argv[0])] + list(argv[1:]), cwd=self.spool, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors='replace', timeout=LONG, env=leaky_env(), **demote(), **kw)

    # ---- life
    def launch(self):
        """Starts mcp and does not wait."""
        env = dict(os.environ)
        if self.shim:
            env.update(self.shim.env(self.spool, *self.roots))
        if SANITIZED:
            # The shim comes first, and LeakSanitizer hangs now and then when it stops the threads of a program
            # that ends; unit tests look for leaks.
            env['ASAN_OPTIONS'] = ':'.join(filter(None, [os.environ.get('ASAN_OPTIONS'), 'verify_asan_link_order=0', 'detect_leaks=0']))
        with open(os.path.join(self.logs, 'mcp.log'), 'ab') as log:
            self.proc = spawn([os.path.join(BIN, 'mcp'), '-f', self.conf, '-L', self.logs], cwd=self.spool, env=env,
                              stdout=log, stderr=log, **demote())
        return self

    def start(self, limit=LONG):
        self.launch()
        self.wait_ready(limit)
        return self

    def wait_ready(self, limit=LONG):
        """Greets, and all that goes on behind the first greetings has come to its end."""
        until(self.greets, 'a greeting on port %d' % self.port, limit)
        if 'control_socket' not in read(self.conf):
            until(lambda: self.alive() or self.ctl('status', limit), 'qmgr has its database', limit)
        until(lambda: self.listens('qmsmtps/smtps.ctl'), 'smtps has its content database', limit)

    def listens(self, name):
        """Does somebody listen on this unix socket of the spool."""
        self.alive()
        cwd = os.getcwd()
        os.chdir(self.spool)
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(name)
                return True
        except OSError:
            return False
        finally:
            os.chdir(cwd)

    def alive(self):
        if self.proc and self.proc.poll() is not None:
            raise Failed('mcp ended with %s\n%s' % (self.proc.returncode, self.log('mcp')[-2000:]))

    def greets(self):
        self.alive()
        try:
            with socket.create_connection(('127.0.0.1', self.port), 1) as s:
                s.settimeout(1)
                return s.recv(100).startswith(b'220')
        except OSError:
            return False

    def pids(self):
        """name -> pid of the components that run now."""
        found = {}
        for pid in children(self.proc.pid) if self.proc and self.proc.poll() is None else ():
            name = read('/proc/%d/comm' % pid).strip()
            if name in COMPONENTS:
                found[name] = pid
                self.seen[pid] = birth(pid)
        return found

    def stop(self, limit=LONG):
        """SIGTERM; returns mcp's exit status."""
        self.pids()
        begin = time.monotonic()
        self.proc.terminate()
        try:
            status = self.proc.wait(limit)
        except subprocess.TimeoutExpired:
            raise Failed('mcp did not stop within %d s' % limit)
        if time.monotonic() - begin > 5:
            diag('the stop took %.1f s' % (time.monotonic() - begin))
            show_logs(6)
        return status

    def kill9(self):
        """kill -9 of mcp and all components, as near together as it can be done; waits for their end."""
        if not self.proc:
            return
        self.pids()
        running = self.proc.poll() is None
        if running:
            self.proc.send_signal(signal.SIGSTOP)       # so that it starts nothing in between
            self.pids()
        for pid, when in self.seen.items():
            if when and birth(pid) == when:
                kill(pid)
        if running:
            self.proc.kill()
            self.proc.wait()
        until(lambda: not any(when and birth(pid) == when for pid, when in self.seen.items()), 'end of killed processes')
        self.seen.clear()

    # ---- questions
    def ctl(self, request, limit=LONG):
        """An answer of qmgr's control socket; '' when it is not there."""
        out = b''
        cwd = os.getcwd()
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(limit)
                os.chdir(self.spool)
                try:
                    s.connect('qmgrctlsock')
                finally:
                    os.chdir(cwd)
                s.sendall(request.encode() + b'\n')
                while True:
                    part = s.recv(65536)
                    if not part:
                        return out.decode(errors='replace')
                    out += part
        except OSError:
            return ''

    def queue(self):
        """Queued messages as mailq -j tells them; None when qmgr does not answer."""
        if not self.ctl('status'):
            return None
        return [json.loads(line) for line in self.ctl('list json').splitlines()]

    def is_empty(self):
        status = self.ctl('status')
        return 'aq: 0 of' in status and 'iqdb: 0 of' in status and not self.ctl('list json')

    def wait_empty(self, limit=LONG, retry=True):
        """Until the queue is empty; deferred mail is tried at once."""
        def done():
            if self.proc.poll() is not None:
                raise Failed('mcp ended with %s\n%s' % (self.proc.returncode, self.log('mcp')[-2000:]))
            if self.is_empty():
                return True
            if retry:
                self.ctl('retry')
            return False
        until(done, 'an empty queue', limit, 0.02)

    def stats(self):
        return json.loads(self.ctl('stats json') or '{}')

    def log(self, name):
        return read(os.path.join(self.logs, name + '.log'))


# ---- smtp-sink and smtp-source

def tool_env(more):
    env = dict(os.environ, **(more or {}))
    if SANITIZED and more:
        env['ASAN_OPTIONS'] = ':'.join(filter(None, [os.environ.get('ASAN_OPTIONS'), 'verify_asan_link_order=0']))
    return env


class Sink:
    """smtp-sink on a loopback port (or unix:PATH). The answers are its JSON."""

    def __init__(self, folder, *args, name='sink', port=0, listen=None, dump=False, env=None):
        self.folder, self.name, self.args, self.env = folder, name, args, env
        self.control = os.path.join(folder, name + '.ctl')
        self.json_file = os.path.join(folder, name + '.json')
        self.port, self.listen = port, listen
        self.dump = os.path.join(folder, name + '.dump') if dump else None
        if self.dump:
            os.makedirs(self.dump, exist_ok=True)
        self.proc = None
        self.start()

    def start(self):
        port_file = os.path.join(self.folder, self.name + '.port')
        argv = [os.path.join(BIN, 'smtp-sink'), '-q', '--json', self.json_file, '--control', self.control,
                '--port-file', port_file]
        if self.dump:
            argv += ['--dump', self.dump]
        for f in (port_file, self.control, self.json_file):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f)
        self.proc = spawn(argv + list(self.args) + [self.listen or '127.0.0.1:%d' % self.port],
                          env=tool_env(self.env))
        until(lambda: self.proc.poll() is not None or os.path.exists(self.control), 'smtp-sink is ready')
        if self.proc.poll() is not None:
            raise Failed('smtp-sink ended with %d' % self.proc.returncode)
        if self.listen:
            path = self.listen.split(':', 1)[1]
            until(lambda: os.path.exists(path), 'smtp-sink listens on ' + path)
        else:
            self.port = int(until(lambda: read(port_file).strip(), 'the port of smtp-sink'))
        return self

    def ask(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(LONG)
            s.connect(self.control)
            out = b''
            while True:
                part = s.recv(1 << 20)
                if not part:
                    return json.loads(out)
                out += part

    def wait(self, field, value, limit=LONG):
        return until(lambda: self.ask().get(field, 0) >= value, 'smtp-sink has %s %s, not %s' % (
            value, field, self.ask().get(field)), limit)

    def stop(self):
        self.proc.terminate()
        self.proc.wait(LONG)
        with open(self.json_file) as f:
            return json.load(f)

    def dumped(self):
        """Contents of dumped messages, in order."""
        out = []
        for n in sorted(os.listdir(self.dump)):
            if n.endswith('.eml'):
                with open(os.path.join(self.dump, n), 'rb') as f:
                    out.append(f.read())
        return out


class Source:
    """smtp-source to a port; ids that got 250 are in the file acked."""
    runs = 0

    def __init__(self, folder, port, *args, name='source', env=None):
        Source.runs += 1
        self.acked_file = os.path.join(folder, name + '.acked')
        self.json_file = os.path.join(folder, name + '.json')
        argv = [os.path.join(BIN, 'smtp-source'), '-q', '--json', self.json_file, '--acked', self.acked_file,
                '--seed', str(SEED % 1000000 + 1), '-f', 'from@source.test', '-t', 'to@sink.test', *args, '127.0.0.1:%d' % port]
        self.err = os.path.join(folder, name + '.err')
        with open(self.err, 'wb') as err:
            self.proc = spawn(argv, stdout=err, stderr=err, env=tool_env(env))

    def acked(self):
        """Complete lines of the file so far."""
        text = read(self.acked_file)
        return text[:text.rfind('\n') + 1].splitlines()

    def wait_acked(self, n, limit=LONG):
        return until(lambda: len(self.acked()) >= n, '%d acknowledged messages, %d so far' % (n, len(self.acked())), limit)

    def wait(self, limit=LONG):
        """Its results; Failed when it does not end."""
        try:
            self.proc.wait(limit)
        except subprocess.TimeoutExpired:
            raise Failed('smtp-source did not end')
        if not os.path.exists(self.json_file):
            raise Failed('smtp-source: ' + read(self.err))
        with open(self.json_file) as f:
            return json.load(f)

    def stop(self, limit=LONG):
        self.proc.terminate()
        return self.wait(limit)


# ---- SMTP by hand

class Client:
    """A connection that sends bytes and reads replies."""

    def __init__(self, port, greeting=True):
        self.sock = socket.create_connection(('127.0.0.1', port), LONG)
        self.rest = b''
        if greeting:
            self.reply()

    def line(self):
        while b'\n' not in self.rest:
            part = self.sock.recv(65536)
            if not part:
                raise Failed('the server closed the connection after %r' % self.rest)
            self.rest += part
        line, self.rest = self.rest.split(b'\n', 1)
        return line.rstrip(b'\r').decode('latin-1')

    def reply(self):
        """All lines of one reply."""
        lines = [self.line()]
        while lines[-1][3:4] == '-':
            lines.append(self.line())
        return '\n'.join(lines)

    def say(self, line):
        self.sock.sendall(line.encode('latin-1') + b'\r\n')
        return self.reply()

    def want(self, code, line):
        r = self.say(line)
        if not r.startswith(code):
            raise Failed('%r was answered %r, wanted %s' % (line, r, code))
        return r

    def send(self, wire, sender='a@source.test', rcpts=('b@sink.test',), mail=''):
        """A whole transaction; wire is the content as it goes out, with its final dot. The last reply."""
        self.want('250', 'MAIL FROM:<%s>%s' % (sender, mail))
        for r in rcpts:
            self.want('250', 'RCPT TO:<%s>' % r)
        self.want('354', 'DATA')
        self.sock.sendall(wire)
        return self.reply()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()
