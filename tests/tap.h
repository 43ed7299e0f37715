/*
 * tests/tap.h - the little TAP that the unit tests need.
 *
 * Owner: the main thread of a test. ok() may be called from one thread at a time.
 */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Prints one result line; returns cond. */
bool ok(bool cond, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Compare and, when they differ, say how. */
bool is_int(int64_t got, int64_t want, const char *name);
bool is_str(const char *got, const char *want, const char *name);
bool is_mem(const void *got, size_t got_n, const void *want, size_t want_n, const char *name);

/* A line beginning with "# ". */
void diag(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* One passed result that says why it was not run. */
void skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Prints the plan; its value is main()'s exit status. */
int plan_done(void);

/* A fresh folder, removed with all in it by plan_done() unless SMX_TEST_KEEP is set. Valid to the
 * end. */
const char *tap_tmpdir(void);

#endif
