#include "supervisor/mcp_proc.h"

#include "supervisor/argv.h"
#include "supervisor/backoff.h"
#include "supervisor/logfile.h"
#include "supervisor/mcp_log.h"
#include "supervisor/spawn.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

static int open_log(const struct mcp *m, const struct mcp_unit *u, unsigned slot,
		    char path[static LOGFILE_PATH_BYTES])
{
	int id = u->conf->common.use_id_in_logfile_name ? (int)slot : -1;
	int fd = logfile_path(m->log_dir, u->conf->name, id, path, LOGFILE_PATH_BYTES);

	return fd ? fd : logfile_open(path, &u->conf->account);
}

int mcp_proc_check_logs(const struct mcp *m)
{
	char path[LOGFILE_PATH_BYTES];
	int rc = 0;

	for (unsigned i = 0; i < m->conf.count; i++) {
		const struct mcp_unit *u = &m->unit[i];
		bool ids = u->conf->common.use_id_in_logfile_name;
		int fd = 0;

		for (unsigned k = 0; fd >= 0 && k < (ids ? u->slot_count : 1); k++) {
			fd = open_log(m, u, k, path);
			if (fd >= 0)
				close(fd);
		}
		if (fd >= 0)
			continue;
		mcp_log("CRIT", "func=start, component=%s, log=%s, error=%s", u->conf->name, path,
			strerror(-fd));
		if (fd == -EACCES && geteuid() == 0)
			fprintf(stderr, "mcp: repair it with\n  chown %s:%s %s\n  chmod 0640 %s\n",
				u->conf->account.user, u->conf->account.group_name, path, path);
		rc = -EINVAL;
	}
	return rc;
}

/* ---- start */

static pid_t spawn_slot(struct mcp *m, struct mcp_unit *u, unsigned slot, int fd, bool both,
			int log_fd)
{
	const struct conf_common *c = &u->conf->common;
	char id[16];
	const char *extra[3] = { c->pass_id, id, NULL };
	pid_t held = fd < 0 ? held_go(&m->held, u->conf->section, log_fd) : 0;

	if (held)
		return held;
	snprintf(id, sizeof(id), "%u", slot);
	char **argv = argv_split(c->arguments, c->pass_id ? extra : NULL);
	if (!argv)
		return -EINVAL;
	struct spawn s = {
		.path = c->path,
		.argv = argv,
		.env = m->env,
		.working_directory = c->working_directory,
		.account = &u->conf->account,
		/* A service that has to be root, say to deliver to many users, stays root. */
		.drop_rights = u->conf->account.uid != 0,
		.ignore_signals = mcp_conf_is_main(u->conf),
		.fd = { fd >= 0 ? fd : m->null_fd, both ? fd : log_fd, log_fd },
	};
	pid_t pid = spawn_start(&s);
	free(argv);
	return pid;
}

static void wait_longer(struct mcp_slot *s, usec_t lived_usec)
{
	s->due_usec = clock_now() + backoff_next(&s->failures, lived_usec);
}

int mcp_proc_start(struct mcp *m, struct mcp_unit *u, unsigned slot, int fd, bool both)
{
	struct mcp_slot *s = &u->slot[slot];
	char path[LOGFILE_PATH_BYTES];
	int log_fd = open_log(m, u, slot, path);
	pid_t pid = log_fd < 0 ? (pid_t)log_fd : spawn_slot(m, u, slot, fd, both, log_fd);

	if (log_fd >= 0)
		close(log_fd);
	s->due_usec = 0;
	if (pid < 0) {
		mcp_log("ERR", "func=start, component=%s, error=%s", u->conf->name, strerror(-pid));
		wait_longer(s, 0);
		return pid;
	}
	s->pid = pid;
	s->birth = spawn_birth(pid);
	s->started_usec = clock_now();
	m->changed = true;
	plan_live(&m->plan, u->index, true);
	if (u->conf->common.start_action != CONF_START_ACCEPT)
		mcp_log("INFO", "func=start, component=%s, pid=%d", u->conf->name, (int)pid);
	return 0;
}

