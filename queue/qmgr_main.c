/*
 * queue/qmgr_main.c - qmgr, the queue manager: start, signals, end. See qmgr(8).
 *
 * Threads: loop 0 in the main thread (also listeners, control socket, signals), loops 1 to N - 1,
 *          the committer, the keeper, the clerk, the reclaimer, and what RocksDB, liburcu and the log start for
 *          themselves.
 * Start:   the loops run and smtps may connect while a thread opens the database: clients are greeted,
 *          what needs the database is held (queue/intake.h). All else starts when it is open.
 */
#include "core/cdb_write.h"
#include "core/err.h"
#include "core/log.h"
#include "core/process.h"
#include "core/thread.h"
#include "queue/agents.h"
#include "queue/clerk.h"
#include "queue/damage.h"
#include "queue/feedback.h"
#include "queue/icc.h"
#include "queue/intake.h"
#include "queue/iqdb.h"
#include "queue/keeper.h"
#include "queue/live.h"
#include "queue/park.h"
#include "queue/qadmin.h"
#include "queue/qclock.h"
#include "queue/qids.h"
#include "queue/qmgr_stats.h"
#include "queue/reclaim.h"
#include "queue/recover.h"
#include "queue/routes.h"
#include "queue/sched.h"
#include "queue/suspend.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sysexits.h>
#include <unistd.h>

enum { OPEN_ROOM_BYTES = 1 << 20 };
static const usec_t CLOCK_TOLD_USEC = 60 * (usec_t)USEC_PER_SEC;
static struct qmgr qm;
static struct process_signals signals;
static struct recovered found;
static struct keeper *keeper;

/* What ends when the disk is well, somebody makes room or another process ends: mcp tries again.
 * -EIO of RocksDB is all that it has no word for. */
static int exit_of(int error, const char *why)
{
	bool ends = error == -EBUSY || error == -ENOSPC || error == -EDQUOT || error == -EROFS ||
		    (error == -EIO &&
		     (strstr(why, "Input/output error") || strstr(why, "Read-only file system")));

	return ends ? EX_TEMPFAIL : EX_CONFIG;
}

/* RocksDB calls a missing file an I/O error. */
static const char *advice(int error, const char *why)
{
	bool damaged = error == -EUCLEAN || error == -ENOENT ||
		       (error == -EIO && strstr(why, "No such file"));

	if (exit_of(error, why) == EX_TEMPFAIL)
		return "; qmgr tries again";
	return damaged ? "; cdbctl rebuild makes a new one, rebuild -n lists first" : "";
}

/* On a full disk RocksDB does not open but abort. */
static void check_room(const char *dir)
{
	struct statvfs v;

	if (statvfs(dir, &v) || (uint64_t)v.f_bavail * v.f_frsize >= OPEN_ROOM_BYTES)
		return;
	fatal(EX_TEMPFAIL,
	      "database in %s: No space left on device: it wants %d KB to be opened; "
	      "qmgr starts again when there is room",
	      dir, OPEN_ROOM_BYTES >> 10);
}

static void tell_clock(void)
{
	usec_t by = clock_wall() - clock_steady();

	if (by > CLOCK_TOLD_USEC || by < -CLOCK_TOLD_USEC)
		log_event(LOG_LV_WARN, LOG_SEV_WARN, "qmgr",
			  "stat=the clock was set or is wrong, what waits does not follow it, "
			  "ahead=%lld",
			  (long long)(by / USEC_PER_SEC));
}

/* The thread that opens the database, and what came of it. */
static struct opener {
	pthread_t thread;
	int exit_code; /* 0: it is open */
	char text[800];
} opener;

static void open_failed(int exit_code, const char *why, int error, const char *more)
{
	opener.exit_code = exit_code;
	snprintf(opener.text, sizeof opener.text, "database in %s: %s%s%s%s%s",
		 qm.opt.defedb_base_directory, why, error ? " (" : "",
		 error ? strerror(-error) : "", error ? ")" : "", more);
}

