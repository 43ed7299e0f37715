#include "queue/groups.h"

#include "core/err.h"
#include "queue/listing.h"
#include "queue/route_text.h"

#include <inttypes.h>
#include <stdlib.h>

enum { BUCKETS = 16384, KEY_MAX = 200 };

struct group {
	struct group *chain;
	uint64_t hash;
	uint64_t weight; /* in the order of what waits */
	uint64_t recipients, active, deferred, held, parked, attempts;
	usec_t oldest_usec;
	unsigned limit; /* of a destination */
	usec_t down_usec;
	const char *why; /* its parked ones wait */
	usec_t next_usec;
	size_t n;
	char key[];
};

struct groups {
	struct group *bucket[BUCKETS];
	unsigned count;
};

static const char *const by_names[] = { "host", "domain", "from", "client", "reply" };

bool groups_by_name(struct span word, enum groups_by *by)
{
	for (unsigned i = 0; i < sizeof by_names / sizeof by_names[0]; i++)
		if (span_eq(word, span_str(by_names[i]))) {
			*by = (enum groups_by)i;
			return true;
		}
	return false;
}

struct groups *groups_new(void)
{
	return xcalloc(1, sizeof(struct groups));
}

void groups_free(struct groups *own)
{
	for (unsigned i = 0; own && i < BUCKETS; i++) {
		struct group *next;

		for (struct group *g = own->bucket[i]; g; g = next) {
			next = g->chain;
			free(g);
		}
	}
	free(own);
}

static struct group *get(struct groups *t, struct span key)
{
	uint64_t h;

	key = span_head(key, KEY_MAX);
	h = span_casehash(key);
	for (struct group *g = t->bucket[h % BUCKETS]; g; g = g->chain)
		if (g->hash == h && span_caseeq(span_of(g->key, g->n), key))
			return g;
	if (t->count == GROUPS_MAX)
		key = SPAN("(others)");
	if (t->count > GROUPS_MAX)
		return get(t, SPAN("(others)"));
	struct group *g = xcalloc(1, sizeof *g + key.n);
	g->hash = span_casehash(key);
	g->n = key.n;
	memcpy(g->key, key.p, key.n);
	g->chain = t->bucket[g->hash % BUCKETS];
	t->bucket[g->hash % BUCKETS] = g;
	t->count++;
	return g;
}

static struct span domain_of(struct span addr)
{
	return span_from(addr, span_rchr(addr, '@') + 1);
}

void groups_add(struct groups *t, enum groups_by by, const struct select_row *row)
{
	struct buf text = { 0 };
	char client[ADDR_TEXT_MAX];
	struct group *g = NULL;

	switch (by) {
	case GROUPS_OF_HOST:
		if (!route_text_put(row->route, &text))
			g = get(t, buf_span(&text));
		break;
	case GROUPS_OF_DOMAIN:
		g = get(t, domain_of(row->rcpt));
		break;
	case GROUPS_OF_FROM:
		g = get(t, row->sender.n ? row->sender : SPAN("<>"));
		break;
	case GROUPS_OF_CLIENT:
		g = get(t, span_of(client, addr_text(&row->client, client)));
		break;
	case GROUPS_OF_REPLY:
		g = get(t, row->reply.n ? row->reply : SPAN("none"));
		break;
	}
	buf_release(&text);
	if (!g)
		return;
	g->weight++;
	g->recipients++;
	g->active += (row->state & SELECT_ACTIVE) != 0;
	g->deferred += (row->state & SELECT_DEFERRED) != 0;
	g->held += (row->state & SELECT_HELD) != 0;
	g->parked += row->parked;
	g->attempts += row->attempts;
	if (row->age_usec > g->oldest_usec)
		g->oldest_usec = row->age_usec;
}

void groups_add_dest(struct groups *t, const struct sched_dest *d)
{
	struct buf text = { 0 };
	struct group *g = route_text_put(d->route, &text) ? NULL : get(t, buf_span(&text));

	buf_release(&text);
	if (!g)
		return;
	g->weight += d->waiting + d->parked;
	g->recipients += d->waiting;
	g->attempts += d->attempts;
	g->parked += d->parked;
	if (d->limit) {
		g->limit = d->limit;
		g->down_usec = d->down_usec;
	}
	if (d->why) {
		g->why = d->why;
		g->next_usec = d->next_usec;
	}
	if (d->oldest_usec > g->oldest_usec)
		g->oldest_usec = d->oldest_usec;
}

/* ---- in order */

static int compare(uint64_t a, uint64_t b, const struct group *x, const struct group *y)
{
	size_t n = x->n < y->n ? x->n : y->n;

	if (a != b)
		return a > b ? -1 : 1;
	int c = memcmp(x->key, y->key, n);
	return c ? c : (x->n > y->n) - (x->n < y->n);
}

static int more_queued(const void *a, const void *b)
{
	const struct group *x = *(struct group *const *)a, *y = *(struct group *const *)b;

	return compare(x->weight, y->weight, x, y);
}

