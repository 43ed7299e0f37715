#include "resolver/clientcheck.h"

#include <errno.h>

/* R 3.12.2: the tag cltaddr:, only with the access flag. */
static enum ask_next check_address(struct ask *a)
{
	const struct access *map = a->maps->access;
	struct access_value v;

	if (!(a->flags & MSG_ASK_ACCESS) || !map)
		return ASK_NEXT;
	if (ask_access_value(a, access_client(map, &a->client, &v), &v) == ASK_DONE)
		return ASK_DONE;
	return v.action == MSG_ACT_CONT ? ASK_NEXT : ask_take_value(a, &v);
}

ask_step *const clientcheck_steps[] = { check_address, NULL };
