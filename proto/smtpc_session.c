#include "proto/smtpc_session.h"

#include "core/route.h"
#include "core/sock.h"
#include "proto/smtpc_log.h"
#include "proto/smtpc_mail.h"
#include "proto/smtpc_stats.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#define SESSION_OF(ptr, member)                                                                    \
	((struct smtpc_session *)((char *)(ptr)-offsetof(struct smtpc_session, member)))

static enum smtpc_phase on_greeting(struct smtpc_session *s);
static enum smtpc_phase on_ehlo(struct smtpc_session *s);
static enum smtpc_phase on_helo(struct smtpc_session *s);
static enum smtpc_phase on_unasked(struct smtpc_session *s);

/* What a phase does with a whole reply. */
static enum smtpc_phase (*const on_reply[])(struct smtpc_session *) = {
	[SMTPC_PH_CONNECT] = on_greeting,
	[SMTPC_PH_GREETING] = on_greeting,
	[SMTPC_PH_EHLO] = on_ehlo,
	[SMTPC_PH_HELO] = on_helo,
	[SMTPC_PH_COMMANDS] = smtpc_mail_command_reply,
	[SMTPC_PH_CONTENT] = smtpc_mail_early_reply,
	[SMTPC_PH_DOT] = smtpc_mail_dot_reply,
	[SMTPC_PH_IDLE] = on_unasked,
	[SMTPC_PH_QUIT] = on_unasked,
};

/* Stage of the dialogue, for results and logs. */
static enum msg_stage stage_of(const struct smtpc_session *s)
{
	switch ((enum smtpc_phase)s->phase) {
	case SMTPC_PH_CONNECT:
		return MSG_AT_CONNECT;
	case SMTPC_PH_GREETING:
		return MSG_AT_GREETING;
	case SMTPC_PH_EHLO:
	case SMTPC_PH_HELO:
		return MSG_AT_EHLO;
	case SMTPC_PH_COMMANDS:
		if (s->to_answer < 0)
			return MSG_AT_MAIL;
		return s->to_answer < (int32_t)s->job->env.rcpt_count ? MSG_AT_RCPT : MSG_AT_DATA;
	default:
		return MSG_AT_DOT;
	}
}

usec_t smtpc_session_limit(const struct smtpc_settings *s, enum msg_stage stage)
{
	static const usec_t limit[] = {
		[MSG_AT_CONNECT] = SMTPC_CONNECT_USEC, [MSG_AT_GREETING] = SMTPC_GREETING_USEC,
		[MSG_AT_EHLO] = SMTPC_EHLO_USEC,       [MSG_AT_STARTTLS] = SMTPC_EHLO_USEC,
		[MSG_AT_AUTH] = SMTPC_EHLO_USEC,       [MSG_AT_MAIL] = SMTPC_MAIL_USEC,
		[MSG_AT_RCPT] = SMTPC_RCPT_USEC,       [MSG_AT_DATA] = SMTPC_DATA_USEC,
		[MSG_AT_DOT] = SMTPC_DOT_USEC,         [MSG_AT_CONTENT] = SMTPC_BLOCK_USEC,
	};

	if (!s->io_timeout_usec)
		return limit[stage];
	if (stage == MSG_AT_CONNECT && s->io_timeout_usec > SMTPC_CONNECT_USEC)
		return SMTPC_CONNECT_USEC;
	return s->io_timeout_usec;
}

static usec_t limit_of(const struct smtpc_session *s)
{
	bool content = s->phase == SMTPC_PH_CONTENT;
	usec_t limit = smtpc_session_limit(&s->engine->setup.settings,
					   content ? MSG_AT_CONTENT : stage_of(s));

	if (s->phase == SMTPC_PH_CONNECT && s->job->others && limit > SMTPC_CONNECT_QUICK_USEC)
		return SMTPC_CONNECT_QUICK_USEC;
	return limit;
}

