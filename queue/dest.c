#include "queue/dest.h"

#include "core/err.h"

#include <stdlib.h>

enum { DEST_BUCKETS = 1024, LANE_BUCKETS = 8192, DESTS_PIECE = 500 };

struct dests {
	struct qloop *l;
	void (*timer)(struct timer *t);
	struct dest *bucket[DEST_BUCKETS];
	struct lane *lane[LANE_BUCKETS];
	struct pool lanes;
	unsigned count;
	struct {                 /* where the walk of dests_pick() is */
		unsigned bucket; /* to begin next */
		struct lane *lane;
		struct job *at, *before; /* next to look at; the one before it in the lane, NULL: it
					    is the first */
	} pick;
};

struct dests *dests_new(struct qloop *l, void (*timer)(struct timer *t))
{
	struct dests *t = xcalloc(1, sizeof *t);

	t->l = l;
	t->timer = timer;
	pool_init(&l->jobs, sizeof(struct job), SIZE_MAX);
	pool_init(&t->lanes, sizeof(struct lane), SIZE_MAX);
	return t;
}

struct dest *dests_get(struct dests *t, struct span route)
{
	uint64_t h = span_hash(route);
	struct dest **b = &t->bucket[h % DEST_BUCKETS];

	for (struct dest *d = *b; d; d = d->chain)
		if (d->hash == h && span_eq(d->bytes, route))
			return d;
	struct dest *d = xcalloc(1, sizeof *d + route.n);
	memcpy((char *)(d + 1), route.p, route.n);
	d->bytes = span_of(d + 1, route.n);
	if (route_decode(route, &d->route)) {
		free(d);
		return NULL;
	}
	d->hash = h;
	d->of = t;
	d->turn_end = &d->turn;
	d->timer.fn = t->timer;
	d->park = park_get(route);
	d->chain = *b;
	*b = d;
	/* The local LMTP socket has no host: its entry is that of no address. */
	if (d->route.mailer == ROUTE_LMTP_LOCAL)
		d->route.count = 1;
	for (unsigned i = 0; i < d->route.count; i++)
		d->host[i] = occ_get(d->route.mailer, &d->route.host[i]);
	t->count++;
	return d;
}

static void dest_free(struct dest *d)
{
	struct dest **at = &d->of->bucket[d->hash % DEST_BUCKETS];

	while (*at != d)
		at = &(*at)->chain;
	*at = d->chain;
	loop_timer_stop(d->of->l->loop, &d->timer);
	for (unsigned i = 0; i < d->route.count; i++)
		occ_put(d->host[i]);
	park_put(d->park);
	d->of->count--;
	free(d);
}

void dests_each(struct dests *t, void (*fn)(struct dest *d, void *ctx), void *ctx)
{
	for (unsigned i = 0; i < DEST_BUCKETS; i++)
		for (struct dest *d = t->bucket[i]; d; d = d->chain)
			fn(d, ctx);
}

bool dests_some(struct dests *t, unsigned *bucket, void (*fn)(struct dest *d, void *ctx), void *ctx)
{
	unsigned n = 0;

	for (; *bucket < DEST_BUCKETS && n < DESTS_PIECE; (*bucket)++)
		for (struct dest *d = t->bucket[*bucket]; d; d = d->chain, n++)
			fn(d, ctx);
	return *bucket < DEST_BUCKETS;
}

void dests_sweep(struct dests *t, usec_t keep_usec)
{
	usec_t now = loop_now(t->l->loop);

	for (unsigned i = 0; i < DEST_BUCKETS; i++) {
		struct dest *next;

		for (struct dest *d = t->bucket[i]; d; d = next) {
			next = d->chain;
			if (!dest_waits(d) && !d->busy && !d->ready && now - d->used > keep_usec)
				dest_free(d);
		}
	}
}

struct qloop *dest_loop(const struct dest *d)
{
	return d->of->l;
}

unsigned dests_count(const struct dests *t)
{
	return t->count;
}

/* ---- lanes */

static struct lane **lane_bucket(const struct dest *d, uint64_t key)
{
	return &d->of->lane[hash_mix(key, (uint64_t)(uintptr_t)d) % LANE_BUCKETS];
}

static struct lane *lane_get(struct dest *d, const struct ta *ta, uint32_t idx)
{
	uint64_t key =
		hash_mix(addr_ip_hash(&ta->env.client), span_hash(envelope_sender(&ta->env, idx)));
	struct lane **b = lane_bucket(d, key);

