/*
 * tests/proto/smtps_fake.h - surroundings for the real session code: a clock that stands still, a
 * stream in memory, qmgr and smar that answer by rules, a content database in a temporary folder.
 *
 * Owner: one test program; functions are static.
 */
#ifndef TESTS_PROTO_SMTPS_FAKE_H
#define TESTS_PROTO_SMTPS_FAKE_H
#include "core/cdb_read.h"
#include "core/err.h"
#include "core/members.h"
#include "core/route.h"
#include "proto/smtps_greet.h"
#include "proto/smtps_session.h"
#include "proto/smtps_stats.h"
#include "proto/smtps_upstream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FAKE_RULES_MAX = 64, FAKE_WAITING_MAX = 512 };

/* What smar says when `what` (client, mail, rcpt, alias) and the address fit. alias: text is its
 * members, "a@x b@y=owner-l@x". */
struct fake_rule {
	char what[16], pattern[128], text[256];
	unsigned action;
	bool quick;
};

struct fake {
	struct smtps_host host;
	struct smtps_upstream up;
	struct smtps_conf *conf;
	struct conf *file;
	struct loop *loop; /* of the content writer only */
	char dir[200];
	usec_t now;
	struct timer_wheel wheel;
	struct loop_task *tasks, **tasks_end;
	/* The stream. */
	struct smtps_session *s;
	struct buf to_server, to_client;
	bool client_eof, server_shut, closed, client_reset;
	size_t write_max; /* bytes that one write takes, 0: all */
	bool write_full;  /* the next write says EAGAIN */
	uint32_t watching;
	/* qmgr and smar. */
	struct fake_rule rule[FAKE_RULES_MAX];
	unsigned rules;
	struct smtps_request *waiting[FAKE_WAITING_MAX];
	unsigned wait_count;
	bool hold, silent; /* keep answers back; never answer */
	char client_name[128];
	unsigned open_code, commit_code;
	char open_text[256], commit_text[256];
	bool no_ids;
	uint64_t next_id;
	int open_count; /* sessions that qmgr thinks are open */
	/* The last committed message. */
	unsigned commits;
	struct cdb_ref ref;
	uint64_t ta;
	struct buf envelope;
};

#define FAKE_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline struct fake *fake_of(struct smtps_host *h)
{
	return FAKE_OF(h, struct fake, host);
}

/* ---- clock, timers, tasks */

static inline usec_t fake_now(struct smtps_host *h)
{
	return fake_of(h)->now;
}

static inline usec_t fake_wall(struct smtps_host *h)
{
	return fake_of(h)->now + 1700000000ll * USEC_PER_SEC;
}

static inline void fake_timer_set(struct smtps_host *h, struct timer *t, usec_t at)
{
	timer_set(&fake_of(h)->wheel, t, at);
}

static inline void fake_timer_stop(struct smtps_host *h, struct timer *t)
{
	timer_stop(&fake_of(h)->wheel, t);
}

static inline void fake_defer(struct smtps_host *h, struct loop_task *t)
{
	struct fake *f = fake_of(h);

	if (t->queued)
		return;
	t->queued = true;
	t->next = NULL;
	*f->tasks_end = t;
	f->tasks_end = &t->next;
}

static inline void fake_run_tasks(struct fake *f)
{
	struct loop_task *t;

	while ((t = f->tasks)) {
		f->tasks = t->next;
		if (!f->tasks)
			f->tasks_end = &f->tasks;
		t->queued = false;
		t->fn(t);
	}
}

static inline void fake_watch(struct smtps_host *h, struct smtps_session *s, uint32_t events)
{
	(void)s;
	fake_of(h)->watching = events;
}

static inline void fake_ended(struct smtps_host *h, struct smtps_session *s)
{
	(void)s;
	fake_of(h)->s = NULL;
}

static const struct smtps_host_ops fake_host_ops = { .now = fake_now,
						     .wall = fake_wall,
						     .timer_set = fake_timer_set,
						     .timer_stop = fake_timer_stop,
						     .defer = fake_defer,
						     .watch = fake_watch,
						     .ended = fake_ended };

/* ---- the stream */

static inline ssize_t fake_read(struct stream *st, void *dst, size_t n)
{
	struct fake *f = st->state;
	size_t have = buf_len(&f->to_server);

	if (f->client_reset)
		return -ECONNRESET;
	if (!have) {
		st->want = EPOLLIN;
		return f->client_eof ? 0 : -EAGAIN;
	}
	n = n < have ? n : have;
	memcpy(dst, buf_span(&f->to_server).p, n);
	buf_eat(&f->to_server, n);
	return (ssize_t)n;
}

