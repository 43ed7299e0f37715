#include "resolver/mailcheck.h"

#include "resolver/localuser.h"

#include <errno.h>

/* R 3.12.2: no checks for <> and for sessions with quick:relay or quick:ok. */
static enum ask_next check_exempt(struct ask *a)
{
	if (!a->subject.n || a->flags & (MSG_ASK_CLIENT_OK | MSG_ASK_CLIENT_RELAY))
		return ASK_DONE;
	return ASK_NEXT;
}

/* Would a DSN to this address find a host? Only what the mailertable knows can be told without
 * asking DNS: all other domains pass. */
static enum ask_next check_routable(struct ask *a)
{
	if (a->box_rc)
		return ask_error(a, SPAN("553 5.1.7 sender address is not valid"));
	return ASK_NEXT;
}

/* Is the domain local, and the address an alias? */
static enum ask_next find_local(struct ask *a)
{
	struct alias_hit hit;
	int rc = mailertable_route(a->maps->mailertable, &a->box, a->loop->hostname, &a->hit);

	if (rc && rc != -ENOENT)
		return ask_error(a, SPAN(MSG_TEXT_CONFIG));
	a->mailer = rc ? ROUTE_NONE : a->hit.mailer;
	rc = -ENOENT;
	if (a->maps->aliases)
		rc = aliases_find(a->maps->aliases, &a->box,
				  a->box.domain.n ? a->box.domain : a->loop->hostname,
				  a->mailer == ROUTE_LMTP_LOCAL, &hit);
	if (rc && rc != -ENOENT)
		return ask_error(a, SPAN(MSG_TEXT_CONFIG));
	a->is_alias = !rc;
	return ASK_NEXT;
}

/* R 4.3.2: local addresses are checked for the sender too. */
static enum ask_next check_exists(struct ask *a)
{
	if (!a->local_user)
		return ASK_NEXT;
	if (a->local_user == -ENOENT)
		return ask_error(a, SPAN("550 5.1.8 no such sender here"));
	return ask_error(a, SPAN(MSG_TEXT_CONFIG));
}

/* The tag from:, only with the access flag. */
static enum ask_next check_access(struct ask *a)
{
	const struct access *map = a->maps->access;
	struct access_value v;

	if (!(a->flags & MSG_ASK_ACCESS) || !map)
		return ASK_NEXT;
	if (ask_access_value(a, access_mailbox(map, ACCESS_FROM, &a->box, &v), &v) == ASK_DONE)
		return ASK_DONE;
	return v.action == MSG_ACT_CONT ? ASK_NEXT : ask_take_value(a, &v);
}

ask_step *const mailcheck_steps[] = { check_exempt, check_routable, find_local, localuser_look,
				      check_exists, check_access,   NULL };
