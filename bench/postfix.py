"""Debian's Postfix for bench/compare: downloaded, unpacked with dpkg -x, run from there. Nothing is installed.

It needs root, and an account for its queue: the one of Debian's base system named in OWNER, so that none has to be made.
Its configuration is for throughput, with everything that makes mail safe left on.
"""
import glob
import grp
import os
import pwd
import re
import shutil
import subprocess

import procs

OWNER = 'mail'          # the queue's owner
SETGID = 'staff'        # must not be the primary group of OWNER
UNPRIVILEGED = 'nobody'

MAIN_CF = '''compatibility_level = 3.6
queue_directory = %(dir)s/queue
data_directory = %(dir)s/data
command_directory = %(root)s/usr/sbin
daemon_directory = %(root)s/usr/lib/postfix/sbin
shlib_directory = %(root)s/usr/lib/postfix
meta_directory = %(dir)s/etc
mail_owner = %(owner)s
setgid_group = %(setgid)s
default_privs = %(unprivileged)s
export_environment = TZ MAIL_CONFIG LANG LD_LIBRARY_PATH
import_environment = MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG LD_LIBRARY_PATH
maillog_file = %(dir)s/log/maillog
maillog_file_prefixes = %(dir)s
syslog_name = postfix-bench
myhostname = gw.bench.test
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
relayhost = [127.0.0.1]:%(sink)d
disable_dns_lookups = yes
smtp_host_lookup = native
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions =
# throughput; 20 deliveries at the same time cost less than 50 or 100 and are as fast
default_process_limit = %(processes)d
max_use = 10000
in_flow_delay = 0s
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_client_event_limit_exceptions = 127.0.0.0/8
qmgr_message_active_limit = 20000
qmgr_message_recipient_limit = 20000
default_destination_concurrency_limit = %(out)d
initial_destination_concurrency = %(out)d
smtp_destination_concurrency_limit = %(out)d
smtp_connection_cache_on_demand = yes
smtp_connection_cache_destinations = [127.0.0.1]:%(sink)d
smtp_connection_reuse_count_limit = 0
'''

MASTER_CF = '''127.0.0.1:%(port)d inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
virtual unix - n n - - virtual
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
'''


def _missing_libraries(root):
    env = dict(os.environ, LD_LIBRARY_PATH=root + '/usr/lib/postfix')
    out = subprocess.run(['ldd', root + '/usr/lib/postfix/sbin/smtpd'], env=env, capture_output=True, text=True).stdout
    return re.findall(r'(\S+) => not found', out)


def _fetch(package, cache, root):
    """Downloads a package into cache and unpacks it into root."""
    for attempt in range(2):
        r = subprocess.run(['apt-get', 'download', '-q', package], cwd=cache, capture_output=True, text=True)
        if r.returncode == 0:
            break
        if attempt == 0:
            subprocess.run(['apt-get', 'update', '-qq'], capture_output=True)
    debs = sorted(glob.glob('%s/%s_*.deb' % (cache, package)))
    if not debs:
        raise RuntimeError('cannot download %s: %s' % (package, r.stderr.strip()[-300:]))
    subprocess.run(['dpkg', '-x', debs[-1], root], check=True)


# which package brings a library that smtpd may miss
LIBRARIES = (('libsasl2.so', 'libsasl2-2'), ('libicu', 'libicu72'), ('libdb-', 'libdb5.3'), ('libnsl.so', 'libnsl2'),
             ('libtirpc', 'libtirpc3'), ('libssl.so', 'libssl3'), ('libcrypto.so', 'libssl3'), ('libxml2', 'libxml2'))


def unpacked(cache):
    """Path of what unpack() made before, or None."""
    root = os.path.join(os.path.abspath(cache), 'postfix')
    return root if os.path.exists(os.path.join(root, '.complete')) else None


def unpack(cache):
    """Path of the unpacked Postfix below cache; downloads it the first time."""
    root = os.path.join(os.path.abspath(cache), 'postfix')
    done = os.path.join(root, '.complete')
    if not os.path.exists(done):
        shutil.rmtree(root, ignore_errors=True)
        os.makedirs(root)
        _fetch('postfix', cache, root)
        for lib in _missing_libraries(root):
            package = next((p for prefix, p in LIBRARIES if lib.startswith(prefix)), None)
            if package is None:
                raise RuntimeError('Postfix needs %s, and no package is known for it' % lib)
            _fetch(package, cache, root)
            for f in glob.glob(root + '/usr/lib/*-linux-gnu*/*.so*') + glob.glob(root + '/lib/*-linux-gnu*/*.so*'):
                to = os.path.join(root, 'usr/lib/postfix', os.path.basename(f))
                if not os.path.lexists(to):
                    os.symlink(f, to)
        open(done, 'w').close()
    return root


