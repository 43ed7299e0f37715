#!/usr/bin/env python3
"""Aliases and lists through the gateway: members, owners and their bounces, crashes, long lists, reload.

TAP. Details in smxtest.py.
"""
import json
import os
import re

import smxtest as t

WIRE = b'Subject: to a list\r\n\r\nbody\r\n.\r\n'
MT = 'gw.smx.test lmtp:\nlocal.test lmtp:\nfar.test esmtp:[127.0.0.1]\nauthor.test esmtp:[127.0.0.1]\n'


class Site:
    """A gateway with aliases; what is local goes to an LMTP sink, all else to an SMTP sink."""

    def __init__(self, name, aliases, lmtp=(), smtp=(), flags='', smar='', **kw):
        self.folder = t.tmpdir('alias-' + name)
        self.spool = os.path.join(self.folder, 'spool')
        os.mkdir(self.spool)
        t.own(self.spool)
        sock = os.path.join(self.spool, 'lmtpsock')
        self.local = t.Sink(self.folder, '-L', *lmtp, name='local', listen='unix:' + sock, dump=True)
        os.chmod(sock, 0o777)
        self.far = t.Sink(self.folder, *smtp, name='far', dump=True)
        self.g = t.Gateway(self.folder, self.far.port, spool=self.spool, mt=kw.pop('mt', MT),
                           smar=smar + 'aliases { flags = { %s }; }' % (flags or 'localpart'), **kw)
        if aliases:
            self.g.createmap('aliases.db', aliases)

    def client(self):
        c = t.Client(self.g.port)
        c.want('250', 'EHLO client.test')
        return c


def envelopes(sink):
    """(sender, recipients, content) of each dumped message."""
    out = []
    for d in sink.dumped():
        sender = re.search(rb'X-Envelope-From: <?([^>\r]*)', d).group(1).decode()
        out.append((sender, [r.decode() for r in re.findall(rb'X-Envelope-To: <?([^>\r]+)', d)], d))
    return out


def delivered(*sinks):
    """Recipients of all of them, sorted."""
    return sorted(r for s in sinks for e in envelopes(s) for r in e[1])


LIST = ('list: <a@local.test> <bad@local.test> <c@local.test> <d@far.test>\n'
        'owner-list: <boss@far.test>\n')


def owner_gets_the_bounce():
    """Three local members and a remote one; one fails: its owner hears of it, the author does not. kill -9 between."""
    x = Site('owner', LIST, lmtp=('--fail', 'rcpt:550 5.1.1 gone:100%:bad'))
    x.g.start()
    t.kill(x.g.pids()['smtpc'], t.signal.SIGSTOP)
    with x.client() as c:
        r = c.send(WIRE, sender='author@author.test', rcpts=('list@local.test',))
        t.ok(r.startswith('250'), 'accepted', r)
    rows = x.g.queue()
    got = sorted((r['address'], r.get('original'), r.get('owner')) for m in rows for r in m['recipients'])
    t.equal(got, [(a, 'list@local.test', 'owner-list@local.test') for a in
                  ('a@local.test', 'bad@local.test', 'c@local.test', 'd@far.test')], 'the queue has the members, their list and owner')
    text = x.g.tool('mailq').stdout
    t.ok('<a@local.test> (for <list@local.test>)' in text, 'mailq shows both', text)
    ident = rows[0]['id']
    text = x.g.tool('qmgrctl', 'show', ident).stdout
    t.ok('original: <list@local.test>' in text and 'owner:    <owner-list@local.test>' in text, 'qmgrctl show', text)
    for select, n in (('to=list@local.test', 4), ('to=a@local.test', 1), ('from=owner-list@local.test', 4),
                      ('from=author@author.test', 0)):
        m = [json.loads(line) for line in x.g.ctl('list json ' + select).splitlines()]
        t.equal(sum(len(row['recipients']) for row in m), n, 'selected by ' + select)
    text = x.g.tool('cdbctl', 'cat', '-e', ident).stdout
    t.ok('sender:     <author@author.test>' in text and text.count('owner:    <owner-list@local.test>') == 4, 'cdbctl cat -e', text)
    x.g.kill9()
    x.g.start()
    x.g.wait_empty()
    t.equal(delivered(x.local), ['a@local.test', 'c@local.test'], 'the local members got it')
    far = envelopes(x.far)
    t.equal(sorted(e[1][0] for e in far), ['boss@far.test', 'd@far.test'], 'the remote member and the owner, nobody else')
    for e in envelopes(x.local) + [e for e in far if e[1] == ['d@far.test']]:
        t.equal(e[0], 'owner-list@local.test', '%s from the owner of the list' % ' '.join(e[1]))
    dsn = next(e for e in far if e[1] == ['boss@far.test'])
    t.equal(dsn[0], '', 'the notice from the null sender')
    t.ok(b'<bad@local.test>' in dsn[2] and b'550 5.1.1 gone' in dsn[2] and b'a@local.test' not in dsn[2], 'names the one that failed', dsn[2])
    t.ok(b'To: <owner-list@local.test>' in dsn[2], 'is addressed to the owner', dsn[2])
    t.equal(x.g.stop(), 0, 'clean stop')


