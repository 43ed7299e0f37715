#!/usr/bin/env python3
"""mailq, qmgrctl and cdbctl with the real gateway: what the operator sees, and what happens when he says something.

Hold, release, delete with and without notice, reroute, retry, suspend; in each state a recipient can be in, over
restarts and kill -9; listings in pages; the queue of a stopped qmgr; a new database from the content database;
statistics. TAP; details in smxtest.py.
"""
import collections
import json
import os
import re
import shutil
import smtplib
import socket
import subprocess
import threading
import time

import smxtest as t

BODY = 'From: <joe@source.test>\r\nSubject: %s\r\n\r\nline one\r\n.dot\r\n'


# ---- helpers

def gateway(folder, port, slow_retries=True, **kw):
    """Retries are not before an hour, so that only what is ordered happens."""
    g = t.Gateway(folder, port, **kw)
    if slow_retries:
        text = t.read(g.conf).replace('retry_min_delay = 1s; retry_max_delay = 2s', 'retry_min_delay = 1h; retry_max_delay = 2h')
        g.write('smx.conf', text)
    return g


def send(g, *rcpts, sender='joe@source.test', subject='test'):
    """One message; its id."""
    with smtplib.SMTP('127.0.0.1', g.port, 'client.test', t.LONG) as s:
        s.ehlo()
        s.mail(sender)
        for r in rcpts:
            code, text = s.rcpt(r)
            if code != 250:
                raise t.Failed('RCPT: %d %s' % (code, text))
        code, text = s.data(BODY % subject)
        m = re.search(rb'S[0-9A-F]{18}', text)
        if code != 250 or not m:
            raise t.Failed('DATA: %d %s' % (code, text))
        return m.group(0).decode()


def ctl(g, *words):
    return g.tool('qmgrctl', *words)


def order(g, *words):
    """The numbers that a change answers with."""
    r = g.tool('qmgrctl', words[0], '-j', *words[1:])
    if r.returncode:
        raise t.Failed('qmgrctl %s: %d %s' % (' '.join(words), r.returncode, r.stdout))
    return json.loads(r.stdout)


def mailq(g, *words):
    """id -> message"""
    r = g.tool('mailq', '-j', *words)
    if r.returncode:
        raise t.Failed('mailq: %d %s' % (r.returncode, r.stdout))
    return {m['id']: m for m in map(json.loads, r.stdout.splitlines())}


def states(g, *words):
    """(id, address) -> state"""
    return {(m['id'], r['address']): r['state'] for m in mailq(g, *words).values() for r in m['recipients']}


def wait_states(g, want, *words):
    def good():
        return states(g, *words) == want
    try:
        t.until(good, 'states')
    except t.Failed:
        raise t.Failed('states are %r, wanted %r' % (states(g, *words), want))
    return True


def wait_tried(g, n):
    """n recipients wait, tried or parked as their destination is down."""
    t.until(lambda: sum(r['state'] == 'deferred' and (r['attempts'] > 0 or 'parked' in r) for m in mailq(g).values() for r in m['recipients']) == n,
            '%d deferred recipients' % n)


def subjects(sink):
    return sorted(re.search(rb'^Subject: (.*?)\r?$', m, re.M).group(1).decode() for m in sink.dumped())


def wait_subjects(sink, want, what):
    try:
        t.until(lambda: subjects(sink) == sorted(want), 'deliveries')
        t.ok(True, what)
    except t.Failed:
        t.ok(False, what, 'arrived: %s, wanted %s' % (subjects(sink), sorted(want)))


# ---- one recipient after the other

def hold_and_release():
    folder = t.tmpdir('admin')
    port = t.free_port()
    g = gateway(folder, port).start()
    a, b, c = (send(g, 'fred@sink.test', subject=s) for s in 'abc')
    wait_tried(g, 3)
    r = order(g, 'hold', a, b)
    t.equal((r['messages'], r['done'], r['in_progress']), (2, 2, 0), 'two are held')
    g.kill9()
    t.equal(states(g), {(a, 'fred@sink.test'): 'held', (b, 'fred@sink.test'): 'held', (c, 'fred@sink.test'): 'deferred'},
            'when it is told it is on disk: kill -9, then mailq of the stopped qmgr')
    g.start()
    t.equal(states(g, 'state=held'), {(a, 'fred@sink.test'): 'held', (b, 'fred@sink.test'): 'held'}, 'held over the restart')
    t.equal(order(g, 'hold', 'all')['done'], 1, 'what is held already is left as it is')
    t.equal(order(g, 'release', c)['done'], 1, 'one is released')
    sink = t.Sink(folder, port=port, dump=True)
    order(g, 'retry', 'all')
    wait_subjects(sink, 'c', 'retry does not touch what is held')
    t.equal(order(g, 'release', 'to=fred@*')['done'], 2, 'the others are released')
    wait_subjects(sink, 'abc', 'and delivered')
    g.wait_empty()
    t.equal(g.stop(), 0, 'clean stop')


