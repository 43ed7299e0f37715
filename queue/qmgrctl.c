/*
 * queue/qmgrctl.c - asks the running qmgr on its control socket: status, statistics, reload, retry.
 */
#include "core/ctl.h"
#include "core/err.h"
#include "queue/tool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static void usage(FILE *out)
{
	fprintf(out, "usage: qmgrctl [-d DIR] [-s SOCKET] [-r | COMMAND [ARGUMENTS]]\n"
		     "commands:\n"
		     "  status            how full the queues are (default)\n"
		     "  stats [-j | -m]   counters as text, JSON or OpenMetrics\n"
		     "  list [-j]         every queued message, see mailq(1)\n"
		     "  retry             try all deferred recipients now\n"
		     "  reload            read configuration and maps again, as -r\n"
		     "  log_level N       change the amount of logging until the next start\n"
		     "  -d DIR    spool (default: $SMX_SPOOL, the current folder, " SMX_SPOOLDIR ")\n"
		     "  -s SOCKET control socket (default: qmgrctlsock in the spool)\n"
		     "  -h        this text        -V        version\n");
}

static bool same(const char *a, const char *b)
{
	return a && !strcmp(a, b);
}

/* The request line for the words of the command line. */
static const char *request(char **word, int count, char *line, size_t cap)
{
	const char *arg = count > 1 ? word[1] : NULL;

	if (count == 0)
		return "status";
	if (same(word[0], "stats"))
		return same(arg, "-j") ? "stats json" : same(arg, "-m") ? "stats metrics" : "stats text";
	if (same(word[0], "list"))
		return same(arg, "-j") ? "list json" : "list text";
	size_t n = 0;
	for (int i = 0; i < count; i++) {
		int k = snprintf(line + n, cap - n, "%s%s", i ? " " : "", word[i]);

		if (k < 0 || (size_t)k >= cap - n)
			fatal(EX_USAGE, "the command is too long");
		n += (size_t)k;
	}
	if (strchr(line, '\n'))
		fatal(EX_USAGE, "a line break in the command");
	return line;
}

static const char *const commands[] = { "status", "stats", "list", "retry", "reload", "log_level", "help" };

static bool known(const char *word)
{
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		if (same(word, commands[i]))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	const char *dir = NULL, *socket = "qmgrctlsock";
	bool reload = false;
	char line[4096];
	int c;

	while ((c = getopt(argc, argv, "+d:s:rhV")) != -1) {
		switch (c) {
		case 'd':
			dir = optarg;
			break;
		case 's':
			socket = optarg;
			break;
		case 'r':
			reload = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		case 'V':
			puts("qmgrctl: smX " SMX_VERSION);
			return 0;
		default:
			usage(stderr);
			return EX_USAGE;
		}
	}
	if (optind < argc && !known(argv[optind])) {
		fprintf(stderr, "qmgrctl: unknown command '%s'\n", argv[optind]);
		usage(stderr);
		return EX_USAGE;
	}
	if (socket[0] != '/' || dir)
		tool_enter_spool(dir);
	tool_become_owner("defedb");
	int rc = ctl_ask(socket, reload ? "reload" : request(argv + optind, argc - optind, line, sizeof line),
			 STDOUT_FILENO);
	if (rc)
		fatal(EX_UNAVAILABLE, "%s: %s%s", socket, strerror(-rc),
		      rc == -ENOENT || rc == -ECONNREFUSED ? " (is qmgr running?)" : "");
	return 0;
}