	for (struct lane *g = *b; g; g = g->chain)
		if (g->key == key && g->dest == d)
			return g;
	struct lane *g = pool_get_zero(&d->of->lanes);
	if (!g)
		panic("no memory for a lane");
	g->key = key;
	g->dest = d;
	g->tail = &g->head;
	g->chain = *b;
	*b = g;
	return g;
}

static void pick_lane(struct dests *t, struct lane *g)
{
	t->pick.lane = g;
	t->pick.at = g ? g->head : NULL;
	t->pick.before = NULL;
}

static void lane_free_if_empty(struct lane *g)
{
	struct lane **at = lane_bucket(g->dest, g->key);

	if (g->head || g->busy)
		return;
	if (g->dest->of->pick.lane == g)
		pick_lane(g->dest->of, g->chain);
	while (*at != g)
		at = &(*at)->chain;
	*at = g->chain;
	pool_put(&g->dest->of->lanes, g);
}

static void append(struct dest *d, struct lane *g)
{
	g->waiting = true;
	g->next = NULL;
	*d->turn_end = g;
	d->turn_end = &g->next;
	d->lanes++;
}

static void take_first(struct dest *d)
{
	struct lane *g = d->turn;

	d->turn = g->next;
	if (!d->turn)
		d->turn_end = &d->turn;
	g->waiting = false;
	d->lanes--;
}

/* ---- jobs */

/* Room grows in powers of two. */
static uint32_t room_for(uint32_t count)
{
	return count <= DEST_INLINE_RCPTS ? DEST_INLINE_RCPTS
					  : 1u << (32 - __builtin_clz(count - 1));
}

static void job_extend(struct job *j, const uint32_t *idx, unsigned count)
{
	uint32_t had = room_for(j->count), want = room_for(j->count + count);

	if (want != had && j->idx == j->few) {
		j->idx = xmalloc(want * sizeof *j->idx);
		memcpy(j->idx, j->few, j->count * sizeof *j->idx);
	} else if (want != had) {
		j->idx = xrealloc(j->idx, want * sizeof *j->idx);
	}
	memcpy(j->idx + j->count, idx, count * sizeof *idx);
	j->count += count;
}

static bool same_owner(const struct ta *ta, uint32_t a, uint32_t b)
{
	return ta->env.rcpt[a].owner == ta->env.rcpt[b].owner;
}

static void add_job(struct dest *d, struct ta *ta, const uint32_t *idx, unsigned count)
{
	struct qloop *l = d->of->l;
	struct lane *g = lane_get(d, ta, idx[0]);
	struct job *last = g->head ? caa_container_of(g->tail, struct job, next) : NULL;

	/* Recipients of one message that come one by one, from retries, go out together. */
	if (last && last->ta == ta && same_owner(ta, last->idx[0], idx[0])) {
		job_extend(last, idx, count);
		return;
	}
	struct job *j = pool_get(&l->jobs);
	if (!j)
		panic("no memory for a job");
	*j = (struct job){ .ta = ta, .count = count, .since = loop_now(l->loop) };
	j->idx = count <= DEST_INLINE_RCPTS ? j->few : xmalloc(room_for(count) * sizeof *j->idx);
	memcpy(j->idx, idx, count * sizeof *idx);
	*g->tail = j;
	g->tail = &j->next;
	d->queued++;
	d->used = j->since;
	if (!g->waiting)
		append(d, g);
}

/* A transaction of SMTP has one sender. */
void dest_add(struct dest *d, struct ta *ta, const uint32_t *idx, unsigned count)
{
	if (!ta->env.owner_count) {
		add_job(d, ta, idx, count);
		return;
	}
	uint32_t *all = xmalloc(count * sizeof *all), *rest = all;
	memcpy(all, idx, count * sizeof *all);
	while (count) {
		unsigned n = aq_first_owner(ta, rest, count);

		add_job(d, ta, rest, n);
		rest += n;
		count -= n;
	}
	free(all);
}

static void job_free(struct qloop *l, struct job *own)
{
	if (own->idx != own->few)
		free(own->idx);
	pool_put(&l->jobs, own);
}

