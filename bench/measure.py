"""One measured run of a mail system: source -> system -> sink."""
import os
import shutil
import statistics
import time

import gateway
import postfix
import procs
import tools

# name: (sessions, many messages per connection, what it is)
WORKLOADS = {
    'W1': (20, False, '20 sessions, one message each connection'),
    'W2': (20, True, '20 sessions, many messages each connection'),
    'W5': (100, False, '100 sessions, one message each connection'),
    'W52': (100, True, '100 sessions, many messages each connection'),
    'Wx': (1, True, '1 session, many messages'),
}

# messages per run: some seconds for each system
MESSAGES = {'smx': {'Wx': 3000}, 'postfix': {'Wx': 1000}}
MESSAGES_DEFAULT = {'smx': 20000, 'postfix': 3000}
SYNC_CALLS = 'fsync,fdatasync,sync_file_range,msync,sync,syncfs'
WARM_UP = 200
SETTLE_SEC = 3


class Failed(Exception):
    pass


def message_count(system, workload, quick):
    n = MESSAGES[system].get(workload, MESSAGES_DEFAULT[system])
    return max(500, n // 5) if quick else n


def make(system, build, sink_port, wrapper=()):
    if system == 'smx':
        return gateway.Gateway(build, sink_port, wrapper=wrapper)
    return postfix.Postfix(os.path.join(build, 'bench'), sink_port, wrapper=wrapper)


class Run:
    """A fresh sink and a fresh system, warmed up. Use with `with`."""

    def __init__(self, system, workload, build, wrapper=(), keep=False):
        self.sessions, self.many, _ = WORKLOADS[workload]
        self.build, self.keep = build, keep
        self.where = '%s %s' % (system, workload)
        self.sink = tools.Sink(build)
        try:
            self.gw = make(system, build, self.sink.port, wrapper)
        except BaseException:
            self.sink.close()
            raise

    def __enter__(self):
        try:
            self.gw.start()
            self.expected = 0
            self.send(WARM_UP)
            self.settle()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.gw.stop()
        if self.keep:
            print('kept: %s' % self.gw.dir)
        else:
            self.gw.cleanup()
        self.sink.close()

    def send(self, n):
        """Sends n messages and waits for them in the sink. Returns the results of both ends."""
        args = ['-q', '-s', str(self.sessions), '-m', str(n), '-l', '1024', '-f', 'from@bench.test', '-t', 'to@bench.test']
        status, sent, said = tools.send(self.build, '127.0.0.1:%d' % self.gw.port, *args, *(['-d'] if self.many else []))
        if status or sent.get('accepted') != n:
            raise Failed('%s: smtp-source ended with %d: %s %s\n%s' % (self.where, status, said, sent.get('errors'),
                                                                      self.gw.log_tail()))
        self.expected += n
        got = self.sink.wait_distinct(self.expected, 30)
        self.check(got)
        return sent, got

    def check(self, got):
        """Nothing lost, nothing twice, nothing changed on the way."""
        if got['distinct'] != self.expected or got['duplicates'] or got['corrupt'] or got['unidentified']:
            raise Failed('%s: accepted %d, arrived %d, duplicates %d, corrupt %d, without id %d\n%s' % (
                self.where, self.expected, got['distinct'], got['duplicates'], got['corrupt'], got['unidentified'],
                self.gw.log_tail()))

    def settle(self):
        """Waits until the system has cleaned up behind the last message; that work counts too."""
        end = time.monotonic() + SETTLE_SEC
        last = self.gw.cpu()
        while time.monotonic() < end:
            time.sleep(0.25)
            now = self.gw.cpu()
            if now - last < 0.015:
                break
            last = now

    def finish(self):
        """After everything: still nothing twice."""
        self.check(self.sink.query())


def measure(system, workload, build, n, keep=False):
    with Run(system, workload, build, keep=keep) as r:
        before = r.gw.cpu()
        sent, got = r.send(n)
        memory = r.gw.memory_kb()
        r.settle()
        cpu = r.gw.cpu() - before
        r.finish()
        return dict(cpu_s_per_1000=cpu / n * 1000,
                    accepted_per_s=n / (sent['end_monotonic_s'] - sent['begin_monotonic_s']),
                    delivered_per_s=n / (got['last_monotonic_s'] - sent['begin_monotonic_s']),
                    rss_kb=memory)


def _count_syncs(path):
    with open(path, errors='replace') as f:
        return sum(1 for line in f if 'sync' in line and 'resumed' not in line)


def syncs_per_message(system, workload, build, n):
    """(calls per message, how they were counted) of a run of their own; (None, None) when it cannot be known."""
    if not shutil.which('strace'):
        if system != 'smx':
            return None, None
        with Run(system, workload, build) as r:
            before = r.gw.syncs()
            r.send(n)
            after = r.gw.syncs()
        return ((after - before) / n, 'stats') if None not in (before, after) else (None, None)
    folder = procs.scratch_dir('smx-strace-')
    os.chmod(folder, 0o777)
    log = os.path.join(folder, 'syncs')
    try:
        wrapper = ['strace', '-f', '-qq', '--seccomp-bpf', '-e', 'trace=' + SYNC_CALLS, '-e', 'signal=none', '-o', log]
        with Run(system, workload, build, wrapper=wrapper) as r:
            before = _count_syncs(log)
            r.send(n)
            r.settle()
            return (_count_syncs(log) - before) / n, 'strace'
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def median(rows):
    return {k: statistics.median(r[k] for r in rows) for k in rows[0]}
