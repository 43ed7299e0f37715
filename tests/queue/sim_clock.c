#include "tests/queue/sim_clock.h"

#include "core/err.h"
#include "core/rcu.h"
#include "core/thread.h"

#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { STUCK_SEC = 60 };
static const usec_t NEVER = INT64_MAX;

/* A thread of ours. All members under `mu`. */
struct rec {
	char name[16];
	bool used, running;
	bool woken;      /* may run when it is its turn */
	usec_t deadline; /* while it waits */
	int fd;          /* it waits for this, -1: for something else */
	int evfd;        /* wakes it out of that */
	const void *on;  /* or for this condition or semaphore */
	bool timed_out;
	sem_t go;
	pthread_t thread;
	struct rec *joiner;
	void (*fn)(void *arg);
	void *arg;
};

static struct rec rec[SIM_THREADS_MAX];
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t quiet = PTHREAD_COND_INITIALIZER;
static unsigned running, living;
static uint64_t generation; /* of who waits */
static _Atomic usec_t mono, wall_offset;
static atomic_bool active;
static bool one_by_one;
static _Thread_local struct rec *me;
static _Thread_local bool is_harness;
static struct loop *harness_loop;
static int harness_fd = -1;
static usec_t harness_deadline = INT64_MAX;

int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __real_epoll_wait(int epfd, struct epoll_event *ev, int n, int ms);
int __real_ppoll(struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *s);
int __real_nanosleep(const struct timespec *t, struct timespec *left);
int __real_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __real_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *t);
int __real_pthread_cond_signal(pthread_cond_t *c);
int __real_pthread_cond_broadcast(pthread_cond_t *c);
int __real_sem_wait(sem_t *s);
int __real_sem_clockwait(sem_t *s, clockid_t id, const struct timespec *t);
int __real_sem_post(sem_t *s);
int __real_thread_start(pthread_t *out, const char *name, int cpu, void (*fn)(void *), void *arg);
void __real_thread_join(pthread_t t);

int __wrap_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_epoll_wait(int epfd, struct epoll_event *ev, int n, int ms);
ssize_t __wrap_getrandom(void *dst, size_t n, unsigned flags);
int __wrap_ppoll(struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *s);
int __wrap_nanosleep(const struct timespec *t, struct timespec *left);
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *t);
int __wrap_pthread_cond_signal(pthread_cond_t *c);
int __wrap_pthread_cond_broadcast(pthread_cond_t *c);
int __wrap_sem_wait(sem_t *s);
int __wrap_sem_clockwait(sem_t *s, clockid_t id, const struct timespec *t);
int __wrap_sem_post(sem_t *s);
int __wrap_thread_start(pthread_t *out, const char *name, int cpu, void (*fn)(void *), void *arg);
void __wrap_thread_join(pthread_t t);

static usec_t usec_of(const struct timespec *t)
{
	return (usec_t)t->tv_sec * USEC_PER_SEC + t->tv_nsec / 1000;
}

/* ---- who waits; all of these under mu */

static void now_runs(struct rec *r)
{
	if (r->running)
		return;
	r->running = true;
	running++;
	generation++;
	__real_pthread_cond_signal(&quiet);
}

static void go(struct rec *r)
{
	r->woken = false;
	r->on = NULL;
	now_runs(r);
	__real_sem_post(&r->go);
}

/* One by one: the first that is woken or has something to read. Whose turn it is depends on nothing
 * but what has happened. False: nobody may run. */
static bool next_turn(void)
{
	struct pollfd p[SIM_THREADS_MAX];
	struct rec *of[SIM_THREADS_MAX], *first = NULL;
	nfds_t n = 0;

	for (int i = SIM_THREADS_MAX - 1; i >= 0; i--) {
		struct rec *r = &rec[i];

		if (r->used && r->woken)
			first = r;
		else if (r->used && r->fd >= 0) {
			of[n] = r;
			p[n++] = (struct pollfd){ .fd = r->fd, .events = POLLIN };
		}
	}
	if (n && poll(p, n, 0) > 0)
		for (nfds_t i = 0; i < n; i++)
			if (p[i].revents && (!first || of[i] < first))
				first = of[i];
	if (first)
		go(first);
	return first != NULL;
}

