/*
 * proto/smtps_main.c - smtps, the SMTP server: start, signals, reload, end. See smtps(8).
 *
 * Threads: main (a small loop of its own: signals, control socket), one event loop per usable core,
 *          the helper of the content writer, the log thread.
 */
#include "core/cdb_write.h"
#include "core/ctl.h"
#include "core/err.h"
#include "core/fdpass.h"
#include "core/log.h"
#include "core/process.h"
#include "core/sock.h"
#include "core/thread.h"
#include "proto/smtps_stats.h"
#include "proto/smtps_worker.h"

#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

enum { FDPASS_MSEC = 10000, DEFAULT_PORT = 8000 };

struct program {
	struct loop *loop;
	struct process_signals signals;
	struct conf_run run;
	struct smtps_conf *conf;
	struct smtps_shared shared;
};

static struct program program;

/* ---- listening sockets */

static void add_listener(struct smtps_shared *sh, int own_fd)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t n = sizeof ss;
	int one = 1;

	if (sh->listen_count == SMTPS_LISTEN_MAX)
		fatal(EX_CONFIG, "more than %d listening sockets", SMTPS_LISTEN_MAX);
	if (getsockname(own_fd, (struct sockaddr *)&ss, &n))
		fatal(EX_OSERR, "listening socket: %m");
	bool local = ss.ss_family == AF_UNIX;
	/* Connections inherit it: replies of two turns must not wait for each other. */
	if (!local)
		setsockopt(own_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	sh->listen_fd[sh->listen_count] = own_fd;
	sh->listen_local[sh->listen_count++] = local;
}

/* "host:port", "[IPv6]:port", ":port". All addresses of the host. */
static void listen_at(struct smtps_shared *sh, const char *text, int backlog)
{
	struct span s = span_str(text);
	size_t colon = s.n && s.p[s.n - 1] == ']' ? s.n : span_rchr(s, ':');
	struct span host = span_head(s, colon), port = span_from(s, colon + 1);
	struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM }, *list, *a;
	char name[256], number[16];

	if (host.n >= 2 && host.p[0] == '[')
		host = span_of(host.p + 1, host.n - 2);
	span_cstr(host, name, sizeof name);
	if (port.n)
		span_cstr(port, number, sizeof number);
	else
		snprintf(number, sizeof number, "%d", DEFAULT_PORT);
	int rc = getaddrinfo(name[0] ? name : NULL, number, &hints, &list);
	if (rc)
		fatal(EX_CONFIG, "daemon_address %s: %s", text, gai_strerror(rc));
	for (a = list; a; a = a->ai_next) {
		struct addr at;

		addr_from_sockaddr(a->ai_addr, &at);
		int fd = sock_listen(&at, backlog);
		if (fd == -EAFNOSUPPORT)
			continue;
		if (fd < 0)
			fatal(EX_OSERR, "daemon_address %s: %s", text, strerror(-fd));
		add_listener(sh, fd);
	}
	freeaddrinfo(list);
}

static void get_listeners(struct program *p)
{
	const struct smtps_options *o = &p->conf->o;
	struct fdpass set = { 0 };

	if (o->daemon_address.count) {
		for (unsigned i = 0; i < o->daemon_address.count; i++)
			listen_at(&p->shared, o->daemon_address.item[i], (int)o->listen_queue);
		return;
	}
	if (!o->common.pass_fd_socket)
		fatal(EX_CONFIG, "neither pass_fd_socket nor daemon_address is set");
	int rc = fdpass_receive(o->common.pass_fd_socket, FDPASS_MSEC, &set);
	if (rc)
		fatal(EX_TEMPFAIL, "no listening sockets from mcp over %s: %s",
		      o->common.pass_fd_socket, strerror(-rc));
	for (unsigned i = 0; i < set.count; i++)
		add_listener(&p->shared, set.fd[i]);
}

/* Sessions for which there are descriptors: some are for content files, segments, links, control
 * sockets. Without these nothing could be accepted from those who are in. */
static unsigned sessions_by_fds(const struct smtps_options *o)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) || rl.rlim_cur > UINT32_MAX)
		return UINT32_MAX;
	unsigned fds = (unsigned)rl.rlim_cur, rest = fds / 16 + 64;
	unsigned max = fds > 4 * rest ? fds - rest : fds / 2;
	if (max < o->max_sessions)
		log_event(LOG_LV_WARN, LOG_SEV_WARN, "smtps",
			  "max_sessions=%u, descriptors=%u, status=at most %u sessions",
			  o->max_sessions, fds, max);
	return max;
}

