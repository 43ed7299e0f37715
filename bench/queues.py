"""Workloads about mail that cannot go now: a dead destination, a million deferred recipients."""
import contextlib
import os
import resource
import shutil
import statistics
import subprocess
import time

import measure
import procs
import tools
from workload import Failed, Workload

RETRY_SEC = 14400  # nothing comes due by itself
WAIT_SEC = 7200


def reaped_cpu():
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime


class Queue:
    """A system whose only destination is a port that may be dead. Use with `with`."""

    def __init__(self, place, system, name, wrapper=(), smx=None, other=None):
        self.place, self.where = place, '%s %s' % (system, name)
        self.port = procs.free_port()
        smx = dict(dict(retry_min=RETRY_SEC, retry_max=RETRY_SEC), **(smx or {}))
        self.gw = place.system(system, self.port, wrapper, smx, other)
        self.sink = None

    def __enter__(self):
        try:
            self.gw.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.place.end(self.gw)
        if self.sink:
            self.sink.close()

    def fill(self, n, *args):
        """Sends n messages; returns smtp-source's results."""
        status, sent, said = tools.send(self.place.build, '127.0.0.1:%d' % self.gw.port, '-q', '-m', str(n),
                                        '-f', 'from@bench.test', '-t', 'to@bench.test', *args)
        if status or sent.get('accepted') != n:
            raise Failed('%s: smtp-source ended with %d: %s %s\n%s' % (self.where, status, said, sent.get('errors'),
                                                                      self.gw.log_tail()))
        return sent

    def wait_deferred(self, n):
        """Until n recipients (Postfix: messages) are deferred and nothing is under way."""
        if not procs.wait_until(lambda: self.gw.queue() == (0, n), WAIT_SEC, 0.1):
            raise Failed('%s: not all deferred: %s of %d\n%s' % (self.where, self.gw.queue(), n, self.gw.log_tail()))

    def start_again(self):
        """After a stop: seconds from the exec of the first program to the greeting of the first client."""
        begin = time.monotonic()
        self.gw.start(wait=False)
        greeted = procs.first_greeting(self.gw.port)
        if greeted is None:
            raise Failed('%s: no greeting after a restart\n%s' % (self.where, self.gw.log_tail()))
        self.gw.wait_up()
        return greeted - begin

    def restart(self, times=1):
        """Returns (median seconds from the start to the greeting, CPU seconds for stopping and starting once)."""
        seconds, cpu = [], []
        for _ in range(times):
            before, reaped = self.gw.cpu(), reaped_cpu()
            self.gw.stop()
            stop_cpu = max(0, reaped_cpu() - reaped - before)
            seconds.append(self.start_again())
            measure.settle(self.gw)
            cpu.append(stop_cpu + self.gw.cpu())
        return statistics.median(seconds), statistics.median(cpu)


class Dead(Workload):
    """Accept and defer for a dead destination, restart, drain when it is back.

    Both try again only when they are told to, at the begin of the drain.
    """

    family = 'dead'
    messages = 20000
    restarts = 7
    args = ('-s', '20', '-d')

    def count(self, place):
        return self.messages // 10 if place.quick else self.messages

    def defer(self, q, n):
        """Figures of the first phase."""
        settled = q.gw.cpu()
        sent = q.fill(n, *self.args)
        q.wait_deferred(n)
        seconds = time.monotonic() - sent['begin_monotonic_s']
        measure.settle(q.gw)
        return dict(accepted_per_s=n / (sent['end_monotonic_s'] - sent['begin_monotonic_s']), defer_s=seconds,
                    defer_cpu_s_per_1000=(q.gw.cpu() - settled) / n * 1000)

    def drain(self, q, n):
        """Figures of the last phase: the destination is back, everything is tried at once."""
        q.sink = tools.Sink(q.place.build, listen=('127.0.0.1:%d' % q.port,))
        before, begin = q.gw.cpu(), time.monotonic()
        q.gw.retry_all()
        got = q.sink.wait_distinct(n, 60)
        if got['distinct'] != n or got['duplicates'] or got['corrupt']:
            raise Failed('%s: %d deferred, %d arrived, %d duplicates, %d corrupt\n%s' % (
                q.where, n, got['distinct'], got['duplicates'], got['corrupt'], q.gw.log_tail()))
        seconds = got['last_monotonic_s'] - begin
        measure.settle(q.gw)
        return dict(drain_s=seconds, delivered_per_s=n / seconds, drain_cpu_s_per_1000=(q.gw.cpu() - before) / n * 1000)

    def run(self, place, system):
        n = self.count(place)
        with Queue(place, system, self.name) as q:
            row = dict(sessions=20, messages=n, **self.defer(q, n))
            restart_s, cpu = q.restart(self.restarts)
            row.update(restart_s=restart_s, restart_cpu_s_per_1000=cpu / n * 1000, rss_kb=q.gw.memory_kb())
            row.update(self.drain(q, n))
            row['cpu_s_per_1000'] = sum(row[k + '_cpu_s_per_1000'] for k in ('defer', 'restart', 'drain'))
            return row

    def syncs(self, place, system):
        if not shutil.which('strace'):
            return None, None
        n = self.count(place) // 10
        with measure.counted_syncs() as (wrapper, count), Queue(place, system, self.name, wrapper) as q:
            before = count()
            self.defer(q, n)
            q.restart()
            self.drain(q, n)
            return (count() - before) / n, 'strace'