/* A thread has stopped running. */
static void one_less(void)
{
	running--;
	generation++;
	if (!running && !(one_by_one && next_turn()))
		__real_pthread_cond_signal(&quiet);
}

static void now_waits(struct rec *r, usec_t deadline, int fd, const void *on)
{
	r->deadline = deadline;
	r->fd = fd;
	r->on = on;
	r->timed_out = false;
	r->running = false;
	one_less();
}

static void wake(struct rec *r, bool timed_out)
{
	uint64_t one = 1;

	if (r->running || r->woken)
		return;
	r->timed_out = timed_out;
	r->on = NULL;
	if (one_by_one)
		r->woken = true;
	else if (r->fd < 0)
		go(r);
	else {
		now_runs(r);
		if (write(r->evfd, &one, sizeof one) != sizeof one)
			abort();
	}
}

/* ---- what threads wait in */

/* Until fd is ready or the time has come; or for no reason. */
static void wait_fd(int fd, usec_t deadline)
{
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN },
			       { .fd = me->evfd, .events = POLLIN } };
	uint64_t v;

	pthread_mutex_lock(&mu);
	now_waits(me, deadline, fd, NULL);
	pthread_mutex_unlock(&mu);
	if (one_by_one) {
		while (__real_sem_wait(&me->go))
			;
		return;
	}
	while (poll(p, 2, -1) < 0)
		;
	pthread_mutex_lock(&mu);
	now_runs(me);
	me->fd = -1;
	pthread_mutex_unlock(&mu);
	if (read(me->evfd, &v, sizeof v) < 0 && errno != EAGAIN)
		abort();
}

/* mu is held and released. True: the time has come. */
static bool wait_locked(const void *on, usec_t deadline)
{
	now_waits(me, deadline, -1, on);
	pthread_mutex_unlock(&mu);
	while (__real_sem_wait(&me->go))
		;
	return me->timed_out;
}

static bool wait_on(const void *on, usec_t deadline, pthread_mutex_t *m)
{
	pthread_mutex_lock(&mu);
	if (m)
		pthread_mutex_unlock(m);
	bool timed_out = wait_locked(on, deadline);
	if (m)
		pthread_mutex_lock(m);
	return timed_out;
}

static void wake_on(const void *on, bool all)
{
	pthread_mutex_lock(&mu);
	for (int i = 0; i < SIM_THREADS_MAX; i++) {
		if (!rec[i].used || rec[i].on != on || rec[i].running)
			continue;
		wake(&rec[i], false);
		if (!all)
			break;
	}
	pthread_mutex_unlock(&mu);
}

int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	usec_t t = atomic_load(&mono);

	if (!me && !is_harness)
		return __real_clock_gettime(id, ts);
	if (id == CLOCK_REALTIME)
		t += atomic_load(&wall_offset);
	else if (id != CLOCK_MONOTONIC)
		t = 0;
	*ts = (struct timespec){ t / USEC_PER_SEC, t % USEC_PER_SEC * 1000 };
	return 0;
}

/* No randomness, so that a run can be repeated; other numbers in each life. */
ssize_t __wrap_getrandom(void *dst, size_t n, unsigned flags)
{
	static atomic_uint calls;
	uint64_t x = (uint64_t)(atomic_load(&mono) + atomic_load(&wall_offset)) +
		     atomic_fetch_add(&calls, 1);

	(void)flags;
	for (size_t i = 0; i < n; i++) {
		x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9ull + 0x9e3779b97f4a7c15ull;
		((unsigned char *)dst)[i] = (unsigned char)(x >> 56);
	}
	return (ssize_t)n;
}

int __wrap_epoll_wait(int epfd, struct epoll_event *ev, int n, int ms)
{
	usec_t deadline = ms < 0 ? NEVER : atomic_load(&mono) + (usec_t)ms * USEC_PER_MSEC;

	if (is_harness) {
		harness_fd = epfd;
		harness_deadline = deadline;
		return __real_epoll_wait(epfd, ev, n, 0);
	}
	if (!me)
		return __real_epoll_wait(epfd, ev, n, ms);
	for (;;) {
		int rc = __real_epoll_wait(epfd, ev, n, 0);

		if (rc || atomic_load(&mono) >= deadline)
			return rc;
		wait_fd(epfd, deadline);
	}
}

