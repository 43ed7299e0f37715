/*
 * tests/resolver/program.h - runs a program of build/bin; as root under an unprivileged user.
 */
#ifndef TESTS_RESOLVER_PROGRAM_H
#define TESTS_RESOLVER_PROGRAM_H
#include "tests/resolver/map_fixture.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PROGRAM_UID = 65534 };

/* Starts $BUILD/bin/name in the folder dir with input from the file in (NULL: nothing), output and
 * errors to the file out. unprivileged: root becomes PROGRAM_UID. Returns the pid. */
static inline pid_t program_start(const char *name, char *const *argv, const char *dir,
				  const char *in, const char *out, bool unprivileged)
{
	const char *build = getenv("BUILD");
	char path[512];

	snprintf(path, sizeof path, "%s/bin/%s", build ? build : "build", name);
	/* By descriptor: the folder of the build may be closed to that user. */
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int in_fd = open(in ? in : "/dev/null", O_RDONLY | O_CLOEXEC);
	int out_fd = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (!ok(fd >= 0 && in_fd >= 0 && out_fd >= 0, "%s is built", path))
		exit(1);
	pid_t pid = fork();
	if (!pid) {
		if (dup2(in_fd, 0) < 0 || dup2(out_fd, 1) < 0 || dup2(out_fd, 2) < 0 || chdir(dir))
			_exit(126);
		if (unprivileged && geteuid() == 0 &&
		    (setgroups(0, NULL) || setgid(PROGRAM_UID) || setuid(PROGRAM_UID)))
			_exit(126);
		fexecve(fd, argv, environ);
		_exit(127);
	}
	close(fd);
	close(in_fd);
	close(out_fd);
	return pid;
}

/* Its exit status, or -1 when a signal ended it; after a minute we do. */
static inline int program_wait(pid_t pid)
{
	struct timespec pause = { 0, 5000000 };
	int st = 0;
	pid_t got;

	for (unsigned i = 0; !(got = waitpid(pid, &st, WNOHANG)) && i < 12000; i++)
		nanosleep(&pause, NULL);
	if (!got) {
		diag("pid %d does not end", (int)pid);
		kill(pid, SIGKILL);
		got = waitpid(pid, &st, 0);
	}
	return got == pid && WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}

/* The content of a file, until the next call. */
static inline const char *program_text(const char *path)
{
	static char text[65536];
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;

	if (f)
		fclose(f);
	text[n] = 0;
	return text;
}

#endif
