#!/usr/bin/env python3
"""No power cut loses acknowledged mail.

The gateway runs under load with the shim, which writes down everything that qmgr and smtps (and mcp) do to
files, when clients got their 250, and what reached the sink. Then, for random moments: a disk as it may be
after a cut at that moment (diskimage.py), the gateway is started on it, and all mail whose 250 had been read
by then has arrived: before the cut at the old sink, or after it at a new one; a bounce counts for recipients
that the sink refused for good. No message twice but those in flight and those of the last moments, no
content damaged. The same with one fdatasync taken out must fail.

TAP; SMX_TEST_CUTS or SMX_TEST_SLOW=1 set the number of cuts (8, slow 500). Details in smxtest.py.
"""
import collections
import os
import re
import shutil
import time

import diskimage
import smxtest as t

CUTS = int(os.environ.get('SMX_TEST_CUTS') or (500 if t.SLOW else 8))
COMMIT_DELAY = 0.1              # IBDB.max_commit_delay
DUPLICATE_AGE = 2.0             # seconds; what a result may need to the disk on a busy machine, and COMMIT_DELAY
ID = re.compile(rb'X-SMX-ID: (\S+)')
TO = re.compile(rb'^X-Envelope-To: (\S+)\r$', re.M)

QMGR = 'IBDB { size = 1MB; max_commit_delay = %d; } smtpc { initial_connections = 20; max_connections = 40; }'
SMALL_FS = 64 << 20
LOG_NAMES = ('/log_directory.new', '/log_of.new')
RECLAIM = ' reclaim_delay = 0;'
# Some mail fails for a while, some for good, some waits: messages are in all states at each moment.
TRIED_OFTEN = 20
CUTS_IN_A_ROW = 2       # at most, of what one gateway finds
SINK = ('--fail', 'dot:451 4.3.0 later:10%', '--fail', 'rcpt:550 5.1.1 nobody:1/3:bad', '--delay', 'dot:50ms:20%',
        '--delay', 'rcpt:20ms:5%')


def deliveries(content):
    """(id, recipient) pairs that a dumped message settles, and whether it is a bounce."""
    head = content.split(b'\r\n\r\n', 1)[0]
    m = ID.search(head)
    if m:
        return [(m.group(1).decode(), r.decode().strip('<>')) for r in TO.findall(head)], False
    body = content[len(head):]
    ids = [i.decode() for i in ID.findall(body)]
    return [(i, r.decode()) for i in ids[:1] for r in re.findall(rb'^<([^<>\s]+)>\r$', body, re.M)], True


def own_all(folder):
    for top, dirs, files in os.walk(folder):
        for n in [''] + files:
            t.own(os.path.join(top, n))


