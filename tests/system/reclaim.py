#!/usr/bin/env python3
"""Disk space of finished messages comes back although others in the same segment wait.

Some of the mail is deferred until the sink is another one. Meanwhile segments are punched or emptied; what
waits stays as it was, whatever is killed, and arrives once at the end. Segments are of 1 MB here (the shim
says that the file system is small), of 16 MB in the first case.

TAP; SMX_TEST_SLOW=1 makes more rounds. Details in smxtest.py.
"""
import contextlib
import os
import re
import time

import smxtest as t

MB = 1 << 20
SMALL = dict(fs_bytes=64 * MB)
QMGR = 'reclaim_delay = %s; smtpc { initial_connections = 20; max_connections = 40; }'
LATER = ('--fail', 'rcpt:450 4.2.1 not now:1/1:later')
ENDLESS = ('-m', '0', '--time', '1h', '--tolerant', '--timeout', '30s')


class Run:
    """A gateway; mail to later@ is deferred until finish()."""

    def __init__(self, name, shim=SMALL, delay='0', retry='1h', sink=LATER, level=9):
        self.name = name
        self.folder = t.tmpdir('reclaim-' + name)
        self.sink = t.Sink(self.folder, *sink, dump=True)
        self.shim = t.Shim(os.path.join(self.folder, 'shim'), **shim) if shim is not None else None
        self.g = t.Gateway(self.folder, self.sink.port, shim=self.shim, qmgr=QMGR % delay, level=level)
        self.g.write('smx.conf', t.read(self.g.conf).replace(
            'retry_min_delay = 1s; retry_max_delay = 2s', 'retry_min_delay = %s; retry_max_delay = %s' % (retry, retry)))
        self.g.start()
        self.sources, self.held = [], 0

    def source(self, *args):
        s = t.Source(self.folder, self.g.port, *args, name='source%d' % len(self.sources))
        self.sources.append(s)
        return s

    def send(self, count, size, held, sessions=10):
        """count messages that go out and, all along, `held` that do not."""
        seconds = count / 1000
        a = self.source('-s', str(sessions), '-d', '-m', str(count), '-l', str(size), '-R', '%g/s' % (count / seconds))
        b = self.source('-s', '1', '-d', '-m', str(held), '-l', str(size), '-t', 'later@sink.test', '-R', '%g/s' % (held / seconds))
        got = [s.wait()['accepted'] for s in (a, b)]
        t.equal(got, [count, held], self.name + ': all are accepted')
        self.held += held

    def reclaims_after(self, delay):
        """From now on; the one before was 1h."""
        self.g.write('smx.conf', t.read(self.g.conf).replace('reclaim_delay = 1h', 'reclaim_delay = ' + delay))
        self.g.ctl('reload')

    def only_held(self):
        t.until(lambda: len(self.g.queue() or ()) == self.held, '%s: only what is deferred waits' % self.name)

    def segments(self):
        """name -> bytes on disk"""
        found = {}
        for d in '0123456789ABCDEF':
            for f in os.listdir(self.g.path(d)):
                if f[0] == 'G':
                    with contextlib.suppress(FileNotFoundError):
                        found[f] = os.stat(self.g.path(os.path.join(d, f))).st_blocks * 512
        return found

    def files(self, letter):
        return [f for d in '0123456789ABCDEF' for f in os.listdir(self.g.path(d)) if f[0] == letter]

    def used(self):
        """Bytes on disk of segments that are not kept ready for new mail."""
        s = self.g.stats()
        return s['segment_bytes'] - s['segment_room_bytes'] + self.spares()

    def spares(self):
        """The room of spare segments is no segment's that is in use."""
        s = self.g.stats()
        return sum(self.segments().values()) - s['segment_bytes']

    def stat(self, name):
        return self.g.stats().get(name, 0)

    def check(self, when):
        r = self.g.tool('cdbctl', 'check')
        t.ok(r.returncode == 0 and ': 0 damaged' in r.stdout, '%s: cdbctl check finds no damage %s' % (self.name, when), r.stdout)

    def finish(self, duplicates=0, crit='sev=CRIT'):
        """The sink takes all; everything with a 250 arrives."""
        first, one = self.sink.stop(), arrived(self.sink)
        self.sink = t.Sink(self.folder, name='sink2', port=self.sink.port, dump=True)
        self.g.wait_empty(120)
        t.equal(self.g.stop(), 0, self.name + ': clean stop')
        second, two = self.sink.stop(), arrived(self.sink)
        t.equal(second['corrupt'] + first['corrupt'], 0, self.name + ': what arrives is as it was sent')
        acked = {line.split()[0] for s in self.sources for line in s.acked()}
        t.equal(sorted(acked - one - two)[:10], [], '%s: all of %d arrived, %d before and %d after' % (self.name, len(acked), len(one), len(two)))
        twice = first['duplicates'] + second['duplicates'] + len(one & two)
        if twice > duplicates:
            t.diag('twice: %s' % sorted(one & two)[:5] + ' before: %s after: %s' % (first['duplicates'], second['duplicates']))
        t.ok(twice <= duplicates, '%s: %d arrived twice, at most %d' % (self.name, twice, duplicates))
        log = self.g.log('qmgr')
        t.equal(re.findall(r'.*(?:panic|sev=ALERT|%s|damaged=[1-9]).*' % crit, log + self.g.log('mcp') + self.g.log('smtps')), [],
                self.name + ': no damage, no panic')
        t.drop(self.folder)


