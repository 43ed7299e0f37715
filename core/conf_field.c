#include "core/conf_field.h"

#include <inttypes.h>
#include <string.h>
#include "core/conf_number.h"

size_t conf_field_size(const struct conf_option *o)
{
	switch (o->type) {
	case CONF_COUNT:
		return sizeof(uint32_t);
	case CONF_INT:
	case CONF_SECONDS:
	case CONF_USEC:
		return sizeof(int64_t);
	case CONF_SIZE:
	case CONF_SIZE_KB:
	case CONF_FLAGS:
		return sizeof(uint64_t);
	case CONF_BOOL:
		return sizeof(bool);
	case CONF_CHAR:
		return sizeof(char);
	case CONF_ENUM:
		return sizeof(unsigned);
	case CONF_LIST:
		return sizeof(struct conf_list);
	case CONF_SECTION:
		return sizeof(struct conf_array);
	default:
		return sizeof(const char *);
	}
}

static bool is_string(const struct conf_option *o)
{
	return o->type >= CONF_STRING && o->type <= CONF_ADDR;
}

/* ---- text */

/* A string as it would stand in a file. */
static const char *quoted(struct conf_report *r, const char *s)
{
	char *q = conf_report_alloc(r, 2 * strlen(s) + 3);
	size_t n = 0;

	q[n++] = '"';
	for (; *s; s++) {
		if (*s == '"' || *s == '\\' || *s == '\n' || *s == '\t')
			q[n++] = '\\';
		q[n++] = *s == '\n' ? 'n' : *s == '\t' ? 't' : *s;
	}
	q[n++] = '"';
	q[n] = 0;
	return q;
}

static const char *list_text(struct conf_report *r, const struct conf_list *l)
{
	const char *s = "{";

	for (unsigned i = 0; i < l->count; i++)
		s = conf_report_printf(r, "%s%s %s", s, i ? "," : "", quoted(r, l->item[i]));
	return conf_report_printf(r, "%s }", s);
}

static bool on_by_default(const struct conf_option *o, const struct conf_value *v)
{
	struct span rest = span_str(o->def);

	for (struct span w = span_word(&rest, ", "); w.n; w = span_word(&rest, ", ")) {
		if (span_caseeq(w, span_str(v->name)))
			return true;
	}
	return false;
}

/* What is on, and negated what is off against the default. */
static const char *flags_text(struct conf_report *r, const struct conf_option *o, uint64_t flags)
{
	const char *s = "{";
	unsigned n = 0;

	for (const struct conf_value *v = o->values; v->name; v++) {
		bool on = (flags & v->value) == v->value;

		if (on || on_by_default(o, v))
			s = conf_report_printf(r, "%s%s %s%s", s, n++ ? "," : "", on ? "" : "not_",
					       v->name);
	}
	return conf_report_printf(r, "%s }", s);
}

static const char *enum_text(const struct conf_option *o, unsigned value)
{
	for (const struct conf_value *v = o->values; v->name; v++) {
		if (v->value == value)
			return v->name;
	}
	return NULL;
}

const char *conf_field_text(struct conf_report *r, const struct conf_option *o, const void *field)
{
	char buf[CONF_NUMBER_TEXT];

	switch (o->type) {
	case CONF_COUNT:
		return conf_report_printf(r, "%" PRIu32, *(const uint32_t *)field);
	case CONF_INT:
		return conf_report_printf(r, "%" PRId64, *(const int64_t *)field);
	case CONF_SIZE:
	case CONF_SIZE_KB:
		return conf_report_printf(r, "%s",
					  conf_number_size_text(*(const uint64_t *)field, buf));
	case CONF_SECONDS:
	case CONF_USEC:
		return conf_report_printf(r, "%s",
					  conf_number_time_text(*(const int64_t *)field, buf));
	case CONF_BOOL:
		return *(const bool *)field ? "true" : "false";
	case CONF_CHAR:
		return quoted(r, (char[]){ *(const char *)field, 0 });
	case CONF_LIST:
		return list_text(r, field);
	case CONF_ENUM:
		return enum_text(o, *(const unsigned *)field);
	case CONF_FLAGS:
		return flags_text(r, o, *(const uint64_t *)field);
	default:
		return *(const char *const *)field ? quoted(r, *(const char *const *)field) : NULL;
	}
}

/* ---- comparison */

static bool same_string(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool same_list(const struct conf_list *a, const struct conf_list *b)
{
	if (a->count != b->count)
		return false;
	for (unsigned i = 0; i < a->count; i++) {
		if (!same_string(a->item[i], b->item[i]))
			return false;
	}
	return true;
}

static bool same_array(const struct conf_option *o, const struct conf_array *a,
		       const struct conf_array *b)
{
	if (a->count != b->count)
		return false;
	for (unsigned i = 0; i < a->count; i++) {
		const char *x = (const char *)a->item + i * o->item_size;
		const char *y = (const char *)b->item + i * o->item_size;

		if (!same_string(*(const char *const *)x, *(const char *const *)y))
			return false;
		for (const struct conf_option *c = o->rows; c < o->rows + o->row_count; c++) {
			if (!conf_field_equal(c, x + c->offset, y + c->offset))
				return false;
		}
	}
	return true;
}

bool conf_field_equal(const struct conf_option *o, const void *a, const void *b)
{
	if (o->type == CONF_LIST)
		return same_list(a, b);
	if (o->type == CONF_SECTION)
		return same_array(o, a, b);
	if (is_string(o))
		return same_string(*(const char *const *)a, *(const char *const *)b);
	return !memcmp(a, b, conf_field_size(o));
}

/* ---- copy */

static const char *copy_string(struct conf_report *r, const char *s)
{
	return s ? conf_report_printf(r, "%s", s) : NULL;
}

static void copy_array(struct conf_report *r, const struct conf_option *o, struct conf_array *to,
		       const struct conf_array *from)
{
	char *item = conf_report_alloc(r, from->count * o->item_size);

	memset(item, 0, from->count * o->item_size);
	for (unsigned i = 0; i < from->count; i++) {
		const char *src = (const char *)from->item + i * o->item_size;
		char *dst = item + i * o->item_size;

		*(const char **)dst = copy_string(r, *(const char *const *)src);
		for (const struct conf_option *c = o->rows; c < o->rows + o->row_count; c++)
			conf_field_copy(r, c, dst + c->offset, src + c->offset);
	}
	*to = (struct conf_array){ .item = item, .count = from->count };
}

void conf_field_copy(struct conf_report *r, const struct conf_option *o, void *to, const void *from)
{
	if (is_string(o)) {
		*(const char **)to = copy_string(r, *(const char *const *)from);
	} else if (o->type == CONF_LIST) {
		const struct conf_list *l = from;
		const char **item = conf_report_alloc(r, l->count * sizeof *item);

		for (unsigned i = 0; i < l->count; i++)
			item[i] = copy_string(r, l->item[i]);
		*(struct conf_list *)to = (struct conf_list){ .item = item, .count = l->count };
	} else if (o->type == CONF_SECTION) {
		copy_array(r, o, to, from);
	} else {
		memcpy(to, from, conf_field_size(o));
	}
}
