/*
 * proto/smtpc_main.c - the SMTP and LMTP client: starts the event loops, takes signals and control
 * commands.
 *
 * Threads: main (its own small loop: signals, control socket), one worker per usable core.
 */
#include "core/ctl.h"
#include "core/err.h"
#include "core/link.h"
#include "core/log.h"
#include "core/thread.h"
#include "proto/smtpc_limits.h"
#include "proto/smtpc_options.h"
#include "proto/smtpc_stats.h"
#include "proto/smtpc_worker.h"

#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum { WORKERS_MAX = 256 };

struct program {
	struct loop *loop;
	struct loop_io signals;
	struct smtpc_options opts;
	struct conf_global global;
	struct conf_run run;
	struct conf *first; /* of the start: syslog and others keep its strings */
	char *cdb_base, *link_path, *hostname;
	struct smtpc_worker *worker[WORKERS_MAX];
	unsigned worker_count;
};

static struct program program;

static void get_settings(const struct smtpc_options *o, struct smtpc_settings *out)
{
	*out = (struct smtpc_settings){ .io_timeout_usec = o->io_timeout,
					.remote_port = (uint16_t)o->remote_port,
					.send_8bit = o->flags & SMTPC_F_SEND_8BIT,
					.use_data = o->flags & SMTPC_F_USE_DATA };
	snprintf(out->lmtp_socket, sizeof out->lmtp_socket, "%s", o->lmtp_socket);
	if (o->connect_only_to)
		addr_parse(span_str(o->connect_only_to), &out->connect_only_to);
}

/* ---- signals and control */

/* Returns 0, or -EINVAL: the file is wrong and nothing changes. */
static int reload(struct program *p)
{
	struct smtpc_options fresh;
	struct conf_global g;
	struct conf *cf = NULL;
	struct smtpc_settings s;
	int rc = conf_reload(&smtpc_options_component, &p->run, &p->opts, &fresh, &p->global, &g,
			     &cf);

	if (cf)
		conf_print_report(cf, stderr);
	if (rc) {
		log_event(LOG_LV_ERROR, LOG_SEV_ERR, "smtpc_reload", "stat=failed");
		conf_free(cf);
		return rc;
	}
	get_settings(&fresh, &s);
	for (unsigned i = 0; i < p->worker_count; i++)
		if (smtpc_worker_set(p->worker[i], &s, fresh.wait_for_server))
			log_event(LOG_LV_ERROR, LOG_SEV_ERR, "smtpc_reload",
				  "worker=%u, stat=failed", i);
	log_set_level(fresh.common.log_level);
	if (p->run.conf != p->first)
		conf_free(p->run.conf);
	p->run.conf = cf;
	p->opts = fresh;
	p->global = g;
	log_event(LOG_LV_INFO, LOG_SEV_NONE, "smtpc_reload", "stat=0");
	return 0;
}

static void on_signal(struct loop_io *io, uint32_t events)
{
	struct signalfd_siginfo si;

	(void)events;
	while (read(io->fd, &si, sizeof si) == sizeof si) {
		if (si.ssi_signo == SIGUSR1) {
			reload(&program);
		} else if (si.ssi_signo == SIGUSR2) {
			log_rewind();
		} else {
			log_event(LOG_LV_INFO, LOG_SEV_NONE, "smtpc_main",
				  "status=stopping, signal=%u", si.ssi_signo);
			loop_stop(program.loop);
		}
	}
}

static enum ctl_step ctl_reload(struct ctl_request *rq)
{
	int rc = reload(rq->ctx);

	buf_printf(rq->out, rc ? "failed, see the log\n" : "reloaded\n");
	return CTL_DONE;
}

static enum ctl_step ctl_workers(struct ctl_request *rq)
{
	struct program *p = rq->ctx;

	for (unsigned i = 0; i < p->worker_count; i++)
		buf_printf(rq->out, "worker %u busy %u%%\n", i,
			   smtpc_worker_busy_percent(p->worker[i]));
	return CTL_DONE;
}

static const struct ctl_verb verbs[] = {
	{ .name = "reload", .help = "reload: read the configuration again", .run = ctl_reload },
	{ .name = "workers", .help = "workers: how busy each event loop is", .run = ctl_workers },
	{ 0 },
};

/* ---- start */

static void open_log(const struct smtpc_options *o)
{
	const struct conf_common *c = &o->common;

	log_open(&(struct log_setup){ .level = o->debug_level ? LOG_LV_DEBUG : c->log_level,
				      .json = c->log_format == CONF_LOG_JSON,
				      .syslog_ident = !c->log_facility ? NULL
						      : c->log_ident   ? c->log_ident
								       : "smtpc",
				      .syslog_facility = (int)c->log_facility,
				      .syslog_options = (int)c->log_options });
}

/* Who may be at the other end of our sockets: qmgr's user, that of the tools, and the owner of the
 * folder. */
