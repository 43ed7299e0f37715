#include "core/conf_number.h"

#include <errno.h>
#include <string.h>
#include "tests/tap.h"

struct row {
	const char *text;
	int rc;
	int64_t value;
};

static const struct row ints[] = {
	{ "0", 0, 0 },
	{ "42", 0, 42 },
	{ "-7", 0, -7 },
	{ "0x1F", 0, 31 },
	{ "0Xff", 0, 255 },
	{ "010", 0, 8 },
	{ "0777", 0, 511 },
	{ "9223372036854775807", 0, INT64_MAX },
	{ "9223372036854775808", -ERANGE, 0 },
	{ "0xFFFFFFFFFFFFFFFFF", -ERANGE, 0 },
	{ "08", -EINVAL, 0 },
	{ "0129", -EINVAL, 0 },
	{ "0x", -EINVAL, 0 },
	{ "0xg", -EINVAL, 0 },
	{ "", -EINVAL, 0 },
	{ "-", -EINVAL, 0 },
	{ "--1", -EINVAL, 0 },
	{ "+1", -EINVAL, 0 },
	{ "1 2", -EINVAL, 0 },
	{ "12a", -EINVAL, 0 },
	{ "1.5", -EINVAL, 0 },
	{ " 1", -EINVAL, 0 },
};

#define S INT64_C(1000000)

/* plain number: seconds */
static const struct row times[] = {
	{ "0", 0, 0 },
	{ "5", 0, 5 * S },
	{ "5s", 0, 5 * S },
	{ "1h 5m 12s", 0, 3912 * S },
	{ "1h5m12s", 0, 3912 * S },
	{ "1H5M12S", 0, 3912 * S },
	{ "  1 h  5 m 12 s ", 0, 3912 * S },
	{ "5m3s", 0, 303 * S },
	{ "2w", 0, 1209600 * S },
	{ "1d", 0, 86400 * S },
	{ "5s 1h", 0, 3605 * S },
	{ "100ms", 0, 100000 },
	{ "7us", 0, 7 },
	{ "1s 1ms 1us", 0, 1001001 },
	{ "0.5s", 0, 500000 },
	{ "0.5", 0, 500000 },
	{ "1.25m", 0, 75 * S },
	{ "1.5h 30s", 0, 5430 * S },
	{ "0.001ms", 0, 1 },
	{ "0x10s", 0, 16 * S },
	{ "0x10", 0, 16 * S },
	{ "010m", 0, 480 * S },
	{ "0x1d", 0, 29 * S },
	{ "9223372036854s", 0, 9223372036854 * S },
	{ "9223372036855s", -ERANGE, 0 },
	{ "99999999999999999999", -ERANGE, 0 },
	{ "9223372036854s 1s", -ERANGE, 0 },
	{ "", -EINVAL, 0 },
	{ " ", -EINVAL, 0 },
	{ "s", -EINVAL, 0 },
	{ "1h 30", -EINVAL, 0 },
	{ "30 1h", -EINVAL, 0 },
	{ "1 2", -EINVAL, 0 },
	{ "1x", -EINVAL, 0 },
	{ "5min", -EINVAL, 0 },
	{ "1KB", -EINVAL, 0 },
	{ "-5s", -EINVAL, 0 },
	{ "1.s", -EINVAL, 0 },
	{ ".5s", -EINVAL, 0 },
	{ "0.1us", -EINVAL, 0 },
	{ "0.0001ms", -EINVAL, 0 },
	{ "0.1234567s", -EINVAL, 0 },
	{ "0x1.5s", -EINVAL, 0 },
	{ "08s", -EINVAL, 0 },
	{ "1h,5m", -EINVAL, 0 },
};

/* plain number: KB */
static const struct row sizes[] = {
	{ "0", 0, 0 },
	{ "5", 0, 5120 },
	{ "5B", 0, 5 },
	{ "100KB", 0, 102400 },
	{ "100 kb", 0, 102400 },
	{ "1MB", 0, 1048576 },
	{ "2Gb", 0, INT64_C(2147483648) },
	{ "1MB 1KB 1B", 0, 1049601 },
	{ "1MB1KB1B", 0, 1049601 },
	{ "0x10KB", 0, 16384 },
	{ "0x10B", 0, 0x10B * 1024 },
	{ "1K", -EINVAL, 0 },
	{ "1MBB", -EINVAL, 0 },
	{ "1.5MB", -EINVAL, 0 },
	{ "1TB", -EINVAL, 0 },
	{ "1s", -EINVAL, 0 },
	{ "MB", -EINVAL, 0 },
	{ "8589934592GB", -ERANGE, 0 },
	{ "8589934591GB 1GB", -ERANGE, 0 },
};

static int as_size(const char *s, int64_t *v)
{
	return conf_number_size(s, 1024, v);
}

static int as_time(const char *s, int64_t *v)
{
	return conf_number_time(s, S, v);
}

static void table(const char *what, const struct row *rows, size_t n,
		  int (*read)(const char *, int64_t *))
{
	for (size_t i = 0; i < n; i++) {
		int64_t v = -99;
		int rc = read(rows[i].text, &v);

		ok(rc == rows[i].rc && v == (rc ? -99 : rows[i].value), "%s '%s': %d, %lld", what,
		   rows[i].text, rc, (long long)v);
	}
}

static void texts(void)
{
	static const struct {
		int64_t v;
		const char *time;
	} rows[] = {
		{ 0, "0" },
		{ 1, "1us" },
		{ 1000, "1ms" },
		{ 1024, "1ms 24us" },
		{ 1048576, "1s 48ms 576us" },
		{ 3912 * S, "1h 5m 12s" },
		{ 86400 * S, "1d" },
	};
	char buf[CONF_NUMBER_TEXT];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		is_str(conf_number_time_text(rows[i].v, buf), rows[i].time, "text of a time");
		int64_t back = -1;
		ok(!conf_number_time(buf, S, &back) && back == rows[i].v, "read again: %s", buf);
		conf_number_size_text((uint64_t)rows[i].v, buf);
		ok(!conf_number_size(buf, 1, &back) && back == rows[i].v, "read again: %s", buf);
	}
	is_str(conf_number_size_text(1048576, buf), "1MB", "text of a size");
	is_str(conf_number_size_text(1000, buf), "1000B", "text of an odd size");
	is_str(conf_number_size_text(INT64_C(1) << 40, buf), "1024GB", "text of a large size");
}

int main(void)
{
	table("number", ints, sizeof ints / sizeof *ints, conf_number_int);
	table("time", times, sizeof times / sizeof *times, as_time);
	table("size", sizes, sizeof sizes / sizeof *sizes, as_size);
	texts();
	return plan_done();
}
