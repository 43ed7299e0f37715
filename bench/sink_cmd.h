/*
 * bench/sink_cmd.h - arguments of MAIL and RCPT, RFC 5321 4.1.1.2 and 4.1.1.3, from clients that
 * may misbehave.
 *
 * Parsers: no I/O, keep nothing, spans point into the input. Any thread.
 */
#ifndef BENCH_SINK_CMD_H
#define BENCH_SINK_CMD_H
#include <stdbool.h>
#include <stdint.h>
#include "core/span.h"

struct sink_cmd_path {
	struct span addr;   /* between the angle brackets, may be empty */
	struct span params; /* behind them */
	bool eight_bit;
};

/* args: what follows the verb and its space; keyword: "FROM:" or "TO:". 0, or -EINVAL. */
int sink_cmd_path(struct span args, struct span keyword, struct sink_cmd_path *out);

struct sink_cmd_params {
	uint64_t size; /* 0: not given */
	bool body_8bit, smtputf8;
};

/* offers: bits of sink_opts.h. rcpt: the parameters of RCPT. 0, -EINVAL: syntax, -ENOTSUP: not
 * offered. */
int sink_cmd_params(struct span params, unsigned offers, bool rcpt, struct sink_cmd_params *out);

/* Argument of BDAT, RFC 3030: "N" or "N LAST". 0 or -EINVAL. */
int sink_cmd_bdat(struct span args, uint64_t *size, bool *last);

#endif
