#include "core/log.h"

#include "core/clock.h"
#include "core/thread.h"
#include "tests/tap.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

static char path[300];
static int real_stderr;
static char text[4 << 20];

/* From here on the log goes to an empty file. */
static void begin(const struct log_setup *s)
{
	snprintf(path, sizeof path, "%s/log", tap_tmpdir());
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);

	dup2(fd, STDERR_FILENO);
	close(fd);
	log_open(s);
}

static size_t content(void)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, text, sizeof text - 1);

	close(fd);
	text[n > 0 ? n : 0] = 0;
	return n > 0 ? (size_t)n : 0;
}

/* Ends the log and takes what was written. */
static size_t end(void)
{
	log_close();
	dup2(real_stderr, STDERR_FILENO);
	return content();
}

static void test_encode(void)
{
	static const struct {
		const char *in;
		size_t n;
		const char *out;
	} t[] = {
		{ "550 5.7.1 no, not now, 99% usage", 32,
		  "550 5.7.1 no%2C not now%2C 99%25 usage" },
		{ "", 0, "" },
		{ "a\0b", 3, "a%00b" },
		{ "\r\n\t\x1b[0m\x7f", 8, "%0D%0A%09%1B[0m%7F" },
		{ "gr\xc3\xbc\xc3\x9f", 6, "gr%C3%BC%C3%9F" },
		{ "\xff~ }", 4, "%FF~ }" },
	};
	char got[100], small[6];

	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		size_t n = log_encode(span_of(t[i].in, t[i].n), got, sizeof got);

		is_str(got, t[i].out, "encoded");
		is_int((int64_t)n, (int64_t)strlen(t[i].out), "its length");
	}
	is_int((int64_t)log_encode(SPAN("abcdefgh"), small, sizeof small), 5, "a short buffer");
	is_str(small, "abcde", "is filled");
	is_int((int64_t)log_encode(SPAN("abc,"), small, sizeof small), 3,
	       "a sequence that does not fit");
	is_str(small, "abc", "is not begun");
	log_encode(SPAN("ab,"), small, sizeof small);
	is_str(small, "ab%2C", "one that just fits is there");
	ok(log_encode(SPAN("x"), small, 1) == 0 && !small[0], "room for nothing");
}

/* "2026-11-22T13:00:56.123456+0000" */
static bool is_time(const char *p)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddddd+dddd";

	for (size_t i = 0; form[i]; i++) {
		bool fits = form[i] == 'd'   ? isdigit((unsigned char)p[i])
			    : form[i] == '+' ? p[i] == '+' || p[i] == '-'
					     : p[i] == form[i];

		if (!fits)
			return false;
	}
	return true;
}

enum { TIME_BYTES = 31 };

static void all_fields(void)
{
	struct log_line l;
	struct addr ip;

	addr_parse(SPAN("2001:db8::1"), &ip);
	log_begin(&l, LOG_LV_MAIL, LOG_SEV_WARN);
	log_id(&l, "ss_sess", 0x407CE49200);
	log_addr(&l, "mail", SPAN(""));
	log_addr(&l, "rcpt", SPAN("a,b@\xc3\xa4.example"));
	log_str(&l, "reply", SPAN("550 \"no\\\" way \xff\xc3\n"));
	log_word(&l, "where", "final_dot");
	log_int(&l, "stat", -42);
	log_ip(&l, "client", &ip);
	log_errno(&l, -ENOENT);
	log_end(&l);
	log_begin(&l, LOG_LV_MAIL, LOG_SEV_NONE);
	log_str(&l, "empty", SPAN(""));
	log_str(&l, "blank", SPAN(" "));
	log_int(&l, "last", 0);
	log_end(&l);
	log_event(LOG_LV_ERROR, LOG_SEV_CRIT, "here", "count=%d, path=%s", 3, "/a b\n");
}

/* Line `n` of text without its time; NULL: not there or without a time. */
static const char *line_of(unsigned n, size_t skip_bytes)
{
	static char line[20000];
	const char *p = text;

	for (; n && p; n--)
		p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL;
	if (!p || !*p)
		return NULL;
	size_t len = strcspn(p, "\n");
	snprintf(line, sizeof line, "%.*s", (int)len, p);
	return len > skip_bytes ? line + skip_bytes : NULL;
}

