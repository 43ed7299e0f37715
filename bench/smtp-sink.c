/*
 * smtp-sink - accepts mail over SMTP or LMTP, counts it, finds what was lost or came twice.
 *
 * Threads: main() waits for signals, control connections and deadlines; the workers do the mail.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>
#include "bench/cli.h"
#include "bench/sink_worker.h"

enum { COUNTER_USEC = 500000 };

struct sink {
	struct sink_opts opts;
	struct sink_total total;
	struct sink_shared shared;
	struct sink_worker **workers;
	int control_fd; /* -1: none */
	int signal_fd;
	bool expected; /* what --expect wants is here */
};

static void listen_all(struct sink *k)
{
	struct outbuf ports = { 0 };

	for (unsigned i = 0; i < k->opts.listen_count; i++) {
		int fd = endpoint_listen(&k->opts.listen[i], k->opts.backlog, k->opts.device);
		if (fd < 0)
			cli_die(EX_UNAVAILABLE, "%s: %s", k->opts.listen[i].text, strerror(-fd));
		k->shared.listen_fds[i] = fd;
		if (!endpoint_is_unix(&k->opts.listen[i]))
			outbuf_fmt(&ports, "%u\n", endpoint_port(fd));
	}
	int rc = k->opts.port_file ? cli_write_file(k->opts.port_file, ports.p, ports.n) : 0;
	if (rc)
		cli_die(EX_CANTCREAT, "%s: %s", k->opts.port_file, strerror(-rc));
	outbuf_free(&ports);
}

static int listen_control(const char *path)
{
	struct endpoint e;
	char text[256], why[256];

	if ((size_t)snprintf(text, sizeof(text), "unix:%s", path) >= sizeof(text) ||
	    endpoint_parse(text, AF_UNSPEC, true, &e, why, sizeof(why)))
		cli_die(EX_USAGE, "--control: the path is too long");
	int fd = endpoint_listen(&e, 64, NULL);
	if (fd < 0)
		cli_die(EX_CANTCREAT, "--control %s: %s", path, strerror(-fd));
	return fd;
}

/* One JSON object for everybody who connects. The answer fits into the socket's buffer; if not, it
 * is cut. */
