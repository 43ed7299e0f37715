#include "tests/queue/sim_model.h"

#include "core/err.h"
#include "core/ids.h"
#include "core/span.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct model *model;

void model_begin(uint64_t seed)
{
	if (!model)
		model = sim_shared(sizeof *model);
	memset(model, 0, sizeof *model);
	model->random = seed * 0x9e3779b97f4a7c15ull + 1;
	model->now = SIM_BEGIN;
}

unsigned model_random(unsigned n)
{
	uint64_t x = model->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	model->random = x;
	return (unsigned)((x >> 33) % n);
}

static bool chance(unsigned percent)
{
	return model_random(100) < percent;
}

static struct model_message *find(uint64_t id)
{
	for (unsigned i = model->count; i-- > 0;)
		if (model->message[i].id == id)
			return &model->message[i];
	return NULL;
}

static struct model_message *add(uint64_t id)
{
	if (model->count == MODEL_MESSAGES)
		panic("model: too many messages");
	struct model_message *m = &model->message[model->count];
	*m = (struct model_message){ .id = id, .arrival = sim_now(), .life = model->life };
	model->count++;
	return m;
}

/* For words: which recipient this is. */
static const char *name(const struct model_message *m, unsigned idx)
{
	static char text[80];

	snprintf(text, sizeof text, "%s%u.%u (%llx)", m->dsn ? "notice " : "r",
		 (unsigned)(m - model->message), idx, (unsigned long long)m->id);
	return text;
}

static void trace(const struct model_message *m, unsigned idx, const char *what)
{
	const char *t = getenv("SMX_TEST_TRACE");

	if (t && strstr(name(m, idx), t))
		printf("# %.6f %s %s\n", (double)(sim_now() - SIM_BEGIN) / USEC_PER_SEC,
		       name(m, idx), what);
}

/* ---- mail comes */

static const uint8_t notify_values[] = { 0,
					 0,
					 0,
					 0,
					 ENV_NOTIFY_NEVER,
					 ENV_NOTIFY_FAILURE,
					 ENV_NOTIFY_SUCCESS | ENV_NOTIFY_FAILURE,
					 ENV_NOTIFY_DELAY };

void model_send(bool wait)
{
	char addr[MODEL_RCPTS][40], sender[40];
	struct sim_rcpt r[MODEL_RCPTS] = { 0 };
	unsigned number = model->count;
	struct model_message *m = add(0);
	struct sim_message out = { .rcpt = r, .sender = sender };

	m->count = out.count = chance(50) ? 1 : 1 + model_random(MODEL_RCPTS);
	m->null_sender = chance(10);
	snprintf(sender, sizeof sender, m->null_sender ? "" : "a%u@d9.test", model_random(4));
	out.size = chance(10) ? 20000 : chance(50) ? 2000 : 0;
	out.own_file = chance(5);
	for (unsigned i = 0; i < m->count; i++) {
		m->rcpt[i].domain = (uint8_t)(1 + model_random(MODEL_DOMAINS));
		m->rcpt[i].notify = notify_values[model_random(sizeof notify_values)];
		snprintf(addr[i], sizeof addr[i], "r%u.%u@d%u.test", number, i, m->rcpt[i].domain);
		r[i].addr = addr[i];
		r[i].notify = m->rcpt[i].notify;
	}
	/* Known before anybody can speak of it. */
	m->id = sim_next_id();
	out.id = m->id;
	if (!sim_commit(&out))
		m->fate = MODEL_REFUSED;
	else if (wait)
		sim_settle();
}

static void committed(uint64_t ta, unsigned code)
{
	struct model_message *m = find(ta);

	if (sim_ok(m && m->fate == MODEL_UNKNOWN, "a strange answer to a commit"))
		m->fate = code ? MODEL_REFUSED : MODEL_ACCEPTED;
	model->now = sim_now();
}

/* ---- notices */

static bool wants(const struct model_message *m, const struct model_rcpt *r, uint8_t kind,
		  bool by_default)
{
	return !m->null_sender && !m->dsn && (r->notify ? (r->notify & kind) != 0 : by_default);
}

static bool too_old(const struct model_message *m)
{
	return sim_now() - m->arrival >= model->return_timeout;
}

static void ends(struct model_rcpt *r, usec_t at)
{
	r->ended = true;
	r->ended_at = at;
}

