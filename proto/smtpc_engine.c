#include "proto/smtpc_engine.h"

#include "core/log.h"
#include "core/route.h"
#include "proto/smtpc_log.h"
#include "proto/smtpc_session.h"
#include "proto/smtpc_stats.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { SEGMENTS_OPEN = 64 };

int smtpc_engine_init(struct smtpc_engine *e, const struct smtpc_setup *s)
{
	memset(e, 0, sizeof *e);
	e->setup = *s;
	e->loop = s->loop;
	if (!e->setup.messages_max)
		e->setup.messages_max = SMTPC_MESSAGES_PER_SESSION;
	if (!e->setup.idle_usec)
		e->setup.idle_usec = SMTPC_IDLE_USEC;
	uint32_t max = s->session_max < SMTPC_SESSIONS ? s->session_max : SMTPC_SESSIONS;
	pool_init(&e->session_pool, sizeof(struct smtpc_session), max ? max : 1);
	e->cdb = cdb_reader_new(s->cdb_base, SEGMENTS_OPEN);
	e->in = malloc(SMTPC_READ_BYTES);
	e->block = malloc(SMTPC_BLOCK_BYTES);
	if (e->cdb && e->in && e->block)
		return 0;
	smtpc_engine_free(e);
	return -ENOMEM;
}

void smtpc_engine_free(struct smtpc_engine *e)
{
	while (e->sessions)
		smtpc_session_drop(e->sessions);
	while (e->jobs) {
		struct smtpc_job *j = e->jobs;

		e->jobs = j->next;
		smtpc_job_free(j);
	}
	if (e->cdb)
		cdb_reader_free(e->cdb);
	pool_free(&e->session_pool);
	buf_release(&e->out);
	free(e->in);
	free(e->block);
	e->cdb = NULL;
	e->in = e->block = NULL;
}

static void count_outcomes(const struct smtpc_job *j)
{
	uint64_t n[3] = { 0 };

	for (uint32_t i = 0; i < j->env.rcpt_count; i++)
		n[j->rcpt[i].outcome]++;
	SMTPC_COUNT(rcpts_delivered, n[MSG_DONE]);
	SMTPC_COUNT(rcpts_later, n[MSG_LATER]);
	SMTPC_COUNT(rcpts_failed, n[MSG_FAILED]);
}

void smtpc_engine_finish(struct smtpc_engine *e, struct smtpc_job *own, enum msg_conn conn)
{
	/* A bug here must not become lost mail. */
	smtpc_job_set_open(own, MSG_LATER, MSG_AT_CONNECT, SPAN("4.3.0 attempt ended early"));
	*own->prev = own->next;
	if (own->next)
		own->next->prev = own->prev;
	e->job_count--;
	SMTPC_COUNT(jobs, -1);
	SMTPC_COUNT(attempts_done, 1);
	if (own->no_session)
		SMTPC_COUNT(sessions_failed, 1);
	count_outcomes(own);
	stats_observe(SMTPC_STAT_attempt_usec, (uint64_t)(loop_now(e->loop) - own->start_usec));
	e->setup.up->result(e->setup.up_ctx, own, conn);
	smtpc_job_free(own);
}

/* Where a key leads: the address with its port; -EDESTADDRREQ when there is none. */
static int address_of(const struct smtpc_settings *s, const struct smtpc_key *key, struct addr *out)
{
	*out = key->host;
	if (key->mailer == ROUTE_ESMTP && s->connect_only_to.family) {
		*out = s->connect_only_to;
		out->port = key->host.port;
	}
	if (!out->port)
		out->port = s->remote_port;
	return out->family == ADDR_NONE ? -EDESTADDRREQ : 0;
}

