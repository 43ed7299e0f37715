#include "tests/queue/sim_peers.h"

#include "core/cdb_write.h"
#include "core/err.h"
#include "core/ids.h"
#include "core/link.h"
#include "core/sock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS_MAX = 4, COMMITS_MAX = 1 << 16 };

struct sim_attempt *sim_attempts;
struct sim_hooks sim_on;

struct commit {
	uint64_t ta;
	int code; /* -1: no answer yet */
	struct cdb_ref ref;
};

static struct {
	struct loop *loop;
	unsigned workers;
	struct cdb_writer *writer;
	struct cdb_reader *reader;
	struct link *smtps, *smtpc[WORKERS_MAX];
	struct link_hello smtpc_hello;
	struct link_server *smar;
	uint64_t ids, ids_end;
	struct commit *commits;
	unsigned commit_count;
	int verdict; /* of the last conn_open, -1: none yet */
} peers;

/* ---- smtps */

static struct commit *commit_of(uint64_t ta)
{
	for (unsigned i = peers.commit_count; i-- > 0;)
		if (peers.commits[i].ta == ta)
			return &peers.commits[i];
	return NULL;
}

static void smtps_message(struct link *k, unsigned number, uint64_t req, struct span body)
{
	union {
		struct msg_id_block ids;
		struct msg_commit_done done;
		struct msg_conn_verdict verdict;
		struct msg_seg_free free;
		struct msg_seg_bad bad;
	} m;

	(void)k;
	(void)req;
	if (number == MSG_id_block && !msg_id_block_decode(body, &m.ids)) {
		peers.ids = m.ids.first;
		peers.ids_end = m.ids.first + m.ids.count;
	} else if (number == MSG_commit_done && !msg_commit_done_decode(body, &m.done)) {
		struct commit *c = commit_of(m.done.ta);

		sim_ok(c && c->code < 0, "an answer to a commit that nobody asked for");
		if (c)
			c->code = m.done.code;
		if (c && c->code)
			cdb_kill(peers.writer, &c->ref, c->ta);
		if (sim_on.committed)
			sim_on.committed(m.done.ta, m.done.code);
	} else if (number == MSG_conn_verdict && !msg_conn_verdict_decode(body, &m.verdict)) {
		peers.verdict = m.verdict.code;
	} else if (number == MSG_seg_free && !msg_seg_free_decode(body, &m.free)) {
		cdb_segment_free(peers.writer, m.free.seg, m.free.gen);
	} else if (number == MSG_seg_bad && !msg_seg_bad_decode(body, &m.bad)) {
		cdb_segment_seal(peers.writer, m.bad.seg, m.bad.gen);
	}
}

static void segment(void *ctx, uint64_t seg, uint64_t gen, uint64_t bytes_or_end, bool sealed)
{
	(void)ctx;
	if (!sealed)
		link_put(peers.smtps, 0, seg_open,
			 (&(struct msg_seg_open){ seg, gen, bytes_or_end }));
	else
		link_put(peers.smtps, 0, seg_seal,
			 (&(struct msg_seg_seal){ seg, gen, bytes_or_end }));
}

static void smtps_up(struct link *k, const struct link_hello *peer)
{
	(void)peer;
	cdb_tell_segments(peers.writer);
	link_put(k, 1, id_lease, (&(struct msg_id_lease){ ID_BLOCK_COUNT }));
	link_put(k, 0, state_end, (&(struct msg_state_end){ 0 }));
}

static const struct link_ops smtps_ops = { .up = smtps_up, .message = smtps_message };

uint64_t sim_next_id(void)
{
	if (peers.ids == peers.ids_end) {
		link_put(peers.smtps, 1, id_lease, (&(struct msg_id_lease){ ID_BLOCK_COUNT }));
		while (peers.ids == peers.ids_end && sim_step(INT64_MAX))
			;
	}
	return id_make(peers.ids++, 1);
}

static struct env_rcpt *env_rcpts(const struct sim_message *m, struct envelope *e, char *bytes)
{
	struct env_rcpt *r = xcalloc(m->count, sizeof *r);
	const struct route *last = NULL;

