#!/usr/bin/env python3
"""What waits for one destination waits together: parked recipients with the real gateway.

A destination that is down is probed by one connection at a time, and its retries cost the same however much waits
for it; a slow one takes no more than its share of the active queue; other mail flows meanwhile. Warnings, returns,
suspensions and orders reach what is parked; restarts and kill -9 lose and repeat nothing. TAP; details in smxtest.py.
"""
import contextlib
import json
import re
import smtplib
import socket
import threading

import smxtest as t

BODY = 'From: <joe@source.test>\r\nSubject: %s\r\n\r\nline one\r\n'


# ---- helpers

class Dead:
    """Takes connections and closes them without a word; counts them."""

    def __init__(self, port=0):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(('127.0.0.1', port))
        self.sock.listen(100)
        self.port = self.sock.getsockname()[1]
        self.count = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.sock.accept()
                self.count += 1
                s.close()

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.thread.join(t.LONG)


def gateway(folder, ports, qmgr='', options=None):
    """ports: domain -> port of its host. options: of CONF, with other values."""
    mt = ''.join('%s %d^esmtp:[127.0.0.1]\n' % (d, p) for d, p in ports.items())
    g = t.Gateway(folder, mt=mt, qmgr=qmgr, level=5)
    text = t.read(g.conf)
    for name, value in (options or {}).items():
        text, n = re.subn(r'\b%s = \w+;' % name, '%s = %s;' % (name, value), text)
        if n != 1:
            raise t.Failed('no option ' + name)
    g.write('smx.conf', text)
    return g


SLOW = dict(retry_min_delay='1h', retry_max_delay='2h')


def source(folder, g, domain, n, *args, name='source'):
    return t.Source(folder, g.port, '-m', str(n), '-s', '10', '-d', '-l', '100', '-t', 'to@' + domain, *args, name=name)


def send(g, rcpt, sender='joe@source.test', subject='test'):
    with smtplib.SMTP('127.0.0.1', g.port, 'client.test', t.LONG) as s:
        s.ehlo()
        s.mail(sender)
        if s.rcpt(rcpt)[0] != 250:
            raise t.Failed('RCPT')
        code, text = s.data(BODY % subject)
        m = re.search(rb'S[0-9A-F]{18}', text)
        if code != 250 or not m:
            raise t.Failed('DATA: %d %s' % (code, text))
        return m.group(0).decode()


def status(g):
    return json.loads(g.tool('qmgrctl', 'status', '-j').stdout)


def wait_parked(g, n):
    def good():
        s = status(g)
        return s['parked'] == n and s['active'] == 0
    try:
        t.until(good, 'parked')
    except t.Failed:
        raise t.Failed('%d parked recipients are wanted: %s' % (n, status(g)))


def order(g, *words):
    r = g.tool('qmgrctl', words[0], '-j', *words[1:])
    if r.returncode:
        raise t.Failed('qmgrctl %s: %d %s' % (' '.join(words), r.returncode, r.stdout))
    return json.loads(r.stdout)


def mailq(g, *words):
    r = g.tool('mailq', '-j', *words)
    if r.returncode:
        raise t.Failed('mailq: %d %s' % (r.returncode, r.stdout))
    return {m['id']: m for m in map(json.loads, r.stdout.splitlines())}


def check_rows(g, what):
    r = g.tool('cdbctl', 'check')
    t.ok(r.returncode == 0, 'each recipient has its rows: ' + what, r.stdout)


def subjects(sink):
    return sorted(m.group(1).decode() for m in (re.search(rb'^Subject: (.*?)\r?$', x, re.M) for x in sink.dumped()))


def finish(g):
    """The queue is empty and nothing is left of what was parked."""
    def counts():
        return {k: status(g)[k] for k in ('messages', 'deferred', 'parked', 'parked_destinations', 'held')}
    g.wait_empty(retry=False)
    try:
        t.until(lambda: not any(counts().values()), 'counts')
        t.ok(True, 'the counts are back at 0')
    except t.Failed:
        t.ok(False, 'the counts are back at 0', counts())
    t.equal(g.stop(), 0, 'clean stop')
    check_rows(g, 'none is left')


