/*
 * tests/queue/sim.h - the whole of qmgr in one process, on a clock that the test moves, between
 * peers that the test plays: smtps, smtpc and smar talk to it over its own sockets, from the thread
 * of the test.
 *
 * Life:    sim_life() forks; the child starts qmgr's main() in a thread, runs a script, stops qmgr
 *          and ends. What must be known afterwards goes into memory of sim_shared().
 * Folder:  database, segments and sockets stay for the next life.
 * Thread:  the child's main thread; all calls below.
 * Time:    sim_now() is what the wall clock would be without jumps; times of attempts are exact.
 */
#ifndef TESTS_QUEUE_SIM_H
#define TESTS_QUEUE_SIM_H
#include "core/cdb_read.h"
#include "core/envelope.h"
#include "core/msg.h"
#include "core/route.h"
#include "tests/queue/sim_clock.h"

#include <stdatomic.h>

enum { SIM_CRASHED = 99 };

struct sim_setup {
	const char *options; /* more of the section qmgr */
	const char *dir;     /* NULL: the folder of the test */
	unsigned loops;      /* 0: 1 */
	unsigned workers;    /* of smtpc, 0: 1 */
	unsigned smtps;      /* number of the worker of smtps: what it takes goes to that loop */
	bool slow_ticks;     /* timers of loops for 0.1, 1 and 5 s (feedback, suspensions) come
				   after ten minutes: days pass faster */
	bool many_cores; /* threads run at the same time; else one by one: faster, and repeatable */
	usec_t started_at; /* sim_now() at the start, 0: SIM_BEGIN */
	usec_t wall_off;   /* so far the wall clock is from sim_now() at the start */
	bool same_boot;    /* the machine ran on since the first life of this boot: the monotonic
				   clock goes on, too */
	uint64_t segment_bytes; /* of smtps, 0: 1 MB */
};
/* Noon of a day in 2026. */
#define SIM_BEGIN ((usec_t)1782043200 * USEC_PER_SEC)

/* Runs script(arg) beside a qmgr of its own; when it returns qmgr is stopped. Returns 0, 1 when
 * sim_ok() saw something false, SIM_CRASHED, or what else the process ended with. */
