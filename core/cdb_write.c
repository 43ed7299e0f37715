#include "core/cdb_write.h"

#include "core/cdb_segfile.h"
#include "core/cdb_writer.h"
#include "core/crc32c.h"
#include "core/err.h"
#include "core/log.h"
#include "core/thread.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { JOBS_MAX = 65536, SMALLEST_BYTES = 64 * 1024 };

static uint64_t steps(uint64_t bytes)
{
	return (bytes + CDB_STEP - 1) & ~(uint64_t)(CDB_STEP - 1);
}

/* Any thread: wake the helper. */
static void kick(struct cdb_writer *w)
{
	if (!atomic_exchange(&w->kicked, true))
		sem_post(&w->work);
}

/* Something is to be told in loop notify. */
void cdb_writer_announce(struct cdb_writer *w)
{
	if (w->note && !atomic_exchange(&w->note->posted, true))
		loop_post(w->s.notify, &w->note->mail);
}

/* ---- appending */

void cdb_writer_let_go(struct cdb_writer *w, struct cdb_slot *s, int count)
{
	if (atomic_fetch_sub(&s->holders, count) != count || atomic_exchange(&s->finished, true))
		return;
	cdb_writer_announce(w);
	kick(w);
}

struct cdb_slot *cdb_writer_hold(struct cdb_writer *w)
{
	for (;;) {
		struct cdb_slot *s = atomic_load(&w->current);

		atomic_fetch_add(&s->holders, 1);
		if (s == atomic_load(&w->current))
			return s;
		cdb_writer_let_go(w, s, 1);
	}
}

/* Offset of n bytes, a multiple of CDB_STEP; 0: it is full. */
static uint64_t reserve(struct cdb_writer *w, struct cdb_slot *s, uint64_t n)
{
	uint64_t at = atomic_load_explicit(&s->next, memory_order_relaxed);

	if (atomic_load_explicit(&s->bad, memory_order_relaxed))
		return 0;
	do {
		if (n > s->bytes - at)
			return 0;
	} while (!atomic_compare_exchange_weak(&s->next, &at, at + n));
	/* Early enough that the next one is ready before this one is full. */
	if (at < s->bytes / 2 && at + n >= s->bytes / 2)
		kick(w);
	return at;
}

/* From a full segment, which the caller holds, to the next one. 0, -EAGAIN or why there is none. */
int cdb_writer_go_on(struct cdb_writer *w, struct cdb_slot *s)
{
	struct cdb_slot *next = atomic_load(&s->successor);
	struct cdb_slot *cur = s;

	if (!next) {
		int why = atomic_load(&w->error);

		kick(w);
		return why ? why : -EAGAIN;
	}
	if (atomic_compare_exchange_strong(&w->current, &cur, next))
		cdb_writer_let_go(w, s, CDB_BIAS);
	return 0;
}

