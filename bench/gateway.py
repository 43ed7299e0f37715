"""A running smX gateway in a temporary spool, for bench/compare, bench/demo and the system tests.

As root everything runs as nobody, because the components refuse to be root; else as the caller.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import threading

import procs

COMPONENTS = ('qmgr', 'smtps', 'smtpc', 'smar')
PROGRAMS = COMPONENTS + ('mcp', 'createmap', 'mailq', 'qmgrctl', 'smconf')
LOGS = ('mcp',) + COMPONENTS

CONF = '''hostname = "gw.bench.test";
%(glob)s
qmgr {
    log_level = %(log_level)d;
    AQ_max_entries = %(aq)d;
    control_socket = "qmgrctlsock";
    min_disk_space = 4096; ok_disk_space = 8192;
    retry_min_delay = %(retry_min)ds; retry_max_delay = %(retry_max)ds;
    smtps { max_connections = 100000; max_connection_rate = 100000000; }
    smtpc { initial_connections = %(out_first)d; max_connections = %(out_max)d; }
    %(qmgr)s
    start_action = wait;
    restart_dependencies = { smtps, smtpc, smar };
    path = "%(bin)s/qmgr"; arguments = "qmgr -f %(conf)s";
}
smtps {
    log_level = %(log_level)d;
    flags = { 8bitmime, access };
    max_transactions = 10000000; max_recipients_per_session = 100000000;
    %(smtps)s
    listen_socket { type = inet; address = 127.0.0.1; port = %(port)d; }
    start_action = pass; pass_fd_socket = "smtps/smtpsfd";
    path = "%(bin)s/smtps"; arguments = "smtps -f %(conf)s";
}
smtpc {
    log_level = %(log_level)d;
    %(connect_only)s
    remote_port = %(sink)d;
    %(smtpc)s
    start_action = wait;
    path = "%(bin)s/smtpc"; arguments = "smtpc -f %(conf)s";
}
smar {
    log_level = %(log_level)d;
    nameserver = { "127.0.0.1@%(dns)d" };
    DNS_timeout = 3;
    mailertable { file = "mt"; }
    access_map { file = "access.db"; }
    %(smar)s
    start_action = wait;
    restart_dependencies = { smtps, qmgr };
    path = "%(bin)s/smar"; arguments = "smar -f %(conf)s";
}
%(sections)s
'''

DEFAULTS = dict(glob='', qmgr='', smtps='', smtpc='', smar='', sections='', log_level=9, retry_min=2, retry_max=4,
                aq=200000, connect_only='connect_only_to = 127.0.0.1;', out_first=10, out_max=100)


class EmptyDns:
    """A name server on loopback for which no name exists: nothing leaves the machine."""

    def __init__(self):
        self.s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.s.bind(('127.0.0.1', 0))
        self.port = self.s.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                q, peer = self.s.recvfrom(4096)
            except OSError:
                return
            if len(q) < 17:
                continue
            end = q.find(b'\0', 12) + 5  # behind the question
            answer = q[:2] + b'\x81\x83\0\1\0\0\0\0\0\0' + q[12:end]
            try:
                self.s.sendto(answer, peer)
            except OSError:
                pass

    def close(self):
        self.s.close()


class Gateway:
    """One gateway on one spool; it may be started and stopped many times.

    options: the keys of DEFAULTS; qmgr, smtps, smtpc, smar, glob, sections are raw text for the configuration.
    env: added to its environment. wrapper: command in front of mcp. files: more files for the spool, {name: text}.
    """

    name = 'smx'

    def __init__(self, build, sink_port, folder=None, port=None, env=None, wrapper=(), files=None, **options):
        self.bin = os.path.abspath(os.path.join(build, 'bin'))
        missing = [p for p in PROGRAMS if not os.path.exists(os.path.join(self.bin, p))]
        if missing:
            raise RuntimeError('not built: %s (run make)' % ' '.join(missing))
        unknown = set(options) - set(DEFAULTS)
        if unknown:
            raise TypeError('unknown options: %s' % ' '.join(unknown))
        self.options = dict(DEFAULTS, **options)
        self.dir = folder or procs.scratch_dir('smx-gateway-')
        self.spool = os.path.join(self.dir, 'spool')
        self.conf = os.path.join(self.spool, 'smx.conf')
        self.port = port or procs.free_port()
        self.sink_port = sink_port
        self.env = dict(env or {})
        self.wrapper = list(wrapper)
        self.files = {'mt': '. esmtp:[127.0.0.1]\n', **(files or {})}
        self.maps = {'access': 'cltaddr:127 relay\n'}
        self.dns = EmptyDns()
        self.p = None
        if os.getuid() == 0 and not procs.reachable_by_others(self.bin):
            self._copy_programs()

    def _copy_programs(self):
        """nobody may not enter the folder of the build."""
        to = os.path.join(self.dir, 'bin')
        os.makedirs(to, exist_ok=True)
        for p in PROGRAMS:
            shutil.copy2(os.path.join(self.bin, p), to)
        self.bin = to

    # ---- files
    def path(self, name):
        return os.path.join(self.spool, name)

    def setup(self):
        """Writes the spool; start() does it when it is not there."""
        os.makedirs(self.spool)
        for name, text in self.files.items():
            with open(self.path(name), 'w') as f:
                f.write(text)
        self.write_conf()
        if procs.demote():
            for p in [self.dir, self.spool] + [self.path(n) for n in os.listdir(self.spool)]:
                os.chown(p, procs.NOBODY, procs.NOBODY)
        for name, text in self.maps.items():
            self.createmap(name, text)

    def write_conf(self):
        """After a change of options: they count from the next start on."""
        with open(self.conf, 'w') as f:
            f.write(self.conf_text())

    def conf_text(self):
        return CONF % dict(self.options, bin=self.bin, conf=self.conf, port=self.port, sink=self.sink_port,
                   dns=self.dns.port)

    def createmap(self, name, text):
        r = self.tool('createmap', '-F', self.path(name + '.db'), input=text)
        if r.returncode:
            raise RuntimeError('createmap %s: %d %s' % (name, r.returncode, r.stdout))

    # ---- life
    def start(self, wait=True):
        """Starts mcp; with wait, returns when the greeting comes. RuntimeError with the logs when it does not."""
        if not os.path.exists(self.conf):
            self.setup()
        env = dict(os.environ, **self.env)
        with open(self.path('mcp.log'), 'ab') as log:
            self.p = subprocess.Popen(self.wrapper + [os.path.join(self.bin, 'mcp'), '-f', self.conf], cwd=self.spool,
                          env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                          start_new_session=True, **procs.demote())
        if wait:
            self.wait_up()

    def wait_up(self, timeout=30):
        """Until it greets, and what goes on behind the first greetings has come to its end."""
        procs.wait_until(lambda: self.p.poll() is not None or self._is_up(), timeout, 0.005)
        if self.p.poll() is not None or not self._is_up():
            text = self.log_tail()
            self.kill9()
            raise RuntimeError('the gateway did not start:\n' + text)

    def _is_up(self):
        return procs.greets(self.port) and all(procs.listens(self.path(n)) for n in ('qmgrctlsock', 'qmsmtps/smtps.ctl'))

    def main_pid(self):
        """mcp itself, below the wrapper if there is one."""
        if not self.wrapper:
            return self.p.pid
        return next((p for p in procs.tree(self.p.pid) if procs.name_of(p) == 'mcp'), self.p.pid)

    def running(self):
        return self.p is not None and self.p.poll() is None

    def pids(self):
        return procs.tree(self.p.pid) if self.p else []

    def components(self):
        """{name: pid} of the components that run now."""
        return {procs.name_of(p): p for p in self.pids() if procs.name_of(p) in COMPONENTS}

    def stop(self, timeout=30):
        """SIGTERM to mcp. True when all went in time; what did not is killed."""
        if self.p is None:
            return True
        pids = self.pids()
        try:
            os.kill(self.main_pid(), signal.SIGTERM)
        except ProcessLookupError:
            pass
        ok = procs.wait_until(lambda: self.p.poll() is not None and not procs.alive(pids), timeout)
        self.kill9()
        return bool(ok)

    def kill9(self):
        """SIGKILL for all processes at once; the spool stays."""
        if self.p is None:
            return
        pids = procs.kill_tree(self.p.pid)
        self.p.wait()
        procs.wait_until(lambda: not procs.alive(pids), 10)
        self.p = None

    def cleanup(self):
        """Removes the spool."""
        self.dns.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- figures
    def cpu(self):
        return procs.cpu_seconds(self.main_pid())

    def cpu_by_name(self):
        """{component: CPU seconds of its threads}."""
        return {name: procs.fine_cpu_seconds(pid) for name, pid in self.components().items()}

    def memory_kb(self):
        return procs.memory_kb(self.main_pid())

    def tool(self, name, *args, **kw):
        """Runs mailq, qmgrctl and so on in the spool; CompletedProcess with text, stderr joined."""
        return subprocess.run([os.path.join(self.bin, name), *args], cwd=self.spool, stdout=subprocess.PIPE,
                      stderr=subprocess.STDOUT, timeout=60, text=True, errors='replace',
                      **procs.demote(), **kw)

    def stats(self):
        """What qmgrctl stats -j says; {} when it says nothing."""
        try:
            return json.loads(self.tool('qmgrctl', 'stats', '-j').stdout)
        except (ValueError, OSError, subprocess.TimeoutExpired):
            return {}

    def queue(self):
        """(recipients under way, recipients deferred); None when qmgr does not answer."""
        r = self.stats().get('recipients')
        return (r['queue=incoming'] + r['queue=active'], r['queue=deferred']) if r else None

    def retry_all(self):
        """Tries everything now that is deferred."""
        r = self.tool('qmgrctl', 'retry', 'all')
        if r.returncode:
            raise RuntimeError('qmgrctl retry all: %d %s' % (r.returncode, r.stdout))

    def syncs(self):
        """Completed syncs since the start, None when unknown."""
        v = self.stats().get('syncs')
        return v if isinstance(v, (int, float)) else None

    def log_tail(self, lines=8):
        out = []
        for n in LOGS:
            try:
                with open(self.path(n + '.log'), errors='replace') as f:
                    out += ['%s: %s' % (n, x) for x in f.read().splitlines()[-lines:]]
            except OSError:
                pass
        return '\n'.join(out)
