/* Connections of clients: how many are open, how many are new in a minute. */
#include "core/err.h"
#include "tests/queue/sim.h"
#include "tests/tap.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const usec_t SEC = USEC_PER_SEC;

static void open_is(const char *client, unsigned n, unsigned refused)
{
	for (unsigned i = 0; i < n; i++) {
		int code = sim_connect(client);

		sim_ok(code == 0, "%s: connection %u gets %d", client, i + 1, code);
	}
	for (unsigned i = 0; i < refused; i++) {
		int code = sim_connect(client);

		sim_ok(code == 421, "%s: connection %u gets %d, want 421", client, n + i + 1, code);
	}
}

static void short_ones(const char *client, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		sim_ok(sim_connect(client) == 0, "%s: short connection %u is refused", client,
		       i + 1);
		sim_disconnect(client);
	}
}

static void limits_of_open(void *arg)
{
	(void)arg;
	open_is("192.0.2.1", 5, 1);
	open_is("192.0.2.2", 5, 1);
	open_is("2001:db8::1", 5, 1);
	open_is("2001:db8::2", 5, 1);
	sim_disconnect("192.0.2.1");
	open_is("192.0.2.1", 1, 1);
	/* Time does not close them. */
	sim_pass(600 * SEC);
	open_is("192.0.2.1", 0, 1);
	for (unsigned i = 0; i < 5; i++)
		sim_disconnect("192.0.2.1");
	open_is("192.0.2.1", 5, 1);
}

/* A slot of 2 s begins now, so that the minute is exact. */
static void to_slot(void)
{
	sim_until((sim_now() / (2 * SEC) + 1) * 2 * SEC);
}

static void minute_of(const char *early, const char *late)
{
	to_slot();
	usec_t at = sim_now();
	short_ones(early, 6);
	short_ones(late, 6);
	sim_until(at + 30 * SEC);
	short_ones(early, 4);
	short_ones(late, 4);
	sim_until(at + 60 * SEC - 1000);
	open_is(early, 0, 1);
	/* What came first is forgotten after 60 s; the rest stays until its own minute is over. */
	sim_until(at + 60 * SEC);
	short_ones(late, 6);
	open_is(late, 0, 1);
	sim_until(at + 90 * SEC - 1000);
	open_is(late, 0, 1);
}

static void rates(void *arg)
{
	(void)arg;
	minute_of("192.0.2.1", "192.0.2.2");
	minute_of("2001:db8::1", "2001:db8::2");
	/* Who goes on trying while he is refused gets what he may have, no more and no less. */
	to_slot();
	usec_t at = sim_now();
	for (unsigned minute = 0; minute < 5; minute++) {
		sim_until(at + minute * 60 * SEC);
		short_ones("192.0.2.3", 10);
		for (unsigned i = 1; i < 30; i++) {
			sim_until(at + minute * 60 * SEC + i * 2 * SEC);
			open_is("192.0.2.3", 0, 1);
		}
	}
}

/* ---- the map */

static char createmap[1200];

static void make_map(const char *text)
{
	char cmd[3000];

	snprintf(cmd, sizeof cmd, "%s -F %s/qmgr_conf.db", createmap, tap_tmpdir());
	FILE *f = popen(cmd, "w");
	if (!f || fputs(text, f) < 0 || pclose(f))
		panic("no map by %s", cmd);
}

static void map(void *arg)
{
	(void)arg;
	open_is("192.0.2.1", 2, 1);
	open_is("10.1.2.3", 3, 1);
	open_is("10.1.2.4", 3, 1);
	open_is("2001:db8:7::1", 4, 1);
	open_is("2001:db8:8::1", 2, 1);
	/* Once more by signal, once more by the operator. */
	make_map("icm: 2\nicm:10.1.2 4\nicm:IPv6:2001:db8:7 4\nicr: 100\n");
	raise(SIGUSR1);
	sim_settle();
	open_is("10.1.2.3", 1, 1);
	make_map("icm: 3\nicm:10.1.2 5\nicr: 100\n");
	char *s = sim_ask("reload");
	sim_ok(strstr(s, "reloaded"), "reload says %s", s);
	free(s);
	open_is("10.1.2.3", 1, 1);
	open_is("192.0.2.1", 1, 1);
	/* Rates too: nobody of this net came until now. */
	make_map("icm: 100\nicr: 100\nicr:172.16 2\n");
	free(sim_ask("reload"));
	open_is("172.16.1.1", 2, 1);
	open_is("172.16.1.2", 2, 1);
	open_is("172.17.1.2", 3, 0);
}

static void test(const char *options, const char *map_text, void (*script)(void *arg),
		 const char *name)
{
	struct sim_setup s = { .options = options };

	sim_clean(NULL);
	sim_on = (struct sim_hooks){ 0 };
	if (map_text)
		make_map(map_text);
	is_int(sim_life(&s, script, NULL), 0, name);
}

int main(int argc, char **argv)
{
	char here[1000];

	(void)argc;
	if (!getcwd(here, sizeof here))
		return 1;
	snprintf(createmap, sizeof createmap, "%s/%.*s/../../bin/createmap",
		 *argv[0] == '/' ? "" : here, (int)(strrchr(argv[0], '/') - argv[0]), argv[0]);
	test("smtps { max_connections = 5; max_connection_rate = 1000; }", NULL, limits_of_open,
	     "open connections");
	test("smtps { max_connections = 5; max_connection_rate = 10; }", NULL, rates,
	     "new connections slide over 60 s");
	test("smtps { max_connections = 100; max_connection_rate = 100; }",
	     "icm: 2\nicm:10.1.2 3\nicm:IPv6:2001:db8:7 4\nicr: 100\n", map,
	     "qmgr_conf, and read again");
	return plan_done();
}
