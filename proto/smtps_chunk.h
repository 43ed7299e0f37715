/*
 * proto/smtps_chunk.h - BDAT.
 *
 * Owner: the session's loop.
 * RFC:   3030 2 and 3. The octets of a chunk are always taken, whatever the reply: what follows
 *        them must not be read as commands.
 */
#ifndef PROTO_SMTPS_CHUNK_H
#define PROTO_SMTPS_CHUNK_H
#include "proto/smtps_session.h"

/* args: what stands behind "BDAT". Legal in every phase, because its octets must be taken in every
 * phase. */
enum smtps_phase smtps_chunk_verb(struct smtps_session *s, struct span args);
/* Octets of a chunk. False: all was used and more must come. */
bool smtps_chunk_take(struct smtps_session *s, struct span *in);

#endif
