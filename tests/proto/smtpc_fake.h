/*
 * tests/proto/smtpc_fake.h - a next hop with a script, a qmgr that writes down results, content.
 *
 * Owner: one test; all of it runs in one loop and one thread. Include it once in a test. Script:
 *        rows of stage, part of the command (NULL: any), how often (0: always), answer. An answer
 *        is a reply without its line end; "@close" and "@reset" end the connection (also behind a
 *        reply), "@stall" says nothing.
 */
#ifndef TESTS_PROTO_SMTPC_FAKE_H
#define TESTS_PROTO_SMTPC_FAKE_H
#include "core/crc32c.h"
#include "core/envelope.h"
#include "core/log.h"
#include "core/route.h"
#include "core/sock.h"
#include "proto/smtpc_engine.h"
#include "proto/smtpc_limits.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FAKE_RULES = 8, FAKE_CONNS = 64, FAKE_RESULTS = 2048, FAKE_RCPTS = 4096 };

struct fake_rule {
	const char *stage, *match;
	int times;
	const char *answer;
};

struct fake_conn {
	struct loop_io io;
	struct fake *f;
	struct buf in;
	bool mail_ok, in_data, body_seen;
	uint64_t chunk_left;
	bool in_chunk;
	int commands, accepted_count;
	char *accepted[FAKE_RCPTS];
	uint64_t content_at;
};

struct fake_result {
	uint64_t attempt;
	unsigned conn;
	bool failure;
	uint32_t count;
	uint8_t outcome[FAKE_RCPTS], stage[FAKE_RCPTS];
	char reply[1100]; /* of the first recipient */
	char last[1100];  /* of the last */
};

struct fake {
	struct loop *loop;
	struct loop_io listen;
	struct addr addr;
	char unix_path[256];
	const char *ehlo; /* lines behind the first, each with "\n" */
	bool pipelining, lmtp, deaf;
	struct fake_rule rule[FAKE_RULES];
	int used[FAKE_RULES];
	struct fake_conn *conn[FAKE_CONNS];
	int conn_count, open_count, messages, anomalies;
	struct buf log;     /* commands, each with "\n" */
	struct buf content; /* of the last message, with the dot */
	/* qmgr's side */
	struct smtpc_engine engine;
	struct fake_result *result;
	int result_count, gone_count;
	bool others;      /* qmgr knows further hosts */
	bool close_after; /* qmgr does not want the session to be kept */
	char base[300];
	uint64_t next_ta;
};

static void fake_close(struct fake_conn *c, bool reset)
{
	int fd = c->io.fd;

	if (fd < 0)
		return;
	if (reset)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 },
			   sizeof(struct linger));
	loop_io_del(c->f->loop, &c->io);
	close(fd);
	c->f->open_count--;
}

static void fake_send(struct fake_conn *c, const char *text, size_t n)
{
	while (n && c->io.fd >= 0) {
		ssize_t k = send(c->io.fd, text, n, MSG_NOSIGNAL);

		if (k <= 0)
			break;
		text += k;
		n -= (size_t)k;
	}
}

/* Says an answer; false: the connection is over or silent. */
static bool fake_answer(struct fake_conn *c, const char *answer)
{
	const char *at = strchr(answer, '@');
	size_t n = at ? (size_t)(at - answer) : strlen(answer);

	if (n) {
		fake_send(c, answer, n);
		fake_send(c, "\r\n", 2);
	}
	if (!at)
		return true;
	if (!strcmp(at, "@close"))
		fake_close(c, false);
	else if (!strcmp(at, "@reset"))
		fake_close(c, true);
	else if (!strcmp(at, "@stall"))
		c->f->deaf = true;
	return false;
}

static const char *fake_rule_for(struct fake *f, const char *stage, const char *line)
{
	for (int i = 0; i < FAKE_RULES && f->rule[i].stage; i++) {
		struct fake_rule *r = &f->rule[i];

		if (strcmp(r->stage, stage) || (r->match && !strstr(line, r->match)) ||
		    (r->times && f->used[i] >= r->times))
			continue;
		f->used[i]++;
		return r->answer;
	}
	return NULL;
}

static bool fake_say(struct fake_conn *c, const char *stage, const char *line,
		     const char *otherwise)
{
	const char *a = fake_rule_for(c->f, stage, line);

	return fake_answer(c, a ? a : otherwise);
}

static void fake_end_transaction(struct fake_conn *c)
{
	for (int i = 0; i < c->accepted_count; i++)
		free(c->accepted[i]);
	c->accepted_count = 0;
	c->mail_ok = c->in_data = c->in_chunk = c->body_seen = false;
}