static void open_store(void)
{
	const struct qmgr_options *o = &qm.opt;
	char why[600] = "";
	bool created;
	int error;

	qm.store_setup = (struct store_setup){
		.dir = o->defedb_base_directory,
		.log_dir = o->defedb_log_directory,
		.cache_bytes = o->defedb_cache_size,
		.page_bytes = o->defedb_page_size,
		.log_bytes = o->ibdb_size,
		.keep_logs = !(o->defedb_flags & QMGR_DEFEDB_F_REMOVE_UNUSED_LOGFILES)
	};
	qm.store = store_open(&qm.store_setup, &error, why, sizeof why, &created);
	if (!qm.store) {
		open_failed(exit_of(error, why), why, 0, advice(error, why));
		return;
	}
	log_event(LOG_LV_INFO, LOG_SEV_INFO, "qmgr", "stat=database is open, cache_bytes=%llu",
		  (unsigned long long)store_cache_bytes(qm.store));
	error = qclock_start(qm.store, o->queue_return_timeout);
	if (error) {
		open_failed(exit_of(error, store_error()), store_error(), error,
			    advice(error, store_error()));
		return;
	}
	tell_clock();
	error = recover(&qm, created, &found, why, sizeof why);
	if (error) {
		open_failed(exit_of(error, why), why, error, advice(error, why));
		return;
	}
	if (created && found.replayed)
		log_event(
			LOG_LV_ERROR, LOG_SEV_CRIT, "qmgr",
			"stat=database in %s was missing; the queue was made again from the content database",
			o->defedb_base_directory);
	error = qids_start(&qm, found.largest_counter);
	if (error) {
		snprintf(why, sizeof why, "reservation of ids: %s", store_error());
		open_failed(exit_of(error, why), why, error, advice(error, why));
		return;
	}
	error = suspend_load(&qm);
	if (error) {
		open_failed(exit_of(error, store_error()), store_error(), 0,
			    advice(error, store_error()));
		return;
	}
	damage_watch();
}

struct own_call {
	struct commit_call call;
	uint64_t seg, gen, end;
	bool sealed;
};

static void own_segment_call(struct commit_call *call)
{
	struct own_call *c = caa_container_of(call, struct own_call, call);
	int error;
	struct segments *t = committer_segments(call->committer);
	struct segment *g = segments_get(t, c->seg, c->gen, &error);

	segments_unspare(t, c->seg);
	if (g) {
		segment_owner(g, qm.hello.instance);
		if (c->sealed)
			segment_seal(t, g, c->end);
	}
	free(c);
}

static void own_segment(void *ctx, uint64_t seg, uint64_t gen, uint64_t end, bool sealed)
{
	struct own_call *c = xcalloc(1, sizeof *c);

	(void)ctx;
	*c = (struct own_call){
		.call.fn = own_segment_call, .seg = seg, .gen = gen, .end = end, .sealed = sealed
	};
	commit_call(qm.committer, &c->call, false);
}

static void own_spare_call(struct commit_call *call)
{
	struct own_call *c = caa_container_of(call, struct own_call, call);
	struct segments *t = committer_segments(call->committer);

	if (c->end)
		segments_spare(t, c->seg, c->end, qm.hello.instance);
	else
		segments_unspare(t, c->seg);
	free(c);
}

static void own_spare(void *ctx, uint64_t seg, uint64_t gen, uint64_t bytes)
{
	struct own_call *c = xcalloc(1, sizeof *c);

	(void)ctx;
	*c = (struct own_call){ .call.fn = own_spare_call, .seg = seg, .gen = gen, .end = bytes };
	commit_call(qm.committer, &c->call, false);
}

static bool recycle(void *ctx, uint64_t seg, uint64_t gen, uint64_t instance)
{
	if (instance != qm.hello.instance)
		return intake_recycle(ctx, seg, gen, instance);
	cdb_segment_free(qm.writer, seg, gen);
	return true;
}

static void bad_segment(void *ctx, uint64_t seg, uint64_t gen, uint64_t instance)
{
	if (instance == qm.hello.instance)
		cdb_segment_seal(qm.writer, seg, gen);
	else
		intake_bad(ctx, seg, gen, instance);
}

