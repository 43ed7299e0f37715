#include "core/route.h"

#include <errno.h>

enum { FORMAT = 1 };

size_t route_encode(const struct route *r, char *dst)
{
	struct wire_w w = wire_writer(dst, ROUTE_BYTES_MAX);

	wire_put_u8(&w, FORMAT);
	wire_put_u8(&w, r->mailer);
	wire_put_u8(&w, r->count);
	for (unsigned i = 0; i < r->count; i++) {
		wire_put_u8(&w, r->host[i].family);
		wire_put_u16(&w, r->host[i].port);
		wire_put(&w, r->host[i].ip, r->host[i].family == ADDR_IPV4 ? 4 : 16);
	}
	return w.n;
}

int route_decode(struct span s, struct route *out)
{
	struct wire_r r = wire_reader(s);

	memset(out, 0, sizeof *out);
	if (wire_get_u8(&r) != FORMAT)
		return -EBADMSG;
	out->mailer = wire_get_u8(&r);
	out->count = wire_get_u8(&r);
	if (out->mailer > ROUTE_DISCARD || out->count > ROUTE_HOSTS_MAX)
		return -EBADMSG;
	for (unsigned i = 0; i < out->count; i++) {
		out->host[i].family = wire_get_u8(&r);
		out->host[i].port = wire_get_u16(&r);
		if (out->host[i].family != ADDR_IPV4 && out->host[i].family != ADDR_IPV6)
			return -EBADMSG;
		wire_get(&r, out->host[i].ip, out->host[i].family == ADDR_IPV4 ? 4 : 16);
	}
	if ((out->mailer == ROUTE_ESMTP || out->mailer == ROUTE_LMTP) && !out->count)
		return -EBADMSG;
	return wire_done(&r) ? 0 : -EBADMSG;
}
