#include "core/conf_apply.h"

#include <string.h>
#include "core/conf_near.h"
#include "core/conf_value.h"

/* Where in the tables we are: names of rows begin with `rows`; in messages the same place is
 * `shown`, which differs inside of an item of an array. Both are empty or end with a dot. */
struct level {
	const struct conf_apply_job *job;
	const char *rows;
	const char *shown;
	bool quiet; /* of the section around us it was said already that it is not available */
};

struct found {
	const struct conf_option *row; /* NULL: none has this name */
	void *field;
	const char *group; /* rows begin with this name and a dot, in the spelling of the table */
};

static struct conf_value_job value_job(const struct level *l, const char *name)
{
	const char *section = l->job->section;

	return (struct conf_value_job){
		.report = l->job->report,
		.folder = l->job->folder,
		.name = section ? conf_report_printf(l->job->report, "%s.%s", section, name) : name,
	};
}

/* The rest of a row's name behind the level's prefix; NULL: it is elsewhere. */
static const char *behind(const struct level *l, const struct conf_option *o)
{
	size_t n = strlen(l->rows);

	return strncmp(o->name, l->rows, n) ? NULL : o->name + n;
}

static struct found find(const struct level *l, const char *key)
{
	struct found f = { 0 };
	struct span k = span_str(key);

	if (strchr(key, '.'))
		return f;
	for (unsigned t = 0; t < l->job->target_count; t++) {
		const struct conf_apply_target *target = &l->job->targets[t];

		for (const struct conf_option *o = target->rows;
		     o < target->rows + target->row_count; o++) {
			const char *rest = behind(l, o);

			if (!rest || !span_casestartswith(span_str(rest), k))
				continue;
			if (!rest[k.n]) {
				f.row = o;
				f.field = (char *)target->base + o->offset;
				return f;
			}
			if (rest[k.n] == '.')
				f.group =
					conf_report_printf(l->job->report, "%.*s", (int)k.n, rest);
		}
	}
	return f;
}

/* ---- unknown names */

static const char *last_part(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot ? dot + 1 : name;
}

/* The nearest name: on this level, else anywhere in the section. */
static const char *suggestion(const struct level *l, const char *key)
{
	struct conf_report *r = l->job->report;
	struct conf_near here = { .word = last_part(key) };
	struct conf_near there = { .word = last_part(key) };
	const struct conf_option *far = NULL;

	if (r->error_count >= CONF_REPORT_ERRORS)
		return ""; /* nobody will see it */
	for (unsigned t = 0; t < l->job->target_count; t++) {
		const struct conf_apply_target *target = &l->job->targets[t];

		for (unsigned i = 0; i < target->row_count; i++) {
			const struct conf_option *o = &target->rows[i];
			const char *rest = behind(l, o);
			const char *before = there.best;

			if (rest)
				conf_near_try(&here,
					      conf_report_printf(r, "%.*s", (int)strcspn(rest, "."),
								 rest));
			conf_near_try(&there, last_part(o->name));
			if (there.best != before)
				far = o;
		}
	}
	if (here.best && (!far || here.distance <= there.distance))
		return conf_report_printf(r, " (did you mean %s?)", here.best);
	if (far)
		return conf_report_printf(r, " (did you mean %s?)", value_job(l, far->name).name);
	return "";
}

static void unknown(const struct level *l, const struct conf_tree *t, const char *shown)
{
	struct conf_value_job v = value_job(l, shown);
	const char *section = l->job->section;
	const char *where = "outside of sections";

	if (l->job->unknown == CONF_APPLY_IGNORE)
		return;
	if (section)
		where = conf_report_printf(v.report, "of %s%s%.*s", section, *l->shown ? "." : "",
					   *l->shown ? (int)strlen(l->shown) - 1 : 0, l->shown);
	conf_report_add(v.report, t->pos, false, v.name, "expected %s %s, found '%s'%s",
			t->is_section ? "a section" : "an option", where,
			conf_report_quote(v.report, t->key), suggestion(l, t->key));
}

/* ---- options */

/* False when the file has set it before, which is reported. */
static bool first_time(const struct conf_value_job *v, const struct conf_tree *t, const char *shown)
{
	const struct conf_place *p = conf_report_place(v->report, shown);

	if (p) {
		conf_report_add(v->report, t->pos, false, v->name,
				"expected it once, found it again (first at %s:%u:%u)",
				v->report->path, p->pos.line, p->pos.column);
		return false;
	}
	conf_report_set_place(v->report, shown, t->pos);
	return true;
}

static void warn_later(const struct level *l, const struct conf_value_job *v,
		       const struct conf_option *o, const struct conf_tree *t)
{
	if (o->applies == CONF_LATER && !l->quiet)
		conf_report_add(v->report, t->pos, true, v->name,
				"not available in this version, ignored");
}

static void option(const struct level *l, const struct conf_tree *t)
{
	struct found f = find(l, t->key);
	const char *name = f.row ? behind(l, f.row) : f.group ? f.group : t->key;
	const char *shown = conf_report_printf(l->job->report, "%s%s", l->shown, name);
	struct conf_value_job v = value_job(l, shown);

	if (f.group || (f.row && f.row->type == CONF_SECTION)) {
		conf_report_add(v.report, t->pos, false, v.name,
				"expected a section '%s { ... }', found '%s ='", name, t->key);
		return;
	}
	if (!f.row) {
		unknown(l, t, shown);
		return;
	}
	if (!first_time(&v, t, shown) || t->bad)
		return;
	if (!conf_value_set(&v, f.row, t, f.field))
		warn_later(l, &v, f.row, t);
}

