#include "bench/msgid.h"
#include <errno.h>
#include <string.h>

static int run_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '.' || c == '_';
}

int msgid_check_run(const char *p, size_t n)
{
	if (n == 0 || n > MSGID_RUN_MAX)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (!run_char(p[i]))
			return -EINVAL;
	return 0;
}

int msgid_parse(const char *p, size_t n, struct msgid *id)
{
	const char *dash = memchr(p, '-', n);
	uint64_t v = 0;

	if (!dash || msgid_check_run(p, (size_t)(dash - p)))
		return -EINVAL;
	const char *d = dash + 1;
	size_t digits = n - (size_t)(d - p);
	if (digits == 0 || digits > 10 || *d == '0')
		return -EINVAL;
	for (size_t i = 0; i < digits; i++) {
		if (d[i] < '0' || d[i] > '9')
			return -EINVAL;
		v = v * 10 + (uint64_t)(d[i] - '0');
	}
	if (v > UINT32_MAX)
		return -EINVAL;
	id->run_n = (unsigned)(dash - p);
	memcpy(id->run, p, id->run_n);
	id->run[id->run_n] = '\0';
	id->number = (uint32_t)v;
	return 0;
}

uint64_t msgid_mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}
