#!/usr/bin/env python3
"""smtp-source into smtp-sink: counts, loss, duplicates, faults, time, exit status. Prints TAP; env BUILD (build)."""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'bench'))

import procs  # noqa: E402
import tools  # noqa: E402

BUILD = os.environ.get('BUILD', 'build')
TMP = tempfile.TemporaryDirectory(prefix='smx-bench-tools-')
count = 0
failed = 0


def ok(good, name, *details):
    global count, failed
    count += 1
    failed += not good
    print('%s %d - %s' % ('ok' if good else 'not ok', count, name))
    if not good:
        for d in details:
            print('# %s' % str(d).replace('\n', '\n# '))
    sys.stdout.flush()


def is_(got, want, name):
    ok(got == want, name, 'got  %r' % (got,), 'want %r' % (want,))


def path(name):
    return os.path.join(TMP.name, name)


def exchange(sink_args, source_args, listen='127.0.0.1:0', server=None):
    """Runs both; returns (source status, source results, sink status, sink results)."""
    sink = tools.Sink(BUILD, *sink_args, listen=(listen,))
    server = server or '127.0.0.1:%d' % sink.port
    status, sent, said = tools.send(BUILD, server, '-q', *source_args)
    sink_status, got = sink.stop()
    if said:
        print('# ' + said.replace('\n', '\n# '))
    return status, sent, sink_status, got


def all_arrived(name, n, result, recipients=None):
    status, sent, sink_status, got = result
    is_((status, sent['accepted'], sink_status, got['messages'], got['distinct'], got['recipients'], got['duplicates'],
         got['duplicate_recipients'], got['lost'], got['corrupt'], got['unidentified'], got['sessions_open']),
        (0, n, 0, n, n, recipients or n, 0, 0, 0, 0, 0, 0), name)
    bad = {k: v for k, v in got.items() if v and (k.startswith('bad_') or k.startswith('content_'))}
    is_(bad, {}, name + ': nothing against the protocol')


def test_plain():
    all_arrived('one message per connection', 2000, exchange([], ['-s', '20', '-m', '2000']))
    all_arrived('many per connection', 3000, exchange([], ['-s', '20', '-m', '3000', '-d']))
    all_arrived('pipelined, several recipients, several threads', 1000,
                exchange(['-T', '2'], ['-s', '40', '-T', '2', '-m', '1000', '-n', '7', '-P', '-r', '5', '--domains', '9',
                                       '--senders', '9']), 5000)
    all_arrived('large content', 20, exchange([], ['-s', '4', '-m', '20', '-l', '3000000', '-n', '3']))
    all_arrived('empty content', 50, exchange([], ['-s', '4', '-m', '50', '-l', '0', '-d']))
    all_arrived('without PIPELINING and enhanced codes', 200, exchange(
        ['--without', 'PIPELINING', '--without', 'ENHANCEDSTATUSCODES'], ['-s', '5', '-m', '200', '-P', '-n', '4']))
    all_arrived('HELO', 50, exchange([], ['-s', '5', '-m', '50', '--helo']))
    all_arrived('BDAT', 300, exchange(['--with', 'CHUNKING'], ['-s', '5', '-m', '300', '-n', '9', '--bdat', '-l', '5000']))
    all_arrived('BDAT, pipelined', 300, exchange(['--with', 'CHUNKING'], ['-s', '5', '-m', '300', '-n', '9', '--bdat', '-P']))


def test_sockets():
    s = path('smtp.sock')
    all_arrived('SMTP over a unix socket', 500, exchange([], ['-s', '10', '-m', '500', '-n', '5'], 'unix:' + s, 'unix:' + s))
    s = path('lmtp.sock')
    all_arrived('LMTP over a unix socket', 500, exchange(['-L'], ['-L', '-s', '10', '-m', '500', '-r', '3', '-n', '5'],
                                                         'unix:' + s, 'unix:' + s), 1500)
    ok(not os.path.exists(s), 'the socket is removed at the end')
    all_arrived('LMTP over TCP, pipelined', 500, exchange(['-L'], ['-L', '-P', '-s', '10', '-m', '500', '-r', '3', '-d']), 1500)
    try:
        with socket.socket(socket.AF_INET6) as x:
            x.bind(('::1', 0))
    except OSError:
        ok(True, 'IPv6 # SKIP no ::1 here')
        return
    sink = tools.Sink(BUILD, listen=('[::1]:0',))
    status, sent, _ = tools.send(BUILD, '[::1]:%d' % sink.port, '-q', '-s', '5', '-m', '100')
    all_arrived('IPv6', 100, (status, sent) + sink.stop())


