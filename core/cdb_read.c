#include "core/cdb_read.h"

#include "core/clock.h"
#include "core/crc32c.h"
#include "core/err.h"
#include "core/ids.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK_BYTES = 256 * 1024, IDLE_USEC = 10 * USEC_PER_SEC, SWEEP_USEC = USEC_PER_SEC };

/* An open segment. */
struct slot {
	uint64_t seg, gen; /* as its header said when it was last read */
	uint64_t bytes;
	int fd; /* -1: free */
	unsigned users;
	usec_t last_used;
};

struct cdb_reader {
	char *base;
	unsigned max_open;
	usec_t last_sweep;
	struct slot slot[];
};

struct cdb_reader *cdb_reader_new(const char *base, unsigned max_open)
{
	struct cdb_reader *r = xcalloc(1, sizeof *r + max_open * sizeof r->slot[0]);

	r->base = xstrdup(base);
	r->max_open = max_open;
	for (unsigned i = 0; i < max_open; i++)
		r->slot[i].fd = -1;
	return r;
}

static void slot_close(struct slot *s)
{
	close(s->fd);
	s->fd = -1;
}

void cdb_reader_free(struct cdb_reader *r)
{
	if (!r)
		return;
	for (unsigned i = 0; i < r->max_open; i++)
		if (r->slot[i].fd >= 0)
			slot_close(&r->slot[i]);
	free(r->base);
	free(r);
}

/* All n bytes, or 0 bytes behind the end of the file. 0 or -errno. */
static int read_all(int fd, void *dst, size_t n, uint64_t at)
{
	char *to = dst;

	while (n) {
		ssize_t k = pread(fd, to, n, (off_t)at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (!k)
			return -EBADMSG;
		to += k;
		at += (uint64_t)k;
		n -= (size_t)k;
	}
	return 0;
}

static int open_file(const char *path, uint64_t *bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return errno == ELOOP ? -EBADMSG : -errno;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EBADMSG;
	}
	*bytes = (uint64_t)st.st_size;
	return fd;
}

static int read_gen(int fd, uint64_t seg, uint64_t *gen)
{
	char head[CDB_SEG_HEAD];
	uint64_t its_seg, bytes;
	int rc = read_all(fd, head, sizeof head, 0);

	if (!rc)
		rc = cdb_seg_head_decode(head, &its_seg, gen, &bytes);
	if (!rc && its_seg != seg)
		rc = -EBADMSG;
	return rc;
}

static int open_segment(const char *base, uint64_t seg, struct slot *out)
{
	char path[CDB_PATH_MAX];

	cdb_seg_path(base, seg, path);
	int fd = open_file(path, &out->bytes);
	if (fd < 0)
		return fd;
	int rc = read_gen(fd, seg, &out->gen);
	if (rc) {
		close(fd);
		return rc;
	}
	out->seg = seg;
	out->fd = fd;
	out->users = 0;
	return 0;
}

/* Closes what nobody uses: a descriptor of an unlinked segment keeps its room on the disk. */
static void sweep(struct cdb_reader *r, usec_t now)
{
	struct stat st;

	if (now - r->last_sweep < SWEEP_USEC)
		return;
	r->last_sweep = now;
	for (struct slot *s = r->slot; s < r->slot + r->max_open; s++)
		if (s->fd >= 0 && !s->users &&
		    (now - s->last_used > IDLE_USEC || fstat(s->fd, &st) || !st.st_nlink))
			slot_close(s);
}

/* A free slot, else the one that has not been used for the longest time; NULL: all are in use. */
static struct slot *slot_to_fill(struct cdb_reader *r)
{
	struct slot *best = NULL;

	for (struct slot *s = r->slot; s < r->slot + r->max_open; s++) {
		if (s->fd < 0)
			return s;
		if (!s->users && (!best || s->last_used < best->last_used))
			best = s;
	}
	return best;
}

/* *out: the slot with the segment at generation gen; *out is NULL and *fd the caller's when there
 * was no room. */