static void start_committer(void)
{
	struct committer_setup s;
	struct passwd *pw = getpwnam(SMX_SMTPC_USER);
	struct cdb_writer_setup w = { .base = qm.global.cdb_base_directory,
				      .gid = pw && geteuid() != pw->pw_uid ? pw->pw_gid : (gid_t)-1,
				      .notify = qm.loop[0].loop,
				      .segment = own_segment,
				      .spare = own_spare,
				      .ctx = &qm };
	int error = 0;

	live_committer(&qm.opt, &s);
	s.store = qm.store;
	s.reopen = qm.store_setup;
	s.segments = qm.segments;
	s.base = qm.global.cdb_base_directory;
	s.deferred = keeper_deferred;
	s.recycle = recycle;
	s.bad = bad_segment;
	s.sparse = reclaim_kick;
	s.ctx = &qm;
	qm.committer = committer_start(&s);
	qm.writer = cdb_writer_new(&w, &error);
	if (!qm.writer)
		fatal(EX_CANTCREAT, "content database in %s: %s", *w.base ? w.base : ".",
		      strerror(-error));
}

static void make_loops(void)
{
	unsigned n = qm.opt.max_threads ? qm.opt.max_threads : thread_cpu_count();

	if (n < qm.opt.min_threads)
		n = qm.opt.min_threads;
	qm.loop_count = n > QMGR_LOOPS_MAX ? QMGR_LOOPS_MAX : n;
	process_hello(&qm.hello, "qmgr", 0, qm.loop_count);
	for (unsigned i = 0; i < qm.loop_count; i++) {
		struct qloop *l = &qm.loop[i];

		l->n = i;
		l->q = &qm;
		l->loop = loop_new();
		if (!l->loop || sched_new(l) || routes_new(l))
			fatal(EX_OSERR, "cannot make event loop %u", i);
	}
	sched_init();
}

static void loop_main(void *arg)
{
	struct qloop *l = arg;

	stats_thread();
	loop_run(l->loop);
}

/* Loop 0 is that of the main thread. */
static void start_loops(void)
{
	for (unsigned i = 1; i < qm.loop_count; i++) {
		char name[16];

		snprintf(name, sizeof name, "loop-%u", i);
		if (thread_start(&qm.loop[i].thread, name, THREAD_ANY_CPU, loop_main, &qm.loop[i]))
			fatal(EX_OSERR, "cannot start a thread");
	}
}

/* What recovery found goes on its way, in loop 0. */
static void queue_found(void)
{
	struct qloop *l = &qm.loop[0];

	for (unsigned i = 0; i < found.ta_count; i++) {
		struct ta *ta = found.ta[i];
		uint32_t *idx = xmalloc((ta->env.rcpt_count + 1) * sizeof *idx);
		unsigned n = 0;

		for (uint32_t k = 0; k < ta->env.rcpt_count; k++)
			if (atomic_load(&ta->rcpt[k].state) == RCPT_ACTIVE)
				idx[n++] = k;
		if (n == 0)
			commit_finish(qm.committer, ta);
		else
			routes_queue(l, ta, idx, n, true);
		free(idx);
	}
	free(found.ta);
	found.ta = NULL;
}

static void terminate(void *ctx)
{
	(void)ctx;
	atomic_store(&qm.stopping, true);
	loop_stop(qm.loop[0].loop);
}

static void reload_signal(void *ctx)
{
	(void)ctx;
	live_reload(&qm, NULL);
}

/* Clients are greeted and tools are heard while the database is being opened; tools are answered
 * when it is. */
static void listen_early(void)
{
	int rc = intake_listen(&qm, qm.global.smtps_socket);

	if (rc)
		fatal(EX_CANTCREAT, "cannot listen on %s: %s", qm.global.smtps_socket,
		      strerror(-rc));
	if ((rc = qadmin_listen(&qm)))
		fatal(EX_CANTCREAT, "cannot listen on %s: %s", qm.opt.control_socket,
		      strerror(-rc));
}

