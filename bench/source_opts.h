/*
 * bench/source_opts.h - command line of smtp-source.
 *
 * Owner: main() fills it; read-only while threads run.
 */
#ifndef BENCH_SOURCE_OPTS_H
#define BENCH_SOURCE_OPTS_H
#include <stdbool.h>
#include <stdint.h>
#include "bench/endpoint.h"
#include "bench/msgid.h"
#include "core/clock.h"

struct source_opts {
	struct endpoint server;
	unsigned threads, sessions;
	uint64_t messages;       /* 0: until the time limit */
	uint32_t per_connection; /* messages */
	uint32_t rcpts;
	uint64_t length; /* of the body in bytes */
	bool lmtp, pipeline, helo_only, bdat, tolerant;
	bool counter, json_stdout, quiet;
	bool rcpt_number, rcpt_id;
	uint32_t domains, senders; /* 0: the address as given */
	double rate_per_sec;       /* 0: as fast as it goes */
	usec_t time_usec, reply_usec, grace_usec;
	uint64_t seed;
	uint32_t first_number;
	char run[MSGID_RUN_MAX + 1];
	const char *from, *to; /* never NULL after parsing */
	const char *hostname, *subject, *file, *acked, *json;
	const char *mail_args, *rcpt_args; /* NULL: none */
};

/* Parses argv; on a mistake, -h or -V it ends the program. */
void source_opts_parse(struct source_opts *o, int argc, char **argv);

#endif
