#include "core/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static usec_t get(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (usec_t)ts.tv_sec * USEC_PER_SEC + ts.tv_nsec / 1000;
}

usec_t clock_now(void)
{
	return get(CLOCK_MONOTONIC);
}

usec_t clock_wall(void)
{
	return get(CLOCK_REALTIME);
}

static _Atomic usec_t offset; /* of clock_steady() from clock_now() */

usec_t clock_steady(void)
{
	usec_t o = atomic_load_explicit(&offset, memory_order_relaxed), none = 0;

	if (!o) {
		o = clock_wall() - clock_now();
		if (!atomic_compare_exchange_strong(&offset, &none, o))
			o = none;
	}
	return clock_now() + o;
}

void clock_steady_begin(usec_t now)
{
	atomic_store(&offset, now - clock_now());
}

static usec_t jumped(void)
{
	usec_t by = clock_wall() - clock_steady();

	return by > -USEC_PER_SEC && by < USEC_PER_SEC ? 0 : by;
}

usec_t clock_steady_to_wall(usec_t steady)
{
	return steady + jumped();
}

usec_t clock_steady_of_wall(usec_t wall)
{
	return wall - jumped();
}

usec_t clock_thread_cpu(void)
{
	return get(CLOCK_THREAD_CPUTIME_ID);
}

size_t clock_rfc5322(usec_t wall_usec, char *dst, size_t cap)
{
	static _Thread_local time_t last_sec = -1;
	static _Thread_local char text[40];
	static _Thread_local size_t len;
	static const char day[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char month[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t sec = (time_t)(wall_usec / USEC_PER_SEC);

	if (sec != last_sec) {
		struct tm tm;

		localtime_r(&sec, &tm);
		long off = tm.tm_gmtoff / 60;
		long abs_off = off < 0 ? -off : off;
		int n = snprintf(text, sizeof text, "%s, %d %s %d %02d:%02d:%02d %c%02ld%02ld",
				 day[tm.tm_wday], tm.tm_mday, month[tm.tm_mon], tm.tm_year + 1900,
				 tm.tm_hour, tm.tm_min, tm.tm_sec, off < 0 ? '-' : '+',
				 abs_off / 60 % 100, abs_off % 60);
		len = n > 0 && (size_t)n < sizeof text ? (size_t)n : 0;
		last_sec = sec;
	}
	size_t n = len < cap ? len : cap - 1;
	memcpy(dst, text, n);
	dst[n] = 0;
	return n;
}
