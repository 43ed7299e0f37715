#include "queue/qids.h"

#include "core/clock.h"
#include "core/ids.h"
#include "core/log.h"
#include "queue/idfile.h"
#include "tests/tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const uint64_t RANGE = (uint64_t)1 << 24;
static char dir[400];

/* One life of qmgr, as far as ids know it. */
static struct qmgr *begin(void)
{
	struct qmgr *q = calloc(1, sizeof *q);

	q->opt.defedb_base_directory = dir;
	return q;
}

static void open_store(struct qmgr *q)
{
	struct store_setup set = { .dir = dir,
				   .log_dir = dir,
				   .cache_bytes = 1 << 20,
				   .page_bytes = 4096,
				   .log_bytes = 1 << 20 };
	char why[300];
	bool created;
	int error;

	q->store = store_open(&set, &error, why, sizeof why, &created);
	if (!ok(q->store, "the database opens"))
		diag("%s", why);
}

/* Returns what is reserved. */
static uint64_t end(struct qmgr *q)
{
	uint64_t reserved = atomic_load(&q->reserved_id);

	store_close(q->store);
	free(q);
	return reserved;
}

static uint64_t first_life(void)
{
	struct qmgr *q = begin();

	is_int(qids_start_early(q), -ENOENT, "no ids before there is a database");
	ok(!qids_early(q, 1), "so nobody gets any");
	open_store(q);
	uint64_t far = ((uint64_t)(clock_wall() / USEC_PER_SEC) << 24) + 1000 * RANGE;
	is_int(qids_start(q, far), 0, "start");
	ok(atomic_load(&q->next_id) == far + 1, "behind the largest that was seen");
	return end(q);
}

static uint64_t second_life(uint64_t reserved)
{
	struct qmgr *q = begin();

	is_int(qids_start_early(q), 0, "ids before the database is open");
	ok(atomic_load(&q->next_id) == reserved, "behind what the last life had reserved");
	ok(qids_early(q, ID_BLOCK_COUNT), "a block can be had");
	ok(!qids_early(q, 1 << 20), "but not half of all");
	atomic_fetch_add(&q->next_id, 500);
	open_store(q);
	is_int(qids_start(q, reserved + 499), 0, "start, and content with early ids was seen");
	ok(atomic_load(&q->next_id) == reserved + 500, "the counter goes on");
	ok(!qids_is_void(q, reserved << 8), "what was handed out counts");
	return end(q);
}

/* kill -9 before the database was open: what was handed out is not handed out again. */
static uint64_t killed_life(uint64_t reserved)
{
	struct qmgr *q = begin();

	is_int(qids_start_early(q), 0, "early ids");
	ok(atomic_load(&q->next_id) == reserved, "behind what was reserved");
	return end(q);
}

static void put_row(struct store *s, uint64_t v)
{
	struct store_key key = store_key_word("ids");
	struct store_batch *b = store_batch_new();

	store_put(s, b, STORE_META, store_key_span(&key), span_of(&v, 8));
	is_int(store_write(s, b), 0, "a later reservation in the database");
	store_batch_free(b);
}

/* The file says less than the database, and looks right. */
static void forged_life(uint64_t reserved)
{
	struct qmgr *q = begin();

	open_store(q);
	put_row(q->store, reserved + 50 * RANGE);
	end(q);
	is_int(idfile_write(dir, reserved), 0, "and a file that does not know of it");
	q = begin();
	is_int(qids_start_early(q), 0, "it is believed");
	uint64_t first = atomic_load(&q->next_id);
	open_store(q);
	is_int(qids_start(q, 0), 0, "start");
	ok(atomic_load(&q->next_id) >= reserved + 50 * RANGE, "the database counts");
	ok(qids_is_void(q, first << 8), "what was handed out must not be used");
	ok(!qids_is_void(q, (first - 1) << 8), "what was handed out by a former life may be");
	ok(!qids_is_void(q, atomic_load(&q->next_id) << 8), "and what comes now");
	end(q);
}

static void put_meta(struct store *s, const char *word, struct span value)
{
	struct store_key key = store_key_word(word);
	struct store_batch *b = store_batch_new();

	store_put(s, b, STORE_META, store_key_span(&key), value);
	if (store_write(s, b))
		ok(false, "a row is written");
	store_batch_free(b);
}

/* A bit in the block of the newest table that has the reservation; the format is in another. */
static void damage_row(void)
{
	static char file[1 << 20];
	struct dirent *e;
	DIR *d = opendir(dir);
	char path[sizeof dir + sizeof e->d_name], newest[sizeof e->d_name] = "";

	while (d && (e = readdir(d)))
		if (strstr(e->d_name, ".sst") && strcmp(e->d_name, newest) > 0)
			snprintf(newest, sizeof newest, "%s", e->d_name);
	if (d)
		closedir(d);
	snprintf(path, sizeof path, "%s/%s", dir, newest);
	int fd = open(path, O_RDWR);
	ssize_t n = pread(fd, file, sizeof file, 0);
	char *at = n > 0 ? memmem(file, (size_t)n, "ids", 3) : NULL;
	if (at)
		*at ^= 1;
	ok(at && pwrite(fd, at, 1, at - file) == 1, "the block of the reservation is damaged");
	close(fd);
}

static void unreadable_life(void)
{
	enum { ROWS = 400 };
	struct qmgr *q = begin();
	char word[16], text[64];
	uint64_t far = ((uint64_t)(clock_wall() / USEC_PER_SEC) << 24) + 500 * RANGE;

	open_store(q);
	put_meta(q->store, "ids", SPAN("short"));
	is_int(qids_start(q, 0), -EUCLEAN, "a reservation that is too short is none");
	ok(atomic_load(&q->next_id) == 0, "no id can be had");
	memset(text, 'x', sizeof text);
	for (int i = 0; i < ROWS; i++) {
		snprintf(word, sizeof word, "g%05d", i);
		put_meta(q->store, word, span_of(text, sizeof text));
	}
	put_row(q->store, far);
	store_empty_log(q->store);
	end(q);
	damage_row();
	q = begin();
	open_store(q);
	is_int(qids_start(q, 0), -EUCLEAN, "one that cannot be read is no 0");
	ok(atomic_load(&q->next_id) == 0, "no id can be had");
	end(q);
}

int main(void)
{
	log_open(&(struct log_setup){ .level = 0 });
	snprintf(dir, sizeof dir, "%s/db", tap_tmpdir());
	uint64_t reserved = first_life();
	reserved = second_life(reserved);
	reserved = killed_life(reserved);
	forged_life(reserved);
	unreadable_life();
	return plan_done();
}