static void test_text(void)
{
	begin(&(struct log_setup){ .level = 9 });
	all_fields();
	end();
	ok(is_time(text) && text[TIME_BYTES] == ' ', "a line begins with the time");
	is_str(line_of(0, TIME_BYTES + 1),
	       "sev=WARN, ss_sess=S00000000407CE49200, mail=<>, rcpt=<a%2Cb@%C3%A4.example>, "
	       "reply=550 \"no\\\" way %FF%C3%0A, where=final_dot, stat=-42, client=2001:db8::1, errno=ENOENT, "
	       "error=No such file or directory",
	       "all kinds of fields");
	is_str(line_of(1, TIME_BYTES + 1), "empty=, blank= , last=0", "empty and blank values");
	is_str(line_of(2, TIME_BYTES + 1), "sev=CRIT, func=here, count=3, path=/a b%0A",
	       "an event");
	ok(!line_of(3, 0), "that is all");
}

static void test_json(void)
{
	begin(&(struct log_setup){ .level = 9, .json = true });
	all_fields();
	end();
	ok(!strncmp(text, "{\"time\":\"", 9) && is_time(text + 9),
	   "an object begins with the time");
	is_str(line_of(0, 9 + TIME_BYTES),
	       "\",\"sev\":\"WARN\",\"ss_sess\":\"S00000000407CE49200\",\"mail\":\"<>\",\"rcpt\":\"<a,b@\xc3\xa4.example>\","
	       "\"reply\":\"550 \\\"no\\\\\\\" way \\u00ff\\u00c3\\u000a\",\"where\":\"final_dot\",\"stat\":-42,"
	       "\"client\":\"2001:db8::1\",\"errno\":\"ENOENT\",\"error\":\"No such file or directory\"}",
	       "all kinds of fields");
	is_str(line_of(1, 9 + TIME_BYTES), "\",\"empty\":\"\",\"blank\":\" \",\"last\":0}",
	       "empty and blank values");
	is_str(line_of(2, 9 + TIME_BYTES),
	       "\",\"sev\":\"CRIT\",\"func\":\"here\",\"text\":\"count=3, path=/a b\\u000a\"}",
	       "an event");
}

static void test_utf8(void)
{
	static const struct {
		const char *in, *out;
	} t[] = {
		{ "\xc2\x80 \xdf\xbf", "\xc2\x80 \xdf\xbf" },
		{ "\xe0\xa0\x80\xef\xbf\xbf", "\xe0\xa0\x80\xef\xbf\xbf" },
		{ "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf" },
		{ "\xc0\x80", "\\u00c0\\u0080" },
		{ "\xe0\x9f\xbf", "\\u00e0\\u009f\\u00bf" },
		{ "\xed\xa0\x80", "\\u00ed\\u00a0\\u0080" },
		{ "\xf4\x90\x80\x80", "\\u00f4\\u0090\\u0080\\u0080" },
		{ "\xf5", "\\u00f5" },
		{ "a\xe2\x82", "a\\u00e2\\u0082" },
		{ "\xe2\x82\x61", "\\u00e2\\u0082a" },
		{ "\x7f\x1f/", "\\u007f\\u001f/" },
	};
	enum { COUNT = sizeof t / sizeof t[0] };
	char want[200];

	begin(&(struct log_setup){ .level = 9, .json = true });
	for (size_t i = 0; i < COUNT; i++) {
		struct log_line l;

		log_begin(&l, LOG_LV_MAIL, LOG_SEV_NONE);
		log_str(&l, "x", span_str(t[i].in));
		log_end(&l);
	}
	end();
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(want, sizeof want, "\",\"x\":\"%s\"}", t[i].out);
		is_str(line_of(i, 9 + TIME_BYTES), want, "JSON text");
	}
}

