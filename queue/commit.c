#include "queue/commit.h"

#include "core/err.h"
#include "core/log.h"
#include "core/syncdir.h"
#include "core/thread.h"
#include "queue/census.h"
#include "queue/marks.h"
#include "queue/park.h"
#include "queue/qclock.h"
#include "queue/qmgr_stats.h"
#include "queue/waiting.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { HOLD_FROM_BATCH = 3, REOPEN_USEC = USEC_PER_SEC, BATCH_ROWS = 4000 };
/* As long as something waits, so much is the most that a crash takes from the time of the queue. */
static const usec_t CLOCK_USEC = 900 * (usec_t)USEC_PER_SEC;

struct file_gone {
	struct file_gone *next;
	uint64_t ta;
};

struct committer {
	struct committer_setup set;
	_Atomic usec_t max_delay, hold, checkpoint_usec;
	_Atomic uint64_t checkpoint_bytes;
	atomic_uint max_batch;
	uint64_t log_bytes;   /* written since the last checkpoint */
	usec_t checkpoint_at; /* of the last one */
	struct mailbox box;
	_Atomic usec_t busy_since; /* monotonic; 0: it is not writing */
	atomic_bool deep;          /* asleep without a deadline: lazy posts must wake it */
	atomic_bool stop;
	pthread_t thread;
	struct store *store;
	struct store_batch *batch;

	struct ta *group, **group_end; /* requests of this turn, in order */
	unsigned group_count;
	unsigned group_mean8;      /* mean size of a group, times 8 */
	struct ta *pending;        /* durable, to be put into ibdb */
	struct ta *touched;        /* recipients finished, marks to be put */
	struct ta *leaving;        /* out of the table after the next batch */
	struct file_gone *files;   /* own files to remove after the next batch */
	struct commit_call *calls; /* waiting for the next batch */
	struct cdb_ref *freed;     /* records that are not needed any more after the next batch */
	unsigned freed_count, freed_cap;
	usec_t clock_at; /* when the row `clock` was written */
	usec_t flush_at; /* 0: nothing to write */
	bool flush_lazy; /* only marks wait for it, news come earlier */
	struct waiting waiting;
	bool twice; /* a batch was repeated: keys may have been put twice */
	int db_error;
	usec_t reopen_at;
};

static void news(struct committer *c)
{
	if (!c->flush_at || c->flush_lazy)
		c->flush_at = clock_now() + atomic_load(&c->max_delay);
	c->flush_lazy = false;
}

static void busy(struct committer *c, usec_t since)
{
	atomic_store_explicit(&c->busy_since, since, memory_order_relaxed);
}

static void delete_once(struct committer *c, enum store_family f, struct store_key key)
{
	if (c->twice)
		store_delete(c->store, c->batch, f, store_key_span(&key));
	else
		store_delete_once(c->store, c->batch, f, store_key_span(&key));
}

/* ---- requests */

static int sync_file(struct committer *c, uint64_t ta)
{
	char path[CDB_PATH_MAX];
	int rc = 0;

	cdb_file_path(c->set.base, ta, path);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fdatasync(fd))
		rc = -errno;
	close(fd);
	/* Its name must be as durable as its bytes. */
	char *slash = strrchr(path, '/');
	if (slash)
		*slash = 0;
	if (!rc)
		rc = syncdir(slash ? path : ".");
	stats_add(QMGR_STAT_SYNCS, 2);
	return rc;
}

static void add_request(struct committer *c, struct ta *ta)
{
	int error = 0;

	ta->c.group_next = NULL;
	*c->group_end = ta;
	c->group_end = &ta->c.group_next;
	c->group_count++;
	ta->error = c->db_error;
	if (ta->error || !ta->ref.seg)
		return;
	struct segment *g = segments_get(c->set.segments, ta->ref.seg, ta->ref.gen, &error);
	if (!g)
		ta->error = error;
	else if (segment_bad(g))
		ta->error = segment_bad(g);
	else if (!segment_has(g, ta->ref.off))
		segment_dirty(c->set.segments, g);
	else
		ta->error = segment_orphaned(g) ? -ESTALE : -EALREADY;
}

