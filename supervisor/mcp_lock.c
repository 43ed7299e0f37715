#include "supervisor/mcp_lock.h"

#include "core/clock.h"
#include "supervisor/mcp_log.h"
#include "supervisor/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCK_TEXT_BYTES = 128 * 1024, LOCK_KILLED_SEC = 10 };

static const char lock_name[] = "mcp.lock";

static void boot_id(char dst[static 40])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, dst, 36);

	if (fd >= 0)
		close(fd);
	dst[n < 0 ? 0 : n] = '\0';
}

/* The whole text; the caller frees. NULL: cannot be read. */
static char *read_text(int fd)
{
	char *text = malloc(LOCK_TEXT_BYTES);
	ssize_t n = text ? pread(fd, text, LOCK_TEXT_BYTES - 1, 0) : -1;

	if (n < 0) {
		free(text);
		return NULL;
	}
	text[n] = '\0';
	return text;
}

/* The process in one line of the text; false for other lines. */
static bool parse_line(const char *line, char name[static 64], struct mcp_process *p)
{
	int pid;

	if (sscanf(line, "%63s %d %llu", name, &pid, &p->birth) != 3 || pid <= 1)
		return false;
	p->pid = pid;
	p->name = name;
	return true;
}

static pid_t find_holder(int fd)
{
	char *text = read_text(fd), *rest = text, *line, name[64];
	struct mcp_process p = { .pid = 0 };
	pid_t holder = 0;

	while (rest && !holder && (line = strsep(&rest, "\n")))
		if (parse_line(line, name, &p) && strcmp(name, "mcp") == 0)
			holder = p.pid;
	free(text);
	return holder;
}

int mcp_lock_take(pid_t *holder)
{
	struct stat st;
	int rc = 0;
	int fd = open(lock_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	/* mcp believes what it reads there, so nobody else may have written it. */
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_nlink != 1 ||
	    (st.st_mode & 022))
		rc = -EPERM;
	else if (flock(fd, LOCK_EX | LOCK_NB))
		rc = errno == EWOULDBLOCK ? -EAGAIN : -errno;
	if (rc == -EAGAIN)
		*holder = find_holder(fd);
	if (rc)
		close(fd);
	return rc ? rc : fd;
}

void mcp_lock_write(int fd, const char *state, const struct mcp_process *list, size_t count)
{
	char boot[40], *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		return;
	boot_id(boot);
	fprintf(f, "boot %s\nstate %s\nmcp %d %llu\n", boot, state, (int)getpid(),
		spawn_birth(getpid()));
	for (size_t i = 0; i < count; i++)
		fprintf(f, "%s %d %llu\n", list[i].name, (int)list[i].pid, list[i].birth);
	if (fclose(f)) {
		free(text);
		return;
	}
	/* A reader may see old lines behind the new ones for a moment, never none of both. */
	if (pwrite(fd, text, n, 0) != (ssize_t)n || ftruncate(fd, (off_t)n))
		mcp_log("WARN", "func=lock, file=%s, error=%s", lock_name, strerror(errno));
	free(text);
}

/* One process of a killed mcp: its descriptor while it lives, else -1. */
static int open_old(const struct mcp_process *p)
{
	int fd = pidfd_open(p->pid, 0);

	/* Asked behind pidfd_open(), so that both mean the same process. */
	if (fd >= 0 && spawn_birth(p->pid) != p->birth) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Waits until fd says that the process is gone. */
static int wait_gone(int fd, int stop_fd, usec_t deadline_usec)
{
	for (;;) {
		struct pollfd p[2] = { { .fd = fd, .events = POLLIN },
				       { .fd = stop_fd, .events = POLLIN } };
		usec_t left = deadline_usec - clock_now();

		if (left < 0)
			left = 0;
		int rc = poll(p, 2, (int)((left + 999) / USEC_PER_MSEC));
		if (rc < 0 && errno != EINTR)
			return -errno;
		if (rc > 0 && (p[0].revents & POLLIN))
			return 0;
		if (rc > 0 && p[1].revents)
			return -EINTR;
		if (rc == 0 && left == 0)
			return -ETIMEDOUT;
	}
}

static int end_old(const struct mcp_process *p, int pidfd, int stop_fd, usec_t deadline_usec)
{
	mcp_log("WARN", "func=start, component=%s, pid=%d, left by a killed mcp, waiting", p->name,
		(int)p->pid);
	pidfd_send_signal(pidfd, SIGTERM, NULL, 0);
	int rc = wait_gone(pidfd, stop_fd, deadline_usec);
	if (rc != -ETIMEDOUT)
		return rc;
	mcp_log("ERR", "func=kill, component=%s, pid=%d, left by a killed mcp", p->name,
		(int)p->pid);
	pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	return wait_gone(pidfd, stop_fd, clock_now() + (usec_t)LOCK_KILLED_SEC * USEC_PER_SEC);
}

int mcp_lock_wait(int fd, int limit_sec, int stop_fd)
{
	usec_t deadline_usec = clock_now() + (usec_t)limit_sec * USEC_PER_SEC;
	char boot[40], want[64], name[64];
	char *text = read_text(fd), *rest = text, *line;
	int rc = 0;

	boot_id(boot);
	snprintf(want, sizeof(want), "boot %s", boot);
	line = rest ? strsep(&rest, "\n") : NULL;
	if (!line || strcmp(line, want) != 0)
		rest = NULL;
	while (rest && !rc && (line = strsep(&rest, "\n"))) {
		struct mcp_process p;

		if (!parse_line(line, name, &p) || strcmp(name, "mcp") == 0)
			continue;
		int pidfd = open_old(&p);
		if (pidfd < 0)
			continue;
		rc = end_old(&p, pidfd, stop_fd, deadline_usec);
		close(pidfd);
	}
	free(text);
	return rc;
}