static void allow_peers(const char *link_path)
{
	const char *const names[] = { SMX_QMGR_USER, SMX_OTHER_USER };
	const char *slash = strrchr(link_path, '/');
	char dir[512] = ".";
	struct stat st;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct passwd *pw = getpwnam(names[i]);

		if (pw)
			link_allow_uid(pw->pw_uid);
	}
	if (slash)
		snprintf(dir, sizeof dir, "%.*s", (int)(slash - link_path), link_path);
	if (!stat(dir[0] ? dir : "/", &st))
		link_allow_uid(st.st_uid);
}

/* Descriptors for this process; returns how many sessions each worker may have. */
static uint32_t raise_descriptors(const struct smtpc_options *o, unsigned workers)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r))
		fatal(EX_OSERR, "getrlimit: %m");
	r.rlim_cur = o->max_fds && o->max_fds < r.rlim_max ? o->max_fds : r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r))
		fatal(EX_OSERR, "setrlimit: %m");
	rlim_t kept = SMTPC_DESCRIPTORS_KEPT * (rlim_t)(workers + 1);
	if (r.rlim_cur < kept + workers * 16)
		fatal(EX_OSERR, "%llu descriptors are too few for %u event loops",
		      (unsigned long long)r.rlim_cur, workers);
	rlim_t each = (r.rlim_cur - kept) / workers;
	return each < SMTPC_SESSIONS ? (uint32_t)each : SMTPC_SESSIONS;
}

static void watch_signals(struct program *p)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	p->signals.fn = on_signal;
	if (fd < 0 || loop_io_add(p->loop, &p->signals, fd, EPOLLIN))
		fatal(EX_OSERR, "signalfd: %m");
}

static struct ctl_server *listen_control(struct program *p)
{
	char path[108], number[16] = "";
	int error = 0;

	if (p->run.has_id)
		snprintf(number, sizeof number, "%u", p->run.id);
	snprintf(path, sizeof path, "qmsmtpc/%.64s%s.ctl",
		 p->run.section_name ? p->run.section_name : "smtpc", number);
	struct ctl_server *s = ctl_listen(p->loop, path, verbs, p, &error);
	if (!s)
		log_event(LOG_LV_WARN, LOG_SEV_WARN, "smtpc_main", "control_socket=%s, error=%s",
			  path, strerror(-error));
	return s;
}

static void start_workers(struct program *p)
{
	unsigned cores = thread_cpu_count();
	unsigned n = p->opts.max_threads ? p->opts.max_threads : cores;
	struct smtpc_worker_setup s = { .link_path = p->link_path,
					.cdb_base = p->cdb_base,
					.hostname = span_str(p->hostname),
					.process = p->run.has_id ? p->run.id : 1,
					.wait_for_server_usec = p->opts.wait_for_server };

	if (n > WORKERS_MAX)
		n = WORKERS_MAX;
	bool pin = p->opts.cpu_affinity == SMTPC_CPU_ON ||
		   (p->opts.cpu_affinity == SMTPC_CPU_AUTO && n < cores);
	s.workers = n;
	s.session_max = raise_descriptors(&p->opts, n);
	get_settings(&p->opts, &s.settings);
	if (getrandom(&s.instance, sizeof s.instance, 0) != sizeof s.instance)
		fatal(EX_OSERR, "getrandom: %m");
	for (unsigned i = 0; i < n; i++) {
		int error;

		s.worker = i;
		s.cpu = pin ? thread_cpu_nth(i) : THREAD_ANY_CPU;
		p->worker[i] = smtpc_worker_start(&s, &error);
		if (!p->worker[i])
			fatal(EX_OSERR, "cannot start event loop %u: %s", i, strerror(-error));
		p->worker_count++;
	}
}

int main(int argc, char **argv)
{
	struct program *p = &program;

	conf_main(&smtpc_options_component, argc, argv, &p->opts, &p->global, &p->run);
	p->first = p->run.conf;
	p->hostname = xstrdup(p->global.hostname);
	p->cdb_base = xstrdup(p->global.cdb_base_directory);
	p->link_path = xstrdup(p->global.smtpc_socket);
	smtpc_stats_define();
	stats_thread();
	thread_main_register();
	open_log(&p->opts);
	p->loop = loop_new();
	if (!p->loop)
		fatal(EX_OSERR, "no event loop: %m");
	watch_signals(p);
	allow_peers(p->link_path);
	start_workers(p);
	struct ctl_server *ctl = listen_control(p);
	log_event(LOG_LV_INFO, LOG_SEV_NONE, "smtpc_main", "status=started, workers=%u, version=%s",
		  p->worker_count, SMX_VERSION);
	loop_run(p->loop);
	for (unsigned i = 0; i < p->worker_count; i++)
		smtpc_worker_stop(p->worker[i]);
	for (unsigned i = 0; i < p->worker_count; i++)
		smtpc_worker_join(p->worker[i]);
	ctl_free(ctl);
	loop_free(p->loop);
	log_event(LOG_LV_INFO, LOG_SEV_NONE, "smtpc_main", "status=stopped");
	log_close();
	if (p->run.conf != p->first)
		conf_free(p->run.conf);
	conf_free(p->first);
	free(p->hostname);
	free(p->cdb_base);
	free(p->link_path);
	return EX_OK;
}
