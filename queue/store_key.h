/*
 * queue/store_key.h - the keys of the queues' database, and back.
 *
 * Form: numbers big-endian, so that they sort; in `meta` behind \1 and a letter.
 * Pure; any thread.
 */
#ifndef QUEUE_STORE_KEY_H
#define QUEUE_STORE_KEY_H
#include "core/clock.h"
#include "core/span.h"

enum { STORE_KEY_MAX = 24 };
struct store_key {
	char b[STORE_KEY_MAX];
	uint8_t n;
};
static inline struct span store_key_span(const struct store_key *k)
{
	return span_of(k->b, k->n);
}
/* ibdb and defedb: of a transaction, and behind it of its recipients. */
struct store_key store_key_ta(uint64_t ta);
struct store_key store_key_rcpt(uint64_t ta, uint32_t idx);
/* The index by time: when a recipient is due. */
struct store_key store_key_due(usec_t wall, uint64_t ta, uint32_t idx);
struct store_key store_key_word(const char *word);      /* meta: "format", "ids" */
struct store_key store_key_segment(uint64_t seg);       /* meta: 's' + seg */
struct store_key store_key_file(uint64_t ta);           /* meta: 'f' + ta: own file is finished */
struct store_key store_key_suspension(uint64_t number); /* meta: 'p' + number */
struct store_key store_key_park(uint64_t park);         /* meta: 'd' + number: its head */
/* The recipients that are parked under one number. */
struct store_key store_key_parked(uint64_t park, uint64_t ta, uint32_t idx);
/* What kind of ibdb or defedb key: true and the parts; *is_rcpt: with a recipient. */
bool store_key_parse(struct span key, uint64_t *ta, uint32_t *idx, bool *is_rcpt);
bool store_key_due_parse(struct span key, usec_t *wall, uint64_t *ta, uint32_t *idx);
bool store_key_parked_parse(struct span key, uint64_t *park, uint64_t *ta, uint32_t *idx);
bool store_key_park_parse(struct span key, uint64_t *park);

#endif
