#include "core/cdb_segfile.h"
#include "core/cdb_writer.h"
#include "core/log.h"
#include "core/rcu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { RETRY_FIRST_USEC = 500000, RETRY_LAST_USEC = 5000000 };

/* ---- a next segment */

/* Increasing, and spread over the 16 folders by its last digit. */
static uint64_t next_number(struct cdb_writer *w)
{
	uint64_t n = (uint64_t)clock_wall() << 4;

	if (n <= w->last_seg)
		n = w->last_seg;
	n = (n & ~(uint64_t)15) | ((w->last_seg + 1) & 15);
	while (n <= w->last_seg)
		n += 16;
	w->last_seg = n;
	return n;
}

/* Nobody outside can guess it, so that no content can pose as a record of its segment. */
static uint64_t first_gen(void)
{
	uint64_t v = 0;

	if (getrandom(&v, sizeof v, 0) != sizeof v)
		v = (uint64_t)clock_wall() * 0x9e3779b97f4a7c15ull;
	return (v >> 1 & ~(uint64_t)0xffff) | 1;
}

/* A segment from the pool or a new one. Returns its descriptor or -errno. */
static int get_file(struct cdb_writer *w, bool synced, struct cdb_spare *out)
{
	if (w->pool_count) {
		pthread_mutex_lock(&w->mu);
		*out = w->pool[--w->pool_count];
		pthread_mutex_unlock(&w->mu);
		return out->fd;
	}
	for (int tries = 0;; tries++) {
		*out = (struct cdb_spare){ next_number(w), first_gen(), w->segment_bytes, -1,
					   false };
		out->fd = (synced ? cdb_segfile_create : cdb_segfile_make)(
			w->base, out->seg, out->gen, out->bytes, w->s.gid);
		if (out->fd >= 0 || (out->fd != -EEXIST && out->fd != -EBUSY) || tries == 100)
			return out->fd;
	}
}

static struct cdb_slot *free_slot(struct cdb_writer *w)
{
	for (struct cdb_slot *s = w->slot; s < w->slot + CDB_SLOTS; s++)
		if (!s->in_use)
			return s;
	return NULL;
}

/* A slot with a segment that is ready, not yet in anybody's hands; NULL: *error, -EAGAIN when no
 * slot is free. */
struct cdb_slot *cdb_helper_prepare(struct cdb_writer *w, bool synced, int *error)
{
	struct cdb_slot *s = free_slot(w);
	struct cdb_spare f;

	*error = -EAGAIN;
	if (!s)
		return NULL;
	int fd = get_file(w, synced, &f);
	if (fd < 0) {
		*error = fd;
		return NULL;
	}
	pthread_mutex_lock(&w->mu);
	s->seg = f.seg;
	s->gen = f.gen;
	s->bytes = f.bytes;
	s->fd = fd;
	s->told_open = s->told_seal = false;
	s->in_use = true;
	atomic_store(&s->next, CDB_SEG_HEAD);
	atomic_store(&s->successor, NULL);
	atomic_store(&s->bad, false);
	/* A late appender may still count up and down here; CDB_BIAS first, so that it does not
	 * finish the slot. */
	atomic_fetch_add(&s->holders, CDB_BIAS);
	atomic_store(&s->finished, false);
	pthread_mutex_unlock(&w->mu);
	*error = 0;
	return s;
}

static void prepare_failed(struct cdb_writer *w, int why)
{
	if (atomic_exchange(&w->error, why) != why)
		log_event(LOG_LV_ERROR, LOG_SEV_ERR, "cdb_prepare",
			  "errno=%s, status=no new segment",
			  strerrorname_np(-why) ? strerrorname_np(-why) : "?");
	w->retry_usec = w->retry_usec ? w->retry_usec * 2 : RETRY_FIRST_USEC;
	if (w->retry_usec > RETRY_LAST_USEC)
		w->retry_usec = RETRY_LAST_USEC;
	w->retry_at = clock_now() + w->retry_usec;
}

/* Makes the next segment when the current one is half full, and leaves a bad one at once. */
static void supply(struct cdb_writer *w)
{
	struct cdb_slot *s = cdb_writer_hold(w);
	bool bad = atomic_load(&s->bad);
	int why;

	if (!atomic_load(&s->successor) && (bad || atomic_load(&s->next) >= s->bytes / 2) &&
	    (!w->retry_usec || clock_now() >= w->retry_at)) {
		struct cdb_slot *next = cdb_helper_prepare(w, true, &why);

		if (next) {
			w->retry_usec = 0;
			if (atomic_exchange(&w->error, 0))
				log_event(LOG_LV_WARN, LOG_SEV_INFO, "cdb_prepare",
					  "status=segments again");
			atomic_store(&s->successor, next);
			cdb_writer_announce(w);
		} else if (why != -EAGAIN) {
			prepare_failed(w, why);
		} else {
			w->retry_usec = 0; /* the loop that closes a slot kicks */
		}
	}
	if (bad && atomic_load(&s->successor))
		cdb_writer_go_on(w, s);
	cdb_writer_let_go(w, s, 1);
}

/* ---- jobs */

/* Closing gives the lock up: from here on qmgr may free the segment. */
static void close_finished(struct cdb_writer *w)
{
	pthread_mutex_lock(&w->mu);
	for (struct cdb_slot *s = w->slot; s < w->slot + CDB_SLOTS; s++) {
		if (!s->in_use || !atomic_load(&s->finished) || (w->note && !s->told_seal))
			continue;
		close(s->fd);
		s->fd = -1;
		s->in_use = false;
	}
	pthread_mutex_unlock(&w->mu);
}

