#include "queue/sparse.h"

#include "queue/segment.h"

#include <errno.h>
#include <sys/file.h>

enum {
	LEAST_BYTES = 1 << 20,
	AGAIN_USEC = 30 * USEC_PER_SEC,
	BUSY_USEC = 5 * USEC_PER_SEC,
	DOUBLINGS = 7, /* up to about an hour */
};

static uint64_t gain(const struct segment *g)
{
	return g->alloc > g->live_bytes ? g->alloc - g->live_bytes : 0;
}

static bool is_worth(const struct segment *g)
{
	uint64_t least = g->bytes / 16 < LEAST_BYTES ? g->bytes / 16 : LEAST_BYTES;

	if (!g->sealed || !g->live || g->busy)
		return false;
	if (g->failures)
		return true;
	if (g->tried_live == UINT64_MAX)
		return gain(g) >= least && gain(g) * 2 >= g->alloc;
	return g->live_bytes * 2 <= g->tried_live && gain(g) >= g->bytes / 32;
}

bool sparse_check(struct segments *t, struct segment *g)
{
	if (g->sparse || !is_worth(g))
		return false;
	g->sparse = true;
	g->sparse_next = t->sparse;
	t->sparse = g;
	return true;
}

void sparse_begin(struct segments *t, struct segment *g)
{
	g->tried_live = UINT64_MAX;
	g->failures = 0;
	g->try_at = clock_now();
	segment_measure(t, g);
	sparse_check(t, g);
}

void sparse_drop(struct segments *t, struct segment *g)
{
	struct segment **at = &t->sparse;

	while (g->sparse && *at != g)
		at = &(*at)->sparse_next;
	if (g->sparse)
		*at = g->sparse_next;
	g->sparse = false;
}

bool sparse_is_free(struct segment *g)
{
	if (g->busy)
		return false;
	if (!g->held || g->fd < 0)
		return true;
	/* Who punches has a shared lock. */
	if (flock(g->fd, LOCK_EX | LOCK_NB))
		return false;
	flock(g->fd, LOCK_UN);
	g->held = false;
	return true;
}

bool sparse_pick(struct segments *t, usec_t now, usec_t delay, struct sparse *out, usec_t *next)
{
	struct segment *best = NULL, *following;

	*next = INT64_MAX;
	for (struct segment *g = t->sparse; g; g = following) {
		usec_t at = g->failures ? g->try_at : g->try_at + delay;

		following = g->sparse_next;
		if (!is_worth(g)) {
			sparse_drop(t, g);
			continue;
		}
		/* What is not accounted for may still be committed: soon, or never. */
		if (at <= now && (g->changed || !segment_covered(g)))
			at = now + USEC_PER_SEC;
		if (at <= now && (!best || gain(g) > gain(best)))
			best = g;
		if (at < *next)
			*next = at;
	}
	if (!best)
		return false;
	sparse_drop(t, best);
	best->busy = true;
	*out = (struct sparse){ best->seg,      best->gen,  best->bytes,      best->alloc,
				best->instance, best->live, best->live_bytes, best->bad != 0 };
	return true;
}

static struct segment *find(struct segments *t, const struct sparse *s)
{
	struct segment *g = segments_find(t, s->seg);

	return g && g->gen == s->gen && g->busy ? g : NULL;
}

bool sparse_confirm(struct segments *t, const struct sparse *s, unsigned found)
{
	struct segment *g = find(t, s);

	return g && found >= g->live && segment_covered(g) && !g->changed;
}

void sparse_done(struct segments *t, const struct sparse *s, int error, bool held)
{
	struct segment *g = find(t, s);

	if (!g)
		return;
	g->busy = false;
	g->held |= held;
	segment_measure(t, g);
	g->tried_live = g->live_bytes;
	if (error) {
		usec_t first = error == -EBUSY ? BUSY_USEC : AGAIN_USEC;
		usec_t wait = first << (g->failures < DOUBLINGS ? g->failures : DOUBLINGS);

		g->failures++;
		g->try_at = clock_now() + wait;
	} else {
		g->failures = 0;
		g->try_at = clock_now();
	}
	sparse_check(t, g);
	segments_look(t, g);
}
