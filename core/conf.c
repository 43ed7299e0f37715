#include "core/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/conf_near.h"
#include "core/conf_state.h"
#include "core/err.h"

struct conf *conf_new(void)
{
	struct conf *cf = xcalloc(1, sizeof *cf);

	cf->report.arena = arena_new();
	if (!cf->report.arena)
		panic("no memory for the configuration");
	cf->report.path = "defaults";
	cf->folder = "";
	return cf;
}

void conf_free(struct conf *cf)
{
	if (!cf)
		return;
	arena_free(cf->report.arena);
	free(cf);
}

/* ---- reading */

static struct conf_section section_of(struct conf_report *r, const struct conf_tree *t)
{
	char *keyword = conf_report_alloc(r, strlen(t->key) + 1);
	struct conf_section s = { .name = t->name, .line = t->pos.line, .column = t->pos.column };

	strcpy(keyword, t->key);
	for (char *p = keyword; *p; p++)
		*p = ascii_lower(*p);
	s.keyword = keyword;
	for (const struct conf_tree *c = t->child; c; c = c->next) {
		if (c->is_section)
			continue;
		s.has_path |= span_caseeq(span_str(c->key), SPAN("path"));
		s.has_start_action |= span_caseeq(span_str(c->key), SPAN("start_action"));
	}
	return s;
}

static bool same_section(const struct conf_section *a, const char *keyword, const char *name)
{
	if (!span_caseeq(span_str(a->keyword), span_str(keyword)))
		return false;
	return a->name && name ? !strcmp(a->name, name) : a->name == name;
}

static void refuse_twins(struct conf *cf, unsigned i)
{
	const struct conf_section *s = &cf->sections[i];

	for (unsigned k = 0; k < i; k++) {
		const struct conf_section *first = &cf->sections[k];

		if (!same_section(first, s->keyword, s->name))
			continue;
		conf_report_add(&cf->report, cf->section_trees[i]->pos, false,
				conf_tree_name(&cf->report, cf->section_trees[i]),
				"expected it once, found it again (first at %s:%u:%u)",
				cf->report.path, first->line, first->column);
		return;
	}
}

static void list_sections(struct conf *cf)
{
	unsigned n = 0;

	for (const struct conf_tree *t = cf->root->child; t; t = t->next)
		n += t->is_section;
	if (n > CONF_TREE_SECTIONS)
		n = CONF_TREE_SECTIONS;
	cf->sections = conf_report_alloc(&cf->report, n * sizeof *cf->sections);
	cf->section_trees = conf_report_alloc(&cf->report, n * sizeof(struct conf_tree *));
	for (const struct conf_tree *t = cf->root->child; t && cf->section_count < n; t = t->next) {
		if (!t->is_section)
			continue;
		cf->sections[cf->section_count] = section_of(&cf->report, t);
		cf->section_trees[cf->section_count] = t;
		refuse_twins(cf, cf->section_count++);
	}
}

static void set_path(struct conf *cf, const char *path)
{
	const char *slash = strrchr(path, '/');

	cf->report.path = conf_report_printf(&cf->report, "%s", path);
	if (slash)
		cf->folder = conf_report_printf(&cf->report, "%.*s", (int)(slash + 1 - path), path);
}

int conf_read_text(struct conf *cf, const char *path, const char *text, size_t n)
{
	char *copy = conf_report_alloc(&cf->report, n + 1);

	if (n)
		memcpy(copy, text, n);
	set_path(cf, path);
	cf->root = conf_tree_parse(&cf->report, copy, n);
	list_sections(cf);
	return cf->report.error_count ? -EINVAL : 0;
}

/* Up to one byte more than a configuration may have. -errno, or the number of bytes. */
static ssize_t slurp(const char *path, char *buf, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	ssize_t got = 0;
	size_t n = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		errno = EISDIR;
	else
		errno = 0;
	if (errno) {
		close(fd);
		return -EISDIR;
	}
	do {
		got = read(fd, buf + n, cap - n);
		if (got > 0)
			n += (size_t)got;
	} while ((got > 0 && n < cap) || (got < 0 && errno == EINTR));
	ssize_t rc = got < 0 ? -errno : (ssize_t)n;
	close(fd);
	return rc;
}

