#include "proto/smtpc_command.h"

#include "core/xtext.h"

#include <inttypes.h>
#include <stdio.h>

/* Different domains in one transaction with a server that limits them. */
enum { SHARE_DOMAINS = 16 };

/* The message cannot go there: all recipients that are left fail. */
static void refuse_all(struct smtpc_job *j, const char *text)
{
	smtpc_job_set_open(j, MSG_FAILED, MSG_AT_CONTENT, span_str(text));
}

static void refuse_one(struct smtpc_job *j, uint32_t i, const char *text)
{
	smtpc_job_set(j, i, MSG_FAILED, MSG_AT_CONTENT, span_str(text));
}

static void check_content(struct smtpc_job *j, const struct ehlo *e, bool send_8bit)
{
	uint32_t flags = j->rec.head.flags;
	uint64_t size = smtpc_job_size(j);
	char text[96];

	if ((e->caps & EHLO_SIZE) && e->size_max && size > e->size_max) {
		snprintf(text, sizeof text, "5.3.4 next hop takes messages up to %" PRIu64 " bytes",
			 e->size_max);
		refuse_all(j, text);
	} else if (flags & CDB_RAW) {
		if (!(e->caps & EHLO_CHUNKING) || !(e->caps & EHLO_BINARYMIME))
			refuse_all(j, "5.6.1 next hop does not take BINARYMIME");
	} else if ((flags & CDB_8BIT) && !(e->caps & EHLO_8BITMIME) && !send_8bit) {
		refuse_all(j, "5.6.3 next hop does not take 8BITMIME");
	}
}

/* What is stored comes from us, but a CR LF in it would be a command of somebody else's. */
static bool is_clean(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 127)
			return false;
	return true;
}

static void check_bytes(struct smtpc_job *j)
{
	if (!is_clean(j->env.sender))
		refuse_all(j, "5.1.7 sender has control characters");
	for (uint32_t i = 0; i < j->env.rcpt_count; i++)
		if (!is_clean(j->env.rcpt[i].addr))
			refuse_one(j, i, "5.1.3 recipient has control characters");
}

/* RFC 6531 3.2: a client that knows that a message needs no SMTPUTF8 may send it without. Headers
 * of parts inside the body count, so any 8-bit byte of the content does. */
static void check_utf8(struct smtpc_job *j, const struct ehlo *e)
{
	static const char no[] = "553 5.6.7 next hop does not take SMTPUTF8";

	bool asked = j->env.flags & ENV_SMTPUTF8, offered = e->caps & EHLO_SMTPUTF8;
	bool sender = !xtext_is_ascii(j->env.sender);

	j->utf8 = asked || sender;
	if (!offered && (sender || (asked && (j->rec.head.flags & CDB_8BIT))))
		refuse_all(j, no);
	for (uint32_t i = 0; i < j->env.rcpt_count; i++) {
		if (xtext_is_ascii(j->env.rcpt[i].addr))
			continue;
		j->utf8 = true;
		if (!offered)
			refuse_one(j, i, no);
	}
}

/* What one transaction may name, RFC 9422. */
struct share {
	uint32_t rcpt_left;
	uint32_t domains_left;
	uint32_t domain_count;
	struct span domain[SHARE_DOMAINS];
};

static bool domain_fits(struct share *s, struct span addr)
{
	struct span d = span_from(addr, span_rchr(addr, '@'));

	for (uint32_t i = 0; i < s->domain_count; i++)
		if (span_caseeq(s->domain[i], d))
			return true;
	if (s->domain_count == s->domains_left)
		return false;
	s->domain[s->domain_count++] = d;
	return true;
}

/* The first that has no outcome is always named, so each transaction gets on. */
static void choose(struct smtpc_job *j, const struct ehlo *e)
{
	struct share s = { .rcpt_left = e->rcpt_max ? e->rcpt_max : UINT32_MAX,
			   .domains_left = e->rcpt_domain_max < SHARE_DOMAINS ? e->rcpt_domain_max
									      : SHARE_DOMAINS };

	for (uint32_t i = 0; i < j->env.rcpt_count; i++) {
		struct smtpc_rcpt *r = &j->rcpt[i];

		r->skip = r->set || !s.rcpt_left ||
			  (s.domains_left && !domain_fits(&s, j->env.rcpt[i].addr));
		if (!r->skip)
			s.rcpt_left--;
	}
}

void smtpc_command_check(struct smtpc_job *j, const struct ehlo *e, bool send_8bit)
{
	check_bytes(j);
	check_content(j, e, send_8bit);
	check_utf8(j, e);
	choose(j, e);
}

