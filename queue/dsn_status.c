#include "queue/dsn_status.h"

#include "core/ids.h"
#include "core/msg.h"
#include "core/xtext.h"

static const struct {
	const char *action;
	struct span status; /* when the reply names none */
} kinds[] = {
	[DSN_FAILED] = { "failed", { "5.4.7", 5 } },
	[DSN_DELAYED] = { "delayed", { "4.4.7", 5 } },
	[DSN_RELAYED] = { "relayed", { "2.0.0", 5 } },
	[DSN_DELIVERED] = { "delivered", { "2.0.0", 5 } },
	[DSN_EXPANDED] = { "expanded", { "2.0.0", 5 } },
};

static bool has_code(struct span reply)
{
	return reply.n > 3 && ascii_isdigit(reply.p[0]) && ascii_isdigit(reply.p[1]) &&
	       ascii_isdigit(reply.p[2]) && (reply.p[3] == ' ' || reply.p[3] == '-');
}

bool dsn_status_is_remote(const struct dsn_rcpt *r)
{
	return r->remote.family != ADDR_NONE && r->stage != MSG_AT_CONNECT &&
	       r->stage != MSG_AT_CONTENT && has_code(r->reply);
}

/* A dot and up to three digits, RFC 3463 2. Returns where that ends, or 0. */
static size_t code_part(struct span s, size_t at)
{
	size_t n = at + 1;

	if (at >= s.n || s.p[at] != '.')
		return 0;
	while (n < s.n && n <= at + 3 && ascii_isdigit(s.p[n]))
		n++;
	return n > at + 1 ? n : 0;
}

/* The length of "5.1.1" at the begin of s, 0: there is none. */
static size_t code_length(struct span s)
{
	size_t n = span_chr(SPAN("245"), s.n ? s.p[0] : 0) < 3 ? code_part(s, 1) : 0;

	if (n)
		n = code_part(s, n);
	return n && (n == s.n || s.p[n] == ' ') ? n : 0;
}

static bool class_fits(char class, enum dsn_kind kind)
{
	return kind == DSN_FAILED    ? class == '4' || class == '5'
	       : kind == DSN_DELAYED ? class == '4'
				     : class == '2';
}

/* "5.1.1" out of "550 5.1.1 text" or "5.1.1 text", else made from the class of the code. The code of
 * the reply says what was done, RFC 5321 4.2: where the two classes differ it counts. */
static int put_code(struct span reply, enum dsn_kind kind, struct buf *out)
{
	struct span s = has_code(reply) ? span_from(reply, 4) : reply;
	size_t n = code_length(s);
	struct span status = kinds[kind].status;

	if (n && class_fits(reply.p[0], kind))
		return buf_printf(out, "Status: %c%.*s\r\n", reply.p[0], (int)(n - 1), s.p + 1);
	if (kind == DSN_FAILED && reply.n && reply.p[0] == '5')
		status = SPAN("5.0.0");
	return buf_printf(out, "Status: %.*s\r\n", (int)status.n, status.p);
}

static int put_date(struct buf *out, const char *name, usec_t wall)
{
	char date[64];

	clock_rfc5322(wall, date, sizeof date);
	return buf_printf(out, "%s: %s\r\n", name, date);
}

/* RFC 6533 4: an address that is not ASCII is of type utf-8. */
static int put_address(struct buf *out, const char *name, struct span addr, enum dsn_charset c)
{
	struct buf value = { 0 };
	bool plain = xtext_is_ascii(addr);
	int rc = buf_printf(&value, "%s; ", plain ? "rfc822" : "utf-8");

	if (!rc)
		rc = plain || c == DSN_UTF8 ? buf_add_span(&value, addr)
					    : xtext_utf8_encode(addr, &value);
	struct span begin = span_str(name);
	if (!rc)
		rc = dsn_line(out, begin, buf_span(&value), c);
	buf_release(&value);
	return rc;
}

/* RFC 3461 6.3: its type, and the address decoded. */
static int put_orcpt(struct buf *out, struct span orcpt, enum dsn_charset c)
{
	size_t semi = span_chr(orcpt, ';');
	struct span type = span_head(orcpt, semi), rest = span_from(orcpt, semi + 1);
	struct buf plain = { 0 }, address = { 0 }, value = { 0 };
	bool utf8 = span_caseeq(type, SPAN("utf-8"));
	int rc = xtext_decode(rest, &plain);

	if (!rc && utf8)
		rc = xtext_utf8_decode(buf_span(&plain), &address);
	struct span addr = buf_span(utf8 ? &address : &plain);
	if (!rc)
		rc = buf_add_span(&value, type);
	if (!rc)
		rc = buf_add(&value, "; ", 2);
	if (!rc)
		rc = utf8 && c == DSN_ASCII ? xtext_utf8_encode(addr, &value)
					    : buf_add_span(&value, addr);
	if (!rc)
		rc = dsn_line(out, SPAN("Original-Recipient: "), buf_span(&value), c);
	buf_release(&plain);
	buf_release(&address);
	buf_release(&value);
	return rc;
}

static int put_remote(struct buf *out, const struct dsn_rcpt *r)
{
	char ip[ADDR_TEXT_MAX];

	if (r->remote.family == ADDR_NONE || r->stage == MSG_AT_CONNECT ||
	    r->stage == MSG_AT_CONTENT)
		return 0;
	addr_literal(&r->remote, ip);
	return buf_printf(out, "Remote-MTA: dns; [%s]\r\n", ip);
}

static int put_rcpt(const struct dsn_text *t, const struct dsn_rcpt *r, enum dsn_charset c,
		    struct buf *out)
{
	char id[ID_TEXT_MAX];
	int rc = r->orcpt.n ? put_orcpt(out, r->orcpt, c) : 0;

	id_text(t->about, id);
	if (!rc)
		rc = put_address(out, "Final-Recipient: ", r->addr, c);
	if (!rc)
		rc = buf_printf(out, "Action: %s\r\n", kinds[t->kind].action);
	if (!rc)
		rc = put_code(r->reply, t->kind, out);
	if (!rc)
		rc = put_remote(out, r);
	if (!rc && r->reply.n)
		rc = dsn_line(out,
			      dsn_status_is_remote(r) ? SPAN("Diagnostic-Code: smtp; ")
						      : SPAN("Diagnostic-Code: x-smx; "),
			      r->reply, c);
	if (!rc && r->wall_last)
		rc = put_date(out, "Last-Attempt-Date", r->wall_last);
	if (!rc)
		rc = buf_printf(out, "Final-Log-ID: %s\r\n", id);
	if (!rc && t->kind == DSN_DELAYED)
		rc = put_date(out, "Will-Retry-Until", t->wall_until);
	return rc;
}

int dsn_status(const struct dsn_text *t, enum dsn_charset c, struct buf *out)
{
	struct buf envid = { 0 };
	int rc = 0;

	if (t->envid.n) {
		rc = xtext_decode(t->envid, &envid);
		if (!rc)
			rc = dsn_line(out, SPAN("Original-Envelope-Id: "), buf_span(&envid), c);
		buf_release(&envid);
	}
	if (!rc)
		rc = buf_printf(out, "Reporting-MTA: dns; %s\r\n", t->hostname);
	if (!rc)
		rc = put_date(out, "Arrival-Date", t->wall_arrival);
	for (unsigned i = 0; i < t->count && !rc; i++) {
		rc = buf_add(out, "\r\n", 2);
		if (!rc)
			rc = put_rcpt(t, &t->rcpt[i], c, out);
	}
	return rc;
}