class Million(Workload):
    """So many deferred recipients: start-up, memory, what scheduling costs, mailq. smX alone: Postfix takes hours."""

    family = 'backlog'
    systems = ('smx',)
    idle_sec = 8
    due = 5000      # recipients that come due: their host is there and says 450 to each
    due_sec = 10    # after so long; the first to be tried again waits until the last was tried once
    busy = 'busy.bench.test'

    def __init__(self, name, text, messages, rcpts, long=False):
        super().__init__(name, text)
        self.messages, self.rcpts, self.long = messages, rcpts, long

    def qmgr(self, q):
        return q.gw.components()['qmgr']

    def due_cost(self, q):
        """CPU microseconds of qmgr for one recipient that comes due and is deferred again."""
        n = max(1, self.due // self.rcpts)
        count, deferred = n * self.rcpts, q.gw.stats()['deferred']
        quiet = self.quiet_cost(q)
        q.fill(n, '-s', '5', '-d', '-r', str(self.rcpts), '-t', 'to@' + self.busy)
        self.wait_tried(q, deferred + count)
        measure.settle(q.gw)
        before = procs.fine_cpu_seconds(self.qmgr(q))
        time.sleep(self.due_sec * 1.5)
        spent = procs.fine_cpu_seconds(self.qmgr(q)) - before
        self.wait_tried(q, deferred + 2 * count)
        return (spent - quiet / 1e3 * self.due_sec * 1.5) / count * 1e6

    def wait_tried(self, q, count):
        if not procs.wait_until(lambda: q.gw.stats()['deferred'] >= count, 60, 0.1):
            raise Failed('%s: not all was tried: %s\n%s' % (q.where, q.gw.stats(), q.gw.log_tail()))

    def quiet_cost(self, q):
        """CPU milliseconds of qmgr in a second in which nothing is due."""
        before = procs.fine_cpu_seconds(self.qmgr(q))
        time.sleep(self.idle_sec)
        return (procs.fine_cpu_seconds(self.qmgr(q)) - before) / self.idle_sec * 1e3

    def list_queue(self, q, rcpts):
        """mailq: (seconds to the first row, to the last, peak memory of qmgr in KB)."""
        begin = time.monotonic()
        p = subprocess.Popen([os.path.join(q.gw.bin, 'mailq')], cwd=q.gw.spool, stdout=subprocess.PIPE, **procs.demote())
        p.stdout.readline()  # the heading
        p.stdout.readline()
        first = time.monotonic() - begin
        seen = sum(1 for line in p.stdout if b'<' in line)
        if p.wait() or seen < rcpts:
            raise Failed('%s: mailq ended with %d after %d of %d recipients' % (q.where, p.returncode, seen, rcpts))
        return first, time.monotonic() - begin

    def run(self, place, system):
        with contextlib.closing(tools.Sink(place.build, '--fail', 'rcpt:450')) as busy:
            return self.run_beside(place, system, busy.port)

    def run_beside(self, place, system, busy_port):
        n = max(1, self.messages // 10) if place.quick else self.messages
        rcpts = n * self.rcpts
        mt = '%s %d^esmtp:[127.0.0.1]\n. esmtp:[127.0.0.1]\n' % (self.busy, busy_port)
        smx = dict(files=dict(mt=mt))
        with Queue(place, system, self.name, smx=dict(smx, retry_min=self.due_sec, retry_max=self.due_sec)) as q:
            empty = self.due_cost(q)
        with Queue(place, system, self.name, smx=smx) as q:
            before = q.gw.cpu()
            sent = q.fill(n, '-s', '20', '-d', '-N', '-r', str(self.rcpts))
            q.wait_deferred(rcpts)
            row = dict(sessions=20, messages=n, recipients=rcpts, defer_s=time.monotonic() - sent['begin_monotonic_s'],
                       accepted_per_s=n / (sent['end_monotonic_s'] - sent['begin_monotonic_s']),
                       cpu_s_per_1000=(q.gw.cpu() - before) / n * 1000, fill_peak_kb=procs.peaks_kb(q.gw.pids())['qmgr'])
            self.measure_backlog(q, row, rcpts)
            row.update(due_empty_usec=empty)
            return row

    def measure_backlog(self, q, row, rcpts):
        """What is there is kept over a restart; what comes from now on is tried again soon."""
        q.gw.options.update(retry_min=self.due_sec, retry_max=self.due_sec)
        q.gw.stop()
        q.gw.write_conf()
        row['restart_s'] = q.start_again()
        measure.settle(q.gw)
        row['rss_kb'] = procs.rss_kb([self.qmgr(q)])
        row['quiet_cpu_ms_per_s'] = self.quiet_cost(q)
        row['mailq_first_s'], row['mailq_all_s'] = self.list_queue(q, rcpts)
        row['due_usec'] = self.due_cost(q)
        row['peak_kb'] = procs.peaks_kb(q.gw.pids())['qmgr']
        if q.gw.queue()[1] < rcpts:
            raise Failed('%s: %s of %d recipients are left' % (q.where, q.gw.queue(), rcpts))
