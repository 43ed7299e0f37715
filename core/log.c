#include "core/log.h"

#include "core/clock.h"
#include "core/ids.h"
#include "core/log_text.h"
#include "core/rcu.h"
#include "core/thread.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum {
	LINE_BYTES = 8192,
	LINE_TAIL = 4, /* kept free for the end of an object and the newline */
	BUFFER_BYTES = 256 * 1024,
	PIPE_CHUNK = 4096, /* PIPE_BUF: goes out in one piece */
	GATHER_USEC = 100000,
	STUCK_USEC = 1000000, /* at the end nobody waits longer than this for a reader */
};

/* What a thread has to say. Only its thread and whoever writes the log meet at `mu`. A slot is
 * never freed but claimed again, so the list only grows, at its head. */
struct slot {
	struct slot *next;
	atomic_int used;
	pthread_mutex_t mu;
	char *buf;     /* mu */
	size_t n;      /* mu */
	uint64_t lost; /* mu */
	bool cut;      /* from here on its thread's alone */
	bool first;
	time_t sec;
	char date[24], zone[8];
	char line[LINE_BYTES];
};

/* What the log thread sleeps on. */
enum { IDLE = 0, DIRTY, HURRY };

unsigned log_level_now = LOG_LV_MAIL;

static struct log_setup setup = { .level = LOG_LV_MAIL };
static _Thread_local struct slot *mine;
static pthread_key_t mine_key;
static pthread_once_t mine_once = PTHREAD_ONCE_INIT;
static _Atomic(struct slot *) slots;
static atomic_int state;
static atomic_uint flush_wanted, flush_done;
static atomic_bool rewind_wanted, stopping, exiting;
static atomic_ulong lost_elsewhere; /* no memory for a slot */

static pthread_mutex_t start_mu = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool running;
static pthread_t log_thread; /* start_mu */
static pid_t owner_pid;      /* start_mu */

static pthread_mutex_t io_mu =
	PTHREAD_MUTEX_INITIALIZER; /* who writes; after start_mu, before slot.mu */
static char *spare;                /* io_mu */
static bool torn;                  /* io_mu: the last write broke off within a line */
static uint64_t lost;              /* io_mu: not yet told */

/* ---- the slot of a thread */

static void slot_release(void *p)
{
	struct slot *s = p;

	mine = NULL;
	atomic_store(&s->used, 0);
}

static void at_exit(void)
{
	atomic_store(&exiting, true);
	log_close();
}

static void make_key(void)
{
	pthread_key_create(&mine_key, slot_release);
	atexit(at_exit);
}

static struct slot *slot_claim(void)
{
	struct slot *s;

	pthread_once(&mine_once, make_key);
	for (s = atomic_load(&slots); s; s = s->next) {
		int no = 0;

		if (atomic_compare_exchange_strong(&s->used, &no, 1))
			break;
	}
	if (!s) {
		s = malloc(sizeof *s);
		if (!s)
			return NULL;
		memset(s, 0, offsetof(struct slot, line));
		pthread_mutex_init(&s->mu, NULL);
		atomic_init(&s->used, 1);
		s->next = atomic_load(&slots);
		while (!atomic_compare_exchange_weak(&slots, &s->next, s))
			;
	}
	s->sec = -1;
	pthread_setspecific(mine_key, s);
	mine = s;
	return s;
}

/* ---- writing */

