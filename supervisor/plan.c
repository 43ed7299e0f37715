#include "supervisor/plan.h"

#include <string.h>

static uint64_t bit(unsigned u)
{
	return (uint64_t)1 << u;
}

unsigned plan_rank(const char *keyword)
{
	static const char *const order[PLAN_RANK_SERVICE] = { "smtps", "smtpc", "smar", "qmgr" };
	unsigned i = 0;

	while (i < PLAN_RANK_SERVICE && strcmp(order[i], keyword) != 0)
		i++;
	return i;
}

uint64_t plan_closure(const uint64_t *direct, unsigned count, unsigned u)
{
	uint64_t seen = direct[u], done = 0;

	while (seen & ~done) {
		unsigned next = (unsigned)__builtin_ctzll(seen & ~done);

		done |= bit(next);
		if (next < count)
			seen |= direct[next];
	}
	return seen & ~bit(u);
}

void plan_init(struct plan *p, unsigned count, const uint64_t *direct)
{
	memset(p, 0, sizeof(*p));
	p->count = count;
	p->want = count < PLAN_UNITS_MAX ? bit(count) - 1 : ~(uint64_t)0;
	p->due = p->want;
	for (unsigned i = 0; i < count; i++)
		p->closure[i] = plan_closure(direct, count, i);
}

enum plan_step plan_next(struct plan *p, unsigned *unit)
{
	if (p->stopping)
		p->cycle = p->live;
	uint64_t busy = p->cycle & p->live;

	if (busy) {
		*unit = (unsigned)__builtin_ctzll(busy);
		if (p->asked & bit(*unit))
			return PLAN_WAIT;
		p->asked |= bit(*unit);
		return PLAN_STOP;
	}
	p->due |= p->cycle;
	p->cycle = 0;
	p->asked = 0;
	if (p->stopping)
		return PLAN_END;
	p->due &= p->want;
	if (!p->due)
		return PLAN_WAIT;
	*unit = 63u - (unsigned)__builtin_clzll(p->due);
	p->due &= ~bit(*unit);
	return PLAN_START;
}

void plan_live(struct plan *p, unsigned u, bool live)
{
	if (live) {
		p->live |= bit(u);
	} else {
		p->live &= ~bit(u);
		p->asked &= ~bit(u);
	}
}

void plan_restart(struct plan *p, unsigned u)
{
	p->due |= bit(u);
	p->cycle |= p->closure[u];
}

void plan_useless(struct plan *p, unsigned u)
{
	p->want &= ~bit(u);
}

void plan_revive(struct plan *p, unsigned u)
{
	p->want |= bit(u);
	p->due |= bit(u);
}

void plan_stop_all(struct plan *p)
{
	p->stopping = true;
	p->want = 0;
}

bool plan_is_asked(const struct plan *p, unsigned u)
{
	return p->asked & bit(u);
}
