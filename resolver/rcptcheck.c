#include "resolver/rcptcheck.h"

#include "core/log.h"

#include <errno.h>

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

/* The entry of the mailertable: whether the domain is local, and the route. An address literal goes
 * to that address, R 3.9.3 knows no keys for it. */
static enum ask_next find_entry(struct ask *a)
{
	struct span domain = a->box.domain.n ? a->box.domain : a->loop->hostname;
	int rc = -ENOENT;

	if (a->box.literal.family != ADDR_NONE) {
		struct route r = { .mailer = ROUTE_ESMTP, .count = 1 };

		r.host[0] = a->box.literal;
		a->hit.mailer = r.mailer;
		a->hit.route = span_of(a->hit.bytes, route_encode(&r, a->hit.bytes));
		rc = 0;
	} else if (a->maps->mailertable) {
		rc = mailertable_find(a->maps->mailertable, domain, &a->hit);
	}
	if (rc && rc != -ENOENT) {
		log_event(LOG_LV_ERROR, LOG_SEV_ERR, "mailertable", "stat=%s",
			  rc == -EINVAL ? "entry has no valid value" : "cannot be read");
		return ask_error(a, SPAN("451 4.3.5 local configuration error"));
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

/* Without an entry only DNS could tell. */
static enum ask_next need_route(struct ask *a)
{
	if (a->route.n)
		return ASK_DONE;
	return ask_error(a, TEXT_NO_ROUTE);
}

ask_step *const rcptcheck_steps[] = { check_syntax, find_entry, check_relaying,
				      check_access, need_route, NULL };

ask_step *const rcptcheck_route_steps[] = { check_syntax, find_entry, need_route, NULL };