/* ---- content database */

static gid_t content_group(const char *option)
{
	uint64_t number;
	struct group *gr;

	if (!option) {
		/* Installed under the account of its own: smtpc reads what it writes. */
		struct passwd *pw = getpwnam(SMX_SMTPS_USER);

		if (!pw || pw->pw_uid != geteuid())
			return (gid_t)-1;
		gr = getgrnam(SMX_SMTPC_USER);
		return gr ? gr->gr_gid : (gid_t)-1;
	}
	if (!span_u64(span_str(option), UINT32_MAX - 1, &number))
		return (gid_t)number;
	gr = getgrnam(option);
	if (gr)
		return gr->gr_gid;
	fatal(EX_CONFIG, "CDB_gid: no group %s", option);
}

static void open_content(struct program *p)
{
	struct smtps_worker *first = p->shared.worker[0];
	struct cdb_writer_setup s = { .base = p->conf->g.cdb_base_directory,
				      .gid = content_group(p->conf->o.cdb_gid),
				      .notify = smtps_worker_loop(first),
				      .segment = smtps_worker_segment,
				      .spare = smtps_worker_spare,
				      .punched = smtps_worker_punched,
				      .ctx = first,
				      .first_later = true };
	int error = 0;

	p->shared.cdb = cdb_writer_new(&s, &error);
	if (!p->shared.cdb)
		fatal(EX_CANTCREAT, "content database in %s: %s", *s.base ? s.base : ".",
		      strerror(-error));
}

/* Clients are greeted meanwhile. */
static void wait_for_content(struct program *p)
{
	int rc = cdb_writer_wait(p->shared.cdb);

	if (rc)
		fatal(EX_CANTCREAT, "content database in '%s': %s", p->conf->g.cdb_base_directory,
		      strerror(-rc));
}

/* ---- signals and control */

/* 0, or -EINVAL: the file is wrong and nothing changes. */
static int reload(struct program *p)
{
	struct smtps_options fresh;
	struct conf_global g;
	struct conf *own = NULL;
	int rc = conf_reload(&smtps_options_component, &p->run, &p->conf->o, &fresh, &p->conf->g,
			     &g, &own);

	if (own)
		conf_print_report(own, stderr);
	if (rc) {
		log_event(LOG_LV_ERROR, LOG_SEV_ERR, "reload", "stat=failed");
		conf_free(own);
		return rc;
	}
	struct smtps_conf *c = smtps_conf_new(&fresh, &g, own);
	for (unsigned i = 0; i < p->shared.worker_count; i++)
		if (smtps_worker_reload(p->shared.worker[i], c))
			log_event(LOG_LV_ERROR, LOG_SEV_ERR, "reload", "worker=%u, stat=failed", i);
	log_set_level(fresh.common.log_level);
	smtps_conf_put(p->conf);
	p->conf = c;
	p->run.conf = own;
	log_event(LOG_LV_INFO, LOG_SEV_INFO, "reload", "stat=0");
	return 0;
}

static void on_reload(void *ctx)
{
	reload(ctx);
}

static void on_terminate(void *ctx)
{
	struct program *p = ctx;

	log_event(LOG_LV_INFO, LOG_SEV_INFO, "smtps", "status=stopping");
	loop_stop(p->loop);
}

static enum ctl_step ctl_reload(struct ctl_request *rq)
{
	buf_printf(rq->out, reload(rq->ctx) ? "failed, see the log\n" : "reloaded\n");
	return CTL_DONE;
}

static enum ctl_step ctl_workers(struct ctl_request *rq)
{
	struct program *p = rq->ctx;

	for (unsigned i = 0; i < p->shared.worker_count; i++) {
		const struct smtps_worker *w = p->shared.worker[i];

		buf_printf(rq->out, "worker %u: %s, %u sessions, %u %% busy\n", i,
			   smtps_worker_armed(w) ? "accepts" : "rests", smtps_worker_sessions(w),
			   smtps_worker_busy_percent(w));
	}
	return CTL_DONE;
}

