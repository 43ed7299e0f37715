#include <errno.h>
#include <string.h>
#include <syslog.h>
#include "core/conf.h"
#include "core/conf_state.h"

static const struct conf_value conf_start_values[] = {
	{ .name = "nostartaccept",
	  .value = CONF_START_NOSTARTACCEPT,
	  .help = "start it at the first connection, with the listening socket" },
	{ .name = "accept",
	  .value = CONF_START_ACCEPT,
	  .help = "start one process for each connection" },
	{ .name = "pass",
	  .value = CONF_START_PASS,
	  .help = "start it at once and pass the listening sockets over pass_fd_socket" },
	{ .name = "wait", .value = CONF_START_WAIT, .help = "start it at once; it has no socket" },
	{ 0 },
};

static const struct conf_value conf_socket_values[] = {
	{ .name = "inet", .value = CONF_SOCKET_INET, .help = "TCP: port, address" },
	{ .name = "unix",
	  .value = CONF_SOCKET_UNIX,
	  .help = "unix socket: path, umask, user, group" },
	{ 0 },
};

static const struct conf_value conf_facility_values[] = {
	{ .name = "daemon", .value = LOG_DAEMON },
	{ .name = "mail", .value = LOG_MAIL },
	{ .name = "auth", .value = LOG_AUTH },
	{ .name = "user", .value = LOG_USER },
	{ .name = "local0", .value = LOG_LOCAL0 },
	{ .name = "local1", .value = LOG_LOCAL1 },
	{ .name = "local2", .value = LOG_LOCAL2 },
	{ .name = "local3", .value = LOG_LOCAL3 },
	{ .name = "local4", .value = LOG_LOCAL4 },
	{ .name = "local5", .value = LOG_LOCAL5 },
	{ .name = "local6", .value = LOG_LOCAL6 },
	{ .name = "local7", .value = LOG_LOCAL7 },
	{ 0 },
};

static const struct conf_value conf_log_option_values[] = {
	{ .name = "pid", .value = LOG_PID, .help = "the process id in each line" },
	{ .name = "ndelay", .value = LOG_NDELAY, .help = "connect at once" },
	{ .name = "cons", .value = LOG_CONS, .help = "to the console if syslog does not answer" },
	{ .name = "nowait", .value = LOG_NOWAIT, .help = "do not wait for child processes" },
	{ .name = "odelay", .value = LOG_ODELAY, .help = "connect with the first line" },
	{ .name = "perror", .value = LOG_PERROR, .help = "to stderr as well" },
	{ 0 },
};

static const struct conf_value conf_log_format_values[] = {
	{ .name = "text", .value = CONF_LOG_TEXT, .help = "field=value, field=value" },
	{ .name = "json", .value = CONF_LOG_JSON, .help = "one JSON object each line" },
	{ 0 },
};

#define CONF_ROWS   conf_listen_rows
#define CONF_STRUCT struct conf_listen
#define CONF_DEF    "core/conf_listen.def"
#include "core/conf_rows.h"

#define CONF_ROWS   conf_common_rows
#define CONF_STRUCT struct conf_common
#define CONF_DEF    "core/conf_common.def"
#include "core/conf_rows.h"

#define CONF_ROWS   conf_global_rows
#define CONF_STRUCT struct conf_global
#define CONF_DEF    "core/conf_global.def"
#include "core/conf_rows.h"

const struct conf_option *const conf_common_table = conf_common_rows;
const unsigned conf_common_table_count = CONF_NELEM(conf_common_rows);
const struct conf_option *const conf_common_globals = conf_global_rows;
const unsigned conf_common_globals_count = CONF_NELEM(conf_global_rows);

/* ---- what mcp needs */

/* An option that has to be there. When it is there with a wrong value, that was said already. */
static void require(struct conf_report *r, bool there, const char *option, const char *expected)
{
	if (!there && !conf_report_place(r, option))
		conf_report_error(r, option, "expected %s, found none", expected);
}

static void refuse(struct conf_report *r, bool there, const char *option, const char *expected)
{
	if (there)
		conf_report_error(r, option, "expected %s", expected);
}

static void check_socket(struct conf_report *r, const struct conf_listen *l, unsigned number)
{
	const char *me = "listen_socket";

	if (l->name)
		me = conf_report_printf(r, "listen_socket %s", l->name);
	else if (number > 1)
		me = conf_report_printf(r, "listen_socket[%u]", number);
	const char *type = conf_report_printf(r, "%s.type", me);
	const char *port = conf_report_printf(r, "%s.port", me);
	const char *address = conf_report_printf(r, "%s.address", me);
	const char *path = conf_report_printf(r, "%s.path", me);

	require(r, l->type != CONF_SOCKET_UNSET, type, "inet or unix");
	if (l->type == CONF_SOCKET_INET) {
		require(r, l->port, port, "a port for type = inet");
		refuse(r, l->path, path, "no path for type = inet, but port and address");
	}
	if (l->type == CONF_SOCKET_UNIX) {
		require(r, l->path, path, "a path for type = unix");
		refuse(r, l->port, port, "no port for type = unix, but path");
		refuse(r, l->address, address, "no address for type = unix, but path");
	}
}

static void check_start(struct conf_report *r, const struct conf_common *c)
{
	const struct conf_listen *l = c->listen_socket.item;

	require(r, c->start_action != CONF_START_UNSET, "start_action",
		"nostartaccept, accept, pass or wait");
	if (c->start_action == CONF_START_WAIT)
		refuse(r, c->listen_socket.count, "listen_socket",
		       "no socket for start_action = wait");
	else if (c->start_action != CONF_START_UNSET)
		require(r, c->listen_socket.count, "listen_socket",
			"a socket for this start_action");
	if (c->start_action == CONF_START_PASS)
		require(r, c->pass_fd_socket, "pass_fd_socket", "a path for start_action = pass");
	for (unsigned i = 0; i < c->listen_socket.count; i++)
		check_socket(r, &l[i], i + 1);
}

static void check_processes(struct conf_report *r, const struct conf_common *c)
{
	if (c->min_processes > c->max_processes)
		conf_report_error(r, "min_processes",
				  "expected at most max_processes (%u), found %u", c->max_processes,
				  c->min_processes);
	if (c->use_id_in_logfile_name)
		require(r, c->pass_id, "pass_id", "an option for use_id_in_logfile_name");
}

/* A dependency is the keyword or the name of a section. */
static void check_dependencies(struct conf *cf, const struct conf_list *l)
{
	for (unsigned i = 0; i < l->count; i++) {
		struct span want = span_str(l->item[i]);
		bool found = false;

		for (unsigned k = 0; k < cf->section_count && !found; k++) {
			const struct conf_section *s = &cf->sections[k];

			found = span_caseeq(want, span_str(s->keyword)) ||
				span_caseeq(want, span_str(s->name));
		}
		if (!found)
			conf_report_error(&cf->report, "restart_dependencies",
					  "expected the name of a section, found '%s'",
					  conf_report_quote(&cf->report, l->item[i]));
	}
}

int conf_common_check(struct conf *cf, unsigned i, const struct conf_common *common, bool as_root)
{
	struct conf_report *r = &cf->report;
	unsigned before = r->error_count;

	if (i >= cf->section_count)
		return -EINVAL;
	check_start(r, common);
	require(r, common->path, "path", "the program to execute");
	require(r, common->arguments, "arguments", "the arguments, the program name first");
	if (as_root)
		require(r, common->user, "user", "a user to run as, because mcp is run by root");
	check_processes(r, common);
	check_dependencies(cf, &common->restart_dependencies);
	return r->error_count > before ? -EINVAL : 0;
}
