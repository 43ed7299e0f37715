#include "supervisor/mcp_run.h"

#include "supervisor/mcp_log.h"
#include "supervisor/mcp_proc.h"
#include "supervisor/mcp_sock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

/* What poll() looks at: signals, time, then sockets. unit NULL: one of the first two. */
struct watch {
	struct mcp_unit *unit;
	int socket; /* index in its sockets; -1: pass_fd */
};
enum { WATCH_SIGNAL = 0, WATCH_TIMER, WATCH_FIRST_SOCKET };
enum { WATCH_MAX = WATCH_FIRST_SOCKET + PLAN_UNITS_MAX * (FDPASS_MAX + 1) };

static const int taken_signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD };

/* Children that are held may die before the loop runs; that is no reason to stop, and it is seen
 * when they are to go on. */
static void without_children(sigset_t *set)
{
	sigprocmask(SIG_BLOCK, NULL, set);
	sigdelset(set, SIGCHLD);
}

static void with_children(const struct mcp *m)
{
	sigset_t set;

	sigprocmask(SIG_BLOCK, NULL, &set);
	signalfd(m->signal_fd, &set, 0);
}

int mcp_run_prepare(struct mcp *m)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(taken_signals) / sizeof(taken_signals[0]); i++) {
		/* An ignored signal, as a shell may leave it, would not be seen. */
		sigaction(taken_signals[i], &sa, NULL);
		sigaddset(&set, taken_signals[i]);
	}
	sa.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &sa, NULL);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	without_children(&set);
	m->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	m->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	m->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return m->signal_fd < 0 || m->timer_fd < 0 || m->null_fd < 0 ? -errno : 0;
}