static const struct ctl_verb verbs[] = {
	{ .name = "workers",
	  .help = "workers: event loops, their sessions and load",
	  .run = ctl_workers },
	{ .name = "reload", .help = "reload: read the configuration again", .run = ctl_reload },
	{ 0 },
};

static struct ctl_server *listen_control(struct program *p, const char *name)
{
	char path[108];
	int error = 0;

	snprintf(path, sizeof path, "qmsmtps/%.80s.ctl", name);
	struct ctl_server *s = ctl_listen(p->loop, path, verbs, p, &error);
	if (!s)
		log_event(LOG_LV_WARN, LOG_SEV_WARN, "smtps", "control_socket=%s, error=%s", path,
			  strerror(-error));
	return s;
}

/* ---- start and end */

static void make_workers(struct program *p)
{
	const struct smtps_options *o = &p->conf->o;
	unsigned n = o->max_threads ? o->max_threads : thread_cpu_count();

	if (n < o->min_threads)
		n = o->min_threads;
	p->shared.worker_count = n > SMTPS_WORKERS_MAX ? SMTPS_WORKERS_MAX : n;
	process_hello(&p->shared.hello, "smtps", o->id, p->shared.worker_count);
	for (unsigned i = 0; i < p->shared.worker_count; i++) {
		int error;

		p->shared.worker[i] = smtps_worker_new(&p->shared, i, p->conf, &error);
		if (!p->shared.worker[i])
			fatal(EX_OSERR, "cannot make event loop %u: %s", i, strerror(-error));
	}
}

static void start_workers(struct program *p)
{
	unsigned n = p->shared.worker_count, affinity = p->conf->o.cpu_affinity;
	bool pin =
		affinity == SMTPS_CPU_ON || (affinity == SMTPS_CPU_AUTO && n < thread_cpu_count());

	for (unsigned i = 0; i < n; i++) {
		int rc = smtps_worker_start(p->shared.worker[i],
					    pin ? thread_cpu_nth(i) : THREAD_ANY_CPU);

		if (rc)
			fatal(EX_OSERR, "cannot start event loop %u: %s", i, strerror(-rc));
	}
}

static void stop_workers(struct program *p)
{
	for (unsigned i = 0; i < p->shared.worker_count; i++)
		smtps_worker_stop(p->shared.worker[i]);
	for (unsigned i = 0; i < p->shared.worker_count; i++)
		smtps_worker_join(p->shared.worker[i]);
	cdb_writer_free(p->shared.cdb);
	for (unsigned i = 0; i < p->shared.worker_count; i++)
		smtps_worker_free(p->shared.worker[i]);
}

int main(int argc, char **argv)
{
	struct program *p = &program;
	struct smtps_options o;
	struct conf_global g;

	conf_main(&smtps_options_component, argc, argv, &o, &g, &p->run);
	const char *name = p->run.section_name ? p->run.section_name : "smtps";
	if ((o.flags & SMTPS_F_BACKGROUND) && daemon(1, 1))
		fatal(EX_OSERR, "daemon: %m");
	process_begin(name, &o.common, o.max_fds);
	smtps_stats_define();
	stats_thread();
	thread_main_register();
	p->conf = smtps_conf_new(&o, &g, p->run.conf);
	char *ctl_name = xstrdup(name);
	p->loop = loop_new();
	if (!p->loop)
		fatal(EX_OSERR, "no event loop: %m");
	p->signals.terminate = on_terminate;
	p->signals.reload = on_reload;
	p->signals.ctx = p;
	process_signals(&p->signals, p->loop);
	get_listeners(p);
	p->shared.sessions_max = sessions_by_fds(&p->conf->o);
	make_workers(p);
	open_content(p);
	start_workers(p);
	wait_for_content(p);
	struct ctl_server *ctl = listen_control(p, ctl_name);
	log_event(LOG_LV_INFO, LOG_SEV_INFO, "smtps", "status=started, version=%s, workers=%u",
		  SMX_VERSION, p->shared.worker_count);
	loop_run(p->loop);
	stop_workers(p);
	if (ctl)
		ctl_free(ctl);
	log_event(LOG_LV_INFO, LOG_SEV_INFO, "smtps", "status=stopped");
	log_close();
	loop_free(p->loop);
	smtps_conf_put(p->conf);
	free(ctl_name);
	return EX_OK;
}