/* The limit of the step that now waits. */
static void arm(struct smtpc_session *s)
{
	struct loop *l = s->engine->loop;

	if (s->phase == SMTPC_PH_IDLE)
		loop_timer_after(l, &s->timer, s->engine->setup.idle_usec);
	else if (s->phase == SMTPC_PH_QUIT)
		loop_timer_after(l, &s->timer, SMTPC_QUIT_USEC);
	else
		loop_timer_after(l, &s->timer, limit_of(s));
}

void smtpc_session_drop(struct smtpc_session *s)
{
	struct smtpc_engine *e = s->engine;

	if (s->phase == SMTPC_PH_IDLE)
		SMTPC_COUNT(sessions_idle, -1);
	smtpc_pool_remove(&e->idle, &s->idle);
	loop_timer_stop(e->loop, &s->timer);
	smtpc_io_close(&s->io);
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	e->session_count--;
	SMTPC_COUNT(sessions, -1);
	pool_put(&e->session_pool, s);
}

/* The job leaves the session; its result is said when all is in order again. */
static struct smtpc_job *take_job(struct smtpc_session *s)
{
	struct smtpc_job *j = s->job;

	s->job = NULL;
	if (j)
		j->session = NULL;
	return j;
}

uint32_t smtpc_session_messages_max(const struct smtpc_session *s)
{
	uint32_t max = s->engine->setup.messages_max;

	return s->offer.mail_max && s->offer.mail_max < max ? s->offer.mail_max : max;
}

static bool keep(const struct smtpc_session *s)
{
	if (s->job && !s->job->keep)
		return false;
	return !s->engine->stopping && !s->broken &&
	       s->message_count < smtpc_session_messages_max(s);
}

static void enter_idle(struct smtpc_session *s)
{
	struct smtpc_engine *e = s->engine;
	struct smtpc_job *j = take_job(s);

	s->phase = SMTPC_PH_IDLE;
	reply_reset(&s->reply);
	smtpc_pool_put(&e->idle, &s->idle);
	SMTPC_COUNT(sessions_idle, 1);
	arm(s);
	smtpc_engine_finish(e, j, MSG_CONN_IDLE);
	if (e->idle.count > SMTPC_IDLE_SESSIONS)
		smtpc_session_quit_idle(smtpc_pool_oldest(&e->idle));
}

static void enter_quit(struct smtpc_session *s)
{
	struct smtpc_job *j = take_job(s);

	s->phase = SMTPC_PH_QUIT;
	arm(s);
	int rc = smtpc_io_write(&s->io, SPAN("QUIT\r\n"), false);
	if (rc)
		s->broken = rc;
	if (j)
		smtpc_engine_finish(s->engine, j, MSG_CONN_CLOSED);
}

static void enter_closed(struct smtpc_session *s)
{
	struct smtpc_engine *e = s->engine;
	struct smtpc_job *j = take_job(s);
	struct smtpc_key key = s->key;
	bool again = s->again, was_idle = s->phase == SMTPC_PH_IDLE;

	buf_eat(&e->out, buf_len(&e->out));
	smtpc_session_drop(s);
	if (was_idle)
		e->setup.up->gone(e->setup.up_ctx, &key);
	if (again)
		smtpc_engine_again(e, j);
	else if (j)
		smtpc_engine_finish(e, j, MSG_CONN_CLOSED);
}

/* The only place where a phase changes. False: the session is gone. */
static bool enter(struct smtpc_session *s, enum smtpc_phase next)
{
	if (next == SMTPC_PH_IDLE && !keep(s))
		next = SMTPC_PH_QUIT;
	switch (next) {
	case SMTPC_PH_CLOSED:
		enter_closed(s);
		return false;
	case SMTPC_PH_IDLE:
		enter_idle(s);
		return true;
	case SMTPC_PH_QUIT:
		enter_quit(s);
		return true;
	default:
		s->phase = (uint8_t)next;
		arm(s);
		return true;
	}
}

enum smtpc_phase smtpc_session_lost(struct smtpc_session *s, struct span why)
{
	struct smtpc_job *j = s->job;
	enum msg_stage stage = stage_of(s);