static int get_segment(struct cdb_reader *r, uint64_t seg, uint64_t gen, struct slot **out,
		       struct slot *own)
{
	struct slot *s = r->slot, *end = r->slot + r->max_open;
	int rc = 0;

	while (s < end && (s->fd < 0 || s->seg != seg))
		s++;
	if (s < end) {
		/* Recycled since, or the reference is old. */
		if (s->gen != gen)
			rc = read_gen(s->fd, seg, &s->gen);
	} else {
		rc = open_segment(r->base, seg, own);
		s = rc ? NULL : slot_to_fill(r);
		if (s) {
			if (s->fd >= 0)
				slot_close(s);
			*s = *own;
		}
	}
	*out = s;
	if (rc)
		return rc;
	if ((s ? s : own)->gen == gen)
		return 0;
	if (!s)
		slot_close(own);
	return -ENOENT;
}

/* Reads and checks the head at `at` of a file of `bytes`. */
static int check_head(int fd, uint64_t bytes, const struct cdb_ref *ref, uint64_t ta,
		      struct cdb_head *h)
{
	char head[CDB_HEAD];

	if (ref->off > bytes || bytes - ref->off < CDB_HEAD)
		return -EBADMSG;
	int rc = read_all(fd, head, sizeof head, ref->off);
	if (!rc)
		rc = cdb_head_decode(head, h);
	if (rc)
		return rc;
	if (h->gen != ref->gen)
		return -ENOENT;
	if (h->flags & CDB_DEAD)
		return -ESTALE;
	uint64_t len = cdb_record_bytes(h);
	return h->ta == ta && len == ref->len && len <= bytes - ref->off ? 0 : -EBADMSG;
}

static int open_own(struct cdb_reader *r, const struct cdb_ref *ref, uint64_t ta,
		    struct cdb_record *out)
{
	char path[CDB_PATH_MAX];
	uint64_t bytes;

	if (ref->off || ref->gen)
		return -EBADMSG;
	cdb_file_path(r->base, ta, path);
	int fd = open_file(path, &bytes);
	if (fd < 0)
		return fd;
	int rc = check_head(fd, bytes, ref, ta, &out->head);
	if (rc) {
		close(fd);
		return rc;
	}
	out->fd = fd;
	out->slot = NULL;
	return 0;
}

static int open_in_segment(struct cdb_reader *r, const struct cdb_ref *ref, uint64_t ta,
			   struct cdb_record *out)
{
	struct slot *s, own;

	if (ref->off < CDB_SEG_HEAD || ref->off % CDB_STEP)
		return -EBADMSG;
	int rc = get_segment(r, ref->seg, ref->gen, &s, &own);
	if (rc)
		return rc;
	rc = check_head(s ? s->fd : own.fd, s ? s->bytes : own.bytes, ref, ta, &out->head);
	out->fd = s ? s->fd : own.fd;
	out->slot = s;
	if (s) {
		s->last_used = clock_now();
		s->users += !rc;
	} else if (rc) {
		close(own.fd);
	}
	return rc;
}

int cdb_open_record(struct cdb_reader *r, const struct cdb_ref *ref, uint64_t ta,
		    struct cdb_record *out)
{
	struct cdb_record rec = { .fd = -1 };

	sweep(r, clock_now());
	int rc = ref->seg ? open_in_segment(r, ref, ta, &rec) : open_own(r, ref, ta, &rec);
	if (rc)
		return rc;
	rec.content_off = ref->off + CDB_HEAD;
	*out = rec;
	return 0;
}

void cdb_close_record(struct cdb_reader *r, struct cdb_record *rec)
{
	struct slot *s = rec->slot;

	if (rec->fd < 0)
		return;
	if (s)
		s->users--;
	else
		close(rec->fd);
	rec->fd = -1;
	rec->slot = NULL;
	sweep(r, clock_now());
}

ssize_t cdb_read(const struct cdb_record *rec, uint64_t at, void *dst, size_t n)
{
	if (at >= rec->head.content_bytes)
		return 0;
	if (n > rec->head.content_bytes - at)
		n = rec->head.content_bytes - at;
	int rc = read_all(rec->fd, dst, n, rec->content_off + at);
	return rc ? rc : (ssize_t)n;
}

