/*
 * smtp-source - sends test mail over SMTP or LMTP, as fast as it goes or by a schedule, and
 * measures.
 *
 * Threads: main() waits for signals and deadlines and shows progress; the workers send the mail.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>
#include "bench/cli.h"
#include "bench/source_worker.h"

enum { COUNTER_USEC = 500000, SPARE_FILES = 64 };

struct source {
	struct source_opts opts;
	struct source_text text;
	struct source_total total;
	struct source_shared shared;
	struct source_worker **workers;
	unsigned running;
	int signal_fd;
	bool interrupted, time_over;
};

static void show_counter(const struct source *k, bool last)
{
	const struct source_total *t = &k->total;
	uint64_t accepted = source_total_get(t, SOURCE_accepted);
	double sec = (double)(clock_now() - t->begin_usec) / 1e6;

	fprintf(stderr, "\r%ju of %ju accepted, %.0f/s, %ju refused, %ju lost   %s",
		(uintmax_t)accepted, (uintmax_t)k->opts.messages,
		sec > 0 ? (double)accepted / sec : 0,
		(uintmax_t)(source_total_get(t, SOURCE_tempfailed) +
			    source_total_get(t, SOURCE_rejected)),
		(uintmax_t)(source_total_get(t, SOURCE_unknown) +
			    source_total_get(t, SOURCE_abandoned)),
		last ? "\n" : "");
}

static void wake_all(struct source *k)
{
	for (unsigned i = 0; i < k->opts.threads; i++)
		source_worker_wake(k->workers[i]);
}

/* Begin nothing new; the second time, leave at once. Returns when to leave in any case. */
static usec_t stop(struct source *k)
{
	if (atomic_load(&k->total.stopping))
		atomic_store(&k->total.aborting, true);
	atomic_store(&k->total.stopping, true);
	wake_all(k);
	return clock_now() + k->opts.grace_usec;
}

static usec_t earlier(usec_t a, usec_t b)
{
	return a < b ? a : b;
}

static void take_done(struct source *k)
{
	uint64_t n;

	if (read(k->shared.done_fd, &n, sizeof(n)) == sizeof(n))
		k->running -= (unsigned)n;
	if (atomic_load(&k->total.fatal)) /* one worker found no server: the others need not look
					     for it */
		wake_all(k);
}

static bool take_signal(struct source *k)
{
	struct signalfd_siginfo si;

	if (read(k->signal_fd, &si, sizeof(si)) != sizeof(si))
		return false;
	k->interrupted = true;
	return true;
}

static void wait_for_end(struct source *k)
{
	bool counter = k->opts.counter || (isatty(STDERR_FILENO) && !k->opts.quiet);
	usec_t end = k->opts.time_usec ? k->total.begin_usec + k->opts.time_usec : INT64_MAX;
	struct pollfd fds[] = { { .fd = k->signal_fd, .events = POLLIN },
				{ .fd = k->shared.done_fd, .events = POLLIN } };

	while (k->running) {
		usec_t now = clock_now();
		usec_t until = counter ? earlier(end, now + COUNTER_USEC) : end;
		usec_t left = until > now ? until - now : 0;
		int msec = until == INT64_MAX ? -1 : (int)earlier((left + 999) / 1000, 1000000);
		if (poll(fds, 2, msec) < 0 && errno != EINTR)
			cli_die(EX_OSERR, "poll: %s", strerror(errno));
		if (fds[1].revents)
			take_done(k);
		if (fds[0].revents && take_signal(k))
			end = stop(k);
		if (clock_now() >= end) {
			k->time_over = true;
			end = stop(k);
		}
		if (counter)
			show_counter(k, false);
	}
	k->total.end_usec = clock_now();
	if (counter)
		show_counter(k, true);
}

static void start(struct source *k)
{
	unsigned n = k->opts.threads;

	k->workers = calloc(n, sizeof(struct source_worker *));
	k->shared = (struct source_shared){ .opts = &k->opts,
					    .text = &k->text,
					    .total = &k->total,
					    .acked_fd = -1,
					    .done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	if (!k->workers || k->shared.done_fd < 0)
		cli_die(EX_OSERR, "start-up: %s", strerror(errno));
	if (k->opts.acked) {
		k->shared.acked_fd =
			open(k->opts.acked, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (k->shared.acked_fd < 0)
			cli_die(EX_CANTCREAT, "--acked %s: %s", k->opts.acked, strerror(errno));
	}
	for (unsigned i = 0; i < n; i++) {
		unsigned share = k->opts.sessions / n + (i < k->opts.sessions % n);
		k->workers[i] = source_worker_start(&k->shared, i, share);
		if (!k->workers[i])
			cli_die(EX_OSERR, "thread: %s", strerror(errno));
		k->running++;
	}
}

static void report(const struct source *k)
{
	struct outbuf b = { 0 };

	if (k->opts.json) {
		source_total_json(&k->total, &b);
		int rc = cli_write_file(k->opts.json, b.p, b.n);
		if (rc)
			cli_die(EX_CANTCREAT, "--json %s: %s", k->opts.json, strerror(-rc));
		b.n = 0;
	}
	if (k->opts.json_stdout)
		source_total_json(&k->total, &b);
	else if (!k->opts.quiet)
		source_total_text(&k->total, &b);
	if (b.n)
		fwrite(b.p, 1, b.n, stdout);
	outbuf_free(&b);
}

static int exit_status(const struct source *k)
{
	const struct source_total *t = &k->total;
	uint64_t accepted = source_total_get(t, SOURCE_accepted);

	if (atomic_load(&t->fatal)) {
		cli_warn("no service at %s%s%s", k->opts.server.text,
			 t->counts[0].error_n ? ": " : "",
			 t->counts[0].error_n ? t->counts[0].error[0] : "");
		return EX_UNAVAILABLE;
	}
	if (k->opts.messages && accepted >= k->opts.messages)
		return EX_OK;
	if (k->opts.tolerant)
		return k->interrupted || k->time_over ? EX_OK : EX_TEMPFAIL;
	if (k->opts.messages == 0 && accepted == source_total_get(t, SOURCE_attempted))
		return EX_OK;
	return source_total_get(t, SOURCE_rejected) ? EX_DATAERR : EX_TEMPFAIL;
}

int main(int argc, char **argv)
{
	static struct source k;
	sigset_t set;

	cli_program("smtp-source");
	source_opts_parse(&k.opts, argc, argv);
	if (cli_raise_files() < k.opts.sessions + SPARE_FILES)
		cli_die(EX_USAGE, "-s: the limit of open files is too low for %u sessions",
			k.opts.sessions);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	k.signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (k.signal_fd < 0)
		cli_die(EX_OSERR, "signalfd: %s", strerror(errno));
	int rc = source_text_init(&k.text, &k.opts);
	if (rc)
		cli_die(EX_NOINPUT, "-F %s: %s", k.opts.file, strerror(-rc));
	if (source_total_init(&k.total, &k.opts))
		cli_die(EX_OSERR, "out of memory");
	start(&k);
	wait_for_end(&k);
	for (unsigned i = 0; i < k.opts.threads; i++)
		source_worker_join(k.workers[i]);
	report(&k);
	int status = exit_status(&k);
	free(k.workers);
	source_total_free(&k.total);
	source_text_free(&k.text);
	close(k.shared.done_fd);
	close(k.signal_fd);
	if (k.shared.acked_fd >= 0)
		close(k.shared.acked_fd);
	return status;
}
