#include "proto/smtps_session.h"

#include "proto/line.h"
#include "proto/smtps_chunk.h"
#include "proto/smtps_data.h"
#include "proto/smtps_greet.h"
#include "proto/smtps_log.h"
#include "proto/smtps_proxy.h"
#include "proto/smtps_reply.h"
#include "proto/smtps_slot.h"
#include "proto/smtps_stats.h"
#include "proto/smtps_ta.h"
#include "proto/smtps_verbs.h"

#include <errno.h>
#include <stdlib.h>

enum {
	LINE_MAX_BYTES =
		2048, /* RFC 5321 4.5.3.1.4: 512, and room for the parameters of extensions */
	LINGER_USEC = 5 * USEC_PER_SEC,
	STOP_LINGER_USEC = USEC_PER_SEC,
	LINGER_BYTES = 1 << 20,
	PROXY_USEC = 30 * USEC_PER_SEC,
	PRESSED_IDLE_USEC = 10 * USEC_PER_SEC,
	PRESSED_BUSY_USEC = 60 * USEC_PER_SEC, /* within a transaction */
	FLOOD_BYTES = 1 << 20,
	COMMAND_READ_BYTES = 16384, /* one read outside of content, which may have to be kept */
	IN_KEEP_MAX = 2 * COMMAND_READ_BYTES
};

#define OF(ptr, member)                                                                            \
	((struct smtps_session *)((char *)(ptr)-offsetof(struct smtps_session, member)))

static void flush_task(struct loop_task *t);
static void timer_fired(struct timer *t);
static void timed_out(struct smtps_session *s);

struct smtps_session *smtps_session_new(struct smtps_host *h, const struct stream *own,
					const struct addr *client, unsigned flags)
{
	struct smtps_session *s = pool_get_zero(&h->sessions);

	if (!s)
		return NULL;
	s->host = h;
	s->stream = *own;
	s->client = *client;
	s->flags = flags;
	s->io.fd = -1;
	s->slots_end = &s->slots;
	s->flush.fn = flush_task;
	s->timer.fn = timer_fired;
	s->next = h->first;
	if (s->next)
		s->next->prev = &s->next;
	s->prev = &h->first;
	h->first = s;
	h->session_count++;
	s->begun = s->active = smtps_host_now(h);
	stats_add(SMTPS_ST_sessions_accepted, 1);
	stats_add(SMTPS_ST_sessions_open, 1);
	return s;
}

void smtps_session_phase(struct smtps_session *s, enum smtps_phase next)
{
	s->phase = (uint8_t)next;
}

static void watch(struct smtps_session *s, uint32_t events)
{
	if (s->watching == events)
		return;
	s->watching = events;
	s->host->ops->watch(s->host, s, events);
}

static void set_deadline(struct smtps_session *s, usec_t at)
{
	s->deadline = at;
	/* A later deadline is looked up when the timer fires. */
	if (!timer_isset(&s->timer) || s->timer.at > at)
		s->host->ops->timer_set(s->host, &s->timer, at);
}

static bool takes_content(const struct smtps_session *s)
{
	return s->input == SMTPS_IN_DATA || s->input == SMTPS_IN_CHUNK;
}

/* When content that goes on as it did must have come: so long may the client be silent, and the
 * rest is what min_data_rate gives it. */
static usec_t content_deadline(const struct smtps_session *s, usec_t silence)
{
	usec_t sec = (usec_t)(s->content_bytes / smtps_session_opt(s)->min_data_rate);

	return s->content_since + silence + sec * USEC_PER_SEC;
}

/* Something has come that leads on: a command, an answer of ours, content. */
static void extend_deadline(struct smtps_session *s)
{
	const struct smtps_options *o = smtps_session_opt(s);
	usec_t now = smtps_host_now(s->host), at = now + o->io_timeout, end = s->begun;

	s->active = now;
	if ((takes_content(s) || s->phase == SMTPS_PH_CHUNK) &&
	    at > content_deadline(s, o->io_timeout))
		at = content_deadline(s, o->io_timeout);
	end += o->session_timeout;
	set_deadline(s, at < end ? at : end);
}

void smtps_session_content(struct smtps_session *s)
{
	s->content_since = smtps_host_now(s->host);
	s->content_bytes = 0;
}

bool smtps_session_flooded(const struct smtps_session *s)
{
	return s->content_bytes > 2 * smtps_session_opt(s)->max_message_size + FLOOD_BYTES;
}

