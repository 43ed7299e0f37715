#!/usr/bin/env python3
"""smtpc and next hops that behave in their own way: dead addresses, silence, limits, replies that get lost.

TAP. Details in smxtest.py. Every reply at every step is in tests/proto/test_smtpc_session.c; here is what
needs qmgr too.
"""
import contextlib
import glob
import re
import socket
import threading

import smxtest as t

WIRE = b'Subject: x\r\n\r\nx\r\n.\r\n'


class Peer:
    """A server with a dialogue of its own: handle(connection) runs in a thread for each connection."""

    def __init__(self, handle, host='127.0.0.1', port=0):
        self.sock = socket.create_server((host, port))
        self.port = self.sock.getsockname()[1]
        self.handle = handle
        self.lines = []         # all commands
        self.messages = []      # (sender, recipients, content)
        self.conns = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c = self.sock.accept()[0]
            except OSError:
                return
            self.conns.append(c)
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        try:
            with c, c.makefile('rwb') as f:
                self.handle(self, f)
        except (OSError, ValueError):
            pass

    def close(self):
        self.sock.close()
        for c in self.conns:
            with contextlib.suppress(OSError):
                c.shutdown(socket.SHUT_RDWR)


def say(f, text):
    f.write(text.encode() + b'\r\n')
    f.flush()


def smtp(peer, f, rcpt=lambda n: '250 2.1.5 ok', dot=lambda peer: '250 2.0.0 queued', ehlo='250-peer\r\n250 PIPELINING'):
    """A server; rcpt(n) answers the n-th RCPT of a transaction, dot() None closes without an answer."""
    say(f, '220 peer')
    sender, rcpts, n = '', [], 0
    while True:
        line = f.readline().decode().rstrip('\r\n')
        if not line:
            return
        peer.lines.append(line)
        verb = line[:4].upper()
        if verb == 'EHLO':
            say(f, ehlo)
        elif verb == 'MAIL':
            sender, rcpts, n = line, [], 0
            say(f, '250 2.1.0 ok')
        elif verb == 'RCPT':
            n += 1
            answer = rcpt(n)
            if answer[0] == '2':
                rcpts.append(re.search('<(.*)>', line).group(1))
            say(f, answer)
        elif verb == 'DATA':
            say(f, '354 go on')
            content = []
            while not content or content[-1] != b'.\r\n':
                content.append(f.readline())
                if not content[-1]:
                    return
            answer = dot(peer)
            if answer and answer[0] == '2':
                peer.messages.append((sender, rcpts, b''.join(content)))
            if not answer:
                return
            say(f, answer)
        else:
            say(f, '221 2.0.0 bye' if verb == 'QUIT' else '250 2.0.0 ok')


class BlackHole:
    """An address that answers no SYN: Linux drops them while the queue of connections is full."""

    def __init__(self, host, port):
        family = socket.AF_INET6 if ':' in host else socket.AF_INET
        self.sock = socket.socket(family)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((host, port))
        self.sock.listen(0)
        self.full = []
        while True:
            s = socket.socket(family)
            s.settimeout(0.3)
            try:
                s.connect((host, port))
            except TimeoutError:
                s.close()
                break
            self.full.append(s)

    def close(self):
        self.sock.close()
        for s in self.full:
            s.close()


def has_ipv6():
    try:
        socket.create_server(('::1', 0), family=socket.AF_INET6).close()
        return True
    except OSError:
        return False


def send(g, rcpts=('b@sink.test',), wire=WIRE):
    with t.Client(g.port) as c:
        c.want('250', 'EHLO client.test')
        r = c.send(wire, rcpts=rcpts)
        if not r.startswith('250'):
            raise t.Failed(r)
        return r.split()[2]


def outcomes(g, name):
    """Lines of qmgr's log about this local part, in order."""
    return [line for line in g.log('qmgr').splitlines() if 'func=q_upd_rcpt' in line and 'rcpt=<%s@' % name in line]


