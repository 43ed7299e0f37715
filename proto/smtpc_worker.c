#include "proto/smtpc_worker.h"

#include "core/link.h"
#include "core/log.h"
#include "core/rcu.h"
#include "core/thread.h"
#include "proto/smtpc_limits.h"
#include "proto/smtpc_outbox.h"
#include "proto/smtpc_stats.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STOP_POLL_USEC = 10000, QUIT_WAIT_USEC = 1000000, LOAD_AGAIN_USEC = 200000 };

struct smtpc_worker {
	struct smtpc_worker_setup setup;
	pthread_t thread;
	struct loop *loop;
	struct link *link;
	struct smtpc_engine engine;
	struct smtpc_outbox *outbox;
	struct buf scratch;
	usec_t wait_for_server_usec;
	unsigned load_percent; /* as qmgr knows it */
	struct timer load_timer, stop_timer, away_timer;
	usec_t stop_at, quit_at, down_at;
	struct loop_mail stop_mail;
};

struct change {
	struct loop_mail mail;
	struct smtpc_worker *w;
	struct smtpc_settings settings;
	usec_t wait_for_server_usec;
};

#define WORKER_OF(ptr, member)                                                                     \
	((struct smtpc_worker *)((char *)(ptr)-offsetof(struct smtpc_worker, member)))

/* ---- results */

static int encode_result(struct smtpc_worker *w, const struct smtpc_job *j, enum msg_conn conn,
			 struct buf *out)
{
	struct buf *r = &w->scratch;

	buf_eat(r, buf_len(r));
	int rc = smtpc_job_results(j, r);
	if (rc)
		return rc;
	usec_t took = loop_now(w->loop) - j->start_usec;
	return msg_result_encode(&(struct msg_result){ .attempt = j->attempt,
						       .run = j->run,
						       .ta = j->env.ta,
						       .mailer = j->key.mailer,
						       .host = j->key.host,
						       .conn = (uint8_t)conn,
						       .failure = j->no_session,
						       .dsn = j->peer_dsn,
						       .msec = (uint32_t)(took / USEC_PER_MSEC),
						       .rcpts = buf_span(r) },
				 out);
}

static void on_result(void *ctx, const struct smtpc_job *j, enum msg_conn conn)
{
	struct smtpc_worker *w = ctx;
	struct buf *b = smtpc_outbox_recent(w->outbox, loop_now(w->loop));

	if (encode_result(w, j, conn, b)) {
		/* Without memory qmgr gets no result: it cancels after its limit and asks again. */
		buf_eat(b, buf_len(b));
		SMTPC_COUNT(results_lost, 1);
		return;
	}
	if (link_send(w->link, MSG_result, 0, buf_span(b))) {
		smtpc_outbox_keep(w->outbox, buf_span(b));
		buf_eat(b, buf_len(b));
	}
}

static void on_gone(void *ctx, const struct smtpc_key *key)
{
	struct smtpc_worker *w = ctx;

	/* While qmgr is away it knows of no idle sessions at all. */
	if (link_is_up(w->link))
		link_put(w->link, 0, conn_gone,
			 &((struct msg_conn_gone){ key->mailer, key->host }));
}

static const struct smtpc_upstream upstream = { .result = on_result, .gone = on_gone };

/* ---- the link */

static void send_attempt(struct smtpc_worker *w, const struct smtpc_job *j)
{
	struct buf *b = &w->scratch;

	buf_eat(b, buf_len(b));
	for (uint32_t i = 0; i < j->env.rcpt_count; i++)
		if (buf_add(b, &j->env.rcpt[i].idx, sizeof(uint32_t)))
			return;
	link_put(w->link, 0, attempt_state,
		 &((struct msg_attempt_state){ .attempt = j->attempt,
					       .run = j->run,
					       .ta = j->env.ta,
					       .mailer = j->key.mailer,
					       .host = j->key.host,
					       .idx = buf_span(b) }));
}

static int resend(void *ctx, struct span body)
{
	struct smtpc_worker *w = ctx;

	return link_send(w->link, MSG_result, 0, body);
}

static void send_load(struct smtpc_worker *w, unsigned percent)
{
	if (!link_put(w->link, 0, load, &((struct msg_load){ (uint8_t)percent })))
		w->load_percent = percent;
}

