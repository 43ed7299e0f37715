#include "core/cdb_segfile.h"
#include "core/cdb_writer.h"
#include "core/crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int cdb_file_begin(struct cdb_writer *w, uint64_t ta, struct cdb_file *f)
{
	char path[CDB_PATH_MAX];

	cdb_file_path(w->base, ta, path);
	*f = (struct cdb_file){ .fd = -1, .ta = ta };
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	int rc = cdb_segfile_rights(fd, w->s.gid);
	f->fd = fd;
	if (rc)
		cdb_file_abort(w, f);
	return rc;
}

int cdb_file_add(struct cdb_file *f, struct span content)
{
	int rc = cdb_segfile_pwrite(f->fd, content.p, content.n, CDB_HEAD + f->bytes);

	if (rc)
		return rc;
	f->crc = crc32c(f->crc, content.p, content.n);
	f->bytes += content.n;
	return 0;
}

int cdb_file_finish(struct cdb_writer *w, struct cdb_file *f, struct cdb_head *h,
		    struct span envelope, struct cdb_ref *ref)
{
	char head[CDB_HEAD];

	h->gen = 0;
	h->ta = f->ta;
	h->content_bytes = f->bytes;
	h->content_crc = f->crc;
	h->envelope_bytes = (uint32_t)envelope.n;
	h->envelope_crc = crc32c(0, envelope.p, envelope.n);
	cdb_head_encode(h, head);
	int rc = cdb_segfile_pwrite(f->fd, envelope.p, envelope.n, CDB_HEAD + f->bytes);
	if (!rc)
		rc = cdb_segfile_pwrite(f->fd, head, sizeof head, 0);
	if (rc) {
		cdb_file_abort(w, f);
		return rc;
	}
	*ref = (struct cdb_ref){ .len = cdb_record_bytes(h) };
	close(f->fd);
	f->fd = -1;
	return 0;
}

void cdb_file_abort(struct cdb_writer *w, struct cdb_file *f)
{
	char path[CDB_PATH_MAX];

	if (f->fd < 0)
		return;
	cdb_file_path(w->base, f->ta, path);
	unlink(path);
	close(f->fd);
	f->fd = -1;
}
