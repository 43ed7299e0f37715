#!/usr/bin/env python3
"""Mail through the gateway, end to end: content, recipients, bounces, LMTP, refusals, tools, restart, stop.

TAP. Details in smxtest.py.
"""
import json
import os
import re

import smxtest as t

ID = r'S[0-9A-F]{16}[0-9A-F]{2}'


class Relay:
    """A gateway and a sink that keeps what it gets."""

    def __init__(self, name, sink=(), **kw):
        self.folder = t.tmpdir('relay-' + name)
        self.sink = t.Sink(self.folder, *sink, dump=True)
        self.g = t.Gateway(self.folder, self.sink.port, **kw).start()

    def client(self, ehlo='client.test'):
        c = t.Client(self.g.port)
        c.want('250', 'EHLO ' + ehlo)
        return c

    def got(self, n):
        """The dumped contents when there are n."""
        self.sink.wait('messages', n)
        self.g.wait_empty(retry=False)
        return self.sink.dumped()


def split(dump):
    """-> envelope lines, our Received field, the rest."""
    m = re.match(rb'((?:X-Envelope-(?:From|To): [^\r]*\r\n)*)(Received: (?:[^\r\n]*\r\n[ \t])*[^\r\n]*\r\n)', dump)
    return (m.group(1).decode(), m.group(2).decode(), dump[m.end():]) if m else ('', '', dump)


CONTENTS = (
    ('plain', b'From: <a@b>\r\nSubject: x\r\n\r\nHello\r\n.\r\n'),
    ('empty', b'.\r\n'),
    ('no header', b'\r\nbody\r\n.\r\n'),
    ('header only', b'Subject: only\r\n.\r\n'),
    ('dots', b'Subject: dots\r\n\r\n..\r\n...\r\n..a\r\n.. b\r\na.\r\n..\r\n.\r\n'),
    ('empty lines', b'Subject: lines\r\n\r\n\r\n\r\n\r\n \r\n\t\r\n\r\n.\r\n'),
    ('longest line', b'Subject: long\r\n\r\n' + b'x' * 998 + b'\r\n' + b'y' * 998 + b'\r\n.\r\n'),
    ('8 bit', b'Subject: 8bit\r\n\r\n' + bytes(range(128, 256)) + b'\r\n' + 'Grüße'.encode() + b'\r\n.\r\n'),
    ('controls', b'Subject: controls\r\n\r\n' + bytes(c for c in range(1, 32) if c not in (10, 13)) + b'\x7f\r\n.\r\n'),
    ('begins with dot', b'..Subject: no\r\n\r\n.\r\n'),
    ('large', b'Subject: large\r\n\r\n' + (b'0123456789' * 7 + b'\r\n') * 4000 + b'.\r\n'),
)


def content_is_kept():
    """Byte for byte what the client sent, our Received field in front."""
    x = Relay('content')
    with x.client() as c:
        for n, (name, wire) in enumerate(CONTENTS):
            r = c.send(wire, mail=' BODY=8BITMIME')
            t.ok(re.fullmatch('250 2\\.0\\.0 %s accepted' % ID, r), '%s: accepted with its id' % name, r)
            dump = x.got(n + 1)[-1]
            envelope, received, rest = split(dump)
            t.ok(rest == wire, '%s: comes out as it went in' % name, '%r\n%r' % (rest[:300], wire[:300]))
            t.ok(re.fullmatch(r'Received: from client\.test \(\[127\.0\.0\.1\]\)\r\n\tby gw\.smx\.test \(smX/\S+\) with ESMTP\r\n'
                              r'\tid %s(?: for <b@sink\.test>)?; \S+ .*\r\n' % r.split()[2],
                              received.replace('\r\n\tfor', ' for')),
                 '%s: behind our Received' % name, received)
    t.ok('X-Envelope-From: a@source.test' in envelope.replace('<', '').replace('>', ''), 'the envelope', envelope)
    x.sink.stop()
    # The other ways: many at once, in chunks, through HELO.
    for args in (('-s', '10', '-P', '-d'), ('--bdat',), ('--helo',), ('-l', '400000')):
        sink = t.Sink(x.folder, name='plain', port=x.sink.port)
        r = t.Source(x.folder, x.g.port, '-m', '30', *args, name='source' + args[0]).wait()
        x.g.wait_empty()
        s = sink.stop()
        t.ok(r['accepted'] == s['messages'] == s['distinct'] == 30 and not s['corrupt'], 'smtp-source %s' % ' '.join(args), (r, s))
    t.equal(x.g.stop(), 0, 'clean stop')