def several_recipients():
    """One message, its recipients in different states."""
    folder = t.tmpdir('admin')
    port = t.free_port()
    g = gateway(folder, port).start()
    m = send(g, *('%s@sink.test' % x for x in 'abcd'))
    wait_tried(g, 4)
    order(g, 'hold', 'to=a@*')
    order(g, 'delete', 'to=b@*')
    want = {(m, 'a@sink.test'): 'held', (m, 'c@sink.test'): 'deferred', (m, 'd@sink.test'): 'deferred'}
    t.equal(states(g), want, 'each has its own')
    t.equal(states(g, m, 'not state=held'), {k: v for k, v in want.items() if v != 'held'}, 'a selector is about recipients')
    r = ctl(g, 'show', m)
    t.ok(r.returncode == 0 and '<a@sink.test>\n  state:    held' in r.stdout and '<b@' not in r.stdout, 'show', r.stdout)
    r = ctl(g, 'show', '-c', m)
    t.ok('\nSubject: test\n\nline one\n.dot\n' in r.stdout, 'show with content: lines as they were', r.stdout)
    r = ctl(g, 'show', '-j', m)
    t.equal(len(json.loads(r.stdout)['recipients']), 3, 'show as JSON')
    g.stop()
    t.equal(states(g), want, 'the same when qmgr is stopped')
    g.start()
    sink = t.Sink(folder, port=port)
    order(g, 'retry', 'all')
    t.until(lambda: states(g) == {(m, 'a@sink.test'): 'held'}, 'two deliveries')
    order(g, 'release', m)
    g.wait_empty()
    t.equal(sink.stop()['recipients'], 3, 'three recipients arrived, the deleted one did not')


def delete_with_notice():
    folder = t.tmpdir('admin')
    port = t.free_port()
    g = gateway(folder, port).start()
    a = send(g, 'fred@sink.test', subject='a')
    b = send(g, 'fred@sink.test', subject='b')
    c = send(g, 'fred@sink.test', subject='c', sender='')
    wait_tried(g, 3)
    t.equal(order(g, 'delete', a)['done'], 1, 'deleted')
    t.ok(a not in mailq(g) and len(mailq(g)) == 2, 'it is gone, nobody is told')
    t.equal(order(g, 'delete', '-d', b, c)['done'], 2, 'deleted with a notice')
    left = mailq(g)
    t.ok(b not in left and c not in left and len(left) == 1, 'one notice: none for the null sender', left)
    g.kill9()
    t.equal(list(mailq(g)), list(left), 'the notice is on disk, the others do not come back')
    g.start()
    sink = t.Sink(folder, port=port, dump=True)
    g.wait_empty()
    m = sink.dumped()
    t.ok(len(m) == 1 and b'Undeliverable mail' in m[0] and b'fred@sink.test' in m[0] and b'administrator' in m[0],
         'the sender hears why', m)


def reroute():
    folder = t.tmpdir('admin')
    port = t.free_port()
    g = gateway(folder, port).start()
    other = t.Sink(folder, name='other', dump=True)
    to = '[127.0.0.1]:%d' % other.port
    a, b, c = (send(g, 'fred@sink.test', subject=s) for s in 'abc')
    wait_tried(g, 3)
    order(g, 'hold', b)
    t.equal(order(g, 'reroute', to, a)['done'], 1, 'rerouted')
    wait_subjects(other, 'a', 'it goes to the other host')
    t.equal(order(g, 'reroute', to, b)['done'], 1, 'also what is held')
    m = mailq(g)[b]['recipients'][0]
    t.ok(m['state'] == 'held' and m['route'] == to and m['rerouted'], 'which stays held', m)
    t.equal(list(mailq(g, 'host=' + to)), [b], 'and is found by its new host')
    g.kill9()
    g.start()
    order(g, 'release', b)
    wait_subjects(other, 'ab', 'the route is kept over kill -9')
    order(g, 'hold', c)
    order(g, 'reroute', to, c)
    t.equal(order(g, 'reroute', 'auto', c)['done'], 1, 'back to what smar says')
    sink = t.Sink(folder, port=port, dump=True)
    order(g, 'release', 'all')
    wait_subjects(sink, 'c', 'it goes where it went before')
    d = send(g, 'fred@sink.test', subject='d')
    wait_subjects(sink, 'cd', 'so does new mail')
    sink.stop()
    d = send(g, 'fred@sink.test', 'joe@sink.test', subject='e')
    wait_tried(g, 2)
    t.equal(order(g, 'reroute', 'discard:', d)['done'], 2, 'to nowhere')
    t.until(g.is_empty, 'it is gone')
    for words in (('reroute', 'mail.example.com', 'all'), ('reroute', '[1.2.3.4', 'all'), ('reroute',), ('reroute', 'lmtp:')):
        t.equal(ctl(g, *words).returncode, 64, 'refused: ' + ' '.join(words))


# ---- recipients that are in the active queue

def while_active():
    folder = t.tmpdir('admin')
    sink = t.Sink(folder, '--delay', 'dot:2s', '--fail', 'dot:451 4.3.0 later:100%')
    g = gateway(folder, sink.port, qmgr='smtpc { initial_connections = 1; max_connections = 1; }').start()
    ids = [send(g, 'fred@sink.test', subject=str(i)) for i in range(8)]
    t.until(lambda: '"attempts":1' in ctl(g, 'status', '-j').stdout, 'one attempt')
    r = order(g, 'hold', 'all')
    t.ok(r['done'] == 7 and r['in_progress'] == 1, 'seven wait and are held at once, one is being tried', r)
    wait_states(g, {(i, 'fred@sink.test'): 'held' for i in ids})
    t.ok(True, 'it is held when its attempt has ended')
    order(g, 'release', 'all')
    t.until(lambda: '"attempts":1' in ctl(g, 'status', '-j').stdout, 'one attempt')
    r = order(g, 'delete', 'all')
    t.ok(r['done'] + r['in_progress'] == 8 and r['in_progress'] >= 1, 'deleted, as far as they are not being tried', r)
    t.until(g.is_empty, 'the last one is deleted when its attempt has ended')
    t.equal(sink.stop()['messages'], 0, 'nothing was delivered')


