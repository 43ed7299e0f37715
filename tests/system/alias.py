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

    def __init__(self, name, aliases, lmtp=(), smtp=(), smar='', dump=True, **kw):
        self.folder = t.tmpdir('alias-' + name)
        self.spool = os.path.join(self.folder, 'spool')
        os.mkdir(self.spool)
        t.own(self.spool)
        sock = os.path.join(self.spool, 'lmtpsock')
        self.local = t.Sink(self.folder, '-L', *lmtp, name='local', listen='unix:' + sock, dump=dump)
        os.chmod(sock, 0o777)
        self.far = t.Sink(self.folder, *smtp, name='far', dump=dump)
        self.g = t.Gateway(self.folder, self.far.port, spool=self.spool, mt=kw.pop('mt', MT),
                           smar='aliases { file = "aliases.db"; %s }' % smar, **kw)
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


if __name__ == '__main__':
    t.main(owner_gets_the_bounce)
