#include "bench/cli.h"
#include "core/span.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

static const char *program = "smtp-bench";

void cli_program(const char *name)
{
	program = name;
}

void cli_die(int exit_code, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", program);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(exit_code);
}

void cli_warn(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", program);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static uint64_t multiplier(char c)
{
	switch (c) {
	case 'k':
		return 1000;
	case 'm':
		return 1000000;
	case 'g':
		return 1000000000;
	default:
		return 0;
	}
}

uint64_t cli_count(const char *option, const char *text, uint64_t min, uint64_t max)
{
	char *end;
	uint64_t v;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || errno)
		cli_die(EX_USAGE, "%s: expected a number, found \"%s\"", option, text);
	if (*end) {
		uint64_t by = multiplier(ascii_lower(*end));
		if (end[1] || by == 0)
			cli_die(EX_USAGE, "%s: expected a number, found \"%s\"", option, text);
		if (__builtin_mul_overflow(v, by, &v))
			v = UINT64_MAX;
	}
	if (v < min || v > max)
		cli_die(EX_USAGE, "%s: expected %llu to %llu, found \"%s\"", option,
			(unsigned long long)min, (unsigned long long)max, text);
	return v;
}

int cli_parse_time(const char *text, size_t n, usec_t *out)
{
	static const struct {
		const char *name;
		double usec;
	} units[] = { { "", 1e6 },  { "us", 1 },  { "ms", 1e3 },
		      { "s", 1e6 }, { "m", 6e7 }, { "h", 3.6e9 } };
	char buf[32], *end;

	if (n == 0 || n >= sizeof(buf) || !ascii_isdigit(*text))
		return -EINVAL;
	memcpy(buf, text, n);
	buf[n] = '\0';
	double v = strtod(buf, &end);
	if (end != buf + strspn(buf, "0123456789."))
		return -EINVAL; /* hexadecimal, exponents */
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(end, units[i].name) == 0 && v * units[i].usec < 1e15) {
			*out = (usec_t)(v * units[i].usec + 0.5);
			return 0;
		}
	return -EINVAL;
}

usec_t cli_time(const char *option, const char *text)
{
	usec_t t;

	if (cli_parse_time(text, strlen(text), &t))
		cli_die(EX_USAGE, "%s: expected a time such as 100ms, 5s or 2m, found \"%s\"",
			option, text);
	return t;
}

double cli_rate(const char *option, const char *text)
{
	char *end;
	double v = strtod(text, &end);

	if (strcmp(end, "/m") == 0)
		v /= 60;
	else if (*end && strcmp(end, "/s") != 0)
		v = 0;
	if (!(v > 0 && v <= 1e7))
		cli_die(EX_USAGE, "%s: expected a rate such as 100/s or 30/m, found \"%s\"", option,
			text);
	return v;
}

uint64_t cli_raise_files(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r))
		return 1024;
	if (r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
		getrlimit(RLIMIT_NOFILE, &r);
	}
	return r.rlim_cur;
}

int cli_write_file(const char *path, const char *p, size_t n)
{
	char tmp[4096];
	int rc = 0;

	if ((size_t)snprintf(tmp, sizeof(tmp), "%s.tmp", path) >= sizeof(tmp))
		return -ENAMETOOLONG;
	int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	while (n && rc == 0) {
		ssize_t w = write(fd, p, n);
		if (w < 0) {
			rc = -errno;
		} else {
			p += w;
			n -= (size_t)w;
		}
	}
	if (close(fd) && rc == 0)
		rc = -errno;
	if (rc == 0 && rename(tmp, path))
		rc = -errno;
	if (rc)
		unlink(tmp);
	return rc;
}