def delivered_meanwhile():
    folder = t.tmpdir('admin')
    sink = t.Sink(folder, '--delay', 'dot:1s')
    g = gateway(folder, sink.port, qmgr='smtpc { initial_connections = 1; max_connections = 1; }').start()
    send(g, 'fred@sink.test')
    t.until(lambda: '"attempts":1' in ctl(g, 'status', '-j').stdout, 'one attempt')
    r = order(g, 'delete', 'all')
    t.equal((r['done'], r['in_progress']), (0, 1), 'it is being tried')
    t.until(g.is_empty, 'its end')
    t.equal(sink.stop()['messages'], 1, 'what is delivered is delivered')
    t.equal(g.stats()['deleted'], 0, 'and counts as that')


# ---- suspending

def suspend_and_resume():
    folder = t.tmpdir('admin')
    sink = t.Sink(folder, dump=True)
    g = gateway(folder, sink.port).start()
    r = ctl(g, 'suspend', 'domain=slow.test')
    t.ok(r.returncode == 0 and 'number 1' in r.stdout, 'suspended', r.stdout)
    a = send(g, 'fred@slow.test', subject='a')
    send(g, 'fred@sink.test', subject='b')
    wait_subjects(sink, 'b', 'others are delivered')
    t.until(lambda: states(g) == {(a, 'fred@slow.test'): 'deferred'}, 'the suspended one waits')
    m = mailq(g)[a]['recipients'][0]
    t.ok(m['suspended'] == 1 and m['attempts'] == 0, 'which says why, and was not tried', m)
    t.ok('(suspension 1)' in g.tool('mailq').stdout, 'also in the listing for people')
    order(g, 'retry', 'all')
    t.equal(states(g), {(a, 'fred@slow.test'): 'deferred'}, 'also when it is told to be tried now')
    g.kill9()
    t.equal(mailq(g)[a]['recipients'][0]['suspended'], 1, 'mailq of the stopped qmgr knows it')
    g.start()
    t.ok('domain=slow.test' in ctl(g, 'suspensions').stdout, 'it is kept over kill -9')
    c = send(g, 'fred@slow.test', subject='c')
    t.until(lambda: (c, 'fred@slow.test') in states(g, 'state=deferred'), 'new mail waits too')
    t.equal(ctl(g, 'resume', '2').returncode, 69, 'no such suspension')
    t.equal(ctl(g, 'resume', 'domain=slow.test').returncode, 0, 'resumed')
    wait_subjects(sink, 'abc', 'all are delivered')
    t.ok('Nothing' in ctl(g, 'suspensions').stdout, 'nothing is suspended any more')
    for words in (('suspend',), ('suspend', 'state=held'), ('suspend', 'older=1h'), ('suspend', '-e', 'soon', 'all'),
                  ('suspend', '-e', '2001-01-01', 'all'), ('suspend', 'reply=4xx')):
        t.equal(ctl(g, *words).returncode, 64, 'refused: ' + ' '.join(words))
    t.equal(ctl(g, 'suspend', '-e', time.strftime('%H:%M'), 'domain=day.test').returncode, 0, 'a time of the day that is over')
    s = json.loads(ctl(g, 'suspensions', '-j').stdout)
    t.ok(22 * 3600 < s['until'] - time.time() <= 26 * 3600, 'means tomorrow', s)


def suspend_what_waits():
    folder = t.tmpdir('admin')
    sink = t.Sink(folder, '--delay', 'dot:500ms')
    g = gateway(folder, sink.port, qmgr='smtpc { initial_connections = 1; max_connections = 1; }').start()
    for i in range(6):
        send(g, 'fred@sink.test')
    r = ctl(g, 'suspend', '-e', '3s', 'host=127.0.0.1')
    t.equal(r.returncode, 0, 'suspended with an end')
    t.until(lambda: json.loads(ctl(g, 'status', '-j').stdout)['active'] == 0, 'the queue of the destination is empty')
    left = len(states(g, 'state=deferred'))
    t.ok(left >= 4, '%d of 6 wait in the database' % left)
    g.wait_empty(retry=False)
    t.equal(sink.stop()['messages'], 6, 'when the time is over they are delivered')


# ---- many