static void pop_job(struct lane *g)
{
	struct dests *t = g->dest->of;
	struct job *j = g->head;

	if (t->pick.at == j)
		t->pick.at = j->next;
	if (t->pick.before == j)
		t->pick.before = NULL;
	g->head = j->next;
	if (!g->head)
		g->tail = &g->head;
	g->dest->queued--;
	job_free(t->l, j);
}

struct lane *dest_next(struct dest *d, unsigned slots)
{
	/* At most two lanes can have half of the slots each, so this looks at three. */
	for (unsigned i = 0; i < d->lanes && i < 3; i++) {
		struct lane *g = d->turn;

		if (d->lanes == 1 || g->busy * 2 < slots || slots < 2)
			return g;
		take_first(d);
		append(d, g);
	}
	return NULL;
}

void dest_taken(struct lane *g, unsigned n)
{
	struct dest *d = g->dest;

	g->busy++;
	d->busy++;
	g->head->at += n;
	if (g->head->at == g->head->count)
		pop_job(g);
	take_first(d);
	if (g->head)
		append(d, g);
}

void dest_done(struct lane *g)
{
	g->busy--;
	g->dest->busy--;
	g->dest->used = loop_now(g->dest->of->l->loop);
	lane_free_if_empty(g);
}

unsigned dest_drain(struct dest *d, usec_t older_than,
		    void (*fn)(struct qloop *l, struct job *j, void *ctx), void *ctx)
{
	unsigned lanes = d->lanes, n = 0;

	while (lanes-- > 0) {
		struct lane *g = d->turn;

		take_first(d);
		while (g->head && g->head->since <= older_than) {
			n += g->head->count - g->head->at;
			fn(d->of->l, g->head, ctx);
			pop_job(g);
		}
		if (g->head)
			append(d, g);
		else
			lane_free_if_empty(g);
	}
	return n;
}

/* ---- taking recipients out */

void dests_pick_begin(struct dests *t)
{
	t->pick.bucket = 0;
	pick_lane(t, NULL);
}

/* An empty job leaves its lane, an empty lane its turn. */
static void unlink_job(struct lane *g, struct job *before, struct job *j)
{
	struct dest *d = g->dest;
	struct lane **at = &d->turn;

	*(before ? &before->next : &g->head) = j->next;
	if (!j->next)
		g->tail = before ? &before->next : &g->head;
	d->queued--;
	job_free(d->of->l, j);
	if (g->head || !g->waiting)
		return;
	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	if (!g->next)
		d->turn_end = at;
	g->waiting = false;
	d->lanes--;
}

/* Moves the wanted ones out of the job into idx; returns how many. */
static unsigned take_wanted(const struct dest *d, struct job *j, const struct dest_pick *p,
			    uint32_t *idx)
{
	unsigned n = 0, keep = j->at;

	for (unsigned i = j->at; i < j->count; i++) {
		if (p->want(p->ctx, d, j->ta, j->idx[i]))
			idx[n++] = j->idx[i];
		else
			j->idx[keep++] = j->idx[i];
	}
	j->count = keep;
	return n;
}

static unsigned pick_job(struct dests *t, const struct dest_pick *p)
{
	struct lane *g = t->pick.lane;
	struct job *j = t->pick.at;
	uint32_t *idx = xmalloc((j->count - j->at) * sizeof *idx);
	unsigned n = take_wanted(g->dest, j, p, idx);
	struct ta *ta = j->ta;
	struct dest *d = g->dest;

	t->pick.at = j->next;
	if (j->at == j->count)
		unlink_job(g, t->pick.before, j);
	else
		t->pick.before = j;
	if (!t->pick.at)
		pick_lane(t, g->chain);
	lane_free_if_empty(g);
	if (n)
		p->take(p->ctx, d, ta, idx, n);
	free(idx);
	return n;
}

bool dests_pick(struct dests *t, unsigned budget, const struct dest_pick *p, unsigned *taken)
{
	while (budget > 0) {
		if (t->pick.lane && t->pick.at) {
			unsigned n = t->pick.at->count - t->pick.at->at;

			*taken += pick_job(t, p);
			budget -= n < budget ? n : budget;
		} else if (t->pick.lane) {
			pick_lane(t, t->pick.lane->chain);
			budget--;
		} else if (t->pick.bucket < LANE_BUCKETS) {
			pick_lane(t, t->lane[t->pick.bucket++]);
		} else {
			return false;
		}
	}
	return true;
}
