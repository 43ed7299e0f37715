"""Table and plot of bench/compare."""
from xml.sax.saxutils import escape

COLORS = {'smx': '#1f6fb4', 'postfix': '#b8b8b8'}
NAMES = {'smx': 'smX', 'postfix': 'Postfix'}
# key, heading, is less better, how a value is written
PANELS = (
    ('cpu_s_per_1000', 'CPU seconds per 1000 messages (less is better)', True, '%.3f'),
    ('delivered_per_s', 'messages per second, end to end (more is better)', False, '%.0f'),
    ('syncs_per_message', 'syncs per message (less is better)', True, '%.2f'),
    ('rss_kb', 'memory in MB (less is better)', True, '%.0f'),
)


def _value(row, key):
    v = row.get(key)
    return v / 1024 if v is not None and key == 'rss_kb' else v


def _pairs(rows):
    """workload -> system -> row, in the order of the rows."""
    out = {}
    for r in rows:
        out.setdefault(r['workload'], {})[r['system']] = r
    return out


def _cell(fmt, v):
    return '-' if v is None else fmt % v


def table(rows):
    head = ('workload', 'system', 'messages', 'cpu s/1000', 'accepted/s', 'delivered/s', 'syncs/msg', 'memory MB')
    lines = [head]
    for workload, systems in _pairs(rows).items():
        for s, r in systems.items():
            lines.append((workload, NAMES[s], '%d' % r['messages'], '%.3f' % r['cpu_s_per_1000'],
                          '%.0f' % r['accepted_per_s'], '%.0f' % r['delivered_per_s'],
                          _cell('%.2f', r['syncs_per_message']), '%.0f' % (r['rss_kb'] / 1024)))
        if len(systems) == 2:
            a, b = systems['smx'], systems['postfix']
            syncs = a['syncs_per_message'], b['syncs_per_message']
            lines.append((workload, 'ratio', '', '1/%.1f' % (b['cpu_s_per_1000'] / max(a['cpu_s_per_1000'], 1e-6)),
                          'x %.1f' % (a['accepted_per_s'] / b['accepted_per_s']),
                          'x %.1f' % (a['delivered_per_s'] / b['delivered_per_s']),
                          '-' if None in syncs or not syncs[0] else '1/%.1f' % (syncs[1] / syncs[0]),
                          '1/%.1f' % (b['rss_kb'] / a['rss_kb'])))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return '\n'.join('  '.join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths)))
                     for line in lines)


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


def svg(rows, captions, machine):
    """The plot as text. captions: {workload: words}; machine: one line."""
    pairs = _pairs(rows)
    systems = list(dict.fromkeys(r['system'] for r in rows))
    width, panel_w, panel_h, margin = 1080, 490, 240, 40
    foot = 40 + 18 * len(pairs)
    height = 70 + 2 * (panel_h + 30) + foot
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
           'font-family="sans-serif" fill="#222">' % (width, height, width, height),
           '<rect width="100%" height="100%" fill="white"/>',
           _text(margin, 34, ' and '.join(NAMES[s] for s in systems) + ': relaying 1 KB messages, every sync on', 18)]
    for i, s in enumerate(systems):
        out.append('<rect x="%d" y="22" width="14" height="14" fill="%s"/>' % (width - 200 + 90 * i, COLORS[s]))
        out.append(_text(width - 181 + 90 * i, 34, NAMES[s], 13))
    for i, (key, heading, _, fmt) in enumerate(PANELS):
        x = margin + (i % 2) * (panel_w + 30)
        y = 76 + (i // 2) * (panel_h + 30)
        out += _panel(pairs, key, heading, fmt, x, y, panel_w, panel_h)
    y = 76 + 2 * (panel_h + 30)
    for w in pairs:
        out.append(_text(margin, y, '%s: %s' % (w, captions.get(w, '')), 12))
        y += 18
    out.append(_text(margin, y + 6, machine, 11, extra=' fill="#666"'))
    out.append('</svg>')
    return '\n'.join(out) + '\n'
