#include "supervisor/account.h"

#include "core/err.h"
#include "core/span.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* A name that is all digits and not known is a number. 0 or -EINVAL. */
static int as_number(const char *text, unsigned *id)
{
	uint64_t v;

	if (span_u64(span_str(text), UINT32_MAX - 1, &v))
		return -EINVAL;
	*id = (unsigned)v;
	return 0;
}

static int find_user(const char *user, struct account *out, char *why, size_t cap)
{
	char number[16];
	struct passwd *pw;

	if (user) {
		pw = getpwnam(user);
		if (!pw && as_number(user, &out->uid)) {
			snprintf(why, cap, "there is no user %s", user);
			return -EINVAL;
		}
	} else {
		pw = NULL;
		out->uid = geteuid();
	}
	if (!pw)
		pw = getpwuid(out->uid);
	if (pw) {
		out->uid = pw->pw_uid;
		out->gid = pw->pw_gid;
		out->user = xstrdup(pw->pw_name);
	} else {
		snprintf(number, sizeof(number), "%u", (unsigned)out->uid);
		out->gid = (gid_t)-1;
		out->user = xstrdup(number);
	}
	if (!user)
		out->gid = getegid();
	return 0;
}

static int find_group(const char *group, struct account *out, char *why, size_t cap)
{
	char number[16];
	struct group *gr = group ? getgrnam(group) : NULL;

	if (gr) {
		out->gid = gr->gr_gid;
	} else if (group && as_number(group, &out->gid)) {
		snprintf(why, cap, "there is no group %s", group);
		return -EINVAL;
	}
	if (out->gid == (gid_t)-1) {
		snprintf(why, cap, "user %s has no entry in /etc/passwd, so it needs a group",
			 out->user);
		return -EINVAL;
	}
	if (!gr)
		gr = getgrgid(out->gid);
	snprintf(number, sizeof(number), "%u", (unsigned)out->gid);
	out->group_name = xstrdup(gr ? gr->gr_name : number);
	return 0;
}

static void find_groups(struct account *out)
{
	int count = 16;

	for (;;) {
		int room = count;

		out->groups = xrealloc(out->groups, sizeof(gid_t) * (size_t)count);
		if (getgrouplist(out->user, out->gid, out->groups, &count) >= 0)
			break;
		if (count <= room)
			count = room * 2;
	}
	out->group_count = count;
}

int account_find(const char *user, const char *group, struct account *out, char *why, size_t cap)
{
	memset(out, 0, sizeof(*out));
	if (find_user(user, out, why, cap) || find_group(group, out, why, cap)) {
		account_free(out);
		return -EINVAL;
	}
	find_groups(out);
	return 0;
}

void account_free(struct account *a)
{
	free(a->user);
	free(a->group_name);
	free(a->groups);
	memset(a, 0, sizeof(*a));
}

static int drop_capabilities(void)
{
	/* The kernel says where its list ends. */
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
			return -errno;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) && errno != EINVAL)
		return -errno;
	return 0;
}

int account_become(const struct account *a, int drop_rights)
{
	if (geteuid() != 0)
		return a->uid == geteuid() && a->gid == getegid() ? 0 : -EPERM;
	if (drop_rights) {
		int rc = drop_capabilities();

		if (rc)
			return rc;
	}
	if (setgroups((size_t)a->group_count, a->groups) || setresgid(a->gid, a->gid, a->gid) ||
	    setresuid(a->uid, a->uid, a->uid))
		return -errno;
	return 0;
}
