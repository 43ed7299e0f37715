#include "queue/dsn_text.h"

#include "core/ids.h"
#include "core/msg.h"

#include <stdio.h>

enum { FOLD_AT = 900 };

/* Foreign text: control bytes become '?', a long line is cut. */
static int put_clean(struct buf *out, struct span s)
{
	char line[FOLD_AT];
	size_t n = 0;

	for (size_t i = 0; i < s.n && n < sizeof line; i++) {
		unsigned char c = (unsigned char)s.p[i];

		line[n++] = c < 32 || c == 127 ? '?' : (char)c;
	}
	return buf_add(out, line, n);
}

static void boundary(const struct dsn_text *t, char dst[static 40])
{
	char id[ID_TEXT_MAX];

	id_text(t->id, id);
	snprintf(dst, 40, "smx-%s-dsn", id);
}

/* What differs between the kinds. */
static const struct {
	const char *subject, *human, *action, *automatic;
	struct span status; /* when the reply names none */
} words[] = {
	[DSN_FAILED] = { "Undeliverable mail",
			 "Your message could not be delivered to the recipients below.\r\n\r\n",
			 "failed",
			 "replied",
			 { "5.4.7", 5 } },
	[DSN_DELAYED] = { "Delayed mail",
			  "Your message could not be delivered yet to the recipients below.\r\n"
			  "It stays in the queue and is tried again; there is no need to send it again.\r\n\r\n",
			  "delayed",
			  "generated",
			  { "4.4.7", 5 } },
	[DSN_RELAYED] = { "Relayed mail",
			  "Your message was relayed for the recipients below to a host that confirms no deliveries.\r\n"
			  "You will get no further notice of success.\r\n\r\n",
			  "relayed",
			  "generated",
			  { "2.0.0", 5 } },
	[DSN_DELIVERED] = { "Delivered mail",
			    "Your message was delivered to the recipients below.\r\n\r\n",
			    "delivered",
			    "generated",
			    { "2.0.0", 5 } },
};

/* "5.1.1" out of "550 5.1.1 text", else made from the class of the code. */
static struct span enhanced(struct span reply, enum dsn_kind kind)
{
	struct span s = span_from(reply, 4);
	size_t n = 0;
	unsigned dots = 0;

	if (kind == DSN_RELAYED || kind == DSN_DELIVERED)
		return words[kind].status;
	while (n < s.n && (ascii_isdigit(s.p[n]) || s.p[n] == '.'))
		dots += s.p[n++] == '.';
	if (dots == 2 && n >= 5 && n <= 9 && (s.p[0] == '4' || s.p[0] == '5'))
		return span_head(s, n);
	if (reply.n && reply.p[0] == '5' && kind == DSN_FAILED)
		return SPAN("5.0.0");
	return words[kind].status;
}

static int put_rcpt_human(const struct dsn_rcpt *r, struct buf *out)
{
	int rc = buf_add_span(out, SPAN("<"));

	if (!rc)
		rc = put_clean(out, r->addr);
	if (!rc)
		rc = buf_add_span(out, SPAN(">\r\n"));
	if (!rc && r->reply.n) {
		rc = put_clean(out, r->reply);
		if (!rc)
			rc = buf_printf(out, "\r\nduring %s\r\n", msg_stage_name(r->stage));
	}
	return rc ? rc : buf_add_span(out, SPAN("\r\n"));
}

static int put_human(const struct dsn_text *t, struct buf *out)
{
	int rc = buf_printf(out, "This is the mail system at %s.\r\n\r\n%s", t->hostname,
			    words[t->kind].human);

	for (unsigned i = 0; i < t->count && !rc; i++)
		rc = put_rcpt_human(&t->rcpt[i], out);
	return rc;
}

