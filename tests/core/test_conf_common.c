#include "core/conf.h"

#include <strings.h>
#include "core/conf_state.h"
#include "tests/conf_table.h"

/* The last section of each text is looked at as mcp does. */
static const struct {
	const char *name;
	const char *text;
	const char *want;
	bool strict;
	bool as_root;
} rows[] = {
	{ "a component that waits",
	  "qmgr { start_action = wait; path = /q; arguments = \"qmgr\"; AQ_max_entries = 1; }", "",
	  false, false },
	{ "a component with sockets",
	  "smtps { start_action = pass; pass_fd_socket = s/fd; path = /q; arguments = \"q\";\n"
	  "listen_socket { type = inet; port = 25; } listen_socket { type = unix; path = x; }\n"
	  "tls { cert_file = 12 } }",
	  "t:3:22: smtps.tls.cert_file: expected ';', found '}'\n", false, false },
	{ "a service",
	  "mailer X { start_action = accept; path = /q; arguments = \"q\";\n"
	  "listen_socket { type = inet; port = 25; } }",
	  "", true, false },
	{ "nothing is there", "qmgr { }",
	  "t:1:1: qmgr.start_action: expected nostartaccept, accept, pass or wait, found none\n"
	  "t:1:1: qmgr.path: expected the program to execute, found none\n"
	  "t:1:1: qmgr.arguments: expected the arguments, the program name first, found none\n",
	  false, false },
	{ "what is there but wrong is said once",
	  "qmgr { start_action = go; path = /q; arguments = a b; }",
	  "t:1:23: qmgr.start_action: expected one of nostartaccept, accept, pass, wait, found 'go'\n"
	  "t:1:50: qmgr.arguments: expected one string in quotes, found 'a b'\n",
	  false, false },
	{ "unknown option of a service",
	  "mailer { start_action = wait; path = /q; arguments = \"q\"; usr = x; }",
	  "t:1:59: mailer.usr: expected an option of mailer, found 'usr' (did you mean user?)\n",
	  true, false },
	{ "unknown option of a component is for its program",
	  "qmgr { start_action = wait; path = /q; arguments = \"q\"; usr = x; }", "", false,
	  false },
	{ "no user as root", "qmgr { start_action = wait; path = /q; arguments = \"q\"; }",
	  "t:1:1: qmgr.user: expected a user to run as, because mcp is run by root, found none\n",
	  false, true },
	{ "user as root",
	  "qmgr { start_action = wait; path = /q; arguments = \"q\"; user = smxq; }", "", false,
	  true },
	{ "socket although it waits",
	  "qmgr { start_action = wait; path = /q; arguments = \"q\";\n"
	  "listen_socket { type = inet; port = 1; } }",
	  "t:2:1: qmgr.listen_socket: expected no socket for start_action = wait\n", false, false },
	{ "no socket to pass", "smtps { start_action = pass; path = /q; arguments = \"q\"; }",
	  "t:1:1: smtps.listen_socket: expected a socket for this start_action, found none\n"
	  "t:1:1: smtps.pass_fd_socket: expected a path for start_action = pass, found none\n",
	  false, false },
	{ "sockets that do not fit",
	  "smtps M { start_action = accept; path = /q; arguments = \"q\";\n"
	  "listen_socket { }\n"
	  "listen_socket { type = inet; path = x; }\n"
	  "listen_socket U { type = unix; port = 1; address = ::1; } }",
	  "t:1:1: smtps M.listen_socket.type: expected inet or unix, found none\n"
	  "t:1:1: smtps M.listen_socket[2].port: expected a port for type = inet, found none\n"
	  "t:1:1: smtps M.listen_socket U.path: expected a path for type = unix, found none\n"
	  "t:3:30: smtps M.listen_socket[2].path: expected no path for type = inet, "
	  "but port and address\n"
	  "t:4:32: smtps M.listen_socket U.port: expected no port for type = unix, but path\n"
	  "t:4:42: smtps M.listen_socket U.address: expected no address for type = unix, but path\n",
	  false, false },
	{ "numbers of processes",
	  "x { start_action = wait; path = /q; arguments = \"q\"; min_processes = 2;\n"
	  "use_id_in_logfile_name = on; }",
	  "t:1:1: x.pass_id: expected an option for use_id_in_logfile_name, found none\n"
	  "t:1:54: x.min_processes: expected at most max_processes (1), found 2\n",
	  true, false },
	{ "dependencies",
	  "smtps MTA { }\nSMTPC { }\n"
	  "x { start_action = wait; path = /q; arguments = \"q\";\n"
	  "restart_dependencies = { SMTPS, MTA, smtpc, x, qmgr } }",
	  "t:4:1: x.restart_dependencies: expected the name of a section, found 'qmgr'\n", true,
	  false },
	{ "ports",
	  "x { listen_socket { type = inet; port = 65536; } start_action = accept; path = /q;\n"
	  "arguments = \"q\"; }",
	  "t:1:41: x.listen_socket.port: expected a number from 1 to 65535, found '65536'\n", true,
	  false },
};

static void table(void)
{
	for (size_t i = 0; i < CONF_NELEM(rows); i++) {
		struct conf *cf = conf_new();
		struct conf_common c;
		struct conf_global g;

		conf_read_text(cf, "t", rows[i].text, strlen(rows[i].text));
		conf_apply_global(cf, &g);
		unsigned last = conf_section_count(cf) - 1;
		conf_apply_common(cf, last, &c, rows[i].strict);
		conf_common_check(cf, last, &c, rows[i].as_root);
		is_str(conf_text_report(cf), rows[i].want, rows[i].name);
		conf_free(cf);
	}
}

static void mcp_says(void)
{
	static const char text[] = "qmgr { path = /q; }\n\nsmar { user = x; }\n";
	struct conf *cf = conf_new();
	struct conf_common c;

	conf_read_text(cf, "t", text, strlen(text));
	ok(conf_section_get(cf, 0)->has_path && !conf_section_get(cf, 0)->has_start_action,
	   "has a path");
	ok(!conf_section_get(cf, 1)->has_path, "has none");
	conf_apply_common(cf, 1, &c, false);
	is_str(c.user, "x", "a value");
	conf_section_error(cf, 1, "user", "expected %s", "somebody else");
	conf_section_error(cf, 0, NULL, "expected more");
	is_str(conf_text_report(cf),
	       "t:1:1: qmgr: expected more\nt:3:8: smar.user: expected somebody else\n",
	       "errors of mcp's");
	is_int(conf_apply_common(cf, 2, &c, false), -22, "no such section");
	conf_free(cf);
}

static void tables(void)
{
	struct conf *cf = conf_new();

	conf_table_rows(conf_common_table, conf_common_table_count);
	conf_table_rows(conf_common_globals, conf_common_globals_count);
	conf_table_page(cf, NULL, "smconf");
	conf_free(cf);
}

int main(void)
{
	tables();
	table();
	mcp_says();
	return plan_done();
}