static void link_up(struct link *k, const struct link_hello *peer)
{
	struct smtpc_worker *w = link_ctx(k);
	uint32_t count = 0;

	loop_timer_stop(w->loop, &w->away_timer);
	for (const struct smtpc_job *j = w->engine.jobs; j; j = j->next, count++)
		send_attempt(w, j);
	count += smtpc_outbox_replay(w->outbox, w->down_at - SMTPC_RESEND_USEC, loop_now(w->loop),
				     resend, w);
	link_put(k, 0, state_end, &((struct msg_state_end){ count }));
	send_load(w, loop_busy_percent(w->loop));
	log_event(LOG_LV_INFO, LOG_SEV_NONE, "smtpc_link",
		  "worker=%u, status=connected, peer_pid=%llu, state=%u", w->setup.worker,
		  (unsigned long long)peer->pid, count);
}

static void link_down(struct link *k)
{
	struct smtpc_worker *w = link_ctx(k);

	log_event(LOG_LV_WARN, LOG_SEV_WARN, "smtpc_link", "worker=%u, status=lost, attempts=%u",
		  w->setup.worker, w->engine.job_count);
	w->down_at = loop_now(w->loop);
	loop_timer_after(w->loop, &w->away_timer, w->wait_for_server_usec);
}

static void deliver(struct smtpc_worker *w, struct link *k, struct span body)
{
	struct msg_deliver d;

	if (msg_deliver_decode(body, &d)) {
		link_refuse(k, "bad deliver");
		return;
	}
	/* qmgr takes back what we have not answered when the link ends. */
	if (w->engine.stopping)
		return;
	int rc = smtpc_engine_deliver(&w->engine, &d);
	if (rc == -EBADMSG) {
		link_refuse(k, "bad deliver");
	} else if (rc) {
		log_event(LOG_LV_ERROR, LOG_SEV_ERR, "smtpc_deliver", "stat=failed, error=memory");
		link_put(k, 0, result,
			 &((struct msg_result){ .attempt = d.attempt,
						.run = d.run,
						.ta = d.ta,
						.mailer = d.mailer,
						.host = d.host }));
	}
}

static void link_message(struct link *k, unsigned number, uint64_t req, struct span body)
{
	struct smtpc_worker *w = link_ctx(k);
	struct msg_cancel c;

	(void)req;
	switch (number) {
	case MSG_deliver:
		deliver(w, k, body);
		break;
	case MSG_cancel:
		if (msg_cancel_decode(body, &c))
			link_refuse(k, "bad cancel");
		else
			smtpc_engine_cancel(&w->engine, c.attempt, c.run);
		break;
	case MSG_state_end:
		break;
	default:
		link_refuse(k, "message out of place");
	}
}

static const struct link_ops link_ops = { .up = link_up,
					  .down = link_down,
					  .message = link_message };

/* qmgr stays away: connections to others are not held for it any longer. */
static void on_away(struct timer *t)
{
	struct smtpc_worker *w = WORKER_OF(t, away_timer);

	log_event(LOG_LV_ERROR, LOG_SEV_ERR, "smtpc_link", "worker=%u, status=away, wait_sec=%lld",
		  w->setup.worker, (long long)(w->wait_for_server_usec / USEC_PER_SEC));
	smtpc_engine_drop_idle(&w->engine);
}

/* ---- load */

static void on_period(void *ctx, unsigned percent)
{
	struct smtpc_worker *w = ctx;
	unsigned diff =
		percent > w->load_percent ? percent - w->load_percent : w->load_percent - percent;

	if (diff >= SMTPC_LOAD_STEP_PERCENT && link_is_up(w->link))
		send_load(w, percent);
	/* A loop that has nothing to do makes no turns; one more shall tell that it is free. */
	if (w->load_percent >= SMTPC_LOAD_STEP_PERCENT)
		loop_timer_after(w->loop, &w->load_timer, LOAD_AGAIN_USEC);
}

static void on_load_timer(struct timer *t)
{
	(void)t;
}

/* ---- the end */

static void on_stop_timer(struct timer *t)
{
	struct smtpc_worker *w = WORKER_OF(t, stop_timer);
	usec_t now = loop_now(w->loop);

	if (w->engine.job_count && now < w->stop_at) {
		loop_timer_after(w->loop, t, STOP_POLL_USEC);
		return;
	}
	/* One more turn lets the results out, a moment more the replies to QUIT in. */
	if (!w->quit_at) {
		w->quit_at = now + QUIT_WAIT_USEC;
		if (w->engine.job_count)
			log_event(LOG_LV_WARN, LOG_SEV_WARN, "smtpc_stop",
				  "worker=%u, attempts_left=%u", w->setup.worker,
				  w->engine.job_count);
	} else if (w->engine.session_count <= w->engine.job_count || now >= w->quit_at) {
		loop_stop(w->loop);
		return;
	}
	loop_timer_after(w->loop, t, STOP_POLL_USEC);
}

