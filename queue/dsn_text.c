#include "queue/dsn_text.h"

#include "core/ids.h"
#include "core/msg.h"
#include "core/xtext.h"
#include "queue/dsn_line.h"
#include "queue/dsn_qp.h"
#include "queue/dsn_status.h"

#include <errno.h>
#include <stdio.h>

/* What differs between the kinds. */
static const struct {
	const char *subject, *human, *automatic;
} words[] = {
	[DSN_FAILED] = { "Undeliverable mail",
			 "I'm sorry to inform you that a mail\r\n"
			 "from you could not be delivered. See below for details.\r\n",
			 "replied" },
	[DSN_DELAYED] = { "Delayed mail",
			  "A mail from you could not be delivered yet.\r\n"
			  "It stays in the queue and is tried again: there is no need to\r\n"
			  "send it again. See below for details.\r\n",
			  "generated" },
	[DSN_RELAYED] = { "Relayed mail",
			  "A mail from you was relayed to a host that\r\n"
			  "confirms no deliveries: you will get no further notice of success.\r\n",
			  "generated" },
	[DSN_DELIVERED] = { "Delivered mail", "A mail from you was delivered.\r\n", "generated" },
	[DSN_EXPANDED] = { "Expanded mail",
			   "A mail from you was passed on to all for whom the\r\n"
			   "address stands: you will get no further notice of success.\r\n",
			   "generated" },
};

static const struct {
	struct span whole, header;
} follows = { { "Your message follows:\r\n\r\n", 25 },
	      { "The header of your message follows:\r\n\r\n", 39 } };

/* Nobody knows it before; should the original have it all the same, the next one. */
static void boundary(const struct dsn_text *t, char dst[static 64])
{
	uint64_t random = t->random;
	char id[ID_TEXT_MAX];

	id_text(t->id, id);
	do
		snprintf(dst, 64, "smx-%s-%016llx", id, (unsigned long long)random++);
	while (span_find(t->original, span_str(dst)) < t->original.n);
}

static struct span no_original(const struct dsn_text *t)
{
	return t->damaged
		       ? SPAN("Your message cannot be returned: its content is damaged.\r\n")
		       : SPAN("Your message cannot be returned: its content cannot be read.\r\n");
}

/* ---- what people read */

static int put_gave_up(const struct dsn_text *t, const struct dsn_rcpt *r, struct buf *out)
{
	usec_t age = t->wall_now - t->wall_arrival;
	bool temporary = !r->reply.n || r->reply.p[0] == '4';

	if (t->kind != DSN_FAILED || !temporary || age <= 0)
		return 0;
	int64_t min = age / (60 * (usec_t)USEC_PER_SEC);
	return buf_printf(out, "It was tried for %d d %d h %d min.\r\n", (int)(min / 1440),
			  (int)(min / 60 % 24), (int)(min % 60));
}

static int put_rcpt(const struct dsn_text *t, const struct dsn_rcpt *r, struct buf *out)
{
	struct buf addr = { 0 };
	char ip[ADDR_TEXT_MAX];
	int rc = buf_add(&addr, "<", 1);

	if (!rc)
		rc = buf_add_span(&addr, r->addr);
	if (!rc)
		rc = buf_add(&addr, ">", 1);
	if (!rc)
		rc = buf_add(out, "\r\n", 2);
	if (!rc)
		rc = dsn_line(out, SPAN(""), buf_span(&addr), DSN_UTF8);
	buf_release(&addr);
	if (!rc && r->reply.n)
		rc = dsn_line(out, SPAN(""), r->reply, DSN_UTF8);
	if (!rc && r->reply.n && t->kind <= DSN_DELAYED)
		rc = buf_printf(out, "during %s\r\n", msg_stage_name(r->stage));
	if (!rc && dsn_status_is_remote(r)) {
		addr_literal(&r->remote, ip);
		rc = buf_printf(out, "by [%s]\r\n", ip);
	}
	return rc ? rc : put_gave_up(t, r, out);
}

static int put_human(const struct dsn_text *t, struct buf *out)
{
	int rc = buf_printf(out, "Hi! This is the smX MTA at %s. %s", t->hostname,
			    words[t->kind].human);

	for (unsigned i = 0; i < t->count && !rc; i++)
		rc = put_rcpt(t, &t->rcpt[i], out);
	return rc;
}

/* ---- parts */

enum encoding { ENC_7BIT = 0, ENC_8BIT, ENC_QP };

static int put_part_head(const char *bound, const char *type, enum encoding e, struct buf *out)
{
	static const char *const name[] = { "7bit", "8bit", "quoted-printable" };

	return buf_printf(out, "%s%s%sContent-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n",
			  bound ? "--" : "", bound ? bound : "", bound ? "\r\n" : "", type,
			  name[e]);
}