void smtps_session_start(struct smtps_session *s)
{
	struct smtps_host *h = s->host;

	extend_deadline(s);
	s->watching = EPOLLIN;
	if (smtps_conf_in_nets(&h->conf->proxy_from, &s->client)) {
		s->input = SMTPS_IN_PROXY;
		smtps_session_phase(s, SMTPS_PH_PROXY);
		if (s->deadline > s->begun + PROXY_USEC)
			set_deadline(s, s->begun + PROXY_USEC);
		return;
	}
	smtps_greet_start(s);
}

/* ---- the end */

/* What the session holds of its work, its requests and its place in qmgr's count. */
static void let_go(struct smtps_session *s)
{
	struct smtps_host *h = s->host;

	smtps_slot_drop_all(s);
	smtps_greet_drop(s);
	smtps_ta_leave(s);
	buf_release(&s->in);
	if (s->flags & SMTPS_SE_COUNTED) {
		s->flags &= ~(uint32_t)SMTPS_SE_COUNTED;
		h->up->ops->closed(h->up, &s->client);
	}
}

void smtps_session_end(struct smtps_session *s)
{
	if (smtps_session_over(s))
		return;
	let_go(s);
	smtps_session_phase(s, SMTPS_PH_LINGER);
	s->host->ops->defer(s->host, &s->flush);
}

void smtps_session_kill(struct smtps_session *s, const char *why)
{
	struct smtps_host *h = s->host;

	if (s->phase == SMTPS_PH_DEAD)
		return;
	smtps_log_end(s, why);
	let_go(s);
	smtps_session_phase(s, SMTPS_PH_DEAD);
	h->ops->timer_stop(h, &s->timer);
	h->ops->ended(h, s);
	stream_close(&s->stream);
	buf_release(&s->out);
	free(s->helo);
	free(s->name);
	free(s->later);
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	h->session_count--;
	stats_add(SMTPS_ST_sessions_open, (uint64_t)-1);
	/* The flush task gives the memory back: it may be queued already, and callers still look at
	 * the phase. */
	h->ops->defer(h, &s->flush);
}

void smtps_session_stop(struct smtps_session *s)
{
	if (s->phase == SMTPS_PH_LINGER)
		set_deadline(s, smtps_host_now(s->host) + STOP_LINGER_USEC);
	else if (!smtps_session_over(s) && !s->ta)
		smtps_reply_end(s, SMTPS_R_STOPPING);
}

void smtps_session_stop_now(struct smtps_session *s)
{
	if (s->phase == SMTPS_PH_LINGER)
		smtps_session_kill(s, "stop");
	else if (s->phase < SMTPS_PH_LINGER)
		smtps_reply_end(s, SMTPS_R_STOPPING);
}

void smtps_session_press(struct smtps_session *s)
{
	usec_t now = smtps_host_now(s->host), idle = s->ta ? PRESSED_BUSY_USEC : PRESSED_IDLE_USEC;

	/* In these it is us who make the client wait. */
	if (smtps_session_over(s) || s->phase == SMTPS_PH_WAIT || s->phase == SMTPS_PH_COMMIT ||
	    s->slot_count)
		return;
	if (s->active + idle <= now ||
	    (takes_content(s) && content_deadline(s, PRESSED_BUSY_USEC) <= now))
		timed_out(s);
}

/* ---- writing */

void smtps_session_put(struct smtps_session *s, struct span bytes)
{
	if (s->phase == SMTPS_PH_DEAD)
		return;
	if (buf_add_span(&s->out, bytes)) {
		smtps_session_kill(s, "memory");
		return;
	}
	s->host->ops->defer(s->host, &s->flush);
}

/* All that was said has left, nothing more will be. Closing while the client still sends would make
 * a reset that eats our last replies on its side, so it is read to its end. */
static void linger(struct smtps_session *s)
{
	if ((s->flags & SMTPS_SE_EOF) || stream_shut(&s->stream)) {
		smtps_session_kill(s, "end");
		return;
	}
	watch(s, EPOLLIN);
	set_deadline(s, smtps_host_now(s->host) +
				(s->host->stopping ? STOP_LINGER_USEC : LINGER_USEC));
}

