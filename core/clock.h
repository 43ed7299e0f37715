/*
 * core/clock.h - time. Waits are monotonic usec_t, what is stored or sent is wall_usec.
 *
 * Any thread. Loops keep their own copy of "now" for a turn (loop_now()).
 */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H
#include <stddef.h>
#include <stdint.h>

typedef int64_t usec_t;

enum { USEC_PER_MSEC = 1000, USEC_PER_SEC = 1000000 };

/* Monotonic time in microseconds; never jumps. */
usec_t clock_now(void);
/* Wall-clock time in microseconds since 1970. May jump. */
usec_t clock_wall(void);
/* Wall-clock time that does not jump: that of the first call in this process plus monotonic time
 * since. For ages and times to try again, which a jump of the wall clock must neither expire nor
 * stop. Members with its times are called wall_, too. */
usec_t clock_steady(void);
/* It is `now` from here on. At the start, before other threads use it. */
void clock_steady_begin(usec_t now);
/* The wall clock's date for that time of clock_steady(), and the other way round: the same number as
 * long as both differ by less than a second. For what people read and other programs say. */
usec_t clock_steady_to_wall(usec_t steady);
usec_t clock_steady_of_wall(usec_t wall);
/* CPU time of the calling thread in microseconds. */
usec_t clock_thread_cpu(void);

/* RFC 5322 3.3 date-time in the local zone, e.g. "Sun, 22 Nov 2026 13:00:56 +0000". Returns its
 * length. The text of one second is kept per thread. cap >= 32. */
size_t clock_rfc5322(usec_t wall_usec, char *dst, size_t cap);

#endif