static void fake_ehlo(struct fake_conn *c, const char *line)
{
	const char *a = fake_rule_for(c->f, "ehlo", line);
	struct span rest = span_str(c->f->ehlo);
	struct buf out = { 0 };

	if (a) {
		fake_answer(c, a);
		return;
	}
	buf_printf(&out, rest.n ? "250-fake" : "250 fake");
	for (struct span w; (w = span_word(&rest, "\n")).n;)
		buf_printf(&out, "\r\n250%c%.*s", rest.n > 1 ? '-' : ' ', (int)w.n, w.p);
	buf_add(&out, "", 1);
	fake_answer(c, out.p);
	buf_release(&out);
}

static void fake_rcpt(struct fake_conn *c, const char *line)
{
	const char *a = fake_rule_for(c->f, "rcpt", line);

	if (!a && !c->mail_ok)
		a = "503 5.5.1 MAIL first";
	if ((!a || a[0] == '2') && c->accepted_count < FAKE_RCPTS)
		c->accepted[c->accepted_count++] = strdup(line);
	fake_answer(c, a ? a : "250 2.1.5 ok");
}

static void fake_message(struct fake_conn *c)
{
	struct fake *f = c->f;
	int n = c->accepted_count;

	if (c->in_chunk && !n) {
		c->in_chunk = false;
		fake_say(c, "dot", "", "503 5.5.1 no recipients");
		return;
	}
	f->messages++;
	c->in_data = c->in_chunk = false;
	if (!f->lmtp) {
		fake_say(c, "dot", "", "250 2.0.0 queued");
	} else {
		for (int i = 0; i < n; i++)
			if (!fake_say(c, "dot", c->accepted[i], "250 2.0.0 delivered"))
				break;
	}
	fake_end_transaction(c);
}

static void fake_command(struct fake_conn *c, char *line)
{
	struct fake *f = c->f;

	buf_printf(&f->log, "%s\n", line);
	if (!strncmp(line, "EHLO ", 5) || !strncmp(line, "LHLO ", 5)) {
		fake_ehlo(c, line);
	} else if (!strncmp(line, "HELO ", 5)) {
		fake_say(c, "helo", line, "250 fake");
	} else if (!strncmp(line, "MAIL FROM:", 10)) {
		const char *a = fake_rule_for(f, "mail", line);

		c->mail_ok = !a || a[0] == '2';
		fake_answer(c, a ? a : "250 2.1.0 ok");
	} else if (!strncmp(line, "RCPT TO:", 8)) {
		fake_rcpt(c, line);
	} else if (!strcmp(line, "DATA")) {
		const char *a = fake_rule_for(f, "data", line);

		if (!a)
			a = c->accepted_count ? "354 go on" : "503 5.5.1 no recipients";
		c->in_data = a[0] == '3';
		buf_eat(&f->content, buf_len(&f->content));
		fake_answer(c, a);
	} else if (!strncmp(line, "BDAT ", 5)) {
		c->in_chunk = true;
		c->chunk_left = strtoull(line + 5, NULL, 10);
		buf_eat(&f->content, buf_len(&f->content));
		if (!c->chunk_left)
			fake_message(c);
	} else if (!strcmp(line, "RSET")) {
		fake_end_transaction(c);
		fake_say(c, "rset", line, "250 2.0.0 ok");
	} else if (!strcmp(line, "QUIT")) {
		fake_say(c, "quit", line, "221 2.0.0 bye@close");
	} else {
		f->anomalies++;
		fake_answer(c, "500 5.5.1 what");
	}
}

/* Bytes of content; false: wants more. */
static bool fake_data(struct fake_conn *c)
{
	struct fake *f = c->f;
	struct span s = buf_span(&c->in);
	size_t n = s.n;
	bool done;

	if (!c->body_seen && s.n) {
		const char *a = fake_rule_for(f, "body", "");

		c->body_seen = true;
		if (a && !fake_answer(c, a))
			return false;
	}
	if (c->in_chunk) {
		n = n < c->chunk_left ? n : c->chunk_left;
		c->chunk_left -= n;
		done = !c->chunk_left;
		buf_add(&f->content, s.p, n);
	} else {
		size_t had = buf_len(&f->content);

		buf_add(&f->content, s.p, n);
		struct span all = buf_span(&f->content);
		size_t from = had > 4 ? had - 4 : 0;
		struct span tail = span_from(all, from);
		size_t at = span_find(tail, SPAN("\r\n.\r\n"));

		done = at < tail.n || span_startswith(all, SPAN(".\r\n"));
		if (done) {
			size_t end = at < tail.n ? from + at + 5 : 3;

			n = end - had;
			f->content.w = f->content.r + (uint32_t)end;
		}
	}
	buf_eat(&c->in, n);
	if (done)
		fake_message(c);
	return done;
}

