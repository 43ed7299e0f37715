/*
 * tests/queue/sim_clock.h - a clock for a whole process that moves only when its harness says so.
 *
 * How:     the linker puts the __wrap_ functions of sim_clock.c in the place of clock_gettime() and
 *          of everything that waits (epoll, condition variables, semaphores, ...) for the objects of
 *          this tree; nothing in them knows of it. Libraries and the log thread keep the real time.
 * Quiet:   all threads that thread_start() made wait, and what they wait for is not there. Only then
 *          the time moves, to the next instant that somebody waits for, and one thread is woken.
 * Threads: one harness thread, the one that called sim_clock_start(); it runs its own loop.
 * Limits:  SIM_THREADS_MAX threads; a minute of real time without quiet is a panic that names who
 *          is not quiet.
 */
#ifndef TESTS_QUEUE_SIM_CLOCK_H
#define TESTS_QUEUE_SIM_CLOCK_H
#include "core/loop.h"

enum { SIM_THREADS_MAX = 64 };

/* From here on the calling thread and those it starts see this time. serial: they run one by one, in
 * an order that the next run repeats; else as the system lets them. */
void sim_clock_start(usec_t mono, usec_t wall, bool serial);
/* The harness runs this loop while it waits. */
void sim_clock_loop(struct loop *l);
/* Waits until all is quiet; the time stands still. */
void sim_clock_settle(void);
/* Moves the time to the next instant that somebody waits for, at most to `limit` (monotonic), and
 * settles. False: limit was reached. */
bool sim_clock_step(usec_t limit);
/* All steps up to that time. */
void sim_clock_until(usec_t at);
/* The wall clock jumps, the monotonic one does not. */
void sim_clock_jump(usec_t by_usec);
usec_t sim_clock_mono(void);
usec_t sim_clock_wall(void);
/* Threads of ours that live. */
unsigned sim_clock_threads(void);

#endif