	for (unsigned i = 0; i < m->count; i++) {
		r[i] = (struct env_rcpt){ .addr = span_str(m->rcpt[i].addr),
					  .orcpt = span_str(m->rcpt[i].orcpt ? m->rcpt[i].orcpt
									     : ""),
					  .idx = i,
					  .notify = m->rcpt[i].notify,
					  .route = ENV_NO_ROUTE };
		if (m->rcpt[i].route && m->rcpt[i].route != last) {
			last = m->rcpt[i].route;
			e->route[e->route_count++] = span_of(bytes, route_encode(last, bytes));
			bytes += ROUTE_BYTES_MAX;
		}
		if (m->rcpt[i].route)
			r[i].route = e->route_count - 1;
	}
	return r;
}

static unsigned routes_of(const struct sim_message *m)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->count; i++)
		n += m->rcpt[i].route && (!i || m->rcpt[i].route != m->rcpt[i - 1].route);
	return n;
}

static void encode(const struct sim_message *m, uint64_t ta, struct buf *out)
{
	unsigned routes = routes_of(m);
	struct envelope e = { .ta = ta,
			      .wall_arrival = sim_clock_wall(),
			      .sender = span_str(m->sender),
			      .envid = span_str(m->envid ? m->envid : ""),
			      .ret = m->ret,
			      .flags = m->flags,
			      .rcpt_count = m->count };
	char *bytes = xmalloc((size_t)(routes + 1) * ROUTE_BYTES_MAX);

	addr_parse(span_str(m->client ? m->client : "192.0.2.1"), &e.client);
	e.route = xcalloc(routes + 1, sizeof *e.route);
	e.rcpt = env_rcpts(m, &e, bytes);
	if (envelope_encode(&e, out))
		panic("sim: envelope");
	free(e.rcpt);
	free(e.route);
	free(bytes);
}

static int write_file(uint64_t ta, struct cdb_head *h, struct span content, struct span envelope,
		      struct cdb_ref *ref)
{
	struct cdb_file f;
	int rc = cdb_file_begin(peers.writer, ta, &f);

	if (!rc)
		rc = cdb_file_add(&f, content);
	if (rc) {
		cdb_file_abort(peers.writer, &f);
		return rc;
	}
	return cdb_file_finish(peers.writer, &f, h, envelope, ref);
}

static int write_record(const struct sim_message *m, uint64_t ta, struct span envelope,
			struct cdb_ref *ref)
{
	struct buf b = { 0 };
	struct cdb_head h = { .ta = ta };
	int rc = -EAGAIN;

	buf_printf(&b, "Received: by gw.sim.test\r\n");
	h.received_bytes = (uint32_t)buf_len(&b);
	buf_printf(&b, "From: <%s>\r\nSubject: number %llx\r\n", m->sender, (unsigned long long)ta);
	h.header_bytes = (uint32_t)buf_len(&b);
	buf_printf(&b, "\r\n");
	do {
		buf_printf(&b, "a line of the body of %llx, long enough to fill some room\r\n",
			   (unsigned long long)ta);
	} while (buf_len(&b) < m->size);
	h.content_bytes = h.size_bytes = buf_len(&b);
	struct iovec v = { b.p + b.r, buf_len(&b) };
	/* Twice: the helper may be making the next segment. */
	for (unsigned i = 0; i < 2 && rc == -EAGAIN && !m->own_file; i++) {
		rc = cdb_append(peers.writer, &h, &v, 1, envelope, ref);
		if (rc == -EAGAIN)
			sim_settle();
	}
	if (rc == -EAGAIN)
		rc = write_file(ta, &h, buf_span(&b), envelope, ref);
	buf_release(&b);
	return rc;
}

static int ask_commit(const struct commit *c, struct span envelope)
{
	struct msg_commit out = { .ta = c->ta,
				  .seg = c->ref.seg,
				  .gen = c->ref.gen,
				  .off = c->ref.off,
				  .len = c->ref.len,
				  .envelope = envelope };

	return link_put(peers.smtps, c->ta, commit, &out);
}

