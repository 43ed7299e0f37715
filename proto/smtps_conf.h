/*
 * proto/smtps_conf.h - one configuration in effect: options and what is worked out from them.
 *
 * Owner:  immutable once made; shared by all loops, counted. A reload makes a new one; each loop
 *         changes over by itself, sessions follow at their next step.
 * Memory: owns the struct conf with the strings.
 */
#ifndef PROTO_SMTPS_CONF_H
#define PROTO_SMTPS_CONF_H
#include "core/addr.h"
#include "proto/ehlo.h"
#include "proto/smtps_options.h"

#include <stdatomic.h>

struct smtps_nets {
	struct addr_net *net;
	unsigned count;
};

struct smtps_conf {
	struct smtps_options o;
	struct conf_global g;
	struct conf *file; /* NULL in tests */
	struct span hostname;
	struct ehlo offer; /* what EHLO says; its caps decide what MAIL and RCPT take */
	struct smtps_nets proxy_from, xclient_from;
	atomic_uint refs;
};

/* A new one with one reference; takes own_file. Nets that cannot be read were refused by the option
 * check and are left out. Never NULL. */
struct smtps_conf *smtps_conf_new(const struct smtps_options *o, const struct conf_global *g,
				  struct conf *own_file);
struct smtps_conf *smtps_conf_get(struct smtps_conf *c);
/* Frees it with the last reference. Any thread. */
void smtps_conf_put(struct smtps_conf *c);

/* Is a in one of them? */
bool smtps_conf_in_nets(const struct smtps_nets *nets, const struct addr *a);

#endif
