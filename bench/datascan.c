#include "bench/datascan.h"
#include <stdlib.h>
#include "core/crc32c.h"
#include "core/span.h"

/* X-SMX-Check: 8 hex digits of CRC-32C, a space, monotonic microseconds. */
static void parse_check(struct datascan *d, struct span v)
{
	uint32_t crc = 0;
	uint64_t usec;

	if (v.n < 10 || v.p[8] != ' ')
		return;
	for (unsigned i = 0; i < 8; i++) {
		char c = v.p[i];
		if (!ascii_isdigit(c) && !(c >= 'a' && c <= 'f'))
			return;
		crc = crc << 4 | (uint32_t)(ascii_isdigit(c) ? c - '0' : c - 'a' + 10);
	}
	if (span_u64(span_from(v, 9), INT64_MAX, &usec))
		return;
	d->want_crc = crc;
	d->sent_usec = usec;
	d->has_check = true;
}

static void header_line(struct datascan *d)
{
	struct span line = span_of(d->head, d->head_n);

	if (line.n == 0) {
		d->in_body = true;
	} else if (d->id.number == 0 && span_casestartswith(line, SPAN("X-SMX-ID:"))) {
		struct span v = span_trim(span_from(line, 9));
		msgid_parse(v.p, v.n, &d->id);
	} else if (!d->has_check && span_casestartswith(line, SPAN("X-SMX-Check:"))) {
		parse_check(d, span_trim(span_from(line, 12)));
	}
	d->head_n = 0;
}

/* Content bytes in order, in pieces of any size. */
static void content(struct datascan *d, const char *p, size_t n)
{
	d->bytes += n;
	if (d->in_body)
		d->crc = crc32c(d->crc, p, n);
}

static void line_ends(struct datascan *d)
{
	if (d->line_n > DATASCAN_LINE_MAX)
		d->long_lines++;
	d->line_n = 0;
	d->state = DATASCAN_BOL;
	if (!d->in_body)
		header_line(d);
}

/* Ordinary bytes of a line: no CR, no LF. */
static void text(struct datascan *d, const char *p, size_t n)
{
	uint8_t high = 0;

	d->line_n += (uint32_t)n;
	for (size_t i = 0; i < n; i++)
		high |= (uint8_t)p[i];
	if (high & 0x80)
		d->eight_bit = 1;
	if (memchr(p, '\0', n))
		d->nul++;
	if (!d->in_body) {
		size_t room = DATASCAN_LINE - d->head_n;
		size_t take = n < room ? n : room;
		memcpy(d->head + d->head_n, p, take);
		d->head_n = (uint16_t)(d->head_n + take);
	}
}

/* A byte after "line CR". */
static void after_cr(struct datascan *d, char c)
{
	if (c == '\n') {
		line_ends(d);
		return;
	}
	d->bare_cr++;
	d->line_n++;
	if (c != '\r') {
		d->state = DATASCAN_MID;
		text(d, &c, 1);
	}
}

/* A byte at the beginning of a line or in its first dots. Returns false when it is not part of the
 * content: a stuffed dot, or the final one with its CR LF. */
static bool first_bytes(struct datascan *d, char c)
{
	switch (d->state) {
	case DATASCAN_BOL:
		if (c == '.' && !d->raw) {
			d->state = DATASCAN_DOT;
			return false;
		}
		break;
	case DATASCAN_DOT:
		if (c == '\r') {
			d->state = DATASCAN_DOT_CR;
			return false;
		}
		break;
	default: /* DATASCAN_DOT_CR */
		if (c == '\n') {
			d->state = DATASCAN_END;
			return false;
		}
		content(d, "\r", 1); /* it was a stuffed dot in front of a bare CR */
		d->state = DATASCAN_CR;
		after_cr(d, c);
		return true;
	}
	if (c == '\r') {
		d->state = DATASCAN_CR;
		return true;
	}
	if (c == '\n')
		d->bare_lf++; /* and the line goes on: a dot behind it ends nothing */
	else
		text(d, &c, 1);
	d->state = DATASCAN_MID;
	return true;
}

/* The stretch up to the next CR or LF, then that byte. Returns how many bytes. */
static size_t middle(struct datascan *d, const char *p, size_t n)
{
	const char *lf = memchr(p, '\n', n);
	size_t len = lf ? (size_t)(lf - p) : n;
	const char *cr = memchr(p, '\r', len);

	if (cr)
		len = (size_t)(cr - p);
	if (len)
		text(d, p, len);
	if (len == n)
		return n;
	if (p[len] == '\r') {
		d->state = DATASCAN_CR;
	} else {
		d->bare_lf++;
		d->line_n++;
	}
	return len + 1;
}

size_t datascan_feed(struct datascan *d, const char *p, size_t n)
{
	size_t at = 0, from = 0; /* content in [from, at) is not yet summed up */

	while (at < n && d->state != DATASCAN_END) {
		bool was_head = !d->in_body;
		if (d->state == DATASCAN_MID) {
			at += middle(d, p + at, n - at);
		} else if (d->state == DATASCAN_CR) {
			after_cr(d, p[at++]);
		} else if (first_bytes(d, p[at])) {
			at++;
		} else {
			content(d, p + from, at - from);
			from = ++at;
		}
		if (was_head && d->in_body) { /* the sum begins behind the empty line */
			d->bytes += at - from;
			from = at;
		}
	}
	content(d, p + from, at - from);
	return at;
}