def notices(sink):
    """Notices that came to it: address -> text."""
    return {' '.join(rcpts): text.decode() for sender, rcpts, text in envelopes(sink) if not sender}


def each_owner_gets_its_own():
    """Two lists and an address in one message; failures of each go to whom they concern, through aliases."""
    x = Site('owners', 'one: <a@far.test> <bad1@far.test>\nowner-one: boss\nboss: <boss1@far.test> <boss2@far.test>\n'
             'two: <b@far.test> <bad2@far.test> <bad3@far.test>\nowner-two: two-boss@far.test\n'
             'plain: <c@far.test> <bad4@far.test>\nauthor: me@author.test\n',
             smtp=('--fail', 'rcpt:550 5.1.1 gone:100%:bad'), qmgr='DSN_handling { flags = { MIME_Format } }')
    x.g.start()
    with x.client() as c:
        r = c.send(WIRE, sender='author@local.test', mail=' ENVID=e4711',
                   rcpts=('one@local.test', 'two@local.test', 'plain@local.test', 'bad5@far.test'))
        t.ok(r.startswith('250'), 'accepted', r)
    x.g.wait_empty()
    got = notices(x.far)
    want = {'boss1@far.test boss2@far.test': ['bad1'], 'two-boss@far.test': ['bad2', 'bad3'], 'me@author.test': ['bad4', 'bad5']}
    t.equal(sorted(got), sorted(want), 'each is told once, where its alias says')
    for who, names in want.items():
        text = got.get(who, '')
        t.equal(sorted(set(re.findall(r'Final-Recipient: rfc822; ?(bad\d)@far.test', text))), names, '%s of %s' % (who, names))
        t.ok('X-Mark' not in text and 'Subject: to a list' in text, 'with the message', text)
        t.equal('e4711' in text, who == 'me@author.test', 'the author, only, is told the ENVID')
    t.ok(re.search(r'Original-Recipient: rfc822; ?two@local.test', got.get('two-boss@far.test', '')), 'with the list as original recipient')
    t.equal(delivered(x.far).count('a@far.test'), 1, 'good members got it')
    t.equal(x.g.stop(), 0, 'clean stop')


def success_is_told():
    """NOTIFY=SUCCESS: a list is delivered to, an alias with several members is expanded; RFC 3461 5.2.7."""
    x = Site('success', LIST + 'team: <e@far.test> <f@far.test>\n', qmgr='DSN_handling { flags = { MIME_Format } }')
    x.g.start()
    with x.client() as c:
        for list_name in ('list', 'team'):
            c.want('250', 'MAIL FROM:<author@author.test>')
            c.want('250', 'RCPT TO:<%s@local.test> NOTIFY=SUCCESS' % list_name)
            c.want('354', 'DATA')
            c.sock.sendall(WIRE)
            t.ok(c.reply().startswith('250'), list_name + ' is accepted')
    x.g.wait_empty()
    texts = [text.decode() for sender, rcpts, text in envelopes(x.far) if rcpts == ['author@author.test']]
    got = sorted(re.findall(r'Final-Recipient: rfc822; ?(\w+)@local.test.*?Action: (\w+)', '\n'.join(texts), re.S))
    t.equal(got, [('list', 'delivered'), ('team', 'expanded')], 'the author is told, of the addresses that were given')
    t.equal(delivered(x.local, x.far).count('a@local.test') + delivered(x.far).count('e@far.test'), 2, 'members got it')
    t.equal(x.g.stop(), 0, 'clean stop')


