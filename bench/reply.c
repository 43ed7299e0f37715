#include "bench/reply.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "core/span.h"

enum { MAX_LINES = 128 };

static void note_offer(struct reply *r, struct span text)
{
	static const struct {
		struct span word;
		uint8_t bit;
	} offers[] = {
		{ SPAN("PIPELINING"), REPLY_PIPELINING },
		{ SPAN("CHUNKING"), REPLY_CHUNKING },
		{ SPAN("8BITMIME"), REPLY_8BITMIME },
		{ SPAN("SMTPUTF8"), REPLY_SMTPUTF8 },
		{ SPAN("DSN"), REPLY_DSN },
	};

	for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++)
		if (span_caseeq(text, offers[i].word))
			r->offers |= offers[i].bit;
}

static void keep_text(struct reply *r, struct span line)
{
	const size_t room = REPLY_TEXT - 1;
	size_t n = line.n < room ? line.n : room;

	for (size_t i = 0; i < n; i++)
		r->text[i] = line.p[i] >= ' ' && line.p[i] < 127 ? line.p[i] : '?';
	r->text[n] = '\0';
}

/* One line without its LF. 1: the reply is whole, 0: more lines follow, -EPROTO. */
static int take_line(struct reply *r, struct span line)
{
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	if (line.n < 3 || line.p[0] < '2' || line.p[0] > '5' || !ascii_isdigit(line.p[1]) ||
	    !ascii_isdigit(line.p[2]))
		return -EPROTO;
	if (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-')
		return -EPROTO;
	uint16_t code =
		(uint16_t)((line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + (line.p[2] - '0'));
	if ((r->lines && code != r->code) || r->lines == MAX_LINES)
		return -EPROTO;
	if (r->lines == 0)
		r->offers = 0;
	r->code = code;
	r->lines++;
	r->text[0] = '\0';
	if (code >= 400)
		keep_text(r, line);
	else
		note_offer(r, span_from(line, 4));
	return line.n > 3 && line.p[3] == '-' ? 0 : 1;
}

static int keep_partial(struct reply *r, const char *p, size_t n)
{
	if (r->partial_n + n > REPLY_LINE)
		return -EPROTO;
	if (n == 0)
		return 0;
	if (!r->partial && !(r->partial = malloc(REPLY_LINE)))
		return -ENOMEM;
	memcpy(r->partial + r->partial_n, p, n);
	r->partial_n = (uint16_t)(r->partial_n + n);
	return 0;
}

int reply_feed(struct reply *r, const char *p, size_t n, size_t *used)
{
	size_t at = 0;

	if (r->whole)
		r->whole = r->lines = 0;
	*used = 0;
	while (at < n) {
		const char *lf = memchr(p + at, '\n', n - at);
		size_t len = lf ? (size_t)(lf - (p + at)) : n - at;
		struct span line = span_of(p + at, len);
		if (len > REPLY_LINE)
			return -EPROTO;
		if (!lf || r->partial_n) {
			int rc = keep_partial(r, p + at, len);
			if (rc)
				return rc;
			line = span_of(r->partial, r->partial_n);
		}
		at += lf ? len + 1 : len;
		*used = at;
		if (!lf)
			return 0;
		int rc = take_line(r, line);
		r->partial_n = 0;
		if (rc) {
			r->whole = 1;
			return rc;
		}
	}
	return 0;
}

void reply_reset(struct reply *r)
{
	free(r->partial);
	*r = (struct reply){ 0 };
}
