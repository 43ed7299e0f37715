#include "queue/route_text.h"

#include <errno.h>
#include <stdio.h>

static int parse_host(struct span s, struct addr *out, char *why, size_t cap)
{
	size_t close = span_chr(s, ']');
	struct span port = span_from(s, close + 1);
	uint64_t n = 0;

	if (!s.n || s.p[0] != '[' || close == s.n) {
		snprintf(
			why, cap,
			"'%.*s' is no address in brackets such as [192.0.2.1] (names are not looked up here)",
			(int)(s.n < 60 ? s.n : 60), s.p);
		return -EINVAL;
	}
	if (addr_parse(span_of(s.p + 1, close - 1), out)) {
		snprintf(why, cap, "'%.*s' is no IP address",
			 (int)(close - 1 < 60 ? close - 1 : 60), s.p + 1);
		return -EINVAL;
	}
	if (port.n && (port.p[0] != ':' || span_u64(span_from(port, 1), 65535, &n) || !n)) {
		snprintf(why, cap, "'%.*s' is no port", (int)(port.n < 60 ? port.n : 60), port.p);
		return -EINVAL;
	}
	out->port = (uint16_t)n;
	return 0;
}

static uint8_t take_mailer(struct span *s)
{
	static const struct {
		struct span name;
		uint8_t mailer;
	} mailers[] = { { { "esmtp:", 6 }, ROUTE_ESMTP },
			{ { "lmtp:", 5 }, ROUTE_LMTP },
			{ { "discard:", 8 }, ROUTE_DISCARD } };

	for (size_t i = 0; i < sizeof mailers / sizeof mailers[0]; i++)
		if (span_casestartswith(*s, mailers[i].name)) {
			*s = span_from(*s, mailers[i].name.n);
			return mailers[i].mailer;
		}
	return ROUTE_ESMTP;
}

int route_text_parse(struct span text, struct route *out, char *why, size_t cap)
{
	struct route r = { .mailer = take_mailer(&text) };
	bool more;

	if (!text.n && r.mailer == ROUTE_LMTP) {
		r.mailer = ROUTE_LMTP_LOCAL;
		*out = r;
		return 0;
	}
	if (r.mailer == ROUTE_DISCARD) {
		snprintf(why, cap, "discard: takes no host");
		*out = r;
		return text.n ? -EINVAL : 0;
	}
	do {
		size_t comma = span_chr(text, ',');

		if (r.count == ROUTE_HOSTS_MAX) {
			snprintf(why, cap, "more than %d hosts", (int)ROUTE_HOSTS_MAX);
			return -EINVAL;
		}
		int rc =
			parse_host(span_trim(span_head(text, comma)), &r.host[r.count++], why, cap);
		if (rc)
			return rc;
		more = comma < text.n;
		text = span_from(text, comma + 1);
	} while (more);
	*out = r;
	return 0;
}

int route_text_put(const struct route *r, struct buf *out)
{
	int rc = 0;

	if (!r)
		return buf_add_span(out, SPAN("none"));
	if (r->mailer == ROUTE_DISCARD)
		return buf_add_span(out, SPAN("discard:"));
	if (r->mailer == ROUTE_LMTP_LOCAL || r->mailer == ROUTE_LMTP)
		rc = buf_add_span(out, SPAN("lmtp:"));
	for (unsigned i = 0; i < r->count && !rc && r->mailer != ROUTE_LMTP_LOCAL; i++) {
		char text[ADDR_TEXT_MAX];

		addr_text(&r->host[i], text);
		rc = buf_printf(out, "%s[%s]", i ? "," : "", text);
		if (!rc && r->host[i].port)
			rc = buf_printf(out, ":%u", r->host[i].port);
	}
	return rc;
}
