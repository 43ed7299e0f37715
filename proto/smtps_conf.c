#include "proto/smtps_conf.h"

#include "core/err.h"

#include <stdlib.h>

static void nets_parse(const struct conf_list *l, struct smtps_nets *out)
{
	out->net = xcalloc(l->count ? l->count : 1, sizeof *out->net);
	out->count = 0;
	for (unsigned i = 0; i < l->count; i++)
		if (!addr_net_parse(span_str(l->item[i]), &out->net[out->count]))
			out->count++;
}

bool smtps_conf_in_nets(const struct smtps_nets *nets, const struct addr *a)
{
	for (unsigned i = 0; i < nets->count; i++)
		if (addr_net_has(&nets->net[i], a))
			return true;
	return false;
}

static void offer_fill(struct smtps_conf *c)
{
	static const struct {
		uint64_t flag;
		uint32_t cap;
	} by_flag[] = {
		{ SMTPS_F_8BITMIME, EHLO_8BITMIME },     { SMTPS_F_CHUNKING, EHLO_CHUNKING },
		{ SMTPS_F_BINARYMIME, EHLO_BINARYMIME }, { SMTPS_F_DSN, EHLO_DSN },
		{ SMTPS_F_SMTPUTF8, EHLO_SMTPUTF8 },     { SMTPS_F_LIMITS, EHLO_LIMITS }
	};
	struct ehlo *e = &c->offer;

	e->caps = EHLO_PIPELINING | EHLO_SIZE | EHLO_ENHANCED;
	for (size_t i = 0; i < sizeof by_flag / sizeof by_flag[0]; i++)
		if (c->o.flags & by_flag[i].flag)
			e->caps |= by_flag[i].cap;
	/* RFC 3030 3: BINARYMIME needs CHUNKING. RFC 6531 3.1: SMTPUTF8 needs 8BITMIME. */
	if (!(e->caps & EHLO_CHUNKING))
		e->caps &= ~(uint32_t)EHLO_BINARYMIME;
	if (!(e->caps & EHLO_8BITMIME))
		e->caps &= ~(uint32_t)EHLO_SMTPUTF8;
	e->size_max = c->o.max_message_size;
	e->mail_max = c->o.max_transactions < 999999 ? c->o.max_transactions : 999999;
	e->rcpt_max = c->o.max_recipients_per_transaction;
}

struct smtps_conf *smtps_conf_new(const struct smtps_options *o, const struct conf_global *g,
				  struct conf *own_file)
{
	struct smtps_conf *c = xcalloc(1, sizeof *c);

	c->o = *o;
	c->g = *g;
	c->file = own_file;
	c->hostname = span_str(g->hostname ? g->hostname : "localhost");
	nets_parse(&o->proxy_protocol_from, &c->proxy_from);
	nets_parse(&o->xclient_from, &c->xclient_from);
	offer_fill(c);
	atomic_init(&c->refs, 1);
	return c;
}

struct smtps_conf *smtps_conf_get(struct smtps_conf *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void smtps_conf_put(struct smtps_conf *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(c->proxy_from.net);
	free(c->xclient_from.net);
	if (c->file)
		conf_free(c->file);
	free(c);
}
