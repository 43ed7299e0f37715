/*
 * supervisor/mcp_main.c - the program mcp: reads smx.conf, prepares the ground, runs the gateway.
 *
 * Nothing is started before all of it is known to be good: configuration, accounts, lock of the
 * spool, directories, log files, sockets.
 */
#include "core/err.h"
#include "core/span.h"
#include "supervisor/argv.h"
#include "supervisor/mcp_lock.h"
#include "supervisor/mcp_log.h"
#include "supervisor/mcp_proc.h"
#include "supervisor/mcp_run.h"
#include "supervisor/mcp_sock.h"
#include "supervisor/precheck.h"
#include "supervisor/spool.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum { STOP_LIMIT_SEC = 30, UP_LIMIT_SEC = 60, LIMIT_MAX_SEC = 86400 };

struct options {
	const char *conf_path;
	const char *log_dir;
	int stop_limit_sec;
	int up_limit_sec;
	bool check_only;
};

static void usage(FILE *out)
{
	fprintf(out,
		"Usage: mcp -f FILE [-L DIR] [-t SECONDS] [-u SECONDS] [-n]\n"
		"Starts and watches the programs of smx.conf; run it in the spool directory.\n"
		"  -f FILE     configuration\n"
		"  -L DIR      directory of the log files NAME.log; default: the current one\n"
		"  -t SECONDS  a program that is told to stop is killed after this time; default %d\n"
		"  -u SECONDS  listening sockets are closed when their program does not take them\n"
		"              for this time; 0: never; default %d\n"
		"  -n          check the configuration only\n"
		"  -h          this text\n"
		"  -V          version; twice: also what it was built for\n",
		STOP_LIMIT_SEC, UP_LIMIT_SEC);
}

static void version(unsigned detail)
{
	printf("mcp: smX %s\n", SMX_VERSION);
	if (detail < 2)
		return;
	printf("configuration %s\nspool %s\nlogs %s\nprograms %s\n", SMX_CONFDIR, SMX_SPOOLDIR,
	       SMX_LOGDIR, SMX_LIBEXECDIR);
	printf("users %s %s %s %s %s\n", SMX_SMTPS_USER, SMX_QMGR_USER, SMX_SMTPC_USER,
	       SMX_SMAR_USER, SMX_OTHER_USER);
}

static int seconds(const char *text, char option)
{
	uint64_t v;

	if (span_u64(span_str(text), LIMIT_MAX_SEC, &v))
		fatal(EX_USAGE, "-%c wants a number of seconds up to %d, not \"%s\"", option,
		      LIMIT_MAX_SEC, text);
	return (int)v;
}

static void parse(int argc, char **argv, struct options *o)
{
	unsigned detail = 0;
	int c;

	*o = (struct options){ .log_dir = ".",
			       .stop_limit_sec = STOP_LIMIT_SEC,
			       .up_limit_sec = UP_LIMIT_SEC };
	while ((c = getopt(argc, argv, "f:L:t:u:nhV")) != -1) {
		switch (c) {
		case 'f':
			o->conf_path = optarg;
			break;
		case 'L':
			o->log_dir = optarg;
			break;
		case 't':
			o->stop_limit_sec = seconds(optarg, 't');
			break;
		case 'u':
			o->up_limit_sec = seconds(optarg, 'u');
			break;
		case 'n':
			o->check_only = true;
			break;
		case 'V':
			detail++;
			break;
		case 'h':
			usage(stdout);
			exit(EX_OK);
		default:
			usage(stderr);
			exit(EX_USAGE);
		}
	}
	if (detail) {
		version(detail);
		exit(EX_OK);
	}
	if (optind != argc || !o->conf_path) {
		usage(stderr);
		exit(EX_USAGE);
	}
}

static void raise_descriptor_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r))
		return;
	r.rlim_cur = r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r))
		mcp_log("WARN", "func=setrlimit, error=%s", strerror(errno));
}

static int take_lock(struct mcp *m)
{
	pid_t holder = 0;

	m->lock_fd = mcp_lock_take(&holder);
	if (m->lock_fd == -EAGAIN)
		fprintf(stderr, "mcp: another mcp, pid %d, runs in this directory\n", (int)holder);
	else if (m->lock_fd == -EPERM)
		fprintf(stderr,
			"mcp: mcp.lock belongs to somebody else; look at it and remove it\n");
	else if (m->lock_fd < 0)
		fprintf(stderr, "mcp: mcp.lock: %s\n", strerror(-m->lock_fd));
	return m->lock_fd < 0 ? EX_TEMPFAIL : EX_OK;
}

static const struct account *owner(const struct mcp *m, const char *keyword)
{
	for (unsigned i = 0; i < m->conf.count; i++)
		if (strcmp(m->conf.program[i].keyword, keyword) == 0)
			return &m->conf.program[i].account;
	return NULL;
}

static int prepare_spool(const struct mcp *m, bool as_root)
{
	struct spool_owners own = { .smtps = owner(m, "smtps"),
				    .smtpc = owner(m, "smtpc"),
				    .smar = owner(m, "smar"),
				    .qmgr = owner(m, "qmgr") };
	const char *base = m->conf.global.cdb_base_directory;

	return spool_prepare(&own, base ? base : "", as_root, stderr);
}

/* All that can fail before something is started. Returns an exit code. */
static int prepare(struct mcp *m, const struct options *o, bool as_root)
{
	if (precheck_file(o->conf_path, as_root, stderr, o->check_only ? NULL : &m->held) ||
	    mcp_conf_load(o->conf_path, as_root, &m->conf, stderr))
		return EX_CONFIG;
	if (o->check_only)
		return EX_OK;
	mcp_unit_init(m);
	int rc = mcp_run_prepare(m);
	if (rc) {
		fprintf(stderr, "mcp: %s\n", strerror(-rc));
		return EX_OSERR;
	}
	int code = take_lock(m);
	if (code)
		return code;
	rc = mcp_lock_wait(m->lock_fd, o->stop_limit_sec, m->signal_fd);
	if (rc)
		return rc == -EINTR ? EX_OK : EX_TEMPFAIL;
	mcp_unit_record(m, "starting");
	if (prepare_spool(m, as_root) || mcp_proc_check_logs(m))
		return EX_CONFIG;
	return mcp_sock_open_all(m, stderr) ? EX_UNAVAILABLE : EX_OK;
}

int main(int argc, char **argv)
{
	static struct mcp m;
	struct options o;
	bool as_root = geteuid() == 0;

	parse(argc, argv, &o);
	umask(022);
	m.log_dir = o.log_dir;
	m.stop_limit_sec = o.stop_limit_sec;
	m.up_limit_sec = o.up_limit_sec;
	m.env = argv_env(environ);
	raise_descriptor_limit();

	int code = prepare(&m, &o, as_root);
	if (code == EX_OK && !o.check_only && !mcp_run_is_told_to_stop(&m)) {
		mcp_log("INFO", "func=start, version=%s, pid=%d, programs=%u", SMX_VERSION,
			(int)getpid(), m.conf.count);
		code = mcp_run(&m);
		mcp_log("INFO", "func=exit, status=exit %d", code);
	}
	held_drop_all(&m.held);
	mcp_sock_close_all(&m);
	mcp_unit_free(&m);
	mcp_conf_free(&m.conf);
	free(m.env);
	return code;
}
