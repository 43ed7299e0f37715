#include "queue/damage.h"

#include "core/log.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { FILES = 8, FILE_NAME = 64 };
#define AGAIN_USEC (3600 * (usec_t)USEC_PER_SEC)
#define OTHER_USEC (60 * (usec_t)USEC_PER_SEC)

struct told {
	char file[FILE_NAME];
	usec_t at;
};

static struct {
	atomic_bool watches;
	pthread_mutex_t lock; /* what follows; not held over I/O */
	struct told file[FILES];
} the = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* "000012.sst" of "... in /var/spool/smx/defedb/000012.sst offset 0 size 100". */
static void file_of(const char *error, char *name)
{
	const char *end = strstr(error, ".sst"), *begin = end;

	while (begin && begin > error && begin[-1] != '/' && begin[-1] != ' ')
		begin--;
	snprintf(name, FILE_NAME, "%.*s", begin ? (int)(end + 4 - begin) : FILE_NAME - 1,
		 begin ? begin : error);
}

static bool is_news(const char *name)
{
	usec_t now = clock_now();
	struct told *t = the.file;

	for (unsigned i = 0; i < FILES; i++) {
		if (the.file[i].at && !strcmp(the.file[i].file, name)) {
			t = &the.file[i];
			break;
		}
		if (the.file[i].at < t->at)
			t = &the.file[i];
	}
	if (t->at && now - t->at < (strcmp(t->file, name) ? OTHER_USEC : AGAIN_USEC))
		return false;
	snprintf(t->file, sizeof t->file, "%s", name);
	t->at = now;
	return true;
}

void damage_watch(void)
{
	atomic_store(&the.watches, true);
}

void damage_tell(const char *error)
{
	char name[FILE_NAME];

	if (!atomic_load(&the.watches))
		return;

	file_of(error, name);
	pthread_mutex_lock(&the.lock);
	bool news = is_news(name);
	pthread_mutex_unlock(&the.lock);
	if (news)
		log_event(
			LOG_LV_ERROR, LOG_SEV_CRIT, "store",
			"stat=the database is damaged, file=%s, error=%s, what=mail in that part waits; other mail goes on; stop qmgr and run cdbctl rebuild (rebuild -n lists first)",
			name, error);
}

/* ---- the way around */

static bool readable(struct store_iter *it, const struct store_key *last, unsigned at, uint64_t n)
{
	struct store_key key = { .n = (uint8_t)(at + 8) };
	uint64_t big = htobe64(n);

	memcpy(key.b, last->b, at);
	memcpy(key.b + at, &big, 8);
	store_iter_seek(it, store_key_span(&key));
	return store_iter_error(it) != -EUCLEAN;
}

/* Where the block ends is not known: the least number from which on it can be read. */
static bool skip(struct store_iter *it, const struct store_key *last, unsigned at)
{
	uint64_t bad, good, step = 1;

	memcpy(&bad, last->b + at, 8);
	bad = be64toh(bad);
	do {
		if (bad == UINT64_MAX)
			return false;
		good = bad > UINT64_MAX - step ? UINT64_MAX : bad + step;
		if (readable(it, last, at, good))
			break;
		bad = good;
		step *= 2;
	} while (true);
	while (good - bad > 1) {
		uint64_t middle = bad + (good - bad) / 2;

		if (readable(it, last, at, middle))
			good = middle;
		else
			bad = middle;
	}
	return readable(it, last, at, good);
}

bool damage_valid(struct store_iter *it, const struct store_key *last, unsigned at,
		  unsigned *skipped)
{
	if (store_iter_valid(it))
		return true;
	if (store_iter_error(it) != -EUCLEAN)
		return false;
	if (skipped)
		++*skipped;
	return skip(it, last, at) && store_iter_valid(it);
}