static inline ssize_t fake_writev(struct stream *st, const struct iovec *v, int count, bool more)
{
	struct fake *f = st->state;
	size_t n = v->iov_len;

	(void)count;
	(void)more;
	if (f->client_reset)
		return -EPIPE;
	if (f->write_full) {
		st->want = EPOLLOUT;
		f->write_full = false;
		return -EAGAIN;
	}
	if (f->write_max && n > f->write_max)
		n = f->write_max;
	f->write_full = f->write_max != 0;
	if (buf_add(&f->to_client, v->iov_base, n))
		panic("no memory");
	return (ssize_t)n;
}

static inline int fake_shut(struct stream *st)
{
	((struct fake *)st->state)->server_shut = true;
	return 0;
}

static inline void fake_close(struct stream *st)
{
	((struct fake *)st->state)->closed = true;
}

static const struct stream_ops fake_stream_ops = {
	.read = fake_read, .writev = fake_writev, .shut = fake_shut, .close = fake_close
};

/* ---- qmgr and smar */

/* '*' stands for any bytes. */
static inline bool fake_match(const char *pattern, struct span s)
{
	if (!*pattern)
		return !s.n;
	if (*pattern == '*') {
		for (size_t i = 0; i <= s.n; i++)
			if (fake_match(pattern + 1, span_from(s, i)))
				return true;
		return false;
	}
	return s.n && *pattern == s.p[0] && fake_match(pattern + 1, span_from(s, 1));
}

static inline struct fake *fake_up(struct smtps_upstream *u)
{
	return FAKE_OF(u, struct fake, up);
}

static inline int fake_wait(struct fake *f, struct smtps_request *r)
{
	if (f->wait_count == FAKE_WAITING_MAX)
		return -ENOMEM;
	r->asked = f->now;
	r->prev = &r->next;
	f->waiting[f->wait_count++] = r;
	return 0;
}

static inline int fake_ask(struct smtps_upstream *u, struct smtps_ask *a)
{
	return fake_wait(fake_up(u), &a->r);
}

static inline int fake_open(struct smtps_upstream *u, struct smtps_open *o)
{
	o->r.kind = SMTPS_CONN_OPEN;
	return fake_wait(fake_up(u), &o->r);
}

static inline int fake_commit(struct smtps_upstream *u, struct smtps_commit *c)
{
	c->r.kind = SMTPS_COMMIT;
	return fake_wait(fake_up(u), &c->r);
}

static inline void fake_forget(struct smtps_upstream *u, struct smtps_request *r)
{
	struct fake *f = fake_up(u);
	unsigned n = 0;

	for (unsigned i = 0; i < f->wait_count; i++)
		if (f->waiting[i] != r)
			f->waiting[n++] = f->waiting[i];
	f->wait_count = n;
	r->prev = NULL;
}

static inline void fake_closed(struct smtps_upstream *u, const struct addr *client)
{
	(void)client;
	fake_up(u)->open_count--;
}

static inline uint64_t fake_id(struct smtps_upstream *u)
{
	struct fake *f = fake_up(u);

	return f->no_ids ? 0 : f->next_id++ << 8;
}

static const struct smtps_upstream_ops fake_up_ops = { .ask = fake_ask,
						       .open = fake_open,
						       .commit = fake_commit,
						       .forget = fake_forget,
						       .closed = fake_closed,
						       .id = fake_id };

static inline void fake_part(struct buf *b, uint8_t type, struct span text, uint32_t route,
			     uint16_t owner)
{
	struct members_item m = { .type = type, .text = text, .route = route, .owner = owner };

	if (members_add(b, &m))
		panic("no memory");
}

/* Hands out the members of an alias, in two parts; returns how many. `*N` in front: the last one so
 * often, with numbers. */