def test_sessions():
    n = 2000
    sink = tools.Sink(BUILD)
    p = tools.Source(BUILD, '127.0.0.1:%d' % sink.port, '-q', '-s', str(n), '-m', str(2 * n), '-n', '2', '-R', '3000')
    most = 0
    while p.p.poll() is None:
        most = max(most, sink.query()['sessions_open'])
        time.sleep(0.01)
    status, sent, said = p.wait()
    all_arrived('2000 sessions', 2 * n, (status, sent) + sink.stop())
    ok(most > 1, 'the control socket shows open sessions meanwhile (%d)' % most)


def test_faults():
    status, sent, _, got = exchange(['--fail', 'dot:450:1/10'], ['-s', '10', '-m', '500', '-n', '5'])
    is_((status, sent['accepted'], sent['tempfailed'], got['messages'], got['tempfailed']), (75, 450, 50, 450, 50),
        'refused content: counted by both, status EX_TEMPFAIL')
    status, sent, _, got = exchange(['--fail', 'rcpt:550 5.1.1 no such user:100%:2foo'], ['-s', '5', '-m', '100', '-r', '3'])
    is_((status, sent['accepted'], sent['rcpt_rejected'], sent['recipients'], got['recipients']), (0, 100, 100, 200, 200),
        'one recipient of three is refused')
    ok('5.1.1 no such user' in str(sent['errors']), 'the refusal is shown', sent['errors'])
    status, sent, _, got = exchange(['-L', '--fail', 'dot:550:1/4'], ['-L', '-s', '5', '-m', '100', '-r', '4', '-n', '3'])
    is_((status, sent['accepted'], sent['recipients'], sent['rcpt_rejected'], got['recipients']), (0, 100, 300, 100, 300),
        'LMTP: one recipient of four is refused after the content')
    status, sent, _, got = exchange(['--fail', 'mail:550'], ['-s', '2', '-m', '10', '-n', '5'])
    is_((status, sent['rejected'], got['messages'], got['cmd_quit']), (65, 10, 0, 2), 'all refused with 5yz: EX_DATAERR')


def test_tolerant():
    acked = path('acked')
    sink = tools.Sink(BUILD, '--acked', acked, '--fail', 'dot:451:5%', '--fail', 'mail:421:2%', '--fail', 'connect:421:5%',
                      '--drop', 'data:2%', '--drop', 'body:2%', '--drop', 'accepted:3%', '--drop', 'helo:5%',
                      '--delay', 'rcpt:2ms:10%', '--seed', '3')
    status, sent, said = tools.send(BUILD, '127.0.0.1:%d' % sink.port, '-q', '-s', '20', '-m', '2000', '-n', '10', '-P', '-r', '2',
                                    '--tolerant', '--acked', acked)
    sink_status, got = sink.stop()
    with open(acked) as f:
        lines = f.read().splitlines()
    is_((status, sent['accepted'], len(lines), len(set(lines))), (0, 2000, 2000, 2000),
        'tolerant: goes on until 2000 are acknowledged, each written once')
    ok(sent['unknown'] > 0 and sent['abandoned'] > 0 and sent['tempfailed'] > 0 and sent['connect_failed'] > 0,
       'tolerant: everything happened that was asked for', sent)
    is_(sent['attempted'], sent['accepted'] + sent['unknown'] + sent['abandoned'] + sent['tempfailed'] + sent['rejected'],
        'tolerant: every attempt has one result')
    is_((sink_status, got['lost'], got['lost_recipients'], got['acked']), (0, 0, 0, 2000), 'tolerant: no acknowledged one is lost')
    ok(2000 <= got['distinct'] <= 2000 + sent['unknown'] and got['duplicates'] == 0,
       'tolerant: what arrived beyond that had no answer', got)