	if (!j)
		return SMTPC_PH_CLOSED;
	smtpc_log_lost(s, stage, why);
	if (s->reused && !j->retried && !j->mail_answered && s->phase == SMTPC_PH_COMMANDS) {
		s->again = true;
		return SMTPC_PH_CLOSED;
	}
	if (s->phase < SMTPC_PH_COMMANDS)
		j->no_session = true;
	smtpc_job_set_open(j, MSG_LATER, stage, why);
	return SMTPC_PH_CLOSED;
}

/* What snprintf() made. */
static struct span printed(const char *text, int n, size_t cap)
{
	return span_head(span_of(text, n > 0 ? (size_t)n : 0), cap - 1);
}

enum smtpc_phase smtpc_session_garbled(struct smtpc_session *s)
{
	char text[REPLY_TEXT_MAX];
	int n = snprintf(text, sizeof text, "4.5.0 next hop broke the protocol: %.*s",
			 (int)s->reply.text_n, s->reply.text);

	return smtpc_session_lost(s, printed(text, n, sizeof text));
}

static enum smtpc_phase lost_errno(struct smtpc_session *s, int rc)
{
	char text[160], peer[ADDR_TEXT_MAX] = "the LMTP socket";
	char err[64];
	const char *e = strerror_r(-rc, err, sizeof err);
	int n;

	if (s->peer.family)
		addr_text(&s->peer, peer);
	if (s->phase == SMTPC_PH_CONNECT)
		n = snprintf(text, sizeof text, "4.4.1 cannot connect to %s: %s", peer, e);
	else
		n = snprintf(text, sizeof text, "4.4.2 connection with %s lost: %s", peer,
			     rc ? e : "closed by the other side");
	return smtpc_session_lost(s, printed(text, n, sizeof text));
}

/* A reply that keeps the session from coming up; which class makes no difference: there may be
 * other hosts, and RFC 5321 3.1 and 4.5.4.1 want those to be tried. The queue decides when it has
 * been long enough. */
static enum smtpc_phase not_up(struct smtpc_session *s)
{
	struct smtpc_job *j = s->job;

	smtpc_log_lost(s, stage_of(s), reply_text(&s->reply));
	j->no_session = true;
	smtpc_job_set_open(j, MSG_LATER, stage_of(s), reply_text(&s->reply));
	return SMTPC_PH_QUIT;
}

static enum smtpc_phase hello(struct smtpc_session *s, const char *verb, enum smtpc_phase next)
{
	struct span name = s->engine->setup.hostname;

	if (buf_printf(&s->engine->out, "%s %.*s\r\n", verb, (int)name.n, name.p))
		return smtpc_session_lost(s, SPAN("4.3.1 out of memory"));
	return next;
}

static enum smtpc_phase on_greeting(struct smtpc_session *s)
{
	if (reply_class(&s->reply) != REPLY_YES)
		return not_up(s);
	return hello(s, s->lmtp ? "LHLO" : "EHLO", SMTPC_PH_EHLO);
}

static enum smtpc_phase on_ehlo(struct smtpc_session *s)
{
	enum reply_class c = reply_class(&s->reply);

	if (c == REPLY_YES) {
		if (s->reply.line_count > 1)
			ehlo_take(&s->offer, reply_line(&s->reply));
		return smtpc_mail_start(s);
	}
	memset(&s->offer, 0, sizeof s->offer);
	if (c == REPLY_NO && !s->lmtp) /* RFC 5321 3.2 */
		return hello(s, "HELO", SMTPC_PH_HELO);
	return not_up(s);
}

static enum smtpc_phase on_helo(struct smtpc_session *s)
{
	return reply_class(&s->reply) == REPLY_YES ? smtpc_mail_start(s) : not_up(s);
}

/* QUIT was answered, or a server speaks without being asked. */
static enum smtpc_phase on_unasked(struct smtpc_session *s)
{
	(void)s;
	return SMTPC_PH_CLOSED;
}