/* ---- sections */

static void walk(const struct level *l, const struct conf_tree *t);

/* The next free item of an array, or NULL: full, which is reported. */
static void *new_item(const struct conf_value_job *v, const struct conf_option *o,
		      const struct conf_tree *t, struct conf_array *array)
{
	if (array->count >= (uint64_t)o->max) {
		conf_report_add(v->report, t->pos, false, v->name,
				"expected at most %u such sections, found one more",
				(unsigned)o->max);
		return NULL;
	}
	if (!array->item)
		array->item = conf_report_alloc(v->report, (size_t)o->max * o->item_size);
	char *item = (char *)array->item + array->count++ * o->item_size;
	memset(item, 0, o->item_size);
	*(const char **)item = t->name;
	return item;
}

static bool naming_ok(const struct conf_value_job *v, const struct conf_option *o,
		      const struct conf_tree *t)
{
	if (o->naming == CONF_NAMED && !t->name)
		conf_report_add(v->report, t->pos, false, v->name,
				"expected a name, '%s NAME { ... }', found none", o->name);
	else if (o->naming == CONF_UNNAMED && t->name)
		conf_report_add(v->report, t->name_pos, false, v->name, "expected '{', found '%s'",
				conf_report_quote(v->report, t->name));
	else
		return true;
	return false;
}

/* One more item of an array. */
static void item(const struct level *l, const struct conf_tree *t, const struct found *f)
{
	struct conf_array *array = f->field;
	struct conf_report *r = l->job->report;
	const char *name = behind(l, f->row);
	const char *shown = conf_report_printf(r, "%s%s", l->shown, name);
	struct conf_value_job v = value_job(l, shown);

	if (!naming_ok(&v, f->row, t))
		return;
	if (t->name)
		shown = conf_report_printf(r, "%s %s", shown, t->name);
	else if (array->count)
		shown = conf_report_printf(r, "%s[%u]", shown, array->count + 1);
	v = value_job(l, shown);
	if (!first_time(&v, t, shown))
		return;
	void *base = new_item(&v, f->row, t, array);
	if (!base)
		return;
	if (array->count == 1 && t->name)
		conf_report_set_place(r, conf_report_printf(r, "%s%s", l->shown, name), t->pos);
	warn_later(l, &v, f->row, t);
	struct conf_apply_target target = { f->row->rows, f->row->row_count, base };
	struct conf_apply_job job = *l->job;
	job.targets = &target;
	job.target_count = 1;
	job.unknown = CONF_APPLY_REFUSE;
	conf_apply_defaults(&job);
	struct level inside = {
		.job = &job,
		.rows = "",
		.shown = conf_report_printf(r, "%s.", shown),
		.quiet = l->quiet || f->row->applies == CONF_LATER,
	};
	walk(&inside, t);
}

static void section(const struct level *l, const struct conf_tree *t)
{
	struct found f = find(l, t->key);
	struct conf_report *r = l->job->report;
	const char *name = f.group ? f.group : t->key;
	const char *shown = conf_report_printf(r, "%s%s", l->shown, name);
	struct conf_value_job v = value_job(l, shown);

	if (f.row && f.row->type == CONF_SECTION) {
		item(l, t, &f);
	} else if (f.row) {
		conf_report_add(r, t->pos, false, v.name,
				"expected an option '%s = ...', found '%s {'", behind(l, f.row),
				conf_report_quote(r, t->key));
	} else if (!f.group) {
		unknown(l, t, shown);
	} else if (t->name) {
		conf_report_add(r, t->name_pos, false, v.name, "expected '{', found '%s'",
				conf_report_quote(r, t->name));
	} else {
		struct level inside = *l;

		inside.rows = conf_report_printf(r, "%s%s.", l->rows, name);
		inside.shown = conf_report_printf(r, "%s.", shown);
		walk(&inside, t);
	}
}

static void walk(const struct level *l, const struct conf_tree *t)
{
	for (const struct conf_tree *c = t->child; c && !conf_report_full(l->job->report);
	     c = c->next) {
		if (!c->is_section) {
			/* without a value: it was never clear what this is, and that is reported */
			if (c->value || c->braced)
				option(l, c);
		} else if (!l->job->ignore_sections || t->parent) {
			section(l, c);
		}
	}
}

void conf_apply_tree(const struct conf_apply_job *job, const struct conf_tree *t)
{
	struct level top = { .job = job, .rows = "", .shown = "" };

	walk(&top, t);
}

void conf_apply_defaults(const struct conf_apply_job *job)
{
	struct level top = { .job = job, .rows = "", .shown = "" };

	for (unsigned t = 0; t < job->target_count; t++) {
		const struct conf_apply_target *target = &job->targets[t];

		for (unsigned i = 0; i < target->row_count; i++) {
			const struct conf_option *o = &target->rows[i];
			struct conf_value_job v = value_job(&top, o->name);

			conf_value_default(&v, o, (char *)target->base + o->offset);
		}
	}
}
