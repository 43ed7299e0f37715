"""Processes, ports and scratch folders for bench/compare, bench/demo and the system tests."""
import os
import signal
import socket
import sys
import tempfile
import time

TICK = os.sysconf('SC_CLK_TCK')
NOBODY = 65534


def demote():
    """Arguments for Popen: what root starts runs as nobody."""
    return {} if os.getuid() else dict(user=NOBODY, group=NOBODY, extra_groups=[])


def _stat(pid):
    """Fields of /proc/PID/stat from the state on; None when it has gone."""
    try:
        with open('/proc/%d/stat' % pid) as f:
            return f.read().rsplit(')', 1)[1].split()
    except (OSError, IndexError):
        return None


def name_of(pid):
    try:
        with open('/proc/%d/comm' % pid) as f:
            return f.read().strip()
    except OSError:
        return ''


def tree(pid):
    """pid and all its descendants that are alive now."""
    children = {}
    for d in os.listdir('/proc'):
        if d.isdigit():
            s = _stat(int(d))
            if s and s[0] != 'Z':
                children.setdefault(int(s[1]), []).append(int(d))
    out, todo = [], [pid]
    while todo:
        p = todo.pop()
        if _stat(p):
            out.append(p)
        todo += children.get(p, [])
    return out


def cpu_seconds(pid):
    """User and system time of pid, its descendants, and those of them that have ended and were waited for."""
    total = 0
    for p in tree(pid):
        s = _stat(p)
        if s:
            total += sum(int(x) for x in s[11:15])
    return total / TICK


def fine_cpu_seconds(pid):
    """User and system time of the threads that pid has now, finer than ticks; 0 where the kernel does not say."""
    total = 0
    try:
        for t in os.listdir('/proc/%d/task' % pid):
            with open('/proc/%d/task/%s/schedstat' % (pid, t)) as f:
                total += int(f.read().split()[0])
    except OSError:
        pass
    return total / 1e9


def memory_kb(pid):
    """Memory of pid and its descendants; a page that several share counts once (PSS), else RSS."""
    total = 0
    for p in tree(pid):
        for name, key in (('smaps_rollup', 'Pss:'), ('status', 'VmRSS:')):
            try:
                with open('/proc/%d/%s' % (p, name)) as f:
                    found = [int(line.split()[1]) for line in f if line.startswith(key)]
            except OSError:
                continue
            if found:
                total += found[0]
                break
    return total


def _status_kb(pid, key):
    try:
        with open('/proc/%d/status' % pid) as f:
            return next((int(line.split()[1]) for line in f if line.startswith(key)), 0)
    except OSError:
        return 0


def rss_kb(pids):
    """What these processes have in memory now; shared pages count in each. Cheap enough to ask often."""
    return sum(_status_kb(p, 'VmRSS:') for p in pids)


def peaks_kb(pids):
    """{name: most memory that a process of this name has had}."""
    out = {}
    for p in pids:
        out[name_of(p)] = max(out.get(name_of(p), 0), _status_kb(p, 'VmHWM:'))
    return out


def alive(pids):
    return [p for p in pids if (_stat(p) or 'Z')[0] != 'Z']


def wait_until(condition, timeout, step=0.02):
    """The condition's value once it is true, or its last one after timeout seconds."""
    end = time.monotonic() + timeout
    while True:
        v = condition()
        if v or time.monotonic() > end:
            return v
        time.sleep(step)


def kill_tree(pid):
    """SIGKILL for pid and all its descendants, at once: nothing restarts anything in between."""
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        pass
    pids = tree(pid)
    for p in pids:
        try:
            os.kill(p, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return pids


def free_port(host='127.0.0.1'):
    """A port that nobody has now, below the range from which the system picks ports for clients."""
    low = 32768
    try:
        with open('/proc/sys/net/ipv4/ip_local_port_range') as f:
            low = int(f.read().split()[0])
    except (OSError, ValueError):
        pass
    first = 10000 if low > 12000 else 1025
    for _ in range(200):
        port = first + int.from_bytes(os.urandom(4), 'little') % (low - first) if low > first else 0
        with socket.socket() as s:
            try:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind((host, port))
                return s.getsockname()[1]
            except OSError:
                continue
    raise RuntimeError('no free port on ' + host)


def greets(port, host='127.0.0.1'):
    """Does an SMTP server say 220 there."""
    try:
        with socket.create_connection((host, port), timeout=2) as s:
            ok = s.recv(512).startswith(b'220')
            s.sendall(b'QUIT\r\n')
            s.recv(512)
            return ok
    except OSError:
        return False


def first_greeting(port, timeout=60, host='127.0.0.1'):
    """When an SMTP server that is being started has said 220, by the monotonic clock; None: it did not."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            with socket.create_connection((host, port), timeout=timeout) as s:
                if s.recv(512).startswith(b'220'):
                    now = time.monotonic()
                    s.sendall(b'QUIT\r\n')
                    s.recv(512)
                    return now
        except OSError:
            pass
        time.sleep(0.0005)
    return None


def listens(path):
    """Does somebody listen on this unix socket. Its path may be longer than an address can be."""
    try:
        folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.connect('/proc/self/fd/%d/%s' % (folder, os.path.basename(path)))
            return True
    except OSError:
        return False
    finally:
        os.close(folder)


def _on_disk(path):
    """Not in memory, where a sync costs nothing."""
    best = ('', '')
    with open('/proc/mounts') as f:
        for line in f:
            mount, kind = line.split()[1:3]
            if (path + '/').startswith(mount.rstrip('/') + '/') and len(mount) > len(best[0]):
                best = (mount, kind)
    return best[1] not in ('tmpfs', 'ramfs')


def scratch_dir(prefix):
    """A new folder on a disk ($TMPDIR, /tmp, /var/tmp), open to nobody."""
    top = os.environ.get('TMPDIR')
    if not top:
        top = next((d for d in ('/tmp', '/var/tmp') if os.path.isdir(d) and _on_disk(d)), None)
    d = tempfile.mkdtemp(prefix=prefix, dir=top)
    os.chmod(d, 0o711)
    return d


def reachable_by_others(path):
    """May an unprivileged user execute what is at path."""
    path = os.path.realpath(path)
    while path != '/':
        if not os.stat(path).st_mode & 0o001:
            return False
        path = os.path.dirname(path)
    return True


def end_on_sigterm():
    """SIGTERM becomes KeyboardInterrupt, so that what was started is stopped."""
    def interrupt(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, interrupt)


def die(text, code=1):
    print('%s: %s' % (os.path.basename(sys.argv[0]), text), file=sys.stderr)
    sys.exit(code)
