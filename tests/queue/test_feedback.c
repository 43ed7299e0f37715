#include "queue/feedback.h"
#include "tests/tap.h"

static const struct feedback_numbers base = { .aq_max = 1000,
					      .iqdb_max = 1000,
					      .disk_free_bytes = 1000,
					      .disk_min_bytes = 100,
					      .disk_ok_bytes = 200 };

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
	return plan_done();
}
