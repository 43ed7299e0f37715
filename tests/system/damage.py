#!/usr/bin/env python3
"""A block of the database goes bad while qmgr runs: one line says so, mail that is elsewhere goes on, nothing is lost.

In each case recipients are deferred, a bit of a file of RocksDB changes, the next hop takes mail again, and in the
end everything arrives: by order, or after cdbctl rebuild. TAP; details in smxtest.py.
"""
import os
import re

import smxtest as t

OPTIONS = 'DEFEDB { page_size = 1KB; cache_size = 1MB; %s }'
DEFER = ('--fail', 'rcpt:451 4.2.1 later:100%')


def files_of(g, family):
    """Files of a column family: its name stands in their properties."""
    found = []
    for name in os.listdir(g.path('defedb')):
        if name.endswith('.sst'):
            path = os.path.join(g.path('defedb'), name)
            with open(path, 'rb') as f:
                if b'name' + family.encode() in f.read():
                    found.append(path)
    return sorted(found, key=os.path.getsize)


def hurt(path, part):
    """Another bit at that part of the file; where data is, not the index behind it."""
    with open(path, 'r+b') as f:
        at = int(os.path.getsize(path) * part)
        f.seek(at)
        c = f.read(1)
        f.seek(at)
        f.write(bytes([c[0] ^ 0x40]))


class Damage:
    def __init__(self, name, *load, more='', later=False):
        self.name, self.load = name, load
        self.folder = t.tmpdir('damage-' + name)
        self.sink = t.Sink(self.folder, *DEFER)
        self.port = self.sink.port
        self.g = t.Gateway(self.folder, self.port, qmgr=OPTIONS % more)
        if later:
            self.edit('retry_min_delay = 1s; retry_max_delay = 2s', 'retry_min_delay = 1h; retry_max_delay = 2h')
        self.sources = []
        self.g.start()
        self.total = self.send(*load)
        t.until(lambda: self.recipients('deferred') >= self.total and self.g.stats()['deferred'] >= self.total, name + ': all are deferred')

    def edit(self, old, new):
        self.g.write('smx.conf', t.read(self.g.conf).replace(old, new))

    def send(self, *args):
        """Recipients that were accepted."""
        name = 'source%d' % len(self.sources)
        s = t.Source(self.folder, self.g.port, '--run', name, *args, name=name)
        self.sources.append(s)
        s.wait()
        return sum(max(1, len(line.split()) - 1) for line in s.acked())

    def recipients(self, queue):
        return self.g.stats().get('recipients', {}).get('queue=' + queue, -1)

    def damages(self):
        return [line for line in self.g.log('qmgr').splitlines() if 'stat=the database is damaged' in line]

    def hop_is_back(self):
        self.sink.stop()
        self.sink = t.Sink(self.folder, name='sink2', port=self.port)

    def arrived(self):
        return self.sink.ask()['distinct_recipients']

    def said_once(self, path):
        lines = t.until(self.damages, self.name + ': the log says it')
        t.ok(len(lines) == 1 and all(w in lines[0] for w in (os.path.basename(path), 'sev=CRIT', 'cdbctl rebuild')),
             self.name + ': one line says what and what to do', lines)

    def rebuild(self):
        """What it prints."""
        t.equal(self.g.stop(), 0, self.name + ': clean stop')
        r = self.g.tool('cdbctl', 'rebuild', '-F')
        t.ok(r.returncode == 0 and 'Made' in r.stdout, self.name + ': rebuild', r.stdout)
        self.g.start()

    def finish(self):
        t.until(lambda: self.arrived() == self.total, '%s: all %d arrive' % (self.name, self.total))
        self.g.wait_empty()
        t.equal(self.g.stop(), 0, self.name + ': clean stop')
        r = self.sink.stop()
        t.equal((r['distinct_recipients'], r['corrupt']), (self.total, 0), self.name + ': nothing is lost or damaged')
        t.equal(re.findall('.*panic.*', self.g.log('qmgr')), [], self.name + ': no panic')
        t.drop(self.folder)


def index_of_due():
    """Rows by time: what cannot be read of them waits, what is behind goes out; an order gets all."""
    d = Damage('due', '-s', '4', '-m', '150', '-r', '10')
    d.g.stop()
    path = files_of(d.g, 'due')[-1]
    hurt(path, 0.3)
    d.hop_is_back()
    d.g.start()
    t.until(lambda: d.damages() and d.arrived() >= d.total * 0.9 and d.recipients('active') == 0, 'due: what is not affected goes out')
    d.said_once(path)
    t.ok(d.arrived() < d.total, 'due: %d of %d wait' % (d.total - d.arrived(), d.total))
    r = d.g.tool('mailq')
    t.ok('Total messages' in r.stdout and 'cannot be read' not in r.stdout, 'due: all are listed', r.stdout[-300:])
    t.equal(d.send('-m', '5'), 5, 'due: new mail is accepted')
    d.total += 5
    t.equal(d.g.tool('qmgrctl', 'retry', 'all').returncode, 0, 'due: by order the others too')
    d.finish()


