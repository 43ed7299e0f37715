#include "tests/queue/sim.h"

#include "core/cdb_write.h"
#include "core/err.h"
#include "core/ids.h"
#include "core/link.h"
#include "core/sock.h"
#include "core/stats.h"
#include "core/thread.h"
#include "queue/inventory.h"
#include "tests/tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* qmgr as it is, but for the name of its entry. */
int qmgr_main(int argc, char **argv);
#define main qmgr_main
#include "queue/qmgr_main.c"
#undef main

enum {
	WORKERS_MAX = 4,
	COMMITS_MAX = 1 << 16,
	BOOT_USEC = 1000 * USEC_PER_SEC,
	SLOW_TICK_USEC = 600 * USEC_PER_SEC
};

struct sim_attempt *sim_attempts;
struct sim_hooks sim_on;

struct commit {
	uint64_t ta;
	int code; /* -1: no answer yet */
};

static struct {
	struct sim_setup set;
	pthread_t qmgr;
	bool stopped;
	struct loop *loop;
	usec_t begin; /* sim_now() less the monotonic clock */
	struct cdb_writer *writer;
	struct cdb_reader *reader;
	struct link *smtps, *smtpc[WORKERS_MAX];
	struct link_hello smtpc_hello;
	struct link_server *smar;
	uint64_t ids, ids_end;
	struct commit *commits;
	unsigned commit_count;
	int verdict; /* of the last conn_open, -1: none yet */
	bool failed;
} sim;

/* ---- seams that are no calls of the system */

uid_t __wrap_geteuid(void);
uid_t __real_geteuid(void);
void __wrap_loop_timer_after(struct loop *l, struct timer *t, usec_t delay_usec);
void __real_loop_timer_after(struct loop *l, struct timer *t, usec_t delay_usec);

/* qmgr does not run as root; the tests may. */
uid_t __wrap_geteuid(void)
{
	uid_t uid = __real_geteuid();

	return uid ? uid : 65534;
}

/* Days of ticks, each a hundred thousand times as long as what is looked at, make a test slow. */
void __wrap_loop_timer_after(struct loop *l, struct timer *t, usec_t delay_usec)
{
	bool tick = delay_usec == USEC_PER_SEC / 10 || delay_usec == USEC_PER_SEC ||
		    delay_usec == 5 * USEC_PER_SEC;

	__real_loop_timer_after(l, t, sim.set.slow_ticks && tick ? SLOW_TICK_USEC : delay_usec);
}

/* ---- checks */

bool sim_ok(bool cond, const char *fmt, ...)
{
	char text[1000];
	va_list ap;

	if (cond)
		return true;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	printf("# at %.6f s: %s\n", (double)(sim_now() - SIM_BEGIN) / USEC_PER_SEC, text);
	fflush(stdout);
	sim.failed = true;
	return false;
}

void *sim_shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		panic("sim: no memory");
	return p;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	if (f->level > 0)
		remove(path);
	return 0;
}

