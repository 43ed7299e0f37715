#include "core/conf_number.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include "core/span.h"

struct unit {
	const char *name;
	int64_t value;
};

/* Longer names first where one begins with another. */
static const struct unit time_units[] = {
	{ "us", 1 },
	{ "ms", 1000 },
	{ "s", 1000000 },
	{ "m", 60 * INT64_C(1000000) },
	{ "h", 3600 * INT64_C(1000000) },
	{ "d", 86400 * INT64_C(1000000) },
	{ "w", 604800 * INT64_C(1000000) },
	{ NULL, 0 },
};
static const struct unit size_units[] = {
	{ "KB", INT64_C(1) << 10 },
	{ "MB", INT64_C(1) << 20 },
	{ "GB", INT64_C(1) << 30 },
	{ "B", 1 },
	{ NULL, 0 },
};

static int digit(char c)
{
	char l = ascii_lower(c);

	if (ascii_isdigit(c))
		return c - '0';
	return l >= 'a' && l <= 'f' ? l - 'a' + 10 : 99;
}

/* Moves *s behind the number. */
static int unsigned_number(const char **s, int64_t *out)
{
	const char *p = *s;
	int base = 10;
	int64_t n = 0;
	int rc = 0;

	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X') && digit(p[2]) < 16) {
		base = 16;
		p += 2;
	} else if (p[0] == '0' && ascii_isdigit(p[1])) {
		base = 8;
	}
	if (digit(*p) >= base)
		return -EINVAL;
	for (; digit(*p) < base; p++) {
		if (__builtin_mul_overflow(n, base, &n) || __builtin_add_overflow(n, digit(*p), &n))
			rc = -ERANGE;
	}
	*s = p;
	*out = n;
	return ascii_isdigit(*p) ? -EINVAL : rc; /* 08 */
}

int conf_number_int(const char *s, int64_t *out)
{
	bool minus = *s == '-';
	int64_t n;

	s += minus;
	int rc = unsigned_number(&s, &n);
	if (rc == -EINVAL || *s)
		return -EINVAL;
	if (!rc)
		*out = minus ? -n : n;
	return rc;
}

/* Behind the point: up to six digits, as millionths. */
static int fraction(const char **s, int64_t *millionths)
{
	int64_t scale = 100000;
	const char *p = *s;

	*millionths = 0;
	if (!ascii_isdigit(*p))
		return -EINVAL;
	for (; ascii_isdigit(*p); p++, scale /= 10) {
		if (!scale)
			return -EINVAL;
		*millionths += scale * (*p - '0');
	}
	*s = p;
	return 0;
}

/* The unit at *s, which must not be followed by another letter; NULL: none. */
static const struct unit *unit_at(const char **s, const struct unit *units)
{
	for (const struct unit *u = units; u->name; u++) {
		size_t n = strlen(u->name);

		if (!span_caseeq(span_of(u->name, n), span_of(*s, strnlen(*s, n))))
			continue;
		if (ascii_isalnum((*s)[n]) && !ascii_isdigit((*s)[n]))
			continue;
		*s += n;
		return u;
	}
	return NULL;
}

static const char *skip_blanks(const char *s)
{
	while (*s == ' ' || *s == '\t')
		s++;
	return s;
}

/* One number with its unit; *plain is set when it has none. */
static int part(const char **s, const struct unit *units, int64_t plain_value, bool fractions,
		bool *plain, int64_t *out)
{
	int64_t millionths = 0;
	bool decimal = ascii_isdigit(**s) && !((*s)[0] == '0' && ascii_isalnum((*s)[1]));
	int rc = unsigned_number(s, out);

	if (rc == -EINVAL)
		return rc;
	if (fractions && decimal && **s == '.') {
		++*s;
		if (fraction(s, &millionths))
			return -EINVAL;
	}
	*s = skip_blanks(*s);
	const struct unit *u = unit_at(s, units);
	int64_t value = u ? u->value : plain_value;
	*plain = !u;
	/* units are microseconds, or whole multiples of a second */
	if (value < 1000000 && millionths * value % 1000000)
		return -EINVAL;
	int64_t more =
		value < 1000000 ? millionths * value / 1000000 : value / 1000000 * millionths;
	if (__builtin_mul_overflow(*out, value, out) || __builtin_add_overflow(*out, more, out))
		rc = -ERANGE;
	return rc;
}

static int sequence(const char *s, const struct unit *units, int64_t plain_value, bool fractions,
		    int64_t *out)
{
	int64_t sum = 0;
	int64_t n = 0;
	unsigned parts = 0;
	bool plain = false;
	int rc = 0;

	s = skip_blanks(s);
	do {
		int one = part(&s, units, plain_value, fractions, &plain, &n);

		if (one == -EINVAL || (plain && (parts || *s)))
			return -EINVAL;
		if (one || __builtin_add_overflow(sum, n, &sum))
			rc = -ERANGE;
		parts++;
		s = skip_blanks(s);
	} while (*s);
	if (!rc)
		*out = sum;
	return rc;
}

int conf_number_size(const char *s, int64_t plain, int64_t *bytes)
{
	return sequence(s, size_units, plain, false, bytes);
}

int conf_number_time(const char *s, int64_t plain, int64_t *usec)
{
	return sequence(s, time_units, plain, true, usec);
}

const char *conf_number_size_text(uint64_t bytes, char *dst)
{
	static const char *const names[] = { "B", "KB", "MB", "GB" };
	unsigned i = 0;

	while (i < 3 && bytes && bytes % 1024 == 0) {
		bytes /= 1024;
		i++;
	}
	if (bytes)
		snprintf(dst, CONF_NUMBER_TEXT, "%" PRIu64 "%s", bytes, names[i]);
	else
		snprintf(dst, CONF_NUMBER_TEXT, "0");
	return dst;
}

const char *conf_number_time_text(int64_t usec, char *dst)
{
	static const struct unit order[] = {
		{ "d", 86400 * INT64_C(1000000) },
		{ "h", 3600 * INT64_C(1000000) },
		{ "m", 60 * INT64_C(1000000) },
		{ "s", 1000000 },
		{ "ms", 1000 },
		{ "us", 1 },
	};
	int n = 0;

	snprintf(dst, CONF_NUMBER_TEXT, "0");
	for (size_t i = 0; usec > 0 && i < sizeof order / sizeof *order; i++) {
		if (usec < order[i].value)
			continue;
		n += snprintf(dst + n, (size_t)(CONF_NUMBER_TEXT - n), "%s%" PRId64 "%s",
			      n ? " " : "", usec / order[i].value, order[i].name);
		usec %= order[i].value;
	}
	return dst;
}