def test_loss():
    acked = path('acked-more')
    sink = tools.Sink(BUILD, '--acked', acked)
    _, sent, _ = tools.send(BUILD, '127.0.0.1:%d' % sink.port, '-q', '-s', '5', '-m', '100', '-r', '2', '--acked', acked,
                            '--run', 'loss')
    with open(acked, 'a') as f:
        f.write('loss-101\nother-1\nloss-5 1foo@elsewhere.test\n')
    status, got = sink.stop()
    is_((status, got['lost'], got['lost_recipients'], sorted(got['lost_ids'])), (65, 2, 1, ['loss-101', 'other-1']),
        'acknowledged and never arrived: named, EX_DATAERR')
    sink = tools.Sink(BUILD, '--no-duplicates')
    for _ in range(2):
        tools.send(BUILD, '127.0.0.1:%d' % sink.port, '-q', '-s', '5', '-m', '100', '--run', 'twice')
    tools.send(BUILD, '127.0.0.1:%d' % sink.port, '-q', '-m', '1', '--run', 'twice', '-t', 'other@x.test', '--start', '7')
    status, got = sink.stop()
    is_((status, got['messages'], got['distinct'], got['duplicates'], got['duplicate_recipients']), (65, 201, 100, 101, 100),
        'sent twice: duplicates by id and by recipient')
    sink = tools.Sink(BUILD)
    tools.send(BUILD, '127.0.0.1:%d' % sink.port, '-q', '-m', '10', '--run', 'gap')
    tools.send(BUILD, '127.0.0.1:%d' % sink.port, '-q', '-m', '10', '--run', 'gap', '--start', '14')
    _, got = sink.stop()
    is_((got['distinct'], got['gaps'], got['lost']), (20, 3, 3), 'a gap in the numbers is a loss when nothing else is known')


def dialogue(port, text):
    """Sends all of it and reads to the end."""
    with socket.create_connection(('127.0.0.1', port), timeout=20) as s:
        s.sendall(text)
        out = b''
        while True:
            data = s.recv(65536)
            if not data:
                return out.decode('latin-1')
            out += data


def test_strict():
    sink = tools.Sink(BUILD)
    head = b'EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n'
    out = dialogue(sink.port, head + b'X-SMX-ID: s-1\r\nX-SMX-Check: 00000000 1\r\n\r\nchanged\r\n.\r\nQUIT\r\n')
    ok(out.count('\r\n250 ') == 4 and '\r\n221 ' in out, 'a changed message is accepted', out)
    out = dialogue(sink.port, head + b'X-SMX-ID: s-2\r\n\r\na\n.\nQUIT\r\nb\r\n.\nMAIL FROM:<x@y>\r\n\n.\r\n..\r\n.\r\nQUIT\r\n')
    is_((out.count('\r\n250 '), out.count('\r\n221 ')), (4, 1), 'only CRLF.CRLF ends the content')
    out = dialogue(sink.port, b'x' * 5000)
    ok('500 ' in out, 'an endless line ends the session', out)
    out = dialogue(sink.port, b'EHLO x\nMAIL\0\r\nQUIT\r\n')
    is_(out.count('\r\n500 '), 2, 'bare LF and NUL in commands')
    status, got = sink.stop()
    is_((status, got['corrupt'], got['distinct'], got['content_bare_lf'], got['bad_line']), (65, 1, 2, 4, 3),
        'all of it is counted; corrupt is EX_DATAERR')


def test_expect():
    sink = tools.Sink(BUILD, '--expect', '100', '--timeout', '60s')
    tools.send(BUILD, '127.0.0.1:%d' % sink.port, '-q', '-s', '10', '-m', '100')
    status, got = sink.wait(30)
    is_((status, got['distinct'], got['lost']), (0, 100, 0), '--expect: ends by itself')
    sink.close()
    sink = tools.Sink(BUILD, '--expect', '11', '--timeout', '300ms')
    tools.send(BUILD, '127.0.0.1:%d' % sink.port, '-q', '-m', '10')
    status, got = sink.wait(30)
    is_((status, got['distinct'], got['lost']), (69, 10, 1), '--timeout: EX_UNAVAILABLE, and what is missing')
    sink.close()


