#include "proto/smtpc_outbox.h"

#include "proto/smtpc_limits.h"
#include "proto/smtpc_stats.h"

#include <errno.h>
#include <stdlib.h>

enum { SLOT_KEEP_BYTES = 4096 };

struct slot {
	usec_t at;
	struct buf body;
};

struct kept {
	struct kept *next;
	size_t n;
	char body[];
};

struct smtpc_outbox {
	struct slot ring[SMTPC_RECENT_RESULTS];
	unsigned next; /* slot to be used next: the oldest */
	struct kept *first, **last;
	unsigned kept_count;
};

struct smtpc_outbox *smtpc_outbox_new(void)
{
	struct smtpc_outbox *o = calloc(1, sizeof *o);

	if (o)
		o->last = &o->first;
	return o;
}

static void drop_first(struct smtpc_outbox *o)
{
	struct kept *k = o->first;

	o->first = k->next;
	if (!o->first)
		o->last = &o->first;
	o->kept_count--;
	free(k);
}

void smtpc_outbox_free(struct smtpc_outbox *o)
{
	if (!o)
		return;
	while (o->first)
		drop_first(o);
	for (unsigned i = 0; i < SMTPC_RECENT_RESULTS; i++)
		buf_release(&o->ring[i].body);
	free(o);
}

struct buf *smtpc_outbox_recent(struct smtpc_outbox *o, usec_t now)
{
	struct slot *s = &o->ring[o->next];

	o->next = (o->next + 1) % SMTPC_RECENT_RESULTS;
	s->at = now;
	if (s->body.cap > SLOT_KEEP_BYTES)
		buf_release(&s->body);
	buf_eat(&s->body, buf_len(&s->body));
	return &s->body;
}

int smtpc_outbox_keep(struct smtpc_outbox *o, struct span body)
{
	struct kept *k = malloc(sizeof *k + body.n);

	if (!k) {
		SMTPC_COUNT(results_lost, 1);
		return -ENOMEM;
	}
	if (o->kept_count >= SMTPC_UNSENT_RESULTS) {
		drop_first(o);
		SMTPC_COUNT(results_lost, 1);
	}
	k->next = NULL;
	k->n = body.n;
	memcpy(k->body, body.p, body.n);
	*o->last = k;
	o->last = &k->next;
	o->kept_count++;
	return 0;
}

unsigned smtpc_outbox_replay(struct smtpc_outbox *o, usec_t since, usec_t now,
			     int (*send)(void *ctx, struct span body), void *ctx)
{
	unsigned count = 0;

	for (unsigned i = 0; i < SMTPC_RECENT_RESULTS; i++) {
		struct slot *s = &o->ring[(o->next + i) % SMTPC_RECENT_RESULTS];

		if (!buf_len(&s->body) || s->at < since)
			continue;
		if (send(ctx, buf_span(&s->body)))
			return count;
		s->at = now;
		count++;
		SMTPC_COUNT(results_resent, 1);
	}
	while (o->first) {
		if (send(ctx, span_of(o->first->body, o->first->n)))
			return count;
		count++;
		drop_first(o);
	}
	return count;
}
