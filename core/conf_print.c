#include "core/conf_print.h"

#include <stdlib.h>
#include <string.h>
#include "core/conf_field.h"
#include "core/conf_value.h"
#include "core/err.h"

/* ---- tables with their defaults */

struct sheet {
	struct conf_global global;
	struct conf_common common; /* without a component */
	void *opts;
	struct conf_apply_target own;
	struct conf_apply_target commons;
	struct conf_apply_target globals;
};

static void sheet_open(struct sheet *s, struct conf *cf, const struct conf_component *c)
{
	static const struct conf_component none = { .size = sizeof(struct conf_common) };

	s->opts = c ? xcalloc(1, c->size) : NULL;
	conf_apply_defaults_of(cf, c ? c : &none, c ? s->opts : &s->common, &s->global);
	s->own = (struct conf_apply_target){ c ? c->options : NULL, c ? c->option_count : 0,
					     s->opts };
	s->commons = (struct conf_apply_target){ conf_common_table, conf_common_table_count,
						 c ? s->opts : &s->common };
	s->globals = (struct conf_apply_target){ conf_common_globals, conf_common_globals_count,
						 &s->global };
}

static void sheet_close(struct sheet *s)
{
	free(s->opts);
}

/* NULL: not set. A number whose row has no default is not set while it is 0. */
static const char *text_of(struct conf *cf, const struct conf_option *o, const void *base)
{
	static const char zero[sizeof(uint64_t)];

	if (!o->def && o->type <= CONF_CHAR &&
	    !memcmp((const char *)base + o->offset, zero, conf_field_size(o)))
		return NULL;
	return conf_field_text(&cf->report, o, (const char *)base + o->offset);
}

static const char *section_form(const struct conf_option *o)
{
	return o->naming == CONF_NAMED ? " NAME" : o->naming == CONF_ANY_NAME ? " [NAME]" : "";
}

static const char *applies_note(const struct conf_option *o)
{
	return o->applies == CONF_LATER ? "Not available in this version." : "";
}

/* ---- -h */

static void usage_rows(struct conf *cf, const struct conf_apply_target *t, const char *prefix,
		       FILE *out)
{
	for (const struct conf_option *o = t->rows; o < t->rows + t->row_count; o++) {
		if (o->type == CONF_SECTION) {
			struct conf_apply_target items = { o->rows, o->row_count, NULL };
			const char *inner =
				conf_report_printf(&cf->report, "%s%s.", prefix, o->name);

			fprintf(out, "  %s%s%s { ... }, up to %u\n      %s\n", prefix, o->name,
				section_form(o), (unsigned)o->max, o->help);
			usage_rows(cf, &items, inner, out);
			continue;
		}
		fprintf(out, "  %s%s = %s\n      %s", prefix, o->name,
			conf_value_expected(&cf->report, o), o->help);
		if (t->base && text_of(cf, o, t->base))
			fprintf(out, " Default: %s.", text_of(cf, o, t->base));
		fprintf(out, "%s%s\n", *applies_note(o) ? " " : "", applies_note(o));
	}
}

void conf_print_usage(struct conf *cf, const struct conf_component *c, FILE *out)
{
	struct sheet s;

	fprintf(out,
		"%s - %s\n"
		"usage: %s [-f FILE] [-N NAME] [-n [-v]] [-h] [-V]...\n"
		"  -f FILE  configuration file; without it the defaults below are used\n"
		"  -N NAME  name of the section of this process: %s NAME { ... }\n"
		"  -n       check the configuration and exit; -v also prints the options in effect\n"
		"  -i NUM   number of this process (option pass_id of mcp)\n"
		"  -h       this text\n"
		"  -V       version; -VVVVV options with defaults, -VVVVVV flags too\n",
		c->keyword, c->summary ? c->summary : "", c->keyword, c->keyword);
	if (c->usage_extra)
		c->usage_extra(out);
	sheet_open(&s, cf, c);
	if (c->option_count) {
		fprintf(out, "\noptions in the section %s:\n", c->keyword);
		usage_rows(cf, &s.own, "", out);
	}
	fprintf(out, "\noptions of every section:\n");
	usage_rows(cf, &s.commons, "", out);
	fprintf(out, "\noptions outside of sections:\n");
	usage_rows(cf, &s.globals, "", out);
	sheet_close(&s);
}

/* ---- -V and -n -v: as a file that gives these values */

