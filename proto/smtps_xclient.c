#include "proto/smtps_xclient.h"

#include "proto/smtps_greet.h"
#include "proto/smtps_reply.h"
#include "proto/smtps_verbs.h"

#include <stdlib.h>

enum { VALUE_MAX = 256 };

/* What one command said; -1 or empty: nothing. */
struct xclient {
	struct addr addr;
	bool has_addr, has_name, has_helo, has_proto, esmtp;
	char name[VALUE_MAX], helo[VALUE_MAX];
	int32_t port;
};

bool smtps_xclient_allowed(const struct smtps_session *s)
{
	return (s->flags & SMTPS_SE_XCLIENT) ||
	       smtps_conf_in_nets(&s->host->conf->xclient_from, &s->client);
}

static int hex(char c)
{
	c = ascii_lower(c);
	if (ascii_isdigit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* xtext into dst; false when it does not fit or holds what is not printable. */
static bool decode(struct span v, char dst[static VALUE_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < v.n; i++) {
		int c = v.p[i];

		if (c == '+') {
			if (v.n - i < 3 || hex(v.p[i + 1]) < 0 || hex(v.p[i + 2]) < 0)
				return false;
			c = hex(v.p[i + 1]) * 16 + hex(v.p[i + 2]);
			i += 2;
		}
		if (c < 33 || c > 126 || n + 1 >= VALUE_MAX)
			return false;
		dst[n++] = (char)c;
	}
	dst[n] = 0;
	return n > 0;
}

static bool unavailable(const char *v)
{
	struct span s = span_str(v);

	return span_caseeq(s, SPAN("[UNAVAILABLE]")) || span_caseeq(s, SPAN("[TEMPUNAVAIL]"));
}

static bool attribute(struct span key, struct span value, struct xclient *x)
{
	char v[VALUE_MAX];
	uint64_t port;

	if (!decode(value, v))
		return false;
	bool none = unavailable(v);
	if (span_caseeq(key, SPAN("NAME"))) {
		x->has_name = true;
		memcpy(x->name, none ? "" : v, none ? 1 : strlen(v) + 1);
	} else if (span_caseeq(key, SPAN("HELO"))) {
		x->has_helo = !none;
		memcpy(x->helo, v, sizeof v);
	} else if (span_caseeq(key, SPAN("ADDR"))) {
		if (none)
			return true;
		x->has_addr = true;
		if (addr_parse(span_str(v), &x->addr))
			return false;
		addr_unmap(&x->addr);
	} else if (span_caseeq(key, SPAN("PORT"))) {
		if (none)
			return true;
		if (span_u64(span_str(v), 65535, &port))
			return false;
		x->port = (int32_t)port;
	} else if (span_caseeq(key, SPAN("PROTO"))) {
		x->has_proto = !none;
		x->esmtp = span_caseeq(span_str(v), SPAN("ESMTP"));
		return none || x->esmtp || span_caseeq(span_str(v), SPAN("SMTP"));
	} else {
		return span_caseeq(key, SPAN("LOGIN")) || span_caseeq(key, SPAN("DESTADDR")) ||
		       span_caseeq(key, SPAN("DESTPORT"));
	}
	return true;
}

static bool parse(struct span args, struct xclient *x)
{
	struct span w;
	unsigned n = 0;

	*x = (struct xclient){ .port = -1 };
	for (; (w = span_word(&args, " ")).n; n++) {
		size_t eq = span_chr(w, '=');

		if (eq == w.n || !attribute(span_head(w, eq), span_from(w, eq + 1), x))
			return false;
	}
	return n > 0;
}

static void replace(char **where, const char *with)
{
	free(*where);
	*where = *with ? strdup(with) : NULL;
}

enum smtps_phase smtps_xclient_verb(struct smtps_session *s, struct span args)
{
	struct smtps_host *h = s->host;
	struct xclient x;

	if (!smtps_xclient_allowed(s)) {
		smtps_verbs_bad(s, SMTPS_R_XCLIENT_DENIED);
		return s->phase;
	}
	if (!parse(args, &x)) {
		smtps_verbs_bad(s, SMTPS_R_XCLIENT_SYNTAX);
		return s->phase;
	}
	/* The session begins again: connection control and smar look at the new client. */
	if (s->flags & SMTPS_SE_COUNTED)
		h->up->ops->closed(h->up, &s->client);
	s->flags &= ~(uint32_t)(SMTPS_SE_COUNTED | SMTPS_SE_MAY_RELAY | SMTPS_SE_CLIENT_OK |
				SMTPS_SE_CLIENT_RELAY | SMTPS_SE_DISCARD | SMTPS_SE_EHLO |
				SMTPS_SE_LOCAL);
	s->flags |= SMTPS_SE_XCLIENT;
	replace(&s->later, "");
	replace(&s->helo, x.has_helo ? x.helo : "");
	if (x.has_proto && x.esmtp)
		s->flags |= SMTPS_SE_EHLO;
	if (x.has_addr || x.has_name)
		replace(&s->name, x.has_name ? x.name : "");
	if (x.has_addr)
		s->client = x.addr;
	if (x.port >= 0)
		s->client.port = (uint16_t)x.port;
	smtps_greet_start(s);
	return s->phase;
}
