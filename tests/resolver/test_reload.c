#include "resolver/reload.h"

#include "tests/resolver/map_fixture.h"

#include "core/thread.h"

#include <unistd.h>

enum { WAIT_USEC = 10000000 };

static struct loop *loop;
static struct smar_options options = { .address_delimiter = '+', .access_map_file = "" };
static uint64_t last_number;
static unsigned last_errors, results;
static char last_text[500];

static void done(void *ctx, const struct reload_result *res)
{
	(void)ctx;
	results++;
	last_number = res->number;
	last_errors = res->error_count;
	span_cstr(res->text, last_text, sizeof last_text);
}

static void wait_for(uint64_t number)
{
	usec_t end = clock_now() + WAIT_USEC;

	while (last_number < number && clock_now() < end)
		loop_turn(loop, 100000);
	is_int((int64_t)last_number, (int64_t)number, "the reload has ended");
}

static const char *mailer(const char *domain)
{
	static const char *const words[] = { "none", "esmtp", "lmtp", "local", "discard" };
	struct mailertable_hit hit;
	struct mapset *s = mapset_current_rcu();

	return mailertable_find(s->mailertable, span_str(domain), &hit) ? "-" : words[hit.mailer];
}

int main(void)
{
	struct report r = { 0 };

	thread_main_register();
	loop = loop_new();
	map_slots(2);
	options.mailertable_file = fixture_file("mt", "a lmtp:\n");
	mapset_publish(mapset_load(&options, NULL, &r));
	struct reload *rl = reload_start(&options, 1, loop, done, NULL);
	is_str(mailer("a"), "local", "as at the start");

	free(fixture_file("mt", "a [192.0.2.1]\n"));
	is_str(mailer("a"), "local", "a changed file changes nothing");
	wait_for(reload_request(rl));
	is_int(last_errors, 0, "no errors");
	is_str(mailer("a"), "esmtp", "a reload does");

	free(fixture_file("mt", "a 1\n"));
	wait_for(reload_request(rl));
	is_int(last_errors, 1, "an error");
	ok(strstr(last_text, "mt:1: expected"), "with its place");
	is_str(mailer("a"), "esmtp", "the old table stays");

	free(fixture_file("mt", "a lmtp:\n"));
	results = 0;
	uint64_t number = 0;
	for (int i = 0; i < 1000; i++)
		number = reload_request(rl);
	wait_for(number);
	ok(results >= 1 && results <= 1000, "requests at the same time share reloads");
	is_str(mailer("a"), "local", "the last one counts");

	unlink(options.mailertable_file);
	wait_for(reload_request(rl));
	is_int(last_errors, 0, "an absent file is no error");
	ok(strstr(last_text, "warning: does not exist"), "but a warning");
	is_str(mailer("a"), "-", "the table is empty");

	reload_request(rl);
	reload_stop(rl);
	rcu_quiescent();
	mapset_publish(NULL);
	rcu_barrier();
	loop_free(loop);
	report_free(&r);
	return plan_done();
}
