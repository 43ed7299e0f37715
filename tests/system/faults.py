#!/usr/bin/env python3
"""Disks that fail, fill up and are slow, next hops that stall, drop, refuse and die: no mail is lost.

The shim makes calls of qmgr and smtps fail while a switch is on. What cannot be stored gets 451 or 452, the
log says why, mail is accepted again when the trouble is over, and everything with a 250 arrives.

TAP. Details in smxtest.py.
"""
import os
import re
import signal
import time

import diskimage
import smxtest as t

ENDLESS = ('-m', '0', '--time', '1h', '--tolerant', '--timeout', '30s')
FAST = 'smtpc { initial_connections = 20; max_connections = 40; }'
TABLES = FAST + ' DEFEDB { KBytes_written_for_checkpointing = 1; delay_between_2_checkpoints = 0; }'
DEFAULT_LOAD = (('-s', '10', '-R', '300/s', '-d'),)


class Trouble:
    """A gateway under load; finish() proves that nothing is lost."""

    def __init__(self, name, fail='', load=DEFAULT_LOAD, sink=(), log=False, qmgr=FAST, fs_bytes=0, **sections):
        self.name = name
        self.folder = t.tmpdir('faults-' + name)
        self.all_acked = os.path.join(self.folder, 'acked')
        self.shim = t.Shim(os.path.join(self.folder, 'shim'), fail=fail, log=log, fs_bytes=fs_bytes)
        open(self.all_acked, 'w').close()
        self.sink = t.Sink(self.folder, '--acked', self.all_acked, *sink)
        self.g = t.Gateway(self.folder, self.sink.port, shim=self.shim, qmgr=qmgr, **sections).start()
        self.sources = [t.Source(self.folder, self.g.port, *args, *ENDLESS, name='source%d' % i) for i, args in enumerate(load)]

    def acked(self):
        return sum(len(s.acked()) for s in self.sources)

    def more(self, n=50, why='mail is accepted'):
        want = self.acked() + n
        t.until(lambda: self.acked() >= want, '%s: %s' % (self.name, why))

    def fails(self, n=1, switch=1):
        """Turns the trouble on until n calls have failed."""
        want = self.shim.failed + n
        self.shim.switch(switch, True)
        t.until(lambda: self.shim.failed >= want, '%s: %d calls fail' % (self.name, n))

    def over(self, switch=1):
        self.shim.switch(switch, False)

    def kill(self, component):
        pid = self.g.pids()[component]
        os.kill(pid, signal.SIGKILL)
        t.until(lambda: 'component=%s, pid=%d, status=signal 9' % (component, pid) in self.g.log('mcp'), '%s: %s is killed' % (self.name, component))

    def stop_sources(self):
        self.results = [s.stop() for s in self.sources]
        self.errors = sorted({e for r in self.results for e in r['errors']})
        return self.results

    def count(self, field):
        return sum(r[field] for r in self.results)

    def finish(self, duplicates=0, retry=True, killed=False):
        if not hasattr(self, 'results'):
            self.stop_sources()
        self.g.wait_empty(retry=retry)
        self.log = {c: self.g.log(c) for c in ('mcp',) + t.COMPONENTS}
        t.equal(self.g.stop(), 0, '%s: clean stop' % self.name)
        with open(self.all_acked, 'w') as f:
            for s in self.sources:
                f.writelines(line + '\n' for line in s.acked())
        r = self.sink.stop()
        t.ok(r['acked'] > 0 and not r['lost'] and not r['lost_recipients'], '%s: none of %d is lost' % (self.name, r['acked']),
             '%d lost: %s' % (r['lost'], r.get('lost_ids')))
        t.equal(r['corrupt'], 0, self.name + ': none is damaged')
        if duplicates is not None:
            t.ok(r['duplicates'] <= duplicates, '%s: %d arrived twice, at most %d' % (self.name, r['duplicates'], duplicates))
        t.equal(re.findall(r'.*(?:panic|sev=ALERT).*', ''.join(self.log.values())), [], self.name + ': no panic')
        t.equal(re.findall(r'.*func=exit.*%s' % ('it stays down' if killed else ''), self.log['mcp']), [], self.name + ': no program ended')
        t.drop(self.folder)
        return r

    def says(self, component, pattern):
        lines = re.findall('.*%s.*' % pattern, self.log[component])
        t.ok(lines, '%s: the log of %s says why' % (self.name, component), self.log[component][-2000:])


