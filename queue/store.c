#include "queue/store.h"

#include "core/err.h"
#include "core/log.h"
#include "core/wire.h"
#include "queue/damage.h"
#include "queue/rocks.h"
#include "queue/store_log.h"
#include "queue/store_wal.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Format 1 of the database had no `parked`, format 1 of a deferred record no flags, 2 no park. */
enum {
	FORMAT = 2,
	OLDEST_FORMAT = 1,
	TA_FORMAT = 1,
	TA_FORMAT_AGAIN = 2,
	DEFERRED_FORMAT = 3,
	PARK_FORMAT = 1
};
enum { NO_LEVEL = 5 }; /* above the levels of RocksDB's messages */
enum { DEFERRED_HELD = 1u << 0, DEFERRED_FORCED = 1u << 1 };

static const char *const family_name[STORE_FAMILIES] = { "default", "ibdb", "defedb", "due",
							 "parked" };

struct store {
	rocksdb_t *db;
	rocksdb_options_t *options;
	rocksdb_block_based_table_options_t *table;
	rocksdb_cache_t *cache;
	rocksdb_column_family_handle_t *family[STORE_FAMILIES];
	rocksdb_writeoptions_t *write;
	rocksdb_readoptions_t *read;
	pthread_rwlock_t opened;
	bool read_only;
};

struct store_batch {
	rocksdb_writebatch_t *b;
};

struct store_iter {
	struct store *store;
	rocksdb_iterator_t *it;
	rocksdb_readoptions_t *read;
	enum store_family family;
	bool absent; /* a family that an older database lacks: empty */
	bool failed;
};

static _Thread_local char last_error[512];

const char *store_error(void)
{
	return last_error;
}

/* RocksDB's C API tells errors as text only. Takes and frees it. */
static int classify(char *err)
{
	int rc = -EIO;

	if (!err)
		return 0;
	snprintf(last_error, sizeof last_error, "%s", err);
	if (strstr(err, "No space left") || strstr(err, "NoSpace"))
		rc = -ENOSPC;
	else if (strstr(err, "Corruption"))
		rc = -EUCLEAN;
	else if (strstr(err, "lock"))
		rc = -EBUSY;
	free(err);
	return rc;
}

/* As classify(), of a database that is in use. */
static int tell(const struct store *s, char *err)
{
	int rc = classify(err);

	if (rc == -EUCLEAN && !s->read_only)
		damage_tell(last_error);
	return rc;
}

static rocksdb_options_t *make_options(struct store *s, const struct store_setup *set,
				       int recovery_mode)
{
	rocksdb_options_t *o = rocks.options_create();

	rocks.options_set_create_if_missing(o, !set->read_only);
	rocks.options_set_create_missing_column_families(o, !set->read_only);
	rocks.options_set_wal_dir(o, set->log_dir);
	rocks.options_set_max_total_wal_size(o, set->log_bytes);
	rocks.options_set_write_buffer_size(
		o, set->log_bytes / 4 < (4u << 20) ? 4u << 20 : set->log_bytes / 4);
	rocks.options_set_max_background_jobs(o, 2);
	rocks.options_set_keep_log_file_num(o, 2);
	/* Nothing goes into LOG: when it cannot be written RocksDB 7.8 ends the process by an assertion.
	 * Its errors come with the next write. With a limit of size it would write a header. */
	rocks.options_set_info_log_level(o, NO_LEVEL);
	rocks.options_set_wal_recovery_mode(o, recovery_mode);
	rocks.options_set_paranoid_checks(o, 1);
	rocks.options_set_disable_auto_compactions(o, set->no_compaction);
	rocks.options_set_stats_dump_period_sec(o, 0);
	rocks.options_set_max_file_opening_threads(o, 1); /* the files are few */
	if (set->keep_logs)
		rocks.options_set_WAL_ttl_seconds(o, UINT64_MAX / 4);
	s->cache = rocks.cache_create_lru(set->cache_bytes);
	s->table = rocks.block_based_options_create();
	rocks.block_based_options_set_block_size(s->table, set->page_bytes);
	rocks.block_based_options_set_block_cache(s->table, s->cache);
	rocks.block_based_options_set_filter_policy(s->table, rocks.filterpolicy_create_bloom(10));
	rocks.options_set_block_based_table_factory(o, s->table);
	return o;
}