def test_time():
    begin = time.monotonic()
    _, sent, _, got = exchange(['--limit', '200/s'], ['-s', '20', '-m', '100', '-d'])
    ok(time.monotonic() - begin > 0.48 and got['messages'] == 100, '--limit holds the rate')
    _, sent, _, got = exchange([], ['-s', '10', '-m', '100', '-R', '250/s'])
    ok(0.39 < sent['seconds'] and sent['accepted'] == 100, '-R holds the rate', sent['seconds'])
    # one session, 50 ms for each, 100/s: the schedule runs away, and the latency says so
    _, sent, _, got = exchange(['--delay', 'dot:50ms'], ['-s', '1', '-d', '-m', '20', '-R', '100/s'])
    ok(sent['latency_ms']['max'] > 700 and sent['latency_ms']['p50'] > 300, 'latency counts from the schedule', sent['latency_ms'])
    status, sent, _, got = exchange(['--stall', 'dot:3x'], ['-s', '5', '-m', '50', '--tolerant', '--timeout', '3s'])
    is_((status, sent['accepted'], sent['timeouts'], sent['unknown'], got['stalled']), (0, 50, 3, 3, 3), 'a server that says nothing')
    status, sent, _, got = exchange([], ['-s', '5', '-m', '0', '--time', '300ms', '-R', '500/s'])
    # by its own clock: message n + 1 is not due before n / 500 s
    ok(status == 0 and 0 < sent['accepted'] == got['distinct'] <= sent['seconds'] * 500 + 1, '-m 0 --time', sent)


def test_reports():
    sink = tools.Sink(BUILD)
    out = path('source.json')
    status, sent, _ = tools.send(BUILD, '127.0.0.1:%d' % sink.port, '-m', '7', '--json', out)
    with open(out) as f:
        is_(json.load(f)['run'], sent['run'], '--json FILE has the same as -j')
    is_(sink.query()['messages'], 7, 'control socket')
    sink.p.send_signal(signal.SIGUSR1)
    procs.wait_until(lambda: '"messages": 7' in sink.log_tail(), 10)
    ok('"messages": 7' in sink.log_tail(), 'SIGUSR1 prints JSON', sink.log_tail())
    sink.stop()
    d = path('dump')
    os.mkdir(d)
    sink = tools.Sink(BUILD, '--dump', d)
    tools.send(BUILD, '127.0.0.1:%d' % sink.port, '-m', '3', '--run', 'dump', '-f', 'me@x.test', '-r', '2', '-t', 'you@y.test')
    sink.stop()
    names = sorted(os.listdir(d))
    with open(os.path.join(d, names[-1]), 'rb') as f:
        text = f.read()
    ok(names == ['%08d.eml' % i for i in (1, 2, 3)] and text.startswith(
        b'X-Envelope-From: me@x.test\r\nX-Envelope-To: 1you@y.test\r\nX-Envelope-To: 2you@y.test\r\nX-SMX-ID: dump-3\r\n') and
        text.endswith(b'\r\n.\r\n'), '--dump', names, text[:300])


def status_of(program, *args):
    r = subprocess.run([tools.program(BUILD, program), *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    return r.returncode, r.stdout, r.stderr


def test_command_lines():
    for program in 'smtp-source', 'smtp-sink':
        status, out, err = status_of(program, '-h')
        ok(status == 0 and out.startswith('usage: ' + program) and not err, program + ' -h')
        status, out, err = status_of(program, '-V')
        ok(status == 0 and out.startswith(program) and not err, program + ' -V')
        for args in ([], ['--nonsense', '127.0.0.1:0'], ['127.0.0.1:x:y'], ['-T', '0', '127.0.0.1:1']):
            status, out, err = status_of(program, *args)
            ok(status == 64 and err, '%s %s: EX_USAGE' % (program, ' '.join(args)), status, err)
    status, out, err = status_of('smtp-sink', '--fail', 'dot:9', '127.0.0.1:0')
    ok(status == 64 and 'dot:9' in err, 'a wrong rule is named', err)
    port = procs.free_port()
    status, out, err = status_of('smtp-source', '-q', '-s', '3', '-m', '9', '127.0.0.1:%d' % port)
    ok(status == 69 and 'refused' in err, 'nobody listens: EX_UNAVAILABLE', status, err)
    sink = tools.Sink(BUILD)
    status, out, err = status_of('smtp-sink', '127.0.0.1:%d' % sink.port)
    ok(status == 69 and 'in use' in err, 'a port that is taken: EX_UNAVAILABLE', status, err)
    sink.stop()


def main():
    for t in (test_plain, test_sockets, test_sessions, test_faults, test_tolerant, test_loss, test_strict, test_expect, test_time,
              test_reports, test_command_lines):
        t()
    print('1..%d' % count)
    TMP.cleanup()
    return failed != 0


if __name__ == '__main__':
    sys.exit(main())
