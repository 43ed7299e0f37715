#include "proto/smtpc_mail.h"

#include "proto/smtpc_command.h"
#include "proto/smtpc_log.h"
#include "proto/smtpc_stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static int32_t data_step(const struct smtpc_job *j)
{
	return (int32_t)j->env.rcpt_count;
}

static int32_t next_step(const struct smtpc_job *j, int32_t step)
{
	int32_t end = data_step(j);

	if (step >= end)
		return end + 1;
	for (step++; step >= 0 && step < end && j->rcpt[step].skip;)
		step++;
	return step;
}

static enum smtpc_phase out_of_memory(struct smtpc_session *s)
{
	return smtpc_session_lost(s, SPAN("4.3.1 out of memory"));
}

/* Over; the session can take another message. */
static enum smtpc_phase over(struct smtpc_session *s, bool open_transaction)
{
	s->dirty = open_transaction;
	if (!s->job->open_count)
		return SMTPC_PH_IDLE;
	/* Those that this transaction had no room for, RFC 5321 4.5.3.1.10. It settled at least
	 * one, so this ends. */
	if (s->message_count < smtpc_session_messages_max(s))
		return smtpc_mail_start(s);
	smtpc_job_set_open(s->job, MSG_LATER, MSG_AT_RCPT,
			   SPAN("452 4.5.3 next hop takes no more transactions in this session"));
	return SMTPC_PH_IDLE;
}

/* Our side failed. Only a closed connection keeps the server from taking half a message. */
static enum smtpc_phase unreadable(struct smtpc_session *s, int rc)
{
	SMTPC_COUNT(content_unreadable, 1);
	if (rc == -EBADMSG)
		smtpc_job_set_open(s->job, MSG_FAILED, MSG_AT_CONTENT,
				   SPAN("5.3.0 content is damaged"));
	return smtpc_session_lost(s, SPAN("4.3.0 content not readable"));
}

static int add_command(struct smtpc_session *s, int32_t step)
{
	struct smtpc_job *j = s->job;
	struct buf *out = &s->engine->out;

	if (step == SMTPC_STEP_RSET)
		return buf_add_span(out, SPAN("RSET\r\n"));
	if (step == SMTPC_STEP_MAIL)
		return smtpc_command_mail(j, &s->offer, out);
	return smtpc_command_rcpt(j, &s->offer, (uint32_t)step, out);
}

static enum smtpc_phase send_binary(struct smtpc_session *s)
{
	bool progress = false;
	char head[48];
	int n = snprintf(head, sizeof head, "BDAT %" PRIu64 " LAST\r\n",
			 s->job->rec.head.content_bytes);
	int rc = smtpc_io_write(&s->io, span_of(head, (size_t)n), true);

	if (rc)
		s->broken = rc;
	smtpc_content_start(&s->content, &s->job->rec, true);
	return smtpc_mail_content(s, &progress);
}

static bool is_raw(const struct smtpc_job *j)
{
	return j->rec.head.flags & CDB_RAW;
}

/* What ends the commands: DATA, BDAT with all of the content, or nothing before raw content. 0 or
 * -errno. */
static int add_end(struct smtpc_session *s)
{
	struct buf *out = &s->engine->out;
	const struct cdb_record *rec = &s->job->rec;
	int rc = s->chunk ? smtpc_content_chunk(rec, out) : 1;

	if (rc <= 0) {
		s->chunk_sent = !rc;
		SMTPC_COUNT(content_bytes, rc ? 0 : rec->head.content_bytes);
		return rc;
	}
	return buf_add_span(out, SPAN("DATA\r\n"));
}

/* All replies are in: the next group of commands, or the end of the transaction. */
static enum smtpc_phase send_group(struct smtpc_session *s)
{
	struct smtpc_job *j = s->job;
	struct buf *out = &s->engine->out;
	size_t limit = s->offer.caps & EHLO_PIPELINING ? SMTPC_COMMANDS_BYTES : 1;
	int32_t end = data_step(j);
	int rc = 0;

