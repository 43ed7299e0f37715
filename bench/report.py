"""Tables and plot of bench/compare."""
from xml.sax.saxutils import escape

COLORS = {'smx': '#1f6fb4', 'postfix': '#b8b8b8'}
NAMES = {'smx': 'smX', 'postfix': 'Postfix'}
LESS, MORE, NOT = 'less is better', 'more is better', ''  # NOT: no ratio, no bars
RELAY = (
    ('cpu_s_per_1000', 'cpu s/1000', 'CPU seconds per 1000 messages', '%.3f', LESS),
    ('accepted_per_s', 'accepted/s', '', '%.0f', MORE),
    ('delivered_per_s', 'delivered/s', 'messages per second, end to end', '%.0f', MORE),
    ('syncs_per_message', 'syncs/msg', 'syncs per message', '%.2f', LESS),
    ('rss_kb', 'memory MB', 'memory in MB', '%.0f', LESS),
)
# family -> (title, columns: key, heading in the table, title of the panel or '', how a value is written, which is better)
FAMILIES = {
    'relay': ('relaying 1 KB messages', RELAY),
    'size': ('larger messages, more recipients', RELAY),
    'dests': ('many destinations', RELAY[:3] + (
        ('qmgr_cpu_s_per_1000', 'of it: qmgr', '', '%.4f', LESS),
        ('smtpc_cpu_s_per_1000', 'smtpc', '', '%.4f', LESS),
        ('smtps_cpu_s_per_1000', 'smtps', '', '%.4f', LESS),
        ('smar_cpu_s_per_1000', 'smar', '', '%.4f', LESS),
        ('connections_per_message', 'connections/msg', '', '%.3f', NOT),
        ('rss_kb', 'memory MB', '', '%.0f', LESS))),
    'dead': ('a dead destination', (
        ('cpu_s_per_1000', 'cpu s/1000', 'CPU seconds per 1000 messages', '%.3f', LESS),
        ('defer_cpu_s_per_1000', 'of it: defer', '', '%.3f', LESS),
        ('restart_cpu_s_per_1000', 'restart', '', '%.4f', LESS),
        ('drain_cpu_s_per_1000', 'drain', '', '%.3f', LESS),
        ('accepted_per_s', 'accepted/s', '', '%.0f', MORE),
        ('defer_s', 'deferred after s', '', '%.1f', LESS),
        ('restart_s', 'banner after s', 'seconds from the start to the banner', '%.3f', LESS),
        ('drain_s', 'drained after s', '', '%.1f', LESS),
        ('delivered_per_s', 'drain msg/s', 'messages per second, drain', '%.0f', MORE),
        ('syncs_per_message', 'syncs/msg', '', '%.2f', LESS),
        ('rss_kb', 'memory MB', '', '%.0f', LESS))),
    'huge': ('messages of 100 MB', (
        ('peak_kb', 'largest process MB', 'most memory of a process in MB', '%.0f', LESS),
        ('cpu_s_per_1000', 'cpu s/1000', '', '%.0f', LESS),
        ('delivered_per_s', 'delivered/s', '', '%.2f', MORE),
        ('rss_kb', 'memory after MB', '', '%.0f', LESS))),
    'hostile': ('hostile clients', (
        ('hostile_per_s', 'hostile/s', '', '%.0f', NOT),
        ('hostile_cpu_s_per_1000', 'cpu s/1000 of them', '', '%.3f', LESS),
        ('good_share', 'good mail taken', '', '%.2f', MORE),
        ('turned_away', 'turned away', '', '%.0f', LESS),
        ('quiet_p50_ms', 'quiet median ms', '', '%.2f', LESS),
        ('p50_ms', 'median ms', 'good client: median ms, hostile clients beside', '%.2f', LESS),
        ('p50_factor', 'x', '', '%.2f', NOT),
        ('quiet_p99_ms', 'quiet p99 ms', '', '%.2f', LESS),
        ('p99_ms', 'p99 ms', 'good client: p99 ms, hostile clients beside', '%.2f', LESS),
        ('p99_factor', 'x', '', '%.2f', NOT),
        ('rss_kb', 'memory MB', '', '%.0f', LESS))),
    'idle': ('idle sessions', (
        ('kb_per_session', 'KB/session', 'KB of memory per idle session', '%.2f', LESS),
        ('opened_per_s', 'opened/s', '', '%.0f', MORE),
        ('open_cpu_s_per_1000', 'cpu s/1000', '', '%.3f', LESS),
        ('rss_kb', 'memory MB', '', '%.0f', NOT))),
    'feedback': ('a slow next hop', (
        ('free_per_s', 'msg/s free', '', '%.0f', MORE),
        ('slow_taken_per_s', 'msg/s slow', '', '%.0f', NOT),
        ('accepted', 'accepted', '', '%.0f', NOT),
        ('cpu_s_per_1000', 'cpu s/1000', '', '%.3f', LESS),
        ('half_rss_kb', 'memory half-way MB', '', '%.0f', LESS),
        ('end_rss_kb', 'at its end MB', '', '%.0f', LESS),
        ('rss_kb', 'most MB', 'most memory in MB, slow next hop', '%.0f', LESS),
        ('tempfailed', '4yz', '', '%.0f', NOT),
        ('closed_by_421', 'of it 421', '', '%.0f', NOT),
        ('recovery_s', 'full speed after s', 'seconds until full speed', '%.1f', LESS))),
    'backlog': ('a million deferred recipients', (
        ('accepted_per_s', 'accepted/s', '', '%.0f', NOT),
        ('defer_s', 'deferred after s', '', '%.1f', NOT),
        ('cpu_s_per_1000', 'cpu s/1000', '', '%.3f', NOT),
        ('fill_peak_kb', 'peak then MB', '', '%.0f', NOT),
        ('restart_s', 'banner after s', '', '%.3f', NOT),
        ('rss_kb', 'qmgr MB', '', '%.0f', NOT),
        ('quiet_cpu_ms_per_s', 'quiet cpu ms/s', '', '%.2f', NOT),
        ('due_usec', 'due us/rcpt', '', '%.0f', NOT),
        ('due_empty_usec', 'empty queue', '', '%.0f', NOT),
        ('mailq_first_s', 'mailq first row s', '', '%.3f', NOT),
        ('mailq_all_s', 'all s', '', '%.1f', NOT),
        ('peak_kb', 'peak MB', '', '%.0f', NOT))),
}