uint64_t sim_commit(const struct sim_message *m)
{
	struct buf envelope = { 0 };
	struct commit c = { .ta = m->id ? m->id : sim_next_id(), .code = -1 };

	encode(m, c.ta, &envelope);
	int rc = write_record(m, c.ta, buf_span(&envelope), &c.ref);
	if (!rc) {
		if (peers.commit_count == COMMITS_MAX)
			panic("sim: too many commits");
		peers.commits[peers.commit_count++] = c;
		rc = ask_commit(&c, buf_span(&envelope));
	}
	buf_release(&envelope);
	return rc ? 0 : c.ta;
}

/* Time passes until the answer is there. */
static int code_of(uint64_t ta)
{
	usec_t limit = sim_now() + 60 * (usec_t)USEC_PER_SEC;

	sim_settle();
	while (commit_of(ta)->code < 0 && sim_step(limit))
		;
	return commit_of(ta)->code;
}

int sim_accept(const struct sim_message *m, uint64_t *ta)
{
	uint64_t id = sim_commit(m);

	if (ta)
		*ta = id;
	if (!sim_ok(id != 0, "a record cannot be written"))
		return -1;
	return code_of(id);
}

int sim_accept_again(const struct sim_message *m, uint64_t ta)
{
	struct buf envelope = { 0 };
	struct commit *c = commit_of(ta);

	encode(m, ta, &envelope);
	c->code = -1;
	sim_ok(!ask_commit(c, buf_span(&envelope)), "a commit cannot be asked for again");
	buf_release(&envelope);
	return code_of(ta);
}

uint64_t sim_mail(const char *sender, const char *rcpt)
{
	struct sim_rcpt r = { .addr = rcpt };
	struct sim_message m = { .sender = sender, .count = 1, .rcpt = &r };
	uint64_t ta;

	sim_ok(sim_accept(&m, &ta) == 0, "a message to %s was not accepted", rcpt);
	return ta;
}

int sim_connect(const char *client)
{
	struct msg_conn_open m = { .state = 0 };

	addr_parse(span_str(client), &m.client);
	peers.verdict = -1;
	link_put(peers.smtps, 2, conn_open, &m);
	sim_settle();
	return peers.verdict;
}

void sim_disconnect(const char *client)
{
	struct msg_conn_close m;

	addr_parse(span_str(client), &m.client);
	link_put(peers.smtps, 0, conn_close, &m);
	sim_settle();
}

/* ---- smtpc */

struct route sim_route(const char *hosts)
{
	struct route r = { .mailer = ROUTE_ESMTP };
	char *copy = strdup(hosts), *save, *word = strtok_r(copy, " ", &save);

	for (; word; word = strtok_r(NULL, " ", &save))
		if (addr_parse(span_str(word), &r.host[r.count++]))
			panic("sim: address %s", word);
	free(copy);
	return r;
}

bool sim_host_is(const struct sim_attempt *a, const char *ip)
{
	struct addr want;

	return !addr_parse(span_str(ip), &want) && addr_ip_eq(&want, &a->host);
}

unsigned sim_attempt_count(void)
{
	unsigned n = 0;

	for (struct sim_attempt *a = sim_attempts; a; a = a->next)
		n++;
	return n;
}

static struct link *worker_of(const struct sim_attempt *a)
{
	return peers.smtpc[a->worker];
}

static void attempt_free(struct sim_attempt *own)
{
	struct sim_attempt **at = &sim_attempts;

	while (*at != own)
		at = &(*at)->next;
	*at = own->next;
	arena_free(own->arena);
	free(own);
}

void sim_drop(struct sim_attempt *own)
{
	attempt_free(own);
}