void mcp_proc_start_due(struct mcp *m, struct mcp_unit *u)
{
	usec_t now_usec = clock_now();

	for (unsigned i = 0; i < u->slot_count; i++) {
		struct mcp_slot *s = &u->slot[i];

		if (!s->pid && s->due_usec && s->due_usec <= now_usec)
			mcp_proc_start(m, u, i, -1, false);
	}
}

/* ---- stop */

void mcp_proc_stop(struct mcp *m, struct mcp_unit *u)
{
	usec_t kill_usec = clock_now() + (usec_t)m->stop_limit_sec * USEC_PER_SEC;

	for (unsigned i = 0; i < u->slot_count; i++) {
		struct mcp_slot *s = &u->slot[i];

		if (!s->pid || s->kill_usec)
			continue;
		s->kill_usec = kill_usec;
		mcp_log("INFO", "func=stop, component=%s, pid=%d", u->conf->name, (int)s->pid);
		kill(s->pid, SIGTERM);
		/* One that was stopped on a terminal would not hear it. */
		kill(s->pid, SIGCONT);
	}
}

void mcp_proc_kill_due(struct mcp_unit *u, usec_t now_usec)
{
	for (unsigned i = 0; i < u->slot_count; i++) {
		struct mcp_slot *s = &u->slot[i];

		if (!s->pid || !s->kill_usec || s->killed || s->kill_usec > now_usec)
			continue;
		s->killed = true;
		mcp_log("ERR", "func=kill, component=%s, pid=%d, it did not stop", u->conf->name,
			(int)s->pid);
		kill(-s->pid, SIGKILL);
	}
}

/* ---- end */

static void describe(const siginfo_t *si, char *dst, size_t cap)
{
	if (si->si_code == CLD_EXITED)
		snprintf(dst, cap, "exit %d", si->si_status);
	else
		snprintf(dst, cap, "signal %d%s", si->si_status,
			 si->si_code == CLD_DUMPED ? " core" : "");
}

static bool is_useless(const siginfo_t *si)
{
	return si->si_code == CLD_EXITED &&
	       (si->si_status == EX_USAGE || si->si_status == EX_CONFIG);
}

/* When all that matters stays down, mcp ends with the same code. */
static void end_if_all_useless(struct mcp *m, int code)
{
	uint64_t matters = 0;

	for (unsigned i = 0; i < m->conf.count; i++)
		if (mcp_conf_is_main(m->unit[i].conf))
			matters |= (uint64_t)1 << i;
	if (!matters)
		matters = m->plan.count < 64 ? ((uint64_t)1 << m->plan.count) - 1 : ~(uint64_t)0;
	if (m->plan.stopping || (m->plan.want & matters) || (m->plan.live & matters))
		return;
	mcp_log("CRIT", "func=exit, status=exit %d, nothing is left to run", code);
	m->exit_code = code;
	plan_stop_all(&m->plan);
}

static void end_useless(struct mcp *m, struct mcp_unit *u, pid_t pid, int code)
{
	mcp_log("CRIT", "func=exit, component=%s, pid=%d, status=exit %d, it stays down",
		u->conf->name, (int)pid, code);
	plan_useless(&m->plan, u->index);
	for (unsigned i = 0; i < u->slot_count; i++)
		u->slot[i].due_usec = 0;
	end_if_all_useless(m, code);
}

