#include "supervisor/mcp_unit.h"

#include "core/err.h"
#include "supervisor/mcp_lock.h"

#include <stdlib.h>
#include <string.h>

enum { RECORD_MAX = 2048 };

static unsigned slots_wanted(const struct mcp_program *p)
{
	switch (p->common.start_action) {
	case CONF_START_ACCEPT:
		return p->common.max_processes;
	case CONF_START_NOSTARTACCEPT:
		return FDPASS_MAX;
	default:
		return p->common.min_processes;
	}
}

void mcp_unit_init(struct mcp *m)
{
	uint64_t direct[PLAN_UNITS_MAX];

	for (unsigned i = 0; i < m->conf.count; i++) {
		struct mcp_unit *u = &m->unit[i];

		memset(u, 0, sizeof(*u));
		u->index = i;
		u->conf = &m->conf.program[i];
		u->slot_count = slots_wanted(u->conf);
		u->slot = xcalloc(u->slot_count, sizeof(*u->slot));
		u->pass_fd = -1;
		direct[i] = u->conf->restarts_with;
	}
	plan_init(&m->plan, m->conf.count, direct);
}

void mcp_unit_free(struct mcp *m)
{
	for (unsigned i = 0; i < m->conf.count; i++)
		free(m->unit[i].slot);
}

bool mcp_unit_is_live(const struct mcp_unit *u)
{
	for (unsigned i = 0; i < u->slot_count; i++)
		if (u->slot[i].pid)
			return true;
	return false;
}

bool mcp_unit_is_up(const struct mcp_unit *u)
{
	for (unsigned i = 0; i < u->slot_count; i++)
		if (u->slot[i].up)
			return true;
	return false;
}

bool mcp_unit_may_start(const struct mcp *m, const struct mcp_unit *u)
{
	uint64_t bit = (uint64_t)1 << u->index;

	return !m->plan.stopping && (m->plan.want & bit) && !(m->plan.cycle & bit);
}

struct mcp_unit *mcp_unit_find(struct mcp *m, pid_t pid, unsigned *slot)
{
	for (unsigned i = 0; i < m->conf.count; i++)
		for (unsigned k = 0; k < m->unit[i].slot_count; k++)
			if (m->unit[i].slot[k].pid == pid) {
				*slot = k;
				return &m->unit[i];
			}
	return NULL;
}

void mcp_unit_record(struct mcp *m, const char *state)
{
	static struct mcp_process list[RECORD_MAX];
	size_t n = 0;

	for (unsigned i = 0; i < m->conf.count; i++) {
		const struct mcp_unit *u = &m->unit[i];

		/* What serves one connection holds no database and no port. */
		if (u->conf->common.start_action == CONF_START_ACCEPT)
			continue;
		for (unsigned k = 0; k < u->slot_count && n < RECORD_MAX; k++)
			if (u->slot[k].pid)
				list[n++] = (struct mcp_process){ u->conf->name, u->slot[k].pid,
								  u->slot[k].birth };
	}
	mcp_lock_write(m->lock_fd, state, list, n);
	m->changed = false;
}