def long_list():
    """20,000 members, each gets it exactly once, over kill -9 of everything and over a smar that dies in the middle."""
    n = 20000
    names = ['member%05d@%s' % (i, ('far.test', 'local.test')[i % 2]) for i in range(n)]
    x = Site('long', 'big: %s\nowner-big: boss@far.test\nhalf: %s\n' % (
        ' '.join('<%s>' % m for m in names), ' '.join('<%s>' % m for m in names[:n // 2])),
        smtps='max_recipients_per_transaction = 3;')
    x.g.start()
    pids = x.g.pids()
    t.kill(pids['smtpc'], t.signal.SIGSTOP)
    with x.client() as c:
        c.want('250', 'MAIL FROM:<author@author.test>')
        # smar dies while it may be answering: smtps asks the next one again, from the begin
        t.kill(pids['smar'], t.signal.SIGSTOP)
        c.sock.sendall(b'RCPT TO:<big@local.test>\r\nRCPT TO:<half@local.test>\r\nRCPT TO:<nobody@local.test>\r\n')
        t.kill(pids['smar'], t.signal.SIGCONT)
        t.kill(pids['smar'])
        r = [c.reply() for _ in range(3)]
        t.ok(r[0].startswith('250') and r[1].startswith('250') and r[2].startswith('550'), 'both are accepted, once smar is back', r)
        c.want('354', 'DATA')
        c.sock.sendall(WIRE)
        r = c.reply()
        t.ok(r.startswith('250'), 'the message too', r)
    t.until(lambda: 'aq: %d of' % n in x.g.ctl('status') or x.g.ctl('status').count(str(n)), 'all are queued')
    x.g.kill9()
    x.g.start()
    x.g.wait_empty()
    got = delivered(x.far, x.local)
    t.equal(len(got), n, 'as many copies as members')
    t.ok(got == sorted(names), 'each member got one')
    # Those of both lists are the author's: no owner comes between.
    senders = {s for s, _, _ in envelopes(x.far) + envelopes(x.local)}
    t.equal(senders, {'owner-big@local.test', 'author@author.test'}, 'senders')
    t.equal(x.g.stop(), 0, 'clean stop')


def refusals_and_reload():
    """Circles, unknown users, bad maps; a map that is made anew counts after a reload."""
    x = Site('reload', 'a: b\nb: a\nhere: local:\nl1: l2\nl2: l3\nl3: l4\nl4: l5\nl5: l6\nl6: x@far.test\n')
    x.g.start()
    with x.client() as c:
        c.want('250', 'MAIL FROM:<here@local.test>')
        for rcpt, code in (('a', '554 5.4.6'), ('l1', '554 5.4.6'), ('nobody', '550 5.1.1'), ('here', '250'), ('l2', '250'),
                           ('PostMaster', '250')):
            r = c.say('RCPT TO:<%s@local.test>' % rcpt)
            t.ok(r.startswith(code), '%s: %s' % (rcpt, code), r)
        c.want('250', 'RSET')
        r = c.say('MAIL FROM:<nobody@local.test>')
        t.ok(r.startswith('550 5.1.8'), 'a local sender who does not exist', r)
        t.until(lambda: re.search(r'alias=<a@local.test>, by=<b@gw.smx.test>.*circle', x.g.log('smar')), 'the circle in the log')
        x.g.createmap('aliases.db', 'nobody: x@far.test\n')
        t.kill(x.g.pids()['smar'], t.signal.SIGUSR1)
        c.want('250', 'MAIL FROM:<author@author.test>')
        t.until(lambda: c.say('RCPT TO:<nobody@local.test>').startswith('250'), 'the new map counts')
        r = c.say('RCPT TO:<here@local.test>')
        t.ok(r.startswith('550 5.1.1'), 'the old one does not', r)
    before = x.g.tool('createmap', '-F', 'aliases.db', '-d').stdout
    r = x.g.tool('createmap', '-F', 'aliases.db', input='good: x@far.test\nbad: <x@far.test>, <y@far.test>\n<z>: x\n')
    t.ok(r.returncode == 65 and 'stdin:2: ' in r.stdout and 'stdin:3: ' in r.stdout, 'createmap tells bad lines', r.stdout)
    t.equal(x.g.tool('createmap', '-F', 'aliases.db', '-d').stdout, before, 'and leaves the map alone')
    r = x.g.tool('createmap', '-A', '-F', 'other.db', input='bad: <x\n')
    t.ok(r.returncode == 65 and 'stdin:1: ' in r.stdout, '-A checks any map', r.stdout)
    t.equal(x.g.stop(), 0, 'clean stop')


def users_of_the_host():
    """local_user_map of type passwd, which may block: in a thread of its own."""
    x = Site('users', None, smar='map password { type = passwd; } local_user_map { name = password; } ')
    x.g.start()
    with x.client() as c:
        c.want('250', 'MAIL FROM:<root@local.test>')
        r = [c.say('RCPT TO:<%s@local.test>' % u) for u in ('root', 'nobody', 'no-such-user-here', 'postmaster')]
        t.equal([a[:9] for a in r], ['250 2.1.5', '250 2.1.5', '550 5.1.1', '250 2.1.5'], 'who has an account is known')
        c.want('250', 'RSET')
        r = c.say('MAIL FROM:<no-such-user-here@local.test>')
        t.ok(r.startswith('550 5.1.8'), 'as sender too', r)
        # Many at once, and the session that asked goes.
        c.sock.sendall(b'MAIL FROM:<a@far.test>\r\n' + b'RCPT TO:<root@local.test>\r\n' * 50)
    with x.client() as c:
        c.want('250', 'MAIL FROM:<root@local.test>')
        c.want('250', 'RCPT TO:<root@local.test>')
    t.equal(x.g.stop(), 0, 'clean stop')


if __name__ == '__main__':
    t.main(owner_gets_the_bounce, each_owner_gets_its_own, success_is_told, long_list, refusals_and_reload, users_of_the_host)