static void failure_told(struct model_message *m, unsigned idx)
{
	struct model_rcpt *r = &m->rcpt[idx];

	r->bounced++;
	sim_ok(wants(m, r, ENV_NOTIFY_FAILURE, true), "%s: a notice that nobody wants",
	       name(m, idx));
	sim_ok(r->failed || too_old(m), "%s: returned without a reason", name(m, idx));
	sim_ok(r->bounced <= 1 + r->unsure, "%s: returned %u times, %u times unsure", name(m, idx),
	       r->bounced, r->unsure);
	sim_ok(!r->delivered || r->unsure, "%s: delivered and returned", name(m, idx));
	sim_ok(!r->open || r->unsure, "%s: returned while it is being tried", name(m, idx));
	r->told = true;
	/* It was too old, and its notice on its way, when the order came. */
	if (too_old(m))
		r->deleted = false;
	/* A notice that a crash left behind: its recipient is tried again all the same. */
	if (r->ended || !r->unsure)
		ends(r, sim_now());
}

static void told(struct model_message *m, unsigned idx, const char *action)
{
	struct model_rcpt *r = &m->rcpt[idx];

	trace(m, idx, action);
	if (!strcmp(action, "failed")) {
		failure_told(m, idx);
	} else if (!strcmp(action, "delayed")) {
		r->warned++;
		sim_ok(wants(m, r, ENV_NOTIFY_DELAY, true) &&
			       sim_now() - m->arrival >= model->delay_timeout,
		       "%s: a warning out of place", name(m, idx));
		sim_ok(r->warned <= 1 + r->unsure, "%s: warned %u times, %u times unsure",
		       name(m, idx), r->warned, r->unsure);
	} else {
		sim_ok(r->delivered && wants(m, r, ENV_NOTIFY_SUCCESS, false),
		       "%s: a notice of success out of place", name(m, idx));
	}
}

/* RFC 3464: a group of fields per recipient. */
static void read_notice(const char *text)
{
	const char *at = text;
	unsigned n = 0, k, i;
	char action[20];

	while ((at = strstr(at, "\nFinal-Recipient: "))) {
		const char *a = strstr(at, "\nAction: "), *r = strstr(at, ";");

		at++;
		if (!a || !r || sscanf(a, "\nAction: %19[a-z]", action) != 1 ||
		    sscanf(r + 1, " r%u.%u@", &k, &i) != 2)
			continue;
		n++;
		if (sim_ok(k < model->count && i < model->message[k].count,
			   "a notice about nobody"))
			told(&model->message[k], i, action);
	}
	sim_ok(n > 0, "a notice that names nobody: %.900s", text);
}

static struct model_message *new_notice(const struct sim_attempt *a)
{
	struct model_message *m = add(a->ta);
	struct buf text = { 0 };

	m->dsn = true;
	m->arrival = a->env.wall_arrival;
	m->fate = MODEL_ACCEPTED;
	m->count = 1;
	model->notices++;
	sim_ok(a->env.rcpt_count == 1 && !a->env.sender.n, "a notice to many, or with a sender");
	sim_ok(m->arrival <= sim_now(), "a notice from the future");
	if (sim_content(a, &text) && !buf_add(&text, "", 1))
		read_notice(text.p + text.r);
	buf_release(&text);
	return m;
}

/* ---- outcomes */

static void fails(struct model_rcpt *r)
{
	r->failed = true;
	r->told = false;
	ends(r, sim_now());
}

/* What was ordered comes before what the attempt said, unless it was delivered. */
static bool obeys(struct model_rcpt *r, usec_t at)
{
	uint8_t order = r->pending;

	r->pending = MODEL_NONE;
	switch (order) {
	case MODEL_HOLD:
		r->held = true;
		r->held_at = at;
		return true;
	case MODEL_DELETE:
		r->deleted = true;
		ends(r, at);
		return true;
	case MODEL_BOUNCE:
		fails(r);
		return true;
	default:
		return false;
	}
}

/* unreached: it waits for its host, which may be up again at any time. */
static void outcome(struct model_message *m, unsigned idx, uint8_t what, bool unreached)
{
	struct model_rcpt *r = &m->rcpt[idx];

	trace(m, idx, what == MSG_DONE ? "done" : what == MSG_LATER ? "later" : "failed");
	r->open = false;
	if (what == MSG_DONE) {
		r->delivered++;
		r->pending = MODEL_NONE;
		model->deliveries++;
		ends(r, sim_now());
	} else if (obeys(r, sim_now())) {
		return;
	} else if (what == MSG_FAILED || too_old(m)) {
		fails(r);
	} else {
		r->later_at = sim_now();
		/* The last attempt is when the time is over, however soon that is. */
		usec_t end = m->arrival + model->return_timeout,
		       next = sim_now() + model->retry_min;
		r->not_before = unreached ? 0 : next < end ? next : end;
	}
}

