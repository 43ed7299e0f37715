/*
 * supervisor/account.h - the user, group and supplementary groups that a process runs as.
 *
 * Owner:  the caller's only thread; looks names up (getpwnam and so on), so for start-up only.
 * Memory: account_free() gives back what account_find() allocated.
 */
#ifndef SUPERVISOR_ACCOUNT_H
#define SUPERVISOR_ACCOUNT_H
#include <stddef.h>
#include <sys/types.h>

struct account {
	char *user; /* as in /etc/passwd, or the number */
	char *group_name;
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* all groups of the user, gid among them */
	int group_count;
};

/*
 * account_find - user and group may be names or numbers; NULL: the caller's own user, the user's
 * own group. Returns 0, or -EINVAL with the reason in why (no such user, no such group).
 */
int account_find(const char *user, const char *group, struct account *out, char *why, size_t cap);
void account_free(struct account *a);

/*
 * account_become - for good: groups, gid, uid. Only for root, or when nothing has to change. With
 * drop_rights the capability bounding and ambient sets are emptied (root only). Allocates nothing,
 * so it may be called after fork(). Returns 0 or a negative errno.
 */
int account_become(const struct account *a, int drop_rights);

#endif
