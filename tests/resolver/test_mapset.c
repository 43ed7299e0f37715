#include "resolver/mapset.h"

#include "tests/resolver/map_fixture.h"

#include "core/thread.h"

#include <errno.h>
#include <unistd.h>

static struct smar_map maps[3];
static struct smar_options options = { .address_delimiter = '+' };

static const char *mailer_of(const struct mapset *s, const char *domain)
{
	static const char *const words[] = { "none", "esmtp", "lmtp", "local", "discard" };
	struct mailertable_hit hit;

	if (mailertable_find(s->mailertable, span_str(domain), &hit))
		return "-";
	return words[hit.mailer];
}

static const char *action_of(const struct mapset *s, const char *client)
{
	static const char *const words[] = { "cont", "ok", "relay", "error", "discard" };
	struct access_value v;
	struct addr a;

	addr_parse(span_str(client), &a);
	if (!s->access || access_client(s->access, &a, &v))
		return "-";
	return words[v.action];
}

static void test_start(void)
{
	struct report r = { 0 };
	struct mapset *s = mapset_load(&options, NULL, &r);

	ok(s && !r.error_count, "all maps are read");
	is_str(mailer_of(s, "local.test"), "local", "the mailertable");
	is_str(action_of(s, "127.0.0.1"), "relay", "the access map");
	mapset_free(s);
	report_free(&r);

	options.access_map_file = "";
	s = mapset_load(&options, NULL, &r);
	is_str(action_of(s, "127.0.0.1"), "-", "an empty name: no access map");
	mapset_free(s);
	options.access_map_file = fixture_path("access.db");
}

static void test_reload(void)
{
	struct report r = { 0 };
	struct mapset *old = mapset_load(&options, NULL, &r), *s;

	free(fixture_file("mt", "local.test [192.0.2.1]\nbad line!\n"));
	free(fixture_map("access.db", "cltaddr:127 reject\n"));
	s = mapset_load(&options, old, &r);
	is_int(r.error_count, 1, "a broken mailertable is an error");
	ok(strstr(fixture_report(&r), "mt:2: expected"), "with file and line");
	is_str(mailer_of(s, "local.test"), "local", "the old mailertable stays");
	is_str(action_of(s, "127.0.0.1"), "error", "the access map is new");
	ok(!mapset_load(&options, NULL, &r), "at the start there is no old one: no maps");
	mapset_free(old);
	is_str(mailer_of(s, "local.test"), "local", "also when the old set is gone");

	free(fixture_file("mt", "local.test [192.0.2.1]\n"));
	free(fixture_file("access.db", "this is text\n"));
	r.error_count = 0;
	old = s;
	s = mapset_load(&options, old, &r);
	is_int(r.error_count, 1, "an access map that cannot be read is an error");
	is_str(mailer_of(s, "local.test"), "esmtp", "the mailertable is new");
	is_str(action_of(s, "127.0.0.1"), "error", "the old access map stays");
	mapset_free(old);
	old = s;
	unlink(options.access_map_file);
	unlink(options.mailertable_file);
	r.error_count = r.warning_count = 0;
	s = mapset_load(&options, old, &r);
	is_int(r.error_count, 0, "absent files are no errors");
	is_int(r.warning_count, 2, "but a warning each");
	is_str(mailer_of(s, "local.test"), "-", "an empty mailertable");
	is_str(action_of(s, "127.0.0.1"), "-", "an empty access map");
	mapset_free(old);
	mapset_free(s);
	report_free(&r);
}

static void test_declared(void)
{
	static const char *const items[] = { "one", "two" };
	struct report r = { 0 };
	char *one = fixture_map("one.db", "a.tld lmtp:\n"),
	     *two = fixture_map("two.db", ". [192.0.2.1]\n");

	maps[0] = (struct smar_map){ .name = "one", .type = SMAR_MAP_HASH, .file = one };
	maps[1] = (struct smar_map){ .name = "two", .type = SMAR_MAP_HASH, .file = two };
	maps[2] =
		(struct smar_map){ .name = "seq", .type = SMAR_MAP_SEQUENCE, .maps = { items, 2 } };
	options.map.item = maps;
	options.map.count = 3;
	options.mailertable_name = "seq";
	struct mapset *s = mapset_load(&options, NULL, &r);
	if (!ok(s && !r.error_count, "a sequence is the mailertable"))
		diag("%s", fixture_report(&r));
	is_str(mailer_of(s, "a.tld"), "local", "an entry of the first map");
	is_str(mailer_of(s, "b.tld"), "esmtp", "the default of the second");

	free(fixture_map("two.db", ". nonsense!\n"));
	struct mapset *t = mapset_load(&options, s, &r);
	is_int(r.error_count, 1, "a broken entry");
	is_str(mailer_of(t, "b.tld"), "esmtp", "the old table stays");
	mapset_free(s);
	mapset_free(t);

	maps[2].type = SMAR_MAP_SOCKET;
	r.error_count = 0;
	ok(!mapset_load(&options, NULL, &r), "a socket map is an error");
	ok(strstr(fixture_report(&r), "not available in this version"), "that says so");
	maps[2].type = SMAR_MAP_PASSWD;
	ok(!mapset_load(&options, NULL, &r), "accounts are no mailertable");
	options.mailertable_name = NULL;
	options.map.count = 0;
	free(one);
	free(two);
	report_free(&r);
}

static void test_publish(void)
{
	struct report r = { 0 };

	ok(!mapset_current_rcu(), "none at first");
	for (int i = 0; i < 3; i++)
		mapset_publish(mapset_load(&options, NULL, &r));
	ok(mapset_current_rcu(), "the last one is current");
	rcu_quiescent();
	mapset_publish(NULL);
	ok(!mapset_current_rcu(), "none at the end");
	rcu_barrier();
	report_free(&r);
}

int main(void)
{
	thread_main_register();
	options.mailertable_file = fixture_file("mt", "local.test lmtp:\n");
	options.access_map_file = fixture_map("access.db", "cltaddr:127 relay\n");
	test_start();
	test_reload();
	test_declared();
	test_publish();
	return plan_done();
}