void sim_clean(const char *dir)
{
	nftw(dir ? dir : tap_tmpdir(), remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- time */

usec_t sim_now(void)
{
	return sim.begin + sim_clock_mono();
}

void sim_settle(void)
{
	sim_clock_settle();
}

bool sim_step(usec_t limit)
{
	return sim_clock_step(limit - sim.begin);
}

void sim_until(usec_t at)
{
	sim_clock_until(at - sim.begin);
}

void sim_pass(usec_t usec)
{
	sim_until(sim_now() + usec);
}

/* ---- smtps */

static struct commit *commit_of(uint64_t ta)
{
	for (unsigned i = sim.commit_count; i-- > 0;)
		if (sim.commits[i].ta == ta)
			return &sim.commits[i];
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
		sim.ids = m.ids.first;
		sim.ids_end = m.ids.first + m.ids.count;
	} else if (number == MSG_commit_done && !msg_commit_done_decode(body, &m.done)) {
		struct commit *c = commit_of(m.done.ta);

		sim_ok(c && c->code < 0, "an answer to a commit that nobody asked for");
		if (c)
			c->code = m.done.code;
		if (sim_on.committed)
			sim_on.committed(m.done.ta, m.done.code);
	} else if (number == MSG_conn_verdict && !msg_conn_verdict_decode(body, &m.verdict)) {
		sim.verdict = m.verdict.code;
	} else if (number == MSG_seg_free && !msg_seg_free_decode(body, &m.free)) {
		cdb_segment_free(sim.writer, m.free.seg, m.free.gen);
	} else if (number == MSG_seg_bad && !msg_seg_bad_decode(body, &m.bad)) {
		cdb_segment_seal(sim.writer, m.bad.seg, m.bad.gen);
	}
}

static void segment(void *ctx, uint64_t seg, uint64_t gen, uint64_t bytes_or_end, bool sealed)
{
	(void)ctx;
	if (!sealed)
		link_put(sim.smtps, 0, seg_open,
			 (&(struct msg_seg_open){ seg, gen, bytes_or_end }));
	else
		link_put(sim.smtps, 0, seg_seal,
			 (&(struct msg_seg_seal){ seg, gen, bytes_or_end }));
}

static void smtps_up(struct link *k, const struct link_hello *peer)
{
	(void)peer;
	cdb_tell_segments(sim.writer);
	link_put(k, 1, id_lease, (&(struct msg_id_lease){ ID_BLOCK_COUNT }));
	link_put(k, 0, state_end, (&(struct msg_state_end){ 0 }));
}

static const struct link_ops smtps_ops = { .up = smtps_up, .message = smtps_message };

static uint64_t next_id(void)
{
	if (sim.ids == sim.ids_end) {
		link_put(sim.smtps, 1, id_lease, (&(struct msg_id_lease){ ID_BLOCK_COUNT }));
		while (sim.ids == sim.ids_end && sim_step(INT64_MAX))
			;
	}
	return id_make(sim.ids++, 1);
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

static int write_record(const struct sim_message *m, uint64_t ta, struct span envelope,
			struct cdb_ref *ref)
{
	struct buf b = { 0 };
	struct cdb_head h = { .ta = ta };

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
	int rc = cdb_append(sim.writer, &h, &v, 1, envelope, ref);
	buf_release(&b);
	return rc;
}

uint64_t sim_commit(const struct sim_message *m)
{
	struct buf envelope = { 0 };
	struct msg_commit out = { .ta = next_id() };
	struct cdb_ref ref;

	encode(m, out.ta, &envelope);
	int rc = write_record(m, out.ta, buf_span(&envelope), &ref);
	if (rc == -EAGAIN) {
		/* The helper is making the next segment. */
		sim_settle();
		rc = write_record(m, out.ta, buf_span(&envelope), &ref);
	}
	if (!rc) {
		if (sim.commit_count == COMMITS_MAX)
			panic("sim: too many commits");
		sim.commits[sim.commit_count++] = (struct commit){ out.ta, -1 };
		out.seg = ref.seg;
		out.gen = ref.gen;
		out.off = ref.off;
		out.len = ref.len;
		out.envelope = buf_span(&envelope);
		rc = link_put(sim.smtps, out.ta, commit, &out);
	}
	buf_release(&envelope);
	return rc ? 0 : out.ta;
}

int sim_accept(const struct sim_message *m, uint64_t *ta)
{
	uint64_t id = sim_commit(m);
	usec_t limit = sim_now() + 60 * (usec_t)USEC_PER_SEC;

	if (ta)
		*ta = id;
	if (!sim_ok(id != 0, "a record cannot be written"))
		return -1;
	sim_settle();
	while (commit_of(id)->code < 0 && sim_step(limit))
		;
	return commit_of(id)->code;
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
	sim.verdict = -1;
	link_put(sim.smtps, 2, conn_open, &m);
	sim_settle();
	return sim.verdict;
}

void sim_disconnect(const char *client)
{
	struct msg_conn_close m;

	addr_parse(span_str(client), &m.client);
	link_put(sim.smtps, 0, conn_close, &m);
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
	return sim.smtpc[a->worker];
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
	int rc = cdb_open_record(sim.reader, &a->ref, a->ta, &rec);

	if (!sim_ok(!rc, "the record of %llx cannot be read: %s", (unsigned long long)a->ta,
		    strerror(-rc)))
		return false;
	char *to = buf_room(out, rec.head.content_bytes + 1);
	ssize_t n = cdb_read(&rec, 0, to, rec.head.content_bytes);
	cdb_close_record(sim.reader, &rec);
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
				   .ta = m.ta,
				   .at = sim_now(),
				   .mailer = m.mailer,
				   .worker = (unsigned)(uintptr_t)link_ctx(k),
				   .keep = m.keep,
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

static void cancel(uint64_t id)
{
	struct sim_attempt *a = sim_attempts;

	while (a && a->id != id)
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
		cancel(c.attempt);
}

static void smtpc_up(struct link *k, const struct link_hello *peer)
{
	(void)peer;
	link_put(k, 0, state_end, (&(struct msg_state_end){ 0 }));
	link_put(k, 0, load, (&(struct msg_load){ 0 }));
}

static const struct link_ops smtpc_ops = { .up = smtpc_up, .message = smtpc_message };

void sim_result(struct sim_attempt *own, const struct sim_result *r)
{
	static const char *const text[] = { "250 2.0.0 ok", "451 4.2.0 later", "550 5.1.1 never" };
	struct msg_result m = { .attempt = own->id,
				.ta = own->ta,
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

void sim_smtpc_end(void)
{
	while (sim_attempts)
		attempt_free(sim_attempts);
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		link_free(sim.smtpc[i]);
		sim.smtpc[i] = NULL;
	}
	sim_settle();
}

void sim_smtpc_begin(void)
{
	sim.smtpc_hello.instance++;
	for (unsigned i = 0; i < sim.set.workers; i++) {
		struct link_hello me = sim.smtpc_hello;

		me.worker = i;
		sim.smtpc[i] = link_connect(sim.loop, "qmsmtpc/smtpcsock", &me, &smtpc_ops,
					    (void *)(uintptr_t)i);
	}
	sim_settle();
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

static void smar_message(struct link *k, unsigned number, uint64_t req, struct span body)
{
	struct msg_ask_route m;
	struct msg_route_answer out = { .status = 0 };
	struct route r;
	char bytes[ROUTE_BYTES_MAX];

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
	return sim.loop;
}

static const struct link_ops smar_ops = { .message = smar_message };

/* ---- the operator */

char *sim_ask(const char *request)
{
	int fd = sock_connect_unix("qmgrctlsock");
	struct buf out = { 0 };
	ssize_t n = -1;

	if (fd < 0 || write(fd, request, strlen(request)) < 0 || write(fd, "\n", 1) != 1)
		panic("sim: control socket");
	fcntl(fd, F_SETFL, O_NONBLOCK);
	sim_settle();
	for (;;) {
		char *to = buf_room(&out, 4096);

		n = read(fd, to, 4000);
		if (n > 0)
			buf_wrote(&out, (size_t)n);
		else if (n == 0)
			break;
		else if (!sim_step(sim_now() + 60 * (usec_t)USEC_PER_SEC))
			panic("sim: no answer to %s", request);
		else
			sim_settle();
	}
	close(fd);
	char *text = xmalloc(buf_len(&out) + 1);
	memcpy(text, out.p + out.r, buf_len(&out));
	text[buf_len(&out)] = 0;
	buf_release(&out);
	return text;
}

/* ---- what qmgr has */

static unsigned count_rows(enum store_family f, bool rcpts, bool whole)
{
	struct store_iter *it = store_iter_new(qm.store, f, SPAN(""));
	unsigned n = 0;

	for (; store_iter_valid(it); store_iter_next(it))
		n += f == STORE_DUE || (store_iter_key(it).n == 12 ? rcpts : whole);
	sim_ok(store_iter_end(it) == 0, "the database cannot be read");
	return n;
}

struct sim_rows sim_rows(void)
{
	struct sim_rows r = { .ibdb = count_rows(STORE_IBDB, false, true),
			      .marks = count_rows(STORE_IBDB, true, false),
			      .deferred = count_rows(STORE_DEFEDB, true, true),
			      .due = count_rows(STORE_DUE, true, true),
			      .aq = aq_count(),
			      .iqdb = iqdb_count() };
	struct cds_lfht_iter it;
	struct cds_lfht_node *node;

	LFHT_FOREACH(aq_table(), &it, node)
	r.transactions++;
	return r;
}

static void count_record(void *ctx, const struct inventory_record *r)
{
	unsigned *n = ctx;

	*n += r->state == INVENTORY_LIVE || r->state == INVENTORY_NEW;
}

static void no_file(void *ctx, const struct inventory_file *f)
{
	(void)ctx;
	(void)f;
}

unsigned sim_records(void)
{
	unsigned n = 0;
	int error;
	struct inventory *v = inventory_new("", qm.store, &error);
	struct inventory_calls calls = { no_file, count_record, no_file, &n };

	sim_ok(v && inventory_walk(v, true, &calls) == 0, "the content cannot be read");
	inventory_free(v);
	return n;
}

/* ---- a life */

static void make_folders(void)
{
	static const char *const names[] = { "defedb", "ibdb", "qmsmar", "qmsmtpc", "qmsmtps" };
	char name[2] = "0";

	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		mkdir(names[i], 0755);
	for (unsigned i = 0; i < 16; i++) {
		name[0] = "0123456789ABCDEF"[i];
		mkdir(name, 0755);
	}
}

static void write_conf(const struct sim_setup *s)
{
	FILE *f = fopen("smx.conf", "w");

	if (!f)
		panic("sim: smx.conf");
	fprintf(f,
		"hostname = \"gw.sim.test\";\n"
		"qmgr {\n"
		"  log_level = %s; min_disk_space = 1; ok_disk_space = 2; max_threads = %u; min_threads = %u;\n"
		"  %s\n"
		"}\n",
		getenv("SMX_TEST_LOG") ? getenv("SMX_TEST_LOG") : "0", s->loops, s->loops,
		s->options ? s->options : "");
	fclose(f);
}

static void run_qmgr(void *arg)
{
	static char *argv[] = { "qmgr", "-f", "smx.conf", NULL };
	int rc = qmgr_main(3, argv);

	(void)arg;
	if (rc)
		panic("sim: qmgr ended with %d", rc);
}

static void start_peers(void)
{
	struct link_hello me = { .component = "smar", .workers = 1, .instance = 1 };
	struct cdb_writer_setup w = { .base = "",
				      .segment_bytes = sim.set.segment_bytes,
				      .gid = (gid_t)-1,
				      .notify = sim.loop,
				      .segment = segment };
	int error, fd = sock_listen_unix("qmsmar/smarsock", 0660);

	sim.smar = link_listen(sim.loop, fd, &me, &smar_ops, smar_pick, NULL);
	sim.writer = cdb_writer_new(&w, &error);
	if (fd < 0 || !sim.writer)
		panic("sim: peers");
	sim.reader = cdb_reader_new("", 16);
	snprintf(me.component, sizeof me.component, "smtps");
	me.id = 1;
	me.instance = (uint64_t)sim.begin;
	sim.smtps = link_connect(sim.loop, "qmsmtps/smtpssock", &me, &smtps_ops, NULL);
	snprintf(me.component, sizeof me.component, "smtpc");
	me.workers = sim.set.workers;
	sim.smtpc_hello = me;
	sim_smtpc_begin();
}

static bool peers_are_up(void)
{
	bool up = link_is_up(sim.smtps) && sim.ids;

	for (unsigned i = 0; i < sim.set.workers; i++)
		up = up && link_is_up(sim.smtpc[i]);
	return up;
}

/* All threads on one core: most of them wait for each other. */
static void use_one_core(void)
{
	cpu_set_t set, one;
	int n = getpid() % 64;

	if (sched_getaffinity(0, sizeof set, &set))
		return;
	CPU_ZERO(&one);
	for (int cpu = 0;; cpu = (cpu + 1) % CPU_SETSIZE)
		if (CPU_ISSET(cpu, &set) && n-- == 0) {
			CPU_SET(cpu, &one);
			break;
		}
	sched_setaffinity(0, sizeof one, &one);
}

static void begin_life(const struct sim_setup *s)
{
	sigset_t set;
	usec_t at = s->started_at ? s->started_at : SIM_BEGIN;

	sim.set = *s;
	sim.set.loops = s->loops ? s->loops : 1;
	sim.set.workers = s->workers ? s->workers : 1;
	sim.set.segment_bytes = s->segment_bytes ? s->segment_bytes : 1 << 20;
	sim.begin = at - BOOT_USEC;
	sim.commits = xcalloc(COMMITS_MAX, sizeof *sim.commits);
	if (!s->many_cores)
		use_one_core();
	if (chdir(s->dir ? s->dir : tap_tmpdir()))
		panic("sim: folder");
	make_folders();
	write_conf(&sim.set);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	setenv("TZ", "UTC", 1);
	thread_main_register();
	sim_clock_start(BOOT_USEC, at);
	sim.loop = loop_new();
	sim_clock_loop(sim.loop);
	if (thread_start(&sim.qmgr, "qmgr-main", THREAD_ANY_CPU, run_qmgr, NULL))
		panic("sim: no thread");
	start_peers();
	while (!peers_are_up() && sim_step(at + 10 * (usec_t)USEC_PER_SEC))
		;
	sim_ok(peers_are_up(), "the peers cannot connect");
}

void sim_stop(void)
{
	if (sim.stopped)
		return;
	sim.stopped = true;
	terminate(NULL);
	/* The helper of the writer stays. */
	while (sim_clock_threads() > 1 && sim_step(sim_now() + 60 * (usec_t)USEC_PER_SEC))
		;
	thread_join(sim.qmgr);
}

static void end_life(void)
{
	sim_stop();
	while (sim_attempts)
		attempt_free(sim_attempts);
	link_free(sim.smtps);
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		link_free(sim.smtpc[i]);
	cdb_writer_free(sim.writer);
	cdb_reader_free(sim.reader);
	free(sim.commits);
}

int sim_life(const struct sim_setup *s, void (*script)(void *arg), void *arg)
{
	int status;

	tap_tmpdir();
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		begin_life(s);
		script(arg);
		end_life();
		fflush(stdout);
		_exit(sim.failed);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status)) {
		printf("# a life ended by signal %d\n", WTERMSIG(status));
		return 128 + WTERMSIG(status);
	}
	return WEXITSTATUS(status);
}