int conf_read(struct conf *cf, const char *path)
{
	size_t cap = CONF_TREE_BYTES + 1;
	char *buf = xmalloc(cap);
	ssize_t n = slurp(path, buf, cap);
	int rc = -EINVAL;

	if (n < 0) {
		set_path(cf, path);
		conf_report_add(&cf->report, (struct conf_pos){ 0 }, false, NULL,
				"expected a configuration file, found: %s", strerror((int)-n));
	} else {
		rc = conf_read_text(cf, path, buf, (size_t)n);
	}
	free(buf);
	return rc;
}

unsigned conf_section_count(const struct conf *cf)
{
	return cf->section_count;
}

const struct conf_section *conf_section_get(const struct conf *cf, unsigned i)
{
	return i < cf->section_count ? &cf->sections[i] : NULL;
}

/* ---- finding the section of a component */

static const char *list_names(struct conf *cf, const char *keyword)
{
	const char *s = "";

	for (unsigned i = 0; i < cf->section_count; i++) {
		if (strcmp(cf->sections[i].keyword, keyword))
			continue;
		const char *name = cf->sections[i].name;
		s = conf_report_printf(&cf->report, "%s%s%s", s, *s ? ", " : "",
				       name ? name : "one without a name");
	}
	return s;
}

static int no_section(struct conf *cf, const char *keyword, const char *name)
{
	struct conf_near near = { .word = name };

	for (unsigned i = 0; i < cf->section_count; i++) {
		if (!strcmp(cf->sections[i].keyword, keyword) && cf->sections[i].name)
			conf_near_try(&near, cf->sections[i].name);
	}
	conf_report_add(&cf->report, (struct conf_pos){ 1, 1 }, false, keyword,
			"expected a section '%s %s { ... }' as -N says, found %s%s%s%s", keyword,
			conf_report_quote(&cf->report, name),
			*list_names(cf, keyword) ? list_names(cf, keyword) : "none",
			near.best ? " (did you mean " : "", near.best ? near.best : "",
			near.best ? "?)" : "");
	return -EINVAL;
}

/* Index of the section, -ENOENT: the file has none, -EINVAL: reported. */
static int find_section(struct conf *cf, const char *keyword, const char *name)
{
	unsigned count = 0;
	unsigned last = 0;

	for (unsigned i = 0; i < cf->section_count; i++) {
		if (same_section(&cf->sections[i], keyword, name))
			return (int)i;
		if (!strcmp(cf->sections[i].keyword, keyword)) {
			count++;
			last = i;
		}
	}
	if (name)
		return no_section(cf, keyword, name);
	if (count <= 1)
		return count ? (int)last : -ENOENT;
	conf_report_add(&cf->report, cf->section_trees[last]->pos, false, keyword,
			"expected -N NAME to choose a section, found %s", list_names(cf, keyword));
	return -EINVAL;
}

/* ---- applying */

static struct conf_apply_job job_of(struct conf *cf, const struct conf_apply_target *targets,
				    unsigned count)
{
	return (struct conf_apply_job){
		.report = &cf->report,
		.folder = cf->folder,
		.targets = targets,
		.target_count = count,
	};
}

static struct conf_apply_target global_target(struct conf_global *g)
{
	return (struct conf_apply_target){ conf_common_globals, conf_common_globals_count, g };
}

static struct conf_apply_target common_target(struct conf_common *common)
{
	return (struct conf_apply_target){ conf_common_table, conf_common_table_count, common };
}

static void enter_section(struct conf *cf, unsigned i)
{
	const struct conf_tree *t = cf->section_trees[i];
	const struct conf_section *s = &cf->sections[i];

	conf_report_forget_places(&cf->report);
	cf->report.section = conf_report_printf(&cf->report, "%s%s%s", s->keyword,
						s->name ? " " : "", s->name ? s->name : "");
	cf->report.here = t->pos;
}

static void globals_of_file(struct conf *cf, struct conf_global *g)
{
	struct conf_apply_target target = global_target(g);
	struct conf_apply_job job = job_of(cf, &target, 1);
	const char *base;

	if (!cf->root)
		return;
	conf_report_forget_places(&cf->report);
	job.ignore_sections = true;
	conf_apply_tree(&job, cf->root);
	base = g->cdb_base_directory;
	if (*base && base[strlen(base) - 1] != '/')
		conf_report_error(&cf->report, "CDB_base_directory",
				  "expected a slash at its end, found '%s'",
				  conf_report_quote(&cf->report, base));
}