def many():
    """20,000 recipients, most of them only in the database; mail goes on meanwhile."""
    folder = t.tmpdir('admin')
    port = t.free_port()
    sink = t.Sink(folder, name='other')
    g = gateway(folder, port, qmgr='AQ_max_entries = 5000;').start()
    begin = time.monotonic()
    src = t.Source(folder, g.port, '-m', '2000', '-s', '10', '-r', '10', '-N', '--domains', '50', '-d')
    t.equal(src.wait()['accepted'], 2000, '2000 messages with 10 recipients each')
    t.until(lambda: json.loads(ctl(g, 'status', '-j').stdout)['active'] == 0, 'all are deferred')
    t.diag('accepted and deferred in %.1f s' % (time.monotonic() - begin))

    def timed(what, fn):
        begin = time.monotonic()
        v = fn()
        used = time.monotonic() - begin
        longest = latency(g)
        t.diag('%s: %.2f s, then a message took %.3f s to be accepted' % (what, used, longest))
        return v
    ids = timed('mailq', lambda: mailq(g))
    t.equal((len(ids), sum(len(m['recipients']) for m in ids.values())), (2000, 20000), 'mailq has each of them once')
    t.equal(sorted(ids), list(ids), 'in order')
    text = timed('mailq as text', lambda: g.tool('mailq').stdout)
    t.ok('Total messages: 2001\n' in text, 'and as text', text[-200:])
    order(g, 'delete', 'from=probe@*')
    rows = [json.loads(line) for line in timed('top', lambda: ctl(g, 'top', '-j', '-b', 'domain', '-n', '3')).stdout.splitlines()]
    one, n = rows[0]['domain'], rows[0]['recipients']
    counts = collections.Counter(r['address'].split('@')[1] for m in ids.values() for r in m['recipients'])
    t.equal([(r['domain'], r['recipients']) for r in rows], sorted(counts.items(), key=lambda x: (-x[1], x[0]))[:3],
            'top has the largest groups')
    t.equal(len(timed('mailq of one domain', lambda: states(g, 'domain=' + one))), n, 'a selector')
    r = timed('hold', lambda: order(g, 'hold', 'from=from@*'))
    t.equal((r['done'], r['failed']), (20000, 0), 'all are held')
    s = json.loads(ctl(g, 'status', '-j').stdout)
    t.equal((s['held'], s['active']), (20000, 0), 'and cost no room in the active queue')
    t.equal(timed('release', lambda: order(g, 'release', 'domain=' + one))['done'], n, 'one domain is released')
    r = timed('reroute', lambda: order(g, 'reroute', '[127.0.0.1]:%d' % sink.port, 'not domain=' + one,
                                       'from=from@*'))
    t.equal(r['done'], 20000 - n, 'the others are rerouted')
    g.kill9()
    begin = time.monotonic()
    g.start()
    t.diag('start after kill -9: %.2f s' % (time.monotonic() - begin))
    t.equal(len(states(g, 'state=held')), 20000 - n, 'all that is still there')
    r = timed('release', lambda: order(g, 'release', 'state=held'))
    t.equal(r['done'], 20000 - n, 'the others are released')
    t.until(lambda: not states(g, 'not domain=' + one, 'from=from@*'), 'their delivery', 120)
    r = sink.stop()
    t.equal((r['recipients'], r['duplicate_recipients']), (20000 - n, 0), 'all of these arrived, once')
    timed('delete', lambda: order(g, 'delete', 'all'))
    order(g, 'delete', 'all')
    t.until(g.is_empty, 'the queue is empty')
    s = json.loads(ctl(g, 'status', '-j').stdout)
    t.equal((s['messages'], s['deferred'], s['held'], s['active']), (0, 0, 0, 0), 'the counts are back at 0')


def latency(g):
    begin = time.monotonic()
    send(g, 'fred@probe.test', sender='probe@source.test')
    return time.monotonic() - begin


def under_load():
    """Orders of all kinds while mail comes and goes: nothing is lost, nothing arrives twice."""
    folder = t.tmpdir('admin')
    acked = os.path.join(folder, 'acked')
    sink = t.Sink(folder, '--fail', 'dot:451 4.3.0 later:20%', '--fail', 'rcpt:450 4.2.0 later:10%', '--delay', 'dot:20ms:50%',
                  '--seed', str(t.SEED % 1000000), '--acked', acked)
    g = gateway(folder, sink.port, slow_retries=False,
                qmgr='AQ_max_entries = 500; smtpc { initial_connections = 5; max_connections = 10; }').start()
    sources = [t.Source(folder, g.port, '-m', '1500', '-s', '4', '-r', str(n), '-R', '300/s', '-d', '--domains', '4', '-N', '-l', '300', '--tolerant',
                        name='source%d' % n) for n in (1, 5)]
    to = '[127.0.0.1]:%d' % sink.port
    selectors = ['all', 'domain=d%d.sink.test', 'state=deferred', 'state=active', 'attempts>1', 'id=*%d??', 'newer=1s', 'not domain=d%d.*',
                 'reply=451 or state=held']
    kinds = [('hold',), ('release',), ('retry',), ('reroute', to), ('reroute', 'auto'), ('suspend', '-e', '2s'), ('suspend',), ('resume',)]
    counts, failures = collections.Counter(), []
    end = time.monotonic() + (8 if t.SANITIZED else 4)

    def operator(rng):
        while not failures and (time.monotonic() < end or any(s.proc.poll() is None for s in sources)):
            kind = rng.choice(kinds)
            what = rng.choice(selectors)
            what = what % rng.randrange(10) if '%' in what else what
            if kind[0] == 'resume':
                what = 'all'
            elif kind[0] == 'suspend':
                what = 'domain=d%d.sink.test' % rng.randrange(4)
            r = ctl(g, *kind, what)
            counts[kind[0]] += 1
            if r.returncode and kind[0] != 'resume':
                failures.append('qmgrctl %s %s: %d %s' % (kind, what, r.returncode, r.stdout))
    operators = [threading.Thread(target=operator, args=(t.rng('under_load', i),)) for i in range(4)]
    for x in operators:
        x.start()
    for x in operators:
        x.join()
    t.ok(not failures and len(counts) == 6, '%d orders of all kinds' % sum(counts.values()), (counts, failures))
    for s in sources:
        s.wait()
    ctl(g, 'resume', 'all')
    t.until(lambda: order(g, 'release', 'all')['in_progress'] == 0 and not states(g, 'state=held'), 'nothing is held')
    g.wait_empty()
    with open(acked, 'w') as f:
        for s in sources:
            f.writelines(line + '\n' for line in s.acked())
    t.equal(g.stop(), 0, 'clean stop')
    r = sink.stop()
    t.ok(r['acked'] >= 3000 and not r['lost'] and not r['lost_recipients'], 'none of %d is lost' % r['acked'], r.get('lost_ids'))
    t.equal(r['duplicate_recipients'], 0, 'none arrives twice')


