#include "resolver/localuser.h"

#include "resolver/lookup.h"
#include "resolver/map_helper.h"

#include <errno.h>
#include <stdlib.h>

/* A lookup in a map that may block. */
struct wait {
	struct map_query q;
	struct lookup l;
	struct address box;
	struct map *map;
	struct ask *own;
};

static void begin(struct lookup *l, const struct mapset *s, const struct address *box)
{
	unsigned flags = LOOKUP_LOCAL_PART;

	if (s->local_users_flags & SMAR_LOCAL_USER_F_IMPLICITLY_MATCH_DETAIL)
		flags |= LOOKUP_MATCH_DETAIL;
	/* Accounts have no domains. */
	lookup_mailbox(l, SPAN(""), box->local, map_blocks(s->local_users) ? SPAN("") : box->domain,
		       s->delimiter, flags);
}

static int look_up(const struct mapset *s, const struct address *box)
{
	struct span key, value;
	struct lookup l;
	int rc = -ENOENT;

	begin(&l, s, box);
	while (rc == -ENOENT && lookup_next(&l, &key))
		rc = map_get(s->local_users, key, &value);
	return rc;
}

static void release(void *held)
{
	struct wait *w = held;

	map_put_ref(w->map);
	free(w);
}

/* Asks for the next key. False: there is none, or no room; *rc says so. */
static bool ask_next_key(struct wait *w, int *rc)
{
	struct ask_loop *l = w->own->loop;
	struct span key;

	*rc = -ENOENT;
	while (*rc == -ENOENT && lookup_next(&w->l, &key)) {
		*rc = map_helper_ask(l->helper, &w->q, l->loop, w->map, key);
		if (!*rc)
			return true;
	}
	return false;
}

static void answered(struct map_query *q)
{
	struct wait *w = (struct wait *)((char *)q - offsetof(struct wait, q));
	struct ask *own = w->own;
	int rc = q->rc;

	if (rc == -ENOENT && own->owner && ask_next_key(w, &rc))
		return;
	/* The value does not matter. */
	own->local_user = rc == -E2BIG ? 0 : rc;
	ask_resume(own);
}

static enum ask_next wait_for_helper(struct ask *a)
{
	struct wait *w = calloc(1, sizeof *w);
	struct ask *own = w && a->loop->helper ? ask_park(a) : NULL;

	if (!own) {
		free(w);
		a->local_user = -EBUSY;
		return ASK_NEXT;
	}
	w->q.done = answered;
	w->map = map_get_ref(a->maps->local_users);
	w->own = own;
	own->held = w;
	own->release = release;
	/* The copy in the question lives as long as this. */
	(void)address_split(own->subject, &w->box);
	begin(&w->l, a->maps, &w->box);
	if (ask_next_key(w, &a->local_user))
		return ASK_WAIT;
	ask_unpark(own);
	return ASK_NEXT;
}

enum ask_next localuser_look(struct ask *a)
{
	const struct mapset *s = a->maps;
	bool aliases = s->aliases && !aliases_is_empty(s->aliases);

	a->local_user = 0;
	if (a->mailer != ROUTE_LMTP_LOCAL || a->is_alias || (!aliases && !s->local_users))
		return ASK_NEXT;
	/* RFC 5321 4.5.1: wherever mail is taken for a domain, it has a postmaster. */
	if (span_caseeq(a->box.local, SPAN("postmaster")))
		return ASK_NEXT;
	a->local_user = -ENOENT;
	if (!s->local_users || a->box.odd)
		return ASK_NEXT;
	if (map_blocks(s->local_users))
		return wait_for_helper(a);
	a->local_user = look_up(s, &a->box);
	return ASK_NEXT;
}
