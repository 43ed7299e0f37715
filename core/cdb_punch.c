#include "core/cdb_punch.h"

#include "core/cdb_read.h"
#include "core/cdb_segfile.h"
#include "core/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RUN_BYTES = 16 };

/* A head in a block that stays. */
struct edge {
	uint64_t off;
	struct cdb_head head;
};

struct punch {
	const struct cdb_run *run;
	unsigned count, at; /* at: the first run that does not end before the scan */
	uint64_t gen;
	struct edge *edge;
	unsigned edge_count, edge_cap;
};

/* The blocks of a run that become a hole; empty when the run is too short. */
static struct cdb_run hole_of(struct cdb_run r)
{
	struct cdb_run h = { (r.from + CDB_HEAD + CDB_BLOCK - 1) & ~(uint64_t)(CDB_BLOCK - 1),
			     r.to & ~(uint64_t)(CDB_BLOCK - 1) };

	return h.to > h.from ? h : (struct cdb_run){ h.from, h.from };
}

uint64_t cdb_run_yield(struct cdb_run r)
{
	struct cdb_run h = hole_of(r);

	return h.to - h.from;
}

static bool sane(const struct cdb_run *run, unsigned count, uint64_t bytes)
{
	uint64_t last = CDB_SEG_HEAD;

	for (unsigned i = 0; i < count; i++) {
		if (run[i].from < last || run[i].to <= run[i].from || run[i].to > bytes ||
		    run[i].from % CDB_STEP || run[i].to % CDB_STEP)
			return false;
		last = run[i].to;
	}
	return true;
}

static int add_edge(struct punch *p, uint64_t off, const struct cdb_head *h)
{
	if (p->edge_count == p->edge_cap) {
		unsigned cap = p->edge_cap ? p->edge_cap * 2 : 64;
		struct edge *grown = realloc(p->edge, cap * sizeof *grown);

		if (!grown)
			return -ENOMEM;
		p->edge = grown;
		p->edge_cap = cap;
	}
	p->edge[p->edge_count++] = (struct edge){ off, *h };
	return 0;
}

/* A record that is not dead yet: inside of a run or outside of all. */
static int look(void *ctx, const struct cdb_ref *ref, const struct cdb_head *h)
{
	struct punch *p = ctx;
	uint64_t end = ref->off + ref->len;

	while (p->at < p->count && p->run[p->at].to <= ref->off)
		p->at++;
	if (p->at == p->count || end <= p->run[p->at].from)
		return 0;
	struct cdb_run r = p->run[p->at], hole = hole_of(r);
	if (ref->off < r.from || end > r.to)
		return -EINVAL;
	bool goes = ref->off >= hole.from && ref->off + CDB_HEAD <= hole.to;
	return goes || ref->off == r.from || hole.from == hole.to ? 0 : add_edge(p, ref->off, h);
}

static int write_head(int fd, uint64_t off, const struct cdb_head *h)
{
	char head[CDB_HEAD];

	cdb_head_encode(h, head);
	return cdb_segfile_pwrite(fd, head, sizeof head, off);
}

static int mark_dead(int fd, const struct punch *p)
{
	int rc = 0;

	for (unsigned i = 0; i < p->edge_count && !rc; i++) {
		struct cdb_head h = p->edge[i].head;

		h.flags |= CDB_DEAD;
		rc = write_head(fd, p->edge[i].off, &h);
	}
	for (unsigned i = 0; i < p->count && !rc; i++) {
		struct cdb_head h = { .gen = p->gen, .flags = CDB_DEAD };

		if (!cdb_run_yield(p->run[i]))
			continue;
		h.content_bytes = p->run[i].to - p->run[i].from - CDB_HEAD;
		rc = write_head(fd, p->run[i].from, &h);
	}
	if (!rc && fdatasync(fd))
		rc = -errno;
	return rc;
}

static int make_holes(int fd, const struct punch *p)
{
	for (unsigned i = 0; i < p->count; i++) {
		struct cdb_run h = hole_of(p->run[i]);
		int rc = 0;

		if (h.to == h.from)
			continue;
		do {
			rc = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				       (off_t)h.from, (off_t)(h.to - h.from))
				     ? -errno
				     : 0;
		} while (rc == -EINTR);
		if (rc)
			return rc;
	}
	return 0;
}

int cdb_punch(const char *base, uint64_t seg, uint64_t gen, const struct cdb_run *run,
	      unsigned count, uint64_t *left)
{
	struct punch p = { .run = run, .count = count, .gen = gen };
	uint64_t bytes, end;
	struct stat st;
	int fd = cdb_segfile_share(base, seg, gen, &bytes);

	*left = 0;
	if (fd < 0)
		return fd;
	int rc = sane(run, count, bytes) ? 0 : -EINVAL;
	if (!rc)
		rc = cdb_scan(base, seg, CDB_SEG_HEAD, false, look, &p, &end);
	if (!rc)
		rc = mark_dead(fd, &p);
	if (!rc)
		rc = make_holes(fd, &p);
	if (!rc && fstat(fd, &st))
		rc = -errno;
	if (!rc)
		*left = (uint64_t)st.st_blocks * 512;
	free(p.edge);
	close(fd);
	return rc;
}

/* ---- in messages */

int cdb_runs_add(struct buf *to, struct cdb_run r)
{
	char b[RUN_BYTES];
	struct wire_w w = wire_writer(b, sizeof b);

	wire_put_u64(&w, r.from);
	wire_put_u64(&w, r.to);
	return buf_add(to, b, w.n);
}

int cdb_runs_parse(struct span s, struct cdb_run *out)
{
	struct wire_r r = wire_reader(s);
	int n = 0;

	if (s.n % RUN_BYTES || s.n / RUN_BYTES > CDB_RUNS_MAX)
		return -EBADMSG;
	while (r.p < r.end) {
		out[n].from = wire_get_u64(&r);
		out[n++].to = wire_get_u64(&r);
	}
	return n;
}
