#include "core/envelope.h"

#include "core/route.h"
#include "core/wire.h"

#include <errno.h>

enum { FORMAT_PLAIN = 1, FORMAT_OWNERS = 2 };
enum { RCPT_BYTES = 17, RCPT_MORE_BYTES = 3 };
enum { ARRIVAL_AT = 9 };

static void put_addr(struct wire_w *w, const struct addr *a)
{
	wire_put_u8(w, a->family);
	wire_put_u16(w, a->port);
	wire_put(w, a->ip, a->family == ADDR_IPV6 ? 16 : 4);
}

static void get_addr(struct wire_r *r, struct addr *a)
{
	memset(a, 0, sizeof *a);
	a->family = wire_get_u8(r);
	a->port = wire_get_u16(r);
	wire_get(r, a->ip, a->family == ADDR_IPV6 ? 16 : 4);
	if (a->family != ADDR_IPV4 && a->family != ADDR_IPV6 && a->family != ADDR_NONE)
		r->bad = true;
}

/* What most messages do not need takes no room in them. */
static uint8_t format_of(const struct envelope *e)
{
	if (e->owner_count)
		return FORMAT_OWNERS;
	for (uint32_t i = 0; i < e->rcpt_count; i++)
		if (e->rcpt[i].kind)
			return FORMAT_OWNERS;
	return FORMAT_PLAIN;
}

static void put_all(struct wire_w *w, const struct envelope *e, uint8_t format)
{
	wire_put_u8(w, format);
	wire_put_u64(w, e->ta);
	wire_put_u64(w, (uint64_t)e->wall_arrival);
	put_addr(w, &e->client);
	wire_put_u8(w, e->body);
	wire_put_u8(w, e->ret);
	wire_put_u16(w, e->flags);
	wire_put_str(w, e->sender);
	wire_put_str(w, e->envid);
	wire_put_u32(w, e->route_count);
	for (uint32_t i = 0; i < e->route_count; i++)
		wire_put_str(w, e->route[i]);
	if (format == FORMAT_OWNERS) {
		wire_put_u32(w, e->owner_count);
		for (uint32_t i = 0; i < e->owner_count; i++)
			wire_put_str(w, e->owner[i]);
	}
	wire_put_u32(w, e->rcpt_count);
	for (uint32_t i = 0; i < e->rcpt_count; i++) {
		const struct env_rcpt *c = &e->rcpt[i];

		wire_put_str(w, c->addr);
		wire_put_str(w, c->orcpt);
		wire_put_u32(w, c->idx);
		wire_put_u32(w, c->route);
		wire_put_u8(w, c->notify);
		if (format == FORMAT_OWNERS) {
			wire_put_u16(w, c->owner);
			wire_put_u8(w, c->kind);
		}
	}
}

static bool owner_fits(const struct envelope *e, const struct env_rcpt *c)
{
	return c->owner <= e->owner_count;
}

/* What decoding would refuse must not be stored. */
static int check(const struct envelope *e)
{
	if (e->rcpt_count > ENV_RCPTS_MAX || e->sender.n > ENV_ADDR_MAX ||
	    e->envid.n > ENV_ADDR_MAX || e->owner_count > ENV_OWNERS_MAX)
		return -EMSGSIZE;
	for (uint32_t i = 0; i < e->owner_count; i++)
		if (!e->owner[i].n || e->owner[i].n > ENV_ADDR_MAX)
			return -EMSGSIZE;
	for (uint32_t i = 0; i < e->route_count; i++)
		if (e->route[i].n > ROUTE_BYTES_MAX)
			return -EMSGSIZE;
	for (uint32_t i = 0; i < e->rcpt_count; i++) {
		const struct env_rcpt *c = &e->rcpt[i];

		if (c->addr.n > ENV_ADDR_MAX || c->orcpt.n > ENV_ADDR_MAX)
			return -EMSGSIZE;
		if ((c->route != ENV_NO_ROUTE && c->route >= e->route_count) || !owner_fits(e, c) ||
		    c->kind > ENV_KIND_LIST)
			return -EINVAL;
	}
	return 0;
}

int envelope_encode(const struct envelope *e, struct buf *out)
{
	struct wire_w count = wire_writer(NULL, 0);
	int rc = check(e);

	if (rc)
		return rc;
	uint8_t format = format_of(e);
	put_all(&count, e, format);
	char *to = buf_room(out, count.n);
	if (!to)
		return -ENOMEM;
	struct wire_w w = wire_writer(to, count.n);
	put_all(&w, e, format);
	buf_wrote(out, w.n);
	return 0;
}