static int more_attempts(const void *a, const void *b)
{
	const struct group *x = *(struct group *const *)a, *y = *(struct group *const *)b;

	return compare(x->attempts, y->attempts, x, y);
}

static struct group **sorted(struct groups *t, enum groups_order order)
{
	struct group **all = xmalloc((t->count + 1) * sizeof *all);
	unsigned n = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct group *g = t->bucket[i]; g; g = g->chain)
			all[n++] = g;
	qsort(all, n, sizeof(struct group *),
	      order == GROUPS_BY_QUEUED ? more_queued : more_attempts);
	return all;
}

static int put_age(usec_t usec, struct buf *out)
{
	struct buf text = { 0 };
	int rc = listing_duration(usec, &text);

	if (!rc)
		rc = buf_printf(out, " %8.*s ", (int)buf_len(&text), buf_span(&text).p);
	buf_release(&text);
	return rc;
}

static int print_text(const struct group *g, struct buf *out)
{
	int rc = buf_printf(
		out, "%10" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64,
		g->recipients, g->active, g->deferred, g->parked, g->held, g->attempts);

	if (!rc)
		rc = put_age(g->oldest_usec, out);
	if (!rc)
		rc = listing_harmless(span_of(g->key, g->n), out);
	return rc ? rc : buf_add(out, "\n", 1);
}

static int print_json(const struct group *g, const char *by, struct buf *out)
{
	int rc = buf_printf(out, "{\"%s\":", by);

	if (!rc)
		rc = listing_json_string(span_of(g->key, g->n), out);
	return rc ? rc
		  : buf_printf(out,
			       ",\"recipients\":%" PRIu64 ",\"active\":%" PRIu64
			       ",\"deferred\":%" PRIu64 ",\"parked\":%" PRIu64 ",\"held\":%" PRIu64
			       ",\"attempts\":%" PRIu64 ",\"oldest_age\":%" PRId64 "}\n",
			       g->recipients, g->active, g->deferred, g->parked, g->held,
			       g->attempts, g->oldest_usec / USEC_PER_SEC);
}

int groups_print(struct groups *t, enum groups_by by, enum groups_order order, unsigned rows,
		 bool json, struct buf *out)
{
	struct group **all = sorted(t, order);
	int rc = 0;

	if (!json)
		rc = buf_printf(
			out,
			"recipients    active  deferred    parked      held  attempts   oldest %s\n",
			by_names[by]);
	for (unsigned i = 0; i < t->count && i < rows && !rc; i++)
		rc = json ? print_json(all[i], by_names[by], out) : print_text(all[i], out);
	free(all);
	return rc;
}

static const char *dest_state(const struct group *g)
{
	return g->why ? g->why : g->down_usec ? "down" : "up";
}

static int print_dest_text(const struct group *g, struct buf *out)
{
	int rc = buf_printf(out, "%10" PRIu64 " %9" PRIu64 " %9u", g->recipients, g->attempts,
			    g->limit);

	if (!rc)
		rc = put_age(g->oldest_usec, out);
	if (!rc)
		rc = buf_printf(out, " %9" PRIu64, g->parked);
	if (!rc)
		rc = put_age(g->next_usec, out);
	if (!rc)
		rc = buf_printf(out, "%-5s ", dest_state(g));
	if (!rc)
		rc = listing_harmless(span_of(g->key, g->n), out);
	return rc ? rc : buf_add(out, "\n", 1);
}

static int print_dest_json(const struct group *g, struct buf *out)
{
	int rc = buf_add_span(out, SPAN("{\"host\":"));

	if (!rc)
		rc = listing_json_string(span_of(g->key, g->n), out);
	return rc ? rc
		  : buf_printf(out,
			       ",\"waiting\":%" PRIu64 ",\"attempts\":%" PRIu64
			       ",\"limit\":%u,\"down\":%s,\"down_for\":%" PRId64
			       ",\"oldest_wait\":%" PRId64 ",\"state\":\"%s\",\"parked\":%" PRIu64
			       ",\"next_attempt_in\":%" PRId64 "}\n",
			       g->recipients, g->attempts, g->limit,
			       g->down_usec ? "true" : "false", g->down_usec / USEC_PER_SEC,
			       g->oldest_usec / USEC_PER_SEC, dest_state(g), g->parked,
			       g->next_usec / USEC_PER_SEC);
}

int groups_print_dests(struct groups *t, enum groups_order order, unsigned rows, bool json,
		       struct buf *out)
{
	struct group **all = sorted(t, order);
	int rc =
		json ? 0
		     : buf_add_span(
			       out,
			       SPAN("  messages  attempts     limit   oldest     parked     next state host\n"));

	for (unsigned i = 0; i < t->count && i < rows && !rc; i++)
		rc = json ? print_dest_json(all[i], out) : print_dest_text(all[i], out);
	free(all);
	return rc;
}