/* Writes the pieces behind each other. 0 or -errno. */
static int write_pieces(int fd, struct iovec *v, unsigned count, uint64_t at)
{
	while (count) {
		ssize_t n = pwritev(fd, v, (int)count, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		at += (uint64_t)n;
		while (count && (size_t)n >= v->iov_len) {
			n -= (ssize_t)v->iov_len;
			v++;
			count--;
		}
		if (count) {
			v->iov_base = (char *)v->iov_base + n;
			v->iov_len -= (size_t)n;
		}
	}
	return 0;
}

static int write_record(int fd, uint64_t at, const struct cdb_head *h, const struct iovec *parts,
			unsigned part_count, struct span envelope)
{
	enum { BATCH = 64 };
	struct iovec v[BATCH];
	char head[CDB_HEAD];
	unsigned n = 0;
	int rc = 0;

	cdb_head_encode(h, head);
	v[n++] = (struct iovec){ head, CDB_HEAD };
	for (unsigned i = 0; i <= part_count && !rc; i++) {
		v[n++] = i < part_count ? parts[i]
					: (struct iovec){ (void *)envelope.p, envelope.n };
		if (n < BATCH && i < part_count)
			continue;
		uint64_t bytes = 0;
		for (unsigned k = 0; k < n; k++)
			bytes += v[k].iov_len;
		if (bytes)
			rc = write_pieces(fd, v, n, at);
		at += bytes;
		n = 0;
	}
	return rc;
}

static void fill_crcs(struct cdb_head *h, const struct iovec *parts, unsigned part_count,
		      struct span envelope)
{
	h->content_crc = 0;
	for (unsigned i = 0; i < part_count; i++)
		h->content_crc = crc32c(h->content_crc, parts[i].iov_base, parts[i].iov_len);
	h->envelope_crc = crc32c(0, envelope.p, envelope.n);
}

/* Nothing of what was half written may look like a record. */
static void give_up(struct cdb_writer *w, struct cdb_slot *s, uint64_t at, int why)
{
	static const char zeros[CDB_HEAD];

	cdb_segfile_pwrite(s->fd, zeros, sizeof zeros, at);
	if (!atomic_exchange(&s->bad, true))
		log_event(LOG_LV_ERROR, LOG_SEV_ERR, "cdb_append",
			  "seg=%016llX, errno=%s, status=sealed", (unsigned long long)s->seg,
			  strerrorname_np(-why));
	cdb_writer_go_on(w, s);
}

int cdb_append(struct cdb_writer *w, struct cdb_head *h, const struct iovec *parts,
	       unsigned part_count, struct span envelope, struct cdb_ref *ref)
{
	struct cdb_slot *s;
	uint64_t at;

	h->content_bytes = 0;
	for (unsigned i = 0; i < part_count; i++)
		h->content_bytes += parts[i].iov_len;
	h->envelope_bytes = (uint32_t)envelope.n;
	uint64_t need = steps(cdb_record_bytes(h));
	if (need > w->segment_bytes / 4)
		return -EAGAIN;
	fill_crcs(h, parts, part_count, envelope);
	for (;;) {
		s = cdb_writer_hold(w);
		at = reserve(w, s, need);
		if (at)
			break;
		int rc = cdb_writer_go_on(w, s);
		cdb_writer_let_go(w, s, 1);
		if (rc)
			return rc;
	}
	h->gen = s->gen;
	*ref = (struct cdb_ref){ s->seg, s->gen, at, cdb_record_bytes(h) };
	int rc = write_record(s->fd, at, h, parts, part_count, envelope);
	if (rc)
		give_up(w, s, at, rc);
	cdb_writer_let_go(w, s, 1);
	return rc;
}

/* ---- telling */

enum { EVENTS_MAX = 2 * CDB_SLOTS + CDB_POOL_MAX };

struct event {
	uint64_t seg, gen, bytes_or_end;
	enum { OPEN = 0, SEALED, SPARE } what;
};

/* With mu. again: also those that were told. */
static unsigned collect_spares(struct cdb_writer *w, struct event *e, bool again)
{
	unsigned n = 0;

	for (struct cdb_spare *p = w->pool; w->s.spare && p < w->pool + w->pool_count; p++) {
		if (p->told && !again)
			continue;
		p->told = true;
		e[n++] = (struct event){ p->seg, p->gen, p->bytes, SPARE };
	}
	return n;
}

static unsigned collect(struct cdb_writer *w, struct event *e)
{
	unsigned n = 0;

	pthread_mutex_lock(&w->mu);
	for (struct cdb_slot *s = w->slot; s < w->slot + CDB_SLOTS; s++) {
		if (s->in_use && !s->told_open) {
			s->told_open = true;
			e[n++] = (struct event){ s->seg, s->gen, s->bytes, OPEN };
		}
	}
	for (struct cdb_slot *s = w->slot; s < w->slot + CDB_SLOTS; s++) {
		if (s->in_use && !s->told_seal && atomic_load(&s->finished)) {
			s->told_seal = true;
			e[n++] = (struct event){ s->seg, s->gen, atomic_load(&s->next), SEALED };
		}
	}
	n += collect_spares(w, e + n, false);
	pthread_mutex_unlock(&w->mu);
	return n;
}

static void tell(struct cdb_writer *w, const struct event *e, unsigned n)
{
	for (; n; n--, e++) {
		if (e->what == SPARE)
			w->s.spare(w->s.ctx, e->seg, e->gen, e->bytes_or_end);
		else
			w->s.segment(w->s.ctx, e->seg, e->gen, e->bytes_or_end, e->what == SEALED);
	}
}

static void tell_done(struct cdb_writer *w)
{
	pthread_mutex_lock(&w->mu);
	struct cdb_job *j = w->done;
	w->done = NULL;
	pthread_mutex_unlock(&w->mu);
	while (j) {
		struct cdb_job *next = j->next;

		if (j->what == CDB_JOB_PUNCH && w->s.punched)
			w->s.punched(w->s.ctx, j->ref.seg, j->ref.gen, j->error, j->left);
		if (j->what == CDB_JOB_FREE && w->s.spare)
			w->s.spare(w->s.ctx, j->ref.seg, j->ref.gen, 0);
		cdb_writer_end_job(j);
		j = next;
	}
}

/* Notes whose writer is gone; thread of loop notify. */
static struct cdb_note *left_behind;

static void note_leave(struct cdb_note *note)
{
	note->w = NULL;
	note->next = left_behind;
	left_behind = note;
}

static void note_end(struct cdb_note *note)
{
	struct cdb_note **at = &left_behind;

	while (*at && *at != note)
		at = &(*at)->next;
	if (*at)
		*at = note->next;
	free(note);
}

static void note_run(struct loop_mail *m)
{
	struct cdb_note *note = (struct cdb_note *)m;
	struct event e[EVENTS_MAX];

	if (!note->w) {
		note_end(note);
		return;
	}
	struct cdb_writer *w = note->w;
	atomic_store(&note->posted, false);
	tell(w, e, collect(w, e));
	tell_done(w);
	kick(w);
}

void cdb_tell_segments(struct cdb_writer *w)
{
	struct event e[EVENTS_MAX];
	unsigned n = 0;

	pthread_mutex_lock(&w->mu);
	for (struct cdb_slot *s = w->slot; s < w->slot + CDB_SLOTS; s++) {
		if (s->in_use && !s->told_seal) {
			s->told_open = true;
			e[n++] = (struct event){ s->seg, s->gen, s->bytes, OPEN };
		}
	}
	n += collect_spares(w, e + n, true);
	pthread_mutex_unlock(&w->mu);
	if (w->s.segment)
		tell(w, e, n);
}

/* ---- jobs for the helper */

void cdb_writer_end_job(struct cdb_job *own)
{
	free(own->run);
	free(own);
}

static int add_job(struct cdb_writer *w, struct cdb_job job)
{
	struct cdb_job *j = malloc(sizeof *j);

	/* Without memory it is left for a later scan to find: nothing is lost but space. */
	if (!j)
		return -ENOMEM;
	*j = job;
	j->next = NULL;
	pthread_mutex_lock(&w->mu);
	bool room = w->job_count < JOBS_MAX;
	if (room) {
		*w->jobs_end = j;
		w->jobs_end = &j->next;
		w->job_count++;
	}
	pthread_mutex_unlock(&w->mu);
	if (!room)
		free(j);
	kick(w);
	return room ? 0 : -ENOMEM;
}

void cdb_segment_free(struct cdb_writer *w, uint64_t seg, uint64_t gen)
{
	add_job(w, (struct cdb_job){ .what = CDB_JOB_FREE, .ref = { .seg = seg, .gen = gen } });
}

void cdb_segment_seal(struct cdb_writer *w, uint64_t seg, uint64_t gen)
{
	add_job(w, (struct cdb_job){ .what = CDB_JOB_SEAL, .ref = { .seg = seg, .gen = gen } });
}

int cdb_segment_punch(struct cdb_writer *w, uint64_t seg, uint64_t gen, const struct cdb_run *run,
		      unsigned count)
{
	struct cdb_job job = { .what = CDB_JOB_PUNCH,
			       .ref = { .seg = seg, .gen = gen },
			       .run_count = count };

	job.run = malloc((count + 1) * sizeof *run);
	if (!job.run)
		return -ENOMEM;
	memcpy(job.run, run, count * sizeof *run);
	int rc = add_job(w, job);
	if (rc)
		free(job.run);
	return rc;
}

void cdb_kill(struct cdb_writer *w, const struct cdb_ref *ref, uint64_t ta)
{
	char path[CDB_PATH_MAX];

	if (ref->seg) {
		add_job(w, (struct cdb_job){ .what = CDB_JOB_KILL, .ref = *ref, .ta = ta });
		return;
	}
	cdb_file_path(w->base, ta, path);
	unlink(path);
}

/* ---- begin and end */

static void release(struct cdb_writer *w)
{
	for (struct cdb_slot *s = w->slot; s < w->slot + CDB_SLOTS; s++) {
		if (!s->in_use)
			continue;
		/* Nothing was ever written to it. */
		if (atomic_load(&s->next) == CDB_SEG_HEAD)
			cdb_segfile_remove(w->base, s->seg);
		close(s->fd);
	}
	for (unsigned i = 0; i < w->pool_count; i++) {
		cdb_segfile_remove(w->base, w->pool[i].seg);
		close(w->pool[i].fd);
	}
	while (w->done) {
		struct cdb_job *j = w->done;

		w->done = j->next;
		cdb_writer_end_job(j);
	}
	if (w->note && atomic_load(&w->note->posted))
		note_leave(w->note);
	else
		free(w->note);
	sem_destroy(&w->work);
	sem_destroy(&w->first_done);
	pthread_mutex_destroy(&w->mu);
	free(w->base);
	free(w);
}

/* A segment that is full: what comes goes on when its successor is there. */
static void init_none(struct cdb_slot *s)
{
	s->fd = -1;
	s->bytes = CDB_SEG_HEAD;
	atomic_init(&s->next, CDB_SEG_HEAD);
	atomic_init(&s->holders, CDB_BIAS);
	atomic_init(&s->finished, true);
}

struct cdb_writer *cdb_writer_new(const struct cdb_writer_setup *s, int *error)
{
	struct cdb_writer *w = xcalloc(1, sizeof *w);

	w->s = *s;
	w->base = xstrdup(s->base);
	w->segment_bytes = s->segment_bytes ? s->segment_bytes : cdb_segfile_bytes(s->base);
	if (w->segment_bytes < SMALLEST_BYTES)
		w->segment_bytes = SMALLEST_BYTES;
	w->segment_bytes &= ~(uint64_t)(CDB_SEG_HEAD - 1);
	w->jobs_end = &w->jobs;
	pthread_mutex_init(&w->mu, NULL);
	sem_init(&w->work, 0, 0);
	sem_init(&w->first_done, 0, 0);
	init_none(&w->none);
	for (unsigned i = 0; i < CDB_SLOTS; i++) {
		w->slot[i].fd = -1;
		atomic_init(&w->slot[i].finished, true);
	}
	if (s->notify && s->segment) {
		w->note = xcalloc(1, sizeof *w->note);
		w->note->mail.fn = note_run;
		w->note->w = w;
	}
	struct cdb_slot *first = cdb_helper_prepare(w, !s->first_later, error);
	if (first) {
		w->first = s->first_later ? first : NULL;
		atomic_store(&w->current, w->first ? &w->none : first);
		*error = thread_start(&w->helper, "cdb", THREAD_ANY_CPU, cdb_helper_run, w);
	}
	if (*error) {
		release(w);
		return NULL;
	}
	cdb_writer_announce(w);
	return w;
}

int cdb_writer_wait(struct cdb_writer *w)
{
	while (sem_wait(&w->first_done) && errno == EINTR)
		;
	return w->first_error;
}

void cdb_writer_free(struct cdb_writer *w)
{
	if (!w)
		return;
	atomic_store(&w->stop, true);
	kick(w);
	thread_join(w->helper);
	release(w);
}