bool sim_content(const struct sim_attempt *a, struct buf *out)
{
	struct cdb_record rec;
	int rc = cdb_open_record(peers.reader, &a->ref, a->ta, &rec);

	if (!sim_ok(!rc, "the record of %llx cannot be read: %s", (unsigned long long)a->ta,
		    strerror(-rc)))
		return false;
	char *to = buf_room(out, rec.head.content_bytes + 1);
	ssize_t n = cdb_read(&rec, 0, to, rec.head.content_bytes);
	cdb_close_record(peers.reader, &rec);
	if (!sim_ok(n == (ssize_t)rec.head.content_bytes, "content is short"))
		return false;
	to[n] = 0;
	buf_wrote(out, (size_t)n);
	return true;
}

static void deliver(struct link *k, struct span body)
{
	struct msg_deliver m;
	struct sim_attempt *a = xcalloc(1, sizeof *a), **at = &sim_attempts;
	struct buf text = { 0 };

	sim_ok(!msg_deliver_decode(body, &m), "a delivery that cannot be read");
	*a = (struct sim_attempt){ .id = m.attempt,
				   .run = m.run,
				   .ta = m.ta,
				   .at = sim_now(),
				   .mailer = m.mailer,
				   .worker = (unsigned)(uintptr_t)link_ctx(k),
				   .keep = m.keep,
				   .others = m.others,
				   .host = m.host,
				   .ref = { m.seg, m.gen, m.off, m.len },
				   .arena = arena_new() };
	struct span envelope = arena_span(a->arena, m.envelope);
	sim_ok(!envelope_decode(envelope, a->arena, &a->env) && a->env.ta == a->ta &&
		       a->env.rcpt_count,
	       "a delivery with a bad envelope");
	while (*at)
		at = &(*at)->next;
	*at = a;
	sim_content(a, &text);
	buf_release(&text);
	if (sim_on.deliver)
		sim_on.deliver(a);
	else
		sim_done(a);
}

static void cancel(uint64_t id, uint64_t run)
{
	struct sim_attempt *a = sim_attempts;

	while (a && (a->id != id || a->run != run))
		a = a->next;
	if (!a)
		return;
	a->cancelled = true;
	if (sim_on.cancel)
		sim_on.cancel(a);
	else
		sim_later(a, "451 4.4.7 cancelled");
}

static void smtpc_message(struct link *k, unsigned number, uint64_t req, struct span body)
{
	struct msg_cancel c;

	(void)req;
	if (number == MSG_deliver)
		deliver(k, body);
	else if (number == MSG_cancel && !msg_cancel_decode(body, &c))
		cancel(c.attempt, c.run);
}

void sim_leave(const struct sim_attempt *a, struct sim_left *out)
{
	*out = (struct sim_left){ .id = a->id,
				  .run = a->run,
				  .ta = a->ta,
				  .mailer = a->mailer,
				  .worker = a->worker,
				  .host = a->host,
				  .count = a->env.rcpt_count };
	if (out->count > sizeof out->idx / sizeof out->idx[0])
		panic("sim: too many recipients");
	for (uint32_t i = 0; i < out->count; i++)
		out->idx[i] = a->env.rcpt[i].idx;
}

void sim_left_state(const struct sim_left *a)
{
	link_put(peers.smtpc[a->worker], 0, attempt_state,
		 (&(struct msg_attempt_state){
			 .attempt = a->id,
			 .run = a->run,
			 .ta = a->ta,
			 .mailer = a->mailer,
			 .host = a->host,
			 .idx = span_of((const char *)a->idx, a->count * sizeof a->idx[0]) }));
}

void sim_left_result(const struct sim_left *a, uint8_t outcome)
{
	struct buf rcpts = { 0 };
	struct msg_result m = { .attempt = a->id,
				.run = a->run,
				.ta = a->ta,
				.mailer = a->mailer,
				.host = a->host,
				.conn = MSG_CONN_CLOSED };

	for (uint32_t i = 0; i < a->count; i++)
		msg_rcpt_result_add(&rcpts, &(struct msg_rcpt_result){ .idx = a->idx[i],
								       .outcome = outcome,
								       .stage = MSG_AT_DOT,
								       .reply = SPAN("599 left") });
	m.rcpts = buf_span(&rcpts);
	link_put(peers.smtpc[a->worker], 0, result, &m);
	buf_release(&rcpts);
}

