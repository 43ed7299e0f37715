#include "supervisor/held.h"

#include "core/hold.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The program that is held is this one, with the word "child". It writes to its stdout, which is
 * what mcp gave it when it let it go on, and exits with what it is told. */
static int child(const char *code)
{
	bool held = hold_point();

	if (write(STDOUT_FILENO, held ? "held" : "free", 4) != 4)
		return 1;
	return fcntl(HOLD_FD, F_GETFD) >= 0 || getenv(HOLD_VARIABLE) ? 1 : atoi(code);
}

static struct account me;
static struct held_list list;

static pid_t start(unsigned section)
{
	static char *const argv[] = { "test", "child", "7", NULL };
	static char *const env[] = { NULL };
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct spawn s = { .path = "/proc/self/exe",
			   .argv = argv,
			   .env = env,
			   .account = &me,
			   .fd = { null_fd, null_fd, STDERR_FILENO } };
	pid_t pid = held_start(&list, section, &s);

	close(null_fd);
	return pid;
}

static bool becomes_ready(unsigned section)
{
	struct pollfd p = { .fd = held_fd(&list, section), .events = POLLIN };

	return poll(&p, 1, -1) == 1 && held_is_ready(&list, section);
}

static bool is_gone(pid_t pid)
{
	return waitpid(pid, NULL, WNOHANG) < 0 && errno == ECHILD;
}

static void go_on(void)
{
	int out[2], status = 0;
	char text[8] = "";

	if (pipe2(out, O_CLOEXEC))
		abort();
	pid_t pid = start(3);
	ok(pid > 0 && becomes_ready(3), "it says that it is ready");
	is_int(held_go(&list, 4, out[1]), 0, "there is none of another section");
	is_int(held_go(&list, 3, out[1]), pid, "it goes on");
	close(out[1]);
	is_int(read(out[0], text, sizeof text), 4, "and writes to what it was given");
	is_str(text, "held", "knowing that it was held");
	is_int(waitpid(pid, &status, 0), pid, "it ends");
	is_int(WEXITSTATUS(status), 7, "without descriptor and variable");
	is_int(held_go(&list, 3, STDOUT_FILENO), 0, "it is not in the list any more");
	close(out[0]);
}

static void dies(void)
{
	pid_t pid = start(1);

	ok(becomes_ready(1), "one that is going to die");
	siginfo_t si;
	kill(pid, SIGKILL);
	waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT);
	is_int(held_go(&list, 1, STDERR_FILENO), 0, "it is dead when it is to go on");
	ok(is_gone(pid), "and was reaped");
}

static void drop(void)
{
	pid_t a = start(0), b = start(1);

	ok(becomes_ready(1), "one is ready, the other perhaps");
	held_drop_all(&list);
	ok(is_gone(a) && is_gone(b), "all are gone");
	is_int(held_fd(&list, 0), -1, "and none is in the list");
}

/* Its socket is closed, as by the end of mcp: it ends, with 0 and without a word. */
static void forget(void)
{
	int status = -1;
	pid_t pid = start(5);

	ok(becomes_ready(5), "one whose mcp goes away");
	held_forget(&list, 5);
	is_int(waitpid(pid, &status, 0), pid, "it ends");
	is_int(status, 0, "without an error");
}

static void write_file(const char *path, const char *text, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	if (fd < 0 || write(fd, text, n) != (ssize_t)n)
		abort();
	close(fd);
}

/* Files that only look like a program, cut and damaged at every place of the head. */
static void notes(void)
{
	static char head[4096];
	char path[600];
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	unsigned bad = 0;

	snprintf(path, sizeof path, "%s/program", tap_tmpdir());
	ok(held_is_known("/proc/self/exe"), "a program of ours");
	ok(!held_is_known("/bin/sh"), "one that is not");
	ok(!held_is_known("/") && !held_is_known("/nonexistent"), "none at all");
	write_file(path, "#!/bin/sh\n", 10);
	ok(!held_is_known(path), "a script");
	if (fd < 0 || pread(fd, head, sizeof head, 0) != sizeof head)
		abort();
	close(fd);
	write_file(path, head, sizeof head);
	ok(held_is_known(path), "the head is all that is read");
	for (size_t n = 0; n < 128; n++) {
		write_file(path, head, n);
		bad += held_is_known(path);
	}
	is_int(bad, 0, "a file that is too short");
	write_file(path, head, sizeof head);
	fd = open(path, O_RDWR | O_CLOEXEC);
	for (size_t n = 0; n < sizeof head; n++) {
		bad += pwrite(fd, "\xff", 1, (off_t)n) != 1;
		(void)held_is_known(path);
		bad += pwrite(fd, head + n, 1, (off_t)n) != 1;
	}
	close(fd);
	ok(!bad && held_is_known(path), "damage at any place");
	char *name = memmem(head, sizeof head, HOLD_NOTE_NAME, sizeof HOLD_NOTE_NAME);
	if (!name)
		abort();
	name[sizeof HOLD_NOTE_NAME]++;
	write_file(path, head, sizeof head);
	ok(!held_is_known(path), "another version of the protocol");
}

int main(int argc, char **argv)
{
	char why[200];

	if (argc == 3 && !strcmp(argv[1], "child"))
		return child(argv[2]);
	if (account_find(NULL, NULL, &me, why, sizeof why))
		abort();
	setenv(HOLD_VARIABLE, "3", 1);
	ok(!hold_point(), "nobody holds this process, whatever its environment says");
	go_on();
	dies();
	drop();
	forget();
	notes();
	account_free(&me);
	return plan_done();
}
