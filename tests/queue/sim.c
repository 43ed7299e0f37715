#include "tests/queue/sim.h"

#include "core/err.h"
#include "core/sock.h"
#include "core/thread.h"
#include "queue/inventory.h"
#include "tests/queue/sim_peers.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* qmgr as it is, but for the name of its entry. */
int qmgr_main(int argc, char **argv);
#define main qmgr_main
#include "queue/qmgr_main.c"
#undef main

enum { BOOT_USEC = 1000 * USEC_PER_SEC, SLOW_TICK_USEC = 600 * USEC_PER_SEC };

static struct {
	struct sim_setup set;
	pthread_t qmgr;
	bool stopped;
	struct loop *loop;
	usec_t begin; /* sim_now() less the monotonic clock */
} sim;

static atomic_bool *failed; /* shared: a crash must not hide it */

/* ---- seams that are no calls of the system */

void __wrap_qclock_boot(char dst[static QCLOCK_BOOT + 1]);
uid_t __wrap_geteuid(void);
uid_t __real_geteuid(void);
void __wrap_loop_timer_after(struct loop *l, struct timer *t, usec_t delay_usec);
void __real_loop_timer_after(struct loop *l, struct timer *t, usec_t delay_usec);

/* Each life that is not of the first boot is one after a boot of its own. */
void __wrap_qclock_boot(char dst[static QCLOCK_BOOT + 1])
{
	bool first = sim.begin == SIM_BEGIN - BOOT_USEC;

	snprintf(dst, QCLOCK_BOOT + 1, "%036llx",
		 (unsigned long long)(first ? SIM_BEGIN : sim.begin));
}

/* qmgr does not run as root; the tests may. */
uid_t __wrap_geteuid(void)
{
	uid_t uid = __real_geteuid();

	return uid ? uid : 65534;
}

/* Days of ticks, each a hundred thousand times as long as what is looked at, make a test slow. */
void __wrap_loop_timer_after(struct loop *l, struct timer *t, usec_t delay_usec)
{
	bool tick = delay_usec == USEC_PER_SEC / 10 || delay_usec == USEC_PER_SEC ||
		    delay_usec == 5 * USEC_PER_SEC;

	__real_loop_timer_after(l, t, sim.set.slow_ticks && tick ? SLOW_TICK_USEC : delay_usec);
}

/* ---- checks */

bool sim_ok(bool cond, const char *fmt, ...)
{
	char text[1000];
	va_list ap;

	if (cond)
		return true;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	printf("# at %.6f s: %s\n", (double)(sim_now() - SIM_BEGIN) / USEC_PER_SEC, text);
	fflush(stdout);
	atomic_store(failed, true);
	return false;
}

void *sim_shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		panic("sim: no memory");
	return p;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	if (f->level > 0)
		remove(path);
	return 0;
}