# ---- down

def dead_destination():
    folder = t.tmpdir('park')
    dead, live = Dead(), t.Sink(folder, name='live')
    g = gateway(folder, {'dead.test': dead.port, 'live.test': live.port}).start()
    n = 3000
    sources = [source(folder, g, 'dead.test', n // 3, '-r', '3', '-N'), source(folder, g, 'live.test', 300, name='live')]
    t.equal([s.wait()['accepted'] for s in sources], [n // 3, 300], 'mail for both is accepted')
    live.wait('messages', 300)
    t.ok(True, 'the living one gets its mail')
    wait_parked(g, n)
    t.equal(g.stats()['parked_destinations'], 1, 'all of the other is parked under one destination')
    # Cycles: one probe each, and rows for that one.
    probes = g.stats()['probes']
    t.until(lambda: g.stats()['probes'] > probes, 'the end of a cycle: what was parked is on disk')
    s, probes, connections = g.stats(), g.stats()['probes'], dead.count
    t.until(lambda: g.stats()['probes'] >= probes + 3, 'three cycles')
    wait_parked(g, n)
    now = g.stats()
    cycles = now['probes'] - s['probes']
    t.ok(connections + 2 <= dead.count <= connections + cycles + 2, 'one connection per cycle',
         '%d connections in %d cycles' % (dead.count - connections, cycles))
    t.ok(now['db_rows'] - s['db_rows'] <= 10 * (cycles + 1), 'a few rows per cycle, not one per recipient',
         '%d rows in %d cycles' % (now['db_rows'] - s['db_rows'], cycles))
    rows = [json.loads(x) for x in g.tool('qmgrctl', 'destinations', '-j').stdout.splitlines()]
    rows = [r for r in rows if r['parked']]
    t.ok(len(rows) == 1 and rows[0]['parked'] == n and rows[0]['state'] == 'down', 'qmgrctl destinations shows them', rows)
    row = json.loads(g.tool('qmgrctl', 'top', '-j', '-b', 'domain', '-n', '1').stdout.splitlines()[0])
    t.equal((row['domain'], row['deferred'], row['parked']), ('dead.test', n, n), 'so does top')
    # Over kill -9 and a stop.
    g.kill9()
    check_rows(g, 'after kill -9')
    g.start()
    t.equal(status(g)['deferred'], n, 'all are there after kill -9')
    wait_parked(g, n)
    t.equal(g.stop(), 0, 'clean stop')
    t.equal(sum(len(m['recipients']) for m in mailq(g).values()), n, 'mailq of the stopped qmgr has them')
    g.start()
    wait_parked(g, n)
    probes = g.stats()['probes']
    t.until(lambda: g.stats()['probes'] >= probes + 2, 'probes after the start')
    t.ok(source(folder, g, 'dead.test', 10, name='more').wait()['accepted'] == 10, 'more mail for it')
    live.stop()
    dead.close()
    acked = folder + '/acked'
    with open(acked, 'w') as f:
        for name in ('source', 'more'):
            f.write(t.read('%s/%s.acked' % (folder, name)))
    sink = t.Sink(folder, '--acked', acked, port=dead.port)
    sink.wait('recipients', n + 10)
    t.ok(True, 'when it is back all of them come without being told')
    finish(g)
    r = sink.stop()
    t.equal((r['recipients'], r['duplicate_recipients'], r['lost'], r['lost_recipients']), (n + 10, 0, 0, 0), 'exactly once')


def killed_while_it_comes_back():
    """kill -9 while what was parked is being brought and delivered."""
    folder = t.tmpdir('park')
    port, n = t.free_port(), 2000
    g = gateway(folder, {'dead.test': port}, qmgr='AQ_max_entries = 400; smtpc { initial_connections = 3; max_connections = 5; }').start()
    t.equal(source(folder, g, 'dead.test', n).wait()['accepted'], n, 'mail is accepted')
    wait_parked(g, n)
    sink = t.Sink(folder, '--acked', folder + '/source.acked', '--delay', 'dot:2ms', port=port)
    for i in range(4):
        sink.wait('messages', (i + 1) * n // 6)
        g.kill9()
        check_rows(g, 'after kill -9 number %d' % (i + 1))
        g.start()
        s = status(g)
        t.ok(s['parked'] <= s['deferred'] <= n and s['messages'] > 0, 'the rest is queued', s)
    finish(g)
    r = sink.stop()
    t.equal((r['lost'], r['lost_recipients']), (0, 0), 'none is lost')
    # What was delivered in the last max_commit_delay before each of them.
    t.ok(r['duplicates'] < n // 2, '%d arrive twice' % r['duplicates'])


def going_up_and_down():
    """A host that dies again while its mail comes back."""
    folder = t.tmpdir('park')
    port, n = t.free_port(), 1500
    g = gateway(folder, {'dead.test': port}, qmgr='AQ_max_entries = 300;').start()
    t.equal(source(folder, g, 'dead.test', n).wait()['accepted'], n, 'mail is accepted')
    wait_parked(g, n)
    got = 0
    for i in range(3):
        sink = t.Sink(folder, '--delay', 'dot:5ms', name='sink%d' % i, port=port)
        sink.wait('messages', 100)
        r = sink.stop()
        got += r['messages']
        t.until(lambda: status(g)['active'] == 0, 'what is left is parked')
        s = status(g)
        # Those whose session was cut off wait each for its own time.
        t.ok(s['parked'] > s['messages'] // 2, 'what is left waits together', s)
        t.ok(s['messages'] >= n - got, 'nothing is lost: %d delivered, %d wait' % (got, s['messages']))
    sink = t.Sink(folder, name='last', port=port)
    g.wait_empty(retry=False)
    got += sink.ask()['messages']
    t.ok(got >= n, '%d of %d arrived' % (got, n))
    finish(g)


# ---- time

def warned_and_returned():
    """The destination is never tried again in the time of the test: what is parked has its own times."""
    folder = t.tmpdir('park')
    dead, live = Dead(), t.Sink(folder, name='live', dump=True)
    options = dict(SLOW, queue_delay_timeout='2s', queue_return_timeout='6s')
    g = gateway(folder, {'dead.test': dead.port, 'source.test': live.port}, options=options).start()
    ids = [send(g, 'fred@dead.test', subject='a')]
    t.until(lambda: status(g)['parked'] == 1, 'the first is parked')
    ids.append(send(g, 'fred@dead.test', subject='b'))
    t.until(lambda: status(g)['parked'] == 2, 'both are parked')
    parked = [m['recipients'][0] for m in mailq(g).values()]
    t.equal([(r['state'], r['parked'], r['attempts']) for r in parked], [('deferred', 'down', 1), ('deferred', 'down', 0)],
            'the second was not tried')
    t.ok(all('all hosts of this destination are down' in m['recipients'][0]['last_reply'] for i, m in mailq(g).items() if i == ids[1]),
         'and says why')
    t.until(lambda: subjects(live) == ['Delayed mail'] * 2, 'a warning for each')
    t.ok(True, 'the sender is warned')
    t.equal(sorted(mailq(g, 'state=deferred')), sorted(ids), 'they are parked still')
    t.equal(g.stop(), 0, 'clean stop')
    g.start()
    t.until(lambda: subjects(live) == ['Delayed mail'] * 2 + ['Undeliverable mail'] * 2, 'a bounce for each')
    t.ok(True, 'and gets them back, after a restart')
    t.equal(dead.count, 1, 'nobody tried the destination for that')
    bounces = [m for m in live.dumped() if b'Undeliverable' in m]
    t.ok(sum(b'all hosts of this destination are down' in m for m in bounces) == 1, 'with the reason', bounces)
    finish(g)


# ---- suspended

def suspended():
    folder = t.tmpdir('park')
    sink, n = t.Sink(folder, '--acked', folder + '/source.acked'), 1500
    g = gateway(folder, {'.': sink.port}).start()
    g.tool('qmgrctl', 'suspend', 'domain=slow.test')
    t.equal(source(folder, g, 'slow.test', n).wait()['accepted'], n, 'mail for it is accepted')
    wait_parked(g, n)
    t.equal(source(folder, g, 'other.test', 50, name='other').wait()['accepted'], 50, 'mail for another at the same host')
    sink.wait('messages', 50)
    t.ok(True, 'is delivered')
    m = next(iter(mailq(g, 'domain=slow.test').values()))['recipients'][0]
    t.ok(m['parked'] == 'suspended' and m['suspended'] == 1 and m['attempts'] == 0, 'the listing says why', m)
    # An order is answered when all before it is on the disk.
    order(g, 'retry', 'domain=slow.test')
    wait_parked(g, n)
    rows = g.stats()['db_rows']
    order(g, 'retry', 'domain=slow.test')
    wait_parked(g, n)
    t.ok(g.stats()['db_rows'] - rows < 100, 'telling it to be tried changes nothing', '%d rows' % (g.stats()['db_rows'] - rows))
    g.kill9()
    check_rows(g, 'after kill -9')
    g.start()
    t.equal(status(g)['parked'], n, 'all of them after kill -9')
    g.tool('qmgrctl', 'resume', 'all')
    sink.wait('messages', n + 50)
    t.ok(True, 'resumed, all are delivered')
    finish(g)
    r = sink.stop()
    t.equal((r['messages'], r['duplicates'], r['lost']), (n + 50, 0, 0), 'exactly once')


def ended_and_killed():
    """kill -9 right after the end of a suspension: what is left of it comes with the start."""
    folder = t.tmpdir('park')
    sink, n = t.Sink(folder, '--delay', 'dot:10ms'), 1000
    g = gateway(folder, {'.': sink.port}, qmgr='AQ_max_entries = 200; smtpc { initial_connections = 2; max_connections = 2; }').start()
    g.tool('qmgrctl', 'suspend', 'all')
    t.equal(source(folder, g, 'slow.test', n).wait()['accepted'], n, 'mail is accepted')
    wait_parked(g, n)
    g.tool('qmgrctl', 'resume', 'all')
    sink.wait('messages', 20)
    g.kill9()
    g.start()
    finish(g)
    r = sink.stop()
    t.ok(r['distinct'] == n, 'all of %d arrive' % n, r)


# ---- share

def slow_destination():
    folder = t.tmpdir('park')
    slow, live = t.Sink(folder, '--limit', '30/s', name='slow'), t.Sink(folder, name='live')
    g = gateway(folder, {'slow.test': slow.port, 'live.test': live.port},
                qmgr='AQ_max_entries = 500; smtpc { initial_connections = 5; max_connections = 5; }').start()
    n = 5000
    t.equal(source(folder, g, 'slow.test', n // 5, '-r', '5', '-N').wait()['accepted'], n // 5, '5000 recipients for a slow destination')
    s = status(g)
    t.ok(s['parked'] > n // 2 and s['active'] <= 250, 'it has half of the active queue, the others are parked', s)
    t.equal(source(folder, g, 'live.test', 200, name='live').wait()['accepted'], 200, 'mail for another')
    live.wait('messages', 200)
    s, got = status(g), slow.ask()['recipients']
    t.ok(s['parked'] > n // 2 and got < n // 2, 'is delivered while the slow one still waits', (s, got))
    t.ok(s['active'] <= 300, 'the active queue stays free', s)
    # It goes on: what is parked comes back as there is room, oldest first.
    slow.wait('recipients', got + 400)
    s = status(g)
    rows = [json.loads(x) for x in g.tool('qmgrctl', 'destinations', '-j').stdout.splitlines()]
    t.equal([r['state'] for r in rows if r['parked']], ['busy'], 'and is called busy')
    left = sorted(m for m, v in mailq(g, 'state=deferred').items())
    r = order(g, 'delete', 'domain=slow.test')
    t.ok(r['failed'] == 0 and left, 'the rest is deleted', r)
    t.until(lambda: not status(g)['messages'], 'its end')
    finish(g)


def large_list():
    """One list to one destination, larger than AQ, from one message."""
    folder = t.tmpdir('park')
    sink, live = t.Sink(folder, '--delay', 'dot:100ms', name='list'), t.Sink(folder, name='live')
    g = gateway(folder, {'list.test': sink.port, 'live.test': live.port},
                qmgr='AQ_max_entries = 200; smtpc { initial_connections = 1; max_connections = 1; smtp_max_rcpts_per_transaction = 20; }').start()
    r = source(folder, g, 'list.test', 1, '-r', '1000', '-N', '-s', '1').wait()
    n = r['recipients']
    t.equal((r['accepted'], n), (1, 1000), 'one message with five times as many recipients as AQ has')
    t.ok(status(g)['parked'] > 0, 'more than the share of their destination')
    t.equal(source(folder, g, 'live.test', 50, name='live').wait()['accepted'], 50, 'mail for another')
    live.wait('messages', 50)
    t.ok(sink.ask()['recipients'] < n, 'is delivered before the list')
    sink.wait('recipients', n)
    finish(g)
    r = sink.stop()
    t.equal((r['recipients'], r['duplicate_recipients']), (n, 0), 'the list is delivered, exactly once')


# ---- orders

def orders():
    folder = t.tmpdir('park')
    dead, live = Dead(), t.Sink(folder, name='live')
    g = gateway(folder, {'dead.test': dead.port, 'live.test': live.port}, options=SLOW).start()
    n = 1200
    t.equal(source(folder, g, 'dead.test', n).wait()['accepted'], n, 'mail is accepted')
    wait_parked(g, n)
    ids = sorted(mailq(g))
    r = order(g, 'hold', *ids[:400])
    t.equal((r['done'], r['failed'], r['in_progress']), (400, 0, 0), '400 are held')
    s = status(g)
    t.equal((s['held'], s['parked'], s['deferred']), (400, n - 400, n - 400), 'and parked no more')
    g.kill9()
    check_rows(g, 'after kill -9')
    g.start()
    s = status(g)
    t.equal((s['held'], s['parked']), (400, n - 400), 'the same after a restart')
    connections = dead.count
    order(g, 'retry', ids[500])
    t.until(lambda: dead.count > connections, 'a connection')
    t.ok(True, 'one that is to be tried now is tried')
    t.until(lambda: mailq(g, ids[500])[ids[500]]['recipients'][0]['attempts'] > 0, 'its attempt')
    wait_parked(g, n - 400)
    connections = dead.count
    order(g, 'retry', 'state=deferred')
    t.until(lambda: dead.count > connections, 'a connection')
    wait_parked(g, n - 400)
    t.ok(dead.count <= connections + 3, 'when all are to be tried one is, for all of them', dead.count - connections)
    m = mailq(g)
    tried = sum(x['recipients'][0]['attempts'] for x in m.values())
    t.ok(tried <= 20, 'the others were not tried', '%d attempts' % tried)
    r = order(g, 'reroute', '[127.0.0.1]:%d' % live.port, *ids[600:900])
    t.equal(r['done'], 300, '300 get another destination')
    live.wait('messages', 300)
    t.ok(True, 'which gets them')
    r = order(g, 'delete', *ids[900:])
    t.equal(r['done'], 300, '300 are deleted')
    t.until(lambda: status(g)['parked'] == 200, '200 are parked')
    r = order(g, 'release', 'state=held')
    t.equal(r['done'], 400, 'the held ones are released')
    wait_parked(g, 600)
    t.ok(True, 'and parked again')
    text = g.tool('qmgrctl', 'show', ids[550]).stdout
    t.ok('  state:    deferred\n' in text and '  parked:   down\n' in text and '  next:     ' in text, 'show', text)
    dead.close()
    sink = t.Sink(folder, port=dead.port)
    order(g, 'retry', 'all')
    sink.wait('messages', 600)
    finish(g)
    t.equal((sink.stop()['messages'], live.stop()['messages']), (600, 300), 'each arrived where it was sent, once')


if __name__ == '__main__':
    t.main(dead_destination, killed_while_it_comes_back, going_up_and_down, warned_and_returned, suspended, ended_and_killed,
           slow_destination, large_list, orders)