static uint8_t random_outcome(void)
{
	unsigned n = model_random(100);

	return n < 55 ? MSG_DONE : n < 85 ? MSG_LATER : MSG_FAILED;
}

static void answer(struct sim_attempt *a)
{
	uint8_t each[MODEL_RCPTS];
	struct model_message *m = find(a->ta);
	struct sim_result r = { .each = each, .dsn = chance(20), .closed = chance(30) };
	unsigned d = a->host.ip[3];

	r.failure = !model->calm && d <= MODEL_DOMAINS && model->dead[d];
	for (uint32_t i = 0; i < a->env.rcpt_count; i++) {
		each[i] = model->calm ? MSG_DONE : r.failure ? MSG_LATER : random_outcome();
		/* Known before qmgr is told. */
		outcome(m, a->env.rcpt[i].idx, each[i], r.failure);
	}
	sim_result(a, &r);
}

/* ---- attempts */

/* No notice could be made durable: qmgr tries the recipient again. */
static bool may_have_no_notice(const struct model_rcpt *r)
{
	return r->failed && !r->told &&
	       atomic_load(&model->disk.failed_at) + 3 * (usec_t)USEC_PER_SEC >= r->ended_at;
}

static void may_be_tried(struct model_message *m, unsigned idx)
{
	struct model_rcpt *r = &m->rcpt[idx];
	usec_t suspended = model->suspended_at[m->dsn ? 0 : r->domain];

	if (r->ended && may_have_no_notice(r)) {
		r->unsure++;
		r->ended = false;
	}
	sim_ok(!r->ended,
	       "%s: tried after its end, %.6f s ago: delivered %u, returned %u, deleted %d",
	       name(m, idx), (double)(sim_now() - r->ended_at) / USEC_PER_SEC, r->delivered,
	       r->bounced, r->deleted);
	sim_ok(!r->open, "%s: tried twice at a time", name(m, idx));
	sim_ok(!r->held, "%s: tried while it is held", name(m, idx));
	sim_ok(sim_now() >= r->not_before, "%s: tried %.6f s before its time", name(m, idx),
	       (double)(r->not_before - sim_now()) / USEC_PER_SEC);
	sim_ok(!suspended || sim_now() < suspended + (usec_t)USEC_PER_SEC,
	       "%s: tried while its domain is suspended", name(m, idx));
	model->repeats += r->delivered > 0;
	trace(m, idx, "tried");
	r->open = true;
	r->maybe_held = r->maybe_deleted = false;
}

static void deliver(struct sim_attempt *a)
{
	struct model_message *m = find(a->ta);

	model->now = sim_now();
	model->attempts++;
	if (!m && (a->env.flags & ENV_DSN))
		m = new_notice(a);
	if (!sim_ok(m != NULL, "a transaction that nobody sent: %llx", (unsigned long long)a->ta))
		return;
	sim_ok(m->fate != MODEL_REFUSED || m->life != model->life, "%s: tried, but it was refused",
	       name(m, 0));
	for (uint32_t i = 0; i < a->env.rcpt_count; i++) {
		uint32_t idx = a->env.rcpt[i].idx;

		if (sim_ok(idx < m->count, "%s: recipient %u", name(m, 0), idx))
			may_be_tried(m, idx);
	}
	if (model->calm || (!model->asking && chance(60)))
		answer(a);
}

static void cancel(struct sim_attempt *a)
{
	if (!model->asking)
		answer(a);
}

void model_life(void)
{
	sim_watch_disk(&model->disk);
	sim_on = (struct sim_hooks){ .deliver = deliver, .cancel = cancel, .committed = committed };
}

void model_answer_one(void)
{
	unsigned n = sim_attempt_count();
	struct sim_attempt *a = sim_attempts;

	if (!n)
		return;
	for (unsigned i = model_random(n); i > 0; i--)
		a = a->next;
	answer(a);
}

