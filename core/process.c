#include "core/process.h"

#include "core/err.h"
#include "core/log.h"

#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

static int reload_fd = -1; /* counts SIGUSR1 that came to a thread */

static void raise_fds(uint32_t want)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl))
		return;
	rl.rlim_cur = want && want < rl.rlim_max ? want : rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
}

static void open_log(const char *name, const struct conf_common *c)
{
	struct log_setup s = { .level = c->log_level, .json = c->log_format == CONF_LOG_JSON };

	if (c->log_facility) {
		s.syslog_ident = c->log_ident ? c->log_ident : name;
		s.syslog_facility = (int)c->log_facility;
		s.syslog_options = (int)c->log_options;
	}
	log_open(&s);
}

static void allow_accounts(void)
{
	static const char *const names[] = { SMX_SMTPS_USER, SMX_QMGR_USER, SMX_SMTPC_USER,
					     SMX_SMAR_USER, SMX_OTHER_USER };

	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		struct passwd *pw = getpwnam(names[i]);

		if (pw)
			link_allow_uid(pw->pw_uid);
	}
}

static void signal_set(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGUSR1);
	sigaddset(set, SIGUSR2);
}

/* liburcu's worker takes SIGUSR1 from its threads' mask, whatever ours say, and may get it. */
static void on_reload(int sig)
{
	uint64_t one = 1;
	int saved = errno;
	ssize_t n = write(reload_fd, &one, sizeof one);

	(void)sig;
	(void)n;
	errno = saved;
}

static void catch_reload(void)
{
	struct sigaction sa = { .sa_handler = on_reload, .sa_flags = SA_RESTART };

	reload_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (reload_fd < 0 || sigaction(SIGUSR1, &sa, NULL))
		fatal(EX_OSERR, "cannot catch signals: %s", strerror(errno));
}

void process_begin(const char *name, const struct conf_common *common, uint32_t max_fds)
{
	sigset_t set;

	signal_set(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	catch_reload();
	raise_fds(max_fds);
	open_log(name, common);
	allow_accounts();
}

void process_hello(struct link_hello *me, const char *component, uint32_t id, uint32_t workers)
{
	*me = (struct link_hello){ .id = id, .workers = workers, .pid = (uint64_t)getpid() };
	span_cstr(span_str(component), me->component, sizeof me->component);
	if (getrandom(&me->instance, sizeof me->instance, 0) != sizeof me->instance)
		fatal(EX_OSERR, "cannot get random numbers: %s", strerror(errno));
}

static void on_signal(struct loop_io *io, uint32_t events)
{
	struct process_signals *s =
		(struct process_signals *)((char *)io - offsetof(struct process_signals, io));
	struct signalfd_siginfo si;

	(void)events;
	while (read(io->fd, &si, sizeof si) == sizeof si) {
		if (si.ssi_signo == SIGUSR1)
			s->reload(s->ctx);
		else if (si.ssi_signo == SIGUSR2)
			log_rewind();
		else
			s->terminate(s->ctx);
	}
}

static void on_reload_fd(struct loop_io *io, uint32_t events)
{
	struct process_signals *s =
		(struct process_signals *)((char *)io -
					   offsetof(struct process_signals, reload_io));
	uint64_t n;

	(void)events;
	if (read(io->fd, &n, sizeof n) == sizeof n)
		s->reload(s->ctx);
}

void process_signals(struct process_signals *s, struct loop *l)
{
	sigset_t set;

	signal_set(&set);
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	s->loop = l;
	s->io.fn = on_signal;
	s->reload_io.fn = on_reload_fd;
	if (fd < 0 || loop_io_add(l, &s->io, fd, EPOLLIN) ||
	    loop_io_add(l, &s->reload_io, reload_fd, EPOLLIN))
		fatal(EX_OSERR, "cannot watch signals: %s", strerror(errno));
}
