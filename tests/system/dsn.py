#!/usr/bin/env python3
"""Delivery status notifications of the real gateway, read by Python's email package and by a peer that keeps each command.

Fields of RFC 3464, parameters of RFC 3461, UTF-8 of RFC 6533; what is returned of the message; several failures in one
notice, also over kill -9; hosts without 8BITMIME; notices that fail. TAP; details in smxtest.py.
"""
import email
import email.policy
import os
import re
import socket
import threading

import smxtest as t

REPORT = 'DSN_handling { flags = { MIME_Format%s } merge_delay_max = %s; max_errors_per_DSN = %d; }'
SLOW_RETRIES = ('retry_min_delay = 1s; retry_max_delay = 2s', 'retry_min_delay = 1h; retry_max_delay = 2h')
EURO = '\u20ac'


class Peer:
    """An SMTP server: what it offers, its answer to a command (None: the usual one), and all that it was sent."""

    def __init__(self, offers=(), answer=None):
        self.offers, self.answer = offers, answer or (lambda line: None)
        self.messages = []          # (MAIL, [RCPT], content without dots) as bytes
        self.commands = []
        self.sock = socket.create_server(('127.0.0.1', 0))
        self.port = self.sock.getsockname()[1]
        self.serve(self.accept)

    @staticmethod
    def serve(fn, *args):
        threading.Thread(target=fn, args=args, daemon=True).start()

    def accept(self):
        while True:
            c, _ = self.sock.accept()
            self.serve(self.session, c)

    def session(self, c):
        with c, c.makefile('rb') as f:
            c.sendall(b'220 peer.test\r\n')
            mail, rcpts = None, []
            for line in f:
                line = line.rstrip(b'\r\n')
                self.commands.append(line)
                verb = line[:4].upper()
                text = self.answer(line.decode(errors='replace'))
                if verb == b'EHLO':
                    text = '\r\n'.join('250-' + o for o in ('peer.test',) + tuple(self.offers)) + '\r\n250 HELP'
                elif verb == b'MAIL':
                    mail, rcpts = line, []
                elif verb == b'RCPT' and not text:
                    rcpts.append(line)
                elif verb == b'DATA' and not rcpts:
                    text = '554 5.5.1 no valid recipients'
                c.sendall((text or ('354 go' if verb == b'DATA' else '250 2.0.0 ok')).encode() + b'\r\n')
                if verb == b'DATA' and not text:
                    content = b''.join(x[1:] if x[:1] == b'.' else x for x in iter(f.readline, b'.\r\n'))
                    text = self.answer('DOT ' + mail.decode(errors='replace'))
                    if not text:
                        self.messages.append((mail, rcpts, content))
                    c.sendall((text or '250 2.6.0 taken').encode() + b'\r\n')
                if verb == b'QUIT':
                    return

    def wait(self, n):
        t.until(lambda: len(self.messages) >= n, '%d messages, %d are here' % (n, len(self.messages)))
        return self.messages


ALL = ('PIPELINING', '8BITMIME', 'SMTPUTF8', 'DSN')


class Case:
    """Mail for others goes to `far`, for source.test (and its notices) to `near`."""

    def __init__(self, far=None, near=None, qmgr=None, flags='', merge='1s', most=1000, smtps='', change=(), **kw):
        self.folder = t.tmpdir('dsn')
        self.far, self.near = far or Peer(), near or Peer(ALL)
        qmgr = REPORT % (flags, merge, most) + (qmgr or '')
        self.g = t.Gateway(self.folder, self.far.port, mt='source.test %d^esmtp:[127.0.0.1]\n. esmtp:[127.0.0.1]\n' % self.near.port,
                           qmgr=qmgr, smtps=smtps, **kw)
        self.change(*change)
        self.g.start()

    def change(self, *pairs):
        """Of the configuration."""
        text = t.read(self.g.conf)
        for old, new in pairs:
            if old not in text:
                raise t.Failed('no %r in the configuration' % old)
            text = text.replace(old, new, 1)
        self.g.write('smx.conf', text)

    def send(self, content, rcpts, sender='joe@source.test', mail=''):
        """rcpts: addresses with parameters behind a blank."""
        with t.Client(self.g.port) as c:
            c.want('250', 'EHLO client.test')
            c.want('250', ('MAIL FROM:<%s>%s' % (sender, mail)).encode().decode('latin-1'))
            for r in rcpts:
                addr, _, more = r.partition(' ')
                c.want('250', ('RCPT TO:<%s> %s' % (addr, more)).strip().encode().decode('latin-1'))
            c.want('354', 'DATA')
            c.sock.sendall(content + b'.\r\n')
            r = c.reply()
            if not r.startswith('250'):
                raise t.Failed('DATA: ' + r)
            return r.split()[2]

    def notices(self, n):
        return [Notice(*m) for m in self.near.wait(n)]

    def end(self):
        t.equal(self.g.stop(), 0, 'clean stop')
        t.end_all()