void model_smtpc_dies(void)
{
	/* What it has said was heard. */
	sim_settle();
	for (struct sim_attempt *a = sim_attempts; a; a = a->next) {
		struct model_message *m = find(a->ta);
		bool delivered = chance(50);

		for (uint32_t i = 0; m && i < a->env.rcpt_count; i++) {
			struct model_rcpt *r = &m->rcpt[a->env.rcpt[i].idx];

			r->open = false;
			obeys(r, sim_now() + 5 * (usec_t)USEC_PER_SEC);
			r->delivered += delivered;
			r->unsure += delivered;
		}
	}
	sim_smtpc_end();
	sim_pass(model_random(6) * (usec_t)USEC_PER_SEC);
	sim_smtpc_begin();
}

/* ---- the operator */

static bool is_meant(const struct model_message *m, unsigned idx, uint64_t id, unsigned domain)
{
	return !m->dsn && !m->rcpt[idx].ended && (id ? m->id == id : m->rcpt[idx].domain == domain);
}

/* The order may be executed from now on. */
static void before_order(struct model_rcpt *r, enum model_order order)
{
	if (order == MODEL_RETRY || order == MODEL_RELEASE)
		r->not_before = 0;
	if (order == MODEL_RELEASE) {
		r->held = false;
		r->pending = r->pending == MODEL_HOLD ? MODEL_NONE : r->pending;
	}
	if (order == MODEL_HOLD)
		r->maybe_held = true;
	if (order == MODEL_DELETE)
		r->maybe_deleted = true;
	if (order == MODEL_BOUNCE)
		r->failed = true;
}

/* It was executed, or will be when the attempt ends. */
static void after_order(struct model_rcpt *r, enum model_order order)
{
	r->maybe_held = false;
	if (r->open) {
		if (order == MODEL_HOLD || order == MODEL_DELETE || order == MODEL_BOUNCE)
			r->pending = (uint8_t)order;
		if (order == MODEL_BOUNCE)
			r->failed = false;
		return;
	}
	r->held = order == MODEL_HOLD || (order == MODEL_RETRY && r->held);
	r->held_at = 0;
	if (order == MODEL_DELETE) {
		r->deleted = true;
		ends(r, 0);
	}
	if (order == MODEL_BOUNCE && !r->told)
		fails(r);
}

void model_order(void)
{
	static const char *const verb[] = {
		"", "retry", "hold", "release", "delete", "delete dsn"
	};
	enum model_order order = 1 + model_random(5);
	unsigned domain = 1 + model_random(MODEL_DOMAINS);
	struct model_message *one =
		model->count ? &model->message[model_random(model->count)] : NULL;
	bool by_id = chance(70);
	char text[100], id[ID_TEXT_MAX];

	if (!one || (by_id && (one->dsn || !one->id || one->fate == MODEL_UNKNOWN)))
		return;
	id_text(one->id, id);
	if (by_id)
		snprintf(text, sizeof text, "%s id=%s", verb[order], id);
	else
		snprintf(text, sizeof text, "%s domain=d%u.test", verb[order], domain);
	/* What is on its way to the disk is in no queue yet. */
	sim_settle();
	model->asking = true;
	for (unsigned pass = 0; pass < 2; pass++) {
		unsigned count = model->count;

		for (unsigned k = 0; k < count; k++)
			for (unsigned i = 0; i < model->message[k].count; i++) {
				struct model_message *m = &model->message[k];

				if (!is_meant(m, i, by_id ? one->id : 0, domain))
					continue;
				trace(m, i, text);
				if (pass == 0)
					before_order(&m->rcpt[i], order);
				else
					after_order(&m->rcpt[i], order);
			}
		if (pass == 0)
			free(sim_ask(text));
	}
	model->asking = false;
	model->now = sim_now();
}

void model_suspend(void)
{
	unsigned d = 1 + model_random(MODEL_DOMAINS);
	char text[60];

	model->asking = true;
	if (model->suspended_at[d]) {
		snprintf(text, sizeof text, "resume domain=d%u.test", d);
		model->suspended_at[d] = 0;
		/* They are tried at once. */
		for (unsigned k = 0; k < model->count; k++)
			for (unsigned i = 0; i < model->message[k].count; i++)
				if (model->message[k].rcpt[i].domain == d)
					model->message[k].rcpt[i].not_before = 0;
		free(sim_ask(text));
	} else {
		snprintf(text, sizeof text, "suspend domain=d%u.test", d);
		free(sim_ask(text));
		model->suspended_at[d] = sim_now();
	}
	model->asking = false;
	model->now = sim_now();
}

