#include "core/members.h"

#include "core/envelope.h"
#include "core/route.h"
#include "core/wire.h"

#include <errno.h>

static void put(struct wire_w *w, const struct members_item *m)
{
	wire_put_u8(w, m->type);
	wire_put_str(w, m->text);
	if (m->type == MEMBERS_TO) {
		wire_put_u32(w, m->route);
		wire_put_u16(w, m->owner);
	}
}

int members_add(struct buf *part, const struct members_item *m)
{
	struct wire_w count = wire_writer(NULL, 0);

	put(&count, m);
	char *to = buf_room(part, count.n);
	if (!to)
		return -ENOMEM;
	struct wire_w w = wire_writer(to, count.n);
	put(&w, m);
	buf_wrote(part, w.n);
	return 0;
}

int members_begin(struct members_seen *seen, uint32_t part)
{
	if (!part)
		*seen = (struct members_seen){ 0 };
	if (part != seen->parts)
		return -EBADMSG;
	seen->parts++;
	return 0;
}

/* Whether it fits what came before; counts it. */
static bool fits(struct members_seen *seen, const struct members_item *m)
{
	switch (m->type) {
	case MEMBERS_ROUTE:
		return m->text.n <= ROUTE_BYTES_MAX && ++seen->routes <= ENV_RCPTS_MAX;
	case MEMBERS_OWNER:
		return m->text.n && m->text.n <= ENV_ADDR_MAX && ++seen->owners <= ENV_OWNERS_MAX;
	case MEMBERS_TO:
		return m->text.n && m->text.n <= ENV_ADDR_MAX &&
		       (m->route == ENV_NO_ROUTE || m->route < seen->routes) &&
		       m->owner <= seen->owners && ++seen->count <= ENV_RCPTS_MAX;
	default:
		return false;
	}
}

int members_next(struct members_seen *seen, struct span *rest, struct members_item *out)
{
	struct wire_r r = wire_reader(*rest);

	if (!rest->n)
		return 0;
	*out = (struct members_item){ .type = wire_get_u8(&r), .route = ENV_NO_ROUTE };
	out->text = wire_get_str(&r);
	if (out->type == MEMBERS_TO) {
		out->route = wire_get_u32(&r);
		out->owner = wire_get_u16(&r);
	}
	if (r.bad || !fits(seen, out))
		return -EBADMSG;
	*rest = span_of(r.p, (size_t)(r.end - r.p));
	return 1;
}