static void close_db(struct store *s)
{
	for (int i = 0; i < STORE_FAMILIES; i++) {
		if (s->family[i])
			rocks.column_family_handle_destroy(s->family[i]);
		s->family[i] = NULL;
	}
	if (s->db)
		rocks.close(s->db);
	if (s->table)
		rocks.block_based_options_destroy(s->table);
	if (s->cache)
		rocks.cache_destroy(s->cache);
	if (s->options)
		rocks.options_destroy(s->options);
	s->db = NULL;
	s->table = NULL;
	s->cache = NULL;
	s->options = NULL;
}

/* A database that an older version has made lacks a family: who only reads finds nothing in it. */
static int families_to_read(struct store *s, const struct store_setup *set, int *which)
{
	char *err = NULL;
	size_t count = 0;
	char **there = rocks.list_column_families(s->options, set->dir, &count, &err);
	int n = 0;

	/* What is wrong with it is said by the attempt to open it. */
	free(err);
	for (int i = 0; i < STORE_FAMILIES; i++) {
		bool found = !there;

		for (size_t k = 0; there && k < count; k++)
			found = found || !strcmp(there[k], family_name[i]);
		if (found)
			which[n++] = i;
	}
	if (there)
		rocks.list_column_families_destroy(there, count);
	return n;
}

static int open_to_read(struct store *s, const struct store_setup *set)
{
	const rocksdb_options_t *options[STORE_FAMILIES];
	rocksdb_column_family_handle_t *family[STORE_FAMILIES] = { NULL };
	const char *name[STORE_FAMILIES];
	int which[STORE_FAMILIES];
	char *err = NULL;
	int n = families_to_read(s, set, which);

	for (int i = 0; i < n; i++) {
		options[i] = s->options;
		name[i] = family_name[which[i]];
	}
	s->db = rocks.open_for_read_only_column_families(s->options, set->dir, n, name, options,
							 family, 0, &err);
	for (int i = 0; i < n; i++)
		s->family[which[i]] = family[i];
	return classify(err);
}

static int open_once(struct store *s, const struct store_setup *set, int recovery_mode)
{
	const rocksdb_options_t *options[STORE_FAMILIES];
	char *err = NULL;

	s->options = make_options(s, set, recovery_mode);
	for (int i = 0; i < STORE_FAMILIES; i++)
		options[i] = s->options;
	if (set->read_only)
		return open_to_read(s, set);
	s->db = rocks.open_column_families(s->options, set->dir, STORE_FAMILIES, family_name,
					   options, s->family, &err);
	return classify(err);
}

/* Every write is synced before the next, so the log may end in one torn write. RocksDB takes it for
 * the end only if it is cut off; when its sectors reached the disk in another order it is
 * "corrupt". Then what is before it counts: nothing behind it was ever told to anybody, and what
 * the segments hold is replayed from there. Damage before the last write is an error. */
static int open_db(struct store *s, const struct store_setup *set)
{
	int rc = open_once(s, set, rocksdb_tolerate_corrupted_tail_records_recovery);

	if (rc != -EUCLEAN)
		return rc;
	char first[sizeof last_error], what[STORE_LOG_PATH + 100];
	memcpy(first, last_error, sizeof first);
	close_db(s);
	int wal = store_wal_check(set->log_dir, what, sizeof what);
	if (wal == STORE_WAL_DAMAGED)
		snprintf(last_error, sizeof last_error,
			 "Corruption: %.160s, and there are later writes", what);
	else if (wal != STORE_WAL_TORN)
		memcpy(last_error, first, sizeof last_error);
	if (wal != STORE_WAL_TORN)
		return rc;
	rc = open_once(s, set, rocksdb_point_in_time_recovery);
	if (!rc)
		log_event(LOG_LV_ERROR, LOG_SEV_WARN, "store",
			  "dir=%s, stat=opened as it was before a damaged end of its log, error=%s",
			  set->log_dir, first);
	return rc;
}

static void release(struct store *s)
{
	close_db(s);
	rocks.writeoptions_destroy(s->write);
	rocks.readoptions_destroy(s->read);
	pthread_rwlock_destroy(&s->opened);
	free(s);
}

static bool is_empty(struct store *s)
{
	bool found = false;

	for (int i = 0; i < STORE_FAMILIES && !found; i++) {
		struct store_iter *it = store_iter_new(s, (enum store_family)i, SPAN(""));

		found = store_iter_valid(it);
		if (store_iter_end(it))
			found = true;
	}
	return !found;
}

