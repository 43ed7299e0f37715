#include "core/conf_value.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "core/conf_field.h"
#include "core/conf_near.h"
#include "core/conf_number.h"
#include "core/err.h"

/* ---- what was expected */

static int64_t unit_of(const struct conf_option *o)
{
	return o->type == CONF_SIZE_KB ? 1024 : o->type == CONF_SECONDS ? 1000000 : 1;
}

/* A bound of the row in the unit of the field. */
static int64_t bound(const struct conf_option *o, int64_t n)
{
	int64_t v;

	if (__builtin_mul_overflow(n, unit_of(o), &v))
		return n < 0 ? INT64_MIN : INT64_MAX;
	return v;
}

static const char *number_text(const struct conf_option *o, int64_t v, char *dst)
{
	switch (o->type) {
	case CONF_SIZE:
	case CONF_SIZE_KB:
		return conf_number_size_text((uint64_t)v, dst);
	case CONF_SECONDS:
	case CONF_USEC:
		return conf_number_time_text(v, dst);
	default:
		snprintf(dst, CONF_NUMBER_TEXT, "%" PRId64, v);
		return dst;
	}
}

static const char *expected_number(struct conf_report *r, const struct conf_option *o)
{
	const char *what = o->type == CONF_SIZE || o->type == CONF_SIZE_KB   ? "size"
			   : o->type == CONF_SECONDS || o->type == CONF_USEC ? "time"
									     : "number";
	int64_t max = bound(o, o->max);
	char lo[CONF_NUMBER_TEXT];
	char hi[CONF_NUMBER_TEXT];

	number_text(o, bound(o, o->min), lo);
	number_text(o, max, hi);
	if (max == INT64_MAX)
		return conf_report_printf(r, "a %s of at least %s", what, lo);
	if (!strcmp(lo, hi))
		return conf_report_printf(r, "%s", lo);
	return conf_report_printf(r, "a %s from %s to %s", what, lo, hi);
}

static const char *expected_string(struct conf_report *r, const struct conf_option *o,
				   const char *what)
{
	if (!o->max)
		return what;
	return conf_report_printf(r, "%s of %" PRId64 " to %" PRId64 " bytes", what, o->min,
				  o->max);
}

static const char *expected_words(struct conf_report *r, const struct conf_option *o)
{
	const char *s = o->type == CONF_ENUM ? "one of " : "flags out of ";

	if (!o->values[0].name)
		return "no flags";
	for (const struct conf_value *v = o->values; v->name; v++)
		s = conf_report_printf(r, "%s%s%s", s, v == o->values ? "" : ", ", v->name);
	return s;
}

const char *conf_value_expected(struct conf_report *r, const struct conf_option *o)
{
	switch (o->type) {
	case CONF_BOOL:
		return "true, on, 1, false, off or 0";
	case CONF_CHAR:
		return "one character";
	case CONF_STRING:
		return expected_string(r, o, "a string");
	case CONF_FILE:
		return expected_string(r, o, "a file name");
	case CONF_PATH:
		return expected_string(r, o, "a path");
	case CONF_DIR:
		return expected_string(r, o, "a directory");
	case CONF_USER:
		return "a user name or number";
	case CONF_GROUP:
		return "a group name or number";
	case CONF_ADDR:
		return "an IPv4 or IPv6 address";
	case CONF_LIST:
		if (o->max)
			return conf_report_printf(r, "a list of %" PRId64 " to %" PRId64 " values",
						  o->min, o->max);
		return "a list of values";
	case CONF_ENUM:
	case CONF_FLAGS:
		return expected_words(r, o);
	case CONF_SECTION:
		return "a section";
	default:
		return expected_number(r, o);
	}
}

/* ---- text to value */

static int wrong(const struct conf_value_job *job, struct conf_pos pos, const char *expected,
		 const char *found, const char *hint)
{
	conf_report_add(job->report, pos, false, job->name, "expected %s, found '%s'%s%s%s",
			expected, conf_report_quote(job->report, found), hint ? " (" : "",
			hint ? hint : "", hint ? ")" : "");
	return -EINVAL;
}

