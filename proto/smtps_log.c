#include "proto/smtps_log.h"

#include "core/log.h"
#include "proto/smtps_members.h"

enum { INPUT_MAX = 512 }; /* of a line, RFC 5321 4.5.3.1.4 */

static void ids(struct log_line *l, uint64_t session, const struct smtps_ta *ta)
{
	log_id(l, "ss_sess", session);
	if (ta)
		log_id(l, "ss_ta", ta->id);
}

static void outcome(struct log_line *l, unsigned stat, struct span reply)
{
	log_int(l, "stat", stat);
	if (stat && reply.n)
		log_str(l, "reply", reply);
	log_end(l);
}

void smtps_log_client(const struct smtps_session *s, unsigned stat, struct span reply)
{
	struct log_line l;

	log_begin(&l, LOG_LV_MAIL, LOG_SEV_NONE);
	ids(&l, s->id, NULL);
	log_ip(&l, s->client.family == ADDR_IPV6 ? "client_ipv6" : "client_ipv4", &s->client);
	if (s->name)
		log_str(&l, "client_name", span_str(s->name));
	if (s->flags & SMTPS_SE_LOCAL)
		log_word(&l, "via", "local");
	outcome(&l, stat, reply);
}

void smtps_log_mail(const struct smtps_session *s, const struct smtps_ta *ta, struct span sender,
		    unsigned stat, struct span reply)
{
	struct log_line l;

	log_begin(&l, LOG_LV_MAIL, LOG_SEV_NONE);
	ids(&l, s->id, ta);
	log_addr(&l, "mail", sender);
	outcome(&l, stat, reply);
}

void smtps_log_rcpt(const struct smtps_session *s, const struct smtps_ta *ta, struct span rcpt,
		    uint32_t idx, unsigned stat, struct span reply)
{
	struct log_line l;

	log_begin(&l, LOG_LV_MAIL, LOG_SEV_NONE);
	ids(&l, s->id, ta);
	log_addr(&l, "rcpt", rcpt);
	log_int(&l, "idx", idx);
	outcome(&l, stat, reply);
}

void smtps_log_command(const struct smtps_session *s, struct span input, enum smtps_reply r)
{
	struct log_line l;

	log_begin(&l, LOG_LV_MAIL, LOG_SEV_NONE);
	ids(&l, s->id, s->ta);
	log_word(&l, "where", "command");
	log_str(&l, "input", span_head(input, INPUT_MAX));
	outcome(&l, smtps_reply_code(s, r), smtps_reply_text_of(r));
}

void smtps_log_accepted_rcpt(const struct smtps_session *s, const struct smtps_ta *ta,
			     const struct smtps_rcpt *r)
{
	struct log_line l;

	log_begin(&l, LOG_LV_MAIL, LOG_SEV_NONE);
	ids(&l, s->id, ta);
	log_addr(&l, "rcpt", r->to.addr);
	log_int(&l, "idx", r->idx);
	if (r->members)
		log_int(&l, "members", smtps_members_count(r->members));
	outcome(&l, 0, SPAN(""));
}

void smtps_log_content(uint64_t session, const struct smtps_ta *ta, unsigned stat,
		       struct span reply)
{
	const struct dots *d = &ta->content->dots;
	struct log_line l;

	log_begin(&l, LOG_LV_MAIL, LOG_SEV_NONE);
	ids(&l, session, ta);
	log_str(&l, "msgid", span_of(d->msgid, d->msgid_n));
	log_int(&l, "size", (int64_t)dots_size(d));
	outcome(&l, stat, reply);
}

void smtps_log_end(const struct smtps_session *s, const char *why)
{
	struct log_line l;

	if (!log_on(LOG_LV_VERBOSE))
		return;
	log_begin(&l, LOG_LV_VERBOSE, LOG_SEV_NONE);
	ids(&l, s->id, s->ta);
	log_word(&l, "where", "end");
	log_word(&l, "reason", why);
	log_end(&l);
}

void smtps_log_trouble(const struct smtps_session *s, const struct smtps_ta *ta, const char *where,
		       int error)
{
	struct log_line l;

	log_begin(&l, LOG_LV_ERROR, LOG_SEV_ERR);
	ids(&l, s->id, ta);
	log_word(&l, "where", where);
	log_errno(&l, error);
	log_end(&l);
}