static int add_body(const struct smtpc_job *j, const struct ehlo *e, struct buf *out)
{
	uint32_t flags = j->rec.head.flags;

	if (flags & CDB_RAW)
		return buf_add_span(out, SPAN(" BODY=BINARYMIME"));
	if ((e->caps & EHLO_8BITMIME) && ((flags & CDB_8BIT) || j->env.body != ENV_BODY_7BIT))
		return buf_add_span(out, SPAN(" BODY=8BITMIME"));
	return 0;
}

/* A value that would not be one parameter is left out. */
static int add_value(struct buf *out, struct span name, struct span value)
{
	if (!value.n || !is_clean(value) || span_chr(value, ' ') < value.n)
		return 0;
	int rc = buf_add_span(out, name);
	return rc ? rc : buf_add_span(out, value);
}

int smtpc_command_mail(const struct smtpc_job *j, const struct ehlo *e, struct buf *out)
{
	static const char *const ret[] = { "", " RET=FULL", " RET=HDRS" };
	int rc = buf_add_span(out, SPAN("MAIL FROM:<"));

	if (!rc)
		rc = buf_add_span(out, j->env.sender);
	if (!rc)
		rc = buf_add_span(out, SPAN(">"));
	if (!rc && (e->caps & EHLO_SIZE))
		rc = buf_printf(out, " SIZE=%" PRIu64, smtpc_job_size(j));
	if (!rc)
		rc = add_body(j, e, out);
	if (!rc && (e->caps & EHLO_SMTPUTF8) && j->utf8)
		rc = buf_add_span(out, SPAN(" SMTPUTF8"));
	if (!rc && (e->caps & EHLO_DSN)) {
		rc = buf_add_span(out, span_str(ret[j->env.ret]));
		if (!rc)
			rc = add_value(out, SPAN(" ENVID="), j->env.envid);
	}
	return rc ? rc : buf_add_span(out, SPAN("\r\n"));
}

/* RFC 3461 4.1: NEVER stands alone. */
static int add_notify(struct buf *out, uint8_t notify)
{
	static const struct {
		uint8_t bit;
		const char *word;
	} words[] = { { ENV_NOTIFY_SUCCESS, "SUCCESS" },
		      { ENV_NOTIFY_FAILURE, "FAILURE" },
		      { ENV_NOTIFY_DELAY, "DELAY" } };
	const char *sep = " NOTIFY=";
	int rc = 0;

	if (notify & ENV_NOTIFY_NEVER)
		return buf_add_span(out, SPAN(" NOTIFY=NEVER"));
	for (size_t i = 0; i < 3 && !rc; i++) {
		if (!(notify & words[i].bit))
			continue;
		rc = buf_printf(out, "%s%s", sep, words[i].word);
		sep = ",";
	}
	return rc;
}

/* RFC 6533 3: without SMTPUTF8 an address of type utf-8 goes in its 7-bit form. */
static int add_orcpt(const struct smtpc_job *j, const struct ehlo *e, struct span orcpt,
		     struct buf *out)
{
	struct span rest = span_from(orcpt, span_chr(orcpt, ';') + 1);
	struct buf address = { 0 }, value = { 0 };

	if (xtext_is_ascii(orcpt) || ((e->caps & EHLO_SMTPUTF8) && j->utf8))
		return add_value(out, SPAN(" ORCPT="), orcpt);
	int rc = xtext_utf8_decode(rest, &address);
	if (!rc)
		rc = buf_add_span(&value, SPAN("utf-8;"));
	if (!rc)
		rc = xtext_utf8_encode(buf_span(&address), &value);
	if (!rc)
		rc = add_value(out, SPAN(" ORCPT="), buf_span(&value));
	buf_release(&address);
	buf_release(&value);
	return rc;
}

int smtpc_command_rcpt(const struct smtpc_job *j, const struct ehlo *e, uint32_t i, struct buf *out)
{
	const struct env_rcpt *r = &j->env.rcpt[i];
	int rc = buf_add_span(out, SPAN("RCPT TO:<"));

	if (!rc)
		rc = buf_add_span(out, r->addr);
	if (!rc)
		rc = buf_add_span(out, SPAN(">"));
	if (!rc && (e->caps & EHLO_DSN)) {
		rc = add_notify(out, r->notify);
		if (!rc)
			rc = add_orcpt(j, e, r->orcpt, out);
	}
	return rc ? rc : buf_add_span(out, SPAN("\r\n"));
}