bool mcp_run_is_told_to_stop(struct mcp *m)
{
	struct signalfd_siginfo si;
	bool stop = false;

	while (read(m->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		stop |= si.ssi_signo == SIGTERM || si.ssi_signo == SIGINT;
	return stop;
}

/* sd_notify(3) without its library. */
static void tell_systemd(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t n = path ? strlen(path) : 0;

	if (!n || n >= sizeof(un.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(un.sun_path, path, n);
	if (path[0] == '@')
		un.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&un,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
}

/* ---- signals */

static void begin_stop(struct mcp *m, const char *why)
{
	if (m->plan.stopping)
		return;
	mcp_log("INFO", "func=stop, signal=%s", why);
	tell_systemd("STOPPING=1");
	plan_stop_all(&m->plan);
	m->changed = true;
}

static void take_signal(struct mcp *m, int sig)
{
	switch (sig) {
	case SIGTERM:
	case SIGINT:
		begin_stop(m, sig == SIGTERM ? "TERM" : "INT");
		break;
	case SIGHUP:
		mcp_log("INFO", "func=reload, signal=HUP");
		mcp_proc_forward(m, SIGUSR1);
		if (!m->plan.stopping)
			mcp_proc_revive(m);
		break;
	case SIGUSR1:
		mcp_log("INFO", "func=reload, signal=USR1");
		mcp_proc_forward(m, SIGUSR1);
		break;
	case SIGUSR2:
		mcp_log_rewind();
		mcp_log("INFO", "func=rotate, signal=USR2");
		mcp_proc_forward(m, SIGUSR2);
		break;
	default: /* SIGCHLD; one may stand for many, so all are taken in any case */
		break;
	}
}

static void take_signals(struct mcp *m)
{
	struct signalfd_siginfo si;

	while (read(m->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		take_signal(m, (int)si.ssi_signo);
	mcp_proc_reap(m);
}

/* ---- times */

static bool is_kept_running(const struct mcp_unit *u)
{
	return u->conf->common.start_action == CONF_START_WAIT ||
	       u->conf->common.start_action == CONF_START_PASS;
}

/* When the sockets are closed because nobody takes them; 0: never. */
static usec_t give_up_usec(const struct mcp *m, const struct mcp_unit *u)
{
	if (!m->up_limit_sec || !u->sockets_open || !u->not_up_since_usec ||
	    u->conf->common.start_action != CONF_START_PASS)
		return 0;
	return u->not_up_since_usec + (usec_t)m->up_limit_sec * USEC_PER_SEC;
}

static void act_on_time(struct mcp *m, struct mcp_unit *u, usec_t now_usec)
{
	bool wanted = m->plan.want & ((uint64_t)1 << u->index);
	usec_t give_up = give_up_usec(m, u);

	mcp_proc_kill_due(u, now_usec);
	if (m->plan.stopping || (!wanted && !mcp_unit_is_live(u))) {
		mcp_sock_close(u);
		return;
	}
	if (give_up && give_up <= now_usec) {
		mcp_log("ALERT", "func=close, component=%s, it is not up for %d s", u->conf->name,
			m->up_limit_sec);
		mcp_sock_close(u);
	}
	if (!is_kept_running(u)) {
		/* A unit that was given up and is tried again. */
		if (wanted && !u->sockets_open && u->rest_usec <= now_usec && mcp_sock_open(u))
			u->rest_usec = now_usec + USEC_PER_SEC;
		return;
	}
	for (unsigned i = 0; wanted && i < u->slot_count; i++)
		if (!u->slot[i].pid && u->slot[i].due_usec && u->slot[i].due_usec <= now_usec)
			plan_restart(&m->plan, u->index);
}

static void sooner(usec_t *next, usec_t t)
{
	if (t && (!*next || t < *next))
		*next = t;
}

/* When something is to be done although nothing happens; 0: never. */
static usec_t next_time(const struct mcp *m, usec_t now_usec)
{
	usec_t next = 0;

	for (unsigned i = 0; i < m->conf.count; i++) {
		const struct mcp_unit *u = &m->unit[i];

		for (unsigned k = 0; k < u->slot_count; k++) {
			const struct mcp_slot *s = &u->slot[k];

			if (s->pid && !s->killed)
				sooner(&next, s->kill_usec);
			if (!s->pid && s->due_usec > now_usec)
				sooner(&next, s->due_usec);
		}
		if (u->rest_usec > now_usec)
			sooner(&next, u->rest_usec);
		if (!m->plan.stopping)
			sooner(&next, give_up_usec(m, u));
	}
	return next;
}

static void set_timer(const struct mcp *m, usec_t at_usec)
{
	struct itimerspec t = { .it_value = { .tv_sec = at_usec / USEC_PER_SEC,
					      .tv_nsec = at_usec % USEC_PER_SEC * 1000 } };

	timerfd_settime(m->timer_fd, TFD_TIMER_ABSTIME, &t, NULL);
}

/* ---- the plan */

static void start_unit(struct mcp *m, struct mcp_unit *u)
{
	if (is_kept_running(u))
		mcp_proc_start_due(m, u);
}

/* True when all is over. */
static bool follow_plan(struct mcp *m)
{
	unsigned i = 0;

	for (;;) {
		switch (plan_next(&m->plan, &i)) {
		case PLAN_STOP:
			mcp_proc_stop(m, &m->unit[i]);
			break;
		case PLAN_START:
			start_unit(m, &m->unit[i]);
			break;
		case PLAN_WAIT:
			return false;
		case PLAN_END:
			return true;
		}
	}
}

/* ---- the loop */

static unsigned add_watch(struct pollfd *p, struct watch *w, unsigned n, int fd, struct mcp_unit *u,
			  int socket_index)
{
	p[n] = (struct pollfd){ .fd = fd, .events = POLLIN };
	w[n] = (struct watch){ u, socket_index };
	return n + 1;
}

static unsigned fill_watches(struct mcp *m, struct pollfd *p, struct watch *w, usec_t now_usec)
{
	unsigned n = add_watch(p, w, 0, m->signal_fd, NULL, 0);

	n = add_watch(p, w, n, m->timer_fd, NULL, 0);
	for (unsigned i = 0; i < m->conf.count; i++) {
		struct mcp_unit *u = &m->unit[i];

		if (u->pass_fd >= 0)
			n = add_watch(p, w, n, u->pass_fd, u, -1);
		for (unsigned k = 0; k < u->sockets.count; k++)
			if (mcp_sock_is_watched(m, u, k, now_usec))
				n = add_watch(p, w, n, u->sockets.fd[k], u, (int)k);
	}
	return n;
}

static void handle(struct mcp *m, const struct pollfd *p, const struct watch *w, unsigned n)
{
	uint64_t ticks;

	/* Who died is known before anybody who connects is looked for. */
	if (p[WATCH_SIGNAL].revents)
		take_signals(m);
	if (p[WATCH_TIMER].revents && read(m->timer_fd, &ticks, sizeof(ticks)) < 0)
		ticks = 0;
	for (unsigned i = WATCH_FIRST_SOCKET; i < n; i++) {
		struct mcp_unit *u = w[i].unit;

		if (!p[i].revents)
			continue;
		if (w[i].socket < 0)
			mcp_sock_pass(m, u);
		else if (mcp_sock_is_watched(m, u, (unsigned)w[i].socket, clock_now()))
			mcp_sock_accept(m, u, (unsigned)w[i].socket);
	}
}

static void begin(struct mcp *m)
{
	usec_t now_usec = clock_now();

	for (unsigned i = 0; i < m->conf.count; i++) {
		struct mcp_unit *u = &m->unit[i];

		u->not_up_since_usec = now_usec;
		for (unsigned k = 0; is_kept_running(u) && k < u->slot_count; k++)
			u->slot[k].due_usec = now_usec;
	}
}

int mcp_run(struct mcp *m)
{
	static struct pollfd p[WATCH_MAX];
	static struct watch w[WATCH_MAX];
	bool told = false;

	with_children(m);
	begin(m);
	for (;;) {
		usec_t now_usec = clock_now();

		for (unsigned i = 0; i < m->conf.count; i++)
			act_on_time(m, &m->unit[i], now_usec);
		if (follow_plan(m))
			break;
		if (!told)
			tell_systemd("READY=1");
		if (!told || m->changed)
			mcp_unit_record(m, m->plan.stopping ? "stopping" : "running");
		told = true;
		set_timer(m, next_time(m, now_usec));
		unsigned n = fill_watches(m, p, w, now_usec);
		if (poll(p, n, -1) < 0) {
			if (errno == EINTR)
				continue;
			mcp_log("CRIT", "func=poll, error=%s", strerror(errno));
			m->exit_code = EX_OSERR;
			begin_stop(m, "none");
			continue;
		}
		handle(m, p, w, n);
	}
	mcp_unit_record(m, "stopped");
	return m->exit_code;
}
