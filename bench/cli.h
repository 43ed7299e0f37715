/*
 * bench/cli.h - what the command lines of smtp-source and smtp-sink have in common.
 *
 * Owner: main(), before threads start. Nothing here keeps memory.
 */
#ifndef BENCH_CLI_H
#define BENCH_CLI_H
#include <stddef.h>
#include <stdint.h>
#include "core/clock.h"

/* The program's name for messages; call it first. */
void cli_program(const char *name);

/* "name: text" on stderr, then exit with the code. */
void cli_die(int exit_code, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));
void cli_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Parsers of option values; each ends the program with EX_USAGE, naming the option, when it does
 * not like one. A count takes k, m and g (times 1000); a time takes us, ms, s, m, h and is in
 * seconds without one. */
uint64_t cli_count(const char *option, const char *text, uint64_t min, uint64_t max);
usec_t cli_time(const char *option, const char *text);
/* "100", "100/s", "6000/m": per second, above 0. */
double cli_rate(const char *option, const char *text);

/* The same parser of times without the exit. 0 or -EINVAL. */
int cli_parse_time(const char *text, size_t n, usec_t *out);

/* Raises the limit of open files as far as it goes. Returns the new limit. */
uint64_t cli_raise_files(void);

/* Writes the whole of p to a file that replaces path in one step. 0 or -errno. */
int cli_write_file(const char *path, const char *p, size_t n);

#endif
