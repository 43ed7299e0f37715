#include "proto/smtpc_job.h"

#include <errno.h>

static int build(struct smtpc_job *j, const struct msg_deliver *d)
{
	struct span bytes = arena_span(j->arena, d->envelope);

	if (!bytes.p)
		return -ENOMEM;
	int rc = envelope_decode(bytes, j->arena, &j->env);
	if (rc)
		return rc;
	j->rcpt = arena_alloc(j->arena, j->env.rcpt_count * sizeof *j->rcpt);
	if (!j->rcpt)
		return -ENOMEM;
	if (j->env.rcpt_count)
		memset(j->rcpt, 0, j->env.rcpt_count * sizeof *j->rcpt);
	j->env.ta = d->ta;
	j->attempt = d->attempt;
	j->run = d->run;
	j->keep = d->keep;
	j->others = d->others;
	j->key = (struct smtpc_key){ d->mailer, d->host };
	j->open_count = j->env.rcpt_count;
	return 0;
}

int smtpc_job_new(const struct msg_deliver *d, usec_t now_usec, struct smtpc_job **out)
{
	struct arena *a = arena_new();
	struct smtpc_job *j = a ? arena_alloc(a, sizeof *j) : NULL;

	if (!j) {
		arena_free(a);
		return -ENOMEM;
	}
	*j = (struct smtpc_job){ .arena = a, .start_usec = now_usec };
	int rc = build(j, d);
	if (rc) {
		arena_free(a);
		return rc;
	}
	*out = j;
	return 0;
}

void smtpc_job_free(struct smtpc_job *j)
{
	if (j->reader)
		cdb_close_record(j->reader, &j->rec);
	arena_free(j->arena);
}

int smtpc_job_open_content(struct smtpc_job *j, struct cdb_reader *r, const struct msg_deliver *d)
{
	struct cdb_ref ref = { d->seg, d->gen, d->off, d->len };
	int rc = cdb_open_record(r, &ref, d->ta, &j->rec);

	if (!rc) {
		j->reader = r;
		return 0;
	}
	if (rc == -ESTALE)
		smtpc_job_set_open(j, MSG_DONE, MSG_AT_CONTENT,
				   SPAN("2.0.0 dropped, the client was told to send it again"));
	else if (rc == -EBADMSG)
		smtpc_job_set_open(j, MSG_FAILED, MSG_AT_CONTENT, SPAN("5.3.0 content is damaged"));
	else
		smtpc_job_set_open(j, MSG_LATER, MSG_AT_CONTENT,
				   SPAN("4.3.0 content not readable"));
	return rc;
}

static void set(struct smtpc_job *j, struct smtpc_rcpt *r, enum msg_outcome o, enum msg_stage stage,
		struct span own)
{
	if (r->set)
		return;
	r->set = true;
	r->outcome = (uint8_t)o;
	r->stage = (uint8_t)stage;
	r->reply = own;
	j->open_count--;
	if (r->accepted)
		j->accepted_count--;
}

/* Without memory the text is lost, not the outcome. */
static struct span keep(struct smtpc_job *j, struct span text)
{
	struct span s = arena_span(j->arena, text);

	return s.p ? s : SPAN("4.3.1 out of memory");
}

void smtpc_job_set(struct smtpc_job *j, uint32_t i, enum msg_outcome o, enum msg_stage stage,
		   struct span text)
{
	if (!j->rcpt[i].set)
		set(j, &j->rcpt[i], o, stage, keep(j, text));
}

void smtpc_job_set_open(struct smtpc_job *j, enum msg_outcome o, enum msg_stage stage,
			struct span text)
{
	if (!j->open_count)
		return;
	struct span own = keep(j, text);
	for (uint32_t i = 0; i < j->env.rcpt_count; i++)
		set(j, &j->rcpt[i], o, stage, own);
}

void smtpc_job_set_accepted(struct smtpc_job *j, enum msg_outcome o, enum msg_stage stage,
			    struct span text)
{
	if (!j->accepted_count)
		return;
	struct span own = keep(j, text);
	for (uint32_t i = 0; i < j->env.rcpt_count; i++)
		if (j->rcpt[i].accepted)
			set(j, &j->rcpt[i], o, stage, own);
}

void smtpc_job_restart(struct smtpc_job *j)
{
	j->retried = true;
	j->session = NULL;
	j->no_session = j->mail_answered = j->mail_failed = false;
	j->accepted_count = 0;
	for (uint32_t i = 0; i < j->env.rcpt_count; i++)
		j->rcpt[i].accepted = false;
}

int smtpc_job_results(const struct smtpc_job *j, struct buf *out)
{
	int rc = 0;

	for (uint32_t i = 0; i < j->env.rcpt_count && !rc; i++) {
		const struct smtpc_rcpt *r = &j->rcpt[i];
		struct msg_rcpt_result m = { j->env.rcpt[i].idx, r->outcome, r->stage, r->reply };

		rc = msg_rcpt_result_add(out, &m);
	}
	return rc;
}