static void pend(struct committer *c, struct ta *ta)
{
	ta->c.pending = true;
	ta->c.next = c->pending;
	ta->c.prev = &c->pending;
	if (c->pending)
		c->pending->c.prev = &ta->c.next;
	c->pending = ta;
	news(c);
}

static void unpend(struct ta *ta)
{
	*ta->c.prev = ta->c.next;
	if (ta->c.next)
		ta->c.next->c.prev = ta->c.prev;
	ta->c.pending = false;
}

/* Was the commit of this file made before, whatever became of it since? The client may still wait
 * for the answer, but its worker lost the link. Another try would deliver it again, from a file
 * that is about to go. 1, 0, or -errno. */
static int file_was_here(struct committer *c, uint64_t ta)
{
	struct store_key rows[] = { store_key_ta(ta), store_key_file(ta) };
	static const enum store_family family[] = { STORE_IBDB, STORE_META };

	if (aq_find(ta))
		return 1;
	for (const struct file_gone *f = c->files; f; f = f->next)
		if (f->ta == ta)
			return 1;
	for (unsigned i = 0; i < 2; i++) {
		char *value;
		size_t n;
		int rc = store_get(c->store, family[i], store_key_span(&rows[i]), &value, &n);

		if (rc == -ENOENT)
			continue;
		if (!rc)
			free(value);
		return rc ? rc : 1;
	}
	return 0;
}

/* After the sync: is it durable? Then it counts from now on. */
static int settle(struct committer *c, struct ta *ta)
{
	int error;

	if (ta->error)
		return ta->error;
	if (!ta->ref.seg) {
		error = file_was_here(c, ta->id);
		if (error)
			return error > 0 ? -EALREADY : error;
		error = sync_file(c, ta->id);
		if (error)
			return error;
		return aq_insert(ta) ? 0 : -EALREADY;
	}
	struct segment *g = segments_get(c->set.segments, ta->ref.seg, ta->ref.gen, &error);
	if (!g)
		return error;
	if (segment_bad(g))
		return segment_bad(g);
	if (!segment_account(g, ta->ref.off, ta->ref.len) || !aq_insert(ta))
		return -EALREADY;
	segment_use(c->set.segments, g, ta->ref.len, 1);
	return 0;
}

static void answer(struct loop_mail *m)
{
	struct ta *ta = caa_container_of(m, struct ta, answer);

	ta->answered(ta, ta->error);
}

static void flush(struct committer *c);

static void commit_group(struct committer *c)
{
	struct ta *group = c->group, *next;
	unsigned n = c->group_count;
	usec_t start = clock_now();

	c->group = NULL;
	c->group_end = &c->group;
	c->group_count = 0;
	busy(c, start);
	rcu_offline();
	stats_add(QMGR_STAT_SYNCS, segments_sync(c->set.segments, c->set.bad, c->set.ctx));
	rcu_online();
	for (struct ta *ta = group; ta; ta = ta->c.group_next) {
		ta->error = settle(c, ta);
		if (!ta->error) {
			pend(c, ta);
			census_came(ta->env.wall_arrival);
		}
	}
	if (atomic_load(&c->max_delay) == 0 && c->flush_at)
		flush(c);
	for (struct ta *ta = group; ta; ta = next) {
		next = ta->c.group_next;
		ta->answer.fn = answer;
		loop_post(ta->home, &ta->answer);
	}
	busy(c, 0);
	stats_observe(QMGR_STAT_COMMIT_BATCH, n);
	stats_observe(QMGR_STAT_COMMIT_USEC, (uint64_t)(clock_now() - start));
	log_event(LOG_LV_DEBUG, LOG_SEV_NONE, "commit", "transactions=%u", n);
	c->group_mean8 = (c->group_mean8 * 7 + n * 8) / 8;
}

/* ---- outcomes */