static void smtpc_up(struct link *k, const struct link_hello *peer)
{
	unsigned worker = (unsigned)(uintptr_t)link_ctx(k);
	struct sim_left left;

	(void)peer;
	if (sim_on.back)
		sim_on.back(worker);
	for (struct sim_attempt *a = sim_on.back ? NULL : sim_attempts; a; a = a->next)
		if (a->worker == worker) {
			sim_leave(a, &left);
			sim_left_state(&left);
		}
	link_put(k, 0, state_end, (&(struct msg_state_end){ 0 }));
	link_put(k, 0, load, (&(struct msg_load){ 0 }));
}

static const struct link_ops smtpc_ops = { .up = smtpc_up, .message = smtpc_message };

void sim_result(struct sim_attempt *own, const struct sim_result *r)
{
	static const char *const text[] = { "250 2.0.0 ok", "451 4.2.0 later", "550 5.1.1 never" };
	struct msg_result m = { .attempt = own->id,
				.run = own->run,
				.ta = own->ta,
				.mailer = own->mailer,
				.host = own->host,
				.conn = own->keep && !r->closed && !r->failure ? MSG_CONN_IDLE
									       : MSG_CONN_CLOSED,
				.failure = r->failure,
				.dsn = r->dsn };
	struct buf rcpts = { 0 };

	for (uint32_t i = 0; i < own->env.rcpt_count; i++) {
		uint8_t outcome = r->each ? r->each[i] : r->outcome;
		struct msg_rcpt_result one = { .idx = own->env.rcpt[i].idx,
					       .outcome = outcome,
					       .stage = r->stage     ? r->stage
							: r->failure ? MSG_AT_CONNECT
								     : MSG_AT_RCPT,
					       .reply = span_str(r->reply ? r->reply
									  : text[outcome]) };

		msg_rcpt_result_add(&rcpts, &one);
	}
	m.rcpts = buf_span(&rcpts);
	link_put(worker_of(own), 0, result, &m);
	/* Nobody has the session: the next attempt opens one of its own. */
	if (m.conn == MSG_CONN_IDLE)
		link_put(worker_of(own), 0, conn_gone,
			 (&(struct msg_conn_gone){ own->mailer, own->host }));
	buf_release(&rcpts);
	attempt_free(own);
}

void sim_done(struct sim_attempt *own)
{
	sim_result(own, &(struct sim_result){ .outcome = MSG_DONE });
}

void sim_later(struct sim_attempt *own, const char *reply)
{
	sim_result(own, &(struct sim_result){ .outcome = MSG_LATER, .reply = reply });
}

void sim_fail(struct sim_attempt *own, const char *reply)
{
	sim_result(own, &(struct sim_result){ .outcome = MSG_FAILED, .reply = reply });
}

void sim_unreachable(struct sim_attempt *own)
{
	sim_result(own, &(struct sim_result){ .outcome = MSG_LATER,
					      .failure = true,
					      .reply = "451 4.4.1 connection refused" });
}

static void all_links_end(void)
{
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		link_free(peers.smtpc[i]);
		peers.smtpc[i] = NULL;
	}
}

static void all_links_begin(void)
{
	for (unsigned i = 0; i < peers.workers; i++) {
		struct link_hello me = peers.smtpc_hello;

		me.worker = i;
		peers.smtpc[i] = link_connect(peers.loop, "qmsmtpc/smtpcsock", &me, &smtpc_ops,
					      (void *)(uintptr_t)i);
	}
	sim_settle();
}

void sim_smtpc_break(void)
{
	all_links_end();
	sim_settle();
	all_links_begin();
}

void sim_smtpc_end(void)
{
	while (sim_attempts)
		attempt_free(sim_attempts);
	all_links_end();
	sim_settle();
}

void sim_smtpc_begin(void)
{
	peers.smtpc_hello.instance++;
	all_links_begin();
}

/* ---- smar */