# ---- the disk

def segment_sync_fails():
    x = Trouble('sync', 'sync:EIO:s1:/G:qmgr', log=True)
    x.more()
    for n in range(3):
        x.fails()
        x.over()
        x.more()
    x.stop_sources()
    t.ok(x.count('tempfailed') > 0, 'sync: the batch is refused', x.results)
    t.ok(any('451' in e for e in x.errors) and not any(' 5' in e[:20] for e in x.errors), 'sync: with 451', x.errors)
    records = diskimage.load(x.shim.history)
    failed = [(r.inode, r.begin) for r in records if r.op == diskimage.SYNC and r.mode]
    # A file that is made later may get the number of one that is gone.
    made = [(r.inode, r.begin) for r in records if r.op == diskimage.CREATE]
    again = [r for r in records if r.op == diskimage.SYNC and r.program == 'qmgr'
             and any(r.inode == i and r.begin > b and not any(n == i and b < at < r.begin for n, at in made) for i, b in failed)]
    t.equal(len(failed), x.shim.failed, 'sync: %d syncs failed' % len(failed))
    t.equal(len(again), 0, 'sync: none is tried again on the same file')
    x.finish()
    x.says('qmgr', 'func=segments_sync.*Input/output error')


def large_sync_fails():
    x = Trouble('large', 'sync:EIO:s1:/S:qmgr', load=(('-s', '3', '-R', '30/s', '-l', '200000', '-d'),))
    x.more(20)
    x.fails(2)
    x.over()
    x.more(20)
    x.stop_sources()
    t.ok(x.count('tempfailed') > 0 and any('451' in e for e in x.errors), 'large: refused with 451', x.errors)
    x.finish()
    left = [n for d in '0123456789ABCDEF' for n in os.listdir(x.g.path(d)) if n.startswith('S')] if os.path.isdir(x.g.spool) else []
    t.equal(left, [], 'large: no file is left over')


def segment_is_full():
    """No room for content: 452 while it lasts."""
    x = Trouble('nospace', 'write:ENOSPC:s1::smtps fallocate:ENOSPC:s1::smtps',
                load=DEFAULT_LOAD + (('-s', '2', '-R', '20/s', '-l', '200000', '-d'),))
    x.more()
    x.fails(10)
    t.until(lambda: x.shim.failed > 20, 'nospace: more calls fail')
    x.over()
    x.more(200)
    x.stop_sources()
    t.ok(x.count('tempfailed') > 0, 'nospace: mail is refused', x.results)
    t.ok(any('452' in e for e in x.errors) and not any('451' in e for e in x.errors), 'nospace: with 452', x.errors)
    x.finish()
    x.says('smtps', 'errno=ENOSPC|No space left')


def disk_is_full():
    """Less free than min_disk_space: 452, and back."""
    x = Trouble('full', 'statvfs:ENOSPC:s1::qmgr')
    x.more()
    x.shim.switch(1, True)
    t.until(lambda: 'feedback: 2 (disk)' in x.g.ctl('status'), 'full: qmgr notices')
    t.until(lambda: x.g.log('smtps').count('452 4.3.1') > 10, 'full: sessions that are open get 452')
    before = x.acked()
    t.until(lambda: x.g.log('smtps').count('452 4.3.1') > 50, 'full: and again')
    t.equal(x.acked() - before, 0, 'full: nothing is accepted')
    with t.Client(x.g.port) as c:
        c.want('250', 'EHLO full.test')
        c.want('452 4.3.1', 'MAIL FROM:<a@source.test>')
    t.ok(True, 'full: a new client is told so too')
    x.over()
    t.until(lambda: 'feedback: 0' in x.g.ctl('status'), 'full: qmgr notices that there is room')
    x.more(100)
    x.stop_sources()
    t.ok(any('452 4.3.1' in e for e in x.errors), 'full: clients got 452 4.3.1', x.errors)
    t.ok(not any(re.search(r': 5', e) for e in x.errors), 'full: none was refused for good', x.errors)
    x.finish()
    x.says('qmgr', 'func=feedback, level=2, cause=disk')


