#include "supervisor/spawn.h"

#include "core/hold.h"
#include "supervisor/mcp_log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

/* They may be among their new numbers themselves, so all move out of the way first. */
static int place_descriptors(const int *fd, const int *hold_fd)
{
	int high[HOLD_FD + 1], count = hold_fd ? HOLD_FD + 1 : HOLD_FD;

	for (int i = 0; i < count; i++) {
		high[i] = fcntl(i < HOLD_FD ? fd[i] : *hold_fd, F_DUPFD_CLOEXEC, HOLD_FD + 1);
		if (high[i] < 0)
			return -errno;
	}
	for (int i = 0; i < count; i++)
		if (dup2(high[i], i) < 0)
			return -errno;
	/* mcp's own are all close-on-exec; this is for what mcp's parent left open. */
	(void)close_range((unsigned)count, ~0u, CLOSE_RANGE_CLOEXEC);
	return 0;
}

static void reset_signals(bool ignore_signals)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &sa, NULL);
	sa.sa_handler = SIG_IGN;
	if (ignore_signals) {
		sigaction(SIGUSR1, &sa, NULL);
		sigaction(SIGUSR2, &sa, NULL);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn static void child_fails(const char *what, const char *arg, int error)
{
	mcp_log("CRIT", "func=spawn, call=%s, arg=%s, error=%s", what, arg ? arg : "",
		strerror(error));
	_exit(EX_OSERR);
}

_Noreturn static void run_child(const struct spawn *s, pid_t mcp)
{
	setpgid(0, 0);
	reset_signals(s->ignore_signals);
	umask(022);
	int rc = place_descriptors(s->fd, s->hold_fd);
	if (rc)
		child_fails("dup2", NULL, -rc);
	rc = account_become(s->account, s->drop_rights);
	if (rc)
		child_fails("setuid", s->account->user, -rc);
	if (s->drop_rights && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		child_fails("prctl", "PR_SET_NO_NEW_PRIVS", errno);
	/* A change of user forgets this one, so it comes behind it. */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0))
		child_fails("prctl", "PR_SET_PDEATHSIG", errno);
	if (getppid() != mcp)
		_exit(EX_TEMPFAIL);
	if (s->working_directory && chdir(s->working_directory))
		child_fails("chdir", s->working_directory, errno);
	execve(s->path, s->argv, s->env);
	child_fails("execve", s->path, errno);
}

pid_t spawn_start(const struct spawn *s)
{
	sigset_t all, old;
	pid_t mcp = getpid();

	/* No signal may find the child before its handlers are in place. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid_t pid = fork();
	if (pid == 0)
		run_child(s, mcp);
	int error = errno;
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		return -error;
	/* Both sides do it, so that it is done whoever runs first. */
	setpgid(pid, pid);
	return pid;
}

/* A number in the text of /proc/PID/stat, in which p is the end of field 2; 0: it is not there. */
static unsigned long long stat_field(const char *p, int number)
{
	for (int field = 2; p && field < number; field++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p, NULL, 10) : 0;
}

unsigned long long spawn_birth(pid_t pid)
{
	char path[32], text[1024];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	/* Fields as in proc(5); the name in field 2 may hold blanks and parentheses. */
	char *p = strrchr(text, ')');
	if (!p || p[1] != ' ' || p[2] == 'X')
		return 0;
	/* Of a killed process the first thread may be dead while another one is still at a write or
	 * a sync, with the files and locks of all. */
	if (p[2] == 'Z' && stat_field(p, 20) <= 1)
		return 0;
	return stat_field(p, 22);
}