static void list_words(const struct conf_option *o, const char *indent, FILE *out)
{
	for (const struct conf_value *v = o->values; v && v->name; v++)
		fprintf(out, "%s    # %s%s%s%s\n", indent, v->name, v->help ? ": " : "",
			v->help ? v->help : "", v->later ? " (not available in this version)" : "");
}

/* Sub { name = text; } for the row Sub.name */
static void assignment(const struct conf_option *o, const char *text, FILE *out)
{
	const char *dot = strchr(o->name, '.');
	const char *name = o->name;
	unsigned depth = 0;

	for (; dot; depth++, name = dot + 1, dot = strchr(name, '.'))
		fprintf(out, "%.*s { ", (int)(dot - name), name);
	fprintf(out, "%s = %s;", name, text);
	while (depth--)
		fputs(" }", out);
	fputc('\n', out);
}

/* As a comment when there is no value, or when so it is said. base NULL: the default of the row. */
static void file_row(struct conf *cf, const struct conf_option *o, const void *base,
		     const char *indent, bool comment, bool words, FILE *out)
{
	const char *text = base ? text_of(cf, o, base) : o->def;

	fprintf(out, "%s%s", indent, text && !comment ? "" : "# ");
	if (text)
		assignment(o, text, out);
	else
		fprintf(out, "%s is not set\n", o->name);
	if (words)
		list_words(o, indent, out);
}

static void file_array(struct conf *cf, const struct conf_option *o, const void *base,
		       const char *indent, bool words, FILE *out)
{
	const struct conf_array *a = (const void *)((const char *)base + o->offset);
	const char *inner = conf_report_printf(&cf->report, "%s  ", indent);

	if (!a->count) {
		fprintf(out, "%s# %s%s { }\n", indent, o->name, section_form(o));
		for (unsigned i = 0; words && i < o->row_count; i++)
			file_row(cf, &o->rows[i], NULL, inner, true, words, out);
	}
	for (unsigned i = 0; i < a->count; i++) {
		const char *item = (const char *)a->item + i * o->item_size;
		const char *name = *(const char *const *)item;

		fprintf(out, "%s%s%s%s {\n", indent, o->name, name ? " " : "", name ? name : "");
		for (unsigned k = 0; k < o->row_count; k++)
			file_row(cf, &o->rows[k], item, inner, false, words, out);
		fprintf(out, "%s}\n", indent);
	}
}

/* defaults: what the file does not set and what is as in there becomes a comment; or NULL. */
static void file_rows(struct conf *cf, const struct conf_apply_target *t, const void *defaults,
		      const char *indent, bool words, FILE *out)
{
	for (const struct conf_option *o = t->rows; o < t->rows + t->row_count; o++) {
		bool comment = defaults && !conf_report_is_set(&cf->report, o->name) &&
			       conf_field_equal(o, (const char *)t->base + o->offset,
						(const char *)defaults + o->offset);

		if (o->type == CONF_SECTION)
			file_array(cf, o, t->base, indent, words, out);
		else
			file_row(cf, o, t->base, indent, comment, words, out);
	}
}

void conf_print_version(struct conf *cf, const struct conf_component *c, unsigned level, FILE *out)
{
	struct sheet s;

	fprintf(out, "%s: smX %s\n", c->keyword, SMX_VERSION);
	if (level >= 2)
		fprintf(out, "configuration %s, spool %s, logs %s, programs %s\n", SMX_CONFDIR,
			SMX_SPOOLDIR, SMX_LOGDIR, SMX_LIBEXECDIR);
	if (level >= 3)
		fprintf(out, "users: smtps %s, qmgr %s, smtpc %s, smar %s, others %s\n",
			SMX_SMTPS_USER, SMX_QMGR_USER, SMX_SMTPC_USER, SMX_SMAR_USER,
			SMX_OTHER_USER);
	if (level >= 4)
		fprintf(out, "DNS: MX records %d, addresses of one MX %d, addresses in all %d\n",
			SM_DNS_MX_MAX, SM_DNS_A_PER_MX_MAX, SM_DNS_A_MAX);
	if (level < 5)
		return;
	sheet_open(&s, cf, c);
	fputc('\n', out);
	file_rows(cf, &s.globals, NULL, "", level >= 6, out);
	fprintf(out, "\n%s {\n", c->keyword);
	file_rows(cf, &s.own, NULL, "  ", level >= 6, out);
	fprintf(out, "\n  # in every section\n");
	file_rows(cf, &s.commons, NULL, "  ", level >= 6, out);
	fprintf(out, "}\n");
	sheet_close(&s);
}

