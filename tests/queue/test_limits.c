#include "queue/limits.h"

#include "core/rcu.h"
#include "core/thread.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char createmap[600], path[400];

static void make(const char *text)
{
	char cmd[1200];

	snprintf(cmd, sizeof cmd, "%s -F %s", createmap, path);
	FILE *f = popen(cmd, "w");
	if (!f || fputs(text, f) < 0 || pclose(f))
		ok(false, "map made: %s", cmd);
}

static struct addr ip(const char *s)
{
	struct addr a = { 0 };

	if (addr_parse(span_str(s), &a))
		ok(false, "address %s", s);
	return a;
}

static int load(char *errors, size_t cap)
{
	struct report r = { 0 };
	int rc = limits_load(path, &r);

	span_cstr(buf_span(&r.text), errors, cap);
	report_free(&r);
	return rc;
}

static void lookups(void)
{
	static const struct {
		enum limits_kind kind;
		const char *addr;
		unsigned want;
	} cases[] = {
		{ LIMITS_OCI, "192.0.2.9", 5 },      { LIMITS_OCM, "192.0.2.9", 10 },
		{ LIMITS_OCI, "10.1.2.3", 10 },      { LIMITS_OCM, "10.1.2.3", 50 },
		{ LIMITS_OCI, "192.168.7.8", 1 },    { LIMITS_OCI, "192.168.7.9", 3 },
		{ LIMITS_OCI, "192.168.8.8", 5 },    { LIMITS_ICR, "10.9.9.9", 5 },
		{ LIMITS_ICR, "11.9.9.9", 100 },     { LIMITS_ICM, "10.9.9.9", 7777 },
		{ LIMITS_ICR, "2001:db8:1::5", 8 },  { LIMITS_ICR, "2001:db8:2::5", 9 },
		{ LIMITS_ICR, "2001:db8:1::1", 11 }, { LIMITS_ICR, "2001:dead::1", 100 },
	};
	char errors[2000];

	make("octo: 1h 5m\n");
	is_int(load(errors, sizeof errors), 0, "a time with units");
	is_int(limits_octo(1) / USEC_PER_SEC, 3900, "octo with units");
	make("oci: 5\nocm:\t10\noci:10 10\nocm:10 50\noci:192.168.7.8 1\noci:192.168.7 3\nicr:10 5\nicr: 100\n"
	     "icr:IPv6:2001:db8:1 8\nicr:IPv6:2001:db8 9\nicr:IPv6:2001:db8:1::1 11\nocto: 7200\n");
	is_int(load(errors, sizeof errors), 0, "a good map");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct addr a = ip(cases[i].addr);

		is_int(limits_get(cases[i].kind, &a, 7777), cases[i].want, cases[i].addr);
	}
	is_int(limits_octo(1) / USEC_PER_SEC, 7200, "octo");
}

static void wrong(void)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "oci: many\n", "expected a number above 0" },
		{ "icr: 0\n", "expected a number above 0" },
		{ "oxi: 5\n", "expected oci, ocm, octo, icr or icm" },
		{ "octo: 0\n", "expected a time above 0" },
		{ "octo: 2 fortnights\n", "expected a time above 0" },
		{ "octo:10 5\n", "expected oci, ocm, octo, icr or icm" },
		{ "oci:300.1 5\n", "expected an address or net" },
		{ "icm:IPv6:2001:db8:zz 5\n", "expected an address or net" },
		{ "icm:IPv6:2001:db8:: 5\n", "expected an address or net" },
	};
	struct addr a = ip("192.168.7.8");
	char errors[2000];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		make(cases[i].text);
		is_int(load(errors, sizeof errors), -EINVAL, cases[i].says);
		ok(strstr(errors, cases[i].says) && strstr(errors, path), "says so: %s",
		   strtok(errors, "\n"));
	}
	is_int(limits_get(LIMITS_OCI, &a, 7777), 1, "the last good map is still in force");
}

static void absent(void)
{
	struct addr a = ip("192.168.7.8");
	char errors[2000];

	remove(path);
	is_int(load(errors, sizeof errors), 0, "an absent map is empty");
	ok(strstr(errors, "warning") != NULL, "with a warning");
	is_int(limits_get(LIMITS_OCI, &a, 7777), 7777, "then the options count");
	is_int(limits_octo(42), 42, "for octo too");
}

int main(int argc, char **argv)
{
	struct addr a = ip("10.0.0.1");

	(void)argc;
	snprintf(createmap, sizeof createmap, "%.*s/../../bin/createmap",
		 (int)(strrchr(argv[0], '/') - argv[0]), argv[0]);
	snprintf(path, sizeof path, "%s/qmgr_conf.db", tap_tmpdir());
	thread_main_register();
	is_int(limits_get(LIMITS_OCM, &a, 12), 12, "before anything was loaded");
	lookups();
	wrong();
	absent();
	rcu_barrier();
	return plan_done();
}