int sim_life(const struct sim_setup *s, void (*script)(void *arg), void *arg);
/* One check of a script; says what was wrong. */
bool sim_ok(bool cond, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Zeroed memory that parent and children share. */
void *sim_shared(size_t bytes);
/* Empties the folder, for the next test. */
void sim_clean(const char *dir);
/* The end of this life without any notice. */
_Noreturn void sim_crash(void);
/* Ends qmgr as TERM does, before the script ends: for what is to be seen afterwards. */
void sim_stop(void);

/* ---- time */
usec_t sim_now(void);
/* All that can happen now has happened. */
void sim_settle(void);
/* To that time of sim_now(), or by so much. */
void sim_until(usec_t at);
void sim_pass(usec_t usec);
/* To the next instant that anybody waits for, at most `limit` of sim_now(). False: that was it. */
bool sim_step(usec_t limit);

/* ---- smtps */
struct sim_rcpt {
	const char *addr;
	const struct route *route; /* NULL: smar is asked */
	uint8_t notify;
	const char *orcpt;
};
struct sim_message {
	const char *sender; /* "": null reverse-path */
	const char *client; /* NULL: 192.0.2.1 */
	const char *envid;
	uint8_t ret;
	uint16_t flags;
	unsigned size; /* of the body, 0: a line */
	bool own_file; /* also what is too large for a segment */
	uint64_t id;   /* of sim_next_id(); 0: a new one */
	unsigned count;
	const struct sim_rcpt *rcpt;
};
uint64_t sim_next_id(void);
/* Writes the record and asks for the commit; the answer comes later. Returns the id; 0: no record
 * could be written. */
uint64_t sim_commit(const struct sim_message *m);
/* The same, and waits for the answer. Returns its code: 0 accepted. */
int sim_accept(const struct sim_message *m, uint64_t *ta);
/* Asks again for that commit, as a worker whose link broke before the answer, and waits. */
int sim_accept_again(const struct sim_message *m, uint64_t ta);
/* One recipient that smar is asked for. */
uint64_t sim_mail(const char *sender, const char *rcpt);
/* conn_open; the code of the answer. */
int sim_connect(const char *client);
void sim_disconnect(const char *client);

/* ---- smtpc */
struct sim_attempt {
	struct sim_attempt *next;
	uint64_t id, run, ta;
	usec_t at; /* it came */
	uint8_t mailer, keep, others;
	unsigned worker;
	struct addr host;
	struct cdb_ref ref;
	bool cancelled;
	struct arena *arena;
	struct envelope env; /* its recipients */
};
/* Those that go on, oldest first. */
extern struct sim_attempt *sim_attempts;
unsigned sim_attempt_count(void);

/* What becomes of an attempt; the rest of a result. */
struct sim_result {
	uint8_t outcome; /* of all recipients, unless `each` says something else */
	uint8_t stage;
	const char *reply;   /* NULL: a fitting one */
	const uint8_t *each; /* enum msg_outcome per recipient, in the order of the attempt */
	bool failure;        /* no session came up */
	bool dsn;            /* the host takes NOTIFY */
	bool closed;         /* the session is not kept, even if qmgr wants it */
};
/* Answers and frees it. */
void sim_result(struct sim_attempt *own, const struct sim_result *r);
void sim_done(struct sim_attempt *own);
void sim_later(struct sim_attempt *own, const char *reply);
void sim_fail(struct sim_attempt *own, const char *reply);
/* The host cannot be reached. */
void sim_unreachable(struct sim_attempt *own);
/* Forgets it, as a process that died. */
void sim_drop(struct sim_attempt *own);
/* Its content: text of `out`; the record must be whole and that of the transaction. */
bool sim_content(const struct sim_attempt *a, struct buf *out);
/* What a smtpc that outlived qmgr knows, for a life after that one: kept in shared memory. */
struct sim_left {
	uint64_t id, run, ta;
	uint8_t mailer;
	unsigned worker;
	struct addr host;
	uint32_t count, idx[8];
};
/* Fills in that of an attempt. */
void sim_leave(const struct sim_attempt *a, struct sim_left *out);
/* In the hook `back`, or when it ends: it goes on; it has ended. */
void sim_left_state(const struct sim_left *a);
void sim_left_result(const struct sim_left *a, uint8_t outcome);
/* The links of smtpc break, and are there again. */
void sim_smtpc_break(void);
/* smtpc's process ends, and another one comes. */
void sim_smtpc_end(void);
void sim_smtpc_begin(void);
/* "10.0.0.1 10.0.0.2:26". */
struct route sim_route(const char *hosts);
bool sim_host_is(const struct sim_attempt *a, const char *ip);

/* ---- what the peers do, all may be NULL; set them before the life, it begins with attempts */
struct sim_hooks {
	/* Answers at once, or leaves the attempt to the script. NULL: sim_done(). */
	void (*deliver)(struct sim_attempt *a);
	void (*cancel)(struct sim_attempt *a); /* NULL: it is cancelled: later */
	void (*committed)(uint64_t ta, unsigned code);
	/* The link of this worker is up: before it says that this was all. NULL: those of this life
	 * go on. */
	void (*back)(unsigned worker);
	/* 0, 1 later, 2 never, -1 no answer. NULL: "x@d7.test" goes to 10.0.0.7. */
	int (*route)(struct span rcpt, struct route *out);
};
extern struct sim_hooks sim_on;

/* ---- the operator */
/* One request to the control socket; time passes until the answer is there. Text, to be freed. */
char *sim_ask(const char *request);

/* ---- the state of qmgr; look only when all is quiet */
struct sim_rows {
	unsigned ibdb, marks, deferred, due; /* rows */
	unsigned aq, iqdb;                   /* recipients */
	unsigned transactions;               /* in the table */
};
struct sim_rows sim_rows(void);
/* Records of the content database that are not finished. */
unsigned sim_records(void);

/* ---- faults of the disk */
/* The process ends in the n-th call from now on that writes or syncs; 0: never. */
void sim_crash_at_write(unsigned n);
/* The next n batches for the database fail; syncs of segments. */
void sim_fail_batches(unsigned n);
void sim_fail_syncs(unsigned n);
/* When (sim_now()) the last batch was written, a call failed, the process crashed: kept in shared
 * memory, so that the parent knows what a crash left behind. */
struct sim_disk {
	_Atomic usec_t written_at, failed_at, crashed_at;
};
void sim_watch_disk(struct sim_disk *shared);

#endif
