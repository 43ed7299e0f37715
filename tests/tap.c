#include "tests/tap.h"

#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int done_count;
static int failed_count;
static char tmpdir[256];

bool ok(bool cond, const char *fmt, ...)
{
	va_list ap;

	done_count++;
	if (!cond)
		failed_count++;
	printf("%sok %d - ", cond ? "" : "not ", done_count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	return cond;
}

bool is_int(int64_t got, int64_t want, const char *name)
{
	if (!ok(got == want, "%s", name))
		diag("got %lld, want %lld", (long long)got, (long long)want);
	return got == want;
}

bool is_str(const char *got, const char *want, const char *name)
{
	bool same = got && want ? !strcmp(got, want) : got == want;

	if (!ok(same, "%s", name))
		diag("got '%s', want '%s'", got ? got : "(null)", want ? want : "(null)");
	return same;
}

static void dump(const char *what, const unsigned char *p, size_t n)
{
	printf("#   %s (%zu): ", what, n);
	for (size_t i = 0; i < n && i < 200; i++) {
		if (p[i] >= 32 && p[i] < 127)
			putchar(p[i]);
		else
			printf("\\x%02x", p[i]);
	}
	putchar('\n');
}

bool is_mem(const void *got, size_t got_n, const void *want, size_t want_n, const char *name)
{
	bool same = got_n == want_n && (!got_n || !memcmp(got, want, got_n));

	if (!ok(same, "%s", name)) {
		dump("got ", got, got_n);
		dump("want", want, want_n);
	}
	return same;
}

void diag(const char *fmt, ...)
{
	va_list ap;

	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

void skip(const char *fmt, ...)
{
	va_list ap;

	printf("ok %d # SKIP ", ++done_count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

const char *tap_tmpdir(void)
{
	const char *base = getenv("TMPDIR");

	if (tmpdir[0])
		return tmpdir;
	snprintf(tmpdir, sizeof tmpdir, "%s/smx-test-XXXXXX", base && *base ? base : "/tmp");
	if (!mkdtemp(tmpdir)) {
		perror(tmpdir);
		exit(99);
	}
	return tmpdir;
}

int plan_done(void)
{
	if (tmpdir[0] && !getenv("SMX_TEST_KEEP"))
		nftw(tmpdir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	printf("1..%d\n", done_count);
	return failed_count ? 1 : 0;
}