static int write_format(struct store *s, struct store_key key)
{
	struct store_batch *b = store_batch_new();
	char f = FORMAT;

	store_put(s, b, STORE_META, store_key_span(&key), span_of(&f, 1));
	int rc = store_write(s, b);
	store_batch_free(b);
	return rc;
}

/* The row is the first that is ever written: a database without any row is one whose making was cut
 * short. */
static int check_format(struct store *s, bool read_only)
{
	struct store_key key = store_key_word("format");
	char *v;
	size_t n;
	int rc = store_get(s, STORE_META, store_key_span(&key), &v, &n);

	if (rc == -ENOENT && is_empty(s))
		return read_only ? 0 : write_format(s, key);
	if (rc == -ENOENT) {
		snprintf(last_error, sizeof last_error, "rows without a format");
		return -EUCLEAN;
	}
	if (rc)
		return rc;
	bool older = n == 1 && v[0] >= OLDEST_FORMAT && v[0] < FORMAT;
	if (older && !read_only) {
		rc = write_format(s, key);
	} else if (!older && (n != 1 || v[0] != FORMAT)) {
		snprintf(last_error, sizeof last_error, "format %d, this program knows %d",
			 n ? v[0] : -1, FORMAT);
		rc = -EPROTONOSUPPORT;
	}
	free(v);
	return rc;
}

static int flush_all(struct store *s, bool wait)
{
	rocksdb_flushoptions_t *o = rocks.flushoptions_create();
	int first = 0;

	rocks.flushoptions_set_wait(o, wait);
	for (int i = 0; i < STORE_FAMILIES; i++) {
		char *err = NULL;

		rocks.flush_cf(s->db, o, s->family[i], &err);
		int rc = classify(err);
		first = first ? first : rc;
	}
	rocks.flushoptions_destroy(o);
	return first;
}

/* What only the old log has goes into the files of the database. */
static int leave_old_log(struct store *s, const struct store_setup *set, const struct store_log *l)
{
	struct store_setup old = *set;

	old.log_dir = l->from;
	int rc = open_db(s, &old);
	if (!rc)
		rc = flush_all(s, true);
	close_db(s);
	if (!rc)
		log_event(LOG_LV_INFO, LOG_SEV_INFO, "store", "stat=log moves, from=%s, to=%s",
			  l->from, l->to);
	return rc;
}

/* Opens with the log where it is, and moves it to where it has to be. */
static int open_with_log(struct store *s, const struct store_setup *set, struct store_log *l)
{
	struct store_setup now = *set;
	int rc = store_log_find(l, set->dir, set->log_dir, set->read_only, last_error,
				sizeof last_error);

	if (rc)
		return rc;
	if (set->read_only) {
		now.log_dir = l->from;
		return open_db(s, &now);
	}
	rc = store_log_moves(l) ? leave_old_log(s, set, l) : 0;
	if (!rc)
		rc = store_log_settle(l, last_error, sizeof last_error);
	if (!rc)
		rc = open_db(s, set);
	if (!rc)
		store_log_clean(l, set->keep_logs);
	return rc;
}

struct store *store_open(const struct store_setup *set, int *error, char *why, size_t cap,
			 bool *created)
{
	const char *missing = rocks_load();

	if (missing) {
		*error = -ELIBACC;
		snprintf(why, cap, "%s", missing);
		return NULL;
	}
	struct store *s = xcalloc(1, sizeof *s);
	struct store_log *l = xcalloc(1, sizeof *l);

	pthread_rwlock_init(&s->opened, NULL);
	s->write = rocks.writeoptions_create();
	rocks.writeoptions_set_sync(s->write, 1);
	s->read = rocks.readoptions_create();
	s->read_only = set->read_only;
	*error = open_with_log(s, set, l);
	*created = l->is_new;
	free(l);
	if (!*error)
		*error = check_format(s, set->read_only);
	if (*error) {
		snprintf(why, cap, "%s", last_error);
		release(s);
		return NULL;
	}
	return s;
}

uint64_t store_cache_bytes(const struct store *s)
{
	return rocks.cache_get_capacity(s->cache);
}

int store_reopen(struct store *s, const struct store_setup *set)
{
	pthread_rwlock_wrlock(&s->opened);
	close_db(s);
	int rc = open_db(s, set);
	if (rc)
		close_db(s);
	pthread_rwlock_unlock(&s->opened);
	return rc;
}

void store_empty_log(struct store *s)
{
	if (s->db)
		flush_all(s, true);
}