def line_ends_are_refused():
    """Bare CR and LF end nothing and are refused at the final dot; the session goes on."""
    x = Relay('bare')
    with x.client() as c:
        for name, body in (('bare LF', b'a\nb\r\n'), ('bare CR', b'a\rb\r\n'), ('LF.LF', b'a\n.\nMAIL FROM:<x@y>\r\n'),
                           ('LF.CRLF', b'a\n.\r\nb\r\n'), ('CR.CR', b'a\r.\rb\r\n'), ('CRLF.LF', b'a\r\n.\nb\r\n')):
            r = c.send(b'Subject: x\r\n\r\n' + body + b'.\r\n')
            t.ok(r.startswith('550 5.6.0'), name + ' is refused', r)
        t.ok(c.send(b'Subject: good\r\n\r\nx\r\n.\r\n').startswith('250'), 'the session goes on')
    t.equal(len(x.got(1)), 1, 'nothing else came out')
    t.equal(x.g.stop(), 0, 'clean stop')


def recipients():
    """Each gets it once, whatever way."""
    x = Relay('rcpts', mt='. esmtp:[127.0.0.1]\nother.test esmtp:[127.0.0.1]\n')
    rcpts = ['u%d@%s' % (n, ('sink.test', 'other.test', 'third.test')[n % 3]) for n in range(60)]
    with x.client() as c:
        t.ok(c.send(b'Subject: many\r\n\r\nx\r\n.\r\n', rcpts=rcpts).startswith('250'), '60 recipients in 3 domains')
    x.g.wait_empty()
    got = [r for d in x.sink.dumped() for r in re.findall(r'X-Envelope-To: <?([^>\r]+)', split(d)[0])]
    t.equal(sorted(got), sorted(rcpts), 'each got it once')
    t.ok(len(x.sink.dumped()) <= 60, 'in %d transactions' % len(x.sink.dumped()))
    t.equal(x.g.stop(), 0, 'clean stop')


def bounce():
    """A permanent failure goes back to the sender; a bounce that cannot be delivered ends there."""
    x = Relay('bounce', sink=('--fail', 'rcpt:550 5.1.1 no such user here:100%:nouser', '--fail', 'data:554 5.7.1 not this:100%:nodata'))
    with x.client() as c:
        r = c.send(b'Subject: original\r\nX-Mark: 4711\r\n\r\nbody\r\n.\r\n', sender='sender@source.test',
                   rcpts=('good@sink.test', 'nouser@sink.test'))
        t.ok(r.startswith('250'), 'accepted', r)
        dumps = x.got(2)
        dsn = next((d.decode() for d in dumps if b'Undeliverable' in d), '')
        t.ok(re.search(r'X-Envelope-From: <?>?\r\n', dsn), 'a bounce from the null sender', dsn)
        t.ok(re.search(r'X-Envelope-To: <?sender@source\.test', dsn), 'to the sender', dsn)
        for part in ('From: Mailer-Daemon@gw.smx.test', 'Subject: Undeliverable mail', '<nouser@sink.test>',
                     '550 5.1.1 no such user here', 'during RCPT', 'X-Mark: 4711'):
            t.ok(part in dsn, 'with ' + part, dsn)
        t.ok('good@sink.test>' not in dsn, 'not about those that got it', dsn)
        c.send(b'Subject: two\r\n\r\nx\r\n.\r\n', sender='nouser2@source.test', rcpts=('nouser@sink.test',))
        x.g.wait_empty()
        t.equal(len(x.sink.dumped()), 2, 'a bounce that fails is the end')
        c.send(b'Subject: three\r\n\r\nx\r\n.\r\n', sender='', rcpts=('nouser@sink.test',))
        x.g.wait_empty()
        t.equal(len(x.sink.dumped()), 2, 'and for <> there is none')
        c.send(b'Subject: four\r\n\r\nx\r\n.\r\n', sender='sender@source.test', rcpts=('nodata@sink.test',))
        dsn = x.got(3)[-1].decode()
        t.ok('554 5.7.1 not this' in dsn and 'during DATA' in dsn, 'refused at DATA', dsn)
    t.equal(x.g.stop(), 0, 'clean stop')