/* RFC 5321 3.8: the server closes whatever we do. */
static enum smtpc_phase on_421(struct smtpc_session *s)
{
	return smtpc_session_lost(s, reply_text(&s->reply));
}

static enum smtpc_phase bad_reply(struct smtpc_session *s, int rc)
{
	if (rc == -EMSGSIZE)
		return smtpc_session_lost(s, SPAN("4.5.0 next hop sent an endless reply"));
	return smtpc_session_garbled(s);
}

/* A reply that was there before we sent what it would have to answer. Taken for an answer it would
 * shift all that follow, and somebody's mail would count as delivered that is not. */
static enum smtpc_phase too_early(struct smtpc_session *s)
{
	if (s->phase == SMTPC_PH_CONTENT || s->phase == SMTPC_PH_DOT)
		return smtpc_mail_early_reply(s);
	return smtpc_session_garbled(s);
}

static enum smtpc_phase handle(struct smtpc_session *s, bool early)
{
	if (s->reply.code == 421)
		return on_421(s);
	if (early && s->phase != SMTPC_PH_QUIT)
		return too_early(s);
	return on_reply[s->phase](s);
}

/* True while the session lives. */
static bool parse(struct smtpc_session *s, struct span in)
{
	bool early = false;

	while (in.n) {
		if (s->phase == SMTPC_PH_IDLE)
			return enter(s, SMTPC_PH_CLOSED);
		int rc = reply_feed(&s->reply, &in);
		if (rc < 0)
			return enter(s, bad_reply(s, rc));
		if (rc == REPLY_MORE)
			break;
		if (rc == REPLY_LINE) {
			if (s->phase == SMTPC_PH_EHLO && s->reply.line_count > 1)
				ehlo_take(&s->offer, reply_line(&s->reply));
			continue;
		}
		bool commands = s->phase == SMTPC_PH_COMMANDS;
		if (!enter(s, handle(s, early)))
			return false;
		early = early || buf_len(&s->engine->out) ||
			(commands && s->phase != SMTPC_PH_COMMANDS && !s->chunk_sent);
	}
	return true;
}

/* Commands of this event go out in one write. */
static void flush(struct smtpc_session *s)
{
	struct buf *out = &s->engine->out;

	if (!buf_len(out))
		return;
	int rc = smtpc_io_write(&s->io, buf_span(out), false);
	if (rc)
		s->broken = rc;
	buf_eat(out, buf_len(out));
}

static void connected(struct smtpc_session *s)
{
	if (s->phase != SMTPC_PH_CONNECT)
		return;
	smtpc_log_connected(s);
	enter(s, SMTPC_PH_GREETING);
}

/* True while the session lives and there may be more. */
static bool read_once(struct smtpc_session *s)
{
	ssize_t n = smtpc_io_read(&s->io, s->engine->in, SMTPC_READ_BYTES);

	if (n == -EAGAIN)
		return true;
	if (n >= 0)
		connected(s);
	if (n <= 0) {
		enter(s, lost_errno(s, (int)n));
		return false;
	}
	if (!parse(s, span_of(s->engine->in, (size_t)n)))
		return false;
	flush(s);
	return true;
}

static bool readable(struct smtpc_session *s)
{
	do
		if (!read_once(s))
			return false;
	while (s->io.st.pending);
	return true;
}

/* Writing failed: what the server said before may still be there (421, or why it closes). */
static void drain(struct smtpc_session *s)
{
	for (int i = 0; i < 64; i++) {
		ssize_t n = smtpc_io_read(&s->io, s->engine->in, SMTPC_READ_BYTES);

		if (n <= 0)
			break;
		if (!parse(s, span_of(s->engine->in, (size_t)n)))
			return;
		buf_eat(&s->engine->out, buf_len(&s->engine->out));
	}
	enter(s, lost_errno(s, s->broken));
}

