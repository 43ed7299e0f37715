#include "supervisor/spawn.h"

#include "tests/tap.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int go[2]; /* what a child does ends when this is closed */

static void wait_for_end(void)
{
	char c;

	close(go[1]);
	if (read(go[0], &c, 1))
		abort();
}

static void *second_thread(void *arg)
{
	(void)arg;
	wait_for_end();
	_exit(0);
}

/* Its first thread ends, another one goes on. */
static void headless(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, second_thread, NULL))
		abort();
	syscall(SYS_exit, 0);
}

static char state_of(pid_t pid)
{
	char path[32], c = 0;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "r");
	if (!f || fscanf(f, "%*d (%*[^)]) %c", &c) != 1)
		c = 0;
	if (f)
		fclose(f);
	return c;
}

static void test_child(const char *name, void (*fn)(void), char state)
{
	siginfo_t info;

	if (pipe(go))
		abort();
	pid_t pid = fork();
	if (pid == 0) {
		fn();
		_exit(0);
	}
	close(go[0]);
	while (state && state_of(pid) != state)
		usleep(1000);
	unsigned long long birth = spawn_birth(pid);
	ok(birth > 0, "%s: it lives", name);
	close(go[1]);
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
	ok(spawn_birth(pid) == 0, "%s: it has ended, nobody has asked how", name);
	waitid(P_PID, (id_t)pid, &info, WEXITED);
	ok(spawn_birth(pid) == 0, "%s: it has gone", name);
}

/* Both are in ticks since boot. */
static void test_clock(void)
{
	unsigned long long begun = spawn_birth(getpid());
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	unsigned long long now =
		(unsigned long long)(ts.tv_sec + 1) * (unsigned long long)sysconf(_SC_CLK_TCK);
	ok(begun > 0 && begun <= now, "our own start is a time: %llu, now %llu", begun, now);
	pid_t pid = fork();
	if (pid == 0)
		pause();
	ok(spawn_birth(pid) >= begun && spawn_birth(pid) <= now + 100000,
	   "a child's is not before that");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(void)
{
	test_clock();
	test_child("one thread", wait_for_end, 0);
	test_child("the first thread has ended", headless, 'Z');
	return plan_done();
}
