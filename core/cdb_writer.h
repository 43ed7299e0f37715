/*
 * core/cdb_writer.h - the inside of struct cdb_writer, for cdb_write.c, cdb_helper.c and cdb_file.c
 * alone.
 *
 * Owner:  appenders (any loop) touch `current` and slots they hold; the helper thread gives slots
 *         to segments; the thread of loop `notify` tells.
 * Memory: slots are part of the writer and never freed, so that an appender may touch the count of
 *         one that has just gone out of use: it counts first, then looks whether the slot is still
 *         the current one.
 * Locks:  mu, over a few lines of memory only; cdb_append() does not take it.
 */
#ifndef CORE_CDB_WRITER_H
#define CORE_CDB_WRITER_H
#include "core/cdb_write.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

enum {
	CDB_SLOTS = 16,     /* current, next, and full ones that are not closed yet */
	CDB_POOL_MAX = 8,   /* renewed segments that wait for use */
	CDB_BIAS = 1 << 30, /* reference of a slot to itself until it is left */
};

/* A segment in use. seg, gen, bytes and fd change only while nobody can hold the slot; `current`
 * publishes them. */
struct cdb_slot {
	uint64_t seg, gen, bytes;
	int fd;
	_Atomic uint64_t next; /* first free byte */
	atomic_int holders;    /* appenders inside, and CDB_BIAS */
	_Atomic(struct cdb_slot *) successor;
	atomic_bool bad;      /* the disk refused a write or sync: nothing more is written */
	atomic_bool finished; /* nothing comes any more: the last holder has left */
	bool in_use, told_open, told_seal; /* mu */
};

/* Work for the helper. */
struct cdb_job {
	struct cdb_job *next;
	enum { CDB_JOB_FREE = 0, CDB_JOB_KILL, CDB_JOB_SEAL, CDB_JOB_PUNCH } what;
	struct cdb_ref ref; /* CDB_JOB_KILL; else seg and gen */
	uint64_t ta;
	struct cdb_run *run; /* CDB_JOB_PUNCH */
	unsigned run_count;
	int error; /* its result, and what is left */
	uint64_t left;
};

struct cdb_spare {
	uint64_t seg, gen, bytes;
	int fd;
	bool told;
};

/* Lives on when the writer goes first; the loop frees it then, if it runs again. */
struct cdb_note {
	struct loop_mail mail;
	atomic_bool posted;
	struct cdb_writer *w;  /* thread of loop notify; NULL: gone */
	struct cdb_note *next; /* of those left behind */
};

struct cdb_writer {
	struct cdb_writer_setup s;
	char *base;
	uint64_t segment_bytes;
	struct cdb_note *note;
	_Atomic(struct cdb_slot *) current;
	atomic_int error; /* why there is no next segment, 0: it is on its way */
	atomic_bool kicked, stop;
	sem_t work;
	pthread_t helper;
	pthread_mutex_t mu; /* jobs, flags of slots, pool; not taken by cdb_append() */
	struct cdb_job *jobs, **jobs_end;
	unsigned job_count;
	struct cdb_job *done; /* to be told */
	struct cdb_slot slot[CDB_SLOTS];
	struct cdb_slot none;   /* full; current until the first segment is synced */
	struct cdb_slot *first; /* that the helper is to sync first; NULL: none */
	int first_error;
	sem_t first_done;
	struct cdb_spare pool[CDB_POOL_MAX]; /* changed by the helper alone */
	unsigned pool_count;
	/* of the helper */
	uint64_t last_seg;
	usec_t retry_at, retry_usec; /* 0: no retry */
};

/* Any thread: something is to be told in loop notify. */
void cdb_writer_announce(struct cdb_writer *w);
/* Any thread: a reference to the current slot, and giving `count` of them back. */
struct cdb_slot *cdb_writer_hold(struct cdb_writer *w);
void cdb_writer_let_go(struct cdb_writer *w, struct cdb_slot *s, int count);
/* From a slot that is held to its successor. 0, -EAGAIN or why there is none. */
int cdb_writer_go_on(struct cdb_writer *w, struct cdb_slot *s);

/* Frees it, whoever has it. */
void cdb_writer_end_job(struct cdb_job *own);

/* The helper thread; and the first segment, before it runs, synced or not: NULL and *error. */
void cdb_helper_run(void *writer);
struct cdb_slot *cdb_helper_prepare(struct cdb_writer *w, bool synced, int *error);

#endif