static int put_status_rcpt(const struct dsn_text *t, const struct dsn_rcpt *r, struct buf *out)
{
	struct span code = enhanced(r->reply, t->kind);
	char date[64];
	int rc = 0;

	if (r->orcpt.n) {
		rc = buf_add_span(out, SPAN("Original-Recipient: "));
		if (!rc)
			rc = put_clean(out, r->orcpt);
		if (!rc)
			rc = buf_add_span(out, SPAN("\r\n"));
	}
	if (!rc)
		rc = buf_add_span(out, SPAN("Final-Recipient: rfc822; "));
	if (!rc)
		rc = put_clean(out, r->addr);
	if (!rc)
		rc = buf_printf(out, "\r\nAction: %s\r\nStatus: %.*s\r\n", words[t->kind].action,
				(int)code.n, code.p);
	if (!rc && r->reply.n) {
		rc = buf_add_span(out, SPAN("Diagnostic-Code: smtp; "));
		if (!rc)
			rc = put_clean(out, r->reply);
		if (!rc)
			rc = buf_add_span(out, SPAN("\r\n"));
	}
	if (!rc && r->wall_last) {
		clock_rfc5322(r->wall_last, date, sizeof date);
		rc = buf_printf(out, "Last-Attempt-Date: %s\r\n", date);
	}
	if (!rc && t->kind == DSN_DELAYED) {
		clock_rfc5322(t->wall_until, date, sizeof date);
		rc = buf_printf(out, "Will-Retry-Until: %s\r\n", date);
	}
	return rc ? rc : buf_add_span(out, SPAN("\r\n"));
}

static int put_status(const struct dsn_text *t, struct buf *out)
{
	char b[40], date[64];
	int rc;

	boundary(t, b);
	clock_rfc5322(t->wall_arrival, date, sizeof date);
	rc = buf_printf(out, "--%s\r\nContent-Type: message/delivery-status\r\n\r\n", b);
	if (!rc && t->envid.n) {
		rc = buf_add_span(out, SPAN("Original-Envelope-Id: "));
		if (!rc)
			rc = put_clean(out, t->envid);
		if (!rc)
			rc = buf_add_span(out, SPAN("\r\n"));
	}
	if (!rc)
		rc = buf_printf(out, "Reporting-MTA: dns; %s\r\nArrival-Date: %s\r\n\r\n",
				t->hostname, date);
	for (unsigned i = 0; i < t->count && !rc; i++)
		rc = put_status_rcpt(t, &t->rcpt[i], out);
	return rc;
}

int dsn_text_head(const struct dsn_text *t, struct buf *out)
{
	char b[40], date[64], id[ID_TEXT_MAX];
	int rc;

	boundary(t, b);
	id_text(t->id, id);
	clock_rfc5322(t->wall_now, date, sizeof date);
	rc = buf_printf(
		out,
		"Date: %s\r\nFrom: Mailer-Daemon@%s\r\nSubject: %s\r\nMessage-ID: <%s.dsn@%s>\r\n"
		"Auto-Submitted: auto-%s\r\nMIME-Version: 1.0\r\nTo: <",
		date, t->hostname, words[t->kind].subject, id, t->hostname,
		words[t->kind].automatic);
	if (!rc)
		rc = put_clean(out, t->sender);
	if (!rc)
		rc = buf_add_span(out, SPAN(">\r\n"));
	if (!rc && t->mime)
		rc = buf_printf(
			out,
			"Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"\r\n\r\n"
			"--%s\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
			b, b);
	else if (!rc)
		rc = buf_add_span(out, SPAN("\r\n"));
	if (!rc)
		rc = put_human(t, out);
	if (!rc && t->mime)
		rc = put_status(t, out);
	if (!rc && t->mime)
		rc = buf_printf(out, "--%s\r\nContent-Type: %s\r\n\r\n", b,
				t->whole ? "message/rfc822" : "text/rfc822-headers");
	else if (!rc)
		rc = buf_printf(out, "%s follows:\r\n\r\n",
				t->whole ? "Your message" : "The header of your message");
	return rc;
}

int dsn_text_tail(const struct dsn_text *t, struct buf *out)
{
	char b[40];

	if (!t->mime)
		return 0;
	boundary(t, b);
	return buf_printf(out, "\r\n--%s--\r\n", b);
}