def gone_reader():
    """Who asks for much and reads nothing, or goes away, is in nobody's way."""
    folder = t.tmpdir('admin')
    g = gateway(folder, t.free_port()).start()
    t.Source(folder, g.port, '-m', '300', '-s', '5', '-r', '20', '-N', '-d').wait()
    t.until(lambda: json.loads(ctl(g, 'status', '-j').stdout)['active'] == 0, 'all are deferred')
    socks = []
    for request in (b'list json\n', b'show content all\n', b'hold all\n', b'release all\n', b'top\n', b'retry\n', b'destinations\n',
                    b'suspend domain=none.test\n'):
        for close in (False, True):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(t.LONG)
            s.connect(os.path.relpath(g.path('qmgrctlsock')))
            s.sendall(request)
            if close:
                s.close()
            else:
                socks.append(s)
    t.equal(len(mailq(g)), 300, 'others are served')
    t.until(lambda: order(g, 'release', 'all')['failed'] == 0, 'orders')
    for s in socks:
        s.close()
    t.equal(order(g, 'delete', 'all')['failed'], 0, 'and orders are executed')
    t.until(g.is_empty, 'the queue is empty')
    t.equal(g.stop(), 0, 'clean stop')


# ---- a stopped qmgr, and the content database

def stopped():
    folder = t.tmpdir('admin')
    g = gateway(folder, t.free_port()).start()
    a = send(g, 'fred@sink.test')
    wait_tried(g, 1)
    running = mailq(g)
    t.equal(g.stop(), 0, 'stopped')
    t.equal(mailq(g), running, 'mailq of the stopped qmgr says the same, word by word')
    r = g.tool('mailq')
    t.ok(a in r.stdout and 'Total messages: 1' in r.stdout, 'and as text', r.stdout)
    t.equal(ctl(g, 'status').returncode, 69, 'qmgrctl says that qmgr does not run')
    t.equal(g.tool('mailq', 'to=nobody@*').stdout, 'No message matches\n', 'a selector')
    # The database is 60 s behind: what it does not have is in the content database.
    g.write('smx.conf', t.read(g.conf).replace('qmgr {', 'qmgr { IBDB { max_commit_delay = 60000000; }', 1))
    g.start()
    ids = {send(g, 'fred@sink.test', subject=str(i)) for i in range(20)} | {a}
    g.kill9()
    t.equal(set(mailq(g)), ids, 'what was accepted in the last moments is shown too')
    before = contents(g, 'defedb') + contents(g, 'ibdb')
    g.tool('mailq')
    t.equal(contents(g, 'defedb') + contents(g, 'ibdb'), before, 'looking changes no file')
    g.start()
    t.equal(set(mailq(g)), ids, 'and is there after the start')


def contents(g, name):
    out = []
    for n in sorted(os.listdir(g.path(name))):
        if os.path.isfile(os.path.join(g.path(name), n)):
            with open(os.path.join(g.path(name), n), 'rb') as f:
                out.append((n, f.read()))
    return out


def empty(g, name):
    for n in os.listdir(g.path(name)):
        p = os.path.join(g.path(name), n)
        (shutil.rmtree if os.path.isdir(p) else os.unlink)(p)


def cdb(g, *words):
    return g.tool('cdbctl', *words)


def content_database():
    folder = t.tmpdir('admin')
    port = t.free_port()
    g = gateway(folder, port).start()
    a, b = (send(g, 'fred@sink.test', subject=s) for s in 'ab')
    wait_tried(g, 2)
    order(g, 'delete', b)
    rows = {r['record']: r for r in map(json.loads, cdb(g, 'ls', '-lj').stdout.splitlines()) if 'record' in r}
    t.equal((rows[a]['state'], rows[b]['state']), ('live', 'finished'), 'cdbctl ls beside the running qmgr')
    r = cdb(g, 'check')
    t.ok(r.returncode == 0 and '2 records' in r.stdout, 'check', r.stdout)
    r = cdb(g, 'cat', a)
    t.equal(r.stdout, (BODY % 'a').replace('\r\n', '\n'), 'cat: what the client sent')
    t.ok(cdb(g, 'cat', '-r', a).stdout.startswith('Received: from client.test'), 'with our Received line')
    t.equal(cdb(g, 'cat', 'S000000000000000001').returncode, 66, 'an id that is not there')
    t.equal(cdb(g, 'cat', 'x').returncode, 64, 'no id')
    r = cdb(g, 'rebuild', '-n')
    t.ok(r.returncode == 75 and 'running' in r.stdout, 'no rebuild beside a running qmgr', r.stdout)
    g.stop()
    path = next(os.path.join(g.path(d), n) for d in '0123456789ABCDEF' for n in os.listdir(g.path(d)) if n.startswith('G'))
    with open(path, 'r+b') as f:
        f.seek(rows[b]['offset'] + 300)
        f.write(b'#')
    r = cdb(g, 'check')
    t.ok(r.returncode == 0 and 'not needed' in r.stdout, 'damage that nobody needs', r.stdout)
    with open(path, 'r+b') as f:
        f.seek(rows[a]['offset'] + 300)
        f.write(b'#')
    r = cdb(g, 'check', '-q')
    t.ok(r.returncode == 65 and 'DAMAGED' in r.stdout and a in r.stdout, 'damage of a queued message', r.stdout)
    t.equal(cdb(g, 'cat', a).returncode, 65, 'cat says it too')


