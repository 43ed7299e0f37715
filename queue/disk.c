#include "queue/disk.h"

#include "core/err.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum { FOLDERS = 16, PLACES = FOLDERS + 2 };

/* A file system; folders: bits of those of the content database that are in it. */
struct place {
	char path[CDB_PATH_MAX];
	dev_t dev;
	unsigned folders;
};

static struct qmgr *qm;
static struct place place[PLACES];
static unsigned place_count;
static _Atomic uint64_t room[FOLDERS];
static atomic_bool counting;

static void add(const char *path, unsigned folder_bit)
{
	struct stat st;

	path = *path ? path : ".";
	if (stat(path, &st))
		return;
	for (unsigned i = 0; i < place_count; i++) {
		if (place[i].dev == st.st_dev) {
			place[i].folders |= folder_bit;
			return;
		}
	}
	struct place *p = &place[place_count++];
	*p = (struct place){ .dev = st.st_dev, .folders = folder_bit };
	span_cstr(span_str(path), p->path, sizeof p->path);
}

void disk_start(struct qmgr *q)
{
	char path[CDB_PATH_MAX];

	qm = q;
	for (unsigned i = 0; i < FOLDERS; i++) {
		cdb_dir_path(q->global.cdb_base_directory, i, path);
		add(path, 1u << i);
	}
	add(q->opt.defedb_base_directory, 0);
	add(q->opt.defedb_log_directory, 0);
}

static void count_room(struct commit_call *own)
{
	uint64_t now[FOLDERS];

	segments_room(committer_segments(own->committer), now);
	for (unsigned i = 0; i < FOLDERS; i++)
		atomic_store_explicit(&room[i], now[i], memory_order_relaxed);
	atomic_store(&counting, false);
	free(own);
}

static uint64_t room_in(unsigned folders)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < FOLDERS; i++)
		if (folders & 1u << i)
			n += atomic_load_explicit(&room[i], memory_order_relaxed);
	return n;
}

uint64_t disk_room(void)
{
	return room_in((1u << FOLDERS) - 1);
}

uint64_t disk_count(uint64_t free_bytes, uint64_t room_bytes, uint64_t min_bytes)
{
	return free_bytes < min_bytes / 8 ? free_bytes : free_bytes + room_bytes;
}

uint64_t disk_free(uint64_t min_bytes)
{
	uint64_t least = UINT64_MAX;
	struct statvfs v;

	if (!atomic_exchange(&counting, true)) {
		struct commit_call *c = xcalloc(1, sizeof *c);

		c->fn = count_room;
		commit_call(qm->committer, c, false);
	}
	for (unsigned i = 0; i < place_count; i++) {
		if (statvfs(place[i].path, &v))
			continue;
		uint64_t n = disk_count((uint64_t)v.f_bavail * v.f_frsize,
					room_in(place[i].folders), min_bytes);

		if (n < least)
			least = n;
	}
	return least;
}