void store_close(struct store *s)
{
	if (s)
		release(s);
}

struct store_batch *store_batch_new(void)
{
	struct store_batch *b = xmalloc(sizeof *b);
	const char *missing = rocks_load();

	/* Who has a store has loaded it. */
	if (missing)
		panic("%s", missing);

	b->b = rocks.writebatch_create();
	return b;
}

void store_batch_free(struct store_batch *b)
{
	rocks.writebatch_destroy(b->b);
	free(b);
}

void store_put(struct store *s, struct store_batch *b, enum store_family f, struct span key,
	       struct span value)
{
	rocks.writebatch_put_cf(b->b, s->family[f], key.p, key.n, value.n ? value.p : "", value.n);
}

void store_delete(struct store *s, struct store_batch *b, enum store_family f, struct span key)
{
	rocks.writebatch_delete_cf(b->b, s->family[f], key.p, key.n);
}

void store_delete_once(struct store *s, struct store_batch *b, enum store_family f, struct span key)
{
	rocks.writebatch_singledelete_cf(b->b, s->family[f], key.p, key.n);
}

unsigned store_batch_count(struct store_batch *b)
{
	return (unsigned)rocks.writebatch_count(b->b);
}

int store_write(struct store *s, struct store_batch *b)
{
	char *err = NULL;

	if (!s->db)
		return -EIO;
	rocks_write(s->db, s->write, b->b, &err);
	int rc = tell(s, err);
	if (!rc)
		rocks.writebatch_clear(b->b);
	return rc;
}

uint64_t store_batch_bytes(struct store_batch *b)
{
	size_t n;

	rocks.writebatch_data(b->b, &n);
	return n;
}

int store_checkpoint(struct store *s)
{
	return flush_all(s, false);
}

int store_get(struct store *s, enum store_family f, struct span key, char **value, size_t *n)
{
	char *err = NULL;
	int rc;

	pthread_rwlock_rdlock(&s->opened);
	*value = s->db && s->family[f]
			 ? rocks.get_cf(s->db, s->read, s->family[f], key.p, key.n, n, &err)
			 : NULL;
	rc = s->db ? tell(s, err) : -EIO;
	pthread_rwlock_unlock(&s->opened);
	if (rc)
		return rc;
	return *value ? 0 : -ENOENT;
}

struct store_iter *store_iter_new(struct store *s, enum store_family f, struct span from)
{
	struct store_iter *it = xcalloc(1, sizeof *it);

	pthread_rwlock_rdlock(&s->opened);
	it->store = s;
	it->family = f;
	it->absent = s->db && !s->family[f];
	if (!s->db || it->absent)
		return it;
	it->read = rocks.readoptions_create();
	it->it = rocks.create_iterator_cf(s->db, it->read, s->family[f]);
	store_iter_seek(it, from);
	return it;
}

void store_iter_seek(struct store_iter *it, struct span from)
{
	/* One that has met a damaged block does not always come out of it. */
	if (it->failed) {
		rocks.iter_destroy(it->it);
		it->it = rocks.create_iterator_cf(it->store->db, it->read,
						  it->store->family[it->family]);
		it->failed = false;
	}
	if (it->it)
		rocks.iter_seek(it->it, from.n ? from.p : "", from.n);
}

bool store_iter_valid(struct store_iter *it)
{
	return it->it && rocks.iter_valid(it->it);
}

struct span store_iter_key(struct store_iter *it)
{
	size_t n;
	const char *p = rocks.iter_key(it->it, &n);

	return span_of(p, n);
}

struct span store_iter_value(struct store_iter *it)
{
	size_t n;
	const char *p = rocks.iter_value(it->it, &n);

	return span_of(p, n);
}

void store_iter_next(struct store_iter *it)
{
	rocks.iter_next(it->it);
}

int store_iter_error(struct store_iter *it)
{
	char *err = NULL;

	if (!it->it)
		return it->absent ? 0 : -EIO;
	rocks.iter_get_error(it->it, &err);
	int rc = tell(it->store, err);
	it->failed = rc != 0;
	return rc;
}

int store_iter_end(struct store_iter *it)
{
	int rc = store_iter_error(it);

	if (it->it) {
		rocks.iter_destroy(it->it);
		rocks.readoptions_destroy(it->read);
	}
	pthread_rwlock_unlock(&it->store->opened);
	free(it);
	return rc;
}