	if (j->mail_failed || (s->to_send == end && !j->accepted_count))
		return over(s, true);
	if (s->to_send == end && is_raw(j))
		return send_binary(s);
	s->to_answer = s->to_send;
	while (buf_len(out) < limit && s->to_send < end && !rc) {
		rc = add_command(s, s->to_send);
		s->to_send = next_step(j, s->to_send);
	}
	if (!rc && buf_len(out) < limit && !is_raw(j)) {
		rc = add_end(s);
		s->to_send = next_step(j, s->to_send);
	}
	return rc == -ENOMEM ? out_of_memory(s) : rc ? unreadable(s, rc) : SMTPC_PH_COMMANDS;
}

/* BDAT behind the commands saves the wait for 354; what nobody is accepted for was sent in vain
 * then, so only a small content goes that way. The bytes of DATA do for the larger ones, and where
 * dots are stuffed. LMTP: how many replies would come when nobody is accepted is not defined. */
static bool wants_chunk(const struct smtpc_session *s)
{
	const struct smtpc_job *j = s->job;
	uint32_t needed = EHLO_CHUNKING | EHLO_PIPELINING;

	return (s->offer.caps & needed) == needed && !s->lmtp && !is_raw(j) && !j->no_chunk &&
	       !s->engine->setup.settings.use_data && !j->rec.head.dots &&
	       j->rec.head.content_bytes <= SMTPC_CHUNK_BYTES;
}

enum smtpc_phase smtpc_mail_start(struct smtpc_session *s)
{
	struct smtpc_job *j = s->job;

	j->da_ta = ++s->engine->counter;
	j->peer_dsn = (s->offer.caps & EHLO_DSN) != 0;
	smtpc_command_check(j, &s->offer, s->engine->setup.settings.send_8bit);
	if (!j->open_count)
		return SMTPC_PH_IDLE;
	s->message_count++;
	s->to_send = s->to_answer = s->dirty ? SMTPC_STEP_RSET : SMTPC_STEP_MAIL;
	s->dirty = true;
	s->lmtp_at = 0;
	s->chunk = wants_chunk(s);
	s->chunk_sent = false;
	return send_group(s);
}

static enum msg_outcome outcome(enum reply_class c)
{
	return c == REPLY_YES ? MSG_DONE : c == REPLY_NO ? MSG_FAILED : MSG_LATER;
}

static void mail_reply(struct smtpc_session *s, enum reply_class c)
{
	struct smtpc_job *j = s->job;

	j->mail_answered = true;
	smtpc_log_mail(s);
	if (c == REPLY_YES)
		return;
	j->mail_failed = true;
	smtpc_job_set_open(j, outcome(c), MSG_AT_MAIL, reply_text(&s->reply));
}

/* RFC 5321 4.5.3.1.10: 452, or from older servers 552. With an enhanced code of its own it may mean
 * something else: a full mailbox, a full disk. */
static bool is_too_many(const struct reply *r)
{
	struct span e = reply_enhanced(r);

	return (r->code == 452 || r->code == 552) &&
	       (!e.n || span_eq(span_from(e, 2), SPAN("5.3")));
}

static void rcpt_reply(struct smtpc_session *s, enum reply_class c, uint32_t i)
{
	struct smtpc_job *j = s->job;

	if (j->mail_failed)
		return;
	smtpc_log_rcpt(s, i, NULL);
	if (c == REPLY_YES) {
		j->rcpt[i].accepted = true;
		j->accepted_count++;
		return;
	}
	if (is_too_many(&s->reply)) {
		/* RFC 5321 4.5.3.1.10: the next transaction, when this one takes somebody. */
		if (j->accepted_count)
			return;
		c = REPLY_LATER;
	}
	smtpc_job_set(j, i, outcome(c), MSG_AT_RCPT, reply_text(&s->reply));
}

static enum smtpc_phase data_reply(struct smtpc_session *s, enum reply_class c)
{
	struct smtpc_job *j = s->job;
	bool progress = false;

	if (c == REPLY_YES)
		return smtpc_session_garbled(s);
	if (c != REPLY_GO_ON) {
		if (j->accepted_count)
			smtpc_log_where(s, "data");
		smtpc_job_set_accepted(j, outcome(c), MSG_AT_DATA, reply_text(&s->reply));
		return over(s, true);
	}
	if (!j->accepted_count && s->lmtp)
		return SMTPC_PH_CLOSED; /* RFC 2033 4.2: it has to say 503 */
	/* RFC 2920 3.1: nobody wants it, but 354 wants a dot. */
	smtpc_content_start(&s->content, j->accepted_count ? &j->rec : NULL, false);
	return smtpc_mail_content(s, &progress);
}