class Notice:
    """One DSN as the email package sees it."""

    def __init__(self, mail, rcpts, content):
        self.mail, self.rcpts, self.content = mail.decode(), [r.decode() for r in rcpts], content
        self.m = email.message_from_bytes(content, policy=email.policy.SMTP)
        self.parts = list(self.m.iter_parts()) if self.m.is_multipart() else []

    @property
    def status(self):
        """Fields of the message and of each recipient."""
        part = self.parts[1]
        text = part.get_payload(decode=True)
        if text is None:
            text = b'\r\n'.join(p.as_bytes() for p in part.get_payload())
        blocks = [b for b in re.split('\r?\n\r?\n', text.decode()) if b.strip()]
        return [email.message_from_string(b.strip(), policy=email.policy.SMTP) for b in blocks]

    @property
    def human(self):
        return self.parts[0].get_content()

    @property
    def types(self):
        return [p.get_content_type() for p in self.parts]

    @property
    def returned(self):
        """Bytes of the third part, decoded."""
        whole = self.content.split(b'\r\n--' + self.m.get_boundary().encode())[3]
        body = whole.split(b'\r\n\r\n', 1)[1]
        if self.parts[2]['Content-Transfer-Encoding'] == 'quoted-printable':
            body = __import__('quopri').decodestring(body)
        return body

    def sound(self, what):
        """What is true of every DSN."""
        m = self.m
        good = (not m.defects and not any(p.defects for p in self.parts) and m['From'] == 'Mailer-Daemon@gw.smx.test' and
                m['Date'].datetime and re.fullmatch(r'<S\S+@gw\.smx\.test>', m['Message-ID']) and m['MIME-Version'] == '1.0' and
                m['Auto-Submitted'].startswith('auto-') and self.mail.startswith('MAIL FROM:<>') and len(self.rcpts) == 1 and
                all(len(x) <= 998 for x in self.content.split(b'\r\n')) and m.get_content_type() == 'multipart/report' and
                m.get_param('report-type') == 'delivery-status')
        return t.ok(good, what + ': a sound DSN', self.content.decode(errors='replace'))


BODY = b'Subject: original\r\nX-Mark: 4711\r\n\r\nfirst line\r\n..dot\r\nlast line\r\n'