# ---- what comes back

def one_percent_is_moved():
    """Segments of 16 MB: with 1 % deferred hardly more than 1 % stays.

    Nothing is reclaimed before all else has gone: what is punched while half of it is on its way may keep 1/32.
    """
    x = Run('moved', shim=None, delay='1h')
    x.send(9000, 4000, 90)
    x.only_held()
    x.reclaims_after('1s')
    t.until(lambda: x.stat('moved') > 20 and x.stat('segments_freed')['how=recycled'] >= 2, 'moved: segments are emptied and used again')
    t.until(lambda: x.stat('segments') <= 3, 'moved: those in use are all that is left')
    x.check('while it runs')
    live = x.stat('segment_live_bytes')
    t.ok(90 * 4000 < live < 90 * 6000, 'moved: %d bytes are needed' % live)
    t.ok(x.stat('segment_room_bytes') > 16 * MB, 'moved: the rest is empty room', x.g.stats())
    x.finish()


def ten_percent_is_punched():
    x = Run('punched')
    x.send(2000, 4000, 200)
    x.only_held()
    before = 2200 * 4400
    t.until(lambda: x.stat('punched') >= 5, 'punched: segments are punched')
    t.until(lambda: sum(sorted(x.segments().values())[:-4]) < before / 3, 'punched: what waits keeps a part of its segments')
    t.diag('%d bytes in %s' % (before, sorted(x.segments().values())))
    t.ok(x.stat('punched_bytes') > before / 2, 'punched: %d bytes are given back' % x.stat('punched_bytes'))
    t.ok('seg_punch' not in x.g.log('smtps'), 'punched: smtps understands what it is asked')
    x.check('while it runs')
    # A start on punched segments.
    t.equal(x.g.stop(), 0, 'punched: clean stop')
    x.check('when it is stopped')
    x.g.start()
    t.equal(len(x.g.queue()), 200, 'punched: all wait after a start')
    x.finish()


def moved_where_holes_cannot_be():
    """The file system cannot punch: messages are moved although they are many."""
    x = Run('no-holes', shim=dict(SMALL, fail='fallocate:EOPNOTSUPP:1+:/G'))
    x.send(2000, 4000, 200)
    x.only_held()
    t.until(lambda: x.stat('moved') >= 100, 'no-holes: messages are moved')
    t.equal(x.stat('punched'), 0, 'no-holes: none is punched')
    t.until(lambda: x.stat('segment_bytes') < 6 * MB, 'no-holes: segments are emptied')
    x.check('while it runs')
    x.finish()


def disk_full_while_moving():
    """Without room for copies everything stays where it is, until there is room."""
    x = Run('full', shim=dict(SMALL, fail='fallocate:EOPNOTSUPP:1+:/G write:ENOSPC:s1:/G:qmgr'))
    x.shim.switch(1, True)
    x.send(2000, 4000, 200)
    x.only_held()
    t.until(lambda: x.stat('reclaim_errors') > 0, 'full: it is noticed')
    x.check('while nothing can be moved')
    x.shim.switch(1, False)
    t.equal(x.g.stop(), 0, '%s: stopped, as those that failed would be tried after 30 s' % x.name)
    x.g.start()
    t.until(lambda: x.stat('moved') >= 100, 'full: messages are moved when there is room')
    x.finish()


