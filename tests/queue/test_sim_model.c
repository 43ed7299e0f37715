/*
 * Random mail, results, orders, times, restarts, disks that fail, and crashes, against the model of
 * tests/queue/sim_model.h. SMX_TEST_SEED=N repeats one run, SMX_TEST_TRACE="r3.0 " tells what
 * happens to a recipient in it (" ": to all), SMX_TEST_SLOW=1 makes many runs, odd
 * seeds on many cores (those cannot be repeated exactly).
 */
#include "tests/queue/sim_model.h"
#include "tests/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const usec_t SEC = USEC_PER_SEC, HOUR = 3600 * (usec_t)USEC_PER_SEC;

/* How a life ends. */
enum ending { STOPS = 0, CRASHES, CRASHES_AT_WRITE, ENDINGS };

struct plan {
	enum ending ending;
	unsigned operations;
};

/* From a millisecond to hours. */
static void time_passes(void)
{
	usec_t t = USEC_PER_MSEC;

	for (unsigned n = model_random(12); n > 0; n--)
		t *= 4;
	sim_pass(t + model_random(1000) * (usec_t)USEC_PER_MSEC);
	model->now = sim_now();
}

static void operation(void)
{
	unsigned n = model_random(100);

	if (n < 30)
		model_send(n < 20);
	else if (n < 55)
		time_passes();
	else if (n < 80)
		model_answer_one();
	else if (n < 89)
		model_order();
	else if (n < 92)
		model_suspend();
	else if (n < 95)
		model->dead[1 + model_random(MODEL_DOMAINS)] ^= true;
	else if (n < 97)
		model_smtpc_dies();
	else if (n < 98)
		sim_fail_batches(1 + model_random(4));
	else if (n < 99)
		sim_fail_syncs(1);
	else
		sim_pass(model_random(6) * HOUR);
	if (model_random(3) == 0)
		sim_settle();
}

static void life(void *arg)
{
	const struct plan *p = arg;

	for (unsigned i = 0; i < p->operations; i++)
		operation();
	if (p->ending != STOPS)
		sim_crash();
	sim_fail_batches(0);
	sim_fail_syncs(0);
	sim_pass(10 * SEC);
	model->now = sim_now();
}

/* Everybody is there again, time passes, and nothing is left. */
static void drain(void *arg)
{
	(void)arg;
	memset(model->dead, 0, sizeof model->dead);
	model_release_all();
	sim_pass(4 * HOUR);
	/* What was held until now, and notices of it. */
	model_release_all();
	sim_pass(12 * HOUR);
	struct sim_rows r = sim_rows();
	unsigned records = sim_records();
	sim_ok(!r.ibdb && !r.marks && !r.deferred && !r.due && !r.aq && !r.iqdb &&
		       !r.transactions && !records,
	       "left: ibdb %u, marks %u, defedb %u, due %u, aq %u, iqdb %u, table %u, records %u",
	       r.ibdb, r.marks, r.deferred, r.due, r.aq, r.iqdb, r.transactions, records);
	model_check_ends();
}

static void options(char *dst, size_t cap)
{
	static const char *const delay[] = { "0", "100000", "2000000" };
	unsigned connections = 1 + model_random(8);

	model->retry_min = 60 * SEC;
	model->delay_timeout = HOUR;
	model->return_timeout = (2 + model_random(8)) * HOUR;
	snprintf(
		dst, cap,
		"retry_min_delay = 60; retry_max_delay = 3600; queue_delay_timeout = %lld;"
		"queue_return_timeout = %lld; AQ_max_entries = %u; IBDB { max_commit_delay = %s; }"
		"smtpc { initial_connections = %u; max_connections = %u; smtp_max_rcpts_per_transaction = %u; }"
		"DSN_handling { flags = { MIME_Format }; merge_delay_max = %u; max_errors_per_DSN = %u; }",
		(long long)(model->delay_timeout / SEC), (long long)(model->return_timeout / SEC),
		model_random(2) ? 30 : 200000, delay[model_random(3)], connections,
		connections + model_random(8), 1 + model_random(8), model_random(2) * 60,
		1 + model_random(5));
}

static bool run_seed(uint64_t seed, unsigned lives, unsigned operations, bool many_cores)
{
	char opt[1000];
	int rc = 0;

	model_begin(seed);
	model_life();
	sim_clean(NULL);
	options(opt, sizeof opt);
	struct sim_setup s = { .slow_ticks = true,
			       .many_cores = many_cores,
			       .options = opt,
			       .same_boot = true, /* ages are exact */
			       .loops = 1 + model_random(3),
			       .workers = 1 + model_random(2),
			       .segment_bytes = 256 << 10 };
	for (unsigned i = 0; i < lives && !rc; i++) {
		struct plan p = { model_random(ENDINGS), 10 + model_random(operations) };

		s.started_at = model->now + model_random(3) * model_random(3600) * SEC;
		/* Also in the middle of a start. */
		sim_crash_at_write(p.ending == CRASHES_AT_WRITE ? 1 + model_random(200) : 0);
		rc = sim_life(&s, life, &p);
		model_ended(rc == SIM_CRASHED);
		rc = rc == SIM_CRASHED && p.ending != STOPS ? 0 : rc;
	}
	sim_crash_at_write(0);
	s.started_at = model->now + 10 * SEC;
	rc = rc ? rc : sim_life(&s, drain, NULL);
	return ok(
		rc == 0,
		"seed %llu: %u messages and notices, %u attempts, %u deliveries, %u crashes, %u repeated",
		(unsigned long long)seed, model->count, model->attempts, model->deliveries,
		model->crashes, model->repeats);
}

int main(void)
{
	const char *one = getenv("SMX_TEST_SEED");
	bool slow = getenv("SMX_TEST_SLOW") && !strcmp(getenv("SMX_TEST_SLOW"), "1");
	unsigned seeds = slow ? 300 : 10;

	/* What a life says before it crashes is to be seen. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (one)
		run_seed(strtoull(one, NULL, 10), 6, 60, slow && strtoull(one, NULL, 10) % 2);
	for (unsigned i = 1; !one && i <= seeds; i++)
		run_seed(i, 6, 60, slow && i % 2);
	return plan_done();
}