/* Only the helper gives slots to segments, so it may look without the lock. */
static struct cdb_slot *slot_of(struct cdb_writer *w, uint64_t seg)
{
	for (struct cdb_slot *s = w->slot; s < w->slot + CDB_SLOTS; s++)
		if (s->in_use && s->seg == seg)
			return s;
	return NULL;
}

static bool in_pool(const struct cdb_writer *w, uint64_t seg)
{
	for (unsigned i = 0; i < w->pool_count; i++)
		if (w->pool[i].seg == seg)
			return true;
	return false;
}

/* True: it is kept for later use. */
static bool free_segment(struct cdb_writer *w, uint64_t seg, uint64_t gen)
{
	uint64_t bytes;

	if (slot_of(w, seg) || in_pool(w, seg))
		return true;
	int fd = cdb_segfile_take(w->base, seg, gen, &bytes);
	if (fd < 0) {
		if (fd != -ENOENT && fd != -ESTALE)
			log_event(LOG_LV_WARN, LOG_SEV_WARN, "cdb_free",
				  "seg=%016llX, errno=%s, status=left alone",
				  (unsigned long long)seg, strerrorname_np(-fd));
		return false;
	}
	if (w->pool_count < CDB_POOL_MAX && bytes == w->segment_bytes &&
	    cdb_segfile_renew(fd, seg, gen + 1, bytes) == 0) {
		pthread_mutex_lock(&w->mu);
		w->pool[w->pool_count++] = (struct cdb_spare){ seg, gen + 1, bytes, fd, false };
		pthread_mutex_unlock(&w->mu);
		cdb_writer_announce(w);
		return true;
	}
	cdb_segfile_remove(w->base, seg);
	close(fd);
	return false;
}

/* The helper renews segments, so the record cannot become another one meanwhile. */
static void kill_record(struct cdb_writer *w, const struct cdb_ref *ref, uint64_t ta)
{
	char path[CDB_PATH_MAX], head[CDB_HEAD];
	struct cdb_head h;

	cdb_seg_path(w->base, ref->seg, path);
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return;
	if (pread(fd, head, sizeof head, (off_t)ref->off) == sizeof head &&
	    !cdb_head_decode(head, &h) && h.gen == ref->gen && h.ta == ta) {
		h.flags |= CDB_DEAD;
		cdb_head_encode(&h, head);
		cdb_segfile_pwrite(fd, head, sizeof head, ref->off);
	}
	close(fd);
}

static void seal_segment(struct cdb_writer *w, uint64_t seg, uint64_t gen)
{
	struct cdb_slot *s = slot_of(w, seg);

	if (s && s->gen == gen)
		atomic_store(&s->bad, true);
}

/* Told in loop notify. */
static void tell(struct cdb_writer *w, struct cdb_job *own)
{
	if (!w->note) {
		cdb_writer_end_job(own);
		return;
	}
	pthread_mutex_lock(&w->mu);
	own->next = w->done;
	w->done = own;
	pthread_mutex_unlock(&w->mu);
	cdb_writer_announce(w);
}

static void run_job(struct cdb_writer *w, struct cdb_job *own)
{
	bool news = false;

	switch (own->what) {
	case CDB_JOB_FREE:
		news = !free_segment(w, own->ref.seg, own->ref.gen);
		break;
	case CDB_JOB_KILL:
		kill_record(w, &own->ref, own->ta);
		break;
	case CDB_JOB_SEAL:
		seal_segment(w, own->ref.seg, own->ref.gen);
		break;
	case CDB_JOB_PUNCH:
		own->error = cdb_punch(w->base, own->ref.seg, own->ref.gen, own->run,
				       own->run_count, &own->left);
		news = true;
		break;
	}
	if (news)
		tell(w, own);
	else
		cdb_writer_end_job(own);
}

static void run_jobs(struct cdb_writer *w)
{
	pthread_mutex_lock(&w->mu);
	struct cdb_job *j = w->jobs;
	w->jobs = NULL;
	w->jobs_end = &w->jobs;
	w->job_count = 0;
	pthread_mutex_unlock(&w->mu);
	while (j) {
		struct cdb_job *next = j->next;

		run_job(w, j);
		j = next;
	}
}

static void wait_for_work(struct cdb_writer *w)
{
	struct timespec ts;

	if (!w->retry_usec) {
		while (sem_wait(&w->work) && errno == EINTR)
			;
	} else {
		ts.tv_sec = w->retry_at / USEC_PER_SEC;
		ts.tv_nsec = w->retry_at % USEC_PER_SEC * 1000;
		while (sem_clockwait(&w->work, CLOCK_MONOTONIC, &ts) && errno == EINTR)
			;
	}
	atomic_store(&w->kicked, false);
}

/* The first segment may be used when it is surely there. */
static void sync_first(struct cdb_writer *w)
{
	struct cdb_slot *s = w->first;

	w->first_error = cdb_segfile_sync(s->fd, w->base, s->seg);
	if (!w->first_error) {
		atomic_store(&w->none.successor, s);
		cdb_writer_go_on(w, &w->none);
	} else {
		pthread_mutex_lock(&w->mu);
		cdb_segfile_remove(w->base, s->seg);
		close(s->fd);
		s->fd = -1;
		s->in_use = false;
		atomic_store(&s->finished, true);
		atomic_fetch_sub(&s->holders, CDB_BIAS);
		pthread_mutex_unlock(&w->mu);
	}
	sem_post(&w->first_done);
}

void cdb_helper_run(void *arg)
{
	struct cdb_writer *w = arg;

	rcu_offline();
	if (w->first)
		sync_first(w);
	for (;;) {
		bool stop = atomic_load(&w->stop);

		close_finished(w);
		run_jobs(w);
		if (stop)
			break;
		supply(w);
		wait_for_work(w);
	}
	rcu_online();
}