void model_release_all(void)
{
	model->calm = true;
	model->drained_at = model->drained_at ? model->drained_at : sim_now();
	memset(model->suspended_at, 0, sizeof model->suspended_at);
	for (unsigned k = 0; k < model->count; k++)
		for (unsigned i = 0; i < model->message[k].count; i++) {
			struct model_rcpt *r = &model->message[k].rcpt[i];

			r->held = r->maybe_held = false;
			r->not_before = 0;
			r->pending = r->pending == MODEL_HOLD ? MODEL_NONE : r->pending;
		}
	free(sim_ask("resume all"));
	free(sim_ask("release all"));
	while (sim_attempts)
		answer(sim_attempts);
	sim_settle();
}

/* ---- between lives */

/* Did the end of this recipient reach the disk? */
static bool is_durable(const struct model_message *m, const struct model_rcpt *r, bool crashed)
{
	/* Its notice waits for others, or is not durable: it is tried again. */
	if (r->failed && !r->told && wants(m, r, ENV_NOTIFY_FAILURE, true) && !r->deleted &&
	    !(r->delivered && !r->bounced))
		return false;
	return !crashed || r->ended_at < atomic_load(&model->disk.written_at);
}

static void forget(struct model_message *m, struct model_rcpt *r, bool crashed)
{
	usec_t written = atomic_load(&model->disk.written_at);

	r->open = false;
	r->pending = MODEL_NONE;
	if (r->ended && !is_durable(m, r, crashed)) {
		r->ended = false;
		r->unsure++;
		r->not_before = 0;
		r->maybe_deleted = r->maybe_deleted || r->deleted;
		r->deleted = false;
	}
	if (!crashed)
		return;
	/* Its host was down and it was old: it may have been reported without having been tried. */
	if (!r->ended &&
	    (atomic_load(&model->disk.crashed_at) - m->arrival >= model->delay_timeout ||
	     (r->failed && !r->told)))
		r->unsure++;
	if (r->later_at >= written) {
		r->not_before = 0;
		r->unsure++;
	}
	if (r->held && r->held_at >= written) {
		r->held = false;
		r->maybe_held = true;
	}
}

void model_ended(bool crashed)
{
	for (unsigned k = 0; k < model->count; k++)
		for (unsigned i = 0; i < model->message[k].count; i++)
			forget(&model->message[k], &model->message[k].rcpt[i], crashed);
	model->crashes += crashed;
	if (crashed && atomic_load(&model->disk.crashed_at) > model->now)
		model->now = atomic_load(&model->disk.crashed_at);
	model->asking = false;
	model->life++;
}

/* ---- the end */

static const char *how(const struct model_message *m, const struct model_rcpt *r)
{
	bool wanted = wants(m, r, ENV_NOTIFY_FAILURE, true);
	/* Grown old while its host was down: nobody is told. */
	bool old = model->drained_at + 3600 * (usec_t)USEC_PER_SEC - m->arrival >=
		   model->return_timeout;
	unsigned n = (r->delivered > 0) + (r->bounced || (!wanted && r->failed)) + r->deleted;

	if (!n && !r->maybe_deleted && (wanted || !old))
		return "lost";
	if (r->delivered > 1 + r->unsure)
		return "delivered too often";
	/* A failure of the past that was forgotten, then delivered: no notice is needed. */
	if (n > 1 && !r->unsure)
		return "ended twice";
	return NULL;
}

unsigned model_check_ends(void)
{
	unsigned bad = 0;

	for (unsigned k = 0; k < model->count; k++) {
		struct model_message *m = &model->message[k];
		unsigned touched = 0;

		for (unsigned i = 0; i < m->count; i++)
			touched += m->rcpt[i].delivered || m->rcpt[i].bounced;
		if (m->fate != MODEL_ACCEPTED && !touched)
			continue;
		for (unsigned i = 0; i < m->count; i++) {
			const char *what = how(m, &m->rcpt[i]);

			bad += what != NULL;
			sim_ok(!what,
			       "%s: %s: delivered %u, returned %u, deleted %d, unsure %u, fate %d",
			       name(m, i), what ? what : "", m->rcpt[i].delivered,
			       m->rcpt[i].bounced, m->rcpt[i].deleted, m->rcpt[i].unsure, m->fate);
		}
	}
	return bad;
}
