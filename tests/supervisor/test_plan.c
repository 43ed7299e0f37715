#include "supervisor/plan.h"

#include "tap.h"

#include <stdio.h>
#include <string.h>

enum { SMTPS = 0, SMTPC, SMAR, QMGR, SERVICE, UNITS };
enum { B_SMTPS = 1, B_SMTPC = 2, B_SMAR = 4, B_QMGR = 8, B_SERVICE = 16, B_ALL = 31 };

static const char letters[] = "scmqx";

static void test_rank(void)
{
	static const struct {
		const char *keyword;
		unsigned rank;
	} cases[] = { { "smtps", 0 }, { "smtpc", 1 }, { "smar", 2 },
		      { "qmgr", 3 },  { "lmtp", 4 },  { "", 4 } };

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(plan_rank(cases[i].keyword), cases[i].rank, cases[i].keyword);
}

static void test_closure(void)
{
	static const struct {
		const char *name;
		uint64_t direct[UNITS];
		unsigned of;
		uint64_t want;
	} cases[] = {
		{ "none", { 0 }, QMGR, 0 },
		{ "direct", { [QMGR] = B_SMTPS | B_SMTPC }, QMGR, B_SMTPS | B_SMTPC },
		{ "not the other way", { [QMGR] = B_SMTPS }, SMTPS, 0 },
		{ "over one", { [SMAR] = B_QMGR, [QMGR] = B_SMTPC }, SMAR, B_QMGR | B_SMTPC },
		{ "a ring, without itself", { [SMAR] = B_QMGR, [QMGR] = B_SMAR }, SMAR, B_QMGR },
		{ "itself is ignored", { [SMAR] = B_SMAR }, SMAR, 0 },
		{ "as in the reference",
		  { [QMGR] = B_SMTPS | B_SMTPC | B_SMAR, [SMAR] = B_SMTPS | B_QMGR },
		  SMAR,
		  B_SMTPS | B_SMTPC | B_QMGR },
		{ "a chain through all",
		  { [SMTPS] = B_SMTPC, [SMTPC] = B_SMAR, [SMAR] = B_QMGR, [QMGR] = B_SERVICE },
		  SMTPS,
		  B_ALL & ~B_SMTPS },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int((int64_t)plan_closure(cases[i].direct, UNITS, cases[i].of),
		       (int64_t)cases[i].want, cases[i].name);
}

/* Runs the plan until it waits; what it stops ends at once. "-s" stop, "+s" start, "." the end. */
static const char *drive(struct plan *p)
{
	static char out[200];
	size_t n = 0;
	unsigned u = 0;

	for (int turns = 0; turns < 100; turns++) {
		enum plan_step step = plan_next(p, &u);

		if (step == PLAN_WAIT)
			break;
		if (step == PLAN_END) {
			out[n++] = '.';
			break;
		}
		out[n++] = step == PLAN_START ? '+' : '-';
		out[n++] = letters[u];
		plan_live(p, u, step == PLAN_START);
	}
	out[n] = '\0';
	return out;
}

static void test_order(void)
{
	struct plan p;
	uint64_t none[UNITS] = { 0 };
	uint64_t direct[UNITS] = { [QMGR] = B_SMTPS | B_SMTPC | B_SMAR, [SMAR] = B_SMTPS | B_QMGR };

	plan_init(&p, UNITS, none);
	is_str(drive(&p), "+x+q+m+c+s", "start order");
	is_str(drive(&p), "", "then it waits");
	plan_live(&p, SMTPS, false);
	is_str(drive(&p), "", "a death alone starts nothing");
	plan_restart(&p, SMTPS);
	is_str(drive(&p), "+s", "without dependencies only it");
	plan_stop_all(&p);
	is_str(drive(&p), "-s-c-m-q-x.", "stop order");

	plan_init(&p, UNITS, direct);
	drive(&p);
	plan_live(&p, SMAR, false);
	plan_restart(&p, SMAR);
	is_str(drive(&p), "-s-c-q+q+m+c+s", "dependencies over dependencies, each once");
	plan_live(&p, SMTPC, false);
	plan_live(&p, QMGR, false);
	plan_restart(&p, SMTPC);
	plan_restart(&p, QMGR);
	is_str(drive(&p), "-s-m+q+m+c+s", "two deaths at once");
	plan_live(&p, SMTPS, false);
	plan_live(&p, QMGR, false);
	plan_restart(&p, QMGR);
	is_str(drive(&p), "-c-m+q+m+c+s", "a dependency that is dead is started with it");
}

static void test_slow_stop(void)
{
	struct plan p;
	uint64_t direct[UNITS] = { [QMGR] = B_SMTPS | B_SMTPC };
	unsigned u = 99;

	plan_init(&p, UNITS, direct);
	drive(&p);
	plan_live(&p, QMGR, false);
	plan_restart(&p, QMGR);
	ok(plan_next(&p, &u) == PLAN_STOP && u == SMTPS, "the first is told to stop");
	ok(plan_is_asked(&p, SMTPS) && !plan_is_asked(&p, SMTPC), "only the first");
	is_int(plan_next(&p, &u), PLAN_WAIT, "the others wait for it");
	plan_live(&p, SMAR, false);
	plan_restart(&p, SMAR);
	is_int(plan_next(&p, &u), PLAN_WAIT, "a restart waits too");
	plan_live(&p, SMTPS, false);
	ok(!plan_is_asked(&p, SMTPS), "its end is known");
	is_str(drive(&p), "-c+q+m+c+s", "then the rest");

	plan_live(&p, QMGR, false);
	plan_restart(&p, QMGR);
	plan_next(&p, &u);
	plan_stop_all(&p);
	is_int(plan_next(&p, &u), PLAN_WAIT, "a stop in the middle of a restart goes on with it");
	plan_live(&p, SMTPS, false);
	is_str(drive(&p), "-c-m-x.", "and starts nothing");
}

static void test_useless(void)
{
	struct plan p;
	uint64_t direct[UNITS] = { [QMGR] = B_SMTPS | B_SMAR };

	plan_init(&p, UNITS, direct);
	drive(&p);
	plan_live(&p, SMAR, false);
	plan_useless(&p, SMAR);
	is_str(drive(&p), "", "what is useless stays down");
	plan_live(&p, QMGR, false);
	plan_restart(&p, QMGR);
	is_str(drive(&p), "-s+q+s", "also when another restarts with it");
	plan_revive(&p, SMAR);
	is_str(drive(&p), "+m", "until it may be tried again");
	plan_useless(&p, SERVICE);
	plan_stop_all(&p);
	is_str(drive(&p), "-s-c-m-q-x.", "its last processes are stopped at the end");
}

static void test_full(void)
{
	struct plan p;
	uint64_t none[PLAN_UNITS_MAX] = { 0 };
	unsigned u, n = 0;

	plan_init(&p, PLAN_UNITS_MAX, none);
	while (plan_next(&p, &u) == PLAN_START) {
		n++;
		plan_live(&p, u, true);
	}
	is_int(n, PLAN_UNITS_MAX, "64 units start");
	plan_init(&p, 0, none);
	plan_stop_all(&p);
	is_int(plan_next(&p, &u), PLAN_END, "nothing at all");
}

int main(void)
{
	test_rank();
	test_closure();
	test_order();
	test_slow_stop();
	test_useless();
	test_full();
	return plan_done();
}