static int put_encoded(struct span s, enum encoding e, struct buf *out)
{
	return e == ENC_QP ? dsn_qp(s, out) : buf_add_span(out, s);
}

static int part_human(const struct dsn_text *t, const char *bound, bool utf8, struct buf *out)
{
	struct buf text = { 0 };
	int rc = put_human(t, &text);
	enum encoding e = xtext_is_ascii(buf_span(&text)) ? ENC_7BIT : utf8 ? ENC_8BIT : ENC_QP;

	if (!rc)
		rc = put_part_head(bound, "text/plain; charset=utf-8", e, out);
	if (!rc)
		rc = put_encoded(buf_span(&text), e, out);
	buf_release(&text);
	return rc;
}

static int part_status(const struct dsn_text *t, const char *bound, bool utf8, struct buf *out)
{
	struct buf text = { 0 };
	int rc = dsn_status(t, utf8 ? DSN_UTF8 : DSN_ASCII, &text);

	if (!rc)
		rc = put_part_head(
			bound, utf8 ? "message/global-delivery-status" : "message/delivery-status",
			utf8 ? ENC_8BIT : ENC_7BIT, out);
	if (!rc)
		rc = buf_add_span(out, buf_span(&text));
	buf_release(&text);
	return rc;
}

/* RFC 2046 5.2.1 has only 7bit and 8bit for message/rfc822, RFC 6532 3.7 any encoding for
 * message/global. */
static int part_original(const struct dsn_text *t, const char *bound, bool utf8, struct buf *out)
{
	static const char *const type[2][2] = { { "text/rfc822-headers", "message/rfc822" },
						{ "message/global-headers", "message/global" } };
	bool ascii = xtext_is_ascii(t->original), global = t->global && !ascii;
	enum encoding e = ascii ? ENC_7BIT : utf8 || (t->whole && !global) ? ENC_8BIT : ENC_QP;

	if (!t->original.n) {
		int rc = put_part_head(bound, "text/plain", ENC_7BIT, out);

		return rc ? rc : buf_add_span(out, no_original(t));
	}
	int rc = put_part_head(bound, type[global][t->whole], e, out);
	return rc ? rc : put_encoded(t->original, e, out);
}

static int put_report(const struct dsn_text *t, const char *bound, bool utf8, struct buf *out)
{
	int rc = part_human(t, bound, utf8, out);

	if (!rc)
		rc = buf_add(out, "\r\n", 2);
	if (!rc)
		rc = part_status(t, bound, utf8, out);
	if (!rc)
		rc = buf_add(out, "\r\n", 2);
	if (!rc)
		rc = part_original(t, bound, utf8, out);
	return rc ? rc : buf_printf(out, "\r\n--%s--\r\n", bound);
}

static int put_plain(const struct dsn_text *t, struct buf *out)
{
	int rc = put_human(t, out);

	if (!rc)
		rc = buf_add(out, "\r\n", 2);
	if (!rc && t->original.n)
		rc = buf_add_span(out, t->whole ? follows.whole : follows.header);
	return rc ? rc : buf_add_span(out, t->original.n ? t->original : no_original(t));
}

/* ---- the whole */

static int put_head(const struct dsn_text *t, bool utf8, struct buf *out)
{
	char date[64], id[ID_TEXT_MAX];
	struct buf to = { 0 };

	id_text(t->id, id);
	clock_rfc5322(t->wall_now, date, sizeof date);
	int rc = buf_printf(
		out,
		"Date: %s\r\nFrom: Mailer-Daemon@%s\r\nSubject: %s\r\nMessage-ID: <%s.dsn@%s>\r\n"
		"Auto-Submitted: auto-%s\r\nMIME-Version: 1.0\r\n",
		date, t->hostname, words[t->kind].subject, id, t->hostname,
		words[t->kind].automatic);
	if (!rc)
		rc = buf_add(&to, "<", 1);
	if (!rc)
		rc = buf_add_span(&to, t->sender);
	if (!rc)
		rc = buf_add(&to, ">", 1);
	if (!rc)
		rc = dsn_line(out, SPAN("To: "), buf_span(&to), utf8 ? DSN_UTF8 : DSN_ASCII);
	buf_release(&to);
	return rc;
}