class History:
    """A run of the gateway under the shim, and what can be asked of it afterwards. after: (history, cut, random
    numbers): it starts on a disk as it may be after that cut. small: segments are of 1 MB, and what is finished
    in them is reclaimed at once."""

    def __init__(self, messages, skip_sync='', restart=False, seconds=0, slow_usec=1500, delay=COMMIT_DELAY, after=None,
                 small=False, fail=''):
        self.after = after and after[:2]
        self.more = RECLAIM if small else ''
        self.folder = t.tmpdir('powerloss')
        self.dumps = os.path.join(self.folder, 'sink.dump')
        shim = self.shim = t.Shim(os.path.join(self.folder, 'shim'), log=True, slow_usec=slow_usec, skip_sync=skip_sync, fail=fail,
                                  fs_bytes=SMALL_FS if small else 0)
        spool = os.path.join(self.folder, 'spool')
        if after:
            after[0].disk.image(spool, after[1], after[2])
        else:
            os.mkdir(spool)
            for d in list('0123456789ABCDEF') + ['defedb', 'ibdb', 'qmsmar', 'qmsmtpc', 'qmsmtps', 'smtps']:
                os.mkdir(os.path.join(spool, d))
        own_all(spool)
        env = dict(shim.env(self.folder))
        env.pop('SMX_SHIM_SKIP_SYNC', None)
        sink = t.Sink(self.folder, *SINK, '--seed', str(t.SEED % 1000000), dump=True, env=env)
        g = t.Gateway(self.folder, sink.port, shim=shim, qmgr=QMGR % (delay * 1e6) + self.more)
        self.disk = diskimage.Disk(spool)
        g.start()
        name = '.again' if after else ''
        rate = ('-R', '%g/s' % (messages / seconds)) if seconds else ()
        sources = [t.Source(self.folder, g.port, *args, '--tolerant', name='source%d' % i, env=env) for i, args in enumerate((
            rate + ('-s', '12', '-m', str(messages), '-l', '900', '--run', 'small' + name),
            ('-s', '4', '-m', str(messages // 5), '-l', '50000', '--run', 'medium' + name),
            ('-s', '1', '-m', str(messages // 60 + 2), '-l', '300000', '--run', 'large' + name),
            # Many recipients with long names: enough rows that RocksDB changes logs and flushes.
            ('-s', '4', '-m', str(messages // 4), '-r', '40', '-l', '3000', '--run', 'several' + name,
             '-t', 'bad.%sx@%ssink.test' % ('local.part.' * 4, 'a-long-label.' * 6))))]
        if restart:
            sources[0].wait_acked(messages // 2)
            t.equal(g.stop(), 0, 'clean stop in the middle')
            g.start()
        self.accepted = sum(s.wait(240)['accepted'] for s in sources)
        # Long enough that segments, files and logs are finished and removed too.
        t.until(lambda: len(g.queue()) < self.accepted / 8, 'most of it is delivered', 120, 0.05)
        self.kept = len(g.queue())
        self.stats = g.stats()
        t.equal(g.stop(), 0, 'clean stop')
        self.sink = sink.stop()
        self.records = diskimage.load(shim.history)
        self.acked_files = [s.acked_file for s in sources]
        self._read_events()

    def _read_events(self):
        """self.acks: (number, time, id, recipients); self.arrivals: (number, time, pairs)."""
        self.acks, self.arrivals, self.times = [], [], []
        role = {}
        for r in self.records:
            self.times.append((r.begin, r.nsec))
            if r.op == diskimage.CREATE:
                role[r.inode] = 'ack' if r.path in self.acked_files else 'arrival' if r.path.startswith(self.dumps) else ''
            elif r.op == diskimage.WRITE and role.get(r.inode) == 'ack':
                for line in r.data.decode().splitlines():
                    words = line.split()
                    self.acks.append((r.begin, r.nsec, words[0], words[1:]))
            elif r.op == diskimage.WRITE and role.get(r.inode) == 'arrival':
                self.arrivals.append((r.begin, r.nsec, deliveries(r.data)[0]))
        self.disk.replay(self.records)
        self.owed_before, self.settled_before = (self.after[0].owed(self.after[1]), self.after[0].settled(self.after[1])) \
            if self.after else ([], {})
        self.first_ack = self.acks[0][0]

    def owed(self, cut):
        """(id, recipients) of all that was acknowledged before the cut."""
        return self.owed_before + [(i, rcpts) for number, when, i, rcpts in self.acks if number < cut]

    def settled(self, cut):
        """What had arrived before the cut -> how many seconds before it, or before the former one."""
        found, now = dict(self.settled_before), self.nsec_at(cut)
        for number, when, pairs in self.arrivals:
            if number < cut:
                found.update((p, (now - when) / 1e9) for p in pairs)
        return found

    def database_syncs(self):
        """How often the log of the database was synced while mail came in or went out, and for how many seconds."""
        begin, end = self.acks[0][1], max(self.acks[-1][1], self.arrivals[-1][1])
        is_log, n = {}, 0
        for r in self.records:
            if r.op == diskimage.CREATE:
                is_log[r.inode] = '/ibdb/' in r.path
            elif r.op == diskimage.SYNC and is_log.get(r.inode) and begin < r.nsec < end:
                n += 1
        return n, (end - begin) / 1e9

    def nsec_at(self, cut):
        return max((n for b, n in self.times if b <= cut), default=0)

    def cut_points(self, rng, count):
        """Random moments, and moments at which the most hangs on order: just behind a 250, in a sync, behind the
        change of a name, at the very beginning."""
        spool = [r for r in self.records if r.begin > self.first_ack]
        syncs = [r.end for r in spool if r.op == diskimage.SYNC]
        names = [r.end + 1 for r in spool if r.path and self.disk.has(r.path)]
        for i in range(count):
            kind = i % 4
            if kind == 1:
                yield rng.choice(self.acks)[0] + 1
            elif kind == 2:
                yield rng.choice(syncs)
            elif kind == 3 and names:
                yield rng.choice(names) + rng.randint(0, 3)
            elif i % 12 == 8:
                yield rng.randint(1, self.first_ack)    # while everything is made for the first time
            else:
                yield rng.randint(self.first_ack, self.disk.end)


    def reclaim_points(self, rng, count):
        """Moments around punching and moving."""
        segment = {r.inode for r in self.records if r.op == diskimage.CREATE and '/G' in r.path}
        punches = [r for r in self.records if r.op == diskimage.FALLOCATE and r.mode & diskimage.PUNCH_HOLE]
        # qmgr's own: copies. Content of what is finished: heads of dead runs.
        copies = [r for r in self.records if r.op == diskimage.WRITE and r.program == 'qmgr' and r.inode in segment]
        found = sorted(punches + copies)
        for i in range(count):
            r = rng.choice((found, punches or found, copies or found)[i % 3])
            yield rng.choice((r.begin, r.end, r.end + 1, r.end + rng.randint(1, 40)))


class Cut:
    """One power cut and what came of it; wrong: list of what should not be."""

    def __init__(self, h, cut, rng, how='mixed'):
        self.wrong, self.replayed, self.acked, self.new, self.duplicates, self.oldest = [], 0, 0, 0, 0, 0.0
        self.folder = os.path.join(h.folder, 'cut')
        shutil.rmtree(self.folder, ignore_errors=True)
        os.mkdir(self.folder)
        t.own(self.folder)
        spool = os.path.join(self.folder, 'spool')
        h.disk.image(spool, cut, rng, how)
        own_all(spool)
        sink = t.Sink(self.folder, dump=True)
        g = t.Gateway(self.folder, sink.port, qmgr=QMGR % (COMMIT_DELAY * 1e6) + h.more, spool=spool)
        try:
            g.launch()
            t.until(lambda: self._stays_down(g) or g.greets(), 'a greeting')
            t.until(lambda: self._stays_down(g) or g.is_empty() or self._hurry(g), 'an empty queue', step=0.05)
        except t.Failed as e:
            self.wrong.append('the gateway does not come back: %s' % e)
        self.log = g.log('qmgr')
        g.kill9()
        t.Running.gateways.remove(g)
        self._judge(h, cut, sink)
        if self.wrong and os.environ.get('SMX_TEST_KEEP') == '1':
            os.rename(self.folder, '%s.%d' % (self.folder, cut))
        elif self.wrong:
            self.wrong += self.log.splitlines()[-15:]

    @staticmethod
    def _stays_down(g):
        if 'it stays down' in g.log('mcp'):
            raise t.Failed('it stays down: %s' % g.log('qmgr')[-500:])

    @staticmethod
    def _hurry(g):
        """All is tried at once; the sink takes everything, so what was tried often will never go."""
        left = [r for m in g.queue() or () for r in m['recipients']]
        if left and all(r['attempts'] >= TRIED_OFTEN for r in left):
            raise t.Failed('%d recipients stay: %s' % (len(left), left[0].get('last_reply')))
        g.ctl('retry')

    def _judge(self, h, cut, sink):
        arrived = [deliveries(c) for c in sink.dumped()]
        new = [pairs for pairs, bounce in arrived]
        self.sink = sink.stop()
        old, acked = h.settled(cut), h.owed(cut)
        settled = set(old).union(*new)
        ids = {i for i, r in settled}
        lost = [i for i, rcpts in acked if i not in ids or any((i, r) not in settled for r in rcpts)]
        again = [p for pairs in new for p in pairs if p in old]
        self.duplicates = len(again)
        self.oldest = max((old[p] for p in again), default=0.0)
        self.acked, self.new = len(acked), sum(len(pairs) for pairs in new)
        if lost:
            self.wrong.append('lost %d of %d acknowledged: %s' % (len(lost), len(acked), ' '.join(lost[:10])))
        if self.oldest > DUPLICATE_AGE:
            self.wrong.append('sent again what had arrived %.1f s before the cut (%d recipients got mail again)' % (
                self.oldest, self.duplicates))
        # A bounce of a recipient that is tried again all the same counts as sent again, not as twice. Each cut may
        # come between a bounce and the end of its recipient, which then fails and is bounced again.
        twice = [(p, b) for (p, b), n in collections.Counter((p, b) for pairs, b in arrived for p in pairs).items()
                 if n > (1 + CUTS_IN_A_ROW if b else 1)]
        if twice:
            self.wrong.append('sent twice after the cut: %s' % twice[:5])
        if self.sink['corrupt']:
            self.wrong.append('%d messages are damaged' % self.sink['corrupt'])
        m = re.search(r'stat=started.*replayed=(\d+), damaged=(\d+)', self.log)
        if m and int(m.group(2)):
            self.wrong.append('qmgr found %s damaged records' % m.group(2))
        self.replayed = int(m.group(1)) if m else 0


def cut_history(number, cuts, points=None, **kw):
    begin = time.monotonic()
    h = History(1200, **kw)
    t.ok(h.accepted > 0 and h.acks, '%d messages were acknowledged, %d records of history' % (h.accepted, len(h.records)))
    t.equal(h.sink['corrupt'], 0, 'nothing damaged without a cut')
    scratch = os.path.join(h.folder, 'all')
    t.equal(h.disk.differences(scratch), [], 'the history holds everything that is on the disk')
    shutil.rmtree(scratch)
    syncs, seconds = h.database_syncs()
    t.ok(syncs > seconds / COMMIT_DELAY / 5, 'the database follows: %d syncs of its log in %.1f s' % (syncs, seconds))
    t.diag('recorded in %.1f s, %d left in the queue' % (time.monotonic() - begin, h.kept))
    rng = t.rng('cuts', number)
    total = collections.Counter(punched=h.stats.get('punched', 0), moved=h.stats.get('moved', 0))
    oldest = 0.0
    for i, cut in enumerate((points or History.cut_points)(h, rng, cuts)):
        c = Cut(h, cut, t.rng('cut', number, i))
        t.ok(not c.wrong, 'cut %d at %d: %d acknowledged, %d recipients afterwards, %d of them again, %d messages from segments only' % (
            i, cut, c.acked, c.new, c.duplicates, c.replayed), '\n'.join(c.wrong))
        total.update(acked=c.acked, new=c.new, again=c.duplicates, replayed=c.replayed)
        oldest = max(oldest, c.oldest)
    t.diag('%d cuts in %.1f s: %d recipients got mail after a cut, %d of them again (the oldest %.2f s before its cut), '
           '%d messages found in segments only' % (cuts, time.monotonic() - begin, total['new'], total['again'], oldest, total['replayed']))
    t.drop(h.folder)
    return total


def no_cut_loses_mail():
    variants = (dict(restart=True), dict(slow_usec=0), dict(slow_usec=5000, restart=True), dict(delay=0))
    histories = max(1, CUTS // 100)
    total = collections.Counter()
    for n in range(histories):
        total += cut_history(n, CUTS * (n + 1) // histories - CUTS * n // histories, **variants[n % len(variants)])
    t.ok(total['replayed'] > 0, 'some were found in segments only')
    t.ok(total['new'] > total['again'], 'some were sent only after the cut')


def cuts_while_it_reclaims():
    total = collections.Counter()
    for n, kw in enumerate((dict(), dict(fail='fallocate:EOPNOTSUPP:1+:/G'))):
        total += cut_history('reclaim%d' % n, max(4, CUTS // 3), points=History.reclaim_points, small=True, slow_usec=0, **kw)
    t.ok(total['punched'] > 0, '%d segments were punched' % total['punched'])
    t.ok(total['moved'] > 0, '%d messages were moved' % total['moved'])


def cuts_while_it_recovers():
    """A second cut while the gateway comes back from a first one, or soon after."""
    first = History(400)
    total = collections.Counter()
    for n in range(max(1, CUTS // 50)):
        rng = t.rng('second', n)
        cut = rng.choice(list(first.cut_points(rng, 4)))
        h = History(120, after=(first, cut, rng))
        # Around the change of each name that says where the log is: the spool is at another place now.
        seconds = [p for r in h.records if r.op == diskimage.RENAME and r.path and r.path.endswith(LOG_NAMES)
                   for p in (r.begin + 1, r.end + 2)]
        t.ok(len(seconds) >= 6, '%d moments around the names of the log' % len(seconds))
        for i, second in enumerate(seconds + [rng.randint(1, h.first_ack if i % 2 else h.disk.end) for i in range(4)]):
            c = Cut(h, second, t.rng('second', n, i))
            t.ok(not c.wrong, 'cut at %d, then at %d: %d acknowledged, %d recipients afterwards, %d of them again' % (
                cut, second, c.acked, c.new, c.duplicates), '\n'.join(c.wrong))
            total.update(new=c.new)
        t.drop(h.folder)
    t.ok(total['new'] > 0, 'some were sent only after the second cut')
    t.drop(first.folder)


def control(name, skip_sync, expected, messages=240, seconds=0, how='mixed', cuts=16):
    """The test must notice when a sync is taken out, and why it matters."""
    h = History(messages, skip_sync=skip_sync, seconds=seconds)
    rng = t.rng('control', name)
    seen = []
    for i, cut in enumerate(h.cut_points(rng, cuts)):
        seen += Cut(h, cut, t.rng('cut', name, i), how).wrong
        noticed = [w for w in seen if re.match(expected, w)]
        if noticed:
            break
    t.ok(noticed, 'without the sync of %s it fails: %s' % (name, noticed[0].splitlines()[0] if noticed else 'no'), '\n'.join(seen))
    t.drop(h.folder)


def notices_missing_segment_sync():
    control('segments', '/G:qmgr', 'lost')


def notices_missing_database_sync():
    control('the database', '/ibdb/:qmgr /defedb/:qmgr', 'the gateway does not come back: it stays down|lost')


def notices_missing_log_sync():
    # The records are the log, so this one loses nothing: but all that was delivered goes out again.
    control('the log of the database', '/ibdb/0:qmgr', 'sent again', 600, 4, 'none', 64)


if __name__ == '__main__':
    t.main(no_cut_loses_mail, cuts_while_it_reclaims, cuts_while_it_recovers, notices_missing_segment_sync, notices_missing_database_sync, notices_missing_log_sync)
