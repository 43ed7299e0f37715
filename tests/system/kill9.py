#!/usr/bin/env python3
"""kill -9 of everything under load, again and again: no acknowledged mail is lost.

One smtp-source and one smtp-sink run all the time; mcp and its four components are killed at random moments,
some of them while they start, and started again on the same spool. At the end everything that got a 250 has
arrived, and what arrived twice is bounded by what was under way or delivered in the last moments.

TAP; SMX_TEST_ROUNDS or SMX_TEST_SLOW=1 set the number of rounds (50, slow 500). Details in smxtest.py.
"""
import collections
import os
import re
import time

import smxtest as t

ROUNDS = int(os.environ.get('SMX_TEST_ROUNDS') or (500 if t.SLOW else 50))
RATE = 400              # messages per second that the sink takes
CONNECTIONS = 40
SETTLE = 0.3            # seconds on average: a result's way to the disk, max_commit_delay (0.1) and a busy machine
QMGR = 'smtpc { initial_connections = 20; max_connections = %d; }' % CONNECTIONS


def sources(folder, port):
    endless = ('-m', '0', '--time', '3h', '--tolerant', '--timeout', '30s')
    return [t.Source(folder, port, *args, *endless, name=name) for name, args in (
        ('small', ('-s', '20', '-R', '250/s', '-l', '1000', '-d')),
        ('single', ('-s', '4', '-R', '60/s', '-l', '1000')),
        ('several', ('-s', '2', '-R', '20/s', '-r', '5', '-l', '9000', '-d')),
        ('large', ('-s', '1', '-R', '5/s', '-l', '300000', '-d')))]


def kill_everything():
    folder = t.tmpdir('kill9')
    rng = t.rng('kill9')
    all_acked = os.path.join(folder, 'acked')
    sink = t.Sink(folder, '--limit', '%d/s' % RATE, '--fail', 'dot:451 4.3.0 later:3%', '--delay', 'dot:30ms:10%',
                  '--acked', all_acked)
    g = t.Gateway(folder, sink.port, qmgr=QMGR)
    g.start()
    running = sources(folder, g.port)
    began = time.monotonic()
    acked_in_round = []
    for n in range(ROUNDS):
        before = sum(len(s.acked()) for s in running)
        if n:
            g.launch()
        if not n or rng.random() < .8:
            g.wait_ready()
            # Under load: some more mail was accepted, unless this one is to die young.
            if rng.random() < .9:
                want = before + rng.randint(1, 60)
                t.until(lambda: sum(len(s.acked()) for s in running) >= want, 'mail is accepted in round %d' % n)
        time.sleep(rng.uniform(0, .3))
        g.kill9()
        acked_in_round.append(sum(len(s.acked()) for s in running) - before)
    g.start()
    want = sum(len(s.acked()) for s in running) + 50
    t.until(lambda: sum(len(s.acked()) for s in running) >= want, 'mail is accepted after the last round')
    results = [s.stop() for s in running]
    g.wait_empty(300 if ROUNDS > 50 else 120)
    t.equal(g.stop(), 0, 'clean stop at the end')
    with open(all_acked, 'w') as f:
        for s in running:
            f.writelines(line + '\n' for line in s.acked())
    r = sink.stop()
    t.diag('%d rounds in %.0f s, %d to %d acknowledged in one' % (ROUNDS, time.monotonic() - began, min(acked_in_round),
                                                                max(acked_in_round)))
    judge(g, r, results)


def judge(g, r, results):
    t.ok(r.get('acked', 0) > ROUNDS, '%d messages were acknowledged' % r.get('acked', 0))
    t.ok(not r['lost'] and not r['lost_recipients'] and not r.get('acked_bad'),
         'none is lost', '%s messages, %s recipients: %s' % (r['lost'], r['lost_recipients'], r.get('lost_ids')))
    t.equal(r['corrupt'], 0, 'none is damaged')
    t.equal(r['untracked'], 0, 'all are counted')
    bound = ROUNDS * (CONNECTIONS + int(RATE * SETTLE))
    t.ok(r['duplicates'] <= bound, '%d arrived twice, at most %d' % (r['duplicates'], bound))
    unexpected = r['distinct'] - r['acked'] - sum(x['unknown'] for x in results)
    t.ok(unexpected <= 0, 'what arrived was acknowledged, or its client was cut off', '%d more' % unexpected)
    t.equal(sum(x['rejected'] + x['bad_replies'] for x in results), 0, 'no client was refused for good')
    codes = collections.Counter(e[:40] for x in results for e in x['errors'])
    t.diag('clients: %d unanswered, %d refused for a while; first errors %s' % (
        sum(x['unknown'] for x in results), sum(x['tempfailed'] for x in results), dict(codes)))
    log = g.log('qmgr')
    found = [int(n) for n in re.findall(r'stat=started.*? replayed=(\d+)', log)]
    t.diag('%d starts, %d messages found in segments only' % (len(found), sum(found)))
    t.equal(re.findall(r'damaged=[1-9]\d*', log), [], 'no start found damage')
    t.equal(re.findall(r'.*(?:panic|sev=ALERT).*', log + g.log('mcp') + g.log('smtps') + g.log('smtpc') + g.log('smar')), [],
            'no program panicked')


if __name__ == '__main__':
    t.main(kill_everything)
