#include "core/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* In a log file a line has its time; on a terminal and for those who read a pipe it is only in the
 * way. */
static void stamp(void)
{
	struct timespec now;
	struct stat st;
	struct tm tm;
	char date[24], zone[8];

	if (fstat(STDERR_FILENO, &st) || !S_ISREG(st.st_mode))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	if (!localtime_r(&now.tv_sec, &tm))
		return;
	strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
	strftime(zone, sizeof zone, "%z", &tm);
	fprintf(stderr, "%s.%06ld%s ", date, now.tv_nsec / 1000, zone);
}

static const char *severity = "sev=CRIT, ";

void err_plain(void)
{
	severity = "";
}

_Noreturn void fatal(int sysexit, const char *fmt, ...)
{
	va_list ap;

	if (*severity)
		stamp();
	fprintf(stderr, "%s: %s", program_invocation_short_name, severity);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(sysexit);
}

_Noreturn void panic(const char *fmt, ...)
{
	va_list ap;

	stamp();
	fprintf(stderr, "%s: sev=ALERT, panic: ", program_invocation_short_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}

void *xmalloc(unsigned long bytes)
{
	void *p = malloc(bytes ? bytes : 1);

	if (!p)
		panic("out of memory, wanted %lu bytes", bytes);
	return p;
}

void *xcalloc(unsigned long count, unsigned long bytes)
{
	void *p = calloc(count ? count : 1, bytes ? bytes : 1);

	if (!p)
		panic("out of memory, wanted %lu times %lu bytes", count, bytes);
	return p;
}

void *xrealloc(void *p, unsigned long bytes)
{
	p = realloc(p, bytes ? bytes : 1);
	if (!p)
		panic("out of memory, wanted %lu bytes", bytes);
	return p;
}

char *xstrdup(const char *s)
{
	size_t n = strlen(s) + 1;

	return memcpy(xmalloc(n), s, n);
}
