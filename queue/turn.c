#include "queue/turn.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

static void finish(struct turn *t)
{
	pthread_mutex_lock(&lock);
	bool left = t->left;
	t->done = true;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&lock);
	if (left)
		t->end(t);
}

static void run(struct commit_call *call)
{
	struct turn *t = caa_container_of(call, struct turn, call);

	t->run(t);
	if (!t->synced)
		finish(t);
}

static void synced(struct commit_call *call, int error)
{
	struct turn *t = caa_container_of(call, struct turn, call);

	(void)error;
	t->synced(t);
	finish(t);
}

bool turn_take(struct committer *c, struct turn *own, const atomic_bool *stop)
{
	own->call.fn = run;
	own->call.flushed = own->synced ? synced : NULL;
	commit_call(c, &own->call, true);
	pthread_mutex_lock(&lock);
	while (!own->done && !atomic_load(stop))
		pthread_cond_wait(&cond, &lock);
	bool done = own->done;
	own->left = !done;
	pthread_mutex_unlock(&lock);
	return done;
}

void turn_wake(void)
{
	pthread_mutex_lock(&lock);
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&lock);
}