struct span store_mark(bool reported, bool warned)
{
	if (warned)
		return reported ? SPAN("rw") : SPAN("w");
	return reported ? SPAN("r") : SPAN("");
}

bool store_mark_warned(struct span value)
{
	return value.n && value.p[value.n - 1] == 'w';
}

bool store_mark_reported(struct span value)
{
	return value.n && value.p[0] == 'r';
}

size_t store_ta_head_encode(const struct cdb_ref *ref, char *dst)
{
	struct wire_w w = wire_writer(dst, STORE_TA_HEAD);

	wire_put_u8(&w, TA_FORMAT);
	wire_put_u64(&w, ref->seg);
	wire_put_u64(&w, ref->gen);
	wire_put_u64(&w, ref->off);
	wire_put_u64(&w, ref->len);
	return w.n;
}

int store_ta_decode(struct span value, struct cdb_ref *ref, struct span *envelope)
{
	struct wire_r r = wire_reader(value);
	uint8_t format = wire_get_u8(&r);

	if (format != TA_FORMAT && format != TA_FORMAT_AGAIN)
		return -EUCLEAN;
	ref->seg = wire_get_u64(&r);
	ref->gen = wire_get_u64(&r);
	ref->off = wire_get_u64(&r);
	ref->len = wire_get_u64(&r);
	if (r.bad)
		return -EUCLEAN;
	*envelope = span_of(r.p, (size_t)(r.end - r.p));
	return 0;
}

void store_ta_set_again(char *head)
{
	*head = TA_FORMAT_AGAIN;
}

bool store_ta_is_again(struct span value)
{
	return value.n && *value.p == TA_FORMAT_AGAIN;
}

size_t store_deferred_encode(const struct store_deferred *d, char *dst)
{
	struct wire_w w = wire_writer(dst, STORE_DEFERRED_MAX);

	wire_put_u8(&w, DEFERRED_FORMAT);
	wire_put_u8(&w,
		    (uint8_t)((d->held ? DEFERRED_HELD : 0) | (d->forced ? DEFERRED_FORCED : 0)));
	wire_put_u64(&w, (uint64_t)d->wall_next);
	wire_put_u64(&w, (uint64_t)d->wall_last);
	wire_put_u32(&w, d->attempts);
	wire_put_u8(&w, d->warned);
	wire_put_u8(&w, d->stage);
	wire_put_u64(&w, d->park);
	wire_put_str(&w, span_head(d->reply, 1000));
	wire_put_str(&w, span_head(d->route, ROUTE_BYTES_MAX));
	return w.n;
}

int store_deferred_decode(struct span value, struct store_deferred *out)
{
	struct wire_r r = wire_reader(value);
	uint8_t format = wire_get_u8(&r), flags = format >= 2 ? wire_get_u8(&r) : 0;

	if (format < 1 || format > DEFERRED_FORMAT)
		return -EUCLEAN;
	out->held = flags & DEFERRED_HELD;
	out->forced = flags & DEFERRED_FORCED;
	out->wall_next = (usec_t)wire_get_u64(&r);
	out->wall_last = (usec_t)wire_get_u64(&r);
	out->attempts = wire_get_u32(&r);
	out->warned = wire_get_u8(&r);
	out->stage = wire_get_u8(&r);
	out->park = format >= 3 ? wire_get_u64(&r) : 0;
	out->reply = wire_get_str(&r);
	out->route = format >= 2 ? wire_get_str(&r) : span_of("", 0);
	return wire_done(&r) ? 0 : -EUCLEAN;
}

size_t store_park_encode(const struct store_park *p, char *dst)
{
	struct wire_w w = wire_writer(dst, STORE_PARK_MAX);

	wire_put_u8(&w, PARK_FORMAT);
	wire_put_u64(&w, p->suspension);
	wire_put_u64(&w, (uint64_t)p->wall_next);
	wire_put_u32(&w, p->failures);
	wire_put_str(&w, span_head(p->route, ROUTE_BYTES_MAX));
	return w.n;
}

int store_park_decode(struct span value, struct store_park *out)
{
	struct wire_r r = wire_reader(value);

	if (wire_get_u8(&r) != PARK_FORMAT)
		return -EUCLEAN;
	out->suspension = wire_get_u64(&r);
	out->wall_next = (usec_t)wire_get_u64(&r);
	out->failures = wire_get_u32(&r);
	out->route = wire_get_str(&r);
	return wire_done(&r) ? 0 : -EUCLEAN;
}
