#include "supervisor/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct rights {
	const struct account *owner; /* NULL: root */
	const struct account *group;
	mode_t mode;
};

static uid_t owner_uid(const struct rights *r)
{
	return r->owner ? r->owner->uid : 0;
}

/* Made for root alone, then opened: nobody can have put something else in its place. */
static int make(const char *path, const struct rights *r, bool as_root)
{
	struct stat st;
	int rc = 0;

	if (mkdir(path, as_root ? 0700 : r->mode))
		return -errno;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return as_root ? -errno : 0;
	if (as_root && (fstat(fd, &st) || st.st_uid != 0))
		rc = -EPERM;
	else if (as_root && fchown(fd, owner_uid(r), r->group->gid))
		rc = -errno;
	else if (fchmod(fd, r->mode))
		rc = -errno;
	close(fd);
	return rc;
}

static int compare(const char *path, const struct rights *r, const struct stat *st, FILE *out)
{
	char shown[PATH_MAX];
	const char *full = realpath(path, shown) ? shown : path;
	int rc = 0;

	if (st->st_uid != owner_uid(r) || st->st_gid != r->group->gid) {
		fprintf(out,
			"mcp: %s belongs to uid %u, gid %u instead of %s:%s; repair it with\n"
			"  chown %s:%s %s\n",
			full, (unsigned)st->st_uid, (unsigned)st->st_gid,
			r->owner ? r->owner->user : "root", r->group->group_name,
			r->owner ? r->owner->user : "root", r->group->group_name, full);
		rc = -EINVAL;
	}
	if ((st->st_mode & 07777) != r->mode) {
		fprintf(out,
			"mcp: %s has the mode %04o instead of %04o; repair it with\n"
			"  chmod %04o %s\n",
			full, (unsigned)st->st_mode & 07777, (unsigned)r->mode, (unsigned)r->mode,
			full);
		rc = -EINVAL;
	}
	return rc;
}

static int prepare(const char *path, const struct rights *r, bool as_root, FILE *out)
{
	struct stat st;

	/* stat, not lstat: R 3.4 allows links to other disks. */
	if (stat(path, &st)) {
		int rc = errno == ENOENT ? make(path, r, as_root) : -errno;

		if (rc)
			fprintf(out, "mcp: cannot make the directory %s: %s\n", path,
				strerror(-rc));
		return rc ? -EINVAL : 0;
	}
	if (!S_ISDIR(st.st_mode)) {
		fprintf(out, "mcp: %s is not a directory\n", path);
		return -EINVAL;
	}
	return as_root ? compare(path, r, &st, out) : 0;
}

static int prepare_cdb(const struct spool_owners *own, const char *base, bool as_root, FILE *out)
{
	struct rights r = { own->smtps, own->qmgr, 0771 };
	char path[PATH_MAX];
	int rc = 0;

	if (!own->smtps || !own->qmgr)
		return 0;
	for (const char *digit = "0123456789ABCDEF"; *digit; digit++) {
		if (snprintf(path, sizeof(path), "%s%c", base, *digit) >= (int)sizeof(path))
			return -EINVAL;
		if (prepare(path, &r, as_root, out))
			rc = -EINVAL;
	}
	return rc;
}

int spool_prepare(const struct spool_owners *own, const char *cdb_base, bool as_root, FILE *out)
{
	const struct {
		const char *path;
		const struct account *owner;
		const struct account *group;
		mode_t mode;
	} dirs[] = {
		{ "defedb", own->qmgr, own->qmgr, 0700 },
		{ "ibdb", own->qmgr, own->qmgr, 0700 },
		{ "qmsmar", own->qmgr, own->smar, 02770 },
		{ "qmsmtpc", own->qmgr, own->smtpc, 02770 },
		{ "qmsmtps", own->qmgr, own->smtps, 02770 },
		{ "smtps", own->smtps, own->smtps, 0750 },
	};
	int rc = 0;

	if (as_root && own->qmgr) {
		struct rights r = { NULL, own->qmgr, 0771 };

		if (prepare(".", &r, true, out))
			return -EINVAL;
	}
	if (prepare_cdb(own, cdb_base, as_root, out))
		rc = -EINVAL;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		struct rights r = { dirs[i].owner, dirs[i].group, dirs[i].mode };

		if (r.owner && r.group && prepare(dirs[i].path, &r, as_root, out))
			rc = -EINVAL;
	}
	return rc;
}