def _value(row, key):
    v = row.get(key)
    return v / 1024 if v is not None and key.endswith('_kb') else v


def _pairs(rows):
    """workload -> system -> row, in the order of the rows."""
    out = {}
    for r in rows:
        out.setdefault(r['workload'], {})[r['system']] = r
    return out


def _families(rows):
    """(family, its rows) in the order of FAMILIES."""
    for f in FAMILIES:
        mine = [r for r in rows if r['family'] == f]
        if mine:
            yield f, mine


def _cell(fmt, v):
    return '-' if v is None else fmt % v


def one_line(row, columns):
    """The figures of one run."""
    return ', '.join('%s %s' % (c[1], c[3] % _value(row, c[0])) for c in columns if row.get(c[0]) is not None)


def _ratio(a, b, better):
    if better == NOT or not a or not b:
        return '-' if better != NOT else ''
    if better == MORE:
        return 'x %.1f' % (a / b)
    return '1/%.1f' % (b / a) if a <= b else 'x %.1f' % (a / b)


def _family_table(family, rows):
    title, columns = FAMILIES[family]
    lines = [('workload', 'system', 'messages') + tuple(c[1] for c in columns)]
    for workload, systems in _pairs(rows).items():
        for s, r in systems.items():
            lines.append((workload, NAMES[s], '%d' % r['messages']) + tuple(_cell(c[3], _value(r, c[0])) for c in columns))
        if len(systems) == 2:
            a, b = systems['smx'], systems['postfix']
            lines.append((workload, 'ratio', '') + tuple(_ratio(_value(a, c[0]), _value(b, c[0]), c[4]) for c in columns))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return '\n'.join([title] + ['  '.join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))).rstrip()
                                for line in lines])


