#include "resolver/reload.h"

#include "resolver/smar_stats.h"

#include "core/err.h"
#include "core/log.h"
#include "core/thread.h"

#include <stdlib.h>

struct reload {
	const struct smar_options *options;
	unsigned slot;
	struct loop *loop;
	reload_done_fn *done;
	void *ctx;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	uint64_t asked, read; /* request numbers; under lock */
	bool stop;
	struct loop_mail mail;                 /* under way: results are not empty */
	struct result *results, **results_end; /* under lock */
	bool mail_posted;                      /* under lock */
};

struct result {
	struct result *next;
	uint64_t number;
	struct report report;
};

static void deliver(struct loop_mail *m)
{
	struct reload *r = (struct reload *)((char *)m - offsetof(struct reload, mail));

	pthread_mutex_lock(&r->lock);
	struct result *res = r->results;
	r->results = NULL;
	r->results_end = &r->results;
	r->mail_posted = false;
	pthread_mutex_unlock(&r->lock);
	while (res) {
		struct result *next = res->next;
		struct reload_result out = { .number = res->number,
					     .error_count = res->report.error_count,
					     .warning_count = res->report.warning_count,
					     .text = buf_span(&res->report.text) };

		r->done(r->ctx, &out);
		report_free(&res->report);
		free(res);
		res = next;
	}
}

static void read_maps(struct reload *r, struct result *res)
{
	struct mapset *set = mapset_load(r->options, mapset_current_rcu(), &res->report);

	mapset_publish(set);
	stats_add(SMAR_STAT_reloads, 1);
	if (res->report.error_count)
		stats_add(SMAR_STAT_reload_errors, 1);
	report_log(&res->report, "reload");
	bool bad = res->report.error_count > 0;
	log_event(bad ? LOG_LV_ERROR : LOG_LV_INFO, bad ? LOG_SEV_ERR : LOG_SEV_INFO, "reload",
		  "stat=%s, errors=%u, warnings=%u, mailertable=%zu",
		  bad ? "old maps stay where new ones are wrong" : "ok", res->report.error_count,
		  res->report.warning_count, mailertable_count(set->mailertable));
}

static void post(struct reload *r, struct result *res)
{
	bool first;

	pthread_mutex_lock(&r->lock);
	*r->results_end = res;
	r->results_end = &res->next;
	first = !r->mail_posted;
	r->mail_posted = true;
	pthread_mutex_unlock(&r->lock);
	if (first)
		loop_post(r->loop, &r->mail);
}

static void run(void *arg)
{
	struct reload *r = arg;

	stats_thread();
	map_use_slot(r->slot);
	rcu_offline();
	pthread_mutex_lock(&r->lock);
	while (!r->stop) {
		if (r->read == r->asked) {
			pthread_cond_wait(&r->wake, &r->lock);
			continue;
		}
		uint64_t number = r->read = r->asked;
		pthread_mutex_unlock(&r->lock);
		struct result *res = xcalloc(1, sizeof *res);
		res->number = number;
		read_maps(r, res);
		post(r, res);
		pthread_mutex_lock(&r->lock);
	}
	pthread_mutex_unlock(&r->lock);
	rcu_online();
}

struct reload *reload_start(const struct smar_options *o, unsigned slot, struct loop *l,
			    reload_done_fn *done, void *ctx)
{
	struct reload *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	r->options = o;
	r->slot = slot;
	r->loop = l;
	r->done = done;
	r->ctx = ctx;
	r->mail.fn = deliver;
	r->results_end = &r->results;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->wake, NULL);
	if (thread_start(&r->thread, "smar-reload", THREAD_ANY_CPU, run, r)) {
		free(r);
		return NULL;
	}
	return r;
}

uint64_t reload_request(struct reload *r)
{
	pthread_mutex_lock(&r->lock);
	uint64_t number = ++r->asked;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
	return number;
}

void reload_stop(struct reload *own)
{
	if (!own)
		return;
	pthread_mutex_lock(&own->lock);
	own->stop = true;
	pthread_cond_signal(&own->wake);
	pthread_mutex_unlock(&own->lock);
	thread_join(own->thread);
	while (own->results) {
		struct result *next = own->results->next;

		report_free(&own->results->report);
		free(own->results);
		own->results = next;
	}
	pthread_mutex_destroy(&own->lock);
	pthread_cond_destroy(&own->wake);
	free(own);
}