def next_address():
    """An address that does not answer costs little when there is another, and only the first message."""
    folder = t.tmpdir('client')
    sink = t.Sink(folder)
    host, literal = ('::1', 'IPv6:::1') if has_ipv6() else ('127.0.0.2', '127.0.0.2')
    holes = BlackHole(host, sink.port), BlackHole('127.0.0.3', sink.port)
    g = t.Gateway(folder, mt='two.test esmtp:[%s] [127.0.0.1]\nalone.test esmtp:[127.0.0.3]\n' % literal,
                  smtpc='remote_port = %d; io_timeout = 6s;' % sink.port).start()
    # io_timeout runs out for the one without a choice: what has one must be through long before.
    send(g, ('one@alone.test',))
    send(g, ('first@two.test',))
    t.until(lambda: outcomes(g, 'one'), 'the address without another is given up')
    t.ok([x for x in outcomes(g, 'first') if 'func=q_upd_rcpt_ok' in x], 'the second address was tried and took it meanwhile',
         g.log('smtpc'))
    t.ok('func=q_upd_rcpt_later' in outcomes(g, 'one')[0] and '127.0.0.3' in outcomes(g, 'one')[0], 'one address: later',
         outcomes(g, 'one'))
    t.equal(len(outcomes(g, 'first')), 1, 'the walk to the second address is no failed attempt')
    r = t.Source(folder, g.port, '-s', '5', '-m', '50', '-t', 'to@two.test').wait()
    sink.wait('messages', 51)
    t.equal(r['accepted'], 50, '50 more')
    tried = g.log('smtpc').count('cannot connect to ' + host)
    t.ok(1 <= tried <= 3, 'did not try the dead address one by one', tried)
    t.equal(g.stop(), 0, 'clean stop')
    for h in holes:
        h.close()


def silent_host():
    """A host that accepts and says nothing holds its own transactions, and nobody else's."""
    folder = t.tmpdir('client')
    sink = t.Sink(folder)
    silent = Peer(lambda peer, f: f.read())
    g = t.Gateway(folder, mt='silent.test %d^esmtp:[127.0.0.1]\n. %d^esmtp:[127.0.0.1]\n' % (silent.port, sink.port)).start()
    for n in range(12):
        send(g, ('quiet%d@silent.test' % n,))
    t.until(lambda: len(silent.conns) >= 10, 'initial_connections are stuck')
    r = t.Source(folder, g.port, '-s', '10', '-m', '300').wait()
    sink.wait('messages', 300)
    t.equal(r['accepted'], 300, '300 to another host go through')
    t.equal(len([1 for n in range(12) if outcomes(g, 'quiet%d' % n)]), 0, 'while those wait')
    t.equal(len(silent.conns), 10, 'over no more than initial_connections')
    silent.close()
    t.until(lambda: all(outcomes(g, 'quiet%d' % n) for n in range(12)), 'all of them failed')
    t.equal(g.stop(), 0, 'clean stop')
    t.equal(len(g.tool('mailq', '-j').stdout.splitlines()), 12, 'they are kept')


def recipients_at_once():
    """A host that takes three recipients of a message: four transactions, nobody waits for a retry."""
    folder = t.tmpdir('client')
    peer = Peer(lambda peer, f: smtp(peer, f, rcpt=lambda n: '250 ok' if n <= 3 else '452 4.5.3 too many recipients'))
    g = t.Gateway(folder, peer.port).start()
    names = ['r%d@sink.test' % n for n in range(10)]
    send(g, names)
    t.until(lambda: sum(len(m[1]) for m in peer.messages) >= 10, 'ten recipients')
    t.equal(sorted(r for m in peer.messages for r in m[1]), sorted(names), 'each got it once')
    t.equal([len(m[1]) for m in peer.messages], [3, 3, 3, 1], 'three at a time')
    g.wait_empty(retry=False)
    t.ok('q_upd_rcpt_later' not in g.log('qmgr'), 'without a failed attempt', g.log('qmgr')[-1500:])
    t.equal(len([x for x in peer.lines if x.startswith('EHLO')]), 1, 'in one session')
    t.equal(g.stop(), 0, 'clean stop')
    peer.close()


def reply_lost():
    """The connection ends between the final dot and its reply: later, and once more when the queue says so."""
    folder = t.tmpdir('client')
    answers = [None, None, '250 2.0.0 queued']
    seen = []

    def dot(peer):
        seen.append(1)
        return answers[min(len(seen), len(answers)) - 1]

    peer = Peer(lambda peer, f: smtp(peer, f, dot=dot))
    g = t.Gateway(folder, peer.port).start()
    send(g, ('lost@sink.test',))
    g.wait_empty(retry=False)
    lines = t.until(lambda: len(outcomes(g, 'lost')) == 3 and outcomes(g, 'lost'), 'three outcomes')
    t.equal([re.search('q_upd_rcpt_(\\w+)', x).group(1) for x in lines], ['later', 'later', 'ok'], 'later, later, done')
    t.ok('4.4.2' in lines[0], 'the reason is kept', lines[0])
    t.equal(len(peer.messages), 1, 'taken once')
    t.equal(peer.messages[0][2][-len(WIRE):], WIRE, 'the content')
    t.equal(g.stop(), 0, 'clean stop')
    peer.close()