def fields():
    """All fields; what the sender of the message asked for."""
    far = Peer(answer=lambda line: '550-5.1.1 no\r\n550 5.1.1 such user, with words %s' % ('and more words ' * 20) if 'bad' in line else None)
    x = Case(far)
    ident = x.send(BODY, ['bad@sink.test ORCPT=rfc822;bad+2Bx@list.test NOTIFY=FAILURE', 'good@sink.test'],
                   mail=' ENVID=QQ+3D314159 RET=FULL')
    n = x.notices(1)[0]
    n.sound('failure')
    t.equal((n.rcpts, n.m['To'], n.m['Subject']), (['RCPT TO:<joe@source.test>'], 'joe@source.test', 'Undeliverable mail'), 'to the sender')
    t.equal(n.types, ['text/plain', 'message/delivery-status', 'message/rfc822'], 'its parts')
    head, *rcpts = n.status
    t.equal(len(rcpts), 1, 'about the one that failed')
    r = rcpts[0]
    t.equal((head['Original-Envelope-Id'], head['Reporting-MTA']), ('QQ=314159', 'dns; gw.smx.test'), 'fields of the message')
    t.equal([r[k] for k in ('Original-Recipient', 'Final-Recipient', 'Action', 'Status', 'Remote-MTA', 'Final-Log-ID')],
            ['rfc822; bad+x@list.test', 'rfc822; bad@sink.test', 'failed', '5.1.1', 'dns; [127.0.0.1]', ident], 'fields of the recipient')
    code = ' '.join(r['Diagnostic-Code'].split())
    t.ok(code.startswith('smtp; 550') and '5.1.1' in code and code.count('and more words') == 20, 'the whole reply', code)
    for k, of in (('Arrival-Date', head), ('Last-Attempt-Date', r)):
        t.ok(email.utils.parsedate_to_datetime(of[k]), k)
    text = ' '.join(n.human.split())
    t.ok('Hi! This is the smX MTA at gw.smx.test. I\'m sorry to inform you that a mail from you could not be delivered.' in text and
         '<bad@sink.test> 550' in text and 'during RCPT by [127.0.0.1]' in text and 'good@' not in text, 'what people read', text)
    t.ok(n.returned.endswith(BODY.replace(b'..dot', b'.dot')) and n.returned.startswith(b'Received: from client.test'), 'the whole message', n.returned)
    x.send(BODY, ['bad@sink.test'], mail=' RET=HDRS')
    n = x.notices(2)[1]
    n.sound('RET=HDRS')
    t.ok(n.types[2] == 'text/rfc822-headers' and b'X-Mark: 4711\r\n' in n.returned and b'first line' not in n.returned, 'the header alone', n.content)
    x.send(BODY, ['bad@sink.test NOTIFY=NEVER', 'bad2@sink.test NOTIFY=SUCCESS,DELAY', 'bad3@sink.test'], mail=' RET=FULL')
    n = x.notices(3)[2]
    t.equal([r['Final-Recipient'] for r in n.status[1:]], ['rfc822; bad3@sink.test'], 'NOTIFY says who is not named')
    x.g.wait_empty()
    t.equal(len(x.near.messages), 3, 'and no other')
    x.end()


def plain_and_header_only():
    """Without MIME_Format, R 10.4; flag header_only."""
    far = Peer(answer=lambda line: '550 5.1.1 no' if line.startswith('RCPT') else None)
    x = Case(far, flags=', header_only')
    x.send(BODY, ['a@sink.test'], mail=' RET=FULL')
    n = x.notices(1)[0]
    t.ok(n.sound('header_only') and n.types[2] == 'text/rfc822-headers' and b'first line' not in n.content, 'never the whole')
    x.g.stop()
    x.change(('flags = { MIME_Format, header_only }', 'flags = { header_only }'))
    x.g.start()
    x.send(BODY, ['a@sink.test'])
    m = x.notices(2)[1]
    t.ok(m.m.get_content_type() == 'text/plain' and not m.m.defects and 'X-Mark: 4711' in m.m.get_content() and
         'first line' not in m.m.get_content() and '<a@sink.test>\r\n550 5.1.1 no\r\nduring RCPT' in m.content.decode(), 'plain', m.content)
    x.end()


