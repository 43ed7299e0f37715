#include "queue/select_value.h"

#include "core/ids.h"

#include <errno.h>

static int parse_size(struct span s, uint64_t *out)
{
	static const char unit[] = "kmgt";
	size_t digits = 0;
	uint64_t n;

	while (digits < s.n && ascii_isdigit(s.p[digits]))
		digits++;
	int rc = span_u64(span_head(s, digits), (uint64_t)1 << 40, &n);
	if (rc)
		return rc;
	s = span_from(s, digits);
	for (unsigned i = 0; s.n && unit[i]; i++)
		if (ascii_lower(s.p[0]) == unit[i]) {
			n <<= 10 * (i + 1);
			s = span_from(s, 1);
			break;
		}
	if (s.n && ascii_lower(s.p[0]) == 'b')
		s = span_from(s, 1);
	*out = n;
	return s.n || n >> 52 ? -EINVAL : 0;
}

/* A net, an address, with or without brackets and port. */
static int parse_net(struct span s, struct addr_net *net, uint16_t *port)
{
	size_t colon = span_rchr(s, ':'), close = span_chr(s, ']');
	uint64_t n = 0;

	*port = 0;
	if (s.n && s.p[0] == '[') {
		if (close == s.n || (close + 1 < s.n && close + 1 != colon))
			return -EINVAL;
		if (close + 1 < s.n && (span_u64(span_from(s, colon + 1), 65535, &n) || !n))
			return -EINVAL;
		s = span_of(s.p + 1, close - 1);
	} else if (colon < s.n && colon == span_chr(s, ':')) {
		if (span_u64(span_from(s, colon + 1), 65535, &n) || !n)
			return -EINVAL;
		s = span_head(s, colon);
	}
	*port = (uint16_t)n;
	return addr_net_parse(s, net);
}

static int parse_host(struct value *v)
{
	static const struct {
		struct span name;
		uint8_t mailer;
	} mailers[] = { { { "esmtp:", 6 }, ROUTE_ESMTP },
			{ { "lmtp:", 5 }, ROUTE_LMTP },
			{ { "discard:", 8 }, ROUTE_DISCARD } };
	struct span s = v->text;

	v->mailer = ANY_MAILER;
	for (size_t i = 0; i < sizeof mailers / sizeof mailers[0]; i++)
		if (span_casestartswith(s, mailers[i].name)) {
			v->mailer = mailers[i].mailer;
			s = span_from(s, mailers[i].name.n);
		}
	if (v->mailer != ANY_MAILER && !s.n) {
		v->any_host = true;
		if (v->mailer == ROUTE_LMTP)
			v->mailer = ROUTE_LMTP_LOCAL;
		return 0;
	}
	if (span_eq(s, SPAN("*"))) {
		v->any_host = true;
		return 0;
	}
	return parse_net(s, &v->net, &v->port);
}

static int parse_state(struct value *v)
{
	static const struct {
		struct span name;
		unsigned state;
	} states[] = { { { "active", 6 }, SELECT_ACTIVE },
		       { { "deferred", 8 }, SELECT_DEFERRED },
		       { { "held", 4 }, SELECT_HELD },
		       { { "failed", 6 }, SELECT_FAILED } };

	for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
		if (span_caseeq(v->text, states[i].name)) {
			v->number = states[i].state;
			return 0;
		}
	return -EINVAL;
}

int select_value_id(struct value *v)
{
	char upper[ID_TEXT_MAX];

	if (select_match_has_glob(v->text))
		return 0;
	v->exact = true;
	if (v->text.n >= sizeof upper)
		return -EINVAL;
	for (size_t i = 0; i < v->text.n; i++)
		upper[i] = v->text.p[i] >= 'a' && v->text.p[i] <= 'z' ? (char)(v->text.p[i] - 32)
								      : v->text.p[i];
	return id_parse(span_of(upper, v->text.n), &v->number);
}

/* What the values of a key look like. */
static const char *const wants[SELECT_KEYS] = {
	[SELECT_ID] = "the id of a message such as S0000000065F1A20301, or a pattern with * and ?",
	[SELECT_HOST] = "an address or net such as [192.0.2.1]:25, 192.0.2.0/24, lmtp:, or none",
	[SELECT_CLIENT] = "an address or net",
	[SELECT_AGE] = "a time such as 90s, 30m, 1h30m, 2d",
	[SELECT_STATE] = "active, deferred, held or failed",
	[SELECT_ATTEMPTS] = "a number",
	[SELECT_SIZE] = "a size such as 100k or 5MB",
};

const char *select_value_read(uint8_t key, struct value *v)
{
	bool may_be_none = key == SELECT_HOST || key == SELECT_REPLY;
	usec_t usec = 0;
	int rc = 0;

	v->none = !v->text.n || span_caseeq(v->text, SPAN("none"));
	if (may_be_none && v->none)
		return NULL;
	switch (key) {
	case SELECT_ID:
		rc = select_value_id(v);
		break;
	case SELECT_FROM:
	case SELECT_TO:
		/* As mailq shows it. */
		if (v->text.n > 1 && v->text.p[0] == '<' && v->text.p[v->text.n - 1] == '>')
			v->text = span_of(v->text.p + 1, v->text.n - 2);
		break;
	case SELECT_HOST:
		rc = parse_host(v);
		break;
	case SELECT_CLIENT:
		rc = parse_net(v->text, &v->net, &v->port);
		break;
	case SELECT_AGE:
		rc = select_duration(v->text, &usec);
		v->number = (uint64_t)usec;
		break;
	case SELECT_STATE:
		rc = parse_state(v);
		break;
	case SELECT_ATTEMPTS:
		rc = span_u64(v->text, UINT32_MAX, &v->number);
		break;
	case SELECT_SIZE:
		rc = parse_size(v->text, &v->number);
		break;
	default:
		break;
	}
	return rc ? wants[key] : NULL;
}