static void flush(struct smtps_session *s)
{
	while (buf_len(&s->out)) {
		ssize_t n = stream_write(&s->stream, buf_span(&s->out));

		if (n == -EAGAIN) {
			s->flags |= SMTPS_SE_BLOCKED;
			watch(s, s->stream.want);
			return;
		}
		if (n < 0) {
			smtps_session_kill(s, "write");
			return;
		}
		buf_eat(&s->out, (size_t)n);
	}
	buf_release(&s->out);
	if (s->flags & SMTPS_SE_BLOCKED) {
		s->flags &= ~(uint32_t)SMTPS_SE_BLOCKED;
		watch(s, EPOLLIN);
	}
	if (s->phase == SMTPS_PH_LINGER)
		linger(s);
}

static void flush_task(struct loop_task *t)
{
	struct smtps_session *s = OF(t, flush);

	if (s->phase == SMTPS_PH_DEAD)
		pool_put(&s->host->sessions, s);
	else if (!(s->flags & SMTPS_SE_BLOCKED))
		flush(s);
}

/* ---- reading */

static void bad_line(struct smtps_session *s, struct span line, enum smtps_reply r)
{
	s->host->command = line;
	smtps_verbs_bad(s, r);
}

/* One command line. False: no more for now. */
static bool take_line(struct smtps_session *s, struct span *in)
{
	struct span rest = *in, line;

	switch (line_next(&rest, LINE_MAX_BYTES, &line)) {
	case LINE_MORE:
		return false;
	case LINE_BARE:
		/* Somebody may have hidden a command in there: no guessing where the next line
		 * begins. */
		smtps_slot_settle(s);
		if (s->slot_count)
			return false;
		stats_add(SMTPS_ST_commands_bad, 1);
		smtps_log_command(s, span_head(*in, span_chr(*in, '\n')), SMTPS_R_BARE);
		smtps_reply_end(s, SMTPS_R_BARE);
		return true;
	case LINE_LONG:
		if (s->slot_count)
			return false;
		s->input = SMTPS_IN_SKIP;
		return true;
	case LINE_NUL:
		if (s->slot_count)
			return false;
		*in = rest;
		bad_line(s, line, SMTPS_R_NUL);
		return true;
	case LINE_OK:
		break;
	}
	if (!smtps_verbs_run(s, line))
		return false;
	stats_add(SMTPS_ST_commands, 1);
	*in = rest;
	return true;
}

static bool take_some(struct smtps_session *s, struct span *in)
{
	switch ((enum smtps_input)s->input) {
	case SMTPS_IN_LINE:
		return take_line(s, in);
	case SMTPS_IN_SKIP:
		if (!line_skip(in))
			return false;
		s->input = SMTPS_IN_LINE;
		bad_line(s, SPAN(""), SMTPS_R_LINE_LONG);
		return true;
	case SMTPS_IN_DATA:
		return smtps_data_take(s, in);
	case SMTPS_IN_CHUNK:
		return smtps_chunk_take(s, in);
	case SMTPS_IN_PROXY:
		return smtps_proxy_take(s, in);
	}
	return false;
}

static bool waits(const struct smtps_session *s)
{
	return s->phase == SMTPS_PH_WAIT || s->phase == SMTPS_PH_COMMIT ||
	       (s->flags & SMTPS_SE_BLOCKED);
}

static bool wants_input(const struct smtps_session *s)
{
	return !waits(s) && !(s->flags & SMTPS_SE_EOF) && buf_len(&s->in) < IN_KEEP_MAX;
}

/* Everything that can be done now. */
static void work(struct smtps_session *s, struct span *in)
{
	for (;;) {
		smtps_slot_settle(s);
		if (smtps_session_over(s))
			return;
		if (waits(s) || !take_some(s, in))
			break;
		if (!smtps_session_over(s))
			extend_deadline(s);
	}
	if (smtps_session_over(s) || waits(s) || s->slot_count)
		return;
	if (s->host->stopping && !s->ta && s->phase > SMTPS_PH_WAIT)
		smtps_reply_end(s, SMTPS_R_STOPPING);
	else if (s->flags & SMTPS_SE_EOF)
		smtps_session_end(s);
}

/* Works on what is kept and on fresh, and keeps the rest. */
static void feed(struct smtps_session *s, struct span fresh)
{
	bool kept = buf_len(&s->in) > 0;
	struct span in = fresh;

	if (s->flags & SMTPS_SE_RUNNING)
		return;
	if (kept) {
		if (buf_add_span(&s->in, fresh)) {
			smtps_session_kill(s, "memory");
			return;
		}
		in = buf_span(&s->in);
	}
	size_t before = in.n;
	s->flags |= SMTPS_SE_RUNNING;
	work(s, &in);
	s->flags &= ~(uint32_t)SMTPS_SE_RUNNING;
	if (smtps_session_over(s))
		return;
	if (kept)
		buf_eat(&s->in, before - in.n);
	else if (in.n && buf_add_span(&s->in, in))
		smtps_session_kill(s, "memory");
	if (!buf_len(&s->in))
		buf_release(&s->in);
	if (wants_input(s) && !s->watching)
		watch(s, EPOLLIN);
}

