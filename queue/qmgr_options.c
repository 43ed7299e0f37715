#include "queue/qmgr_options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static const struct conf_value qmgr_flag_values[] = {
	{ .name = "reuse_connection",
	  .value = QMGR_F_REUSE_CONNECTION,
	  .help = "send several messages over one connection" },
	{ 0 },
};

static const struct conf_value qmgr_defedb_flag_values[] = {
	{ .name = "remove_unused_logfiles",
	  .value = QMGR_DEFEDB_F_REMOVE_UNUSED_LOGFILES,
	  .help = "remove closed logs; off: they go to the archive folder of the database and stay" },
	{ 0 },
};

static const struct conf_value qmgr_dsn_flag_values[] = {
	{ .name = "header_only",
	  .value = QMGR_DSN_F_HEADER_ONLY,
	  .help = "only the header of the message, never the whole" },
	{ .name = "MIME_Format",
	  .value = QMGR_DSN_F_MIME_FORMAT,
	  .help = "multipart/report of RFC 3464 instead of plain text" },
	{ 0 },
};

#define CONF_ROWS   qmgr_options_rows
#define CONF_STRUCT struct qmgr_options
#define CONF_DEF    "queue/qmgr_options.def"
#include "core/conf_rows.h"

static void qmgr_options_check(const void *opts, const struct conf_global *g, struct conf_report *r)
{
	const struct qmgr_options *o = opts;

	(void)g;
	if (o->iqdb_hash_table_entries <= o->iqdb_max_cache_entries)
		conf_report_error(r, "IQDB.hash_table_entries",
				  "expected more than IQDB.max_cache_entries (%u), found %u",
				  o->iqdb_max_cache_entries, o->iqdb_hash_table_entries);
	if (o->ok_disk_space <= o->min_disk_space)
		conf_report_error(r, "ok_disk_space",
				  "expected more than min_disk_space (%" PRIu64
				  "KB), found %" PRIu64 "KB",
				  o->min_disk_space / 1024, o->ok_disk_space / 1024);
	if (o->retry_max_delay < o->retry_min_delay)
		conf_report_error(r, "retry_max_delay",
				  "expected at least retry_min_delay (%" PRId64 "s), found %" PRId64
				  "s",
				  o->retry_min_delay / 1000000, o->retry_max_delay / 1000000);
	if (o->smtpc_initial_connections > o->smtpc_max_connections)
		conf_report_error(r, "smtpc.initial_connections",
				  "expected at most smtpc.max_connections (%u), found %u",
				  o->smtpc_max_connections, o->smtpc_initial_connections);
	if (o->max_threads && o->min_threads > o->max_threads)
		conf_report_error(r, "min_threads", "expected at most max_threads (%u), found %u",
				  o->max_threads, o->min_threads);
}

/* A number within the bounds that the same option has in the file. */
static int number(const char *s, unsigned long max, uint32_t *out)
{
	char *end;

	errno = 0;
	unsigned long n = strtoul(s, &end, 10);
	if (errno || *s < '0' || *s > '9' || *end || n < 1 || n > max)
		return -EINVAL;
	*out = (uint32_t)n;
	return 0;
}

/* R 3.8.1: -C n, -c n, -O R=n, -O O=n */
static int qmgr_options_getopt(int opt, const char *arg, void *opts)
{
	struct qmgr_options *o = opts;

	if (opt == 'C')
		return number(arg, 1000000, &o->smtpc_max_connections);
	if (opt == 'c')
		return number(arg, 1000000, &o->smtpc_initial_connections);
	if (opt == 'O' && arg[0] == 'R' && arg[1] == '=')
		return number(arg + 2, 1000000000, &o->smtps_max_connection_rate);
	if (opt == 'O' && arg[0] == 'O' && arg[1] == '=')
		return number(arg + 2, 1000000, &o->smtps_max_connections);
	return -EINVAL;
}

static const char *qmgr_options_wants(int opt)
{
	return opt == 'O' ? "R= with a number from 1 to 1000000000 or O= with one from 1 to 1000000"
			  : "a number from 1 to 1000000";
}

static void qmgr_options_usage(FILE *out)
{
	fputs("  -C NUM   smtpc.max_connections\n"
	      "  -c NUM   smtpc.initial_connections\n"
	      "  -O R=NUM smtps.max_connection_rate\n"
	      "  -O O=NUM smtps.max_connections\n",
	      out);
}

const struct conf_component qmgr_options_component = {
	.keyword = "qmgr",
	.summary = "the queue manager of smX",
	.options = qmgr_options_rows,
	.option_count = CONF_NELEM(qmgr_options_rows),
	.size = sizeof(struct qmgr_options),
	.getopt_extra = "C:c:O:",
	.getopt_cb = qmgr_options_getopt,
	.getopt_wants = qmgr_options_wants,
	.usage_extra = qmgr_options_usage,
	.check = qmgr_options_check,
};
