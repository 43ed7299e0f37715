"""All workloads of bench/compare, by name."""
from measure import Relay
from queues import Dead, Million
from stress import Feedback, Hostile, Huge, Idle

MANY = dict(processes=1100)  # with fewer Postfix leaves some of 1000 clients without a greeting for minutes
SPREAD = 20000  # messages over 1, 100, 10,000 destinations: the same number for both systems


def spread(count):
    """A Relay to so many next hops, each with an address of its own; one sink has them all.

    With 10,000 of them a connection carries one message, so it does with 1 and 100 too: what differs is the number of
    destinations and nothing else.
    """
    hops = [('d%d.bench.test' % i, '127.1.%d.%d' % (i // 250, 1 + i % 250)) for i in range(count)]
    mt = ''.join('%s esmtp:[%s]\n' % h for h in hops)
    return Relay('dests%d' % count, 'to %d destination%s, each message on a connection of its own' % (
                     count, 's' if count > 1 else ''),
                 20, True, dict(smx=SPREAD, postfix=SPREAD), ['--domains', str(count)],
                 family='dests', runs=2, counts_syncs=False,
                 listen=('0.0.0.0:0',), sink=('--device', 'lo', '--mail-max', '1'),
                 smx=dict(connect_only='', files=dict(mt=mt)),
                 other=dict(more='transport_maps = texthash:%(dir)s/etc/transport\n'
                                 'smtp_connection_cache_on_demand = no\nsmtp_connection_cache_destinations =\n', hops=hops))


def table():
    rows = (
        Relay('W1', '20 sessions, one message each connection', 20, False),
        Relay('W2', '20 sessions, many messages each connection', 20, True),
        Relay('W5', '100 sessions, one message each connection', 100, False),
        Relay('W52', '100 sessions, many messages each connection', 100, True),
        Relay('Wx', '1 session, many messages', 1, True, dict(smx=3000, postfix=1000)),
        Relay('s1000', '1000 sessions, one message each connection', 1000, False, runs=2, other=MANY),
        Relay('s1000m', '1000 sessions, many messages each connection', 1000, True, runs=2, other=MANY),
        Relay('size20k', '20 sessions, messages of 20 KB', 20, True, dict(smx=10000), ['-l', '20480'], family='size', runs=2),
        Relay('size1m', '20 sessions, messages of 1 MB', 20, True, dict(smx=1000, postfix=500), ['-l', '1048576'],
              family='size', runs=2),
        Relay('rcpts10', '20 sessions, 10 recipients a message', 20, True, dict(smx=10000), ['-r', '10'], family='size', runs=2),
        spread(1), spread(100), spread(10000),
        Dead('dead', '20,000 messages for a dead destination, restart, drain when it is back'),
        Huge('huge', '3 messages of 100 MB: most memory of a process'),
        Hostile('hostile', '2,000 hostile connections a second beside a good client'),
        Idle('idle1000', '1,000 idle sessions (Postfix: 200)', 1000),
        Idle('idle10000', '10,000 idle sessions (Postfix: 200)', 10000),
        Feedback('feedback', '5,000 messages a second for a next hop that takes 100, which then recovers'),
        Million('million', '1,000,000 deferred recipients, 100 a message (smX alone: Postfix takes hours)', 10000, 100),
        Million('million1', '1,000,000 deferred messages of one recipient (smX alone)', 1000000, 1, long=True),
    )
    return {w.name: w for w in rows}


WORKLOADS = table()