int cdb_read_envelope(const struct cdb_record *rec, char *dst)
{
	const struct cdb_head *h = &rec->head;
	int rc = read_all(rec->fd, dst, h->envelope_bytes, rec->content_off + h->content_bytes);

	if (rc)
		return rc;
	return crc32c(0, dst, h->envelope_bytes) == h->envelope_crc ? 0 : -EBADMSG;
}

/* ---- walking */

/* A moving piece of a segment. */
struct window {
	int fd;
	uint64_t limit; /* of the segment */
	uint64_t at;
	size_t n;
	char *p;
};

/* Moves *at over a hole and reads from there; *at is the limit when nothing comes any more. 0 or
 * -errno. */
static int window_fill(struct window *w, uint64_t *at)
{
	off_t data = lseek(w->fd, (off_t)*at, SEEK_DATA);

	if (data < 0 && errno == ENXIO)
		*at = w->limit;
	else if (data > (off_t)*at)
		*at = (uint64_t)data & ~(uint64_t)(CDB_STEP - 1);
	if (*at + CDB_HEAD > w->limit)
		return 0;
	w->at = *at;
	w->n = w->limit - *at < CHUNK_BYTES ? (size_t)(w->limit - *at) : CHUNK_BYTES;
	return read_all(w->fd, w->p, w->n, *at);
}

static bool window_has(const struct window *w, uint64_t at, uint64_t n)
{
	return at >= w->at && at + n <= w->at + w->n;
}

/* CRC of n bytes from `at`, which may be behind the window. 0 or -errno. */
static int crc_of(const struct window *w, uint64_t at, uint64_t n, uint32_t *crc)
{
	char part[16384];
	int rc = 0;

	*crc = 0;
	if (window_has(w, at, n)) {
		*crc = crc32c(0, w->p + (at - w->at), n);
		return 0;
	}
	while (n && !rc) {
		size_t k = n < sizeof part ? (size_t)n : sizeof part;

		rc = read_all(w->fd, part, k, at);
		if (!rc)
			*crc = crc32c(*crc, part, k);
		at += k;
		n -= k;
	}
	return rc;
}

static int content_fits(const struct window *w, uint64_t at, const struct cdb_head *h, bool *fits)
{
	uint32_t content, envelope;
	int rc = crc_of(w, at + CDB_HEAD, h->content_bytes, &content);

	if (!rc)
		rc = crc_of(w, at + CDB_HEAD + h->content_bytes, h->envelope_bytes, &envelope);
	*fits = !rc && content == h->content_crc && envelope == h->envelope_crc;
	return rc;
}

int cdb_check_file(const char *base, uint64_t ta, struct cdb_ref *ref, struct cdb_head *head)
{
	char path[CDB_PATH_MAX], bytes[CDB_HEAD];
	struct window w = { 0 };
	struct cdb_head h;
	bool fits = false;

	cdb_file_path(base, ta, path);
	w.fd = open_file(path, &w.limit);
	if (w.fd < 0)
		return w.fd;
	int rc = w.limit < CDB_HEAD ? -EBADMSG : read_all(w.fd, bytes, sizeof bytes, 0);
	if (!rc)
		rc = cdb_head_decode(bytes, &h);
	if (!rc && (h.ta != ta || h.gen || h.flags & CDB_DEAD || cdb_record_bytes(&h) > w.limit))
		rc = -EBADMSG;
	if (!rc)
		rc = content_fits(&w, 0, &h, &fits);
	close(w.fd);
	if (rc || !fits)
		return rc ? rc : -EBADMSG;
	*ref = (struct cdb_ref){ .len = cdb_record_bytes(&h) };
	*head = h;
	return 0;
}

struct walk {
	uint64_t seg, gen;
	bool check_content;
	int (*each)(void *ctx, const struct cdb_ref *ref, const struct cdb_head *h);
	void *ctx;
};