int dsn_text(const struct dsn_text *t, struct buf *out, bool *utf8)
{
	struct buf body = { 0 };
	char bound[64], type[128] = "text/plain; charset=utf-8";

	*utf8 = !xtext_is_ascii(t->sender);
	boundary(t, bound);
	int rc = t->mime ? put_report(t, bound, *utf8, &body) : put_plain(t, &body);
	if (t->mime)
		snprintf(type, sizeof type,
			 "multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"",
			 bound);
	if (!rc)
		rc = put_head(t, *utf8, out);
	if (!rc)
		rc = put_part_head(NULL, type,
				   xtext_is_ascii(buf_span(&body)) ? ENC_7BIT : ENC_8BIT, out);
	if (!rc)
		rc = buf_add_span(out, buf_span(&body));
	buf_release(&body);
	return rc;
}

/* ---- smaller */

/* The part with the whole original: its type begins at *type, its content at *content. */
static bool find_whole(struct span s, size_t *type, size_t *content)
{
	static const char *const types[] = {
		"\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: ",
		"\r\nContent-Type: message/global\r\nContent-Transfer-Encoding: "
	};

	for (size_t i = 0; i < 2; i++) {
		*type = span_find(s, span_str(types[i]));
		if (*type < s.n) {
			*type += 2;
			*content = *type + span_find(span_from(s, *type), SPAN("\r\n\r\n")) + 4;
			return *content < s.n;
		}
	}
	return false;
}

/* As it is, but the first "8bit" is `now`. */
static int put_recoded(struct span head, bool to_7bit, const char *now, struct buf *out)
{
	size_t at = span_find(head, SPAN("Content-Transfer-Encoding: 8bit\r\n"));

	if (!to_7bit || at == head.n)
		return buf_add_span(out, head);
	int rc = buf_add_span(out, span_head(head, at));
	if (!rc)
		rc = buf_printf(out, "Content-Transfer-Encoding: %s\r\n", now);
	return rc ? rc
		  : buf_add_span(
			    out,
			    span_from(head, at + sizeof "Content-Transfer-Encoding: 8bit\r\n" - 1));
}

static int small_report(struct span text, bool utf8, size_t type, size_t content, struct buf *out)
{
	struct span part = span_from(text, type), original = span_from(text, content);
	bool global = span_startswith(part, SPAN("Content-Type: message/global\r\n"));
	bool qp = span_find(span_head(part, content - type), SPAN("quoted-printable")) <
		  content - type;
	struct span header = span_head(original, span_find(original, SPAN("\r\n\r\n")) + 2);
	bool ascii = xtext_is_ascii(header);
	/* The last line of all is the closing boundary; the header may be all that was there. */
	size_t close = text.n - 2;

	while (close > content && text.p[close - 1] != '\n')
		close--;
	if (header.n > close - content)
		header = span_from(span_head(text, close), content);
	int rc = put_recoded(span_head(text, type), !utf8, "7bit", out);
	if (!rc)
		rc = put_part_head(NULL, global ? "message/global-headers" : "text/rfc822-headers",
				   qp || (!ascii && !utf8) ? ENC_QP
				   : ascii                 ? ENC_7BIT
							   : ENC_8BIT,
				   out);
	if (!rc)
		rc = put_encoded(header, !ascii && !utf8 ? ENC_QP : ENC_7BIT, out);
	if (!rc)
		rc = buf_add(out, "\r\n", 2);
	return rc ? rc : buf_add_span(out, span_from(text, close));
}

static int small_plain(struct span text, bool utf8, struct buf *out)
{
	size_t body = span_find(text, SPAN("\r\n\r\n")) + 4, at = span_find(text, follows.whole);
	struct span original = span_from(text, at + follows.whole.n);
	bool whole = at < text.n, ascii = xtext_is_ascii(text);
	size_t header = span_find(original, SPAN("\r\n\r\n")) + 2;
	struct buf b = { 0 };

	if (body > text.n || (!whole && (ascii || utf8)))
		return -ENOENT;
	int rc = buf_add_span(&b, span_from(span_head(text, at), body));
	if (!rc && whole)
		rc = buf_add_span(&b, follows.header);
	if (!rc && whole)
		rc = buf_add_span(&b, span_head(original, header));
	if (!rc)
		rc = put_recoded(span_head(text, body), !utf8, "quoted-printable", out);
	if (!rc)
		rc = put_encoded(buf_span(&b), ascii || utf8 ? ENC_7BIT : ENC_QP, out);
	buf_release(&b);
	return rc;
}

int dsn_text_small(struct span text, bool utf8, struct buf *out)
{
	size_t head = span_find(text, SPAN("\r\n\r\n")), type, content;

	if (span_find(span_head(text, head), SPAN("\r\nContent-Type: multipart/report;")) == head)
		return small_plain(text, utf8, out);
	if (!find_whole(text, &type, &content))
		return -ENOENT;
	return small_report(text, utf8, type, content, out);
}