static void fake_input(struct fake_conn *c)
{
	struct fake *f = c->f;

	while (c->io.fd >= 0 && !f->deaf && buf_len(&c->in)) {
		if (c->in_data || c->in_chunk) {
			if (!fake_data(c))
				return;
			continue;
		}
		struct span s = buf_span(&c->in);
		size_t nl = span_find(s, SPAN("\r\n"));
		char line[2048];

		if (nl == s.n)
			return;
		span_cstr(span_head(s, nl), line, sizeof line);
		if (span_chr(span_head(s, nl), '\n') < nl || span_chr(span_head(s, nl), '\r') < nl)
			f->anomalies++;
		buf_eat(&c->in, nl + 2);
		if (!f->pipelining && buf_len(&c->in) && strncmp(line, "BDAT ", 5))
			f->anomalies++;
		c->commands++;
		fake_command(c, line);
	}
}

static void fake_readable(struct loop_io *io, uint32_t events)
{
	struct fake_conn *c = (struct fake_conn *)((char *)io - offsetof(struct fake_conn, io));
	char *p = buf_room(&c->in, 65536);
	ssize_t n = recv(io->fd, p, 65536, MSG_DONTWAIT);

	(void)events;
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			fake_close(c, false);
		return;
	}
	buf_wrote(&c->in, (size_t)n);
	fake_input(c);
}

static void fake_accept(struct loop_io *io, uint32_t events)
{
	struct fake *f = (struct fake *)((char *)io - offsetof(struct fake, listen));
	int fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC);

	(void)events;
	if (fd < 0 || f->conn_count == FAKE_CONNS) {
		if (fd >= 0)
			close(fd);
		return;
	}
	struct fake_conn *c = calloc(1, sizeof *c);
	c->f = f;
	c->io.fn = fake_readable;
	f->conn[f->conn_count++] = c;
	f->open_count++;
	sock_nodelay(fd);
	loop_io_add(f->loop, &c->io, fd, EPOLLIN);
	fake_say(c, "connect", "", "220 fake ESMTP");
}

/* ---- qmgr */

static void fake_on_result(void *ctx, const struct smtpc_job *j, enum msg_conn conn)
{
	struct fake *f = ctx;
	struct fake_result *r = &f->result[f->result_count < FAKE_RESULTS ? f->result_count : 0];

	f->result_count++;
	*r = (struct fake_result){ .attempt = j->attempt,
				   .conn = conn,
				   .failure = j->no_session,
				   .count = j->env.rcpt_count };
	for (uint32_t i = 0; i < r->count && i < FAKE_RCPTS; i++) {
		r->outcome[i] = j->rcpt[i].outcome;
		r->stage[i] = j->rcpt[i].stage;
		span_cstr(j->rcpt[i].reply, i ? r->last : r->reply, sizeof r->reply);
	}
}

static void fake_on_gone(void *ctx, const struct smtpc_key *key)
{
	(void)key;
	((struct fake *)ctx)->gone_count++;
}

static const struct smtpc_upstream fake_upstream = { fake_on_result, fake_on_gone };

/* ---- content: a file of its own, as smtps would have written it */

static void fake_content(struct fake *f, uint64_t ta, const char *p, size_t n, uint64_t dots,
			 uint32_t flags, struct msg_deliver *d)
{
	char path[CDB_PATH_MAX], head[CDB_HEAD];
	struct cdb_head h = { .ta = ta,
			      .content_bytes = n,
			      .size_bytes = n - dots,
			      .dots = dots,
			      .flags = flags,
			      .content_crc = crc32c(0, p, n) };

	cdb_head_encode(&h, head);
	cdb_file_path(f->base, ta, path);
	*strrchr(path, '/') = 0;
	mkdir(path, 0700);
	cdb_file_path(f->base, ta, path);
	FILE *out = fopen(path, "w");
	if (!out || fwrite(head, 1, sizeof head, out) != sizeof head || fwrite(p, 1, n, out) != n ||
	    fclose(out)) {
		perror(path);
		exit(1);
	}
	d->seg = d->gen = d->off = 0;
	d->len = sizeof head + n;
}