static inline uint32_t fake_members(struct smtps_ask *a, struct span text, struct span route)
{
	struct buf b = { 0 };
	struct span word;
	uint16_t owners = 0;
	uint32_t count = 0;
	uint64_t times = 1;

	fake_part(&b, MEMBERS_ROUTE, route, 0, 0);
	if (a->members(a, 0, buf_span(&b)))
		panic("part 0 is refused");
	b.r = b.w = 0;
	if (text.n && text.p[0] == '*')
		span_u64(span_from(span_word(&text, " "), 1), UINT32_MAX, &times);
	while ((word = span_word(&text, " ")).n) {
		size_t eq = span_chr(word, '=');
		char name[300];

		if (eq < word.n) {
			fake_part(&b, MEMBERS_OWNER, span_from(word, eq + 1), 0, 0);
			owners++;
		}
		for (uint64_t i = 0; i < times; i++, count++) {
			snprintf(name, sizeof name, "%.0u%.*s", (unsigned)i, (int)eq, word.p);
			fake_part(&b, MEMBERS_TO, span_str(name), 0, eq < word.n ? owners : 0);
		}
	}
	if (a->members(a, 1, buf_span(&b)))
		panic("part 1 is refused");
	buf_release(&b);
	return count;
}

static inline void fake_verdict(struct fake *f, struct smtps_ask *a)
{
	static const char *const whats[] = { "client", "mail", "rcpt" };
	struct span subject = a->r.kind == SMTPS_ASK_RCPT   ? a->rcpt
			      : a->r.kind == SMTPS_ASK_MAIL ? a->sender
							    : SPAN("");
	struct route r = { .mailer = ROUTE_ESMTP,
			   .count = 1,
			   .host[0] = { .family = ADDR_IPV4, .ip = { 192, 0, 2, 9 } } };
	char route[ROUTE_BYTES_MAX];
	struct msg_verdict v = {
		.action = MSG_ACT_CONT, .text = SPAN(""), .name = SPAN(""), .route = SPAN("")
	};

	for (unsigned i = 0; i < f->rules; i++) {
		const struct fake_rule *u = &f->rule[i];

		if (strcmp(u->what, whats[a->r.kind]) || !fake_match(u->pattern, subject))
			continue;
		v.action = (uint8_t)u->action;
		v.quick = u->quick;
		v.text = span_str(u->text);
		break;
	}
	if (a->r.kind == SMTPS_ASK_CLIENT)
		v.name = span_str(f->client_name);
	if (a->r.kind == SMTPS_ASK_RCPT && v.action != MSG_ACT_ERROR)
		v.route = span_of(route, route_encode(&r, route));
	for (unsigned i = 0; i < f->rules && v.route.n; i++)
		if (!strcmp(f->rule[i].what, "alias") && fake_match(f->rule[i].pattern, subject)) {
			v.members = fake_members(a, span_str(f->rule[i].text), v.route);
			v.route = SPAN("");
		}
	a->done(a, &v);
}

static inline void fake_answer_commit(struct fake *f, struct smtps_commit *c)
{
	struct msg_commit_done d = { c->ta, (uint16_t)f->commit_code, span_str(f->commit_text) };

	if (!f->commit_code) {
		f->commits++;
		f->ref = c->ref;
		f->ta = c->ta;
		buf_eat(&f->envelope, buf_len(&f->envelope));
		if (buf_add_span(&f->envelope, buf_span(&c->envelope)))
			panic("no memory");
	}
	c->done(c, &d);
}

/* Answers waiting request number i; late: as if its time were over. */
static inline void fake_answer(struct fake *f, unsigned i, bool late)
{
	struct smtps_request *r = f->waiting[i];

	fake_forget(&f->up, r);
	if (r->kind <= SMTPS_ASK_RCPT) {
		struct smtps_ask *a = FAKE_OF(r, struct smtps_ask, r);

		if (late)
			a->done(a, NULL);
		else
			fake_verdict(f, a);
	} else if (r->kind == SMTPS_CONN_OPEN) {
		struct smtps_open *o = FAKE_OF(r, struct smtps_open, r);
		struct msg_conn_verdict v = { (uint16_t)f->open_code, span_str(f->open_text) };

		f->open_count += !late && !f->open_code;
		o->done(o, late ? NULL : &v);
	} else {
		struct smtps_commit *c = FAKE_OF(r, struct smtps_commit, r);

		if (late)
			c->done(c, NULL);
		else
			fake_answer_commit(f, c);
	}
}

/* ---- together */

/* Until nothing happens any more. */
static inline void fake_pump(struct fake *f)
{
	for (bool more = true; more;) {
		more = false;
		fake_run_tasks(f);
		if (f->wait_count && !f->hold && !f->silent) {
			fake_answer(f, 0, false);
			more = true;
		}
		if (!f->s)
			continue;
		bool in = buf_len(&f->to_server) || f->client_eof || f->client_reset;
		if (f->client_reset) {
			smtps_session_ready(f->s, EPOLLIN | EPOLLERR | EPOLLHUP);
			more = true;
		} else if ((f->watching & EPOLLOUT) || ((f->watching & EPOLLIN) && in)) {
			smtps_session_ready(f->s, f->watching);
			more = true;
		}
	}
}

