#include <errno.h>
#include "core/conf_field.h"
#include "core/conf_main.h"

/* RESTART options keep the old value; where the file has another one, say so. */
static void keep_old(struct conf *cf, const struct conf_option *rows, unsigned count,
		     const void *old, void *fresh, bool global)
{
	for (const struct conf_option *o = rows; o < rows + count; o++) {
		const char *before = (const char *)old + o->offset;
		char *now = (char *)fresh + o->offset;

		if (o->applies == CONF_RELOAD || conf_field_equal(o, before, now))
			continue;
		if (o->applies == CONF_RESTART && global)
			conf_report_add(&cf->report, (struct conf_pos){ 0 }, true, o->name,
					"changed, but a change needs a restart");
		else if (o->applies == CONF_RESTART)
			conf_report_warning(&cf->report, o->name,
					    "changed, but a change needs a restart");
		conf_field_copy(&cf->report, o, now, before);
	}
}

int conf_reload(const struct conf_component *c, const struct conf_run *run, const void *old,
		void *fresh, const struct conf_global *old_global, struct conf_global *g,
		struct conf **own_conf)
{
	struct conf_main_words words;
	struct conf *cf = conf_new();

	*own_conf = cf;
	if (conf_main_scan(c, run->argc, run->argv, &words) ||
	    conf_main_load(c, run->argc, run->argv, &words, cf, fresh, g))
		return -EINVAL;
	if (!g->hostname)
		g->hostname = conf_report_printf(&cf->report, "%s", old_global->hostname);
	keep_old(cf, conf_common_table, conf_common_table_count, old, fresh, false);
	keep_old(cf, c->options, c->option_count, old, fresh, false);
	keep_old(cf, conf_common_globals, conf_common_globals_count, old_global, g, true);
	return 0;
}