def merged():
    """Several failures in one; the first has the message, later ones the header, also over kill -9."""
    far = Peer(answer=lambda line: '550 5.1.1 no' if '<bad' in line else '451 4.2.0 wait' if line.startswith('RCPT') else None)
    x = Case(far, merge='50m', change=[SLOW_RETRIES])
    x.send(BODY, ['bad%d@sink.test' % i for i in range(250)] + ['later%d@sink.test' % i for i in range(3)])
    n = x.notices(1)[0]
    n.sound('the first')
    t.equal(sorted(r['Final-Recipient'] for r in n.status[1:]), sorted('rfc822; bad%d@sink.test' % i for i in range(250)),
            'all that failed in several transactions, in one')
    t.ok(b'first line' in n.returned, 'with the message')
    t.until(lambda: len((x.g.queue() or [{}])[0].get('recipients', ())) == 3, 'three wait')
    far.answer = lambda line: '550 5.1.1 no' if 'later0' in line else '451 4.2.0 wait' if line.startswith('RCPT') else None
    x.g.ctl('retry')
    n = x.notices(2)[1]
    t.ok(len(n.status) == 2 and n.types[2] == 'text/rfc822-headers' and b'first line' not in n.content, 'the second has the header')
    t.until(lambda: len((x.g.queue() or [{}])[0].get('recipients', ())) == 2, 'two wait')
    x.g.kill9()
    far.answer = lambda line: '550 5.1.1 no' if 'later1' in line else '451 4.2.0 wait' if line.startswith('RCPT') else None
    x.g.start()
    x.g.ctl('retry')
    n = x.notices(3)[2]
    t.ok(len(n.status) == 2 and n.types[2] == 'text/rfc822-headers', 'after kill -9 it is known that the sender has the message', n.content)
    t.until(lambda: len((x.g.queue() or [{}])[0].get('recipients', ())) == 1, 'one waits')
    t.equal(x.g.stop(), 0, 'stopped')
    r = x.g.tool('cdbctl', 'rebuild', '-F')
    t.equal(r.returncode, 0, 'a new database from the content')
    far.answer = lambda line: '550 5.1.1 no' if line.startswith('RCPT') else None
    x.g.start()
    x.g.ctl('retry')
    t.ok(x.notices(4)[3].types[2] == 'text/rfc822-headers', 'also then')
    x.g.wait_empty()
    x.end()


def most_of_them():
    """max_errors_per_DSN"""
    far = Peer(answer=lambda line: '550 5.1.1 no' if line.startswith('RCPT') else None)
    x = Case(far, most=20)
    x.send(BODY, ['bad%d@sink.test' % i for i in range(50)])
    x.g.wait_empty()
    n = x.notices(3)
    t.equal(sorted(len(m.status) - 1 for m in n), [10, 20, 20], 'fifty in three')
    t.equal(sorted(m.types[2] for m in n), ['message/rfc822', 'text/rfc822-headers', 'text/rfc822-headers'], 'one with the message')
    t.equal(len({r['Final-Recipient'] for m in n for r in m.status[1:]}), 50, 'each once')
    x.end()


def success_and_delay():
    """NOTIFY=SUCCESS to a host with and without DSN; DELAY."""
    far = Peer(answer=lambda line: '450 4.2.1 busy' if '<busy' in line else None)
    x = Case(far, change=[('queue_delay_timeout = 2d', 'queue_delay_timeout = 1s')])
    x.send(BODY, ['a@sink.test NOTIFY=SUCCESS ORCPT=rfc822;a@list.test', 'b@sink.test'], mail=' ENVID=e1')
    n = x.notices(1)[0]
    n.sound('relayed')
    r = n.status[1]
    t.equal([n.m['Subject'], r['Action'], r['Status'], r['Original-Recipient'], r['Diagnostic-Code'], len(n.status)],
            ['Relayed mail', 'relayed', '2.6.0', 'rfc822; a@list.test', 'smtp; 250 2.6.0 taken', 2], 'its fields')
    t.equal(n.types[2], 'text/rfc822-headers', 'nobody wants the message back')
    t.ok(not any(b'NOTIFY' in c or b'ENVID' in c or b'ORCPT' in c for c in far.commands), 'no parameters to a host without DSN')
    far.offers = ('DSN',)
    t.until(lambda: x.send(BODY, ['c@sink.test NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c+2Bd@list.test', 'd@sink.test NOTIFY=NEVER'],
                           mail=' ENVID=e2 RET=HDRS') and
            t.until(lambda: any(b'c@sink' in c and b'RCPT' in c for c in far.commands), 'RCPT') and
            any(b'ENVID=e2' in c for c in far.commands), 'a new session, which offers DSN')
    x.g.wait_empty()
    t.ok(any(b'RET=HDRS ENVID=e2' in c for c in far.commands) and
         b'RCPT TO:<c@sink.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c+2Bd@list.test' in far.commands and
         b'RCPT TO:<d@sink.test> NOTIFY=NEVER' in far.commands, 'a host with DSN gets all of them', far.commands)
    count = len(x.near.messages)
    x.send(BODY, ['busy1@sink.test', 'busy2@sink.test NOTIFY=DELAY', 'busy3@sink.test NOTIFY=FAILURE', 'busy4@sink.test NOTIFY=NEVER'])
    def told():
        return sorted(r['Final-Recipient'] for n in x.notices(count)[count:] for r in n.status[1:])
    want = ['rfc822; busy1@sink.test', 'rfc822; busy2@sink.test']
    t.until(lambda: len(told()) >= 2, 'notices of the delay')
    t.equal(told(), want, 'who hears of a delay')
    n = x.notices(count + 1)[count]
    n.sound('delayed')
    r = n.status[1]
    t.ok((n.m['Subject'], r['Action'], r['Status'], n.types[2]) == ('Delayed mail', 'delayed', '4.2.1', 'text/rfc822-headers') and
         email.utils.parsedate_to_datetime(r['Will-Retry-Until']) > n.m['Date'].datetime, 'its fields', n.content)
    t.until(lambda: all(r['attempts'] >= 4 for m in x.g.queue() or () for r in m['recipients']), 'more attempts')
    x.g.ctl('delete all')
    t.until(x.g.is_empty, 'an empty queue')
    t.equal(told(), want, 'only once')
    x.end()


