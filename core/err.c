#include "core/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void fatal(int sysexit, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: sev=CRIT, ", program_invocation_short_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(sysexit);
}

_Noreturn void panic(const char *fmt, ...)
{
	va_list ap;

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