static bool writable(struct smtpc_session *s)
{
	int rc = smtpc_io_flush(&s->io);
	bool progress = false;

	if (rc == -EAGAIN)
		return true;
	if (rc) {
		s->broken = rc;
		return true;
	}
	if (s->phase != SMTPC_PH_CONTENT)
		return true;
	enum smtpc_phase next = smtpc_mail_content(s, &progress);
	if (next == SMTPC_PH_CONTENT && !progress)
		return true;
	return enter(s, next);
}

static void on_event(struct loop_io *ev, uint32_t events)
{
	struct smtpc_session *s = SESSION_OF(ev, io.ev);

	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !readable(s))
		return;
	if ((events & EPOLLOUT) && !s->broken && !writable(s))
		return;
	if (s->broken)
		drain(s);
}

static void on_timer(struct timer *t)
{
	struct smtpc_session *s = SESSION_OF(t, timer);
	enum smtpc_phase phase = s->phase;

	if (phase == SMTPC_PH_IDLE) {
		smtpc_session_quit_idle(s);
		return;
	}
	if (phase == SMTPC_PH_CONNECT && smtpc_io_connected(&s->io)) {
		connected(s);
		return;
	}
	if (phase == SMTPC_PH_QUIT)
		enter(s, SMTPC_PH_CLOSED);
	else if (phase == SMTPC_PH_CONNECT)
		enter(s, lost_errno(s, -ETIMEDOUT));
	else
		enter(s, smtpc_session_lost(s, SPAN("4.4.2 next hop did not answer in time")));
}

static void bind_job(struct smtpc_session *s, struct smtpc_job *j)
{
	s->job = j;
	j->session = s;
}

int smtpc_session_open(struct smtpc_engine *e, struct smtpc_job *j, const struct addr *to)
{
	int fd = to ? sock_connect(to) : sock_connect_unix(e->setup.settings.lmtp_socket);

	if (fd < 0)
		return fd;
	struct smtpc_session *s = pool_get_zero(&e->session_pool);
	if (!s) {
		struct stream st;

		stream_init(&st, fd);
		stream_close(&st);
		return -EMFILE;
	}
	int rc = smtpc_io_open(&s->io, e->loop, fd, on_event);
	if (rc) {
		pool_put(&e->session_pool, s);
		return rc;
	}
	s->engine = e;
	s->timer.fn = on_timer;
	s->idle.session = s;
	s->key = j->key;
	if (to)
		s->peer = *to;
	s->id = ++e->counter;
	s->lmtp = j->key.mailer != ROUTE_ESMTP;
	s->next = e->sessions;
	s->prev = &e->sessions;
	if (s->next)
		s->next->prev = &s->next;
	e->sessions = s;
	e->session_count++;
	SMTPC_COUNT(sessions, 1);
	SMTPC_COUNT(sessions_opened, 1);
	bind_job(s, j);
	arm(s);
	return 0;
}

void smtpc_session_reuse(struct smtpc_session *s, struct smtpc_job *j)
{
	SMTPC_COUNT(sessions_idle, -1);
	SMTPC_COUNT(sessions_reused, 1);
	s->reused = true;
	bind_job(s, j);
	s->phase = SMTPC_PH_COMMANDS;
	if (!enter(s, smtpc_mail_start(s)))
		return;
	flush(s);
	if (s->broken)
		drain(s);
}

void smtpc_session_cancel(struct smtpc_session *s)
{
	smtpc_job_set_open(s->job, MSG_LATER, stage_of(s),
			   SPAN("4.4.7 delivery attempt was cancelled"));
	enter(s, SMTPC_PH_CLOSED);
}

void smtpc_session_quit_idle(struct smtpc_session *s)
{
	struct smtpc_engine *e = s->engine;
	struct smtpc_key key = s->key;

	smtpc_pool_remove(&e->idle, &s->idle);
	SMTPC_COUNT(sessions_idle, -1);
	enter(s, SMTPC_PH_QUIT);
	if (s->broken)
		enter(s, SMTPC_PH_CLOSED);
	e->setup.up->gone(e->setup.up_ctx, &key);
}
