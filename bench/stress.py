"""Workloads about what a system bears: hostile clients, idle sessions, a slow next hop, huge messages."""
import json
import os
import socket
import subprocess
import sys
import threading
import time

import measure
import procs
import tools
from workload import Failed, Workload

HERE = os.path.dirname(os.path.abspath(__file__))


class Hostile(Workload):
    """A good client's time for a transaction, from its connection to the 250, with and without hostile clients."""

    family = 'hostile'
    rate = 2000     # hostile connections a second
    seconds = 20
    good = 50       # good messages a second

    def good_client(self, r, seconds):
        """A number of messages, not a time: at the end of a time one or two may be under way and count for nothing.

        What is refused or not answered is tried again, so it is counted here; what gets a 250 must arrive.
        """
        n = self.good * seconds
        args = ['-q', '-s', '20', '-m', str(n), '--time', '%ds' % (seconds + 60), '--tolerant', '-R', '%d/s' % self.good,
                '-f', 'from@bench.test', '-t', 'to@bench.test']
        status, sent, said = tools.send(r.place.build, '127.0.0.1:%d' % r.gw.port, *args)
        if not sent.get('accepted'):
            raise Failed('%s: the good client sent nothing: %d %s %s' % (r.where, status, said, sent.get('errors')))
        r.expected += sent['accepted']
        sent['turned_away'] = sum(sent[k] for k in ('tempfailed', 'rejected', 'rcpt_tempfailed', 'rcpt_rejected',
                                                    'connect_failed', 'lost', 'closed_by_421'))
        if sent['turned_away']:
            print('%s: the good client: %s' % (r.where, sent['errors']))
        return sent

    def run(self, place, system):
        seconds = 4 if place.quick else self.seconds
        with measure.Run(place, system, self.name) as r:
            r.send(measure.WARM_UP, '-s', '20')
            quiet = self.good_client(r, seconds)
            before = r.gw.cpu()
            p = subprocess.Popen([sys.executable, os.path.join(HERE, 'noise.py'), str(r.gw.port), str(self.rate),
                                  str(seconds + 2)], stdout=subprocess.PIPE)
            try:
                time.sleep(1)
                loud = self.good_client(r, seconds)
                noise = json.loads(p.communicate(timeout=60)[0])
            finally:
                p.kill()
                p.wait()
            memory = r.gw.memory_kb()
            self.arrived(r, quiet, loud)
            measure.settle(r.gw)
            cpu = r.gw.cpu() - before
        return dict(sessions=20, messages=loud['accepted'], accepted_per_s=loud['accepted'] / loud['seconds'], rss_kb=memory,
                    hostile_per_s=noise['per_s'], hostile_cpu_s_per_1000=cpu / max(1, noise['opened']) * 1000,
                    good_share=loud['accepted'] / (self.good * seconds), turned_away=loud['turned_away'],
                    quiet_p50_ms=quiet['latency_ms']['p50'], quiet_p99_ms=quiet['latency_ms']['p99'],
                    p50_ms=loud['latency_ms']['p50'], p99_ms=loud['latency_ms']['p99'],
                    p50_factor=loud['latency_ms']['p50'] / quiet['latency_ms']['p50'],
                    p99_factor=loud['latency_ms']['p99'] / quiet['latency_ms']['p99'])

    @staticmethod
    def arrived(r, *runs):
        """What got a 250 is there, once. What was sent whole and never answered may be there too."""
        got, unknown = r.sink.wait_distinct(r.expected, 30), sum(s['unknown'] for s in runs)
        if not r.expected <= got['distinct'] <= r.expected + unknown or got['duplicate_recipients'] or got['corrupt']:
            raise Failed('%s: accepted %d, unknown %d, arrived %d, duplicates %d, corrupt %d' % (
                r.where, r.expected, unknown, got['distinct'], got['duplicate_recipients'], got['corrupt']))


class Idle(Workload):
    """Memory of sessions that have said EHLO and wait, all processes of the system together."""

    family = 'idle'

    def __init__(self, name, text, sessions):
        super().__init__(name, text)
        self.sessions = sessions

    def open(self, r):
        s = socket.create_connection(('127.0.0.1', r.gw.port), timeout=60)
        with s.makefile('rwb') as f:
            if not f.readline().startswith(b'220'):
                raise Failed('%s: no greeting' % r.where)
            f.write(b'EHLO idle.bench.test\r\n')
            f.flush()
            line = f.readline()
            while line.startswith(b'250-'):
                line = f.readline()
            if not line.startswith(b'250 '):
                raise Failed('%s: EHLO was answered %r' % (r.where, line))
        return s

    def run(self, place, system):
        # One process is one session in Postfix; a few show what each costs.
        n = min(self.sessions, 200) if system == 'postfix' else min(self.sessions, 1000 if place.quick else self.sessions)
        with measure.Run(place, system, self.name, smx=dict(smtps='max_sessions = 100000;')) as r:
            r.send(measure.WARM_UP, '-s', '20')
            measure.settle(r.gw)
            before, cpu = r.gw.memory_kb(), r.gw.cpu()
            clients = []
            try:
                begin = time.monotonic()
                for _ in range(n):
                    clients.append(self.open(r))
                seconds, cpu = time.monotonic() - begin, r.gw.cpu() - cpu
                measure.settle(r.gw)
                after = r.gw.memory_kb()
            finally:
                for c in clients:
                    c.close()
        return dict(sessions=n, messages=0, rss_kb=after, kb_per_session=(after - before) / n, opened_per_s=n / seconds,
                    open_cpu_s_per_1000=cpu / n * 1000)