def table(rows):
    return '\n\n'.join(_family_table(f, mine) for f, mine in _families(rows))


def _text(x, y, text, size=12, anchor='start', extra=''):
    return '<text x="%.1f" y="%.1f" font-size="%d" text-anchor="%s"%s>%s</text>' % (x, y, size, anchor, extra, escape(text))


def _panel(pairs, key, heading, fmt, x, y, w, h):
    """One bar chart: a group per workload, a bar per system, its value above it."""
    out = [_text(x, y, heading, 14, extra=' font-weight="bold"')]
    top, bottom = y + 34, y + h - 24
    values = [_value(r, key) for systems in pairs.values() for r in systems.values()]
    largest = max([v for v in values if v is not None] or [1]) or 1
    group = w / len(pairs)
    out.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#444"/>' % (x, bottom, x + w, bottom))
    for i, (workload, systems) in enumerate(pairs.items()):
        bar = min(46, group * 0.8 / len(systems))
        left = x + group * i + (group - bar * len(systems)) / 2
        for j, (s, r) in enumerate(systems.items()):
            v = _value(r, key)
            height = 0 if v is None else max(1, (bottom - top) * v / largest)
            bx = left + bar * j
            out.append('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>' % (
                bx + 2, bottom - height, bar - 4, height, COLORS[s]))
            out.append(_text(bx + bar / 2, bottom - height - 4, 'n/a' if v is None else fmt % v, 11, 'middle'))
        out.append(_text(x + group * (i + 0.5), bottom + 16, workload, 12, 'middle'))
    return out


def _panels(rows):
    """(pairs, column, heading) of each bar chart, family by family."""
    for f, mine in _families(rows):
        pairs = _pairs(mine)
        for c in FAMILIES[f][1]:
            if c[2] and any(r.get(c[0]) is not None for r in mine):
                yield pairs, c, '%s (%s)' % (c[2], c[4])


def svg(rows, captions, machine):
    """The plot as text. captions: {workload: words}; machine: one line."""
    pairs, panels = _pairs(rows), list(_panels(rows))
    systems = list(dict.fromkeys(r['system'] for r in rows))
    width, panel_w, panel_h, margin = 1080, 490, 240, 40
    lines = (len(panels) + 1) // 2
    foot = 40 + 18 * len(pairs)
    height = 70 + lines * (panel_h + 30) + foot
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
           'font-family="sans-serif" fill="#222">' % (width, height, width, height),
           '<rect width="100%" height="100%" fill="white"/>',
           _text(margin, 34, ' and '.join(NAMES[s] for s in systems) + ', every sync on', 18)]
    for i, s in enumerate(systems):
        out.append('<rect x="%d" y="22" width="14" height="14" fill="%s"/>' % (width - 200 + 90 * i, COLORS[s]))
        out.append(_text(width - 181 + 90 * i, 34, NAMES[s], 13))
    for i, (group, column, heading) in enumerate(panels):
        x = margin + (i % 2) * (panel_w + 30)
        y = 76 + (i // 2) * (panel_h + 30)
        out += _panel(group, column[0], heading, column[3], x, y, panel_w, panel_h)
    y = 76 + lines * (panel_h + 30)
    for w in pairs:
        out.append(_text(margin, y, '%s: %s' % (w, captions.get(w, '')), 12))
        y += 18
    out.append(_text(margin, y + 6, machine, 11, extra=' fill="#666"'))
    out.append('</svg>')
    return '\n'.join(out) + '\n'
