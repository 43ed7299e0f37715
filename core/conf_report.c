#include "core/conf_report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "core/err.h"

enum { QUOTE_BYTES = 60, FULL_ERRORS = 1000 };

void *conf_report_alloc(struct conf_report *r, size_t bytes)
{
	void *p = arena_alloc(r->arena, bytes);

	if (!p)
		panic("no memory for the configuration");
	return p;
}

static const char *format(struct conf_report *r, const char *fmt, va_list ap)
{
	va_list again;

	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		return "";
	char *p = conf_report_alloc(r, (size_t)n + 1);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	return p;
}

const char *conf_report_printf(struct conf_report *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	const char *p = format(r, fmt, ap);
	va_end(ap);
	return p;
}

const char *conf_report_quote(struct conf_report *r, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	char *p = conf_report_alloc(r, 4 * QUOTE_BYTES + 4);
	size_t n = 0;
	size_t i;

	for (i = 0; text[i] && i < QUOTE_BYTES; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 32 && c != 127) {
			p[n++] = (char)c;
			continue;
		}
		p[n++] = '\\';
		p[n++] = 'x';
		p[n++] = hex[c >> 4];
		p[n++] = hex[c & 15];
	}
	strcpy(p + n, text[i] ? "..." : "");
	return p;
}

/* The parser may come by the same place twice. */
static bool known(const struct conf_report *r, struct conf_pos pos, const char *text)
{
	for (unsigned i = 0; i < r->message_count; i++) {
		const struct conf_message *m = &r->messages[i];

		if (m->pos.line == pos.line && m->pos.column == pos.column &&
		    !strcmp(m->text, text))
			return true;
	}
	return false;
}

static void add(struct conf_report *r, struct conf_pos pos, bool warning, const char *name,
		const char *text)
{
	unsigned *count = warning ? &r->warning_count : &r->error_count;

	if (name)
		text = conf_report_printf(r, "%s: %s", name, text);
	if (known(r, pos, text) || ++*count > (warning ? CONF_REPORT_WARNINGS : CONF_REPORT_ERRORS))
		return;
	r->messages[r->message_count++] =
		(struct conf_message){ .pos = pos, .warning = warning, .text = text };
}

void conf_report_add(struct conf_report *r, struct conf_pos pos, bool warning, const char *name,
		     const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(r, pos, warning, name, format(r, fmt, ap));
	va_end(ap);
}

bool conf_report_full(const struct conf_report *r)
{
	return r->error_count >= FULL_ERRORS;
}

void conf_report_set_place(struct conf_report *r, const char *option, struct conf_pos pos)
{
	struct conf_place *p = conf_report_alloc(r, sizeof *p);

	*p = (struct conf_place){ .option = option, .pos = pos, .next = r->places };
	r->places = p;
}

const struct conf_place *conf_report_place(const struct conf_report *r, const char *option)
{
	for (const struct conf_place *p = r->places; p; p = p->next) {
		if (span_caseeq(span_str(p->option), span_str(option)))
			return p;
	}
	return NULL;
}

bool conf_report_is_set(const struct conf_report *r, const char *option)
{
	return conf_report_place(r, option) != NULL;
}

void conf_report_forget_places(struct conf_report *r)
{
	r->places = NULL;
	r->section = NULL;
	r->here = (struct conf_pos){ 0 };
}

/* A message of check(), whose option is relative to the section. */
static void add_checked(struct conf_report *r, bool warning, const char *option, const char *text)
{
	const struct conf_place *place = option ? conf_report_place(r, option) : NULL;
	const char *name = option;

	if (r->section)
		name = option ? conf_report_printf(r, "%s.%s", r->section, option) : r->section;
	add(r, place ? place->pos : r->here, warning, name, text);
}

void conf_report_error(struct conf_report *r, const char *option, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_checked(r, false, option, format(r, fmt, ap));
	va_end(ap);
}

void conf_report_warning(struct conf_report *r, const char *option, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_checked(r, true, option, format(r, fmt, ap));
	va_end(ap);
}

/* The messages are few, and equal places must keep their order: insertion sort of pointers. */
static unsigned sort(const struct conf_report *r, const struct conf_message **m)
{
	unsigned n = r->message_count;

	for (unsigned i = 0; i < n; i++) {
		const struct conf_message *x = &r->messages[i];
		unsigned k = i;

		for (; k > 0; k--) {
			const struct conf_pos *p = &m[k - 1]->pos;

			if (p->line < x->pos.line ||
			    (p->line == x->pos.line && p->column <= x->pos.column))
				break;
			m[k] = m[k - 1];
		}
		m[k] = x;
	}
	return n;
}

void conf_report_print(const struct conf_report *r, FILE *out)
{
	const struct conf_message *m[CONF_REPORT_ERRORS + CONF_REPORT_WARNINGS];
	unsigned n = sort(r, m);

	for (unsigned i = 0; i < n; i++) {
		fputs(r->path, out);
		if (m[i]->pos.line)
			fprintf(out, ":%u:%u", m[i]->pos.line, m[i]->pos.column);
		fprintf(out, ": %s%s\n", m[i]->warning ? "warning: " : "", m[i]->text);
	}
	if (r->error_count > CONF_REPORT_ERRORS)
		fprintf(out, "%s: %u more errors\n", r->path, r->error_count - CONF_REPORT_ERRORS);
	if (r->warning_count > CONF_REPORT_WARNINGS)
		fprintf(out, "%s: %u more warnings\n", r->path,
			r->warning_count - CONF_REPORT_WARNINGS);
}