static void on_stop(struct loop_mail *m)
{
	struct smtpc_worker *w = WORKER_OF(m, stop_mail);

	if (w->engine.stopping)
		return;
	smtpc_engine_stop(&w->engine);
	w->stop_at = loop_now(w->loop) + SMTPC_STOP_USEC;
	on_stop_timer(&w->stop_timer);
}

void smtpc_worker_stop(struct smtpc_worker *w)
{
	loop_post(w->loop, &w->stop_mail);
}

/* ---- reload */

static void on_change(struct loop_mail *m)
{
	struct change *c = (struct change *)((char *)m - offsetof(struct change, mail));

	c->w->engine.setup.settings = c->settings;
	c->w->wait_for_server_usec = c->wait_for_server_usec;
	free(c);
}

int smtpc_worker_set(struct smtpc_worker *w, const struct smtpc_settings *s,
		     usec_t wait_for_server_usec)
{
	struct change *c = malloc(sizeof *c);

	if (!c)
		return -ENOMEM;
	*c = (struct change){ .mail.fn = on_change,
			      .w = w,
			      .settings = *s,
			      .wait_for_server_usec = wait_for_server_usec };
	loop_post(w->loop, &c->mail);
	return 0;
}

/* ---- start */

static void run(void *arg)
{
	struct smtpc_worker *w = arg;

	stats_thread();
	loop_run(w->loop);
	link_free(w->link);
	w->link = NULL;
	smtpc_engine_free(&w->engine);
}

static void destroy(struct smtpc_worker *w)
{
	link_free(w->link);
	smtpc_outbox_free(w->outbox);
	buf_release(&w->scratch);
	loop_free(w->loop);
	free(w);
}

static int build(struct smtpc_worker *w)
{
	const struct smtpc_worker_setup *s = &w->setup;
	struct link_hello hello = { .component = "smtpc",
				    .id = s->process,
				    .worker = s->worker,
				    .workers = s->workers,
				    .instance = s->instance,
				    .pid = (uint64_t)getpid() };

	w->loop = loop_new();
	w->outbox = smtpc_outbox_new();
	if (!w->loop || !w->outbox)
		return -ENOMEM;
	w->load_timer.fn = on_load_timer;
	w->stop_timer.fn = on_stop_timer;
	w->away_timer.fn = on_away;
	w->stop_mail.fn = on_stop;
	w->wait_for_server_usec = s->wait_for_server_usec;
	struct smtpc_setup es = { .loop = w->loop,
				  .cdb_base = s->cdb_base,
				  .hostname = s->hostname,
				  .process = (uint8_t)s->process,
				  .worker = s->worker,
				  .session_max = s->session_max,
				  .settings = s->settings,
				  .up = &upstream,
				  .up_ctx = w };
	int rc = smtpc_engine_init(&w->engine, &es);
	if (rc)
		return rc;
	w->link = link_connect(w->loop, s->link_path, &hello, &link_ops, w);
	if (!w->link) {
		smtpc_engine_free(&w->engine);
		return -ENOMEM;
	}
	loop_on_period(w->loop, on_period, w);
	return 0;
}

struct smtpc_worker *smtpc_worker_start(const struct smtpc_worker_setup *s, int *error)
{
	struct smtpc_worker *w = calloc(1, sizeof *w);
	char name[16];

	if (!w) {
		*error = -ENOMEM;
		return NULL;
	}
	w->setup = *s;
	*error = build(w);
	if (!*error) {
		snprintf(name, sizeof name, "smtpc%u", s->worker);
		*error = thread_start(&w->thread, name, s->cpu, run, w);
		if (!*error)
			return w;
		smtpc_engine_free(&w->engine);
	}
	destroy(w);
	return NULL;
}

void smtpc_worker_join(struct smtpc_worker *w)
{
	thread_join(w->thread);
	destroy(w);
}

unsigned smtpc_worker_busy_percent(const struct smtpc_worker *w)
{
	return loop_busy_percent(w->loop);
}