def utf8():
    """RFC 6533: senders with and without UTF-8, recipients, ORCPT, content."""
    far = Peer(ALL, answer=lambda line: '550 5.1.1 no' if line.startswith('RCPT') and 'good' not in line else None)
    x = Case(far)
    body = ('Subject: gr\u00fc\u00df\r\n\r\n%s\r\n..dot\r\n' % EURO).encode()
    x.send(body, ['j\u00fcrgen+x@sink.test ORCPT=utf-8;\u00e9\\x{20AC}@list.test'], mail=' SMTPUTF8 BODY=8BITMIME')
    n = x.notices(1)[0]
    n.sound('UTF-8 to an ASCII sender')
    t.ok('SMTPUTF8' not in n.mail and all(c < 128 for c in n.content), 'needs no SMTPUTF8 and no 8 bits', n.content)
    t.equal(n.types, ['text/plain', 'message/delivery-status', 'message/global'], 'its parts')
    r = n.status[1]
    t.equal((r['Final-Recipient'], r['Original-Recipient']),
            ('utf-8; j\\x{FC}rgen\\x{2B}x@sink.test', 'utf-8; \\x{E9}\\x{20AC}@list.test'), 'addresses in 7 bits')
    t.ok('j\u00fcrgen+x@sink.test' in n.human, 'people read it as it is', n.human)
    t.ok(n.returned.endswith(body.replace(b'..dot', b'.dot')), 'the whole message', n.returned)
    x.send(body, ['\u00fc@sink.test ORCPT=utf-8;\u00e9\\x{20AC}@list.test', 'ascii@sink.test'], sender='\u00e4@source.test', mail=' SMTPUTF8 BODY=8BITMIME')
    n = x.notices(2)[1]
    t.ok('SMTPUTF8' in n.mail and n.rcpts == ['RCPT TO:<\u00e4@source.test>'], 'to a sender with UTF-8: with SMTPUTF8', (n.mail, n.rcpts))
    t.equal(n.types, ['text/plain', 'message/global-delivery-status', 'message/global'], 'its parts')
    text = n.content.decode()
    t.ok('To: <\u00e4@source.test>' in text and 'Final-Recipient: utf-8; \u00fc@sink.test' in text and
         'Original-Recipient: utf-8; \u00e9%s@list.test' % EURO in text and 'Final-Recipient: rfc822; ascii@sink.test' in text and
         'Diagnostic-Code: smtp; 550 5.1.1 no' in text and 'Subject: gr\u00fc\u00df' in text, 'UTF-8 as it is', text)
    # Passed on: as it came, or in 7 bits.
    ascii_body = b'Subject: x\r\n\r\nx\r\n'
    x.send(ascii_body, ['good@sink.test ORCPT=utf-8;\u00e9\\x{20AC}@list.test'], mail=' SMTPUTF8')
    far.wait(1)
    t.ok('RCPT TO:<good@sink.test> ORCPT=utf-8;\u00e9\\x{20AC}@list.test'.encode() in far.commands, 'ORCPT goes on', far.commands)
    x.end()
    far = Peer(('DSN', '8BITMIME'))
    x = Case(far)
    x.send(ascii_body, ['good@sink.test ORCPT=utf-8;\u00e9\\x{20AC}@list.test'], mail=' SMTPUTF8')
    far.wait(1)
    t.ok(b'RCPT TO:<good@sink.test> ORCPT=utf-8;\\x{E9}\\x{20AC}@list.test' in far.commands, 'in 7 bits to a host without SMTPUTF8', far.commands)
    x.send(body, ['good@sink.test'], mail=' SMTPUTF8 BODY=8BITMIME')
    n = x.notices(1)[0]
    n.sound('a host without SMTPUTF8')
    t.equal((n.status[1]['Status'], n.status[1]['Diagnostic-Code'][:6], n.status[1]['Remote-MTA'], n.types[2]),
            ('5.6.7', 'x-smx;', None, 'message/global'), 'its fields')
    x.end()


