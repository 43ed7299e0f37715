#include "bench/idset.h"

#include "tests/tap.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static struct msgid id_of(const char *run, uint32_t number)
{
	struct msgid id = { .run_n = (unsigned)strlen(run), .number = number };

	memcpy(id.run, run, id.run_n);
	return id;
}

static int add(struct idset *s, const char *run, uint32_t number, struct idset_run **hint)
{
	struct msgid id = id_of(run, number);

	return idset_add(s, &id, hint);
}

static void test_basic(void)
{
	struct idset *s = idset_new(1 << 20);
	struct idset_run *hint = NULL;
	struct msgid absent = id_of("run", 3), other = id_of("other", 1);

	is_int(add(s, "run", 1, &hint), 1, "new");
	is_int(add(s, "run", 1, &hint), 0, "seen before");
	is_int(add(s, "run2", 1, &hint), 1, "another run is another id, whatever the hint says");
	is_int(add(s, "run", 2, &hint), 1, "back to the first run");
	is_int(add(s, "run", 65536, &hint), 1, "first number of the next bitmap");
	is_int(add(s, "run", 4294967295u, &hint), 1, "the largest number");
	ok(!idset_has(s, &absent) && !idset_has(s, &other), "what was not added is not there");
	absent = id_of("run", 65536);
	ok(idset_has(s, &absent), "what was added is there");
	is_int((int64_t)idset_distinct(s), 5, "distinct");
	is_int((int64_t)idset_gaps(s), 4294967295 - 4, "gaps below the largest");
	idset_free(s);
}

static void test_limits(void)
{
	struct idset *s = idset_new(2 * 8192);
	struct idset_run *hint = NULL;
	char run[16];

	is_int(add(s, "a", 1, &hint), 1, "first bitmap");
	is_int(add(s, "a", 70000, &hint), 1, "second bitmap");
	is_int(add(s, "a", 140000, &hint), -ENOSPC, "no memory for a third");
	is_int(add(s, "a", 2, &hint), 1, "the first two still work");
	idset_free(s);
	s = idset_new(64 << 20);
	hint = NULL;
	for (int i = 0; i < IDSET_RUNS; i++) {
		snprintf(run, sizeof(run), "r%d", i);
		if (add(s, run, 1, &hint) != 1)
			break;
	}
	is_int((int64_t)idset_distinct(s), IDSET_RUNS, "as many runs as there may be");
	is_int(add(s, "more", 1, &hint), -ENOSPC, "one more is refused");
	idset_free(s);
}

enum { THREADS = 4, EACH = 20000 };

static struct idset *shared;
static _Atomic unsigned fresh;

/* All threads add the same numbers: each must be new exactly once. */
static void *adder(void *arg)
{
	struct idset_run *hint = NULL;
	unsigned mine = 0;

	(void)arg;
	for (uint32_t i = 1; i <= EACH; i++)
		mine += add(shared, "t", i * 7, &hint) == 1;
	fresh += mine;
	return NULL;
}

static void test_threads(void)
{
	pthread_t t[THREADS];

	shared = idset_new(1 << 20);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, adder, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	is_int(fresh, EACH, "each id is new once, whoever is first");
	is_int((int64_t)idset_distinct(shared), EACH, "distinct counts the same");
	idset_free(shared);
}

static void test_json(void)
{
	struct idset *s = idset_new(1 << 20);
	struct idset_run *hint = NULL;
	struct outbuf b = { 0 };
	struct jsonw w;

	add(s, "x", 1, &hint);
	add(s, "x", 3, &hint);
	jsonw_init(&w, &b);
	jsonw_open(&w, NULL);
	idset_json(s, &w);
	jsonw_close(&w);
	outbuf_mem(&b, "", 1);
	is_str(b.p, "{\"runs\": [{\"run\": \"x\", \"distinct\": 2, \"highest\": 3, \"gaps\": 1}]}",
	       "json");
	outbuf_free(&b);
	idset_free(s);
}

int main(void)
{
	test_basic();
	test_limits();
	test_threads();
	test_json();
	return plan_done();
}
