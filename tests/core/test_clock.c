#include "core/clock.h"

#include "tests/tap.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static void steady(void)
{
	usec_t a = clock_steady(), wall = clock_wall(), b = clock_steady();

	ok(wall - a < 60 * (usec_t)USEC_PER_SEC && a - wall < 60 * (usec_t)USEC_PER_SEC,
	   "steady time begins at the wall clock's");
	ok(b >= a, "and never goes back");
	usec_t m = clock_now(), s = clock_steady(), m2 = clock_now();
	ok(s - a >= m - m2 && clock_steady() - s <= clock_now() - m,
	   "and goes on as monotonic time does");
}

/* The last: steady time is somewhere else after it. */
static void begin(void)
{
	const usec_t day = 86400 * (usec_t)USEC_PER_SEC;
	usec_t t = clock_steady();

	is_int(clock_steady_to_wall(t), t, "the wall clock is where it was");
	is_int(clock_steady_of_wall(t), t, "both ways");
	clock_steady_begin(t - day);
	usec_t later = clock_steady();
	ok(later >= t - day && later < t - day / 2, "steady time begins where it is told to");
	usec_t wall = clock_steady_to_wall(later);
	ok(wall >= t && wall < t + day / 2, "the wall clock's date for it");
	ok(clock_steady_of_wall(clock_wall()) - later < day / 2, "and back");
}

int main(void)
{
	static const struct {
		const char *tz;
		int64_t sec;
		const char *text;
	} t[] = {
		{ "UTC", 0, "Thu, 1 Jan 1970 00:00:00 +0000" },
		{ "UTC", 1795352456, "Sun, 22 Nov 2026 13:00:56 +0000" },
		{ "UTC", 1709164800, "Thu, 29 Feb 2024 00:00:00 +0000" },
		{ "UTC", 4102444799, "Thu, 31 Dec 2099 23:59:59 +0000" },
		{ "XST-5:30", 1795352456, "Sun, 22 Nov 2026 18:30:56 +0530" },
		{ "XST3:30", 1795352456, "Sun, 22 Nov 2026 09:30:56 -0330" },
		{ "XST0:30", 1795352456, "Sun, 22 Nov 2026 12:30:56 -0030" },
	};
	char got[64];

	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		setenv("TZ", t[i].tz, 1);
		tzset();
		/* The text of a second is kept: another second comes between. */
		clock_rfc5322(((usec_t)1000 + (usec_t)i) * USEC_PER_SEC, got, sizeof got);
		size_t n = clock_rfc5322(t[i].sec * USEC_PER_SEC + 999999, got, sizeof got);
		is_str(got, t[i].text, t[i].tz);
		is_int((int64_t)n, (int64_t)strlen(t[i].text), "its length");
	}
	size_t n = clock_rfc5322(0, got, 8);
	ok(n == 7 && strlen(got) == 7, "a short buffer gets a part, with its NUL");

	usec_t a = clock_now(), cpu = clock_thread_cpu();
	unsigned back = 0;
	for (unsigned i = 0; i < 100000; i++) {
		usec_t b = clock_now();

		back += b < a;
		a = b;
	}
	ok(!back, "monotonic time does not go back");
	ok(clock_thread_cpu() > cpu, "work takes CPU time");
	time_t now = time(NULL);
	ok(clock_wall() / USEC_PER_SEC - now <= 1 && clock_wall() / USEC_PER_SEC >= now,
	   "wall time is that of the system");
	steady();
	begin();
	return plan_done();
}
