#include "queue/clerk.h"

#include "core/err.h"
#include "core/stats.h"
#include "core/thread.h"

#include <errno.h>

static struct {
	struct qmgr *q;
	pthread_t thread;
	pthread_mutex_t lock; /* the list; never held over a page */
	pthread_cond_t cond;
	struct clerk_job *first, **end;
	bool stop;
} the = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void paged(struct loop_mail *m)
{
	struct clerk_job *j = caa_container_of(m, struct clerk_job, mail);

	j->paged(j);
}

static void append(struct clerk_job *j)
{
	j->next = NULL;
	*the.end = j;
	the.end = &j->next;
}

/* The first job that may run; *wake: when the next one may, 0: none waits. */
static struct clerk_job *take(usec_t *wake)
{
	usec_t now = clock_now();

	*wake = 0;
	for (struct clerk_job **at = &the.first; *at; at = &(*at)->next) {
		struct clerk_job *j = *at;

		if (j->not_before > now) {
			*wake = !*wake || j->not_before < *wake ? j->not_before : *wake;
			continue;
		}
		*at = j->next;
		if (!*at)
			the.end = at;
		return j;
	}
	return NULL;
}

/* Monotonic times are those of clock_now(). */
static void wait_until(usec_t wake)
{
	struct timespec ts = { wake / USEC_PER_SEC, wake % USEC_PER_SEC * 1000 };

	if (wake)
		pthread_cond_timedwait(&the.cond, &the.lock, &ts);
	else
		pthread_cond_wait(&the.cond, &the.lock);
}

static void run(void *arg)
{
	usec_t wake;

	(void)arg;
	stats_thread();
	rcu_offline();
	pthread_mutex_lock(&the.lock);
	while (!the.stop) {
		struct clerk_job *j = take(&wake);

		if (!j) {
			wait_until(wake);
			continue;
		}
		pthread_mutex_unlock(&the.lock);
		j->again = false;
		j->page(j);
		/* After the post it belongs to loop 0. */
		bool again = j->again;
		if (!again)
			loop_post(the.q->loop[0].loop, &j->mail);
		pthread_mutex_lock(&the.lock);
		if (again)
			append(j);
	}
	pthread_mutex_unlock(&the.lock);
	rcu_online();
}

int clerk_start(struct qmgr *q)
{
	pthread_condattr_t a;

	the.q = q;
	the.end = &the.first;
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&the.cond, &a);
	pthread_condattr_destroy(&a);
	return thread_start(&the.thread, "clerk", THREAD_ANY_CPU, run, NULL);
}

void clerk_stop(void)
{
	pthread_mutex_lock(&the.lock);
	the.stop = true;
	pthread_cond_signal(&the.cond);
	pthread_mutex_unlock(&the.lock);
	thread_join(the.thread);
}

void clerk_post(struct clerk_job *own)
{
	own->mail.fn = paged;
	pthread_mutex_lock(&the.lock);
	append(own);
	pthread_cond_signal(&the.cond);
	pthread_mutex_unlock(&the.lock);
}

void clerk_again(struct clerk_job *j, usec_t delay_usec)
{
	j->again = true;
	j->not_before = delay_usec ? clock_now() + delay_usec : 0;
}
