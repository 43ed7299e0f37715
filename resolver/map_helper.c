#include "resolver/map_helper.h"

#include "resolver/smar_stats.h"

#include "core/err.h"
#include "core/rcu.h"
#include "core/thread.h"

#include <errno.h>
#include <stdlib.h>

struct worker {
	struct map_helper *helper;
	unsigned slot;
	pthread_t thread;
};

struct map_helper {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct map_query *first, **end; /* under lock */
	unsigned waiting, max_waiting;  /* under lock */
	bool stop;                      /* under lock */
	unsigned worker_count;
	struct worker worker[MAP_HELPER_THREADS_MAX];
};

static void answered(struct loop_mail *m)
{
	struct map_query *q = (struct map_query *)((char *)m - offsetof(struct map_query, mail));

	map_put_ref(q->map);
	q->map = NULL;
	q->done(q);
}

static void look_up(struct map_query *q)
{
	struct span value;

	q->rc = map_get(q->map, span_of(q->key, q->key_n), &value);
	if (!q->rc && value.n > sizeof q->value_bytes)
		q->rc = -E2BIG;
	if (!q->rc) {
		memcpy(q->value_bytes, value.p, value.n);
		q->value = span_of(q->value_bytes, value.n);
	}
	loop_post(q->loop, &q->mail);
}

static void run(void *arg)
{
	struct worker *w = arg;
	struct map_helper *h = w->helper;

	stats_thread();
	map_use_slot(w->slot);
	rcu_offline();
	pthread_mutex_lock(&h->lock);
	while (!h->stop) {
		struct map_query *q = h->first;

		if (!q) {
			pthread_cond_wait(&h->wake, &h->lock);
			continue;
		}
		h->first = q->next;
		if (!h->first)
			h->end = &h->first;
		h->waiting--;
		pthread_mutex_unlock(&h->lock);
		look_up(q);
		pthread_mutex_lock(&h->lock);
	}
	pthread_mutex_unlock(&h->lock);
	rcu_online();
}

struct map_helper *map_helper_start(unsigned thread_count, unsigned first_slot,
				    unsigned max_waiting)
{
	struct map_helper *h = xcalloc(1, sizeof *h);

	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->wake, NULL);
	h->end = &h->first;
	h->max_waiting = max_waiting;
	for (unsigned i = 0; i < thread_count && i < MAP_HELPER_THREADS_MAX; i++) {
		struct worker *w = &h->worker[i];

		w->helper = h;
		w->slot = first_slot + i;
		if (thread_start(&w->thread, "smar-map", THREAD_ANY_CPU, run, w)) {
			map_helper_stop(h);
			return NULL;
		}
		h->worker_count++;
	}
	return h;
}

int map_helper_ask(struct map_helper *h, struct map_query *q, struct loop *l, struct map *m,
		   struct span key)
{
	int rc = 0;

	if (!key.n || key.n > sizeof q->key)
		return -ENOENT;
	memcpy(q->key, key.p, key.n);
	q->key_n = key.n;
	q->loop = l;
	q->value = span_of(q->value_bytes, 0);
	q->mail.fn = answered;
	q->next = NULL;
	pthread_mutex_lock(&h->lock);
	if (h->waiting >= h->max_waiting) {
		rc = -EBUSY;
	} else {
		q->map = map_get_ref(m);
		*h->end = q;
		h->end = &q->next;
		h->waiting++;
		pthread_cond_signal(&h->wake);
	}
	pthread_mutex_unlock(&h->lock);
	return rc;
}

void map_helper_stop(struct map_helper *own)
{
	if (!own)
		return;
	pthread_mutex_lock(&own->lock);
	own->stop = true;
	pthread_cond_broadcast(&own->wake);
	pthread_mutex_unlock(&own->lock);
	for (unsigned i = 0; i < own->worker_count; i++)
		thread_join(own->worker[i].thread);
	for (struct map_query *q = own->first; q; q = q->next)
		map_put_ref(q->map);
	pthread_mutex_destroy(&own->lock);
	pthread_cond_destroy(&own->wake);
	free(own);
}
