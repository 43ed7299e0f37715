#include "resolver/rcptcheck.h"

#include "resolver/expand.h"
#include "resolver/localuser.h"
#include "resolver/smar_stats.h"

#include "core/log.h"
#include "core/loop.h"

#include <errno.h>
#include <stdlib.h>

#define TEXT_NO_ROUTE SPAN("451 4.4.3 no route: DNS is not available")

static enum ask_next check_syntax(struct ask *a)
{
	if (a->box_rc)
		return ask_error(a, SPAN("553 5.1.3 recipient address is not valid"));
	/* RFC 5321 4.1.1.3: <postmaster> is known without a domain. */
	if (!a->box.domain.n && !span_caseeq(a->box.local, SPAN("postmaster")))
		return ask_error(a, SPAN("550 5.1.3 recipient address has no domain"));
	return ASK_NEXT;
}

/* The entry of the mailertable: whether the domain is local, and the route. */
static enum ask_next find_entry(struct ask *a)
{
	int rc = mailertable_route(a->maps->mailertable, &a->box, a->loop->hostname, &a->hit);

	if (rc && rc != -ENOENT) {
		log_event(LOG_LV_ERROR, LOG_SEV_ERR, "mailertable", "stat=%s",
			  rc == -EINVAL ? "entry has no valid value" : "cannot be read");
		return ask_error(a, SPAN(MSG_TEXT_CONFIG));
	}
	if (!rc) {
		a->mailer = a->hit.mailer;
		a->route = a->hit.route;
		a->ttl_sec = ASK_ROUTE_TTL_SEC;
	}
	return ASK_NEXT;
}

/* What the session and the domain allow; to: entries come later. */
static enum ask_next check_relaying(struct ask *a)
{
	bool local = a->mailer == ROUTE_LMTP_LOCAL;

	if (a->flags & (MSG_ASK_MAY_RELAY | MSG_ASK_CLIENT_RELAY))
		a->may_relay = true;
	else if (local && !(a->flags & MSG_ASK_LOCAL_NO_RELAY))
		a->may_relay = true;
	else if (!a->box.domain.n)
		a->may_relay = true;
	return ASK_NEXT;
}

/* R 3.12.2: the tag to: can allow relaying, refuse a recipient that would be allowed, and override
 * with quick: what was delayed. */
static enum ask_next check_access(struct ask *a)
{
	const struct access *map = a->flags & MSG_ASK_ACCESS ? a->maps->access : NULL;
	struct access_value v = { .action = MSG_ACT_CONT };

	if (a->flags & MSG_ASK_CLIENT_RELAY || (a->flags & MSG_ASK_CLIENT_OK && a->may_relay))
		map = NULL;
	if (map && ask_access_value(a, access_mailbox(map, ACCESS_TO, &a->box, &v), &v) == ASK_DONE)
		return ASK_DONE;
	if (v.action == MSG_ACT_ERROR || v.action == MSG_ACT_DISCARD)
		return ask_take_value(a, &v);
	if (!a->may_relay && v.action != MSG_ACT_RELAY)
		return ask_error(a, SPAN("550 5.7.1 relaying denied"));
	if (v.action != MSG_ACT_CONT)
		ask_take_value(a, &v);
	return ASK_NEXT;
}

/* ---- aliases */

/* An alias that takes longer than a moment. */
struct follow {
	struct expand *expand;
	struct timer timer;
	struct ask *own; /* NULL: it is done at once */
	enum expand_state state;
};

enum { UNREAD_USEC = 10 * USEC_PER_MSEC };

static void release(void *held)
{
	struct follow *f = held;

	if (f->own)
		loop_timer_stop(f->own->loop->loop, &f->timer);
	expand_free(f->expand);
	free(f);
}

static void hand_out(void *ctx, uint32_t part, struct span list)
{
	struct ask *a = ctx;

	if (a->owner)
		a->hand_out(a, part, list);
}

static void next_piece(struct timer *t)
{
	struct follow *f = (struct follow *)((char *)t - offsetof(struct follow, timer));
	struct ask *own = f->own;

	/* Nobody waits any more, or whoever does has not read what was said so far. */
	if (own->owner && own->takes_more && !own->takes_more(own)) {
		loop_timer_after(own->loop->loop, t, UNREAD_USEC);
		return;
	}
	if (own->owner)
		f->state = expand_run(f->expand, EXPAND_PIECE_STEPS, hand_out, own);
	if (own->owner && f->state == EXPAND_MORE)
		loop_timer_after(own->loop->loop, t, 0);
	else
		ask_resume(own);
}