def capabilities():
    """What a host cannot take bounces at once and is not sent to it; what it lacks is left out."""
    folder = t.tmpdir('client')
    sink = t.Sink(folder, '--with', 'DSN', dump=True)
    bare = Peer(lambda peer, f: smtp(peer, f, ehlo='250-peer\r\n250 SIZE 1000'))
    g = t.Gateway(folder, mt='bare.test %d^esmtp:[127.0.0.1]\n. %d^esmtp:[127.0.0.1]\n' % (bare.port, sink.port)).start()
    cases = (('large', b'Subject: x\r\n\r\n' + b'x' * 900 + b'\r\n.\r\n', '', '5.3.4'),
             ('eight', b'Subject: x\r\n\r\n\xe4\r\n.\r\n', ' BODY=8BITMIME', '5.6.3'),
             ('utf8\u00e4', WIRE, ' SMTPUTF8', '5.6.7'))
    for n, (name, wire, mail, code) in enumerate(cases):
        with t.Client(g.port) as c:
            c.want('250', 'EHLO client.test')
            c.want('250', 'MAIL FROM:<back@sink.test>' + mail)
            c.sock.sendall(('RCPT TO:<%s@bare.test>\r\n' % name).encode())
            if not c.reply().startswith('250'):
                raise t.Failed('RCPT')
            c.want('354', 'DATA')
            c.sock.sendall(wire)
            t.ok(c.reply().startswith('250'), code + ': accepted')
        sink.wait('messages', n + 1)
        g.wait_empty(retry=False)
        dsn = sink.dumped()[-1]
        t.ok(code.encode() in dsn and b'Undeliverable mail' in dsn, code + ': bounced', dsn)
    t.equal([x for x in bare.lines if x[:4] in ('MAIL', 'RCPT', 'DATA')], [], 'nothing of it was said to the host')
    with t.Client(g.port) as c:
        c.want('250', 'EHLO client.test')
        c.want('250', 'MAIL FROM:<back@sink.test> RET=HDRS ENVID=e1 BODY=8BITMIME')
        c.want('250', 'RCPT TO:<ok@bare.test> NOTIFY=SUCCESS ORCPT=rfc822;ok@bare.test')
        c.want('354', 'DATA')
        c.sock.sendall(WIRE)
        t.ok(c.reply().startswith('250'), 'seven bits with parameters: accepted')
    sink.wait('messages', len(cases) + 1)
    g.wait_empty(retry=False)
    mail = [x for x in bare.lines if x[:4] in ('MAIL', 'RCPT')]
    t.ok(re.fullmatch(r'MAIL FROM:<back@sink\.test> SIZE=\d+', mail[0]) and mail[1] == 'RCPT TO:<ok@bare.test>',
         'a parameter that is not offered is not said', mail)
    t.ok(b'ok@bare.test' in sink.dumped()[-1] and b'elayed' in sink.dumped()[-1], 'NOTIFY=SUCCESS: relayed, a notice of ours',
         sink.dumped()[-1])
    t.equal(g.stop(), 0, 'clean stop')
    bare.close()


def damaged(size, what):
    """A byte of a queued message changes on the disk: its sender hears of it, nobody gets it."""
    folder = t.tmpdir('client')
    sink = t.Sink(folder, dump=True)
    port = sink.port
    sink.stop()
    g = t.Gateway(folder, port).start()
    mark = b'%s-MARK-%s' % (b'x' * (size // 2), b'y' * (size // 2))
    body = b'\r\n'.join(mark[n:n + 70] for n in range(0, len(mark), 70))
    good = send(g, ('good@sink.test',), b'Subject: good\r\n\r\nx\r\n.\r\n')
    send(g, ('bad@sink.test',), b'Subject: bad\r\n\r\n' + body + b'\r\n.\r\n')
    t.until(lambda: outcomes(g, 'bad'), 'an attempt')
    hits = 0
    for path in glob.glob(g.path('[0-9A-F]/*')):
        with open(path, 'r+b') as f:
            data = f.read()
            at = data.find(b'-MARK-')
            if at >= 0 and not hits:
                f.seek(at)
                f.write(b'-DARK-')
                hits += 1
    t.equal(hits, 1, what + ': found on the disk')
    sink = t.Sink(folder, name='again', port=port, dump=True)
    g.wait_empty()
    dumps = sink.dumped()
    t.ok(not any(b'X-Envelope-To: bad@' in x for x in dumps), what + ': the damaged one does not arrive')
    dsn = [x for x in dumps if b'5.3.0' in x and b'bad@sink.test' in x]
    t.equal(len(dsn), 1, what + ': a bounce says so')
    t.ok(any(b'Subject: good' in x for x in dumps), what + ': another one arrives', good)
    t.equal(g.stop(), 0, what + ': clean stop')


def damaged_small():
    damaged(1000, 'in a segment')


def damaged_large():
    damaged(300000, 'a file of its own')


if __name__ == '__main__':
    t.main(next_address, silent_host, recipients_at_once, reply_lost, capabilities, damaged_small, damaged_large)