class Feedback(Workload):
    """A next hop that takes 100 messages a second while 5,000 a second are offered; then it recovers."""

    family = 'feedback'
    offered, slow = 5000, 100
    seconds = {'smx': 60, 'postfix': 20}  # Postfix piles up what it accepts, which then has to be delivered
    aq = 20000      # so small that it is full after some seconds
    recovery_sec = 20

    def run(self, place, system):
        seconds = 10 if place.quick else self.seconds[system]
        other = 'qmgr_message_active_limit = %d\nqmgr_message_recipient_limit = %d\n' % (self.aq, self.aq)
        with measure.Run(place, system, self.name, sink=('--limit', '%d/s' % self.slow), smx=dict(aq=self.aq),
                         other=dict(more=other)) as r:
            r.sink.toggle_limit()
            free = self.free_rate(r)
            r.sink.toggle_limit()
            return dict(sessions=100, messages=0, free_per_s=free, **self.squeeze(r, seconds, free))

    def offer(self, r, seconds):
        return tools.Source(r.place.build, '127.0.0.1:%d' % r.gw.port, '-q', '-s', '100', '-d', '-m', '0',
                            '--time', '%ds' % seconds, '--grace', '10s', '--tolerant', '-R', '%d/s' % self.offered,
                            '-f', 'from@bench.test', '-t', 'to@bench.test')

    def free_rate(self, r):
        """Messages a second that arrive when nothing holds them up."""
        status, sent, said = self.offer(r, 5).wait()
        if not sent.get('accepted'):
            raise Failed('%s: nothing was accepted: %d %s %s' % (r.where, status, said, sent.get('errors')))
        r.expected += sent['accepted']
        r.check(r.sink.wait_distinct(r.expected, 30))
        got = r.sink.query()
        return sent['accepted'] / (got['last_monotonic_s'] - sent['begin_monotonic_s'])

    def squeeze(self, r, seconds, free):
        sampler = Sampler(r, 0.25)
        cpu = r.gw.cpu()
        source = self.offer(r, seconds + self.recovery_sec)
        time.sleep(seconds)
        taken = r.sink.query()['distinct'] - r.expected
        released = time.monotonic()
        r.sink.toggle_limit()
        status, sent, said = source.wait(seconds + self.recovery_sec + 60)
        r.expected += sent['accepted']
        # What was sent whole and never answered may have arrived too.
        got = r.sink.wait_distinct(r.expected, 30)
        sampler.stop()
        if not r.expected <= got['distinct'] <= r.expected + sent['unknown'] or got['duplicate_recipients'] or got['corrupt']:
            raise Failed('%s: accepted %d, unknown %d, arrived %d, duplicates %d, corrupt %d\n%s' % (
                r.where, r.expected, sent['unknown'], got['distinct'], got['duplicate_recipients'], got['corrupt'],
                r.gw.log_tail()))
        held = [x for x in sampler.rows if released - seconds / 2 <= x[0] <= released]
        return dict(accepted=sent['accepted'], slow_taken_per_s=taken / seconds,
                    cpu_s_per_1000=(r.gw.cpu() - cpu) / max(1, sent['accepted']) * 1000,
                    tempfailed=sent['tempfailed'], closed_by_421=sent['closed_by_421'], lost_connections=sent['lost'],
                    rss_kb=max(x[1] for x in sampler.rows), half_rss_kb=held[0][1] if held else None,
                    end_rss_kb=held[-1][1] if held else None, recovery_s=sampler.recovery(released, 0.8 * free))


class Sampler:
    """Looks at memory and at the sink again and again, in a thread of its own."""

    def __init__(self, r, step):
        self.r, self.step, self.rows, self.over = r, step, [], threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self):
        while not self.over.wait(self.step):
            now, q = time.monotonic(), self.r.sink.query()
            self.rows.append((now, procs.rss_kb(self.r.gw.pids()), q['distinct']))

    def stop(self):
        self.over.set()
        self.thread.join()

    def recovery(self, since, rate):
        """Seconds after since until in one second so many messages arrived; None: never."""
        span = max(1, round(1 / self.step))
        for a, b in zip(self.rows, self.rows[span:]):
            if b[0] > since and (b[2] - a[2]) / (b[0] - a[0]) >= rate:
                return b[0] - since
        return None


class Huge(Workload):
    """Messages of 100 MB: the most memory that any process of the system needs."""

    family = 'huge'
    size = 100 << 20
    count = 3

    def run(self, place, system):
        size = self.size // 10 if place.quick else self.size
        other = 'message_size_limit = 0\n'
        with measure.Run(place, system, self.name, smx=dict(smtps='max_message_size = 1048576;'), other=dict(more=other)) as r:
            r.send(measure.WARM_UP, '-s', '20')
            before = r.gw.cpu()
            sent, got = r.send(self.count, '-s', '1', '-d', '-l', str(size))
            measure.settle(r.gw)
            peaks = procs.peaks_kb(r.gw.pids())
            r.finish()
            return dict(sessions=1, messages=self.count, bytes=size, peaks_kb=peaks, peak_kb=max(peaks.values()),
                        cpu_s_per_1000=(r.gw.cpu() - before) / self.count * 1000, rss_kb=r.gw.memory_kb(),
                        accepted_per_s=self.count / (sent['end_monotonic_s'] - sent['begin_monotonic_s']),
                        delivered_per_s=self.count / (got['last_monotonic_s'] - sent['begin_monotonic_s']))