static void touch(struct committer *c, struct ta *ta)
{
	if (!ta->c.touched) {
		ta->c.touched = true;
		ta->c.touched_next = c->touched;
		c->touched = ta;
	}
	news(c);
}

static void do_rcpts(struct committer *c, struct commit_rcpts *op)
{
	for (unsigned i = 0; i < op->count; i++) {
		if (op->rcpt[i].done) {
			struct committed_rcpt *r = waiting_rcpt(op->ta, op->rcpt[i].idx);

			waiting_forget(&c->waiting, op->ta, op->rcpt[i].idx);
			r->done = true;
			r->reported = op->rcpt[i].reported;
			r->warned = op->rcpt[i].warned;
		} else {
			waiting_put(&c->waiting, op->ta, &op->rcpt[i], op->park);
		}
	}
	if (op->park)
		park_put(op->park);
	touch(c, op->ta);
	free(op);
}

static void free_content(struct committer *c, struct ta *ta)
{
	if (ta->ref.seg) {
		if (c->freed_count == c->freed_cap) {
			c->freed_cap = c->freed_cap ? c->freed_cap * 2 : 256;
			c->freed = xrealloc(c->freed, c->freed_cap * sizeof *c->freed);
		}
		c->freed[c->freed_count++] = ta->ref;
		return;
	}
	struct file_gone *f = xmalloc(sizeof *f);
	struct store_key key = store_key_file(ta->id);
	*f = (struct file_gone){ c->files, ta->id };
	c->files = f;
	store_put(c->store, c->batch, STORE_META, store_key_span(&key), span_of("", 0));
}

static void untouch(struct committer *c, struct ta *ta)
{
	struct ta **at = &c->touched;

	while (*at && *at != ta)
		at = &(*at)->c.touched_next;
	if (*at)
		*at = ta->c.touched_next;
}

static void leave_with_batch(struct committer *c, struct ta *ta)
{
	ta->c.leaving_next = c->leaving;
	c->leaving = ta;
}

static void do_finish(struct committer *c, struct ta *ta)
{
	struct store_key key = store_key_ta(ta->id);

	news(c);
	census_left(ta->env.wall_arrival);
	if (ta->c.pending)
		unpend(ta);
	else if (ta->c.again)
		store_delete(c->store, c->batch, STORE_IBDB, store_key_span(&key));
	else if (ta->c.in_db)
		delete_once(c, STORE_IBDB, key);
	for (uint32_t i = 0; ta->c.rcpt && i < ta->env.rcpt_count; i++) {
		waiting_forget(&c->waiting, ta, i);
		if (ta->c.rcpt[i].marked)
			delete_once(c, STORE_IBDB, store_key_rcpt(ta->id, i));
	}
	if (ta->c.touched)
		untouch(c, ta);
	free_content(c, ta);
	/* As long as the database has rows of it, the keeper must find it here, all done: a row of
	 * the index would make it load and deliver it again. */
	if (ta->c.in_db)
		leave_with_batch(c, ta);
	else
		aq_remove(ta);
}

static void do_unload(struct committer *c, struct ta *ta)
{
	leave_with_batch(c, ta);
	news(c);
}

static void do_call(struct committer *c, struct commit_call *call)
{
	bool wants = call->flushed != NULL;

	call->committer = c;
	if (wants) {
		call->next = c->calls;
		c->calls = call;
		news(c);
	}
	call->fn(call);
}

static void handle(struct committer *c, struct commit_op *op)
{
	switch (op->kind) {
	case COMMIT_REQUEST:
		add_request(c, caa_container_of(op, struct ta, op));
		break;
	case COMMIT_FINISH:
		do_finish(c, caa_container_of(op, struct ta, op));
		break;
	case COMMIT_UNLOAD:
		do_unload(c, caa_container_of(op, struct ta, op));
		break;
	case COMMIT_RCPTS:
		do_rcpts(c, caa_container_of(op, struct commit_rcpts, op));
		break;
	case COMMIT_CALL:
		do_call(c, caa_container_of(op, struct commit_call, op));
		break;
	}
}

/* ---- the batch for the database */