def disk_is_full_at_start():
    """The database cannot be opened: qmgr says so and starts by itself when there is room."""
    x = Trouble('start', 'statvfs:ENOSPC:s1::qmgr', load=())
    t.equal(x.g.stop(), 0, 'start: stopped')
    x.shim.switch(1, True)
    x.g.launch()
    t.until(lambda: 'component=qmgr' in x.g.log('mcp') and re.search('func=exit, component=qmgr.*exit 75', x.g.log('mcp')), 'start: qmgr ends')
    t.ok(re.search(r'\d\+\d{4} qmgr: sev=CRIT, database in .*: No space left on device', x.g.log('qmgr')), 'start: its log has time and cause', x.g.log('qmgr')[-500:])
    x.over()
    x.g.wait_ready()
    t.ok(True, 'start: it comes when there is room')
    t.equal(x.g.stop(), 0, 'start: clean stop')
    t.drop(x.folder)


def segment_is_removed():
    """Somebody removes the file that is being written: nothing more is acknowledged in it."""
    x = Trouble('removed', load=())
    segments = lambda: [x.g.path(os.path.join(d, n)) for d in '0123456789ABCDEF' if os.path.isdir(x.g.path(d))
                        for n in os.listdir(x.g.path(d)) if n.startswith('G')]
    with t.Client(x.g.port) as c:
        c.want('250', 'EHLO removed.test')
        t.ok(c.send(b'Subject: x\r\n\r\none\r\n.\r\n').startswith('250'), 'removed: mail is accepted')
        x.g.wait_empty()
        for path in segments():
            os.unlink(path)
        t.ok(c.send(b'Subject: x\r\n\r\ntwo\r\n.\r\n').startswith('451'), 'removed: the next message gets 451')

        def accepted():
            r = c.send(b'Subject: x\r\n\r\nthree\r\n.\r\n')
            t.ok(r[:3] in ('250', '451'), 'removed: another segment: ' + r)
            return r.startswith('250')
        t.until(accepted, 'removed: mail is accepted again', step=.1)
    x.g.wait_empty()
    t.equal(x.g.stop(), 0, 'removed: clean stop')
    x.log = {'qmgr': x.g.log('qmgr')}  # all of it is written now
    x.says('qmgr', 'func=segments_sync.*No such file')
    t.ok(x.sink.stop()['messages'] >= 2, 'removed: both arrived')
    t.drop(x.folder)


def database_log(error, code):
    name = 'wal-' + error
    x = Trouble(name, 'write:%s:s1:/ibdb/:qmgr sync:%s:s1:/ibdb/:qmgr' % (error, error))
    x.more()
    for n in range(2):
        x.fails(2)
        t.until(lambda: x.g.stats().get('db_errors', 0) > n, name + ': qmgr counts it')
        one = t.Source(x.folder, x.g.port, '-m', '3', name='probe%d' % n).wait()
        t.ok(one['accepted'] == 0 and any(code in e for e in one['errors']), '%s: refused with %s' % (name, code), one)
        x.over()
        x.more(100)
    x.finish(duplicates=100)
    x.says('qmgr', 'database write failed')
    x.says('qmgr', 'database is back')


def database_log_fails():
    database_log('EIO', '451')


def database_log_is_full():
    database_log('ENOSPC', '452')


