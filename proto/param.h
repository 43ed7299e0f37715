/*
 * proto/param.h - parameters of MAIL and RCPT: "KEY=VALUE KEY".
 *
 * Memory: spans of the input. No I/O.
 * RFC:    5321 4.1.2 (esmtp-param), 3461 4 (xtext, NOTIFY, ORCPT, ENVID), 6533 3, 1870 (SIZE), 3030
 *         2 (BDAT).
 */
#ifndef PROTO_PARAM_H
#define PROTO_PARAM_H
#include "core/span.h"

struct param {
	struct span key;
	struct span value; /* .p NULL: no "=" */
};

/* Takes the next one from *rest, which begins with a space: 1, 0 at the end, -EINVAL. Space at the
 * end is left out silently. utf8: values may hold bytes over 127 (RFC 6531 3.3). */
int param_next(struct span *rest, bool utf8, struct param *out);

/* s is xtext (RFC 3461 4), not empty, of at most max bytes when decoded: printable ASCII and space.
 */
bool param_xtext_ok(struct span s, size_t max);

/* The same for ORCPT, "type;xtext". utf8: the utf-8-addr-xtext and -unitext forms of RFC 6533 3
 * too. */
bool param_orcpt_ok(struct span s, size_t max, bool utf8);

/* "NEVER" or a list of SUCCESS, FAILURE, DELAY as bits of enum env_notify; 0: malformed. */
unsigned param_notify(struct span s);

/* What stands behind BDAT: "SIZE [LAST]". 0, -EINVAL, -ERANGE: a size over 63 bits. */
int param_chunk(struct span args, uint64_t *size, bool *last);

#endif