static void end_dead(struct mcp_unit *u, struct mcp_slot *s, pid_t pid, const siginfo_t *si,
		     usec_t lived_usec)
{
	enum { SHORTEST_USEC = 100 * USEC_PER_MSEC };
	unsigned action = u->conf->common.start_action;
	bool good = si->si_code == CLD_EXITED && si->si_status == 0;
	char status[32];

	describe(si, status, sizeof(status));
	if (action == CONF_START_ACCEPT) {
		if (!good)
			mcp_log("WARN", "func=exit, component=%s, pid=%d, status=%s", u->conf->name,
				(int)pid, status);
		return;
	}
	if (action == CONF_START_NOSTARTACCEPT && good) {
		/* It has served who came. The next one starts it again, but not in a tight loop. */
		s->due_usec = s->started_usec + SHORTEST_USEC;
		mcp_log("INFO", "func=exit, component=%s, pid=%d, status=%s", u->conf->name,
			(int)pid, status);
		return;
	}
	wait_longer(s, lived_usec);
	mcp_log("ERR", "func=exit, component=%s, pid=%d, status=%s, lived=%lld, restart_in=%lld",
		u->conf->name, (int)pid, status, (long long)(lived_usec / USEC_PER_SEC),
		(long long)((s->due_usec - clock_now() + USEC_PER_SEC / 2) / USEC_PER_SEC));
}

static void ended(struct mcp *m, const siginfo_t *si)
{
	unsigned slot = 0;
	struct mcp_unit *u = mcp_unit_find(m, si->si_pid, &slot);
	char status[32];

	if (!u)
		return;
	struct mcp_slot *s = &u->slot[slot];
	bool asked = s->kill_usec || m->plan.stopping;
	usec_t now_usec = clock_now(), lived_usec = now_usec - s->started_usec;

	s->pid = 0;
	s->kill_usec = 0;
	s->killed = false;
	s->up = false;
	m->changed = true;
	if (!mcp_unit_is_live(u))
		plan_live(&m->plan, u->index, false);
	if (!u->not_up_since_usec && !mcp_unit_is_up(u))
		u->not_up_since_usec = now_usec;
	if (asked) {
		describe(si, status, sizeof(status));
		mcp_log(si->si_code == CLD_EXITED && !si->si_status ? "INFO" : "WARN",
			"func=exit, component=%s, pid=%d, status=%s, stopped", u->conf->name,
			(int)si->si_pid, status);
		s->due_usec = now_usec;
	} else if (is_useless(si)) {
		end_useless(m, u, si->si_pid, si->si_status);
	} else {
		end_dead(u, s, si->si_pid, si, lived_usec);
	}
}

void mcp_proc_reap(struct mcp *m)
{
	for (;;) {
		siginfo_t si = { .si_pid = 0 };
		unsigned slot = 0;

		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) || !si.si_pid)
			return;
		/* While it is a zombie its number cannot be another group's. What a wrapper left
		 * behind would hold the port or the database. */
		struct mcp_unit *u = mcp_unit_find(m, si.si_pid, &slot);
		if (u && u->conf->common.start_action != CONF_START_ACCEPT)
			kill(-si.si_pid, SIGTERM);
		waitid(P_PID, (id_t)si.si_pid, &si, WEXITED | WNOHANG);
		ended(m, &si);
	}
}

void mcp_proc_forward(struct mcp *m, int sig)
{
	for (unsigned i = 0; i < m->conf.count; i++) {
		struct mcp_unit *u = &m->unit[i];

		for (unsigned k = 0; mcp_conf_is_main(u->conf) && k < u->slot_count; k++)
			if (u->slot[k].pid)
				kill(u->slot[k].pid, sig);
	}
}

void mcp_proc_revive(struct mcp *m)
{
	for (unsigned i = 0; i < m->conf.count; i++) {
		struct mcp_unit *u = &m->unit[i];

		if (m->plan.want & ((uint64_t)1 << i))
			continue;
		mcp_log("INFO", "func=reload, component=%s, tried again", u->conf->name);
		plan_revive(&m->plan, i);
		u->not_up_since_usec = clock_now();
		for (unsigned k = 0; k < u->slot_count; k++) {
			u->slot[k].failures = 0;
			if (!u->slot[k].pid)
				u->slot[k].due_usec = u->not_up_since_usec;
		}
	}
}
