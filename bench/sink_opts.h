/*
 * bench/sink_opts.h - command line of smtp-sink.
 *
 * Owner: main() fills it, everybody reads it while threads run (only the counters in faults
 *        change).
 */
#ifndef BENCH_SINK_OPTS_H
#define BENCH_SINK_OPTS_H
#include <stdbool.h>
#include "bench/endpoint.h"
#include "bench/fault.h"

enum { SINK_LISTEN_MAX = 16 };

/* Extensions that EHLO offers. */
enum {
	SINK_PIPELINING = 1,
	SINK_8BITMIME = 2,
	SINK_SIZE = 4,
	SINK_ENHANCED = 8,
	SINK_SMTPUTF8 = 16,
	SINK_DSN = 32,
	SINK_CHUNKING = 64
};

struct sink_opts {
	struct endpoint listen[SINK_LISTEN_MAX];
	unsigned listen_count;
	unsigned threads;
	int backlog;
	bool lmtp;
	bool counter;     /* a live line on stderr */
	bool json_stdout; /* JSON in place of the text at exit */
	bool quiet;
	bool no_duplicates; /* a duplicate is a failure */
	unsigned offers;
	uint64_t size_max, rcpt_max, session_max, pair_max;
	uint32_t mail_max; /* MAIL commands of a session, RFC 9422; 0: any number */
	uint64_t expect, expect_messages;
	uint64_t seed;
	usec_t timeout_usec, linger_usec, idle_usec;
	double limit_per_sec; /* 0: none */
	const char *hostname, *acked, *control, *port_file, *dump, *json;
	const char *device; /* NULL: any */
	struct fault_set faults;
};

/* Parses argv; on a mistake, -h or -V it ends the program. */
void sink_opts_parse(struct sink_opts *o, int argc, char **argv);

#endif
