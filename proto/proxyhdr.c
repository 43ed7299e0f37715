#include "proto/proxyhdr.h"

enum { V1_MAX = 107, V2_HEAD = 16, V2_BODY_MAX = 4096 };

static bool port(struct span s, uint16_t *out)
{
	uint64_t v;

	if (span_u64(s, 65535, &v))
		return false;
	*out = (uint16_t)v;
	return true;
}

/* "PROXY TCP4 192.0.2.1 192.0.2.2 56324 25". One space between the words. */
static enum proxyhdr_result v1(struct span line, struct addr *client)
{
	struct span word[6];
	unsigned n = 0;
	struct addr from, to;

	for (; n < 6; n++) {
		size_t at = span_chr(line, ' ');

		word[n] = span_head(line, at);
		if (at == line.n) {
			n++;
			line.n = 0;
			break;
		}
		line = span_from(line, at + 1);
	}
	if (n >= 2 && span_eq(word[1], SPAN("UNKNOWN")))
		return PROXYHDR_SAME;
	if (n != 6 || line.n || addr_parse(word[2], &from) || addr_parse(word[3], &to))
		return PROXYHDR_BAD;
	uint8_t family = span_eq(word[1], SPAN("TCP4"))   ? ADDR_IPV4
			 : span_eq(word[1], SPAN("TCP6")) ? ADDR_IPV6
							  : ADDR_NONE;
	if (from.family != family || to.family != family || !port(word[4], &from.port) ||
	    !port(word[5], &to.port))
		return PROXYHDR_BAD;
	addr_unmap(&from);
	*client = from;
	return PROXYHDR_ADDR;
}

static enum proxyhdr_result v2(struct span *in, struct addr *client)
{
	const unsigned char *p = (const unsigned char *)in->p;
	enum proxyhdr_result r = PROXYHDR_SAME;

	if (in->n < V2_HEAD)
		return PROXYHDR_MORE;
	size_t len = (size_t)p[14] << 8 | p[15];
	unsigned command = p[12] & 15, family = p[13] >> 4, transport = p[13] & 15;
	if (p[12] >> 4 != 2 || command > 1 || len > V2_BODY_MAX)
		return PROXYHDR_BAD;
	if (in->n < V2_HEAD + len)
		return PROXYHDR_MORE;
	if (command == 1 && (family == 1 || family == 2)) {
		size_t need = family == 1 ? 12 : 36;

		if (transport != 1 || len < need)
			return PROXYHDR_BAD;
		struct addr a = { .family = family == 1 ? ADDR_IPV4 : ADDR_IPV6 };
		memcpy(a.ip, p + 16, family == 1 ? 4 : 16);
		size_t at = 16 + (family == 1 ? 8 : 32);
		a.port = (uint16_t)(p[at] << 8 | p[at + 1]);
		addr_unmap(&a);
		*client = a;
		r = PROXYHDR_ADDR;
	}
	*in = span_from(*in, V2_HEAD + len);
	return r;
}

/* As much of s as there is begins as sig does. */
static bool begins(struct span s, struct span sig)
{
	size_t n = s.n < sig.n ? s.n : sig.n;

	return !memcmp(s.p, sig.p, n);
}

enum proxyhdr_result proxyhdr_take(struct span *in, struct addr *client)
{
	static const struct span sig1 = { "PROXY ", 6 };
	static const struct span sig2 = { "\r\n\r\n\0\r\nQUIT\n", 12 };

	if (!in->n)
		return PROXYHDR_MORE;
	if (begins(*in, sig2))
		return in->n < sig2.n ? PROXYHDR_MORE : v2(in, client);
	if (!begins(*in, sig1))
		return PROXYHDR_BAD;
	size_t end = span_find(span_head(*in, V1_MAX), SPAN("\r\n"));
	/* A LF alone, or the 108th byte: no header any more, whatever comes. */
	if (span_chr(span_head(*in, V1_MAX), '\n') < end)
		return PROXYHDR_BAD;
	if (end >= V1_MAX - 1 || end == in->n)
		return in->n >= V1_MAX ? PROXYHDR_BAD : PROXYHDR_MORE;
	enum proxyhdr_result r = v1(span_head(*in, end), client);
	if (r != PROXYHDR_BAD)
		*in = span_from(*in, end + 2);
	return r;
}