/* Moves *at over the record or the step; *end behind the record. */
static int walk_step(const struct walk *k, const struct window *w, uint64_t *at, uint64_t *end)
{
	const char *p = w->p + (*at - w->at);
	uint64_t here = *at;
	struct cdb_head h;
	bool fits = true;

	*at += CDB_STEP;
	if (cdb_head_decode(p, &h) || h.gen != k->gen || cdb_record_bytes(&h) > w->limit - here)
		return 0;
	/* The head is whole, so its lengths are those of the reservation, whatever became of the
	 * content. */
	*at = here + ((cdb_record_bytes(&h) + CDB_STEP - 1) & ~(uint64_t)(CDB_STEP - 1));
	*end = *at;
	if (h.flags & CDB_DEAD)
		return 0;
	int rc = k->check_content ? content_fits(w, here, &h, &fits) : 0;
	if (rc || !fits)
		return rc;
	return k->each(k->ctx, &(struct cdb_ref){ k->seg, k->gen, here, cdb_record_bytes(&h) }, &h);
}

int cdb_scan(const char *base, uint64_t seg, uint64_t from, bool check_content,
	     int (*each)(void *ctx, const struct cdb_ref *ref, const struct cdb_head *h), void *ctx,
	     uint64_t *end)
{
	struct slot s;
	int rc = open_segment(base, seg, &s);

	if (rc)
		return rc;
	struct walk k = { seg, s.gen, check_content, each, ctx };
	struct window w = { .fd = s.fd, .limit = s.bytes, .p = malloc(CHUNK_BYTES) };
	uint64_t at =
		((from < s.bytes ? from : s.bytes) + CDB_STEP - 1) & ~(uint64_t)(CDB_STEP - 1);
	if (at < CDB_SEG_HEAD)
		at = CDB_SEG_HEAD;
	*end = at;
	if (!w.p)
		rc = -ENOMEM;
	while (!rc && at + CDB_HEAD <= w.limit) {
		if (window_has(&w, at, CDB_HEAD))
			rc = walk_step(&k, &w, &at, end);
		else
			rc = window_fill(&w, &at);
	}
	free(w.p);
	slot_close(&s);
	return rc;
}

static bool hex16(const char *p, uint64_t *out)
{
	uint64_t v = 0;

	for (int i = 0; i < 16; i++) {
		bool digit = ascii_isdigit(p[i]);

		if (!digit && (p[i] < 'A' || p[i] > 'F'))
			return false;
		v = v << 4 | (uint64_t)(digit ? p[i] - '0' : p[i] - 'A' + 10);
	}
	*out = v;
	return true;
}

/* A name counts only in the folder where it would be looked for. */
static int list_name(const char *name, unsigned folder,
		     int (*each)(void *ctx, uint64_t seg, uint64_t ta), void *ctx)
{
	uint64_t v;

	if (name[0] == 'G' && strlen(name) == 17 && hex16(name + 1, &v) && v && (v & 15) == folder)
		return each(ctx, v, 0);
	if (!id_parse(span_str(name), &v) && (v >> 8 & 15) == folder)
		return each(ctx, 0, v);
	return 0;
}

static int list_folder(const char *path, unsigned folder,
		       int (*each)(void *ctx, uint64_t seg, uint64_t ta), void *ctx)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int rc = 0;

	if (!d)
		return -errno;
	while (!rc && (errno = 0, e = readdir(d)))
		rc = list_name(e->d_name, folder, each, ctx);
	if (!rc && errno)
		rc = -errno;
	closedir(d);
	return rc;
}

int cdb_list(const char *base, int (*each)(void *ctx, uint64_t seg, uint64_t ta), void *ctx)
{
	char path[CDB_PATH_MAX];
	unsigned missing = 0;

	for (unsigned folder = 0; folder < 16; folder++) {
		cdb_dir_path(base, folder, path);
		int rc = list_folder(path, folder, each, ctx);
		if (rc == -ENOENT && access(path, F_OK))
			missing++;
		else if (rc)
			return rc;
	}
	return missing == 16 ? -ENOENT : 0;
}
