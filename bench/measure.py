"""Relay workloads: source -> system -> sink."""
import os
import shutil
import time

import procs
import tools
from workload import Failed, Workload

SYNC_CALLS = 'fsync,fdatasync,sync_file_range,msync,sync,syncfs'
WARM_UP = 200
SETTLE_SEC = 3


class Run:
    """A fresh sink and a fresh system. Use with `with`; the last lines of the logs are in what it raises."""

    def __init__(self, place, system, name, sink=(), listen=('127.0.0.1:0',), wrapper=(), smx=None, other=None):
        self.place = place
        self.where = '%s %s' % (system, name)
        self.sink = tools.Sink(place.build, *sink, listen=listen)
        self.expected = 0
        try:
            self.gw = place.system(system, self.sink.port, wrapper, smx, other)
        except BaseException:
            self.sink.close()
            raise

    def __enter__(self):
        try:
            self.gw.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.place.end(self.gw)
        self.sink.close()

    def send(self, n, *args):
        """Sends n messages and waits for them in the sink. Returns the results of both ends."""
        status, sent, said = tools.send(self.place.build, '127.0.0.1:%d' % self.gw.port, '-q', '-m', str(n),
                                        '-f', 'from@bench.test', '-t', 'to@bench.test', *args)
        if status or sent.get('accepted') != n:
            raise Failed('%s: smtp-source ended with %d: %s %s\n%s' % (self.where, status, said, sent.get('errors'),
                                                                      self.gw.log_tail()))
        self.expected += n
        got = self.sink.wait_distinct(self.expected, 30)
        self.check(got)
        return sent, got

    def check(self, got):
        """Nothing lost, nothing twice, nothing changed on the way."""
        if got['distinct'] != self.expected or got['duplicate_recipients'] or got['corrupt'] or got['unidentified']:
            raise Failed('%s: accepted %d, arrived %d, duplicates %d, corrupt %d, without id %d\n%s' % (
                self.where, self.expected, got['distinct'], got['duplicate_recipients'], got['corrupt'], got['unidentified'],
                self.gw.log_tail()))

    def settle(self):
        """Waits until the system has cleaned up behind the last message; that work counts too."""
        settle(self.gw)

    def finish(self):
        """After everything: still nothing twice."""
        self.check(self.sink.query())


def settle(gw):
    end = time.monotonic() + SETTLE_SEC
    last = gw.cpu()
    while time.monotonic() < end:
        time.sleep(0.25)
        now = gw.cpu()
        if now - last < 0.015:
            break
        last = now


class Relay(Workload):
    """sessions send to it, many messages on each connection or one; args: more for smtp-source.

    messages: per run, {system: number}, some seconds for each. setup: more arguments for Run, from the port of the sink.
    """

    def __init__(self, name, text, sessions, many, messages=None, args=(), family='relay', runs=3, counts_syncs=True,
                 **setup):
        super().__init__(name, text)
        self.sessions, self.many, self.family, self.setup = sessions, many, family, setup
        self.runs, self.counts_syncs = runs, counts_syncs
        self.messages = dict({'smx': 20000, 'postfix': 3000}, **(messages or {}))
        self.args = ['-s', str(sessions), *(['-d'] if many else []), *args]

    def count(self, place, system):
        n = self.messages[system]
        return max(min(n, 500), n // 5) if place.quick else n

    def start(self, place, system, wrapper=()):
        return Run(place, system, self.name, wrapper=wrapper, **self.setup)

    def run(self, place, system):
        n = self.count(place, system)
        with self.start(place, system) as r:
            r.send(min(max(WARM_UP, self.sessions), n), *self.args)
            r.settle()
            before, parts, opened = r.gw.cpu(), r.gw.cpu_by_name(), r.sink.query()['sessions_total']
            sent, got = r.send(n, *self.args)
            memory = r.gw.memory_kb()
            r.settle()
            cpu = r.gw.cpu() - before
            parts = {'%s_cpu_s_per_1000' % k: (v - parts[k]) / n * 1000 for k, v in r.gw.cpu_by_name().items()}
            r.finish()
            return dict(sessions=self.sessions, messages=n, cpu_s_per_1000=cpu / n * 1000, **parts,
                        accepted_per_s=n / (sent['end_monotonic_s'] - sent['begin_monotonic_s']),
                        delivered_per_s=n / (got['last_monotonic_s'] - sent['begin_monotonic_s']),
                        connections_per_message=(got['sessions_total'] - opened) / n, rss_kb=memory)

    def syncs(self, place, system):
        if not self.counts_syncs:
            return None, None
        n = max(min(500, self.count(place, system)), self.count(place, system) // 4)
        if not shutil.which('strace'):
            return self.syncs_from_stats(place, system, n)
        with counted_syncs() as (wrapper, count), self.start(place, system, wrapper) as r:
            r.send(min(max(WARM_UP, self.sessions), n), *self.args)
            r.settle()
            before = count()
            r.send(n, *self.args)
            r.settle()
            return (count() - before) / n, 'strace'

    def syncs_from_stats(self, place, system, n):
        if system != 'smx':
            return None, None
        with self.start(place, system) as r:
            r.send(min(max(WARM_UP, self.sessions), n), *self.args)
            before = r.gw.syncs()
            r.send(n, *self.args)
            after = r.gw.syncs()
        return ((after - before) / n, 'stats') if None not in (before, after) else (None, None)


class counted_syncs:
    """with counted_syncs() as (wrapper, count): what runs below wrapper is counted by count()."""

    def __enter__(self):
        self.folder = procs.scratch_dir('smx-strace-')
        os.chmod(self.folder, 0o777)
        self.log = os.path.join(self.folder, 'syncs')
        wrapper = ['strace', '-f', '-qq', '--seccomp-bpf', '-e', 'trace=' + SYNC_CALLS, '-e', 'signal=none', '-A', '-o', self.log]
        return wrapper, self.count

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def count(self):
        with open(self.log, errors='replace') as f:
            return sum(1 for line in f if 'sync' in line and 'resumed' not in line)
