#include "queue/marks.h"

#include "core/crc32c.h"
#include "core/err.h"
#include "core/log.h"
#include "core/wire.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_MAX = 64 << 20 };

struct marks {
	uint64_t seg, gen;
	usec_t since; /* the oldest that waits */
	bool begun;   /* the file is of this generation */
	unsigned count;
	uint32_t step[MARKS_WRITE_AT]; /* offsets in CDB_STEPs */
};

static uint32_t check_of(uint64_t seg, uint64_t gen, uint32_t step)
{
	char b[20];
	struct wire_w w = wire_writer(b, sizeof b);

	wire_put_u64(&w, seg);
	wire_put_u64(&w, gen);
	wire_put_u32(&w, step);
	return crc32c(0, b, w.n);
}

/* The path of the segment with another first letter. */
static void path_of(const char *base, uint64_t seg, char path[static CDB_PATH_MAX])
{
	size_t n = cdb_seg_path(base, seg, path);

	if (n > 17)
		path[n - 17] = 'M';
}

bool marks_add(struct marks **mp, uint64_t seg, uint64_t gen, uint64_t off, usec_t now)
{
	struct marks *m = *mp;

	if (!m)
		m = *mp = xcalloc(1, sizeof *m);
	if (m->seg != seg || m->gen != gen)
		*m = (struct marks){ .seg = seg, .gen = gen };
	if (!m->count)
		m->since = now;
	m->step[m->count++] = (uint32_t)(off / CDB_STEP);
	return m->count == MARKS_WRITE_AT;
}

bool marks_due(const struct marks *m, usec_t now)
{
	return m && m->count && now - m->since >= MARKS_WAIT_USEC;
}

bool marks_waits(const struct marks *m)
{
	return m && m->count;
}

static size_t encode(const struct marks *m, char *to, size_t cap)
{
	struct wire_w w = wire_writer(to, cap);

	for (unsigned i = 0; i < m->count; i++) {
		wire_put_u32(&w, m->step[i]);
		wire_put_u32(&w, check_of(m->seg, m->gen, m->step[i]));
	}
	return w.n;
}

/* Entries of a former generation would only fill it; those of this one, before a restart, stay. */
static bool is_of_this(struct marks *m, int fd)
{
	char b[MARKS_ENTRY];
	struct wire_r r = wire_reader(span_of(b, sizeof b));

	if (pread(fd, b, sizeof b, 0) != (ssize_t)sizeof b)
		return false;
	uint32_t step = wire_get_u32(&r);
	return wire_get_u32(&r) == check_of(m->seg, m->gen, step);
}

void marks_write(struct marks *m, const char *base)
{
	char path[CDB_PATH_MAX], entries[MARKS_WRITE_AT * MARKS_ENTRY];
	struct stat st;

	if (!m || !m->count)
		return;
	path_of(base, m->seg, path);
	size_t n = encode(m, entries, sizeof entries);
	m->count = 0;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	bool good =
		fd >= 0 && (m->begun || is_of_this(m, fd) || !ftruncate(fd, 0)) && !fstat(fd, &st);
	m->begun = good;
	/* Behind the last whole entry: what a crash or a full disk tore must not shift the others.
	 */
	if (good)
		good = pwrite(fd, entries, n, st.st_size - st.st_size % MARKS_ENTRY) == (ssize_t)n;
	if (!good)
		log_event(LOG_LV_INFO, LOG_SEV_INFO, "marks", "file=%s, error=%s", path,
			  strerror(errno));
	if (fd >= 0)
		close(fd);
}

void marks_free(struct marks *own)
{
	free(own);
}

void marks_remove(const char *base, uint64_t seg)
{
	char path[CDB_PATH_MAX];

	path_of(base, seg, path);
	unlink(path);
}

static unsigned sweep_folder(const char *base, unsigned folder)
{
	char path[CDB_PATH_MAX], *end;
	struct dirent *e;
	unsigned n = 0;

	cdb_dir_path(base, folder, path);
	DIR *d = opendir(path);
	while (d && (e = readdir(d))) {
		uint64_t seg = *e->d_name == 'M' ? strtoull(e->d_name + 1, &end, 16) : 0;

		if (!seg || *end || strlen(e->d_name) != 17 || (seg & 15) != folder)
			continue;
		/* The segment comes before its marks and goes before them. */
		cdb_seg_path(base, seg, path);
		if (access(path, F_OK) && errno == ENOENT) {
			marks_remove(base, seg);
			n++;
		}
	}
	if (d)
		closedir(d);
	return n;
}

unsigned marks_sweep(const char *base)
{
	unsigned n = 0;

	for (unsigned folder = 0; folder < 16; folder++)
		n += sweep_folder(base, folder);
	return n;
}

/* ---- reading */

static int by_offset(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int read_file(const char *path, char **bytes, size_t *n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || st.st_size > READ_MAX) {
		close(fd);
		return -EBADMSG;
	}
	*bytes = xmalloc((size_t)st.st_size + 1);
	ssize_t k = pread(fd, *bytes, (size_t)st.st_size, 0);
	close(fd);
	*n = k < 0 ? 0 : (size_t)k;
	return 0;
}

int marks_read(const char *base, uint64_t seg, uint64_t gen, struct marks_list *out)
{
	char path[CDB_PATH_MAX], *bytes = NULL;
	size_t n = 0;

	*out = (struct marks_list){ NULL, 0 };
	path_of(base, seg, path);
	int rc = read_file(path, &bytes, &n);
	if (rc)
		return rc;
	struct wire_r r = wire_reader(span_of(bytes, n - n % MARKS_ENTRY));
	out->off = xmalloc((n / MARKS_ENTRY + 1) * sizeof *out->off);
	while (r.p < r.end) {
		uint32_t step = wire_get_u32(&r);

		if (wire_get_u32(&r) == check_of(seg, gen, step))
			out->off[out->count++] = (uint64_t)step * CDB_STEP;
	}
	qsort(out->off, out->count, sizeof *out->off, by_offset);
	free(bytes);
	return 0;
}

bool marks_has(const struct marks_list *l, uint64_t off)
{
	return l->count && bsearch(&off, l->off, l->count, sizeof *l->off, by_offset);
}

void marks_list_free(struct marks_list *l)
{
	free(l->off);
	*l = (struct marks_list){ NULL, 0 };
}
