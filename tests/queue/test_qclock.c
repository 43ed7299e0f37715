#include "queue/qclock.h"

#include "tests/tap.h"

#include <errno.h>
#include <string.h>

static const usec_t MIN = 60 * (usec_t)USEC_PER_SEC, HOUR = 3600 * (usec_t)USEC_PER_SEC,
		    DAY = 24 * 3600 * (usec_t)USEC_PER_SEC;

static void resume(void)
{
	const usec_t W = 1800000000 * (usec_t)USEC_PER_SEC, Q = W - 5 * DAY;
	const struct {
		const char *name, *before, *boot;
		usec_t wall, mono, want; /* since the last life */
	} t[] = {
		{ "another boot: by the wall clock", "a", "b", HOUR, -DAY, HOUR },
		{ "as long as may be", "a", "b", DAY, -DAY, DAY },
		{ "longer: the clock may be wrong", "a", "b", 400 * DAY, -DAY, DAY },
		{ "the wall clock went back", "a", "b", -3 * HOUR, -DAY, 0 },
		{ "by years", "a", "b", -20000 * DAY, 5 * DAY, 0 },
		{ "the same boot: by the monotonic clock", "a", "a", HOUR, HOUR, HOUR },
		{ "even if the wall clock was set back", "a", "a", -10 * DAY, 2 * HOUR, 2 * HOUR },
		{ "or ahead", "a", "a", 400 * DAY, MIN, MIN },
		{ "all of it", "a", "a", 3 * DAY, 3 * DAY, 3 * DAY },
		{ "a monotonic clock that went back", "a", "a", HOUR, -MIN, HOUR },
		{ "nobody knows the boot", "", "", HOUR, 2 * HOUR, HOUR },
	};

	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct qclock last = { .queue = Q, .wall = W, .mono = 7 * DAY },
			      now = { .wall = W + t[i].wall, .mono = 7 * DAY + t[i].mono };

		strcpy(last.boot, t[i].before);
		strcpy(now.boot, t[i].boot);
		is_int(qclock_resume(&last, &now, DAY) - Q, t[i].want, t[i].name);
	}
}

static void row(void)
{
	struct qclock c = { 1234567890123456, 2345678901234567, 3456, "" }, d;
	char bytes[QCLOCK_BYTES];

	memset(c.boot, 'x', QCLOCK_BOOT);
	qclock_encode(&c, bytes);
	ok(qclock_decode(span_of(bytes, sizeof bytes), &d) == 0 && d.queue == c.queue &&
		   d.wall == c.wall && d.mono == c.mono && !strcmp(c.boot, d.boot),
	   "a row");
	is_int(qclock_decode(span_of(bytes, sizeof bytes - 1), &d), -EBADMSG, "cut");
	bytes[0] = 9;
	is_int(qclock_decode(span_of(bytes, sizeof bytes), &d), -EBADMSG, "of another form");
	c.queue = -5;
	qclock_encode(&c, bytes);
	is_int(qclock_decode(span_of(bytes, sizeof bytes), &d), -EBADMSG, "with no sense");
	char boot[QCLOCK_BOOT + 1], again[QCLOCK_BOOT + 1];
	qclock_boot(boot);
	qclock_boot(again);
	ok(!strcmp(boot, again) && strlen(boot) <= QCLOCK_BOOT, "this boot is %s", boot);
}

int main(void)
{
	resume();
	row();
	return plan_done();
}