int __wrap_ppoll(struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *s)
{
	static const struct timespec none;
	usec_t deadline = t ? atomic_load(&mono) + usec_of(t) : NEVER;

	if (!me || n != 1)
		return __real_ppoll(p, n, t, s);
	for (;;) {
		int rc = __real_ppoll(p, n, &none, s);

		if (rc || atomic_load(&mono) >= deadline)
			return rc;
		wait_fd(p->fd, deadline);
	}
}

int __wrap_nanosleep(const struct timespec *t, struct timespec *left)
{
	if (!me)
		return __real_nanosleep(t, left);
	wait_on(NULL, atomic_load(&mono) + usec_of(t), NULL);
	return 0;
}

int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
	if (!me)
		return __real_pthread_cond_wait(c, m);
	wait_on(c, NEVER, m);
	return 0;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *t)
{
	if (!me)
		return __real_pthread_cond_timedwait(c, m, t);
	return wait_on(c, usec_of(t), m) ? ETIMEDOUT : 0;
}

int __wrap_pthread_cond_signal(pthread_cond_t *c)
{
	wake_on(c, false);
	return __real_pthread_cond_signal(c);
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *c)
{
	wake_on(c, true);
	return __real_pthread_cond_broadcast(c);
}

static int sem_until(sem_t *s, usec_t deadline)
{
	for (;;) {
		pthread_mutex_lock(&mu);
		if (!sem_trywait(s)) {
			pthread_mutex_unlock(&mu);
			return 0;
		}
		if (wait_locked(s, deadline)) {
			errno = ETIMEDOUT;
			return -1;
		}
	}
}

int __wrap_sem_wait(sem_t *s)
{
	return me ? sem_until(s, NEVER) : __real_sem_wait(s);
}

int __wrap_sem_clockwait(sem_t *s, clockid_t id, const struct timespec *t)
{
	return me ? sem_until(s, usec_of(t)) : __real_sem_clockwait(s, id, t);
}

int __wrap_sem_post(sem_t *s)
{
	int rc = __real_sem_post(s);

	wake_on(s, false);
	return rc;
}

/* ---- threads */

static void born(void *arg)
{
	struct rec *r = arg;

	me = r;
	while (one_by_one && __real_sem_wait(&r->go))
		;
	r->fn(r->arg);
	pthread_mutex_lock(&mu);
	if (r->joiner)
		wake(r->joiner, false);
	r->used = r->running = false;
	living--;
	one_less();
	pthread_mutex_unlock(&mu);
	me = NULL;
}

int __wrap_thread_start(pthread_t *out, const char *name, int cpu, void (*fn)(void *), void *arg)
{
	struct rec *r = rec;

	if (!atomic_load(&active) || !strcmp(name, "log"))
		return __real_thread_start(out, name, cpu, fn, arg);
	pthread_mutex_lock(&mu);
	while (r->used)
		r++;
	if (r >= rec + SIM_THREADS_MAX)
		panic("sim: too many threads");
	if (!r->evfd) {
		r->evfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		sem_init(&r->go, 0, 0);
	}
	r->used = true;
	r->woken = one_by_one;
	r->running = !one_by_one;
	r->deadline = NEVER;
	r->fd = -1;
	r->on = NULL;
	r->joiner = NULL;
	r->fn = fn;
	r->arg = arg;
	snprintf(r->name, sizeof r->name, "%s", name);
	running += r->running;
	living++;
	generation++;
	int rc = __real_thread_start(out, name, cpu, born, r);
	if (rc)
		panic("sim: no thread");
	r->thread = *out;
	pthread_mutex_unlock(&mu);
	return 0;
}

static struct rec *rec_of(pthread_t t)
{
	for (int i = 0; i < SIM_THREADS_MAX; i++)
		if (rec[i].used && pthread_equal(rec[i].thread, t))
			return &rec[i];
	return NULL;
}

static uint64_t all_wait(void);