class Postfix:
    """One instance with a queue of its own; it may be stopped and started again. The same methods as gateway.Gateway.

    more: added to main.cf, where %(dir)s is its folder. hops: (domain, address) of next hops, for etc/transport.
    """

    name = 'postfix'

    def __init__(self, cache, sink_port, out_connections=20, wrapper=(), more='', processes=250, hops=()):
        if os.getuid():
            raise RuntimeError('Postfix runs only as root')
        for n in (OWNER, UNPRIVILEGED):
            pwd.getpwnam(n)
        grp.getgrnam(SETGID)
        self.wrapper = list(wrapper)
        self.main_cf = MAIN_CF + more
        self.root = unpack(cache)
        self.dir = procs.scratch_dir('smx-postfix-')
        self.port = procs.free_port()
        self.sink_port = sink_port
        self.out_connections = out_connections
        self.processes = processes
        self.hops = hops
        self.p = None
        if not procs.reachable_by_others(self.root):
            shutil.copytree(self.root, self.dir + '/root', symlinks=True)
            self.root = self.dir + '/root'

    def setup(self):
        values = dict(dir=self.dir, root=self.root, owner=OWNER, setgid=SETGID, unprivileged=UNPRIVILEGED,
                      sink=self.sink_port, port=self.port, out=self.out_connections, processes=self.processes)
        for d in ('etc', 'queue', 'data', 'log'):
            os.makedirs(os.path.join(self.dir, d))
        uid, gid = pwd.getpwnam(OWNER).pw_uid, grp.getgrnam(SETGID).gr_gid
        os.chown(self.dir + '/data', uid, -1)
        os.chmod(self.dir + '/data', 0o700)
        for d in 'active bounce corrupt defer deferred flush hold incoming private saved trace'.split():
            self._queue_dir(d, uid, 0, 0o700)
        self._queue_dir('maildrop', uid, gid, 0o730)
        self._queue_dir('public', uid, gid, 0o710)
        self._queue_dir('pid', 0, 0, 0o755)
        files = {'main.cf': self.main_cf % values, 'master.cf': MASTER_CF % values,
                 'transport': ''.join('%s smtp:[%s]:%d\n' % (d, a, self.sink_port) for d, a in self.hops)}
        for name, text in files.items():
            with open(os.path.join(self.dir, 'etc', name), 'w') as f:
                f.write(text)

    def _queue_dir(self, name, uid, gid, mode):
        p = os.path.join(self.dir, 'queue', name)
        os.makedirs(p)
        os.chown(p, uid, gid)
        os.chmod(p, mode)

    def _env(self):
        return dict(PATH=os.environ.get('PATH', '/usr/bin:/bin:/usr/sbin:/sbin'), MAIL_CONFIG=self.dir + '/etc',
                    LD_LIBRARY_PATH=self.root + '/usr/lib/postfix', LANG='C')

    def start(self, wait=True):
        """Starts master and, with wait, waits for the greeting; the first time it writes the folders."""
        if not os.path.exists(os.path.join(self.dir, 'etc')):
            self.setup()
        self.err = open(self.dir + '/log/master', 'ab+')
        self.p = subprocess.Popen(self.wrapper + [self.root + '/usr/lib/postfix/sbin/master', '-c', self.dir + '/etc', '-d'],
                                  env=self._env(), cwd=self.dir + '/queue', stdin=subprocess.DEVNULL, stdout=self.err,
                                  stderr=self.err, start_new_session=True)
        if wait:
            self.wait_up()

    def wait_up(self):
        if not procs.wait_until(lambda: self.p.poll() is not None or procs.greets(self.port), 30, 0.005) or \
                self.p.poll() is not None:
            text = self.log_tail()
            self.kill9()
            raise RuntimeError('Postfix did not start:\n' + text)

    def main_pid(self):
        """master itself, below the wrapper if there is one."""
        if not self.wrapper:
            return self.p.pid
        return next((p for p in procs.tree(self.p.pid) if procs.name_of(p) == 'master'), self.p.pid)

    def pids(self):
        return procs.tree(self.p.pid) if self.p else []

    def cpu(self):
        return procs.cpu_seconds(self.main_pid())

    def cpu_by_name(self):
        """Its processes come and go."""
        return {}

    def memory_kb(self):
        return procs.memory_kb(self.main_pid())

    def queue(self):
        """(messages under way, messages deferred)."""
        counts = {}
        for name in ('maildrop', 'incoming', 'active', 'deferred'):
            counts[name] = sum(len(files) for _, _, files in os.walk(os.path.join(self.dir, 'queue', name)))
        deferred = counts.pop('deferred')
        return sum(counts.values()), deferred

    def retry_all(self):
        """Tries everything now that is deferred."""
        subprocess.run([self.root + '/usr/sbin/postqueue', '-f'], env=self._env(), cwd=self.dir + '/queue', check=True)

    def log_tail(self, lines=12):
        out = []
        for n in ('master', 'maillog'):
            try:
                with open(os.path.join(self.dir, 'log', n), errors='replace') as f:
                    out += f.read().splitlines()[-lines:]
            except OSError:
                pass
        return '\n'.join(out)

    def stop(self):
        if self.p is None:
            return
        pids = procs.tree(self.p.pid)
        try:
            os.kill(self.main_pid(), 15)
        except ProcessLookupError:
            pass
        procs.wait_until(lambda: self.p.poll() is not None and not procs.alive(pids), 10, 0.05)
        self.kill9()

    def kill9(self):
        """Ends what is left, also what master left behind."""
        pids = procs.kill_tree(self.p.pid)
        self.p.wait()
        procs.wait_until(lambda: not procs.alive(pids), 5)
        self.err.close()
        self.p = None

    def cleanup(self):
        shutil.rmtree(self.dir, ignore_errors=True)