static void put_pending(struct committer *c)
{
	while (c->pending) {
		struct ta *ta = c->pending;
		struct store_key key = store_key_ta(ta->id);
		char small[4096];
		size_t n = STORE_TA_HEAD + ta->blob.n;
		char *value = n <= sizeof small ? small : xmalloc(n);

		unpend(ta);
		store_ta_head_encode(&ta->ref, value);
		memcpy(value + STORE_TA_HEAD, ta->blob.p, ta->blob.n);
		store_put(c->store, c->batch, STORE_IBDB, store_key_span(&key), span_of(value, n));
		ta->c.in_db = true;
		if (value != small)
			free(value);
	}
}

static void put_marks(struct committer *c)
{
	while (c->touched) {
		struct ta *ta = c->touched;

		c->touched = ta->c.touched_next;
		ta->c.touched = false;
		for (uint32_t i = 0; ta->c.rcpt && i < ta->env.rcpt_count; i++) {
			struct committed_rcpt *r = &ta->c.rcpt[i];

			if (r->done && !r->marked) {
				struct store_key key = store_key_rcpt(ta->id, i);

				store_put(c->store, c->batch, STORE_IBDB, store_key_span(&key),
					  store_mark(r->reported, r->warned));
				r->marked = true;
			}
		}
	}
}

static void remove_files(struct committer *c)
{
	struct file_gone *next;
	char path[CDB_PATH_MAX];

	for (struct file_gone *f = c->files; f; f = next) {
		next = f->next;
		cdb_file_path(c->set.base, f->ta, path);
		if (unlink(path) && errno != ENOENT)
			log_event(LOG_LV_ERROR, LOG_SEV_ERR, "commit", "file=%s, error=%s", path,
				  strerror(errno));
		free(f);
	}
	c->files = NULL;
}

/* What had to wait until the batch is on disk. */
static void after_batch(struct committer *c)
{
	for (unsigned i = 0; i < c->freed_count; i++) {
		struct segment *g = segments_find(c->set.segments, c->freed[i].seg);

		if (g) {
			segment_finished(c->set.segments, g, &c->freed[i]);
			segment_use(c->set.segments, g, c->freed[i].len, -1);
		}
	}
	c->freed_count = 0;
	remove_files(c);
	while (c->leaving) {
		struct ta *ta = c->leaving;

		c->leaving = ta->c.leaving_next;
		aq_remove(ta);
	}
	struct commit_call *calls = c->calls, *next;
	c->calls = NULL;
	for (; calls; calls = next) {
		next = calls->next;
		calls->flushed(calls, 0);
	}
	usec_t wall_first = waiting_written(&c->waiting);
	if (wall_first && c->set.deferred)
		c->set.deferred(c->set.ctx, wall_first);
	segments_reap(c->set.segments, c->set.recycle, c->set.ctx);
	if (c->set.sparse && segments_sparse(c->set.segments))
		c->set.sparse(c->set.ctx);
	if (segments_write_marks(c->set.segments, false) && !c->flush_at) {
		c->flush_at = clock_now() + MARKS_WAIT_USEC;
		c->flush_lazy = true;
	}
	if (!c->flush_at && census_now().messages) {
		c->flush_at = c->clock_at + CLOCK_USEC;
		c->flush_lazy = true;
	}
}

static void db_failed(struct committer *c, int rc)
{
	if (!c->db_error)
		log_event(LOG_LV_ERROR, LOG_SEV_CRIT, "commit",
			  "stat=database write failed, error=%s", store_error());
	/* A compaction that meets a damaged file would stop it again and again. */
	c->set.reopen.no_compaction |= rc == -EUCLEAN;
	c->db_error = rc == -ENOSPC ? -ENOSPC : -EIO;
	c->twice = true;
	c->reopen_at = clock_now() + REOPEN_USEC;
	c->flush_at = c->reopen_at;
	c->flush_lazy = false;
	stats_add(QMGR_STAT_DB_ERRORS, 1);
}

