/*
 * resolver/access.h - the access map: who may connect, send, be written to; R 3.9.3.
 *
 * Owner:  made by one thread, then read by any; never changed. A reload makes a new one.
 * Memory: reference counted. Texts of values point into the map.
 * Keys:   TAG:ITEM; tags cltaddr: (addresses and nets), from: and to: (mailboxes, domains, local
 *         parts). Values: [quick:] relay, ok, reject, discard, cont, error:XYZ A.B.C text.
 */
#ifndef RESOLVER_ACCESS_H
#define RESOLVER_ACCESS_H
#include "resolver/address.h"
#include "core/map.h"

#include "core/msg.h"

enum { ACCESS_TEXT_MAX = 480 };

struct access;

struct access_value {
	enum msg_action action;
	bool quick;
	struct span text; /* MSG_ACT_ERROR: the reply, code and enhanced code first */
	bool bare;        /* the reply has no enhanced code: see access_reply() */
};

enum access_tag { ACCESS_FROM = 0, ACCESS_TO };

/* Takes the map over (also when it fails). Looks at all entries once: values that mean nothing and
 * nets that never match are warnings in r. NULL: the map cannot be read. */
struct access *access_new(struct map *own, char delimiter, struct report *r);
struct access *access_get_ref(struct access *a);
/* a may be NULL. */
void access_put_ref(struct access *a);

/* 0 and *out; -ENOENT: no entry; -EINVAL: the entry is broken; another -errno: the map cannot be
 * read. */
int access_client(const struct access *a, const struct addr *client, struct access_value *out);
/* The same for a sender or recipient; its domain may be empty. */
int access_mailbox(const struct access *a, enum access_tag tag, const struct address *box,
		   struct access_value *out);

/* One value: 0 or -EINVAL. */
int access_parse_value(struct span value, struct access_value *out);

/* The whole reply of an error value; dst is used when an enhanced code must be put in. */
struct span access_reply(const struct access_value *v, char dst[static ACCESS_TEXT_MAX + 8]);

#endif