def lmtp(name, listen, mt, **kw):
    folder = t.tmpdir('relay-lmtp')
    spool = os.path.join(folder, 'spool')
    os.mkdir(spool)
    t.own(spool)
    sink = t.Sink(folder, '-L', '--fail', 'dot:550 5.2.2 mailbox full:100%:full', '--fail', 'dot:450 4.2.1 later:1x:later',
                  dump=True, listen=listen and 'unix:' + os.path.join(spool, listen))
    if listen:
        os.chmod(os.path.join(spool, listen), 0o777)
    g = t.Gateway(folder, spool=spool, mt=mt % dict(port=sink.port), **kw).start()
    with t.Client(g.port) as c:
        c.want('250', 'EHLO client.test')
        r = c.send(b'Subject: lmtp\r\n\r\nx\r\n.\r\n', sender='s@local.test',
                   rcpts=('a@local.test', 'full@local.test', 'later@local.test', 'b@local.test'))
        t.ok(r.startswith('250'), name + ': accepted', r)
    g.wait_empty()
    dumps = sink.dumped()
    r = sink.stop()
    t.equal((r['distinct_recipients'], r['duplicate_recipients'], r['cmd_ehlo'], r['cmd_helo']), (0, 0, 0, 0), name + ': LHLO only')
    t.ok(r['cmd_lhlo'] >= 1, name + ': spoken')
    t.equal(r['recipients'], 4, name + ': three recipients and the bounce of the fourth')
    dsn = [d for d in dumps if b'mailbox full' in d]
    t.ok(len(dsn) == 1 and b'<full@local.test>' in dsn[0] and b'<a@local.test>' not in dsn[0], name + ': the bounce names one', dsn)
    t.equal(g.stop(), 0, name + ': clean stop')
    t.end_all()


def lmtp_unix():
    lmtp('LMTP, unix', 'lmtpsock', 'local.test lmtp:\n', access='')


def lmtp_tcp():
    lmtp('LMTP, TCP', None, 'local.test %(port)d^lmtp:[127.0.0.1]\n')


def relaying_is_refused():
    x = Relay('access', access='to:@ok.test relay\ncltaddr:192.0.2 relay\nto:closed@ok.test error:550 5.7.1 closed\n')
    with x.client() as c:
        c.want('250', 'MAIL FROM:<a@source.test>')
        r = c.say('RCPT TO:<b@elsewhere.test>')
        t.ok(r.startswith('550 5.7.1'), 'elsewhere: 550 5.7.1', r)
        r = c.say('RCPT TO:<b@ok.test>')
        t.ok(r.startswith('250'), 'a domain that is relayed for', r)
        r = c.say('RCPT TO:<closed@ok.test>')
        t.ok(r.startswith('550 5.7.1 closed'), 'an address with an error of its own', r)
        c.want('354', 'DATA')
        c.sock.sendall(b'Subject: x\r\n\r\nx\r\n.\r\n')
        t.ok(c.reply().startswith('250'), 'the good recipient stays')
    got = x.got(1)
    t.equal(re.findall(r'X-Envelope-To: <?([^>\r]+)', split(got[0])[0]), ['b@ok.test'], 'and gets it')
    t.equal(x.g.stop(), 0, 'clean stop')


# ---- the queue

def tools_and_restart():
    """A queue that waits, as mailq and qmgrctl see it, over a restart."""
    x = Relay('queue')
    port = x.sink.port
    x.sink.stop()
    t.ok('Mail queue is empty' in x.g.tool('mailq').stdout, 'mailq: empty')
    with x.client() as c:
        ids = [c.send(b'Subject: %d\r\n\r\nx\r\n.\r\n' % n, sender='s%d@source.test' % n,
                      rcpts=('r%d@sink.test' % n, 'q%d@sink.test' % n)).split()[2] for n in range(5)]
    t.until(lambda: all(r['last_reply'] for m in x.g.queue() for r in m['recipients']), 'all were tried')
    text = x.g.tool('mailq').stdout
    for part in ids + ['<s3@source.test>', '<r3@sink.test>', '<q4@sink.test>', 'refused']:
        t.ok(part in text, 'mailq shows ' + part, text)
    rows = [json.loads(line) for line in x.g.tool('mailq', '-j').stdout.splitlines()]
    t.equal(sorted(r['id'] for r in rows), sorted(ids), 'mailq -j')
    r = x.g.tool('qmgrctl')
    t.ok(r.returncode == 0 and re.search(r'^aq: \d+ of \d+ recipients$', r.stdout, re.M), 'qmgrctl shows the status', r.stdout)
    r = x.g.tool('qmgrctl', 'stats', '-j')
    t.equal(json.loads(r.stdout).get('accepted'), 5, 'qmgrctl stats -j counts')
    t.equal(x.g.tool('qmgrctl', '-r').returncode, 0, 'qmgrctl -r')
    x.g.write('qmgr_conf.db', 'no map')
    r = x.g.tool('qmgrctl', '-r')
    t.ok(r.returncode == 78 and 'former limits stay' in r.stdout, 'qmgrctl -r with a map that cannot be read', r)
    os.unlink(x.g.path('qmgr_conf.db'))
    t.equal(x.g.tool('qmgrctl', 'nonsense').returncode, 64, 'qmgrctl with an unknown command')
    t.equal(x.g.stop(), 0, 'clean stop with mail in the queue')
    rows = [json.loads(line) for line in x.g.tool('mailq', '-j').stdout.splitlines()]
    t.equal(sorted(r['id'] for r in rows), sorted(ids), 'mailq of a stopped gateway')
    stop = [re.search(r'component=(\w+)', line).group(1) for line in x.g.log('mcp').splitlines() if 'func=exit, component' in line]
    t.equal(stop, ['smtps', 'smtpc', 'smar', 'qmgr'], 'the order in which they stopped')
    x.g.start()
    t.equal(sorted(m['id'] for m in x.g.queue()), sorted(ids), 'the same queue after the restart')
    sink = t.Sink(x.folder, name='sink2', port=port, dump=True)
    x.g.wait_empty(retry=False)
    got = sorted(r for d in sink.dumped() for r in re.findall(r'X-Envelope-To: <?([^>\r]+)', split(d)[0]))
    t.equal(got, sorted('%s%d@sink.test' % (a, n) for n in range(5) for a in 'rq'), 'each is delivered once, without help')
    t.equal(x.g.stop(), 0, 'clean stop')