def eight_bits():
    """Content with 8 bits: returned as it is, to a host without 8BITMIME without it; binary content; large content."""
    far = Peer(ALL + ('CHUNKING', 'BINARYMIME'), answer=lambda line: '550 5.1.1 no' if line.startswith('RCPT') else None)
    x = Case(far, smtps='max_message_size = 200MB;',
             change=[('flags = { 8bitmime, access }', 'flags = { 8bitmime, access, binarymime }')])
    body = b'Subject: 8\xfcbit\r\n\r\n\xe4\xf6\r\n'
    x.send(body, ['a@sink.test'], mail=' BODY=8BITMIME')
    n = x.notices(1)[0]
    n.sound('8 bits')
    t.ok('BODY=8BITMIME' in n.mail and n.parts[2]['Content-Transfer-Encoding'] == '8bit' and n.returned.endswith(body), 'as they are', n.content)
    x.near.offers = ('DSN',)
    x.near.sock.close()
    near = Peer(())
    x.g.write('mt', 'source.test %d^esmtp:[127.0.0.1]\n. esmtp:[127.0.0.1]\n' % near.port)
    t.equal(x.g.tool('qmgrctl', '-r').returncode, 0, 'another host for the sender')
    x.near = near
    x.g.stop()
    x.g.start()
    x.send(body, ['a@sink.test'], mail=' BODY=8BITMIME')
    n = x.notices(1)[0]
    n.sound('to a host without 8BITMIME')
    t.ok('BODY' not in n.mail and all(c < 128 for c in n.content) and n.types[2] == 'text/rfc822-headers' and
         b'Subject: 8\xfcbit\r\n' in n.returned and b'\xe4' not in n.returned, 'the header in 7 bits', n.content)
    x.g.wait_empty()
    t.equal(len(near.messages), 1, 'once')
    # Binary: no lines, so the header alone.
    with t.Client(x.g.port) as c:
        c.want('250', 'EHLO client.test')
        c.want('250', 'MAIL FROM:<joe@source.test> BODY=BINARYMIME')
        c.want('250', 'RCPT TO:<a@sink.test>')
        raw = b'Subject: binary\r\n\r\n\0\1\n\r.\r\n\xff'
        c.sock.sendall(b'BDAT %d LAST\r\n' % len(raw) + raw)
        t.ok(c.reply().startswith('250'), 'binary content')
    n = x.notices(2)[1]
    n.sound('binary')
    t.ok(n.types[2] == 'text/rfc822-headers' and b'Subject: binary\r\n' in n.returned and b'\0' not in n.content, 'the header', n.content)
    # Large: only the header, and no memory.
    pid = x.g.pids()['qmgr']

    def memory():
        return int(re.search(r'VmHWM:\s+(\d+)', t.read('/proc/%d/status' % pid)).group(1))
    before = memory()
    x.send(b'Subject: large\r\n\r\n' + (b'x' * 98 + b'\r\n') * 1000000, ['a@sink.test'])
    n = x.notices(3)[2]
    n.sound('100 MB')
    t.ok(len(n.content) < 10000 and n.types[2] == 'text/rfc822-headers' and b'Subject: large' in n.returned, 'the header')
    t.ok(memory() - before < 20000, 'qmgr needs %d KB for it' % (memory() - before))
    x.end()