static void answer_control(struct sink *k)
{
	struct outbuf b = { 0 };
	int fd;

	while ((fd = accept4(k->control_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		b.n = 0;
		sink_total_json(&k->total, &b);
		if (send(fd, b.p, b.n, MSG_NOSIGNAL) != (ssize_t)b.n)
			cli_warn("control: answer was cut");
		close(fd);
	}
	outbuf_free(&b);
}

static void print_json(const struct sink *k)
{
	struct outbuf b = { 0 };

	sink_total_json(&k->total, &b);
	fwrite(b.p, 1, b.n, stdout);
	fflush(stdout);
	outbuf_free(&b);
}

static void toggle_limit(struct sink *k)
{
	bool lifted = atomic_load(&k->shared.limit_slot) == SINK_LIMIT_LIFTED;

	atomic_store(&k->shared.limit_slot, lifted ? 0 : SINK_LIMIT_LIFTED);
}

/* Returns false when the signal says to end. */
static bool take_signal(struct sink *k)
{
	struct signalfd_siginfo si;

	if (read(k->signal_fd, &si, sizeof(si)) != sizeof(si))
		return true;
	if (si.ssi_signo == SIGUSR1)
		print_json(k);
	else if (si.ssi_signo == SIGUSR2)
		toggle_limit(k);
	else
		return false;
	return true;
}

static void show_counter(const struct sink *k)
{
	fprintf(stderr, "\r%ju messages, %ju open connections, %ju duplicates ",
		(uintmax_t)sink_total_get(&k->total, SINK_messages),
		(uintmax_t)(sink_total_get(&k->total, SINK_sessions_total) -
			    sink_total_get(&k->total, SINK_sessions_closed)),
		(uintmax_t)sink_total_get(&k->total, SINK_duplicates));
}

static usec_t earlier(usec_t a, usec_t b)
{
	return a < b ? a : b;
}

/* Until a signal, the time-out, or the expected number and --linger. */
static void wait_for_end(struct sink *k)
{
	usec_t begin = clock_now();
	usec_t end = k->opts.timeout_usec ? begin + k->opts.timeout_usec : INT64_MAX;
	struct pollfd fds[] = { { .fd = k->signal_fd, .events = POLLIN },
				{ .fd = k->total.reached_fd, .events = POLLIN },
				{ .fd = k->control_fd, .events = POLLIN } };

	for (usec_t now = begin; now < end; now = clock_now()) {
		usec_t until = k->opts.counter ? earlier(end, now + COUNTER_USEC) : end;
		int msec =
			until == INT64_MAX ? -1 : (int)earlier((until - now + 999) / 1000, 1000000);
		if (poll(fds, 3, msec) < 0 && errno != EINTR)
			cli_die(EX_OSERR, "poll: %s", strerror(errno));
		if (fds[0].revents && !take_signal(k))
			break;
		if (fds[2].revents)
			answer_control(k);
		if (fds[1].revents && !k->expected) {
			k->expected = true;
			fds[1].fd = -1;
			end = earlier(end, clock_now() + k->opts.linger_usec);
		}
		if (k->opts.counter)
			show_counter(k);
	}
	if (k->opts.counter)
		fputc('\n', stderr);
}

static void start_workers(struct sink *k)
{
	k->workers = calloc(k->opts.threads, sizeof(struct sink_worker *));
	if (!k->workers)
		cli_die(EX_OSERR, "out of memory");
	for (unsigned i = 0; i < k->opts.threads; i++) {
		k->workers[i] = sink_worker_start(&k->shared, i);
		if (!k->workers[i])
			cli_die(EX_OSERR, "thread: %s", strerror(errno));
	}
}

static void stop_workers(struct sink *k)
{
	for (unsigned i = 0; i < k->opts.threads; i++)
		sink_worker_stop(k->workers[i]);
	for (unsigned i = 0; i < k->opts.threads; i++)
		sink_worker_join(k->workers[i]);
	free(k->workers);
	for (unsigned i = 0; i < k->opts.listen_count; i++) {
		close(k->shared.listen_fds[i]);
		if (endpoint_is_unix(&k->opts.listen[i]))
			unlink(((struct sockaddr_un *)&k->opts.listen[i].sa)->sun_path);
	}
	if (k->control_fd >= 0) {
		close(k->control_fd);
		unlink(k->opts.control);
	}
}

/* Writes the results; returns the exit status. */
static int report(struct sink *k)
{
	struct outbuf b = { 0 };
	int rc = k->opts.acked ? sink_total_compare(&k->total, k->opts.acked) : 0;

	if (rc)
		cli_die(EX_NOINPUT, "--acked %s: %s", k->opts.acked, strerror(-rc));
	if (k->opts.json) {
		sink_total_json(&k->total, &b);
		rc = cli_write_file(k->opts.json, b.p, b.n);
		if (rc)
			cli_die(EX_CANTCREAT, "--json %s: %s", k->opts.json, strerror(-rc));
	}
	if (k->opts.json_stdout) {
		print_json(k);
	} else if (!k->opts.quiet) {
		b.n = 0;
		sink_total_text(&k->total, &b);
		fwrite(b.p, 1, b.n, stdout);
	}
	outbuf_free(&b);
	if ((k->opts.expect || k->opts.expect_messages) && !k->expected)
		return EX_UNAVAILABLE;
	if (sink_total_get(&k->total, SINK_corrupt) || (k->opts.acked && k->total.acked_lost) ||
	    k->total.acked_lost_recipients)
		return EX_DATAERR;
	if (k->opts.no_duplicates && (sink_total_get(&k->total, SINK_duplicates) ||
				      sink_total_get(&k->total, SINK_duplicate_recipients)))
		return EX_DATAERR;
	return EX_OK;
}

int main(int argc, char **argv)
{
	static struct sink k = { .control_fd = -1 };
	sigset_t set;

	cli_program("smtp-sink");
	sink_opts_parse(&k.opts, argc, argv);
	cli_raise_files();
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	k.signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (k.signal_fd < 0 || sink_total_init(&k.total, k.opts.threads, k.opts.pair_max))
		cli_die(EX_OSERR, "start-up: %s", strerror(errno));
	k.total.expect = k.opts.expect;
	k.total.expect_messages = k.opts.expect_messages;
	k.shared.opts = &k.opts;
	k.shared.total = &k.total;
	if (k.opts.control)
		k.control_fd = listen_control(k.opts.control);
	listen_all(&k);
	start_workers(&k);
	wait_for_end(&k);
	stop_workers(&k);
	int status = report(&k);
	sink_total_free(&k.total);
	close(k.signal_fd);
	return status;
}