void sim_clean(const char *dir)
{
	nftw(dir ? dir : tap_tmpdir(), remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- time */

usec_t sim_now(void)
{
	return sim.begin + sim_clock_mono();
}

void sim_settle(void)
{
	sim_clock_settle();
}

bool sim_step(usec_t limit)
{
	return sim_clock_step(limit - sim.begin);
}

void sim_until(usec_t at)
{
	sim_clock_until(at - sim.begin);
}

void sim_pass(usec_t usec)
{
	sim_until(sim_now() + usec);
}

/* ---- the operator */

char *sim_ask(const char *request)
{
	int fd = sock_connect_unix("qmgrctlsock");
	struct buf out = { 0 };
	ssize_t n = -1;

	if (fd < 0 || write(fd, request, strlen(request)) < 0 || write(fd, "\n", 1) != 1)
		panic("sim: control socket");
	fcntl(fd, F_SETFL, O_NONBLOCK);
	sim_settle();
	for (;;) {
		char *to = buf_room(&out, 4096);

		n = read(fd, to, 4000);
		if (n > 0)
			buf_wrote(&out, (size_t)n);
		else if (n == 0)
			break;
		else if (!sim_step(sim_now() + 60 * (usec_t)USEC_PER_SEC))
			panic("sim: no answer to %s", request);
		else
			sim_settle();
	}
	close(fd);
	char *text = xmalloc(buf_len(&out) + 1);
	memcpy(text, out.p + out.r, buf_len(&out));
	text[buf_len(&out)] = 0;
	buf_release(&out);
	return text;
}

/* ---- what qmgr has */

static unsigned count_rows(enum store_family f, bool rcpts, bool whole)
{
	struct store_iter *it = store_iter_new(qm.store, f, SPAN(""));
	unsigned n = 0;

	for (; store_iter_valid(it); store_iter_next(it))
		n += f == STORE_DUE || (store_iter_key(it).n == 12 ? rcpts : whole);
	sim_ok(store_iter_end(it) == 0, "the database cannot be read");
	return n;
}

struct sim_rows sim_rows(void)
{
	struct sim_rows r = { .ibdb = count_rows(STORE_IBDB, false, true),
			      .marks = count_rows(STORE_IBDB, true, false),
			      .deferred = count_rows(STORE_DEFEDB, true, true),
			      .due = count_rows(STORE_DUE, true, true),
			      .aq = aq_count(),
			      .iqdb = iqdb_count() };
	struct cds_lfht_iter it;
	struct cds_lfht_node *node;

	LFHT_FOREACH(aq_table(), &it, node)
	r.transactions++;
	return r;
}

static void count_record(void *ctx, const struct inventory_record *r)
{
	unsigned *n = ctx;

	*n += r->state == INVENTORY_LIVE || r->state == INVENTORY_NEW;
}

static void no_file(void *ctx, const struct inventory_file *f)
{
	(void)ctx;
	(void)f;
}

unsigned sim_records(void)
{
	unsigned n = 0;
	int error;
	struct inventory *v = inventory_new("", qm.store, &error);
	struct inventory_calls calls = { no_file, count_record, no_file, &n };

	sim_ok(v && inventory_walk(v, true, &calls) == 0, "the content cannot be read");
	inventory_free(v);
	return n;
}

/* ---- a life */

static void make_folders(void)
{
	static const char *const names[] = { "defedb", "ibdb", "qmsmar", "qmsmtpc", "qmsmtps" };
	char name[2] = "0";

	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		mkdir(names[i], 0755);
	for (unsigned i = 0; i < 16; i++) {
		name[0] = "0123456789ABCDEF"[i];
		mkdir(name, 0755);
	}
}

static void write_conf(const struct sim_setup *s)
{
	FILE *f = fopen("smx.conf", "w");

	if (!f)
		panic("sim: smx.conf");
	fprintf(f,
		"hostname = \"gw.sim.test\";\n"
		"qmgr {\n"
		"  log_level = %s; min_disk_space = 1; ok_disk_space = 2; max_threads = %u; min_threads = %u;\n"
		"  %s\n"
		"}\n",
		getenv("SMX_TEST_LOG") ? getenv("SMX_TEST_LOG") : "0", s->loops, s->loops,
		s->options ? s->options : "");
	fclose(f);
}

static void run_qmgr(void *arg)
{
	static char *argv[] = { "qmgr", "-f", "smx.conf", NULL };
	int rc = qmgr_main(3, argv);

	(void)arg;
	if (rc)
		panic("sim: qmgr ended with %d", rc);
}

/* All threads on one core: most of them wait for each other. */
static void use_one_core(void)
{
	cpu_set_t set, one;
	int n = getpid() % 64;

	if (sched_getaffinity(0, sizeof set, &set))
		return;
	CPU_ZERO(&one);
	for (int cpu = 0;; cpu = (cpu + 1) % CPU_SETSIZE)
		if (CPU_ISSET(cpu, &set) && n-- == 0) {
			CPU_SET(cpu, &one);
			break;
		}
	sched_setaffinity(0, sizeof one, &one);
}

static void begin_life(const struct sim_setup *s)
{
	sigset_t set;
	usec_t at = s->started_at ? s->started_at : SIM_BEGIN;

	sim.set = *s;
	sim.set.loops = s->loops ? s->loops : 1;
	sim.set.workers = s->workers ? s->workers : 1;
	sim.set.segment_bytes = s->segment_bytes ? s->segment_bytes : 1 << 20;
	sim.begin = (s->same_boot ? SIM_BEGIN : at) - BOOT_USEC;
	if (!s->many_cores)
		use_one_core();
	if (chdir(s->dir ? s->dir : tap_tmpdir()))
		panic("sim: folder");
	make_folders();
	write_conf(&sim.set);
	/* Not USR1: a script that raises it has had its handler run before raise() returns. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	setenv("TZ", "UTC", 1);
	thread_main_register();
	sim_clock_start(at - sim.begin, at + s->wall_off, !s->many_cores);
	sim.loop = loop_new();
	sim_clock_loop(sim.loop);
	if (thread_start(&sim.qmgr, "qmgr-main", THREAD_ANY_CPU, run_qmgr, NULL))
		panic("sim: no thread");
	sim_peers_start(sim.loop, &sim.set);
	while (!sim_peers_up() && sim_step(at + 10 * (usec_t)USEC_PER_SEC))
		;
	sim_ok(sim_peers_up(), "the peers cannot connect");
}

void sim_stop(void)
{
	if (sim.stopped)
		return;
	sim.stopped = true;
	terminate(NULL);
	/* The helper of the writer stays. */
	while (sim_clock_threads() > 1 && sim_step(sim_now() + 60 * (usec_t)USEC_PER_SEC))
		;
	thread_join(sim.qmgr);
}

static void end_life(void)
{
	sim_stop();
	sim_peers_end();
}

int sim_life(const struct sim_setup *s, void (*script)(void *arg), void *arg)
{
	int status;

	tap_tmpdir();
	fflush(stdout);
	if (!failed)
		failed = sim_shared(sizeof *failed);
	atomic_store(failed, false);
	pid_t pid = fork();
	if (pid == 0) {
		begin_life(s);
		script(arg);
		end_life();
		fflush(stdout);
		_exit(EXIT_SUCCESS);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status)) {
		printf("# a life ended by signal %d\n", WTERMSIG(status));
		return 128 + WTERMSIG(status);
	}
	return atomic_load(failed) ? EXIT_FAILURE : WEXITSTATUS(status);
}