static int set_number(const struct conf_value_job *job, const struct conf_option *o,
		      const struct conf_tree_value *v, void *field)
{
	bool size = o->type == CONF_SIZE || o->type == CONF_SIZE_KB;
	bool time = o->type == CONF_SECONDS || o->type == CONF_USEC;
	const char *hint = NULL;
	int64_t n = 0;
	int rc;

	if (size)
		rc = conf_number_size(v->text, unit_of(o), &n);
	else if (time)
		rc = conf_number_time(v->text, unit_of(o), &n);
	else
		rc = conf_number_int(v->text, &n);
	if (rc || n < bound(o, o->min) || n > bound(o, o->max)) {
		if (rc == -EINVAL && v->text[0] == '0' && strspn(v->text, "0123456789") >= 2)
			hint = "a leading 0 makes it octal";
		else if (rc == -EINVAL && size && v->text[0] >= '0' && v->text[0] <= '9')
			hint = "units are B, KB, MB, GB";
		else if (rc == -EINVAL && time && v->text[0] >= '0' && v->text[0] <= '9')
			hint = "units are w, d, h, m, s, ms, us";
		return wrong(job, v->pos, conf_value_expected(job->report, o), v->text, hint);
	}
	if (o->type == CONF_COUNT)
		*(uint32_t *)field = (uint32_t)n;
	else if (size)
		*(uint64_t *)field = (uint64_t)n;
	else
		*(int64_t *)field = n;
	return 0;
}

static bool same(const char *a, const char *b)
{
	return span_caseeq(span_str(a), span_str(b));
}

static int set_bool(const struct conf_value_job *job, const struct conf_option *o,
		    const struct conf_tree_value *v, void *field)
{
	static const char *const words[] = { "false", "off", "0", "true", "on", "1" };

	for (unsigned i = 0; i < CONF_NELEM(words); i++) {
		if (same(v->text, words[i])) {
			*(bool *)field = i >= 3;
			return 0;
		}
	}
	return wrong(job, v->pos, conf_value_expected(job->report, o), v->text, NULL);
}

/* A name in /etc/passwd or /etc/group, or a number. */
static bool account_ok(const char *s)
{
	return *s && *s != '-' && strlen(s) <= 255 && !strpbrk(s, " \t\n:/,\"'\\");
}

static bool address_ok(const char *s)
{
	unsigned char buf[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, s, buf) == 1 || inet_pton(AF_INET6, s, buf) == 1;
}

static bool string_ok(const struct conf_option *o, const char *s)
{
	size_t n = strlen(s);

	switch (o->type) {
	case CONF_USER:
	case CONF_GROUP:
		return account_ok(s);
	case CONF_ADDR:
		return address_ok(s);
	case CONF_CHAR:
		return n == 1 && *s > 32;
	default:
		return n >= (size_t)o->min && (!o->max || n <= (size_t)o->max);
	}
}

static int set_string(const struct conf_value_job *job, const struct conf_option *o,
		      const struct conf_tree_value *v, void *field)
{
	if (v->words > 1)
		return wrong(job, v->pos, "one string in quotes", v->text, NULL);
	if (!string_ok(o, v->text))
		return wrong(job, v->pos, conf_value_expected(job->report, o), v->text, NULL);
	if (o->type == CONF_CHAR)
		*(char *)field = v->text[0];
	else if (o->type == CONF_FILE && v->text[0] && v->text[0] != '/')
		*(const char **)field =
			conf_report_printf(job->report, "%s%s", job->folder, v->text);
	else
		*(const char **)field = v->text;
	return 0;
}

static const struct conf_value *word_of(const struct conf_option *o, const char *text)
{
	for (const struct conf_value *w = o->values; w->name; w++) {
		if (same(w->name, text))
			return w;
	}
	return NULL;
}

static const char *negation(const char *text)
{
	static const char *const prefixes[] = { "not_", "dont_", "no_", "-", "!", "~" };

	for (unsigned i = 0; i < CONF_NELEM(prefixes); i++) {
		if (span_casestartswith(span_str(text), span_str(prefixes[i])))
			return text + strlen(prefixes[i]);
	}
	return NULL;
}

static int no_such_word(const struct conf_value_job *job, const struct conf_option *o,
			const struct conf_tree_value *v)
{
	const char *bare = o->type == CONF_FLAGS ? negation(v->text) : NULL;
	struct conf_near near = { .word = bare ? bare : v->text };
	const char *hint = NULL;

	for (const struct conf_value *w = o->values; w->name; w++)
		conf_near_try(&near, w->name);
	if (near.best)
		hint = conf_report_printf(job->report, "did you mean %.*s%s?",
					  bare ? (int)(bare - v->text) : 0, v->text, near.best);
	return wrong(job, v->pos, conf_value_expected(job->report, o), v->text, hint);
}

static void warn_later(const struct conf_value_job *job, const struct conf_tree_value *v,
		       const struct conf_value *w)
{
	if (w->later)
		conf_report_add(job->report, v->pos, true, job->name,
				"%s: not available in this version, ignored", w->name);
}