static int get_routes(struct wire_r *r, struct arena *a, struct envelope *e)
{
	e->route_count = wire_get_u32(r);
	if (r->bad || e->route_count > e->route_count + 1 ||
	    e->route_count > (size_t)(r->end - r->p) / 4)
		return -EBADMSG;
	e->route = arena_alloc(a, e->route_count * sizeof *e->route);
	if (!e->route)
		return -ENOMEM;
	for (uint32_t i = 0; i < e->route_count; i++) {
		e->route[i] = wire_get_str(r);
		if (e->route[i].n > ROUTE_BYTES_MAX)
			return -EBADMSG;
	}
	return 0;
}

static int get_owners(struct wire_r *r, struct arena *a, struct envelope *e)
{
	e->owner_count = wire_get_u32(r);
	if (r->bad || e->owner_count > ENV_OWNERS_MAX ||
	    e->owner_count > (size_t)(r->end - r->p) / 5)
		return -EBADMSG;
	e->owner = arena_alloc(a, e->owner_count * sizeof *e->owner);
	if (!e->owner)
		return -ENOMEM;
	for (uint32_t i = 0; i < e->owner_count; i++) {
		e->owner[i] = wire_get_str(r);
		if (!e->owner[i].n || e->owner[i].n > ENV_ADDR_MAX)
			return -EBADMSG;
	}
	return 0;
}

static int get_rcpts(struct wire_r *r, struct arena *a, struct envelope *e, uint8_t format)
{
	size_t least = format == FORMAT_OWNERS ? RCPT_BYTES + RCPT_MORE_BYTES : RCPT_BYTES;
	bool more = e->owner_count > 0;

	e->rcpt_count = wire_get_u32(r);
	if (r->bad || e->rcpt_count > ENV_RCPTS_MAX ||
	    e->rcpt_count > (size_t)(r->end - r->p) / least)
		return -EBADMSG;
	e->rcpt = arena_alloc(a, e->rcpt_count * sizeof *e->rcpt);
	if (!e->rcpt)
		return -ENOMEM;
	for (uint32_t i = 0; i < e->rcpt_count; i++) {
		struct env_rcpt *c = &e->rcpt[i];

		c->addr = wire_get_str(r);
		c->orcpt = wire_get_str(r);
		c->idx = wire_get_u32(r);
		c->route = wire_get_u32(r);
		c->notify = wire_get_u8(r);
		c->owner = format == FORMAT_OWNERS ? wire_get_u16(r) : 0;
		c->kind = format == FORMAT_OWNERS ? wire_get_u8(r) : ENV_KIND_TO;
		more |= c->kind != ENV_KIND_TO;
		if (c->addr.n > ENV_ADDR_MAX || c->orcpt.n > ENV_ADDR_MAX ||
		    (c->route != ENV_NO_ROUTE && c->route >= e->route_count) || !owner_fits(e, c) ||
		    c->kind > ENV_KIND_LIST)
			return -EBADMSG;
	}
	/* One envelope has one form. */
	return format == FORMAT_OWNERS && !more ? -EBADMSG : 0;
}

int envelope_decode(struct span s, struct arena *a, struct envelope *out)
{
	struct wire_r r = wire_reader(s);

	memset(out, 0, sizeof *out);
	uint8_t format = wire_get_u8(&r);
	if (format != FORMAT_PLAIN && format != FORMAT_OWNERS)
		return -EBADMSG;
	out->ta = wire_get_u64(&r);
	out->wall_arrival = (usec_t)wire_get_u64(&r);
	get_addr(&r, &out->client);
	out->body = wire_get_u8(&r);
	out->ret = wire_get_u8(&r);
	out->flags = wire_get_u16(&r);
	out->sender = wire_get_str(&r);
	out->envid = wire_get_str(&r);
	if (r.bad || out->body > ENV_BODY_BINARYMIME || out->ret > ENV_RET_HDRS ||
	    out->sender.n > ENV_ADDR_MAX || out->envid.n > ENV_ADDR_MAX)
		return -EBADMSG;
	int rc = get_routes(&r, a, out);
	if (!rc && format == FORMAT_OWNERS)
		rc = get_owners(&r, a, out);
	if (!rc)
		rc = get_rcpts(&r, a, out, format);
	if (rc)
		return rc;
	return wire_done(&r) ? 0 : -EBADMSG;
}

void envelope_set_arrival(char *encoded, usec_t wall_arrival)
{
	struct wire_w w = wire_writer(encoded + ARRIVAL_AT, sizeof wall_arrival);

	wire_put_u64(&w, (uint64_t)wall_arrival);
}
