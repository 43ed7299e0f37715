/*
 * tests/resolver/map_fixture.h - files and maps for the tests of the resolver.
 *
 * Memory: paths are valid to the end of the test.
 */
#ifndef TESTS_RESOLVER_MAP_FIXTURE_H
#define TESTS_RESOLVER_MAP_FIXTURE_H
#include "resolver/map_build.h"
#include "tests/tap.h"

#include <stdio.h>
#include <stdlib.h>

/* TMPDIR/name. May be freed; what is not stays reachable, so it counts as no leak. */
static inline char *fixture_path(const char *name)
{
	static char *volatile paths[256] __attribute__((unused));
	static unsigned count;
	char *path;

	if (asprintf(&path, "%s/%s", tap_tmpdir(), name) < 0)
		abort();
	paths[count++ % 256] = path;
	return path;
}

/* Writes a file; returns its path. */
static inline char *fixture_file(const char *name, const char *text)
{
	char *path = fixture_path(name);
	FILE *f = fopen(path, "we");

	if (!f || fputs(text, f) < 0 || fclose(f))
		abort();
	return path;
}

/* Makes the LMDB file of a map from its text, as createmap does; returns its path. */
static inline char *fixture_map(const char *name, const char *text)
{
	char *path = fixture_path(name);
	struct report r = { 0 };
	struct map_build *b = map_build_new(false);
	int rc = map_build_text(b, name, span_str(text), &r);

	if (!rc)
		rc = map_build_write(b, path, &r);
	if (rc)
		ok(false, "map %s can be made: %.*s", name, (int)buf_len(&r.text), r.text.p);
	map_build_free(b);
	report_free(&r);
	return path;
}

/* The lines of a report as a string, until the next call. */
static inline const char *fixture_report(const struct report *r)
{
	static char text[8192];

	span_cstr(buf_span(&r->text), text, sizeof text);
	return text;
}

#endif