def rebuild():
    folder = t.tmpdir('admin')
    sink = t.Sink(folder, dump=True)
    g = gateway(folder, sink.port).start()
    for i in range(5):
        send(g, 'fred@sink.test', subject='old%d' % i)
    wait_subjects(sink, ['old%d' % i for i in range(5)], 'some are delivered')
    ctl(g, 'suspend', 'all')
    ids = {send(g, 'fred@sink.test', subject=s): s for s in 'abc'}
    t.until(lambda: len(states(g, 'state=deferred')) == 3, 'others wait')
    held = list(ids)[0]
    order(g, 'hold', held)
    g.stop()
    t.ok('nothing is to be done' in cdb(g, 'rebuild').stdout, 'a good database is left alone')
    before = mailq(g)
    r = cdb(g, 'rebuild', '-F')
    t.ok(r.returncode == 0 and '3 messages as the old database' in r.stdout, 'a new one from a good one', r.stdout)
    t.equal(mailq(g), before, 'has the same')
    g.start()
    t.equal(states(g, 'state=held'), {(held, 'fred@sink.test'): 'held'}, 'qmgr takes it')
    t.ok('all' in ctl(g, 'suspensions').stdout, 'suspensions too')
    g.stop()
    # Lost.
    empty(g, 'defedb')
    empty(g, 'ibdb')
    r = cdb(g, 'rebuild', '-n')
    t.ok(r.returncode == 0 and '3 queued again, 5 finished' in r.stdout and all(i in r.stdout for i in ids),
         'rebuild -n lists what is there; what was delivered stays delivered', r.stdout)
    t.equal(contents(g, 'defedb')[1:], [], '-n makes nothing but the lock')
    r = cdb(g, 'rebuild')
    t.ok(r.returncode == 0 and '3 queued again, 5 finished' in r.stdout, 'rebuild', r.stdout)
    g.start()
    wait_subjects(sink, ['old%d' % i for i in range(5)] + list('abc'), 'all of them arrive, nothing twice')
    g.wait_empty()


def overwrite(path, at, data=b'this is not what was here'):
    with open(path, 'r+b') as f:
        f.seek(at)
        f.write(data)


def database_files(g, ending, folder='defedb'):
    return sorted(os.path.join(g.path(folder), n) for n in os.listdir(g.path(folder)) if n.endswith(ending) or n.startswith(ending))


def damaged(what, hurt, words):
    """The start ends with one message that says what to do, and is not tried again and again; rebuild brings all back."""
    folder = t.tmpdir('admin')
    port = t.free_port()
    g = gateway(folder, port).start()
    ids = {send(g, 'fred@sink.test', subject=s) for s in 'abc'}
    wait_tried(g, 3)
    g.stop()
    g.start()           # so that there are tables
    ids |= {send(g, 'fred@sink.test', subject=s) for s in 'de'}
    wait_tried(g, 5)
    for _ in range(3):  # and a log with several writes
        t.equal(ctl(g, 'suspend', 'domain=none.test').returncode, 0, 'a write')
    g.kill9()
    hurt(g)
    g.launch()
    t.until(lambda: 'it stays down' in g.log('mcp'), 'mcp gives up')
    said = [line for line in g.log('qmgr').splitlines() if 'cdbctl rebuild' in line]
    t.ok(len(said) == 1 and all(w in said[0] for w in ('defedb', 'sev=CRIT') + words), what + ': qmgr says once what is wrong and what to do', said)
    g.stop()
    g.kill9()
    r = cdb(g, 'rebuild', '-n')
    t.ok(r.returncode == 0 and all(i in r.stdout for i in ids), what + ': rebuild -n lists them', r.stdout)
    r = subprocess.run([os.path.join(t.BIN, 'cdbctl'), 'rebuild'], cwd=g.spool, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       env=t.leaky_env())
    t.ok(r.returncode == 0 and 'Made' in r.stdout, what + ': rebuild, by root if that is who we are', r.stdout)
    t.equal(set(mailq(g)), ids, what + ': all are there')
    modes = {os.stat(f).st_uid for d in ('defedb', 'ibdb') for f in database_files(g, '', d)}
    t.equal(modes, {os.stat(g.path('defedb')).st_uid}, what + ': the new files belong to the owner')
    sink = t.Sink(folder, port=port)
    g.start()
    g.wait_empty()
    t.equal(sink.stop()['distinct_recipients'] or 5, 5, what + ': and arrive')
    t.end_all()