def stop_under_load():
    """SIGTERM under load: exit status 0, nothing lost, nothing twice."""
    folder = t.tmpdir('relay-stop')
    acked = os.path.join(folder, 'acked')
    open(acked, 'w').close()
    sink = t.Sink(folder, '--acked', acked, '--delay', 'dot:30ms:20%')
    g = t.Gateway(folder, sink.port)
    source = None
    for n in range(5):
        g.start()
        source = source or t.Source(folder, g.port, '-s', '20', '-R', '500/s', '-m', '0', '--time', '1h', '--tolerant', '-d')
        source.wait_acked(len(source.acked()) + 50)
        t.equal(g.stop(), 0, 'clean stop %d' % n)
    g.start()
    r = source.stop()
    g.wait_empty()
    t.equal(g.stop(), 0, 'clean stop at the end')
    with open(acked, 'w') as f:
        f.writelines(line + '\n' for line in source.acked())
    s = sink.stop()
    t.ok(s['acked'] >= 250 and not s['lost'] and not s['corrupt'], 'none of %d is lost' % s['acked'], s)
    t.equal(s['duplicates'], 0, 'none arrived twice')
    t.equal(r['unknown'], 0, 'no final dot stayed without an answer')


def memory(g, what):
    """The largest resident size so far of the components, KB."""
    return {n: int(re.search(r'%s:\s+(\d+)' % what, t.read('/proc/%d/status' % pid)).group(1)) for n, pid in g.pids().items()}


def large_message():
    """30 MB in bounded memory; less with sanitizers, they make smtp-source slow."""
    mb = 3 if t.SANITIZED else 30
    x = Relay('large', smtps='max_message_size = %dMB;' % (mb + 5))
    with x.client() as c:
        c.send(b'Subject: warm up\r\n\r\nx\r\n.\r\n')
    x.got(1)
    before = memory(x.g, 'VmHWM')
    x.sink.stop()
    sink = t.Sink(x.folder, name='sink2', port=x.sink.port)
    r = t.Source(x.folder, x.g.port, '-m', '3', '-s', '3', '-l', str(mb << 20)).wait()
    t.equal(r['accepted'], 3, 'three of %d MB at the same time' % mb)
    x.g.wait_empty()
    s = sink.stop()
    t.ok(s['messages'] == 3 and not s['corrupt'], 'arrive whole', s)
    more = {n: kb - before[n] for n, kb in memory(x.g, 'VmHWM').items()}
    t.diag('more memory, KB: %s' % more)
    if not t.SANITIZED:
        t.ok(max(more.values()) < 16 << 10, 'no process needed 16 MB more for it', more)
    r = t.Source(x.folder, x.g.port, '-m', '1', '-l', str(mb + 6 << 20), name='toolarge').wait()
    t.ok(r['rejected'] == 1 and any('552' in e for e in r['errors']), 'one that is larger than max_message_size is refused with 552', r)
    left = [n for d in '0123456789ABCDEF' for n in os.listdir(x.g.path(d)) if n.startswith('S')]
    t.equal(left, [], 'no file is left over')
    t.equal(x.g.stop(), 0, 'clean stop')


if __name__ == '__main__':
    t.main(content_is_kept, line_ends_are_refused, recipients, bounce, lmtp_unix, lmtp_tcp, relaying_is_refused, tools_and_restart,
           stop_under_load, large_message)
