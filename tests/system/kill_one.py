#!/usr/bin/env python3
"""kill -9 of each single component under load: mcp restarts it, nothing is lost, mail goes on.

Sessions outlive the death of qmgr, smar and smtpc: no client sees a refusal or loses its connection. When
smtps dies its sessions are lost, but no new connection is refused: mcp keeps the listening socket. mcp waits
longer before each restart of a program that dies again and again, so a gateway has only three such deaths:
then the last one is back within wait_for_server.

TAP; SMX_TEST_ROUNDS: gateways for each component (1, slow 15). Details in smxtest.py.
"""
import os
import re
import time

import smxtest as t

ROUNDS = int(os.environ.get('SMX_TEST_ROUNDS') or (15 if t.SLOW else 1))
KILLS = 3
CONNECTIONS = 40
RATE = 600
SETTLE = 0.6


def kill_component(name, tolerant_of=()):
    for n in range(ROUNDS):
        one_gateway(name, tolerant_of, t.rng('kill_one', name, n))


def one_gateway(name, tolerant_of, rng):
    folder = t.tmpdir('kill-' + name)
    all_acked = os.path.join(folder, 'acked')
    sink = t.Sink(folder, '--limit', '%d/s' % RATE, '--delay', 'dot:20ms:10%', '--acked', all_acked)
    g = t.Gateway(folder, sink.port, qmgr='smtpc { initial_connections = 20; max_connections = %d; }' % CONNECTIONS)
    g.start()
    endless = ('-m', '0', '--time', '1h', '--tolerant', '--timeout', '30s')
    running = [t.Source(folder, g.port, *args, *endless, name=n) for n, args in (
        ('kept', ('-s', '10', '-R', '250/s', '-d')), ('single', ('-s', '5', '-R', '100/s')),
        ('large', ('-s', '1', '-R', '5/s', '-l', '300000', '-d')))]

    def acked():
        return sum(len(s.acked()) for s in running)

    gaps = []
    for n in range(KILLS):
        want = acked() + 20
        t.until(lambda: acked() >= want, 'mail is accepted before kill %d of %s' % (n, name))
        delivered = sink.ask()['messages']
        time.sleep(rng.uniform(0, .2))
        others = g.pids()
        old = t.until(lambda: g.pids().get(name), '%s runs' % name)
        begin = time.monotonic()
        t.kill(old)
        t.until(lambda: g.pids().get(name) not in (None, old), 'mcp restarts ' + name)
        want = acked() + 20
        t.until(lambda: acked() >= want, 'mail is accepted after kill %d of %s' % (n, name))
        gaps.append(time.monotonic() - begin)
        t.until(lambda: sink.ask()['messages'] >= delivered + 20, 'mail is delivered after kill %d of %s' % (n, name))
        now = g.pids()
        if any(now.get(c) != others.get(c) for c in t.COMPONENTS if c != name):
            t.ok(False, 'only %s is restarted' % name, '%s, then %s' % (others, now))
    results = [s.stop() for s in running]
    g.wait_empty()
    t.equal(g.stop(), 0, '%s: clean stop at the end' % name)
    with open(all_acked, 'w') as f:
        for s in running:
            f.writelines(line + '\n' for line in s.acked())
    r = sink.stop()
    t.diag('%s: back with 20 more messages after %s s' % (name, ' '.join('%.2f' % x for x in gaps)))
    t.ok(not r['lost'] and not r['corrupt'], '%s: none of %d is lost or damaged' % (name, r['acked']), r.get('lost_ids'))
    bound = KILLS * (CONNECTIONS + int(RATE * SETTLE))
    t.ok(r['duplicates'] <= bound, '%s: %d arrived twice, at most %d' % (name, r['duplicates'], bound))
    for what in ('tempfailed', 'rejected', 'closed_by_421', 'connect_failed', 'lost', 'unknown', 'abandoned', 'bad_replies',
                 'timeouts'):
        n = sum(x[what] for x in results)
        if what in tolerant_of:
            t.diag('%s: %d %s' % (name, n, what))
        else:
            t.ok(n == 0, '%s: clients saw no %s' % (name, what), '%d: %s' % (n, [e for x in results for e in x['errors']][:5]))
    refused = [e for x in results for e in x['errors'] if 'refused' in e]
    t.equal(refused, [], name + ': no connection was refused')
    t.equal(re.findall(r'.*(?:panic|sev=ALERT).*', ''.join(g.log(c) for c in ('mcp',) + t.COMPONENTS)), [], name + ': no panic')
    t.end_all()
    t.drop(folder)


def kill_smtpc():
    kill_component('smtpc')


def kill_smar():
    kill_component('smar')


def kill_qmgr():
    kill_component('qmgr')


def kill_smtps():
    # Its own sessions die with it: greeted ones, and those that wait for their greeting.
    kill_component('smtps', tolerant_of=('lost', 'unknown', 'abandoned', 'connect_failed'))


if __name__ == '__main__':
    t.main(kill_smtpc, kill_smar, kill_qmgr, kill_smtps)