/* No connection could even be begun. Our own shortage does not count against the host. */
static void no_connection(struct smtpc_engine *e, struct smtpc_job *j, int rc)
{
	bool ours = rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM || rc == -ENOBUFS ||
		    rc == -ENOSPC || rc == -EADDRNOTAVAIL;
	char text[160], err[64];
	int n = snprintf(text, sizeof text, "%s: %s",
			 ours ? "4.3.2 no connection can be opened" : "4.4.1 cannot connect",
			 strerror_r(-rc, err, sizeof err));

	j->no_session = !ours;
	log_event(LOG_LV_MAIL, ours ? LOG_SEV_WARN : LOG_SEV_NONE, "smtpc_open", "%s", text);
	smtpc_job_set_open(j, MSG_LATER, MSG_AT_CONNECT,
			   span_head(span_of(text, (size_t)n), sizeof text - 1));
	smtpc_engine_finish(e, j, MSG_CONN_CLOSED);
}

static void open_session(struct smtpc_engine *e, struct smtpc_job *j)
{
	bool local = j->key.mailer == ROUTE_LMTP_LOCAL;
	struct addr to;
	int rc = local ? 0 : address_of(&e->setup.settings, &j->key, &to);

	if (!rc)
		rc = smtpc_session_open(e, j, local ? NULL : &to);
	if (rc == -EMFILE && e->idle.count) {
		/* Idle connections are the first to go. */
		struct smtpc_session *s = smtpc_pool_oldest(&e->idle);
		struct smtpc_key key = s->key;

		smtpc_session_drop(s);
		e->setup.up->gone(e->setup.up_ctx, &key);
		rc = smtpc_session_open(e, j, local ? NULL : &to);
	}
	if (rc)
		no_connection(e, j, rc);
}

void smtpc_engine_again(struct smtpc_engine *e, struct smtpc_job *j)
{
	SMTPC_COUNT(attempts_again, 1);
	smtpc_job_restart(j);
	open_session(e, j);
}

static void add_job(struct smtpc_engine *e, struct smtpc_job *j)
{
	j->next = e->jobs;
	j->prev = &e->jobs;
	if (j->next)
		j->next->prev = &j->next;
	e->jobs = j;
	e->job_count++;
	SMTPC_COUNT(jobs, 1);
	SMTPC_COUNT(attempts, 1);
}

static bool known_mailer(uint8_t m)
{
	return m == ROUTE_ESMTP || m == ROUTE_LMTP || m == ROUTE_LMTP_LOCAL;
}

int smtpc_engine_deliver(struct smtpc_engine *e, const struct msg_deliver *d)
{
	struct smtpc_job *j;

	if (!known_mailer(d->mailer))
		return -EBADMSG;
	int rc = smtpc_job_new(d, loop_now(e->loop), &j);
	if (rc)
		return rc;
	add_job(e, j);
	rc = smtpc_job_open_content(j, e->cdb, d);
	if (rc) {
		SMTPC_COUNT(content_unreadable, 1);
		smtpc_log_unreadable(d->ta, d->seg, rc);
		/* qmgr counts with the idle session that it gave this to. */
		smtpc_engine_finish(
			e, j, smtpc_pool_has(&e->idle, &j->key) ? MSG_CONN_IDLE : MSG_CONN_CLOSED);
		return 0;
	}
	struct smtpc_session *s = smtpc_pool_take(&e->idle, &j->key);
	if (s)
		smtpc_session_reuse(s, j);
	else
		open_session(e, j);
	return 0;
}

void smtpc_engine_cancel(struct smtpc_engine *e, uint64_t attempt, uint64_t run)
{
	struct smtpc_job *j = e->jobs;

	while (j && (j->attempt != attempt || j->run != run))
		j = j->next;
	if (!j)
		return;
	SMTPC_COUNT(attempts_cancelled, 1);
	smtpc_session_cancel(j->session);
}

void smtpc_engine_drop_idle(struct smtpc_engine *e)
{
	while (e->idle.count)
		smtpc_session_quit_idle(smtpc_pool_oldest(&e->idle));
}

void smtpc_engine_stop(struct smtpc_engine *e)
{
	e->stopping = true;
	smtpc_engine_drop_idle(e);
}