void conf_print_effective(struct conf *cf, const struct conf_component *c, const void *opts,
			  const struct conf_global *g, FILE *out)
{
	const char *section = cf->report.section ? cf->report.section : c->keyword;
	void *base = (void *)(uintptr_t)opts;
	struct sheet s;

	sheet_open(&s, cf, c);
	cf->report.section = section;
	struct conf_apply_target own = { c->options, c->option_count, base };
	struct conf_apply_target commons = { conf_common_table, conf_common_table_count, base };
	struct conf_apply_target globals = { conf_common_globals, conf_common_globals_count,
					     (void *)(uintptr_t)g };

	file_rows(cf, &globals, &s.global, "", false, out);
	fprintf(out, "\n%s {\n", section);
	file_rows(cf, &own, s.opts, "  ", false, out);
	file_rows(cf, &commons, s.opts, "  ", false, out);
	fprintf(out, "}\n");
	sheet_close(&s);
}

/* ---- man page */

static void man_text(const char *s, FILE *out)
{
	for (; *s; s++) {
		if (*s == '\\')
			fputs("\\e", out);
		else if (*s == '-')
			fputs("\\-", out);
		else
			fputc(*s, out);
	}
}

static void man_words(const struct conf_option *o, FILE *out)
{
	bool help = false;

	for (const struct conf_value *v = o->values; v && v->name; v++)
		help |= v->help || v->later;
	if (!help)
		return;
	fputs(".RS\n", out);
	for (const struct conf_value *v = o->values; v->name; v++) {
		fputs(".TP\n.B ", out);
		man_text(v->name, out);
		fputc('\n', out);
		man_text(v->help ? v->help : "-", out);
		fprintf(out, "%s.\n", v->later ? " (not available in this version)" : "");
	}
	fputs(".RE\n", out);
}

static const char *man_kind(struct conf *cf, const struct conf_option *o)
{
	if (o->type == CONF_ENUM)
		return "a word";
	if (o->type == CONF_FLAGS)
		return "flags";
	return conf_value_expected(&cf->report, o);
}

static void man_row(struct conf *cf, const struct conf_option *o, const void *base,
		    const char *prefix, FILE *out)
{
	const char *def = base ? text_of(cf, o, base) : NULL;

	fputs(".TP\n.BR ", out);
	man_text(conf_report_printf(&cf->report, "%s%s", prefix, o->name), out);
	fputs(" \" = ", out);
	man_text(man_kind(cf, o), out);
	fputs("\"\n", out);
	man_text(o->help, out);
	if (def && strcmp(def, "{ }")) {
		fputs("\nDefault: ", out);
		man_text(def, out);
		fputc('.', out);
	}
	if (*applies_note(o))
		fprintf(out, "\n%s", applies_note(o));
	else if (o->applies == CONF_RESTART)
		fputs("\nA change needs a restart.", out);
	fputc('\n', out);
	man_words(o, out);
}

static void man_rows(struct conf *cf, const struct conf_apply_target *t, const char *prefix,
		     FILE *out)
{
	for (const struct conf_option *o = t->rows; o < t->rows + t->row_count; o++) {
		if (o->type != CONF_SECTION) {
			man_row(cf, o, t->base, prefix, out);
			continue;
		}
		struct conf_apply_target items = { o->rows, o->row_count, NULL };
		fprintf(out, ".TP\n.BR %s \"%s { ... }\"\n", o->name, section_form(o));
		man_text(o->help, out);
		fprintf(out, "\nUp to %u.\n.RS\n", (unsigned)o->max);
		man_rows(cf, &items, "", out);
		fputs(".RE\n", out);
	}
}

void conf_print_man(struct conf *cf, const struct conf_component *c, FILE *out)
{
	struct sheet s;

	sheet_open(&s, cf, c);
	if (c) {
		man_rows(cf, &s.own, "", out);
	} else {
		fputs(".SS Outside of sections\n", out);
		man_rows(cf, &s.globals, "", out);
		fputs(".SS In every section\n", out);
		man_rows(cf, &s.commons, "", out);
	}
	sheet_close(&s);
}
