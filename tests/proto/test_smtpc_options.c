#include "proto/smtpc_options.h"

#include <strings.h>
#include "tests/conf_table.h"

static struct smtpc_options o;

static const struct conf_table_row files[] = {
	{ "the example of R 3.3",
	  "smtpc { Log_Level = 12; IO_timeout = 10m; wait_for_server = 4;\n"
	  "start_action = wait; user = smxc; path = \"/usr/libexec/smtpc\";\n"
	  "arguments = \"smtpc -f /etc/smx/smx.conf\"; }",
	  "" },
	{ "address and port", "smtpc { connect_only_to = 127.0.0.1; remote_port = 0; }",
	  "t:1:52: smtpc.remote_port: expected a number from 1 to 65535, found '0'\n" },
	{ "below the RFC", "smtpc { io_timeout = 6m; }",
	  "t:1:9: warning: smtpc.io_timeout: RFC 5321 4.5.3.2.6 wants at least 10m after the final "
	  "dot\n" },
	{ "half a certificate", "smtpc { tls { cert_file = a; DSA_key_file = b; } }",
	  "t:1:1: smtpc.tls.key_file: expected a file beside tls.cert_file, found none\n"
	  "t:1:1: smtpc.tls.DSA_cert_file: expected a file beside tls.DSA_key_file, found none\n"
	  "t:1:15: warning: smtpc.tls.cert_file: not available in this version, ignored\n"
	  "t:1:30: warning: smtpc.tls.DSA_key_file: not available in this version, ignored\n" },
	{ "threads", "smtpc { min_wait_threads = 9; }",
	  "t:1:9: warning: smtpc.min_wait_threads: not available in this version, ignored\n"
	  "t:1:9: smtpc.min_wait_threads: expected at most max_wait_threads (8), found 9\n" },
	{ "word", "smtpc { cpu_affinity = maybe; flags = send_8bit; }",
	  "t:1:24: smtpc.cpu_affinity: expected one of auto, on, off, found 'maybe'\n" },
};

int main(void)
{
	conf_table_check(&smtpc_options_component, &o);
	ok(!o.io_timeout && o.remote_port == 25 && !o.flags && o.cpu_affinity == SMTPC_CPU_AUTO,
	   "defaults");
	conf_table_files(&smtpc_options_component, &o, files, CONF_NELEM(files));
	return plan_done();
}