void smtps_session_run(struct smtps_session *s)
{
	if (smtps_session_over(s))
		return;
	extend_deadline(s);
	feed(s, span_of("", 0));
}

static void read_to_the_end(struct smtps_session *s)
{
	ssize_t n = stream_read(&s->stream, s->host->input, SMTPS_INPUT_BYTES);

	if (n == -EAGAIN)
		return;
	if (n <= 0 || (s->lingered += (uint32_t)n) > LINGER_BYTES)
		smtps_session_kill(s, "end");
}

static void readable(struct smtps_session *s)
{
	bool content = takes_content(s);
	ssize_t n = stream_read(&s->stream, s->host->input,
				content ? SMTPS_INPUT_BYTES : COMMAND_READ_BYTES);

	if (n == -EAGAIN)
		return;
	if (n < 0) {
		smtps_session_kill(s, "read");
		return;
	}
	if (n == 0) {
		s->flags |= SMTPS_SE_EOF;
		watch(s, 0);
	} else if (s->input == SMTPS_IN_LINE && !buf_len(&s->in)) {
		/* The time of a line runs from its first byte, however slowly the others come. */
		extend_deadline(s);
	}
	feed(s, span_of(s->host->input, (size_t)n));
	if (content && !smtps_session_over(s) && takes_content(s))
		extend_deadline(s);
}

void smtps_session_ready(struct smtps_session *s, uint32_t events)
{
	bool in = events & EPOLLIN;

	if (s->phase == SMTPS_PH_DEAD)
		return;
	if (s->flags & SMTPS_SE_BLOCKED) {
		if (events & (EPOLLERR | EPOLLHUP)) {
			smtps_session_kill(s, "gone");
			return;
		}
		flush(s);
		if (!(s->flags & SMTPS_SE_BLOCKED))
			smtps_session_run(s);
		return;
	}
	if (s->phase == SMTPS_PH_LINGER) {
		if (!buf_len(&s->out))
			read_to_the_end(s);
	} else if (in && wants_input(s)) {
		readable(s);
	} else if (events & (EPOLLERR | EPOLLHUP)) {
		/* Reported for as long as it is watched. */
		smtps_session_kill(s, "gone");
	} else if (in) {
		s->flags |= s->phase == SMTPS_PH_WAIT ? SMTPS_SE_EARLY : 0;
		watch(s, 0);
	}
}

bool smtps_session_peek(struct smtps_session *s)
{
	char *to = buf_room(&s->in, 512);
	ssize_t n = to ? stream_read(&s->stream, to, 512) : -ENOMEM;

	if (n > 0)
		buf_wrote(&s->in, (size_t)n);
	else if (n == 0)
		s->flags |= SMTPS_SE_EOF;
	if (!buf_len(&s->in))
		buf_release(&s->in);
	return n > 0;
}

/* ---- time */

static void timed_out(struct smtps_session *s)
{
	usec_t lasts = smtps_host_now(s->host) - s->begun;
	enum smtps_reply r = lasts < smtps_session_opt(s)->session_timeout ? SMTPS_R_TIMEOUT
									   : SMTPS_R_LIMIT_TIME;

	stats_add(SMTPS_ST_sessions_timed_out, 1);
	smtps_log_command(s, SPAN(""), r);
	if (s->flags & SMTPS_SE_BLOCKED)
		smtps_session_kill(s, "timeout");
	else
		smtps_reply_end(s, r);
}

static void timer_fired(struct timer *t)
{
	struct smtps_session *s = OF(t, timer);
	usec_t now = smtps_host_now(s->host);

	if (now < s->deadline) {
		set_deadline(s, s->deadline);
		return;
	}
	if (s->phase == SMTPS_PH_LINGER)
		smtps_session_kill(s, "linger");
	else if (s->phase == SMTPS_PH_COMMIT || s->slot_count ||
		 (s->phase == SMTPS_PH_WAIT && !s->greet))
		/* It is us who make the client wait; that has limits of its own. */
		set_deadline(s, now + smtps_session_opt(s)->io_timeout);
	else if (s->phase == SMTPS_PH_WAIT)
		smtps_greet_timer(s);
	else
		timed_out(s);
}
