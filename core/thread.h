/*
 * core/thread.h - the only place that starts threads: name, core, RCU registration, signals
 * blocked.
 */
#ifndef CORE_THREAD_H
#define CORE_THREAD_H
#include <pthread.h>
#include <stdbool.h>

enum { THREAD_ANY_CPU = -1 };

/* Starts fn(arg) in a thread named `name` (15 bytes), pinned to `cpu` unless THREAD_ANY_CPU,
 * registered with RCU (online). All signals are blocked in it. 0 or -errno; join with
 * thread_join(). */
int thread_start(pthread_t *out, const char *name, int cpu, void (*fn)(void *), void *arg);
/* Waits for its end; the caller goes RCU-offline meanwhile if it is registered. */
void thread_join(pthread_t t);

/* Register the main thread with RCU; once, before it uses tables. */
void thread_main_register(void);

/* CPUs that this process may use (affinity mask and cgroup quota), at least 1. */
unsigned thread_cpu_count(void);
/* The n-th usable CPU, for pinning; wraps around. */
int thread_cpu_nth(unsigned n);

#endif