void conf_apply_defaults_of(struct conf *cf, const struct conf_component *c, void *opts,
			    struct conf_global *g)
{
	struct conf_apply_target targets[] = {
		common_target(opts),
		{ c->options, c->option_count, opts },
		global_target(g),
	};
	struct conf_apply_job job = job_of(cf, targets, 3);

	memset(opts, 0, c->size);
	memset(g, 0, sizeof *g);
	conf_apply_defaults(&job);
	cf->report.section = c->keyword;
}

int conf_apply_file_of(struct conf *cf, const struct conf_component *c, const char *name,
		       void *opts, struct conf_global *g)
{
	struct conf_apply_target targets[] = {
		common_target(opts),
		{ c->options, c->option_count, opts },
	};
	struct conf_apply_job job = job_of(cf, targets, 2);

	globals_of_file(cf, g);
	int i = find_section(cf, c->keyword, name);
	if (i >= 0) {
		enter_section(cf, (unsigned)i);
		job.section = cf->report.section;
		conf_apply_tree(&job, cf->section_trees[i]);
	} else {
		conf_report_forget_places(&cf->report);
		cf->report.section = c->keyword;
		cf->report.here = (struct conf_pos){ 1, 1 };
	}
	return cf->report.error_count ? -EINVAL : 0;
}

int conf_apply_checks_of(struct conf *cf, const struct conf_component *c, const void *opts,
			 const struct conf_global *g)
{
	if (!cf->report.error_count && c->check)
		c->check(opts, g, &cf->report);
	return cf->report.error_count ? -EINVAL : 0;
}

int conf_apply(struct conf *cf, const struct conf_component *c, const char *name, void *opts,
	       struct conf_global *g)
{
	conf_apply_defaults_of(cf, c, opts, g);
	conf_apply_file_of(cf, c, name, opts, g);
	int rc = conf_apply_checks_of(cf, c, opts, g);
	if (!rc && !g->hostname)
		g->hostname = conf_host_name(&cf->report);
	return rc;
}

int conf_apply_global(struct conf *cf, struct conf_global *g)
{
	struct conf_apply_target target = global_target(g);
	struct conf_apply_job job = job_of(cf, &target, 1);
	unsigned before = cf->report.error_count;

	memset(g, 0, sizeof *g);
	conf_apply_defaults(&job);
	globals_of_file(cf, g);
	return cf->report.error_count > before ? -EINVAL : 0;
}

int conf_apply_common(struct conf *cf, unsigned i, struct conf_common *common, bool strict)
{
	struct conf_apply_target target = common_target(common);
	struct conf_apply_job job = job_of(cf, &target, 1);
	unsigned before = cf->report.error_count;

	memset(common, 0, sizeof *common);
	conf_apply_defaults(&job);
	if (i >= cf->section_count)
		return -EINVAL;
	enter_section(cf, i);
	job.section = cf->report.section;
	job.unknown = strict ? CONF_APPLY_REFUSE : CONF_APPLY_IGNORE;
	conf_apply_tree(&job, cf->section_trees[i]);
	return cf->report.error_count > before ? -EINVAL : 0;
}

/* ---- what was found */

bool conf_is_set(const struct conf *cf, const char *option)
{
	return conf_report_place(&cf->report, option) != NULL;
}

void conf_section_error(struct conf *cf, unsigned i, const char *option, const char *fmt, ...)
{
	va_list ap;
	char text[1024];

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (i < cf->section_count &&
	    (!cf->report.here.line || cf->report.here.line != cf->section_trees[i]->pos.line ||
	     cf->report.here.column != cf->section_trees[i]->pos.column))
		enter_section(cf, i);
	conf_report_error(&cf->report, option, "%s", text);
}

unsigned conf_error_count(const struct conf *cf)
{
	return cf->report.error_count;
}

void conf_print_report(const struct conf *cf, FILE *out)
{
	conf_report_print(&cf->report, out);
}