/* The first piece at once; what is left waits for its turn. */
static enum ask_next follow(struct ask *a, struct follow *f)
{
	unsigned steps = a->loop->loop ? EXPAND_PIECE_STEPS : UINT32_MAX;

	a->held = f;
	a->release = release;
	if (f->state == EXPAND_MORE)
		f->state = expand_run(f->expand, steps, hand_out, a);
	if (f->state != EXPAND_MORE)
		return ASK_NEXT;
	struct ask *own = ask_park(a);
	if (!own) {
		f->state = EXPAND_NO_MEMORY;
		return ASK_NEXT;
	}
	f->own = own;
	f->timer.fn = next_piece;
	loop_timer_after(a->loop->loop, &f->timer, 0);
	return ASK_WAIT;
}

static enum ask_next find_alias(struct ask *a)
{
	struct aliases *map = a->maps->aliases;
	bool local = a->mailer == ROUTE_LMTP_LOCAL;
	struct alias_hit hit;

	if (!map || a->action == MSG_ACT_DISCARD)
		return ASK_NEXT;
	int rc = aliases_find(map, &a->box, a->box.domain.n ? a->box.domain : a->loop->hostname,
			      local, &hit);
	if (rc && rc != -ENOENT)
		return ask_error(a, SPAN(MSG_TEXT_CONFIG));
	a->is_alias = !rc;
	if (rc || hit.is_local)
		return ASK_NEXT;
	struct expand_setup s = { .aliases = map,
				  .mailertable = a->maps->mailertable,
				  .hostname = a->loop->hostname,
				  .owners = a->sender.n > 0 };
	struct follow *f = calloc(1, sizeof *f);
	if (f)
		f->expand = expand_new(&s, a->subject, local, &hit, &f->state);
	if (f && f->expand)
		return follow(a, f);
	free(f);
	return ask_error(a, SPAN("451 4.3.0 out of memory"));
}

static enum ask_next alias_failed(struct ask *a, const struct follow *f)
{
	expand_log(f->expand, f->state);
	stats_add(SMAR_STAT_alias_errors, 1);
	a->members = 0;
	switch (f->state) {
	case EXPAND_LOOP:
		return ask_error(a, SPAN("554 5.4.6 alias loop"));
	case EXPAND_DEEP:
		return ask_error(a, SPAN("554 5.4.6 aliases are nested too deep"));
	case EXPAND_MANY:
		return ask_error(a, SPAN("550 5.2.4 alias has too many members"));
	case EXPAND_NO_MEMORY:
		return ask_error(a, SPAN("451 4.3.0 out of memory"));
	default:
		return ask_error(a, SPAN(MSG_TEXT_CONFIG));
	}
}

/* The alias was followed to its end. */
static enum ask_next take_members(struct ask *a)
{
	const struct follow *f = a->held;

	if (!f)
		return ASK_NEXT;
	if (f->state != EXPAND_DONE)
		return alias_failed(a, f);
	a->members = expand_count(f->expand);
	stats_add(SMAR_STAT_aliases, 1);
	stats_add(SMAR_STAT_alias_members, a->members);
	a->route = span_of("", 0);
	return ASK_DONE;
}

/* R 4.3.2. */
static enum ask_next check_exists(struct ask *a)
{
	if (a->action == MSG_ACT_DISCARD || !a->local_user)
		return ASK_NEXT;
	if (a->local_user == -ENOENT)
		return ask_error(a, SPAN("550 5.1.1 no such user here"));
	return ask_error(a, SPAN(MSG_TEXT_CONFIG));
}

/* ---- the end */

/* Without an entry only DNS could tell. */
static enum ask_next need_route(struct ask *a)
{
	if (a->route.n || a->flags & MSG_ASK_NOTICE)
		return ASK_DONE;
	return ask_error(a, TEXT_NO_ROUTE);
}

ask_step *const rcptcheck_steps[] = { check_syntax, find_entry,   check_relaying, check_access,
				      find_alias,   take_members, localuser_look, check_exists,
				      need_route,   NULL };

ask_step *const rcptcheck_route_steps[] = { check_syntax, find_entry, need_route, NULL };

ask_step *const rcptcheck_notice_steps[] = { check_syntax, find_entry, find_alias,
					     take_members, need_route, NULL };