static void listen_others(void)
{
	int rc;

	if ((rc = agents_listen(&qm, qm.global.smtpc_socket)))
		fatal(EX_CANTCREAT, "cannot listen on %s: %s", qm.global.smtpc_socket,
		      strerror(-rc));
}

static void tables(void)
{
	struct occ_setup occ = { .max_entries = qm.opt.occ_max_entries,
				 .initial = qm.opt.smtpc_initial_connections,
				 .max = qm.opt.smtpc_max_connections,
				 .keep_usec = 3600 * (usec_t)USEC_PER_SEC,
				 .retry_min_usec = qm.opt.retry_min_delay };
	struct icc_setup icc = { .max_entries = qm.opt.smtps_connection_control_cache_size,
				 .buckets = qm.opt.connection_control_hash_table_size,
				 .max_open = qm.opt.smtps_max_connections,
				 .max_rate = qm.opt.smtps_max_connection_rate };

	aq_init(qm.opt.aq_max_entries);
	iqdb_init(qm.opt.iqdb_hash_table_entries, qm.opt.iqdb_max_cache_entries);
	occ_init(&occ);
	icc_init(&icc);
	parks_init();
}

static void stop_all(void)
{
	clerk_stop();
	reclaim_stop();
	keeper_stop(keeper);
	for (unsigned i = 1; i < qm.loop_count; i++) {
		loop_stop(qm.loop[i].loop);
		thread_join(qm.loop[i].thread);
	}
	committer_stop(qm.committer);
	rcu_offline();
	cdb_writer_free(qm.writer);
	store_empty_log(qm.store);
	store_close(qm.store);
	rcu_online();
	log_event(LOG_LV_INFO, LOG_SEV_INFO, "qmgr", "stat=stopped");
	log_close();
}

/* In loop 0: all that needs the database. Signals are taken from here on. */
static void opened(struct qloop *l, void *arg)
{
	(void)l;
	(void)arg;
	thread_join(opener.thread);
	if (opener.exit_code)
		fatal(opener.exit_code, "%s", opener.text);
	start_committer();
	queue_found();
	keeper = keeper_start(&qm);
	if (clerk_start(&qm))
		fatal(EX_OSERR, "cannot start a thread");
	suspend_start(&qm);
	if (reclaim_start(&qm))
		fatal(EX_OSERR, "cannot start a thread");
	listen_others();
	qadmin_open(&qm);
	feedback_start(&qm);
	intake_open(&qm);
	signals = (struct process_signals){ .terminate = terminate, .reload = reload_signal };
	process_signals(&signals, qm.loop[0].loop);
	log_event(
		LOG_LV_INFO, LOG_SEV_INFO, "qmgr",
		"stat=started, version=%s, transactions=%u, recipients=%u, deferred=%u, replayed=%u, damaged=%u",
		SMX_VERSION, found.transactions, found.recipients, found.deferred, found.replayed,
		found.damaged);
}

static void opener_main(void *arg)
{
	(void)arg;
	stats_thread();
	if (!qids_start_early(&qm))
		intake_ids(&qm);
	open_store();
	iqdb_grow();
	icc_grow();
	qloop_post(&qm.loop[0], opened, NULL);
}

int main(int argc, char **argv)
{
	conf_main(&qmgr_options_component, argc, argv, &qm.opt, &qm.global, &qm.run);
	if (qm.run.first_arg < argc)
		fatal(EX_USAGE, "expected options only, found '%s'; -h tells them",
		      argv[qm.run.first_arg]);
	process_begin("qmgr", &qm.opt.common, qm.opt.max_fds);
	thread_main_register();
	qmgr_stats_define();
	stats_thread();
	if (live_start(&qm))
		fatal(EX_CONFIG, "errors in the map %s", qm.opt.conf);
	check_room(qm.opt.defedb_base_directory);
	check_room(qm.opt.defedb_log_directory);
	tables();
	make_loops();
	listen_early();
	start_loops();
	if (thread_start(&opener.thread, "opener", THREAD_ANY_CPU, opener_main, NULL))
		fatal(EX_OSERR, "cannot start a thread");
	loop_run(qm.loop[0].loop);
	stop_all();
	return 0;
}
