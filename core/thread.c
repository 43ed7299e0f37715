#include "core/thread.h"

#include "core/err.h"
#include "core/rcu.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct start {
	void (*fn)(void *);
	void *arg;
	int cpu;
	char name[16];
};

static _Thread_local bool registered;

static void *run(void *p)
{
	struct start s = *(struct start *)p;

	free(p);
	pthread_setname_np(pthread_self(), s.name);
	if (s.cpu != THREAD_ANY_CPU) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(s.cpu, &set);
		sched_setaffinity(0, sizeof set, &set);
	}
	rcu_register_thread();
	registered = true;
	s.fn(s.arg);
	RCU_TSAN_QUIET();
	rcu_unregister_thread();
	return NULL;
}

int thread_start(pthread_t *out, const char *name, int cpu, void (*fn)(void *), void *arg)
{
	struct start *s = xcalloc(1, sizeof *s);
	sigset_t all, old;

	s->fn = fn;
	s->arg = arg;
	s->cpu = cpu;
	snprintf(s->name, sizeof s->name, "%s", name);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int rc = pthread_create(out, NULL, run, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc)
		free(s);
	return -rc;
}

void thread_join(pthread_t t)
{
	if (registered)
		rcu_offline();
	pthread_join(t, NULL);
	if (registered)
		rcu_online();
}

void thread_main_register(void)
{
	if (!registered)
		rcu_register_thread();
	registered = true;
}

/* cgroup v2: "max 100000" or "200000 100000". */
static unsigned quota_cpus(unsigned cpus)
{
	FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
	long quota, period;

	if (!f)
		return cpus;
	if (fscanf(f, "%ld %ld", &quota, &period) == 2 && quota > 0 && period > 0) {
		unsigned n = (unsigned)((quota + period - 1) / period);

		if (n < cpus)
			cpus = n ? n : 1;
	}
	fclose(f);
	return cpus;
}

unsigned thread_cpu_count(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof set, &set))
		return 1;
	return quota_cpus((unsigned)CPU_COUNT(&set));
}

int thread_cpu_nth(unsigned n)
{
	static cpu_set_t set;
	static bool known;

	if (!known) {
		if (sched_getaffinity(0, sizeof set, &set))
			return THREAD_ANY_CPU;
		known = true;
	}
	unsigned count = (unsigned)CPU_COUNT(&set);
	unsigned k = n % count;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set) && k-- == 0)
			return cpu;
	return THREAD_ANY_CPU;
}