def sync_fails_while_moving():
    """A copy that may not be on disk does not count."""
    x = Run('sync', shim=dict(SMALL, fail='fallocate:EOPNOTSUPP:1+:/G sync:EIO:s1:/G:qmgr'), delay='1h')
    x.send(1000, 4000, 100)
    x.only_held()
    x.shim.switch(1, True)
    x.reclaims_after('0')
    t.until(lambda: x.stat('reclaim_errors') > 0, 'sync: it is noticed')
    t.equal(x.stat('moved'), 0, 'sync: nothing counts as moved')
    x.shim.switch(1, False)
    x.check('after failed syncs')
    t.equal(x.g.stop(), 0, '%s: stopped, as those that failed would be tried after 30 s' % x.name)
    x.g.start()
    t.until(lambda: x.stat('moved') > 0, 'sync: messages are moved later')
    x.finish()


def empty_room_is_free():
    """Between min_disk_space and that without the segments that are ready for use mail is taken."""
    for free, level in ((99.5, 0), (90, 2)):
        folder = t.tmpdir('room')
        g = t.Gateway(folder, 9, shim=t.Shim(os.path.join(folder, 'shim'), fs_bytes=64 * MB, fs_free=int(free * MB)))
        g.write('smx.conf', t.read(g.conf).replace('min_disk_space = 1; ok_disk_space = 2', 'min_disk_space = 102400; ok_disk_space = 102401'))
        g.launch()
        t.until(lambda: g.stats().get('segment_room_bytes', 0) > MB, 'room: it is counted')
        want = 'feedback: 2 (disk)' if level else 'feedback: 0'
        t.until(lambda: want in g.ctl('status'), 'room: %s MB free of 100: %s' % (free, want))
        # The next look must not see it in another way.
        room = g.stats()['segment_room_bytes']
        t.ok(want in g.ctl('status') and (free * MB + room >= 100 * MB) == (level == 0), 'room: %s MB are free, and %d bytes of room: %s' % (
            free, room, want), g.ctl('status'))
        t.equal(g.stop(), 0, 'room: clean stop')
        t.drop(folder)


# ---- without the database

def lost_database():
    """The content alone tells what waits, of punched segments and of moved messages."""
    for name, shim in (('lost-punched', SMALL), ('lost-moved', dict(SMALL, fail='fallocate:EOPNOTSUPP:1+:/G'))):
        x = Run(name, shim=shim)
        x.send(2000, 4000, 200)
        x.only_held()
        t.until(lambda: x.stat('punched') >= 5 or x.stat('moved') >= 100, name + ': space is reclaimed')
        t.equal(x.g.stop(), 0, name + ': clean stop')
        r = x.g.tool('cdbctl', 'rebuild', '-F', '-n')
        t.ok('200 messages as the old database has them, 0 queued again' in r.stdout, name + ': rebuild with the old database', r.stdout[-300:])
        for d in ('defedb', 'ibdb'):
            for f in os.listdir(x.g.path(d)):
                os.unlink(x.g.path(os.path.join(d, f)))
        if name == 'lost-moved':
            r = x.g.tool('cdbctl', 'rebuild')
            t.ok('0 messages as the old database has them, 200 queued again' in r.stdout and '0 damaged' in r.stdout,
                 name + ': rebuild without the old database', r.stdout[-300:])
        x.g.start()
        t.until(lambda: len(x.g.queue()) == 200, name + ': the queue is made again')
        t.ok('damaged=0' in x.g.log('qmgr').rsplit('stat=started', 1)[1], name + ': nothing is damaged')
        x.finish(crit='sync.*sev=CRIT')


# ---- crashes