static void futex_wake(atomic_int *at)
{
	syscall(SYS_futex, at, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static void futex_wait(atomic_int *at, int while_it_is, usec_t usec)
{
	struct timespec ts = { usec / USEC_PER_SEC, usec % USEC_PER_SEC * 1000 };

	syscall(SYS_futex, at, FUTEX_WAIT_PRIVATE, while_it_is, usec < 0 ? NULL : &ts, NULL, 0);
}

/* Write now. */
static void hurry(void)
{
	if (atomic_exchange(&state, HURRY) != HURRY)
		futex_wake(&state);
}

/* Write soon; only the first line after a pause pays for it. */
static void dirty(void)
{
	int idle = IDLE;

	if (atomic_load(&state) == IDLE && atomic_compare_exchange_strong(&state, &idle, DIRTY))
		futex_wake(&state);
}

static uint64_t count_lines(const char *p, size_t n)
{
	const char *end = p + n;
	uint64_t lines = 0;

	while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
		lines++;
		p++;
	}
	return lines;
}

/* Whole lines of at most a chunk, a part of a line if it is longer. */
static size_t chunk_of(const char *p, size_t n)
{
	if (n <= PIPE_CHUNK)
		return n;
	const char *nl = memrchr(p, '\n', PIPE_CHUNK);
	return nl ? (size_t)(nl - p) + 1 : PIPE_CHUNK;
}

/* True when a pipe or terminal takes a chunk; false when it did not until the end of the program.
 */
static bool writable(void)
{
	usec_t waited = 0;

	for (;;) {
		struct pollfd pf = { .fd = STDERR_FILENO, .events = POLLOUT };

		if (poll(&pf, 1, 100) > 0)
			return true;
		if (atomic_load(&stopping) && (waited += 100000) >= STUCK_USEC)
			return false;
	}
}

/* Returns how many lines could not be written. Only whoever holds io_mu. */
static uint64_t write_stderr(const char *p, size_t n)
{
	struct stat st;
	bool file = fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode);

	if (torn && n && write(STDERR_FILENO, "\n", 1) == 1)
		torn = false;
	while (n) {
		if (!file && !writable())
			break;
		ssize_t w = write(STDERR_FILENO, p, file ? n : chunk_of(p, n));
		if (w < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (w <= 0)
			break;
		torn = p[w - 1] != '\n';
		p += w;
		n -= (size_t)w;
	}
	return count_lines(p, n);
}

/* Each line begins with its severity. */
static uint64_t write_syslog(const char *p, size_t n)
{
	static const int priority[] = { LOG_INFO, LOG_INFO, LOG_WARNING,
					LOG_ERR,  LOG_CRIT, LOG_ALERT };

	while (n) {
		const char *nl = memchr(p, '\n', n);
		size_t len = nl ? (size_t)(nl - p) : n;

		syslog(priority[p[0] - '0'], "%.*s", (int)len - 1, p + 1);
		if (!nl)
			break;
		p += len + 1;
		n -= len + 1;
	}
	return 0;
}

/* Writes what all slots hold, each buffer outside its lock. True when something was written and
 * every write went through. */
static bool write_all_locked(void)
{
	bool good = true, any = false;

	if (atomic_exchange(&rewind_wanted, false) && !setup.syslog_ident &&
	    ftruncate(STDERR_FILENO, 0) == 0)
		lseek(STDERR_FILENO, 0, SEEK_SET);
	lost += atomic_exchange(&lost_elsewhere, 0);
	for (struct slot *s = atomic_load(&slots); s; s = s->next) {
		if (!spare)
			spare = malloc(BUFFER_BYTES);
		pthread_mutex_lock(&s->mu);
		char *full = s->buf;
		size_t n = spare ? s->n : 0;
		if (n) {
			s->buf = spare;
			s->n = 0;
		}
		lost += s->lost;
		s->lost = 0;
		pthread_mutex_unlock(&s->mu);
		if (!n)
			continue;
		uint64_t bad = setup.syslog_ident ? write_syslog(full, n) : write_stderr(full, n);
		lost += bad;
		good = good && !bad;
		any = true;
		spare = full;
	}
	return good && any;
}

static void tell_lost(uint64_t n)
{
	struct log_line l;

	log_begin(&l, LOG_LV_ERROR, LOG_SEV_WARN);
	log_word(&l, "func", "log");
	log_int(&l, "lost", (int64_t)n);
	log_end(&l);
}

/* One pass; what was lost is told in a line of its own as soon as a write works again. */
static void write_all(bool tell)
{
	uint64_t n = 0;

	pthread_mutex_lock(&io_mu);
	if (write_all_locked() && tell) {
		n = lost;
		lost = 0;
	}
	pthread_mutex_unlock(&io_mu);
	if (n)
		tell_lost(n);
}

static void log_run(void *arg)
{
	(void)arg;
	rcu_offline();
	while (!atomic_load(&stopping)) {
		while (atomic_load(&state) == IDLE)
			futex_wait(&state, IDLE, -1);
		usec_t until = clock_now() + GATHER_USEC, now;
		while (atomic_load(&state) == DIRTY && (now = clock_now()) < until)
			futex_wait(&state, DIRTY, until - now);
		/* In this order: whoever asks from here on wakes this thread again. */
		atomic_store(&state, IDLE);
		unsigned flush = atomic_load(&flush_wanted);
		write_all(true);
		atomic_store(&flush_done, flush);
		syscall(SYS_futex, &flush_done, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
	}
	rcu_online();
}

/* False: there is no log thread, the caller writes by itself. */
static bool writer_runs(void)
{
	if (atomic_load_explicit(&running, memory_order_acquire))
		return true;
	if (atomic_load(&exiting))
		return false;
	pthread_mutex_lock(&start_mu);
	if (!atomic_load(&running)) {
		atomic_store(&stopping, false);
		owner_pid = getpid();
		atomic_store(&running,
			     thread_start(&log_thread, "log", THREAD_ANY_CPU, log_run, NULL) == 0);
	}
	bool is = atomic_load(&running);
	pthread_mutex_unlock(&start_mu);
	return is;
}

/* ---- the program's side */

void log_open(const struct log_setup *s)
{
	setup = *s;
	log_set_level(s->level);
	if (s->syslog_ident) {
		setup.syslog_ident = strdup(s->syslog_ident);
		if (setup.syslog_ident)
			openlog(setup.syslog_ident, s->syslog_options, s->syslog_facility);
	}
}

void log_set_level(unsigned level)
{
	__atomic_store_n(&log_level_now, level, __ATOMIC_RELAXED);
}

void log_close(void)
{
	pthread_mutex_lock(&start_mu);
	bool was = atomic_load(&running) && owner_pid == getpid();
	if (was) {
		atomic_store(&stopping, true);
		hurry();
		thread_join(log_thread);
		atomic_store(&running, false);
	}
	pthread_mutex_unlock(&start_mu);
	if (!was)
		return;
	/* The second pass is for what the first one had to tell. */
	bool exit_now = atomic_exchange(&exiting, true);
	write_all(true);
	write_all(false);
	atomic_store(&exiting, exit_now);
}

void log_flush(void)
{
	if (!atomic_load(&running))
		return;
	unsigned want = atomic_fetch_add(&flush_wanted, 1) + 1;
	usec_t until = clock_now() + 3 * STUCK_USEC, now;
	hurry();
	for (;;) {
		unsigned done = atomic_load(&flush_done);

		if ((int)(done - want) >= 0 || (now = clock_now()) >= until)
			return;
		futex_wait((atomic_int *)&flush_done, (int)done, until - now);
	}
}

void log_rewind(void)
{
	atomic_store(&rewind_wanted, true);
	if (writer_runs())
		hurry();
}

/* ---- lines */

static size_t room(const struct log_line *l)
{
	return LINE_BYTES - LINE_TAIL - l->n;
}

static void put(struct log_line *l, const char *p, size_t n)
{
	if (n > room(l)) {
		mine->cut = true;
		return;
	}
	memcpy(l->p + l->n, p, n);
	l->n += (uint32_t)n;
}

/* "2026-11-22T13:00:56.123456+0000"; the text of a second is made once. */
static void put_time(struct log_line *l)
{
	usec_t wall = clock_wall();
	time_t sec = wall / USEC_PER_SEC;
	char t[48];

	if (sec != mine->sec) {
		struct tm tm;

		localtime_r(&sec, &tm);
		strftime(mine->date, sizeof mine->date, "%Y-%m-%dT%H:%M:%S", &tm);
		strftime(mine->zone, sizeof mine->zone, "%z", &tm);
		mine->sec = sec;
	}
	put(l, t,
	    (size_t)snprintf(t, sizeof t, "%s.%06d%s", mine->date, (int)(wall % USEC_PER_SEC),
			     mine->zone));
}

void log_begin(struct log_line *l, enum log_level lv, enum log_sev sev)
{
	static const char *const name[] = { "", "INFO", "WARN", "ERR", "CRIT", "ALERT" };

	l->on = log_on(lv);
	if (!l->on)
		return;
	if (!mine && !slot_claim()) {
		l->on = false;
		atomic_fetch_add(&lost_elsewhere, 1);
		return;
	}
	l->p = mine->line;
	l->n = 0;
	mine->cut = false;
	mine->first = true;
	if (setup.syslog_ident)
		l->p[l->n++] = (char)('0' + sev);
	if (setup.json) {
		put(l, "{\"time\":\"", 9);
		put_time(l);
		put(l, "\"", 1);
	} else if (!setup.syslog_ident) {
		put_time(l);
		put(l, " ", 1);
	}
	if (sev != LOG_SEV_NONE)
		log_word(l, "sev", name[sev]);
}

/* The name of the next field; false when there is no room for it and a value. */
static bool put_name(struct log_line *l, const char *name, bool quoted)
{
	size_t n = strlen(name);

	if (!l->on || mine->cut)
		return false;
	if (n + 32 > room(l)) {
		mine->cut = true;
		return false;
	}
	if (setup.json) {
		put(l, ",\"", 2);
		put(l, name, n);
		put(l, quoted ? "\":\"" : "\":", quoted ? 3 : 2);
		return true;
	}
	if (!mine->first)
		put(l, ", ", 2);
	mine->first = false;
	put(l, name, n);
	put(l, "=", 1);
	return true;
}

/* Two bytes stay free for what closes the value. */
static void put_text(struct log_line *l, struct span s, bool ours)
{
	size_t free_bytes = room(l) > 2 ? room(l) - 2 : 0;
	size_t n = setup.json ? log_text_escape(&s, l->p + l->n, free_bytes)
			      : log_text_encode(&s, ours, l->p + l->n, free_bytes);

	l->n += (uint32_t)n;
	if (s.n)
		mine->cut = true;
}

static void put_quote(struct log_line *l)
{
	if (setup.json)
		put(l, "\"", 1);
}

void log_str(struct log_line *l, const char *name, struct span foreign)
{
	if (!put_name(l, name, true))
		return;
	put_text(l, foreign, false);
	put_quote(l);
}

void log_addr(struct log_line *l, const char *name, struct span foreign)
{
	if (!put_name(l, name, true))
		return;
	put(l, "<", 1);
	put_text(l, foreign, false);
	put(l, ">", 1);
	put_quote(l);
}

void log_word(struct log_line *l, const char *name, const char *ours)
{
	if (!put_name(l, name, true))
		return;
	put_text(l, span_str(ours), true);
	put_quote(l);
}

void log_id(struct log_line *l, const char *name, uint64_t id)
{
	char t[ID_TEXT_MAX];

	if (!l->on)
		return;
	id_text(id, t);
	log_word(l, name, t);
}

void log_int(struct log_line *l, const char *name, int64_t v)
{
	char t[24];

	if (put_name(l, name, false))
		put(l, t, (size_t)snprintf(t, sizeof t, "%lld", (long long)v));
}

void log_ip(struct log_line *l, const char *name, const struct addr *a)
{
	char t[ADDR_TEXT_MAX];

	if (!l->on)
		return;
	addr_text(a, t);
	log_word(l, name, t);
}

void log_errno(struct log_line *l, int negative_errno)
{
	const char *name = strerrorname_np(-negative_errno);
	const char *text = strerrordesc_np(-negative_errno);

	if (name)
		log_word(l, "errno", name);
	else
		log_int(l, "errno", -negative_errno);
	log_word(l, "error", text ? text : "unknown");
}

void log_end(struct log_line *l)
{
	if (!l->on)
		return;
	l->on = false;
	if (setup.json)
		l->p[l->n++] = '}';
	l->p[l->n++] = '\n';
	struct slot *s = mine;
	size_t before;
	pthread_mutex_lock(&s->mu);
	if (!s->buf)
		s->buf = malloc(BUFFER_BYTES);
	before = s->n;
	if (s->buf && s->n + l->n <= BUFFER_BYTES) {
		memcpy(s->buf + s->n, l->p, l->n);
		s->n += l->n;
	} else {
		s->lost++;
	}
	size_t after = s->n;
	pthread_mutex_unlock(&s->mu);
	if (!writer_runs())
		write_all(false);
	else if (before < BUFFER_BYTES / 2 && after >= BUFFER_BYTES / 2)
		hurry();
	else
		dirty();
}

void log_event(enum log_level lv, enum log_sev sev, const char *func, const char *fmt, ...)
{
	struct log_line l;
	char text[4096];
	va_list ap;

	log_begin(&l, lv, sev);
	if (!l.on)
		return;
	log_word(&l, "func", func);
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	struct span s = span_of(text, n < 0                  ? 0
				      : n < (int)sizeof text ? (size_t)n
							     : sizeof text - 1);
	if (setup.json) {
		log_str(&l, "text", s);
	} else {
		put(&l, ", ", 2);
		put_text(&l, s, true);
	}
	log_end(&l);
}

size_t log_encode(struct span foreign, char *dst, size_t cap)
{
	size_t n = log_text_encode(&foreign, false, dst, cap - 1);

	dst[n] = 0;
	return n;
}
