#include "queue/store_wal.h"

#include "core/crc32c.h"
#include "core/err.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BLOCK = 32768, HEAD = 7, RECYCLED_HEAD = 11 };
enum { ZERO = 0, FULL, FIRST, MIDDLE, LAST, RECYCLED_FULL, RECYCLED_LAST = 8 };

/* A log, block by block. */
struct walk {
	bool broken;   /* something did not fit */
	bool after;    /* a whole write begins behind it */
	bool in_write; /* a write has begun and not ended */
	bool gap;      /* nothing was written from gap_at on, as far as was seen */
	uint64_t broken_at, gap_at;
};

static uint32_t le32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

/* Length of the record at p (head and data) if it is whole, else 0. */
static size_t whole(const char *p, size_t room, unsigned *type)
{
	if (room < HEAD)
		return 0;
	size_t n = (unsigned char)p[4] | (size_t)(unsigned char)p[5] << 8;
	*type = (unsigned char)p[6];
	size_t head = *type >= RECYCLED_FULL ? RECYCLED_HEAD : HEAD;
	if (*type == ZERO || *type > RECYCLED_LAST || head + n > room)
		return 0;
	uint32_t crc = crc32c(0, p + 6, head - 6 + n);
	uint32_t masked = (crc >> 15 | crc << 17) + 0xa282ead8u;
	return masked == le32(p) ? head + n : 0;
}

static bool begins_write(unsigned type)
{
	return type == FULL || type == FIRST || type == RECYCLED_FULL || type == RECYCLED_FULL + 1;
}

static bool ends_write(unsigned type)
{
	return type == FULL || type == LAST || type == RECYCLED_FULL || type == RECYCLED_LAST;
}

static void note(struct walk *w, unsigned type, uint64_t at)
{
	bool begins = begins_write(type);

	if (w->gap && !w->broken) {
		w->broken = true;
		w->broken_at = w->gap_at;
	}
	if (w->broken) {
		w->after = w->after || begins;
	} else if (begins == w->in_write) {
		/* The middle of it is missing. */
		w->broken = true;
		w->broken_at = at;
		w->after = begins;
	}
	w->in_write = !ends_write(type);
}

static bool is_zero(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

static void block(struct walk *w, const char *p, size_t n, uint64_t at)
{
	size_t i = 0;
	unsigned type;

	while (n - i >= HEAD) {
		size_t len = whole(p + i, n - i, &type);

		if (len) {
			note(w, type, at + i);
			i += len;
			continue;
		}
		/* The rest of a file that was made larger than it is. */
		if (is_zero(p + i, n - i)) {
			w->gap_at = w->gap ? w->gap_at : at + i;
			w->gap = true;
			return;
		}
		if (!w->broken)
			w->broken_at = at + i;
		w->broken = true;
		/* Where the next one is, if its length is wrong too, only trying tells. */
		i++;
	}
	if (n < BLOCK && n - i && !is_zero(p + i, n - i) && !w->broken) {
		w->broken = true;
		w->broken_at = at + i;
	}
}

static int walk_file(const char *path, struct walk *w)
{
	char *p = malloc(BLOCK);
	uint64_t at = 0;
	ssize_t n = 0;
	int fd = p ? open(path, O_RDONLY | O_CLOEXEC) : -1, rc = fd < 0 ? -errno : 0;

	while (!rc && (n = pread(fd, p, BLOCK, (off_t)at)) > 0) {
		block(w, p, (size_t)n, at);
		at += (uint64_t)n;
	}
	if (n < 0)
		rc = -errno;
	if (fd >= 0)
		close(fd);
	free(p);
	/* A write that was cut off. */
	if (!rc && w->in_write && !w->broken) {
		w->broken = true;
		w->broken_at = at;
	}
	w->in_write = w->gap = false;
	return rc;
}

static int by_number(const void *a, const void *b)
{
	unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;

	return x < y ? -1 : x > y;
}

static int list(const char *log_dir, unsigned long **number)
{
	DIR *d = opendir(log_dir);
	struct dirent *e;
	size_t n = 0, cap = 0;

	*number = NULL;
	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		char *end;
		unsigned long v = strtoul(e->d_name, &end, 10);

		if (end == e->d_name || strcmp(end, ".log"))
			continue;
		if (n == cap) {
			cap = cap ? cap * 2 : 16;
			*number = xrealloc(*number, cap * sizeof **number);
		}
		(*number)[n++] = v;
	}
	closedir(d);
	if (n)
		qsort(*number, n, sizeof **number, by_number);
	return (int)n;
}

int store_wal_check(const char *log_dir, char *what, size_t cap)
{
	unsigned long *number;
	struct walk w = { .broken = false };
	char path[4300];
	int n = list(log_dir, &number), rc = n < 0 ? n : 0;
	bool named = false;

	*what = 0;
	for (int i = 0; i < n && !rc; i++) {
		snprintf(path, sizeof path, "%s/%06lu.log", log_dir, number[i]);
		rc = walk_file(path, &w);
		if (w.broken && !named) {
			snprintf(what, cap, "%s is damaged at byte %llu", path,
				 (unsigned long long)w.broken_at);
			named = true;
		}
	}
	free(number);
	if (rc)
		return rc;
	return !w.broken ? STORE_WAL_GOOD : w.after ? STORE_WAL_DAMAGED : STORE_WAL_TORN;
}