LONG = b'y' * 5000


HOSTILE = (
    ('no body', b'Subject: no body\r\n\r\n', ''),
    ('a header and no empty line', b'Subject: no end\r\n', ''),
    ('no header', b'\r\njust text\r\n', ''),
    ('no header, no empty line', b'just text, with a colon: or two\r\nmore\r\n', ''),
    ('nothing at all', b'', ''),
    ('only an empty line', b'\r\n', ''),
    ('8 bits in headers', b'Subject: \xff\xfe \xe4\r\nFrom: \xc3\xa4@\xc3\xb6\r\n\r\nx\r\n', ''),
    ('NUL', b'Subject: a\0b\r\n\r\nc\0d\r\n', ''),
    ('lines of 5000', b'Subject: ' + LONG + b'\r\n\r\n' + LONG + b'\r\n', ''),
    ('a header of 60 KB', b'X-Large: 1\r\n' + b'X-More: 0123456789\r\n' * 3000 + b'\r\nx\r\n', ''),
    ('boundaries', b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\n--b--\r\n--b\r\n--smx\r\n--\r\n', ''),
    ('a part that has no end', b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n', ''),
    ('an encoding that it cannot have', b'Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n====\r\n', ''),
    ('header lines that are none', b': x\r\n continued first\r\n\tS p: y\r\n\r\nx\r\n', ''),
    ('dots', b'.. A: b\r\n\r\n..\r\n...\r\n', ''),
)


def hostile():
    """Content that a reader of notices could stumble over: each parses without defects of ours, and says what it has to."""
    far = Peer(answer=lambda line: '550 5.1.1 no' if line.startswith('RCPT') else None)
    for flags in ('', ', header_only'):
        x = Case(far, flags=flags, smtps='max_line_length = 100000;')
        n = 0
        for name, content, mail in HOSTILE:
            x.send(content, ['a@sink.test'], mail=mail)
            notice, n = x.notices(n + 1)[n], n + 1
            m = email.message_from_bytes(notice.content, policy=email.policy.default)
            parts = list(m.iter_parts())
            lines = max(len(line) for line in notice.content.split(b'\r\n'))
            good = (not m.defects and len(parts) == 3 and not any(p.defects for p in parts[:2]) and m['Date'].datetime and
                    m['To'] == 'joe@source.test' and 'a@sink.test' in parts[0].get_content() and
                    'failed' in str(parts[1].get_payload()[1]) and (lines <= 998 or not flags and len(LONG) + 20 > lines))
            t.ok(good and b'\n' not in notice.content.replace(b'\r\n', b'') and b'\r' not in notice.content.replace(b'\r\n', b''),
                 '%s%s: %s' % (name, flags, notice.types[2:]), notice.content[:3000])
            end = b'\r\n--' + m.get_boundary().encode() + b'--\r\n'
            body = content.replace(b'\r\n..', b'\r\n.')
            body = body[1:] if body.startswith(b'..') else body
            if not flags:
                t.ok(body in notice.returned and notice.content.endswith(end), '  all of it is returned', notice.content[-3000:])
            else:
                t.ok(notice.content.endswith(end) and b'\0' not in notice.content and notice.types[2] == 'text/rfc822-headers',
                     '  its header is returned', notice.content[-3000:])
        x.g.wait_empty()
        x.g.stop()
    t.end_all()


def damaged():
    """Content that is damaged on the disk is not returned, and the notice says why."""
    far = Peer(answer=lambda line: '451 4.2.0 wait' if line.startswith('RCPT') else None)
    for kind in ('whole', 'header', 'plain'):
        x = Case(far, flags=', header_only' if kind == 'header' else '', change=[SLOW_RETRIES])
        if kind == 'plain':
            x.change(('flags = { MIME_Format }', 'flags = { }'))
            x.g.stop()
            x.g.start()
        far.answer = lambda line: '451 4.2.0 wait' if line.startswith('RCPT') else None
        x.send(b'Subject: to be hurt\r\n\r\nhurt me here\r\n', ['a@sink.test'])
        t.until(lambda: any(r['attempts'] for m in x.g.queue() or () for r in m['recipients']), 'an attempt')
        t.equal(x.g.stop(), 0, 'stopped')
        t.ok(hurt(x.folder, b'hurt me here') == 1, 'one record is damaged')
        x.g.start()
        far.answer = lambda line: '550 5.1.1 no' if line.startswith('RCPT') else None
        x.g.ctl('retry')
        n = x.notices(1)[0]
        t.ok(b'its content is damaged' in n.content and b'hurt' not in n.content and
             (kind == 'plain' or n.sound(kind) and n.types[2] == 'text/plain'), kind + ': not returned, and why', n.content)
        x.g.wait_empty()
        x.g.stop()
    t.end_all()


def hurt(folder, what):
    """Changes a byte of it wherever it is in files of the content database."""
    count = 0
    for top, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(top, name)
            if not re.fullmatch(r'[0-9A-F]', os.path.basename(top)):
                continue
            with open(path, 'r+b') as f:
                at = f.read().find(what)
                if at >= 0:
                    f.seek(at)
                    f.write(b'H')
                    count += 1
    return count


def failing_notices():
    """A notice that cannot be delivered is logged and dropped; there is none about <>."""
    far = Peer(answer=lambda line: '550 5.1.1 no' if line.startswith('RCPT') else None)
    near = Peer(ALL, answer=lambda line: '552 5.3.4 too large' if line.startswith('DOT') else None)
    x = Case(far, near)
    x.send(BODY, ['a@sink.test'])
    t.until(lambda: 'DSN is not deliverable and dropped' in x.g.log('qmgr'), 'the log says so')
    t.until(x.g.is_empty, 'an empty queue')
    line = next(x for x in x.g.log('qmgr').splitlines() if 'and dropped' in x)
    t.ok(re.search(r'sev=WARN', line) and 'ss_ta=S' in line and 'joe@source.test' in line and '552 5.3.4 too large' in line, 'with all', line)
    x.send(BODY, ['a@sink.test'], sender='')
    t.until(x.g.is_empty, 'an empty queue')
    t.equal([c for c in near.commands if c.startswith(b'MAIL')].__len__(), 1, 'none about <>')
    # Refused for now: it is tried again like any other message.
    near.answer = lambda line: '451 4.3.0 later' if line.startswith('DOT') else None
    x.send(BODY, ['a@sink.test'])
    t.until(lambda: any(r['attempts'] >= 2 for m in x.g.queue() or () for r in m['recipients']), 'two attempts')
    near.answer = lambda line: None
    x.notices(1)
    x.g.wait_empty()
    # A size limit: the header is small enough.
    near.offers = ('SIZE 3000', '8BITMIME')
    x.g.stop()
    x.g.start()
    x.send(BODY + b'x\r\n' * 2000, ['a@sink.test'])
    n = x.notices(2)[1]
    n.sound('a size limit')
    t.ok(n.types[2] == 'text/rfc822-headers' and b'X-Mark' in n.returned, 'a smaller one', n.content)
    t.until(x.g.is_empty, 'an empty queue')
    x.end()


if __name__ == '__main__':
    t.main(fields, plain_and_header_only, merged, most_of_them, success_and_delay, utf8, eight_bits, hostile, damaged, failing_notices)
