#include "bench/cli.h"

#include "tests/tap.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

static void test_time(void)
{
	static const struct {
		const char *text;
		int64_t usec; /* -1: refused */
	} t[] = {
		{ "1", 1000000 },
		{ "100ms", 100000 },
		{ "1.5s", 1500000 },
		{ "7us", 7 },
		{ "2m", 120000000 },
		{ "1h", 3600000000 },
		{ "0", 0 },
		{ "", -1 },
		{ "s", -1 },
		{ "-1", -1 },
		{ "1 s", -1 },
		{ "1d", -1 },
		{ "99999999999h", -1 },
		{ "1s ", -1 },
		{ "nan", -1 },
		{ "1e3", -1 },
		{ "1.2.3s", -1 },
		{ "0x10", -1 },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		usec_t v = -1;
		int rc = cli_parse_time(t[i].text, strlen(t[i].text), &v);
		ok(t[i].usec < 0 ? rc < 0 : rc == 0 && v == t[i].usec, "time '%s'", t[i].text);
	}
}

/* Runs one parser in a child; returns its exit status, 0 when it accepted the text. */
static int status_of(void (*run)(const char *), const char *text)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		if (!freopen("/dev/null", "w", stderr))
			_exit(99);
		run(text);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void count(const char *text)
{
	cli_count("-x", text, 1, 5000000);
}

static void rate(const char *text)
{
	cli_rate("-x", text);
}

static void test_refusals(void)
{
	static const struct {
		void (*run)(const char *);
		const char *text;
		int status;
	} t[] = {
		{ count, "1", 0 },
		{ count, "20k", 0 },
		{ count, "5M", 0 },
		{ count, "0", EX_USAGE },
		{ count, "6m", EX_USAGE },
		{ count, "", EX_USAGE },
		{ count, "-1", EX_USAGE },
		{ count, "1x", EX_USAGE },
		{ count, "1kk", EX_USAGE },
		{ count, "99999999999999999999", EX_USAGE },
		{ count, "18446744073709551615g", EX_USAGE },
		{ rate, "100", 0 },
		{ rate, "0.5/s", 0 },
		{ rate, "6000/m", 0 },
		{ rate, "0", EX_USAGE },
		{ rate, "-5", EX_USAGE },
		{ rate, "1/h", EX_USAGE },
		{ rate, "fast", EX_USAGE },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		ok(status_of(t[i].run, t[i].text) == t[i].status, "%s '%s' is %s",
		   t[i].run == count ? "count" : "rate", t[i].text,
		   t[i].status ? "refused" : "taken");
	is_int((int64_t)cli_count("-x", "20k", 1, 100000), 20000, "k is a thousand");
	ok(cli_rate("-x", "6000/m") == 100, "per minute");
}

static void test_write(void)
{
	char path[200], got[10] = "";

	snprintf(path, sizeof(path), "%s/f", tap_tmpdir());
	is_int(cli_write_file(path, "old", 3), 0, "a new file");
	is_int(cli_write_file(path, "newer", 5), 0, "replaced");
	FILE *f = fopen(path, "r");
	is_int((int64_t)fread(got, 1, sizeof(got), f), 5, "whole");
	fclose(f);
	is_str(got, "newer", "with the new text");
	ok(cli_write_file("/nonexistent/f", "x", 1) < 0, "no folder, no file");
}

int main(void)
{
	test_time();
	test_refusals();
	test_write();
	return plan_done();
}
