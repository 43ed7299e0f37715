/*
 * resolver/smar_main.c - smar, the address resolver: start, signals, end. See smar(8).
 *
 * Threads: loop 0 in the main thread also accepts links, has the control socket and the signals;
 *          loops 1 to N - 1; the reload thread; with local_user_map two for lookups that block.
 * Signals: TERM and INT end it, USR1 reads the maps again, USR2 rewinds the log.
 */
#include "resolver/map_helper.h"
#include "resolver/reload.h"
#include "resolver/smar_ask.h"
#include "resolver/smar_ctl.h"
#include "resolver/smar_stats.h"

#include "core/err.h"
#include "core/link.h"
#include "core/log.h"
#include "core/sock.h"
#include "core/thread.h"

#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

enum { LOOPS_MAX = 256, HELPERS = 2, HELPER_WAITING_MAX = 10000 };

static struct smar {
	struct smar_options options;
	struct conf_global global;
	struct conf_run run;
	unsigned loop_count;
	struct smar_ask *ask[LOOPS_MAX];
	pthread_t thread[LOOPS_MAX];
	struct loop *loop; /* loop 0 */
	struct link_server *server;
	struct smar_ctl *ctl;
	struct reload *reload;
	struct map_helper *helper; /* NULL: no map blocks */
	struct loop_io signals;
} smar;

static void raise_fds(uint32_t want)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl))
		return;
	rl.rlim_cur = want && want < rl.rlim_max ? want : rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
}

static void open_log(const struct conf_common *c)
{
	struct log_setup s = { .level = c->log_level, .json = c->log_format == CONF_LOG_JSON };

	if (c->log_facility) {
		s.syslog_ident = c->log_ident ? c->log_ident : "smar";
		s.syslog_facility = (int)c->log_facility;
		s.syslog_options = (int)c->log_options;
	}
	log_open(&s);
}

/* The other programs run under their own accounts; administrators ask on the control socket. */
static void allow_accounts(void)
{
	static const char *const names[] = { SMX_SMTPS_USER, SMX_QMGR_USER, SMX_OTHER_USER };

	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		struct passwd *pw = getpwnam(names[i]);

		if (pw)
			link_allow_uid(pw->pw_uid);
	}
}

static void load_maps(void)
{
	struct report r = { 0 };
	struct mapset *set = mapset_load(&smar.options, NULL, &r);

	if (!set) {
		if (buf_len(&r.text))
			fwrite(r.text.p, 1, buf_len(&r.text), stderr);
		fatal(EX_CONFIG, "the maps have errors: %u", r.error_count);
	}
	report_log(&r, "start");
	report_free(&r);
	mapset_publish(set);
}

static void on_signal(struct loop_io *io, uint32_t events)
{
	struct signalfd_siginfo si;

	(void)events;
	while (read(io->fd, &si, sizeof si) == sizeof si) {
		if (si.ssi_signo == SIGUSR1)
			reload_request(smar.reload);
		else if (si.ssi_signo == SIGUSR2)
			log_rewind();
		else
			loop_stop(smar.loop);
	}
}

static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGUSR1);
	sigaddset(set, SIGUSR2);
	sigprocmask(SIG_BLOCK, set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
}

static void watch_signals(const sigset_t *set)
{
	int fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);

	smar.signals.fn = on_signal;
	if (fd < 0 || loop_io_add(smar.loop, &smar.signals, fd, EPOLLIN))
		fatal(EX_OSERR, "cannot watch signals: %s", strerror(errno));
}

/* Packed: worker k of each program shares loop k % N, so that few loops wake up while there is
 * little to do. */
static struct loop *pick_loop(void *server_ctx, const struct link_hello *peer, void **ctx)
{
	(void)server_ctx;
	*ctx = smar.ask[peer->worker % smar.loop_count];
	return smar_ask_loop(*ctx);
}

static void listen_links(void)
{
	struct link_hello me = { .component = "smar",
				 .workers = smar.loop_count,
				 .pid = (uint64_t)getpid() };
	const char *path = smar.global.smar_socket;
	int fd = sock_listen_unix(path, 0660);

	if (fd < 0)
		fatal(EX_CANTCREAT, "cannot listen on %s: %s", path, strerror(-fd));
	if (getrandom(&me.instance, sizeof me.instance, 0) != sizeof me.instance)
		fatal(EX_OSERR, "cannot get random numbers: %s", strerror(errno));
	smar.server = link_listen(smar.loop, fd, &me, &smar_ask_ops, pick_loop, NULL);
	if (!smar.server)
		fatal(EX_OSERR, "cannot watch %s", path);
}