static void test_level(void)
{
	begin(&(struct log_setup){ .level = 9 });
	log_event(LOG_LV_VERBOSE, LOG_SEV_NONE, "a", "no=1");
	log_set_level(12);
	log_event(LOG_LV_VERBOSE, LOG_SEV_NONE, "a", "yes=1");
	log_set_level(0);
	log_event(LOG_LV_ERROR, LOG_SEV_ALERT, "a", "no=2");
	struct log_line l;
	log_begin(&l, LOG_LV_ERROR, LOG_SEV_ALERT);
	log_str(&l, "x", SPAN("y"));
	log_ip(&l, "x", &(struct addr){ 0 });
	log_errno(&l, -EIO);
	log_end(&l);
	ok(!log_on(LOG_LV_ERROR), "level 0 is silence");
	log_set_level(9);
	end();
	is_str(line_of(0, TIME_BYTES + 1), "func=a, yes=1", "only what the level wants");
	ok(!line_of(1, 0), "nothing else");
}

/* Fields that together are longer than a line; `each`: bytes of one. */
static void test_long(bool json, size_t each, char c)
{
	static char big[20000];

	memset(big, c, sizeof big);
	begin(&(struct log_setup){ .level = 9, .json = json });
	struct log_line l;
	log_begin(&l, LOG_LV_MAIL, LOG_SEV_ERR);
	for (unsigned i = 0; i < 9000; i++) {
		log_addr(&l, "f", span_of(big, each));
		log_int(&l, "i", i);
	}
	log_end(&l);
	log_event(LOG_LV_MAIL, LOG_SEV_NONE, "next", "line");
	end();
	size_t n = strcspn(text, "\n");
	ok(n > 8000 && n < 8192, "fields of %zu bytes: cut at 8 KB, %zu", each, n);
	if (json)
		ok(text[n - 1] == '}' &&
			   (text[n - 2] == '"' || isdigit((unsigned char)text[n - 2])),
		   "and is still an object");
	else
		ok(is_time(text), "and is still a line");
	ok(line_of(1, 0) && strstr(line_of(1, 0), "next"), "the next line is whole");
}

/* So few that one buffer holds them all, should the threads come one after the other. */
enum { THREADS = 4, LINES = 500 };

static void many_lines(void *arg)
{
	for (unsigned i = 0; i < LINES; i++) {
		struct log_line l;

		log_begin(&l, LOG_LV_MAIL, LOG_SEV_NONE);
		log_int(&l, "thread", *(int *)arg);
		log_int(&l, "line", i);
		log_end(&l);
	}
}

static void test_threads(void)
{
	pthread_t t[THREADS];
	int id[2 * THREADS];
	unsigned next[2 * THREADS] = { 0 }, bad = 0, lines = 0;

	begin(&(struct log_setup){ .level = 9 });
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < THREADS; i++) {
			id[round * THREADS + i] = round * THREADS + i;
			thread_start(&t[i], "logs", THREAD_ANY_CPU, many_lines,
				     &id[round * THREADS + i]);
		}
		for (int i = 0; i < THREADS; i++)
			thread_join(t[i]);
	}
	end();
	for (char *p = text; *p; p = strchr(p, '\n') + 1, lines++) {
		unsigned thread, line;

		if (!is_time(p) ||
		    sscanf(p + TIME_BYTES, " thread=%u, line=%u\n", &thread, &line) != 2 ||
		    thread >= 2 * THREADS || next[thread]++ != line)
			bad++;
	}
	is_int(lines, 2 * THREADS * LINES,
	       "all lines of all threads are there, also of later ones");
	is_int(bad, 0, "whole, and in the order of their thread");
}

/* Waits until the log file has `what`: the log thread writes without being asked. */
static bool comes(const char *what)
{
	usec_t until = clock_now() + 20 * USEC_PER_SEC;

	while (clock_now() < until) {
		content();
		if (strstr(text, what))
			return true;
		usleep(5000);
	}
	return false;
}

static void test_flush_rewind(void)
{
	begin(&(struct log_setup){ .level = 9 });
	log_event(LOG_LV_MAIL, LOG_SEV_NONE, "a", "one");
	log_flush();
	content();
	ok(strstr(text, "func=a, one") != NULL, "after a flush it is written");
	log_event(LOG_LV_MAIL, LOG_SEV_NONE, "a", "two");
	ok(comes("func=a, two"), "without one it is written soon");
	log_rewind();
	log_event(LOG_LV_MAIL, LOG_SEV_NONE, "a", "three");
	log_flush();
	content();
	is_str(line_of(0, TIME_BYTES + 1), "func=a, three", "a rewound file begins again");
	ok(!line_of(1, 0), "with what came after");
	end();
	log_flush();
	ok(content() > 0, "a flush without a log thread returns");
}