static int route_of(struct span rcpt, struct route *out)
{
	size_t at = span_find(rcpt, SPAN("@")) + 1;
	char name[32];

	if (sim_on.route)
		return sim_on.route(rcpt, out);
	span_cstr(span_of(rcpt.p + at, rcpt.n - at), name, sizeof name);
	snprintf(name, sizeof name, "10.0.0.%u", name[0] == 'd' ? (unsigned)atoi(name + 1) : 1u);
	*out = sim_route(name);
	return 0;
}

/* Who gets a notice to this address? It stands for itself. */
static void smar_notice(struct link *k, uint64_t req, const struct msg_ask_rcpt *m)
{
	struct msg_verdict out = { .action = MSG_ACT_CONT };
	struct route r;
	char bytes[ROUTE_BYTES_MAX];
	int status = route_of(m->rcpt, &r);

	sim_ok(m->flags == MSG_ASK_NOTICE, "smar is asked to check a recipient");
	if (status < 0)
		return;
	if (!status)
		out.route = span_of(bytes, route_encode(&r, bytes));
	link_put(k, req, verdict, &out);
}

static void smar_message(struct link *k, unsigned number, uint64_t req, struct span body)
{
	struct msg_ask_route m;
	struct msg_ask_rcpt notice;
	struct msg_route_answer out = { .status = 0 };
	struct route r;
	char bytes[ROUTE_BYTES_MAX];

	if (number == MSG_ask_rcpt && !msg_ask_rcpt_decode(body, &notice)) {
		smar_notice(k, req, &notice);
		return;
	}
	if (!sim_ok(number == MSG_ask_route && !msg_ask_route_decode(body, &m), "smar is asked ?"))
		return;
	int status = route_of(m.rcpt, &r);
	if (status < 0)
		return;
	out.status = (uint8_t)status;
	if (status)
		out.text = status == 1 ? SPAN("451 4.4.3 no answer") : SPAN("550 5.1.2 no host");
	else
		out.route = span_of(bytes, route_encode(&r, bytes));
	link_put(k, req, route_answer, &out);
}

static struct loop *smar_pick(void *ctx, const struct link_hello *peer, void **out)
{
	(void)ctx;
	(void)peer;
	*out = NULL;
	return peers.loop;
}

static const struct link_ops smar_ops = { .message = smar_message };

/* ---- life */

void sim_peers_start(struct loop *l, const struct sim_setup *s)
{
	struct link_hello me = { .component = "smar", .workers = 1, .instance = 1 };
	struct cdb_writer_setup w = { .base = "",
				      .segment_bytes = s->segment_bytes,
				      .gid = (gid_t)-1,
				      .notify = l,
				      .segment = segment };
	int error, fd = sock_listen_unix("qmsmar/smarsock", 0660);

	peers.loop = l;
	peers.workers = s->workers;
	peers.commits = xcalloc(COMMITS_MAX, sizeof *peers.commits);
	peers.smar = link_listen(l, fd, &me, &smar_ops, smar_pick, NULL);
	peers.writer = cdb_writer_new(&w, &error);
	if (fd < 0 || !peers.writer)
		panic("sim: peers");
	peers.reader = cdb_reader_new("", 16);
	snprintf(me.component, sizeof me.component, "smtps");
	me.id = 1;
	me.worker = s->smtps;
	me.workers = s->smtps + 1;
	me.instance = (uint64_t)sim_now();
	peers.smtps = link_connect(l, "qmsmtps/smtpssock", &me, &smtps_ops, NULL);
	snprintf(me.component, sizeof me.component, "smtpc");
	me.worker = 0;
	me.workers = s->workers;
	peers.smtpc_hello = me;
	sim_smtpc_begin();
}

bool sim_peers_up(void)
{
	bool up = link_is_up(peers.smtps) && peers.ids;

	for (unsigned i = 0; i < peers.workers; i++)
		up = up && link_is_up(peers.smtpc[i]);
	return up;
}

void sim_peers_end(void)
{
	while (sim_attempts)
		attempt_free(sim_attempts);
	link_free(peers.smtps);
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		link_free(peers.smtpc[i]);
	cdb_writer_free(peers.writer);
	cdb_reader_free(peers.reader);
	free(peers.commits);
}