def killed(name, shim, what, rounds):
    rng = t.rng('reclaim-' + name)
    x = Run(name, shim=shim, retry='3s', sink=LATER + ('--fail', 'dot:451 4.3.0 later:10%'))
    loads = (x.source('-s', '8', '-d', '-l', '3000', '-R', '400/s', *ENDLESS),
             x.source('-s', '1', '-d', '-l', '3000', '-R', '8/s', '-t', 'later@sink.test', *ENDLESS),
             x.source('-s', '1', '-d', '-l', '30000', '-R', '10/s', *ENDLESS))
    total = 0
    for n in range(rounds):
        before = sum(len(s.acked()) for s in loads)
        t.until(lambda: sum(len(s.acked()) for s in loads) >= before + 300, '%s: mail is accepted in round %d' % (name, n))
        if n % 2:
            t.until(lambda: x.stat(what) > 0, '%s: space is reclaimed in round %d' % (name, n))
        total += x.stat(what)
        time.sleep(rng.uniform(0, .3))
        if n % 3 == 2:
            t.kill(x.g.pids()[rng.choice(('smtps', 'qmgr'))])
            t.until(lambda: x.g.ctl('status') and x.g.greets(), name + ': it is back')
        else:
            x.g.kill9()
            x.g.start()
    t.ok(total > 0, '%s: %d %s between kills' % (name, total, what))
    for s in loads:
        s.stop()
    x.check('at the end')
    # What was under way, or ended in the last moments before each kill, may come again; what was not
    # acknowledged as its client was cut off may have come all the same.
    x.finish(duplicates=rounds * 200)


def killed_again_and_again():
    """kill -9 of everything, or of one program, while segments are punched, or emptied."""
    rounds = 60 if t.SLOW else 6
    killed('killed-punch', SMALL, 'punched', rounds)
    killed('killed-move', dict(SMALL, fail='fallocate:EOPNOTSUPP:1+:/G'), 'moved', rounds)


# ---- a long run

def comes_back_to_where_it_was():
    """Load with deferrals, drain, and again: disk and memory do not grow."""
    x = Run('rounds', retry='1h')
    seen = []
    for n in range(8 if t.SLOW else 3):
        x.send(3000, 3000, 60)
        x.only_held()
        t.until(lambda: x.stat('punched') + x.stat('moved') > 0, 'rounds: space is reclaimed')
        old, x.sink = x.sink, None
        old.stop()
        x.sink = t.Sink(x.folder, name='drain%d' % n, port=old.port)
        x.g.wait_empty()
        x.held = 0
        t.until(lambda: x.stat('segment_live_bytes') == 0 and x.stat('segments') <= 4, 'rounds: nothing is needed any more')
        t.until(lambda: len(x.files('M')) <= 4, 'rounds: files of marks are removed')
        x.sink.stop()
        x.sink = t.Sink(x.folder, *LATER, name='sink%d' % n, port=old.port)
        seen.append(dict(disk=sum(x.segments().values()), files=len(x.segments()), database=folder_bytes(x.g.path('defedb')) +
                         folder_bytes(x.g.path('ibdb')), memory={k: rss(p) for k, p in x.g.pids().items()}))
        t.diag('round %d: %s' % (n, seen[-1]))
    first, last = seen[0], seen[-1]
    t.ok(last['disk'] <= first['disk'] + 8 * MB, 'rounds: segments as after the first round', seen)
    t.ok(last['database'] <= first['database'] + 4 * MB, 'rounds: the database too', seen)
    if not t.SANITIZED:
        for k in t.COMPONENTS:
            t.ok(last['memory'][k] <= first['memory'][k] * 1.3 + 8 * MB, 'rounds: memory of %s too: %d and %d' % (
                k, first['memory'][k], last['memory'][k]), seen)
    t.equal(x.g.stop(), 0, 'rounds: clean stop')
    t.drop(x.folder)


def arrived(sink):
    """Ids of all messages that a sink has written down."""
    found = set()
    for name in os.listdir(sink.dump):
        if name.endswith('.eml'):
            with open(os.path.join(sink.dump, name), 'rb') as f:
                found.add(re.search(rb'X-SMX-ID: (\S+)', f.read(3000)).group(1).decode())
    return found


def folder_bytes(path):
    n = 0
    for f in os.listdir(path):
        with contextlib.suppress(FileNotFoundError):
            n += os.stat(os.path.join(path, f)).st_blocks * 512
    return n


def rss(pid):
    return int(re.search(r'VmRSS:\s+(\d+)', t.read('/proc/%d/status' % pid)).group(1)) * 1024


if __name__ == '__main__':
    t.main(one_percent_is_moved, ten_percent_is_punched, moved_where_holes_cannot_be, disk_full_while_moving, sync_fails_while_moving,
           empty_room_is_free, lost_database, killed_again_and_again, comes_back_to_where_it_was)