def database_tables(error, code):
    """Table files, MANIFEST and CURRENT cannot be made: qmgr lives, and comes when it is started meanwhile."""
    name = 'tables-' + error
    x = Trouble(name, ' '.join('%s:%s:s1:/defedb/:qmgr' % (call, error) for call in ('write', 'open', 'sync')), qmgr=TABLES)
    x.more()
    for n in range(2):
        x.fails(2)
        t.until(lambda: x.g.stats().get('db_errors', 0) > n, name + ': qmgr counts it')
        one = t.Source(x.folder, x.g.port, '-m', '3', name='probe%d' % n).wait()
        t.ok(one['accepted'] == 0 and any(code in e for e in one['errors']), '%s: refused with %s' % (name, code), one)
        x.over()
        x.more(100)
    x.fails(2)
    x.stop_sources()
    x.kill('qmgr')
    t.until(lambda: re.search('func=exit, component=qmgr.*exit 75', x.g.log('mcp')), name + ': qmgr is tried again')
    x.over()
    x.g.wait_ready()
    x.finish(duplicates=None, killed=True)
    x.says('qmgr', 'database write failed')
    x.says('qmgr', 'database is back')
    x.says('qmgr', 'sev=CRIT, database in .*; qmgr tries again')


def database_tables_fail():
    database_tables('EIO', '451')


def database_tables_are_full():
    database_tables('ENOSPC', '452')


# What fails: its process, and the rules; %s is the error, sK its switch.
EVERY = (
    ('smtps', 'open', 'open:%s:sK:/G:smtps open:%s:sK:/S:smtps'),
    ('smtps', 'write', 'write:%s:sK::smtps'),
    ('smtps', 'sync', 'sync:%s:sK::smtps'),
    ('smtps', 'fallocate', 'fallocate:%s:sK::smtps'),
    ('qmgr', 'sync of segments', 'sync:%s:sK:/G:qmgr'),
    ('qmgr', 'write of marks', 'write:%s:sK:/M:qmgr'),
    ('qmgr', 'open and write of the database', 'open:%s:sK:/defedb/:qmgr write:%s:sK:/defedb/:qmgr write:%s:sK:/ibdb/:qmgr'),
    ('qmgr', 'unlink', 'unlink:%s:sK::qmgr unlink:%s:sK::smtps'),
)


def every(error):
    """One after the other under load, then all of a process while it is killed: replies are 250 or 45x, all of it arrives."""
    rules = ' '.join(r.replace('%s', error).replace('sK', 's%d' % k) for k, (_, _, r) in enumerate(EVERY, 1))
    x = Trouble('every-' + error, rules, load=DEFAULT_LOAD + (('-s', '2', '-R', '20/s', '-l', '3000000', '-d'),), qmgr=TABLES, fs_bytes=64 << 20)
    x.more()
    for k, (component, name, _) in enumerate(EVERY, 1):
        x.fails(switch=k)
        x.over(k)
        x.more(30, '%s after %s of %s' % (error, name, component))
        t.ok(True, 'every-%s: mail is accepted again after %s of %s' % (error, name, component))
    for component in 'smtps', 'qmgr':
        mine = [k for k, row in enumerate(EVERY, 1) if row[0] == component]
        for k in mine:
            x.shim.switch(k, True)
        x.kill(component)
        x.fails(3, switch=mine[0])
        for k in mine:
            x.over(k)
        x.more(30, 'mail is accepted after %s was killed while %s lasted' % (component, error))
    x.stop_sources()
    t.equal([e for e in x.errors if re.search(r': 5\d\d', e)], [], 'every-%s: none is refused for good' % error)
    x.finish(duplicates=None, killed=True)


def every_call_fails():
    every('EIO')


def every_call_is_full():
    every('ENOSPC')


def slow_syncs():
    """5 ms for each sync: batches grow, the number of syncs does not."""
    x = Trouble('slow', load=(('-s', '100', '-l', '1000'),))
    x.shim.slow(5000)
    x.more(500)
    n, syncs, begin = x.acked(), x.shim.syncs, time.monotonic()
    x.more(4000 if t.SLOW else 2000)
    n, syncs, took = x.acked() - n, x.shim.syncs - syncs, time.monotonic() - begin
    t.diag('%d messages/s, %.3f syncs per message' % (n / took, syncs / n))
    t.ok(syncs <= 0.2 * n, 'slow: %.3f syncs per message at 100 sessions, at most 0.2' % (syncs / n))
    x.shim.slow(0)
    x.finish()