static inline void fake_time(struct fake *f, usec_t usec)
{
	f->now += usec;
	timer_run(&f->wheel, f->now);
	fake_pump(f);
}

/* A folder with those of the content database; section: options inside smtps { }. False: the
 * options are wrong. */
static inline bool fake_init(struct fake *f, const char *dir, const char *section)
{
	char text[4096], path[300];
	struct smtps_options o;
	struct conf_global g;
	int error;

	memset(f, 0, sizeof *f);
	snprintf(f->dir, sizeof f->dir, "%s/", dir);
	int n = snprintf(text, sizeof text,
			 "hostname = \"gw.test\";\nCDB_base_directory = \"%s\";\nsmtps {\n%s\n}\n",
			 f->dir, section);
	f->file = conf_new();
	if (conf_read_text(f->file, "dialogue", text, (size_t)n) ||
	    conf_apply(f->file, &smtps_options_component, NULL, &o, &g)) {
		conf_print_report(f->file, stderr);
		conf_free(f->file);
		return false;
	}
	for (unsigned i = 0; i < 16; i++) {
		snprintf(path, sizeof path, "%s%X", f->dir, i);
		if (mkdir(path, 0755) && errno != EEXIST)
			panic("mkdir %s: %s", path, strerror(errno));
	}
	f->conf = smtps_conf_new(&o, &g, f->file);
	f->host.ops = &fake_host_ops;
	f->host.up = &f->up;
	f->up.ops = &fake_up_ops;
	f->now = 1000 * (usec_t)USEC_PER_SEC;
	f->next_id = 0x1000;
	f->tasks_end = &f->tasks;
	timer_wheel_init(&f->wheel, f->now);
	f->loop = loop_new();
	if (!f->loop || smtps_host_init(&f->host, f->conf, 100))
		panic("no memory");
	struct cdb_writer_setup s = { .base = f->conf->g.cdb_base_directory,
				      .segment_bytes = 1 << 20,
				      .gid = (gid_t)-1,
				      .notify = f->loop };
	f->host.cdb = cdb_writer_new(&s, &error);
	if (!f->host.cdb)
		panic("content database in %s: %s", f->dir, strerror(-error));
	return true;
}

/* A client comes. */
static inline void fake_connect(struct fake *f, const char *ip, bool local)
{
	struct stream st = { .ops = &fake_stream_ops, .state = f, .fd = -1 };
	struct addr client;

	if (addr_parse(span_str(ip), &client))
		panic("address %s", ip);
	f->s = smtps_session_new(&f->host, &st, &client, local ? SMTPS_SE_LOCAL : 0);
	f->watching = EPOLLIN;
	smtps_session_start(f->s);
	fake_pump(f);
}

/* The client is gone and all is forgotten; the host stays. */
static inline void fake_disconnect(struct fake *f)
{
	if (f->s)
		smtps_session_kill(f->s, "test");
	f->hold = f->silent = false;
	fake_pump(f);
	buf_release(&f->to_server);
	buf_release(&f->to_client);
	f->client_eof = f->client_reset = f->server_shut = f->closed = f->write_full = false;
}

static inline void fake_free(struct fake *f)
{
	fake_disconnect(f);
	cdb_writer_free(f->host.cdb);
	buf_release(&f->envelope);
	smtps_host_free(&f->host);
	smtps_conf_put(f->conf);
	loop_free(f->loop);
}

/* The stored content of the last commit without our Received, and that; malloc'd, NULL when it
 * cannot be read. */
static inline char *fake_content(struct fake *f, struct cdb_head *head, char **received)
{
	struct cdb_reader *r = cdb_reader_new(f->conf->g.cdb_base_directory, 4);
	struct cdb_record rec;
	char *all = NULL;

	if (!cdb_open_record(r, &f->ref, f->ta, &rec)) {
		size_t n = rec.head.content_bytes, ours = rec.head.received_bytes;

		all = xcalloc(1, n + 1);
		*head = rec.head;
		if (ours > n)
			panic("content of %zu bytes, of which ours %zu", n, ours);
		if (cdb_read(&rec, 0, all, n) != (ssize_t)n)
			panic("content cannot be read");
		*received = strndup(all, ours);
		memmove(all, all + ours, n - ours + 1);
		cdb_close_record(r, &rec);
	}
	cdb_reader_free(r);
	return all;
}

#endif
