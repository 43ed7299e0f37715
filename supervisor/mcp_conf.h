/*
 * supervisor/mcp_conf.h - the sections of smx.conf that mcp starts, R 3.7 and 8.2.
 *
 * Owner:  mcp's only thread.
 * Memory: a struct mcp_conf owns all it points to; mcp_conf_free().
 * Limits: PLAN_UNITS_MAX sections, FDPASS_MAX listening sockets each.
 */
#ifndef SUPERVISOR_MCP_CONF_H
#define SUPERVISOR_MCP_CONF_H
#include "core/conf.h"
#include "supervisor/account.h"
#include "supervisor/listen.h"
#include "supervisor/plan.h"

#include <stdbool.h>
#include <stdint.h>

/* One section: one of the four components, or a service. */
struct mcp_program {
	const char *keyword;
	const char *name; /* of the section, else its keyword */
	unsigned section; /* its place in the file */
	unsigned rank;    /* plan_rank() */
	struct conf_common common;
	struct account account;
	struct listen_spec listen[FDPASS_MAX];
	unsigned listen_count;
	uint64_t restarts_with; /* direct restart_dependencies, a bit per program */
};

struct mcp_conf {
	struct conf *file;
	struct conf_global global;
	unsigned count;
	struct mcp_program program[PLAN_UNITS_MAX]; /* in stop order */
};

/* Reads path for a file that precheck_file() has found good, and checks what only mcp can know:
 * accounts, argument lists, names of log files. Errors go to out. Returns 0 or -EINVAL. */
int mcp_conf_load(const char *path, bool as_root, struct mcp_conf *mc, FILE *out);
void mcp_conf_free(struct mcp_conf *mc);

/* One of smtps, smtpc, smar, qmgr. */
static inline bool mcp_conf_is_main(const struct mcp_program *p)
{
	return p->rank < PLAN_RANK_SERVICE;
}

#endif
