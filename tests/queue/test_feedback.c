#include "queue/feedback.h"
#include "tests/tap.h"

static const struct feedback_numbers base = { .aq_max = 1000,
					      .iqdb_max = 1000,
					      .disk_free_bytes = 1000,
					      .disk_min_bytes = 100,
					      .disk_ok_bytes = 200,
					      .memory_total_bytes = 3200,
					      .memory_free_bytes = 1000 };

static void judges(void)
{
	static const struct {
		const char *name;
		uint64_t memory;
		usec_t commit;
		enum feedback_level was, want;
		const char *cause;
	} cases[] = {
		{ "memory below a 32nd", 99, 0, FEEDBACK_FREE, FEEDBACK_SLOW, "memory" },
		{ "a 32nd of memory is enough", 100, 0, FEEDBACK_FREE, FEEDBACK_FREE, "none" },
		{ "once slow it wants more", 149, 0, FEEDBACK_SLOW, FEEDBACK_SLOW, "memory" },
		{ "memory below a 64th", 49, 0, FEEDBACK_SLOW, FEEDBACK_STOP, "memory" },
		{ "once stopped it wants a 32nd", 99, 0, FEEDBACK_STOP, FEEDBACK_STOP, "memory" },
		{ "and is slow then", 100, 0, FEEDBACK_STOP, FEEDBACK_SLOW, "memory" },
		{ "a commit of a second", 1000, USEC_PER_SEC, FEEDBACK_FREE, FEEDBACK_SLOW,
		  "commit" },
		{ "a commit of five", 1000, 5 * USEC_PER_SEC, FEEDBACK_SLOW, FEEDBACK_STOP,
		  "commit" },
		{ "it has ended", 1000, 0, FEEDBACK_STOP, FEEDBACK_FREE, "none" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct feedback_numbers n = base;
		const char *cause;

		n.memory_free_bytes = cases[i].memory;
		n.commit_usec = cases[i].commit;
		is_int(feedback_judge(&n, cases[i].was, &cause), cases[i].want, cases[i].name);
		is_str(cause, cases[i].cause, cases[i].name);
	}
	struct feedback_numbers n = base;
	const char *cause;
	n.backlog_count = 11999;
	is_int(feedback_judge(&n, FEEDBACK_FREE, &cause), FEEDBACK_FREE,
	       "twelve times AQ is parked");
	n.backlog_count = 12000;
	is_int(feedback_judge(&n, FEEDBACK_FREE, &cause), FEEDBACK_SLOW, "more than that");
	is_str(cause, "backlog", "which is the cause");
	n.backlog_count = 15200;
	is_int(feedback_judge(&n, FEEDBACK_SLOW, &cause), FEEDBACK_STOP, "sixteen times");
	n.backlog_count = 12000;
	is_int(feedback_judge(&n, FEEDBACK_STOP, &cause), FEEDBACK_SLOW, "less again");
	n = base;
	n.memory_total_bytes = n.memory_free_bytes = 0;
	is_int(feedback_judge(&n, FEEDBACK_FREE, &cause), FEEDBACK_FREE, "memory is not known");
}

static void rooms(void)
{
	is_int((int64_t)feedback_room(10, 5000, 100), 5000,
	       "a transaction may have more recipients than AQ");
	is_int((int64_t)feedback_room(10, 5000, 99), 10, "not while AQ is filling");
	is_int((int64_t)feedback_room(5000, 10, 100), 10, "never more than IQDB");
}

static void parts(void)
{
	static const struct {
		const char *name;
		uint64_t room;
		unsigned left, open, sessions, links;
		uint32_t want_sessions, want_recipients;
	} cases[] = {
		{ "alone", 1000, 100, 20, 20, 1, UINT32_MAX, 1000 },
		{ "nobody is there", 1000, 100, 0, 0, 0, UINT32_MAX, 1000 },
		{ "two, no session", 1000, 100, 0, 0, 2, UINT32_MAX, 500 },
		{ "two, all sessions are its", 1000, 100, 20, 20, 2, UINT32_MAX, 750 },
		{ "two, none is its", 1000, 100, 0, 20, 2, UINT32_MAX, 250 },
		{ "no room: one all the same", 0, 0, 20, 20, 1, 1, 1 },
		{ "half way to stop", 100, 50, 21, 40, 2, 11, 51 },
		{ "more than fits", UINT64_MAX / 100, 100, 1, 1, 1, UINT32_MAX, UINT32_MAX - 1 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct credit c = feedback_part(cases[i].room, cases[i].left, cases[i].open,
						cases[i].sessions, cases[i].links);

		is_int(c.sessions, cases[i].want_sessions, cases[i].name);
		is_int(c.recipients, cases[i].want_recipients, cases[i].name);
	}
}

int main(void)
{
	static const struct {
		const char *name;
		unsigned aq, iqdb, disk;
		enum feedback_level was, want;
		const char *cause;
	} cases[] = {
		{ "empty", 0, 0, 1000, FEEDBACK_FREE, FEEDBACK_FREE, "none" },
		{ "AQ three quarters full", 750, 0, 1000, FEEDBACK_FREE, FEEDBACK_SLOW, "aq" },
		{ "AQ almost full", 950, 0, 1000, FEEDBACK_FREE, FEEDBACK_STOP, "aq" },
		{ "AQ emptied a little: still stopped", 900, 0, 1000, FEEDBACK_STOP, FEEDBACK_STOP,
		  "aq" },
		{ "AQ emptied more: slow", 700, 0, 1000, FEEDBACK_STOP, FEEDBACK_SLOW, "aq" },
		{ "AQ below: free again", 599, 0, 1000, FEEDBACK_SLOW, FEEDBACK_FREE, "none" },
		{ "IQDB full", 0, 1000, 1000, FEEDBACK_FREE, FEEDBACK_STOP, "iqdb" },
		{ "disk below the minimum", 0, 0, 99, FEEDBACK_FREE, FEEDBACK_STOP, "disk" },
		{ "disk just above it: not before ok_disk_space", 0, 0, 150, FEEDBACK_STOP,
		  FEEDBACK_STOP, "disk" },
		{ "disk at ok_disk_space", 0, 0, 200, FEEDBACK_STOP, FEEDBACK_FREE, "none" },
		{ "disk above the minimum and never stopped", 0, 0, 150, FEEDBACK_FREE,
		  FEEDBACK_FREE, "none" },
		{ "disk is named first", 1000, 1000, 0, FEEDBACK_FREE, FEEDBACK_STOP, "disk" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct feedback_numbers n = base;
		const char *cause;

		n.aq_count = cases[i].aq;
		n.iqdb_count = cases[i].iqdb;
		n.disk_free_bytes = cases[i].disk;
		is_int(feedback_judge(&n, cases[i].was, &cause), cases[i].want, cases[i].name);
		is_str(cause, cases[i].cause, cases[i].name);
	}
	judges();
	parts();
	rooms();
	return plan_done();
}