enum smtpc_phase smtpc_mail_command_reply(struct smtpc_session *s)
{
	struct smtpc_job *j = s->job;
	enum reply_class c = reply_class(&s->reply);
	int32_t step = s->to_answer;

	if (step == data_step(j))
		return data_reply(s, c);
	if (c == REPLY_GO_ON || (step == SMTPC_STEP_RSET && c != REPLY_YES))
		return smtpc_session_garbled(s);
	if (step == SMTPC_STEP_MAIL)
		mail_reply(s, c);
	else if (step >= 0)
		rcpt_reply(s, c, (uint32_t)step);
	s->to_answer = next_step(j, step);
	if (s->chunk_sent && s->to_answer == data_step(j))
		return SMTPC_PH_DOT;
	return s->to_answer == s->to_send ? send_group(s) : SMTPC_PH_COMMANDS;
}

enum smtpc_phase smtpc_mail_content(struct smtpc_session *s, bool *progress)
{
	struct smtpc_content *c = &s->content;
	uint64_t before = c->at;
	int rc = smtpc_content_send(c, &s->io, s->engine->block, progress);

	SMTPC_COUNT(content_bytes, c->at - before);
	if (rc == 1) {
		smtpc_io_want_write(&s->io, false);
		return SMTPC_PH_DOT;
	}
	if (c->unreadable)
		return unreadable(s, c->unreadable);
	if (rc)
		s->broken = rc;
	return SMTPC_PH_CONTENT;
}

/* A server that has seen enough: it will not read on, so neither do we send on. */
enum smtpc_phase smtpc_mail_early_reply(struct smtpc_session *s)
{
	enum reply_class c = reply_class(&s->reply);

	if (c != REPLY_LATER && c != REPLY_NO)
		return smtpc_session_garbled(s);
	smtpc_log_where(s, "content");
	smtpc_job_set_accepted(s->job, outcome(c), MSG_AT_DOT, reply_text(&s->reply));
	smtpc_job_set_open(s->job, MSG_LATER, MSG_AT_DOT, reply_text(&s->reply));
	return SMTPC_PH_CLOSED;
}

static enum smtpc_phase lmtp_reply(struct smtpc_session *s, enum reply_class c)
{
	struct smtpc_job *j = s->job;
	uint32_t i = s->lmtp_at;

	while (i < j->env.rcpt_count && (!j->rcpt[i].accepted || j->rcpt[i].set))
		i++;
	if (i < j->env.rcpt_count) {
		smtpc_log_rcpt(s, i, "final_dot");
		smtpc_job_set(j, i, outcome(c), MSG_AT_DOT, reply_text(&s->reply));
	}
	s->lmtp_at = i + 1;
	return j->accepted_count ? SMTPC_PH_DOT : over(s, false);
}

/* The reply to BDAT. */
static enum smtpc_phase chunk_reply(struct smtpc_session *s, enum reply_class c)
{
	struct smtpc_job *j = s->job;

	if (smtpc_io_waits(&s->io))
		return smtpc_mail_early_reply(s);
	/* Offered, and not known after all: what it took the content for is anybody's guess. */
	if (s->reply.code == 500 || s->reply.code == 502) {
		j->no_chunk = s->again = j->open_count > 0;
		return SMTPC_PH_CLOSED;
	}
	if (j->accepted_count)
		smtpc_log_where(s, "bdat");
	smtpc_job_set_accepted(j, outcome(c), MSG_AT_DOT, reply_text(&s->reply));
	/* RFC 3030 2: what failed must be followed by RSET. */
	return over(s, c != REPLY_YES);
}

enum smtpc_phase smtpc_mail_dot_reply(struct smtpc_session *s)
{
	enum reply_class c = reply_class(&s->reply);

	if (c == REPLY_GO_ON)
		return smtpc_session_garbled(s);
	if (s->chunk_sent)
		return chunk_reply(s, c);
	if (s->lmtp)
		return lmtp_reply(s, c);
	if (s->job->accepted_count)
		smtpc_log_where(s, "final_dot");
	smtpc_job_set_accepted(s->job, outcome(c), MSG_AT_DOT, reply_text(&s->reply));
	return over(s, false);
}