/* ---- the whole */

static void fake_init(struct fake *f, const struct smtpc_settings *settings)
{
	struct addr lo = { .family = ADDR_IPV4, .ip = { 127, 0, 0, 1 } };

	log_set_level(0);
	memset(f, 0, sizeof *f);
	f->loop = loop_new();
	f->result = calloc(FAKE_RESULTS, sizeof *f->result);
	f->ehlo = "PIPELINING\n8BITMIME\nSIZE 0\nENHANCEDSTATUSCODES\n";
	f->pipelining = true;
	f->next_ta = 0x1000;
	snprintf(f->base, sizeof f->base, "%s/", tap_tmpdir());
	snprintf(f->unix_path, sizeof f->unix_path, "%.200s/lmtp%d", tap_tmpdir(), (int)getpid());
	int fd = sock_listen(&lo, 100);
	sock_local(fd, &f->addr);
	f->listen.fn = fake_accept;
	loop_io_add(f->loop, &f->listen, fd, EPOLLIN);
	struct smtpc_setup s = { .loop = f->loop,
				 .cdb_base = f->base,
				 .hostname = SPAN("mx.example.org"),
				 .process = 1,
				 .session_max = 100,
				 .settings = settings
						     ? *settings
						     : (struct smtpc_settings){ .remote_port = 25 },
				 .up = &fake_upstream,
				 .up_ctx = f };
	snprintf(s.settings.lmtp_socket, sizeof s.settings.lmtp_socket, "%.100s", f->unix_path);
	if (smtpc_engine_init(&f->engine, &s))
		exit(1);
}

static void fake_forget_conns(struct fake *f)
{
	for (int i = 0; i < f->conn_count; i++) {
		fake_close(f->conn[i], false);
		fake_end_transaction(f->conn[i]);
		buf_release(&f->conn[i]->in);
		free(f->conn[i]);
	}
	f->conn_count = 0;
}

/* The next hop goes away. */
__attribute__((unused)) static void fake_unlisten(struct fake *f)
{
	int fd = f->listen.fd;

	if (fd < 0)
		return;
	loop_io_del(f->loop, &f->listen);
	close(fd);
}

static void fake_free(struct fake *f)
{
	smtpc_engine_free(&f->engine);
	fake_forget_conns(f);
	fake_unlisten(f);
	unlink(f->unix_path);
	loop_free(f->loop);
	buf_release(&f->log);
	buf_release(&f->content);
	free(f->result);
}

/* Turns the loop until n results are there; false after ten seconds. */
__attribute__((unused)) static bool fake_wait(struct fake *f, int n)
{
	usec_t end = clock_now() + 10 * USEC_PER_SEC;

	while (f->result_count < n && clock_now() < end)
		loop_turn(f->loop, 50 * USEC_PER_MSEC);
	return f->result_count >= n;
}

/* Turns the loop until what() is no more than n; false after ten seconds. */
__attribute__((unused)) static bool fake_wait_open(struct fake *f, int n)
{
	usec_t end = clock_now() + 10 * USEC_PER_SEC;

	while (f->open_count > n && clock_now() < end)
		loop_turn(f->loop, 50 * USEC_PER_MSEC);
	return f->open_count <= n;
}

__attribute__((unused)) static const char *fake_log(struct fake *f)
{
	buf_add(&f->log, "", 1);
	f->log.w--;
	return buf_span(&f->log).p;
}

/* A message of `content` from e->sender to e->rcpt; answers come as results. mailer: enum
 * route_mailer. */
__attribute__((unused)) static int fake_deliver(struct fake *f, uint8_t mailer,
						const struct envelope *e, const char *content,
						size_t n, uint64_t dots, uint32_t flags)
{
	struct buf b = { 0 };
	struct envelope copy = *e;
	struct msg_deliver d = { .attempt = f->next_ta + 7,
				 .ta = f->next_ta << 8,
				 .mailer = mailer,
				 .keep = !f->close_after,
				 .others = f->others };

	f->next_ta++;
	copy.ta = d.ta;
	if (mailer != ROUTE_LMTP_LOCAL)
		d.host = f->addr;
	fake_content(f, d.ta, content, n, dots, flags, &d);
	envelope_encode(&copy, &b);
	d.envelope = buf_span(&b);
	int rc = smtpc_engine_deliver(&f->engine, &d);
	if (rc)
		diag("deliver: %d", rc);
	buf_release(&b);
	return rc;
}

#endif
