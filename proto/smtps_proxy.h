/*
 * proto/smtps_proxy.h - the PROXY header of a listed peer, before anything else looks at the
 * client's address.
 *
 * Owner: the session's loop.
 */
#ifndef PROTO_SMTPS_PROXY_H
#define PROTO_SMTPS_PROXY_H
#include "proto/smtps_session.h"

/* False: the header is not complete. */
bool smtps_proxy_take(struct smtps_session *s, struct span *in);

#endif