/* R 8.3: the log is cut after so much, not more often than that. */
static void checkpoint(struct committer *c, uint64_t bytes)
{
	uint64_t limit = atomic_load(&c->checkpoint_bytes);
	usec_t now = clock_now();

	c->log_bytes += bytes;
	if (!limit || c->log_bytes < limit ||
	    now - c->checkpoint_at < atomic_load(&c->checkpoint_usec))
		return;
	c->log_bytes = 0;
	c->checkpoint_at = now;
	if (store_checkpoint(c->store))
		log_event(LOG_LV_ERROR, LOG_SEV_ERR, "commit", "stat=checkpoint failed, error=%s",
			  store_error());
}

/* With each batch; without one when it is old, or the last thing that is written. */
static bool wants_clock(const struct committer *c)
{
	return store_batch_count(c->batch) ||
	       (census_now().messages &&
		(atomic_load(&c->stop) || clock_now() - c->clock_at >= CLOCK_USEC));
}

static void flush(struct committer *c)
{
	uint64_t bytes = 0;
	unsigned rows = 0;
	int rc = 0;

	if (!atomic_load_explicit(&c->busy_since, memory_order_relaxed))
		busy(c, clock_now());
	put_pending(c);
	put_marks(c);
	waiting_put_heads(&c->waiting);
	segments_write(c->set.segments, c->store, c->batch);
	rcu_offline();
	if (c->db_error)
		rc = store_reopen(c->store, &c->set.reopen);
	if (!rc && wants_clock(c)) {
		rows = store_batch_count(c->batch);
		qclock_put(c->store, c->batch);
		bytes = store_batch_bytes(c->batch);
		c->clock_at = clock_now();
		rc = store_write(c->store, c->batch);
		stats_add(QMGR_STAT_SYNCS, 1);
		stats_add(QMGR_STAT_DB_BATCHES, 1);
		stats_add(QMGR_STAT_DB_ROWS, rc ? 0 : rows);
	}
	rcu_online();
	busy(c, 0);
	if (rc) {
		db_failed(c, rc);
		return;
	}
	if (c->db_error)
		log_event(LOG_LV_WARN, LOG_SEV_WARN, "commit", "stat=database is back%s",
			  c->set.reopen.no_compaction ? ", compaction=none until it is rebuilt"
						      : "");
	c->db_error = 0;
	c->flush_at = 0;
	c->flush_lazy = false;
	if (rows)
		log_event(LOG_LV_DEBUG, LOG_SEV_NONE, "commit", "rows=%u, bytes=%llu", rows,
			  (unsigned long long)bytes);
	checkpoint(c, bytes);
	after_batch(c);
}

/* ---- the thread */

static void take_all(struct committer *c)
{
	struct mail *m = mailbox_take(&c->box);

	while (m) {
		struct mail *next = m->next;

		handle(c, caa_container_of(m, struct commit_op, mail));
		m = next;
		/* R 3.8 6: so many transactions wait for one commit. */
		if (c->group_count >= atomic_load(&c->max_batch))
			commit_group(c);
		/* A flood of outcomes is written in pieces, so that no client waits for all of it. */
		if (!c->db_error && store_batch_count(c->batch) >= BATCH_ROWS) {
			if (c->group)
				commit_group(c);
			flush(c);
		}
	}
}

/* Wait for company while groups are not lonely: a lone session never waits. */
static void hold(struct committer *c)
{
	usec_t wait = atomic_load(&c->hold);

	if (wait <= 0 || c->group_mean8 < HOLD_FROM_BATCH * 8 ||
	    c->group_count >= atomic_load(&c->max_batch))
		return;
	struct timespec ts = { wait / USEC_PER_SEC, wait % USEC_PER_SEC * 1000 };

	rcu_offline();
	nanosleep(&ts, NULL);
	rcu_online();
	take_all(c);
}

