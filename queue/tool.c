#include "queue/tool.h"

#include "core/err.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static int is_spool(void)
{
	return access("defedb", F_OK) == 0 && access("qmsmtps", F_OK) == 0;
}

void tool_enter_spool(const char *dir)
{
	if (!dir)
		dir = getenv("SMX_SPOOL");
	if (!dir && is_spool())
		return;
	if (!dir)
		dir = SMX_SPOOLDIR;
	if (chdir(dir))
		fatal(EX_NOINPUT, "%s: %s", dir, strerror(errno));
	if (!is_spool())
		fatal(EX_NOINPUT, "%s is no spool of smX: it has no defedb and qmsmtps", dir);
}

void tool_become_owner(const char *path)
{
	struct stat st;

	if (geteuid() != 0)
		return;
	if (stat(path, &st))
		fatal(EX_NOINPUT, "%s: %s", path, strerror(errno));
	if (st.st_uid == 0)
		fatal(EX_NOPERM, "%s belongs to root, not to the account of qmgr", path);
	struct passwd *pw = getpwuid(st.st_uid);
	if ((pw ? initgroups(pw->pw_name, st.st_gid) : setgroups(0, NULL)) || setgid(st.st_gid) || setuid(st.st_uid))
		fatal(EX_NOPERM, "cannot become the owner of %s: %s", path, strerror(errno));
}