def damaged_database():
    def middle_of_log(g):
        path = max(database_files(g, '.log', 'ibdb'), key=os.path.getsize)
        overwrite(path, 60)

    def one_table(g):
        for path in database_files(g, '.sst'):
            overwrite(path, 10)

    def no_tables(g):
        for path in database_files(g, '.sst'):
            os.unlink(path)
    damaged('MANIFEST', lambda g: overwrite(database_files(g, 'MANIFEST')[-1], 20), ('Corruption',))
    damaged('CURRENT', lambda g: overwrite(g.path('defedb/CURRENT'), 0), ())
    damaged('no CURRENT', lambda g: os.unlink(g.path('defedb/CURRENT')), ('missing',))
    damaged('a table', one_table, ('Corruption',))
    damaged('no table', no_tables, ())
    damaged('log', middle_of_log, ('.log is damaged at byte', 'ibdb'))


def torn_log():
    """What a power cut leaves of the last write is normal."""
    folder = t.tmpdir('admin')
    g = gateway(folder, t.free_port()).start()
    ids = {send(g, 'fred@sink.test', subject=s) for s in 'abc'}
    wait_tried(g, 3)
    g.kill9()
    path = max(database_files(g, '.log', 'ibdb'), key=os.path.getsize)
    with open(path, 'r+b') as f:
        f.truncate(os.path.getsize(path) - 9)
    t.equal(set(mailq(g)), ids, 'mailq')
    g.start()
    t.equal(set(mailq(g)), ids, 'qmgr')
    t.equal(g.stop(), 0, 'clean stop')


def log_directory():
    """The option changes, and what is in the log only is not lost: after kill -9, in the middle of it, and when the old one is gone."""
    folder = t.tmpdir('admin')
    g = gateway(folder, t.free_port()).start()
    first = t.read(g.conf)

    def use(name):
        g.write('smx.conf', first.replace('qmgr {', 'qmgr { DEFEDB { log_directory = "%s"; }' % name, 1))
    ids = {send(g, 'fred@sink.test', subject=s) for s in 'abc'}
    wait_tried(g, 3)
    order(g, 'hold', 'all')
    g.kill9()
    held = states(g)
    t.equal(set(held.values()), {'held'}, 'what was done last is in the log')
    use('log2')
    t.equal(states(g), held, 'mailq reads the log where it is')
    g.start()
    t.equal(states(g), held, 'all of them after the change')
    t.ok(not database_files(g, '.log', 'ibdb') and database_files(g, '.log', 'log2'), 'the log is in the new folder')
    ids |= {send(g, 'fred@sink.test', subject=s) for s in 'de'}
    t.until(lambda: len(states(g, 'state=deferred')) == 2, 'two more')
    order(g, 'hold', 'all')
    g.kill9()
    held = states(g)
    t.equal((set(held.values()), len(held)), ({'held'}, 5), 'more in the log')
    # Killed in the middle of changes, several times.
    rng = t.rng('log_directory')
    for n, name in enumerate(('ibdb', 'log3', 'log2', 'ibdb', 'log4')):
        use(name)
        g.launch()
        time.sleep(rng.random() * 0.15)         # no test depends on where it is then
        g.kill9()
        if states(g) != held:
            t.ok(False, 'change %d loses nothing' % n, (states(g), held))
    g.start()
    t.equal(states(g), held, 'nothing is lost by kill -9 in the middle of five changes')
    g.kill9()
    os.rename(g.path('log4'), g.path('away'))
    use('log5')
    for where in ('gone', 'empty'):
        before = g.log('mcp').count('it stays down')
        g.launch()
        t.until(lambda: g.log('mcp').count('it stays down') > before, 'mcp gives up')
        line = [x for x in g.log('qmgr').splitlines() if 'DEFEDB.log_directory' in x][-1]
        t.ok(g.path('log4') in line and 'cdbctl rebuild' in line and 'sev=CRIT' in line, 'the old folder is %s: qmgr says so' % where, line)
        g.stop()
        g.kill9()
        if where == 'gone':
            os.mkdir(g.path('log4'))
            t.own(g.path('log4'))
    os.rmdir(g.path('log4'))
    os.rmdir(g.path('log5'))
    os.rename(g.path('away'), g.path('log5'))
    g.start()
    t.equal(states(g), held, 'moved by hand it is known again')
    t.equal(g.stop(), 0, 'clean stop')


# ---- statistics, and the words of the tools

