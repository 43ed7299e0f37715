#include "proto/ehlo.h"

#include <errno.h>

static const struct {
	uint32_t cap;
	struct span word;
} words[] = {
	{ EHLO_PIPELINING, { "PIPELINING", 10 } },
	{ EHLO_SIZE, { "SIZE", 4 } },
	{ EHLO_8BITMIME, { "8BITMIME", 8 } },
	{ EHLO_ENHANCED, { "ENHANCEDSTATUSCODES", 19 } },
	{ EHLO_CHUNKING, { "CHUNKING", 8 } },
	{ EHLO_BINARYMIME, { "BINARYMIME", 10 } },
	{ EHLO_DSN, { "DSN", 3 } },
	{ EHLO_SMTPUTF8, { "SMTPUTF8", 8 } },
	{ EHLO_LIMITS, { "LIMITS", 6 } },
	{ EHLO_STARTTLS, { "STARTTLS", 8 } },
	{ EHLO_AUTH, { "AUTH", 4 } },
	{ EHLO_XCLIENT, { "XCLIENT", 7 } },
};

enum { WORDS = sizeof words / sizeof words[0] };

static void take_size(struct ehlo *e, struct span args)
{
	uint64_t v;
	struct span w = span_word(&args, " \t");

	/* RFC 1870 3: no number, or 0, means no fixed limit. Larger than 64 bits is as good as
	 * none. */
	e->size_max = span_u64(w, UINT64_MAX, &v) ? 0 : v;
}

static void take_limits(struct ehlo *e, struct span args)
{
	static const struct span names[] = { { "MAILMAX=", 8 },
					     { "RCPTMAX=", 8 },
					     { "RCPTDOMAINMAX=", 14 } };
	uint32_t *const to[] = { &e->mail_max, &e->rcpt_max, &e->rcpt_domain_max };
	struct span w;

	while ((w = span_word(&args, " \t")).n) {
		for (size_t i = 0; i < 3; i++) {
			uint64_t v;

			/* RFC 9422 3: a limit has at most six digits and is not 0. */
			if (span_casestartswith(w, names[i]) &&
			    !span_u64(span_from(w, names[i].n), 999999, &v) && v)
				*to[i] = (uint32_t)v;
		}
	}
}

static void take_auth(struct ehlo *e, struct span args)
{
	size_t n = strlen(e->auth);
	struct span w;

	while ((w = span_word(&args, " \t")).n) {
		if (n + w.n + 2 > sizeof e->auth)
			return;
		if (n)
			e->auth[n++] = ' ';
		memcpy(e->auth + n, w.p, w.n);
		n += w.n;
		e->auth[n] = 0;
	}
}

void ehlo_take(struct ehlo *e, struct span line)
{
	struct span rest = line;
	struct span word = span_word(&rest, " \t");

	/* "AUTH=PLAIN LOGIN" is an old form of AUTH. */
	if (span_casestartswith(word, SPAN("AUTH="))) {
		rest = span_from(line, (size_t)(word.p - line.p) + 5);
		word.n = 4;
	}
	for (unsigned i = 0; i < WORDS; i++) {
		if (!span_caseeq(word, words[i].word))
			continue;
		e->caps |= words[i].cap;
		if (words[i].cap == EHLO_SIZE)
			take_size(e, rest);
		else if (words[i].cap == EHLO_LIMITS)
			take_limits(e, rest);
		else if (words[i].cap == EHLO_AUTH)
			take_auth(e, rest);
		return;
	}
}

static int write_args(const struct ehlo *e, uint32_t cap, struct buf *out)
{
	int rc = 0;

	if (cap == EHLO_SIZE && e->size_max)
		return buf_printf(out, " %llu", (unsigned long long)e->size_max);
	if (cap == EHLO_AUTH)
		return buf_printf(out, " %s", e->auth);
	if (cap == EHLO_XCLIENT)
		return buf_add_span(out,
				    SPAN(" NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"));
	if (cap != EHLO_LIMITS)
		return 0;
	if (e->mail_max)
		rc = buf_printf(out, " MAILMAX=%u", e->mail_max);
	if (!rc && e->rcpt_max)
		rc = buf_printf(out, " RCPTMAX=%u", e->rcpt_max);
	if (!rc && e->rcpt_domain_max)
		rc = buf_printf(out, " RCPTDOMAINMAX=%u", e->rcpt_domain_max);
	return rc;
}

int ehlo_write(const struct ehlo *e, struct span hostname, struct buf *out)
{
	unsigned last = WORDS;

	for (unsigned i = 0; i < WORDS; i++)
		if (e->caps & words[i].cap)
			last = i;
	int rc = buf_add_span(out, last < WORDS ? SPAN("250-") : SPAN("250 "));
	rc = rc ? rc : buf_add_span(out, hostname);
	for (unsigned i = 0; i < WORDS && !rc; i++) {
		if (!(e->caps & words[i].cap))
			continue;
		rc = buf_add_span(out, i == last ? SPAN("\r\n250 ") : SPAN("\r\n250-"));
		rc = rc ? rc : buf_add_span(out, words[i].word);
		rc = rc ? rc : write_args(e, words[i].cap, out);
	}
	return rc ? rc : buf_add_span(out, SPAN("\r\n"));
}
