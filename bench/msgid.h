/*
 * bench/msgid.h - the id that every test message carries: RUN-NUMBER.
 *
 * RUN is 1 to 32 letters, digits, dots or underscores; NUMBER is decimal, 1 to 4294967295, no
 * leading zero. Parsers take bytes from hostile peers: they keep no pointer and read nothing beyond
 * n.
 */
#ifndef BENCH_MSGID_H
#define BENCH_MSGID_H
#include <stddef.h>
#include <stdint.h>

enum { MSGID_RUN_MAX = 32 };

struct msgid {
	char run[MSGID_RUN_MAX + 1];
	unsigned run_n;
	uint32_t number; /* 0: there is no id */
};

/* Parses a whole id, nothing in front or behind. 0, or -EINVAL and id untouched. */
int msgid_parse(const char *p, size_t n, struct msgid *id);

/* Is this text good as RUN. 0 or -EINVAL. */
int msgid_check_run(const char *p, size_t n);

/* Mixes a number well; the same result on every machine. */
uint64_t msgid_mix(uint64_t x);

#endif