static void listen_ctl(void)
{
	const char *name = smar.run.section_name ? smar.run.section_name : "smar";
	char path[300];
	int rc = 0;

	snprintf(path, sizeof path, "qmsmar/%s.ctl", name);
	smar.ctl = smar_ctl_new(smar.loop, path, &rc);
	if (!smar.ctl)
		fatal(EX_CANTCREAT, "cannot listen on %s: %s", path, strerror(-rc));
}

static void reloaded(void *ctx, const struct reload_result *result)
{
	(void)ctx;
	smar_ctl_reloaded(smar.ctl, result);
}

static void run_loop(void *arg)
{
	unsigned n = (unsigned)(uintptr_t)arg;

	stats_thread();
	map_use_slot(n);
	loop_run(smar_ask_loop(smar.ask[n]));
}

/* For lookups that may block, behind the map slots of the loops and of the reload thread. */
static void start_helper(void)
{
	if (!smar.options.local_user_map_name)
		return;
	smar.helper = map_helper_start(HELPERS, smar.loop_count + 1, HELPER_WAITING_MAX);
	if (!smar.helper)
		fatal(EX_OSERR, "cannot start a helper thread");
}

static void make_loops(void)
{
	unsigned n = smar.options.max_threads ? smar.options.max_threads : thread_cpu_count();

	if (n < smar.options.min_threads)
		n = smar.options.min_threads;
	smar.loop_count = n < LOOPS_MAX ? n : LOOPS_MAX;
	start_helper();
	for (unsigned i = 0; i < smar.loop_count; i++) {
		struct loop *l = loop_new();

		if (!l)
			fatal(EX_OSERR, "cannot make event loop %u: %s", i, strerror(errno));
		smar.ask[i] = smar_ask_new(l, span_str(smar.global.hostname), smar.helper);
	}
	smar.loop = smar_ask_loop(smar.ask[0]);
}

static void start_threads(void)
{
	smar.reload = reload_start(&smar.options, smar.loop_count, smar.loop, reloaded, NULL);
	if (!smar.reload)
		fatal(EX_OSERR, "cannot start the reload thread");
	smar_ctl_set_reload(smar.ctl, smar.reload);
	for (unsigned i = 1; i < smar.loop_count; i++) {
		char name[16];

		snprintf(name, sizeof name, "smar-%u", i);
		int rc = thread_start(&smar.thread[i], name, THREAD_ANY_CPU, run_loop,
				      (void *)(uintptr_t)i);
		if (rc)
			fatal(EX_OSERR, "cannot start a thread: %s", strerror(-rc));
	}
}

static void stop(void)
{
	link_server_free(smar.server);
	for (unsigned i = 1; i < smar.loop_count; i++) {
		loop_stop(smar_ask_loop(smar.ask[i]));
		thread_join(smar.thread[i]);
	}
	smar_ctl_free(smar.ctl);
	reload_stop(smar.reload);
	map_helper_stop(smar.helper);
	close(smar.signals.fd);
	for (unsigned i = 0; i < smar.loop_count; i++) {
		struct loop *l = smar_ask_loop(smar.ask[i]);

		smar_ask_free(smar.ask[i]);
		loop_free(l);
	}
	mapset_publish(NULL);
	rcu_barrier();
	log_event(LOG_LV_INFO, LOG_SEV_INFO, "main", "stat=stopped");
	log_close();
	conf_free(smar.run.conf);
}

int main(int argc, char **argv)
{
	sigset_t set;

	conf_main(&smar_options_component, argc, argv, &smar.options, &smar.global, &smar.run);
	block_signals(&set);
	open_log(&smar.options.common);
	raise_fds(smar.options.max_fds);
	allow_accounts();
	thread_main_register();
	smar_stats_define();
	stats_thread();
	make_loops();
	map_slots(smar.loop_count + 1 + HELPERS);
	load_maps();
	watch_signals(&set);
	listen_ctl();
	listen_links();
	start_threads();
	log_event(LOG_LV_INFO, LOG_SEV_INFO, "main", "stat=started, version=%s, loops=%u",
		  SMX_VERSION, smar.loop_count);
	loop_run(smar.loop);
	stop();
	return EX_OK;
}
