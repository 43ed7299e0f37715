#include "resolver/map_helper.h"

#include "tests/resolver/map_fixture.h"

#include "core/thread.h"

#include <errno.h>

enum { MANY = 200, WAIT_USEC = 20000000 };

static struct loop *loop;
static unsigned done_count;

static void done(struct map_query *q)
{
	(void)q;
	done_count++;
}

static void wait_for(unsigned count)
{
	usec_t end = clock_now() + WAIT_USEC;

	while (done_count < count && clock_now() < end)
		loop_turn(loop, 100000);
	is_int(done_count, count, "answers");
}

static struct map_query many[MANY];

int main(void)
{
	static char longest[MAP_HELPER_VALUE_MAX + 20];
	struct report r = { 0 };
	struct map_query q = { .done = done };

	thread_main_register();
	loop = loop_new();
	map_slots(3);
	memset(longest, 'v', sizeof longest - 2);
	memcpy(longest, "long ", 5);
	longest[sizeof longest - 2] = '\n';
	char *path = fixture_map("a.db", longest);
	struct map *file = map_open_hash("file", path, &r), *pw = map_new_passwd("pw");
	struct map *both[2] = { pw, file };
	struct map *seq = map_new_sequence("seq", both, 2);
	struct map_helper *h = map_helper_start(2, 1, MANY);

	is_int(map_helper_ask(h, &q, loop, seq, SPAN("root")), 0, "a question");
	wait_for(1);
	is_int(q.rc, 0, "an account is found");
	is_mem(q.value.p, q.value.n, "0:0", 3, "its numbers");
	is_int(map_helper_ask(h, &q, loop, seq, SPAN("no-such-account-here")), 0, "a question");
	wait_for(2);
	is_int(q.rc, -ENOENT, "not found");
	is_int(map_helper_ask(h, &q, loop, seq, SPAN("long")), 0, "a question");
	wait_for(3);
	is_int(q.rc, -E2BIG, "a value that is too long");
	is_int(map_helper_ask(h, &q, loop, seq, SPAN("")), -ENOENT, "no key");

	unsigned asked = 0;
	for (unsigned i = 0; i < MANY; i++) {
		many[i].done = done;
		asked += !map_helper_ask(h, &many[i], loop, seq, SPAN("root"));
	}
	is_int(asked, MANY, "many at once");
	wait_for(3 + MANY);
	unsigned good = 0;
	for (unsigned i = 0; i < MANY; i++)
		good += !many[i].rc && many[i].value.n == 3;
	is_int(good, MANY, "all are answered");
	map_helper_stop(h);

	h = map_helper_start(1, 1, 0);
	is_int(map_helper_ask(h, &q, loop, seq, SPAN("root")), -EBUSY, "too many wait");
	map_helper_stop(h);
	map_put_ref(seq);
	map_put_ref(pw);
	map_put_ref(file);
	loop_free(loop);
	free(path);
	report_free(&r);
	return plan_done();
}
