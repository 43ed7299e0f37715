#include "queue/qmgr_options.h"

#include <strings.h>
#include "tests/conf_table.h"

static struct qmgr_options o;
static struct conf_global g;

static const struct conf_table_row files[] = {
	{ "the example of R 3.3",
	  "CDB_base_directory = \"/var/spool/smx/\";\n"
	  "qmgr { AQ_max_entries = 8192;\n"
	  "  smtpc { initial_connections = 19; max_connections = 101; }\n"
	  "  smtps { max_connections = 5; max_connection_rate=160; }\n"
	  "  wait_for_server = 4; wait_for_client = 4;\n"
	  "  start_action = wait; user = smxq;\n"
	  "  restart_dependencies = { smtps, smtpc, smar };\n"
	  "  path = \"/usr/libexec/qmgr\"; arguments = \"qmgr -f /etc/smx/smx.conf\"; }\n",
	  "" },
	{ "hash table not larger than the cache", "qmgr { IQDB { max_cache_entries = 200000; } }",
	  "t:1:1: qmgr.IQDB.hash_table_entries: expected more than IQDB.max_cache_entries (200000), "
	  "found 131072\n" },
	{ "disk space", "qmgr { min_disk_space = 5MB; ok_disk_space = 5MB; }",
	  "t:1:30: qmgr.ok_disk_space: expected more than min_disk_space (5120KB), found 5120KB\n" },
	{ "delays", "qmgr { retry_min_delay = 1h; retry_max_delay = 30m; }",
	  "t:1:30: qmgr.retry_max_delay: expected at least retry_min_delay (3600s), found 1800s\n" },
	{ "connections", "qmgr { smtpc { initial_connections = 11; max_connections = 10; } }",
	  "t:1:16: qmgr.smtpc.initial_connections: expected at most smtpc.max_connections (10), "
	  "found 11\n" },
	{ "threads", "qmgr { min_threads = 4; max_threads = 2; }",
	  "t:1:8: qmgr.min_threads: expected at most max_threads (2), found 4\n" },
	{ "flags", "qmgr { flags = { reuse_conection }; DSN_handling { flags = { mime_format } } }",
	  "t:1:18: qmgr.flags: expected flags out of reuse_connection, found 'reuse_conection' "
	  "(did you mean reuse_connection?)\n" },
	{ "kilobytes with a unit", "qmgr { DEFEDB { KBytes_written_for_checkpointing = 4MB; } }",
	  "" },
};

static void values(void)
{
	struct conf *cf = conf_text_apply(
		"qmgr { DEFEDB { flags = { dont_remove_unused_logfiles }; cache_size = 1GB;\n"
		"KBytes_written_for_checkpointing = 4; } IBDB { max_commit_delay = 500; }\n"
		"min_disk_space = 10; ok_disk_space = 20; flags = reuse_connection; }",
		&qmgr_options_component, NULL, &o, &g);

	is_str(conf_text_report(cf), "", "no errors");
	is_int((int64_t)o.defedb_flags, 0, "a flag that is on by default switched off");
	is_int((int64_t)o.defedb_cache_size, 1 << 30, "cache_size");
	is_int((int64_t)o.defedb_kbytes_written_for_checkpointing, 4096, "a plain number is KB");
	is_int(o.ibdb_max_commit_delay, 500, "a plain number is microseconds");
	is_int((int64_t)o.min_disk_space, 10240, "a plain number is KB");
	is_int((int64_t)o.flags, QMGR_F_REUSE_CONNECTION, "flags");
	conf_free(cf);
	cf = conf_text_apply("", &qmgr_options_component, NULL, &o, &g);
	ok(o.aq_max_entries == 200000 && o.commit_hold == 300 && o.defedb_page_size == 16384 &&
		   o.queue_return_timeout == 5 * 86400 * INT64_C(1000000) &&
		   o.min_disk_space == 102400 * 1024 &&
		   o.defedb_flags == QMGR_DEFEDB_F_REMOVE_UNUSED_LOGFILES,
	   "defaults");
	conf_free(cf);
}

static void command_line(void)
{
	int (*cb)(int, const char *, void *) = qmgr_options_component.getopt_cb;

	memset(&o, 0, sizeof o);
	ok(!cb('C', "50", &o) && !cb('c', "5", &o) && !cb('O', "R=200", &o) && !cb('O', "O=7", &o),
	   "-C -c -O");
	ok(o.smtpc_max_connections == 50 && o.smtpc_initial_connections == 5 &&
		   o.smtps_max_connection_rate == 200 && o.smtps_max_connections == 7,
	   "their values");
	ok(cb('C', "0", &o) && cb('C', "x", &o) && cb('c', "5x", &o) && cb('O', "5", &o) &&
		   cb('O', "R=", &o) && cb('O', "X=1", &o) && cb('C', "99999999999999999999", &o) &&
		   cb('c', "-1", &o),
	   "wrong values");
}

int main(void)
{
	conf_table_check(&qmgr_options_component, &o);
	conf_table_files(&qmgr_options_component, &o, files, CONF_NELEM(files));
	values();
	command_line();
	return plan_done();
}