static unsigned stuck_lines;
static uint64_t stuck_lost;

static void read_pipe(void *arg)
{
	FILE *f = fdopen(*(int *)arg, "r");
	char line[200];

	while (fgets(line, sizeof line, f)) {
		char *at = strstr(line, "func=log, lost=");

		if (at)
			stuck_lost += strtoull(at + 15, NULL, 10);
		else
			stuck_lines += strstr(line, "func=stuck, number=") != NULL;
	}
	fclose(f);
}

/* A full pipe, nobody reads: the caller goes on, later the reader learns how many lines are
 * missing. */
static void test_stuck(void)
{
	enum { MANY = 30000 };
	int p[2];
	pthread_t t;

	if (pipe(p))
		exit(99);
	begin(&(struct log_setup){ .level = 9 });
	dup2(p[1], STDERR_FILENO);
	close(p[1]);
	for (unsigned i = 0; i < MANY; i++)
		log_event(LOG_LV_MAIL, LOG_SEV_NONE, "stuck", "number=%u", i);
	ok(true, "%d lines into a full pipe: nothing blocks", MANY);
	thread_start(&t, "reader", THREAD_ANY_CPU, read_pipe, &p[0]);
	end();
	thread_join(t);
	ok(stuck_lost > 0 && stuck_lines + stuck_lost == MANY, "%u lines and %llu lost are all",
	   stuck_lines, (unsigned long long)stuck_lost);
}

static void test_full_disk(void)
{
	int full = open("/dev/full", O_WRONLY);

	if (full < 0) {
		skip("no /dev/full");
		return;
	}
	begin(&(struct log_setup){ .level = 9 });
	int file = dup(STDERR_FILENO);
	dup2(full, STDERR_FILENO);
	close(full);
	for (unsigned i = 0; i < 7; i++)
		log_event(LOG_LV_MAIL, LOG_SEV_NONE, "full", "number=%u", i);
	log_flush();
	dup2(file, STDERR_FILENO);
	close(file);
	log_event(LOG_LV_MAIL, LOG_SEV_NONE, "again", "number=8");
	log_flush();
	end();
	ok(strstr(text, "func=again, number=8") != NULL, "after a failed write it goes on");
	if (!ok(strstr(text, "sev=WARN, func=log, lost=7\n") != NULL, "and says what is missing"))
		diag("%s", text);
}

static void test_syslog(void)
{
	begin(&(struct log_setup){ .level = 9,
				   .syslog_ident = "smx-test",
				   .syslog_facility = LOG_MAIL,
				   .syslog_options = LOG_PERROR });
	log_event(LOG_LV_MAIL, LOG_SEV_ERR, "a", "one=%%1");
	log_event(LOG_LV_MAIL, LOG_SEV_NONE, "a", "two");
	end();
	is_str(text, "smx-test: sev=ERR, func=a, one=%1\nsmx-test: func=a, two\n",
	       "syslog(3) gets lines without the time");
	closelog();
}

/* Before any thread: what a program logged is written when it exits. */
static void test_exit(void)
{
	begin(&(struct log_setup){ .level = 9 });
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		log_event(LOG_LV_MAIL, LOG_SEV_NONE, "child", "last words");
		exit(0);
	}
	int status;
	waitpid(pid, &status, 0);
	end();
	is_str(line_of(0, TIME_BYTES + 1), "func=child, last words",
	       "exit() writes what is buffered");
}

int main(void)
{
	real_stderr = dup(STDERR_FILENO);
	tap_tmpdir();
	test_exit();
	test_encode();
	test_text();
	test_json();
	test_utf8();
	test_level();
	test_long(false, 10, 'x');
	test_long(false, 19000, ',');
	test_long(true, 10, 'x');
	test_long(true, 19000, '\xff');
	test_long(true, 7000, '"');
	for (size_t n = 8070; n < 8110; n++)
		test_long(n % 2, n, 'x');
	test_threads();
	test_flush_rewind();
	test_stuck();
	test_full_disk();
	test_syslog();
	return plan_done();
}