static int set_enum(const struct conf_value_job *job, const struct conf_option *o,
		    const struct conf_tree_value *v, void *field)
{
	const struct conf_value *w = word_of(o, v->text);

	if (!w)
		return no_such_word(job, o, v);
	warn_later(job, v, w);
	*(unsigned *)field = (unsigned)w->value;
	return 0;
}

/* Items of a list are separated by commas, so each is one string or one word. */
static int one_word(const struct conf_value_job *job, const struct conf_tree_value *v)
{
	if (v->words <= 1)
		return 0;
	return wrong(job, v->second, "',' between the values of a list", strchr(v->text, ' ') + 1,
		     NULL);
}

static int set_flags(const struct conf_value_job *job, const struct conf_option *o,
		     const struct conf_tree *t, void *field)
{
	uint64_t flags = *(uint64_t *)field;
	int rc = 0;

	for (const struct conf_tree_value *v = t->value; v; v = v->next) {
		const struct conf_value *w = word_of(o, v->text);
		bool on = w != NULL;

		if (one_word(job, v)) {
			rc = -EINVAL;
			continue;
		}
		if (!w && negation(v->text))
			w = word_of(o, negation(v->text));
		if (!w) {
			rc = no_such_word(job, o, v);
			continue;
		}
		if (on)
			warn_later(job, v, w);
		flags = on ? flags | w->value : flags & ~w->value;
	}
	if (!rc)
		*(uint64_t *)field = flags;
	return rc;
}

static int set_list(const struct conf_value_job *job, const struct conf_option *o,
		    const struct conf_tree *t, void *field)
{
	const char **item = conf_report_alloc(job->report, t->value_count * sizeof *item);
	unsigned n = 0;
	int rc = 0;

	if (t->value_count < (uint64_t)o->min || (o->max && t->value_count > (uint64_t)o->max)) {
		conf_report_add(job->report, t->pos, false, job->name, "expected %s, found %u",
				conf_value_expected(job->report, o), t->value_count);
		return -EINVAL;
	}
	for (const struct conf_tree_value *v = t->value; v; v = v->next) {
		if (one_word(job, v))
			rc = -EINVAL;
		else if (!*v->text)
			rc = wrong(job, v->pos, "a value", "", NULL);
		item[n++] = v->text;
	}
	if (!rc)
		*(struct conf_list *)field = (struct conf_list){ .item = item, .count = n };
	return rc;
}

int conf_value_set(const struct conf_value_job *job, const struct conf_option *o,
		   const struct conf_tree *t, void *field)
{
	if (o->type == CONF_FLAGS)
		return set_flags(job, o, t, field);
	if (o->type == CONF_LIST)
		return set_list(job, o, t, field);
	if (t->braced) {
		conf_report_add(job->report, t->pos, false, job->name, "expected %s, found a list",
				conf_value_expected(job->report, o));
		return -EINVAL;
	}
	switch (o->type) {
	case CONF_COUNT:
	case CONF_INT:
	case CONF_SIZE:
	case CONF_SIZE_KB:
	case CONF_SECONDS:
	case CONF_USEC:
		return set_number(job, o, t->value, field);
	case CONF_BOOL:
		return set_bool(job, o, t->value, field);
	case CONF_ENUM:
		return set_enum(job, o, t->value, field);
	default:
		return set_string(job, o, t->value, field);
	}
}

/* ---- defaults */

static void add_default(struct conf_report *r, struct conf_tree *t, struct span text)
{
	struct conf_tree_value *v = conf_report_alloc(r, sizeof *v);

	*v = (struct conf_tree_value){ .text = conf_report_printf(r, "%.*s", (int)text.n, text.p) };
	if (t->last_value)
		t->last_value->next = v;
	else
		t->value = v;
	t->last_value = v;
	t->value_count++;
}

void conf_value_default(const struct conf_value_job *job, const struct conf_option *o, void *field)
{
	struct conf_tree t = { .key = o->name };
	struct span rest = span_str(o->def);

	memset(field, 0, conf_field_size(o));
	if (!o->def || o->type == CONF_SECTION)
		return;
	if (o->type == CONF_FLAGS || o->type == CONF_LIST) {
		for (struct span w = span_word(&rest, ", "); w.n; w = span_word(&rest, ", "))
			add_default(job->report, &t, w);
	} else {
		add_default(job->report, &t, rest);
	}
	if (conf_value_set(job, o, &t, field))
		panic("%s: the default '%s' is not valid", job->name, o->def);
}