def stalled_sync():
    """A sync that does not come back: clients are slowed down, then not let in, until it does."""
    x = Trouble('stalled')
    x.more(100)
    x.shim.slow(7000000)

    def level():
        s = x.g.stats()
        return s['feedback_level'], s['feedback_cause']['cause=commit']
    t.until(lambda: level() == (1, 1), 'stalled: level slow')
    t.until(lambda: level() == (2, 1), 'stalled: level stop')
    x.shim.slow(0)
    t.until(lambda: level() == (0, 0), 'stalled: level free')
    x.more(200)
    x.finish()
    x.says('qmgr', 'func=feedback, level=2, cause=commit')


# ---- the next hop

def hop_misbehaves():
    """Every stage fails now and then, in every way."""
    x = Trouble('hop', sink=('--fail', 'connect:421:1/20', '--fail', 'helo:421:1/20', '--fail', 'mail:450:1/20', '--fail', 'rcpt:451:1/20',
                             '--fail', 'data:452:1/30', '--fail', 'dot:450:1/20', '--drop', 'body:1/40', '--drop', 'dot:1/40',
                             '--drop', 'accepted:1/60', '--drop', 'mail:1/60', '--stall', 'dot:1/200', '--stall', 'data:1/200',
                             '--stall', 'rcpt:1/200', '--stall', 'connect:1/50'),
                load=(('-s', '10', '-R', '200/s', '-d'), ('-s', '2', '-R', '20/s', '-r', '4', '-l', '20000', '-d')),
                smtpc='io_timeout = 2s;')
    x.more(600)
    x.stop_sources()
    t.equal(x.count('tempfailed') + x.count('rejected'), 0, 'hop: clients see nothing of it')
    r = x.finish(duplicates=None)
    for what in ('tempfailed', 'dropped', 'stalled'):
        t.ok(r[what] > 0, 'hop: %d %s' % (r[what], what))
    # A connection that is cut after the message counted leaves no choice but to send it again.
    bound = 4 * (r['messages'] // 60 + 1)
    t.ok(r['duplicate_recipients'] <= bound, 'hop: %d recipients got it twice, at most %d' % (r['duplicate_recipients'], bound))


def hop_is_dead():
    """The next hop goes away and comes back: mail is accepted meanwhile, waits, and is sent without help."""
    x = Trouble('dead')
    x.more()
    port, before = x.sink.port, x.sink.stop()
    x.more(200, 'mail is accepted while the next hop is away')
    x.stop_sources()
    t.equal(x.count('tempfailed') + x.count('rejected'), 0, 'dead: clients see nothing of it')
    t.until(lambda: len(x.g.queue()) >= 150, 'dead: mail waits')
    waiting = x.g.queue()
    t.ok(any(r['last_reply'] for m in waiting for r in m['recipients']), 'dead: the queue says why', waiting[:2])
    first = [line.split()[0] for s in x.sources for line in s.acked()]
    x.sink = t.Sink(x.folder, name='sink2', port=port)
    x.g.wait_empty(retry=False)
    got = x.sink.stop()
    t.ok(got['messages'] + before['messages'] >= len(first), 'dead: all %d arrived, %d before and %d after' % (
        len(first), before['messages'], got['messages']))
    t.ok(got['distinct'] == got['messages'], 'dead: none arrived twice afterwards', got)
    t.equal(x.g.stop(), 0, 'dead: clean stop')


if __name__ == '__main__':
    t.main(segment_sync_fails, large_sync_fails, segment_is_full, disk_is_full, disk_is_full_at_start, segment_is_removed, database_log_fails, database_log_is_full, database_tables_fail, database_tables_are_full, every_call_fails, every_call_is_full, slow_syncs, stalled_sync,
           hop_misbehaves, hop_is_dead)