def parked_rows():
    """What is parked under a destination and cannot be read comes after a rebuild; what is behind it at once."""
    d = Damage('parked', '-s', '4', '-m', '150', '-r', '10', later=True)
    t.equal(d.g.tool('qmgrctl', 'suspend', 'all').returncode, 0, 'parked: suspended')
    t.equal(d.g.tool('qmgrctl', 'retry', 'all').returncode, 0, 'parked: tried')
    t.until(lambda: d.g.stats()['parked_recipients'] == d.total, 'parked: all are')
    d.g.stop()
    path = files_of(d.g, 'parked')[-1]
    hurt(path, 0.3)
    d.hop_is_back()
    d.g.start()
    t.equal(d.g.tool('qmgrctl', 'resume', 'all').returncode, 0, 'parked: resumed')
    t.until(lambda: d.damages() and d.arrived() >= d.total * 0.9 and d.recipients('active') == 0, 'parked: what is not affected goes out')
    d.said_once(path)
    t.ok(d.arrived() < d.total, 'parked: %d of %d wait' % (d.total - d.arrived(), d.total))
    d.rebuild()
    d.finish()


def envelopes():
    """A message whose envelope cannot be read any more."""
    d = Damage('ibdb', '-s', '4', '-m', '400', '-r', '40', '-t', 'x.%sx@%ssink.test' % ('local.part.' * 4, 'a-long-label.' * 6), later=True)
    d.g.stop()
    d.g.start()
    path = files_of(d.g, 'ibdb')[-1]
    # The start has read all of it; this was the first to leave the cache.
    hurt(path, 0.05)
    d.hop_is_back()
    r = d.g.tool('mailq')
    m = re.search(r'Total messages: (\d+)\n\tMessages that cannot be read: (\d+)\n', r.stdout)
    bad = 400 - int(m.group(1)) if m else 0
    t.ok(0 < bad < 5, 'ibdb: mailq lists the others, all but %d' % bad, r.stdout[-300:])
    d.said_once(path)
    t.equal(d.send('-m', '5'), 5, 'ibdb: new mail is accepted')
    d.total += 5
    d.g.tool('qmgrctl', 'retry', 'all')
    t.until(lambda: d.arrived() >= d.total - bad * 40 and d.recipients('active') == 0, 'ibdb: all others arrive')
    t.equal(d.arrived(), d.total - bad * 40, 'ibdb: but not what cannot be read')
    t.equal(d.g.stop(), 0, 'ibdb: clean stop')
    told = d.g.log('qmgr').count('cdbctl rebuild')
    d.g.launch()
    t.until(lambda: 'it stays down' in d.g.log('mcp'), 'ibdb: no start with it')
    t.equal(d.g.log('qmgr').count('cdbctl rebuild'), told + 1, 'ibdb: which says what to do')
    d.rebuild()
    d.finish()


def compaction():
    """The database cannot merge its files: it goes on without that."""
    d = Damage('compaction', '-s', '4', '-m', '150', '-r', '10', later=True)
    d.g.stop()
    path = files_of(d.g, 'due')[-1]
    hurt(path, 0.3)
    d.edit('cache_size = 1MB;', 'cache_size = 1MB; KBytes_written_for_checkpointing = 1; delay_between_2_checkpoints = 0;')
    d.g.start()
    while not d.g.stats()['db_errors']:
        n = len(d.sources)
        d.total += d.send('-m', '20', '--tolerant')
        if n > 200:
            raise t.Failed('no compaction')
    t.until(lambda: 'stat=database is back, compaction=none' in d.g.log('qmgr'), 'compaction: the database is opened again')
    d.said_once(path)
    n = d.g.stats()['db_errors']
    sent = d.send('-m', '400', '-R', '200/s')
    t.equal(sent, 400, 'compaction: new mail goes on')
    d.total += sent
    t.until(lambda: d.recipients('deferred') == d.total, 'compaction: and is deferred')
    t.equal(d.g.stats()['db_errors'], n, 'compaction: the database is written')
    d.hop_is_back()
    d.rebuild()
    d.g.tool('qmgrctl', 'retry', 'all')
    d.finish()
    t.ok(n < 5, 'compaction: %d writes failed' % n)


if __name__ == '__main__':
    t.main(index_of_due, parked_rows, envelopes, compaction)