static void wait_for_work(struct committer *c)
{
	struct pollfd p = { .fd = c->box.fd, .events = POLLIN };
	struct timespec ts, *timeout = NULL;

	if (c->flush_at) {
		usec_t left = c->flush_at - clock_now();

		if (left <= 0)
			return;
		ts = (struct timespec){ left / USEC_PER_SEC, left % USEC_PER_SEC * 1000 };
		timeout = &ts;
	}
	/* Marks alone are no deadline for what is posted lazily. */
	atomic_store(&c->deep, timeout == NULL || c->flush_lazy);
	if (mailbox_sleep(&c->box)) {
		rcu_offline();
		if (ppoll(&p, 1, timeout, NULL) > 0)
			mailbox_drain_fd(&c->box);
		rcu_online();
	}
	mailbox_wake(&c->box);
	atomic_store(&c->deep, false);
}

static void run(void *arg)
{
	struct committer *c = arg;

	stats_thread();
	while (!atomic_load(&c->stop)) {
		rcu_quiescent();
		take_all(c);
		if (c->group) {
			hold(c);
			if (c->group)
				commit_group(c);
		}
		if (c->flush_at && clock_now() >= c->flush_at)
			flush(c);
		if (!atomic_load(&c->stop))
			wait_for_work(c);
	}
	take_all(c);
	if (c->group)
		commit_group(c);
	flush(c);
	segments_write_marks(c->set.segments, true);
}

struct committer *committer_start(const struct committer_setup *s)
{
	struct committer *c = xcalloc(1, sizeof *c);

	c->set = *s;
	committer_tune(c, s);
	c->store = s->store;
	c->batch = store_batch_new();
	c->waiting = (struct waiting){ .store = c->store, .batch = c->batch };
	c->group_end = &c->group;
	if (mailbox_init(&c->box) || thread_start(&c->thread, "committer", THREAD_ANY_CPU, run, c))
		panic("cannot start the committer");
	return c;
}

void committer_tune(struct committer *c, const struct committer_setup *s)
{
	atomic_store(&c->max_delay, s->max_delay_usec);
	atomic_store(&c->hold, s->hold_usec);
	atomic_store(&c->max_batch, s->max_batch);
	atomic_store(&c->checkpoint_bytes, s->checkpoint_bytes);
	atomic_store(&c->checkpoint_usec, s->checkpoint_usec);
}

usec_t committer_age(const struct committer *c)
{
	usec_t since = atomic_load_explicit(&c->busy_since, memory_order_relaxed);

	return since ? clock_now() - since : 0;
}

static void post(struct committer *c, struct commit_op *own, bool soon)
{
	if (soon)
		mailbox_post(&c->box, &own->mail);
	else
		mailbox_post_lazy(&c->box, &own->mail, &c->deep);
}

static void nothing(struct commit_call *call)
{
	free(call);
}

void committer_stop(struct committer *c)
{
	struct commit_call *wake = xcalloc(1, sizeof *wake);

	atomic_store(&c->stop, true);
	wake->fn = nothing;
	commit_call(c, wake, true);
	thread_join(c->thread);
	store_batch_free(c->batch);
	mailbox_close(&c->box);
	free(c->freed);
	free(c);
}

void commit_request(struct committer *c, struct ta *own)
{
	own->op.kind = COMMIT_REQUEST;
	post(c, &own->op, true);
}

void commit_finish(struct committer *c, struct ta *own)
{
	own->op.kind = COMMIT_FINISH;
	post(c, &own->op, false);
}

void commit_unload(struct committer *c, struct ta *own)
{
	own->op.kind = COMMIT_UNLOAD;
	post(c, &own->op, false);
}

void commit_rcpts(struct committer *c, struct commit_rcpts *own)
{
	own->op.kind = COMMIT_RCPTS;
	post(c, &own->op, false);
}

void commit_call(struct committer *c, struct commit_call *own, bool soon)
{
	own->op.kind = COMMIT_CALL;
	post(c, &own->op, soon);
}

struct store *committer_store(struct committer *c)
{
	return c->store;
}

struct store_batch *committer_batch(struct committer *c)
{
	return c->batch;
}

bool committer_is_behind(const struct committer *c)
{
	return c->db_error != 0;
}

struct segments *committer_segments(struct committer *c)
{
	return c->set.segments;
}
