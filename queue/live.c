#include "queue/live.h"

#include "core/err.h"
#include "core/log.h"
#include "queue/icc.h"
#include "queue/limits.h"
#include "queue/occ.h"
#include "queue/reclaim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct generation {
	struct rcu_head rcu;
	struct qmgr_options opt;
	struct conf_global global;
	struct conf *own; /* strings of opt */
};

/* The file is read again with the command line of the start; strings of the start stay for ever. */
static struct generation *current;

static void level_of(const struct qmgr_options *o)
{
	unsigned level = o->common.log_level;

	log_set_level(o->debug_level && level < LOG_LV_DEBUG ? LOG_LV_DEBUG : level);
}

/* The map of limits: its errors are told, the former one stays. */
static int load_limits(struct qmgr *q, struct buf *told)
{
	struct report r = { 0 };
	int rc = limits_load(q->opt.conf, &r);

	report_log(&r, "qmgr_conf");
	if (told)
		buf_add_span(told, buf_span(&r.text));
	report_free(&r);
	return rc;
}

int live_start(struct qmgr *q)
{
	RCU_PUBLISH(q->live, &q->opt);
	level_of(&q->opt);
	return load_limits(q, NULL);
}

static void free_later(struct rcu_head *head)
{
	struct generation *g = caa_container_of(head, struct generation, rcu);

	RCU_TSAN_ACQUIRE(head);
	RCU_TSAN_GRACE();
	conf_free(g->own);
	free(g);
}

void live_committer(const struct qmgr_options *o, struct committer_setup *out)
{
	*out = (struct committer_setup){ .max_delay_usec = o->ibdb_max_commit_delay,
					 .hold_usec = o->commit_hold,
					 .max_batch = o->ibdb_max_open_tas,
					 .checkpoint_bytes =
						 o->defedb_kbytes_written_for_checkpointing,
					 .checkpoint_usec = o->defedb_delay_between_2_checkpoints };
}

/* Those who keep numbers of their own. */
static void tune(struct qmgr *q, const struct qmgr_options *o)
{
	level_of(o);
	icc_tune(o->smtps_max_connections, o->smtps_max_connection_rate);
	occ_tune(o->smtpc_initial_connections, o->smtpc_max_connections, o->retry_min_delay);
	struct committer_setup c;
	live_committer(o, &c);
	committer_tune(q->committer, &c);
	reclaim_kick(q);
}

/* On stderr, which is the log, and to who asked. */
static void tell(const struct conf *cf, struct buf *told)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = told ? open_memstream(&text, &n) : NULL;

	conf_print_report(cf, stderr);
	if (!f)
		return;
	conf_print_report(cf, f);
	if (!fclose(f))
		buf_add(told, text, n);
	free(text);
}

/* An answer that begins with "error: " is one, queue/tool.h. */
static void answer(struct buf *report, const char *first, struct buf *told)
{
	if (report) {
		buf_add_span(report, span_str(first));
		buf_add_span(report, buf_span(told));
	}
	buf_release(told);
}

int live_reload(struct qmgr *q, struct buf *report)
{
	struct buf told = { 0 };
	struct generation *g = xcalloc(1, sizeof *g);
	int rc = conf_reload(&qmgr_options_component, &q->run, qmgr_live(q), &g->opt, &q->global,
			     &g->global, &g->own);

	tell(g->own, report ? &told : NULL);
	if (rc) {
		answer(report, "error: config: the configuration has errors, nothing changed:\n",
		       &told);
		conf_free(g->own);
		free(g);
		return rc;
	}
	struct generation *old = current;
	current = g;
	RCU_PUBLISH(q->live, &g->opt);
	tune(q, &g->opt);
	rc = load_limits(q, &told);
	if (old)
		rcu_later(&old->rcu, free_later);
	log_event(LOG_LV_INFO, LOG_SEV_INFO, "qmgr", "stat=reloaded");
	answer(report,
	       rc ? "error: config: the map has errors, its former limits stay; all else was reloaded:\n"
		  : "reloaded\n",
	       &told);
	return rc;
}