void __wrap_thread_join(pthread_t t)
{
	if (is_harness) {
		rcu_offline();
		all_wait();
		rcu_online();
	}
	if (me) {
		pthread_mutex_lock(&mu);
		struct rec *r = rec_of(t);
		if (r) {
			r->joiner = me;
			rcu_offline();
			wait_locked(r, NEVER);
			rcu_online();
		} else {
			pthread_mutex_unlock(&mu);
		}
	}
	__real_thread_join(t);
}

/* ---- the harness */

static void stuck(void)
{
	for (int i = 0; i < SIM_THREADS_MAX; i++)
		if (rec[i].used)
			fprintf(stderr, "sim: %s %s, fd=%d, until=%lld, now=%lld\n", rec[i].name,
				rec[i].running ? "runs" : "waits", rec[i].fd,
				(long long)rec[i].deadline, (long long)atomic_load(&mono));
	panic("sim: no quiet in %d s", STUCK_SEC);
}

/* mu is held; until somebody begins or ends to wait. */
static void await_change(void)
{
	struct timespec until;

	__real_clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STUCK_SEC;
	if (__real_pthread_cond_timedwait(&quiet, &mu, &until) == ETIMEDOUT)
		stuck();
}

/* True when one of the descriptors that are waited for is ready. mu is held. */
static bool any_ready(void)
{
	struct pollfd p[SIM_THREADS_MAX + 1];
	nfds_t n = 0;

	for (int i = 0; i < SIM_THREADS_MAX; i++)
		if (rec[i].used && rec[i].fd >= 0)
			p[n++] = (struct pollfd){ .fd = rec[i].fd, .events = POLLIN };
	return poll(p, n, 0) > 0;
}

/* Until all wait; returns the generation. */
static uint64_t all_wait(void)
{
	pthread_mutex_lock(&mu);
	for (;;) {
		while (running)
			await_change();
		if (one_by_one && next_turn())
			continue;
		uint64_t g = generation;
		if (one_by_one || !any_ready()) {
			pthread_mutex_unlock(&mu);
			return g;
		}
		while (generation == g)
			await_change();
	}
}

static bool harness_ready(void)
{
	struct pollfd p = { .fd = harness_fd, .events = POLLIN };

	return harness_fd >= 0 && poll(&p, 1, 0) > 0;
}

void sim_clock_settle(void)
{
	for (;;) {
		rcu_offline();
		uint64_t g = all_wait();
		rcu_online();
		/* The second turn tells the deadline with what the first one has set. */
		for (int i = 0; i < 2 && harness_loop; i++)
			loop_turn(harness_loop, -1);
		rcu_offline();
		bool same = all_wait() == g && !harness_ready();
		rcu_online();
		if (same)
			return;
	}
}

/* All is quiet, before and after. */
static bool step(usec_t limit)
{
	struct rec *next = NULL;
	usec_t at = harness_loop ? harness_deadline : NEVER;

	pthread_mutex_lock(&mu);
	for (int i = 0; i < SIM_THREADS_MAX; i++)
		if (rec[i].used && rec[i].deadline < at) {
			next = &rec[i];
			at = next->deadline;
		}
	bool go = at <= limit;
	if (!go)
		at = limit;
	if (at > atomic_load(&mono))
		atomic_store(&mono, at);
	if (go && next)
		wake(next, true);
	pthread_mutex_unlock(&mu);
	sim_clock_settle();
	return go;
}

bool sim_clock_step(usec_t limit)
{
	sim_clock_settle();
	return step(limit);
}

void sim_clock_until(usec_t at)
{
	sim_clock_settle();
	while (step(at))
		;
}

void sim_clock_start(usec_t at, usec_t wall, bool serial)
{
	one_by_one = serial;
	atomic_store(&mono, at);
	atomic_store(&wall_offset, wall - at);
	is_harness = true;
	atomic_store(&active, true);
}

void sim_clock_loop(struct loop *l)
{
	harness_loop = l;
}

void sim_clock_jump(usec_t by_usec)
{
	atomic_fetch_add(&wall_offset, by_usec);
}

usec_t sim_clock_mono(void)
{
	return atomic_load(&mono);
}

usec_t sim_clock_wall(void)
{
	return atomic_load(&mono) + atomic_load(&wall_offset);
}

unsigned sim_clock_threads(void)
{
	pthread_mutex_lock(&mu);
	unsigned n = living;
	pthread_mutex_unlock(&mu);
	return n;
}