def statistics():
    folder = t.tmpdir('admin')
    sink = t.Sink(folder, '--fail', 'rcpt:550 5.1.1 no:100%:bad', '--fail', 'rcpt:450 4.2.1 busy:100%:busy')
    g = gateway(folder, sink.port).start()
    s = g.stats()
    classes = ['class=%s,stage=%s' % (c, st) for c in ('2xx', '4xx', '5xx')
               for st in 'connect greeting ehlo starttls auth mail rcpt data dot content'.split()]
    t.equal(s['replies'], dict.fromkeys(classes, 0), 'all classes of replies are there from the start')
    send(g, 'good@sink.test', 'busy@sink.test', 'bad@sink.test')
    t.until(lambda: g.stats()['dsns'] == 1 and g.stats()['recipients']['queue=deferred'] == 1, 'results')
    t.until(lambda: g.stats()['delivered'] == 2 and g.stats()['messages'] == 1, 'the notice is delivered')
    s = g.stats()
    t.equal([s[k] for k in ('accepted', 'accepted_recipients', 'deferred', 'bounced')], [1, 3, 1, 1], 'counters')
    got = {k: v for k, v in s['replies'].items() if v}
    t.equal(got, {'class=2xx,stage=dot': 2, 'class=4xx,stage=rcpt': 1, 'class=5xx,stage=rcpt': 1}, 'replies by class and stage')
    t.ok(s['messages'] == 1 and s['oldest_age_seconds'] < 60 and s['queue_seconds']['count'] == 2, 'sizes and ages', s)
    t.equal(s['feedback_cause'], {'cause=%s' % c: 0 for c in ('disk', 'iqdb', 'aq', 'backlog', 'memory', 'commit')}, 'feedback and its causes')
    with socket.socket(socket.AF_UNIX) as k:
        k.settimeout(t.LONG)
        k.connect(os.path.relpath(g.path('qmgrctlsock')))
        k.sendall(b'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
        page = b''.join(iter(lambda: k.recv(65536), b'')).decode()
    t.ok(page.startswith('HTTP/1.0 200') and page.endswith('# EOF\n'), 'metrics by HTTP')
    t.ok('smx_qmgr_replies_total{class="5xx",stage="rcpt"} 1\n' in page and 'smx_qmgr_recipients{queue="deferred"} 1\n' in page and
         page.count('# TYPE smx_qmgr_replies counter') == 1 and 'smx_qmgr_commit_usec_bucket{le="' in page, 'with labels', page)
    t.equal(ctl(g, 'stats', '-m').stdout, re.split('\r\n\r\n', ctl(g, 'stats', '-m').stdout)[0], 'qmgrctl stats -m')


def words():
    folder = t.tmpdir('admin')
    g = gateway(folder, t.free_port()).start()
    t.equal(g.tool('mailq').stdout, 'Mail queue is empty\n', 'an empty queue')
    t.equal(g.tool('mailq', '-j').stdout, '', 'as JSON')
    for argv, code, part in ((('mailq', '-h'), 0, 'usage: mailq'), (('qmgrctl', '-h'), 0, 'usage: qmgrctl'),
                             (('cdbctl', '-h'), 0, 'usage: cdbctl'), (('mailq', '-V'), 0, 'smX'), (('cdbctl',), 64, 'usage'),
                             (('cdbctl', 'nothing'), 64, 'usage'), (('qmgrctl', 'nothing'), 64, 'unknown command'),
                             (('mailq', 'too=a'), 64, "'too' is no key"), (('mailq', 'to=a', 'or'), 64, '\n         ^\n'),
                             (('qmgrctl', 'hold'), 64, 'needs a selector'), (('qmgrctl', 'delete', ''), 64, 'which recipients'),
                             (('qmgrctl', 'delete', 'fred@sink.test'), 64, 'to=fred@sink.test'),
                             (('qmgrctl', 'show', '-x', 'all'), 64, 'show'), (('mailq', '-d', '/nowhere'), 66, '/nowhere'),
                             (('mailq', '-f', '/nowhere'), 78, '/nowhere'), (('qmgrctl', 'log_level', 'x'), 64, 'number'),
                             (('qmgrctl', 'status', 'x'), 64, "unexpected 'x'"), (('qmgrctl', 'stats', 'x'), 64, "unexpected 'x'"),
                             (('qmgrctl', 'suspend', 'state=held'), 64, 'only from, to'),
                             (('qmgrctl', 'reroute', '[192.0.2.1],', 'all'), 64, 'address')):
        r = g.tool(*argv)
        t.ok(r.returncode == code and part in r.stdout, '%s: %d' % (' '.join(argv), code), (r.returncode, r.stdout))
        t.ok('sev=' not in r.stdout, 'for people to read', r.stdout)
    good = t.read(g.conf)
    g.write('smx.conf', good.replace('retry_min_delay = 1h', 'retry_min_delay = often'))
    r = g.tool('qmgrctl', '-r')
    t.ok(r.returncode == 78 and 'nothing changed' in r.stdout and 'often' in r.stdout, 'a reload says what is wrong', r)
    g.write('smx.conf', good)
    t.equal(g.tool('qmgrctl', '-r').returncode, 0, 'reload')
    if os.geteuid() == 0:
        os.chmod(g.path('qmgrctlsock'), 0o666)
        for argv in (('mailq',), ('qmgrctl', 'status')):
            r = subprocess.run([os.path.join(t.BIN, argv[0])] + list(argv[1:]), cwd=g.spool, user=12345, group=12345, extra_groups=[], env=t.leaky_env(),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=t.LONG)
            t.ok(r.returncode == 77 and 'may not' in r.stderr and not r.stdout, 'a stranger is told so', r)
    a = send(g, 'fred@sink.test', 'joe.o\'neil@other.test')
    wait_tried(g, 2)
    for argv, n in ((('to=fred@*',), 1), (('to=fred@*', 'or', 'to=joe*'), 2), (('reply=cannot connect',), 2),
                    (('reply=Connection refused or 5xx',), 0), (('not (to=fred@* or state=held)',), 1), ((a,), 2),
                    (('older=1d',), 0), (('age<1d',), 2), (('host=127.0.0.0/8', 'attempts>=1', 'size<1MB'), 2),
                    (('client=127.0.0.1', 'from=joe@source.test'), 2), (('all',), 2)):
        t.equal(len(states(g, *argv)), n, 'mailq ' + ' '.join(argv))


if __name__ == '__main__':
    t.main(hold_and_release, several_recipients, delete_with_notice, reroute, while_active, delivered_meanwhile,
           suspend_and_resume, suspend_what_waits, many, under_load, gone_reader, stopped, content_database, rebuild, damaged_database,
           torn_log, log_directory, statistics, words)
