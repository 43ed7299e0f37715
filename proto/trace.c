#include "proto/trace.h"

#include "core/ids.h"

const char *trace_protocol(unsigned flags)
{
	/* RFC 3848, and RFC 6531 4.3 for UTF8SMTP. */
	static const char *const esmtp[] = { "ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA" };
	static const char *const utf8[] = { "UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA" };
	unsigned i = (flags & TRACE_TLS ? 1u : 0) + (flags & TRACE_AUTH ? 2u : 0);

	if (flags & TRACE_UTF8)
		return utf8[i];
	return flags & TRACE_EHLO ? esmtp[i] : "SMTP";
}

static bool printable(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 33 || s.p[i] > 126)
			return false;
	return true;
}

/* Without what could end a comment or fold the field: the client chose it. */
static int add_word(struct buf *out, struct span s)
{
	char clean[256];
	size_t n = 0;

	for (size_t i = 0; i < s.n && n < sizeof clean; i++) {
		char c = s.p[i];

		clean[n++] = c < 33 || c > 126 || strchr("()<>\\\";,", c) ? '?' : c;
	}
	return n ? buf_add(out, clean, n) : buf_add_span(out, SPAN("?"));
}

static int add_client(const struct trace *t, struct buf *out)
{
	char ip[ADDR_TEXT_MAX];
	size_t n = addr_literal(&t->client, ip);
	int rc = buf_add_span(out, SPAN(" ("));

	if (!rc && t->name.n) {
		rc = add_word(out, t->name);
		rc = rc ? rc : buf_add_span(out, SPAN(" "));
	}
	rc = rc ? rc : buf_add_span(out, SPAN("["));
	rc = rc ? rc : buf_add(out, ip, n);
	return rc ? rc : buf_add_span(out, SPAN("])\r\n\tby "));
}

int trace_received(const struct trace *t, struct buf *out)
{
	char id[ID_TEXT_MAX], date[64];
	size_t id_n = id_text(t->ta, id), date_n = clock_rfc5322(t->wall_usec, date, sizeof date);
	int rc = buf_add_span(out, SPAN("Received: from "));

	rc = rc ? rc : add_word(out, t->helo);
	rc = rc ? rc : add_client(t, out);
	rc = rc ? rc : buf_add_span(out, t->hostname);
	rc = rc ? rc : buf_add_span(out, SPAN(" (smX/" SMX_VERSION ") with "));
	rc = rc ? rc : buf_add_span(out, span_str(trace_protocol(t->flags)));
	if (!rc && t->tls.n) {
		rc = buf_add_span(out, SPAN("\r\n\t("));
		rc = rc ? rc : buf_add_span(out, t->tls);
		rc = rc ? rc : buf_add_span(out, SPAN(")"));
	}
	rc = rc ? rc : buf_add_span(out, SPAN("\r\n\tid "));
	rc = rc ? rc : buf_add(out, id, id_n);
	if (!rc && t->rcpt.n && printable(t->rcpt)) {
		rc = buf_add_span(out, SPAN("\r\n\tfor <"));
		rc = rc ? rc : buf_add_span(out, t->rcpt);
		rc = rc ? rc : buf_add_span(out, SPAN(">"));
	}
	rc = rc ? rc : buf_add_span(out, SPAN("; "));
	rc = rc ? rc : buf_add(out, date, date_n);
	return rc ? rc : buf_add_span(out, SPAN("\r\n"));
}
